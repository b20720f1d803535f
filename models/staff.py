"""The vendor's people: agents answer tickets, admins may do everything."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from models.columns import table_of


class Agent(SQLModel, table=True):
    __tablename__ = "agent"

    id: int | None = Field(default=None, primary_key=True)
    address: str = Field(unique=True)  # wholly lower-cased
    name: str
    admin: bool = False
    active: bool = True
    notify: bool = True  # wants to hear of new tickets and replies
    language: str = "en"
    zone: str = "UTC"
    created: datetime


AGENT = table_of(Agent)
