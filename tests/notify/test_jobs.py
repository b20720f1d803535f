"""notify/jobs.py and scheduler.py on both databases: each period once, whoever ticks."""

from datetime import UTC, datetime, timedelta, tzinfo
from threading import Event, Thread

import apscheduler.schedulers.base
import apscheduler.triggers.interval
import pytest
import sqlalchemy as sa
from sqlmodel import Session

import notify.scheduler
from models.db.engine import make_engine, transaction
from models.desk.job_run import JOB_RUN
from models.inbound.held import HELD
from models.inbound.ledger import LEDGER
from models.outbox.outbox import OUTBOX, claim_due
from models.people.agent import add_agent
from models.record import record_poison
from models.views.mails import find_mail_rows
from notify.jobs import JOBS, KEEP_RUNS, Job, run_due
from notify.scheduler import run
from values.mail import Envelope, SpooledMail
from values.vocabulary import AgentNotices, Source

NOW = datetime(2026, 11, 24, 9, 12, tzinfo=UTC)


def counting(done: list[datetime], name: str = "count") -> Job:
    def work(session: Session, now: datetime) -> int:
        done.append(now)
        return 1

    return Job(name=name, every=timedelta(minutes=5), work=work)


def test_a_period_is_named_by_its_beginning() -> None:
    job = counting([])
    assert job.period(NOW) == "2026-11-24T09:10:00+00:00"
    assert job.period(NOW + timedelta(minutes=2, seconds=59)) == job.period(NOW)
    assert job.period(NOW + timedelta(minutes=3)) == "2026-11-24T09:15:00+00:00"


def test_a_period_is_done_once(database: sa.Engine) -> None:
    done: list[datetime] = []
    jobs = (counting(done),)
    assert run_due(database, NOW, jobs) == {"count": 1} and run_due(database, NOW, jobs) == {}
    assert run_due(database, NOW + timedelta(minutes=5), jobs) == {"count": 1}
    assert len(done) == 2


def test_a_job_that_fails_is_tried_again_and_keeps_no_other_from_its_work(database: sa.Engine) -> None:
    done: list[datetime] = []
    broken = [True]

    def work(session: Session, now: datetime) -> int:
        if broken[0]:
            raise ValueError("a fault")
        return 7

    jobs = (Job(name="broken", every=timedelta(hours=1), work=work), counting(done))
    assert run_due(database, NOW, jobs) == {"count": 1}
    broken[0] = False
    assert run_due(database, NOW, jobs) == {"broken": 7}


