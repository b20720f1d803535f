"""Mailboxes that mail is fetched from: who polls each, how far it was read, how it went.

One fetcher at a time has a mailbox, by lease; `fence` grows with every loan, so that one that lost its lease (a process
that slept, a machine that was cut off) moves no cursor.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from models.db.columns import insert_new, storable, table_of, upsert

LEASE = timedelta(seconds=30)  # until a mailbox whose fetcher died is polled by another; extended three times as often
LONGEST = timedelta(hours=1)  # no loan or pause is longer: one that ends later was made before the clock went back
_FAULT_KEPT = 500  # characters


class FetchedMailbox(SQLModel, table=True):
    """One folder of one account. `due_at` is the lease of whoever has it, else when it may be polled again."""

    __tablename__ = "fetched_mailbox"

    mailbox: str = Field(primary_key=True)  # host/user/folder: Account.name in ingest/imap/folder.py
    worker: str | None = None
    fence: int = 0
    due_at: datetime
    looked_at: datetime | None = None  # when the server last answered that there is nothing more
    faults: int = 0  # in a row
    fault: str = ""  # of the last try; "" where it went well
    fault_at: datetime | None = None


class FetchCursor(SQLModel, table=True):
    """How far a mailbox was read under one UIDVALIDITY (RFC 9051 §2.3.1.1): every UID up to `last_uid` is ours."""

    __tablename__ = "fetch_cursor"

    mailbox: str = Field(primary_key=True)
    uidvalidity: int = Field(primary_key=True, sa_type=sa.BigInteger)
    last_uid: int = Field(sa_type=sa.BigInteger)
    at: datetime


FETCHED_MAILBOX = table_of(FetchedMailbox)
FETCH_CURSOR = table_of(FetchCursor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """A mailbox lent to one fetcher."""

    mailbox: str
    fence: int
    faults: int  # in a row, before this loan


def lend(session: Session, mailbox: str, worker: str, now: datetime) -> Loan | None:
    """Lend a mailbox; None while another has it, or it shall not be polled yet."""
    connection = session.connection()
    new = {"mailbox": mailbox, "fence": 0, "due_at": now, "faults": 0, "fault": ""}
    connection.execute(insert_new(FETCHED_MAILBOX, connection.dialect.name), new)
    free = sa.or_(FETCHED_MAILBOX.c.due_at <= now, FETCHED_MAILBOX.c.due_at > now + LONGEST)
    statement = (
        sa.update(FETCHED_MAILBOX)
        .where(FETCHED_MAILBOX.c.mailbox == mailbox, free)
        .values(worker=worker, fence=FETCHED_MAILBOX.c.fence + 1, due_at=now + LEASE)
        .returning(FETCHED_MAILBOX.c.fence, FETCHED_MAILBOX.c.faults)
    )
    row = connection.execute(statement).first()
    return Loan(mailbox=mailbox, fence=row.fence, faults=row.faults) if row else None


def extend(session: Session, loan: Loan, now: datetime) -> bool:
    """The fetcher is alive. False where it lost the mailbox: stop."""
    return _write(session, loan, due_at=now + LEASE)


def mark_looked(session: Session, loan: Loan, now: datetime) -> bool:
    """All that is there was fetched. False as in `extend`."""
    return _write(session, loan, due_at=now + LEASE, looked_at=now, fault="", fault_at=None)


def advance(session: Session, loan: Loan, uidvalidity: int, uid: int, now: datetime) -> bool:
    """Every mail up to `uid` is in the spool. False, and nothing moves, where the mailbox is lent to another."""
    if not extend(session, loan, now):
        return False
    connection = session.connection()
    row = {"mailbox": loan.mailbox, "uidvalidity": uidvalidity, "last_uid": uid, "at": now}
    statement = upsert(FETCH_CURSOR, connection.dialect.name).on_conflict_do_update(
        index_elements=["mailbox", "uidvalidity"], set_={"last_uid": uid, "at": now}
    )
    connection.execute(statement, row)
    return True


def give_back(session: Session, loan: Loan, now: datetime, *, due_at: datetime, faults: int, fault: str = "") -> bool:
    """The loan ends; the mailbox may be polled again at `due_at`. False where it was lost before."""
    told: dict[str, object] = {"fault": storable(fault)[:_FAULT_KEPT], "fault_at": now} if fault else {}
    return _write(session, loan, worker=None, due_at=due_at, faults=faults, **told)


def find_last_uid(session: Session, mailbox: str, uidvalidity: int) -> int | None:
    """The last UID that was fetched under this UIDVALIDITY; None = nothing was, ever."""
    key = (FETCH_CURSOR.c.mailbox == mailbox, FETCH_CURSOR.c.uidvalidity == uidvalidity)
    return session.connection().execute(sa.select(FETCH_CURSOR.c.last_uid).where(*key)).scalar()


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """How the polling of a mailbox goes, for the doctor. Times are None where it never happened."""

    looked_at: datetime | None
    fault: str
    fault_at: datetime | None
    uidvalidity: int | None  # that was read last
    last_uid: int  # 0 = none


def find_polled(session: Session, mailbox: str) -> Polled | None:
    """How the polling goes; None where it never began."""
    connection = session.connection()
    row = connection.execute(sa.select(FETCHED_MAILBOX).where(FETCHED_MAILBOX.c.mailbox == mailbox)).first()
    if row is None:
        return None
    newest = sa.select(FETCH_CURSOR).where(FETCH_CURSOR.c.mailbox == mailbox).order_by(FETCH_CURSOR.c.at.desc())
    cursor = connection.execute(newest.limit(1)).first()
    return Polled(
        looked_at=row.looked_at,
        fault=row.fault,
        fault_at=row.fault_at,
        uidvalidity=cursor.uidvalidity if cursor else None,
        last_uid=cursor.last_uid if cursor else 0,
    )


def _write(session: Session, loan: Loan, **values: object) -> bool:
    mine = (FETCHED_MAILBOX.c.mailbox == loan.mailbox, FETCHED_MAILBOX.c.fence == loan.fence)
    statement = (
        sa.update(FETCHED_MAILBOX)
        .where(*mine, FETCHED_MAILBOX.c.worker.is_not(None))
        .values(**values)
        .returning(FETCHED_MAILBOX.c.mailbox)
    )
    return session.connection().execute(statement).first() is not None
