"""Mails that wait for a person's judgment."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from models.columns import table_of, words
from models.vocabulary import HeldState, Reason


class Held(SQLModel, table=True):
    __tablename__ = "held"
    __table_args__ = (
        sa.Index("ix_held_state_held_at", "state", "held_at"),
        sa.Index("ix_held_state_expires_at", "state", "expires_at"),
    )

    id: str = Field(primary_key=True, foreign_key="ledger.id")
    state: HeldState = Field(default=HeldState.HELD, sa_type=words(HeldState))
    reason: Reason = Field(sa_type=words(Reason))
    why: str  # one sentence for the agent
    would: str  # what a release would do
    ticket: int | None = Field(default=None, foreign_key="ticket.id", index=True)  # held beside it
    customer: int | None = Field(default=None, foreign_key="customer.id", index=True)
    author: str | None = Field(default=None, index=True)
    subject: str = ""
    text: str = ""  # the beginning, to judge by
    held_at: datetime
    expires_at: datetime | None = None  # None = until a person decides
    decided_at: datetime | None = None
    decided_by: str | None = None


HELD = table_of(Held)
