"""rules/access.py and rules/seats.py: who gets which seat, from when to when, and who is told. Tables, no fixtures."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest

from rules import access, seats
from tests.builders import NOW, POLICY
from values.access import (
    AccessCustomerFact,
    AccessFacts,
    Asked,
    MoveRequest,
    RequestFact,
    ReserveSeat,
    SeatFact,
    StaffFact,
    TurnSeat,
)
from values.vocabulary import AccessKind, AccessState, Answer, MailName, SeatState

MADRID = AccessCustomerFact(id=1, name="Acme", language="es", zone="Europe/Madrid", seats=2, automatic=False)
ANNA = StaffFact(id=1, address="anna@nordvik.test", name="Anna", language="sv", zone="UTC")
SALES = StaffFact(id=2, address="sales@nordvik.test", name="Sam", language="en", zone="UTC")
NAMES = {1: "Lucía Ibarra", 2: "Jon", 3: "María", 4: "Eva"}


def seat(id: int, state: SeatState = SeatState.ACTIVE, **more: Any) -> SeatFact:
    values: dict[str, Any] = {
        "customer": 1,
        "contact": id,
        "address": f"{NAMES[id].split()[0].lower().replace('í', 'i')}@acme.test",
        "name": NAMES[id],
        "language": "es",
        "zone": "Europe/Madrid",
        "slot": id,
        "starts": NOW - timedelta(days=100 - id),
        "until": None,
    }
    return SeatFact(id=id, state=state, **(values | more))


LUCIA, JON = seat(1), seat(2)
RESTING = replace(LUCIA, state=SeatState.RESTING)
LOAN = seat(
    3,
    SeatState.PLANNED,
    slot=None,
    stands_in_for=1,
    starts=NOW + timedelta(days=7),
    until=NOW + timedelta(days=21),
    starts_on=date(2026, 12, 1),
    ends_on=date(2026, 12, 14),
)
LENT = replace(LOAN, state=SeatState.ACTIVE, slot=1)


def wish(**more: Any) -> Asked:
    values: dict[str, Any] = {"name": "María", "address": "maria@acme.test", "language": "es"}
    return Asked(**(values | more))


def instead(**more: Any) -> Asked:
    values: dict[str, Any] = {"kind": AccessKind.IN_PLACE_OF, "in_place_of": "lucia@acme.test"}
    return wish(**(values | more))


def asked(what: Asked | None = None, state: AccessState = AccessState.WAITING, **more: Any) -> RequestFact:
    values: dict[str, Any] = {"id": 17, "created": NOW, "due": NOW + timedelta(hours=24)}
    return RequestFact(asked=what or wish(), state=state, **(values | more))


def facts(*held: SeatFact, request: RequestFact | None = None, **more: Any) -> AccessFacts:
    values: dict[str, Any] = {
        "request": request,
        "customer": MADRID,
        "domain_fits": True,
        "customers_by_domain": 1,
        "seats": held,
        "agents": (ANNA,),
        "manager": SALES,
    }
    return AccessFacts(**(values | more))


# --- approving: one row a rule ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (facts(), Answer.NOT_FOUND),
        (facts(request=asked(state=AccessState.REFUSED)), Answer.ALREADY),
        (facts(request=asked(), customer=None), Answer.NO_CUSTOMER),
        (facts(LUCIA, request=asked()), Answer.APPROVED),
        (facts(LUCIA, JON, request=asked()), Answer.SEATS_TAKEN),
        (facts(LUCIA, seat(2, SeatState.RESERVED), request=asked()), Answer.SEATS_TAKEN),
        (facts(RESTING, LENT, request=asked(wish(address="x@acme.test"))), Answer.APPROVED),  # a lent seat is one
        (facts(LUCIA, request=asked(), applicant=1), Answer.HAS_SEAT),
        (facts(RESTING, LENT, request=asked(), applicant=1), Answer.HAS_SEAT),
        (facts(LUCIA, JON, request=asked(instead())), Answer.APPROVED),
        (facts(LUCIA, JON, request=asked(instead(in_place_of="  lucía   IBARRA "))), Answer.APPROVED),
        (facts(LUCIA, JON, request=asked(instead(in_place_of="Lucía"))), Answer.APPROVED),
        (facts(LUCIA, JON, request=asked(instead(in_place_of="lucia ibarra"))), Answer.APPROVED),
        (facts(LUCIA, JON, request=asked(instead(in_place_of="Ibarra LUCIA"))), Answer.APPROVED),
        (facts(LUCIA, JON, request=asked(instead(in_place_of="Luc"))), Answer.NOBODY_TO_REPLACE),
        (facts(LUCIA, replace(JON, name="Lucia Ortega"), request=asked(instead(in_place_of="lucía"))),
         Answer.NOBODY_TO_REPLACE),  # two of that first name
        (facts(LUCIA, JON, request=asked(instead(in_place_of="boss@evil.test"))), Answer.NOBODY_TO_REPLACE),
        (facts(RESTING, LENT, request=asked(instead())), Answer.NOBODY_TO_REPLACE),  # she is away already
        (facts(LUCIA, replace(JON, name="Lucía Ibarra"), request=asked(instead(in_place_of="Lucía Ibarra"))),
         Answer.NOBODY_TO_REPLACE),  # two of that name
        (facts(LUCIA, LOAN, request=asked(instead())), Answer.DATES),  # for good, but lent in December
        (facts(LUCIA, request=asked(instead(starts_on=date(2026, 12, 5), ends_on=date(2026, 12, 1)))), Answer.DATES),
        (facts(LUCIA, request=asked(instead(ends_on=date(2026, 11, 23)))), Answer.DATES),  # over
        (facts(LUCIA, request=asked(instead(ends_on=date(2026, 11, 24)))), Answer.APPROVED),  # the last day is today
        (facts(replace(LUCIA, until=NOW + timedelta(days=3)), request=asked(instead())), Answer.DATES),  # not her own
    ],
)  # fmt: skip
def test_who_may_be_approved(found: AccessFacts, answer: Answer) -> None:
    assert access.approve(found, POLICY, NOW).answer is answer


def test_the_lowest_free_slot_is_taken_so_that_two_collide() -> None:
    ruling = access.approve(facts(JON, request=asked()), POLICY, NOW)
    assert [a.slot for a in ruling.actions if isinstance(a, ReserveSeat)] == [1]
    lowered = facts(replace(JON, slot=3), request=asked(), customer=replace(MADRID, seats=1))
    assert access.approve(lowered, POLICY, NOW).answer is Answer.SEATS_TAKEN


def test_a_replacement_is_reserved_from_midnight_to_midnight_where_the_customer_is() -> None:
    wanted = instead(starts_on=date(2027, 3, 27), ends_on=date(2027, 3, 28))  # summer time begins on the 28th
    (reserve,) = [
        action
        for action in access.approve(facts(LUCIA, request=asked(wanted)), POLICY, NOW).actions
        if isinstance(action, ReserveSeat)
    ]
    assert (reserve.slot, reserve.stands_in_for) == (None, 1)
    assert reserve.starts == datetime(2027, 3, 26, 23, 0, tzinfo=UTC)
    assert reserve.until == datetime(2027, 3, 28, 22, 0, tzinfo=UTC)


def test_the_refusal_for_want_of_a_seat_names_the_holders_to_the_own_people_only() -> None:
    own = access.approve(facts(LUCIA, JON, request=asked()), POLICY, NOW)
    assert own.holders == ("Lucía Ibarra", "Jon") and own.notices[0].mail is MailName.ACCESS_SEATS_TAKEN
    other = access.approve(facts(LUCIA, JON, request=asked(), domain_fits=False), POLICY, NOW)
    assert other.notices[0].mail is MailName.ACCESS_REFUSED  # T28


# --- proving: by itself or not ------------------------------------------------------------------------------------

UNPROVED = asked(state=AccessState.UNPROVED)
AUTOMATIC = replace(MADRID, automatic=True)
REPLACES = asked(instead(), AccessState.UNPROVED)


@pytest.mark.parametrize(
    ("found", "answer", "mails"),
    [
        (facts(request=asked()), Answer.ALREADY, ()),
        (facts(LUCIA, request=UNPROVED), Answer.WAITS, ("access_desk_notice",) * 2),
        (facts(LUCIA, request=UNPROVED, customer=AUTOMATIC), Answer.APPROVED, ()),
        (facts(LUCIA, request=UNPROVED, customer=AUTOMATIC, domain_fits=False), Answer.WAITS,
         ("access_desk_notice",) * 2),
        (facts(LUCIA, JON, request=UNPROVED), Answer.SEATS_TAKEN, ("access_seats_taken",)),
        (facts(LUCIA, JON, request=UNPROVED, domain_fits=False), Answer.WAITS, ("access_desk_notice",) * 2),
        (facts(LUCIA, request=UNPROVED, applicant=1), Answer.HAS_SEAT, ("access_refused",)),
        (facts(request=UNPROVED, customer=None, domain_fits=False), Answer.WAITS, ("access_desk_notice",) * 2),
        # a replacement is asked of those concerned, and needs their word where no agent decides
        (facts(LUCIA, JON, request=REPLACES), Answer.WAITS, (*("access_desk_notice",) * 2, *("access_agree",) * 2)),
        (facts(LUCIA, JON, request=REPLACES, customer=AUTOMATIC), Answer.WAITS,
         (*("access_desk_notice",) * 2, *("access_agree",) * 2)),
        (facts(LUCIA, JON, request=REPLACES, domain_fits=False), Answer.WAITS, ("access_desk_notice",) * 2),  # T52
        # the regular asks again: the seat returns
        (facts(RESTING, LENT, request=UNPROVED, applicant=1), Answer.DONE, ("seat_changed",) * 2),
    ],
)  # fmt: skip
def test_what_follows_from_a_proved_address(found: AccessFacts, answer: Answer, mails: tuple[str, ...]) -> None:
    ruling = access.prove(found, POLICY, NOW)
    assert ruling.answer is answer
    assert tuple(notice.mail.value for notice in ruling.notices) == mails


def test_the_24_hours_count_from_the_proof_and_older_requests_end() -> None:
    later = NOW + timedelta(hours=50)
    ruling = access.prove(facts(request=UNPROVED, open_requests=(11,)), POLICY, later)
    (moved,) = (action for action in ruling.actions if isinstance(action, MoveRequest))
    assert moved.due == later + timedelta(hours=24) and moved.replaces == (11,)


@pytest.mark.parametrize(
    ("by", "request_", "customer", "answer"),
    [
        ("lucia@acme.test", asked(instead()), AUTOMATIC, Answer.APPROVED),
        ("JON@acme.test", asked(instead()), AUTOMATIC, Answer.APPROVED),
        ("lucia@acme.test", asked(instead()), MADRID, Answer.DONE),  # noted; an agent decides
        ("maria@acme.test", asked(instead()), AUTOMATIC, Answer.NOT_YOURS),  # nobody agrees to himself
        ("eve@evil.test", asked(instead()), AUTOMATIC, Answer.NOT_YOURS),
        ("lucia@acme.test", asked(), AUTOMATIC, Answer.NOT_YOURS),  # no replacement
        ("lucia@acme.test", asked(instead(), AccessState.INVITED), AUTOMATIC, Answer.ALREADY),
    ],
)
def test_who_agrees_to_a_replacement(
    by: str, request_: RequestFact, customer: AccessCustomerFact, answer: Answer
) -> None:
    assert access.agree(facts(LUCIA, JON, request=request_, customer=customer), POLICY, NOW, by).answer is answer


def test_a_stranger_of_another_domain_is_never_approved_by_itself() -> None:
    """A superuser's word and the customer's wish are not enough where the domain is not the customer's (T52)."""
    for more in ({"domain_fits": False}, {"customers_by_domain": 0}):
        found = facts(LUCIA, JON, request=asked(instead()), customer=AUTOMATIC, **more)
        assert access.agree(found, POLICY, NOW, "lucia@acme.test").answer is Answer.DONE, "noted; an agent decides"


