"""One-use links: looking changes nothing, wrong ones are all the same, a person alone uses one up (T32, T33)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from portal.app import GET, POST
from rules.links import PATHS
from tests.portal.site import Site
from tests.portal.ticket_site import a_ticket
from values.vocabulary import LinkPurpose

MARIA, LUCIA = "maria@acme.test", "lucia@acme.test"


def proof(site: Site) -> tuple[str, LinkPurpose]:
    site.ask_access(MARIA)
    return MARIA, LinkPurpose.PROOF


def invitation(site: Site) -> tuple[str, LinkPurpose]:
    number = site.waiting(MARIA)
    site.sign_in("ana@nordvik.test").post(f"/access-requests/{number}/approve")
    site.invite(number)
    return MARIA, LinkPurpose.INVITATION


def sign_in(site: Site) -> tuple[str, LinkPurpose]:
    site.browser().post("/", {"address": LUCIA})
    return LUCIA, LinkPurpose.SIGN_IN


MAKERS = [proof, invitation, sign_in]
Maker = Callable[[Site], tuple[str, LinkPurpose]]


@pytest.mark.parametrize("maker", MAKERS)
def test_looking_changes_no_row_whoever_looks_and_how_often(site: Site, maker: Maker) -> None:
    """RFC 9110 §9.2.1: 50 GET and HEAD of a scanner, and whatever else is called safe."""
    link = site.link(*maker(site))
    before = site.snapshot()
    for _ in range(50):
        assert site.browser().get(link).status == 200
        assert site.browser().ask("HEAD", link).status == 200
    for method in ("OPTIONS", "TRACE", "PUT", "PATCH", "DELETE"):
        assert site.browser().ask(method, link, None, Sec_Fetch_Site="same-origin").status == 405
    assert site.snapshot() == before
    assert is_alive(site, link)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_robot_that_presses_the_button_gets_nothing(site: Site, maker: Maker) -> None:
    address, purpose = maker(site)
    link, sessions = site.link(address, purpose), site.sessions()
    guesses = ("", "123456789", "test@example.test", "aaaa", " ", "yes", "Accept", "0000000", "on", "1")
    for code in guesses:
        answer = site.browser().post(link, {"code": code, "name": "x", "submit": "1"})
        assert answer.status == 422 and not any("postdesk=" in line for line in answer.cookies)
    assert site.sessions() == sessions
    person = site.browser().post(link, {"code": site.code(address, purpose)})
    assert person.status in (200, 303)


@pytest.mark.parametrize("maker", MAKERS)
def test_the_asking_browser_needs_no_code_and_another_one_does(site: Site, maker: Maker) -> None:
    address, purpose = maker(site)
    assert 'name="code"' in site.browser().get(site.link(address, purpose)).body
    if purpose is LinkPurpose.INVITATION:
        return  # a job asked for it
    asking = site.browser()
    if purpose is LinkPurpose.PROOF:
        site.ask_access(address, asking)
    else:
        asking.post("/", {"address": address})
    link = site.link(address, purpose)
    assert 'name="code"' not in asking.get(link).body
    assert site.browser().post(link).status == 422
    assert asking.post(link).status in (200, 303)


@pytest.mark.parametrize("maker", MAKERS)
def test_every_link_that_we_never_made_is_the_same_404(site: Site, maker: Maker) -> None:
    address, purpose = maker(site)
    path, good = PATHS[purpose], site.minted(address, purpose).token
    code = site.code(address, purpose)
    number, _, rest = good.partition("-")
    other = next(one for one in PATHS.values() if one != path)
    wrong = [
        "", " ", "null", "undefined", "0", "None", "%00", "../../etc", "1", f"{number}-", f"-{rest}", good[:-1],
        good + "a", good.upper(), f"0{good}", f"{int(number) + 1}-{rest}", f"999999999999-{rest}",
        f"{number}-b{rest[1:]}",
        good[:-1] + ("a" if good[-1] != "a" else "b"), "٣-" + rest, good + "/", good + "%20", "x" * 4000,
    ]  # fmt: skip
    unknown = site.browser().get("/nowhere").body
    browser = site.browser()
    for token in wrong:
        for answer in (browser.get(path + quoted(token)), browser.post(path + quoted(token), {"code": code})):
            assert (answer.status, answer.body) == (404, unknown), token
    for answer in (browser.get(other + good), browser.post(other + good, {"code": code})):  # another purpose
        assert (answer.status, answer.body) == (404, unknown)
    assert is_alive(site, path + good)
    assert browser.post(path + good, {"code": code}).status in (200, 303)
    for answer in (site.browser().get(path + good), site.browser().post(path + good, {"code": code})):  # used
        assert answer.status == 410 and "no longer valid" in answer.body


@pytest.mark.parametrize("maker", MAKERS)
def test_old_links_and_replaced_ones_are_void(site: Site, maker: Maker) -> None:
    address, purpose = maker(site)
    first = site.link(address, purpose)
    if purpose is LinkPurpose.SIGN_IN:
        site.browser().post("/", {"address": address})
    elif purpose is LinkPurpose.INVITATION:
        site.invite(1)
    else:
        site.ask_access(address)
    second, code = site.link(address, purpose), site.code(address, purpose)
    if purpose is not LinkPurpose.PROOF:  # two requests have a proof each
        answer = site.browser().post(first, {"code": code})
        assert answer.status == 410 and "A newer link took its place" in answer.body
    assert is_alive(site, second)
    site.clock.move(**({"minutes": 15} if purpose is LinkPurpose.SIGN_IN else {"hours": 72}))
    assert not is_alive(site, second)
    answer = site.browser().post(second, {"code": code})
    assert answer.status == 410 and "Its time is over" in answer.body


def test_five_wrong_codes_end_a_link(site: Site) -> None:
    address, purpose = sign_in(site)
    link, code = site.link(address, purpose), site.code(address, purpose)
    for _ in range(5):
        assert site.browser().post(link, {"code": "ZZZZZZ" if code != "ZZZZZZ" else "YYYYYY"}).status == 422
    answer = site.browser().post(link, {"code": code})
    assert answer.status == 410 and "too often" in answer.body and f'value="{address}"' in answer.body
    assert site.sessions() == 0


def test_five_wrong_codes_in_the_asking_browser_say_so_whoever_asked(site: Site) -> None:
    """The address that nobody signs in with is told the same (threat T28)."""
    said = []
    for address in (LUCIA, "nobody@acme.test"):
        asking = site.browser()
        asking.post("/", {"address": address})
        for _ in range(5):
            assert asking.post("/auth/confirm", {"code": "ZZZZZZ"}).status == 422
        answer = asking.post("/auth/confirm", {"code": site.code(address, LinkPurpose.SIGN_IN)})
        said.append((answer.status, answer.body.replace(address, "")))
    assert said[0] == said[1] and said[0][0] == 410


def test_who_is_signed_in_already_goes_home_with_a_used_link(site: Site) -> None:
    lucia = site.sign_in(LUCIA)
    link = site.link(LUCIA, LinkPurpose.SIGN_IN)
    assert lucia.get(link).to == "/tickets"
    assert site.sign_in("bo@bolt.test").get(link).status == 410


def test_a_page_that_was_asked_for_opens_after_signing_in(site: Site) -> None:
    browser = site.browser()
    wanted = browser.get("/tickets?status=all&q=printer").to
    assert wanted == "/?next=%2Ftickets%3Fstatus%3Dall%26q%3Dprinter"
    assert "Please sign in first" in browser.get(wanted).body
    browser.post("/", {"address": LUCIA, "next": "/tickets?status=all&q=printer"})
    assert browser.post(site.link(LUCIA, LinkPurpose.SIGN_IN)).to == "/tickets?status=all&q=printer"
    assert browser.get(wanted).to == "/tickets?status=all&q=printer"  # signed in already
    assert site.sign_in(LUCIA, browser).get("/").to == "/tickets", "it is forgotten then"


@pytest.mark.parametrize(
    "evil", ["//evil.test", "https://evil.test/", "/\\evil.test", "/a//b", "javascript:x", "/%0d%0aX:y"]
)
def test_T34_no_page_of_another_site_opens_after_signing_in(site: Site, evil: str) -> None:
    browser = site.browser()
    browser.post("/", {"address": LUCIA, "next": evil})
    browser.cookies["postdesk-next"] = quote(evil, safe="")
    assert browser.post(site.link(LUCIA, LinkPurpose.SIGN_IN)).to == "/tickets"
    assert browser.get(f"/?next={quote(evil, safe='')}").to == "/tickets"


def test_a_session_that_ended_says_so_and_leads_back(site: Site) -> None:
    lucia = site.sign_in(LUCIA)
    site.clock.move(days=400)
    back = lucia.get("/people").to
    assert back == "/?next=%2Fpeople" and "Your session has ended." in lucia.get(back).body
    assert lucia.post("/people/take-back", {"customer": str(site.acme)}).to == back  # a form too
    assert lucia.post("/tickets/7/close").to == "/?next=%2Ftickets%2F7"
    lucia.post("/sign-out")
    assert "Your session has ended." not in lucia.get("/").body


def test_the_code_alone_works_in_the_asking_browser_only(site: Site) -> None:
    asking = site.browser()
    asking.post("/", {"address": LUCIA})
    code = site.code(LUCIA, LinkPurpose.SIGN_IN)
    stranger = site.browser()
    stranger.cookies["postdesk-asked"] = "1." + "x" * 43  # guesses the number of the link
    for _ in range(10):
        assert stranger.post("/auth/confirm", {"code": code}).status == 422
    assert site.browser().post("/auth/confirm", {"code": code}).status == 422
    assert asking.post("/auth/confirm", {"code": "zzzzzz"}).status == 422
    assert asking.post("/auth/confirm", {"code": code}).to == "/tickets"


def test_a_link_for_an_address_that_nobody_signs_in_with_opens_nothing(site: Site) -> None:
    site.browser().post("/", {"address": "nobody@acme.test"})
    link = site.link("nobody@acme.test", LinkPurpose.SIGN_IN)
    code = site.code("nobody@acme.test", LinkPurpose.SIGN_IN)
    assert site.browser().post(link, {"code": code}).status == 404
    assert site.sessions() == 0


def test_two_posts_at_once_open_one_session(site: Site) -> None:
    site.browser().post("/", {"address": LUCIA})
    link, code = site.link(LUCIA, LinkPurpose.SIGN_IN), site.code(LUCIA, LinkPurpose.SIGN_IN)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: site.browser().post(link, {"code": code}).status, range(6)))
    assert sorted(answers) == [303, 410, 410, 410, 410, 410]
    assert site.sessions() == 1


def test_no_page_that_is_looked_at_writes(site: Site) -> None:
    """RFC 9110 §9.2.1 for every route of the portal, signed in or not, with HEAD and OPTIONS too."""
    number = site.waiting(MARIA)
    site.hold_mail(site.acme, "joe@acme.test")
    ticket = a_ticket(site)
    browsers = [site.browser(), site.sign_in("ana@nordvik.test"), site.sign_in(LUCIA)]
    before = site.snapshot()
    for path in {*GET, *POST}:
        real = path.replace("{id}", str(number)).replace("{token:path}", "x").replace("{name}", "x")
        real = real.replace("{number}", str(ticket)).replace("{what}", "close")
        for browser in browsers:
            for method in ("GET", "HEAD", "OPTIONS"):
                assert browser.ask(method, real).status in (200, 303, 404, 405)
    assert site.snapshot() == before


def is_alive(site: Site, link: str) -> bool:
    return site.browser().get(link).status == 200


def quoted(token: str) -> str:
    return quote(token, safe="%/")
