"""APScheduler as a ticker: at each tick the due jobs are tried; the rows say who does them.

Takes: the database, the desk's clock, an event that ends it.  Gives: nothing.  Fails: a failing job is logged.
APScheduler has no lock of its own, so it keeps no state here: a second scheduler anywhere is harmless.
"""

from collections.abc import Callable
from datetime import datetime
from threading import Event
from typing import Any

import sqlalchemy as sa
from apscheduler.schedulers.background import BackgroundScheduler

from notify.jobs import JOBS, Job, run_due

TICK = 10.0  # seconds


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

    def do() -> None:
        at = now()
        run_due(engine, at, jobs)
        also(at)

    make: Any = BackgroundScheduler  # APScheduler 3 has no types
    scheduler = make(timezone="UTC")
    scheduler.add_job(
        do,
        "interval",
        seconds=tick,
        next_run_time=datetime.now(scheduler.timezone),
        coalesce=True,  # ticks that were missed are one
        max_instances=1,
        misfire_grace_time=None,
    )
    scheduler.start()
    try:
        stop.wait()
    finally:
        scheduler.shutdown(wait=True)
