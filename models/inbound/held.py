"""Mails that wait for a person's judgment."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from models.db.columns import storable, table_of, words
from models.db.keys import address_key
from models.inbound.ledger import LEDGER
from values.decision import Hold, Release
from values.mail import ParsedMail
from values.vocabulary import HeldState, LedgerState, Reason


class Held(SQLModel, table=True):
    __tablename__ = "held"
    __table_args__ = (
        sa.Index("ix_held_state_held_at", "state", "held_at"),
        sa.Index("ix_held_state_expires_at", "state", "expires_at"),
    )

    id: str = Field(primary_key=True, foreign_key="ledger.id")
    state: HeldState = Field(default=HeldState.HELD, sa_type=words(HeldState))
    reason: Reason = Field(sa_type=words(Reason))
    why: str  # one sentence for the agent
    would: str  # what a release would do
    ticket: int | None = Field(default=None, foreign_key="ticket.id", index=True)  # held beside it
    customer: int | None = Field(default=None, foreign_key="customer.id", index=True)
    author: str | None = Field(default=None, index=True)
    subject: str = ""
    text: str = ""  # the beginning, to judge by
    held_at: datetime
    expires_at: datetime | None = None  # None = until a person decides
    decided_at: datetime | None = None
    decided_by: str | None = None
    release_by: str | None = Field(default=None, index=True)  # who wants it let through; the pipeline does it
    release_customer: int | None = Field(default=None, foreign_key="customer.id")


HELD = table_of(Held)

WAITING_SHOWN = 20  # held mails that one notice names
TEXT_KEPT = 4000  # characters of the text that an agent sees without opening the raw mail


def hold(
    session: Session,
    id: str,
    reason: Reason,
    action: Hold,
    mail: ParsedMail | None,
    now: datetime,
    *,
    again: bool = False,
) -> None:
    """Put an accepted mail, whose ledger row exists, to the held desk. `again`: it lies there, for another reason."""
    author = mail.author if mail else None
    row = {
        "id": id,
        "state": HeldState.HELD,
        "reason": reason,
        "why": storable(action.why),
        "would": storable(action.would),
        "ticket": action.ticket,
        "customer": action.customer,
        "author": address_key(author.address) if author else None,
        "subject": storable(mail.subject) if mail else "",
        "text": storable(mail.text[:TEXT_KEPT]) if mail else "",
        "held_at": now,
        "expires_at": action.expires_at,
    }
    if again:
        session.connection().execute(sa.delete(HELD).where(HELD.c.id == id))
    session.connection().execute(_HOLD, row)


def settle(session: Session, id: str, state: HeldState, by: str, now: datetime) -> bool:
    """A held mail was released, dropped or has expired, by whom. False where it is no longer held."""
    statement = (
        sa.update(HELD)
        .where(HELD.c.id == id, HELD.c.state == HeldState.HELD)
        .values(state=state, decided_by=storable(by), decided_at=now)
        .returning(HELD.c.id)
    )
    return session.connection().execute(statement).first() is not None


def drop(session: Session, id: str, by: str, now: datetime) -> bool:
    """A person drops a held mail: the ledger says so, the raw mail stays. False where it is not held."""
    return settle(session, id, HeldState.DROPPED, by, now) and _discard(session, id, Reason.DROPPED)


def release_later(session: Session, id: str, by: str, customer: int | None, now: datetime) -> bool:
    """A superuser, by mail or page, wants the mail let through for this customer; the pipeline decides it again soon.

    False where it is not held, or somebody has said so before.
    """
    statement = (
        sa.update(HELD)
        .where(HELD.c.id == id, HELD.c.state == HeldState.HELD, HELD.c.release_by.is_(None))
        .values(release_by=storable(by), release_customer=customer, decided_at=now)
        .returning(HELD.c.id)
    )
    return session.connection().execute(statement).first() is not None


def release_waiting(session: Session, author: str, customer: int, now: datetime) -> list[str]:
    """The author has access to this customer now: what waited for that is decided again soon; the ids."""
    waits = (HELD.c.state == HeldState.HELD, HELD.c.author == address_key(author), HELD.c.release_by.is_(None))
    only = HELD.c.reason.in_((Reason.UNKNOWN_CUSTOMER, Reason.COLLEAGUE_WITHOUT_SEAT))
    statement = (
        sa.update(HELD)
        .where(*waits, only)
        .values(release_by=address_key(author), release_customer=customer, decided_at=now)
        .returning(HELD.c.id)
    )
    return sorted(session.connection().execute(statement).scalars())


def wanted_releases(session: Session, *, limit: int = 100) -> list[tuple[str, Release]]:
    """The mails that somebody wants let through, and the word with which each is decided again."""
    wanted = (HELD.c.state == HeldState.HELD, HELD.c.release_by.is_not(None))
    rows = session.connection().execute(sa.select(HELD).where(*wanted).order_by(HELD.c.id).limit(limit))
    return [(row.id, Release(by=row.release_by, customer=row.release_customer)) for row in rows]


def forget_wish(session: Session, id: str) -> None:
    """The mail could not be let through: it waits for an agent again."""
    session.connection().execute(sa.update(HELD).where(HELD.c.id == id).values(release_by=None))


def forget_poison(session: Session, id: str) -> bool:
    """A mail that could not be read goes back to the spool: it is not decided yet. False where it is no such mail."""
    poison = sa.delete(HELD).where(HELD.c.id == id, HELD.c.reason == Reason.POISON).returning(HELD.c.id)
    connection = session.connection()
    if connection.execute(poison).first() is None:
        return False
    connection.execute(sa.delete(LEDGER).where(LEDGER.c.id == id))
    return True


def expire_due(session: Session, now: datetime, *, limit: int = 100) -> list[str]:
    """Discard what was held until now; the ids."""
    statement = sa.select(HELD.c.id).where(HELD.c.state == HeldState.HELD, HELD.c.expires_at <= now).limit(limit)
    ids = list(session.connection().execute(statement).scalars())
    return [
        id
        for id in ids
        if settle(session, id, HeldState.EXPIRED, "desk", now) and _discard(session, id, Reason.HELD_EXPIRED)
    ]


def _discard(session: Session, id: str, reason: Reason) -> bool:
    statement = sa.update(LEDGER).where(LEDGER.c.id == id).values(state=LedgerState.DISCARDED, reason=reason)
    session.connection().execute(statement)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One held mail in the grouped notice to agents."""

    id: str
    author: str
    subject: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingMails:
    mails: tuple[Waiting, ...] = ()  # the first ones
    more: int = 0


def held_between(session: Session, since: datetime, until: datetime) -> WaitingMails:
    """The mails that were held from `since` to before `until`, decided meanwhile or not, the longest first."""
    which = (HELD.c.state.in_(list(HeldState)), HELD.c.held_at >= since, HELD.c.held_at < until)  # as in the index
    connection = session.connection()
    count = connection.execute(sa.select(sa.func.count()).select_from(HELD).where(*which)).scalar_one()
    rows = connection.execute(
        sa.select(HELD.c.id, HELD.c.author, HELD.c.subject, HELD.c.why)
        .where(*which)
        .order_by(HELD.c.held_at, HELD.c.id)
        .limit(WAITING_SHOWN)
    )
    mails = tuple(Waiting(id=row.id, author=row.author or "", subject=row.subject, why=row.why) for row in rows)
    return WaitingMails(mails=mails, more=count - len(mails))


_HOLD = sa.insert(HELD)
