"""The reference pages under docs/ say what the code does: each list is complete both ways."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from notify.compose import AUTOMATIC
from notify.mails import CATALOGUE
from postdesk.__main__ import app
from rules.access_mail import ORDERS
from rules.ticket_commands import TICKET_PHRASES, ticket_word
from templates.catalogue import LANGUAGES
from values.vocabulary import Belief, LedgerState, MailClass, MailKind, MailName, MatchedBy, Reason, TicketCommand

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ROOMS = ("values", "ingest", "rules", "notify", "models", "templates", "portal", "postdesk")


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def tables(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """(heading above, rows without the two head lines) of each table."""
    heading, rows = "", list[list[str]]()
    for line in (*text.splitlines(), ""):
        if line.startswith("|"):
            rows.append(cells(line))
        else:
            if rows:
                yield heading, rows[2:]
            rows = []
            heading = line.lstrip("# ") if line.startswith("#") else heading


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


# --- rfc.md -----------------------------------------------------------------------------------------------------

_MENTION = re.compile(r"\bRFC (\d{4}(?:bis)?)|(\bUTS \d|WHATWG|\bMS-[A-Z])|§ ?(\d+(?:\.\d+)*)")


def mentions(text: str) -> dict[str, set[str]]:
    """RFC number → its sections that the text names; a § belongs to the standard named last before it."""
    found: dict[str, set[str]] = {}
    current: str | None = None
    for number, other, section in _MENTION.findall(text):
        if number:
            current = number
            found.setdefault(number, set())
        elif other:
            current = None
        elif current:
            found[current].add(section)
    return found


@cache
def mentions_in(path: str) -> dict[str, set[str]]:
    return mentions((ROOT / path).read_text("utf-8"))


@cache
def functions_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    functions = (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(name for name in functions if name.startswith("test_"))


@dataclass(frozen=True, slots=True)
class Row:
    number: int
    sections: dict[str, set[str]]
    files: list[str]
    tests: list[str]
    is_open: bool


def rfc_rows() -> list[Row]:
    return [
        Row(int(one[0]), mentions(one[1]), quoted(one[3]), quoted(one[4]), one[3].startswith("not yet: "))
        for heading, rows in tables(page("rfc.md"))
        if not heading.startswith("Other RFCs")
        for one in rows
    ]


def other_rfcs() -> list[tuple[str, list[str]]]:
    return [
        (number, quoted(files))
        for heading, rows in tables(page("rfc.md"))
        if heading.startswith("Other RFCs")
        for number, _, files in rows
    ]


def test_rfc_rows_are_numbered_through() -> None:
    assert [row.number for row in rfc_rows()] == list(range(1, 81))


@pytest.mark.parametrize("row", rfc_rows(), ids=[row.number for row in rfc_rows()])
def test_each_rfc_row_is_true(row: Row) -> None:
    assert all((ROOT / path).is_file() for path in row.files)
    if row.is_open:
        assert not row.tests, "what is not yet there has no test"
        return
    assert row.files and row.tests
    for name in row.tests:
        path, _, function = name.partition("::")
        assert (ROOT / path).is_file() and function in functions_in(path), f"{name} is no test"
    named = {(number, section) for number, parts in row.sections.items() for section in parts or {""}}
    obeyed = {
        (number, section)
        for number, section in named
        for path in row.files
        if number in mentions_in(path) and (not section or section in mentions_in(path)[number])
    }
    assert named == obeyed, f"named in none of {row.files}"
    for path in row.files:
        assert not row.sections or any(
            number in mentions_in(path) and (not parts or parts & mentions_in(path)[number])
            for number, parts in row.sections.items()
        ), f"{path} names nothing of this row"


def test_each_rfc_that_the_code_names_is_on_the_page() -> None:
    sources = [str(path.relative_to(ROOT)) for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    in_code = {number for path in sources for number in mentions_in(path)}
    listed = {number for row in rfc_rows() for number in row.sections} | {number for number, _ in other_rfcs()}
    assert in_code - listed == set(), "give each a row in docs/rfc.md, or a line in its last table"


def test_other_rfcs_are_named_where_it_says() -> None:
    others = other_rfcs()
    assert [number for number, _ in others] == sorted({number for number, _ in others})
    for number, files in others:
        assert files and all(number in mentions_in(path) for path in files), number


# --- reasons.md -------------------------------------------------------------------------------------------------

REASONS = "Why a ticket opens|Why an article is added|Commands and access|Machines|Held for a person's judgment"
WORDS: dict[str, type[StrEnum]] = {
    "States": LedgerState,
    **dict.fromkeys((*REASONS.split("|"), "Why it was discarded later"), Reason),
    "What led a mail to its ticket": MatchedBy,
    "What wrote the mail": MailKind,
    "Belief": Belief,
}


def test_each_word_of_a_decision_is_explained_once() -> None:
    listed: dict[type[StrEnum], list[str]] = {kind: [] for kind in WORDS.values()}
    for heading, rows in tables(page("reasons.md")):
        for word, meaning, what_to_do in rows:
            assert meaning and what_to_do, word
            listed[WORDS[heading]] += quoted(word)
    for kind, words in listed.items():
        assert sorted(words) == sorted(kind), kind.__name__


# --- mails.md ---------------------------------------------------------------------------------------------------


def test_each_mail_is_on_the_page() -> None:
    (_, classes), (_, mails), _ = tables(page("mails.md"))
    assert {quoted(one[0])[0]: quoted(one[2]) for one in classes} == {
        kind: [f"{name}: {value}" for name, value in AUTOMATIC[kind]] for kind in MailClass
    }
    assert [quoted(one[0])[0] for one in mails] == list(MailName)
    assert set(CATALOGUE) == set(MailName)
    for name, who, when, kind, way in mails:
        mail = MailName(quoted(name)[0])
        catalogued = CATALOGUE[mail]
        assert who and when and quoted(kind) == [catalogued.kind], mail
        assert way.startswith("answers") is catalogued.threaded, mail
        assert ("orders: " in way) is catalogued.takes_orders, mail
        if mail in ORDERS:
            assert way.partition("orders: ")[2].split(", ") == [order.value for order in ORDERS[mail]], mail
        assert ("null reverse-path" in when) is catalogued.null_return_path, mail
        assert ("calendar file" in when) is (catalogued.calendar is not None), mail
        assert all((ROOT / "templates" / "mail" / mail / part).is_file() for part in ("subject.txt", "body.html"))
    assert f"{', '.join(LANGUAGES[:-1])} or {LANGUAGES[-1]}" in page("mails.md")


def test_each_word_that_a_customer_can_order_is_on_the_page() -> None:
    *_, (heading, orders) = tables(page("mails.md"))
    assert heading == "What a customer can order by mail"
    assert sorted(quoted(one[0])[0] for one in orders) == sorted(TicketCommand)
    for name, english, spanish, swedish, who, what in orders:
        command = TicketCommand(quoted(name)[0])
        assert who and what
        for language, words in zip(("en", "es", "sv"), (english, spanish, swedish), strict=True):
            listed = [word.removesuffix(" ADDRESS") for word in words.split(", ")]
            assert listed[0] == ticket_word(command, language)
            assert set(listed) <= set(TICKET_PHRASES[command][language]), command


# --- commands.md ------------------------------------------------------------------------------------------------


def commands(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """(name, command) of everything that can be called."""
    inner = getattr(command, "commands", {})
    if path and (not inner or command.invoke_without_command):
        yield " ".join(path), command
    for name, one in inner.items():
        yield from commands(one, *path, name)


COMMANDS = dict(commands(typer.main.get_command(app)))


def options(name: str) -> set[str]:
    return {param.opts[0] for param in COMMANDS[name].params if param.param_type_name == "option"}


def arguments(name: str) -> list[str]:
    params = (param for param in COMMANDS[name].params if param.param_type_name == "argument")
    return [param.name.upper() + ("…" if param.nargs == -1 else "") for param in params]


def command_rows() -> dict[str, list[str]]:
    """Name with arguments → its row."""
    return {quoted(row[0])[0]: row for _, rows in tables(page("commands.md")) for row in rows}


def test_each_command_is_on_the_page() -> None:
    called = {" ".join((name, *arguments(name))) for name in COMMANDS}
    assert set(command_rows()) == called


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_described_as_it_is(name: str) -> None:
    _, what, listed, example = command_rows()[" ".join((name, *arguments(name)))]
    assert what
    assert set(quoted(listed)) == options(name)
    (shown,) = quoted(example)
    said = re.fullmatch(rf"postdesk (?:--config \S+ )?{name}\b(.*)", shown)
    assert said, shown
    given = set(re.findall(r"(?:^| )(--[a-z-]+)", said[1]))
    needed = {p.opts[0] for p in COMMANDS[name].params if p.required and p.param_type_name == "option"}
    assert needed <= given <= options(name)


def test_what_programs_rely_on_is_there() -> None:
    promised = page("commands.md").split("```")[1].strip().splitlines()
    assert len(promised) > 20
    for line in promised:
        name = line.partition(" --")[0]
        assert set(line.split()[len(name.split()) :]) <= options(name), line


def test_every_command_that_reads_speaks_json() -> None:
    for name in COMMANDS:
        if name.rpartition(" ")[2] in ("list", "show", "count", "conflicts", "doctor", "explain", "version"):
            assert "--json" in options(name), name


# --- what all pages share ---------------------------------------------------------------------------------------

PAGES = sorted(str(path.relative_to(ROOT)) for path in DOCS.rglob("*.md"))


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_points_to_is_there(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    for link in re.findall(r"\]\(([^)#\s]+)\)", text):
        assert "://" in link or (ROOT / name).parent.joinpath(link).is_file(), link
    for file in re.findall(rf"`((?:{'|'.join(ROOMS)}|tests|docs|bench|migrations)/[\w./-]+\.\w+)", text):
        assert (ROOT / file).is_file(), file


@pytest.mark.parametrize("room", (*ROOMS, "migrations", "bench", "tests"))
def test_pages_that_the_code_names_are_there(room: str) -> None:
    """A docstring that says `domain.md 3.6` leads to that paragraph."""
    pages = {Path(name).name for name in PAGES} | {path.name for path in ROOT.glob("*.md")}
    rules = {
        part.partition(".")[0]: set(re.findall(r"(?m)^(\d)\. ", part)) for part in page("domain.md").split("\n## ")
    }
    for path in sorted((ROOT / room).rglob("*.py")):
        text = path.read_text("utf-8")
        assert set(re.findall(r"[\w-]+\.md\b", text)) <= pages, path
        for section, rule in re.findall(r"domain\.md (\d)(?:\.(\d))?", text):
            assert section in rules and (not rule or rule in rules[section]), f"{path}: domain.md {section}.{rule}"


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_tells_to_type_exists(name: str) -> None:
    """`ticket reply 1042 --as …` in backquotes: the command and its options are there."""
    groups = {command.split()[0] for command in COMMANDS}
    for span in quoted(re.sub(r"```.*?```", "", (ROOT / name).read_text("utf-8"), flags=re.DOTALL)):
        words = span.removeprefix("postdesk ").split()
        called = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in COMMANDS), None)
        if called is None or (len(words) == 1 and not span.startswith("postdesk ")):
            assert called or len(words) < 2 or words[0] not in groups, f"{span!r} is no command"
            continue
        assert set(re.findall(r"--[a-z-]+", span)) - {"--config"} <= options(called), span
