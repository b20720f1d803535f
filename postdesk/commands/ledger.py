"""`postdesk ledger`: every accepted mail and what became of it."""

from typing import Annotated, Any

import typer

from postdesk.console import (
    All,
    JsonFlag,
    Limit,
    Row,
    Unmasked,
    cell,
    hide,
    no,
    one_of,
    open_desk,
    show_json,
    show_list,
    show_record,
)


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Every accepted mail and what became of it.", no_args_is_help=True)
    group.command("list")(list_)
    group.command()(show)
    group.command()(count)
    app.add_typer(group, name="ledger")


def list_(
    ctx: typer.Context,
    state: Annotated[str, typer.Option(help="Only this state, as in held.")] = "",
    limit: Limit = None,
    all_: All = False,
    unmasked: Unmasked = False,
    json_: JsonFlag = False,
) -> None:
    """Accepted mails, the newest first.

    Example: postdesk ledger list --state held --limit 20
    """
    from models.db.engine import reading
    from models.views.ledger import list_ledger
    from values.vocabulary import LedgerState

    one_of("--state", state, LedgerState)
    engine = open_desk(ctx).engine

    def rows(after: Row | None, most: int) -> list[Row]:
        with reading(engine) as session:
            found = list_ledger(session, state=state or None, limit=most, below=after["id"] if after else None)
        return [*hide(found, unmasked)]

    columns = ("id", "received", "author", "state", "reason", "ticket", "matched_by")
    show_list("ledger", rows, columns, limit=limit, all_=all_, json_=json_)


def show(ctx: typer.Context, id: str, unmasked: Unmasked = False, json_: JsonFlag = False) -> None:
    """One accepted mail: what is known of it, and which rule decided.

    Example: postdesk ledger show 01m85t3h0w000fyek5jf2gvk3e
    """
    from models.db.engine import reading
    from models.views.ledger import show_ledger

    with reading(open_desk(ctx).engine) as session:
        row = show_ledger(session, id)
    if row is None:
        no(f"{id}: no such mail is in the ledger; see `postdesk ledger list`")
    row = hide(row, unmasked)
    if json_:
        show_json(row)
        return
    show_record(f"mail {id}", row, leave_out=("id", "trace"))
    for line in row["trace"] or ():
        print(f"  {'·':>16} {cell(line)}")


def count(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """How many mails were accepted, and how many ended in which state: the sum always agrees.

    Example: postdesk ledger count --json
    """
    desk = open_desk(ctx)
    document = counted(desk)
    if json_:
        show_json(document)
        return
    for state, number in sorted(document["states"].items()):
        print(f"{number:>8}  {state}")
    print(f"{document['accepted']:>8}  accepted")


def counted(desk: Any) -> dict[str, Any]:
    """The ledger's states and, as one more of them, `spooled` for what is not decided yet: their sum is all accepted.
    `spooled` stands beside them too, for who asks that alone.

    A mail moves from the spool to the ledger while we count: it is counted anew until the spool stood still.
    """
    from models.db.engine import reading
    from models.views.ledger import count_ledger, show_ledger
    from values.vocabulary import LedgerState

    for _ in range(20):
        before = desk.spool.counts()
        with reading(desk.engine) as session:
            states = count_ledger(session)
            # Set aside a moment ago, and its row is not written yet.
            shunted = sum(show_ledger(session, each.id) is None for each in desk.spool.shunted())
        after = desk.spool.counts()
        if (before.new, before.work) == (after.new, after.work):
            break
    spooled = after.new + after.work + shunted
    every = {state.value: states.get(state.value, 0) for state in LedgerState} | {"spooled": spooled}
    return {"accepted": sum(every.values()), "spooled": spooled, "states": every}
