"""The history of a ticket, read from its events: for agents all of it, for people outside what concerns them.

Takes: a session that reads, the number of the ticket.  Gives: plain values, oldest first.  Fails: as the database does.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session

from models.people.agent import AGENT
from models.tickets.event import TICKET_EVENT
from models.tickets.ticket import ARTICLE, PARTICIPANT
from models.views.ticket_scope import OUTSIDE
from values.vocabulary import Door, TicketEventKind

SHOWN = 200  # events of a ticket on a page, the newest ones
# What people outside read of a ticket. Who works on it, and that automatic email stopped, is the vendor's own business.
_TOLD_OUTSIDE = (
    TicketEventKind.OPENED,
    TicketEventKind.ARTICLE,
    TicketEventKind.STATUS,
    TicketEventKind.REQUESTER,
    TicketEventKind.PARTICIPANT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """`was` and `now` are words of the vocabulary, or a person's name (their address where no name is known)."""

    at: datetime
    kind: TicketEventKind
    who: str  # address, or "desk"
    who_name: str  # "" where none is known
    is_agent: bool
    door: Door | None  # None where nobody kept it
    article: int | None
    was: str | None
    now: str | None


def list_history(session: Session, number: int, *, outside: bool = False) -> tuple[EventRow, ...]:
    """What happened to a ticket; `outside`: as the customer may see it, without internal notes."""
    wanted = _EVENTS.where(TICKET_EVENT.c.ticket == number).order_by(TICKET_EVENT.c.id.desc()).limit(SHOWN)
    if outside:
        wanted = wanted.where(TICKET_EVENT.c.kind.in_(_TOLD_OUTSIDE))
        wanted = wanted.where(ARTICLE.c.id.is_(None) | ARTICLE.c.kind.in_(OUTSIDE))
    rows = session.connection().execute(wanted).all()
    named = session.connection().execute(_NAMES, {"number": number})
    names: dict[str, str] = {row.address: row.name for row in named if row.name}
    return tuple(
        EventRow(
            at=row.at,
            kind=row.kind,
            who=row.who,
            who_name=row.agent_name or names.get(row.who, ""),
            is_agent=row.agent_name is not None,
            door=row.door,
            article=row.article,
            was=names.get(row.was, row.was),
            now=names.get(row.now, row.now),
        )
        for row in reversed(rows)
    )


_EVENTS = (
    sa.select(TICKET_EVENT, AGENT.c.name.label("agent_name"))
    .outerjoin(AGENT, AGENT.c.address == TICKET_EVENT.c.who)
    .outerjoin(ARTICLE, ARTICLE.c.id == TICKET_EVENT.c.article)
)
_NAMES = sa.select(PARTICIPANT.c.address, PARTICIPANT.c.name).where(PARTICIPANT.c.ticket == sa.bindparam("number"))
