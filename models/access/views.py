"""What mails, pages and commands about access show: rows as plain values. SELECTs only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from models.access.request import ACCESS_REQUEST
from models.inbound.held import HELD
from models.people.agent import AGENT
from models.people.contract import CONTRACT
from models.people.customer import CONTACT, CONTACT_ADDRESS, CUSTOMER, PARTNER, SEAT
from models.sessions.link import ONE_USE_LINK
from values.vocabulary import AccessKind, AccessState, Belief, LinkPurpose, SeatState

_TEXT_SHOWN = 1000  # characters of a colleague's mail


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatView:
    """One row of `seat list` and of the superusers' page."""

    id: int
    customer: int
    customer_name: str
    contact: int
    name: str
    address: str
    state: SeatState
    slot: int | None
    starts: datetime
    until: datetime | None
    starts_on: date | None
    ends_on: date | None
    stands_in_for: int | None  # seat
    regular: str | None  # whom it stands in for: name, or address
    flag: str | None

    @property
    def who(self) -> str:
        return self.name or self.address


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestView:
    """One row of `access list` and of the access desk."""

    id: int
    state: AccessState
    kind: AccessKind
    name: str
    address: str
    company: str  # as the applicant wrote it
    phone: str
    language: str
    in_place_of: str  # as the applicant wrote it
    starts_on: date | None
    ends_on: date | None
    customer: int | None
    customer_name: str | None
    seat: int | None
    belief: Belief
    said: str = ""  # the words of the mail that asked
    evidence: tuple[str, ...]
    via: str
    created: datetime
    due: datetime
    proved_at: datetime | None
    decided_at: datetime | None
    decided_by: str | None
    reason: str | None
    agreed_by: str | None
    invited_at: datetime | None
    accepted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkView:
    id: int
    purpose: LinkPurpose
    seed: str
    expires: datetime
    is_open: bool  # neither used nor ended


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldView:
    author: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRows:
    """All that a mail about access says."""

    request: RequestView | None = None
    seat: SeatView | None = None
    link: LinkView | None = None
    held: HeldView | None = None
    customer: str | None = None
    seats: int | None = None  # the contract's number
    holders: tuple[SeatView, ...] = ()  # of the seats that count
    manager: str | None = None  # address of the customer's account manager


def find_access_rows(session: Session, about: Mapping[str, str | int | None]) -> AccessRows | None:
    """The rows behind the ids of a mail; None where it is about none of them."""
    ids = {name: about[name] for name in ("request", "seat", "link", "held") if about.get(name)}
    if not ids:
        return None
    request = find_request(session, int(ids["request"] or 0)) if "request" in ids else None
    seat = find_seat(session, int(ids["seat"] or 0)) if "seat" in ids else None
    if seat is None and request is not None and request.seat is not None:
        seat = find_seat(session, request.seat)
    customer = (request.customer if request else None) or (seat.customer if seat else None)
    company = _company(session, customer)
    return AccessRows(
        request=request,
        seat=seat,
        link=_link(session, int(ids["link"] or 0)) if "link" in ids else None,
        held=_held(session, str(ids["held"])) if "held" in ids else None,
        customer=company.name if company else None,
        seats=company.seats if company else None,
        holders=tuple(s for s in list_seats(session, customer) if s.slot is not None and s.state in _COUNTS)
        if company
        else (),
        manager=company.manager if company else None,
    )


def list_requests(session: Session, *, open_only: bool = False, limit: int = 500) -> list[RequestView]:
    """Requests, those due first."""
    which = _REQUESTS.order_by(ACCESS_REQUEST.c.due, ACCESS_REQUEST.c.id).limit(limit)
    if open_only:
        which = which.where(ACCESS_REQUEST.c.state.in_((AccessState.WAITING, AccessState.APPROVED)))
    return [_request_view(row) for row in session.connection().execute(which)]


def find_request(session: Session, id: int) -> RequestView | None:
    """One request."""
    row = session.connection().execute(_REQUESTS.where(ACCESS_REQUEST.c.id == id)).first()
    return _request_view(row) if row else None


def count_late(session: Session, now: datetime) -> int:
    """Requests that are ours to answer and over their 24 hours: a metric, and a line of `access list`."""
    late = (ACCESS_REQUEST.c.state.in_((AccessState.WAITING, AccessState.APPROVED)), ACCESS_REQUEST.c.due < now)
    counted = sa.select(sa.func.count()).select_from(ACCESS_REQUEST).where(*late)
    return int(session.connection().execute(counted).scalar_one())


def list_seats(session: Session, customer: int | None = None, *, history: bool = False) -> list[SeatView]:
    """The seats of a customer, or of all, by customer and age; with `history`, the ended ones too."""
    which = _SEATS.order_by(CUSTOMER.c.name, SEAT.c.customer, SEAT.c.id)
    if customer is not None:
        which = which.where(SEAT.c.customer == customer)
    if not history:
        which = which.where(SEAT.c.state != SeatState.ENDED)
    return [SeatView(**row._mapping) for row in session.connection().execute(which)]


