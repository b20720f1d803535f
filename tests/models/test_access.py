"""models/access.py: what a ruling leaves in the rows, whoever else is at work. Rules and rows together, both databases."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from models.access import ACCESS_REQUEST, perform
from models.access_facts import count_requests, gather_access
from models.access_values import AccessFacts, Asked
from models.audit import AUDIT, find_break
from models.customer import CUSTOMER, SEAT, add_contact, add_customer, add_domain, give_seat
from models.db import retrying, transaction
from models.decision import Ruling
from models.errors import PostdeskError
from models.one_use import ONE_USE_LINK
from models.outbox import OUTBOX
from models.staff import add_agent
from models.ticket import PARTICIPANT, TICKET
from models.vocabulary import AccessKind, AccessState, Answer, Belief, MailName, ParticipantRole, SeatState
from rules import access, seats
from tests.builders import POLICY
from tests.models.made import NOW, a_mail, opening

ANA = "ana@nordvik.test"


@pytest.fixture
def acme(database: sa.Engine) -> int:
    """Acme (acme.test, Madrid) with one superuser of two, and the agent Ana."""
    with transaction(database) as session:
        made = add_customer(session, "Acme", NOW, language="es", zone="Europe/Madrid").id or 0
        add_domain(session, made, "acme.test")
        lucia = add_contact(session, "lucia@acme.test", NOW, customer=made, name="Lucía Ibarra")
        give_seat(session, lucia.id or 0, made, NOW)
        add_agent(session, ANA, "Ana", NOW)
        return made


def asks(name: str = "maria", **more: Any) -> Asked:
    return Asked(name=name.title(), address=more.pop("address", f"{name}@acme.test"), company="Acme", **more)


def act(
    engine: sa.Engine,
    rule: Callable[[AccessFacts], Ruling],
    now: datetime = NOW,
    *,
    who: str = ANA,
    via: str = "command",
    **which: Any,
) -> tuple[Answer, int | None]:
    """Gather, rule and perform in one transaction, again after a lost race: as every caller does."""

    def once() -> tuple[Answer, int | None]:
        with transaction(engine, snapshot=True) as session:
            ruling = rule(gather_access(session, now, **which))
            return ruling.answer, perform(session, ruling.actions, ruling.notices, now, who=who, via=via)

    return retrying(once)


def ask(engine: sa.Engine, asked: Asked, now: datetime = NOW) -> int:
    with transaction(engine, snapshot=True) as session:
        ruling = access.request(asked, count_requests(session, asked.address, now), POLICY, now)
        made = perform(session, ruling.actions, ruling.notices, now, who=asked.address, via="form")
    assert made is not None
    return made


def waiting(engine: sa.Engine, asked: Asked, now: datetime = NOW) -> int:
    made = ask(engine, asked, now)
    act(engine, lambda facts: access.prove(facts, POLICY, now), now, who=asked.address, via="form", request=made)
    return made


def approve(engine: sa.Engine, request: int, now: datetime = NOW) -> Answer:
    return act(engine, lambda facts: access.approve(facts, POLICY, now), now, request=request)[0]


def invite(engine: sa.Engine, request: int, now: datetime = NOW) -> Answer:
    return act(engine, lambda facts: access.invite(facts, POLICY, now), now, who="desk", via="job", request=request)[0]


def accept(engine: sa.Engine, request: int, now: datetime = NOW) -> Answer:
    return act(engine, lambda facts: access.accept(facts, now), now, via="form", request=request)[0]


def value(engine: sa.Engine, column: sa.ColumnElement[Any], *where: sa.ColumnElement[bool]) -> Any:
    with engine.connect() as connection:
        return connection.execute(sa.select(column).where(*where)).scalars().all()


def state(engine: sa.Engine, request: int) -> AccessState:
    return value(engine, ACCESS_REQUEST.c.state, ACCESS_REQUEST.c.id == request)[0]


def mails(engine: sa.Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(sa.select(OUTBOX.c.mail, OUTBOX.c.recipient).order_by(OUTBOX.c.id))
        return [(row.mail.value, row.recipient) for row in rows]


def active(engine: sa.Engine) -> list[int]:
    return value(engine, SEAT.c.slot, SEAT.c.state == SeatState.ACTIVE)


def test_a_request_from_the_form_to_the_seat(database: sa.Engine, acme: int) -> None:
    made = ask(database, asks())
    assert mails(database) == [("access_proof", "maria@acme.test")]
    assert act(database, lambda f: access.prove(f, POLICY, NOW), request=made)[0] is Answer.WAITS
    assert mails(database)[1:] == [("access_desk_notice", ANA)]
    assert approve(database, made) is Answer.APPROVED
    assert approve(database, made) is Answer.ALREADY
    assert invite(database, made) is Answer.DONE
    assert mails(database)[2:] == [("invitation", "maria@acme.test")]
    assert active(database) == [1], "the seat counts from the approval and is active from the acceptance"
    assert accept(database, made) is Answer.DONE
    assert accept(database, made) is Answer.ALREADY
    assert sorted(active(database)) == [1, 2]
    assert mails(database)[3:] == [("seat_changed", "maria@acme.test"), ("seat_changed", "lucia@acme.test")]
    with transaction(database) as session:
        assert find_break(session) is None
    whats = value(database, AUDIT.c.what)
    assert whats == [
        "access.ask",
        "access.move",
        "access.move",
        "seat.reserve",
        "access.invite",
        "access.move",
        "seat.turn",
    ]


def test_two_approvals_at_once_never_share_the_last_seat(database_url: str) -> None:
    """Issue 4: the third seat is refused under two simultaneous approvals, on both databases."""
    from models.db import make_engine

    engine = make_engine(database_url)
    with transaction(engine) as session:
        made = add_customer(session, "Acme", NOW, zone="Europe/Madrid", seats=4).id or 0
        add_domain(session, made, "acme.test")
    requests = [waiting(engine, asks(f"p{n}")) for n in range(8)]
    engines = [make_engine(database_url) for _ in requests]
    barrier = threading.Barrier(len(requests))
    answers: list[Answer] = []

    def decide(engine: sa.Engine, request: int) -> None:
        barrier.wait()
        answers.append(approve(engine, request))

    threads = [threading.Thread(target=decide, args=pair) for pair in zip(engines, requests, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted([Answer.APPROVED] * 4 + [Answer.SEATS_TAKEN] * 4)
    slots = value(engine, SEAT.c.slot, SEAT.c.state == SeatState.RESERVED)
    assert sorted(slots) == [1, 2, 3, 4]
    assert [mail for mail, _ in mails(engine)].count("access_seats_taken") == 4
    for each in (engine, *engines):
        each.dispose()
