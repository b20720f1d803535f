"""From the outbox to the smarthost: claim, look at the suppressions, compose, send, settle.

Takes: due outbox rows, lent for a short lease that is extended while a dialogue lasts.  Gives: each row as sent, due
later, failed or suppressed.  Fails: a row that cannot be composed fails alone, with its reason; a database that is away
is waited for. A crash after the smarthost's 250 sends a second copy with the same Message-ID, never a lost mail.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event, Thread

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from models.blobs.store import BlobStore, is_store_away
from models.db.engine import is_lost_race, is_outage, reading, retrying, transaction
from models.db.failpoint import failpoint
from models.db.outage import DATABASE
from models.outbox.outbox import (
    Claimed,
    claim_due,
    enqueue,
    extend_lease,
    find_suppression,
    mark_deferred,
    mark_failed,
    mark_sent,
    mark_suppressed,
    next_due,
)
from models.views.mails import find_mail_rows
from notify.backoff import next_attempt
from notify.compose import Composed, Unfit, compose
from notify.mails import Letterhead, outgoing
from notify.render import Renderer
from notify.smarthost import Deferred, Failed, Outcome, Sent, Smarthost
from rules.reply import undelivered
from values.decision import Notice, OutboxFact
from values.vocabulary import Undelivered

# Few at once, so that a slow smarthost holds up an acknowledgement by a handful of digests at most (fault F22).
MOST_AT_ONCE = 5
LEASE = timedelta(minutes=2)  # after a crash the rows are due again this soon
SETTLE_PATIENCE = 3600.0  # seconds without a database: to give up is to send what the smarthost has a second time
LONGEST_PAUSE = 30.0  # seconds between two looks while the smarthost is unreachable

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """What dispatching needs; made by postdesk/wiring.py."""

    engine: sa.Engine
    smarthost: Smarthost
    letterhead: Letterhead
    renderer: Renderer
    blobs: BlobStore  # for the files of an answer
    now: Callable[[], datetime]  # the desk's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one look at the outbox did."""

    settled: int = 0
    unreachable: bool = False  # the smarthost: another look at once would be in vain


def run(desk: Dispatch, worker: str, stop: Event, *, until_idle: bool = False, poll: float = 0.2) -> int:
    """Send what is due, as `worker`, until `stop` is set (or nothing is due). The number of rows settled."""
    settled, pause = 0, poll
    try:
        while not stop.is_set():
            done = _round_in_any_weather(desk, worker)
            settled += done.settled
            if until_idle and (done.unreachable or not done.settled):
                break
            if done.unreachable:
                pause = min(max(pause * 2, 1.0), LONGEST_PAUSE)
                stop.wait(pause)
            else:
                pause = poll
                if not done.settled:
                    stop.wait(poll)
    finally:
        desk.smarthost.close()
    return settled


def _round_in_any_weather(desk: Dispatch, worker: str) -> Round:
    try:
        return run_once(desk, worker)
    except (SQLAlchemyError, OSError) as error:
        if not (is_outage(error) or is_lost_race(error)):
            raise
        if is_outage(error):
            DATABASE.met(error)
        return Round(unreachable=True)


def run_once(desk: Dispatch, worker: str) -> Round:
    """Claim a handful of due rows and bring each to an end."""
    with reading(desk.engine) as session:  # an idle look takes no writer's place
        due = next_due(session)
    DATABASE.over()
    if due is None or due > desk.now():
        return Round()
    claims = retrying(lambda: _claim(desk, worker))
    failpoint("dispatch.after-claim")
    unreachable: Deferred | None = None
    settled = 0
    with _lease(desk, claims) as held:
        for claimed in claims:
            # A lease that could not be extended, the database being away, may have ended: the row may be another's.
            if claimed.id in held.lost or time.monotonic() > held.until:
                log.warning("lease lost", outbox=claimed.id)
                continue
            outcome, message_id = (unreachable, None) if unreachable else _send(desk, claimed)
            if isinstance(outcome, Deferred) and outcome.unreachable:
                unreachable = outcome  # the rest would fare alike: it waits too, without a dialogue each
            _settle(desk, claimed, outcome, message_id)
            settled += 1
    return Round(settled=settled, unreachable=unreachable is not None)


