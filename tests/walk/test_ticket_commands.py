"""What a customer orders by mail with one word: over real SMTP with every role, and what a forger makes of it.

The desk of the first story believes whom SPF and DMARC of a DNS server on the loopback vouch for.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from models.tickets.ticket import ARTICLE, PARTICIPANT, TICKET
from notify.compose import Composed
from rules.tokens import mint_reply_address
from tests.desk import Sink, TestDesk, mail, wait_until
from tests.dns_server import DnsServer
from tests.walk.small_desk import SmallDesk, believing, letter, only
from values.vocabulary import ArticleKind, LedgerState, MailName, Reason, TicketStatus

LUCIA, MARIA, JON = "lucia@ibarra.test", "maria@ibarra.test", "jon@ibarra.test"
EVE, ANNA = "eve@evil.test", "anna@nordvik.test"
ZONE = {
    (f"{prefix}{domain}", "TXT"): text
    for domain in ("ibarra.test", "evil.test")
    for prefix, text in (("", "v=spf1 ip4:127.0.0.1 -all"), ("_dmarc.", "v=DMARC1; p=reject"))
}


class Story:
    """A running desk, what left it, and what its people write."""

    def __init__(self, desk: TestDesk, sink: Sink) -> None:
        self.desk, self.sink = desk, sink
        self._decided = 0

    def write(self, author: str, subject: str, text: str, **more: Any) -> dict[str, Any]:
        """Send a mail; its row of the ledger, waited for."""
        to, reverse_path = more.pop("to", "support@nordvik.test"), more.pop("reverse_path", None)
        ids = {"Date": format_datetime(datetime.now(UTC)), "Message_ID": make_msgid(domain="client.test")}
        return self.resend(mail(f"Person <{author}>", to, subject, text, **(ids | more)), reverse_path)

    def resend(self, message: EmailMessage, reverse_path: str | None = None) -> dict[str, Any]:
        self.last = message
        self.desk.send(message, reverse_path=reverse_path)
        self._decided += 1
        row: dict[str, Any] = wait_until(self._newest, "the decision")
        return row

    def _newest(self) -> dict[str, Any] | None:
        rows = self.desk.json("ledger", "list")
        return rows[0] if len(rows) == self._decided else None

    def reply(self, author: str, answered: EmailMessage, line: str, **more: Any) -> dict[str, Any]:
        """As a mail program answers: to Reply-To, a signature, what is answered quoted below."""
        quoted = "\n".join(f"> {one}" for one in text_of(answered).splitlines())
        text = f"{line}\n\n-- \nPerson\n\nOn Tue, 24 Nov 2026, Nordvik wrote:\n{quoted}\n"
        to = parseaddr(answered["Reply-To"] or answered["From"])[1]
        subject = f"Re: {answered['Subject']}"
        return self.write(author, subject, text, to=to, In_Reply_To=answered["Message-ID"], **more)

    def got(self, address: str, name: str, count: int) -> EmailMessage:
        """The `count`-th mail of this name to the address, waited for."""
        wait_until(lambda: len(self.all(address, name)) >= count, f"{name} {count} to {address}")
        return self.all(address, name)[count - 1]

    def all(self, address: str, name: str) -> list[EmailMessage]:
        return [one for one in self.sink.to(address) if one["X-Postdesk-Mail"] == name]

    def ticket(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.desk.json("ticket", "show", str(number))
        return found


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


@pytest.fixture
def story(tmp_path: Path, empty_database_url: str) -> Iterator[Story]:
    with Sink() as sink, DnsServer(ZONE) as dns:
        asked = {"authentication": "true", "nameservers": f"127.0.0.1:{dns.port}"}
        desk = TestDesk(tmp_path / "desk", empty_database_url, sink.url, **asked)
        desk.run("customer", "add", "Talleres Ibarra", "--domain", "ibarra.test", "--language", "es")
        desk.run("contact", "add", LUCIA, "--customer", "Talleres Ibarra", "--superuser")
        desk.run("contact", "add", JON, "--customer", "Talleres Ibarra")
        desk.run("agent", "add", ANNA, "--name", "Anna")
        with desk.running():
            yield Story(desk, sink)


def test_a_superuser_s_tickets_by_mail(story: Story) -> None:
    opened = story.write(LUCIA, "La exportación se detiene", "Se detiene en la línea 40.")
    number = opened["ticket"]
    acknowledgement = story.got(LUCIA, "acknowledgement", 1)
    assert "«ayuda»" in text_of(acknowledgement)

    # a colleague takes part
    assert story.reply(LUCIA, acknowledgement, f"cc {MARIA}")["state"] == "command-done"
    receipt = story.got(LUCIA, "ticket_command", 1)
    assert MARIA in text_of(receipt) and receipt["Auto-Submitted"] == "auto-replied"
    assert receipt["Reply-To"] == acknowledgement["Reply-To"] and receipt["To"] == LUCIA
    assert MARIA in [one["address"] for one in story.ticket(number)["participants"]]
    assert story.reply(LUCIA, receipt, f"cc {EVE}")["state"] == "command-done"
    assert EVE not in text_of(story.got(LUCIA, "ticket_command", 2))
    assert EVE not in [one["address"] for one in story.ticket(number)["participants"]]

    # closed, with the word on a phone
    closed = story.reply(LUCIA, receipt, "¡Resuelto!")
    close = story.last
    assert (closed["state"], closed["reason"], closed["matched_by"]) == ("command-done", "command", "reply-token")
    receipt = story.got(LUCIA, "ticket_command", 3)
    assert "reabrir" in text_of(receipt) and str(number) in text_of(receipt)
    assert story.ticket(number)["status"] == "closed"
    notice = story.got(ANNA, "agent_notice", 3)  # the ticket, the colleague, the word
    assert f"closed ticket {number}" in text_of(notice) and "> ¡Resuelto!" in text_of(notice)
    assert not story.all(MARIA, "ticket_command"), "the receipt is private"

    # tables
    story.write(LUCIA, "Estado", "estado")
    assert "ningún caso abierto" in text_of(story.got(LUCIA, "ticket_status", 1))
    assert story.reply(LUCIA, receipt, "Reabrir")["state"] == "command-done"
    assert story.ticket(number)["status"] == "open"
    story.desk.run("ticket", "reply", str(number), "--as", ANNA, input="¿Sigue?\n")
    story.write(JON, "Otra cosa", "No imprime.")  # waits for a superuser: no seat
    story.reply(LUCIA, story.got(LUCIA, "ticket_status", 1), "estado todos")
    table = story.got(LUCIA, "ticket_status", 2)
    (row,) = [line for line in text_of(table).splitlines() if line.startswith(str(number))]
    assert "La exportación" in row and "usted" in row
    page = table.get_body(("html",))
    assert page is not None and "<td" in page.get_content() and "usted" in page.get_content()
    assert story.write(JON, "status all", "status all")["state"] == "command-done"
    assert "superusuarios" in text_of(story.got(JON, "ticket_command", 1))

    # a slip of the pen
    slip = story.reply(LUCIA, acknowledgement, "/cerar")
    assert (slip["state"], slip["reason"]) == ("held", "unknown-command")
    assert "«cerrar»" in text_of(story.got(LUCIA, "ticket_command", 5))

    # what a forger makes of it
    sent = len(story.sink.taken)
    forged = story.reply(LUCIA, acknowledgement, "cerrar", reverse_path=EVE)
    assert (forged["state"], forged["reason"]) == ("held", "unbelieved")
    leaked = story.reply(EVE, acknowledgement, "cerrar")  # T18: the mail was forwarded to her, and she is believed
    assert (leaked["state"], leaked["reason"]) == ("held", "token-of-another")
    assert story.resend(close)["state"] == "duplicate", "T12"
    close["Content-Language"] = "es"
    close.set_payload("cerrar\n")
    assert story.resend(close)["reason"] == "unbelieved", "T12: the same Message-ID in other clothes"
    assert story.ticket(number)["status"] == "pending", "none of them closed it"

    articles = story.ticket(number)["articles"]
    assert [one["kind"] for one in articles] == ["inbound", "note", "note", "note", "outbound"]
    wait_until(lambda: {row["status"] for row in story.desk.json("outbox", "list")} == {"sent"}, "the last mark")
    assert len(story.sink.taken) == sent, "and nobody heard of it"


# --- threats, in one process, on both databases -------------------------------------------------------------------


@pytest.fixture
def desk(database: sa.Engine, tmp_path: Path) -> SmallDesk:
    made = SmallDesk(engine=database, folder=tmp_path)
    made.people("Acme", "su@acme.test", "boss@acme.test", domain="acme.test")
    made.people("Bolt", "su@bolt.test", domain="bolt.test")
    made.agent(ANNA)
    return made


def opened(desk: SmallDesk, author: str = "su@acme.test") -> tuple[int, str]:
    """A ticket, and its requester's reply address."""
    (id,) = desk.take(letter(author))
    number = desk.ledger(id)["ticket"]
    (who,) = only(desk.rows(PARTICIPANT), ticket=number, address=author)
    keys, support = desk.pipeline.keys, desk.policy.mailboxes[0].address
    return number, mint_reply_address(keys, support, number, who["id"], who["generation"])


