"""Customers, their domains, contacts, seats, and the partners who serve them."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from models.columns import table_of, words
from models.vocabulary import ColleaguePolicy, SeatState


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
    """What lets a contact use support for a customer. An ended seat stays as history; lending adds rows."""

    __tablename__ = "seat"
    __table_args__ = (
        sa.Index(
            "uq_seat_held",
            "contact",
            "customer",
            unique=True,
            sqlite_where=sa.text("state <> 'ended'"),
            postgresql_where=sa.text("state <> 'ended'"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    customer: int = Field(foreign_key="customer.id", index=True)
    contact: int = Field(foreign_key="contact.id")
    state: SeatState = Field(default=SeatState.ACTIVE, sa_type=words(SeatState))
    starts: datetime
    until: datetime | None = None  # None = no end agreed


PARTNER = table_of(Partner)
CUSTOMER = table_of(Customer)
CUSTOMER_DOMAIN = table_of(CustomerDomain)
CONTACT = table_of(Contact)
CONTACT_ADDRESS = table_of(ContactAddress)
CONTACT_CUSTOMER = table_of(ContactCustomer)
PARTNER_CUSTOMER = table_of(PartnerCustomer)
SEAT = table_of(Seat)
