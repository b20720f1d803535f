"""What a mail is composed from: the rows that an outbox row leads to, as plain values. SELECTs only.

Takes: a claimed outbox row.  Gives: `MailRows`; each part is None where the row leads to nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from models.access.views import AccessRows, find_access_rows
from models.inbound.held import WaitingMails, held_between
from models.outbox.outbox import OUTBOX, Claimed
from models.people.customer import CONTACT, CONTACT_ADDRESS, CUSTOMER
from models.tickets.ticket import ARTICLE, ATTACHMENT, PARTICIPANT, TICKET
from models.views.open_tickets import OpenTickets, find_company_tickets, find_own_tickets
from values.vocabulary import ArticleKind, MailName, ParticipantRole

FILES_KEPT = 20  # of one article
IDS_KEPT = 8  # newest Message-IDs of a ticket, beside the first


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    name: str
    size: int  # octets
    type: str = "application/octet-stream"  # media type as declared
    sha256: str = ""  # key in the blob store


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
    zone: str = ""  # the contact's, else that of the ticket's customer; "" = neither is known


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRows:
    """All that one mail says, and whom it answers."""

    claimed: Claimed
    ticket: TicketView | None = None
    article: ArticleView | None = None  # the one that the mail is about
    answered: ArticleView | None = None  # an agent's answer: the newest mail of a person before it
    participant: ParticipantView | None = None  # the recipient on the ticket
    message_ids: tuple[str, ...] = ()  # the first of the thread, then the newest, oldest first
    access: AccessRows | None = None  # of a mail about access
    open_tickets: OpenTickets | None = None  # of a table of them
    waiting: WaitingMails | None = None  # of the notice about held mails


def find_mail_rows(session: Session, claimed: Claimed, now: datetime) -> MailRows:
    """The rows behind one claimed outbox row."""
    if claimed.mail is MailName.TICKET_STATUS:
        return MailRows(claimed=claimed, open_tickets=_open_tickets(session, claimed, now))
    if claimed.mail is MailName.HELD_WAITING:
        since, until = (datetime.fromisoformat(str(claimed.context[name])) for name in ("since", "until"))
        return MailRows(claimed=claimed, waiting=held_between(session, since, until))
    if claimed.ticket is None:
        return MailRows(claimed=claimed, access=find_access_rows(session, claimed.context))
    connection = session.connection()
    article = _article(connection, _ARTICLE, id=claimed.article) if claimed.article is not None else None
    answers = claimed.mail is MailName.AGENT_REPLY  # only then somebody's words are quoted
    before = article.id if article else _LAST
    return MailRows(
        claimed=claimed,
        ticket=_ticket(connection, claimed.ticket),
        article=article,
        answered=_article(connection, _ANSWERED, ticket=claimed.ticket, before=before) if answers else None,
        participant=_participant(connection, claimed.participant),
        message_ids=_message_ids(connection, claimed.ticket, claimed.recipient.lower(), claimed.id),
    )


def _open_tickets(session: Session, claimed: Claimed, now: datetime) -> OpenTickets:
    """Those that the recipient may see now: the row says only who asked, and for what."""
    contact = claimed.context.get("contact")
    if not claimed.context.get("every"):
        return find_own_tickets(session, None if contact is None else int(contact), claimed.recipient)
    return OpenTickets() if contact is None else find_company_tickets(session, int(contact), now)


def _ticket(connection: sa.Connection, number: int) -> TicketView | None:
    row = connection.execute(_TICKET, {"number": number}).first()
    return TicketView(**row._mapping) if row else None


def _article(connection: sa.Connection, which: sa.Select[Any], **wanted: int) -> ArticleView | None:
    row = connection.execute(which, wanted).first()
    if row is None:
        return None
    files = connection.execute(_FILES, {"article": row.id})
    return ArticleView(**row._mapping, files=tuple(FileView(**file._mapping) for file in files))


def _participant(connection: sa.Connection, id: int | None) -> ParticipantView | None:
    row = connection.execute(_PARTICIPANT, {"id": id}).first() if id is not None else None
    return ParticipantView(**row._mapping) if row else None


def _message_ids(connection: sa.Connection, ticket: int, recipient: str, before: int) -> tuple[str, ...]:
    """Ids that the recipient's mail program may have seen: the customers' and our own to this very recipient."""
    wanted = {"ticket": ticket, "recipient": recipient, "before": before}
    first = connection.execute(_FIRST_ID, wanted).scalars()
    newest = connection.execute(_NEWEST_IDS, wanted).scalars()
    return tuple(dict.fromkeys([*first, *reversed(list(newest))]))


# --- prebuilt: building them costs more than running them -------------------------------------------------------

_LAST = 2**31 - 1  # beyond every article


def _articles() -> sa.Select[Any]:
    columns = ("id", "author", "author_name", "at", "subject", "text", "message_id", "marked")
    earlier = ARTICLE.alias("earlier")
    first = ~sa.exists().where(earlier.c.ticket == ARTICLE.c.ticket, earlier.c.id < ARTICLE.c.id)
    newest = sa.select(*(ARTICLE.c[name] for name in columns), first.label("first")).order_by(ARTICLE.c.id.desc())
    return newest.limit(1)


def _seen_ids() -> sa.Subquery:
    theirs = sa.select(ARTICLE.c.message_id, ARTICLE.c.at.label("at")).where(
        ARTICLE.c.ticket == sa.bindparam("ticket"),
        ARTICLE.c.kind == ArticleKind.INBOUND,
        ARTICLE.c.message_id.is_not(None),
    )
    ours = sa.select(OUTBOX.c.message_id, OUTBOX.c.sent.label("at")).where(
        OUTBOX.c.ticket == sa.bindparam("ticket"),
        OUTBOX.c.recipient_key == sa.bindparam("recipient"),
        OUTBOX.c.id < sa.bindparam("before"),  # looked at again when it has left, the mail is the same
        OUTBOX.c.sent.is_not(None),
        OUTBOX.c.message_id.is_not(None),
    )
    return sa.union_all(theirs, ours).subquery()


_SEEN_IDS = _seen_ids()
_FIRST_ID = sa.select(_SEEN_IDS.c.message_id).order_by(_SEEN_IDS.c.at).limit(1)
_NEWEST_IDS = sa.select(_SEEN_IDS.c.message_id).order_by(_SEEN_IDS.c.at.desc()).limit(IDS_KEPT)
_TICKET = (
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
    .where(TICKET.c.id == sa.bindparam("number"))
)
_ARTICLE = _articles().where(ARTICLE.c.id == sa.bindparam("id"))
_ANSWERED = _articles().where(
    ARTICLE.c.ticket == sa.bindparam("ticket"),
    ARTICLE.c.id < sa.bindparam("before"),
    ARTICLE.c.kind == ArticleKind.INBOUND,
    ARTICLE.c.automatic.is_(False),
)
_FILES = (
    sa.select(ATTACHMENT.c.name, ATTACHMENT.c.size, ATTACHMENT.c.type, ATTACHMENT.c.sha256)
    .where(ATTACHMENT.c.article == sa.bindparam("article"))
    .order_by(ATTACHMENT.c.position)
    .limit(FILES_KEPT)
)
_OWN_ZONE = (
    sa.select(CONTACT.c.zone)
    .join(CONTACT_ADDRESS, CONTACT_ADDRESS.c.contact == CONTACT.c.id)
    .where(CONTACT_ADDRESS.c.address == PARTICIPANT.c.address)
    .correlate(PARTICIPANT)
    .limit(1)
    .scalar_subquery()
)
_PARTICIPANT = (
    sa.select(
        PARTICIPANT.c.id,
        PARTICIPANT.c.role,
        PARTICIPANT.c.generation,
        sa.func.coalesce(sa.func.nullif(_OWN_ZONE, ""), CUSTOMER.c.zone, "").label("zone"),
    )
    .select_from(PARTICIPANT.join(TICKET, TICKET.c.id == PARTICIPANT.c.ticket))
    .outerjoin(CUSTOMER, CUSTOMER.c.id == TICKET.c.customer)
    .where(PARTICIPANT.c.id == sa.bindparam("id"))
)
