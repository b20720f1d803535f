"""Mails that arrive together are made durable together.

*Takes* mails that are received in full. *Gives* a future each. *Fails* through that future, with OSError.

A commit starts at once when none runs; what arrives meanwhile forms the next one. So under light load a mail waits for
nobody, and under heavy load one fsync serves many. Large mails have a lane of their own: the fsync of ten megabytes
takes as long as that of a hundred small mails.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor

from ingest.spool.spool import Spool
from ingest.spool.write import Parcel, SpoolWriter
from values.mail import SpooledMail

_MOST_MAILS = 200  # in one commit
Item = Parcel | SpoolWriter


class Lane:
    """One commit at a time."""

    def __init__(self, spool: Spool, executor: Executor) -> None:
        self._spool = spool
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Item, asyncio.Future[SpooledMail]]] = deque()
        self._running = False

    @property
    def is_idle(self) -> bool:
        return not self._running and not self._waiting

    def submit(self, item: Item) -> asyncio.Future[SpooledMail]:
        future: asyncio.Future[SpooledMail] = self._loop.create_future()
        self._waiting.append((item, future))
        if not self._running:
            self._start()
        return future

    def _start(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_MAILS))]
        self._running = True
        commit = self._loop.run_in_executor(self._executor, self._spool.commit, [item for item, _ in batch])
        commit.add_done_callback(lambda done: self._settle([future for _, future in batch], done))

    def _settle(
        self,
        futures: Sequence[asyncio.Future[SpooledMail]],
        commit: asyncio.Future[list[SpooledMail | OSError]],
    ) -> None:
        self._running = False
        if self._waiting:
            self._start()
        error = commit.exception()
        outcome: Sequence[SpooledMail | BaseException] = [error] * len(futures) if error else commit.result()
        for future, result in zip(futures, outcome, strict=True):
            if isinstance(result, BaseException):
                future.set_exception(result)
                future.exception()  # seen: nobody may wait any more, the client having hung up
            else:
                future.set_result(result)


class Committer:
    """The two lanes of one listener process. The executor needs two threads, one for each."""

    def __init__(self, spool: Spool, executor: Executor) -> None:
        self._small = Lane(spool, executor)
        self._large = Lane(spool, executor)

    @property
    def is_idle(self) -> bool:
        return self._small.is_idle and self._large.is_idle

    def submit(self, item: Item) -> asyncio.Future[SpooledMail]:
        """Shield the future: a client that hangs up must not cancel what may already be on disk."""
        return (self._small if isinstance(item, Parcel) else self._large).submit(item)
