"""The law of the house: what we send, we recognise when it is answered.

A real mail opens a ticket; what the desk sends about it is composed, then mangled as mail programs, relays and
providers do, read by our parser, decided and recorded on both databases. As long as one trace of ours is left, the
answer lands on its ticket; with none left it opens a new one, and never lands elsewhere.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest.mime.content import HashOnly
from ingest.mime.parse import parse
from ingest.pipeline import deliver_one
from models.db.engine import transaction
from models.inbound.ledger import LEDGER
from models.outbox.outbox import OUTBOX, claim_due, enqueue, mark_sent
from models.people.agent import add_agent
from models.people.customer import add_contact, add_customer, add_domain, give_seat
from models.tickets.ticket import NewArticle, add_article
from models.views.mails import find_mail_rows
from notify.compose import Composed, OutgoingMail, compose
from notify.mails import Letterhead, outgoing
from notify.render import Renderer
from rules.policy import OwnMailbox, Policy
from rules.tokens import Keys
from values.decision import Notice, Receipt
from values.mail import AuthEvidence, Envelope, Mailbox, SpooledMail
from values.vocabulary import (
    ArticleKind,
    AuthResult,
    Belief,
    Door,
    LedgerState,
    MailboxPurpose,
    MailName,
    MatchedBy,
    ParticipantRole,
    Reason,
    Source,
)

NOW = datetime(2026, 11, 24, 9, 12, tzinfo=UTC)
SUPPORT, SU, ANNA = "support@nordvik.test", "lucia@ibarra.test", "anna@nordvik.test"
KEYS = Keys(current="a", secrets={"a": bytes(range(32))})
POLICY = Policy(
    mailboxes=(OwnMailbox(address=SUPPORT, purpose=MailboxPurpose.SUPPORT),),
    return_path="bounce@nordvik.test",
    desk_domain="desk.nordvik.test",
    vendor_name="Nordvik Support",
    agent_by_mail=True,
)
LETTERHEAD = Letterhead(policy=POLICY, keys=KEYS)
RENDERER = Renderer()
BELIEVED = AuthEvidence(dmarc=AuthResult.PASS, dmarc_policy="reject", belief=Belief.BELIEVED)
SUBJECT = "La exportación se detiene"


class _Undone(Exception):
    """Takes a delivery back, so that the next mangled answer finds the desk as it was."""


class Desk:
    """A desk with one customer, one agent, one ticket, and what it sent about it."""

    def __init__(self, engine: sa.Engine, folder: Path) -> None:
        self.engine, self.folder, self._count = engine, folder, itertools.count(1)
        with transaction(engine) as session:
            customer = add_customer(session, "Talleres Ibarra", NOW, language="es", zone="Europe/Madrid").id or 0
            add_domain(session, customer, "ibarra.test")
            contact = add_contact(session, SU, NOW, customer=customer, name="Lucía Ibarra").id or 0
            give_seat(session, contact, customer, NOW)
            add_agent(session, ANNA, "Anna Lind", NOW)
        first = self.deliver(question())
        assert first.state is LedgerState.TICKET_OPENED and first.ticket
        self.ticket = first.ticket
        with transaction(engine) as session:
            answer = NewArticle(
                kind=ArticleKind.OUTBOUND, author=Mailbox(address=ANNA, name="Anna Lind"), text="¿Qué versión usa?"
            )
            article = add_article(session, self.ticket, answer, NOW, Door.COMMAND)
            reply = Notice(
                mail=MailName.AGENT_REPLY, recipient=SU, key="agent-reply", ticket=self.ticket, language="es",
                role=ParticipantRole.REQUESTER,
            )  # fmt: skip
            enqueue(session, [reply], NOW + timedelta(minutes=1), article=article)
        self.sent = dict(self._send_all())

    def _send_all(self) -> Iterator[tuple[MailName, Composed]]:
        with transaction(self.engine) as session:
            for claimed in claim_due(session, "w", NOW + timedelta(minutes=10)):
                mail = outgoing(find_mail_rows(session, claimed, NOW + timedelta(minutes=10)), LETTERHEAD)
                assert isinstance(mail, OutgoingMail), mail
                composed = compose(mail, RENDERER)
                assert isinstance(composed, Composed), composed
                mark_sent(session, claimed, NOW, message_id=composed.message_id)
                yield claimed.mail, composed

    def deliver(self, raw: bytes, *, to: str = SUPPORT, sender: str = SU, undo: bool = False) -> Receipt:
        """Record a mail as the pipeline does, believed; `undo`: and take it back."""
        number = next(self._count)
        path = self.folder / f"{number}.eml"
        path.write_bytes(raw)
        envelope = Envelope(
            reverse_path=sender, forward_paths=(to,), source=Source.SMTP, received_at=NOW + timedelta(seconds=number)
        )
        digest = hashlib.sha256(raw).hexdigest()
        spooled = SpooledMail(id=f"{number:026}", path=path, offset=0, size=len(raw), sha256=digest, envelope=envelope)
        mail = replace(parse(spooled, HashOnly()), auth=BELIEVED)
        kept: list[Receipt] = []
        try:
            with transaction(self.engine, snapshot=True) as session:
                kept.append(deliver_one(mail, session, POLICY, KEYS, NOW + timedelta(minutes=5)))
                if undo:
                    statement = sa.select(LEDGER.c.matched_by, LEDGER.c.reason).where(LEDGER.c.id == spooled.id)
                    self.matched_by, self.reason = session.connection().execute(statement).one()
                    raise _Undone
        except _Undone:
            pass
        return kept[0]


@pytest.fixture
def desk(database: sa.Engine, tmp_path: Path) -> Desk:
    return Desk(database, tmp_path)


def question() -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = f"Lucía Ibarra <{SU}>", SUPPORT, SUBJECT
    message["Message-ID"], message["Date"] = "<q1@ibarra.test>", "Tue, 24 Nov 2026 10:12:00 +0100"
    message.set_content("Buenos días:\n\nLa exportación se detiene en la línea 12.\n\nLucía\n")
    return message.as_bytes()


# --- what mail programs do --------------------------------------------------------------------------------------


def plain_quote(sent: Any) -> tuple[str, str]:
    text = sent.get_body(("plain",)).get_content().replace("\r\n", "\n")
    quoted = "".join(f"> {line}\n" for line in text.splitlines())
    return "plain", f"Usamos la 7.2.\n\nEl mar, 24 nov 2026 a las 10:20, Nordvik Support escribió:\n\n{quoted}"


def html_only(sent: Any) -> tuple[str, str]:
    """Some phones and webmails: no text part; the answered HTML inside a blockquote, styles dropped."""
    html = sent.get_body(("html",)).get_content().partition("<body")[2].partition(">")[2].partition("</body")[0]
    return "html", f"<html><body><div>Usamos la 7.2.</div><blockquote>{html}</blockquote></body></html>"


def outlook(sent: Any) -> tuple[str, str]:
    """No quote marks at all; a block of header lines above the answered text."""
    text = sent.get_body(("plain",)).get_content().replace("\r\n", "\n")
    head = f"De: Nordvik Support\nEnviado: martes, 24 de noviembre\nPara: Lucía\nAsunto: {sent['Subject']}\n"
    return "plain", f"Usamos la 7.2.\n\n________________________________\n{head}\n{text}"


def nothing_quoted(sent: Any) -> tuple[str, str]:
    return "plain", "Usamos la 7.2.\n"


BODIES: dict[str, Callable[[Any], tuple[str, str]]] = {
    "quoted": plain_quote,
    "html only": html_only,
    "outlook": outlook,
    "not quoted": nothing_quoted,
}
# (In-Reply-To, References) of the answer, from the mail that we sent
IDS: dict[str, Callable[[Any], tuple[str | None, str | None]]] = {
    "kept": lambda sent: (sent["Message-ID"], f"{sent['References']} {sent['Message-ID']}"),
    "only In-Reply-To": lambda sent: (sent["Message-ID"], None),
    "References cut to the last": lambda sent: (None, str(sent["Message-ID"])),
    "Message-ID rewritten by a relay": lambda sent: ("<x9@relay.test>", f"{sent['References']} <x9@relay.test>"),
    "rewritten and cut": lambda sent: ("<x9@relay.test>", "<x9@relay.test>"),
    "none": lambda sent: (None, None),
}
ADDRESSES: dict[str, Callable[[Any], str]] = {
    "Reply-To": lambda sent: str(sent["Reply-To"]),
    "upper case": lambda sent: str(sent["Reply-To"]).replace("support", "Support").upper(),
    "plus-address lost": lambda sent: SUPPORT,
}
SUBJECTS: dict[str, Callable[[Any], str]] = {
    "same": lambda sent: str(sent["Subject"]),
    "prefixed": lambda sent: f"RE: [EXTERNAL] {sent['Subject']}",
    "translated": lambda sent: f"SV: {SUBJECT}",
    "another": lambda sent: "versión",
    "none": lambda sent: "",
}
LEFT_BY_IDS = {"kept", "only In-Reply-To", "References cut to the last", "Message-ID rewritten by a relay"}


def answer(sent: Any, author: str, address: str, ids: str, subject: str, body: str) -> tuple[bytes, str]:
    """The raw answer and the address that it goes to."""
    message = EmailMessage(policy=SMTP)
    to = ADDRESSES[address](sent)
    message["From"], message["To"] = author, to
    if given := SUBJECTS[subject](sent):
        message["Subject"] = given
    message["Message-ID"], message["Date"] = "<answer@ibarra.test>", "Tue, 24 Nov 2026 10:30:00 +0100"
    in_reply_to, references = IDS[ids](sent)
    if in_reply_to:
        message["In-Reply-To"] = in_reply_to
    if references:
        message["References"] = references
    kind, content = BODIES[body](sent)
    message.set_content(content, subtype=kind)
    return message.as_bytes(), to


EVERY = [tuple(case) for case in itertools.product(ADDRESSES, IDS, SUBJECTS, BODIES)]
# Every address with every set of ids and every body; the subjects take turns.
MANY = [
    (address, ids, subject, body)
    for (address, ids, body), subject in zip(
        itertools.product(ADDRESSES, IDS, BODIES), itertools.cycle(SUBJECTS), strict=False
    )
]


def answers_find_their_ticket(desk: Desk, name: MailName, cases: list[tuple[str, ...]]) -> None:
    sent = message_from_bytes(desk.sent[name].message, policy=policy.default)
    seen = set()
    for address, ids, subject, body in cases:
        raw, to = answer(sent, SU, address, ids, subject, body)
        receipt = desk.deliver(raw, to=to, undo=True)
        case = f"{name}: {address}, {ids}, subject {subject}, {body}: {receipt.state} by {desk.matched_by}"
        seen.add(desk.matched_by)
        if address != "plus-address lost" or ids in LEFT_BY_IDS or body != "not quoted":
            assert (receipt.state, receipt.ticket) == (LedgerState.ARTICLE_ADDED, desk.ticket), case
        else:  # no trace of ours is left: a new ticket, not a guess
            assert receipt.state is LedgerState.TICKET_OPENED and receipt.ticket != desk.ticket, case
    expected = {MatchedBy.REPLY_TOKEN, MatchedBy.OUR_MESSAGE_ID, MatchedBy.BODY_MARKER}
    if name is MailName.ACKNOWLEDGEMENT:  # a later mail refers to it, and our own id is the stronger one
        expected.add(MatchedBy.ANCHOR)
    assert expected <= seen


@pytest.mark.parametrize("name", [MailName.ACKNOWLEDGEMENT, MailName.AGENT_REPLY])
def test_an_answer_finds_its_ticket(name: MailName, desk: Desk) -> None:
    answers_find_their_ticket(desk, name, MANY)


@pytest.mark.long
@pytest.mark.parametrize("name", [MailName.ACKNOWLEDGEMENT, MailName.AGENT_REPLY])
def test_an_answer_finds_its_ticket_in_every_combination(name: MailName, desk: Desk) -> None:
    answers_find_their_ticket(desk, name, EVERY)


def test_an_agents_answer_to_our_notice_finds_its_ticket(desk: Desk) -> None:
    """By the token made for him and nothing else (threat T21): without it a person looks at it, and nothing is lost."""
    sent = message_from_bytes(desk.sent[MailName.AGENT_NOTICE].message, policy=policy.default)
    for address, ids, subject, body in MANY:
        raw, to = answer(sent, ANNA, address, ids, subject, body)
        receipt = desk.deliver(raw, to=to, sender=ANNA, undo=True)
        case = f"{address}, {ids}, subject {subject}, {body}: {receipt.state} ({desk.reason}) by {desk.matched_by}"
        if address == "plus-address lost":
            assert (receipt.state, desk.reason) == (LedgerState.HELD, Reason.AGENT_BY_MAIL), case
        else:
            assert (receipt.state, receipt.ticket) == (LedgerState.ARTICLE_ADDED, desk.ticket), case
            assert desk.reason == Reason.AGENT_REPLY, case


@pytest.mark.parametrize("name", [MailName.ACKNOWLEDGEMENT, MailName.AGENT_REPLY, MailName.AGENT_NOTICE])
def test_our_own_mail_that_comes_back_is_a_loop(name: MailName, desk: Desk) -> None:
    """A forwarding or redirecting mailbox: whoever it comes from, it opens nothing and is answered by nothing."""
    for sender in (SU, desk.sent[name].reverse_path, ""):
        receipt = desk.deliver(desk.sent[name].message, sender=sender, undo=True)
        assert receipt.state not in (LedgerState.TICKET_OPENED, LedgerState.ARTICLE_ADDED), (sender, receipt)
        assert not receipt.outbox, "no mail answers our own"


def test_every_mail_of_the_ticket_left(desk: Desk) -> None:
    assert set(desk.sent) == {MailName.ACKNOWLEDGEMENT, MailName.AGENT_NOTICE, MailName.AGENT_REPLY}
    with desk.engine.connect() as connection:
        assert set(connection.execute(sa.select(OUTBOX.c.status)).scalars()) == {"sent"}
