"""`postdesk doctor --only history`, and `restored`: databases, blobs and clocks that do not fit together."""

import json
import shutil
import sqlite3
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from postdesk import doctor_history
from tests.desk import TestDesk, mail, wait_until
from tests.postgres import PostgresServer


@pytest.fixture
def desk(tmp_path: Path) -> TestDesk:
    desk = TestDesk(tmp_path / "desk", "sqlite:///postdesk.db", "maildir:out")
    desk.run("customer", "add", "Harbour Tools", "--domain", "harbour.example")
    desk.run("contact", "add", "grace@harbour.example", "--customer", "Harbour Tools", "--superuser")
    return desk


def _history(desk: TestDesk) -> tuple[str, str, str]:
    (found,) = json.loads(desk.call("doctor", "--only", "history", "--json").stdout)
    return found["verdict"], found["seen"], found["repair"]


def _one_mail(desk: TestDesk) -> None:
    with desk.running(only="listen,pipeline"):
        desk.send(mail("Grace <grace@harbour.example>", "support@nordvik.test", "Labels", "They do not print.\n"))
        wait_until(lambda: desk.json("ledger", "list"), "the ledger's row")


def test_nothing_and_then_all_in_order(desk: TestDesk) -> None:
    assert _history(desk) == ("ok", "no mail yet", "")
    _one_mail(desk)
    assert _history(desk)[0] == "ok"


def test_f38_a_database_newer_than_the_blobs_fails(desk: TestDesk) -> None:
    _one_mail(desk)
    shutil.rmtree(desk.folder / "blobs")
    verdict, seen, repair = _history(desk)
    assert (verdict, repair) == ("fail", "restore blobs that are as new as the database, or newer")
    assert seen.startswith("1 of the 1 newest mails are not in the blob store")


def test_f38_blobs_newer_than_the_database_are_told_until_somebody_says_restored(desk: TestDesk) -> None:
    _one_mail(desk)
    with sqlite3.connect(desk.folder / "postdesk.db") as database:  # the row is of an older backup
        database.execute("UPDATE ledger SET recorded = datetime(recorded, '-3 hours')")
    verdict, seen, repair = _history(desk)
    assert verdict == "warn" and "newer than the newest row" in seen and "postdesk restored" in repair
    done = desk.json("restored", "--skip", "50")
    assert done == {"next_ticket": 1052, "sessions_ended": 0, "mails_waiting": 1}
    assert _history(desk)[0] == "ok"


def test_f30_a_clock_that_went_back_is_told(desk: TestDesk) -> None:
    desk.run("tick", "2d")
    _one_mail(desk)
    with sqlite3.connect(desk.folder / "postdesk.db") as database:
        database.execute("DELETE FROM desk_value WHERE key = 'clock'")
    verdict, seen, repair = _history(desk)
    assert verdict == "warn" and "47 h in the future: the clock went back" in seen and "clock" in repair


@pytest.mark.postgres
def test_f30_two_machines_whose_clocks_are_apart(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.sql("CREATE DATABASE clocks")
    desk = TestDesk(tmp_path / "desk", postgres.url("clocks"), "maildir:out")
    assert _history(desk)[0] == "ok"

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Ahead":
            return super().now(tz) + timedelta(seconds=90)

    monkeypatch.setattr(doctor_history, "datetime", Ahead)
    verdict, seen, _ = _history(desk)
    assert verdict == "fail" and seen.endswith("are 90 s apart")
