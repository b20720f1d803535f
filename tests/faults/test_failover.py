"""PostgreSQL fails over to a standby under load (F16): reads only for a while, connections cut, commits unknown."""

from pathlib import Path

import psycopg
import pytest

from tests.desk import Sink, wait_until
from tests.faults.load import (
    ROLES,
    check_ledger,
    check_outbox,
    counted,
    letters,
    load,
    make_desk,
    wait_decided,
    wait_sent,
)
from tests.postgres import PostgresServer


class Address:
    """Where the desk looks for its database: a name that an operator can turn to another server, as one moves an IP."""

    def __init__(self, path: Path, server: PostgresServer) -> None:
        self._path = path
        path.symlink_to(server.folder)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self._path}"

    def turn_to(self, server: PostgresServer) -> None:
        beside = self._path.with_suffix(".new")
        beside.symlink_to(server.folder)
        beside.rename(self._path)


@pytest.mark.postgres
@pytest.mark.long
@pytest.mark.timeout(300)
def test_f16_failover_to_a_standby_under_load(tmp_path: Path) -> None:
    """Replication waits for the standby, so that what was committed is there; what was in flight is lost."""
    sent = letters("v", 60)
    with PostgresServer() as primary, Sink() as sink:
        primary.sql("CREATE DATABASE desk")
        address = Address(tmp_path / "pg", primary)
        desk = make_desk(tmp_path / "desk", address.url("desk"), sink)
        standby = PostgresServer.standby_of(primary)
        try:
            primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
            primary.sql("SELECT pg_reload_conf()")
            wait_until(lambda: _replicated(primary), "a synchronous standby")
            with desk.running(only=ROLES), load(desk) as senders:
                senders.send(sent[:30])
                wait_until(lambda: counted(desk)["states"]["ticket-opened"], "the first ticket")
                primary.stop(immediate=True)
                address.turn_to(standby)  # not promoted yet: it takes reads only (SQLSTATE 25006)
                senders.send(sent[30:])
                wait_until(lambda: all(letter.accepted for letter in sent), "a 250 for each, without a primary")
                wait_until(lambda: b"ReadOnlySqlTransaction" in desk.log(), "a write that met the standby")
                standby.promote()
                wait_decided(desk, sent)
                desk.run("tick", "3m")  # rows that a dispatcher had in hand
                wait_sent(desk)
            check_ledger(desk, sent)
            check_outbox(desk, sent, sink, twice=5)
            assert not desk.json("shunt", "list"), "a failover costs no attempt"
        finally:
            standby.__exit__(None, None, None)


def _replicated(primary: PostgresServer) -> bool:
    with psycopg.connect(primary.url("postgres")) as connection:
        row = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchone()
    return row == ("sync",)
