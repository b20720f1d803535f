"""PostgreSQL's disk is full (fault F09, SQLSTATE 53100), for real: its tables lie on a small disk of their own."""

import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingest.spool.name import named
from tests.desk import Sink, TestDesk, wait_until
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


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size. Skips where nothing may be mounted."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.postgres
@pytest.mark.long
@pytest.mark.timeout(300)
def test_f09_a_full_disk_under_postgresql_costs_no_attempt(tmp_path: Path) -> None:
    sent = letters("d", 30, large_every=1000)
    chance = random.Random(1)
    for letter in sent:  # nothing that the free space within pages takes, however it is compressed
        letter.text = "\r\n".join(chance.randbytes(36).hex() for _ in range(500))
    with PostgresServer() as server, Sink() as sink, small_disk(server.folder / "small", "40m") as small:
        (small / "tables").mkdir()
        shutil.chown(small / "tables", server.user)
        server.sql(f"CREATE TABLESPACE small LOCATION '{small / 'tables'}'")
        server.sql("CREATE DATABASE desk TABLESPACE small")
        desk = make_desk(tmp_path / "desk", server.url("desk"), sink)
        with desk.running(only=ROLES), load(desk) as senders:
            senders.send(sent[:10])
            wait_decided(desk, sent[:10])
            filler = small / "filler"
            _fill(filler)
            senders.send(sent[10:])
            wait_until(lambda: all(letter.accepted for letter in sent), "a 250 for each, on a full disk")
            put_off: dict[str, int] = {}  # id and attempts of each that met the full disk
            wait_until(lambda: put_off.update(_put_off(desk)) or len(put_off) == 20, "every mail put off")
            assert set(put_off.values()) == {0}
            assert counted(desk)["states"]["spooled"] == 20
            filler.unlink()
            wait_decided(desk, sent)
            desk.run("tick", "3m")
            wait_sent(desk)
        assert b"psycopg.errors.DiskFull" in desk.log()
        check_ledger(desk, sent)
        check_outbox(desk, sent, sink, twice=5)
        assert not desk.json("shunt", "list"), "a full disk costs no attempt"


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 65536):
                pass
        except OSError:
            return


def _put_off(desk: TestDesk) -> dict[str, int]:
    return {name.id: name.attempts for _, name in named(desk.folder / "spool" / "new") if name.after}
