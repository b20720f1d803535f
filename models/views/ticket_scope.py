"""Whose tickets are they to see? By this every look of the portal at tickets is scoped (threat T49). SELECTs only.

Takes: the `Viewer`: he sees the tickets in which he takes part, those of the customers whose active seat he holds, and
those of the customers that his partner serves.  Gives: customers, and the condition on a row of TICKET.
"""

import sqlalchemy as sa
from sqlmodel import Session

from models.people.customer import CONTACT_CUSTOMER, CUSTOMER
from models.tickets.ticket import PARTICIPANT, TICKET
from models.views.viewer import Viewer
from values.vocabulary import ArticleKind, ColleaguePolicy, ParticipantRole

COMPANIES = 500  # that one may choose from

OUTSIDE = (ArticleKind.INBOUND, ArticleKind.OUTBOUND)  # articles that people outside see; internal notes are not read
TAKES_PART = PARTICIPANT.c.role.not_in((ParticipantRole.LEFT, ParticipantRole.AGENT))


def customers_of(viewer: Viewer) -> tuple[int, ...]:
    """The customers whose every ticket the viewer may see."""
    return tuple(sorted({*viewer.seated, *viewer.serves}))


def list_visible_customers(session: Session, viewer: Viewer) -> list[tuple[int, str]]:
    """(id, name) of the customers whose every ticket the viewer may see, by name."""
    return _named(session, CUSTOMER.c.id.in_(customers_of(viewer)))


def list_openable_customers(session: Session, viewer: Viewer) -> list[tuple[int, str]]:
    """(id, name) of the customers for which the viewer may open a ticket: rules/portal_ticket.py asks the same."""
    member = sa.select(CONTACT_CUSTOMER.c.customer).where(CONTACT_CUSTOMER.c.contact == viewer.contact)
    lets_colleagues = CUSTOMER.c.id.in_(member) & (CUSTOMER.c.colleagues == ColleaguePolicy.OPEN)
    return _named(session, CUSTOMER.c.id.in_(customers_of(viewer)) | lets_colleagues)


def _named(session: Session, which: sa.ColumnElement[bool]) -> list[tuple[int, str]]:
    wanted = sa.select(CUSTOMER.c.id, CUSTOMER.c.name).where(which).order_by(CUSTOMER.c.name).limit(COMPANIES)
    return [(row.id, row.name) for row in session.connection().execute(wanted)]


def visible(viewer: Viewer) -> sa.ColumnElement[bool]:
    """Whether a row of TICKET is the viewer's to see."""
    part = sa.exists().where(
        PARTICIPANT.c.ticket == TICKET.c.id, PARTICIPANT.c.address.in_(viewer.addresses), TAKES_PART
    )
    return TICKET.c.customer.in_(customers_of(viewer)) | part