@pytest.mark.parametrize(
    ("counts", "answer"),
    [((0, 0), Answer.ASKED), ((2, 299), Answer.ASKED), ((3, 0), Answer.QUIET), ((0, 300), Answer.TOO_OFTEN)],
)
def test_strangers_are_written_to_within_budgets(counts: tuple[int, int], answer: Answer) -> None:
    """T28, T52."""
    found = AccessFacts(asked_last_hour=counts[0], asked_last_hour_in_all=counts[1])
    ruling = access.request(wish(), found, POLICY, NOW)
    assert ruling.answer is answer and bool(ruling.actions) == (answer is Answer.ASKED)


# --- inviting, accepting, time ------------------------------------------------------------------------------------

INVITED = asked(state=AccessState.INVITED, seat=3, invited_at=NOW)
RESERVED = seat(3, SeatState.RESERVED, slot=2)


@pytest.mark.parametrize(
    ("found", "at", "answer", "turns"),
    [
        (facts(LUCIA, RESERVED, request=INVITED), NOW, Answer.DONE, {3: SeatState.ACTIVE}),
        (facts(LUCIA, RESERVED, request=replace(INVITED, state=AccessState.ACCEPTED)), NOW, Answer.ALREADY, {}),
        (facts(LUCIA, request=INVITED), NOW, Answer.ALREADY, {}),
        (facts(LUCIA, replace(LOAN, state=SeatState.RESERVED), request=INVITED), NOW, Answer.DONE,
         {3: SeatState.PLANNED}),
        (facts(LUCIA, replace(LOAN, state=SeatState.RESERVED), request=INVITED), LOAN.starts, Answer.DONE,
         {1: SeatState.RESTING, 3: SeatState.ACTIVE}),  # accepted late: it begins at once
        (facts(LUCIA, replace(LOAN, state=SeatState.RESERVED), request=INVITED), LOAN.until, Answer.DONE,
         {3: SeatState.ENDED}),  # too late
    ],
)  # fmt: skip
def test_accepting(found: AccessFacts, at: datetime, answer: Answer, turns: dict[int, SeatState]) -> None:
    ruling = access.accept(found, at)
    assert ruling.answer is answer
    assert {action.seat: action.now for action in ruling.actions if isinstance(action, TurnSeat)} == turns


