"""Mails that gave an order: who sends one of them again orders nothing (threat T12)."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from models.db.columns import table_of


class SpentProof(SQLModel, table=True):
    """A unique key: two workers that obey one mail at the same moment collide, and one of them decides again."""

    __tablename__ = "spent_proof"

    key: str = Field(primary_key=True)  # Clues.proof_key: a hash of author and Message-ID
    ledger: str  # of the mail that gave the order
    at: datetime = Field(index=True)


SPENT_PROOF = table_of(SpentProof)


def spend(session: Session, key: str, ledger: str, now: datetime) -> None:
    """The order of this mail was obeyed. Fails as a lost race where another mail with this key was quicker."""
    session.connection().execute(sa.insert(SPENT_PROOF), {"key": key, "ledger": ledger, "at": now})


def forget_spent(session: Session, before: datetime) -> int:
    """Delete what was spent before this time; how many. An order as old as that is refused for its Date."""
    gone = sa.delete(SPENT_PROOF).where(SPENT_PROOF.c.at < before).returning(SPENT_PROOF.c.key)
    return len(session.connection().execute(gone).all())
