"""Customers, their domains, contacts, seats, and the partners who serve them."""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel, select

from models.db.columns import insert_new, storable, table_of, words
from models.people.validation import check_address, check_domain, check_zone
from values.access import free_slots
from values.addresses import skeleton
from values.errors import Refused
from values.mail import Mailbox
from values.vocabulary import ColleaguePolicy, SeatState


class Partner(SQLModel, table=True):
    """A company that sells and supports the product; its people are contacts with `partner` set."""

    __tablename__ = "partner"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    language: str = "en"
    zone: str = "UTC"
    created: datetime


class Customer(SQLModel, table=True):
    __tablename__ = "customer"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    language: str = "en"
    zone: str = "UTC"
    colleagues: ColleaguePolicy = Field(default=ColleaguePolicy.HOLD, sa_type=words(ColleaguePolicy))
    needs_belief: bool = False
    approves_access: bool = False  # requests in which everything fits need no agent
    first_line_partner: int | None = Field(default=None, foreign_key="partner.id")
    account_manager: int | None = Field(default=None, foreign_key="agent.id")
    seats: int = 2  # active seats agreed; a lowered number removes nobody
    created: datetime


class CustomerDomain(SQLModel, table=True):
    __tablename__ = "customer_domain"

    id: int | None = Field(default=None, primary_key=True)
    customer: int = Field(foreign_key="customer.id", index=True)
    domain: str = Field(unique=True)  # A-label, lower-cased: a domain belongs to one customer (threat T08)
    skeleton: str = Field(index=True)  # two domains with one skeleton look alike
    subdomains: bool = False


class Contact(SQLModel, table=True):
    __tablename__ = "contact"

    id: int | None = Field(default=None, primary_key=True)
    name: str = ""
    language: str | None = None
    zone: str | None = None
    partner: int | None = Field(default=None, foreign_key="partner.id", index=True)
    created: datetime


class ContactAddress(SQLModel, table=True):
    __tablename__ = "contact_address"

    id: int | None = Field(default=None, primary_key=True)
    contact: int = Field(foreign_key="contact.id", index=True)
    address: str = Field(unique=True)  # wholly lower-cased
    main: bool = True  # where mails to this person go


class ContactCustomer(SQLModel, table=True):
    __tablename__ = "contact_customer"

    contact: int = Field(foreign_key="contact.id", primary_key=True)
    customer: int = Field(foreign_key="customer.id", primary_key=True, index=True)


class PartnerCustomer(SQLModel, table=True):
    __tablename__ = "partner_customer"

    partner: int = Field(foreign_key="partner.id", primary_key=True)
    customer: int = Field(foreign_key="customer.id", primary_key=True, index=True)


class Seat(SQLModel, table=True):
    """What lets a contact use support for a customer. An ended seat stays as history; lending adds rows.

    Each seat that counts has a `slot` of its own, so the database itself keeps the contract's number: a stand-in gets
    the slot of the seat that rests, and two approvals at once collide on the last one.
    """

    __tablename__ = "seat"
    __table_args__ = (
        sa.Index(
            "uq_seat_held",
            "contact",
            "customer",
            unique=True,
            sqlite_where=sa.text("state IN ('active', 'resting')"),
            postgresql_where=sa.text("state IN ('active', 'resting')"),
        ),
        sa.Index(
            "uq_seat_slot",
            "customer",
            "slot",
            unique=True,
            sqlite_where=sa.text("state IN ('active', 'reserved')"),
            postgresql_where=sa.text("state IN ('active', 'reserved')"),
        ),
        sa.Index("ix_seat_state_until", "state", "until"),
        sa.CheckConstraint("slot >= 1", name="slot"),
        sa.CheckConstraint("state <> 'active' OR slot IS NOT NULL", name="active"),
    )

    id: int | None = Field(default=None, primary_key=True)
    customer: int = Field(foreign_key="customer.id", index=True)
    contact: int = Field(foreign_key="contact.id", index=True)
    state: SeatState = Field(default=SeatState.ACTIVE, sa_type=words(SeatState))
    slot: int | None = None
    starts: datetime
    until: datetime | None = None  # None = no end agreed
    stands_in_for: int | None = Field(default=None, foreign_key="seat.id", index=True)
    starts_on: date | None = None  # of a replacement, in the customer's zone
    ends_on: date | None = None  # its last day
    flag: str | None = None  # what an agent should look at


PARTNER = table_of(Partner)
CUSTOMER = table_of(Customer)
CUSTOMER_DOMAIN = table_of(CustomerDomain)
CONTACT = table_of(Contact)
CONTACT_ADDRESS = table_of(ContactAddress)
CONTACT_CUSTOMER = table_of(ContactCustomer)
PARTNER_CUSTOMER = table_of(PartnerCustomer)
SEAT = table_of(Seat)
# The seat is or was its holder's: not one that is only reserved, nor one that ended before it began (no slot).
HAS_HELD = SEAT.c.state.in_((SeatState.ACTIVE, SeatState.RESTING, SeatState.PLANNED)) | (
    (SEAT.c.state == SeatState.ENDED) & SEAT.c.slot.is_not(None)
)


