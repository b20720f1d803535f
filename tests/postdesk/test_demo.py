"""The demo as a person starts it: it ends with 0 only when every mail became what it should."""

import os
import subprocess
import sys
from contextlib import nullcontext
from datetime import timedelta
from email import policy
from pathlib import Path

import dkim
import pytest
from typer.testing import CliRunner

from ingest.auth.resolver import DnsResolver, DnsStatus
from postdesk import demo, demo_access, demo_dns, demo_mails
from postdesk.__main__ import app
from postdesk.commands import demo as demo_command
from postdesk.console import show_table
from postdesk.wiring import host_and_port

CHANGED = "seat_changed (es) to lucia, marcos, maria"
INVITED = "invitation (es) to maria"
SOON = "seat_returns_soon (es) to lucia, maria"


def _demo(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "postdesk", "demo", *words]
    env = {**os.environ, "COLUMNS": "200"}  # whole words to look for
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, env=env)


def test_once_shows_everything_and_ends(tmp_path: Path) -> None:
    done = _demo(tmp_path, "--once")
    assert done.returncode == 0, done.stderr
    for word in (
        "Talleres Ibarra",
        "Skogby Trä",
        "Harbour Tools",
        "duplicate",
        "look-alike",
        "reply-token",
        "command-done",
    ):
        assert word in done.stdout
    for language in ("(es)", "(sv)", "(en)"):
        assert language in done.stdout
    for line in (
        ("asks for access by the form", "Ivy Cooper", "unproved", "", "access_proof (en) to ivy"),
        ("approves: access approve", "Anna Berg", "invited", "ivy reserved", "invitation (en) to ivy"),
        (
            "approves: access approve",
            "Anna Berg",
            "invited",
            "lucia active, maria reserved",
            "invitation (es) to maria",
        ),
        ("the first day comes: tick 25h", "the clock", "accepted", "lucia resting, maria active", CHANGED),
        ("two days before the end: tick 12d", "the clock", "accepted", "lucia resting, maria active", SOON),
        ("the last day is over: tick 3d", "the clock", "accepted", "lucia active, maria ended", CHANGED),
    ):
        assert line in cells(done.stdout)
    assert "http://127.0.0.1:" in done.stderr
    desk = demo.open_demo(tmp_path / ".demo")
    before = desk.now()
    assert _demo(tmp_path, "tick", "2w").returncode == 0
    assert desk.now() - before >= timedelta(weeks=2)
    assert _demo(tmp_path, "tick", "soon").returncode == 2
    mail = _demo(tmp_path, "outbox", "--to", "maria@ibarra.example").stdout
    assert mail.startswith("Subject: ") and "Lucía" in mail
    assert _demo(tmp_path, "outbox", "--to", "nobody@ibarra.example").returncode == 1
    away = demo_mails.mail(demo_mails.LUCIA, "x", "x", at=desk.now(), id="x")
    with pytest.raises(demo.DemoError, match="does not run"):  # every role has ended
        demo.send_or_tell(desk, away)
    assert _demo(tmp_path, "reset").returncode == 0
    assert not (tmp_path / ".demo").exists()


def cells(table: str) -> list[tuple[str, ...]]:
    return [tuple(cell.strip() for cell in line.split("│")[1:-1]) for line in table.splitlines()]


def test_the_portal_is_open_to_whom_the_hint_names_and_a_mail_is_told_its_end(tmp_path: Path) -> None:
    """The address that is told, the mail that `demo outbox` shows, the code in it: signed in."""
    desk = demo.prepare(tmp_path / "demo")
    with demo.running(desk, tmp_path / "demo"):
        stage = demo_access.Stage(desk=desk, folder=tmp_path / "demo", tell=lambda line: None)
        for person, seen in ((demo_mails.ANNA, "/access-requests"), (demo_mails.LUCIA, "My open tickets")):
            demo_access.Browser(desk.portal_url).post(f"{desk.portal_url}/", {"address": person.address})
            page = stage.enter_code(person, "sign_in")
            assert person.address in page and seen in page
        with pytest.raises(demo.DemoError, match="404"):
            demo_access.Browser(desk.portal_url).get(f"{desk.portal_url}/invite/1-none")
        reply = demo.send_or_tell(desk, demo.new_mail(desk, demo_mails.LUCIA, "Otra pregunta", "¿Y ahora?", None))
        told = demo.became(desk, reply)
        assert "ticket-opened because superuser, ticket 1001" in told
        assert "acknowledgement (es) to lucia@ibarra.example" in told
        receipt = stage.newest(demo_mails.LUCIA, "acknowledgement")
        close = demo.reply_mail(desk, demo_mails.LUCIA, receipt, "cerrar")
        assert "command-done because" in demo.became(desk, demo.send_or_tell(desk, close))