def test_an_invitation_ends_after_72_hours_and_a_proof_too() -> None:
    for request_, since in ((INVITED, NOW), (UNPROVED, NOW)):
        found = facts(RESERVED, request=request_)
        early, late = since + timedelta(hours=72, seconds=-1), since + timedelta(hours=72)
        assert access.expire(found, POLICY, early).answer is Answer.ALREADY
        assert access.expire(found, POLICY, late).answer is Answer.DONE


def test_agents_and_the_manager_are_warned_at_20_hours() -> None:
    found = facts(request=asked())
    assert access.warn(found, POLICY, NOW + timedelta(hours=20, seconds=-1)).answer is Answer.ALREADY
    ruling = access.warn(found, POLICY, NOW + timedelta(hours=20))
    assert {notice.recipient for notice in ruling.notices} == {ANNA.address, SALES.address}
    assert not access.is_late(asked(), NOW + timedelta(hours=24))
    assert access.is_late(asked(), NOW + timedelta(hours=24, seconds=1))
    assert not access.is_late(INVITED, NOW + timedelta(days=9))


# --- seats --------------------------------------------------------------------------------------------------------


def turns(ruling: Any) -> dict[int, SeatState]:
    return {action.seat: action.now for action in ruling.actions if isinstance(action, TurnSeat)}


