"""`postdesk outbox`: every mail that leaves, has left, or could not."""

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postdesk.console import (
    All,
    Id,
    JsonFlag,
    Limit,
    Row,
    Unmasked,
    hide,
    no,
    one_of,
    open_desk,
    show_json,
    show_list,
    show_record,
    tell,
)

if TYPE_CHECKING:
    from notify.compose import OutgoingMail
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
    all_: All = False,
    json_: JsonFlag = False,
) -> None:
    """Outgoing mails, the newest first.

    Example: postdesk outbox list --status failed
    """
    from models.db.engine import reading
    from models.views.ledger import list_outbox
    from values.vocabulary import OutboxStatus

    one_of("--status", status, OutboxStatus)
    engine = open_desk(ctx).engine

    def rows(after: Row | None, most: int) -> list[Row]:
        with reading(engine) as session:
            found = list_outbox(session, status=status or None, limit=most, below=after["id"] if after else None)
        return [*hide(found, unmasked=False)]

    columns = ("id", "created", "mail", "recipient", "language", "status", "attempts", "ticket")
    show_list("outbox", rows, columns, limit=limit, all_=all_, json_=json_)


def show(
    ctx: typer.Context,
    id: Id,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="The mail as the smarthost gets it, links, codes and reply codes masked."),
    ] = False,
    unmasked: Unmasked = False,
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
    row = hide(row, unmasked)
    if raw:
        octets = _compose(desk, id, unmasked)
        if not json_:
            sys.stdout.buffer.write(octets)
            return
        row["raw"] = octets.decode("utf-8", "replace")
    if json_:
        show_json(row)
    else:
        show_record(f"outgoing mail {id}", row, leave_out=("id",))


def _compose(desk: "Desk", id: int, unmasked: bool) -> bytes:
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
        rows = find_mail_rows(session, claimed, desk.now())
    mail = outgoing(rows, parts.letterhead)
    # An invitation that anybody at the console could accept would be worth nothing, whatever is said.
    shown = mail if isinstance(mail, Unfit) else replace(mail, context=masked(mail.context))
    if not isinstance(shown, Unfit) and not unmasked:
        shown = _without_reply_codes(shown)
    composed = shown if isinstance(shown, Unfit) else compose(shown, parts.renderer, parts.blobs.get)
    if isinstance(composed, Unfit):
        no(f"{id}: can't be composed: {composed.reason}")
    return composed.message


def _without_reply_codes(mail: "OutgoingMail") -> "OutgoingMail":
    """Before it is composed: a code that quoted-printable folds over two lines would be found by no pattern."""
    from dataclasses import replace

    from postdesk.log import masked

    context: Any = masked(mail.context)
    reply_to = re.sub(r"(\+[a-z]?\d+\.)[^@]*(?=@)", r"\1masked", mail.reply_to) if mail.reply_to else None
    return replace(mail, context=context, reply_to=reply_to)


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
