"""The pipeline role: a parent that keeps N disposable workers, each a process with limits of its own.

A worker holds a slot: a file lock that the kernel gives back when the process is gone, however it went. Whoever takes a
slot first returns to the spool what its dead holder had claimed, with one attempt more.
"""

import fcntl
import gc
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from ingest.spool.spool import Spool
from postdesk.supervise import end_all, fork

TIDY_EVERY = 2.0  # seconds
WORKER_PATIENCE = 20.0  # seconds to finish the mails in hand; a killed worker's come again

log = structlog.get_logger()


@contextmanager
def slot(spool: Spool) -> Iterator[str]:
    """The name of the first free slot, held while the block runs; what a dead holder left there goes back first."""
    name, descriptor = next(
        (name, held)
        for name in (f"w{number}" for number in itertools.count())
        if (held := _lock(spool.work / f"{name}.lock")) is not None
    )
    try:
        spool.recover(name)
        yield name
    finally:
        os.close(descriptor)


def tidy(spool: Spool) -> None:
    """Return what dead workers left, of this role or of one before it, and delete what dead receivers left.

    Again and again: a worker that has outlived its parent for a moment may die after everybody else has begun.
    """
    try:
        recover_all(spool)
        if swept := spool.sweep():
            log.info("swept", files=swept)
    except OSError as error:  # a disk that fails is told by whoever needs it
        log.error("spool not tidied", error=str(error))


def recover_all(spool: Spool) -> None:
    """Return what dead workers of any slot had claimed."""
    for name in spool.workers():
        descriptor = _lock(spool.work / f"{name}.lock")
        if descriptor is not None:
            spool.recover(name)
            os.close(descriptor)


def _lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def keep_workers(
    count: int, work: Callable[[threading.Event], None], stop: threading.Event, tidy: Callable[[], object]
) -> None:
    """Fork `count` processes that run `work`, and a new one for each that ends, until `stop`; then end them all.

    `tidy` is done here, at once and then every TIDY_EVERY seconds.
    """
    children: dict[int, float] = {}
    due = 0.0
    while not stop.is_set():
        if time.monotonic() >= due:
            tidy()
            due = time.monotonic() + TIDY_EVERY
        for _ in range(count - len(children)):
            children[_start(work)] = time.monotonic()
        for pid, status in list(_ended(children)):
            lived = time.monotonic() - children.pop(pid)
            log.warning("worker ended", status=status, lived=round(lived, 2))
            if lived < 0.2:  # it did not even begin: wait, or a broken set-up becomes a fork storm
                stop.wait(1.0)
        stop.wait(0.02)
    end_all(list(children), WORKER_PATIENCE)


def _ended(children: dict[int, float]) -> Iterator[tuple[int, int]]:
    for pid in children:
        finished, status = os.waitpid(pid, os.WNOHANG)
        if finished:
            yield pid, os.waitstatus_to_exitcode(status)


def _start(work: Callable[[threading.Event], None]) -> int:
    parent = os.getpid()

    def begin() -> None:
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_outlive_not, args=(parent, stop), daemon=True).start()
        # What was imported before the fork stays: looking through it again and again took 5 to 10 % of a worker's time.
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        work(stop)

    return fork(begin)


def _outlive_not(parent: int, stop: threading.Event) -> None:
    """Stop when the parent is gone: an orphan would go on beside the workers of the next parent."""
    while os.getppid() == parent:
        time.sleep(0.5)
    stop.set()
