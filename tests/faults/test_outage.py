"""The database away, a full disk below it, and ends in good order under load (faults F09, F15, F37)."""

import resource
from pathlib import Path

import psutil
import pytest

from ingest.spool.name import named
from tests.desk import Sink, TestDesk, wait_until
from tests.faults.load import (
    ROLES,
    Letter,
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


@pytest.mark.postgres
def test_f15_postgresql_crashes_under_load(tmp_path: Path) -> None:
    _postgresql_stops(tmp_path, immediate=True)


@pytest.mark.postgres
@pytest.mark.long
def test_f15_postgresql_restarts_under_load(tmp_path: Path) -> None:
    """In good order: every connection is told so (57P01)."""
    _postgresql_stops(tmp_path, immediate=False)


def _postgresql_stops(tmp_path: Path, *, immediate: bool) -> None:
    sent = letters("g", 40)
    with PostgresServer() as server, Sink() as sink:
        server.sql("CREATE DATABASE desk")
        desk = make_desk(tmp_path / "desk", server.url("desk"), sink)
        with desk.running(only=ROLES), load(desk) as senders:
            senders.send(sent[:20])
            wait_until(lambda: counted(desk)["states"]["ticket-opened"], "the first ticket")
            server.stop(immediate=immediate)
            senders.send(sent[20:])
            wait_until(lambda: all(letter.accepted for letter in sent), "a 250 for each, without a database")
            server.start()
            wait_decided(desk, sent)
            desk.run("tick", "3m")  # rows that a dispatcher had in hand
            wait_sent(desk)
        check_ledger(desk, sent)
        check_outbox(desk, sent, sink, twice=5)
        assert not desk.json("shunt", "list"), "an outage costs no attempt"


def test_f09_a_full_database_disk_keeps_accepting_and_loses_nothing(tmp_path: Path) -> None:
    """Full for the processes that write to the database: no file of theirs may grow. Not so for the listener."""
    sent = letters("f", 30, large_every=1000)  # small ones: their blobs have room, the rows have not
    with Sink() as sink:
        desk = make_desk(tmp_path / "desk", f"sqlite:///{tmp_path / 'desk.db'}", sink)
        with (
            desk.running(only="listen"),
            desk.running(only="pipeline,dispatch") as others,
            load(desk) as senders,
        ):
            senders.send(sent[:10])
            wait_decided(desk, sent[:10])
            _limit_files(others.pid, 4096)
            senders.send(sent[10:])
            wait_until(lambda: all(letter.accepted for letter in sent), "a 250 for each, on a full disk")
            put_off: dict[str, int] = {}  # id and attempts of each that met the full disk; it is tried again and again
            wait_until(lambda: put_off.update(_put_off(desk)) or len(put_off) == 20, "every mail put off")
            assert set(put_off.values()) == {0}
            assert counted(desk)["states"]["spooled"] == 20
            _limit_files(others.pid, resource.RLIM_INFINITY)
            wait_decided(desk, sent)
            desk.run("tick", "3m")
            wait_sent(desk)
        check_ledger(desk, sent)
        check_outbox(desk, sent, sink, twice=5)
        assert not desk.json("shunt", "list"), "a full disk costs no attempt"


def _limit_files(parent: int, octets: int) -> None:
    """The soft limit of the size of any file that `parent` and its children write, as they run."""
    for process in (psutil.Process(parent), *psutil.Process(parent).children(recursive=True)):
        process.rlimit(psutil.RLIMIT_FSIZE, (octets, resource.RLIM_INFINITY))


def _put_off(desk: TestDesk) -> dict[str, int]:
    return {name.id: name.attempts for _, name in named(desk.folder / "spool" / "new") if name.after}


def test_f37_restarts_under_load(tmp_path: Path) -> None:
    _restart(tmp_path, times=3)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_f37_a_hundred_restarts_under_load(tmp_path: Path) -> None:
    _restart(tmp_path, times=100)


def _restart(tmp_path: Path, times: int) -> None:
    """SIGTERM ends each run with status 0 (see TestDesk.running), whatever is in hand; the next goes on."""
    sent: list[Letter] = []
    with Sink() as sink:
        desk = make_desk(tmp_path / "desk", f"sqlite:///{tmp_path / 'desk.db'}", sink)
        with load(desk) as senders:
            for number in range(times):
                with desk.running(only=ROLES):
                    burst = letters(f"t{number}m", 4)
                    sent += burst
                    senders.send(burst)
                    wait_until(lambda: any(letter.accepted for letter in burst), "load")  # noqa: B023
            with desk.running(only=ROLES):
                wait_decided(desk, sent)
                wait_sent(desk)
        check_ledger(desk, sent)
        check_outbox(desk, sent, sink)
        assert not desk.json("shunt", "list"), "an end in good order costs no attempt"
