"""What people and programs look at: lists and records of the desk, each as --json prints it. SELECTs only.

Takes: a session.  Gives: plain mappings; an unknown value is None, never missing.  Fails: as the database does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from models.inbound.held import HELD
from models.inbound.ledger import LEDGER
from models.outbox.delivery import find_deliveries
from models.outbox.outbox import OUTBOX, RECIPIENT_HEALTH, SUPPRESSION
from models.people.agent import AGENT
from models.people.customer import CUSTOMER
from models.tickets.ticket import ARTICLE, ATTACHMENT, PARTICIPANT, TICKET
from values.vocabulary import HeldState

Row = dict[str, Any]

_TICKET = (
    TICKET.c.id.label("number"),
    TICKET.c.status,
    TICKET.c.subject,
    CUSTOMER.c.name.label("customer"),
    TICKET.c.requester,
    AGENT.c.address.label("assignee"),
    TICKET.c.product,
    TICKET.c.erp,
    TICKET.c.erp_version,
    TICKET.c.product_version,
    TICKET.c.priority,
    TICKET.c.created,
    TICKET.c.updated,
    TICKET.c.language,
    TICKET.c.marked,
    TICKET.c.paused,
    TICKET.c.pause_story,  # for a person: what went to and fro before the breaker stopped it
    TICKET.c.merged_into,
    TICKET.c.follow_up_of,
)
_TICKETS = sa.select(*_TICKET).select_from(
    TICKET.outerjoin(CUSTOMER, CUSTOMER.c.id == TICKET.c.customer).outerjoin(AGENT, AGENT.c.id == TICKET.c.assignee)
)
_LEDGER = tuple(
    LEDGER.c[name]
    for name in (
        *("id", "received", "source", "reverse_path", "forward_paths", "author", "message_id", "sha256", "size"),
        *("state", "reason", "ticket", "matched_by"),
    )
)
_OUTBOX = tuple(
    OUTBOX.c[name]
    for name in (
        *("id", "mail", "recipient", "status", "attempts", "message_id", "ticket", "created", "sent", "key"),
        *("language", "due_at", "last_reply"),
    )
)
_HELD = (
    HELD.c.id,
    HELD.c.held_at.label("held"),
    HELD.c.author,
    HELD.c.subject,
    HELD.c.reason,
    HELD.c.why,
    HELD.c.would,
    HELD.c.ticket,
    CUSTOMER.c.name.label("customer"),
    HELD.c.expires_at.label("expires"),
)


def list_tickets(
    session: Session, *, status: str | None = None, limit: int | None = None, below: int | None = None
) -> list[Row]:
    """Tickets, the newest number first; only those with a number less than `below`, where one is given."""
    wanted = _TICKETS.order_by(TICKET.c.id.desc()).limit(limit)
    wanted = wanted if below is None else wanted.where(TICKET.c.id < below)
    return _rows(session, wanted.where(TICKET.c.status == status) if status else wanted)


def show_ticket(session: Session, number: int) -> Row | None:
    """One ticket with its participants and its articles, oldest first; of an answer, what became of its mails."""
    ticket = _first(session, _TICKETS.where(TICKET.c.id == number))
    if ticket is None:
        return None
    articles = _rows(session, _ARTICLES.where(ARTICLE.c.ticket == number).order_by(ARTICLE.c.id))
    files, deliveries = _files(session, number), find_deliveries(session, number)
    for article in articles:
        id = article.pop("id")
        article |= {"attachments": files.get(id, []), "delivery": deliveries.get(id, [])}
    people = _rows(session, _PEOPLE.where(PARTICIPANT.c.ticket == number).order_by(PARTICIPANT.c.id))
    return ticket | {"participants": people, "articles": articles}


_PEOPLE = sa.select(
    PARTICIPANT.c.address, PARTICIPANT.c.name, PARTICIPANT.c.role, SUPPRESSION.c.reason.label("suppressed")
).select_from(PARTICIPANT.outerjoin(SUPPRESSION, SUPPRESSION.c.address == PARTICIPANT.c.address))
_ARTICLES = sa.select(
    *(ARTICLE.c[name] for name in ("id", "kind", "author", "author_name", "at", "subject", "text", "full_text")),
    *(ARTICLE.c[name] for name in ("message_id", "ledger", "marked", "automatic")),
)


def _files(session: Session, number: int) -> dict[int, list[Row]]:
    """The attachments of a ticket, by article."""
    columns = ("article", "name", "type", "size", "sha256", "inline", "content_id")
    wanted = (
        sa.select(*(ATTACHMENT.c[name] for name in columns))
        .select_from(ATTACHMENT.join(ARTICLE, ARTICLE.c.id == ATTACHMENT.c.article))
        .where(ARTICLE.c.ticket == number)
        .order_by(ATTACHMENT.c.article, ATTACHMENT.c.position)
    )
    files: dict[int, list[Row]] = {}
    for row in _rows(session, wanted):
        files.setdefault(row.pop("article"), []).append(row)
    return files


def list_ledger(
    session: Session, *, state: str | None = None, limit: int | None = None, below: str | None = None
) -> list[Row]:
    """What became of each accepted mail, the newest first; only ids less than `below`, where one is given."""
    wanted = sa.select(*_LEDGER).order_by(LEDGER.c.id.desc()).limit(limit)
    wanted = wanted if below is None else wanted.where(LEDGER.c.id < below)
    return _rows(session, wanted.where(LEDGER.c.state == state) if state else wanted)


def show_ledger(session: Session, id: str) -> Row | None:
    """One accepted mail, with all that the decision rests on."""
    more = ("recorded", "client_ip", "helo", "tls", "author_name", "subject", "copy_of", "auth", "defects", "trace")
    return _first(session, sa.select(*_LEDGER, *(LEDGER.c[name] for name in more)).where(LEDGER.c.id == id))


def count_ledger(session: Session) -> dict[str, int]:
    """How many accepted mails ended in which state; states without any are left out."""
    wanted = sa.select(LEDGER.c.state, sa.func.count()).group_by(LEDGER.c.state)
    return {str(state): int(count) for state, count in session.connection().execute(wanted)}


def count_held(session: Session) -> int:
    """How many mails wait for a person's judgment."""
    wanted = sa.select(sa.func.count()).select_from(HELD).where(HELD.c.state == HeldState.HELD)
    return int(session.connection().execute(wanted).scalar_one())