def ordered(desk: SmallDesk, author: str, text: str, to: str, **fields: str) -> dict[str, Any]:
    (id,) = desk.take(letter(author, "Re: Export stops", text, To=to, **fields), to=to)
    return desk.ledger(id)


def status(desk: SmallDesk, number: int) -> TicketStatus:
    (row,) = only(desk.rows(TICKET), id=number)
    return TicketStatus(row["status"])


def named(left: list[Composed], name: MailName) -> list[str]:
    return [one.forward_path for one in left if f"X-Postdesk-Mail: {name}".encode() in one.message]


@pytest.mark.parametrize("text", ["close", "cc eva@acme.test", "status", "status all", "help", "/clsoe"])
def test_T01_a_forged_order_does_nothing_and_tells_the_true_owner_at_most_in_a_fixed_text(
    desk: SmallDesk, text: str
) -> None:
    number, to = opened(desk)
    desk.send()
    desk.believes = believing()
    row = ordered(desk, "su@acme.test", text, to, Message_ID="<zzqcanary@evil.test>", Reply_To=EVE)
    assert (row["state"], row["reason"]) == (LedgerState.HELD, Reason.UNBELIEVED)
    assert status(desk, number) is TicketStatus.NEW and len(only(desk.rows(ARTICLE), ticket=number)) == 1
    (told,) = desk.send()
    assert told.forward_path == "su@acme.test" and b"zzqcanary" not in told.message
    assert b"Export stops" not in told.message and str(number).encode() not in told.message.partition(b"\r\n\r\n")[2]
    assert {one["address"] for one in only(desk.rows(PARTICIPANT), ticket=number)} == {"su@acme.test", ANNA}


