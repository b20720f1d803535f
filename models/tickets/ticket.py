"""Tickets, their articles, attachments and participants, and the Message-IDs that lead to them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from models.db.columns import Json, insert_new, storable, table_of, words
from models.db.keys import address_key, anchor_key
from models.tickets.event import TICKET_EVENT, note_event
from values.actor import Actor
from values.decision import Fields
from values.errors import PostdeskError
from values.mail import AttachmentRef, Mailbox
from values.vocabulary import ArticleKind, Door, ParticipantRole, Priority, TicketEventKind, TicketStatus

_NOT_STATED = Fields()


class Ticket(SQLModel, table=True):
    """The primary key is the number that people see; it starts at 1001 and is never used again."""

    __tablename__ = "ticket"
    __table_args__ = (
        sa.Index("ix_ticket_customer_updated", "customer", "updated"),
        sa.Index("ix_ticket_status_updated", "status", "updated"),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, primary_key=True)
    subject: str
    status: TicketStatus = Field(default=TicketStatus.NEW, sa_type=words(TicketStatus))
    priority: Priority = Field(default=Priority.NORMAL, sa_type=words(Priority))
    customer: int | None = Field(default=None, foreign_key="customer.id")
    contact: int | None = Field(default=None, foreign_key="contact.id", index=True)
    requester: str  # address
    requester_name: str = ""
    language: str = "en"
    product: str | None = None
    erp: str | None = None
    erp_version: str | None = None
    product_version: str | None = None
    marked: bool = False  # opened by an author who is not proved: no privileged act
    paused: bool = False  # the loop breaker stopped automatic mail
    pause_story: str | None = None
    resumed_at: datetime | None = None  # an agent let automatic mail leave again
    follow_up_of: int | None = Field(default=None, foreign_key="ticket.id")
    merged_into: int | None = Field(default=None, foreign_key="ticket.id")
    assignee: int | None = Field(default=None, foreign_key="agent.id", index=True)
    created: datetime
    updated: datetime
    closed_at: datetime | None = None


class Article(SQLModel, table=True):
    __tablename__ = "article"

    id: int | None = Field(default=None, primary_key=True)
    ticket: int = Field(foreign_key="ticket.id", index=True)
    kind: ArticleKind = Field(sa_type=words(ArticleKind))
    author: str  # address
    author_name: str = ""
    at: datetime
    subject: str = ""
    text: str = ""  # without quote and signature
    full_text: str = ""
    html: str | None = None  # as it came; cleaned only where it is shown
    message_id: str | None = None
    ledger: str | None = None  # no foreign key: the ledger row is written last, and points here
    marked: bool = False
    automatic: bool = False  # an automatic reply: shown collapsed, changed nothing
    proposed_cc: list[list[str]] | None = Field(
        default=None, sa_type=Json
    )  # [[address, name]]: for the agent to add, never by itself


class Attachment(SQLModel, table=True):
    __tablename__ = "attachment"

    id: int | None = Field(default=None, primary_key=True)
    article: int = Field(foreign_key="article.id", index=True)
    position: int
    name: str
    type: str
    size: int
    sha256: str = Field(index=True)  # the key in the blob store
    inline: bool = False
    content_id: str | None = None


class Participant(SQLModel, table=True):
    __tablename__ = "participant"
    __table_args__ = (sa.UniqueConstraint("ticket", "address"),)

    id: int | None = Field(default=None, primary_key=True)
    ticket: int = Field(foreign_key="ticket.id")
    address: str = Field(index=True)  # wholly lower-cased
    name: str = ""
    role: ParticipantRole = Field(sa_type=words(ParticipantRole))
    generation: int = 1  # of the reply token; a rotated token has a higher one


class ThreadAnchor(SQLModel, table=True):
    """A foreign Message-ID that leads to a ticket.

    `scope` is the customer's id, or 0 where the ticket has none: whoever re-uses a Message-ID of another customer's
    mail gets an anchor beside it and neither takes its place nor collides with it (threat T22).
    """

    __tablename__ = "thread_anchor"
    __table_args__ = (sa.Index("ix_thread_anchor_ticket", "ticket"),)

    message_id: str = Field(primary_key=True)
    scope: int = Field(primary_key=True)
    ticket: int = Field(foreign_key="ticket.id")


TICKET = table_of(Ticket)
ARTICLE = table_of(Article)
ATTACHMENT = table_of(Attachment)
PARTICIPANT = table_of(Participant)
THREAD_ANCHOR = table_of(ThreadAnchor)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTicket:
    """A ticket to be opened, by mail or from the portal."""

    subject: str
    requester: Mailbox
    customer: int | None
    contact: int | None
    language: str
    fields: Fields = _NOT_STATED
    priority: Priority = Priority.NORMAL
    marked: bool = False
    follow_up_of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArticle:
    """An article to be added, with its attachments, whose octets the blob store has already."""

    kind: ArticleKind
    author: Mailbox
    text: str
    full_text: str = ""
    html: str | None = None
    subject: str = ""
    message_id: str | None = None
    ledger: str | None = None
    marked: bool = False
    automatic: bool = False
    proposed_cc: tuple[Mailbox, ...] = ()
    attachments: tuple[AttachmentRef, ...] = ()


def open_ticket(session: Session, new: NewTicket, now: datetime) -> int:
    """Open a ticket and return its number. Its requester takes part in it."""
    row = {
        "subject": storable(new.subject),
        "status": TicketStatus.NEW,
        "priority": new.priority,
        "customer": new.customer,
        "contact": new.contact,
        "requester": address_key(new.requester.address),
        "requester_name": storable(new.requester.name),
        "language": new.language,
        **{name: storable(value) if value else None for name, value in _stated(new.fields).items()},
        "marked": new.marked,
        "paused": False,
        "follow_up_of": new.follow_up_of,
        "created": now,
        "updated": now,
    }
    number = int(session.connection().execute(_OPEN, row).scalar_one())
    join_ticket(session, number, new.requester.address, ParticipantRole.REQUESTER, name=new.requester.name)
    return number


def add_article(
    session: Session, ticket: int, new: NewArticle, now: datetime, door: Door, *, opens: bool = False
) -> int:
    """Write an article and its attachments; return its id. The ticket itself is `update_ticket`'s.

    `door`: the way its author took. `opens`: it is the first of a ticket that was just opened.
    """
    connection = session.connection()
    row = {
        "ticket": ticket,
        "kind": new.kind,
        "author": address_key(new.author.address),
        "author_name": storable(new.author.name),
        "at": now,
        "subject": storable(new.subject),
        "text": storable(new.text),
        "full_text": storable(new.full_text),
        "html": storable(new.html) if new.html else None,
        "message_id": storable(new.message_id) if new.message_id else None,
        "ledger": new.ledger,
        "marked": new.marked,
        "automatic": new.automatic,
        "proposed_cc": [[storable(box.address), storable(box.name)] for box in new.proposed_cc] or None,
    }
    article = int(connection.execute(_ADD, row).scalar_one())
    kind = TicketEventKind.OPENED if opens else TicketEventKind.ARTICLE
    note_event(session, (ticket,), kind, Actor(who=address_key(new.author.address), door=door), now, article=article)
    if new.attachments:
        connection.execute(
            _ATTACH,
            [
                {
                    "article": article,
                    "position": position,
                    "name": storable(kept.name),
                    "type": storable(kept.type),
                    "size": kept.size,
                    "sha256": kept.sha256,
                    "inline": kept.inline,
                    "content_id": storable(kept.content_id) if kept.content_id else None,
                }
                for position, kept in enumerate(new.attachments)
            ],
        )
    return article


def update_ticket(
    session: Session,
    number: int,
    now: datetime,
    by: Actor,
    *,
    status: TicketStatus | None = None,
    fields: Fields = _NOT_STATED,
) -> int | None:
    """Something happened on a ticket: its next status (None = as it is), fields for those still empty.

    Returns its customer. Raises PostdeskError where there is no such ticket.
    """
    values: dict[str, object] = {"number": number, "now": now}
    values |= {f"new_{name}": storable(value) if value else None for name, value in _stated(fields).items()}
    if status is not None:
        moved = {"number": number, "at": now, "who": storable(by.who), "door": by.door, "next": status}
        session.connection().execute(_NOTE_MOVE, moved)
        values |= {"new_status": status, "new_closed_at": now if status is TicketStatus.CLOSED else None}
    row = session.connection().execute(_TOUCH if status is None else _MOVE, values).first()
    if row is None:
        raise PostdeskError(f"there is no ticket {number}")
    return None if row.customer is None else int(row.customer)


def assign_if_free(session: Session, number: int, agent: tuple[int, str], now: datetime, by: Actor) -> None:
    """The ticket is this agent's, (id, address), from now on, where it is nobody's."""
    free = sa.update(TICKET).where(TICKET.c.id == number, TICKET.c.assignee.is_(None))
    taken = session.connection().execute(free.values(assignee=agent[0]).returning(TICKET.c.id)).scalars().all()
    note_event(session, taken, TicketEventKind.ASSIGNEE, by, now, now=agent[1])


def release_tickets(session: Session, agent: tuple[int, str], now: datetime, by: Actor) -> int:
    """The open tickets of this agent, (id, address), are nobody's from now on; how many."""
    is_open = TICKET.c.status.not_in((TicketStatus.RESOLVED, TicketStatus.CLOSED))
    theirs = sa.update(TICKET).where(TICKET.c.assignee == agent[0], is_open)
    released = session.connection().execute(theirs.values(assignee=None).returning(TICKET.c.id)).scalars().all()
    note_event(session, released, TicketEventKind.ASSIGNEE, by, now, was=agent[1])
    return len(released)