@pytest.mark.parametrize(
    ("held", "at", "expected"),
    [
        ((LUCIA, LOAN), LOAN.starts, {1: SeatState.RESTING, 3: SeatState.ACTIVE}),
        ((LUCIA, LOAN), LOAN.starts - timedelta(seconds=1), {}),
        ((LUCIA, replace(LOAN, until=None)), LOAN.starts, {1: SeatState.ENDED, 3: SeatState.ACTIVE}),  # for good
        ((RESTING, LOAN), LOAN.starts, {3: SeatState.ENDED}),  # somebody else stands in already
        ((LOAN,), LOAN.starts, {3: SeatState.ENDED}),  # the regular has left
        ((LUCIA, LOAN), LOAN.until, {3: SeatState.ENDED}),  # the scheduler slept through it
        ((LUCIA, LOAN, replace(JON, contact=3)), LOAN.starts, {3: SeatState.ENDED}),  # has a seat by now
    ],
)
def test_a_replacement_starts(held: tuple[SeatFact, ...], at: datetime, expected: dict[int, SeatState]) -> None:
    assert turns(seats.start(facts(*held), LOAN if LOAN in held else held[1], at)) == expected


@pytest.mark.parametrize(
    ("held", "contact", "expected"),
    [
        ((RESTING, LENT), 1, {3: SeatState.ENDED, 1: SeatState.ACTIVE}),
        ((RESTING, LENT), 3, {}),  # the stand-in has nothing to take back
        ((RESTING, LENT, JON), 2, {}),  # nor has the other superuser
        ((LUCIA, LOAN), 1, {3: SeatState.ENDED}),  # she does not go
        ((LUCIA, JON), 1, {}),
        ((LUCIA, JON), None, {}),
        ((LUCIA, replace(LOAN, until=None)), 1, {}),  # a change of holder is not lent
    ],
)
def test_who_takes_back_what(held: tuple[SeatFact, ...], contact: int | None, expected: dict[int, SeatState]) -> None:
    ruling = seats.take_back(facts(*held), contact, NOW)
    assert turns(ruling) == expected
    assert ruling.answer is (Answer.DONE if expected else Answer.NOTHING_TO_RETURN)


