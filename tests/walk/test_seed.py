"""The seed's three stories from outside: mail in and out over SMTP, forms in a browser, days by `postdesk tick`.

A new superuser; a replacement for two weeks and back; a third seat that is refused until the agreement is changed. The
desk is `postdesk run` with every role; whom it believes follows from SPF and DMARC of a DNS server on the loopback. In
Chromium where it is installed; the same stories go by plain HTTP too.
"""

import re
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import lxml.html
import pytest
import sqlalchemy as sa

from models.db.engine import make_engine, reading
from models.desk.audit import AUDIT, find_break
from tests.desk import Sink, TestDesk, mail, wait_until
from tests.dns_server import DnsServer
from tests.portal.site import Browser

CHROMIUM = shutil.which("chromium")
IBARRA = "Talleres Ibarra"
LUCIA, MARIA, TOMAS = "lucia@ibarra.test", "maria@ibarra.test", "tomas@ibarra.test"
ANNA, SALES = "anna@nordvik.test", "sales@nordvik.test"
NAMES = {LUCIA: "Lucía Ibarra", MARIA: "María Sanz", TOMAS: "Tomás Gil", ANNA: "Anna Berg", SALES: "Sam Lind"}
SEND, PROVE, ACCEPT, LEND = "Enviar la solicitud", "Sí, es mi solicitud", "Aceptar la invitación", "Prestar mi plaza"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
ZONE = {
    (f"{prefix}{domain}", "TXT"): text
    for domain in ("ibarra.test", "nordvik.test")
    for prefix, text in (("", "v=spf1 ip4:127.0.0.1 -all"), ("_dmarc.", "v=DMARC1; p=reject"))
}


# --- who looks at pages -------------------------------------------------------------------------------------------


class Visitor(Protocol):
    """A person at a browser of his own."""

    def open(self, url: str) -> None: ...

    def submit(self, button: str, **fields: str) -> None:
        """Fill in the form with this button, in this order, and press it."""
        ...

    def text(self) -> str: ...


class InChromium:
    def __init__(self, browser: Any, language: str) -> None:
        self._page = browser.new_context(locale=language).new_page()

    def open(self, url: str) -> None:
        self._page.goto(url)

    def submit(self, button: str, **fields: str) -> None:
        for summary in self._page.locator("main details:not([open]) > summary").all():
            summary.click()
        form = self._page.locator("main form").filter(has=self._page.locator(f"button:text-is('{button}')"))
        for name, value in fields.items():
            field = form.locator(f"[name={name}]")
            if field.first.get_attribute("type") == "radio":
                form.locator(f"[name={name}][value={value}]").check()
            else:
                field.fill(value)
        with self._page.expect_navigation():
            form.locator("button").click()

    def text(self) -> str:
        return str(self._page.inner_text("main"))


class ByHttp:
    def __init__(self, port: int, language: str) -> None:
        self._browser = Browser("127.0.0.1", port, {"Accept-Language": language})
        self._body = ""

    def open(self, url: str) -> None:
        answer = self._browser.get(urlsplit(url).path)
        while answer.status == 303:
            answer = self._browser.get(answer.to)
        assert answer.status == 200, answer.body
        self._body = answer.body

    def submit(self, button: str, **fields: str) -> None:
        forms = lxml.html.fromstring(self._body).forms
        ((form, pressed),) = (
            (form, one) for form in forms for one in form.iter("button") if one.text_content().strip() == button
        )
        values = dict(form.form_values()) | fields
        if pressed.get("name"):
            values[pressed.get("name")] = pressed.get("value")
        answer = self._browser.post(form.get("action"), values)
        if answer.status == 303:
            return self.open(answer.to)
        assert answer.status == 200, answer.body
        self._body = answer.body

    def text(self) -> str:
        return str(lxml.html.fromstring(self._body).find(".//main").text_content())


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: see tests/system-packages; the forms of the stories go by plain HTTP")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.long])])
def database_kind(request: pytest.FixtureRequest) -> str:
    """As in tests/conftest.py; a whole desk for each story on the second database takes a minute more."""
    return str(request.param)


