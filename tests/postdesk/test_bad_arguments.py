"""Every command with every argument wrong: a clear answer, a right exit status, and nothing changed.

The commands are read off the program, so that a new one is asked too.
"""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer.main

from ingest.spool.spool import Spool
from postdesk.__main__ import app
from tests.desk import TestDesk, mail
from tests.test_docs import commands
from values.mail import Envelope
from values.vocabulary import Source

COMMANDS = {name: command for name, command in commands(typer.main.get_command(app)) if not name.startswith("demo")}
NUMBERS = ("99999999999999999999999", "-1", "0", "1.5", "ten", "", "３")
NOBODY = "99999"  # a good number, and nothing has it
TEXTS = ("", "two\r\nlines: " + "x" * 5000, "caf\udce9")  # the last: Latin-1 typed into a shell
ENDLESS = {"run"}  # it serves where its options are good

# What stands in for the arguments that are not the one under test.
GOOD = {
    **{"address": "grace@harbour.example", "agent": "anna@nordvik.test", "customer": "Harbour Tools"},
    **{"domain": "harbour.example", "name": "Harbour Tools", "number": "1001", "product": "Labels", "id": "1"},
    **{"valid_from": "2026-12-01", "to": "tom@harbour.example", "reason": "No contract.", "by": "anna@nordvik.test"},
    **{"duration": "0s", "partner": "Norrland Data"},
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> TestDesk:
    """A desk with a customer, an agent, a ticket and a held mail."""
    desk = TestDesk(tmp_path_factory.mktemp("desk"), "sqlite:///postdesk.db", "maildir:out")
    desk.run("customer", "add", "Harbour Tools", "--domain", "harbour.example")
    desk.run("contact", "add", "grace@harbour.example", "--customer", "Harbour Tools", "--superuser")
    desk.run("agent", "add", "anna@nordvik.test", "--name", "Anna Berg", "--admin")
    spool = Spool(desk.folder / "spool")
    for author in ("grace@harbour.example", "sam@unknown.example"):
        envelope = Envelope(
            reverse_path=author,
            forward_paths=("support@nordvik.test",),
            source=Source.SMTP,
            received_at=datetime.now(UTC),
        )
        spool.put(envelope, mail(author, "support@nordvik.test", "Hello", "Hello there.\n").as_bytes())
    desk.run("work", "--until-idle")
    return desk


def kept(desk: TestDesk) -> list[str]:
    """Every row of the database."""
    with sqlite3.connect(desk.folder / "postdesk.db") as connection:
        return list(connection.iterdump())


def takes_number(param: Any) -> bool:
    return param.type_descriptor.annotation in (int, int | None)


def cases(*, numbers: bool) -> Iterator[tuple[str, str]]:
    """Each command with each of its arguments that takes a number, or that takes a text."""
    for name, command in COMMANDS.items():
        for param in command.params:
            is_flag = param.param_type_name == "option" and param.is_flag
            if not is_flag and takes_number(param) is numbers and (numbers or name not in ENDLESS):
                yield name, str(param.name)


def words_with(name: str, wrong: str, value: str, file: str) -> list[str]:
    """The command line in which the argument `wrong` is `value` and all that is needed besides is good."""
    options, arguments = list[str](), list[str]()
    for param in COMMANDS[name].params:
        if param.name != wrong and not param.required:
            continue
        said = value if param.name == wrong else file if param.name in ("file", "files") else GOOD[str(param.name)]
        if param.param_type_name == "option":
            options.append(f"{param.opts[0]}={said}")
        else:
            arguments.append(said)
    extra = ["--until-idle"] if name == "work" else []
    return [*name.split(), *options, *extra, "--", *arguments]


@pytest.mark.parametrize(("name", "argument"), list(cases(numbers=True)))
def test_what_is_no_number_is_answered(desk: TestDesk, tmp_path: Path, name: str, argument: str) -> None:
    before = kept(desk)
    for value in NUMBERS:
        if value == "0" and argument == "seats":
            continue  # a customer may have none
        done = desk.call(*words_with(name, argument, value, str(tmp_path)), input="A text.\n")
        assert (done.returncode, done.stdout) == (2, ""), (value, done.stdout, done.stderr)
        assert done.stderr.strip() and "Traceback" not in done.stderr
        assert kept(desk) == before, value


@pytest.mark.parametrize(("name", "argument"), [one for one in cases(numbers=True) if one[1] in ("id", "number")])
def test_a_number_that_nothing_has_is_answered(desk: TestDesk, tmp_path: Path, name: str, argument: str) -> None:
    before = kept(desk)
    done = desk.call(*words_with(name, argument, NOBODY, str(tmp_path)), input="A text.\n")
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert NOBODY in done.stderr or "there is no such" in done.stderr
    assert kept(desk) == before


@pytest.mark.parametrize(("name", "argument"), list(cases(numbers=False)))
def test_no_text_ends_in_a_traceback(
    desk: TestDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, argument: str
) -> None:
    monkeypatch.chdir(tmp_path)  # where `init` puts what it makes
    for value in TEXTS:
        before = kept(desk)
        done = desk.call(*words_with(name, argument, value, str(tmp_path)), input="A text.\n")
        assert done.returncode in (0, 1, 2), (value, done.stderr)
        assert done.returncode == 0 or (done.stdout + done.stderr).strip()
        if done.returncode:
            assert kept(desk) == before, value
        assert "Traceback" not in done.stderr


def test_a_held_mail_is_not_released_onto_a_ticket_that_is_not_there(desk: TestDesk) -> None:
    (held,) = desk.json("held", "list")
    before = kept(desk)
    done = desk.call("held", "release", held["id"], "--ticket", NOBODY, "--as", "anna@nordvik.test")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{NOBODY}: there is no such ticket" in done.stderr
    assert kept(desk) == before
    desk.run("held", "release", held["id"], "--ticket", "1001", "--as", "anna@nordvik.test")
    assert len(desk.json("ticket", "list")) == 1
