"""The audit trail: append-only, each row carries the hash of the one before."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from models.columns import Json, table_of


class Audit(SQLModel, table=True):
    """Triggers refuse UPDATE and DELETE. A unique `previous` keeps the chain a chain under concurrent writers."""

    __tablename__ = "audit"

    id: int | None = Field(default=None, primary_key=True)
    at: datetime
    who: str  # an agent's or superuser's address, or "desk"
    what: str  # a word such as held.release
    subject: str  # what it was done to: ticket:1042, held:01J…
    via: str  # mail:<ledger id>, session:<id>, command
    detail: dict[str, Any] | None = Field(default=None, sa_type=Json)
    previous: str = Field(unique=True)
    hash: str


AUDIT = table_of(Audit)
