"""What falls due about access: invitations leave, agents are warned, seats pass on and return, what is old ends.

Takes: the database, the policy, the desk's time.  Gives: how much was done of each.  Fails: a step that fails is logged
and tried at the next tick; it keeps no other from its work.

No timer lies anywhere: each step asks the rows what is due by now, and does each in a transaction of its own, in which
the row is looked at again. So any number of schedulers may tick, one may sleep for days, and a clock may jump: what is
done is done once, and a step that missed its time comes late, once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
import structlog
from sqlmodel import Session

from models.access.due import (
    customers_with_contracts,
    invitations_failed,
    invitations_over,
    loans_ending,
    loans_over,
    loans_to_start,
    requests_to_invite,
    requests_to_warn,
    unproved_over,
)
from models.access.facts import gather_access
from models.access.request import perform
from models.db.engine import reading, retrying, transaction
from models.desk.job_run import begin_once
from models.people.contract import settle_seats
from models.sessions.link import forget_links
from models.sessions.rate_limit import forget_counts
from models.sessions.web_session import forget_sessions
from rules import access, seats
from rules.policy import Policy
from values.access import AccessFacts, SeatFact
from values.decision import Ruling
from values.vocabulary import Answer

KEEP = timedelta(days=30)  # links, sessions and counts, after their end

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One act that is due: what it is about, and the period in which it is done once."""

    request: int | None = None
    seat: int | None = None
    period: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    name: str
    due: Callable[[Session, datetime, Policy], Iterator[Due]]
    rule: Callable[[AccessFacts, Due, datetime, Policy], Ruling]


def run_access(engine: sa.Engine, policy: Policy, now: datetime) -> dict[str, int]:
    """Do all that is due by `now`; {step: how much} of the steps that did something."""
    done: dict[str, int] = {}
    for step in STEPS:
        _count(done, step.name, lambda step=step: _run(engine, policy, step, now))  # type: ignore[misc]
    _count(done, "settle-contracts", lambda: _settle_contracts(engine, now))
    _count(done, "forget-links", lambda: retrying(lambda: _forget(engine, now)))
    return done


def _count(done: dict[str, int], name: str, work: Callable[[], int]) -> None:
    try:
        amount = work()
    except Exception:
        log.exception("job failed", job=name)
        return
    if amount:
        done[name] = amount
        log.info("job done", job=name, amount=amount)


def _run(engine: sa.Engine, policy: Policy, step: Step, now: datetime) -> int:
    with reading(engine) as session:
        due = list(step.due(session, now, policy))
    amount = 0
    for one in due:
        try:
            amount += retrying(lambda one=one: _do(engine, policy, step, one, now))  # type: ignore[misc]
        except Exception:
            log.exception("job failed", job=step.name, request=one.request, seat=one.seat)
    return amount


def _do(engine: sa.Engine, policy: Policy, step: Step, due: Due, now: datetime) -> bool:
    with transaction(engine, snapshot=True) as session:
        facts = gather_access(session, now, request=due.request, seat=due.seat)
        ruling = step.rule(facts, due, now, policy)
        if ruling.answer is Answer.ALREADY:
            return False
        what = f"request:{due.request}" if due.request is not None else f"seat:{due.seat}"
        if not begin_once(session, step.name, due.period, now, recipient=what):
            return False
        perform(session, ruling.actions, ruling.notices, now, who="desk", via=f"job:{step.name}")
    return True


# --- steps --------------------------------------------------------------------------------------------------------


def _seat_rule(
    rule: Callable[[AccessFacts, SeatFact, datetime, Policy], Ruling],
) -> Callable[[AccessFacts, Due, datetime, Policy], Ruling]:
    def ask(facts: AccessFacts, due: Due, now: datetime, policy: Policy) -> Ruling:
        seat = facts.seat(due.seat)
        return rule(facts, seat, now, policy) if seat else Ruling(answer=Answer.ALREADY)

    return ask


