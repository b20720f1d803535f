"""When is a mail tried again? Pure.

RFC 5321 §4.5.4.1: retry soon at first, then at intervals, and give up after four or five days.
"""

from datetime import datetime, timedelta

STEPS: tuple[timedelta, ...] = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30, 60))
GIVE_UP_AFTER = timedelta(days=5)
JITTER = 0.2  # of a step, so that mails that failed together do not come again together


def next_attempt(*, attempts: int, since: datetime, now: datetime, jitter: float) -> datetime | None:
    """The time of the next attempt, or None: give up.

    `attempts`: those made so far, 1 or more. `since`: when the mail was enqueued. `jitter`: a random number in [0, 1).
    """
    step = STEPS[min(max(attempts, 1), len(STEPS)) - 1]
    at = now + step * (1 + JITTER * jitter)
    # A row that a person sends again days later gets the first steps once more.
    return at if at - since <= GIVE_UP_AFTER or attempts <= len(STEPS) else None