def seat_held_at(now: datetime | sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether a row of SEAT is held at `now`: active, and not over, even where no job has ended it yet."""
    return (SEAT.c.state == SeatState.ACTIVE) & (SEAT.c.until.is_(None) | (SEAT.c.until > now))


def own_zone() -> sa.Label[str]:
    """The column `zone` of a query on CONTACT: the person's own, else that of their customer (the first, where there
    are more), else that of their partner; "" where none is known."""
    member = sa.exists().where(CONTACT_CUSTOMER.c.customer == CUSTOMER.c.id, CONTACT_CUSTOMER.c.contact == CONTACT.c.id)
    seated = sa.exists().where(SEAT.c.customer == CUSTOMER.c.id, SEAT.c.contact == CONTACT.c.id)
    ties = member.correlate(CUSTOMER, CONTACT) | seated.correlate(CUSTOMER, CONTACT)
    of_customer = sa.select(CUSTOMER.c.zone).where(ties).order_by(CUSTOMER.c.id).limit(1).correlate(CONTACT)
    of_partner = sa.select(PARTNER.c.zone).where(PARTNER.c.id == CONTACT.c.partner).correlate(CONTACT)
    own = sa.func.nullif(CONTACT.c.zone, "")
    return sa.func.coalesce(own, of_customer.scalar_subquery(), of_partner.scalar_subquery(), "").label("zone")


def add_customer(
    session: Session,
    name: str,
    now: datetime,
    *,
    language: str = "en",
    zone: str = "UTC",
    colleagues: ColleaguePolicy = ColleaguePolicy.HOLD,
    first_line_partner: int | None = None,
    seats: int = 2,
    needs_belief: bool = False,
) -> Customer:
    """A new customer. Raises Refused where the name is empty or taken, or the zone is none."""
    name = _free_name(session, Customer, name)
    made = Customer(
        name=name,
        language=language,
        zone=check_zone(zone),
        colleagues=colleagues,
        first_line_partner=first_line_partner,
        seats=seats,
        needs_belief=needs_belief,
        created=now,
    )
    session.add(made)
    session.flush()
    return made


def change_customer(
    session: Session,
    name: str,
    *,
    manager: int | None = None,
    approves_access: bool | None = None,
    colleagues: str | None = None,
    zone: str | None = None,
    language: str | None = None,
) -> dict[str, object]:
    """Change what is given; what is None stays. The columns that changed. Raises Refused where there is no such one."""
    row = find_customer(session, name)
    if row is None:
        raise Refused(f"There is no customer {name}.")
    wanted: dict[str, object] = {
        "account_manager": manager,
        "approves_access": approves_access,
        "colleagues": ColleaguePolicy(colleagues) if colleagues else None,
        "zone": check_zone(zone) if zone else None,
        "language": language,
    }
    changed = {key: value for key, value in wanted.items() if value is not None and value != getattr(row, key)}
    for key, value in changed.items():
        setattr(row, key, value)
    session.add(row)
    session.flush()
    return changed


def add_partner(session: Session, name: str, now: datetime, *, language: str = "en", zone: str = "UTC") -> Partner:
    """A new partner. Raises Refused as `add_customer`."""
    made = Partner(name=_free_name(session, Partner, name), language=language, zone=check_zone(zone), created=now)
    session.add(made)
    session.flush()
    return made


def add_partner_customer(session: Session, partner: int, customer: int) -> None:
    """The partner serves this customer from now on."""
    connection = session.connection()
    connection.execute(
        insert_new(PARTNER_CUSTOMER, connection.dialect.name), {"partner": partner, "customer": customer}
    )


def add_domain(session: Session, customer: int, domain: str, *, subdomains: bool = False) -> CustomerDomain:
    """The customer's people write from this domain; with `subdomains`, from those below it too.

    Raises Refused where it is no domain, belongs to another customer, or says nothing about the company (threat T07).
    """
    name = check_domain(domain)
    found = session.exec(select(CustomerDomain).where(CustomerDomain.domain == name)).first()
    if found and found.customer != customer:
        owner = session.get_one(Customer, found.customer)
        raise Refused(f"{name} belongs to {owner.name}: a domain leads to one customer. Take it from there first.")
    made = found or CustomerDomain(customer=customer, domain=name, skeleton=skeleton(name))
    made.subdomains = subdomains
    session.add(made)
    session.flush()
    return made


def add_contact(
    session: Session,
    address: str,
    now: datetime,
    *,
    customer: int | None = None,
    partner: int | None = None,
    name: str = "",
    language: str | None = None,
    zone: str | None = None,
) -> Contact:
    """The person with this address, as contact of the customer or the partner; a known one belongs to both then.

    Raises Refused where it is no address.
    """
    key = check_address(address)
    found = find_contact(session, key)
    person = found or Contact(created=now)
    person.name = name or person.name
    person.language = language or person.language
    person.zone = check_zone(zone) if zone else person.zone
    person.partner = partner or person.partner
    session.add(person)
    session.flush()
    if not found:
        session.add(ContactAddress(contact=_id(person.id), address=key))
        session.flush()
    if customer is not None:
        _join_customer(session, _id(person.id), customer)
    return person


def add_address(session: Session, contact: int, address: str) -> None:
    """One more address of a contact. Raises Refused where it is none or somebody else's."""
    key = check_address(address)
    owner = find_contact(session, key)
    if owner and owner.id != contact:
        raise Refused(f"{key} is {owner.name or 'another contact'}'s: an address leads to one person.")
    if not owner:
        session.add(ContactAddress(contact=contact, address=key, main=False))
        session.flush()


