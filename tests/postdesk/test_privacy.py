"""What a desk keeps is its user's alone, whatever the umask; `doctor` sees where it is not."""

import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.spool.spool import Spool
from tests.desk import TestDesk, mail
from values.mail import Envelope
from values.vocabulary import Source


def call(umask: int, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "postdesk", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, umask=umask)


@pytest.fixture(scope="module")
def lax(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a desk that was made, and has taken and answered a mail, under a umask that hides nothing."""
    folder = tmp_path_factory.mktemp("lax") / "desk"
    made = ["--vendor-domain", "nordvik.test", "--smarthost", "maildir:out", "--authentication", "off", "--yes"]
    call(0, "init", "--dir", str(folder), *made)
    config = str(folder / "postdesk.toml")
    call(0, "--config", config, "migrate")
    call(0, "--config", config, "customer", "add", "Harbour Tools", "--domain", "harbour.example")
    person = ("grace@harbour.example", "--customer", "Harbour Tools", "--superuser")
    call(0, "--config", config, "contact", "add", *person)
    envelope = Envelope(
        reverse_path="grace@harbour.example",
        forward_paths=("support@nordvik.test",),
        source=Source.SMTP,
        received_at=datetime.now(UTC),
    )
    letter = mail("grace@harbour.example", "support@nordvik.test", "Labels", "Every label is printed twice.\n")
    Spool(folder / "spool").put(envelope, letter.as_bytes())
    call(0, "--config", config, "work", "--until-idle")
    return folder


def test_all_that_a_desk_makes_is_its_users_alone(lax: Path) -> None:
    made = [lax, *lax.rglob("*")]
    assert {path.suffix for path in made} >= {".db", ".toml"}
    assert list((lax / "out" / "new").iterdir()), "nothing was sent"
    wrong = {
        str(path.relative_to(lax)): oct(path.stat().st_mode)
        for path in made
        if stat.S_IMODE(path.stat().st_mode) & 0o077
    }
    assert wrong == {}


def test_a_write_ahead_log_has_the_mode_of_its_database(lax: Path) -> None:
    """SQLite's own doing, on which we rest: it is made by whichever process comes first."""
    code = (
        "import sys, os; from models.db.engine import make_engine, transaction; import sqlalchemy as sa\n"
        f"engine = make_engine('sqlite:///{lax / 'postdesk.db'}')\n"
        "with transaction(engine) as session:\n"
        "    session.connection().execute(sa.text('CREATE TABLE x (y)'))\n"
        f"    print([oct(os.stat('{lax / 'postdesk.db'}' + end).st_mode & 0o777) for end in ('-wal', '-shm')])\n"
        "    session.rollback()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, umask=0)
    assert done.stdout.strip() == "['0o600', '0o600']"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[TestDesk]:
    old = os.umask(0o077)
    yield TestDesk(tmp_path / "desk", "sqlite:///postdesk.db", "maildir:out")
    os.umask(old)


def test_doctor_says_what_others_may_read(desk: TestDesk) -> None:
    (found,) = desk.json("doctor", "--only", "privacy")
    assert found["verdict"] == "ok", found
    for name, mode in (("postdesk.db", 0o644), ("blobs", 0o755), ("postdesk.toml", 0o604), ("spool", 0o701)):
        path = desk.folder / name
        if name == "blobs":
            path.mkdir(exist_ok=True)
        before = path.stat().st_mode
        path.chmod(mode)
        done = desk.call("doctor", "--only", "privacy", "--json")
        assert (done.returncode, f"open to others: {path} ({mode:04o})" in done.stdout) == (1, True), done.stdout
        assert f"chmod go= {path}" in done.stdout
        path.chmod(before & 0o700)


def test_what_doctor_says_mends_it_and_a_group_is_no_failure(desk: TestDesk) -> None:
    (desk.folder / "postdesk.db").chmod(0o640)
    (desk.folder / "spool").chmod(0o750)
    (found,) = desk.json("doctor", "--only", "privacy")
    assert (found["verdict"], found["seen"][:16]) == ("warn", "open to a group:")
    command, _, leave = found["repair"].partition("; ")
    assert leave == "leave what that group shall read"
    subprocess.run(shlex.split(command), check=True)
    assert desk.json("doctor", "--only", "privacy")[0]["verdict"] == "ok"


def test_init_leaves_the_mode_of_a_folder_that_is_there(tmp_path: Path) -> None:
    """Somebody made it, with rights that somebody chose; what is put into it is private all the same."""
    folder = tmp_path / "there"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    call(0, "init", "--dir", str(folder), "--vendor-domain", "nordvik.test", "--yes")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert [path for path in folder.rglob("*") if path.stat().st_mode & 0o077] == []
    shutil.rmtree(folder)
