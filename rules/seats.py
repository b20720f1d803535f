"""Who holds which seat, from when to when, who gets it back, and who is told? (domain.md 4)

Pure: `AccessFacts` go in, a `Ruling` comes out; mail, pages, commands and jobs ask the same functions.
"""

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from values.access import (
    AccessFacts,
    EndLinks,
    FlagSeat,
    MoveRequest,
    PassTickets,
    ReleaseWaiting,
    SeatFact,
    StaffFact,
    TurnSeat,
    free_slot,
)
from values.decision import Notice, Ruling
from values.vocabulary import AccessState, Answer, MailName, SeatChange, SeatState

OVER_NUMBER = "over-number"  # the contract's number was lowered below the seats in use
BOUNCES = "bounces"  # mail to the holder's address comes back

_COUNTS = (SeatState.ACTIVE, SeatState.RESERVED)


# --- questions ----------------------------------------------------------------------------------------------------


def first_moment(day: date, zone: str) -> datetime:
    """When the day begins where the customer is, in UTC; where clocks skip midnight, the moment they skip it."""
    return datetime.combine(day, time(0, 0), tzinfo=ZoneInfo(zone)).astimezone(UTC)


def slot_for_one_more(facts: AccessFacts) -> int | None:
    """The slot that a new seat would take; None where the contract's number is reached."""
    if facts.customer is None:
        return None
    taken = [seat.slot for seat in facts.seats if seat.state in _COUNTS and seat.slot is not None]
    return free_slot(taken, facts.customer.seats)


def holders(facts: AccessFacts) -> tuple[SeatFact, ...]:
    """The seats that count, the oldest first."""
    return tuple(seat for seat in facts.seats if seat.state in _COUNTS and seat.slot is not None)


def seat_of(facts: AccessFacts, contact: int | None, *states: SeatState) -> SeatFact | None:
    """The contact's own seat in one of these states."""
    return next((s for s in facts.seats if s.contact == contact and s.state in states), None)


def named_seat(facts: AccessFacts, named: str) -> SeatFact | None:
    """The active seat of the superuser whom an applicant named: by address, by name, or by some words of the name where
    only one holder has them all. Accents and case do not count: "lucia" is Lucía Ortega."""
    wanted = plain_name(named)
    active = [seat for seat in facts.seats if seat.state is SeatState.ACTIVE]
    tests: tuple[Callable[[SeatFact], bool], ...] = (
        lambda seat: plain_name(seat.address) == wanted,
        lambda seat: plain_name(seat.name) == wanted,
        lambda seat: set(wanted.split()) <= set(plain_name(seat.name).split()),
    )
    for fits in tests if wanted else ():
        if found := [seat for seat in active if fits(seat)]:
            return found[0] if len(found) == 1 else None
    return None