def test_many_schedulers_do_it_once(database_url: str) -> None:
    done: list[datetime] = []
    engines = [make_engine(database_url) for _ in range(4)]
    threads = [Thread(target=run_due, args=(engine, NOW, (counting(done),))) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 1
    for engine in engines:
        engine.dispose()


def hold_one(engine: sa.Engine, id: str, expires: datetime | None) -> None:
    envelope = Envelope(reverse_path="", forward_paths=(), source=Source.SMTP, received_at=NOW)
    spooled = SpooledMail(id=id, path=None, offset=0, size=1, sha256="0" * 64, envelope=envelope)  # type: ignore[arg-type]
    with transaction(engine) as session:
        record_poison(session, spooled, "why", NOW)
        session.connection().execute(sa.update(HELD).where(HELD.c.id == id).values(expires_at=expires))


def test_held_mails_expire(database: sa.Engine) -> None:
    for number in range(103):
        hold_one(database, f"due{number:04}", NOW)
    hold_one(database, "later", NOW + timedelta(days=7))
    hold_one(database, "never", None)
    assert run_due(database, NOW)["expire-held"] == 103
    with database.connect() as connection:
        kept = (
            connection.execute(sa.select(HELD.c.id).where(HELD.c.state == "held").order_by(HELD.c.id)).scalars().all()
        )
        rows = connection.execute(sa.select(LEDGER.c.id, LEDGER.c.state))
        ledger = {row.id: row.state for row in rows}
    assert kept == ["later", "never"]
    assert (ledger["due0000"], ledger["later"]) == ("discarded", "held")


def test_old_runs_are_forgotten(database: sa.Engine) -> None:
    run_due(database, NOW)
    run_due(database, NOW + KEEP_RUNS + timedelta(days=1))
    with database.connect() as connection:
        assert connection.execute(sa.select(sa.func.min(JOB_RUN.c.at))).scalar() > NOW.replace(tzinfo=UTC)


def test_names_are_unique_and_periods_sane() -> None:
    assert len({job.name for job in JOBS}) == len(JOBS)
    assert all(timedelta(minutes=1) <= job.every < KEEP_RUNS for job in JOBS)


def test_the_scheduler_ticks_until_it_is_stopped(database: sa.Engine) -> None:
    stop, ticked = Event(), Event()
    times = iter(NOW + timedelta(minutes=5 * n) for n in range(1_000))

    def work(session: Session, now: datetime) -> int:
        if now >= NOW + timedelta(minutes=5):
            ticked.set()
        return 0

    job = Job(name="tick", every=timedelta(minutes=5), work=work)
    scheduler = Thread(target=run, args=(database, lambda: next(times), stop), kwargs={"jobs": (job,), "tick": 0.05})
    scheduler.start()
    assert ticked.wait(20), "a second tick, in the next period of the desk's clock"
    stop.set()
    scheduler.join(20)
    assert not scheduler.is_alive()


def test_a_tick_that_fails_is_not_the_last(database: sa.Engine) -> None:
    """The database away, say: `also` or the clock raises, and the next tick comes."""
    stop, tried = Event(), []

    def also(now: datetime) -> None:
        tried.append(now)
        if len(tried) == 3:
            stop.set()
        raise ConnectionError("away")

    run(database, lambda: NOW, stop, jobs=(), also=also, tick=0.01)
    assert len(tried) == 3


def test_a_clock_that_was_put_back_stops_no_tick(database: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault F30: APScheduler counts by the time of day."""
    back = timedelta(0)

    class TimeOfDay(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - back

    for module in (apscheduler.schedulers.base, apscheduler.triggers.interval, notify.scheduler):
        monkeypatch.setattr(module, "datetime", TimeOfDay)
    stop, again = Event(), Event()
    ticks = 0

    def also(now: datetime) -> None:
        nonlocal ticks, back
        ticks += 1
        if ticks == 3:
            back = timedelta(hours=1)
        if ticks == 6:
            again.set()

    words = (database, lambda: NOW, stop)
    scheduler = Thread(target=run, args=words, kwargs={"jobs": (), "also": also, "tick": 0.05})
    scheduler.start()
    arrived = again.wait(20)
    stop.set()
    scheduler.join(20)
    assert arrived


def test_agents_get_one_mail_about_what_was_held(database: sa.Engine) -> None:
    with transaction(database) as session:
        add_agent(session, "anna@nordvik.test", "Anna Lind", NOW, language="sv")
        add_agent(session, "bo@nordvik.test", "Bo", NOW, notices=AgentNotices.MINE)
    job = tuple(one for one in JOBS if one.name == "notify-of-held")

    def mails(at: datetime) -> int:
        run_due(database, at, job)
        with transaction(database) as session:
            return int(session.connection().execute(sa.select(sa.func.count()).select_from(OUTBOX)).scalar_one())

    hour = timedelta(hours=1)
    assert mails(NOW - hour) == 0
    for number in range(22):
        hold_one(database, f"{number:026}", None)
    assert mails(NOW) == 0, "a mail that is recorded just now may be the first of several"
    assert mails(NOW + hour) == 1, "Bo hears of his own tickets only"
    with transaction(database) as session:
        (claimed,) = claim_due(session, "w", NOW + hour)
        found = find_mail_rows(session, claimed, NOW).waiting
    assert found and (claimed.recipient, claimed.language) == ("anna@nordvik.test", "sv")
    assert (len(found.mails), found.more, found.mails[0].id) == (20, 2, f"{0:026}")
    assert mails(NOW + hour + timedelta(minutes=5)) == 1, "each period once"
    assert mails(NOW + 2 * hour) == 1, "and each mail once"
