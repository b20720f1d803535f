"""models/outbox/outbox.py: each promise is kept by one worker at a time, and a late worker settles nothing."""

import multiprocessing
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from models.db.engine import make_engine, retrying, transaction
from models.outbox.outbox import (
    OUTBOX,
    Claimed,
    claim_due,
    enqueue,
    extend_lease,
    find_suppression,
    mark_deferred,
    mark_failed,
    mark_sent,
    mark_suppressed,
    next_due,
    retry,
    suppress,
    unsuppress,
)
from tests.models.made import NOW
from values.decision import Notice
from values.vocabulary import MailName, OutboxStatus, SuppressionReason

LEASE = timedelta(minutes=15)
LATER = NOW + LEASE


def promise(engine: sa.Engine, number: int, **more: Any) -> tuple[int, ...]:
    notices = [
        Notice(mail=MailName.INVITATION, recipient=f"P{n}@acme.test", key=f"k{n}", context=(("id", n),))
        for n in range(number)
    ]
    with transaction(engine) as session:
        return enqueue(session, notices, NOW, **more)


def claim(engine: sa.Engine, worker: str = "w", at: Any = NOW, **more: Any) -> list[Claimed]:
    with transaction(engine) as session:
        return claim_due(session, worker, at, **more)


def states(engine: sa.Engine) -> list[OutboxStatus]:
    with engine.connect() as connection:
        return list(connection.execute(sa.select(OUTBOX.c.status).order_by(OUTBOX.c.id)).scalars())


def test_a_claim_lends_a_row_until_its_lease_ends(database: sa.Engine) -> None:
    promise(database, 2)
    first, second = claim(database)
    assert (first.recipient, first.context, first.attempts, first.fence) == ("P0@acme.test", {"id": 0}, 1, 1)
    assert claim(database, "other") == []
    again = claim(database, "other", LATER)
    assert [(row.id, row.attempts, row.fence) for row in again] == [(first.id, 2, 2), (second.id, 2, 2)]


def test_a_worker_that_lost_its_lease_settles_nothing(database: sa.Engine) -> None:
    promise(database, 1)
    (late,) = claim(database, "late")
    (new,) = claim(database, "new", LATER)
    with transaction(database) as session:
        assert not mark_sent(session, late, LATER, message_id="x@nordvik.test")
        assert not mark_deferred(session, late, LATER) and not mark_failed(session, late)
        assert not extend_lease(session, late, LATER)
        assert extend_lease(session, new, LATER)
        assert mark_sent(session, new, LATER, message_id="1@nordvik.test", reply="250 ok")
        assert not mark_sent(session, new, LATER, message_id="1@nordvik.test")  # settled once
    assert states(database) == [OutboxStatus.SENT]


def test_a_deferred_row_falls_due_at_its_next_attempt_with_its_message_id(database: sa.Engine) -> None:
    promise(database, 1)
    (row,) = claim(database)
    with transaction(database) as session:
        assert mark_deferred(session, row, LATER, message_id="1@nordvik.test", reply="451 later")
        assert next_due(session) == LATER
    assert claim(database, at=LATER - timedelta(seconds=1)) == []
    (row,) = claim(database, at=LATER)
    assert (row.attempts, row.message_id) == (2, "1@nordvik.test")


def test_failed_and_suppressed_rows_wait_for_a_person(database: sa.Engine) -> None:
    promise(database, 2)
    one, two = claim(database)
    with transaction(database) as session:
        assert mark_failed(session, one, reply="550 no such user") and mark_suppressed(session, two, why="complaint")
        assert next_due(session) is None
    assert states(database) == [OutboxStatus.FAILED, OutboxStatus.SUPPRESSED]
    with transaction(database) as session:
        assert retry(session, one.id, NOW) and retry(session, two.id, NOW) and not retry(session, 99, NOW)
    assert [row.attempts for row in claim(database)] == [1, 1]


def test_lower_lanes_go_first(database: sa.Engine) -> None:
    digests = promise(database, 3, lane=5)
    with transaction(database) as session:
        urgent = Notice(mail=MailName.ACKNOWLEDGEMENT, recipient="x@acme.test", key="urgent")
        (first,) = enqueue(session, [urgent], NOW + timedelta(seconds=1))
    at = NOW + timedelta(minutes=1)
    assert [row.id for row in claim(database, at=at, limit=2)] == [first, digests[0]]


def test_a_key_is_promised_once(database: sa.Engine) -> None:
    assert len(promise(database, 2)) == 2
    assert len(promise(database, 3)) == 1


def test_suppression_goes_by_the_address_in_any_case(database: sa.Engine) -> None:
    with transaction(database) as session:
        assert find_suppression(session, "a@acme.test") is None
        suppress(session, "A@acme.test", SuppressionReason.COMPLAINT, NOW)
        suppress(session, "a@acme.test", SuppressionReason.HARD_BOUNCE, NOW)
        assert find_suppression(session, "a@ACME.test") is SuppressionReason.COMPLAINT
        assert unsuppress(session, "a@acme.test") and not unsuppress(session, "a@acme.test")


def work(url: str, worker: str, taken: Any) -> None:
    engine = make_engine(url)
    while rows := retrying(lambda: claim(engine, worker, limit=7)):
        for row in rows:
            taken.put((worker, row.id))

            def settle(row: Claimed = row) -> bool:
                with transaction(engine) as session:
                    return mark_sent(session, row, NOW, message_id=f"{row.id}@nordvik.test")

            assert retrying(settle)
    taken.put((worker, None))


def test_three_processes_send_each_row_once(database: sa.Engine, database_url: str) -> None:
    promise(database, 120)
    context = multiprocessing.get_context("spawn")
    taken: Any = context.Queue()
    workers = [context.Process(target=work, args=(database_url, f"w{n}", taken)) for n in range(3)]
    for worker in workers:
        worker.start()
    seen, ended = [], 0
    while ended < 3:
        _, id = taken.get(timeout=60)
        ended += id is None
        seen += [id] if id is not None else []
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(seen) == len(set(seen)) == 120
    assert set(states(database)) == {OutboxStatus.SENT}


@pytest.mark.parametrize("limit", [1, 5])
def test_a_claim_takes_no_more_than_its_limit(database: sa.Engine, limit: int) -> None:
    promise(database, 10)
    assert len(claim(database, limit=limit)) == limit
