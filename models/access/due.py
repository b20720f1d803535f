"""What is due about access by now: the numbers of requests and seats, for the jobs. SELECTs only."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session

from models.access.request import ACCESS_REQUEST
from models.outbox.outbox import OUTBOX
from models.people.contract import CONTRACT
from models.people.customer import CUSTOMER, SEAT
from models.sessions.link import ONE_USE_LINK
from values.vocabulary import AccessState, MailName, OutboxStatus, SeatState

_IS_LOAN = SEAT.c.stands_in_for.is_not(None)


def loans_over(session: Session, now: datetime) -> list[int]:
    """Seats that stand in for another and whose time is over."""
    over = (_IS_LOAN, SEAT.c.state == SeatState.ACTIVE, SEAT.c.until <= now)
    return list(session.connection().execute(sa.select(SEAT.c.id).where(*over).order_by(SEAT.c.until)).scalars())


def loans_to_start(session: Session, now: datetime) -> list[int]:
    """Replacements that are agreed, accepted, and begin."""
    begins = (_IS_LOAN, SEAT.c.state == SeatState.PLANNED, SEAT.c.starts <= now)
    return list(session.connection().execute(sa.select(SEAT.c.id).where(*begins).order_by(SEAT.c.starts)).scalars())


def loans_ending(session: Session, now: datetime, by: datetime) -> list[tuple[int, datetime]]:
    """Replacements that end between now and then, and when."""
    ending = (_IS_LOAN, SEAT.c.state == SeatState.ACTIVE, SEAT.c.until > now, SEAT.c.until <= by)
    rows = session.connection().execute(sa.select(SEAT.c.id, SEAT.c.until).where(*ending).order_by(SEAT.c.id))
    return [(row.id, row.until) for row in rows]


def requests_to_invite(session: Session) -> list[tuple[int, int]]:
    """Approved requests, and the seat that each approval reserved: another one each time."""
    rows = session.connection().execute(
        sa.select(ACCESS_REQUEST.c.id, ACCESS_REQUEST.c.seat)
        .where(ACCESS_REQUEST.c.state == AccessState.APPROVED)
        .order_by(ACCESS_REQUEST.c.due)
    )
    return [(row.id, row.seat) for row in rows]


def requests_to_warn(session: Session, by: datetime) -> list[tuple[int, datetime]]:
    """Requests that are ours to answer and due by then, and when."""
    waits = ACCESS_REQUEST.c.state.in_((AccessState.WAITING, AccessState.APPROVED))
    rows = session.connection().execute(
        sa.select(ACCESS_REQUEST.c.id, ACCESS_REQUEST.c.due).where(waits, ACCESS_REQUEST.c.due <= by)
    )
    return [(row.id, row.due) for row in rows]


def unproved_over(session: Session, before: datetime) -> list[int]:
    """Requests made before then whose address nobody has proved."""
    over = (ACCESS_REQUEST.c.state == AccessState.UNPROVED, ACCESS_REQUEST.c.created <= before)
    return list(session.connection().execute(sa.select(ACCESS_REQUEST.c.id).where(*over)).scalars())


def invitations_over(session: Session, before: datetime) -> list[tuple[int, int]]:
    """Requests whose invitation left before then and was not accepted, and the seat that was reserved."""
    over = (ACCESS_REQUEST.c.state == AccessState.INVITED, ACCESS_REQUEST.c.invited_at <= before)
    rows = session.connection().execute(sa.select(ACCESS_REQUEST.c.id, ACCESS_REQUEST.c.seat).where(*over))
    return [(row.id, row.seat) for row in rows]


def invitations_failed(session: Session) -> list[tuple[int, int]]:
    """Requests whose newest invitation the smarthost refused, or whose address gets no mail; and its link."""
    number, address = sa.cast(ONE_USE_LINK.c.id, sa.String), sa.func.lower(ONE_USE_LINK.c.address)
    key = sa.literal(f"{MailName.INVITATION}:link:").concat(number).concat(":").concat(address)  # Notice.key_of
    failed = OUTBOX.c.status.in_((OutboxStatus.FAILED, OutboxStatus.SUPPRESSED))
    is_open = (ONE_USE_LINK.c.used_at.is_(None), ONE_USE_LINK.c.ended_at.is_(None))
    rows = session.connection().execute(
        sa.select(ACCESS_REQUEST.c.id, ONE_USE_LINK.c.id.label("link"))
        .join(ONE_USE_LINK, ONE_USE_LINK.c.request == ACCESS_REQUEST.c.id)
        .join(OUTBOX, OUTBOX.c.key == key)
        .where(ACCESS_REQUEST.c.state == AccessState.INVITED, *is_open, failed)
    )
    return [(row.id, row.link) for row in rows]


def customers_with_contracts(session: Session) -> list[tuple[int, str]]:
    """Customers who have a contract, and their time zones."""
    has = sa.exists().where(CONTRACT.c.customer == CUSTOMER.c.id)
    rows = session.connection().execute(sa.select(CUSTOMER.c.id, CUSTOMER.c.zone).where(has).order_by(CUSTOMER.c.id))
    return [(row.id, row.zone) for row in rows]
