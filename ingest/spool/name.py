"""Ids of mails and names of spool files.

*Takes* the clock and chance. *Gives* ids that sort by arrival, and names that say all that choosing a file needs.
"""

import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from values.ulid import ALPHABET, id_of

_MAIL_ID = re.compile(rf"[{ALPHABET}]{{26}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolName:
    """What a file name says, so that counting and choosing read no file."""

    id: str  # of the file; a single mail's own id, a batch's first
    count: int  # mails within
    attempts: int  # how often it failed before
    after: int  # Unix time in ms before which it is not claimed; 0 = at once

    def __str__(self) -> str:
        return f"{self.id}.{self.count}.{self.attempts}.{self.after}"

    @classmethod
    def parse(cls, text: str) -> "SpoolName | None":
        parts = text.split(".")
        if len(parts) != 4 or not _MAIL_ID.fullmatch(parts[0]) or not all(map(str.isdecimal, parts[1:])):
            return None
        return cls(id=parts[0], count=int(parts[1]), attempts=int(parts[2]), after=int(parts[3]))


def new_id() -> str:
    """The id of a mail that arrives now."""
    with _id_lock:
        now = time.time_ns() // 1_000_000
        _id_state[1] = _id_state[1] + 1 if now == _id_state[0] else 0
        _id_state[0] = now
        count = _id_state[1]
    return id_of(now, count, int.from_bytes(os.urandom(8), "big"))


_id_lock = threading.Lock()
_id_state = [0, 0]  # the ms of the last id, and how many ids it has had


def named(folder: Path) -> list[tuple[Path, SpoolName]]:
    """The spool files of a folder in order of their ids; notes and strangers are left out."""
    found = [(name, entry.path) for entry in os.scandir(folder) if (name := SpoolName.parse(entry.name)) is not None]
    return [(Path(path), name) for name, path in sorted(found, key=lambda pair: pair[0].id)]
