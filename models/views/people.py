"""Who there is: customers, their people and the vendor's own, as rows for the command line.

Takes: a session.  Gives: plain rows.  Fails: never of itself.
"""

from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from models.people.agent import AGENT
from models.people.customer import CONTACT, CONTACT_ADDRESS, CONTACT_CUSTOMER, CUSTOMER, CUSTOMER_DOMAIN, PARTNER, SEAT
from values.vocabulary import SeatState

_TAKEN = (SeatState.ACTIVE, SeatState.RESERVED)


def list_customers(session: Session) -> list[dict[str, Any]]:
    """Each customer with its domains, how many of its seats are taken, and what is agreed with it; by name."""
    connection = session.connection()
    domains: dict[int, list[str]] = {}
    for row in connection.execute(sa.select(CUSTOMER_DOMAIN).order_by(CUSTOMER_DOMAIN.c.domain)):
        domains.setdefault(row.customer, []).append(row.domain)
    counted = sa.select(SEAT.c.customer, sa.func.count()).where(SEAT.c.state.in_(_TAKEN), SEAT.c.slot.is_not(None))
    taken = {row[0]: row[1] for row in connection.execute(counted.group_by(SEAT.c.customer))}
    named = (
        sa.select(CUSTOMER, AGENT.c.address.label("manager"), PARTNER.c.name.label("partner_name"))
        .select_from(
            CUSTOMER.outerjoin(AGENT, AGENT.c.id == CUSTOMER.c.account_manager).outerjoin(
                PARTNER, PARTNER.c.id == CUSTOMER.c.first_line_partner
            )
        )
        .order_by(CUSTOMER.c.name)
    )
    return [
        {
            "name": row.name,
            "domains": domains.get(row.id, []),
            "language": row.language,
            "zone": row.zone,
            "seats": row.seats,
            "taken": taken.get(row.id, 0),
            "manager": row.manager,
            "access": "automatic" if row.approves_access else "agent",
            "colleagues": row.colleagues,
            "first_line": row.partner_name or "vendor",
        }
        for row in connection.execute(named)
    ]


def list_contacts(session: Session, customer: int | None = None) -> list[dict[str, Any]]:
    """Each person with the customer he writes for and the seat he holds there; who writes for two stands twice."""
    connection = session.connection()
    addresses: dict[int, list[str]] = {}
    for row in connection.execute(sa.select(CONTACT_ADDRESS).order_by(CONTACT_ADDRESS.c.id)):
        addresses.setdefault(row.contact, []).append(row.address)
    holds = sa.select(SEAT.c.contact, SEAT.c.customer, SEAT.c.state).where(SEAT.c.state != SeatState.ENDED)
    seats = {(row.contact, row.customer): row.state for row in connection.execute(holds)}
    wanted = (
        sa.select(CONTACT, CUSTOMER.c.id.label("customer"), CUSTOMER.c.name.label("customer_name"))
        .select_from(
            CONTACT.join(CONTACT_CUSTOMER, CONTACT_CUSTOMER.c.contact == CONTACT.c.id).join(
                CUSTOMER, CUSTOMER.c.id == CONTACT_CUSTOMER.c.customer
            )
        )
        .order_by(CUSTOMER.c.name, CONTACT.c.id)
    )
    if customer is not None:
        wanted = wanted.where(CUSTOMER.c.id == customer)
    return [
        {
            "addresses": addresses.get(row.id, []),
            "name": row.name,
            "customer": row.customer_name,
            "language": row.language,
            "seat": seats.get((row.id, row.customer)),
        }
        for row in connection.execute(wanted)
    ]


def list_agents(session: Session) -> list[dict[str, Any]]:
    """The vendor's people, by address; the inactive ones too."""
    names = ("address", "name", "admin", "active", "notices", "language", "zone")
    columns = tuple(AGENT.c[name] for name in names)
    return [dict(row._mapping) for row in session.connection().execute(sa.select(*columns).order_by(AGENT.c.address))]
