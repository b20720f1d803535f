"""`postdesk shunt`: mails that failed three times, set aside with a note of why."""

from typing import Annotated

import typer

from postdesk.console import JsonFlag, no, open_desk, show_json, show_table, tell


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Mails that failed three times, set aside.", no_args_is_help=True)
    group.command("list")(list_)
    group.command()(retry)
    app.add_typer(group, name="shunt")


def list_(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """What was set aside, oldest first, and why."""
    rows = [
        {"id": each.id, "reason": each.reason, "detail": each.detail, "at": each.at, "attempts": each.attempts}
        for each in open_desk(ctx).spool.shunted()
    ]
    show_json(rows) if json_ else show_table("shunt", rows, ("id", "reason", "detail", "at", "attempts"))


def retry(ctx: typer.Context, id: Annotated[str, typer.Argument(help="An id of `shunt list`, or all.")]) -> None:
    """Bring a mail back to the pipeline, after the fault was mended.

    Example: postdesk shunt retry all
    """
    spool = open_desk(ctx).spool
    ids = [each.id for each in spool.shunted()] if id == "all" else [id]
    back = [each for each in ids if spool.unshunt(each)]
    if not back:
        no("nothing is set aside" if id == "all" else f"{id}: no such mail is set aside; see `postdesk shunt list`")
    tell(f"{len(back)} back in the spool")
