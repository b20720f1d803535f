"""A vendor whose mail lies elsewhere: from a mailbox on a real Dovecot to a ticket, by the roles as they run."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.desk import TestDesk, wait_until
from tests.dovecot import PASSWORD, Dovecot, missing
from tests.ingest.fetching import raw

pytestmark = [pytest.mark.dovecot, pytest.mark.skipif(bool(missing()), reason=missing())]
_users = iter(range(1000))


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    with Dovecot() as server:
        yield server


@pytest.fixture
def user() -> str:
    return f"walker{next(_users)}"


def make_desk(
    where: Path, server: Dovecot, user: str, *, database: str = "sqlite:///postdesk.db", **more: Any
) -> TestDesk:
    """A desk that fetches over TLS, with the password in a file."""
    mailbox = {"host": "localhost", "port": server.tls_port, "user": user, "password_file": "imap-password"}
    settings = more.pop("settings", {})
    desk = TestDesk(where, database, "maildir:out", imap=json.dumps([mailbox | more]), **settings)
    (where / "imap-password").write_text(PASSWORD + "\n")
    desk.env["SSL_CERT_FILE"] = desk.settings["SSL_CERT_FILE"] = str(server.base / "ca.pem")
    desk.run("customer", "add", "Harbour Tools", "--domain", "harbour.example")
    desk.run("contact", "add", "grace@harbour.example", "--customer", "Harbour Tools", "--superuser")
    return desk


def states(desk: TestDesk) -> dict[str, int]:
    found = desk.json("ledger", "count")["states"]
    return {state: number for state, number in found.items() if number}


def seen(server: Dovecot, user: str) -> list[int]:
    client = server.sign_in(user)
    client.select_folder("INBOX")
    return list(client.search("SEEN"))


def test_from_the_mailbox_to_the_ticket(tmp_path: Path, server: Dovecot, user: str, empty_database_url: str) -> None:
    desk = make_desk(tmp_path / "desk", server, user, database=empty_database_url)
    (before,) = desk.json("doctor", "--only", "imap")
    assert before["verdict"] == "warn" and "login, folder, IDLE, 0 mails there; never fetched" in before["seen"]
    server.deliver(user, raw("waiting"))
    assert desk.json("work", "--until-idle")["fetched"] == 1
    with desk.running(only="fetch,pipeline") as supervisor:
        server.deliver(
            user, raw("running", "Return-Path: <grace@harbour.example>", "X-Original-To: support@nordvik.test")
        )
        wait_until(lambda: states(desk) == {"ticket-opened": 2}, "the second ticket")
        assert len(psutil.Process(supervisor.pid).children()) == 2
    assert desk.json("ledger", "count")["accepted"] == 2
    newest, _ = desk.json("ledger", "list")
    assert (newest["source"], newest["reverse_path"]) == ("imap", "grace@harbour.example")
    assert newest["forward_paths"] == ["support@nordvik.test"]
    (after,) = desk.json("doctor", "--only", "imap")
    assert after["verdict"] == "ok" and "newest fetched UID 2, 0 wait" in after["seen"]
    log = desk.log().decode()
    assert '"event": "fetched"' in log and PASSWORD not in log


@pytest.mark.parametrize("stage", ["imap.before-commit", "spool.after-rename", "imap.before-advance"])
def test_f25_killed_around_the_spool(tmp_path: Path, server: Dovecot, user: str, stage: str) -> None:
    """kill -9 before the mail is ours, and between the spool and the cursor: it comes, once, under one id."""
    desk = make_desk(tmp_path / "desk", server, user, after="seen")
    server.deliver(user, raw("one"))
    server.deliver(user, raw("two"))
    desk.env["POSTDESK_FAIL_AT"] = stage
    assert desk.call("work", "--until-idle").returncode == -9
    assert seen(server, user) == ([1] if stage == "imap.before-advance" else []), "no flag before it is in the spool"
    del desk.env["POSTDESK_FAIL_AT"]
    desk.run("tick", "2m")  # the lease of the dead one ends
    assert states(desk) == {"ticket-opened": 2}
    assert len(desk.json("ledger", "list")) == 2
    assert seen(server, user) == [1, 2]
    assert list((desk.folder / "spool" / "tmp").iterdir()) == []


@pytest.mark.long  # for the 30 seconds that the lease of the dead one lasts
def test_the_role_killed_comes_back_and_goes_on(tmp_path: Path, server: Dovecot, user: str) -> None:
    desk = make_desk(tmp_path / "desk", server, user)
    armed = tmp_path / "armed"
    armed.mkdir()
    desk.env["POSTDESK_FAIL_AT"] = f"{armed}/"
    with desk.running(only="fetch,pipeline"):
        server.deliver(user, raw("one"))
        wait_until(lambda: states(desk) == {"ticket-opened": 1}, "the first")
        (armed / "imap.before-advance").touch()
        server.deliver(user, raw("two"))
        wait_until(lambda: not (armed / "imap.before-advance").exists(), "the death")
        server.deliver(user, raw("three"))
        wait_until(lambda: states(desk) == {"ticket-opened": 3}, "all", 60)
    assert len(desk.json("ledger", "list")) == 3


def test_f34_a_large_mail_costs_no_memory(tmp_path: Path, server: Dovecot, user: str) -> None:
    """30 MB come in pieces; the fetching process stays as small as it is with a small mail."""
    size = 30 * 1024 * 1024
    desk = make_desk(tmp_path / "desk", server, user, settings={"max_message_size": str(2 * size)})
    server.deliver(user, raw("small"))
    with desk.running(only="fetch") as supervisor:
        wait_until(lambda: states(desk) == {"spooled": 1}, "the small one")
        (role,) = psutil.Process(supervisor.pid).children()
        before, peak, ended = role.memory_info().rss, [0], threading.Event()

        def watch() -> None:
            while not ended.wait(0.005):
                peak[0] = max(peak[0], role.memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        line = os.urandom(36).hex() + "\r\n"
        server.deliver(user, raw("large", body=line * (size // len(line))))
        wait_until(lambda: states(desk) == {"spooled": 2}, "the large one", 60)
        ended.set()
        watcher.join()
    print(f"fetching 30 MB: {before / 1e6:.1f} MB before, {peak[0] / 1e6:.1f} MB at most")
    assert peak[0] - before < 12 * 1024 * 1024


def test_two_machines_share_a_mailbox(tmp_path: Path, server: Dovecot, user: str) -> None:
    """Two fetchers, one database: one has the lease; when it ends the other goes on. Each mail comes once."""
    desk = make_desk(tmp_path / "desk", server, user)
    with desk.running(only="fetch,pipeline"):
        server.deliver(user, raw("one"))
        wait_until(lambda: states(desk) == {"ticket-opened": 1}, "the first")
        other = TestDesk.__new__(TestDesk)
        other.__dict__ |= desk.__dict__ | {"folder": tmp_path / "other"}
        other.folder.mkdir()
        with other.running(only="fetch") as second:
            wait_until(lambda: psutil.Process(second.pid).children(), "the second fetcher")
            for number in range(5):
                server.deliver(user, raw(f"more {number}"))
            wait_until(lambda: states(desk) == {"ticket-opened": 6}, "all")
    server.deliver(user, raw("last"))
    assert desk.json("work", "--until-idle")["fetched"] == 1
    assert len(desk.json("ledger", "list")) == 7
    assert (other.folder / "run.log").read_text().count('"event": "fetched"') + desk.log().decode().count(
        '"event": "fetched"'
    ) == 6


def test_what_a_wrong_mailbox_is_told(tmp_path: Path, server: Dovecot, user: str) -> None:
    desk = make_desk(tmp_path / "desk", server, user, folder="Suport")

    def doctor() -> dict[str, str]:
        told = desk.call("doctor", "--only", "imap", "--json")
        assert told.returncode == 1
        return dict(json.loads(told.stdout)[0])

    found = doctor()
    assert found["verdict"] == "fail" and "there is no folder Suport" in found["seen"]
    (desk.folder / "imap-password").write_text("hunter2\n")
    (desk.folder / "imap-password").chmod(0o644)
    assert "imap-password (0644)" in desk.call("doctor", "--only", "privacy", "--json").stdout
    found = doctor()
    assert "it refuses" in found["seen"] and "hunter2" not in json.dumps(found)
    (desk.folder / "imap-password").unlink()
    found = doctor()
    assert "password_file" in found["seen"] and found["repair"] == "mend that [[imap]]"
    desk.settings["SSL_CERT_FILE"] = ""
    (desk.folder / "imap-password").write_text(PASSWORD)
    found = doctor()
    assert "is not believed" in found["seen"]
    done = desk.json("work", "--until-idle")
    assert done["fetched"] == 0, "and all else goes on"


def test_the_providers_word_about_an_author_counts_where_it_is_named(
    tmp_path: Path, server: Dovecot, user: str
) -> None:
    """T02 on the way by IMAP: only the field with the pinned name, above the first foreign Received field."""
    settings = {
        "authentication": "true",
        "nameservers": "127.0.0.1:9",
        "border_authserv_id": "mx.provider.example",
    }
    desk = make_desk(tmp_path / "desk", server, user, settings=settings)
    word = "Authentication-Results: {}; dmarc=pass header.from=harbour.example"
    trace = "Received: from mail.harbour.example by mx.provider.example; Tue, 24 Nov 2026 08:00:00 +0000"
    server.deliver(user, raw("named", word.format("mx.provider.example"), trace))
    server.deliver(user, raw("forged", trace, word.format("mx.provider.example")))
    server.deliver(user, raw("other", word.format("mx.evil.test"), trace))
    desk.run("work", "--until-idle")
    believed = {}
    for row in desk.json("ledger", "list"):
        shown = desk.json("ledger", "show", row["id"])
        believed[shown["subject"]] = shown["auth"]["belief"]
    assert believed == {"named": "believed", "forged": "unproved", "other": "unproved"}
