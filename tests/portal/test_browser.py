"""The portal in a real Chromium: walked in three languages, by keyboard, on a phone; and a scanner that runs scripts.

Pictures go to the folder of POSTDESK_PICTURES, where it is set, for somebody to look at.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from models.people.agent import AGENT
from models.people.customer import CUSTOMER
from tests.portal.site import Site
from values.vocabulary import LinkPurpose

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: see tests/system-packages"),
]
PHONE = {"width": 360, "height": 740}
MARIA = "maria@acme.test"
WORDS = {
    "en": ("Send the request", "Yes, this is my request", "Approve", "Accept the invitation", "Lend my seat"),
    "es": ("Enviar la solicitud", "Sí, es mi solicitud", "Aprobar", "Aceptar la invitación", "Prestar mi plaza"),
    "sv": ("Skicka ansökan", "Ja, det är min ansökan", "Godkänn", "Acceptera inbjudan", "Låna ut min plats"),
}


@pytest.fixture(scope="module")
def chromium() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def look(page: "playwright.Page", name: str) -> None:
    """Keep a picture where somebody wants one, and see that nothing is wider than the window."""
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name} scrolls sideways"
    if folder := os.environ.get("POSTDESK_PICTURES"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def small_targets(page: "playwright.Page") -> list[str]:
    """WCAG 2.2, 2.5.8: what is pressed has 24 CSS pixels each way, but for links within a sentence."""
    return list(
        page.evaluate(
            """[...document.querySelectorAll('a, button, input, select, summary')].filter(one => {
                const box = one.getBoundingClientRect(), sentence = one.closest('p.aside, p.skip, h2')
                if (!box.width || one.type === 'hidden' || one.classList.contains('skip') || sentence) return false
                const label = one.closest('label'), area = label ? label.getBoundingClientRect() : box
                return area.width < 24 || area.height < 24
            }).map(one => one.outerHTML.slice(0, 80))"""
        )
    )


@pytest.mark.parametrize("language", ["en", "es", "sv"])
def test_from_the_request_to_the_people_page(site: Site, chromium: "playwright.Browser", language: str) -> None:
    send, prove, approve, accept, lend = WORDS[language]
    with site.engine.begin() as connection:
        connection.execute(sa.update(AGENT).values(language=language))
        connection.execute(sa.update(CUSTOMER).values(language=language))
    site.waiting("olle@elsewhere.test", name="Olle Ask", company="Acme Nord")
    site.clock.move(hours=21)
    person = chromium.new_context(locale=language, viewport={"width": 1100, "height": 800}).new_page()
    faults: list[str] = []
    person.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)

    person.goto(f"{site.url}/request-access")
    assert person.evaluate("document.documentElement.lang") == language
    look(person, f"request-{language}")
    person.click(f"button:text-is('{send}')")
    look(person, f"request-wrong-{language}")
    person.fill("#name", "Maria Gil")
    person.fill("#address", MARIA)
    person.fill("#company", "Acme")
    assert not person.is_visible("#ends_on")
    person.check("#in-place-of")
    person.fill("#in_place_of", "Ben Ode")
    person.fill("#ends_on", "2026-12-08")
    look(person, f"request-filled-{language}")
    person.check("input[value=new]")
    person.click(f"button:text-is('{send}')")
    look(person, f"request-sent-{language}")
    person.goto(site.url + site.link(MARIA, LinkPurpose.PROOF))
    look(person, f"proof-{language}")
    person.click(f"button:text-is('{prove}')")
    look(person, f"proved-{language}")

    agent = chromium.new_context(locale="en", viewport={"width": 1100, "height": 800}, color_scheme="dark").new_page()
    agent.goto(site.url)
    look(agent, f"sign-in-{language}")
    agent.fill("#address", "ana@nordvik.test")
    agent.keyboard.press("Enter")
    agent.wait_for_url("**/auth/sent")
    look(agent, f"sign-in-sent-{language}")
    agent.fill("#code", site.code("ana@nordvik.test", LinkPurpose.SIGN_IN))
    agent.keyboard.press("Enter")
    agent.wait_for_url("**/access-requests")
    look(agent, f"desk-{language}")
    assert not small_targets(agent)
    agent.click("text=Maria Gil")
    look(agent, f"desk-one-{language}")
    agent.emulate_media(color_scheme="light")
    look(agent, f"desk-one-light-{language}")
    agent.click(f"button:text-is('{approve}')")
    agent.wait_for_url("**said=approved")
    look(agent, f"desk-approved-{language}")

    site.invite(2)
    person.goto(site.url + site.link(MARIA, LinkPurpose.INVITATION))
    look(person, f"invitation-{language}")
    person.fill("#code", site.code(MARIA, LinkPurpose.INVITATION))
    person.click(f"button:text-is('{accept}')")
    person.wait_for_url("**/people")
    site.hold_mail(site.acme, "joe@acme.test", "The export stops at line 40", "Hello,\nsince Monday the export stops.")
    person.goto(f"{site.url}/people")
    person.click(f"summary:has-text('{lend}')")
    look(person, f"people-{language}")
    assert not small_targets(person)
    person.set_viewport_size(PHONE)
    look(person, f"people-phone-{language}")
    person.emulate_media(color_scheme="dark")
    look(person, f"people-phone-dark-{language}")
    for path in ("/request-access", "/nowhere"):
        person.goto(site.url + path)
        look(person, f"phone{path.replace('/', '-')}-{language}")
        assert not small_targets(person)
    assert not [fault for fault in faults if "404" not in fault and "422" not in fault]  # no CSP report, no lost file


def test_a_scanner_that_runs_scripts_and_clicks_everything(site: Site, chromium: "playwright.Browser") -> None:
    """It opens the link, runs what scripts there are, presses every button with something in each field (T32)."""
    site.ask_access(MARIA)
    site.browser().post("/", {"address": "lucia@acme.test"})
    targets = ((MARIA, LinkPurpose.PROOF), ("lucia@acme.test", LinkPurpose.SIGN_IN))
    for address, purpose in targets:
        link = site.url + site.link(address, purpose)
        for _ in range(3):
            page = chromium.new_context().new_page()
            page.goto(link, wait_until="networkidle")
            page.evaluate(
                "for (const f of document.forms) for (const e of f.elements) if (e.type == 'text') e.value = 'scan'"
            )
            for button in range(page.locator("main button").count()):
                page.locator("main button").nth(button).click()
            page.evaluate("document.querySelector('main form')?.requestSubmit()")
            page.wait_for_load_state("networkidle")
            page.context.close()
        assert site.sessions() == 0
    for address, purpose in targets:
        answer = site.browser().post(site.link(address, purpose), {"code": site.code(address, purpose)})
        assert answer.status in (200, 303)
    assert site.sessions() == 1


def test_by_keyboard_alone(site: Site, chromium: "playwright.Browser") -> None:
    page = chromium.new_context(locale="en").new_page()
    page.goto(f"{site.url}/request-access")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top >= 0")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "name"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for text in ("Maria Gil", MARIA, "Acme", "", ""):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert page.is_visible("#in_place_of")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_url("**/request-access/sent")


def test_another_sites_form_does_nothing(site: Site, chromium: "playwright.Browser") -> None:
    """A page of another origin posts with the victim's cookies at hand: refused (T50)."""
    context = chromium.new_context()
    lucia = site.sign_in("lucia@acme.test")
    context.add_cookies([{"name": "postdesk", "value": lucia.cookies["postdesk"], "url": site.url}])
    page = context.new_page()
    page.goto(f"{site.url}/people")
    assert "Lucía" in page.content()
    page.goto("data:text/html,<form method=post action='" + site.url + "/sign-out'><button>x</button></form>")
    page.click("button")
    page.wait_for_load_state()
    assert page.title().startswith("This did not work")
    assert lucia.get("/people").status == 200
    page.goto(f"data:text/html,<iframe src='{site.url}/people'></iframe>")
    assert "Lucía" not in (page.frames[-1].content() if len(page.frames) > 1 else "")
