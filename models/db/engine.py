"""The database: engine, transactions, running lost races again. Knows no word of the domain.

Takes: a URL, `sqlite:///path` or `postgresql://…`.  Gives: an engine and sessions.  Fails: what SQLAlchemy raises;
`is_lost_race` and `is_outage` tell which of that is worth another try.
"""

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlmodel import Session

from models.db import outage
from models.db.read_only import outlast_standby
from values.errors import PostdeskError

BUSY_TIMEOUT = 10.0  # seconds that SQLite waits for another writer before it gives up
POOL_SIZE = 5  # connections a process keeps; each role works on one or two

# A SQLite file that cannot be written or read: the disk is full, gone, read-only or broken. No mail is to blame.
_SQLITE_AWAY = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
)

_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "temp_store = MEMORY",
    "cache_size = -32768",  # KiB: the inner pages of every index of a large desk
)

T = TypeVar("T")


def make_engine(url: str) -> sa.Engine:
    """An engine for `sqlite:///path` (`sqlite://` = in memory, for one thread) or `postgresql://…` (psycopg 3).

    Raises PostdeskError for any other kind of URL.
    """
    made = sa.make_url(url)
    if made.get_backend_name() == "sqlite":
        return _sqlite(made)
    if made.get_backend_name() == "postgresql":
        engine = sa.create_engine(
            made.set(drivername="postgresql+psycopg"), pool_size=POOL_SIZE, max_overflow=POOL_SIZE, pool_recycle=1800
        )
        outlast_standby(engine)
        return engine
    raise PostdeskError(f"database {made.drivername!r}: write sqlite:///path/to/file or postgresql://user@host/name")


def _sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url.set(drivername="sqlite+pysqlite"), connect_args={"timeout": BUSY_TIMEOUT})

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        # We begin ourselves: the module would begin a deferred transaction only before the first write, and a
        # transaction that reads and then writes loses at once ("database is locked") whatever the timeout.
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        deferred = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if deferred else "BEGIN IMMEDIATE")

    return engine


@contextmanager
def transaction(engine: sa.Engine, *, snapshot: bool = False) -> Iterator[Session]:
    """A session in one transaction: committed at the end, rolled back on an exception.

    `snapshot`: what is read stays as it was when the transaction began, and a unique key that somebody else took
    meanwhile makes the transaction fail as a lost race (PostgreSQL REPEATABLE READ). Gathering facts, deciding and
    recording need it. SQLite has one writer at a time, so there every transaction is of this kind.
    """
    if snapshot and engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: sa.Engine) -> Iterator[Session]:
    """A session that only reads, from one snapshot, beside any writer. A write through it fails on PostgreSQL.

    What was read may be looked at afterwards too: rolling back would empty the rows, so they leave the session first.
    """
    options: dict[str, Any] = {"reading": True}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with Session(engine.execution_options(**options), expire_on_commit=False) as session:
        try:
            yield session
        finally:
            session.expunge_all()
            session.rollback()


def is_snapshot(connection: sa.Connection) -> bool:
    """Does this transaction notice what others did since it began? See `transaction`."""
    if connection.dialect.name != "postgresql":
        return True
    return connection.get_execution_options().get("isolation_level") in ("REPEATABLE READ", "SERIALIZABLE")


def is_lost_race(error: BaseException) -> bool:
    """Did the transaction fail because of another one? Then the whole of it can be run again."""
    if isinstance(error, IntegrityError):
        return _is_unique_violation(error)
    if not isinstance(error, OperationalError):
        return False
    if isinstance(error.orig, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected):
        return True
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_unique_violation(error: IntegrityError) -> bool:
    unique = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
    return isinstance(error.orig, psycopg.errors.UniqueViolation) or (
        getattr(error.orig, "sqlite_errorcode", 0) in unique
    )


def is_outage(error: BaseException) -> bool:
    """Is the database away (stopped, read-only, cut off, out of connections, its disk full)? It may come back.

    None of this says anything about the work that met it: the same work succeeds later (faults F09, F15, F16).
    """
    if not isinstance(error, DBAPIError):
        return isinstance(error, sa.exc.TimeoutError)
    if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _SQLITE_AWAY:
        return True
    away = psycopg.errors.OperationalError | psycopg.InterfaceError
    return error.connection_invalidated or (isinstance(error.orig, away) and not is_lost_race(error))


def retrying(
    work: Callable[[], T],
    *,
    patience: float = 60.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """The result of `work`, which opens its own transaction, run again after a lost race or an outage.

    An outage is logged once where it begins and once where it ends. Waits a random time between tries that grows
    from 10 ms to 2 s, and raises the last error after `patience` seconds.
    """
    until, wait = clock() + patience, 0.01
    while True:
        try:
            done = work()
        except (DBAPIError, sa.exc.TimeoutError) as error:
            if away := is_outage(error):
                outage.DATABASE.met(error)
            if not (away or is_lost_race(error)) or clock() >= until:
                raise
        else:
            outage.DATABASE.over()
            return done
        sleep(wait * random.uniform(0.5, 1.0))
        wait = min(wait * 2, 2.0)
