"""The vendor's people: agents answer tickets, admins may do everything."""

from datetime import datetime

from sqlmodel import Field, Session, SQLModel, select

from models.db.columns import table_of, words
from models.people.validation import check_address, check_zone
from values.errors import Refused
from values.vocabulary import AgentNotices


class Agent(SQLModel, table=True):
    __tablename__ = "agent"

    id: int | None = Field(default=None, primary_key=True)
    address: str = Field(unique=True)  # wholly lower-cased
    name: str
    admin: bool = False
    active: bool = True
    notices: AgentNotices = Field(default=AgentNotices.ALL, sa_type=words(AgentNotices))
    language: str = "en"
    zone: str = ""  # IANA name; "" = the desk's
    created: datetime


AGENT = table_of(Agent)


def add_agent(
    session: Session,
    address: str,
    name: str,
    now: datetime,
    *,
    admin: bool = False,
    notices: AgentNotices = AgentNotices.ALL,
    language: str = "en",
    zone: str = "",
) -> Agent:
    """A new agent. Raises Refused where it is no address or an agent's already."""
    key = check_address(address)
    if find_agent(session, key):
        raise Refused(f"{key} is an agent already.")
    made = Agent(
        address=key,
        name=name.strip() or key,
        admin=admin,
        notices=notices,
        language=language,
        zone=zone and check_zone(zone),
        created=now,
    )
    session.add(made)
    session.flush()
    return made


def find_agent(session: Session, address: str) -> Agent | None:
    """The agent with this address, active or not."""
    return session.exec(select(Agent).where(Agent.address == address.lower())).first()


def agents_of_the_desk(session: Session) -> list[Agent]:
    """The active agents who want to hear of what concerns the whole desk."""
    wanted = select(Agent).where(Agent.active, Agent.notices == AgentNotices.ALL).order_by(Agent.address)
    return list(session.exec(wanted))


def change_agent(
    session: Session,
    address: str,
    *,
    name: str | None = None,
    admin: bool | None = None,
    active: bool | None = None,
    notices: AgentNotices | None = None,
    language: str | None = None,
    zone: str | None = None,
) -> dict[str, str]:
    """Change what is given of an agent; None leaves it. `zone`: "" is the desk's. What was changed, by name.

    Raises Refused where there is no such agent or zone, or where the desk would have no active admin left.
    """
    agent = find_agent(session, address)
    if agent is None:
        raise Refused(f"{address} is no agent; see `postdesk agent list`.")
    wanted = {"name": name, "admin": admin, "active": active, "notices": notices, "language": language}
    wanted["zone"] = zone and check_zone(zone)
    changed = {key: value for key, value in wanted.items() if value is not None and value != getattr(agent, key)}
    was_admin = agent.admin and agent.active
    for key, value in changed.items():
        setattr(agent, key, value)
    if was_admin and not (agent.admin and agent.active) and not _other_admin(session, agent):
        raise Refused(f"{agent.address} is the last active admin. Make another agent an admin first.")
    session.add(agent)
    session.flush()
    return {key: str(value) for key, value in changed.items()}


def _other_admin(session: Session, agent: Agent) -> bool:
    others = select(Agent.id).where(AGENT.c.id != agent.id, AGENT.c.admin, AGENT.c.active).limit(1)
    return session.exec(others).first() is not None
