"""APScheduler as a ticker: at each tick the due jobs are tried; the rows say who does them.

Takes: the database, the desk's clock, an event that ends it.  Gives: nothing.  Fails: a failing tick is logged; the
next one comes. APScheduler has no lock of its own, so it keeps no state here: a second scheduler anywhere is harmless.
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
    job = scheduler.add_job(
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
        while not stop.wait(tick):
            # F30: it counts by the time of day, and would stand still for as long as the clock was put back.
            if (job.next_run_time - (at := datetime.now(scheduler.timezone))).total_seconds() > 2 * tick:
                job.modify(next_run_time=at)
    finally:
        scheduler.shutdown(wait=True)
