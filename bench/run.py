#!/usr/bin/env python3
"""Everything that is measured, one after the other, and one table of the results.

  run.py [accept] [end_to_end] [growth] [memory] [--quick] [--corpus FOLDER] [--write]

Without names: all. --quick: one round instead of three, fewer mails (a look, no figure to quote). --corpus: parse every
mail of that folder too. --write puts the table into docs/performance.md. Takes about 15 minutes on two idle cores.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- table: make bench ARGS=--write -->\n", "<!-- end of table -->\n"

Line = dict[str, Any]
Row = tuple[str, str, str, str]  # what, ours, the yardstick, ratio and goal

COMMANDS: dict[str, tuple[list[str], list[str]]] = {  # script → its arguments, those of a quick look
    "accept": ([], ["--rounds", "1", "--mails", "150"]),
    "end_to_end": (["--mails", "500", "--kind", "both"], ["--rounds", "1", "--mails", "200"]),
    "growth": ([], ["--rounds", "1", "--mails", "100", "--kind", "sqlite"]),
    "memory": ([], []),
}


def accept_row(line: Line) -> Row:
    goal = 3 if line["load"] == "mix" else 0.7
    what = f"accepted mails a second, {line['load']} (stock aiosmtpd that throws them away)"
    return what, f"{line['ours']}", f"{line['stock']}", f"{line['ratio']:.2f} × (goal ≥ {goal})"


def end_to_end_row(line: Line) -> Row:
    what = f"end to end, {line['load']}, {line['database']}: mails a second (django-helpdesk on SQLite)"
    costs = f"{line['rate']:.0f} ({line['cpu_ms']:.1f} ms CPU a mail)"
    theirs = f"{line['django_rate']:.0f} ({line['django_cpu_ms']:.1f} ms)"
    goal = " (goal ≥ 6, later 10)" if line["database"] == "sqlite" else ""
    return what, costs, theirs, f"{line['ratio']:.1f} ×{goal}"


def growth_row(line: Line) -> Row:
    few, many = line["tickets"]
    what = f"gather and record, {line['database']}, {line['batch']} in a transaction: {many:,} tickets ({few:,})"
    return what, f"{line['many_ms']:.2f} ms", f"{line['few_ms']:.2f} ms", f"{line['ratio']:.2f} × (goal ≤ 1.15)"


def memory_row(line: Line) -> Row:
    what = f"memory above baseline, mails of {line['megabytes']} MB: {line['mails']}"
    return what, f"listener {line['listener_mb']} MB, worker {line['worker_mb']} MB", "", f"goal ≤ {line['goal']} MB"


ROWS: dict[str, Callable[[Line], Row]] = {
    "accept": accept_row,
    "end_to_end": end_to_end_row,
    "growth": growth_row,
    "memory": memory_row,
}


def measured(name: str, *, quick: bool) -> Iterator[Row]:
    """Rows of one script, as they come."""
    command = [sys.executable, str(HERE / f"{name}.py"), *COMMANDS[name][quick]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for text in process.stdout:
            if text.startswith("{"):
                yield ROWS[name](json.loads(text))
    if process.returncode:
        sys.exit(f"{name} failed")


def table(rows: list[Row]) -> str:
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    head = f"Measured on {datetime.now(UTC):%Y-%m-%d}, {machine}; medians.\n\n"
    lines = [("what (yardstick)", "ours", "yardstick", "ratio"), ("---",) * 4, *rows]
    return head + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write(text: str) -> None:
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{text}{END}{after}", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(COMMANDS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--write", action="store_true")
    wanted = parser.parse_args()
    if unknown := set(wanted.names) - COMMANDS.keys():
        parser.error(f"there is no {', '.join(unknown)}; write {', '.join(COMMANDS)}")
    names = wanted.names or list(COMMANDS)
    rows: list[Row] = []
    for number, name in enumerate(names, 1):
        began = time.monotonic()
        print(f"[{number}/{len(names)}] {name} …", file=sys.stderr, flush=True)
        for row in measured(name, quick=wanted.quick):
            rows.append(row)
            print(f"      {row[0]}: {row[1]}; {row[3]}", file=sys.stderr, flush=True)
        print(f"      {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(text := table(rows), end="")
    if wanted.write:
        write(text)
    if wanted.corpus:
        command = [sys.executable, str(HERE / "corpus_parse.py"), str(wanted.corpus)]
        subprocess.run(command, env=dict(os.environ, PYTHONPATH=str(HERE.parent)), check=True)


if __name__ == "__main__":
    main()
