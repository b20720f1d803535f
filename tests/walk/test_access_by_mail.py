"""The seed's stories by mail alone: a new superuser, a replacement for two weeks and back, a third seat, a colleague.

Every mail is composed by the desk and answered as a mail program does (quote below), parsed, decided and recorded on
both databases. Only who is believed is told to the desk instead of proved (tests/ingest/test_sender_auth.py does that).
"""

import hashlib
import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest.mime.content import HashOnly
from ingest.mime.parse import parse
from ingest.pipeline import deliver_one
from models.access.facts import gather_access
from models.access.request import ACCESS_REQUEST, perform
from models.db.engine import transaction
from models.desk.audit import AUDIT, find_break
from models.inbound.held import HELD, wanted_releases
from models.outbox.outbox import claim_due, mark_sent
from models.people.agent import add_agent
from models.people.customer import CUSTOMER, SEAT, add_contact, add_customer, add_domain, give_seat
from models.sessions.link import find_link, use_link
from models.tickets.ticket import TICKET
from models.views.mails import find_mail_rows
from notify.access_jobs import run_access
from notify.compose import Composed, OutgoingMail, compose
from notify.mails import Letterhead, outgoing
from notify.render import Renderer
from rules.access import accept
from rules.links import Verdict, judge_redeeming, link_id
from rules.policy import OwnMailbox, Policy
from rules.tokens import Keys
from values.decision import Receipt
from values.mail import AuthEvidence, Envelope, SpooledMail
from values.vocabulary import (
    AgentNotices,
    AuthResult,
    Belief,
    HeldState,
    LedgerState,
    LinkPurpose,
    MailboxPurpose,
    SeatState,
    Source,
)

NOW = datetime(2026, 11, 24, 9, 12, tzinfo=UTC)
SUPPORT, ACCESS = "support@nordvik.test", "access@nordvik.test"
LUCIA, MARIA, TOMAS, ANNA, SALES = (
    *("lucia@ibarra.test", "maria@ibarra.test", "tomas@ibarra.test"),
    *("anna@nordvik.test", "sales@nordvik.test"),
)
KEYS = Keys(current="a", secrets={"a": bytes(range(32))})
POLICY = Policy(
    mailboxes=(
        OwnMailbox(address=SUPPORT, purpose=MailboxPurpose.SUPPORT),
        OwnMailbox(address=ACCESS, purpose=MailboxPurpose.ACCESS),
    ),
    return_path="bounce@nordvik.test",
    desk_domain="desk.nordvik.test",
    vendor_name="Nordvik Support",
)
LETTERHEAD = Letterhead(policy=POLICY, keys=KEYS, portal_url="https://desk.nordvik.test")
RENDERER = Renderer()
BELIEVED = AuthEvidence(
    dmarc=AuthResult.PASS, dmarc_policy="reject", belief=Belief.BELIEVED, dkim_domains=("ibarra.test",), direct=True
)


