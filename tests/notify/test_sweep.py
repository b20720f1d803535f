"""notify/sweep.py on both databases: what no row names goes, and no mail in flight loses a blob."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa

import notify.sweep
from models.blobs.store import BlobStore, open_blobs
from models.db.engine import reading, transaction
from models.record import record
from models.views.blob_use import used_blobs
from notify.sweep import AGE, KEEP, Swept, sweep, sweep_daily
from tests.models.made import NOW, a_mail, an_attachment, holding, make_desk, opening

RAW, FILE, HELD = b"a raw mail", b"an attachment", b"a held mail"
TODAY = datetime.now(UTC)
LATER, MUCH_LATER = TODAY + AGE + timedelta(hours=1), TODAY + AGE + KEEP + timedelta(days=2)


def key(octets: bytes) -> str:
    return sha256(octets).hexdigest()


@pytest.fixture(params=["folder", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return open_blobs(str(tmp_path / "blobs") if request.param == "folder" else "memory:")


@pytest.fixture
def desk(database: sa.Engine, blobs: BlobStore) -> sa.Engine:
    """A desk with a ticket, its attachment and a held mail, whose blobs are there."""
    with transaction(database, snapshot=True) as session:
        made = make_desk(session)
        attachment = replace(an_attachment(), sha256=key(FILE), size=len(FILE))
        mail = a_mail("opened", sha256=key(RAW), size=len(RAW), attachments=(attachment,))
        record(session, mail, opening(mail, customer=made.acme, contact=made.lucia), NOW)
        record(session, a_mail("held", sha256=key(HELD), size=len(HELD)), holding(), NOW)
    for octets in (RAW, FILE, HELD):
        blobs.put_bytes(octets)
    blobs.sync()
    return database


def name_it(engine: sa.Engine, octets: bytes, id: str) -> None:
    """A mail is recorded whose raw octets these are."""
    with transaction(engine, snapshot=True) as session:
        record(session, a_mail(id, sha256=key(octets), size=len(octets)), holding(), NOW)


def test_an_orphan_is_set_aside_and_deleted_a_month_later(desk: sa.Engine, blobs: BlobStore) -> None:
    orphans = [blobs.put_bytes(b"orphan %d" % number)[0] for number in range(20)]
    assert sweep(desk, blobs, TODAY + AGE / 2) == Swept()
    assert sweep(desk, blobs, LATER, dry_run=True) == Swept(set_aside=20)
    assert all(map(blobs.exists, orphans)), "a dry run changes nothing"
    assert sweep(desk, blobs, LATER) == Swept(set_aside=20)
    assert not any(map(blobs.exists, orphans))
    assert sorted(sha256 for sha256, _ in blobs.aside()) == sorted(orphans)
    assert sweep(desk, blobs, TODAY + KEEP - timedelta(hours=1)) == Swept()
    assert sweep(desk, blobs, MUCH_LATER, dry_run=True) == Swept(deleted=20)
    assert sweep(desk, blobs, MUCH_LATER) == Swept(deleted=20)
    assert list(blobs.aside()) == []
    assert [blobs.get(key(octets)) for octets in (RAW, FILE, HELD)] == [RAW, FILE, HELD]
    assert sweep(desk, blobs, MUCH_LATER) == Swept()


def test_a_mail_in_flight_gets_back_what_it_had_found(desk: sa.Engine, blobs: BlobStore) -> None:
    """Its `put` found the orphan, the sweep came, then it committed: the worst order there is."""
    octets = b"sent once more"
    blobs.put_bytes(octets)
    blobs.sync()
    assert blobs.put_bytes(octets)[0] == key(octets)  # finds it there
    blobs.sync()
    assert sweep(desk, blobs, LATER).set_aside == 1
    name_it(desk, octets, "again")
    assert sweep(desk, blobs, LATER + timedelta(days=1)) == Swept(put_back=1)
    assert blobs.get(key(octets)) == octets
    assert sweep(desk, blobs, MUCH_LATER + timedelta(days=60)) == Swept()


def test_what_is_written_anew_is_not_written_over(desk: sa.Engine, blobs: BlobStore) -> None:
    octets = b"sent once more"
    blobs.put_bytes(octets)
    sweep(desk, blobs, LATER)
    blobs.put_bytes(octets)
    blobs.sync()
    name_it(desk, octets, "again")
    assert sweep(desk, blobs, MUCH_LATER) == Swept(put_back=1)
    assert (blobs.get(key(octets)), list(blobs.aside())) == (octets, [])


def test_many_blobs_are_judged_by_parts(desk: sa.Engine, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify.sweep, "AT_ONCE", 3)
    orphans = sorted(blobs.put_bytes(b"orphan %d" % number)[0] for number in range(40))
    used = [b"named %d" % number for number in range(10)]
    for number, octets in enumerate(used):
        blobs.put_bytes(octets)
        name_it(desk, octets, f"named{number}")
    assert sweep(desk, blobs, LATER) == Swept(set_aside=40)
    assert sorted(sha256 for sha256, _ in blobs.aside()) == orphans
    assert all(blobs.exists(key(octets)) for octets in used)


def test_a_desk_without_any_mail_sweeps_nothing(database: sa.Engine, tmp_path: Path) -> None:
    """A database that is new or the wrong one: every blob would be an orphan."""
    store = open_blobs(str(tmp_path / "blobs"))
    store.put_bytes(b"another's")
    assert sweep(database, store, MUCH_LATER) == Swept()
    assert store.exists(key(b"another's"))


def test_all_that_names_a_blob_is_asked(database: sa.Engine) -> None:
    """A table that gets a column of SHA-256s belongs into models/views/blob_use.py."""
    columns = {
        f"{table.name}.{column.name}" for table in _tables() for column in table.columns if "sha256" in column.name
    }
    assert columns == {"ledger.sha256", "attachment.sha256"}
    with reading(database) as session:
        assert list(used_blobs(session)) == []


def _tables() -> Iterator[sa.Table]:
    import models.tables  # noqa: F401
    from models.inbound.ledger import LEDGER

    yield from LEDGER.metadata.tables.values()


def test_what_never_became_a_blob_goes_too(desk: sa.Engine, tmp_path: Path) -> None:
    folder = tmp_path / "others"
    store = open_blobs(str(folder))
    for name, age in (("dead", AGE), ("alive", timedelta())):
        (folder / "tmp" / name).write_bytes(b"half")
        os.utime(folder / "tmp" / name, times=((TODAY - age).timestamp(),) * 2)
    assert sweep(desk, store, TODAY + timedelta(minutes=1), dry_run=True) == Swept(unfinished=1)
    assert sweep(desk, store, TODAY + timedelta(minutes=1)) == Swept(unfinished=1)
    assert [path.name for path in (folder / "tmp").iterdir()] == ["alive"]


def test_a_sweep_is_no_mail_that_came_in(desk: sa.Engine, tmp_path: Path) -> None:
    """doctor (history) tells by the times of the shards how new the blobs are."""
    folder = tmp_path / "others"
    store = open_blobs(str(folder))
    orphan, _ = store.put_bytes(b"orphan")
    shard = folder / orphan[:2]
    os.utime(shard, times=(1e9, 1e9))
    sweep(desk, store, LATER)
    assert not store.exists(orphan) and shard.stat().st_mtime == 1e9
    store.put_back(orphan)
    assert store.exists(orphan) and shard.stat().st_mtime == 1e9


def test_once_a_day_and_a_store_that_is_away_is_tomorrows_work(
    desk: sa.Engine, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan, _ = blobs.put_bytes(b"orphan")
    broken: Callable[[str], None] = lambda sha256: (_ for _ in ()).throw(OSError(5, "away"))  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(blobs, "set_aside", broken)
        assert sweep_daily(desk, blobs, NOW, LATER) is None
    assert sweep_daily(desk, blobs, NOW + timedelta(hours=1), LATER) is None
    assert blobs.exists(orphan)
    assert sweep_daily(desk, blobs, NOW + timedelta(days=1), LATER) == Swept(set_aside=1)
