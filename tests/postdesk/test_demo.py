"""The demo as a person starts it: it ends with 0 only when every mail became what it should."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from postdesk import demo, demo_mails


def _demo(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "postdesk", "demo", *words]
    env = {**os.environ, "COLUMNS": "200"}  # whole words to look for
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, env=env)


def test_once_shows_everything_and_ends(tmp_path: Path) -> None:
    done = _demo(tmp_path, "--once")
    assert done.returncode == 0, done.stderr
    for word in ("Talleres Ibarra", "Skogby Trä", "Harbour Tools", "duplicate", "look-alike", "reply-token"):
        assert word in done.stdout
    for language in ("(es)", "(sv)", "(en)"):
        assert language in done.stdout
    desk = demo.open_demo(tmp_path / ".demo")
    away = demo_mails.mail(demo_mails.LUCIA, "x", "x", at=desk.now(), id="x")
    with pytest.raises(demo.DemoError, match="does not run"):  # every role has ended
        demo.send_or_tell(desk, away)
    assert _demo(tmp_path, "reset").returncode == 0
    assert not (tmp_path / ".demo").exists()


def test_a_folder_of_somebody_else_is_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(demo.DemoError, match="not made by the demo"):
        demo.prepare(tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep me"


def test_every_domain_of_the_demo_is_reserved() -> None:
    """RFC 2606: nobody real could ever get one of these mails."""
    addresses = [person.address for person in demo_mails.PEOPLE]
    addresses += [domain for customer in demo_mails.CUSTOMERS for domain in customer.domains]
    assert all(address.endswith((".example", ".test")) for address in addresses)
