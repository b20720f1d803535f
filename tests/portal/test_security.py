"""Cross-origin requests, headers, Host, redirects, what people typed shown on pages (threats T34, T39, T50)."""

import re
import socket
from dataclasses import replace
from html import escape

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from models.access.request import ACCESS_REQUEST
from models.outbox.outbox import OUTBOX
from models.people.agent import AGENT
from models.people.customer import CONTACT, CUSTOMER
from portal.app import GET, POST
from portal.security import CSP, FORM_LIMIT
from tests.portal.site import Site, running, settle
from tests.portal.test_pages import every_page
from values.vocabulary import LinkPurpose

EVIL: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "", "Origin": "https://evil.test"},
    {"Sec-Fetch-Site": "", "Origin": "null"},
    {"Sec-Fetch-Site": "", "Origin": "https://evil.test", "Host": "evil.test"},  # rebound DNS: both are the attacker's
    {"Sec-Fetch-Site": ""},  # says nothing
    {"Sec-Fetch-Site": "", "Referer": "http://127.0.0.1/"},
]


@pytest.mark.parametrize("headers", EVIL)
def test_what_another_site_posts_reaches_no_page(site: Site, headers: dict[str, str]) -> None:
    number = site.waiting("maria@acme.test")
    held = site.hold_mail(site.acme, "joe@acme.test")
    ana, lucia = site.sign_in("ana@nordvik.test"), site.sign_in("lucia@acme.test")
    site.browser().post("/", {"address": "lucia@acme.test"})
    link, code = (make("lucia@acme.test", LinkPurpose.SIGN_IN) for make in (site.link, site.code))
    form = {
        "address": "x@acme.test", "name": "x", "company": "x", "code": code, "held": held, "do": "release",
        "reason": "x", "customer": str(site.acme), "request": str(number), "language": "sv", "ends_on": "2026-12-08",
    }  # fmt: skip
    before = site.snapshot()
    for path in POST:
        real = path.replace("{id}", str(number)).replace("{token:path}", link.rpartition("/")[2])
        for browser in (ana, lucia, site.browser()):
            answer = browser.post(real, form, **headers)
            assert (answer.status, answer.cookies) == (403, []), path
            assert "only from our own pages" in answer.body and answer.headers["content-security-policy"] == CSP
    assert site.snapshot() == before


