"""`postdesk held`: mails that wait for a person's judgment."""

from typing import TYPE_CHECKING, Annotated

import typer

from postdesk.console import (
    All,
    By,
    JsonFlag,
    Limit,
    Row,
    no,
    open_desk,
    show_json,
    show_list,
    show_record,
    show_text,
    tell,
    whole_number,
    wrong,
)

if TYPE_CHECKING:
    from postdesk.wiring import Desk


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Mails that wait for a person's judgment.", no_args_is_help=True)
    group.command("list")(list_)
    group.command()(show)
    group.command("release")(release_)
    group.command()(drop)
    app.add_typer(group, name="held")


def list_(ctx: typer.Context, limit: Limit = None, all_: All = False, json_: JsonFlag = False) -> None:
    """What waits, the longest first, and why.

    Example: postdesk held list
    """
    from models.db.engine import reading
    from models.views.ledger import list_held

    engine = open_desk(ctx).engine

    def rows(after: Row | None, most: int) -> list[Row]:
        with reading(engine) as session:
            return [*list_held(session, limit=most, after=after)]

    columns = ("id", "held", "author", "subject", "reason", "why", "would")
    show_list("held", rows, columns, limit=limit, all_=all_, json_=json_)


def show(ctx: typer.Context, id: str, json_: JsonFlag = False) -> None:
    """One waiting mail with the beginning of its text.

    Example: postdesk held show 01m85t3h0w000fyek5jf2gvk3e
    """
    from models.db.engine import reading
    from models.views.ledger import show_held

    with reading(open_desk(ctx).engine) as session:
        row = show_held(session, id)
    if row is None:
        no(f"{id}: no such mail is held; see `postdesk held list`")
    if json_:
        show_json(row)
        return
    show_record(f"held mail {id}", row, leave_out=("id", "text"))
    show_text(row["text"])


def release_(
    ctx: typer.Context,
    id: str,
    customer: Annotated[str, typer.Option(help="The author writes for this customer.")] = "",
    learn: Annotated[bool, typer.Option("--learn", help="Make the author a contact of that customer.")] = False,
    ticket: Annotated[
        int | None, typer.Option(parser=whole_number, metavar="NUMBER", help="Put the mail onto this ticket.")
    ] = None,
    by: By = "desk",
) -> None:
    """Let a mail through: it becomes a ticket or an article, as `would` says.

    Example: postdesk held release 01m85t3h0w000fyek5jf2gvk3e --customer "Talleres Ibarra" --learn
    """
    from ingest.release import release
    from models.db.engine import reading
    from models.people.customer import find_customer
    from models.views.ledger import show_held
    from values.decision import Release
    from values.vocabulary import Reason

    desk = open_desk(ctx)
    with reading(desk.engine) as session:
        row = show_held(session, id)
        found = find_customer(session, customer) if customer else None
        customer_id = found.id if found else None
    if row is None:
        no(f"{id}: no such mail is held; see `postdesk held list`")
    if row["reason"] is Reason.POISON:
        no(f"{id} failed three times; mend the fault, then `postdesk shunt retry {id}`")
    if customer and customer_id is None:
        wrong(f"--customer {customer}: there is no such customer")
    word = Release(by=by, customer=customer_id, learn=learn, ticket=ticket)
    receipt = release(desk.pipeline(), id, word)
    if receipt is None or receipt.already:
        no(f"{id}: is still held: its rule says no even to a released mail; see `postdesk held show {id}`")
    tell(f"{id}: {receipt.state}" + (f", ticket {receipt.ticket}" if receipt.ticket else ""))


def _keep_shunted(desk: "Desk", id: str) -> None:
    """A mail that failed may not have come as far as the blob store; the file in the shunt is the only copy then."""
    from ingest.spool.file import read_file

    for shunted in desk.spool.shunted():
        if shunted.id == id:
            for mail in read_file(shunted.path, shunted.id, shunted.attempts).mails:
                desk.blobs.put_file(mail.path, mail.offset, mail.size, mail.sha256)
            desk.blobs.sync()


def drop(ctx: typer.Context, id: str, by: By = "desk") -> None:
    """Discard a mail that waits; its ledger row and the raw mail stay.

    Example: postdesk held drop 01m85t3h0w000fyek5jf2gvk3e --as anna@nordvik.test
    """
    from models.db.engine import transaction
    from models.desk.audit import append
    from models.inbound import held

    desk = open_desk(ctx)
    now = desk.now()
    with transaction(desk.engine) as session:
        if not held.drop(session, id, by, now):
            no(f"{id}: no such mail is held; see `postdesk held list`")
        append(session, now, who=by, what="held.drop", subject=f"held:{id}", via="command")
    _keep_shunted(desk, id)
    desk.spool.drop_shunted(id)
    tell(f"{id}: dropped")
