"""Small facts about the desk as a whole: the offset of its clock, the state of breakers."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from models.db.columns import Json, table_of, upsert


class DeskValue(SQLModel, table=True):
    __tablename__ = "desk_value"

    key: str = Field(primary_key=True)
    value: dict[str, Any] | None = Field(default=None, sa_type=Json)


DESK_VALUE = table_of(DeskValue)

_CLOCK = "clock"


def find_value(session: Session, key: str) -> dict[str, Any] | None:
    """The value under this key."""
    statement = sa.select(DESK_VALUE.c.value).where(DESK_VALUE.c.key == key)
    return session.connection().execute(statement).scalar()


def set_value(session: Session, key: str, value: dict[str, Any]) -> None:
    """Put a value under this key, in place of what was there."""
    connection = session.connection()
    statement = upsert(DESK_VALUE, connection.dialect.name).on_conflict_do_update(
        index_elements=["key"], set_={"value": value}
    )
    connection.execute(statement, {"key": key, "value": value})


def clock_offset(session: Session) -> timedelta:
    """How far the desk's clock is ahead of the machine's (`postdesk tick`, demo and tests)."""
    return timedelta(seconds=float((find_value(session, _CLOCK) or {}).get("seconds", 0)))


def move_clock(session: Session, by: timedelta) -> timedelta:
    """Put the desk's clock on by this much; returns the whole offset."""
    offset = clock_offset(session) + by
    set_value(session, _CLOCK, {"seconds": offset.total_seconds()})
    return offset
