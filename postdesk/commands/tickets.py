"""`postdesk ticket`: tickets, their conversation, and an agent's answer."""

import mimetypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postdesk.console import (
    All,
    By,
    JsonFlag,
    Limit,
    Number,
    Row,
    cell,
    no,
    one_of,
    open_desk,
    show_json,
    show_list,
    show_record,
    show_table,
    show_text,
    tell,
    wrong,
)

if TYPE_CHECKING:
    from postdesk.wiring import Desk
    from values.mail import AttachmentRef


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Tickets and their conversation.", no_args_is_help=True)
    group.command("list")(list_)
    group.command()(show)
    group.command()(history)
    group.command()(reply)
    group.command()(files)
    group.command()(resume)
    app.add_typer(group, name="ticket")


def list_(
    ctx: typer.Context,
    status: Annotated[str, typer.Option(help="Only new, open, pending, resolved or closed.")] = "",
    limit: Limit = None,
    all_: All = False,
    json_: JsonFlag = False,
) -> None:
    """Tickets, the newest first.

    Example: postdesk ticket list --status open
    """
    from models.db.engine import reading
    from models.views.ledger import list_tickets
    from values.vocabulary import TicketStatus

    one_of("--status", status, TicketStatus)
    engine = open_desk(ctx).engine

    def rows(after: Row | None, most: int) -> list[Row]:
        with reading(engine) as session:
            return [*list_tickets(session, status=status or None, limit=most, below=after["number"] if after else None)]

    columns = ("number", "status", "priority", "subject", "customer", "requester", "assignee", "updated")
    show_list("tickets", rows, columns, limit=limit, all_=all_, json_=json_)


def show(ctx: typer.Context, number: Number, json_: JsonFlag = False) -> None:
    """One ticket with its whole conversation.

    Example: postdesk ticket show 1042
    """
    from models.db.engine import reading
    from models.views.ledger import show_ticket

    with reading(open_desk(ctx).engine) as session:
        ticket = show_ticket(session, number)
    if ticket is None:
        no(f"{number}: there is no such ticket; see `postdesk ticket list`")
    if json_:
        show_json(ticket)
        return
    show_record(f"ticket {number}", ticket, leave_out=("number", "participants", "articles"))
    print(f"  {'participants':<16} {cell([_shown(person) for person in ticket['participants']])}")
    for article in ticket["articles"]:
        _show_article(article)


def history(ctx: typer.Context, number: Number, json_: JsonFlag = False) -> None:
    """What happened to a ticket: who did what, when, and by which way.

    Example: postdesk ticket history 1042
    """
    from dataclasses import asdict

    from models.db.engine import reading
    from models.views.history import list_history

    with reading(open_desk(ctx).engine) as session:
        rows = [asdict(row) for row in list_history(session, number)]
    if not rows:
        no(f"{number}: there is no such ticket; see `postdesk ticket list`")
    show_json(rows) if json_ else show_table("history", rows, ("at", "kind", "who", "door", "was", "now"))


def _shown(person: dict[str, Any]) -> str:
    return f"{person['address']}" + (f" (gets no mail: {person['suppressed']})" if person["suppressed"] else "")


def _show_article(article: dict[str, Any]) -> None:
    print(f"\n── {article['kind']} · {cell(article['author'])} · {cell(article['at'])}")
    show_text(article["text"])
    for file in article["attachments"]:
        print(f"   + {cell(file['name'])} ({cell(file['type'])}, {file['size']} octets)")
    for mail in article["delivery"]:
        said = f" ({cell(mail['last_reply'])})" if mail["last_reply"] else ""
        print(f"   → {cell(mail['recipient'])}: {cell(mail['status'])}{said}")


