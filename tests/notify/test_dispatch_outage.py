"""The database goes away while the smarthost has a mail (faults F15, F16): it is sent once, however long that takes."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from models.db.engine import make_engine, retrying
from models.db.schema import migrate
from notify import dispatch
from notify.dispatch import Dispatch, run, run_once
from tests.notify.sink import Sink, serving
from tests.notify.test_dispatch import Clock, desk_on, promise, statuses
from tests.postgres import PostgresServer


class Interrupted:
    """A smarthost that hands on, and then something happens before its answer is written down."""

    def __init__(self, desk: Dispatch, then: Callable[[], object]) -> None:
        self._smarthost, self._then = desk.smarthost, then

    def send(self, mail: Any) -> Any:
        outcome = self._smarthost.send(mail)
        self._then()
        return outcome

    def close(self) -> None: ...


@pytest.mark.postgres
def test_an_outage_longer_than_any_patience_but_this_sends_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage of ten minutes between the smarthost's 250 and our mark."""
    with PostgresServer() as server, serving(Sink()) as sink:
        engine = make_engine(server.url("postgres"))
        migrate(engine)
        desk = desk_on(engine, sink.url, Clock())
        promise(engine)
        seconds, tries = itertools.count(step=60), itertools.count()

        def sleep(_: float) -> None:
            if next(tries) == 10:
                server.start()

        def hurried(work: Callable[[], Any], *, patience: float = 60.0) -> Any:
            return retrying(work, patience=patience, sleep=sleep, clock=lambda: next(seconds))

        monkeypatch.setattr(dispatch, "retrying", hurried)
        interrupted: Any = Interrupted(desk, lambda: server.stop(immediate=True))
        assert run_once(replace(desk, smarthost=interrupted), "w").settled == 1
        assert statuses(engine) == ["sent"] and len(sink.messages) == 1
        desk.smarthost.close()
        engine.dispose()


def test_rows_whose_lease_may_have_ended_meanwhile_are_left_to_others(
    database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After such an outage a second dispatcher may hold the rest of the handful."""
    with serving(Sink()) as sink:
        clock = Clock()
        desk = desk_on(database, sink.url, clock)
        promise(database, "a@x.test", "b@x.test")
        real = dispatch.time.monotonic
        late = iter([0.0, 0.0])  # claimed, and asked for the first row; from then on two minutes have gone by
        monkeypatch.setattr(dispatch.time, "monotonic", lambda: real() + next(late, 121.0))
        assert run_once(desk, "w").settled == 1
        assert sorted(statuses(database)) == ["sending", "sent"]
        monkeypatch.undo()
        clock.move(minutes=2, seconds=1)
        assert run(desk, "other", dispatch.Event(), until_idle=True) == 1
        assert len(sink.messages) == 2
        desk.smarthost.close()
