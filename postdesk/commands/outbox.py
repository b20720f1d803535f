"""`postdesk outbox`: every mail that leaves, has left, or could not."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from postdesk.console import Id, JsonFlag, Limit, no, one_of, open_desk, show_json, show_record, show_table, tell

if TYPE_CHECKING:
    from postdesk.wiring import Desk


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Outgoing mails.", no_args_is_help=True)
    group.command("list")(list_)
    group.command()(show)
    group.command()(retry)
    app.add_typer(group, name="outbox")


def list_(
    ctx: typer.Context,
    status: Annotated[str, typer.Option(help="Only due, sending, sent, failed or suppressed.")] = "",
    limit: Limit = None,
    json_: JsonFlag = False,
) -> None:
    """Outgoing mails, the newest first.

    Example: postdesk outbox list --status failed
    """
    from models.db.engine import reading
    from models.views.ledger import list_outbox
    from values.vocabulary import OutboxStatus

    one_of("--status", status, OutboxStatus)
    with reading(open_desk(ctx).engine) as session:
        rows = list_outbox(session, status=status or None, limit=limit)
    columns = ("id", "created", "mail", "recipient", "language", "status", "attempts", "ticket")
    show_json(rows) if json_ else show_table("outbox", rows, columns)


def show(
    ctx: typer.Context,
    id: Id,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="The mail as the smarthost gets it, one-use links and codes masked."),
    ] = False,
    json_: JsonFlag = False,
) -> None:
    """One outgoing mail; with --raw composed anew from its rows.

    Example: postdesk outbox show 12 --raw > 12.eml
    """
    from models.db.engine import reading
    from models.views.ledger import show_outbox

    desk = open_desk(ctx)
    with reading(desk.engine) as session:
        row = show_outbox(session, id)
    if row is None:
        no(f"{id}: there is no such mail; see `postdesk outbox list`")
    if raw:
        sys.stdout.buffer.write(_compose(desk, id))
    elif json_:
        show_json(row)
    else:
        show_record(f"outgoing mail {id}", row, leave_out=("id",))


def _compose(desk: "Desk", id: int) -> bytes:
    from dataclasses import replace

    from models.db.engine import reading
    from models.outbox.outbox import find_claimed
    from models.views.mails import find_mail_rows
    from notify.access_mails import masked
    from notify.compose import Unfit, compose
    from notify.mails import outgoing

    parts = desk.dispatch()
    with reading(desk.engine) as session:
        claimed = find_claimed(session, id)
        if claimed is None:
            no(f"{id}: there is no such mail; see `postdesk outbox list`")
        rows = find_mail_rows(session, claimed)
    mail = outgoing(rows, parts.letterhead)
    # An invitation that anybody at the console could accept would be worth nothing.
    shown = mail if isinstance(mail, Unfit) else replace(mail, context=masked(mail.context))
    composed = shown if isinstance(shown, Unfit) else compose(shown, parts.renderer)
    if isinstance(composed, Unfit):
        no(f"{id}: can't be composed: {composed.reason}")
    return composed.message


def retry(ctx: typer.Context, id: Id) -> None:
    """Send a failed or suppressed mail again, with its old Message-ID.

    Example: postdesk outbox retry 12
    """
    from models.db.engine import transaction
    from models.outbox import outbox

    desk = open_desk(ctx)
    with transaction(desk.engine) as session:
        if not outbox.retry(session, id, desk.now()):
            no(f"{id}: there is no such mail that failed or was suppressed; see `postdesk outbox list`")
    tell(f"{id}: due now")
