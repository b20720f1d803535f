"""Tickets in a real Chromium: three languages, no script at all, several files at once, a phone, dark and light."""

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from models.people.customer import CUSTOMER
from models.tickets.ticket import ATTACHMENT, TICKET
from tests.portal.site import Site
from tests.portal.test_browser import PHONE, chromium, look, pytestmark, small_targets
from values.vocabulary import ArticleKind, LinkPurpose, TicketStatus

__all__ = ["chromium", "pytestmark"]
from tests.portal.ticket_site import BEN, LUCIA, a_ticket, add

playwright = pytest.importorskip("playwright.sync_api")
WORDS = {
    "en": (
        "New ticket",
        "Open the ticket",
        "Send",
        "Solved: close the ticket",
        "All company tickets",
        "Please fill this in",
    ),
    "es": (
        "Caso nuevo",
        "Abrir el caso",
        "Enviar",
        "Resuelto: cerrar el caso",
        "Todos los casos de la empresa",
        "Rellene",
    ),
    "sv": ("Nytt ärende", "Öppna ärendet", "Skicka", "Löst: stäng ärendet", "Alla företagets ärenden", "Fyll i"),
}


@pytest.mark.parametrize("language", ["en", "es", "sv"])
def test_from_a_new_ticket_to_its_end(
    site: Site,
    chromium: "playwright.Browser",
    language: str,
    tmp_path: Path,
) -> None:
    new, opens, sends, closes, company, missing = WORDS[language]
    with site.engine.begin() as connection:
        connection.execute(sa.update(CUSTOMER).values(language=language))
        connection.execute(sa.text("UPDATE contact SET language = :l"), {"l": language})
    asked = a_ticket(site, "Error 12 when printing the pay slip of a person with a very long name",
                     product="Nordvik Payroll", at=site.clock() - timedelta(days=3))  # fmt: skip
    a_ticket(site, "Update to 7.3", by=BEN, status=TicketStatus.CLOSED)
    a_ticket(site, "Licence for the new office", by=BEN, product="Nordvik Payroll")
    add(site, asked, ArticleKind.OUTBOUND, "Hi Lucía,\n\nwhich printer driver do you use?\n\nAna")
    site.clock.move(days=2)
    page = chromium.new_context(
        locale=language, java_script_enabled=False, viewport={"width": 1100, "height": 800}
    ).new_page()
    page.set_default_timeout(10_000)
    site.browser().post("/", {"address": LUCIA})
    page.goto(f"{site.url}/")
    page.fill("#address", LUCIA)
    page.keyboard.press("Enter")
    page.wait_for_url("**/auth/sent")
    page.fill("#code", site.code(LUCIA, LinkPurpose.SIGN_IN))
    page.keyboard.press("Enter")
    page.wait_for_url("**/tickets")

    def shot(name: str) -> None:
        """The same page once more with scripts allowed: only then its width can be asked for."""
        second = chromium.new_context(locale=language, storage_state=page.context.storage_state()).new_page()
        second.set_viewport_size(page.viewport_size or PHONE)
        for scheme in ("light", "dark"):
            second.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            second.goto(page.url)
            look(second, f"{name}-{scheme}-{language}")
        assert not small_targets(second), name
        second.context.close()

    shot("tickets-mine")
    page.click(f"a:text-is('{company}')")
    page.wait_for_url("**view=company")
    shot("tickets-company")
    page.click(f"a:text-is('{new}')")
    page.click(f"button:text-is('{opens}')")
    assert missing in page.inner_text("main") and page.get_attribute("#subject", "aria-invalid") == "true"
    look_at = page.inner_text("h1")
    assert look_at == new
    page.fill("#subject", "La exportación se detiene")
    page.fill("#text", "Since Monday it stops at line 40.\n\nThe picture shows it.")
    page.fill("#product", "Nordvik Payroll")
    picture, log = tmp_path / "captura.png", tmp_path / "export.log"
    page.screenshot(path=str(picture))
    log.write_text("line 40: stopped\n" * 9000)
    page.set_input_files("#files", [str(picture), str(log)])
    page.click(f"button:text-is('{opens}')")
    page.wait_for_url("**said=opened")
    assert site.count(ATTACHMENT) == 2
    shot("ticket-opened")
    with page.expect_download() as download:
        page.click("text=export.log")
    assert Path(download.value.path()).read_text() == log.read_text()
    page.fill("#text", "It also happens with the new driver.")
    page.click(f"button:text-is('{sends}')")
    page.wait_for_url("**said=sent")
    page.click(f"button:text-is('{closes}')")
    page.wait_for_url("**said=closed")
    assert site.scalar(sa.select(TICKET.c.status).order_by(TICKET.c.id.desc()).limit(1)) is TicketStatus.CLOSED
    page.goto(f"{site.url}/tickets/{asked}")
    shot("ticket")
    page.set_viewport_size(PHONE)
    shot("ticket-phone")
    for path, name in (
        ("/tickets", "tickets-phone"),
        ("/tickets/new", "ticket-new-phone"),
        ("/tickets?q=zzz", "none-phone"),
    ):
        page.goto(site.url + path)
        shot(name)


def test_pictures_are_shown_and_nothing_is_reported(site: Site, chromium: "playwright.Browser", tmp_path: Path) -> None:
    """A picture of a ticket is drawn, and neither CSP nor a type stands in its way."""
    context = chromium.new_context()
    lucia = site.sign_in(LUCIA)
    context.add_cookies([{"name": "postdesk", "value": lucia.cookies["postdesk"], "url": site.url}])
    page, faults = context.new_page(), []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.goto(f"{site.url}/tickets/new")
    page.screenshot(path=str(tmp_path / "a.png"))
    page.fill("#subject", "Picture")
    page.fill("#text", "See it.")
    page.set_input_files("#files", str(tmp_path / "a.png"))
    page.locator("main form button").click()
    page.wait_for_url("**said=opened")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.querySelector('.picture img').naturalWidth") > 100
    assert not faults
