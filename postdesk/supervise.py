"""Keep processes alive: start, restart with back-off, end all within seconds.

Takes: a name and a command line for each process.  Gives: 0 after a clean end (SIGTERM, SIGINT).  Fails: never; a
process that keeps ending is started again, ever more slowly, and each end is logged.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType

import structlog

FIRST_WAIT = 0.5  # seconds before the first restart; doubled at each further one
LONGEST_WAIT = 30.0
PROVED = 60.0  # a process that ran as long as this starts with FIRST_WAIT again
PATIENCE = 40.0  # seconds that a process may take to end: a listener finishes DATA in at most 30

log = structlog.get_logger()


def supervise(commands: Mapping[str, Sequence[str]]) -> int:
    """Run `commands` until SIGTERM or SIGINT. Each gets a pipe as stdin that closes when this process dies."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keepers = [threading.Thread(target=_keep, args=(name, argv, stop)) for name, argv in commands.items()]
    for keeper in keepers:
        keeper.start()
    while not stop.wait(1.0):  # a wait without end would not let Python run the signal handler
        pass
    for keeper in keepers:
        keeper.join()
    return 0


def _keep(name: str, argv: Sequence[str], stop: threading.Event) -> None:
    """One process, started again until `stop`."""
    wait = FIRST_WAIT
    while not stop.is_set():
        began = time.monotonic()
        # A session of its own: Ctrl-C reaches the supervisor alone, which ends the processes in good order.
        with subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True) as process:
            while process.poll() is None and not stop.wait(0.05):
                pass
            if process.poll() is None:
                _end(process)
        if stop.is_set():
            return
        wait = FIRST_WAIT if time.monotonic() - began > PROVED else wait
        log.error("role ended", role_ended=name, status=process.returncode, restart_in=wait)
        stop.wait(wait)
        wait = min(wait * 2, LONGEST_WAIT)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()


def stop_on_signal(lifeline: int | None = None) -> threading.Event:
    """An event that SIGTERM and SIGINT set, and the end of `lifeline` (a pipe that the supervisor holds open)."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    if lifeline is not None:
        threading.Thread(target=_watch, args=(lifeline, stop), daemon=True).start()
    return stop


def _watch(lifeline: int, stop: threading.Event) -> None:
    try:
        while os.read(lifeline, 1):
            pass
    except OSError:
        pass
    stop.set()
