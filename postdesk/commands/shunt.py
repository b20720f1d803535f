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
    """What was set aside, oldest first, and why.

    Example: postdesk shunt list
    """
    rows = [
        {"id": each.id, "reason": each.reason, "detail": each.detail, "at": each.at, "attempts": each.attempts}
        for each in open_desk(ctx).spool.shunted()
    ]
    show_json(rows) if json_ else show_table("shunt", rows, ("id", "reason", "detail", "at", "attempts"))


def retry(ctx: typer.Context, id: Annotated[str, typer.Argument(help="An id of `shunt list`, or all.")]) -> None:
    """Bring a mail back to the pipeline, after the fault was mended.

    Example: postdesk shunt retry all
    """
    from models.db.engine import transaction
    from models.desk.audit import append
    from models.inbound.held import forget_poison

    desk = open_desk(ctx)
    ids = [each.id for each in desk.spool.shunted()]
    wanted = ids if id == "all" else [each for each in ids if each == id]
    if not wanted:
        no("nothing is set aside" if id == "all" else f"{id}: no such mail is set aside; see `postdesk shunt list`")
    for each in wanted:
        now = desk.now()
        with transaction(desk.engine) as session:  # first the ledger: a mail that is in neither place is held anew
            if forget_poison(session, each):
                append(session, now, who="desk", what="shunt.retry", subject=f"mail:{each}", via="command")
        desk.spool.unshunt(each)
    tell(f"{len(wanted)} back in the spool")