def join_ticket(session: Session, ticket: int, address: str, role: ParticipantRole, *, name: str = "") -> int:
    """The id of the participant with this address, who takes part from now on. A role once given stays; who had left
    is back."""
    connection = session.connection()
    row = {"ticket": ticket, "address": address_key(address), "name": storable(name), "role": role, "generation": 1}
    made = connection.execute(insert_new(PARTICIPANT, connection.dialect.name, "id"), row).scalar()
    if made is None:
        there = connection.execute(_TAKES_PART, {"number": ticket, "who": address_key(address)}).one()
        made = there.id
        if there.role is ParticipantRole.LEFT:
            connection.execute(sa.update(PARTICIPANT).where(PARTICIPANT.c.id == made).values(role=role))
    return int(made)


def rotate_token(session: Session, participant: int) -> None:
    """Reply addresses made for this participant so far are void."""
    later = PARTICIPANT.c.generation + 1
    session.connection().execute(sa.update(PARTICIPANT).where(PARTICIPANT.c.id == participant).values(generation=later))


def anchor(session: Session, ticket: int, customer: int | None, message_ids: Iterable[str]) -> None:
    """These Message-IDs lead to the ticket from now on, but for those that lead elsewhere in this customer's scope."""
    connection = session.connection()
    keys = dict.fromkeys(anchor_key(id) for id in message_ids)
    if keys:
        rows = [
            {"message_id": key, "scope": customer or 0, "ticket": ticket} for key in sorted(keys)
        ]  # in one order: no deadlock
        connection.execute(insert_new(THREAD_ANCHOR, connection.dialect.name), rows)


