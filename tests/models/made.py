"""Mails, decisions and a small desk for the tests of models and for bench/growth.py."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlmodel import Session

from models.people.agent import add_agent
from models.people.customer import add_contact, add_customer, add_domain, give_seat
from values.addresses import parent_domains, skeleton
from values.decision import AddArticle, Clues, Decision, Hold, Notice, OpenTicket
from values.mail import AttachmentRef, Envelope, Mailbox, ParsedMail
from values.vocabulary import (
    AuthorVerdict,
    LedgerState,
    MailName,
    MatchedBy,
    ParticipantRole,
    Reason,
    Source,
    TicketStatus,
)

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Ids of what `make_desk` registers."""

    acme: int
    lucia: int
    agent: int


def make_desk(session: Session) -> Desk:
    """Acme (acme.test) with its superuser su@acme.test, and one agent."""
    acme = add_customer(session, "Acme", NOW, language="es")
    add_domain(session, acme.id or 0, "acme.test")
    lucia = add_contact(session, "su@acme.test", NOW, customer=acme.id, name="Lucía")
    give_seat(session, lucia.id or 0, acme.id or 0, NOW)
    agent = add_agent(session, "ana@nordvik.test", "Ana", NOW)
    return Desk(acme=acme.id or 0, lucia=lucia.id or 0, agent=agent.id or 0)


def a_mail(spool_id: str, *, author: str | None = "su@acme.test", **fields: Any) -> ParsedMail:
    """A short mail to the desk; the id of the spool also makes its Message-ID and its content."""
    base: dict[str, Any] = {
        "spool_id": spool_id,
        "sha256": sha256(spool_id.encode()).hexdigest(),
        "size": 1234,
        "envelope": Envelope(
            reverse_path=author or "", forward_paths=("support@nordvik.test",), source=Source.SMTP, received_at=NOW
        ),
        "author": Mailbox(address=author, name="Lucía") if author else None,
        "author_verdict": AuthorVerdict.ONE if author else AuthorVerdict.MISSING,
        "subject": "The report is empty",
        "message_id": f"{spool_id}@acme.test",
        "text": "Since this morning the report is empty.",
        "full_text": "Since this morning the report is empty.\n> before",
        "content_key": f"key-{spool_id}",
    }
    return ParsedMail(**(base | fields))


def clues_of(mail: ParsedMail, **fields: Any) -> Clues:
    """What rules/clues.py would ask about a plain mail."""
    address = mail.author.address if mail.author else None
    domain = address.rpartition("@")[2] if address else ""
    base: dict[str, Any] = {
        "spool_id": mail.spool_id,
        "content_key": mail.content_key,
        "author": address,
        "author_domains": parent_domains(domain) if domain else (),
        "author_skeleton": skeleton(domain) if domain else None,
        "message_id": mail.message_id,
        "anchor_ids": (*mail.in_reply_to, *mail.references),
    }
    return Clues(**(base | fields))


def opening(mail: ParsedMail, *, customer: int | None, contact: int | None = None, **fields: Any) -> Decision:
    """Open a ticket, acknowledge it to its author."""
    author = mail.author
    assert author
    notice = Notice(
        mail=MailName.ACKNOWLEDGEMENT,
        recipient=author.address,
        key=Notice.key_of(MailName.ACKNOWLEDGEMENT, mail.spool_id, author.address),
        about_new_ticket=True,
        role=ParticipantRole.REQUESTER,
        in_reply_to=mail.message_id,
    )
    action = OpenTicket(
        subject=mail.subject,
        requester=author,
        customer=customer,
        contact=contact,
        language="es",
        anchors=(*mail.in_reply_to, *mail.references),
        **fields,
    )
    return Decision(
        state=LedgerState.TICKET_OPENED,
        reason=Reason.SUPERUSER,
        actions=(action,),
        notices=(notice,),
        trace=("gate: no", "accept: superuser"),
    )


def adding(
    mail: ParsedMail, ticket: int, *, status: TicketStatus | None = TicketStatus.OPEN, **fields: Any
) -> Decision:
    """Add the mail to a ticket, tell the agent."""
    author = mail.author
    assert author
    notice = Notice(
        mail=MailName.AGENT_NOTICE,
        recipient="ana@nordvik.test",
        key=Notice.key_of(MailName.AGENT_NOTICE, mail.spool_id, "ana@nordvik.test"),
        ticket=ticket,
    )
    return Decision(
        state=LedgerState.ARTICLE_ADDED,
        reason=Reason.PARTICIPANT,
        matched_by=MatchedBy.ANCHOR,
        ticket=ticket,
        actions=(AddArticle(ticket=ticket, author=author, status=status, **fields),),
        notices=(notice,),
    )


def holding(**fields: Any) -> Decision:
    """Hold the mail: its customer is not known."""
    action = Hold(why="No customer has this domain.", would="Opens a ticket.", **fields)
    return Decision(state=LedgerState.HELD, reason=Reason.UNKNOWN_CUSTOMER, actions=(action,))


def an_attachment(name: str = "report.pdf") -> AttachmentRef:
    return AttachmentRef(name=name, type="application/pdf", size=10, sha256="0" * 64)
