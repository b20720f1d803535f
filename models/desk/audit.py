"""The audit trail: append-only, each row carries the hash of the one before."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from models.db.columns import Json, storable, table_of

BEGINNING = "0" * 64  # what the first row calls the one before
_LOCK = 0x41756469  # key of the advisory lock under which a row is added ("Audi")


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


def append(
    session: Session,
    now: datetime,
    *,
    who: str,
    what: str,
    subject: str,
    via: str,
    detail: dict[str, Any] | None = None,
) -> None:
    """Add a row to the chain. No secret belongs into `detail`.

    In a snapshot that another writer overtook it fails as a lost race (the unique `previous`).
    """
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    previous = connection.execute(sa.select(AUDIT.c.hash).order_by(AUDIT.c.id.desc()).limit(1)).scalar() or BEGINNING
    row = {
        "at": now,
        "who": storable(who),
        "what": what,
        "subject": storable(subject),
        "via": storable(via),
        "detail": detail,
        "previous": previous,
    }
    connection.execute(sa.insert(AUDIT), row | {"hash": _hash(row)})


def find_break(session: Session) -> int | None:
    """The id of the first row that was changed, moved or has lost the one before it; None = the chain is whole.

    Rows cut off at the end leave a whole chain: keep the newest hash elsewhere to notice that.
    """
    previous = BEGINNING
    for row in session.connection().execution_options(yield_per=1000).execute(sa.select(AUDIT).order_by(AUDIT.c.id)):
        if row.previous != previous or row.hash != _hash(dict(row._mapping)):
            return int(row.id)
        previous = row.hash
    return None


def _hash(row: dict[str, Any]) -> str:
    told = [row[name] for name in ("who", "what", "subject", "via", "detail", "previous")]
    text = json.dumps([row["at"].astimezone(UTC).isoformat(), *told], sort_keys=True, ensure_ascii=True)
    return sha256(text.encode("ascii")).hexdigest()