class Desk:
    """A desk at a moment, with one customer of two seats, one of which is held."""

    def __init__(self, engine: sa.Engine, folder: Path) -> None:
        self.engine, self.folder, self.now, self._count = engine, folder, NOW, itertools.count(1)
        self.sent: list[Composed] = []
        with transaction(engine) as session:
            made = add_customer(session, "Talleres Ibarra", NOW, language="es", zone="Europe/Madrid")
            self.customer = made.id or 0
            add_domain(session, self.customer, "ibarra.test")
            lucia = add_contact(session, LUCIA, NOW, customer=self.customer, name="Lucía Ibarra").id or 0
            give_seat(session, lucia, self.customer, NOW)
            add_agent(session, ANNA, "Anna Lind", NOW)
            made.account_manager = add_agent(session, SALES, "Sam", NOW, notices=AgentNotices.NONE).id
            session.add(made)

    def write(self, author: str, to: str, text: str, *, believed: bool = True, subject: str = "Acceso") -> Receipt:
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"], message["Subject"] = author, to, subject
        message["Date"] = format_datetime(self.now)
        message["Message-ID"] = f"<m{next(self._count)}@client.test>"
        message.set_content(text)
        return self.deliver(message.as_bytes(), author, to, believed)

    def deliver(self, raw: bytes, author: str, to: str, believed: bool = True) -> Receipt:
        number = next(self._count)
        path = self.folder / f"{number}.eml"
        path.write_bytes(raw)
        envelope = Envelope(reverse_path=author, forward_paths=(to,), source=Source.SMTP, received_at=self.now)
        digest = hashlib.sha256(raw).hexdigest()
        spooled = SpooledMail(id=f"{number:026}", path=path, offset=0, size=len(raw), sha256=digest, envelope=envelope)
        mail = parse(spooled, HashOnly())
        mail = replace(mail, auth=BELIEVED) if believed else mail
        with transaction(self.engine, snapshot=True) as session:
            receipt = deliver_one(mail, session, POLICY, KEYS, self.now)
        self.tick()
        return receipt

    def tick(self, by: timedelta = timedelta()) -> None:
        """The clock goes on; jobs run and mails leave."""
        self.now += by
        run_access(self.engine, POLICY, self.now)
        with transaction(self.engine) as session:
            for claimed in claim_due(session, "w", self.now + timedelta(minutes=1), limit=100):
                mail = outgoing(find_mail_rows(session, claimed, self.now), LETTERHEAD)
                assert isinstance(mail, OutgoingMail), mail
                composed = compose(mail, RENDERER)
                assert isinstance(composed, Composed), composed
                mark_sent(session, claimed, self.now, message_id=composed.message_id)
                self.sent.append(composed)

    def last(self, to: str, name: str) -> EmailMessage:
        for composed in reversed(self.sent):
            message = message_from_bytes(composed.message, policy=policy.default)
            if composed.forward_path == to and message["X-Postdesk-Mail"] == name:
                assert isinstance(message, EmailMessage)
                return message
        raise AssertionError(f"no {name} to {to}: {[(c.forward_path, c.message_id) for c in self.sent]}")

    def reply(self, author: str, name: str, line: str, *, by: str = "", believed: bool = True) -> Receipt:
        """`author` answers the last mail of this name that he got (or `by` sends that answer)."""
        message = self.last(author, name)
        to = message["Reply-To"] or message["From"].addresses[0].addr_spec
        quoted = "\n".join(f"> {line}" for line in text_of(message).splitlines())
        answer = EmailMessage(policy=SMTP)
        answer["From"], answer["To"], answer["Subject"] = by or author, to, f"Re: {message['Subject']}"
        answer["Date"] = format_datetime(self.now)
        answer["Message-ID"] = f"<r{next(self._count)}@client.test>"
        answer["In-Reply-To"] = answer["References"] = message["Message-ID"]
        answer.set_content(f"{line}\n\n-- \nAnna Lind\n\nOn Tue, Nov 24, 2026 at 10:12 AM Nordvik wrote:\n{quoted}\n")
        return self.deliver(answer.as_bytes(), by or author, to, believed)

    def enter_code(self, to: str, name: str = "invitation") -> None:
        """As the portal does when a person opens the link and enters the code of the mail."""
        text = text_of(self.last(to, name))
        found = re.search(r"https://desk\.nordvik\.test/invite/(\S+)\s+([2-9A-Z]{6})\s", text)
        assert found, text
        with transaction(self.engine, snapshot=True) as session:
            link = find_link(session, link_id(found[1]))
            assert link and link.id and link.request
            good = judge_redeeming(KEYS, found[1], LinkPurpose.INVITATION, link, self.now, code=found[2])
            assert good is Verdict.GOOD and use_link(session, link.id, self.now)
            ruling = accept(gather_access(session, self.now, request=link.request), self.now)
            perform(session, ruling.actions, ruling.notices, self.now, who=to, via="form")
        self.tick()

    def states(self) -> dict[str, SeatState]:
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(SEAT.c.contact, SEAT.c.state).order_by(SEAT.c.id))
            return {str(row.contact): row.state for row in rows}

    def requests(self) -> list[str]:
        with self.engine.connect() as connection:
            return [s.value for s in connection.execute(sa.select(ACCESS_REQUEST.c.state).order_by("id")).scalars()]


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


@pytest.fixture
def desk(database: sa.Engine, tmp_path: Path) -> Desk:
    return Desk(database, tmp_path)


NEW = "Nombre: María Sanz\nEmpresa: Talleres Ibarra\nTeléfono: +34 600\nIdioma: español\n"


def test_a_new_superuser(desk: Desk) -> None:
    asked = desk.write(f"María Sanz <{MARIA}>", ACCESS, NEW)
    assert asked.state is LedgerState.ACCESS_REQUESTED and desk.requests() == ["waiting"]
    assert "24" in text_of(desk.last(MARIA, "command_answer"))
    desk.tick(timedelta(hours=20))
    assert desk.last(ANNA, "access_late") and desk.last(SALES, "access_late")
    decided = desk.reply(ANNA, "access_desk_notice", "approve")
    assert decided.state is LedgerState.COMMAND_DONE and desk.requests() == ["invited"], "the job sent it at once"
    assert "approved" in text_of(desk.last(ANNA, "command_answer"))
    desk.enter_code(MARIA)
    assert desk.requests() == ["accepted"] and set(desk.states().values()) == {SeatState.ACTIVE}
    assert desk.last(LUCIA, "seat_changed") and desk.last(MARIA, "seat_changed")
    assert desk.write(MARIA, SUPPORT, "No imprime.").state is LedgerState.TICKET_OPENED
    again = desk.reply(ANNA, "access_desk_notice", "refuse too late")
    assert again.state is LedgerState.COMMAND_DONE
    assert "someone has already decided" in text_of(desk.last(ANNA, "command_answer"))
    with transaction(desk.engine) as session:
        assert find_break(session) is None
        vias = {via.partition(":")[0] for via in session.connection().execute(sa.select(AUDIT.c.via)).scalars()}
    assert vias == {"mail", "job", "form"}


