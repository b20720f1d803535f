"""The roles as real processes: a killed role comes back, a mail that kills workers is held, and can be brought back."""

from pathlib import Path

import psutil
import pytest

from postdesk import roles
from tests.desk import TestDesk, mail, wait_until

ROLES = set(roles.ROLES) - {"fetch"}  # nothing is fetched here: tests/walk/test_fetching.py


@pytest.fixture
def desk(tmp_path: Path) -> TestDesk:
    desk = TestDesk(tmp_path / "desk", "sqlite:///postdesk.db", "maildir:out")
    desk.run("customer", "add", "Harbour Tools", "--domain", "harbour.example")
    desk.run("contact", "add", "grace@harbour.example", "--customer", "Harbour Tools", "--superuser")
    return desk


def _send(desk: TestDesk, subject: str) -> None:
    desk.send(mail("Grace <grace@harbour.example>", "support@nordvik.test", subject, f"About {subject}.\n"))


def _states(desk: TestDesk) -> dict[str, int]:
    states = desk.json("ledger", "count")["states"]
    return {state: number for state, number in states.items() if number}


def _roles(supervisor: int) -> list[psutil.Process]:
    return psutil.Process(supervisor).children()


def test_every_killed_role_comes_back(desk: TestDesk) -> None:
    with desk.running() as supervisor:
        roles = wait_until(lambda: len(them := _roles(supervisor.pid)) == len(ROLES) and them, "every role")
        for role in roles:
            role.kill()
        wait_until(lambda: len(_roles(supervisor.pid)) == len(ROLES), "every role again")
        wait_until(desk.answers, "the listener")
        _send(desk, "labels")
        wait_until(lambda: _states(desk) == {"ticket-opened": 1}, "the ticket")
    log = (desk.folder / "run.log").read_text()
    assert all(f'"ended": "{name}"' in log for name in ROLES)


def test_nothing_is_left_running(desk: TestDesk) -> None:
    with desk.running() as supervisor:
        everybody = wait_until(
            lambda: len(them := psutil.Process(supervisor.pid).children(recursive=True)) >= len(ROLES) + 2 and them,
            "every role and two workers",
        )
    assert not [process for process in everybody if process.is_running()]


def test_a_mail_that_kills_its_worker_is_held_and_brought_back(desk: TestDesk) -> None:
    """F04: three attempts, each in another worker, then the held desk; after the repair `shunt retry`."""
    desk.env["POSTDESK_FAIL_AT"] = "pipeline.before-commit"
    with desk.running():
        _send(desk, "poison")
        wait_until(lambda: _states(desk) == {"held": 1}, "the held mail")
    (held,) = desk.json("held", "list")
    (shunted,) = desk.json("shunt", "list")
    assert (held["id"], held["reason"], shunted["reason"]) == (shunted["id"], "poison", "worker-died")
    assert desk.call("held", "release", held["id"]).returncode == 1
    assert desk.json("ticket", "list") == []

    del desk.env["POSTDESK_FAIL_AT"]
    desk.run("shunt", "retry", held["id"])
    assert _states(desk) == {"spooled": 1}
    desk.run("work", "--until-idle")
    assert _states(desk) == {"ticket-opened": 1}
    assert (desk.json("held", "list"), desk.json("shunt", "list")) == ([], [])


def test_only_what_is_asked_for(desk: TestDesk) -> None:
    with desk.running(only="listen,dispatch") as supervisor:
        wait_until(lambda: len(_roles(supervisor.pid)) == 2, "two roles")
    refused = desk.call("run", "--only", "listen,portals")
    assert refused.returncode == 2
    assert "--only fetch: set [[imap]]" in desk.call("run", "--only", "fetch").stderr
    assert "the roles are listen, fetch, pipeline, dispatch, schedule" in refused.stderr


def test_a_poisoned_mail_that_is_dropped_keeps_its_raw_mail(desk: TestDesk) -> None:
    desk.env["POSTDESK_FAIL_AT"] = "pipeline.after-claim"
    with desk.running():
        _send(desk, "dropped")
        wait_until(lambda: _states(desk) == {"held": 1}, "the held mail")
    (held,) = desk.json("held", "list")
    desk.run("held", "drop", held["id"])
    (row,) = desk.json("ledger", "list")
    assert (row["state"], row["reason"], desk.json("shunt", "list")) == ("discarded", "dropped", [])
    assert b"About dropped." in (desk.folder / "blobs" / row["sha256"][:2] / row["sha256"][2:]).read_bytes()
