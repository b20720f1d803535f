"""`postdesk demo`: the desk at work on this machine with a fictitious vendor; and how to play on in it."""

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from postdesk.console import Number, cell, no, program, show_table, tell, wrong

if TYPE_CHECKING:
    from postdesk.demo_mails import Person
    from postdesk.wiring import Desk

Folder = Annotated[
    Path, typer.Option("--dir", envvar="POSTDESK_DEMO_DIR", help="Folder of the demo; made anew by each `demo`.")
]
HERE = Path(".demo")
ACCESS_COLUMNS = ("step", "who", "request", "seats", "mails")
WIDTH = 116  # columns of a table where no terminal says how wide it is


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="See the desk at work on this machine: mails over SMTP, what became of each, then yours to try.",
        epilog="Example: postdesk demo; in a second terminal: postdesk demo send --as lucia --subject Hola --text Hola",
        invoke_without_command=True,
    )
    group.callback()(demo)
    group.command()(send)
    group.command()(reply)
    group.command()(outbox)
    group.command()(tick)
    group.command()(reset)
    app.add_typer(group, name="demo")


def demo(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="End when everything was shown.")] = False,
    folder: Folder = HERE,
) -> None:
    """Make a desk, send it mails over SMTP, show what became of each, and serve until Ctrl-C.

    Example: postdesk demo --once
    """
    if ctx.invoked_subcommand is not None:
        return
    from postdesk import demo as stage
    from postdesk import demo_access

    desk = stage.prepare(folder)
    host, port = stage.smtp_address(desk)
    tell(f"Nordvik (nordvik.test) and its customers live in {folder}; starting every role …")
    with stage.running(desk, folder):
        tell(f"mail in: smtp://{host}:{port}   portal: {desk.portal_url}")
        rows = stage.play(desk, folder, tell)
        columns = ("mail", "became", "because", "ticket", "customer", "receipt")
        show_table("What became of each mail", rows, columns, piped_width=WIDTH)
        _show_tickets(desk)
        access = demo_access.play(desk, folder, tell)
        show_table("A new superuser; a replacement that ends", access, ACCESS_COLUMNS, piped_width=WIDTH)
        wrongly = [row["mail"] for row in rows if row["became"] != row["expected"]]
        wrongly += [f"{row['who']} {row['step']}" for row in access if not row["as_told"]]
        if wrongly:
            no(f"not as expected: {'; '.join(wrongly)}; the log is {folder / 'postdesk.log'}")
        if once:
            tell("Without --once it goes on serving: mails, answers and the portal are yours to try.")
        else:
            _say_how_to_go_on(desk, folder, host, port)
            tell("Serving until Ctrl-C.")
            _wait_for_ctrl_c()


def _show_tickets(desk: "Desk") -> None:
    from models.db.engine import reading
    from models.views.ledger import list_tickets

    with reading(desk.engine) as session:
        rows = list_tickets(session)
    columns = ("number", "status", "subject", "customer", "product", "erp")
    show_table("Tickets", rows, columns, piped_width=WIDTH)


def _show_outgoing(desk: "Desk") -> None:
    from postdesk import demo as stage

    rows = [
        {
            "to": message["Delivered-To"],
            "mail": message["X-Postdesk-Mail"],
            "language": message["Content-Language"],
            "subject": message["Subject"],
        }
        for message in stage.sent_mails(desk)
    ]
    show_table("Outgoing mails", rows, ("to", "mail", "language", "subject"), piped_width=WIDTH)


def _say_how_to_go_on(desk: "Desk", folder: Path, host: str, port: int) -> None:
    where, called = "" if folder == HERE else f" --dir {folder}", program()
    print(
        f"\nPortal:        {desk.portal_url}   enter anna@nordvik.test (agent) or lucia@ibarra.example (her tickets),"
        f"\n               then read the sign-in link: {called} demo outbox --to anna@nordvik.test{where}"
        f"\nSend more:     {called} demo send --as lucia --subject Hola --text 'Otra pregunta'{where}"
        f"\nAny client:    swaks --server {host}:{port} --from elin@skogby.example --to support@nordvik.test"
        f"\nAn answer:     {called} demo reply 1001 --as anna --text 'Gracias'{where}   (by Anna)"
        f"\n               {called} demo reply 1001 --as lucia --text cerrar{where}   (by Lucía: a command by mail)"
        f"\nMove on:       {called} demo tick 2w{where}   (what falls due happens)"
        f"\nOutgoing:      {called} demo outbox{where}   (files in {folder / 'outbox' / 'new'})"
        f"\nLook around:   {called} --config {desk.config} ticket show 1001 · ledger list · seat list --history"
    )


