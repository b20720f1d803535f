"""Limits kill the child, never the list: whatever an item does, every item gets its answer."""

import json
import os
import signal
import time

from ingest.limited_child import Limits, each_killable

# On a busy machine a process may wait long for its turn: the limit that is tested is far below the other one.
CPU_BOUND = Limits(memory=2 * 1024**3, cpu_seconds=0.3, wall_seconds=60.0)
TIME_BOUND = Limits(memory=2 * 1024**3, cpu_seconds=30.0, wall_seconds=1.0)


def _work(item: str) -> str:
    if item == "spin":
        while True:
            pass
    if item == "spin in C":
        return json.dumps("x" * 10**9 * 4)
    if item == "sleep":
        time.sleep(30)
    if item == "eat":
        return str(len(bytearray(4 * 1024**3)))
    if item == "raise":
        raise ValueError(item)
    if item == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "deep":
        return json.dumps(json.loads("[" * 100_000))
    return item.upper()


def test_every_item_is_answered_in_order() -> None:
    items = ["a", "spin", "b", "eat", "c", "raise", "d", "die", "e", "deep", "f"]
    answers = list(each_killable(items, _work, lambda item, why: (item, why), CPU_BOUND))
    assert answers == [
        "A",
        ("spin", "cpu"),
        "B",
        ("eat", "memory"),
        "C",
        ("raise", "crash"),
        "D",
        ("die", "crash"),
        "E",
        ("deep", "crash"),
        "F",
    ]


def test_the_last_item_may_kill_too() -> None:
    assert list(each_killable(["spin"], _work, lambda item, why: why, CPU_BOUND)) == ["cpu"]


def test_an_item_that_waits_is_ended_too() -> None:
    assert list(each_killable(["sleep", "a"], _work, lambda item, why: why, TIME_BOUND)) == ["time", "A"]


def test_nothing_to_do() -> None:
    assert list(each_killable([], _work, lambda item, why: why, CPU_BOUND)) == []
