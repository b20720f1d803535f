"""What outside programs read: the JSON of every read command and the exit statuses."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from sqlalchemy import Engine, event
from typer.testing import CliRunner

from ingest.spool.spool import Spool
from models.db.engine import make_engine, transaction
from notify.selfcheck import check_python
from postdesk import log
from postdesk.__main__ import PANEL_OF, PANELS, app
from postdesk.commands.running import warn_of_python
from tests.desk import TestDesk, mail
from values.actor import Actor
from values.mail import Envelope
from values.vocabulary import Door, LedgerState, Source

FIRST_MAIL = mail(
    "Grace Harbour <grace@harbour.example>",
    "support@nordvik.test",
    "Labels print twice",
    "Every label is printed twice.\n\nProduct: Nordvik Labels\n",
    Message_ID="<labels@harbour.example>",
)
STRANGERS_MAIL = mail("Sam <sam@unknown.example>", "support@nordvik.test", "Hello", "Who are you?\n")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def _envelope(author: str) -> Envelope:
    return Envelope(
        reverse_path=author,
        forward_paths=("support@nordvik.test",),
        source=Source.SMTP,
        received_at=datetime.now(UTC),
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestDesk]:
    """A desk that has taken a superuser's mail and a stranger's."""
    desk = TestDesk(tmp_path_factory.mktemp("desk"), "sqlite:///postdesk.db", "maildir:out")
    desk.run("customer", "add", "Harbour Tools", "--domain", "harbour.example", "--zone", "Europe/London")
    desk.run("contact", "add", "grace@harbour.example", "--customer", "Harbour Tools", "--superuser")
    desk.run("agent", "add", "anna@nordvik.test", "--name", "Anna Berg", "--admin")
    spool = Spool(desk.folder / "spool")
    spool.put(_envelope("grace@harbour.example"), FIRST_MAIL.as_bytes())
    spool.put(_envelope("sam@unknown.example"), STRANGERS_MAIL.as_bytes())
    desk.run("work", "--until-idle")
    yield desk


TICKET = {
    *("number", "status", "subject", "customer", "requester", "assignee", "product", "erp", "erp_version"),
    *("product_version", "priority", "created", "updated"),
}
ARTICLE = {"kind", "author", "at", "text", "full_text", "attachments", "ledger"}
LEDGER = {
    *("id", "received", "source", "reverse_path", "forward_paths", "author", "message_id", "sha256", "size"),
    *("state", "reason", "ticket", "matched_by"),
}
OUTBOX = {"id", "mail", "recipient", "status", "attempts", "message_id", "ticket", "created", "sent", "key"}


@pytest.mark.parametrize("noun", ["ledger", "ticket", "outbox", "held", "suppression"])
def test_a_list_of_all_has_each_row_once_however_small_its_pages(
    desk: TestDesk, noun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postdesk.console.PAGE", 1)
    called = ["--config", str(desk.folder / "postdesk.toml"), noun, "list", "--json"]
    whole, paged = (CliRunner().invoke(app, [*called, *more]) for more in (("--limit", "1000"), ("--all",)))
    assert json.loads(whole.stdout) == json.loads(paged.stdout), paged.output


def test_tickets(desk: TestDesk) -> None:
    (ticket,) = desk.json("ticket", "list")
    assert ticket.keys() >= TICKET
    assert (ticket["customer"], ticket["requester"]) == ("Harbour Tools", "grace@harbour.example")
    assert (ticket["product"], ticket["assignee"], ticket["erp"]) == ("Nordvik Labels", None, None)
    assert TIME.fullmatch(ticket["created"])
    assert TIME.fullmatch(ticket["updated"])
    shown = desk.json("ticket", "show", str(ticket["number"]))
    assert shown.keys() >= TICKET | {"participants", "articles"}
    assert shown["articles"][0].keys() >= ARTICLE
    assert shown["articles"][0]["kind"] == "inbound"


def test_ledger(desk: TestDesk) -> None:
    stranger, first = desk.json("ledger", "list")
    assert stranger.keys() >= LEDGER
    assert first["message_id"] == "labels@harbour.example"
    assert (first["state"], first["matched_by"]) == ("ticket-opened", None)
    assert (stranger["state"], stranger["reason"], stranger["ticket"]) == ("held", "unknown-customer", None)
    assert TIME.fullmatch(first["received"])
    shown = desk.json("ledger", "show", first["id"])
    assert shown.keys() >= LEDGER | {"trace", "defects", "auth"}
    counted = desk.json("ledger", "count")
    assert counted["accepted"] == 2 == sum(counted["states"].values())
    assert counted["states"].keys() == {*LedgerState, "spooled"}


def test_metrics(desk: TestDesk) -> None:
    numbers = desk.json("metrics")
    assert numbers["mails"] | {"spooled": 0} == desk.json("ledger", "count")["states"]
    assert (numbers["held"], numbers["access_late"]) == (len(desk.json("held", "list")), 0)
    text = desk.run("metrics")
    assert 'postdesk_mails{state="ticket-opened"} 1.0' in text and "postdesk_held 1.0" in text
    assert "postdesk_access_late 0.0" in text


def test_blobs_that_no_row_names(desk: TestDesk) -> None:
    orphan = desk.folder / "blobs" / "ab" / ("c" * 62)
    orphan.write_bytes(b"left by a crash")
    os.utime(orphan, times=(1.7e9, 1.7e9))
    nothing = {"set_aside": 0, "put_back": 0, "deleted": 0, "unfinished": 0}
    assert desk.json("blobs", "sweep", "--dry-run") == nothing | {"set_aside": 1}
    assert orphan.exists()
    assert desk.run("blobs", "sweep") == "1 set aside, 0 put back, 0 deleted, 0 unfinished\n"
    assert not orphan.exists()
    assert desk.json("blobs", "sweep") == nothing
    os.utime(desk.folder / "blobs" / "aside" / f"ab{'c' * 62}", times=(1.7e9, 1.7e9))
    desk.run("tick", "1d")
    assert list((desk.folder / "blobs" / "aside").iterdir()) == [], "the scheduler sweeps once a day"


def test_outbox(desk: TestDesk) -> None:
    rows = desk.json("outbox", "list")
    # The notice about held mail comes by the clock: once, wherever in these tests that falls.
    assert {row["mail"] for row in rows} - {"held_waiting"} == {"acknowledgement", "agent_notice"}
    assert rows[0].keys() >= OUTBOX
    assert TIME.fullmatch(rows[0]["sent"])
    assert "<" not in rows[0]["message_id"]
    assert desk.json("outbox", "show", str(rows[0]["id"])).keys() >= OUTBOX
    document = desk.json("outbox", "show", str(rows[0]["id"]), "--raw")
    raw = desk.run("outbox", "show", str(rows[0]["id"]), "--raw")
    assert _without_boundaries(document.pop("raw").encode()) == _without_boundaries(raw.encode())
    assert document == desk.json("outbox", "show", str(rows[0]["id"]))
    assert f"Message-ID: <{rows[0]['message_id']}>" in raw


def test_what_is_shown_raw_is_what_was_sent(desk: TestDesk) -> None:
    sent = {path.read_bytes().partition(b"\r\nFrom: ")[2] for path in (desk.folder / "out" / "new").iterdir()}
    sent = {_without_boundaries(octets) for octets in sent}
    for row in desk.json("outbox", "list"):
        shown = desk.run("outbox", "show", str(row["id"]), "--raw", "--unmasked").encode().partition(b"From: ")[2]
        assert _without_boundaries(shown) in sent


def test_no_reply_code_is_shown_unless_it_is_asked_for(tmp_path: Path) -> None:
    """Who has the code of a participant can answer as that participant."""
    desk = TestDesk(tmp_path, "sqlite:///postdesk.db", "maildir:out")
    desk.run("customer", "add", "Harbour Tools", "--domain", "harbour.example")
    desk.run("contact", "add", "grace@harbour.example", "--customer", "Harbour Tools", "--superuser")
    spool = Spool(tmp_path / "spool")
    spool.put(_envelope("grace@harbour.example"), FIRST_MAIL.as_bytes())
    desk.run("work", "--until-idle")
    (receipt,) = [row for row in desk.json("outbox", "list") if row["mail"] == "acknowledgement"]
    number = str(receipt["id"])
    whole = desk.run("outbox", "show", number, "--raw", "--unmasked")
    code = re.search(r"Reply-To: <?[^@]*\+t\d+\.(\w+)@", whole)
    assert code and whole.count(code[1]) > 1
    answer = mail("grace@harbour.example", "support@nordvik.test", "Re: Labels", "More.\n")
    address = f"support+t{whole.partition('+t')[2].partition('@')[0]}@nordvik.test"
    envelope = replace(_envelope("grace@harbour.example"), forward_paths=(address,))
    spool.put(envelope, answer.as_bytes())
    desk.run("work", "--until-idle")
    id = desk.json("ledger", "list")[0]["id"]
    for words in (
        ("outbox", "list"),
        ("outbox", "show", number),
        ("outbox", "show", number, "--raw"),
        ("ledger", "list"),
        ("ledger", "show", id),
        ("ledger", "show", id, "--json"),
        ("outbox", "show", number, "--raw", "--json"),
        ("ledger", "list", "--json"),
    ):
        assert code[1] not in desk.run(*words).replace("=\n", "")
    assert desk.json("ledger", "show", id, "--unmasked")["forward_paths"] == [address]
    assert desk.json("ledger", "list", "--unmasked")[0]["forward_paths"] == [address]


def _without_boundaries(octets: bytes) -> bytes:
    return re.sub(rb"=_[0-9a-f]+", b"", octets.replace(b"\r\n", b"\n"))


def test_held(desk: TestDesk) -> None:
    (held,) = desk.json("held", "list")
    assert held.keys() >= {"id", "held", "author", "subject", "reason", "why", "would", "ticket", "customer", "expires"}
    assert desk.json("held", "show", held["id"])["text"] == "Who are you?"


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("ticket", "show", "77"), 1, "there is no such ticket"),
        (("ledger", "show", "nothing"), 1, "no such mail"),
        (("outbox", "show", "77"), 1, "there is no such mail"),
        (("held", "release", "nothing"), 1, "no such mail is held"),
        (("held", "drop", "nothing"), 1, "no such mail is held"),
        (("shunt", "retry", "nothing"), 1, "no such mail is set aside"),
        (("agent", "add", "anna@nordvik.test", "--name", "Anna"), 1, "is an agent already"),
        (("customer", "add", "Free", "--domain", "gmail.com"), 1, "postdesk contact add"),
        (("contact", "add", "x@harbour.example", "--customer", "Nobody"), 2, "postdesk customer add"),
        (("tick", "soon"), 2, "as in 15m or 1d"),
        (("work",), 2, "postdesk work --until-idle"),
        (("doctor", "--only", "moon"), 2, "the checks are configuration"),
        (("nonsense",), 2, "No such command"),
        (("ticket", "list", "--status", "opne"), 2, "write one of new, open"),
        (("ledger", "list", "--state", "moon"), 2, "ticket-opened"),
        (("outbox", "list", "--status", "moon"), 2, "write one of due"),
        (("customer", "add", "Köln", "--language", "de"), 2, "write one of en, es, sv"),
        (("seat", "end", "77"), 1, "there is no such seat"),
        (("seat", "return", "77"), 1, "there is no such seat"),
        (("seat", "lend", "77", "--to", "joe@harbour.example"), 1, "there is no such seat"),
        (
            ("seat", "lend", "1", "--to", "joe@harbour.example", "--from", "2999-02-02", "--until", "2999-01-01"),
            2,
            "before the first one",
        ),
    ],
)
def test_exit_status(desk: TestDesk, words: tuple[str, ...], status: int, told: str) -> None:
    done = desk.call(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert told in done.stderr


def test_a_held_mail_is_released_into_a_ticket(tmp_path: Path) -> None:
    desk = TestDesk(tmp_path, "sqlite:///postdesk.db", "maildir:out")
    desk.run("agent", "add", "anna@nordvik.test", "--name", "Anna Berg")
    desk.run("customer", "add", "Harbour Tools", "--domain", "harbour.example")
    Spool(tmp_path / "spool").put(_envelope("sam@unknown.example"), STRANGERS_MAIL.as_bytes())
    desk.run("work", "--until-idle")
    (held,) = desk.json("held", "list")
    desk.run("held", "release", held["id"], "--customer", "Harbour Tools", "--learn", "--as", "anna@nordvik.test")
    (ticket,) = desk.json("ticket", "list")
    assert (ticket["customer"], ticket["requester"]) == ("Harbour Tools", "sam@unknown.example")
    assert desk.json("ledger", "list")[0]["reason"] == "released"
    assert desk.call("held", "release", held["id"]).returncode == 1


def test_customers_from_a_file(tmp_path: Path) -> None:
    desk = TestDesk(tmp_path, "sqlite:///postdesk.db", "maildir:out")
    file = tmp_path / "customers.csv"
    file.write_text(
        "name,domains,language,zone,seats,superusers\n"
        "Skogby Trä,skogby.example skogby.test,sv,Europe/Stockholm,3,elin@skogby.example ola@skogby.example\n"
        "Harbour Tools,harbour.example,,,,\n"
    )
    assert "nothing was changed" in desk.call("customer", "import", str(file), "--dry-run").stderr
    assert "2 customers added" in desk.call("customer", "import", str(file)).stderr
    again = desk.call("customer", "import", str(file))
    assert again.returncode == 2
    assert "line 2: Skogby Trä exists already" in again.stderr
    file.write_text("name,domaine\nX,x.example\n")
    assert "name and domains are needed" in desk.call("customer", "import", str(file)).stderr


def test_a_file_with_a_seat_too_many_or_a_wrong_address_adds_nobody(tmp_path: Path) -> None:
    desk = TestDesk(tmp_path, "sqlite:///postdesk.db", "maildir:out")
    file = tmp_path / "customers.csv"
    head = "name,domains,language,zone,seats,superusers\nHarbour Tools,harbour.example,,,,\n"
    for people, told in (
        ("a@skogby.example b@skogby.example c@skogby.example nobody", "line 3: Skogby has 2 seats, held by a@"),
        ("a@skogby.example nobody", "line 3: 'nobody' is no mail address"),
    ):
        file.write_text(f"{head}Skogby,skogby.example,sv,,2,{people}\n")
        for options in ((), ("--dry-run",)):
            done = desk.call("customer", "import", str(file), *options)
            assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert desk.json("domain", "list") == []
    assert desk.json("seat", "list") == []


def test_a_thousand_superusers_are_one_look_at_the_seats(tmp_path: Path) -> None:
    desk = TestDesk(tmp_path, "sqlite:///postdesk.db", "maildir:out")
    people = " ".join(f"p{number}@skogby.example" for number in range(1000))
    file = tmp_path / "customers.csv"
    file.write_text(f"name,domains,seats,superusers\nSkogby,skogby.example,1000,{people}\n")
    looks: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        looks.extend([statement] if "FROM seat" in statement else [])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert "1 customers are fine" in desk.call("customer", "import", str(file), "--dry-run").stderr
        assert len(looks) == 1
        assert "1 customers added" in desk.call("customer", "import", str(file)).stderr
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert len(desk.json("seat", "list")) == 1000


def test_long_work_shows_how_far_it_is_on_a_terminal_only(tmp_path: Path) -> None:
    desk = TestDesk(tmp_path, "sqlite:///postdesk.db", "maildir:out")
    file = tmp_path / "customers.csv"
    file.write_text("name,domains,superusers\nSkogby,skogby.example,a@skogby.example b@skogby.example\n")
    command = [sys.executable, "-m", "postdesk", "--config", str(desk.config), "customer", "import", str(file)]
    ours, theirs = os.openpty()
    subprocess.run([*command, "--dry-run"], check=True, stderr=theirs, env=desk.env | {"TERM": "xterm"}, timeout=60)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # EIO: the other end is closed and all was read
        while block := os.read(ours, 65536):
            shown += block
    os.close(ours)
    assert b"3/3" in shown and b"1 customers are fine" in shown
    piped = subprocess.run(command, check=True, capture_output=True, env=desk.env, timeout=60)
    assert piped.stderr == b"1 customers added\n"


def test_tick_moves_the_clock_and_expires_what_was_held(tmp_path: Path) -> None:
    desk = TestDesk(tmp_path, "sqlite:///postdesk.db", "maildir:out")
    Spool(tmp_path / "spool").put(_envelope("sam@unknown.example"), STRANGERS_MAIL.as_bytes())
    desk.run("work", "--until-idle")
    assert len(desk.json("held", "list")) == 1
    now = datetime.fromisoformat(desk.json("tick", "8d")["now"])
    assert 7.9 < (now - datetime.now(UTC)).days + 1 < 8.1
    assert desk.json("held", "list") == []
    assert desk.json("ledger", "list")[0]["reason"] == "held-expired"


EXPLAINED = {
    *("file", "sha256", "size", "author", "author_name", "author_verdict", "subject", "date", "message_id"),
    *("in_reply_to", "references", "kind", "report", "text", "full_text", "attachments", "fields", "commands"),
    *("auth", "defects", "decision", "trace"),
}


def _explain(*words: str, input: bytes = b"") -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, "-m", "postdesk", "explain", "--json", *words]
    done = subprocess.run(command, input=input, capture_output=True, timeout=120)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_explain_needs_no_desk(tmp_path: Path) -> None:
    good = tmp_path / "good.eml"
    good.write_bytes(FIRST_MAIL.as_bytes())
    bomb = tmp_path / "bomb.eml"
    bomb.write_bytes(b"From: a@b.example\n" + b"X: y\n" * 300_000 + b"\nhello\n")
    empty = tmp_path / "empty.eml"
    empty.touch()
    status, lines = _explain(str(good), "-", str(bomb), str(empty), input=STRANGERS_MAIL.as_bytes())
    assert status == 0
    assert [line["file"] for line in lines] == [str(good), "-", str(bomb), str(empty)]
    assert all(line.keys() >= EXPLAINED for line in lines)
    assert (lines[0]["author"], lines[0]["fields"]["product"]) == ("grace@harbour.example", "Nordvik Labels")
    assert (lines[0]["kind"], lines[0]["auth"]["believed"]) == ("person", False)
    assert lines[1]["author"] == "sam@unknown.example"
    assert lines[2]["decision"]["reason"] == "over-limit"
    assert lines[2]["defects"]
    assert lines[3]["author_verdict"] == "missing"


def test_explain_lists_what_the_words_order(tmp_path: Path) -> None:
    """The first line of a reply, in each language; a sentence orders nothing."""
    said = {
        "Approve.\n\nOn Tue, 24 Nov 2026, Nordvik wrote:\n> approve or refuse": ["approve"],
        "rechazar: sin contrato": ["refuse"],
        "Ta tillbaka": ["take-back"],
        "¡Resuelto!": ["close"],
        "status all": ["status-all"],
        "/cc jon@acme.test": ["cc"],
        "please close it": [],
        "Please approve it next week": [],
    }
    files = [tmp_path / f"{number}.eml" for number in range(len(said))]
    for file, text in zip(files, said, strict=True):
        file.write_bytes(mail("grace@harbour.example", "access@nordvik.test", "Re: A request", text).as_bytes())
    _, lines = _explain(*map(str, files))
    assert [line["commands"] for line in lines] == list(said.values())


def test_explain_a_missing_file_is_the_answer_no(tmp_path: Path) -> None:
    status, (line,) = _explain(str(tmp_path / "none.eml"))
    assert status == 1
    assert line.keys() >= EXPLAINED
    assert line["defects"] == ["unreadable-file: No such file or directory"]


def test_explain_with_the_database_knows_the_superuser(desk: TestDesk, tmp_path: Path) -> None:
    path = tmp_path / "new.eml"
    path.write_bytes(FIRST_MAIL.as_bytes().replace(b"labels@", b"other@").replace(b"twice", b"thrice"))
    (line,) = [json.loads(text) for text in desk.run("explain", "--database", "--json", str(path)).splitlines()]
    assert line["decision"] == {
        "reason": "superuser",
        "actions": ["open-ticket"],
        "notices": line["decision"]["notices"],
    }
    assert "acknowledgement" in line["decision"]["notices"]


def test_without_a_configuration_the_way_to_one_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "postdesk", "ledger", "count"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "postdesk init" in done.stderr


def test_init_overwrites_nothing(desk: TestDesk) -> None:
    keys = (desk.folder / "keys.toml").read_bytes()
    assert (desk.folder / "keys.toml").stat().st_mode & 0o777 == 0o600
    again = desk.call("init", "--dir", str(desk.folder), "--vendor-domain", "nordvik.test", "--yes")
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert (desk.folder / "keys.toml").read_bytes() == keys


def test_an_unmigrated_database_is_told(tmp_path: Path) -> None:
    desk = TestDesk(tmp_path, "sqlite:///postdesk.db", "maildir:out")
    (tmp_path / "postdesk.db").unlink()
    for words in (("run",), ("work", "--until-idle"), ("ticket", "list")):
        done = desk.call(*words)
        assert done.returncode == 2, words
        assert "postdesk migrate" in done.stderr


def _commands(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, f"{path} {name}".strip())


def test_every_command_explains_itself() -> None:
    commands = dict(_commands(typer.main.get_command(app)))
    assert len(commands) > 25
    assert [path for path, command in commands.items() if not command.help] == []
    alone = {path: command for path, command in commands.items() if not getattr(command, "commands", None)}
    assert [path for path, command in alone.items() if "Example" not in str(command.help)] == []


def test_the_help_shows_the_commands_by_what_people_want() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    assert set(typer.main.get_command(app).commands) == set(PANEL_OF)  # type: ignore[attr-defined]
    assert sorted(PANELS, key=shown.index) == list(PANELS)
    assert "<bool>" not in CliRunner().invoke(app, ["ticket", "list", "--help"], env={"COLUMNS": "200"}).stdout


def test_who_there_is(desk: TestDesk) -> None:
    """Customers, people and agents as the desk has them: read after they were added."""
    (customer,) = [row for row in desk.json("customer", "list") if row["name"] == "Harbour Tools"]
    assert (customer["domains"], customer["taken"], customer["seats"]) == (["harbour.example"], 1, 2)
    assert customer["first_line"] == "vendor"
    people = desk.json("contact", "list", "--customer", "Harbour Tools")
    assert [(row["addresses"], row["seat"]) for row in people] == [(["grace@harbour.example"], "active")]
    assert {row["address"] for row in desk.json("agent", "list")} >= {"anna@nordvik.test"}
    assert desk.call("contact", "list", "--customer", "Nobody").returncode == 2


def test_help_is_quick() -> None:
    """What would be slow is imported where it is used: the help imports neither the database nor a parser."""
    heavy = "import sys, postdesk.__main__; print([m for m in ('sqlalchemy', 'pydantic', 'lxml') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


# --- what a person can mend: addresses that get no mail, threads that were paused


def test_a_suppressed_address_is_shown_and_lifted(desk: TestDesk) -> None:
    from models.outbox.outbox import count_hard_bounce, suppress
    from values.vocabulary import SuppressionReason

    now = datetime.now(UTC)
    with transaction(make_engine(f"sqlite:///{desk.folder / 'postdesk.db'}")) as session:
        count_hard_bounce(session, "grace@harbour.example", "5.1.1", now)
        suppress(session, "Grace@harbour.example", SuppressionReason.HARD_BOUNCE, now)
    (row,) = desk.json("suppression", "list")
    assert (row["address"], row["reason"], row["hard_bounces"], row["last_status"]) == (
        *("grace@harbour.example", "hard-bounce"),
        *(1, "5.1.1"),
    )
    number = str(desk.json("ticket", "list")[0]["number"])
    people = {one["address"]: one["suppressed"] for one in desk.json("ticket", "show", number)["participants"]}
    assert people["grace@harbour.example"] == "hard-bounce"
    assert "gets no mail: hard-bounce" in desk.run("ticket", "show", number)
    answered = desk.call("ticket", "reply", number, "--as", "anna@nordvik.test", input="Which printer?\n")
    assert "grace@harbour.example gets no mail (hard-bounce)" in answered.stderr
    desk.run("suppression", "lift", "GRACE@harbour.example", "--as", "anna@nordvik.test")
    assert desk.json("suppression", "list") == []
    assert desk.call("suppression", "lift", "grace@harbour.example").returncode == 1


def test_a_paused_ticket_tells_its_story_and_is_resumed(desk: TestDesk) -> None:
    from models.tickets.ticket import pause_thread

    number = desk.json("ticket", "list")[0]["number"]
    with transaction(make_engine(f"sqlite:///{desk.folder / 'postdesk.db'}")) as session:
        pause_thread(session, number, "20 mails from bot@x.test in an hour", datetime.now(UTC), Actor(door=Door.MAIL))
    shown = desk.json("ticket", "show", str(number))
    assert (shown["paused"], shown["pause_story"]) == (True, "20 mails from bot@x.test in an hour")
    assert "20 mails from bot@x.test in an hour" in desk.run("ticket", "show", str(number))
    desk.run("ticket", "resume", str(number), "--as", "anna@nordvik.test")
    assert not desk.json("ticket", "show", str(number))["paused"]
    assert desk.call("ticket", "resume", str(number)).returncode == 1


def test_T60_at_start_a_python_that_writes_injected_fields_is_told(desk: TestDesk) -> None:
    done = desk.call("work", "--until-idle")
    assert done.returncode == 0
    assert ("CVE-2024-6923" in done.stderr) == bool(check_python())
    assert all(json.loads(line)["level"] for line in done.stderr.splitlines())


def test_T60_the_warning_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("notify.selfcheck.header_injection_refused", lambda: False)
    log.configure("run")
    warn_of_python()
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["finding"].startswith("this Python writes header fields with line ends in them")
    monkeypatch.setattr("notify.selfcheck.header_injection_refused", lambda: True)
    warn_of_python()
    assert capsys.readouterr().err == ""


def test_an_agent_is_changed_and_deactivated(tmp_path: Path) -> None:
    desk = TestDesk(tmp_path, "sqlite:///postdesk.db", "maildir:out")
    desk.run("agent", "add", "anna@nordvik.test", "--name", "Anna Berg", "--admin", "--notices", "mine")
    desk.run("agent", "add", "bo@nordvik.test", "--name", "Bo", "--zone", "Europe/Oslo")
    said = desk.call("agent", "change", "bo@nordvik.test", "--notices", "none", "--zone", "desk", "--name", "Bo Ek")
    assert "notices none" in said.stderr and "zone desk" in said.stderr
    anna, bo = desk.json("agent", "list")
    assert (anna["notices"], anna["zone"], bo["notices"], bo["zone"], bo["name"]) == ("mine", "", "none", "", "Bo Ek")
    assert "last active admin" in desk.call("agent", "deactivate", "anna@nordvik.test").stderr
    desk.run("agent", "change", "bo@nordvik.test", "--admin")
    desk.run("agent", "deactivate", "anna@nordvik.test")
    assert [row["active"] for row in desk.json("agent", "list")] == [False, True]
    assert "no time zone" in desk.call("agent", "change", "bo@nordvik.test", "--zone", "Mars").stderr
