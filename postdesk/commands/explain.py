"""`postdesk explain`: what would the desk do with this mail, and why? Needs no database and no configuration."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postdesk.console import JsonFlag, cell, open_desk, show_json

if TYPE_CHECKING:
    from postdesk.explaining import Explainer

VENDOR = "vendor.invalid"  # of the desk that stands in where none is configured: nobody writes to it
STDIN_MOST = 128 * 1024 * 1024  # octets


def register(app: typer.Typer) -> None:
    app.command()(explain)


def explain(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(help="Raw mails; - is standard input.", show_default=False)],
    database: Annotated[
        bool, typer.Option("--database", help="Look facts up in the configured database (read only).")
    ] = False,
    json_: JsonFlag = False,
) -> None:
    """Say what a raw mail is, what would be decided about it, and which rule said so.

    Example: postdesk explain --json mail.eml · postdesk explain --database - < mail.eml
    """
    from ingest.limited_child import Limits
    from postdesk.explaining import RawFile, explain_all

    explainer = _configured(ctx) if database else _bare()
    limits = Limits(memory=512 * 1024**2, cpu_seconds=5.0, wall_seconds=30.0)
    missing = False
    with tempfile.TemporaryDirectory(prefix="postdesk-explain-") as folder:
        raws = [RawFile(path=_stdin(Path(folder)) if name == "-" else Path(name), shown=name) for name in files]
        for document in explain_all(raws, explainer, limits):
            missing = missing or document["sha256"] is None
            show_json(document) if json_ else _show(document)
    raise typer.Exit(1 if missing else 0)


def _stdin(folder: Path) -> Path:
    path = folder / "stdin"
    path.write_bytes(sys.stdin.buffer.read(STDIN_MOST))
    return path


def _bare() -> "Explainer":
    """Nothing is known: no customer, no key of ours, no name server, whatever the environment says."""
    from datetime import UTC, datetime

    from postdesk.desk_folder import throwaway_keys
    from postdesk.explaining import explainer_of
    from rules.policy import OwnMailbox, Policy
    from values.vocabulary import MailboxPurpose

    policy = Policy(
        mailboxes=(OwnMailbox(address=f"support@{VENDOR}", purpose=MailboxPurpose.SUPPORT),),
        return_path=f"bounce@{VENDOR}",
        desk_domain=VENDOR,
        authentication=False,
    )
    return explainer_of(policy, throwaway_keys(), datetime.now(UTC))


def _configured(ctx: typer.Context) -> "Explainer":
    from postdesk.explaining import explainer_of

    desk = open_desk(ctx)
    desk.require_ready()
    return explainer_of(desk.policy, desk.keys, desk.now(), desk.engine)


def _show(document: dict[str, Any]) -> None:
    """The same for a person."""
    decision = document["decision"]
    print(f"{cell(document['file'])}: {decision['reason'] or 'unreadable'}")
    for name in ("author", "author_verdict", "subject", "kind", "message_id", "defects"):
        if document[name]:
            print(f"  {name.replace('_', ' '):<15} {cell(document[name])}")
    for ref in document["attachments"]:
        print(f"  attachment      {cell(ref['name'])} ({ref['type']}, {ref['size']} octets)")
    for name in ("actions", "notices"):
        if decision[name]:
            print(f"  {name:<15} {cell(decision[name])}")
    for line in document["trace"]:
        print(f"  {'·':>15} {cell(line)}")
