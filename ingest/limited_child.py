"""Work through a list in a child process that a limit may kill at any item, without losing the list.

Takes: items and a function that makes one JSON document of an item.  Gives: one document an item, in order; for an
item that killed its child, what `instead` says.  Fails: never because of an item.
"""

import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

Item = TypeVar("Item")

ADDRESS_SPACE = 8  # times the writable memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one item may cost. `memory`: octets that the whole process may write to."""

    memory: int
    cpu_seconds: float
    wall_seconds: float


@contextmanager
def limited(cpu_seconds: float, wall_seconds: float = 0.0) -> Iterator[None]:
    """Let the kernel kill this process when the block takes longer; no Python code can put that off."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    signal.setitimer(signal.ITIMER_REAL, wall_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def limit_memory(octets: int) -> None:
    """No allocation of this process succeeds beyond `octets` of writable memory; no core file is written.

    Address space alone says little: each thread of a library reserves 64 MB of it and uses none. It is limited all the
    same, where the system does not know the finer limit.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (octets, octets))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE * octets, ADDRESS_SPACE * octets))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def each_killable(
    items: Sequence[Item], work: Callable[[Item], Any], instead: Callable[[Item, str], Any], limits: Limits
) -> Iterator[Any]:
    """`work(item)` of every item; `instead(item, why)` where it failed. `why`: cpu, time, memory, crash."""
    done = 0
    while done < len(items):
        child, reader = _start(items[done:], work, limits)
        with os.fdopen(reader, "rb") as lines:
            for line in _lines(lines.fileno(), limits.wall_seconds * 2):
                answer = json.loads(line)
                item = items[done]
                done += 1
                yield answer["document"] if "document" in answer else instead(item, answer["why"])
        why = _end(child)
        if why and done < len(items):
            done += 1
            yield instead(items[done - 1], why)


def _start(items: Sequence[Item], work: Callable[[Item], Any], limits: Limits) -> tuple[int, int]:
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    status = 1
    try:
        os.close(reader)
        limit_memory(limits.memory)
        with os.fdopen(writer, "wb") as out:
            for item in items:
                out.write(_answer(item, work, limits) + b"\n")
                out.flush()
        status = 0
    finally:
        os._exit(status)  # never back into the parent's stack


def _answer(item: Item, work: Callable[[Item], Any], limits: Limits) -> bytes:
    try:
        with limited(limits.cpu_seconds, limits.wall_seconds):
            return json.dumps({"document": work(item)}).encode("ascii")
    except MemoryError:
        return b'{"why": "memory"}'
    except Exception:
        traceback.print_exc()
        return b'{"why": "crash"}'


def _lines(descriptor: int, patience: float) -> Iterator[bytes]:
    """The lines of a pipe, until its end or until none came for `patience` seconds."""
    rest = b""
    while select.select([descriptor], [], [], patience)[0]:
        block = os.read(descriptor, 1 << 16)
        if not block:
            return
        *whole, rest = (rest + block).split(b"\n")
        yield from whole


def _end(child: int) -> str:
    """Wait for the child, killing it where it hangs; the word for its end, "" after a good one."""
    until = time.monotonic() + 1.0
    finished, status = os.waitpid(child, os.WNOHANG)
    while not finished and time.monotonic() < until:
        time.sleep(0.005)
        finished, status = os.waitpid(child, os.WNOHANG)
    if not finished:  # it neither answers nor ends, not even by its own timers
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "time"
    if os.WIFSIGNALED(status):
        return {signal.SIGPROF: "cpu", signal.SIGALRM: "time"}.get(signal.Signals(os.WTERMSIG(status)), "crash")
    return "" if os.WEXITSTATUS(status) == 0 else "crash"