def pause_thread(session: Session, ticket: int, story: str, now: datetime, by: Actor) -> None:
    """No more automatic email on this ticket until an agent resumes it."""
    running = sa.update(TICKET).where(TICKET.c.id == ticket)
    session.connection().execute(running.values(paused=True, pause_story=storable(story)))
    note_event(session, (ticket,), TicketEventKind.PAUSED, by, now)


def resume_thread(session: Session, ticket: int, now: datetime, by: Actor) -> bool:
    """Automatic mail may leave on this ticket again. False where it was not paused."""
    paused = sa.update(TICKET).where(TICKET.c.id == ticket, TICKET.c.paused)
    statement = paused.values(paused=False, pause_story=None, resumed_at=now).returning(TICKET.c.id)
    resumed = session.connection().execute(statement).scalars().all()
    note_event(session, resumed, TicketEventKind.RESUMED, by, now)
    return bool(resumed)


def pass_tickets(
    session: Session, customer: int, giver: tuple[int, str], taker: tuple[int, str], now: datetime, by: Actor
) -> int:
    """Open tickets of one contact, (id, address), pass to another, who takes part from now on; how many.

    Whoever takes part only as a stand-in leaves when the tickets pass on; the reply addresses made for him are void.
    """
    connection = session.connection()
    open_ = (TICKET.c.customer == customer, TICKET.c.contact == giver[0], TICKET.c.status != TicketStatus.CLOSED)
    passed = sa.update(TICKET).where(*open_).values(contact=taker[0]).returning(TICKET.c.id)
    tickets = list(connection.execute(passed).scalars())
    note_event(session, tickets, TicketEventKind.REQUESTER, by, now, was=giver[1], now=taker[1])
    for ticket in tickets:
        join_ticket(session, ticket, taker[1], ParticipantRole.STAND_IN)
        who = PARTICIPANT.c.ticket == ticket
        leaves = sa.update(PARTICIPANT).where(who, PARTICIPANT.c.address == address_key(giver[1]))
        connection.execute(
            leaves.where(PARTICIPANT.c.role == ParticipantRole.STAND_IN).values(
                role=ParticipantRole.LEFT, generation=PARTICIPANT.c.generation + 1
            )
        )
    return len(tickets)