def find_seat(session: Session, id: int) -> SeatView | None:
    """One seat, ended or not."""
    row = session.connection().execute(_SEATS.where(SEAT.c.id == id)).first()
    return SeatView(**row._mapping) if row else None


def list_contract_rows(session: Session) -> list[dict[str, Any]]:
    """Contracts for the table of `contract list`, by number."""
    named = (
        sa.select(CONTRACT, CUSTOMER.c.name.label("customer_name"), PARTNER.c.name.label("first_line"))
        .select_from(
            CONTRACT.join(CUSTOMER, CUSTOMER.c.id == CONTRACT.c.customer).outerjoin(
                PARTNER, PARTNER.c.id == CONTRACT.c.first_line_partner
            )
        )
        .order_by(CONTRACT.c.number)
    )
    return [
        {
            "number": row.number,
            "customer": row.customer_name,
            "product": row.product,
            "edition": row.edition,
            "valid_from": row.valid_from,
            "valid_to": row.valid_to,
            "seats": row.seats,
            "first_line": row.first_line or "vendor",
            "agreed": row.agreed_at,
            "agreed_by": row.agreed_by,
        }
        for row in session.connection().execute(named)
    ]


def _company(session: Session, customer: int | None) -> sa.Row[Any, Any, Any] | None:
    if customer is None:
        return None
    named = sa.select(CUSTOMER.c.name, CUSTOMER.c.seats, AGENT.c.address.label("manager")).select_from(
        CUSTOMER.outerjoin(AGENT, (AGENT.c.id == CUSTOMER.c.account_manager) & AGENT.c.active)
    )
    return session.connection().execute(named.where(CUSTOMER.c.id == customer)).first()


def _link(session: Session, id: int) -> LinkView | None:
    row = session.connection().execute(sa.select(ONE_USE_LINK).where(ONE_USE_LINK.c.id == id)).first()
    if row is None:
        return None
    is_open = row.used_at is None and row.ended_at is None
    return LinkView(id=row.id, purpose=row.purpose, seed=row.seed, expires=row.expires, is_open=is_open)


def _held(session: Session, id: str) -> HeldView | None:
    row = session.connection().execute(sa.select(HELD).where(HELD.c.id == id)).first()
    return HeldView(author=row.author or "", subject=row.subject, text=row.text[:_TEXT_SHOWN]) if row else None


def _request_view(row: sa.Row[Any]) -> RequestView:
    return RequestView(**{**row._mapping, "evidence": tuple(row.evidence or ())})


_COUNTS = (SeatState.ACTIVE, SeatState.RESERVED)
_REQUESTS = sa.select(ACCESS_REQUEST, CUSTOMER.c.name.label("customer_name")).select_from(
    ACCESS_REQUEST.outerjoin(CUSTOMER, CUSTOMER.c.id == ACCESS_REQUEST.c.customer)
)
_regular = SEAT.alias("regular")
_regulars = CONTACT.alias("regulars")


def _main(contact: sa.ColumnElement[Any]) -> sa.ScalarSelect[str]:
    """The main address of a contact."""
    address = CONTACT_ADDRESS.alias()
    return (
        sa.select(address.c.address).where(address.c.contact == contact, address.c.main).order_by(address.c.id).limit(1)
    ).scalar_subquery()


_SEATS = sa.select(
    SEAT.c.id,
    SEAT.c.customer,
    CUSTOMER.c.name.label("customer_name"),
    SEAT.c.contact,
    # Until a holder accepts, the contact has no name of ours; the request has the one that was asked for.
    sa.func.coalesce(sa.func.nullif(CONTACT.c.name, ""), ACCESS_REQUEST.c.name, "").label("name"),
    sa.func.coalesce(_main(SEAT.c.contact), "").label("address"),
    SEAT.c.state,
    SEAT.c.slot,
    SEAT.c.starts,
    SEAT.c.until,
    SEAT.c.starts_on,
    SEAT.c.ends_on,
    SEAT.c.stands_in_for,
    sa.func.coalesce(sa.func.nullif(_regulars.c.name, ""), _main(_regular.c.contact)).label("regular"),
    SEAT.c.flag,
).select_from(
    SEAT.join(CUSTOMER, CUSTOMER.c.id == SEAT.c.customer)
    .join(CONTACT, CONTACT.c.id == SEAT.c.contact)
    .outerjoin(ACCESS_REQUEST, ACCESS_REQUEST.c.seat == SEAT.c.id)
    .outerjoin(_regular, _regular.c.id == SEAT.c.stands_in_for)
    .outerjoin(_regulars, _regulars.c.id == _regular.c.contact)
)
