#!/usr/bin/env python3
"""Everything that is measured, one after the other, and what came of it against the goals.

  run.py [--quick] [--only NAME …]

Each script runs by itself, both sides in turn, and prints JSON lines; see the head of each. --quick: one round, small
loads, to see that the scripts work; its figures mean nothing. docs/performance.md tells how to read the figures.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
SCRIPTS: dict[str, tuple[list[str], list[str]]] = {  # name -> (arguments, arguments of --quick)
    "accept": ([], ["--mails", "60", "--rounds", "1"]),
    "end_to_end": ([], ["--mails", "60", "--rounds", "1"]),
    "growth": ([], ["--many", "5000", "--mails", "60", "--rounds", "1"]),
    "memory": ([], ["--megabytes", "5", "--at-once", "2"]),
    "auth_cost": ([], ["--runs", "20"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    arguments = parser.parse_args()
    console, table = Console(), Table("script", "measured", title="what was measured")
    failed = False
    for name in arguments.only:
        began = time.monotonic()
        with console.status(f"{name}: measuring, this takes minutes"):
            command = [sys.executable, str(HERE / f"{name}.py"), *SCRIPTS[name][arguments.quick]]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        failed |= done.returncode != 0
        console.print(f"{name}: {time.monotonic() - began:.0f} s" + (" FAILED" if done.returncode else ""))
        for line in (done.stdout if not done.returncode else done.stderr[-2000:]).splitlines():
            table.add_row(name, _told(line))
    console.print(table)
    sys.exit(failed)


def _told(line: str) -> str:
    try:
        values = json.loads(line)
    except ValueError:
        return line
    return "  ".join(f"{key}={value}" for key, value in values.items()) if isinstance(values, dict) else line


if __name__ == "__main__":
    main()
