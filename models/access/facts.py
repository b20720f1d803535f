"""Look up what an act of access may depend on.

Takes: the number of a request, a seat, a customer, a held mail, or what an applicant asks for.  Gives: AccessFacts.
Fails: as the database does. SELECTs only, no judgment.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from models.access.request import ACCESS_REQUEST
from models.db.keys import address_key
from models.inbound.held import HELD
from models.outbox.outbox import OUTBOX
from models.people.agent import AGENT
from models.people.customer import (
    CONTACT,
    CONTACT_ADDRESS,
    CONTACT_CUSTOMER,
    CUSTOMER,
    CUSTOMER_DOMAIN,
    PARTNER_CUSTOMER,
    SEAT,
)
from values.access import (
    AccessCustomerFact,
    AccessFacts,
    Asked,
    HeldFact,
    RequestFact,
    SeatFact,
    StaffFact,
)
from values.addresses import parent_domains
from values.decision import Notice
from values.vocabulary import AccessKind, AccessState, AgentNotices, HeldState, MailName, SeatState

_DAY = timedelta(days=1)
_UNDECIDED = (AccessState.WAITING, AccessState.APPROVED, AccessState.INVITED)


def gather_access(
    session: Session,
    now: datetime,
    *,
    request: int | None = None,
    asked: Asked | None = None,
    seat: int | None = None,
    customer: int | None = None,
    held: str | None = None,
    holder: str | None = None,
) -> AccessFacts:
    """What is known. `customer` names it, where a person does; else the request's, the seat's, the held mail's, or the
    one that the applicant's domain leads to; else that of a seat of `holder` (an address), one that is lent first."""
    find = _Finder(session, now)
    wanted = find.request(request) if request is not None else None
    applicant = asked or (wanted.asked if wanted else None)
    mail = find.held(held) if held is not None else None
    by_domain = find.customers_of(applicant.address) if applicant else ()
    named = customer or (wanted.customer if wanted else None) or find.customer_of_seat(seat)
    chosen = named or (mail.customer if mail else None) or (by_domain[0] if len(by_domain) == 1 else None)
    contact = find.contact(applicant.address) if applicant else None
    theirs = find.memberships(contact) if contact is not None else ()
    if chosen is None and not by_domain and len(theirs) == 1:
        chosen = theirs[0]
    if chosen is None and holder is not None:
        chosen = find.customer_of_holder(holder)
    found = find.customer(chosen)
    return AccessFacts(
        request=wanted,
        customer=found,
        domain_fits=chosen is not None and chosen in by_domain,
        customers_by_domain=len(by_domain),
        applicant=contact,
        applicant_customers=theirs,
        applicant_serves=contact is not None and found is not None and find.serves(contact, found.id),
        seats=find.seats(found) if found else (),
        agents=find.agents(),
        manager=find.manager(found.manager) if found else None,
        open_requests=find.undecided(applicant.address, request) if applicant else (),
        asked_last_hour=find.asked(applicant.address) if applicant else 0,
        asked_last_hour_in_all=find.asked(None) if applicant and request is None else 0,
        asked_last_day=find.asked(applicant.address, _DAY) if applicant else 0,
        loans_last_day=find.loans(found.id) if found and asked else 0,
        held=mail,
    )


def count_requests(session: Session, address: str, now: datetime) -> AccessFacts:
    """All that the form may know before the address is proved: how often was asked. Nothing here depends on who it is,
    so neither the answer nor its time tells which companies are customers (threats T28, T52)."""
    find = _Finder(session, now)
    return AccessFacts(asked_last_hour=find.asked(address), asked_last_hour_in_all=find.asked(None))


