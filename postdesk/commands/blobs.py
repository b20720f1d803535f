"""`postdesk blobs sweep`: what lies in the blob store and no row names."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from postdesk.console import JsonFlag, open_desk, show_json


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Where raw mails and attachments lie.", no_args_is_help=True)
    group.callback()(lambda: None)  # one command only; it is called by its name all the same
    group.command()(sweep)
    app.add_typer(group, name="blobs")


def sweep(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be done, change nothing.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Set aside what no row has named for a week, delete what was set aside a month ago; the scheduler does it daily.

    Example: postdesk blobs sweep --dry-run
    """
    from notify.sweep import sweep as sweep_now

    desk = open_desk(ctx)
    desk.require_ready()
    swept = asdict(sweep_now(desk.engine, desk.blobs, datetime.now(UTC), dry_run=dry_run))
    text = ", ".join(f"{count} {fate.replace('_', ' ')}" for fate, count in swept.items())
    show_json(swept) if json_ else print(text)
