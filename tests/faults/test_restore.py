"""The restore drill (fault F38): docs/operations.md to the letter, while a desk runs and then in an empty folder."""

import copy
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingest.spool.name import named
from tests.desk import Sink, TestDesk, wait_until
from tests.faults.load import ROLES, Letter, counted, letters, load, make_desk, wait_decided, wait_sent
from tests.postgres import PostgresServer

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
PLACES = ("/var/lib/postdesk", "/backup", "/opt/postdesk/.venv/bin", "postgresql://desk@db.nordvik.test/desk")


def _script(number: int, database: str) -> str:
    """A block of the section as it stands there, but for the lines that the comment says are for the other database."""
    section = PAGE.read_text("utf-8").split("\n## Backup and restore\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    other = "PostgreSQL" if database == "sqlite" else "SQLite"
    # A command of two lines is one: Python's is.
    commands = re.sub(r"(import sqlite3, sys)\n", r"\1;", blocks[number]).splitlines()
    return "\n".join(line for line in commands if not line.rstrip().endswith(f"# {other}"))


def _type(script: str, places: tuple[Path | str, ...], path: Path | None) -> None:
    for written, real in zip(PLACES, places, strict=True):
        script = script.replace(written, str(real))
    env = os.environ | ({"PATH": f"{path}:{os.environ['PATH']}"} if path else {})
    done = subprocess.run(["sh", "-e", "-u", "-c", script], capture_output=True, text=True, env=env, cwd="/")
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def databases(request: pytest.FixtureRequest) -> Iterator[tuple[str, str, str, Path | None]]:
    """The kind, the URL of a database and of another, empty one, and where the server's programs are."""
    if request.param == "sqlite":
        yield "sqlite", "sqlite:///postdesk.db", "sqlite:///postdesk.db", None
        return
    with PostgresServer() as server:
        server.sql("CREATE DATABASE lost")
        server.sql("CREATE DATABASE empty")
        yield "postgresql", server.url("lost"), server.url("empty"), server.programs


@pytest.mark.long
@pytest.mark.timeout(300)
def test_f38_a_live_desk_is_backed_up_and_restored(
    tmp_path: Path, databases: tuple[str, str, str, Path | None]
) -> None:
    kind, lost_url, empty_url, programs = databases
    backup, here = tmp_path / "backup", Path(sys.executable).parent
    before, after, later = letters("b", 40), letters("a", 15), letters("l", 20)
    with Sink() as sink:
        desk = make_desk(tmp_path / "desk", lost_url, sink)
        with load(desk) as senders:
            with desk.running(only="listen,pipeline"):  # what is promised stays due until the backup is made
                senders.send(before[:20])
                wait_until(lambda: counted(desk)["states"]["ticket-opened"] > 5, "tickets")
                senders.send(before[20:])
                wait_until(lambda: any(letter.accepted for letter in before[20:]), "load")
                taken = {letter.marker for letter in before if letter.accepted}
                _type(_script(0, kind), (desk.folder, backup, here, lost_url), programs)
                (made,) = backup.iterdir()
                wait_decided(desk, before)
            with desk.running(only=ROLES):
                senders.send(after)
                wait_decided(desk, [*before, *after])
                wait_sent(desk)
        lost = {ticket["number"] for ticket in desk.json("ticket", "list")}
        left_once = len(sink.taken)
        shutil.rmtree(desk.folder)

        script = _script(1, kind).replace("2026-11-24T081500", made.name)
        restored = _moved(desk, tmp_path / "again", empty_url)
        with _exported(restored):
            _type(script, (restored.folder, backup, here, empty_url), programs)
        in_spool = {name.id for _, name in named(restored.folder / "spool" / "new")}
        known = {ticket["number"] for ticket in restored.json("ticket", "list")}
        due = {row["id"]: row for row in restored.json("outbox", "list") if row["status"] != "sent"}
        with load(restored) as senders, restored.running(only=ROLES):
            senders.send(later)
            wait_decided(restored, later)
            restored.run("tick", "3m")
            wait_sent(restored)

        _check_tickets(restored, taken, later)
        _check_numbers(restored, known, lost)
        _check_mails(restored, sink, left_once, due)
        assert in_spool or known, "the backup was made under load"
        assert restored.json("shunt", "list") == []
        verdicts = {
            row["check"]: row["verdict"] for row in restored.json("doctor", "--only", "database,spool,blobs,history")
        }
        assert set(verdicts.values()) == {"ok"}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_f38_an_older_database_beside_newer_blobs_and_mails(tmp_path: Path) -> None:
    """Only the database is lost: the spool is delivered, no mail leaves twice, no number is given twice."""
    before, after, waiting = letters("o", 10), letters("p", 10), letters("q", 5)
    with Sink() as sink:
        desk = make_desk(tmp_path / "desk", "sqlite:///postdesk.db", sink)
        living, kept = desk.folder / "postdesk.db", tmp_path / "kept.db"
        with load(desk) as senders:
            for burst in (before, after):
                with desk.running(only=ROLES):
                    senders.send(burst)
                    wait_decided(desk, burst)
                    wait_sent(desk)
                if not kept.exists():
                    with sqlite3.connect(living) as database:
                        database.execute("VACUUM INTO ?", (str(kept),))
            with desk.running(only="listen"):
                senders.send(waiting)
                wait_until(lambda: all(letter.accepted for letter in waiting), "a 250 for each")
        lost = {ticket["number"] for ticket in desk.json("ticket", "list")}
        for name in ("postdesk.db", "postdesk.db-wal", "postdesk.db-shm"):
            (desk.folder / name).unlink(missing_ok=True)
        shutil.copy(kept, living)
        known = {ticket["number"] for ticket in desk.json("ticket", "list")}
        left_once = len(sink.taken)
        desk.run("restored")
        with desk.running(only=ROLES):
            wait_decided(desk, waiting)
            wait_sent(desk)
        _check_tickets(desk, {letter.marker for letter in before}, waiting)
        _check_numbers(desk, known, lost)
        left = [str(message["Message-ID"]) for _, _, message in sink.taken]
        assert len(left) == len(set(left)) > left_once


def _moved(desk: TestDesk, folder: Path, database: str) -> TestDesk:
    """The same desk, elsewhere and with another database."""
    moved = copy.copy(desk)
    folder.mkdir()
    moved.folder, moved.config = folder, folder / "postdesk.toml"
    moved.settings = desk.settings | {"POSTDESK_DATABASE": database}
    moved.env = desk.env | moved.settings
    return moved


@contextmanager
def _exported(desk: TestDesk) -> Iterator[None]:
    """What an operator writes into postdesk.toml, in the environment of the script."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in desk.settings.items():
            patch.setenv(name, value)
        yield


def _check_tickets(desk: TestDesk, taken: set[str], later: list[Letter]) -> None:
    """Whatever had its 250 when the backup began is there, once; so is what came after the restore."""
    subjects = [ticket["subject"] for ticket in desk.json("ticket", "list")]
    assert len(subjects) == len(set(subjects))
    assert {f"Export {marker} stops" for marker in taken | {letter.marker for letter in later}} <= set(subjects)


def _check_numbers(desk: TestDesk, known: set[int], lost: set[int]) -> None:
    """A number that the world knows from before stands for the ticket it stood for."""
    new = {ticket["number"] for ticket in desk.json("ticket", "list")} - known
    assert new and not new & lost


def _check_mails(desk: TestDesk, sink: Sink, left_once: int, due: dict[int, dict[str, Any]]) -> None:
    """A Message-ID stands for one mail; only what was due at the time of the backup left twice."""
    by_id = defaultdict(list)
    for number, (_, path, message) in enumerate(sink.taken):
        by_id[str(message["Message-ID"])].append((number >= left_once, path, str(message["Subject"])))
    for message_id, copies in by_id.items():
        assert len({(path, subject) for _, path, subject in copies}) == 1, f"{message_id}: {copies}"
        assert len(copies) <= 2
    again = {message_id.strip("<>") for message_id, copies in by_id.items() if len(copies) == 2}
    promised = {row["message_id"] for row in desk.json("outbox", "list") if row["id"] in due}
    assert again and again == promised
