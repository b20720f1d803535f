"""Keep processes alive: fork, restart with back-off, end all within seconds.

Takes: a name and a function for each process.  Gives: 0 after a clean end (SIGTERM, SIGINT).  Fails: never; a process
that keeps ending is started again, ever more slowly, and each end is logged.

Forked, not executed: what they share is imported once, before, which is most of the cost of a start. This process
therefore opens no connection, starts no thread and does nothing but watch.
"""

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

FIRST_WAIT = 0.5  # seconds before the first restart; doubled at each further one
LONGEST_WAIT = 30.0
PROVED = 60.0  # a process that ran as long as this starts with FIRST_WAIT again
PATIENCE = 40.0  # seconds that a process may take to end: a listener finishes DATA in at most 30
DESCRIPTORS = 65_536  # that a process asks for, where it may have so many
LOOK = 0.05  # seconds between two looks

log = structlog.get_logger()

Work = Callable[[threading.Event], None]


@dataclass(slots=True)
class _Child:
    """A process that is wanted, whether it runs now or not."""

    name: str
    work: Work
    pid: int | None = None
    since: float = 0.0  # monotonic: when it was started
    due: float = 0.0  # monotonic: when it may be started (again)
    wait: float = field(default=FIRST_WAIT)


def supervise(works: Mapping[str, Work]) -> int:
    """Run each function in a process of its own until SIGTERM or SIGINT."""
    ended: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: ended.append(number))
    lifeline, held_open = os.pipe()  # readable, as a closed pipe is, once this process is gone
    children = [_Child(name=name, work=work) for name, work in works.items()]
    while not ended:
        for child in children:
            if child.pid is None and child.due <= time.monotonic():
                _start(child, lifeline, held_open)
            elif child.pid is not None:
                _look_after(child)
        time.sleep(LOOK)
    end_all([child.pid for child in children if child.pid is not None], PATIENCE)
    return 0


def raise_descriptors() -> int:
    """Raise the soft limit of open files, mostly 1,024, towards the hard one; gives what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def _start(child: _Child, lifeline: int, held_open: int) -> None:
    child.since = time.monotonic()
    child.pid = fork(lambda: _run(child, lifeline, held_open))


def _run(child: _Child, lifeline: int, held_open: int) -> None:
    os.close(held_open)
    os.setsid()  # Ctrl-C reaches the supervisor alone, which ends the processes in good order
    structlog.contextvars.bind_contextvars(role=child.name)
    child.work(stop_on_signal(lifeline))


def _look_after(child: _Child) -> None:
    assert child.pid is not None
    finished, status = os.waitpid(child.pid, os.WNOHANG)
    if not finished:
        return
    now = time.monotonic()
    child.wait = FIRST_WAIT if now - child.since > PROVED else child.wait
    log.error("role ended", ended=child.name, status=os.waitstatus_to_exitcode(status), restart_in=child.wait)
    child.pid, child.due, child.wait = None, now + child.wait, min(child.wait * 2, LONGEST_WAIT)


def end_all(pids: list[int], patience: float) -> None:
    """SIGTERM to all; SIGKILL to those that did not end in time."""
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + patience
    left = list(pids)
    while left:
        left = [pid for pid in left if not os.waitpid(pid, os.WNOHANG)[0]]
        if left and time.monotonic() > until:
            log.error("killed", pids=left)
            for pid in left:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            return
        time.sleep(0.02)


def fork(work: Callable[[], None]) -> int:
    """The pid of a new process that runs `work` and never comes back into the caller's stack."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except Exception:
        log.exception("process failed")
    finally:
        os._exit(status)


def stop_on_signal(lifeline: int) -> threading.Event:
    """An event that SIGTERM and SIGINT set, and the end of the process that holds the other end of `lifeline`."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_watch, args=(lifeline, stop), daemon=True).start()
    return stop


def _watch(lifeline: int, stop: threading.Event) -> None:
    try:
        while os.read(lifeline, 1):
            pass
    except OSError:
        pass
    stop.set()
