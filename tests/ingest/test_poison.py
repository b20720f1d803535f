"""What lies in the shunt has its row: damaged files of every kind, once each, and soon after."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest import poison
from ingest.poison import ShuntWatch, hold_shunted
from ingest.spool import spool as spool_room
from ingest.spool.spool import Spool
from models.db.engine import reading
from models.views.ledger import list_ledger
from values.mail import Envelope
from values.vocabulary import Source


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def _put(spool: Spool, count: int) -> list[str]:
    """A file with so many mails; their ids."""
    envelope = Envelope(
        reverse_path="su@acme.test",
        forward_paths=("support@hd.test",),
        source=Source.SMTP,
        received_at=datetime.now(UTC),
    )
    mails = spool.put_batch([(envelope, b"Subject: %d\r\n\r\n%s\r\n" % (n, b"x" * 300)) for n in range(count)])
    return [mail.id for mail in mails]


def _now() -> datetime:
    return datetime.now(UTC)


def _ledger(database: sa.Engine) -> list[dict[str, Any]]:
    with reading(database) as session:
        return list_ledger(session)


def _flip(path: Path, what: bytes, nth: int) -> None:
    octets = bytearray(path.read_bytes())
    at = -1
    for _ in range(nth + 1):
        at = octets.index(what, at + 1)
    octets[at + 2] ^= 0x11
    path.write_bytes(octets)


@pytest.mark.parametrize(
    ("what", "lost"),
    [
        ([(b"xxxx", 0)], 1),  # the body of the first: its header still says which mail it was
        ([(b'"reverse_path"', 0)], 1),  # the header of the first, whose id the file has
        ([(b'"reverse_path"', 1)], 1),  # the header of the second: nobody knows its id
        ([(b'"reverse_path"', 2), (b'"reverse_path"', 1)], 2),  # two in a row are one stretch, and two mails
        ([(b'"reverse_path"', 2), (b'"reverse_path"', 1), (b'"reverse_path"', 0)], 3),
    ],
)
def test_f13_each_lost_mail_of_a_batch_has_a_row(
    spool: Spool, database: sa.Engine, what: list[tuple[bytes, int]], lost: int
) -> None:
    ids = _put(spool, 3)
    (file,) = spool.new.iterdir()
    for octets, nth in what:
        _flip(file, octets, nth)
    claim = spool.claim("w")
    good = {mail.id for mail in claim.mails} if claim else set()
    assert len(good) == 3 - lost
    assert hold_shunted(spool, database, _now) == lost
    rows = _ledger(database)
    assert len(rows) == lost and {row["reason"] for row in rows} == {"poison"}
    assert not good & {row["id"] for row in rows}, "a good mail goes its own way"
    if what[0][0] == b"xxxx":
        assert [(row["id"], row["reverse_path"]) for row in rows] == [(ids[0], "su@acme.test")]
    assert hold_shunted(spool, database, _now) == 0, "a second look finds the same"
    assert all(abs((_now() - datetime.fromisoformat(str(row["received"]))).total_seconds()) < 60 for row in rows)


def test_f10_a_bad_sector_under_one_file_stops_nobody(
    spool: Spool, database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(spool, 2)
    (bad,) = (path.name for path in spool.new.iterdir())
    (good,) = _put(spool, 1)
    real = spool_room.read_file

    def read_file(path: Path, file_id: str, attempts: int) -> Any:
        if path.name.startswith(bad[:26]):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, file_id, attempts)

    monkeypatch.setattr(spool_room, "read_file", read_file)
    monkeypatch.setattr(poison, "read_file", read_file)
    claim = spool.claim("w", 50)
    assert claim is not None and [mail.id for mail in claim.mails] == [good]
    assert hold_shunted(spool, database, _now) == 2
    assert "Input/output error" in spool.shunted()[0].detail


def test_the_watch_looks_when_the_folder_changed(
    spool: Spool, database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    monkeypatch.setattr(poison, "hold_shunted", lambda *_: looks.append(1))
    monkeypatch.setattr(poison, "_TICK", -(10**12))  # the folder was changed this moment: trust it all the same
    watch = ShuntWatch(spool, database, _now)
    watch.look()
    watch.look()
    assert len(looks) == 1
    _put(spool, 1)
    claim = spool.claim("w")
    assert claim is not None
    spool.shunt(claim, "failed")
    os.utime(spool.shunt_folder, ns=(0, spool.shunt_folder.stat().st_mtime_ns + 1))  # whatever the clock's ticks
    watch.look()
    assert len(looks) == 2
