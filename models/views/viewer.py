"""Who looks at a page, and what is theirs to see: the one place where pages are scoped (threat T49). SELECTs only.

Every request asks anew, so who lost a seat or left the vendor sees nothing from that moment, whatever cookie he has.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session

from models.access.request import ACCESS_REQUEST
from models.access.views import RequestView, SeatView, find_request, list_seats
from models.inbound.held import HELD
from models.people.agent import AGENT
from models.people.customer import (
    CONTACT,
    CONTACT_ADDRESS,
    CONTACT_CUSTOMER,
    CUSTOMER,
    HAS_HELD,
    PARTNER_CUSTOMER,
    SEAT,
    own_zone,
    seat_held_at,
)
from models.sessions.web_session import find_session
from values.vocabulary import AccessKind, AccessState, HeldState, Reason, SeatState

_BEGUN = (SeatState.ACTIVE, SeatState.RESTING)
_SEATED = (*_BEGUN, SeatState.PLANNED)
_TEXT_SHOWN = 1000  # characters of a colleague's mail
_MOST = 100  # rows of one list on a page


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Somebody signed in: an agent, a contact (a superuser, a colleague without a seat, one of a partner), or both."""

    session: int  # of the web session, for the audit
    address: str  # an agent's, else the contact's main one
    name: str
    language: str | None
    zone: str  # "" = the desk's
    agent: int | None = None
    contact: int | None = None
    customers: tuple[int, ...] = ()  # in which the contact holds a seat, now, lent or to come
    seated: tuple[int, ...] = ()  # … at this moment: all tickets of these customers are his to see
    serves: tuple[int, ...] = ()  # customers of the partner whose contact this is
    addresses: tuple[str, ...] = ()  # of the contact, the main one first, wholly lower-cased

    @property
    def via(self) -> str:
        return f"session:{self.session}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColleagueMail:
    """A colleague's mail that waits for a superuser's word."""

    id: str
    author: str
    subject: str
    text: str
    held_at: datetime
    asked: bool  # somebody has let it through; the pipeline is about to


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """What the superusers' page shows of one customer."""

    id: int
    name: str
    zone: str
    seats: int  # the contract's number
    held_by: tuple[SeatView, ...]  # not ended
    past: tuple[SeatView, ...]  # ended, the newest first
    mails: tuple[ColleagueMail, ...]
    requests: tuple[RequestView, ...]  # replacements that wait for a superuser's word


