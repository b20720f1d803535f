"""Lists of tickets in the portal: my own, those that wait for me first; a company's, the last changed first.

Takes: the `Viewer` (models/views/ticket_scope.py says what is his to see) and what is `Wanted`.  Gives: a
`TicketList`, with none of what is not his. SELECTs only. Each look reads at most LOOKED_AT tickets from an index,
however many there are; a page says where it stopped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from models.people.customer import CUSTOMER
from models.tickets.ticket import ARTICLE, PARTICIPANT, TICKET
from models.views.ticket_scope import OUTSIDE, TAKES_PART, customers_of, visible
from models.views.viewer import Viewer
from values.vocabulary import ArticleKind, TicketStatus

LOOKED_AT = 2000  # tickets, open or closed, that one page is chosen from
PAGE = 25  # tickets on a page


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a page of a list begins: behind the ticket with these. `waits`: of my own, which sort by it first."""

    updated: datetime
    number: int
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a list is to show. `status`: open, waiting, closed or all; `words`: of the subject, or the number."""

    customer: int | None = None  # None = those in which the viewer takes part
    status: str = "open"
    product: str = ""
    words: str = ""
    after: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRow:
    number: int
    subject: str
    status: TicketStatus
    requester: str
    product: str | None
    customer: str | None  # name
    updated: datetime
    since: datetime | None = None  # when the last word of the other side came: since then somebody waits


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketList:
    tickets: tuple[TicketRow, ...] = ()
    count: int = 0  # of all that fit, among those looked at
    partial: bool = False  # older ones were not looked at
    after: Place | None = None  # where the next page begins; None = this was the last


def list_customer_tickets(session: Session, viewer: Viewer, wanted: Wanted) -> TicketList:
    """A page of the viewer's own tickets, those that wait for him first; or of a company's, the last changed first.

    None of a customer that is not his to see.
    """
    if wanted.customer is not None and wanted.customer not in customers_of(viewer):
        return TicketList()
    if number := _number_in(wanted.words):
        return _with_dates(session, _by_number(session, viewer, number, wanted.customer))
    near = (_mine(viewer) if wanted.customer is None else _of_company(wanted.customer, wanted.after)).subquery()
    found = _chosen(session, near, wanted)
    rows, more = found[:PAGE], len(found) > PAGE
    looked_at, end = _end_of(session, near)
    partial, after = looked_at >= LOOKED_AT, _place_of(rows[-1]) if more else None
    if partial and after is None and wanted.customer is not None and end is not None:
        after = Place(updated=end.updated, number=end.id)  # go on where the look ended
    count = (len(found) if wanted.words else found[0].total) if found else 0
    return _with_dates(
        session, TicketList(tickets=tuple(_row(row) for row in rows), count=count, partial=partial, after=after)
    )


_COLUMNS = (
    *(TICKET.c[name] for name in ("id", "subject", "status", "requester", "requester_name", "product", "updated")),
    *(TICKET.c.customer, TICKET.c.merged_into),
)


def _of_company(customer: int, after: Place | None) -> sa.Select[Any]:
    """The next tickets of a company behind a place, by ix_ticket_customer_updated."""
    newest = sa.select(*_COLUMNS).where(TICKET.c.customer == customer)
    if after is not None:
        behind = (TICKET.c.updated < after.updated) | (TICKET.c.id < after.number)
        newest = newest.where(TICKET.c.updated <= after.updated, behind)
    return newest.order_by(TICKET.c.updated.desc(), TICKET.c.id.desc()).limit(LOOKED_AT)


def _mine(viewer: Viewer) -> sa.Select[Any]:
    """The tickets which the viewer joined last, by ix_participant_address."""
    part = sa.select(PARTICIPANT.c.ticket).where(PARTICIPANT.c.address.in_(viewer.addresses), TAKES_PART)
    newest = part.order_by(PARTICIPANT.c.id.desc()).limit(LOOKED_AT).subquery()
    return sa.select(*_COLUMNS).where(TICKET.c.id.in_(sa.select(newest.c.ticket)))


def _chosen(session: Session, near: sa.Subquery, wanted: Wanted) -> list[sa.Row[Any]]:
    """Those of the near tickets that fit, in the order of the list; of a search all, else one more than a page has."""
    waits = near.c.status == TicketStatus.PENDING
    by_waiting = [sa.case((waits, 0), else_=1)] if wanted.customer is None else []
    total = sa.func.count().over().label("total")
    fitting = sa.select(near, CUSTOMER.c.name.label("company"), total).outerjoin(
        CUSTOMER, CUSTOMER.c.id == near.c.customer
    )
    fitting = fitting.where(near.c.merged_into.is_(None), *_of_status(near.c.status, wanted.status))
    if wanted.product:
        fitting = fitting.where(near.c.product == wanted.product)
    ordered = fitting.order_by(*by_waiting, near.c.updated.desc(), near.c.id.desc())
    if wanted.words:
        said = wanted.words.casefold()
        rows = session.connection().execute(ordered).all()
        found = [row for row in rows if said in row.subject.casefold()]
        return _behind(found, wanted)
    if wanted.customer is not None:
        return list(session.connection().execute(ordered.limit(PAGE + 1)).all())
    return _behind(list(session.connection().execute(ordered).all()), wanted)


def _behind(rows: list[sa.Row[Any]], wanted: Wanted) -> list[sa.Row[Any]]:
    """Of an ordered list what comes after the place; the company's lists begin there already."""
    after = wanted.after
    if after is None or wanted.customer is not None:
        return rows
    place = (not after.waits, -after.updated.timestamp(), -after.number)
    return [row for row in rows if (row.status is not TicketStatus.PENDING, -row.updated.timestamp(), -row.id) > place]


