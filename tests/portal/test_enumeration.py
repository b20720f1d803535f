"""Who asks learns nothing, and can neither flood a mailbox nor the agents (threats T28, T52)."""

import math
import random
import time
from statistics import median
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa

from models.access.request import ACCESS_REQUEST
from models.db.engine import transaction
from models.outbox.outbox import OUTBOX
from models.people.customer import CUSTOMER, add_contact, give_seat
from models.sessions.link import ONE_USE_LINK
from tests.builders import POLICY
from tests.portal.site import Answer, Browser, Site, running, settle
from values.vocabulary import OutboxStatus


def asked(browser: Browser, address: str, **more: str) -> Answer:
    form = {"name": "Maria Gil", "address": address, "company": "Acme", "language": "en", "kind": "new"}
    return browser.post("/request-access", form | more)


def seen(answer: Answer) -> tuple[object, ...]:
    """All that the asking person can compare, but for the value of a random cookie and the clock."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("date", "set-cookie")}
    return answer.status, headers, answer.body, [line.partition("=")[0] for line in answer.cookies]


def test_known_and_unknown_are_answered_alike(site: Site) -> None:
    known, unknown = site.browser(), site.browser()
    assert seen(asked(known, "lucia@acme.test")) == seen(asked(unknown, "lucia@never.test"))
    assert seen(known.get("/request-access/sent")) == seen(unknown.get("/request-access/sent"))
    known, unknown = site.browser(), site.browser()
    assert seen(known.post("/", {"address": "lucia@acme.test"})) == seen(unknown.post("/", {"address": "x@never.test"}))
    assert seen(known.get("/auth/sent")) == seen(unknown.get("/auth/sent"))
    wrong = {"code": "ZZZZZZ"}
    assert seen(known.post("/auth/confirm", wrong)) == seen(unknown.post("/auth/confirm", wrong))


def test_known_and_unknown_leave_the_same_rows_and_only_the_known_get_a_mail(site: Site) -> None:
    for address in ("lucia@acme.test", "x@never.test"):
        site.browser().post("/", {"address": address})
        asked(site.browser(), address)
    with site.engine.connect() as connection:
        rows = connection.execute(sa.select(OUTBOX.c.recipient, OUTBOX.c.mail, OUTBOX.c.status).order_by(OUTBOX.c.id))
        assert [(row.recipient, row.mail.value, row.status.value) for row in rows] == [
            ("lucia@acme.test", "sign_in", "due"),
            ("lucia@acme.test", "access_proof", "due"),
            ("x@never.test", "sign_in", "suppressed"),
            ("x@never.test", "access_proof", "due"),
        ]
    assert site.count(ONE_USE_LINK, ONE_USE_LINK.c.address == "x@never.test") == 2


def test_three_an_hour_for_an_address_and_twenty_for_a_client(database: sa.Engine) -> None:
    with running(database, policy=POLICY) as site:
        settle(site)
        answers = [seen(asked(site.browser(), "lucia@acme.test")) for _ in range(5)]
        assert answers == [answers[0]] * 5
        assert site.count(ACCESS_REQUEST) == 3
        answers = [seen(site.browser().post("/", {"address": "lucia@acme.test"})) for _ in range(5)]
        assert answers == [answers[0]] * 5
        assert site.count(OUTBOX, OUTBOX.c.mail == "sign_in") == 3
        for number in range(15):
            assert seen(asked(site.browser(), f"a{number}@acme.test")) == seen(
                asked(site.browser(), f"b{number}@x.test")
            )
        assert site.count(ACCESS_REQUEST) + site.count(OUTBOX, OUTBOX.c.mail == "sign_in") <= 20
        site.clock.move(hours=1)
        site.browser().post("/", {"address": "lucia@acme.test"})
        assert site.count(OUTBOX, OUTBOX.c.mail == "sign_in") == 4


def test_T28_who_uses_up_an_address_does_not_keep_its_owner_out(database: sa.Engine) -> None:
    """Three links an hour for whoever asks; the browser that its owner signed in with has its own three."""
    with running(database, policy=POLICY) as site:
        settle(site)
        lucia, stranger = site.sign_in("lucia@acme.test"), site.browser()
        lucia.post("/sign-out")
        site.clock.move(days=3)
        for _ in range(5):
            stranger.post("/", {"address": "lucia@acme.test"})
        mails = site.count(OUTBOX, OUTBOX.c.mail == "sign_in")
        assert mails == 1 + 3
        site.sign_in("lucia@acme.test", lucia)
        assert lucia.get("/people").status == 200
        for _ in range(5):
            lucia.post("/", {"address": "lucia@acme.test"})
        assert site.count(OUTBOX, OUTBOX.c.mail == "sign_in") == mails + 3, "its own three, and no more"
        lucia.post("/", {"address": "ben@acme.test"})
        for _ in range(5):
            stranger.post("/", {"address": "ben@acme.test"})
        assert site.count(OUTBOX, OUTBOX.c.recipient == "ben@acme.test", OUTBOX.c.mail == "sign_in") == 3


def test_T28_a_refused_client_takes_nobodys_budget(database: sa.Engine) -> None:
    """Over its own 20 an hour a client names an address as often as it likes: its owner's new browser is let in."""
    with running(database, policy=POLICY, proxies=("127.0.0.1",)) as site:
        settle(site)
        for number in range(25):
            site.browser().post("/", {"address": f"p{number}@spam.test"}, X_Forwarded_For="198.51.100.1")
        for _ in range(5):
            site.browser().post("/", {"address": "lucia@acme.test"}, X_Forwarded_For="198.51.100.1")
        site.browser().post("/", {"address": "lucia@acme.test"}, X_Forwarded_For="198.51.100.2")
        mails = site.count(OUTBOX, OUTBOX.c.recipient == "lucia@acme.test", OUTBOX.c.mail == "sign_in")
        assert mails == 1