# Plain HTTP is what `make test` has where there is no Chromium.
@pytest.fixture(
    params=[
        pytest.param("chromium", marks=pytest.mark.browser),
        pytest.param("http", marks=[pytest.mark.long] if CHROMIUM else []),
    ]
)
def visitors(request: pytest.FixtureRequest) -> Callable[[int, str], Visitor]:
    """A new person's browser, by the portal's port and the person's language."""
    if request.param == "http":
        return ByHttp
    browser = request.getfixturevalue("chromium")
    return lambda port, language: InChromium(browser, language)


# --- the desk -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """A running desk, what left it, and what its people do."""

    desk: TestDesk
    sink: Sink
    database: str
    visitors: Callable[[int, str], Visitor]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.desk.http_port}"

    def person(self, language: str = "es") -> Visitor:
        return self.visitors(self.desk.http_port, language)

    # -- mail

    def got(self, address: str, name: str, count: int = 1) -> EmailMessage:
        """The `count`-th mail of this name to the address, waited for."""

        def found() -> list[EmailMessage]:
            return [one for one in self.sink.to(address) if one["X-Postdesk-Mail"] == name]

        wait_until(lambda: len(found()) >= count, f"{name} {count} to {address}, of {self.sent()}")
        return found()[count - 1]

    def sent(self) -> list[tuple[str, str]]:
        return [(path, str(message["X-Postdesk-Mail"])) for _, path, message in self.sink.taken]

    def write(self, author: str, to: str, subject: str, text: str, **fields: str) -> None:
        sender = f"{NAMES[author]} <{author}>"
        ids = {"Date": format_datetime(datetime.now(UTC)), "Message_ID": make_msgid(domain="client.test")}
        self.desk.send(mail(sender, to, subject, text, **ids, **fields))

    def reply(self, author: str, answered: EmailMessage, line: str) -> None:
        """As a mail program answers: to Reply-To, what is answered quoted below."""
        quoted = "\n".join(f"> {one}" for one in text_of(answered).splitlines())
        text = f"{line}\n\n-- \n{NAMES[author]}\n\nOn Tue, 24 Nov 2026, Nordvik wrote:\n{quoted}\n"
        to = parseaddr(answered["Reply-To"])[1]
        self.write(author, to, f"Re: {answered['Subject']}", text, In_Reply_To=answered["Message-ID"])

    # -- pages

    def asks(self, address: str, count: int = 1, **more: str) -> Visitor:
        """Fills in the form, opens the mailed link in the same browser and says that the request is his."""
        person = self.person()
        person.open(f"{self.url}/request-access")
        fields = {"name": NAMES[address], "address": address, "company": IBARRA, "phone": "+34 600 100 200"}
        person.submit(SEND, **fields, **more)
        person.open(link_of(self.got(address, "access_proof", count))[0])
        assert NAMES[address] in person.text()
        person.submit(PROVE)
        return person

    def accepts(self, address: str, count: int = 1) -> Visitor:
        """Opens the invitation elsewhere, on a phone say, so the mailed code is asked for."""
        link, code = link_of(self.got(address, "invitation", count))
        person = self.person()
        person.open(link)
        person.submit(ACCEPT, code=code)
        return person

    def signs_in(self, address: str, language: str, ask: str, enter: str) -> Visitor:
        person = self.person(language)
        person.open(self.url)
        person.submit(ask, address=address)
        person.submit(enter, code=link_of(self.got(address, "sign_in"))[1])
        return person

    # -- what the command line says

    def tick(self, by: str) -> None:
        self.desk.run("tick", by)

    def seats(self) -> dict[str, str]:
        return {row["holder"]: row["state"] for row in self.desk.json("seat", "list")}

    def requests(self) -> list[str]:
        return [row["state"] for row in sorted(self.desk.json("access", "list", "--all"), key=lambda row: row["id"])]

    def ledger(self, state: str, count: int = 1) -> None:
        states = lambda: self.desk.json("ledger", "count")["states"]  # noqa: E731
        wait_until(lambda: states().get(state, 0) >= count, f"{state} in {states()}")

    def audit(self) -> list[tuple[str, str, str]]:
        """(who, what, the way) of each row; the chain is whole."""
        engine = make_engine(self.database)
        with reading(engine) as session:
            assert find_break(session) is None
            rows = session.connection().execute(sa.select(AUDIT).order_by(AUDIT.c.id)).all()
        engine.dispose()
        return [(row.who, row.what, row.via.partition(":")[0]) for row in rows]