def test_T01_a_forger_makes_us_write_five_mails_a_day_at_most(desk: SmallDesk) -> None:
    _, to = opened(desk)
    desk.send()
    desk.believes = believing()
    for n in range(12):
        ordered(desk, "su@acme.test", "close", to, Message_ID=f"<f{n}@evil.test>")
    assert len(desk.send()) <= desk.policy.acknowledgements_per_unproved_author_per_day


def test_T12_a_replayed_order_counts_once(desk: SmallDesk) -> None:
    number, to = opened(desk)
    assert ordered(desk, "su@acme.test", "close", to, Message_ID="<c@acme.test>")["state"] is LedgerState.COMMAND_DONE
    assert ordered(desk, "su@acme.test", "reopen", to, Message_ID="<r@acme.test>")["state"] is LedgerState.COMMAND_DONE
    desk.send()
    again = ordered(desk, "su@acme.test", "Close.", to, Message_ID="<c@acme.test>")  # no second copy by its words
    assert (again["state"], again["reason"]) == (LedgerState.HELD, Reason.UNBELIEVED)
    assert status(desk, number) is TicketStatus.OPEN and desk.send() == []


def test_T12_a_replayed_status_writes_no_second_mail(desk: SmallDesk) -> None:
    opened(desk)
    desk.send()
    for n in range(3):
        desk.take(letter("su@acme.test", "status", "status" + "." * n, Message_ID="<s@acme.test>"))
    assert len(named(desk.send(), MailName.TICKET_STATUS)) == 1


def test_T18_a_forwarded_reply_address_closes_nothing(desk: SmallDesk) -> None:
    number, to = opened(desk)
    for author in ("su@bolt.test", EVE, "joe@acme.test"):
        row = ordered(desk, author, "close", to, Message_ID=f"<x.{author}>")
        assert row["state"] is LedgerState.HELD, row["trace"]
    assert status(desk, number) is TicketStatus.NEW
    assert ordered(desk, "boss@acme.test", "close", to)["state"] is LedgerState.COMMAND_DONE, "holds a seat there"
    assert status(desk, number) is TicketStatus.CLOSED


def test_T17_a_guessed_number_closes_nothing(desk: SmallDesk) -> None:
    number, _ = opened(desk)
    for author in ("su@acme.test", "su@bolt.test", EVE):
        desk.take(letter(author, f"Re: [PD-{number}] Export stops", "close"))
    assert status(desk, number) is TicketStatus.NEW


def test_T26_a_person_who_orders_and_writes_is_no_loop(desk: SmallDesk) -> None:
    """Acknowledgement, two receipts: a fourth automatic mail on the ticket in a day would pause it."""
    number, to = opened(desk)
    for n, text in enumerate(("close", "reopen", "close", "reopen", "status", "help")):
        row = ordered(desk, "su@acme.test", text, to, Message_ID=f"<n{n}@acme.test>")
        assert row["state"] is LedgerState.COMMAND_DONE, row["trace"]
        desk.wait(timedelta(minutes=5))
    row = ordered(desk, "su@acme.test", "It stops again.", to, Message_ID="<text@acme.test>")
    assert (row["state"], row["reason"]) == (LedgerState.ARTICLE_ADDED, Reason.PARTICIPANT)
    (ticket,) = only(desk.rows(TICKET), id=number)
    assert not ticket["paused"]
    left = desk.send()
    assert len(named(left, MailName.TICKET_COMMAND)) == 5 and len(named(left, MailName.TICKET_STATUS)) == 1
    kinds = [row["kind"] for row in only(desk.rows(ARTICLE), ticket=number)]
    assert kinds == [ArticleKind.INBOUND, *[ArticleKind.NOTE] * 4, ArticleKind.INBOUND]


def test_T19_who_was_let_in_gets_the_next_answer_and_nothing_of_before(desk: SmallDesk) -> None:
    number, to = opened(desk)
    ordered(desk, "su@acme.test", "cc eva@acme.test", to)
    left = desk.send()
    assert not [one for one in left if one.forward_path == "eva@acme.test"]
    people = {row["address"]: str(row["role"]) for row in only(desk.rows(PARTICIPANT), ticket=number)}
    assert people["eva@acme.test"] == "cc"