def test_spam_reaches_no_agent(database: sa.Engine) -> None:
    """Nobody is asked before an address is proved, so what one client floods us with ends in a counter."""
    with running(database, policy=POLICY) as site:
        settle(site)
        for number in range(60):
            answer = asked(site.browser(), f"p{number}@spam.test", name="http://evil.test")
            assert answer.status == (303 if number < 20 else 429), "who gets nothing is not told that it is sent"
        assert site.count(ACCESS_REQUEST) == site.count(OUTBOX) == 20
        assert site.count(OUTBOX, OUTBOX.c.recipient == "ana@nordvik.test") == 0


@pytest.mark.long
def test_a_thousand_requests_from_a_hundred_clients(database: sa.Engine) -> None:
    with running(database, policy=POLICY, proxies=("127.0.0.1",)) as site:
        settle(site)
        for number in range(1000):
            form = {"name": "http://evil.test", "address": f"p{number}@spam.test", "company": "x", "kind": "new"}
            answer = site.browser().post("/request-access", form, X_Forwarded_For=f"198.51.100.{number % 100}")
            assert answer.status == (303 if number < POLICY.requests_per_hour else 429)
        assert site.count(ACCESS_REQUEST) == site.count(OUTBOX) == POLICY.requests_per_hour


def test_what_the_applicant_writes_is_short_one_line_and_no_link(site: Site) -> None:
    long = "x" * 65
    assert asked(site.browser(), "maria@acme.test", name=long).status == 422
    name = "Maria\r\nhttps://evil.test/\u202e \x07"
    site.waiting("maria@acme.test", name=name, phone="<a href=https://evil.test>1</a>")
    assert site.scalar(sa.select(ACCESS_REQUEST.c.name)) == "Maria https://evil.test/"
    body = site.sign_in("ana@nordvik.test").get("/access-requests/1").body
    assert "Maria https://evil.test/" in body and 'href="https://evil' not in body and "<a href=https" not in body


def test_an_unproved_request_is_on_nobodys_desk(site: Site) -> None:
    site.ask_access("maria@acme.test")
    ana = site.sign_in("ana@nordvik.test")
    assert "Maria" not in ana.get("/access-requests").body
    assert ana.get("/access-requests/1").status == 404
    assert ana.post("/access-requests/1/approve").status == 404
    assert site.states(site.acme) == ["active", "active"]
    assert site.count(OUTBOX, OUTBOX.c.status == OutboxStatus.DUE, OUTBOX.c.mail == "access_desk_notice") == 0


NAMES = [f"n{number:03}" for number in range(200)]

# --- time ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("page", ["request", "sign-in"])
def test_time_tells_nothing(site: Site, page: str) -> None:
    """200 times a known and an unknown one, in random order: Mann-Whitney's U is as chance makes it.

    Three tries, since one p in a hundred is below 0.01 where nothing is to be told, and the machine has other work.
    """
    seat_many(site)
    chances = [chance_that_alike(*measured(site, page, round_)) for round_ in range(3)]
    assert max(chances) > 0.05, chances


def measured(site: Site, page: str, round_: int) -> tuple[list[float], list[float]]:
    """Seconds of each answer to 200 people who hold a seat, and to as many of whom nothing is known."""
    found: dict[str, list[float]] = {"acme.test": [], "never.test": []}
    asking = [(name, domain) for name in NAMES for domain in found]
    random.Random(round_).shuffle(asking)
    site.clock.move(days=1)  # every address is asked with once a round, so no budget tells them apart
    for name, domain in asking:
        form = {"name": "Maria", "address": f"{name}@{domain}", "company": domain, "language": "en", "kind": "new"}
        body = urlencode(form if page == "request" else {"address": form["address"]}).encode()
        browser = site.browser()
        began = time.perf_counter()
        answer = browser.post("/request-access" if page == "request" else "/", body)
        found[domain].append(time.perf_counter() - began)
        assert answer.status == 303
    return found["acme.test"], found["never.test"]


def seat_many(site: Site) -> None:
    """Gives each of NAMES a seat of Acme."""
    with transaction(site.engine) as session:
        session.connection().execute(sa.update(CUSTOMER).where(CUSTOMER.c.id == site.acme).values(seats=1000))
        for name in NAMES:
            contact = add_contact(session, f"{name}@acme.test", site.clock(), customer=site.acme, name=name)
            give_seat(session, contact.id or 0, site.acme, site.clock())


def chance_that_alike(one: list[float], other: list[float]) -> float:
    """The two-sided p of Mann-Whitney's U by its normal approximation."""
    ranked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    ranks = sum(place for place, (_, whose) in enumerate(ranked, start=1) if whose == 0)
    n, m = len(one), len(other)
    u = ranks - n * (n + 1) / 2
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(abs(z) / math.sqrt(2))


def test_the_rank_test_bites() -> None:
    noise = random.Random(7)
    same = [noise.gauss(10, 1) for _ in range(200)], [noise.gauss(10, 1) for _ in range(200)]
    slower = [noise.gauss(10, 1) for _ in range(200)], [noise.gauss(10.4, 1) for _ in range(200)]
    assert chance_that_alike(*same) > 0.05
    assert chance_that_alike(*slower) < 0.01 and median(slower[1]) > median(slower[0])
