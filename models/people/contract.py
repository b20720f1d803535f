"""Contracts: what a customer agreed with its account manager, and how many seats follow from it."""

from datetime import date, datetime

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel, select

from models.db.columns import table_of
from models.desk.audit import append
from models.people.customer import CUSTOMER, Customer
from values.errors import Refused

STANDARD_SEATS = 2  # domain.md 1


class Contract(SQLModel, table=True):
    __tablename__ = "contract"

    id: int | None = Field(default=None, primary_key=True)
    number: str = Field(unique=True)  # as people write it: C-2031
    customer: int = Field(foreign_key="customer.id", index=True)
    product: str
    edition: str = ""
    valid_from: date
    valid_to: date | None = None  # the last day; None = until it is ended
    seats: int = STANDARD_SEATS
    first_line_partner: int | None = Field(default=None, foreign_key="partner.id")  # None = the vendor
    agreed_at: datetime | None = None  # with the account manager; None = not yet
    agreed_by: str | None = None
    created: datetime


CONTRACT = table_of(Contract)


def add_contract(
    session: Session,
    number: str,
    customer: int,
    now: datetime,
    *,
    product: str,
    edition: str = "",
    valid_from: date,
    valid_to: date | None = None,
    seats: int = STANDARD_SEATS,
    first_line_partner: int | None = None,
    who: str,
    via: str,
) -> Contract:
    """A new contract, not agreed yet: it gives nothing until it is. Raises Refused where it cannot be."""
    number = number.strip()
    if not number or len(number) > 40 or not number.isprintable():
        raise Refused("A contract needs a number, such as C-2031.")
    if not product.strip():
        raise Refused(f"{number}: name the product.")
    if valid_to is not None and valid_to < valid_from:
        raise Refused(f"{number} would end on {valid_to}, before it begins on {valid_from}.")
    if seats < 0:
        raise Refused(f"{number}: the number of seats is 0 or more, not {seats}.")
    if find_contract(session, number):
        raise Refused(f"{number} exists already. Choose another number.")
    made = Contract(
        number=number,
        customer=customer,
        product=product.strip(),
        edition=edition.strip(),
        valid_from=valid_from,
        valid_to=valid_to,
        seats=seats,
        first_line_partner=first_line_partner,
        created=now,
    )
    session.add(made)
    session.flush()
    append(session, now, who=who, what="contract.add", subject=f"contract:{number}", via=via, detail={"seats": seats})
    return made


def agree_contract(session: Session, number: str, today: date, now: datetime, *, who: str, via: str) -> bool:
    """The account manager agrees; the customer's number of seats follows. False where it was agreed before.

    Raises Refused where there is no such contract.
    """
    contract = find_contract(session, number)
    if contract is None:
        raise Refused(f"There is no contract {number}; see `postdesk contract list`.")
    if contract.agreed_at is not None:
        return False
    contract.agreed_at, contract.agreed_by = now, who
    session.add(contract)
    session.flush()
    append(session, now, who=who, what="contract.agree", subject=f"contract:{number}", via=via)
    settle_seats(session, contract.customer, today, now, who=who, via=via)
    return True


def settle_seats(session: Session, customer: int, today: date, now: datetime, *, who: str, via: str) -> int | None:
    """Bring the customer's number of seats in line with its contracts; the new number, or None where it stays.

    It is the largest number among the contracts agreed and valid today; without any, it stays as it was. The
    customer's row is written, so that an approval at the same moment collides with it and is decided again.
    """
    valid = (
        CONTRACT.c.agreed_at.is_not(None),
        CONTRACT.c.valid_from <= today,
        CONTRACT.c.valid_to.is_(None) | (CONTRACT.c.valid_to >= today),
    )
    agreed = session.connection().execute(
        sa.select(sa.func.max(CONTRACT.c.seats)).where(CONTRACT.c.customer == customer, *valid)
    )
    number = agreed.scalar()
    row = session.get_one(Customer, customer, with_for_update=True)
    if number is None or number == row.seats:
        return None
    before = row.seats
    session.connection().execute(sa.update(CUSTOMER).where(CUSTOMER.c.id == customer).values(seats=number))
    session.refresh(row)
    detail = {"before": before, "after": int(number)}
    append(session, now, who=who, what="seats.number", subject=f"customer:{customer}", via=via, detail=detail)
    return int(number)


def find_contract(session: Session, number: str) -> Contract | None:
    """The contract of this number."""
    return session.exec(select(Contract).where(Contract.number == number.strip())).first()


def list_contracts(session: Session, customer: int | None = None) -> list[Contract]:
    """The contracts of a customer, or all, by number."""
    which = select(Contract).order_by(CONTRACT.c.number)
    return list(session.exec(which if customer is None else which.where(Contract.customer == customer)))
