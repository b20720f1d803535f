"""The scheduled jobs: what falls due, how often, and the function that does it.

Takes: a session in a transaction of its own, and the desk's time.  Gives: how much was done.  A job only writes rows:
what it wants to send, it enqueues. Its (name, period) row and its work stand in one transaction: both or neither, so
any number of schedulers may try.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlmodel import Session

from models.db.engine import retrying, transaction
from models.desk.job_run import begin_once, forget_before, last_begun
from models.inbound.held import expire_due, held_between
from models.inbound.spent_proof import forget_spent
from models.outbox.clock import recall_ahead
from models.outbox.outbox import enqueue
from models.people.agent import agents_of_the_desk
from notify.backoff import JITTER, STEPS
from values.decision import Notice
from values.vocabulary import MailName

KEEP_RUNS = timedelta(days=400)  # longer than any job's period: a yearly one is still done once
KEEP_SPENT = timedelta(days=30)  # of orders by mail; one with a Date that is off by more than 7 days is refused
LONGEST_WAIT = STEPS[-1] * (1 + JITTER)  # no deferral of an outgoing mail is longer
LONGEST_LEASE = timedelta(minutes=15)  # nor any lease
_AT_ONCE = 100

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    name: str
    every: timedelta  # periods are counted from midnight UTC, 1970-01-01
    work: Callable[[Session, datetime], int]

    def period(self, now: datetime) -> str:
        """The name of the period that `now` lies in: its beginning, RFC 3339."""
        start = datetime(1970, 1, 1, tzinfo=UTC)
        return (start + (now - start) // self.every * self.every).isoformat()


def _expire_held(session: Session, now: datetime) -> int:
    """Mails that were held until now are discarded; the raw mail and the ledger row stay."""
    done = 0
    while expired := len(expire_due(session, now, limit=_AT_ONCE)):
        done += expired
    return done


def _forget_job_runs(session: Session, now: datetime) -> int:
    return forget_before(session, now - KEEP_RUNS)


def _forget_spent(session: Session, now: datetime) -> int:
    return forget_spent(session, now - KEEP_SPENT)


def _notify_of_held(session: Session, now: datetime) -> int:
    """One mail to each agent about all that was held since the last one. A mail that is being recorded at this moment
    is not seen yet, so what is younger than _RECORDED is left for the next time."""
    since = last_begun(session, _HELD_JOB.name, _HELD_JOB.period(now)) or now - _HELD_JOB.every
    since, until = since - _RECORDED, now - _RECORDED
    if not held_between(session, since, until).mails:
        return 0
    context = (("since", since.isoformat()), ("until", until.isoformat()))
    notices = [
        Notice(
            mail=MailName.HELD_WAITING,
            recipient=agent.address,
            key=Notice.key_of(MailName.HELD_WAITING, until.isoformat(), agent.address),
            language=agent.language,
            zone=agent.zone,
            context=context,
        )
        for agent in agents_of_the_desk(session)
    ]
    enqueue(session, notices, now)
    return len(notices)


_RECORDED = timedelta(minutes=5)  # by then a mail's transaction is over
_HELD_JOB = Job(name="notify-of-held", every=timedelta(minutes=30), work=_notify_of_held)
JOBS: tuple[Job, ...] = (
    _HELD_JOB,
    Job(name="expire-held", every=timedelta(minutes=5), work=_expire_held),
    Job(name="forget-job-runs", every=timedelta(days=1), work=_forget_job_runs),
    Job(name="forget-spent-proofs", every=timedelta(days=1), work=_forget_spent),
)


def run_due(engine: sa.Engine, now: datetime, jobs: tuple[Job, ...] = JOBS) -> dict[str, int]:
    """Do every job whose period has not been done; {name: how much} of those that were done now.

    A job that fails is logged and tried at the next tick; it keeps no other from its work.
    """
    _recall(engine, now)
    done = {}
    for job in jobs:
        try:
            amount = retrying(lambda job=job: _run(engine, job, now))  # type: ignore[misc]
        except Exception:
            log.exception("job failed", job=job.name)
            continue
        if amount is not None:
            done[job.name] = amount
            log.info("job done", job=job.name, period=job.period(now), amount=amount)
    return done


def _recall(engine: sa.Engine, now: datetime) -> None:
    """At each tick, whatever the period: after the clock went back, the periods before it are done already (F30)."""
    try:
        recalled = retrying(lambda: recall_ahead(engine, now, lease=LONGEST_LEASE, wait=LONGEST_WAIT))
    except Exception:
        log.exception("job failed", job="recall")
        return
    if recalled:
        log.warning("the clock went back: mails that waited for it are due", mails=recalled)


def _run(engine: sa.Engine, job: Job, now: datetime) -> int | None:
    with transaction(engine) as session:
        return job.work(session, now) if begin_once(session, job.name, job.period(now), now) else None
