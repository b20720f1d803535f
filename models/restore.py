"""A database that is older than the world: what was given out after its backup must not be given out again.

Takes: a session in a transaction.  Gives: what was done.  Fails: as the database does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session

from models.desk.audit import AUDIT
from models.inbound.ledger import LEDGER
from models.outbox.outbox import OUTBOX
from values.vocabulary import OutboxStatus, Reason

RESTORED = "desk.restored"  # in the audit
# People read the numbers of tickets and of access requests, so these skip fewer. Message-IDs, return paths and notice
# addresses are made from outbox ids: of each ticket come several mails.
NUMBERED = {"ticket": 1, "access_request": 1, "outbox": 100}


def skip_ids(session: Session, skip: int) -> dict[str, int]:
    """What may have been given out since the backup is never given again; {table: the last number that is skipped}."""
    return {table: _skip(session.connection(), table, skip * times) for table, times in NUMBERED.items()}


def _skip(connection: sa.Connection, table: str, by: int) -> int:
    if connection.dialect.name == "postgresql":
        moved = f"SELECT setval('{table}_id_seq', (SELECT last_value FROM {table}_id_seq) + :by)"
        return int(connection.execute(sa.text(moved), {"by": by}).scalar_one())
    moved = "UPDATE sqlite_sequence SET seq = seq + :by WHERE name = :name RETURNING seq"
    found = connection.execute(sa.text(moved), {"by": by, "name": table}).scalar()
    if found is None:  # no row was ever there
        first = "INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :by)"
        connection.execute(sa.text(first), {"by": by, "name": table})
    return int(found or by)


def count_leaving(session: Session) -> int:
    """How many outgoing mails wait: those that left after the backup leave a second time."""
    waiting = OUTBOX.c.status.in_((OutboxStatus.DUE, OutboxStatus.SENDING))
    return int(session.connection().execute(sa.select(sa.func.count()).where(waiting)).scalar_one())


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The end of the ledger."""

    sha256: Sequence[str]  # of the newest mails, each once
    recorded: datetime | None  # when the newest of them was; or when somebody said that the desk was restored


def find_newest(session: Session, limit: int) -> Newest:
    """The newest mails by arrival, without those that nobody could read."""
    wanted = sa.select(LEDGER.c.sha256, LEDGER.c.recorded).order_by(LEDGER.c.id.desc()).limit(limit)
    wanted = wanted.where(LEDGER.c.reason != Reason.POISON)  # nobody could read these: they lie in the shunt
    rows = session.connection().execute(wanted).all()
    told = sa.select(sa.func.max(AUDIT.c.at)).where(AUDIT.c.what == RESTORED)
    times = [row.recorded for row in rows] + [session.connection().execute(told).scalar()]
    return Newest(
        sha256=tuple(dict.fromkeys(row.sha256 for row in rows)),
        recorded=max((time for time in times if time is not None), default=None) if rows else None,
    )


def clock_of(session: Session) -> datetime | None:
    """What time it is by the clock of PostgreSQL's machine; SQLite has none of its own."""
    connection = session.connection()
    if connection.dialect.name != "postgresql":
        return None
    told: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return told
