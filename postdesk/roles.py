"""The roles of a running desk: listen, pipeline, dispatch, schedule. Each is its own process under `postdesk run`.

Takes: a wired `Desk` and an event that ends the role.  Gives: nothing; it returns when the event is set.
Fails: by ending; the supervisor starts it again.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import structlog

from ingest.killable import limit_memory
from postdesk.supervise import supervise
from postdesk.workers import keep_workers, recover_all, slot

if TYPE_CHECKING:
    from postdesk.wiring import Desk

log = structlog.get_logger()


def supervise_roles(config: Path, names: Sequence[str]) -> int:
    """Run each role as a process of its own until SIGTERM or SIGINT; gives the exit status."""
    me = [sys.executable, "-m", "postdesk", "--config", str(config), "role"]
    return supervise({name: [*me, name] for name in names})


def listen(desk: "Desk", stop: Event) -> None:
    """Take mail on every listener of the settings."""
    from ingest.smtp import serve

    serve(desk.listeners(), desk.spool, stop)


def pipeline(desk: "Desk", stop: Event) -> None:
    """Keep `workers` processes that deliver what the spool gives."""
    from ingest.pipeline import run

    recover_all(desk.spool)

    def work(stop_worker: Event) -> None:
        limit_memory(desk.settings.worker_memory)
        stage = desk.pipeline()  # engine and blob store are made after the fork: no connection is shared
        with slot(desk.spool) as name:
            run(stage, name, stop_worker)

    keep_workers(desk.settings.workers, work, stop)


def dispatch(desk: "Desk", stop: Event) -> None:
    """Send what is due in the outbox."""
    raise NotImplementedError


def schedule(desk: "Desk", stop: Event) -> None:
    """Enqueue what falls due by the desk's clock."""
    raise NotImplementedError


ROLES = {"listen": listen, "pipeline": pipeline, "dispatch": dispatch, "schedule": schedule}
