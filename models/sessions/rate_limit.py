"""Counts of what strangers ask for, by key and window: every process of every machine counts the same."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from models.db.columns import storable, table_of, upsert


class RateLimit(SQLModel, table=True):
    __tablename__ = "rate_limit"

    key: str = Field(primary_key=True)  # what is counted: proof:lucia@acme.test, form:192.0.2.7
    window: datetime = Field(primary_key=True)  # its beginning
    count: int


RATE_LIMIT = table_of(RateLimit)
_KEY_KEPT = 200  # characters


def take(session: Session, key: str, limit: int, every: timedelta, now: datetime) -> bool:
    """Count one more; whether it is within `limit` for the window of length `every` that `now` lies in."""
    start = datetime(1970, 1, 1, tzinfo=UTC)
    row = {"key": storable(key)[:_KEY_KEPT], "window": start + (now - start) // every * every, "count": 1}
    connection = session.connection()
    counted = upsert(RATE_LIMIT, connection.dialect.name).on_conflict_do_update(
        index_elements=["key", "window"], set_={"count": RATE_LIMIT.c.count + 1}
    )
    return int(connection.execute(counted.returning(RATE_LIMIT.c.count), row).scalar_one()) <= limit


def forget_counts(session: Session, before: datetime) -> int:
    """Delete the counts of windows that began before this time; how many."""
    gone = sa.delete(RATE_LIMIT).where(RATE_LIMIT.c.window < before).returning(RATE_LIMIT.c.key)
    return len(session.connection().execute(gone).all())
