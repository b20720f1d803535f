"""What happened to a ticket, one row for each event: who, when, by which door, from what to what.

Appended in the transaction of the change, by whoever changes the ticket, and never changed. The history on the pages
is read from here; clocks, digests and reports are meant to be.
"""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from models.db.columns import storable, table_of, words
from values.actor import Actor
from values.vocabulary import Door, TicketEventKind


class TicketEvent(SQLModel, table=True):
    __tablename__ = "ticket_event"
    __table_args__ = (sa.Index("ix_ticket_event_ticket", "ticket", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    ticket: int = Field(foreign_key="ticket.id")
    at: datetime
    kind: TicketEventKind = Field(sa_type=words(TicketEventKind))
    who: str  # an address, or "desk"
    door: Door | None = Field(default=None, sa_type=words(Door))  # None: before this table was there
    article: int | None = Field(default=None, foreign_key="article.id")
    was: str | None = None
    now: str | None = None


TICKET_EVENT = table_of(TicketEvent)


def note_event(
    session: Session,
    tickets: Iterable[int],
    kind: TicketEventKind,
    by: Actor,
    at: datetime,
    *,
    article: int | None = None,
    was: str | None = None,
    now: str | None = None,
) -> None:
    """Append what happened to each of `tickets`: `was` and `now` are its value before and after, where it has one."""
    shared = {
        "at": at,
        "kind": kind,
        "who": storable(by.who),
        "door": by.door,
        "article": article,
        "was": storable(was) if was is not None else None,
        "now": storable(now) if now is not None else None,
    }
    rows = [shared | {"ticket": ticket} for ticket in tickets]
    if rows:
        session.connection().execute(_APPEND, rows)


_APPEND = sa.insert(TICKET_EVENT)
