"""`postdesk mail`: an accepted mail as it came."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from postdesk.console import no, open_desk, tell


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Accepted mails as they came.", no_args_is_help=True)
    group.command()(raw)
    group.callback()(lambda: None)  # else Typer takes the only command for the group
    app.add_typer(group, name="mail")


def raw(
    ctx: typer.Context,
    id: str,
    save: Annotated[Path | None, typer.Option(dir_okay=False, help="Write it to this new file.")] = None,
) -> None:
    """Write a mail of the ledger, octet for octet, to standard output or to a file.

    It may hold anything that its sender wrote: look at it with a program, not on a terminal.

    Example: postdesk mail raw 01m85t3h0w000fyek5jf2gvk3e --save mail.eml
    """
    from models.db.engine import reading
    from models.views.ledger import show_ledger

    desk = open_desk(ctx)
    with reading(desk.engine) as session:
        row = show_ledger(session, id)
    if row is None:
        no(f"{id}: no such mail is in the ledger; see `postdesk ledger list`")
    try:
        chunks = desk.blobs.stream(row["sha256"])
        if save is None:
            sys.stdout.buffer.writelines(chunks)
            return
        with save.open("xb") as stream:
            stream.writelines(chunks)
    except FileExistsError:
        no(f"{save} is there already; name another file")
    except FileNotFoundError:
        no(f"{id}: its octets are not in the blob store (it may be in the shunt, or is a form of the portal)")
    tell(f"{id}: {row['size']} octets in {save}")
