"""`postdesk suppression`: addresses that get no mail, why, and how they get it again."""

import typer

from postdesk.console import All, By, JsonFlag, Limit, Row, no, open_desk, show_list, tell


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Addresses that get no mail: dead ones, and those whose owners complained.")
    group.command("list")(list_)
    group.command()(lift)
    app.add_typer(group, name="suppression", no_args_is_help=True)


def list_(ctx: typer.Context, limit: Limit = None, all_: All = False, json_: JsonFlag = False) -> None:
    """Which addresses get no mail, since when and why.

    Example: postdesk suppression list
    """
    from models.db.engine import reading
    from models.views.ledger import list_suppressed

    engine = open_desk(ctx).engine

    def rows(after: Row | None, most: int) -> list[Row]:
        with reading(engine) as session:
            return [*list_suppressed(session, limit=most, after=after)]

    columns = ("address", "reason", "since", "hard_bounces", "last_status", "ticket")
    show_list("suppressed", rows, columns, limit=limit, all_=all_, json_=json_)


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