def test_a_mail_that_somebody_changed_is_not_believed(tmp_path: Path) -> None:
    """The demo's signatures are checked as any sender's are."""
    desk = demo.prepare(tmp_path)
    octets = demo_mails.from_grace(desk.now()).as_bytes(policy=policy.SMTP)
    signed = demo_dns.sign(tmp_path, demo_mails.GRACE.address, octets)
    resolver = DnsResolver(desk.settings.nameservers)
    with demo_dns.serving(tmp_path, host_and_port(desk.settings.nameservers[0])):
        for word, good in ((b"Labels", True), (b"Papers", False)):
            changed = signed.replace(b"Labels", word)
            assert dkim.verify(changed, dnsfunc=lambda name, timeout: _text(resolver, name)) is good
        assert resolver.ask("demo._domainkey.nobody.example", "TXT", 5).status is DnsStatus.NO_NAME


def _text(resolver: DnsResolver, name: bytes) -> bytes:
    return resolver.ask(name.decode(), "TXT", 5).texts[0]


def test_a_step_that_ends_otherwise_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_access, "SETTLE_SECONDS", 0)
    stage = demo_access.Stage(desk=demo.prepare(tmp_path / "demo"), folder=tmp_path / "demo", tell=lambda line: None)
    stage.step("nothing", demo_mails.IVY, lambda: None, "", "")
    stage.step("no request", demo_mails.IVY, lambda: None, "accepted", "ivy active")
    stage.step("no mail", demo_mails.IVY, lambda: None, "", "", ("invitation", "ivy", "en"))
    assert [row["as_told"] for row in stage.rows] == [True, False, False]
    with pytest.raises(demo.DemoError, match="status 1"):
        stage.command("access", "approve", "99")


def test_the_demo_ends_with_1_when_a_step_ended_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"step": "accepts", "who": "Ivy", "as_told": False}
    monkeypatch.setattr(demo, "running", lambda desk, folder: nullcontext())
    monkeypatch.setattr(demo, "play", lambda *which: [])
    monkeypatch.setattr(demo_access, "play", lambda *which: [row])
    done = CliRunner().invoke(app, ["demo", "--once", "--dir", str(tmp_path / "demo")])
    assert done.exit_code == 1 and "not as expected: Ivy accepts" in done.stderr
    row["as_told"] = True
    assert CliRunner().invoke(app, ["demo", "--once", "--dir", str(tmp_path / "demo")]).exit_code == 0


def test_what_has_left_is_in_its_order(tmp_path: Path) -> None:
    """The names of a Maildir's files do not sort by age: M70831 is before M103219."""
    desk = demo.prepare(tmp_path / "demo")
    new = tmp_path / "demo" / "outbox" / "new"
    for part in ("new", "cur", "tmp"):
        (new.parent / part).mkdir(parents=True)
    for place, name in enumerate(("1795502389.M70831P1Q1.vm", "1795502389.M103219P1Q2.vm", "1795502390.M5P2Q1.vm")):
        (new / name).write_text(f"Subject: {place}\n\n")
    assert [message["Subject"] for message in demo.sent_mails(desk)] == ["0", "1", "2"]


def test_tables_fit_where_no_terminal_says_a_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    row = dict.fromkeys(demo_command.ACCESS_COLUMNS, "several words " * 9)
    show_table("A table", [row], demo_command.ACCESS_COLUMNS, piped_width=demo_command.WIDTH)
    assert 100 <= max(map(len, capsys.readouterr().out.splitlines())) <= 120


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
