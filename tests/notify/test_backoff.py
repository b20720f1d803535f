"""notify/backoff.py: soon at first, hourly later, and an end."""

from datetime import UTC, datetime, timedelta

from notify.backoff import next_attempt

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def test_the_steps() -> None:
    minutes = []
    for attempts in range(1, 8):
        at = next_attempt(attempts=attempts, since=START, now=START, jitter=0.0)
        assert at is not None
        minutes.append((at - START) / timedelta(minutes=1))
    assert minutes == [1, 5, 15, 30, 60, 60, 60]


def test_jitter_only_makes_it_later_and_by_a_fifth_at_most() -> None:
    at = next_attempt(attempts=5, since=START, now=START, jitter=0.999)
    assert at is not None and timedelta(minutes=60) < at - START < timedelta(minutes=72)


def test_it_gives_up_after_five_days_and_not_before_four() -> None:
    now, attempts = START, 0
    while (at := next_attempt(attempts=(attempts := attempts + 1), since=START, now=now, jitter=0.5)) is not None:
        assert at > now
        now = at
    assert timedelta(days=4) < now - START <= timedelta(days=5)
    assert attempts < 130, "never hammering"
