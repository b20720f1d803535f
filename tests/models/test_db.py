"""models/db/engine.py: migrations, transactions, lost races, outages."""

import multiprocessing
import os
import signal
import sqlite3
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from structlog.testing import capture_logs

from models.db.engine import is_lost_race, is_outage, make_engine, reading, retrying, transaction
from models.db.schema import is_current, migrate
from models.desk.value import DESK_VALUE, find_value, set_value
from models.people.customer import CUSTOMER
from models.tables import metadata
from tests.postgres import PostgresServer
from values.errors import PostdeskError


def test_the_migrations_make_exactly_the_tables_of_the_models(database: sa.Engine) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_changes_nothing(empty_database_url: str) -> None:
    engine = make_engine(empty_database_url)
    assert not is_current(engine)
    migrate(engine)
    assert is_current(engine)
    migrate(engine)
    assert is_current(engine)
    engine.dispose()


def _migrate_and_die(url: str, after: int) -> None:
    """Kill the process in the middle of the migration, after so many statements that make something."""
    engine, left = make_engine(url), after

    @sa.event.listens_for(engine, "after_cursor_execute")
    def count(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        nonlocal left
        left -= statement.lstrip().startswith(("CREATE", "ALTER", "INSERT"))
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    migrate(engine)


@pytest.mark.parametrize("after", [1, 12, 40])
def test_an_interrupted_migration_leaves_the_old_schema(empty_database_url: str, after: int) -> None:
    """Fault F17."""
    killed = multiprocessing.get_context("spawn").Process(target=_migrate_and_die, args=(empty_database_url, after))
    killed.start()
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    engine = make_engine(empty_database_url)
    assert sa.inspect(engine).get_table_names() == []
    migrate(engine)
    assert is_current(engine)
    engine.dispose()


def test_two_that_migrate_at_once_make_one_schema(empty_database_url: str) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        engine = make_engine(empty_database_url)
        try:
            migrate(engine)
        except BaseException as error:
            failed.append(error)
        engine.dispose()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


@pytest.mark.parametrize("url", ["mysql://x/y", "oracle://x"])
def test_another_kind_of_database_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(PostdeskError, match="write sqlite:///"):
        make_engine(url)


def test_sqlite_is_set_up_to_lose_nothing(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'desk.db'}")
    with engine.connect() as connection:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
    engine.dispose()


def test_a_transaction_commits_at_its_end_or_takes_everything_back(database: sa.Engine) -> None:
    with pytest.raises(RuntimeError), transaction(database) as session:
        set_value(session, "a", {"n": 1})
        raise RuntimeError
    with transaction(database) as session:
        assert find_value(session, "a") is None
        set_value(session, "a", {"n": 2})
    with reading(database) as session:
        assert find_value(session, "a") == {"n": 2}


def test_a_reader_sees_one_moment_and_never_waits(database: sa.Engine) -> None:
    with reading(database) as session:
        assert find_value(session, "a") is None
        with transaction(database) as writer:
            set_value(writer, "a", {"n": 1})
        assert find_value(session, "a") is None


def test_writers_that_read_first_lose_nothing(database: sa.Engine) -> None:
    """With a deferred BEGIN, SQLite would fail these at once, whatever its timeout; PostgreSQL would lose counts."""
    with transaction(database) as session:
        set_value(session, "n", {"n": 0})
    tries: list[int] = []

    def count() -> None:
        def once() -> None:
            tries.append(1)
            with transaction(database, snapshot=True) as session:
                set_value(session, "n", {"n": int((find_value(session, "n") or {})["n"]) + 1})

        for _ in range(10):
            retrying(once)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with transaction(database) as session:
        assert find_value(session, "n") == {"n": 40}
    assert len(tries) == 40 or database.dialect.name == "postgresql"  # on SQLite they queue, none has to try again


def test_a_locked_sqlite_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault F14: the locker outlives SQLite's own timeout several times."""
    monkeypatch.setattr("models.db.engine.BUSY_TIMEOUT", 0.05)
    path = tmp_path / "desk.db"
    engine = make_engine(f"sqlite:///{path}")
    migrate(engine)
    locker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    locker.execute("BEGIN IMMEDIATE")
    refused = threading.Event()

    def write() -> None:
        try:
            with transaction(engine) as session:
                set_value(session, "a", {"n": 1})
        except sa.exc.OperationalError as error:
            assert is_lost_race(error) and not is_outage(error)
            if refused.is_set():
                locker.rollback()  # refused twice: enough
            refused.set()
            raise

    retrying(write)
    assert refused.is_set()
    refused.clear()
    locker.execute("BEGIN IMMEDIATE")
    with pytest.raises(sa.exc.OperationalError, match="locked"):
        retrying(write, patience=0)
    locker.close()
    engine.dispose()


def test_f09_a_full_disk_under_sqlite_is_an_outage(tmp_path: Path) -> None:
    """SQLite itself says so here; what other disk faults say is told by the kernel in tests/faults/test_outage.py."""
    engine = make_engine(f"sqlite:///{tmp_path / 'desk.db'}")
    migrate(engine)

    def write() -> None:
        with transaction(engine) as session:
            set_value(session, "a", {"n": "x" * 200_000})

    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # of this connection, which the pool gives again
    with pytest.raises(sa.exc.OperationalError, match="full") as raised:
        write()
    assert is_outage(raised.value) and not is_lost_race(raised.value)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    write()
    engine.dispose()


def test_what_is_no_race_is_raised_at_once(database: sa.Engine) -> None:
    tries = []

    def wrong() -> None:
        tries.append(1)
        with transaction(database) as session:
            session.connection().exec_driver_sql("SELECT * FROM nothing")

    with pytest.raises(sa.exc.DBAPIError) as raised:
        retrying(wrong)
    assert len(tries) == 1 and not is_outage(raised.value) and not is_lost_race(raised.value)


def test_a_deadlock_is_run_again(database: sa.Engine) -> None:
    """Two that lock the same two rows in opposite order; SQLite does not let it come to that."""
    with transaction(database) as session:
        for key in "ab":
            set_value(session, key, {"n": 0})
    together = threading.Barrier(2)

    def lock(keys: str) -> None:
        first_try = database.dialect.name == "postgresql"

        def once() -> None:
            nonlocal first_try
            with transaction(database) as session:
                for key in keys:
                    change = sa.update(DESK_VALUE).where(DESK_VALUE.c.key == key).values(value={"n": keys})
                    session.connection().execute(change)
                    if first_try:
                        first_try = False
                        together.wait(20)

        retrying(once)

    threads = [threading.Thread(target=lock, args=(keys,)) for keys in ("ab", "ba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with transaction(database) as session:
        assert find_value(session, "a") == find_value(session, "b") != {"n": 0}


@pytest.mark.postgres
def test_a_postgresql_that_crashes_is_waited_for() -> None:
    """Fault F15: the server is gone without a word while connections are open, and comes back."""
    try:
        server = PostgresServer().__enter__()
    except (RuntimeError, OSError) as error:
        pytest.skip(f"no PostgreSQL: {error}")
    try:
        engine = make_engine(server.url("postgres"))
        migrate(engine)
        with transaction(engine) as session:
            set_value(session, "a", {"n": 1})
        server.stop(immediate=True)
        failures: list[BaseException] = []

        def read() -> Any:
            try:
                with transaction(engine) as session:
                    return find_value(session, "a")
            except sa.exc.DBAPIError as error:
                failures.append(error)
                if len(failures) == 3:
                    server.start()
                raise

        assert retrying(read) == {"n": 1}
        assert len(failures) >= 3 and all(is_outage(error) for error in failures)
        engine.dispose()
    finally:
        server.__exit__(None, None, None)


def test_numbers_of_tickets_begin_at_1001_and_are_not_used_again(database: sa.Engine) -> None:
    from models.tickets.ticket import TICKET, NewTicket, open_ticket
    from tests.models.made import NOW
    from values.mail import Mailbox

    new = NewTicket(subject="s", requester=Mailbox(address="a@b.test"), customer=None, contact=None, language="en")
    numbers = []
    for _ in range(2):
        with transaction(database) as session:
            numbers.append(open_ticket(session, new, NOW))
            if len(numbers) == 1:
                for table in (metadata.tables["participant"], TICKET):
                    session.connection().execute(sa.delete(table))
    assert numbers == [1001, 1002]


def test_broken_references_are_refused(database: sa.Engine) -> None:
    wrong = sa.insert(CUSTOMER).values(
        name="X", language="en", zone="UTC", colleagues="hold", needs_belief=False, account_manager=77, seats=2,
        created=sa.func.current_timestamp(),
    )  # fmt: skip
    with pytest.raises(sa.exc.IntegrityError), transaction(database) as session:
        session.connection().execute(wrong)


def test_f15_a_short_outage_is_logged_where_it_begins_and_where_it_ends() -> None:
    """Shorter than the patience of `retrying`, so that nobody else meets it; what the statement holds is not logged."""
    tries = 0

    def work() -> str:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise sa.exc.OperationalError("INSERT …", {"text": "a mail"}, psycopg.errors.AdminShutdown("shutting down"))
        return "done"

    with capture_logs() as said:
        assert retrying(work, sleep=lambda seconds: None) == "done"
    assert [line["event"] for line in said] == ["outage began", "outage ended"]
    assert said[0]["error"] == "shutting down"
