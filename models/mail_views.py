"""What a mail is composed from: the rows that an outbox row leads to, as plain values. SELECTs only.

Takes: a claimed outbox row.  Gives: `MailRows`; each part is None where the row leads to nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session

from models.access_views import AccessRows, find_access_rows
from models.customer import CUSTOMER
from models.outbox import OUTBOX, Claimed
from models.ticket import ARTICLE, ATTACHMENT, PARTICIPANT, TICKET
from models.vocabulary import ArticleKind, ParticipantRole

FILES_KEPT = 20  # of one article
IDS_KEPT = 8  # newest Message-IDs of a ticket, beside the first


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    name: str
    size: int  # octets


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketView:
    number: int
    subject: str
    requester: str
    product: str | None
    erp: str | None
    erp_version: str | None
    product_version: str | None
    marked: bool
    customer: str | None  # name


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleView:
    id: int
    author: str  # address
    author_name: str
    at: datetime
    subject: str
    text: str
    message_id: str | None
    marked: bool
    first: bool  # of its ticket
    files: tuple[FileView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantView:
    id: int
    role: ParticipantRole
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRows:
    """All that one mail says, and whom it answers."""

    claimed: Claimed
    ticket: TicketView | None = None
    article: ArticleView | None = None  # the one that the mail is about
    answered: ArticleView | None = None  # the newest mail of a person before it
    participant: ParticipantView | None = None  # the recipient on the ticket
    message_ids: tuple[str, ...] = ()  # the first of the thread, then the newest, oldest first
    access: AccessRows | None = None  # of a mail about access


def find_mail_rows(session: Session, claimed: Claimed) -> MailRows:
    """The rows behind one claimed outbox row."""
    if claimed.ticket is None:
        return MailRows(claimed=claimed, access=find_access_rows(session, claimed.context))
    article = _article(session, ARTICLE.c.id == claimed.article) if claimed.article is not None else None
    return MailRows(
        claimed=claimed,
        ticket=_ticket(session, claimed.ticket),
        article=article,
        answered=_answered(session, claimed.ticket, article),
        participant=_participant(session, claimed.participant),
        message_ids=_message_ids(session, claimed),
    )


def _ticket(session: Session, number: int) -> TicketView | None:
    statement = (
        sa.select(
            TICKET.c.id.label("number"),
            TICKET.c.subject,
            TICKET.c.requester,
            TICKET.c.product,
            TICKET.c.erp,
            TICKET.c.erp_version,
            TICKET.c.product_version,
            TICKET.c.marked,
            CUSTOMER.c.name.label("customer"),
        )
        .select_from(TICKET.outerjoin(CUSTOMER, CUSTOMER.c.id == TICKET.c.customer))
        .where(TICKET.c.id == number)
    )
    row = session.connection().execute(statement).first()
    return TicketView(**row._mapping) if row else None


def _article(session: Session, which: sa.ColumnElement[bool]) -> ArticleView | None:
    earlier = ARTICLE.alias("earlier")
    first = ~sa.exists().where(earlier.c.ticket == ARTICLE.c.ticket, earlier.c.id < ARTICLE.c.id)
    columns = ("id", "author", "author_name", "at", "subject", "text", "message_id", "marked")
    statement = (
        sa.select(*(ARTICLE.c[name] for name in columns), first.label("first"))
        .where(which)
        .order_by(ARTICLE.c.id.desc())
        .limit(1)
    )
    row = session.connection().execute(statement).first()
    return ArticleView(**row._mapping, files=_files(session, row.id)) if row else None


def _files(session: Session, article: int) -> tuple[FileView, ...]:
    statement = (
        sa.select(ATTACHMENT.c.name, ATTACHMENT.c.size)
        .where(ATTACHMENT.c.article == article)
        .order_by(ATTACHMENT.c.position)
        .limit(FILES_KEPT)
    )
    return tuple(FileView(**row._mapping) for row in session.connection().execute(statement))


def _answered(session: Session, ticket: int, article: ArticleView | None) -> ArticleView | None:
    by_a_person = sa.and_(
        ARTICLE.c.ticket == ticket, ARTICLE.c.kind == ArticleKind.INBOUND, ARTICLE.c.automatic.is_(False)
    )
    if article is not None:
        by_a_person = sa.and_(by_a_person, ARTICLE.c.id < article.id)
    return _article(session, by_a_person)


def _participant(session: Session, id: int | None) -> ParticipantView | None:
    if id is None:
        return None
    statement = sa.select(PARTICIPANT.c.id, PARTICIPANT.c.role, PARTICIPANT.c.generation)
    row = session.connection().execute(statement.where(PARTICIPANT.c.id == id)).first()
    return ParticipantView(**row._mapping) if row else None


def _message_ids(session: Session, claimed: Claimed) -> tuple[str, ...]:
    """Ids that the recipient's mail program may have seen: the customers' and our own to this very recipient."""
    theirs = sa.select(ARTICLE.c.message_id, ARTICLE.c.at.label("at")).where(
        ARTICLE.c.ticket == claimed.ticket, ARTICLE.c.kind == ArticleKind.INBOUND, ARTICLE.c.message_id.is_not(None)
    )
    ours = sa.select(OUTBOX.c.message_id, OUTBOX.c.sent.label("at")).where(
        OUTBOX.c.ticket == claimed.ticket,
        OUTBOX.c.id < claimed.id,  # looked at again later, the mail is the same
        OUTBOX.c.recipient_key == claimed.recipient.lower(),
        OUTBOX.c.sent.is_not(None),
        OUTBOX.c.message_id.is_not(None),
    )
    both = sa.union_all(theirs, ours).subquery()
    connection = session.connection()
    first = connection.execute(sa.select(both.c.message_id).order_by(both.c.at).limit(1)).scalars()
    newest = connection.execute(sa.select(both.c.message_id).order_by(both.c.at.desc()).limit(IDS_KEPT)).scalars()
    return _each_once([*first, *reversed(list(newest))])


def _each_once(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ids))
