"""The sweep of the blob store: what no row names goes, in two steps, so that no mail in flight can lose a blob.

Takes: the database, the blob store, the time by the store's clock (not the desk's, which a demo moves).  Gives: how
much was swept.  Fails: as the store or the database does; what was not done is done the next day.

Blobs are written before the row that names them, so a crash in between leaves an orphan, as does an attachment of a
mail that became no ticket. An orphan can come to life again: the same mail is sent once more, or released; its `put`
finds the blob there, keeps it, and commits a row that names it. Between "no row names it" and the removal such a row
may appear, on any machine, and no lock is shared with a store on S3. Hence nothing is removed where it could be found:

1. A blob older than AGE that no row names is *set aside*: `put` finds it no more and writes it anew.
2. Each later sweep looks at what was set aside. A mail that had found a blob just before has committed by then (it may
   take an hour at most), so its row is seen, and the blob is put back.
3. What no row has named for KEEP more is deleted. That is also the time in which an operator who restored an old
   database, or named a wrong one, gets everything back by naming the right one.

A file that never got its key is deleted at once after AGE: whoever wrote it is dead, and nobody else knows its name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

from models.blobs.store import BlobStore
from models.db.engine import reading, retrying, transaction
from models.desk.job_run import begin_once
from models.views.blob_use import is_ledger_empty, used_blobs

AGE = timedelta(days=7)  # of a blob that is looked at; a mail in flight is younger
KEEP = timedelta(days=30)  # of what was set aside
AT_ONCE = 250_000  # blobs held in memory (about 30 MB); for each so many the tables are walked through once
SHARDS = [f"{number:02x}" for number in range(256)]

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Swept:
    """How many blobs had which fate."""

    set_aside: int = 0
    put_back: int = 0
    deleted: int = 0
    unfinished: int = 0  # deleted too


def sweep_daily(engine: sa.Engine, blobs: BlobStore, now: datetime, at: datetime) -> Swept | None:
    """Sweep, once a day of the desk's time `now`; None where it was done or failed. `at`: the time by the store."""
    if not retrying(lambda: _begin(engine, now)):
        return None
    try:
        swept = sweep(engine, blobs, at)
    except Exception:
        log.exception("job failed", job="sweep-blobs")
        return None
    log.info("job done", job="sweep-blobs", set_aside=swept.set_aside, put_back=swept.put_back, deleted=swept.deleted)
    return swept


def _begin(engine: sa.Engine, now: datetime) -> bool:
    """In a transaction of its own: the sweep itself takes long and must keep no mail from being recorded."""
    with transaction(engine) as session:
        return begin_once(session, "sweep-blobs", now.date().isoformat(), now)


def sweep(engine: sa.Engine, blobs: BlobStore, at: datetime, *, dry_run: bool = False) -> Swept:
    """See the module. `dry_run`: only count what would be done now."""
    swept = Swept()
    with reading(engine) as session:
        if is_ledger_empty(session):  # a new database, or a wrong one: these blobs are not its own
            return swept
    for name, written in blobs.unfinished():
        if at - written >= AGE:
            swept.unfinished += 1
            if not dry_run:
                blobs.drop_unfinished(name)
    _judge_aside(engine, blobs, at, swept, dry_run=dry_run)
    for sha256 in _orphans(engine, blobs, at):
        swept.set_aside += 1
        if not dry_run:
            blobs.set_aside(sha256)
    return swept


def _judge_aside(engine: sa.Engine, blobs: BlobStore, at: datetime, swept: Swept, *, dry_run: bool) -> None:
    aside = dict(blobs.aside())
    if not aside:
        return
    with reading(engine) as session:
        used = aside.keys() & set(used_blobs(session, min(aside)))
    over = {sha256 for sha256, since in aside.items() if at - since >= KEEP} - used
    swept.put_back, swept.deleted = len(used), len(over)
    if dry_run:
        return
    for sha256 in used:
        blobs.put_back(sha256)
    for sha256 in over:
        blobs.forget(sha256)


def _orphans(engine: sa.Engine, blobs: BlobStore, at: datetime) -> Iterator[str]:
    """Old blobs that no row names. The blobs are listed before the rows are read: a row that comes later is of a mail
    that found its blob there, which step 2 is for."""
    old: set[str] = set()
    first = SHARDS[0]
    for shard, following in zip(SHARDS, [*SHARDS[1:], "g"], strict=True):
        old.update(sha256 for sha256, written in blobs.names_in(shard) if at - written >= AGE)
        if len(old) >= AT_ONCE or following == "g":
            with reading(engine) as session:
                old.difference_update(used_blobs(session, first, following) if old else ())
            yield from sorted(old)
            old, first = set(), following