def test_everyone_concerned_is_told_in_his_language() -> None:
    ruling = seats.give_back(facts(RESTING, replace(LENT, language="sv"), JON), LENT, LENT.until or NOW)
    assert [(n.recipient, n.language) for n in ruling.notices] == [
        ("maria@acme.test", "es"), ("lucia@acme.test", "es"), ("jon@acme.test", "es")
    ]  # fmt: skip
    assert len({notice.key for notice in ruling.notices}) == 3


def test_the_reminder_goes_to_stand_in_and_regular_two_days_before() -> None:
    until = LENT.until or NOW
    found = facts(RESTING, LENT, JON)
    ahead = POLICY.seat_reminder
    assert seats.remind(found, LENT, until - ahead - timedelta(seconds=1), ahead).answer is Answer.ALREADY
    ruling = seats.remind(found, LENT, until - ahead, ahead)
    assert [notice.recipient for notice in ruling.notices] == ["maria@acme.test", "lucia@acme.test"]
    assert seats.remind(found, LENT, until, ahead).answer is Answer.ALREADY


def test_ending_a_seat_ends_what_stands_in_for_it() -> None:
    assert turns(seats.end(facts(RESTING, LENT), RESTING, NOW)) == {3: SeatState.ENDED, 1: SeatState.ENDED}
    assert turns(seats.end(facts(RESTING, LENT), LENT, NOW)) == {3: SeatState.ENDED, 1: SeatState.ACTIVE}


def test_a_lowered_number_flags_the_youngest_and_removes_nobody() -> None:
    found = facts(LUCIA, JON, customer=replace(MADRID, seats=1))
    ruling = seats.settle_flags(found)
    assert [type(action).__name__ for action in ruling.actions] == ["FlagSeat"]
    assert ruling.actions[0].seat == 2  # type: ignore[union-attr]
    assert {notice.recipient for notice in ruling.notices} == {"lucia@acme.test", SALES.address}
    again = facts(LUCIA, replace(JON, flag=seats.OVER_NUMBER), customer=replace(MADRID, seats=1))
    assert seats.settle_flags(again).actions == () and seats.settle_flags(again).notices == ()


def test_a_day_begins_at_its_first_moment_in_every_zone() -> None:
    """F30: midnight may not exist, or come twice; a day is never shorter than nothing and they follow each other."""
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        for start in (date(2026, 3, 1), date(2026, 9, 1), date(2026, 12, 30)):
            before = None
            for day in (start + timedelta(days=n) for n in range(40)):
                moment = seats.first_moment(day, name)
                local = moment.astimezone(zone)
                assert local.date() == day, (name, day)
                assert (moment - timedelta(microseconds=1)).astimezone(zone).date() < day, (name, day)
                assert before is None or moment > before
                before = moment