def plain_name(text: str) -> str:
    """A name or address as people compare them: no accents, no case, single spaces."""
    bare = (char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return " ".join("".join(bare).casefold().split())


def loans_of(facts: AccessFacts, seat: SeatFact) -> tuple[SeatFact, ...]:
    """Seats that stand in for this one, now or later."""
    return tuple(other for other in facts.seats if other.stands_in_for == seat.id)


def loan_fits(facts: AccessFacts, seat: SeatFact, starts: datetime, until: datetime | None, now: datetime) -> bool:
    """May the seat be lent then? It is a holder's own, the time is to come, and no other loan falls into it."""
    is_own = seat.until is None
    is_ahead = until is None or (starts < until and now < until)
    is_free = all(
        (until is not None and until <= loan.starts) or (loan.until is not None and loan.until <= starts)
        for loan in loans_of(facts, seat)
    )
    return is_own and is_ahead and is_free


# --- replacements -------------------------------------------------------------------------------------------------


def start(facts: AccessFacts, seat: SeatFact, now: datetime) -> Ruling:
    """A replacement begins: the regular's seat rests (or ends, where no end is agreed), the stand-in's is active."""
    regular = facts.seat(seat.stands_in_for)
    busy = seat_of(facts, seat.contact, SeatState.ACTIVE, SeatState.RESTING)
    if seat.state not in (SeatState.PLANNED, SeatState.RESERVED) or now < seat.starts:
        return Ruling(answer=Answer.ALREADY)
    if regular is None or regular.state is not SeatState.ACTIVE or busy or (seat.until and seat.until <= now):
        return _lapse(facts, seat)
    rests = SeatState.RESTING if seat.until else SeatState.ENDED
    return Ruling(
        answer=Answer.DONE,
        actions=(
            TurnSeat(seat=regular.id, was=SeatState.ACTIVE, now=rests, why="lent" if seat.until else "replaced"),
            TurnSeat(seat=seat.id, was=seat.state, now=SeatState.ACTIVE, slot=regular.slot),
            PassTickets(customer=seat.customer, giver=regular.contact, taker=seat.contact),
            ReleaseWaiting(author=seat.address, customer=seat.customer),
        ),
        notices=told(facts, seat, SeatChange.STARTED if seat.until else SeatChange.HOLDER),
    )


def give_back(facts: AccessFacts, seat: SeatFact, now: datetime, *, asked: bool = False) -> Ruling:
    """A replacement ends, on its day or because the regular `asked`: the regular's seat is active again."""
    regular = facts.seat(seat.stands_in_for)
    if seat.state is SeatState.ACTIVE and not asked and (seat.until is None or now < seat.until):
        return Ruling(answer=Answer.ALREADY)
    if seat.state in (SeatState.PLANNED, SeatState.RESERVED):
        return _lapse(facts, seat)
    ends = TurnSeat(seat=seat.id, was=seat.state, now=SeatState.ENDED, why="taken back" if asked else "ended")
    change = SeatChange.TAKEN_BACK if asked else SeatChange.RETURNED
    if regular is None or regular.state is not SeatState.RESTING:  # the regular left meanwhile
        return Ruling(answer=Answer.DONE, actions=(ends,), notices=told(facts, seat, SeatChange.ENDED))
    return Ruling(
        answer=Answer.DONE,
        actions=(
            ends,
            TurnSeat(seat=regular.id, was=SeatState.RESTING, now=SeatState.ACTIVE, slot=seat.slot, why="back"),
            PassTickets(customer=seat.customer, giver=seat.contact, taker=regular.contact),
        ),
        notices=told(facts, seat, change),
    )


def take_back(facts: AccessFacts, contact: int | None, now: datetime) -> Ruling:
    """The regular is back early, or does not go: what stands in for his seat ends now."""
    mine = seat_of(facts, contact, SeatState.RESTING, SeatState.ACTIVE)
    loans = loans_of(facts, mine) if mine else ()
    if not loans:
        return Ruling(answer=Answer.NOTHING_TO_RETURN)
    rulings = [give_back(facts, loan, now, asked=True) for loan in loans if loan.until is not None]
    if not rulings:
        return Ruling(answer=Answer.NOTHING_TO_RETURN)
    return merged(*rulings)


def remind(facts: AccessFacts, seat: SeatFact, now: datetime, ahead: timedelta) -> Ruling:
    """Two days before a replacement ends, stand-in and regular are told, with a file for their calendars."""
    regular = facts.seat(seat.stands_in_for)
    if seat.state is not SeatState.ACTIVE or seat.until is None or not seat.until - ahead <= now < seat.until:
        return Ruling(answer=Answer.ALREADY)
    people = (seat, regular) if regular else (seat,)
    notices = (notice_to(one, MailName.SEAT_RETURNS_SOON, f"seat:{seat.id}", seat=seat.id) for one in people)
    return Ruling(answer=Answer.DONE, notices=tuple(notices))


def end(facts: AccessFacts, seat: SeatFact, now: datetime) -> Ruling:
    """An agent ends a seat for good: what stands in for it ends too, what it stands in for comes back."""
    if seat.stands_in_for is not None and seat.until is not None:
        return give_back(facts, seat, now, asked=True)
    loans = loans_of(facts, seat)
    ended = (TurnSeat(seat=one.id, was=one.state, now=SeatState.ENDED, why="ended") for one in (*loans, seat))
    notices = (notice for one in (*loans, seat) for notice in told(facts, one, SeatChange.ENDED))
    links = tuple(action for one in (*loans, seat) for action in withdrawn(one))
    return Ruling(answer=Answer.DONE, actions=(*ended, *links), notices=each_once(notices))


def _lapse(facts: AccessFacts, seat: SeatFact) -> Ruling:
    ends = TurnSeat(seat=seat.id, was=seat.state, now=SeatState.ENDED, why="did not begin")
    actions = (ends, *withdrawn(seat))
    return Ruling(answer=Answer.DONE, actions=actions, notices=told(facts, seat, SeatChange.CANCELLED))


def withdrawn(seat: SeatFact) -> tuple[MoveRequest | EndLinks, ...]:
    """With a seat that was never taken, its invitation ends: its link opens no page that cannot be obeyed."""
    state = seat.request_state
    if seat.request is None or state not in (AccessState.APPROVED, AccessState.INVITED):
        return ()
    ended = MoveRequest(request=seat.request, was=state, now=AccessState.EXPIRED, reason="withdrawn")
    return (ended, EndLinks(request=seat.request))


# --- flags --------------------------------------------------------------------------------------------------------


def flag(facts: AccessFacts, seat: SeatFact, why: str) -> Ruling:
    """Something is wrong with a seat: the other superusers are asked who follows, the account manager is told."""
    if seat.flag == why:
        return Ruling(answer=Answer.ALREADY)
    others = [one for one in facts.seats if one.state is SeatState.ACTIVE and one.id != seat.id]
    cause = f"seat:{seat.id}:{why}"
    people: tuple[SeatFact | StaffFact, ...] = (*others, *responsible(facts))
    notices = tuple(notice_to(one, MailName.SEAT_FLAGGED, cause, seat=seat.id) for one in people)
    return Ruling(answer=Answer.DONE, actions=(FlagSeat(seat=seat.id, flag=why),), notices=notices)


def settle_flags(facts: AccessFacts) -> Ruling:
    """Nobody loses a seat because the number was lowered: the youngest seats above it are flagged, or no more."""
    if facts.customer is None:
        return Ruling(answer=Answer.ALREADY)
    counted = sorted(holders(facts), key=lambda seat: (seat.starts, seat.id))
    above = {seat.id for seat in counted[facts.customer.seats :]}
    rulings = [flag(facts, seat, OVER_NUMBER) for seat in counted if seat.id in above]
    unflag = tuple(
        FlagSeat(seat=seat.id, flag=None) for seat in facts.seats if seat.flag == OVER_NUMBER and seat.id not in above
    )
    return merged(*rulings, Ruling(answer=Answer.DONE, actions=unflag))


# --- who is told --------------------------------------------------------------------------------------------------


def told(facts: AccessFacts, seat: SeatFact, change: SeatChange) -> tuple[Notice, ...]:
    """Everyone concerned by a change of `seat`: its holder, the one it stands in for, the other superusers."""
    people = {seat.address: seat}
    regular = facts.seat(seat.stands_in_for)
    active = (one for one in facts.seats if one.state is SeatState.ACTIVE)
    for one in (*((regular,) if regular else ()), *active):
        people.setdefault(one.address, one)
    cause = f"seat:{seat.id}:{change}"
    return tuple(
        notice_to(one, MailName.SEAT_CHANGED, cause, seat=seat.id, change=change.value) for one in people.values()
    )


def notice_to(person: SeatFact | StaffFact, mail: MailName, cause: str, **context: str | int | None) -> Notice:
    """A mail to the holder of a seat, or to one of the vendor's people, in the person's own language."""
    return Notice(
        mail=mail,
        recipient=person.address,
        key=Notice.key_of(mail, cause, person.address),
        language=person.language,
        zone=person.zone,
        context=tuple(context.items()),
    )


def responsible(facts: AccessFacts) -> tuple[StaffFact, ...]:
    """The customer's account manager; the agents where none is named."""
    return (facts.manager,) if facts.manager else facts.agents


def merged(*rulings: Ruling) -> Ruling:
    """One after the other; the last answer counts."""
    return replace(
        rulings[-1],
        actions=tuple(action for ruling in rulings for action in ruling.actions),
        notices=tuple(notice for ruling in rulings for notice in ruling.notices),
    )


def each_once(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """Notices by their key."""
    return tuple({notice.key: notice for notice in notices}.values())
