"""`postdesk run`, `work`, `tick`: the desk at work."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from postdesk.console import JsonFlag, open_desk, show_json, wrong

if TYPE_CHECKING:
    from postdesk.wiring import Desk

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def register(app: typer.Typer) -> None:
    app.command()(run)
    app.command()(work)
    app.command()(tick)


def run(
    ctx: typer.Context,
    only: Annotated[str, typer.Option(help="Only these roles: listen,fetch,pipeline,dispatch,schedule,portal.")] = "",
) -> None:
    """Run the desk: every role as a process of its own, until SIGTERM or Ctrl-C.

    Example: postdesk run --only listen,pipeline
    """
    from postdesk import log
    from postdesk.roles import ROLES, roles_of, supervise_roles

    desk = open_desk(ctx)
    names = [name.strip() for name in only.split(",") if name.strip()] or roles_of(desk)
    for name in names:
        if name not in ROLES:
            wrong(f"--only {name}: there is no such role; the roles are {', '.join(ROLES)}")
        if name not in roles_of(desk):
            wrong(f"--only {name}: set {'[[imap]]' if name == 'fetch' else 'http_listen'} in postdesk.toml first")
    desk.require_ready()
    desk.engine.dispose()  # nothing that is open now may live on in two processes
    log.configure("run")
    warn_of_python()
    raise typer.Exit(supervise_roles(desk, names))


def work(
    ctx: typer.Context,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Do what is due once, then end.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Do the due work of every role in this process, then end: for cron and tests.

    Example: postdesk work --until-idle
    """
    from postdesk import log
    from postdesk.roles import work_until_idle

    if not until_idle:
        wrong("say `postdesk work --until-idle`; to go on for ever: `postdesk run`")
    desk = open_desk(ctx)
    desk.require_ready()
    log.configure("work")
    warn_of_python()
    done = work_until_idle(desk)
    show_json(done) if json_ else print(", ".join(f"{count} {what}" for what, count in done.items()))


def tick(
    ctx: typer.Context,
    duration: Annotated[str, typer.Argument(help="How far to move the clock: 90s, 15m, 8h, 1d, 2w.")] = "0s",
    json_: JsonFlag = False,
) -> None:
    """Move the desk's clock on and run what falls due. For demos and tests: the clock stays moved.

    Example: postdesk tick 1d
    """
    done = move_on(open_desk(ctx), duration)
    show_json(done) if json_ else print(", ".join(f"{what}: {value}" for what, value in done.items()))


def move_on(desk: "Desk", duration: str) -> dict[str, object]:
    """Move the clock and do what is due: the new time, and how much was done of each."""
    from postdesk import log
    from postdesk.roles import work_until_idle

    step = parse_duration(duration)
    if step is None:
        wrong(f"{duration!r} is no duration; write a number and s, m, h, d or w, as in 15m or 1d")
    desk.require_ready()
    log.configure("tick")
    desk.move_clock(step)
    return {"now": desk.now(), **work_until_idle(desk)}


def warn_of_python() -> None:
    """At start, into the log: does the interpreter do what the second line of defence rests on? (T60)"""
    import structlog

    from notify.selfcheck import check_python

    for finding in check_python():
        structlog.get_logger().warning("python", finding=f"{finding}; see `postdesk doctor`")


def parse_duration(text: str) -> timedelta | None:
    """90s, 15m, 8h, 1d, 2w, or several in a row (1d12h); None where it is no duration."""
    parts = re.findall(r"(\d{1,6})([smhdw])", text.strip().lower())
    if "".join(number + unit for number, unit in parts) != text.strip().lower() or not parts:
        return None
    return sum((timedelta(**{UNITS[unit]: int(number)}) for number, unit in parts), timedelta())
