"""The pipeline's parent: what a worker left is given back, whenever and under whatever parent it died."""

import os
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.spool.spool import Spool
from postdesk import workers
from postdesk.workers import keep_workers, recover_all, slot, tidy
from tests.desk import wait_until
from values.mail import Envelope
from values.vocabulary import Source


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "spool")
    envelope = Envelope(
        reverse_path="su@acme.test",
        forward_paths=("support@hd.test",),
        source=Source.SMTP,
        received_at=datetime.now(UTC),
    )
    spool.put(envelope, b"Subject: x\r\n\r\nx\r\n")
    return spool


def _orphan(spool: Spool) -> int:
    """The pid of a worker that holds a slot and the mail, and does nothing more."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        with slot(spool) as name:
            spool.claim(name)
            os.write(writer, b"!")
            signal.pause()
        os._exit(0)
    os.close(writer)
    assert os.read(reader, 1)
    os.close(reader)
    return pid


def test_an_orphan_that_dies_late_keeps_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its slot was taken when the next parent began, so nobody took its mails back then, and no worker uses it."""
    monkeypatch.setattr(workers, "TIDY_EVERY", 0.05)
    orphan = _orphan(spool)
    stop = threading.Event()
    parent = threading.Thread(target=keep_workers, args=(0, lambda _: None, stop, lambda: tidy(spool)))
    parent.start()
    try:
        wait_until(lambda: (spool.work / "w0.lock").exists(), "the first look")
        assert spool.counts().work == 1, "a living worker keeps what it has"
        os.kill(orphan, signal.SIGKILL)
        os.waitpid(orphan, 0)
        wait_until(lambda: spool.counts().new == 1, "the mail back in new/", 10)
    finally:
        stop.set()
        parent.join(10)


def test_a_living_worker_is_left_alone(spool: Spool) -> None:
    worker = _orphan(spool)
    recover_all(spool)
    assert spool.counts().work == 1
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    recover_all(spool)
    assert (spool.counts().work, spool.counts().new) == (0, 1)


def test_f01_what_dead_receivers_left_is_swept(spool: Spool) -> None:
    old, fresh = spool.tmp / "old", spool.tmp / "fresh"
    old.write_bytes(b"half a mail")
    fresh.write_bytes(b"half a mail")
    os.utime(old, (0, 0))
    tidy(spool)
    assert not old.exists() and fresh.exists()