def _stated(fields: Fields) -> dict[str, str | None]:
    return {
        "product": fields.product,
        "erp": fields.erp,
        "erp_version": fields.erp_version,
        "product_version": fields.product_version,
    }


# Before the ticket is changed: where it has this status already, nothing happens to it.
_NOTE_MOVE = sa.insert(TICKET_EVENT).from_select(
    ["ticket", "at", "kind", "who", "door", "was", "now"],
    sa.select(
        TICKET.c.id,
        sa.bindparam("at", type_=TICKET_EVENT.c.at.type),
        sa.literal(TicketEventKind.STATUS, TICKET_EVENT.c.kind.type),
        sa.bindparam("who", type_=TICKET_EVENT.c.who.type),
        sa.bindparam("door", type_=TICKET_EVENT.c.door.type),
        sa.cast(TICKET.c.status, TICKET_EVENT.c.was.type),
        sa.cast(sa.bindparam("next", type_=TICKET.c.status.type), TICKET_EVENT.c.now.type),
    ).where(TICKET.c.id == sa.bindparam("number"), TICKET.c.status != sa.bindparam("next", type_=TICKET.c.status.type)),
)
_OPEN = sa.insert(TICKET).returning(TICKET.c.id)
_TOUCH = (
    sa.update(TICKET)
    .where(TICKET.c.id == sa.bindparam("number"))
    .values(
        {
            name: sa.func.coalesce(TICKET.c[name], sa.bindparam(f"new_{name}", type_=TICKET.c[name].type))
            for name in _stated(_NOT_STATED)
        }
        | {"updated": sa.bindparam("now")}
    )
    .returning(TICKET.c.customer)
)
_MOVE = _TOUCH.values(status=sa.bindparam("new_status"), closed_at=sa.bindparam("new_closed_at"))
_ADD = sa.insert(ARTICLE).returning(ARTICLE.c.id)
_ATTACH = sa.insert(ATTACHMENT)
_TAKES_PART = sa.select(PARTICIPANT.c.id, PARTICIPANT.c.role).where(
    PARTICIPANT.c.ticket == sa.bindparam("number"), PARTICIPANT.c.address == sa.bindparam("who")
)