def find_viewer(session: Session, token: str, now: datetime) -> Viewer | None:
    """Who has the session of this cookie's value; None where it has ended, or its owner has no role any more."""
    signed_in = find_session(session, token, now)
    if signed_in is None:
        return None
    connection = session.connection()
    agent = connection.execute(_AGENT.where(AGENT.c.id == signed_in.agent)).first() if signed_in.agent else None
    person = connection.execute(_PERSON.where(CONTACT.c.id == signed_in.contact)).first() if signed_in.contact else None
    if agent is None and person is None:
        return None
    ties = find_ties(session, person.id, person.partner, now) if person else Ties()
    customers = ties.customers
    if agent is None and not ties.may_sign_in:
        return None
    known = agent or person
    assert known is not None
    return Viewer(
        session=signed_in.id,
        address=known.address,
        name=known.name or known.address,
        language=known.language,
        zone=known.zone,
        agent=agent.id if agent else None,
        contact=person.id if person else None,
        customers=customers,
        seated=ties.seated,
        serves=ties.serves,
        addresses=ties.addresses,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """What a contact is to the customers."""

    customers: tuple[int, ...] = ()  # with a seat, now, lent or to come
    seated: tuple[int, ...] = ()  # with an active seat
    serves: tuple[int, ...] = ()
    addresses: tuple[str, ...] = ()
    is_colleague: bool = False  # belongs to a customer, and never held a seat

    @property
    def may_sign_in(self) -> bool:
        """Not who only had a seat: he is out as soon as it ends (threat T51)."""
        return bool(self.customers or self.serves or self.is_colleague)


def find_ties(session: Session, contact: int, partner: int | None, now: datetime) -> Ties:
    """The seats, the partner's customers and the addresses of a contact."""
    connection = session.connection()
    seat = sa.select(SEAT.c.customer, SEAT.c.state, seat_held_at(now).label("held"))
    held = connection.execute(seat.where(SEAT.c.contact == contact, HAS_HELD)).all()
    serves = sa.select(PARTNER_CUSTOMER.c.customer).where(PARTNER_CUSTOMER.c.partner == partner)
    member = sa.select(CONTACT_CUSTOMER.c.customer).where(CONTACT_CUSTOMER.c.contact == contact).limit(1)
    named = sa.select(CONTACT_ADDRESS.c.address).where(CONTACT_ADDRESS.c.contact == contact)
    named = named.order_by(CONTACT_ADDRESS.c.main.desc(), CONTACT_ADDRESS.c.id)
    return Ties(
        customers=tuple(sorted({seat.customer for seat in held if seat.state in _SEATED})),
        seated=tuple(sorted({seat.customer for seat in held if seat.held})),
        serves=() if partner is None else tuple(sorted(connection.execute(serves).scalars())),
        addresses=tuple(connection.execute(named).scalars()),
        is_colleague=not held and connection.execute(member).first() is not None,
    )


def list_companies(session: Session, viewer: Viewer) -> list[Company]:
    """The customers in which the viewer holds a seat, with all that a superuser may see of them."""
    connection = session.connection()
    rows = connection.execute(
        sa.select(CUSTOMER).where(CUSTOMER.c.id.in_(viewer.customers)).order_by(CUSTOMER.c.name)
    ).all()
    return [_company(session, row, viewer) for row in rows]


def list_customer_names(session: Session) -> list[tuple[int, str]]:
    """Every customer by name: what an agent chooses from."""
    rows = session.connection().execute(sa.select(CUSTOMER.c.id, CUSTOMER.c.name).order_by(CUSTOMER.c.name))
    return [(row.id, row.name) for row in rows]


def _company(session: Session, row: sa.Row[tuple[object, ...]], viewer: Viewer) -> Company:
    seats = list_seats(session, row.id, history=True)
    # What colleagues wrote is for who holds a seat or lent it; a stand-in reads it from the first day on.
    begun = any(seat.contact == viewer.contact and seat.state in _BEGUN for seat in seats)
    ended = [seat for seat in seats if seat.state is SeatState.ENDED]
    return Company(
        id=row.id,
        name=row.name,
        zone=row.zone,
        seats=row.seats,
        held_by=tuple(seat for seat in seats if seat.state is not SeatState.ENDED),
        past=tuple(sorted(ended, key=lambda seat: seat.until or seat.starts, reverse=True)[:_MOST]),
        mails=_mails(session, row.id) if begun else (),
        requests=_requests(session, row.id) if begun else (),
    )


def _mails(session: Session, customer: int) -> tuple[ColleagueMail, ...]:
    which = (
        HELD.c.customer == customer,
        HELD.c.state == HeldState.HELD,
        HELD.c.reason == Reason.COLLEAGUE_WITHOUT_SEAT,
    )
    rows = session.connection().execute(sa.select(HELD).where(*which).order_by(HELD.c.held_at, HELD.c.id).limit(_MOST))
    return tuple(
        ColleagueMail(
            id=row.id,
            author=row.author or "",
            subject=row.subject,
            text=row.text[:_TEXT_SHOWN],
            held_at=row.held_at,
            asked=row.release_by is not None,
        )
        for row in rows
    )


def _requests(session: Session, customer: int) -> tuple[RequestView, ...]:
    which = (
        ACCESS_REQUEST.c.customer == customer,
        ACCESS_REQUEST.c.state == AccessState.WAITING,
        ACCESS_REQUEST.c.kind == AccessKind.IN_PLACE_OF,
        ACCESS_REQUEST.c.agreed_by.is_(None),
    )
    wanted = sa.select(ACCESS_REQUEST.c.id).where(*which).order_by(ACCESS_REQUEST.c.id).limit(_MOST)
    found = [find_request(session, id) for id in session.connection().execute(wanted).scalars().all()]
    return tuple(request for request in found if request)


_AGENT = sa.select(AGENT.c.id, AGENT.c.address, AGENT.c.name, AGENT.c.language, AGENT.c.zone).where(AGENT.c.active)
_MAIN = (
    sa.select(CONTACT_ADDRESS.c.address)
    .where(CONTACT_ADDRESS.c.contact == CONTACT.c.id, CONTACT_ADDRESS.c.main)
    .order_by(CONTACT_ADDRESS.c.id)
    .limit(1)
    .correlate(CONTACT)
    .scalar_subquery()
)
_PERSON = sa.select(
    CONTACT.c.id,
    CONTACT.c.name,
    CONTACT.c.language,
    own_zone(),
    CONTACT.c.partner,
    sa.func.coalesce(_MAIN, "").label("address"),
)
