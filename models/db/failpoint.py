"""Named places where a test can kill the process, so that every fault of docs/faults.md can be played.

`POSTDESK_FAIL_AT=spool.after-rename` kills at the first passage of that stage, `…:3` at the third. Where it names a
folder (with a `/`), a file named as a stage in it kills whoever passes there next, and is gone then: so a test arms a
running desk, kills one process among many, and sees that it happened. SIGKILL, because nothing may run after it: no
`finally`, no flush. Unset (always, outside tests), a passage is an empty call.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path


def _armed(place: str) -> Callable[[str], None]:
    stage, _, nth = place.partition(":")
    left = int(nth or 1)

    def fail_at(name: str) -> None:
        nonlocal left
        if name == stage:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return fail_at


def _armed_by(folder: Path) -> Callable[[str], None]:
    def fail_at(name: str) -> None:
        try:
            (folder / name).unlink()  # of two that pass at once, one dies
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    return fail_at


def _unarmed(name: str) -> None:
    """Nothing: the variable is not set."""


def _chosen(place: str) -> Callable[[str], None]:
    if not place:
        return _unarmed
    return _armed_by(Path(place)) if "/" in place else _armed(place)


failpoint: Callable[[str], None] = _chosen(os.environ.get("POSTDESK_FAIL_AT", ""))