class _Finder:
    def __init__(self, session: Session, now: datetime) -> None:
        self._connection = session.connection()
        self._now = now

    def _all(self, statement: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        return self._connection.execute(statement).all()

    def request(self, number: int) -> RequestFact | None:
        row = self._connection.execute(sa.select(ACCESS_REQUEST).where(ACCESS_REQUEST.c.id == number)).first()
        return request_fact(row) if row else None

    def held(self, id: str) -> HeldFact | None:
        row = self._connection.execute(sa.select(HELD).where(HELD.c.id == id)).first()
        if row is None or row.customer is None:
            return None
        author, waits = row.author or "", row.state is HeldState.HELD and row.release_by is None
        key = Notice.key_of(MailName.COLLEAGUE_HELD, row.id, author)
        person = sa.select(CONTACT.c.language).join(CONTACT_ADDRESS, CONTACT_ADDRESS.c.contact == CONTACT.c.id)
        wishes = (
            person.where(CONTACT_ADDRESS.c.address == address_key(author)),
            sa.select(CUSTOMER.c.language).where(CUSTOMER.c.id == row.customer),
        )
        languages = (self._connection.execute(wish).scalar() for wish in wishes)
        return HeldFact(
            id=row.id,
            customer=row.customer,
            author=author,
            subject=row.subject,
            waits=waits,
            reason=row.reason,
            language=next(filter(None, languages), "en"),
            told=bool(self._all(sa.select(OUTBOX.c.id).where(OUTBOX.c.key == key))),
        )

    def customers_of(self, address: str) -> tuple[int, ...]:
        """The customers whose registered domain is the longest one that the address lies in, label-exact (T08)."""
        names = parent_domains(address.rpartition("@")[2])
        rows = {
            row.domain: row for row in self._all(sa.select(CUSTOMER_DOMAIN).where(CUSTOMER_DOMAIN.c.domain.in_(names)))
        }
        fitting = (rows[name] for name in names if name in rows and (name == names[0] or rows[name].subdomains))
        return tuple(row.customer for row in list(fitting)[:1])

    def customer_of_seat(self, seat: int | None) -> int | None:
        if seat is None:
            return None
        found = self._connection.execute(sa.select(SEAT.c.customer).where(SEAT.c.id == seat)).scalar()
        return None if found is None else int(found)

    def customer_of_holder(self, address: str) -> int | None:
        loan = SEAT.alias("loan")
        is_lent = sa.exists().where(loan.c.stands_in_for == SEAT.c.id, loan.c.state != SeatState.ENDED)
        found = (
            sa.select(SEAT.c.customer)
            .join(CONTACT_ADDRESS, CONTACT_ADDRESS.c.contact == SEAT.c.contact)
            .where(CONTACT_ADDRESS.c.address == address_key(address), SEAT.c.state != SeatState.ENDED)
            .order_by(is_lent.desc(), SEAT.c.id)
            .limit(1)
        )
        customer = self._connection.execute(found).scalar()
        return None if customer is None else int(customer)

    def contact(self, address: str) -> int | None:
        found = sa.select(CONTACT_ADDRESS.c.contact).where(CONTACT_ADDRESS.c.address == address_key(address))
        id = self._connection.execute(found).scalar()
        return None if id is None else int(id)

    def memberships(self, contact: int) -> tuple[int, ...]:
        rows = self._all(sa.select(CONTACT_CUSTOMER.c.customer).where(CONTACT_CUSTOMER.c.contact == contact))
        return tuple(sorted(row.customer for row in rows))

    def serves(self, contact: int, customer: int) -> bool:
        partner = CONTACT.join(PARTNER_CUSTOMER, PARTNER_CUSTOMER.c.partner == CONTACT.c.partner)
        which = (CONTACT.c.id == contact, PARTNER_CUSTOMER.c.customer == customer)
        found = sa.select(CONTACT.c.id).select_from(partner).where(*which)
        return self._connection.execute(found).first() is not None

    def customer(self, id: int | None) -> AccessCustomerFact | None:
        row = self._connection.execute(sa.select(CUSTOMER).where(CUSTOMER.c.id == id)).first() if id else None
        if row is None:
            return None
        return AccessCustomerFact(
            id=row.id,
            name=row.name,
            language=row.language,
            zone=row.zone,
            seats=row.seats,
            automatic=row.approves_access,
            manager=row.account_manager,
        )

    def seats(self, customer: AccessCustomerFact) -> tuple[SeatFact, ...]:
        return tuple(
            SeatFact(
                id=row.id,
                customer=row.customer,
                contact=row.contact,
                address=row.address,
                name=row.name or row.asked_name or "",
                language=row.language or row.asked_language or customer.language,
                zone=row.zone or customer.zone,
                state=row.state,
                slot=row.slot,
                starts=row.starts,
                until=row.until,
                stands_in_for=row.stands_in_for,
                starts_on=row.starts_on,
                ends_on=row.ends_on,
                flag=row.flag,
                request=row.request,
                request_state=row.request_state,
            )
            for row in self._all(_SEATS.where(SEAT.c.customer == customer.id))
        )

    def agents(self) -> tuple[StaffFact, ...]:
        rows = self._all(
            sa.select(AGENT).where(AGENT.c.active, AGENT.c.notices == AgentNotices.ALL).order_by(AGENT.c.id)
        )
        return tuple(_staff(row) for row in rows)

    def manager(self, id: int | None) -> StaffFact | None:
        which = sa.select(AGENT).where(AGENT.c.id == id, AGENT.c.active)
        row = self._connection.execute(which).first() if id else None
        return _staff(row) if row else None

    def undecided(self, address: str, but: int | None) -> tuple[int, ...]:
        which = (ACCESS_REQUEST.c.address == address, ACCESS_REQUEST.c.state.in_(_UNDECIDED))
        rows = self._all(sa.select(ACCESS_REQUEST.c.id).where(*which).order_by(ACCESS_REQUEST.c.id.desc()).limit(20))
        return tuple(row.id for row in rows if row.id != but)

    def asked(self, address: str | None, within: timedelta = timedelta(hours=1)) -> int:
        """Recent requests, of this address or in all; counted up to a thousand."""
        return self._count(within, *(() if address is None else (ACCESS_REQUEST.c.address == address,)))

    def loans(self, customer: int) -> int:
        is_loan = ACCESS_REQUEST.c.kind == AccessKind.IN_PLACE_OF
        return self._count(_DAY, is_loan, ACCESS_REQUEST.c.customer == customer)

    def _count(self, within: timedelta, *which: sa.ColumnElement[bool]) -> int:
        recent = sa.select(ACCESS_REQUEST.c.id).where(ACCESS_REQUEST.c.created > self._now - within, *which)
        counted = sa.select(sa.func.count()).select_from(recent.limit(1000).subquery())
        return int(self._connection.execute(counted).scalar_one())


def request_fact(row: sa.Row[Any]) -> RequestFact:
    """A row of access_request as a value."""
    asked = Asked(
        name=row.name,
        address=row.address,
        company=row.company,
        phone=row.phone,
        language=row.language,
        kind=row.kind,
        in_place_of=row.in_place_of,
        starts_on=row.starts_on,
        ends_on=row.ends_on,
        said=row.said,
    )
    return RequestFact(
        id=row.id,
        asked=asked,
        state=row.state,
        created=row.created,
        due=row.due,
        proved_at=row.proved_at,
        belief=row.belief,
        customer=row.customer,
        seat=row.seat,
        agreed_by=row.agreed_by,
        decided_by=row.decided_by,
        invited_at=row.invited_at,
    )


def _staff(row: sa.Row[Any]) -> StaffFact:
    return StaffFact(
        id=row.id, address=row.address, name=row.name, language=row.language, zone=row.zone, admin=row.admin
    )


_MAIN = (
    sa.select(sa.func.min(CONTACT_ADDRESS.c.id))
    .where(CONTACT_ADDRESS.c.contact == CONTACT.c.id, CONTACT_ADDRESS.c.main)
    .correlate(CONTACT)
    .scalar_subquery()
)
_SEATS = (
    sa.select(
        SEAT,
        *(CONTACT.c.name, CONTACT.c.language, CONTACT.c.zone, CONTACT_ADDRESS.c.address),
        ACCESS_REQUEST.c.id.label("request"),
        ACCESS_REQUEST.c.state.label("request_state"),
        ACCESS_REQUEST.c.name.label("asked_name"),  # until a holder accepts, the contact has no name of ours
        ACCESS_REQUEST.c.language.label("asked_language"),
    )
    .join(CONTACT, CONTACT.c.id == SEAT.c.contact)
    .join(CONTACT_ADDRESS, CONTACT_ADDRESS.c.id == _MAIN)
    .outerjoin(ACCESS_REQUEST, ACCESS_REQUEST.c.seat == SEAT.c.id)
    .where(SEAT.c.state != SeatState.ENDED)
    .order_by(SEAT.c.id)
)
