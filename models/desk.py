"""Small facts about the desk as a whole: the offset of its clock, the state of breakers."""

from typing import Any

from sqlmodel import Field, SQLModel

from models.columns import Json, table_of


class DeskValue(SQLModel, table=True):
    __tablename__ = "desk_value"

    key: str = Field(primary_key=True)
    value: dict[str, Any] | None = Field(default=None, sa_type=Json)


DESK_VALUE = table_of(DeskValue)
