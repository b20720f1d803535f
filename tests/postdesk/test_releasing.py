"""The thread of the schedule role that lets held mails through outlives an outage."""

from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from postdesk.roles import _release_wanted


def test_an_outage_does_not_end_the_thread_that_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, looked = Event(), []

    def look(stage: object) -> int:
        looked.append(stage)
        if len(looked) == 1:
            raise ConnectionError("the database is away")
        stop.set()
        return 0

    monkeypatch.setattr("ingest.release.release_wanted", look)
    desk: Any = SimpleNamespace(settings=SimpleNamespace(poll_seconds=0.0), pipeline=lambda: "stage")
    _release_wanted(desk, stop)
    assert looked == ["stage", "stage"]
