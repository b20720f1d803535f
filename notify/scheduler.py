"""The ticker: at each tick the due jobs are tried; the rows say who does them.

Takes: the database, the desk's clock, an event that ends it.  Gives: nothing.  Fails: a failing tick is logged; the
next one comes. It keeps no state, so a second scheduler anywhere is harmless.

The pause between two ticks is counted by the kernel's monotonic clock. A scheduler that counts by the time of day
(APScheduler 3 does) stands still for as long as that clock was put back.
"""

from collections.abc import Callable
from datetime import datetime
from threading import Event

import sqlalchemy as sa
import structlog

from notify.jobs import JOBS, Job, run_due

TICK = 10.0  # seconds

log = structlog.get_logger()


def run(
    engine: sa.Engine,
    now: Callable[[], datetime],
    stop: Event,
    *,
    jobs: tuple[Job, ...] = JOBS,
    also: Callable[[datetime], object] = lambda now: None,
    tick: float = TICK,
) -> None:
    """Tick until `stop` is set; a tick that has begun is waited for. `also`: what falls due by rows, not by periods."""
    while not stop.is_set():
        try:
            at = now()
            run_due(engine, at, jobs)
            also(at)
        except Exception:  # such as a database that is away
            log.exception("tick failed")
        stop.wait(tick)
