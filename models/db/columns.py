"""What the tables share: word lists, JSON, names of constraints, text that can be stored, upserts."""

from enum import StrEnum
from functools import cache
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

Insert = postgresql.Insert | sqlite.Insert

# Named constraints can be altered by later migrations on both databases.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# A changed list or mapping inside a JSON column is not noticed: assign a new value.
Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def words(vocabulary: type[StrEnum]) -> Any:
    """The column type of a word list: the word itself as text, so that adding a word is no migration."""
    return sa.Enum(vocabulary, native_enum=False, create_constraint=False, length=40, values_callable=_values)


def _values(vocabulary: type[StrEnum]) -> list[str]:
    return [word.value for word in vocabulary]


def table_of(model: type[SQLModel]) -> sa.Table:
    """The Core table of a model, for prebuilt statements."""
    return cast(sa.Table, model.__dict__["__table__"])


@cache
def upsert(table: sa.Table, dialect: str) -> Insert:
    """An INSERT of this dialect that takes `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@cache
def insert_new(table: sa.Table, dialect: str, *returned: str) -> Any:
    """An INSERT that leaves out rows whose key is taken, and returns these columns of the others."""
    statement = upsert(table, dialect).on_conflict_do_nothing()
    return statement.returning(*(table.c[name] for name in returned)) if returned else statement


def storable(text: str) -> str:
    """The text without what a database refuses: NUL (PostgreSQL) and lone surrogates (no UTF-8)."""
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    return text.replace("\0", "\ufffd").encode("utf-8", "surrogatepass").decode("utf-8", "replace")
