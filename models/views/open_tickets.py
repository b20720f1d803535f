"""The open tickets of a person or of a company, for the mail that answers `status` (domain.md 6). SELECTs only.

Takes: whose they are.  Gives: `OpenTickets`.  Each look reads at most LOOKED_AT tickets from an index, however many
there are: of a person the newest ones, of a company those that changed last.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from models.db.keys import address_key
from models.people.customer import SEAT, seat_held_at
from models.tickets.ticket import PARTICIPANT, TICKET
from values.vocabulary import ParticipantRole, TicketStatus

SHOWN = 50  # tickets in one mail
LOOKED_AT = 2000  # tickets, open or closed, of one person or one company
_COMPANIES = 20  # of one superuser


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTicket:
    number: int
    subject: str
    status: TicketStatus
    updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTickets:
    """Those that wait for the customer first, then the last changed first; `more`: how many are not among them."""

    tickets: tuple[OpenTicket, ...] = ()
    more: int = 0


def find_own_tickets(session: Session, contact: int | None, address: str) -> OpenTickets:
    """Open tickets of a contact; of somebody who is none, those that `address` asked for."""
    if contact is not None:
        return _together(session, (_OF_CONTACT, {"contact": contact}))
    return _together(session, (_OF_ADDRESS, {"address": address_key(address)}))


def find_company_tickets(session: Session, contact: int, now: datetime) -> OpenTickets:
    """Open tickets of every customer in which the contact holds a seat at this moment; none where there is none."""
    held = sa.select(SEAT.c.customer).where(SEAT.c.contact == contact, seat_held_at(now))
    customers = session.connection().execute(held.distinct().order_by(SEAT.c.customer).limit(_COMPANIES)).scalars()
    return _together(session, *((_OF_CUSTOMER, {"customer": customer}) for customer in customers.all()))


def _together(session: Session, *looks: tuple[sa.Select[Any], dict[str, object]]) -> OpenTickets:
    found = [row for which, values in looks for row in session.connection().execute(which, values).all()]
    tickets = {row.number: OpenTicket(number=row.number, subject=row.subject, status=row.status, updated=row.updated)
               for row in found}  # fmt: skip
    total = sum({row.look: row.total for row in found}.values())
    shown = sorted(tickets.values(), key=lambda one: (one.status is TicketStatus.PENDING, one.updated), reverse=True)
    return OpenTickets(tickets=tuple(shown[:SHOWN]), more=total - min(len(shown), SHOWN))


def _open_among(which: sa.Select[Any], look: sa.ColumnElement[Any]) -> sa.Select[Any]:
    near = which.add_columns(look.label("look")).limit(LOOKED_AT).subquery()
    is_open = (near.c.status != TicketStatus.CLOSED) & near.c.merged_into.is_(None)
    waits = sa.case((near.c.status == TicketStatus.PENDING, 0), else_=1)
    wanted = sa.select(near.c.id.label("number"), near.c.subject, near.c.status, near.c.updated, near.c.look)
    counted = wanted.add_columns(sa.func.count().over().label("total")).where(is_open)
    return counted.order_by(waits, near.c.updated.desc()).limit(SHOWN)


_COLUMNS = sa.select(TICKET.c.id, TICKET.c.subject, TICKET.c.status, TICKET.c.updated, TICKET.c.merged_into)
_OF_CONTACT = _open_among(
    _COLUMNS.where(TICKET.c.contact == sa.bindparam("contact")).order_by(TICKET.c.id.desc()), sa.literal(0)
)
_OF_ADDRESS = _open_among(
    _COLUMNS.join(PARTICIPANT, PARTICIPANT.c.ticket == TICKET.c.id)
    .where(PARTICIPANT.c.address == sa.bindparam("address"), PARTICIPANT.c.role == ParticipantRole.REQUESTER)
    .order_by(PARTICIPANT.c.id.desc()),
    sa.literal(0),
)
_OF_CUSTOMER = _open_among(
    _COLUMNS.where(TICKET.c.customer == sa.bindparam("customer")).order_by(TICKET.c.updated.desc()), TICKET.c.customer
)
