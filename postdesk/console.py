"""What the commands say, and how: tables or JSON on stdout, all else on stderr, exit status 0, 1 or 2.

0 = done, 1 = the answer is "no" or "not found", 2 = the call or the configuration is wrong (docs/commands.md).
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from postdesk.wiring import Desk

PIPED_WIDTH = 140  # columns
LEAST = 9  # columns to which a cell may be folded
UNBROKEN = ("id", "number", "ticket", "state", "status", "became", "language")  # columns to copy from: never folded
_ACTING = "postdesk.acting"
JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of a table.")]


def _note_acting(ctx: typer.Context, address: str) -> str:
    """Keep the address of --as for `open_desk`, which knows the agents."""
    ctx.meta[_ACTING] = address.strip().lower()
    return address.strip().lower()


By = Annotated[
    str,
    typer.Option("--as", help="Who decides: an agent's address.", show_default="the desk", callback=_note_acting),
]
LARGEST = 2**31 - 1  # what the databases' integers hold


def whole_number(text: str) -> int:
    """A number as people copy it: 1042. What no table can hold is refused here, before a database is asked."""
    digits = str(text)
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 10 and 1 <= int(digits) <= LARGEST):
        raise typer.BadParameter(f"{digits!r} is not a number that anything can have; write one such as 1042")
    return int(digits)


def up_to_a_million(text: str) -> int:
    """As `whole_number`, for what is added to one: the sum must fit too."""
    if (number := whole_number(text)) > 1_000_000:
        raise typer.BadParameter(f"{number} is too many; write at most 1000000")
    return number


def _seats(text: str) -> int:
    return 0 if str(text) == "0" else up_to_a_million(text)


# Every command that takes a number takes one of these.
Number = Annotated[int, typer.Argument(parser=whole_number, metavar="NUMBER", help="As in `postdesk ticket list`.")]
Id = Annotated[int, typer.Argument(parser=whole_number, metavar="ID", help="As in the list.")]
Seats = Annotated[int, typer.Option(parser=_seats, metavar="N", help="How many superusers may be active.")]
LISTED = 100  # rows that a list shows where nobody says how many
PAGE = 500  # rows that --all holds in memory at a time
Limit = Annotated[
    int | None, typer.Option(parser=whole_number, metavar="N", help="The first N only.", show_default=str(LISTED))
]
All = Annotated[bool, typer.Option("--all", help="All of them, however many; each page is written as it is read.")]
Row = Mapping[str, Any]
Rows = Callable[[Row | None, int], Sequence[Row]]  # the rows after this one (None: from the first), so many at most


def open_desk(ctx: typer.Context) -> "Desk":
    """The desk of --config, POSTDESK_CONFIG, ./postdesk.toml or /etc/postdesk/postdesk.toml.

    Ends the command where --as names nobody who decides here: the audit would say so for ever.
    """
    from postdesk.settings import CONFIG_NAME, load
    from postdesk.wiring import Desk

    path: Path | None = ctx.obj
    if path is None:
        path = next((p for p in (Path(CONFIG_NAME), Path("/etc/postdesk") / CONFIG_NAME) if p.exists()), None)
    if path is None:
        wrong(f"no {CONFIG_NAME} here: say --config FILE, set POSTDESK_CONFIG, or make one with `postdesk init`")
    desk = Desk(load(path), path.resolve())
    if (address := ctx.meta.get(_ACTING, "desk")) != "desk":
        _require_agent(desk, address)
    return desk


def _require_agent(desk: "Desk", address: str) -> None:
    from models.db.engine import reading
    from models.people.agent import find_agent

    with reading(desk.engine) as session:
        found = find_agent(session, address)
    if found is None or not found.active:
        wrong(f"--as {address}: no active agent has this address; see `postdesk agent list`")


Unmasked = Annotated[
    bool, typer.Option("--unmasked", help="Reply codes as they are; who has one can answer as its owner.")
]


def show_json(document: object) -> None:
    """What is no letter is escaped: JSON lets U+009B stand, which begins an order to a terminal as ESC [ does (T57)."""
    print(_json(document))


def _json(document: object) -> str:
    text = json.dumps(document, ensure_ascii=False, default=_plain)
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def hide(rows: Any, unmasked: bool) -> Any:
    """Rows with the secret parts of addresses and texts masked, unless the person says that they shall not be."""
    from postdesk.log import masked

    return rows if unmasked else masked(rows)


def _plain(value: object) -> object:
    """Times are RFC 3339 in UTC."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def show_table(
    title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, piped_width: int = PIPED_WIDTH
) -> None:
    """A table of `columns` of `rows`; an empty one says so. `piped_width`: columns where none are known.

    Where the terminal is too narrow for a table that can be read, each row is lines of name and value.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not rows:
        print(f"{title}: none")
        return
    console = Console()
    # A file or a pipe has no width; 80 would fold most cells.
    width = console.width if console.is_terminal or os.environ.get("COLUMNS") else piped_width
    if _needed(rows, columns) > width:
        print(title)
        for row in rows:
            show_record("", {column: row.get(column) for column in columns})
        return
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column in UNBROKEN)
    for row in rows:
        table.add_row(*(escape(cell(row.get(column))) for column in columns))
    Console(width=width).print(table)


def show_list(title: str, rows: Rows, columns: Sequence[str], *, limit: int | None, all_: bool, json_: bool) -> None:
    """A list that may be longer than any memory: its first `limit` rows (`LISTED` if None) and a line on stderr where
    there are more, or with `all_` every row, page by page. JSON is for programs: every row, unless `limit` is given.
    Ends the command where both options are given.
    """
    if all_ and limit is not None:
        wrong("--limit and --all: write one of them")
    if all_ or (json_ and limit is None):
        _stream(title, _pages(rows), columns, json_)
        return
    most = limit or LISTED
    found = rows(None, most + 1)
    show_json(found[:most]) if json_ else show_table(title, found[:most], columns)
    if limit is None and len(found) > most:
        tell(f"these are the first {most}; there are more: write --limit N or --all")


def _pages(rows: Rows) -> Iterator[Sequence[Row]]:
    page = rows(None, PAGE)
    while page:
        yield page
        page = rows(page[-1], PAGE) if len(page) == PAGE else ()


def _stream(title: str, pages: Iterator[Sequence[Row]], columns: Sequence[str], json_: bool) -> None:
    if json_:
        between = "["
        for row in chain.from_iterable(pages):
            print(between, end="")
            print(_json(row), end="")
            between = ", "
        print("[]" if between == "[" else "]")
        return
    empty = True
    for page in pages:
        show_table(title, page, columns)
        empty = False
    if empty:
        show_table(title, (), columns)


def _needed(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> int:
    """How wide a table must be: columns to copy from whole, the others not folded below `LEAST`, and the rules."""
    widest = {column: max(len(column), *(len(cell(row.get(column))) for row in rows)) for column in columns}
    shown = (size if column in UNBROKEN else min(size, LEAST) for column, size in widest.items())
    return sum(shown) + 3 * len(columns) + 1


def one_of(option: str, value: str, words: Iterable[str]) -> None:
    """Ends the command where the value of an option is none of these words; an empty one is none given."""
    if value and value not in (known := [str(word) for word in words]):
        wrong(f"{option} {value}: write one of {', '.join(known)}")


def shipped_language(option: str, language: str) -> None:
    """Ends the command where no mail is written in that language: it would leave in another one."""
    from templates.catalogue import LANGUAGES

    one_of(option, language, LANGUAGES)


def cell(value: object) -> str:
    """A value for a person's eye, with no control character left in it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(each) for each in value)
    return "".join(c if c.isprintable() else " " for c in str(value))


