"""Mails that failed three times, or whose file is damaged: they lie in the shunt, and a person finds them held.

Takes: the spool and the database.  Gives: a held ledger row for each shunted mail that has none.
Fails: as the database does; the next look makes up for it, so nothing is lost between the shunt and the row.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import sqlalchemy as sa

from ingest.spool.file import Reading, read_file
from ingest.spool.name import SpoolName
from ingest.spool.shunt import Shunted
from ingest.spool.spool import Spool
from models.db.engine import retrying, transaction
from models.record import record_poison
from values.mail import Envelope, SpooledMail
from values.ulid import time_of
from values.vocabulary import Source

CORRUPT = "corrupt"  # a damaged file: its good mails went their way
_TICK = 100_000_000  # ns; longer than the ticks of a file system's clock


class ShuntWatch:
    """Holds what was shunted, by whatever process: looks at one mtime, and reads the folder only when it moved."""

    def __init__(self, spool: Spool, engine: sa.Engine, now: Callable[[], datetime]) -> None:
        self._spool, self._engine, self._now = spool, engine, now
        self._seen = 0  # mtime of the shunt when it was read

    def look(self) -> None:
        """Hold what came since the last look. Cheap: called before every claim."""
        mtime = self._spool.shunt_folder.stat().st_mtime_ns
        # Another change in the tick of this look would not move the mtime again: wait until the tick is over.
        if mtime != self._seen and abs(time.time_ns() - mtime) > _TICK:  # in the future: the clock went back since
            hold_shunted(self._spool, self._engine, self._now)
            self._seen = mtime


def hold_shunted(spool: Spool, engine: sa.Engine, now: Callable[[], datetime]) -> int:
    """Record every shunted mail that the ledger does not know; how many these were."""
    return sum(_hold(mail, each, engine, now) for each in spool.shunted() for mail in _mails(each))


def _mails(shunted: Shunted) -> list[SpooledMail]:
    try:
        reading = read_file(shunted.path, shunted.id, shunted.attempts)
    except FileNotFoundError:
        return []  # retried or dropped meanwhile
    except OSError:  # a bad sector: the name still says how many mails were taken
        reading = Reading(mails=(), damage=())
    return list(_damaged(shunted, reading)) if shunted.reason == CORRUPT else list(reading.mails)


def _damaged(shunted: Shunted, reading: Reading) -> Iterator[SpooledMail]:
    """As many mails as the file has lost: a row for each, so that the ledger adds up. The same ones at every look."""
    name = SpoolName.parse(shunted.path.name)
    lost = name.count if name else 1
    told = [damage.mail for damage in reading.damage if damage.mail][:lost]
    yield from told
    taken = {mail.id for mail in (*reading.mails, *told)}
    free = (id for id in (shunted.id, *(f"{shunted.id}-{n}" for n in range(1, lost + 1))) if id not in taken)
    for _, id in zip(range(lost - len(told)), free, strict=False):
        yield _unknown(id, shunted)


def _unknown(id: str, shunted: Shunted) -> SpooledMail:
    """A mail of which nothing is left but that we took it; the whole file stands for its octets."""
    try:
        octets = shunted.path.read_bytes()
    except OSError:
        octets = b""
    envelope = Envelope(
        reverse_path="", forward_paths=(), source=Source.SMTP, received_at=time_of(shunted.id), client_ip=None
    )
    sha256 = hashlib.sha256(octets).hexdigest()
    return SpooledMail(id=id, path=shunted.path, offset=0, size=len(octets), sha256=sha256, envelope=envelope)


def _hold(mail: SpooledMail, shunted: Shunted, engine: sa.Engine, now: Callable[[], datetime]) -> bool:
    why = {
        "worker-died": "It used more time or memory than one mail may, three times.",
        "failed": f"The pipeline failed on it, three times: {shunted.detail[:300]}",
        CORRUPT: f"Its file in the spool is damaged ({shunted.detail[:300]}); what is left lies in the shunt.",
    }.get(shunted.reason, f"It was set aside: {shunted.reason}.")

    def write() -> bool:
        with transaction(engine, snapshot=True) as session:
            return not record_poison(session, mail, why, now()).already

    return retrying(write)