def give_seat(session: Session, contact: int, customer: int, now: datetime) -> Seat:
    """The contact may use support for this customer from now on; one who may already keeps the seat.

    Raises Refused where the agreed number of seats is taken; its text names the holders.
    """
    return Seating(session, customer).give(contact, now)


class Seating:
    """The seats of one customer, looked at once for all that are given in this transaction: an import gives many.

    Nobody else gives one meanwhile: the customer's row is locked.
    """

    def __init__(self, session: Session, customer: int) -> None:
        self._session = session
        self._agreed = session.exec(select(Customer).where(Customer.id == customer).with_for_update()).one()
        counting = (SeatState.ACTIVE, SeatState.RESERVED)
        counts = (SEAT.c.state.in_(counting), SEAT.c.slot.is_not(None))
        held = list(session.exec(select(Seat).where(Seat.customer == customer, *counts)))
        self._holders = [seat.contact for seat in held]  # one may hold a seat and have another reserved
        self._seat_of = {seat.contact: seat for seat in reversed(held)}
        self._free = free_slots([seat.slot for seat in held if seat.slot], self._agreed.seats)

    def give(self, contact: int, now: datetime) -> Seat:
        """As `give_seat`."""
        if mine := self._seat_of.get(contact):
            return mine
        slot = next(self._free, None)
        if slot is None:
            holders = ", ".join(sorted(main_address(self._session, holder) for holder in self._holders))
            raise Refused(
                f"{self._agreed.name} has {self._agreed.seats} seats, held by {holders}. "
                f"End one of them or agree on another number."
            )
        made = Seat(customer=_id(self._agreed.id), contact=contact, slot=slot, starts=now)
        self._session.add(made)
        self._session.flush()
        self._seat_of[contact] = made
        self._holders.append(contact)
        return made


def join_customer(session: Session, contact: int, customer: int, name: str, language: str) -> None:
    """The contact belongs to the customer from now on; name and language are kept where none is known."""
    connection = session.connection()
    person = sa.update(CONTACT).where(CONTACT.c.id == contact)
    connection.execute(person.where(CONTACT.c.name == "").values(name=name))
    connection.execute(person.where(CONTACT.c.language.is_(None)).values(language=language))
    _join_customer(session, contact, customer)


def end_seat(session: Session, seat: int, now: datetime) -> bool:
    """The seat is history. False where it was before."""
    statement = (
        sa.update(SEAT)
        .where(SEAT.c.id == seat, SEAT.c.state != SeatState.ENDED)
        .values(state=SeatState.ENDED, until=now)
        .returning(SEAT.c.id)
    )
    return session.connection().execute(statement).first() is not None


def learn_contact(session: Session, mailbox: Mailbox, customer: int, now: datetime) -> int:
    """The id of the contact with this mailbox, who belongs to the customer from now on."""
    return _id(add_contact(session, mailbox.address, now, customer=customer, name=storable(mailbox.name)).id)


def find_customer(session: Session, name: str) -> Customer | None:
    """The customer of this name."""
    return session.exec(select(Customer).where(Customer.name == name.strip())).first()


def find_partner(session: Session, name: str) -> Partner | None:
    """The partner of this name."""
    return session.exec(select(Partner).where(Partner.name == name.strip())).first()


def find_contact(session: Session, address: str) -> Contact | None:
    """The contact with this address."""
    of = select(Contact).join(ContactAddress, CONTACT_ADDRESS.c.contact == CONTACT.c.id)
    return session.exec(of.where(ContactAddress.address == address.lower())).first()


def main_address(session: Session, contact: int) -> str:
    """Where mails to this contact go."""
    of = select(ContactAddress.address).where(ContactAddress.contact == contact).order_by(CONTACT_ADDRESS.c.id)
    return session.exec(of).first() or ""


def _free_name(session: Session, model: type[Customer] | type[Partner], name: str) -> str:
    name = name.strip()
    if not name:
        raise Refused("A name is needed.")
    if session.exec(select(model).where(model.name == name)).first():
        raise Refused(f"{name} exists already. Choose another name.")
    return name


def _join_customer(session: Session, contact: int, customer: int) -> None:
    connection = session.connection()
    connection.execute(
        insert_new(CONTACT_CUSTOMER, connection.dialect.name), {"contact": contact, "customer": customer}
    )


def _id(id: int | None) -> int:
    assert id is not None  # flushed
    return id