@pytest.fixture
def story(tmp_path: Path, empty_database_url: str, visitors: Callable[[int, str], Visitor]) -> Iterator[Story]:
    with Sink() as sink, DnsServer(ZONE) as dns:
        asked = {"authentication": "true", "nameservers": f"127.0.0.1:{dns.port}"}
        desk = TestDesk(tmp_path / "desk", empty_database_url, sink.url, **asked)
        zone = ("--zone", "Europe/Madrid")
        desk.run("customer", "add", IBARRA, "--domain", "ibarra.test", "--language", "es", *zone)
        desk.run("contact", "add", LUCIA, "--customer", IBARRA, "--name", NAMES[LUCIA], "--superuser")
        desk.run("agent", "add", ANNA, "--name", NAMES[ANNA])
        desk.run("agent", "add", SALES, "--name", NAMES[SALES])
        desk.run("customer", "change", IBARRA, "--manager", SALES)
        with desk.running():
            told = Story(desk, sink, empty_database_url, visitors)
            wait_until(lambda: is_open(told.url), "the portal")
            yield told


def is_open(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def link_of(message: EmailMessage) -> tuple[str, str]:
    """Link and code of a mail."""
    found = re.search(r"(http://\S+)\s+([2-9A-Z]{6})\s", text_of(message))
    assert found, text_of(message)
    return found[1], found[2]


def day_in_madrid(ahead: int) -> str:
    return (datetime.now(ZoneInfo("Europe/Madrid")).date() + timedelta(days=ahead)).isoformat()


# --- the stories --------------------------------------------------------------------------------------------------


def test_a_new_superuser_has_the_invitation_within_24_hours(story: Story) -> None:
    page = story.asks(MARIA)
    assert "24" in page.text() and story.requests() == ["waiting"]
    notice = story.got(ANNA, "access_desk_notice")
    assert "María Sanz" in text_of(notice) and MARIA in text_of(notice)

    story.tick("20h")
    assert story.got(ANNA, "access_late") and story.got(SALES, "access_late")
    story.reply(ANNA, notice, "approve")
    assert "approved" in text_of(story.got(ANNA, "command_answer"))
    story.tick("1m")
    assert "late: 0" in story.desk.run("access", "list") and story.requests() == ["invited"]
    assert story.seats() == {LUCIA: "active", MARIA: "reserved"}

    people = story.accepts(MARIA).text()
    assert "María Sanz" in people and "Lucía Ibarra" in people
    assert story.seats() == {LUCIA: "active", MARIA: "active"} and story.requests() == ["accepted"]
    for address in (LUCIA, MARIA):
        assert story.got(address, "seat_changed")["Content-Language"] == "es"

    story.write(MARIA, "support@nordvik.test", "No imprime", "Desde ayer no imprime.")
    assert story.got(MARIA, "acknowledgement")
    (ticket,) = story.desk.json("ticket", "list")
    assert ticket["customer"] == IBARRA
    assert story.sent().count((MARIA, "invitation")) == 1
    told = story.audit()
    assert {(who, way) for who, _, way in told} >= {(MARIA, "form"), (MARIA, "link"), (ANNA, "mail"), ("desk", "job")}


def test_a_replacement_for_two_weeks_and_back(story: Story) -> None:
    story.write(LUCIA, "support@nordvik.test", "La exportación se detiene", "Se detiene en la línea 40.")
    story.got(LUCIA, "acknowledgement")
    first, last = day_in_madrid(2), day_in_madrid(15)
    story.asks(MARIA, kind="in-place-of", in_place_of=NAMES[LUCIA], starts_on=first, ends_on=last)
    story.reply(LUCIA, story.got(LUCIA, "access_agree"), "Aprobar")
    story.got(LUCIA, "command_answer")
    (request,) = story.desk.json("access", "list")
    assert (request["state"], request["kind"]) == ("waiting", "in-place-of")

    agent = story.signs_in(ANNA, "en", "Mail me a link", "Sign in")
    agent.open(f"{story.url}/access-requests/{request['id']}")
    assert LUCIA in agent.text(), "the desk shows who agreed"
    agent.submit("Approve")
    story.tick("1m")
    story.accepts(MARIA)
    assert story.seats() == {LUCIA: "active", MARIA: "planned"}

    story.tick("2d")
    assert story.seats() == {LUCIA: "resting", MARIA: "active"}
    (ticket,) = story.desk.json("ticket", "list")
    answer = ("ticket", "reply", str(ticket["number"]), "--as", ANNA)
    story.desk.run(*answer, input="¿Qué dice el registro?")
    assert "registro" in text_of(story.got(MARIA, "agent_reply")), "open tickets are the stand-in's"
    story.got(LUCIA, "agent_reply")  # the regular reads on
    story.got(LUCIA, "seat_changed", 2), story.got(MARIA, "seat_changed", 2)
    story.tick("12d")
    assert story.seats() == {LUCIA: "resting", MARIA: "active"}
    for address in (LUCIA, MARIA):
        reminder = story.got(address, "seat_returns_soon")
        (file,) = (part for part in reminder.walk() if part.get_content_type() == "text/calendar")
        assert f"DTSTART;VALUE=DATE:{day_in_madrid(16).replace('-', '')}" in file.get_content()
    story.tick("2d")
    assert story.seats() == {LUCIA: "active"}
    story.got(LUCIA, "seat_changed", 3), story.got(MARIA, "seat_changed", 3)
    story.desk.run(*answer, input="Prueba la versión nueva.")
    assert "versión nueva" in text_of(story.got(LUCIA, "agent_reply", 2)), "and the regular's alone again"
    story.write(MARIA, "support@nordvik.test", "Una cosa más", "¿Y ahora?")
    assert "¿Y ahora?" in text_of(story.got(LUCIA, "colleague_ask")), "a colleague without a seat again"
    assert story.sent().count((LUCIA, "seat_returns_soon")) == 1
    assert story.sent().count((MARIA, "agent_reply")) == 1
    told = story.audit()
    assert told.count(("desk", "tickets.pass", "job")) == 2
    assert {(who, way) for who, _, way in told} >= {(LUCIA, "mail"), (ANNA, "session"), (MARIA, "link")}


def test_the_regular_lends_the_seat_and_takes_it_back_by_the_form(story: Story) -> None:
    """The seed: who returns fills in the form again."""
    lucia = story.signs_in(LUCIA, "es", "Enviarme un enlace", "Iniciar sesión")
    lucia.open(f"{story.url}/people")
    lucia.submit(LEND, name=NAMES[MARIA], address=MARIA, ends_on=day_in_madrid(14))
    story.tick("1m")
    story.accepts(MARIA)
    assert story.seats() == {LUCIA: "resting", MARIA: "active"}
    story.tick("3d")
    story.asks(LUCIA, kind="in-place-of", in_place_of=NAMES[MARIA])
    assert story.seats() == {LUCIA: "active"}
    story.got(LUCIA, "seat_changed", 2), story.got(MARIA, "seat_changed", 2)


def test_a_third_seat_is_refused_until_the_agreement_is_changed(story: Story) -> None:
    story.desk.run("contact", "add", MARIA, "--customer", IBARRA, "--name", NAMES[MARIA], "--superuser")
    wish = f"Nombre: {NAMES[TOMAS]}\nEmpresa: {IBARRA}\nTeléfono: +34 600 300 400\nIdioma: español\n"
    story.write(TOMAS, "access@nordvik.test", "Solicitar acceso", wish)
    refused = text_of(story.got(TOMAS, "access_seats_taken"))
    assert "Lucía Ibarra" in refused and "María Sanz" in refused and SALES in refused
    assert story.requests() == ["refused"] and story.seats() == {LUCIA: "active", MARIA: "active"}

    agreed = ("--product", "Nordvik Export", "--from", day_in_madrid(-1), "--seats", "3", "--agreed", "--as", SALES)
    story.desk.run("contract", "add", "C-2031", "--customer", IBARRA, *agreed)
    assert "24" in story.asks(TOMAS).text()
    assert story.requests() == ["refused", "waiting"]
    (request,) = story.desk.json("access", "list")
    story.desk.run("access", "approve", str(request["id"]), "--as", ANNA)
    story.tick("1m")
    story.accepts(TOMAS)
    assert story.seats() == {LUCIA: "active", MARIA: "active", TOMAS: "active"}
    for address in (LUCIA, MARIA, TOMAS):
        story.got(address, "seat_changed")
    assert (SALES, "command") in {(who, way) for who, _, way in story.audit()}