def test_T57_who_hangs_up_within_a_form_writes_no_error_into_the_log(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    host, _, port = site.url.removeprefix("http://").partition(":")
    with capture_logs() as told, socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST / HTTP/1.1\r\nHost: x\r\nOrigin: {site.url}\r\nContent-Length: 100\r\n\r\naddress="
        connection.sendall(head.encode())
        assert site.browser().get("/").status == 200  # by now the form is being read
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(4096) == b"", "closed without a word"
        assert site.browser().get("/").status == 200  # by now its end is dealt with
    assert not told and not [record for record in caplog.records if record.levelname == "ERROR"]


def test_an_old_browser_is_known_by_its_origin(site: Site) -> None:
    answer = site.browser().post("/", {"address": "lucia@acme.test"}, **{"Sec-Fetch-Site": "", "Origin": site.url})
    assert answer.status == 303
    other_port = site.url.rpartition(":")[0] + ":1"
    assert site.browser().post("/", {}, **{"Sec-Fetch-Site": "", "Origin": other_port}).status == 403


def test_every_answer_has_the_headers(site: Site) -> None:
    browser = site.sign_in("lucia@acme.test")
    style = re.search(r"/static/style[^\"]+", browser.get("/people").body)
    assert style
    answers = [browser.get(path) for path in ("/", "/people", "/nowhere", "/access-requests", style[0])]
    answers += [browser.post("/people"), browser.post("/", b"x" * 20_000), browser.ask("POST", "/", {})]
    assert [answer.status for answer in answers] == [303, 200, 404, 404, 200, 405, 413, 403]
    for answer in answers:
        headers = answer.headers
        assert headers["content-security-policy"] == (
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
            "frame-ancestors 'none'; base-uri 'none'"
        )
        assert (headers["referrer-policy"], headers["x-content-type-options"]) == ("no-referrer", "nosniff")
        assert headers["x-frame-options"] == "DENY"
        assert "strict-transport-security" not in headers and "server" not in headers  # plain http on loopback
        assert "no-store" in headers["cache-control"] or "immutable" in headers["cache-control"]


def test_over_https_cookies_are_bound_to_the_host_and_the_browser_is_told_so(database: sa.Engine) -> None:
    with running(database, url="https://desk.nordvik.test/help") as site:
        settle(site)
        browser = site.browser()
        asked = browser.post("/", {"address": "lucia@acme.test"})
        assert asked.to == "/help/auth/sent"
        assert asked.headers["strict-transport-security"] == "max-age=31536000"
        confirmed = browser.post(site.link("lucia@acme.test", LinkPurpose.SIGN_IN))
        for line, name in ((asked.cookies[0], "__Host-postdesk-asked="), (confirmed.cookies[0], "__Host-postdesk=")):
            attributes = {part.strip().lower() for part in line.split(";")[1:]}
            assert line.startswith(name)
            assert {"secure", "httponly", "samesite=lax", "path=/"} <= attributes
            assert not any(one.startswith("domain") for one in attributes)
        assert 'href="/help/people"' in browser.get("/people").body


@pytest.mark.parametrize("host", ["evil.test", "evil.test:80", "127.0.0.1@evil.test", "", "[", "a b"])
def test_the_host_field_is_in_no_link_and_no_redirect(site: Site, host: str) -> None:
    lucia = site.sign_in("lucia@acme.test")
    for path in ("/", "/people", "/request-access", "/nowhere", "/people/"):
        answer = lucia.get(path, Host=host, X_Forwarded_Host="evil.test", Forwarded="host=evil.test")
        assert "evil" not in answer.body + str(answer.headers)
    answer = lucia.post("/", {"address": "ben@acme.test"}, Host=host)
    assert answer.status in (303, 400) and "evil" not in str(answer.headers)
    with site.engine.connect() as connection:
        assert "evil" not in str(connection.execute(sa.select(OUTBOX)).all())


@pytest.mark.parametrize(
    "back",
    ["//evil.test", "/\\evil.test", "%09//evil.test", "\t//evil.test", "https://evil.test", "/%2f/evil.test", "///x",
     "/x//evil.test", "/.evil.test/..", "javascript:alert(1)", "/people\r\nSet-Cookie: a=b", "/a?b=//evil", "evil", ""],
)  # fmt: skip
def test_a_redirect_leads_nowhere_but_here(site: Site, back: str) -> None:
    answer = site.browser().post("/language", {"language": "sv", "back": back})
    assert (answer.status, answer.to) == (303, "/")
    assert site.browser().post("/language", {"language": "sv", "back": "/auth/sent"}).to == "/auth/sent"


CANARY = "<b data-canary>\"'&{{7*7}}</b>"


def test_nothing_that_people_wrote_becomes_markup(site: Site) -> None:
    """A canary in every text field of every row that a page shows; every page is looked at (T39)."""
    pages = every_page(site)
    with site.engine.begin() as connection:
        for table, names in (
            (
                ACCESS_REQUEST,
                ("name", "company", "phone", "in_place_of", "language", "reason", "decided_by", "agreed_by"),
            ),
            (CONTACT, ("name",)),
            (CUSTOMER, ("name",)),
            (AGENT, ("name",)),
        ):
            for row in connection.execute(sa.select(table.c.id)).scalars().all():
                changed = dict.fromkeys(names, f"{CANARY}{row}")
                connection.execute(sa.update(table).where(table.c.id == row).values(**changed))
        connection.execute(sa.update(ACCESS_REQUEST).values(evidence=[CANARY]))
    site.hold_mail(site.acme, 'x"><b data-canary>@acme.test', CANARY, CANARY)
    seen = 0
    for browser, path in pages:
        body = browser.get(path).body
        assert "data-canary>" not in body, path
        assert "49" not in re.findall(r"\D(49)\D", body)
        seen += escape(CANARY, quote=False)[:20].replace("<", "&lt;") in body
    assert seen >= 6
    typed = {"name": CANARY, "address": CANARY, "company": CANARY, "phone": CANARY, "kind": "in-place-of"}
    for answer in (site.browser().post("/request-access", typed), site.browser().post("/", {"address": CANARY})):
        assert answer.status == 422 and "data-canary>" not in answer.body and "data-canary" in answer.body


@pytest.mark.parametrize(
    "body",
    [b"", b"=", b"&&&", b"address=%00", b"address=%ff%fe", b"address=" + b"a" * 9000, b"\x00\xff", b"a=1&a=2" * 20,
     b"&".join(b"f%d=1" % n for n in range(200)), b"address=a%0d%0aBcc:x@evil.test",
     "address=lucía@acmé.test".encode()],
)  # fmt: skip
def test_no_form_is_a_fault_of_ours(site: Site, body: bytes) -> None:
    browser = site.sign_in("lucia@acme.test")
    for path in POST:
        real = path.replace("{id}", "%00").replace("{token:path}", "%00")
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json", ""):
            answer = site.browser().post(real, body, Content_Type=kind)
            assert answer.status in (200, 303, 403, 404, 413, 422), (path, kind, answer.status)
    for held in ("\0", "x" * 500, "ñ\ud83d"):
        form = {"held": held.encode("utf-8", "replace").decode(), "do": "release"}
        assert browser.post("/people/mail", form).status == 404
    for number in ("0", "-1", "99999999999999999999", "1e3", "٣", "\0"):
        assert browser.post("/people/request", {"request": number, "do": "agree"}).status == 404
        assert browser.post("/people/take-back", {"customer": number}).status == 404


def test_a_form_has_a_size(site: Site) -> None:
    assert site.browser().post("/request-access", b"name=" + b"a" * FORM_LIMIT).status == 413
    assert site.browser().post("/request-access", b"name=" + b"a" * (FORM_LIMIT - 10)).status == 422


def test_a_database_that_is_away_is_told_and_nothing_else(site: Site) -> None:
    lucia = site.sign_in("lucia@acme.test")
    broken = sa.create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    object.__setattr__(site.parts, "engine", broken)
    answer = lucia.get("/people")
    assert answer.status == 503 and "Nothing was changed" in answer.body
    assert "psycopg" not in answer.body and "127.0.0.1:1" not in answer.body
    assert answer.headers["content-security-policy"] == CSP


def test_every_route_is_either_looked_at_or_posted_to(site: Site) -> None:
    browser = site.browser()
    for path in set(POST) - set(GET):
        assert browser.get(path.replace("{id}", "1").replace("{token:path}", "x")).status == 405
    for path in set(GET) - set(POST):
        assert browser.post(path.replace("{id}", "1").replace("{name}", "x")).status == 405


def test_the_client_is_whom_a_known_proxy_names(database: sa.Engine) -> None:
    from models.sessions.rate_limit import RATE_LIMIT

    def counted(site: Site) -> set[str]:
        with site.engine.connect() as connection:
            return {key for key in connection.execute(sa.select(RATE_LIMIT.c.key)).scalars() if key.startswith("ask:")}

    with running(database, proxies=("127.0.0.1",)) as site:
        settle(site)
        for forwarded in ("192.0.2.7", "evil, 192.0.2.7", "2001:db8:1:2:3::9", "2001:db8:1:2::1"):
            site.browser().post("/", {"address": "x@acme.test"}, X_Forwarded_For=forwarded)
        assert counted(site) == {"ask:192.0.2.7", "ask:2001:db8:1:2::/64"}
    with running(database, policy=replace(site.parts.policy)) as alone:
        alone.browser().post("/", {"address": "x@acme.test"}, X_Forwarded_For="198.51.100.1")
        assert "ask:127.0.0.1" in counted(alone) and "ask:198.51.100.1" not in counted(alone)
