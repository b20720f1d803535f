"""The roles of a running desk: listen, fetch, pipeline, dispatch, schedule, portal; each its own process under `run`.

Takes: a wired `Desk` and an event that ends the role.  Gives: nothing; it returns when the event is set.
Fails: by ending; the supervisor starts it again.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from threading import Event
from typing import TYPE_CHECKING

import structlog

from ingest.limited_child import limit_memory
from postdesk.supervise import Work, raise_descriptors, supervise
from postdesk.workers import keep_workers, recover_all, slot, tidy

if TYPE_CHECKING:
    from postdesk.wiring import Desk

log = structlog.get_logger()


def supervise_roles(desk: "Desk", names: Sequence[str]) -> int:
    """Run each role as a process of its own until SIGTERM or SIGINT; gives the exit status."""
    _import_for(names)
    raise_descriptors()
    # A Desk of its own for each: no connection, lock or cache is shared across a fork.
    return supervise({name: _work_of(name, type(desk)(desk.settings, desk.config)) for name in names})


def _work_of(name: str, desk: "Desk") -> Work:
    return lambda stop: ROLES[name](desk, stop)


def _import_for(names: Sequence[str]) -> None:
    """What the roles import anyway, imported once before they are forked."""
    modules = {
        "listen": ("ingest.smtp.server",),
        "fetch": ("ingest.imap.fetcher", "models.tables"),
        "pipeline": ("ingest.pipeline", "models.tables"),
        "dispatch": ("notify.dispatch", "notify.selfcheck", "models.tables"),
        "schedule": ("notify.scheduler", "models.tables"),
        "portal": ("portal.app", "portal.serve", "models.tables"),
    }
    for module in {module for name in names for module in modules[name]}:
        import_module(module)


def listen(desk: "Desk", stop: Event) -> None:
    """Take mail on every listener of the settings."""
    from ingest.smtp.server import serve

    async def until_stopped() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=lambda: (stop.wait(), loop.call_soon_threadsafe(ended.set)), daemon=True, name="stop"
        ).start()
        await serve(
            desk.listeners(),
            desk.spool,
            desk.accepts,
            desk.limits(),
            ended,
            log,
            hostname=desk.settings.hostname,
            domains=(desk.settings.vendor_domain,),
            announce=lambda bound: log.info("listening", on=[f"{host}:{port}" for host, port in bound]),
        )

    asyncio.run(until_stopped())


def fetch(desk: "Desk", stop: Event) -> None:
    """Fetch mail from every mailbox of the settings."""
    from ingest.imap.fetcher import run

    run(desk.accounts(), desk.fetcher(worker_name()), stop)


def pipeline(desk: "Desk", stop: Event) -> None:
    """Keep `workers` processes that deliver what the spool gives."""
    from ingest.pipeline import run

    def work(stop_worker: Event) -> None:
        limit_memory(desk.settings.worker_memory)
        stage = desk.pipeline()  # engine and blob store are made after the fork: no connection is shared
        with slot(desk.spool) as name:
            run(stage, name, stop_worker)

    keep_workers(desk.settings.workers, work, stop, tidy=lambda: tidy(desk.spool))


def dispatch(desk: "Desk", stop: Event) -> None:
    """Send what is due in the outbox."""
    from notify.dispatch import run
    from notify.selfcheck import check_python

    for finding in check_python():
        log.warning("python", finding=finding)
    run(desk.dispatch(), worker_name(), stop, poll=desk.settings.poll_seconds)


def schedule(desk: "Desk", stop: Event) -> None:
    """Do the jobs that fall due by the desk's clock, and let held mails through that superusers released."""
    from notify.scheduler import run

    threading.Thread(target=_release_wanted, args=(desk, stop), daemon=True, name="release").start()
    run(desk.engine, desk.now, stop, also=lambda now: _run_due_by_rows(desk, now))


def _run_due_by_rows(desk: "Desk", now: datetime) -> dict[str, int]:
    """Access, and the sweep of the blobs, whose ages the machine's own clock counts."""
    from notify.access_jobs import run_access
    from notify.sweep import sweep_daily

    done = run_access(desk.engine, desk.policy, now)
    sweep_daily(desk.engine, desk.blobs, now, datetime.now(UTC))
    return done


def _release_wanted(desk: "Desk", stop: Event) -> None:
    from ingest.release import release_wanted
    from models.db.engine import is_outage
    from models.db.outage import DATABASE

    stage = desk.pipeline()
    while not stop.wait(desk.settings.poll_seconds * 5):
        try:
            release_wanted(stage)
        except Exception as error:  # the wishes stay, and nobody would start this thread again
            if is_outage(error):
                DATABASE.met(error)
            else:
                log.exception("releases not looked at")
        else:
            DATABASE.over()


def portal(desk: "Desk", stop: Event) -> None:
    """Answer the people who look at pages."""
    from portal.serve import serve
    from postdesk.wiring import host_and_port

    host, port = host_and_port(desk.settings.http_listen)
    serve(
        desk.portal(),
        host,
        port,
        stop,
        proxies=desk.settings.http_proxies,
        announce=lambda bound: log.info("portal", on=f"{bound[0]}:{bound[1]}", url=desk.portal_url),
    )


ROLES = {
    "listen": listen,
    "fetch": fetch,
    "pipeline": pipeline,
    "dispatch": dispatch,
    "schedule": schedule,
    "portal": portal,
}


def roles_of(desk: "Desk") -> list[str]:
    """The roles that this desk's settings ask for."""
    needs = {"portal": desk.settings.http_listen, "fetch": desk.settings.imap}
    return [name for name in ROLES if needs.get(name, True)]


def worker_name() -> str:
    """Names this process among all that dispatch, on any machine."""
    return f"{socket.gethostname()}-{os.getpid()}"


def work_until_idle(desk: "Desk") -> dict[str, int]:
    """Do the due work of every role once, in order, until nothing is due; how much was done of each."""
    from ingest.pipeline import run as deliver
    from ingest.poison import hold_shunted
    from ingest.release import release_wanted
    from notify.dispatch import run as send
    from notify.jobs import run_due

    never = Event()
    recover_all(desk.spool)
    fetched = _fetch_once(desk, never)
    waiting = desk.spool.counts().new
    with slot(desk.spool) as name:
        deliver(desk.pipeline(), name, never, until_idle=True)
    hold_shunted(desk.spool, desk.engine, desk.now)
    release_wanted(desk.pipeline())
    jobs = run_due(desk.engine, desk.now()) | _run_due_by_rows(desk, desk.now())
    sent = send(desk.dispatch(), worker_name(), never, until_idle=True)
    return {**fetched, "delivered": waiting - desk.spool.counts().new, "jobs": len(jobs), "dispatched": sent}


def _fetch_once(desk: "Desk", never: Event) -> dict[str, int]:
    """Fetch what lies in the mailboxes now. A server that is away is told by the log, and holds up nothing."""
    if not desk.settings.imap:
        return {}
    from collections import Counter

    from ingest.imap.fetcher import take_turn

    fetcher = desk.fetcher(worker_name())
    turns = [take_turn(account, fetcher, never, Counter(), once=True) for account in desk.accounts()]
    return {"fetched": sum(filter(None, turns))}
