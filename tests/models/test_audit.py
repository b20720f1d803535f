"""models/desk/audit.py, models/desk/job_run.py, models/desk/value.py: what happens once and stays."""

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from models.db.engine import retrying, transaction
from models.desk.audit import AUDIT, append, find_break
from models.desk.job_run import begin_once
from models.desk.value import clock_offset, find_value, move_clock, set_value
from tests.models.made import NOW


def add(engine: sa.Engine, what: str, *, snapshot: bool = False) -> None:
    with transaction(engine, snapshot=snapshot) as session:
        detail = {"b": [1, None, "ä"], "a": {"c": True}}
        append(session, NOW, who="ana@nordvik.test", what=what, subject="held:A1", via="command", detail=detail)


def broken(engine: sa.Engine) -> int | None:
    with transaction(engine) as session:
        return find_break(session)


def tamper(engine: sa.Engine, statement: str) -> None:
    """As somebody would who may do everything with the database."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("ALTER TABLE audit DISABLE TRIGGER ALL")
        else:
            for verb in ("update", "delete"):
                connection.exec_driver_sql(f"DROP TRIGGER audit_no_{verb}")
        connection.exec_driver_sql(statement)


@pytest.mark.parametrize(
    ("statement", "first_broken"),
    [
        ("UPDATE audit SET who = 'eva@evil.test' WHERE id = 2", 2),
        ("UPDATE audit SET detail = NULL WHERE id = 1", 1),
        ("DELETE FROM audit WHERE id = 1", 2),
        ("DELETE FROM audit WHERE id = 2", 3),
    ],
)
def test_a_changed_or_missing_row_is_noticed(database: sa.Engine, statement: str, first_broken: int) -> None:
    for what in ("one", "two", "three"):
        add(database, what)
    assert broken(database) is None
    tamper(database, statement)
    assert broken(database) == first_broken


@pytest.mark.parametrize("statement", ["UPDATE audit SET who = 'x'", "DELETE FROM audit"])
def test_the_database_refuses_to_change_the_trail(database: sa.Engine, statement: str) -> None:
    add(database, "one")
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), database.begin() as connection:
        connection.exec_driver_sql(statement)


@pytest.mark.parametrize("snapshot", [False, True])
def test_many_writers_make_one_chain(database: sa.Engine, snapshot: bool) -> None:
    tries: list[int] = []

    def once() -> None:
        tries.append(1)
        add(database, "x", snapshot=snapshot)

    def write() -> None:
        for _ in range(5):
            retrying(once)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert broken(database) is None
    with database.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(AUDIT)).scalar() == 15
    assert snapshot or len(tries) == 15  # outside a snapshot they queue, none has to try again


def test_a_job_begins_once_for_each_period_and_recipient(database: sa.Engine) -> None:
    begun: list[bool] = []

    def begin() -> None:
        def once() -> bool:
            with transaction(database) as session:
                return begin_once(session, "digest", "2026-W48", NOW, recipient="Su@acme.test")

        begun.append(retrying(once))

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(begun) == [False, False, False, True]
    with transaction(database) as session:
        assert not begin_once(session, "digest", "2026-W48", NOW, recipient="su@ACME.test")
        assert begin_once(session, "digest", "2026-W49", NOW, recipient="su@acme.test")
        assert begin_once(session, "digest", "2026-W48", NOW)


def test_a_job_that_fails_has_not_begun(database: sa.Engine) -> None:
    with pytest.raises(RuntimeError), transaction(database) as session:
        assert begin_once(session, "digest", "2026-W48", NOW)
        raise RuntimeError
    with transaction(database) as session:
        assert begin_once(session, "digest", "2026-W48", NOW)


def test_the_clock_of_the_desk_is_put_on(database: sa.Engine) -> None:
    with transaction(database) as session:
        assert clock_offset(session) == timedelta(0)
        assert move_clock(session, timedelta(hours=20)) == timedelta(hours=20)
        assert move_clock(session, timedelta(minutes=1)) == clock_offset(session) == timedelta(hours=20, minutes=1)
        set_value(session, "breaker", {"open": True})
        set_value(session, "breaker", {"open": False})
        assert find_value(session, "breaker") == {"open": False} and find_value(session, "none") is None
