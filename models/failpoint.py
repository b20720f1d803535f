"""Named places where a test can kill the process, so that every fault of docs/threats.md can be played.

`POSTDESK_FAIL_AT=spool.after-rename` kills at the first passage of that stage, `…:3` at the third. SIGKILL, because
nothing may run after it: no `finally`, no flush. Unset (always, outside tests), a passage is an empty call.
"""

import os
import signal
from collections.abc import Callable


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


def _unarmed(name: str) -> None:
    """Nothing: the variable is not set."""


failpoint: Callable[[str], None] = _armed(place) if (place := os.environ.get("POSTDESK_FAIL_AT")) else _unarmed
