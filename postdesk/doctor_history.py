"""Do the database, the blobs and the clock tell one story? What a restore or a clock that jumped leaves behind.

Takes: a `Desk`.  Gives: a finding.  Fails: as what it looks at; the doctor tells that.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from models.restore import Newest
    from postdesk.doctor import Finding
    from postdesk.wiring import Desk

NEWEST = 100  # mails whose blobs are looked for
LOOKED_INTO = 16  # shards, of 256, that changed last
SLACK = timedelta(minutes=10)  # between a mail's blob and its row, or between two clocks
APART = timedelta(seconds=20)  # two machines' clocks; a dispatcher's lease is two minutes
CLOCK = "mend the machine's clock (chrony, timesyncd)"
PROBE = "43"  # the shard that the doctor's own blob lies in (doctor.py): it may be newer than any mail


def history(desk: "Desk") -> "Finding":
    """A database that is newer than the blobs fails; one that is older, or a clock that went back, is told."""
    from models.db.engine import reading
    from models.restore import clock_of, find_newest
    from postdesk.doctor import FAIL, OK, WARN, Finding

    with reading(desk.engine) as session:
        newest = find_newest(session, NEWEST)
        theirs = clock_of(session)
    if theirs is not None and abs(off := datetime.now(UTC) - theirs) > APART:
        seen = f"this machine's clock and the database's are {abs(off).total_seconds():.0f} s apart"
        return Finding(check="history", verdict=FAIL, seen=seen, repair=CLOCK)
    missing = [sha256 for sha256 in newest.sha256 if not desk.blobs.exists(sha256)]
    if missing:
        seen = f"{len(missing)} of the {len(newest.sha256)} newest mails are not in the blob store ({missing[0][:16]}…)"
        repair = "restore blobs that are as new as the database, or newer"
        return Finding(check="history", verdict=FAIL, seen=seen, repair=repair)
    if newest.recorded is None:
        return Finding(check="history", verdict=OK, seen="no mail yet")
    ahead = newest.recorded - desk.now()
    if ahead > SLACK:
        seen = f"the newest mail was recorded {_told(ahead)} in the future: the clock went back"
        return Finding(check="history", verdict=WARN, seen=seen, repair=CLOCK)
    behind = _blobs_ahead(desk, newest)
    if behind > SLACK and not desk.spool.counts().new:
        seen = f"the blobs are {_told(behind)} newer than the newest row: is the database a backup?"
        return Finding(
            check="history", verdict=WARN, seen=seen, repair="then `postdesk restored`, before the first run"
        )
    return Finding(check="history", verdict=OK, seen=f"the newest mail is of {newest.recorded:%Y-%m-%d %H:%M} UTC")


def _blobs_ahead(desk: "Desk", newest: "Newest") -> timedelta:
    """How much later than the newest row something came into a folder of blobs. Zero where that can't be seen."""
    parts = urlsplit(desk.settings.blobs)
    if parts.scheme not in ("", "file") or newest.recorded is None:
        return timedelta()
    shards = [shard for shard in Path(unquote(parts.path)).iterdir() if len(shard.name) == 2 and shard.name != PROBE]
    # A folder changes, too, when the sweep takes something out: what counts is the age of what is in it.
    changed = sorted(shards, key=lambda shard: -shard.stat().st_mtime)[:LOOKED_INTO]
    late = max((entry.stat().st_mtime for shard in changed for entry in os.scandir(shard)), default=0.0)
    return datetime.fromtimestamp(late, UTC) - newest.recorded


def _told(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
