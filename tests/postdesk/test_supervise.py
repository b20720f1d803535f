"""The supervisor with real processes: restart, a clean end on SIGTERM, nobody left behind after SIGKILL."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

PARENT = """
import os, sys
from pathlib import Path
from postdesk import log
from postdesk.supervise import supervise

def work(stop):
    with Path(sys.argv[1]).open("a") as file:
        file.write(f"{os.getpid()}\\n")
    stop.wait(60)

log.configure("run")
sys.exit(supervise({"child": work}))
"""


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < until:
        time.sleep(0.02)
    return met


@pytest.fixture
def starts(tmp_path: Path) -> Path:
    return tmp_path / "starts"


@pytest.fixture
def supervisor(starts: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(starts)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


def pids(starts: Path) -> list[int]:
    return [int(line) for line in starts.read_text().split()] if starts.exists() else []


def test_a_dead_process_is_started_again_and_logged(supervisor: "subprocess.Popen[str]", starts: Path) -> None:
    assert wait_for(lambda: len(pids(starts)) == 1)
    os.kill(pids(starts)[0], signal.SIGKILL)
    assert wait_for(lambda: len(pids(starts)) == 2)
    supervisor.terminate()
    _, logged = supervisor.communicate(timeout=10)
    assert '"ended": "child"' in logged


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_is_quick_and_clean(supervisor: "subprocess.Popen[str]", starts: Path, number: signal.Signals) -> None:
    assert wait_for(lambda: len(pids(starts)) == 1)
    began = time.monotonic()
    supervisor.send_signal(number)
    assert supervisor.wait(10) == 0
    assert time.monotonic() - began < 5
    assert not psutil.pid_exists(pids(starts)[0])


def test_nobody_outlives_a_killed_supervisor(supervisor: "subprocess.Popen[str]", starts: Path) -> None:
    assert wait_for(lambda: len(pids(starts)) == 1)
    supervisor.kill()
    child = psutil.Process(pids(starts)[0]) if psutil.pid_exists(pids(starts)[0]) else None
    assert wait_for(lambda: child is None or not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 5)
