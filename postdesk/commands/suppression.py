"""`postdesk suppression`: addresses that get no mail, why, and how they get it again."""

import typer

from postdesk.console import By, JsonFlag, no, open_desk, show_json, show_table, tell


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Addresses that get no mail: dead ones, and those whose owners complained.")
    group.command("list")(list_)
    group.command()(lift)
    app.add_typer(group, name="suppression", no_args_is_help=True)


def list_(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """Which addresses get no mail, since when and why.

    Example: postdesk suppression list
    """
    from models.db.engine import reading
    from models.views.ledger import list_suppressed

    with reading(open_desk(ctx).engine) as session:
        rows = list_suppressed(session)
    columns = ("address", "reason", "since", "hard_bounces", "last_status", "ticket")
    show_json(rows) if json_ else show_table("suppressed", rows, columns)


def lift(ctx: typer.Context, address: str, by: By = "desk") -> None:
    """Send to this address again; what was suppressed is sent by `outbox retry`.

    Example: postdesk suppression lift lucia@ibarra.example
    """
    from models.db.engine import transaction
    from models.desk.audit import append
    from models.outbox.outbox import unsuppress

    desk = open_desk(ctx)
    now = desk.now()
    with transaction(desk.engine) as session:
        if not unsuppress(session, address):
            no(f"{address}: is not suppressed; see `postdesk suppression list`")
        append(session, now, who=by, what="suppression.lift", subject=f"address:{address.lower()}", via="command")
    tell(f"{address} gets mail again")