def _claim(desk: Dispatch, worker: str) -> list[Claimed]:
    with transaction(desk.engine) as session:
        return claim_due(session, worker, desk.now(), limit=MOST_AT_ONCE, lease=LEASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Suppressed:
    reason: str


def _send(desk: Dispatch, claimed: Claimed) -> tuple[Outcome | _Suppressed, str | None]:
    """What came of one row, and the Message-ID that it carried."""
    composed = _compose(desk, claimed)
    if isinstance(composed, _Suppressed | Deferred):
        return composed, None
    if isinstance(composed, Unfit):
        log.error("cannot be composed", outbox=claimed.id, mail_name=claimed.mail, reason=composed.reason)
        return Failed(reply=f"not composed: {composed.reason}"), None
    for note in composed.notes:
        log.error("mail fell back", outbox=claimed.id, mail_name=claimed.mail, note=note)
    failpoint("dispatch.before-send")
    outcome = desk.smarthost.send(composed)
    failpoint("dispatch.before-mark")
    return outcome, composed.message_id


def _compose(desk: Dispatch, claimed: Claimed) -> Composed | Unfit | Deferred | _Suppressed:
    with reading(desk.engine) as session:
        suppressed = find_suppression(session, claimed.recipient)
        if suppressed:
            return _Suppressed(reason=f"its address is suppressed: {suppressed}")
        rows = find_mail_rows(session, claimed, desk.now())
    if rows.access and rows.access.link and not rows.access.link.is_open:
        # Whoever asks twice has one mail too many. No failure: else strangers could raise the alarm that failures do.
        return _Suppressed(reason="its link is void: a newer one took its place, or it was used")
    try:
        mail = outgoing(rows, desk.letterhead)
        return mail if isinstance(mail, Unfit) else compose(mail, desk.renderer, desk.blobs.get)
    except Exception as error:  # a row that makes our code fail must not hold up those behind it (threat M9)
        if is_store_away(error):  # the files are sent when the store is back
            log.error("blob store away", outbox=claimed.id, error=str(error))
            return Deferred(reply=f"its files cannot be read: {error}")
        log.exception("composing failed", outbox=claimed.id)
        return Unfit(reason=f"{type(error).__name__}: {error}")


def _settle(desk: Dispatch, claimed: Claimed, outcome: Outcome | _Suppressed, message_id: str | None) -> None:
    def settle() -> tuple[bool, str, str]:
        with transaction(desk.engine) as session:
            kept, became, reply = _mark(session, claimed, outcome, message_id, desk.now())
            if kept and became in ("failed", "suppressed"):
                enqueue(session, _told(desk, claimed, Undelivered(became), reply), desk.now())
            return kept, became, reply

    kept, became, reply = retrying(settle, patience=SETTLE_PATIENCE)
    tell = log.warning if became in ("failed", "suppressed") else log.info
    tell("dispatched", outbox=claimed.id, mail_name=claimed.mail, became=became, reply=reply, attempts=claimed.attempts)
    if not kept:
        log.warning("settled by another worker", outbox=claimed.id)
    failpoint("dispatch.after-mark")


def _told(desk: Dispatch, claimed: Claimed, became: Undelivered, reply: str) -> tuple[Notice, ...]:
    """Who hears that it never leaves; again where a person sent it again in vain, which the fence tells."""
    row = OutboxFact(
        id=claimed.id,
        mail=claimed.mail,
        recipient=claimed.recipient,
        ticket=claimed.ticket,
        about=tuple(claimed.context.items()),
    )
    return undelivered(row, became, reply, cause=str(claimed.fence), policy=desk.letterhead.policy)


def _mark(
    session: Session, claimed: Claimed, outcome: Outcome | _Suppressed, message_id: str | None, now: datetime
) -> tuple[bool, str, str]:
    """Whether the row was still ours, what it became, and what its last reply is."""
    match outcome:
        case Sent(reply=reply):
            return mark_sent(session, claimed, now, message_id=message_id or "", reply=reply), "sent", reply
        case _Suppressed(reason=reason):
            return mark_suppressed(session, claimed, why=reason), "suppressed", reason
        case Failed(reply=reply):
            return mark_failed(session, claimed, message_id=message_id, reply=reply), "failed", reply
        case Deferred(reply=reply):
            at = next_attempt(attempts=claimed.attempts, since=claimed.created, now=now, jitter=random.random())
            if at is not None:
                return mark_deferred(session, claimed, at, message_id=message_id, reply=reply), "deferred", reply
            given_up = f"given up: {reply}"
            return mark_failed(session, claimed, message_id=message_id, reply=given_up), "failed", given_up


@dataclass(slots=True)
class _Held:
    """What is known of the leases of a round."""

    until: float  # monotonic: till then nobody else takes a row
    lost: set[int] = field(default_factory=set)  # ids of those that another worker took


@contextmanager
def _lease(desk: Dispatch, claims: Sequence[Claimed]) -> Iterator[_Held]:
    """Extends the leases of `claims`, which were made this moment, while the block runs."""
    held = _Held(until=time.monotonic() + LEASE.total_seconds())
    ended = Event()

    def extend() -> None:
        while not ended.wait(LEASE.total_seconds() / 3):
            asked = time.monotonic()
            try:
                with transaction(desk.engine) as session:
                    kept = {c.id for c in claims if extend_lease(session, c, desk.now(), lease=LEASE)}
            except SQLAlchemyError as error:  # the next turn comes before the lease ends
                log.warning("lease not extended", error=str(error))
                continue
            held.lost.update(c.id for c in claims if c.id not in kept)
            held.until = asked + LEASE.total_seconds()

    keeper = Thread(target=extend, name="lease", daemon=True)
    keeper.start()
    try:
        yield held
    finally:
        ended.set()
        keeper.join()
