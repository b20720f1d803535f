"""The desk's clock goes back or forward between claim and settle, and around invitations (fault F30)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from typing import Any

import pytest
import sqlalchemy as sa

from models.access.request import ACCESS_REQUEST
from models.db.engine import transaction
from models.outbox.outbox import OUTBOX, claim_due
from notify.access_jobs import run_access
from notify.dispatch import LEASE, Dispatch, run_once
from notify.jobs import LONGEST_LEASE, LONGEST_WAIT, run_due
from notify.smarthost import Smarthost
from rules import access
from tests.builders import POLICY
from tests.models.test_access import NOW as ASKED
from tests.models.test_access import act, asks, value, waiting
from tests.notify.rows import NOW
from tests.notify.sink import Sink, serving
from tests.notify.test_access_jobs import acme, sent
from tests.notify.test_dispatch import Clock, desk_on, promise, row, statuses
from values.vocabulary import AccessState

__all__ = ["acme"]  # a fixture
BACK = [timedelta(hours=1), timedelta(days=1), timedelta(days=3650)]
FORWARD = [timedelta(hours=1), timedelta(days=1)]


@pytest.fixture
def sink() -> Iterator[Sink]:
    with serving(Sink()) as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(database: sa.Engine, sink: Sink, clock: Clock) -> Iterator[Dispatch]:
    made = desk_on(database, sink.url, clock)
    yield made
    made.smarthost.close()


class Jumping:
    """A smarthost during whose dialogue the clock jumps."""

    def __init__(self, smarthost: Smarthost, clock: Clock, by: timedelta) -> None:
        self._smarthost, self._clock, self._by = smarthost, clock, by

    def send(self, mail: Any) -> Any:
        outcome = self._smarthost.send(mail)
        self._clock.time += self._by
        return outcome

    def close(self) -> None: ...


@pytest.mark.parametrize("by", [*FORWARD, *(-back for back in BACK)], ids=str)
def test_a_jump_between_claim_and_settle_sends_once(desk: Dispatch, sink: Sink, clock: Clock, by: timedelta) -> None:
    promise(desk.engine)
    jumping: Any = Jumping(desk.smarthost, clock, by)
    assert run_once(replace(desk, smarthost=jumping), "w").settled == 1
    run_due(desk.engine, clock())
    assert run_once(desk, "w").settled == 0
    assert statuses(desk.engine) == ["sent"] and len(sink.messages) == 1


@pytest.mark.parametrize("by", FORWARD, ids=str)
def test_a_jump_forward_with_two_dispatchers_sends_the_same_mail_twice_at_most(
    desk: Dispatch, sink: Sink, clock: Clock, by: timedelta
) -> None:
    """The second one sees a lease that ended. Its copy has the same Message-ID, and one of the two settles."""
    promise(desk.engine)
    second = desk_on(desk.engine, sink.url, clock)

    class Overtaken(Jumping):
        def send(self, mail: Any) -> Any:
            outcome = super().send(mail)
            assert run_once(second, "second").settled == 1
            return outcome

    overtaken: Any = Overtaken(desk.smarthost, clock, by)
    run_once(replace(desk, smarthost=overtaken), "first")
    second.smarthost.close()
    assert statuses(desk.engine) == ["sent"] and len(sink.messages) == 2
    assert len({message_from_bytes(octets)["Message-ID"] for octets in sink.messages}) == 1


@pytest.mark.parametrize("back", BACK, ids=str)
def test_a_lease_that_a_dead_dispatcher_left_in_the_future_ends(
    desk: Dispatch, sink: Sink, clock: Clock, back: timedelta
) -> None:
    promise(desk.engine)
    with transaction(desk.engine) as session:
        assert claim_due(session, "dead", clock(), lease=LEASE)
    clock.time -= back
    assert run_once(desk, "w").settled == 0
    run_due(desk.engine, clock())
    assert run_once(desk, "w").settled == 1
    assert statuses(desk.engine) == ["sent"] and len(sink.messages) == 1


@pytest.mark.parametrize("back", BACK[1:], ids=str)
def test_a_promise_of_the_future_is_kept_now(desk: Dispatch, sink: Sink, clock: Clock, back: timedelta) -> None:
    promise(desk.engine)
    clock.time -= back
    run_due(desk.engine, clock())
    run_due(desk.engine, clock())
    assert run_once(desk, "w").settled == 1 and len(sink.messages) == 1


def test_what_is_put_off_by_the_clock_as_it_is_waits(desk: Dispatch) -> None:
    ids = promise(desk.engine, "a@x.test", "b@x.test")
    with transaction(desk.engine) as session:
        (first, second) = claim_due(session, "w", NOW, lease=LONGEST_LEASE)
        assert (first.id, second.id) == ids
        put_off = sa.update(OUTBOX).where(OUTBOX.c.id == second.id).values(status="due", due_at=NOW + LONGEST_WAIT)
        session.connection().execute(put_off)
    run_due(desk.engine, NOW)
    assert [row(desk.engine, id).due_at - NOW for id in ids] == [LONGEST_LEASE, LONGEST_WAIT]


def test_an_invitation_leaves_once_and_ends_by_the_clock_as_it_is(database: sa.Engine, acme: int) -> None:
    request = waiting(database, asks())
    act(database, lambda facts: access.approve(facts, POLICY, ASKED), request=request)
    for hours in (0, -1, 1, -24, 71):
        run_access(database, POLICY, ASKED + timedelta(hours=hours))
        assert value(database, ACCESS_REQUEST.c.state) == [AccessState.INVITED]
    for hours in (72, 0, 72):
        run_access(database, POLICY, ASKED + timedelta(hours=hours))
        assert value(database, ACCESS_REQUEST.c.state) == [AccessState.EXPIRED]
    assert sent(database, "invitation") == ["maria@acme.test"]
