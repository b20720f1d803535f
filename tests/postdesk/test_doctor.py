"""postdesk/doctor.py: what is seen, and that what failed lately is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from models.access.request import AccessRequest
from models.db.engine import make_engine, transaction
from models.outbox.outbox import OUTBOX, enqueue
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
