"""notify/access_jobs.py: each mail once and none skipped, whoever ticks and however the clock goes (F29, F30, F31)."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Thread
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from models.access.facts import gather_access
from models.access.request import ACCESS_REQUEST, perform
from models.db.engine import make_engine, transaction
from models.desk.job_run import JOB_RUN
from models.outbox.outbox import OUTBOX
from models.people.agent import add_agent
from models.people.contract import add_contract, agree_contract
from models.people.customer import CUSTOMER, SEAT, add_contact, add_customer, add_domain, give_seat
from models.sessions.link import ONE_USE_LINK
from notify.access_jobs import STEPS, run_access
from rules import access
from rules.seats import first_moment
from tests.builders import POLICY
from tests.models.test_access import act, asks, invite, value, waiting
from values.access import Asked
from values.vocabulary import AccessKind, AccessState, Answer, OutboxStatus, SeatState

START = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = (  # both sides of the date line, half and quarter hours, midnight that does not exist, no summer time at all
    *("Pacific/Kiritimati", "Pacific/Auckland", "Pacific/Chatham", "Australia/Lord_Howe", "Australia/Sydney"),
    *("Asia/Tokyo", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Tehran", "Asia/Beirut", "Asia/Gaza", "Africa/Cairo"),
    *("Africa/Casablanca", "Europe/Stockholm", "Europe/Madrid", "Europe/Dublin", "Atlantic/Azores", "Africa/Nairobi"),
    *("America/Scoresbysund", "America/Nuuk", "America/Sao_Paulo", "America/St_Johns", "America/Santiago"),
    *("America/Havana", "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"),
    *("Pacific/Marquesas", "Pacific/Pago_Pago"),
)


def lent(engine: sa.Engine, zone: str, first: date, last: date, now: datetime) -> int:
    """A customer in that zone whose superuser is away from the first day to the last; the stand-in's seat."""
    name = f"{zone.replace('/', '-').replace('_', '-').lower()}-{first.isoformat()}"
    with transaction(engine, snapshot=True) as session:
        customer = add_customer(session, name, now, zone=zone).id or 0
        add_domain(session, customer, f"{name}.test")
        regular = add_contact(session, f"regular@{name}.test", now, customer=customer, name="R")
        seat = give_seat(session, regular.id or 0, customer, now).id
        asked = Asked(
            name="S", address=f"stand-in@{name}.test", kind=AccessKind.IN_PLACE_OF, starts_on=first, ends_on=last
        )
        facts = gather_access(session, now, seat=seat, asked=asked)
        own = facts.seat(seat)
        assert own
        ruling = access.lend(facts, asked, own, POLICY, now)
        assert ruling.answer is Answer.APPROVED, ruling.answer
        made = perform(session, ruling.actions, ruling.notices, now, who="x", via="test")
    for rule in (lambda f: access.invite(f, POLICY, now), lambda f: access.accept(f, now)):
        act(engine, rule, now, request=made)
    return int(value(engine, ACCESS_REQUEST.c.seat, ACCESS_REQUEST.c.id == made)[0])


def ticks(seed: int, days: int) -> Iterator[datetime]:
    """Three schedulers' clocks for so many days: hourly or so, with sleeps, jumps ahead and back, even to 1970."""
    dice = random.Random(seed)
    now, end = START, START + timedelta(days=days)
    while now < end:
        yield now
        kind = dice.random()
        if kind < 0.02:
            yield datetime(1970, 1, 1, tzinfo=UTC)
        elif kind < 0.06:
            yield now - timedelta(days=dice.choice((1, 40)), hours=1)
        elif kind < 0.08:
            now += timedelta(days=1, hours=dice.random() * 5)  # asleep
        now += timedelta(hours=dice.choice((1, 3, 6)), minutes=dice.random() * 30)
    yield end


