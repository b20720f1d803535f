"""Who sees and does what: nothing of another customer, nothing without a role (threats T31, T49, T51)."""

import re

import pytest
import sqlalchemy as sa

from models.db.engine import transaction
from models.inbound.held import HELD
from models.people.agent import AGENT
from models.people.customer import SEAT, end_seat
from models.sessions.web_session import WEB_SESSION, hash_of
from tests.portal.site import Site
from values.vocabulary import HeldState, LinkPurpose

LUCIA, BO, ANA = "lucia@acme.test", "bo@bolt.test", "ana@nordvik.test"


def test_nothing_of_another_customer_is_seen_or_done(site: Site) -> None:
    """Two customers, every form of the people page, ids swapped: 404, and no row changes."""
    site.waiting("maria@acme.test", kind="in-place-of", in_place_of="Ben Ode", ends_on="2026-12-14")
    held = site.hold_mail(site.acme, "joe@acme.test", "Acme secret")
    bo, lucia = site.sign_in(BO), site.sign_in(LUCIA)
    form = {"customer": str(site.acme), "name": "P", "address": "p@acme.test", "ends_on": "2026-12-08"}
    lucia.post("/people/lend", form)
    page = bo.get("/people").body
    assert "Bolt" in page
    for theirs in ("Acme", "Lucía", "Ben", "Maria", "secret", "joe@"):
        assert theirs not in page
    before = site.snapshot()
    swapped = [
        ("/people/mail", {"held": held, "do": "release"}),
        ("/people/mail", {"held": held, "do": "decline"}),
        ("/people/request", {"request": "1", "do": "agree"}),
        ("/people/request", {"request": "1", "do": "refuse", "reason": "no"}),
        ("/people/request", {"request": "1", "do": "refuse"}),
        ("/people/take-back", {"customer": str(site.acme)}),
        ("/people/lend", {"customer": str(site.acme), "name": "x", "address": "x@bolt.test", "ends_on": "2026-12-08"}),
        ("/access-requests/1/approve", {}),
        ("/access-requests/1/refuse", {"reason": "no"}),
    ]
    unknown = bo.get("/nowhere").body
    for path, form in swapped:
        answer = bo.post(path, form)
        assert (answer.status, answer.body) == (404, unknown), path
    for path in ("/access-requests", "/access-requests/1", "/access-requests/2"):
        assert (bo.get(path).status, bo.get(path).body) == (404, unknown)
    assert site.snapshot() == before
    assert lucia.post("/people/mail", {"held": held, "do": "release"}).status == 303  # the owner may


@pytest.mark.parametrize("path", ["/people/mail", "/people/request", "/people/take-back", "/people/lend"])
def test_an_agent_and_a_stranger_are_no_superusers(site: Site, path: str) -> None:
    held = site.hold_mail(site.acme, "joe@acme.test")
    form = {"held": held, "do": "release", "request": "1", "customer": str(site.acme)}
    for browser in (site.sign_in(ANA), site.browser()):
        assert browser.post(path, form).status == 404
        assert browser.get("/people").to.partition("?")[0] == "/"
    assert site.scalar(sa.select(HELD.c.state)) is HeldState.HELD


def test_a_stranger_sees_no_desk(site: Site) -> None:
    site.waiting("maria@acme.test")
    stranger = site.browser()
    assert {stranger.get(path).to.partition("?")[0] for path in ("/access-requests", "/access-requests/1")} == {"/"}
    assert stranger.post("/access-requests/1/approve").status == 404
    assert site.states(site.acme) == ["active", "active"]


def test_who_rests_decides_nothing_about_colleagues(site: Site) -> None:
    held = site.hold_mail(site.acme, "joe@acme.test")
    lucia = site.sign_in(LUCIA)
    form = {"customer": str(site.acme), "name": "P", "address": "p@acme.test", "ends_on": "2026-12-08"}
    lucia.post("/people/lend", form)
    site.invite(1)
    code = site.code("p@acme.test", LinkPurpose.INVITATION)
    site.browser().post(site.link("p@acme.test", LinkPurpose.INVITATION), {"code": code})
    assert lucia.post("/people/mail", {"held": held, "do": "release"}).status == 404
    assert site.scalar(sa.select(HELD.c.release_by)) is None