def _wait_for_ctrl_c() -> None:
    import signal

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(0.5):
        pass


def send(
    by: Annotated[
        str, typer.Option("--as", help="lucia, marcos, elin, ola, grace, tom, ivy, maria, stranger or look-alike.")
    ],
    subject: Annotated[str, typer.Option()] = "Hola",
    text: Annotated[str, typer.Option(help="Empty: from standard input.")] = "",
    attach: Annotated[Path | None, typer.Option(exists=True, dir_okay=False)] = None,
    folder: Folder = HERE,
) -> None:
    """Send a mail to the running demo as one of its people.

    Example: postdesk demo send --as lucia --subject "Otra pregunta" --text "¿Y ahora?"
    """
    from postdesk import demo as stage

    desk = stage.open_demo(folder)
    message = stage.new_mail(desk, _person(by), subject, text or sys.stdin.read(), attach)
    _say_what_became(desk, stage.send_or_tell(desk, message))


def reply(
    number: Number,
    by: Annotated[str, typer.Option("--as", help="An agent (anna, jon) or who wrote the ticket.")],
    text: Annotated[str, typer.Option(help="Empty: from standard input.")] = "",
    folder: Folder = HERE,
) -> None:
    """Answer a ticket of the running demo: an agent by `ticket reply`, a customer by mail to the newest mail.

    Example: postdesk demo reply 1001 --as anna --text "Gracias"
    """
    from postdesk import demo as stage

    desk, person = stage.open_demo(folder), _person(by)
    words = text or sys.stdin.read()
    if stage.is_agent(person):
        stage.answer_as(desk, number, person.address, words)
        tell(f"ticket {number}: answered")
        return
    answered = stage.newest_about(desk, person.address, number)
    if answered is None:
        no(f"{person.name} has got no mail about ticket {number}; see `postdesk demo outbox`")
    _say_what_became(desk, stage.send_or_tell(desk, stage.reply_mail(desk, person, answered, words)))


def _say_what_became(desk: "Desk", reply: str) -> None:
    from postdesk import demo as stage

    tell(reply)
    if reply.startswith("250"):
        tell(stage.became(desk, reply) or "not decided yet; see `postdesk ledger list`")


def outbox(
    to: Annotated[str, typer.Option(help="Show the newest mail to this address, whole.")] = "",
    folder: Folder = HERE,
) -> None:
    """The mails that have left the demo's desk.

    Example: postdesk demo outbox --to anna@nordvik.test
    """
    from postdesk import demo as stage

    desk = stage.open_demo(folder)
    if not to:
        _show_outgoing(desk)
        return
    newest = next((one for one in reversed(stage.sent_mails(desk)) if one["Delivered-To"] == to.lower()), None)
    if newest is None:
        no(f"{to} has got no mail yet")
    part = newest.get_body(("plain",))
    print(f"Subject: {cell(newest['Subject'])}\n\n{part.get_content() if part else ''}")


def tick(
    duration: Annotated[str, typer.Argument(help="How far to move the demo's clock: 15m, 8h, 1d, 2w.")] = "0s",
    folder: Folder = HERE,
) -> None:
    """Move the demo's clock on and do what falls due.

    Example: postdesk demo tick 2w
    """
    from postdesk import demo as stage
    from postdesk.commands.running import move_on

    desk = stage.open_demo(folder)
    done = move_on(desk, duration)
    print(", ".join(f"{what}: {cell(value)}" for what, value in done.items()))


def reset(folder: Folder = HERE) -> None:
    """Delete the demo's folder.

    Example: postdesk demo reset
    """
    from postdesk import demo as stage

    stage.reset(folder)
    tell(f"{folder} is gone")


def _person(key: str) -> "Person":
    from postdesk import demo_mails

    person = next((each for each in demo_mails.PEOPLE if key in (each.key, each.address)), None)
    if person is None:
        wrong(f"--as {key}: nobody of that name; write one of {', '.join(each.key for each in demo_mails.PEOPLE)}")
    return person
