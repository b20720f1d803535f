"""One line in the log where a place that the desk needs goes away, and one where it is back (faults F09, F15).

Takes: what was raised, and that something worked.  Gives: log lines.  Fails: never.
"""

import time
from collections.abc import Callable
from threading import Lock

import structlog

log = structlog.get_logger()


class Outage:
    """Of one place and one process; threads may share it. Its end is logged with how long it was, in seconds."""

    def __init__(self, place: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._clock = clock
        self._since: float | None = None
        self._lock = Lock()

    def met(self, error: BaseException) -> None:
        """The place was away. Only the driver's own words are logged: the statement would hold what mails say."""
        with self._lock:
            if self._since is not None:
                return
            self._since = self._clock()
        said = str(getattr(error, "orig", None) or error)
        log.error("outage began", place=self._place, error=" ".join(said.split())[:300])

    def over(self) -> None:
        """The place does what it is asked. Called for each mail: nothing to do is nothing done."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            log.warning("outage ended", place=self._place, seconds=round(self._clock() - since, 1))


DATABASE = Outage("database")
BLOBS = Outage("blobs")