def test_what_was_written_before_is_opened_with_the_access(desk: Desk) -> None:
    """domain.md 3.5: kept, and opened as soon as access is granted."""
    before = desk.write(MARIA, SUPPORT, "No imprime.")
    assert before.state is LedgerState.HELD
    desk.write(MARIA, ACCESS, NEW)
    desk.reply(ANNA, "access_desk_notice", "approve")
    with transaction(desk.engine) as session:
        assert wanted_releases(session) == []
    desk.enter_code(MARIA)
    with transaction(desk.engine) as session:
        ((id, word),) = wanted_releases(session)
    assert id == before.ledger_id and (word.by, word.customer) == (MARIA, desk.customer)


INSTEAD = NEW + "En lugar de: Lucía Ibarra\nDesde: 1 de diciembre de 2026\nHasta: 15 de diciembre de 2026\n"


def test_a_replacement_for_two_weeks_and_back(desk: Desk) -> None:
    desk.write(LUCIA, SUPPORT, "La exportación se detiene.")
    desk.write(MARIA, ACCESS, INSTEAD)
    agreed = desk.reply(LUCIA, "access_agree", "Aprobar")
    assert agreed.state is LedgerState.COMMAND_DONE and desk.requests() == ["waiting"], "an agent decides"
    desk.reply(ANNA, "access_desk_notice", "approve")
    desk.enter_code(MARIA)
    assert list(desk.states().values()) == [SeatState.ACTIVE, SeatState.PLANNED]
    desk.now = datetime(2026, 11, 30, 22, 59, tzinfo=UTC)
    desk.tick()
    assert list(desk.states().values()) == [SeatState.ACTIVE, SeatState.PLANNED]
    desk.tick(timedelta(minutes=1))
    assert list(desk.states().values()) == [SeatState.RESTING, SeatState.ACTIVE]
    assert desk.write(MARIA, SUPPORT, "Otra cosa.").state is LedgerState.TICKET_OPENED
    desk.now = datetime(2026, 12, 13, 23, 0, tzinfo=UTC)
    desk.tick()
    reminder = desk.last(LUCIA, "seat_returns_soon")
    (file,) = [part for part in reminder.walk() if part.get_content_type() == "text/calendar"]
    assert "DTSTART;VALUE=DATE:20261216" in file.get_content()
    desk.now = datetime(2026, 12, 15, 23, 0, tzinfo=UTC)
    desk.tick()
    assert list(desk.states().values()) == [SeatState.ACTIVE, SeatState.ENDED]
    assert "Lucía" in text_of(desk.last(LUCIA, "seat_changed"))
    with desk.engine.connect() as connection:
        contacts = set(connection.execute(sa.select(TICKET.c.contact)).scalars())
    assert len(contacts) == 1, "every open ticket is the regular's again"
    late = desk.write(MARIA, SUPPORT, "Una más.")
    assert late.state is LedgerState.HELD, "the stand-in is a colleague without a seat again"


@pytest.mark.parametrize("line", ["take back", "Recuperar.", "ta tillbaka"])
def test_the_regular_is_back_early(desk: Desk, line: str) -> None:
    desk.write(MARIA, ACCESS, INSTEAD)
    desk.reply(ANNA, "access_desk_notice", "approve")
    desk.enter_code(MARIA)
    desk.now = datetime(2026, 12, 3, 12, 0, tzinfo=UTC)
    desk.tick()
    wrong = desk.reply(LUCIA, "seat_changed", line, by=MARIA)
    assert wrong.state is LedgerState.HELD, "nobody takes back with another's address"
    forged = desk.reply(LUCIA, "seat_changed", line, believed=False)
    assert forged.state is LedgerState.HELD and SeatState.RESTING in desk.states().values()
    back = desk.reply(LUCIA, "seat_changed", line)
    assert back.state is LedgerState.COMMAND_DONE
    assert list(desk.states().values()) == [SeatState.ACTIVE, SeatState.ENDED]


def test_the_regular_asks_again_by_the_same_form(desk: Desk) -> None:
    desk.write(MARIA, ACCESS, INSTEAD)
    desk.reply(ANNA, "access_desk_notice", "approve")
    desk.enter_code(MARIA)
    desk.now = datetime(2026, 12, 3, 12, 0, tzinfo=UTC)
    desk.tick()
    asked = desk.write(LUCIA, ACCESS, "Nombre: Lucía Ibarra\nEn lugar de: María Sanz\n")
    assert asked.state is LedgerState.ACCESS_REQUESTED
    assert list(desk.states().values()) == [SeatState.ACTIVE, SeatState.ENDED]