def tick_all(engines: list[sa.Engine], at: datetime) -> None:
    """Three schedulers at the same moment."""
    threads = [Thread(target=run_access, args=(engine, POLICY, at)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def a_year(engine: sa.Engine, zones: tuple[str, ...], days: int, seed: int, together: int) -> None:
    """Replacements all over the year; schedulers in turn, every so often three at once. Then each mail is counted."""
    dice = random.Random(seed)
    with transaction(engine) as session:
        add_agent(session, "anna@nordvik.test", "Anna", START)
    wanted: dict[int, tuple[str, date, date]] = {}
    for zone in zones:
        for month in range(0, days - 40, 73):
            first = START.date() + timedelta(days=month + dice.randrange(5, 25))
            last = first + timedelta(days=dice.randrange(4, 14))
            wanted[lent(engine, zone, first, last, START)] = (zone, first, last)
    engines = [make_engine(engine.url.render_as_string(hide_password=False)) for _ in range(3)]
    seen: dict[tuple[int, SeatState], datetime] = {}
    for n, now in enumerate(ticks(seed, days)):
        if together and n % together == 0:
            tick_all(engines, now)
        else:
            run_access(engines[n % 3], POLICY, now)
        with engine.connect() as connection:
            for row in connection.execute(sa.select(SEAT.c.id, SEAT.c.state).where(SEAT.c.id.in_(wanted))):
                seen.setdefault((row.id, row.state), now)
    for one in engines:
        one.dispose()
    check(engine, wanted, seen)


def check(
    engine: sa.Engine, wanted: dict[int, tuple[str, date, date]], seen: dict[tuple[int, SeatState], datetime]
) -> None:
    for seat, (zone, first, last) in wanted.items():
        starts, until = first_moment(first, zone), first_moment(last + timedelta(days=1), zone)
        began, ended = seen[seat, SeatState.ACTIVE], seen[seat, SeatState.ENDED]
        late = timedelta(days=1, hours=12)  # the longest sleep of the schedulers
        assert starts <= began <= starts + late, (zone, first, began)
        assert until <= ended <= until + late, (zone, last, ended)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(OUTBOX.c.mail, OUTBOX.c.recipient, OUTBOX.c.context)).all()
        regulars = connection.execute(sa.select(SEAT.c.state).where(SEAT.c.stands_in_for.is_(None))).scalars().all()
    about = [(row.context, row) for row in rows if row.context.get("seat")]
    sent = Counter((c["seat"], row.mail.value, c.get("change"), row.recipient) for c, row in about)
    assert set(sent.values()) == {1}, "no mail twice"
    told = Counter((seat, mail, change) for seat, mail, change, _ in sent)
    for seat in wanted:
        # two people: the stand-in and the regular
        expected = {("seat_changed", change): 2 for change in ("planned", "started", "returned")}
        expected |= {("seat_returns_soon", None): 2}
        assert {k[1:]: n for k, n in told.items() if k[0] == seat} == expected, (seat, wanted[seat])
    assert set(regulars) == {SeatState.ACTIVE}, "everybody has the seat back"


def test_sixty_days_in_five_zones(tmp_path: Path, sqlite_template: Path) -> None:
    """The sample of the long one below."""
    engine = copied(tmp_path, sqlite_template)
    a_year(
        engine, ("Pacific/Kiritimati", "Asia/Gaza", "Europe/Madrid", "America/Havana", "Pacific/Pago_Pago"), 60, 1, 10
    )
    engine.dispose()


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_year_in_thirty_zones(tmp_path: Path, sqlite_template: Path, seed: int) -> None:
    assert len(set(ZONES)) == 30
    engine = copied(tmp_path, sqlite_template)
    a_year(engine, ZONES, 365, seed, 20)
    engine.dispose()


def copied(folder: Path, template: Path) -> sa.Engine:
    path = folder / "desk.db"
    path.write_bytes(template.read_bytes())
    engine = make_engine(f"sqlite:///{path}")

    @sa.event.listens_for(engine, "connect")
    def hurry(connection: object, _record: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")  # type: ignore[attr-defined]

    return engine


# --- both databases -----------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.fixture
def acme(database: sa.Engine) -> int:
    with transaction(database) as session:
        made = add_customer(session, "Acme", NOW, language="es", zone="Europe/Madrid").id or 0
        add_domain(session, made, "acme.test")
        lucia = add_contact(session, "lucia@acme.test", NOW, customer=made, name="Lucía")
        give_seat(session, lucia.id or 0, made, NOW)
        add_agent(session, "anna@nordvik.test", "Anna", NOW)
        return made


def sent(engine: sa.Engine, mail: str) -> list[str]:
    return [str(r) for r in value(engine, OUTBOX.c.recipient, OUTBOX.c.mail == mail)]


def test_three_schedulers_send_an_invitation_once(database_url: str) -> None:
    engine = make_engine(database_url)
    with transaction(engine) as session:
        made = add_customer(session, "Acme", NOW, seats=20).id or 0
        add_domain(session, made, "acme.test")
    for n in range(10):
        request = waiting(engine, asks(f"p{n}"))
        act(engine, lambda f: access.approve(f, POLICY, NOW), request=request)
    engines = [make_engine(database_url) for _ in range(3)]
    tick_all(engines, NOW)
    tick_all(engines, NOW)
    assert sorted(sent(engine, "invitation")) == sorted(f"p{n}@acme.test" for n in range(10))
    assert len(value(engine, ONE_USE_LINK.c.id, ONE_USE_LINK.c.purpose == "invitation")) == 10
    assert len(value(engine, JOB_RUN.c.id, JOB_RUN.c.job == "send-invitations")) == 10
    for one in (engine, *engines):
        one.dispose()


def test_agents_are_warned_once_at_20_hours_and_again_when_it_is_reopened(database: sa.Engine, acme: int) -> None:
    request = waiting(database, asks())
    run_access(database, POLICY, NOW + timedelta(hours=20, seconds=-1))
    assert sent(database, "access_late") == []
    for hours in (20, 21, 30, 19, 50):
        run_access(database, POLICY, NOW + timedelta(hours=hours))
    assert sent(database, "access_late") == ["anna@nordvik.test"]
    later = NOW + timedelta(hours=50)
    act(database, lambda f: access.approve(f, POLICY, later), later, request=request)
    invite(database, request, later)
    act(database, lambda f: access.reopen(f, POLICY, later), later, request=request)
    run_access(database, POLICY, later + timedelta(hours=20))
    assert len(sent(database, "access_late")) == 2


@pytest.mark.parametrize("status", [OutboxStatus.FAILED, OutboxStatus.SUPPRESSED])
def test_an_invitation_that_is_refused_while_it_is_sent_reopens_the_request(
    database: sa.Engine, acme: int, status: OutboxStatus
) -> None:
    request = waiting(database, asks())
    for invited in (1, 2):
        act(database, lambda f: access.approve(f, POLICY, NOW), request=request)
        run_access(database, POLICY, NOW)
        assert value(database, ACCESS_REQUEST.c.state) == [AccessState.INVITED], "an older failure counts no more"
        with database.begin() as connection:
            connection.execute(sa.update(OUTBOX).where(OUTBOX.c.mail == "invitation").values(status=status))
        for _ in range(2):
            run_access(database, POLICY, NOW)
        assert value(database, ACCESS_REQUEST.c.state) == [AccessState.WAITING]
        assert value(database, SEAT.c.state, SEAT.c.id > invited) == [SeatState.ENDED]
    assert sent(database, "invitation_bounced") == ["anna@nordvik.test"], "once a day"


def test_invitations_and_proofs_end_after_72_hours(database: sa.Engine, acme: int) -> None:
    request = waiting(database, asks())
    act(database, lambda f: access.approve(f, POLICY, NOW), request=request)
    run_access(database, POLICY, NOW)
    states = value(database, SEAT.c.state, SEAT.c.id > 0)
    assert states == [SeatState.ACTIVE, SeatState.RESERVED]
    run_access(database, POLICY, NOW + timedelta(hours=72, seconds=-1))
    assert value(database, ACCESS_REQUEST.c.state) == [AccessState.INVITED]
    run_access(database, POLICY, NOW + timedelta(hours=72))
    assert value(database, ACCESS_REQUEST.c.state) == [AccessState.EXPIRED]
    assert value(database, SEAT.c.state, SEAT.c.id > 0) == [SeatState.ACTIVE, SeatState.ENDED], "the seat is free again"


def test_the_number_of_seats_follows_contracts_where_the_customer_is(database: sa.Engine, acme: int) -> None:
    with transaction(database, snapshot=True) as session:
        for number, first, seats_ in (("C-1", date(2026, 11, 1), 3), ("C-2", date(2026, 12, 1), 1)):
            last = date(2026, 11, 30) if number == "C-1" else None
            add_contract(
                session,
                number,
                acme,
                NOW,
                product="P",
                valid_from=first,
                valid_to=last,
                seats=seats_,
                who="x",
                via="test",
            )
            agree_contract(session, number, NOW.date(), NOW, who="x", via="test")
    assert value(database, CUSTOMER.c.seats) == [3]
    request = waiting(database, asks())
    act(database, lambda f: access.approve(f, POLICY, NOW), request=request)
    invite(database, request)
    act(database, lambda f: access.accept(f, NOW), request=request)
    madrid = datetime(2026, 12, 1, 0, 0, tzinfo=ZoneInfo("Europe/Madrid"))
    run_access(database, POLICY, madrid - timedelta(seconds=1))
    assert value(database, CUSTOMER.c.seats) == [3]
    run_access(database, POLICY, madrid)
    assert value(database, CUSTOMER.c.seats) == [1]
    assert value(database, SEAT.c.flag) == [None, "over-number"] and sorted(sent(database, "seat_flagged")) == [
        "anna@nordvik.test",
        "lucia@acme.test",
    ]


def test_a_step_that_fails_keeps_no_other_from_its_work(
    database: sa.Engine, acme: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = waiting(database, asks())
    act(database, lambda f: access.approve(f, POLICY, NOW), request=request)
    monkeypatch.setattr("rules.seats.start", lambda *_: 1 / 0)
    monkeypatch.setattr("models.access.due.loans_over", lambda *_: 1 / 0)
    assert run_access(database, POLICY, NOW)["send-invitations"] == 1
    assert len({step.name for step in STEPS}) == len(STEPS)
