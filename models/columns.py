"""Column types that the tables share: closed word lists, JSON, and the naming of constraints."""

from enum import StrEnum
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

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
