"""The reference pages under docs/ say what the code does: each list is complete both ways."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ROOMS = ("ingest", "rules", "notify", "models", "templates", "portal", "postdesk")


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