def _returns(session: Session, now: datetime, policy: Policy) -> Iterator[Due]:
    return (Due(seat=id, period="once") for id in loans_over(session, now))


def _starts(session: Session, now: datetime, policy: Policy) -> Iterator[Due]:
    return (Due(seat=id, period="once") for id in loans_to_start(session, now))


def _reminders(session: Session, now: datetime, policy: Policy) -> Iterator[Due]:
    ending = loans_ending(session, now, now + policy.seat_reminder)
    return (Due(seat=id, period=until.isoformat()) for id, until in ending)


def _invitations(session: Session, now: datetime, policy: Policy) -> Iterator[Due]:
    return (Due(request=id, period=f"seat:{seat}") for id, seat in requests_to_invite(session))


def _failed(session: Session, now: datetime, policy: Policy) -> Iterator[Due]:
    return (Due(request=id, period=f"link:{link}") for id, link in invitations_failed(session))


def _warnings(session: Session, now: datetime, policy: Policy) -> Iterator[Due]:
    ahead = policy.access_due - policy.access_warning
    return (Due(request=id, period=due.isoformat()) for id, due in requests_to_warn(session, now + ahead))


def _ends(session: Session, now: datetime, policy: Policy) -> Iterator[Due]:
    yield from (Due(request=id, period="unproved") for id in unproved_over(session, now - policy.proof_lifetime))
    over = invitations_over(session, now - policy.invitation_lifetime)
    yield from (Due(request=id, period=f"seat:{seat}") for id, seat in over)


STEPS: tuple[Step, ...] = (
    # Seats return before others start: a slot is free again first.
    Step(name="return-seats", due=_returns, rule=_seat_rule(lambda f, seat, now, p: seats.give_back(f, seat, now))),
    Step(name="start-replacements", due=_starts, rule=_seat_rule(lambda f, seat, now, p: seats.start(f, seat, now))),
    Step(
        name="remind-of-returns",
        due=_reminders,
        rule=_seat_rule(lambda f, seat, now, p: seats.remind(f, seat, now, p.seat_reminder)),
    ),
    Step(name="send-invitations", due=_invitations, rule=lambda f, due, now, p: access.invite_first(f, p, now)),
    # Refused while we sent it: no report will come that says so (rules/access_mail.py reads those).
    Step(name="reopen-requests", due=_failed, rule=lambda f, due, now, p: access.reopen(f, p, now)),
    Step(name="warn-of-late-requests", due=_warnings, rule=lambda f, due, now, p: access.warn(f, p, now)),
    Step(name="end-requests", due=_ends, rule=lambda f, due, now, p: access.expire(f, p, now)),
)


# --- contracts, and what is forgotten -----------------------------------------------------------------------------


def _settle_contracts(engine: sa.Engine, now: datetime) -> int:
    """Contracts begin and end at midnight where the customer is: the number of seats follows, once a day."""
    with reading(engine) as session:
        customers = customers_with_contracts(session)
    return sum(retrying(lambda c=c, z=z: _settle(engine, c, z, now)) for c, z in customers)  # type: ignore[misc]


def _settle(engine: sa.Engine, customer: int, zone: str, now: datetime) -> bool:
    today = now.astimezone(ZoneInfo(zone)).date()
    with transaction(engine, snapshot=True) as session:
        if not begin_once(session, "settle-contracts", today.isoformat(), now, recipient=f"customer:{customer}"):
            return False
        settle_seats(session, customer, today, now, who="desk", via="job:settle-contracts")
        ruling = seats.settle_flags(gather_access(session, now, customer=customer))
        perform(session, ruling.actions, ruling.notices, now, who="desk", via="job:settle-contracts")
    return True


def _forget(engine: sa.Engine, now: datetime) -> int:
    with transaction(engine) as session:
        if not begin_once(session, "forget-links", now.date().isoformat(), now):
            return 0
        before = now - KEEP
        return forget_links(session, before) + forget_sessions(session, before) + forget_counts(session, before)
