"""The machine's clock jumps under a spool (fault F30): no mail waits until the clock is where it was, none is lost."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest import poison
from ingest.spool.spool import Spool
from values.mail import Envelope
from values.vocabulary import Source

ENVELOPE = Envelope(
    reverse_path="lucia@ibarra.example",
    forward_paths=("support@nordvik.test",),
    source=Source.SMTP,
    received_at=datetime(2026, 11, 24, 8, 0, tzinfo=UTC),
    client_ip="192.0.2.7",
)
HOUR = 3600
Turn = Callable[[float], None]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> Turn:
    """Puts the time of day on (or back) by seconds, from where it really is; the monotonic clock goes its way."""
    real = time.time_ns

    def put(seconds: float) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: real() + int(seconds * 1e9))
        monkeypatch.setattr(time, "time", lambda: real() / 1e9 + seconds)

    return put


@pytest.mark.parametrize("back", [HOUR, 24 * HOUR, 10 * 365 * 24 * HOUR])
def test_f30_a_mail_put_off_before_the_clock_went_back_is_due(spool: Spool, turn: Turn, back: float) -> None:
    put = spool.put(ENVELOPE, b"Subject: x\r\n\r\n")
    claim = spool.claim("w")
    assert claim is not None
    spool.release(claim, 5.0)
    assert spool.claim("w") is None and not spool.wait_for_new(0.01)
    turn(-back)
    assert spool.wait_for_new(1.0)
    claim = spool.claim("w")
    assert claim is not None and [mail.id for mail in claim.mails] == [put.id]
    spool.release(claim, 5.0)  # by the clock as it is now: it waits as any
    assert spool.claim("w") is None and not spool.wait_for_new(0.01)


def test_f30_a_mail_put_off_is_due_early_when_the_clock_goes_on(spool: Spool, turn: Turn) -> None:
    spool.put(ENVELOPE, b"Subject: x\r\n\r\n")
    claim = spool.claim("w")
    assert claim is not None
    spool.release(claim, 50.0)
    turn(24 * HOUR)
    assert spool.wait_for_new(1.0) and spool.claim("w") is not None


def test_f30_a_new_mail_is_seen_whatever_the_clock_did(spool: Spool, turn: Turn) -> None:
    for seconds in (-HOUR, HOUR, -24 * HOUR):
        assert spool.claim("w") is None
        turn(seconds)
        spool.put(ENVELOPE, b"Subject: x\r\n\r\n")
        assert spool.wait_for_new(1.0)
        claim = spool.claim("w")
        assert claim is not None
        spool.finish(claim)


def test_f30_what_was_shunted_before_the_clock_went_back_is_held(
    spool: Spool, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    monkeypatch.setattr(poison, "hold_shunted", lambda *_: looks.append(1))
    spool.put(ENVELOPE, b"Subject: x\r\n\r\n")
    claim = spool.claim("w")
    assert claim is not None
    spool.shunt(claim, "failed")
    turn(-HOUR)
    poison.ShuntWatch(spool, sa.create_engine("sqlite://"), lambda: datetime.now(UTC)).look()
    assert looks == [1]
