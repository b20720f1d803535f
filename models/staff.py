"""The vendor's people: agents answer tickets, admins may do everything."""

from datetime import datetime

from sqlmodel import Field, Session, SQLModel, select

from models.checked import check_address, check_zone
from models.columns import table_of
from models.errors import Refused


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


def add_agent(
    session: Session,
    address: str,
    name: str,
    now: datetime,
    *,
    admin: bool = False,
    notify: bool = True,
    language: str = "en",
    zone: str = "UTC",
) -> Agent:
    """A new agent. Raises Refused where it is no address or an agent's already."""
    key = check_address(address)
    if find_agent(session, key):
        raise Refused(f"{key} is an agent already.")
    made = Agent(
        address=key,
        name=name.strip() or key,
        admin=admin,
        notify=notify,
        language=language,
        zone=check_zone(zone),
        created=now,
    )
    session.add(made)
    session.flush()
    return made


def find_agent(session: Session, address: str) -> Agent | None:
    """The agent with this address, active or not."""
    return session.exec(select(Agent).where(Agent.address == address.lower())).first()