def _of_status(status: sa.ColumnElement[Any], word: str) -> list[sa.ColumnElement[bool]]:
    match word:
        case "open":
            return [status != TicketStatus.CLOSED]
        case "waiting":
            return [status == TicketStatus.PENDING]
        case "closed":
            return [status == TicketStatus.CLOSED]
        case _:
            return []


def _end_of(session: Session, near: sa.Subquery) -> tuple[int, Any]:
    """How many tickets were looked at, and the last of them."""
    connection = session.connection()
    count = int(connection.execute(sa.select(sa.func.count()).select_from(near)).scalar_one())
    if count < LOOKED_AT:
        return count, None
    last = sa.select(near.c.id, near.c.updated).order_by(near.c.updated, near.c.id).limit(1)
    return count, connection.execute(last).first()


def _by_number(session: Session, viewer: Viewer, number: int, customer: int | None) -> TicketList:
    wanted = sa.select(*_COLUMNS, CUSTOMER.c.name.label("company")).outerjoin(
        CUSTOMER, CUSTOMER.c.id == TICKET.c.customer
    )
    wanted = wanted.where(TICKET.c.id == number, TICKET.c.merged_into.is_(None), visible(viewer))
    if customer is not None:
        wanted = wanted.where(TICKET.c.customer == customer)
    rows = session.connection().execute(wanted).all()
    return TicketList(tickets=tuple(_row(row) for row in rows), count=len(rows))


def _number_in(words: str) -> int | None:
    """The ticket that a search for nothing but a number means: `1042`, `#1042`, `[PD-1042]`."""
    text = words.strip(" #[]").rpartition("-")[2]
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 and " " not in words.strip() else None


def _row(row: Any) -> TicketRow:
    return TicketRow(
        number=row.id,
        subject=row.subject,
        status=row.status,
        requester=row.requester_name or row.requester,
        product=row.product,
        customer=row.company,
        updated=row.updated,
    )


def _place_of(row: sa.Row[Any]) -> Place:
    return Place(updated=row.updated, number=row.id, waits=row.status is TicketStatus.PENDING)


def _with_dates(session: Session, found: TicketList) -> TicketList:
    since = waiting_since(session, {row.number: row.status for row in found.tickets})
    return replace(found, tickets=tuple(replace(row, since=since.get(row.number)) for row in found.tickets))


def waiting_since(session: Session, tickets: Mapping[int, TicketStatus]) -> dict[int, datetime]:
    """Since when somebody waits on each of these tickets: the last word of the other side, where it said one."""
    newest = sa.select(ARTICLE.c.ticket, ARTICLE.c.kind, sa.func.max(ARTICLE.c.at).label("at"))
    newest = newest.where(ARTICLE.c.ticket.in_(list(tickets)), ARTICLE.c.kind.in_(OUTSIDE), ~ARTICLE.c.automatic)
    rows = session.connection().execute(newest.group_by(ARTICLE.c.ticket, ARTICLE.c.kind))
    return {row.ticket: row.at for row in rows if row.kind is _spoke_last(tickets[row.ticket])}


def _spoke_last(status: TicketStatus) -> ArticleKind:
    return ArticleKind.OUTBOUND if status is TicketStatus.PENDING else ArticleKind.INBOUND
