"""postdesk/doctor.py: what is seen, and that what failed lately is."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from models.access.request import AccessRequest
from models.db.engine import make_engine, transaction
from models.outbox.outbox import OUTBOX, enqueue
from postdesk.doctor import CHECKS
from tests.desk import TestDesk
from values.decision import Notice
from values.vocabulary import AccessKind, AccessState, MailName


def outbox_of(desk: TestDesk) -> dict[str, Any]:
    found = desk.json("doctor", "--only", "outbox")
    assert len(found) == 1
    return dict(found[0])


def test_mails_that_failed_lately_are_a_warning(tmp_path: Path, database_url: str) -> None:
    desk = TestDesk(tmp_path / "desk", database_url, "maildir:out")
    assert outbox_of(desk) == {
        "check": "outbox",
        "verdict": "ok",
        "seen": "0 due, 0 failed (0 of the last 14 days), 0 suppressed",
        "repair": "",
    }
    now = datetime.now(UTC)
    engine = make_engine(database_url)
    for key, status, days in (("a", "failed", 1), ("b", "failed", 15), ("c", "suppressed", 1), ("d", "due", 1)):
        with transaction(engine) as session:
            notice = Notice(mail=MailName.SIGN_IN, recipient="a@x.test", key=key)
            enqueue(session, [notice], now - timedelta(days=days))
            session.connection().execute(sa.update(OUTBOX).where(OUTBOX.c.key == key).values(status=status))
    engine.dispose()
    seen = outbox_of(desk)
    assert seen["seen"] == "1 due, 2 failed (1 of the last 14 days), 1 suppressed"
    assert (seen["verdict"], seen["repair"]) == ("warn", "postdesk outbox list --status failed")
    assert desk.call("doctor", "--only", "outbox").returncode == 0, "a warning"
    assert desk.json("metrics")["outbox"] == {"due": 1, "sending": 0, "sent": 0, "failed": 2, "suppressed": 1}


def test_a_desk_without_people_is_a_warning_until_they_are_there(tmp_path: Path, database_url: str) -> None:
    desk = TestDesk(tmp_path / "desk", database_url, "maildir:out")
    steps = (
        ("postdesk agent add", ("agent", "add", "anna@nordvik.test", "--name", "Anna")),
        ("postdesk customer add", ("customer", "add", "Harbour Tools")),
    )
    for repair, words in steps:
        (found,) = desk.json("doctor", "--only", "people")
        assert (found["verdict"], found["repair"].startswith(repair)) == ("warn", True)
        desk.run(*words)
    (found,) = desk.json("doctor", "--only", "people")
    assert (found["verdict"], found["seen"]) == ("ok", "1 agents who are told of mails, 1 customers")


def test_a_request_over_its_24_hours_is_a_warning(tmp_path: Path, database_url: str) -> None:
    desk = TestDesk(tmp_path / "desk", database_url, "maildir:out")
    assert desk.json("doctor", "--only", "access")[0]["verdict"] == "ok"
    now = datetime.now(UTC)
    engine = make_engine(database_url)
    with transaction(engine) as session:
        session.add(
            AccessRequest(
                state=AccessState.WAITING,
                kind=AccessKind.NEW,
                name="Sam",
                address="sam@harbour.example",
                via="form",
                created=now - timedelta(hours=25),
                due=now - timedelta(hours=1),
            )
        )
    engine.dispose()
    (found,) = desk.json("doctor", "--only", "access")
    assert (found["verdict"], found["seen"]) == ("warn", "1 requests open, 1 over the 24 hours")
    assert found["repair"] == "postdesk access list"


def test_before_migrate_there_is_one_clear_finding(tmp_path: Path) -> None:
    desk = TestDesk(tmp_path / "desk", "sqlite:///postdesk.db", "maildir:out")
    for path in (tmp_path / "desk").glob("postdesk.db*"):
        path.unlink()
    (tmp_path / "desk" / "postdesk.db").touch(0o600)
    done = desk.call("doctor", "--only", ",".join(name for name in CHECKS if name != "dns"), "--json")
    assert done.returncode == 1 and "sqlite3" not in done.stdout
    (failed,) = [row for row in json.loads(done.stdout) if row["verdict"] == "fail"]
    assert (failed["check"], failed["repair"]) == ("database", "postdesk migrate")
    (alone,) = json.loads(desk.call("doctor", "--only", "people", "--json").stdout)
    assert alone == failed


def test_an_audit_that_somebody_changed_is_found(tmp_path: Path) -> None:
    desk = TestDesk(tmp_path / "desk", "sqlite:///postdesk.db", "maildir:out")
    for name in ("Harbour Tools", "Skogby", "Ibarra"):
        desk.run("customer", "add", name)
    assert desk.json("doctor", "--only", "audit")[0]["verdict"] == "ok"
    with sqlite3.connect(tmp_path / "desk" / "postdesk.db") as connection:
        triggers = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        for trigger in triggers:
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute("UPDATE audit SET who = 'somebody else' WHERE id = 2")
    done = desk.call("doctor", "--only", "audit", "--json")
    (found,) = json.loads(done.stdout)
    assert (done.returncode, found["verdict"]) == (1, "fail") and found["seen"].startswith("row 2 ")
