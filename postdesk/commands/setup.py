"""`postdesk init`, `migrate`, `restored`, `version`: make a desk, keep its schema current, bring it back."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from postdesk.console import JsonFlag, open_desk, program, show_json, tell, up_to_a_million, wrong


def register(app: typer.Typer) -> None:
    app.command()(init)
    app.command()(migrate)
    app.command()(restored)
    app.command()(version)


def init(
    folder: Annotated[Path, typer.Option("--dir", help="Folder of the desk; made where it is missing.")] = Path(),
    vendor_domain: Annotated[str, typer.Option(help="Domain of the desk's own addresses.")] = "",
    vendor_name: Annotated[str, typer.Option(help="Name in mails and on pages.")] = "",
    listen: Annotated[str, typer.Option(help="HOST:PORT of the SMTP listener.")] = "",
    smarthost: Annotated[str, typer.Option(help="Where outgoing mail goes: smtp://, smtps:// or maildir:FOLDER.")] = "",
    database: Annotated[str, typer.Option(help="sqlite:///FILE or postgresql://…")] = "",
    blobs: Annotated[str, typer.Option(help="Folder or URL of the blob store.")] = "",
    http: Annotated[str, typer.Option(help="HOST:PORT of the portal.")] = "",
    authentication: Annotated[str, typer.Option(help="on: check SPF, DKIM, DMARC; off: believe nobody.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
) -> None:
    """Make a desk: postdesk.toml with every setting explained, and its keys.

    Example: postdesk init --dir /etc/postdesk --vendor-domain nordvik.test --smarthost smtp://relay.nordvik.test:587
    """
    from postdesk.desk_folder import make_desk

    if authentication not in ("", "on", "off"):
        wrong("--authentication is on or off")
    asking = not yes and sys.stdin.isatty()
    if asking:
        vendor_domain = vendor_domain or typer.prompt("Domain of the desk's own addresses (nordvik.test)")
        vendor_name = vendor_name or typer.prompt("Name of the vendor", default=vendor_domain)
        listen = listen or typer.prompt("Listen for mail on", default="127.0.0.1:2525")
        smarthost = smarthost or typer.prompt("Hand outgoing mail to", default="smtp://127.0.0.1:25")
    if not vendor_domain:
        wrong("say which domain the desk's addresses have: --vendor-domain nordvik.test")
    values: dict[str, object] = {
        "vendor_domain": vendor_domain,
        "vendor_name": vendor_name,
        "listen_smtp": (listen,) if listen else (),
        "smarthost": smarthost,
        "database": database,
        "blobs": blobs,
        "http_listen": http,
    }
    values = {key: value for key, value in values.items() if value}
    if authentication:
        values["authentication"] = authentication == "on"
    config = make_desk(folder, values)
    tell(f"made {config}\nnext: {program()} --config {config} migrate, then doctor, then run")


def migrate(ctx: typer.Context) -> None:
    """Bring the database to the schema of this version; safe to run at each start.

    Example: postdesk --config /etc/postdesk/postdesk.toml migrate
    """
    desk = open_desk(ctx)
    tell("the schema is that of this version now" if desk.migrate() else "the schema is that of this version already")


def restored(
    ctx: typer.Context,
    skip: Annotated[
        int,
        typer.Option(
            parser=up_to_a_million, metavar="N", help="At least as many tickets as may have been opened since."
        ),
    ] = 1000,
    json_: JsonFlag = False,
) -> None:
    """Say, before the first run, that the database is a backup: no number given out since is given again.

    Example: postdesk restored --skip 1000
    """
    from models.db.engine import transaction
    from models.desk.audit import append
    from models.restore import RESTORED, count_leaving, skip_ids
    from models.sessions.web_session import revoke_all_sessions

    desk = open_desk(ctx)
    desk.require_ready()
    now = desk.now()
    with transaction(desk.engine) as session:
        skipped = skip_ids(session, skip)
        done = {
            "next_ticket": skipped["ticket"] + 1,
            "sessions_ended": revoke_all_sessions(session, now),
            "mails_waiting": count_leaving(session),
        }
        append(session, now, who="desk", what=RESTORED, subject="desk", via="command", detail={"skipped": skipped})
    if json_:
        show_json(done)
        return
    tell(
        f"the next ticket is {done['next_ticket']}; {done['sessions_ended']} sessions ended\n"
        f"{done['mails_waiting']} outgoing mails wait; those that left after the backup leave once more, with their "
        "Message-ID: postdesk outbox list --status due"
    )


def version(json_: JsonFlag = False) -> None:
    """The version of Postdesk and of what it runs on.

    Example: postdesk version --json
    """
    import platform
    from importlib.metadata import version as version_of

    document = {"postdesk": version_of("postdesk"), "python": platform.python_version()}
    show_json(document) if json_ else print(f"postdesk {document['postdesk']} (Python {document['python']})")