def test_a_third_seat_is_refused_and_the_agreement_named(desk: Desk) -> None:
    desk.write(MARIA, ACCESS, NEW)
    desk.reply(ANNA, "access_desk_notice", "approve")
    desk.enter_code(MARIA)
    desk.write(TOMAS, ACCESS, "Nombre: Tomás\n")
    assert desk.requests()[-1] == "refused"
    told = text_of(desk.last(TOMAS, "access_seats_taken"))
    assert "Lucía Ibarra" in told and "María Sanz" in told and SALES in told
    with transaction(desk.engine) as session:
        session.connection().execute(sa.update(CUSTOMER).values(seats=3))
    desk.write(TOMAS, ACCESS, "Nombre: Tomás\n")
    assert desk.requests()[-1] == "waiting", "after a change of the agreement he may ask again"


def test_an_unknown_word_does_nothing_and_a_second_try_on_the_answer_works(desk: Desk) -> None:
    desk.write(MARIA, ACCESS, NEW)
    unknown = desk.reply(ANNA, "access_desk_notice", "Ok, let her in")
    assert unknown.state is LedgerState.HELD and desk.requests() == ["waiting"]
    told = text_of(desk.last(ANNA, "command_answer"))
    assert "approve" in told and "refuse" in told
    desk.reply(ANNA, "command_answer", "refuse There is no contract yet.")
    assert desk.requests() == ["refused"] and "There is no contract yet." in text_of(desk.last(MARIA, "access_refused"))


def test_a_bounced_invitation_reopens_the_request(desk: Desk) -> None:
    desk.write(MARIA, ACCESS, NEW)
    desk.reply(ANNA, "access_desk_notice", "approve")
    invitation = next(c for c in reversed(desk.sent) if c.forward_path == MARIA)
    bounce = (
        f"From: MAILER-DAEMON@ibarra.test\r\nTo: {invitation.reverse_path}\r\nSubject: Undelivered\r\n"
        "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nUser unknown\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        f"Reporting-MTA: dns; mx.ibarra.test\r\n\r\nFinal-Recipient: rfc822; {MARIA}\r\nAction: failed\r\n"
        "Status: 5.1.1\r\n\r\n--b--\r\n"
    )
    desk.deliver(bounce.encode(), "", invitation.reverse_path, believed=False)
    assert desk.requests() == ["waiting"] and "maria@ibarra.test" in text_of(desk.last(SALES, "invitation_bounced"))
    desk.reply(ANNA, "access_desk_notice", "approve")
    assert desk.requests() == ["invited"]


@pytest.mark.parametrize(("line", "state"), [("liberar", HeldState.HELD), ("decline", HeldState.DROPPED)])
def test_a_colleagues_mail_waits_for_a_superuser(desk: Desk, line: str, state: HeldState) -> None:
    held = desk.write(TOMAS, SUPPORT, "No imprime nada.", subject="No imprime")
    assert held.state is LedgerState.HELD and desk.last(TOMAS, "colleague_held")
    assert "No imprime nada." in text_of(desk.last(LUCIA, "colleague_ask"))
    assert desk.reply(LUCIA, "colleague_ask", line).state is LedgerState.COMMAND_DONE
    with transaction(desk.engine) as session:
        row = session.connection().execute(sa.select(HELD).where(HELD.c.id == held.ledger_id)).one()
        wanted = wanted_releases(session)
    assert row.state is state and [id for id, _ in wanted] == ([held.ledger_id] if state is HeldState.HELD else [])
    told = sum(b"X-Postdesk-Mail: colleague_declined" in composed.message for composed in desk.sent)
    assert told == (1 if state is HeldState.DROPPED else 0)


def test_the_same_order_does_not_count_twice(desk: Desk) -> None:
    """T12: a recorded mail, sent again by somebody else with its signature."""
    desk.write(MARIA, ACCESS, NEW)
    message = desk.last(ANNA, "access_desk_notice")
    raw = (
        f"From: {ANNA}\r\nTo: {message['Reply-To']}\r\nSubject: Re\r\nDate: {format_datetime(desk.now)}\r\n"
        "Message-ID: <once@nordvik.test>\r\n\r\nrefuse nobody knows her\r\n"
    )
    assert desk.deliver(raw.encode(), ANNA, message["Reply-To"]).state is LedgerState.COMMAND_DONE
    again = desk.deliver(raw.replace("refuse", "Refuse").encode(), ANNA, message["Reply-To"])
    assert again.state in (LedgerState.HELD, LedgerState.DUPLICATE)