def test_a_seat_that_ended_ends_what_its_holder_may_see_at_once(site: Site) -> None:
    """T31, T51: the stale superuser keeps a cookie that opens nothing, and gets no link."""
    lucia = site.sign_in(LUCIA)
    assert lucia.get("/people").status == 200
    site.browser().post("/", {"address": LUCIA})
    link, code = site.link(LUCIA, LinkPurpose.SIGN_IN), site.code(LUCIA, LinkPurpose.SIGN_IN)
    with transaction(site.engine) as session:
        end_seat(session, int(site.scalar(sa.select(sa.func.min(SEAT.c.id)))), site.clock())
    assert lucia.get("/people").to.partition("?")[0] == "/"
    assert lucia.get("/").status == 200 and "Lucía" not in lucia.get("/").body  # asked to sign in
    before = site.snapshot()
    assert lucia.post("/people/lend", {"customer": str(site.acme)}).to == "/?next=%2Fpeople"
    assert site.snapshot() == before
    late = site.browser()
    late.post(link, {"code": code})  # the link was mailed before: what it opens is empty
    assert late.get("/people").to.partition("?")[0] == "/" and "Lucía" not in late.get("/").body


def test_an_agent_who_left_is_out_at_once(site: Site) -> None:
    site.waiting("maria@acme.test")
    ana = site.sign_in(ANA)
    with site.engine.begin() as connection:
        connection.execute(sa.update(AGENT).values(active=False))
    assert ana.get("/access-requests").to.partition("?")[0] == "/"
    before = site.snapshot()
    assert ana.post("/access-requests/1/approve").to == "/?next=%2Faccess-requests"
    assert site.snapshot() == before


def test_the_cookie_is_new_at_sign_in_and_the_old_one_is_worth_nothing(site: Site) -> None:
    browser = site.browser()
    browser.cookies["postdesk"] = "chosen-by-somebody-else"
    site.sign_in(LUCIA, browser)
    first = browser.cookies["postdesk"]
    assert first != "chosen-by-somebody-else"
    site.sign_in(LUCIA, browser)
    second = browser.cookies["postdesk"]
    assert second != first
    thief = site.browser()
    thief.cookies["postdesk"] = first
    assert thief.get("/people").to.partition("?")[0] == "/"
    assert browser.get("/people").status == 200
    assert site.sessions() == 1


def test_signing_out_ends_the_session_on_our_side(site: Site) -> None:
    browser = site.sign_in(LUCIA)
    kept = browser.cookies["postdesk"]
    assert browser.post("/sign-out").to == "/" and "postdesk" not in browser.cookies
    browser.cookies["postdesk"] = kept
    assert browser.get("/people").to.partition("?")[0] == "/" and site.sessions() == 0


def test_a_session_ends_after_twelve_hours(site: Site) -> None:
    browser = site.sign_in(LUCIA)
    site.clock.move(hours=11, minutes=59)
    assert browser.get("/people").status == 200
    site.clock.move(minutes=1)
    assert browser.get("/people").to.partition("?")[0] == "/"


def test_the_value_of_a_cookie_lies_in_no_row(site: Site) -> None:
    browser = site.browser()
    answer = browser.post("/", {"address": LUCIA})
    assert re.search(
        r"postdesk-asked=\d+\.[\w-]{43}; HttpOnly; Max-Age=2592000; Path=/; SameSite=lax", answer.cookies[0]
    )
    answer = browser.post(site.link(LUCIA, LinkPurpose.SIGN_IN))
    assert re.search(r"postdesk=[\w-]{43}; HttpOnly; Max-Age=2635200; Path=/; SameSite=lax", answer.cookies[0])
    token = browser.cookies["postdesk"]
    rows = str(site.snapshot())
    assert token not in rows and browser.cookies["postdesk-asked"].partition(".")[2] not in rows
    assert site.scalar(sa.select(WEB_SESSION.c.token_hash)) == hash_of(token)


@pytest.mark.parametrize("value", ["", "x", "\x7f", "x" * 3000, "=;=", '"quoted"', "%00"])
def test_no_cookie_is_a_fault_of_ours(site: Site, value: str) -> None:
    browser = site.browser()
    for name in ("postdesk", "postdesk-asked", "postdesk-language"):
        browser.cookies[name] = value
    assert browser.get("/").status == 200
    assert browser.post("/", {"address": LUCIA}).status == 303
    assert browser.post("/auth/confirm", {"code": "ZZZZZZ"}).status == 422
