"""`postdesk doctor`: is the desk fit to work, and what would mend it?"""

from dataclasses import asdict
from typing import Annotated

import typer

from postdesk.console import JsonFlag, open_desk, show_json, show_table, wrong


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    ctx: typer.Context,
    only: Annotated[str, typer.Option(help="Only these checks: database,spool,…")] = "",
    json_: JsonFlag = False,
) -> None:
    """Check what the desk stands on, from its files to the DNS, and say what mends it; status 1 where a check fails.

    Example: postdesk doctor --only database,smarthost
    """
    from postdesk.doctor import CHECKS, FAIL, examine

    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if name not in CHECKS:
            wrong(f"--only {name}: there is no such check; the checks are {', '.join(CHECKS)}")
    rows = [asdict(finding) for finding in examine(open_desk(ctx), names or list(CHECKS))]
    show_json(rows) if json_ else show_table("doctor", rows, ("check", "verdict", "seen", "repair"))
    raise typer.Exit(1 if any(row["verdict"] == FAIL for row in rows) else 0)