def count_outbox(session: Session) -> dict[str, int]:
    """How many outgoing mails have which status; a status without any is left out."""
    wanted = sa.select(OUTBOX.c.status, sa.func.count()).group_by(OUTBOX.c.status)
    return {str(status): int(count) for status, count in session.connection().execute(wanted)}


def list_outbox(
    session: Session, *, status: str | None = None, limit: int | None = None, below: int | None = None
) -> list[Row]:
    """Outgoing mails, the newest first; only ids less than `below`, where one is given."""
    wanted = sa.select(*_OUTBOX).order_by(OUTBOX.c.id.desc()).limit(limit)
    wanted = wanted if below is None else wanted.where(OUTBOX.c.id < below)
    return _rows(session, wanted.where(OUTBOX.c.status == status) if status else wanted)


def show_outbox(session: Session, id: int) -> Row | None:
    """One outgoing mail."""
    return _first(session, sa.select(*_OUTBOX).where(OUTBOX.c.id == id))


def list_suppressed(session: Session, *, limit: int | None = None, after: Mapping[str, Any] | None = None) -> list[Row]:
    """Addresses that get no mail, why, since when, and the mail whose report said so; the newest first, and only those
    after that row, where one is given."""
    since, address = SUPPRESSION.c.since, SUPPRESSION.c.address
    wanted = _SUPPRESSED.order_by(since.desc(), address).limit(limit)
    if after is not None:
        same = sa.and_(since == after["since"], address > after["address"])
        wanted = wanted.where(sa.or_(since < after["since"], same))
    return _rows(session, wanted)


_SUPPRESSED = sa.select(
    SUPPRESSION.c.address,
    SUPPRESSION.c.reason,
    SUPPRESSION.c.since,
    RECIPIENT_HEALTH.c.hard_bounces,
    RECIPIENT_HEALTH.c.last_status,
    SUPPRESSION.c.outbox,
    OUTBOX.c.ticket,
).select_from(
    SUPPRESSION.outerjoin(RECIPIENT_HEALTH, RECIPIENT_HEALTH.c.address == SUPPRESSION.c.address).outerjoin(
        OUTBOX, OUTBOX.c.id == SUPPRESSION.c.outbox
    )
)


def list_held(session: Session, *, limit: int | None = None, after: Mapping[str, Any] | None = None) -> list[Row]:
    """Mails that wait for a person's judgment, the longest held first; only those after a row, where one is given."""
    place = (HELD.c.held_at, HELD.c.id)
    wanted = _HELDS.where(HELD.c.state == HeldState.HELD).order_by(*place).limit(limit)
    if after is not None:
        later = HELD.c.held_at > after["held"]
        wanted = wanted.where(sa.or_(later, sa.and_(HELD.c.held_at == after["held"], HELD.c.id > after["id"])))
    return _rows(session, wanted)


def show_held(session: Session, id: str) -> Row | None:
    """One mail that waits, with the beginning of its text; None where it does not (any more)."""
    return _first(session, _HELDS.add_columns(HELD.c.text).where(HELD.c.state == HeldState.HELD, HELD.c.id == id))


_HELDS = sa.select(*_HELD).select_from(HELD.outerjoin(CUSTOMER, CUSTOMER.c.id == HELD.c.customer))


def _rows(session: Session, wanted: sa.Select[Any]) -> list[Row]:
    found: Sequence[sa.Row[Any]] = session.connection().execute(wanted).all()
    return [dict(row._mapping) for row in found]


def _first(session: Session, wanted: sa.Select[Any]) -> Row | None:
    row = session.connection().execute(wanted).first()
    return dict(row._mapping) if row else None