def reply(
    ctx: typer.Context,
    number: Number,
    by: Annotated[str, typer.Option("--as", help="Address of the agent who answers.")],
    note: Annotated[bool, typer.Option("--note", help="An internal note: nobody outside gets it.")] = False,
    close: Annotated[bool, typer.Option("--close", help="Close the ticket.")] = False,
    attach: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="A file to send; repeat for more."),
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Answer a ticket as an agent; the text comes from standard input.

    Example: postdesk ticket reply 1042 --as anna@nordvik.test < answer.txt
    """
    from postdesk.answering import answer_ticket

    text = sys.stdin.read().strip("\r\n")
    if not text.strip():
        wrong("the answer is empty: write it to standard input, as in `echo Done. | postdesk ticket reply 1042 --as …`")
    desk = open_desk(ctx)
    answered = answer_ticket(
        desk.engine,
        number,
        by,
        text,
        desk.now(),
        note=note,
        close=close,
        files=_kept(desk, attach or []),
    )
    if isinstance(answered, str):
        no(answered)
    if json_:
        show_json(answered)
    else:
        tell(f"ticket {answered['ticket']}: {'note' if note else 'answer'} added, {len(answered['outbox'])} mails due")
        for address, why in answered["suppressed"].items():
            tell(f"{address} gets no mail ({why}): reach that person another way, or `postdesk suppression list`")


def _kept(desk: "Desk", paths: list[Path]) -> "tuple[AttachmentRef, ...]":
    """The files in the blob store, durable before the rows that name them."""
    from values.addresses import clean_file_name
    from values.mail import AttachmentRef

    if fault := desk.policy.too_much([path.stat().st_size for path in paths]):
        wrong(f"--attach: {fault}")
    kept = []
    for path in paths:
        with path.open("rb") as stream:
            sha256, size = desk.blobs.put(iter(lambda: stream.read(1 << 16), b""))
        declared = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        kept.append(AttachmentRef(name=clean_file_name(path.name), type=declared, size=size, sha256=sha256))
    if kept:
        desk.blobs.sync()
    return tuple(kept)


def files(
    ctx: typer.Context,
    number: Number,
    save: Annotated[
        Path | None, typer.Option(file_okay=False, help="Write them into this folder; it is made where it is missing.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """The files of a ticket; with --save, written into a folder, none over a file that is there.

    They are what a stranger sent: nothing opens them, and their names hold no path.

    Example: postdesk ticket files 1042 --save ./1042
    """
    from models.db.engine import reading
    from models.views.ledger import show_ticket
    from values.addresses import clean_file_name

    desk = open_desk(ctx)
    with reading(desk.engine) as session:
        ticket = show_ticket(session, number)
    if ticket is None:
        no(f"{number}: there is no such ticket; see `postdesk ticket list`")
    rows = [
        {
            "at": article["at"],
            "author": article["author"],
            "name": file["name"],
            "type": file["type"],
            "size": file["size"],
        }
        | {"sha256": file["sha256"], "saved": None}
        for article in ticket["articles"]
        for file in article["attachments"]
    ]
    for place, row in enumerate(rows, start=1) if save else ():
        assert save is not None
        save.mkdir(parents=True, exist_ok=True)
        path = save / f"{place:02d}-{clean_file_name(row['name'])}"
        try:
            with path.open("xb") as stream:
                stream.writelines(desk.blobs.stream(row["sha256"]))
        except FileExistsError:
            no(f"{path} is there already; name another folder")
        row["saved"] = str(path)
    columns = ("at", "author", "name", "type", "size", *(("saved",) if save else ()))
    show_json(rows) if json_ else show_table("files", rows, columns)


def resume(ctx: typer.Context, number: Number, by: By = "desk") -> None:
    """Let automatic mail leave again on a ticket that the loop breaker paused; `ticket show` tells its story.

    Example: postdesk ticket resume 1042 --as anna@nordvik.test
    """
    from models.db.engine import transaction
    from models.desk.audit import append
    from models.tickets.ticket import resume_thread
    from values.actor import Actor
    from values.vocabulary import Door

    desk = open_desk(ctx)
    now = desk.now()
    with transaction(desk.engine) as session:
        if not resume_thread(session, number, now, Actor(who=by, door=Door.COMMAND)):
            no(f"{number}: automatic mail does not rest on such a ticket; see `postdesk ticket show {number}`")
        append(session, now, who=by, what="ticket.resume", subject=f"ticket:{number}", via="command")
    tell(f"ticket {number}: automatic mail leaves again")