def show_record(title: str, record: Mapping[str, Any], leave_out: Iterable[str] = ()) -> None:
    """One row as lines of name and value."""
    print(title)
    for key, value in record.items():
        if key not in leave_out and value not in (None, "", []):
            print(f"  {key.replace('_', ' '):<16} {cell(value)}")


def show_text(text: str) -> None:
    """What somebody wrote, indented: no line of it looks like one of ours, such as an answer that nobody gave."""
    for line in text.strip("\n").split("\n"):
        print(f"   {cell(line.expandtabs(4))}".rstrip())


def program() -> str:
    """How to call this program here: "postdesk" where the shell finds it so, else its path (.venv/bin/postdesk)."""
    called = Path(sys.argv[0]).absolute()
    if (found := shutil.which("postdesk")) and Path(found).resolve() == called.resolve():
        return "postdesk"
    return str(called.relative_to(Path.cwd()) if called.is_relative_to(Path.cwd()) else called)


def tell(text: str) -> None:
    """A line for the person at the keyboard."""
    print(text, file=sys.stderr)


def no(text: str) -> NoReturn:
    """End with status 1: not found, or the answer is no."""
    tell(text)
    raise typer.Exit(1)


def wrong(text: str) -> NoReturn:
    """End with status 2: the call or the configuration is wrong; `text` says what to write instead."""
    tell(text)
    raise typer.Exit(2)


def progress() -> "Progress":
    """A progress bar on stderr; quiet where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
