"""What a ruling about access leaves in the rows, whoever else is at work. Rules and rows, on both databases."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from models.access.facts import count_requests, gather_access
from models.access.request import ACCESS_REQUEST, perform
from models.db.engine import retrying, transaction
from models.desk.audit import AUDIT, find_break
from models.outbox.outbox import OUTBOX
from models.people.agent import add_agent
from models.people.customer import (
    CONTACT_CUSTOMER,
    CUSTOMER,
    SEAT,
    add_contact,
    add_customer,
    add_domain,
    add_partner,
    add_partner_customer,
    find_contact,
    give_seat,
)
from models.sessions.link import ONE_USE_LINK
from models.tickets.ticket import PARTICIPANT, TICKET
from models.views.viewer import find_ties
from rules import access, seats
from tests.builders import POLICY
from tests.models.made import NOW, a_mail, opening
from values.access import AccessFacts, Asked, SeatChoice
from values.decision import Ruling
from values.errors import PostdeskError
from values.vocabulary import AccessKind, AccessState, Answer, Belief, ParticipantRole, SeatState

ANA = "ana@nordvik.test"


@pytest.fixture
def acme(database: sa.Engine) -> int:
    """Acme (acme.test, Madrid) with one superuser of two, and the agent Ana."""
    with transaction(database) as session:
        made = add_customer(session, "Acme", NOW, language="es", zone="Europe/Madrid").id or 0
        add_domain(session, made, "acme.test")
        lucia = add_contact(session, "lucia@acme.test", NOW, customer=made, name="Lucía Ibarra")
        give_seat(session, lucia.id or 0, made, NOW)
        add_agent(session, ANA, "Ana", NOW)
        return made


def asks(name: str = "maria", **more: Any) -> Asked:
    return Asked(name=name.title(), address=more.pop("address", f"{name}@acme.test"), company="Acme", **more)


def act(
    engine: sa.Engine,
    rule: Callable[[AccessFacts], Ruling],
    now: datetime = NOW,
    *,
    who: str = ANA,
    via: str = "command",
    **which: Any,
) -> tuple[Answer, int | None]:
    """Gather, rule and perform in one transaction, again after a lost race: as every caller does."""

    def once() -> tuple[Answer, int | None]:
        with transaction(engine, snapshot=True) as session:
            ruling = rule(gather_access(session, now, **which))
            return ruling.answer, perform(session, ruling.actions, ruling.notices, now, who=who, via=via)

    return retrying(once)


def ask(engine: sa.Engine, asked: Asked, now: datetime = NOW) -> int:
    with transaction(engine, snapshot=True) as session:
        ruling = access.request(asked, count_requests(session, asked.address, now), POLICY, now)
        made = perform(session, ruling.actions, ruling.notices, now, who=asked.address, via="form")
    assert made is not None
    return made


def waiting(engine: sa.Engine, asked: Asked, now: datetime = NOW) -> int:
    made = ask(engine, asked, now)
    act(engine, lambda facts: access.prove(facts, POLICY, now), now, who=asked.address, via="form", request=made)
    return made


def approve(engine: sa.Engine, request: int, now: datetime = NOW) -> Answer:
    return act(engine, lambda facts: access.approve(facts, POLICY, now), now, request=request)[0]


def invite(engine: sa.Engine, request: int, now: datetime = NOW) -> Answer:
    return act(engine, lambda facts: access.invite(facts, POLICY, now), now, who="desk", via="job", request=request)[0]


def accept(engine: sa.Engine, request: int, now: datetime = NOW) -> Answer:
    return act(engine, lambda facts: access.accept(facts, now), now, via="form", request=request)[0]


def value(engine: sa.Engine, column: Any, *where: sa.ColumnElement[bool]) -> Any:
    with engine.connect() as connection:
        ordered = sa.select(column).where(*where).order_by(next(iter(column.table.primary_key)))
        return connection.execute(ordered).scalars().all()


def state(engine: sa.Engine, request: int) -> AccessState:
    return value(engine, ACCESS_REQUEST.c.state, ACCESS_REQUEST.c.id == request)[0]


def mails(engine: sa.Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(sa.select(OUTBOX.c.mail, OUTBOX.c.recipient).order_by(OUTBOX.c.id))
        return [(row.mail.value, row.recipient) for row in rows]


def active(engine: sa.Engine) -> list[int]:
    return value(engine, SEAT.c.slot, SEAT.c.state == SeatState.ACTIVE)


def test_a_request_from_the_form_to_the_seat(database: sa.Engine, acme: int) -> None:
    made = ask(database, asks())
    assert mails(database) == [("access_proof", "maria@acme.test")]
    assert act(database, lambda f: access.prove(f, POLICY, NOW), request=made)[0] is Answer.WAITS
    assert mails(database)[1:] == [("access_desk_notice", ANA)]
    assert approve(database, made) is Answer.APPROVED
    assert approve(database, made) is Answer.ALREADY
    assert invite(database, made) is Answer.DONE
    assert mails(database)[2:] == [("invitation", "maria@acme.test")]
    assert active(database) == [1], "the seat counts from the approval and is active from the acceptance"
    assert accept(database, made) is Answer.DONE
    assert accept(database, made) is Answer.ALREADY
    assert sorted(active(database)) == [1, 2]
    assert mails(database)[3:] == [("seat_changed", "maria@acme.test"), ("seat_changed", "lucia@acme.test")]
    with transaction(database) as session:
        assert find_break(session) is None
    whats = value(database, AUDIT.c.what)
    assert whats == [
        "access.ask",
        "access.move",
        "access.move",
        "seat.reserve",
        "access.invite",
        "access.move",
        "contact.join",
        "seat.turn",
    ]


def test_two_approvals_at_once_never_share_the_last_seat(database_url: str) -> None:
    """Issue 4: the third seat is refused under two simultaneous approvals, on both databases."""
    from models.db.engine import make_engine

    engine = make_engine(database_url)
    with transaction(engine) as session:
        made = add_customer(session, "Acme", NOW, zone="Europe/Madrid", seats=4).id or 0
        add_domain(session, made, "acme.test")
    requests = [waiting(engine, asks(f"p{n}")) for n in range(8)]
    engines = [make_engine(database_url) for _ in requests]
    barrier = threading.Barrier(len(requests))
    answers: list[Answer] = []

    def decide(engine: sa.Engine, request: int) -> None:
        barrier.wait()
        answers.append(approve(engine, request))

    threads = [threading.Thread(target=decide, args=pair) for pair in zip(engines, requests, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted([Answer.APPROVED] * 4 + [Answer.SEATS_TAKEN] * 4)
    slots = value(engine, SEAT.c.slot, SEAT.c.state == SeatState.RESERVED)
    assert sorted(slots) == [1, 2, 3, 4]
    assert [mail for mail, _ in mails(engine)].count("access_seats_taken") == 4
    for each in (engine, *engines):
        each.dispose()


def test_the_seat_is_kept_by_the_database_itself(database: sa.Engine, acme: int) -> None:
    """The number of seats is no promise of the code: a second seat in a slot is refused by the index."""
    with pytest.raises(sa.exc.IntegrityError), transaction(database) as session:
        other = add_contact(session, "x@acme.test", NOW, customer=acme)
        row = {"customer": acme, "contact": other.id, "state": SeatState.ACTIVE, "slot": 1, "starts": NOW}
        session.connection().execute(sa.insert(SEAT), row)
    with pytest.raises(sa.exc.IntegrityError), transaction(database) as session:
        other = add_contact(session, "x@acme.test", NOW, customer=acme)
        row = {"customer": acme, "contact": other.id, "state": SeatState.ACTIVE, "slot": None, "starts": NOW}
        session.connection().execute(sa.insert(SEAT), row)


def test_the_third_is_refused_and_told_who_holds_the_seats(database: sa.Engine, acme: int) -> None:
    first, third = waiting(database, asks("maria")), ask(database, asks("tomas"))
    assert approve(database, first) is Answer.APPROVED
    answer, _ = act(database, lambda f: access.prove(f, POLICY, NOW), request=third)
    assert answer is Answer.SEATS_TAKEN, "nothing is left to decide, so nobody is asked"
    assert mails(database)[-1] == ("access_seats_taken", "tomas@acme.test")
    assert state(database, third) is AccessState.REFUSED


def test_a_stranger_is_not_told_who_holds_the_seats(database: sa.Engine, acme: int) -> None:
    """T28: an agent may take somebody of another domain for a customer's; holders are named to its own people only."""
    assert approve(database, waiting(database, asks("maria"))) is Answer.APPROVED
    stranger = waiting(database, asks("eve", address="eve@evil.test"))
    answer, _ = act(database, lambda f: access.approve(f, POLICY, NOW), request=stranger, customer=acme)
    assert answer is Answer.SEATS_TAKEN
    assert mails(database)[-1] == ("access_refused", "eve@evil.test")


def test_known_and_unknown_companies_take_the_same_way(database: sa.Engine, acme: int) -> None:
    """T28, T52: before the proof nothing is looked up, so rows and mails are the same."""
    ask(database, asks("maria"))
    ask(database, asks("eve", address="eve@evil.test"))
    assert mails(database) == [("access_proof", "maria@acme.test"), ("access_proof", "eve@evil.test")]
    assert value(database, ACCESS_REQUEST.c.customer) == [None, None]


def test_before_the_proof_the_database_is_asked_nothing_about_companies(database: sa.Engine, acme: int) -> None:
    """T28: the time of the answer tells nothing, because nothing is done that could differ."""
    told: list[list[str]] = [[], []]
    for known, asked in enumerate((asks("eve", address="eve@evil.test"), asks("maria"))):

        def note(*details: Any, known: int = known) -> None:
            told[known].append(str(details[2]))

        sa.event.listen(database, "before_cursor_execute", note)
        ask(database, asked)
        sa.event.remove(database, "before_cursor_execute", note)
    assert told[0] == told[1] and len(told[0]) > 3
    asked_of = " ".join(told[1]).lower()
    assert not [
        table for table in ("customer_domain", "contact_address", "from seat", "from customer") if table in asked_of
    ]


def test_an_address_is_written_to_three_times_an_hour(database: sa.Engine, acme: int) -> None:
    def once(at: datetime) -> Answer:
        with transaction(database, snapshot=True) as session:
            ruling = access.request(asks(), count_requests(session, "maria@acme.test", at), POLICY, at)
            perform(session, ruling.actions, ruling.notices, at, who="maria@acme.test", via="form")
        return ruling.answer

    answers = [once(NOW + timedelta(minutes=n)) for n in range(5)]
    assert answers == [Answer.ASKED] * 3 + [Answer.QUIET] * 2
    assert len(mails(database)) == 3
    assert once(NOW + timedelta(hours=1, minutes=1)) is Answer.ASKED
    assert value(database, ONE_USE_LINK.c.id, ONE_USE_LINK.c.ended_at.is_(None)) != []


def test_by_itself_where_the_customer_allows_it(database: sa.Engine, acme: int) -> None:
    with transaction(database) as session:
        session.connection().execute(sa.update(CUSTOMER).values(approves_access=True))
    mine, stranger = ask(database, asks("maria")), ask(database, asks("eve", address="eve@evil.test"))
    assert act(database, lambda f: access.prove(f, POLICY, NOW), request=mine)[0] is Answer.APPROVED
    assert act(database, lambda f: access.prove(f, POLICY, NOW), request=stranger)[0] is Answer.WAITS
    assert ("access_desk_notice", ANA) in mails(database) and state(database, mine) is AccessState.APPROVED


STARTS, ENDS = date(2026, 12, 1), date(2026, 12, 15)
AT_START = datetime(2026, 11, 30, 23, 0, tzinfo=UTC)  # midnight in Madrid
AT_END = datetime(2026, 12, 15, 23, 0, tzinfo=UTC)


def a_loan(engine: sa.Engine) -> tuple[int, int]:
    """Maria stands in for Lucía, 1 to 15 December, accepted: (request, seat)."""
    asked = asks("maria", kind=AccessKind.IN_PLACE_OF, in_place_of="Lucía Ibarra", starts_on=STARTS, ends_on=ENDS)
    request = waiting(engine, asked)
    assert approve(engine, request) is Answer.APPROVED
    invite(engine, request)
    assert accept(engine, request) is Answer.DONE
    (seat,) = value(engine, ACCESS_REQUEST.c.seat)
    return request, seat


def states(engine: sa.Engine) -> list[SeatState]:
    return value(engine, SEAT.c.state, SEAT.c.id > 0)


def test_a_replacement_starts_and_returns_at_midnight_in_madrid(database: sa.Engine, acme: int) -> None:
    _, seat = a_loan(database)
    assert states(database) == [SeatState.ACTIVE, SeatState.PLANNED]
    assert value(database, SEAT.c.starts, SEAT.c.id == seat)[0].replace(tzinfo=UTC) == AT_START
    for before, after, rule in (
        (AT_START, [SeatState.RESTING, SeatState.ACTIVE], seats.start),
        (AT_END, [SeatState.ACTIVE, SeatState.ENDED], seats.give_back),
    ):
        early = before - timedelta(seconds=1)
        assert (
            act(database, lambda f, at=early, rule=rule: rule(f, f.seat(seat), at), early, seat=seat)[0]
            is Answer.ALREADY
        )
        assert (
            act(database, lambda f, at=before, rule=rule: rule(f, f.seat(seat), at), before, seat=seat)[0]
            is Answer.DONE
        )
        assert states(database) == after
        assert sorted(active(database)) == [1], "one slot, whoever holds it"


def test_open_tickets_pass_to_the_stand_in_and_back(database: sa.Engine, acme: int) -> None:
    from models.people.customer import CONTACT_ADDRESS
    from models.record import record

    (lucia,) = value(database, CONTACT_ADDRESS.c.contact, CONTACT_ADDRESS.c.address == "lucia@acme.test")
    mail = a_mail("t1", author="lucia@acme.test")
    with transaction(database, snapshot=True) as session:
        record(session, mail, opening(mail, customer=acme, contact=lucia), NOW)
    _, seat = a_loan(database)
    (maria,) = value(database, CONTACT_ADDRESS.c.contact, CONTACT_ADDRESS.c.address == "maria@acme.test")
    act(database, lambda f: seats.start(f, f.seat(seat), AT_START), AT_START, seat=seat)
    assert value(database, TICKET.c.contact) == [maria]
    roles = dict(zip(value(database, PARTICIPANT.c.address), value(database, PARTICIPANT.c.role), strict=True))
    assert roles["maria@acme.test"] is ParticipantRole.STAND_IN
    assert roles["lucia@acme.test"] is ParticipantRole.REQUESTER, "the absent person keeps reading"
    act(database, lambda f: seats.take_back(f, lucia, AT_START), AT_START, seat=seat)
    assert value(database, TICKET.c.contact) == [lucia]
    left = value(database, PARTICIPANT.c.generation, PARTICIPANT.c.role == ParticipantRole.LEFT)
    assert left == [2], "the stand-in takes part no more, and the reply address is void"


def test_the_form_again_takes_the_seat_back(database: sa.Engine, acme: int) -> None:
    """The seed: the regular superuser returns and fills in the same form again."""
    _, seat = a_loan(database)
    act(database, lambda f: seats.start(f, f.seat(seat), AT_START), AT_START, seat=seat)
    back = ask(database, asks("lucia", kind=AccessKind.IN_PLACE_OF, in_place_of="maria@acme.test"), AT_START)
    assert act(database, lambda f: access.prove(f, POLICY, AT_START), AT_START, request=back)[0] is Answer.DONE
    assert states(database) == [SeatState.ACTIVE, SeatState.ENDED] and state(database, back) is AccessState.ACCEPTED


def test_two_stand_ins_for_one_seat_at_once(database_url: str) -> None:
    from models.db.engine import make_engine

    engine = make_engine(database_url)
    with transaction(engine) as session:
        made = add_customer(session, "Acme", NOW, zone="Europe/Madrid").id or 0
        add_domain(session, made, "acme.test")
        lucia = add_contact(session, "lucia@acme.test", NOW, customer=made, name="Lucía Ibarra")
        give_seat(session, lucia.id or 0, made, NOW)
    asked = [
        asks(f"p{n}", kind=AccessKind.IN_PLACE_OF, in_place_of="lucia@acme.test", starts_on=STARTS, ends_on=ENDS)
        for n in range(4)
    ]
    requests = [waiting(engine, one) for one in asked]
    barrier = threading.Barrier(len(requests))
    answers: list[Answer] = []

    def decide(request: int) -> None:
        mine = make_engine(database_url)
        barrier.wait()
        answers.append(approve(mine, request))
        mine.dispose()

    threads = [threading.Thread(target=decide, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted([Answer.APPROVED, *[Answer.DATES] * 3])
    engine.dispose()


def test_a_refusal_gives_the_reserved_seat_free(database: sa.Engine, acme: int) -> None:
    request = waiting(database, asks())
    approve(database, request)
    invite(database, request)
    answer, _ = act(database, lambda f: access.refuse(f, "No", NOW), request=request)
    assert answer is Answer.ALREADY, "who has not seen the approval does not take it back"
    answer, _ = act(database, lambda f: access.refuse(f, "  ", NOW, withdraws=True), request=request)
    assert answer is Answer.REASON_MISSING
    answer, _ = act(database, lambda f: access.refuse(f, "No  contract", NOW, withdraws=True), request=request)
    assert answer is Answer.DONE and state(database, request) is AccessState.REFUSED
    assert value(database, ACCESS_REQUEST.c.reason) == ["No contract"]
    assert states(database) == [SeatState.ACTIVE, SeatState.ENDED]
    assert value(database, ONE_USE_LINK.c.ended_at, ONE_USE_LINK.c.request == request)[-1] is not None
    assert accept(database, request) is Answer.ALREADY


def test_a_bounced_invitation_reopens_the_request(database: sa.Engine, acme: int) -> None:
    request = waiting(database, asks())
    approve(database, request)
    invite(database, request)
    assert act(database, lambda f: access.reopen(f, POLICY, NOW), request=request)[0] is Answer.WAITS
    assert state(database, request) is AccessState.WAITING and mails(database)[-1] == ("invitation_bounced", ANA)
    assert approve(database, request) is Answer.APPROVED, "the reserved seat was free again"


def test_who_lost_the_invitation_asks_again_and_gets_a_new_link(database: sa.Engine, acme: int) -> None:
    request = waiting(database, asks())
    approve(database, request)
    invite(database, request)
    again = waiting(database, asks(), NOW + timedelta(hours=2))
    assert state(database, again) is AccessState.EXPIRED and state(database, request) is AccessState.INVITED
    assert [mail for mail, _ in mails(database)].count("invitation") == 2
    links = value(database, ONE_USE_LINK.c.ended_at, ONE_USE_LINK.c.purpose == "invitation")
    assert len(links) == 2 and links[0] is not None and links[1] is None, "a newer link ends the older one"


def test_lending_is_a_replacement_that_is_approved(database: sa.Engine, acme: int) -> None:
    asked = asks("maria", starts_on=STARTS, ends_on=ENDS)
    (seat,) = value(database, SEAT.c.id)

    def lend(facts: AccessFacts) -> Ruling:
        return access.lend(facts, asked, next(s for s in facts.seats if s.id == seat), POLICY, NOW)

    answer, made = act(database, lend, seat=seat, asked=asked)
    assert answer is Answer.APPROVED and made is not None and state(database, made) is AccessState.APPROVED
    assert mails(database) == [], "the job sends the invitation"


def test_lowering_the_number_removes_nobody_and_flags(database: sa.Engine, acme: int) -> None:
    request = waiting(database, asks())
    approve(database, request)
    invite(database, request)
    accept(database, request)
    with transaction(database) as session:
        session.connection().execute(sa.update(CUSTOMER).values(seats=1))
    assert act(database, seats.settle_flags, customer=acme)[0] is Answer.DONE
    assert value(database, SEAT.c.flag) == [None, "over-number"] and len(active(database)) == 2
    assert mails(database)[-2:] == [("seat_flagged", "lucia@acme.test"), ("seat_flagged", ANA)]
    with transaction(database) as session:
        session.connection().execute(sa.update(CUSTOMER).values(seats=2))
    act(database, seats.settle_flags, customer=acme)
    assert value(database, SEAT.c.flag) == [None, None]


def test_outside_a_snapshot_nothing_is_performed(database: sa.Engine, acme: int) -> None:
    if database.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time: every transaction is a snapshot")
    with pytest.raises(PostdeskError), transaction(database) as session:
        perform(session, (), (), NOW, who="x", via="command")


def test_believed_mail_needs_no_link(database: sa.Engine, acme: int) -> None:
    asked = asks()
    with transaction(database, snapshot=True) as session:
        facts = gather_access(session, NOW, asked=asked)
        ruling = access.request(asked, facts, POLICY, NOW, belief=Belief.BELIEVED)
        made = perform(session, ruling.actions, ruling.notices, NOW, who=asked.address, via="mail:1")
    assert ruling.answer is Answer.WAITS and state(database, made or 0) is AccessState.WAITING
    assert mails(database) == [("access_desk_notice", ANA)]
    assert value(database, OUTBOX.c.context) == [{"request": made}], "the notice is about the request that was made"


def test_an_agent_chooses_the_seat_where_the_words_are_not_clear(database: sa.Engine, acme: int) -> None:
    unclear = replace(asks(), kind=AccessKind.IN_PLACE_OF, in_place_of="", said="ersätta erik från 1/12")
    request = waiting(database, unclear)
    assert state(database, request) is AccessState.WAITING
    assert "access_agree" not in [mail for mail, _ in mails(database)], "no superuser is asked about an unclear wish"
    assert value(database, ACCESS_REQUEST.c.said) == ["ersätta erik från 1/12"]
    assert approve(database, request) is Answer.NOBODY_TO_REPLACE
    choice = SeatChoice(in_place_of="lucia@acme.test", ends_on=date(2026, 12, 24))
    answer, _ = act(database, lambda f: access.approve(f, POLICY, NOW, choice), request=request)
    assert answer is Answer.APPROVED
    assert value(database, SEAT.c.stands_in_for) == [None, 1] and value(database, SEAT.c.ends_on)[1] == choice.ends_on


# --- what is lent changes nobody who has not accepted (threat T49) --------------------------------------------------


def lend(engine: sa.Engine, asked: Asked, now: datetime = NOW, *, by_agent: bool = False) -> Answer:
    def rule(facts: AccessFacts) -> Ruling:
        return access.lend(facts, asked, facts.seats[0], POLICY, now, by_agent=by_agent)

    return act(engine, rule, now, who="lucia@acme.test", seat=1, asked=asked)[0]


def take_back(engine: sa.Engine, now: datetime = NOW) -> Answer:
    return act(engine, lambda f: seats.take_back(f, f.seats[0].contact, now), now, seat=1)[0]


def person(engine: sa.Engine, address: str, now: datetime = NOW) -> tuple[str, str | None, tuple[int, ...], bool]:
    """Name, language, companies, and whether this person may sign in."""
    with transaction(engine) as session:
        found = find_contact(session, address)
        assert found and found.id
        companies = session.connection().execute(
            sa.select(CONTACT_CUSTOMER.c.customer).where(CONTACT_CUSTOMER.c.contact == found.id)
        )
        ties = find_ties(session, found.id, found.partner, now)
        return found.name, found.language, tuple(sorted(companies.scalars())), ties.may_sign_in


def test_T49_a_loan_changes_nobody_who_has_not_accepted(database: sa.Engine, acme: int) -> None:
    with transaction(database) as session:
        other = add_customer(session, "Other", NOW).id or 0
        add_domain(session, other, "other.test")
        add_contact(session, "ivy@other.test", NOW, customer=other, name="Ivy Vance", language="sv")
        add_contact(session, "joe@acme.test", NOW, customer=acme)
    for address, before in (
        ("ivy@other.test", ("Ivy Vance", "sv", (other,), True)),
        ("joe@acme.test", ("", None, (acme,), True)),
        ("new@free.test", ("", None, (), False)),
    ):
        asked = Asked(name="Click evil", address=address, language="es", ends_on=date(2026, 12, 24))
        assert lend(database, asked, by_agent=True) is Answer.APPROVED
        assert person(database, address) == before
        assert take_back(database) is Answer.DONE
        assert person(database, address) == before, "a lapsed seat holds nothing either"


def test_T49_who_accepts_belongs_to_the_company_under_the_own_name(database: sa.Engine, acme: int) -> None:
    with transaction(database) as session:
        other = add_customer(session, "Other", NOW).id or 0
        add_contact(session, "ivy@other.test", NOW, customer=other, name="Ivy Vance", language="sv")
    for number, address, after in (
        (1, "ivy@other.test", ("Ivy Vance", "sv", (acme, other), True)),
        (2, "new@free.test", ("Newt", "es", (acme,), True)),
    ):
        asked = Asked(name="Newt", address=address, language="es", ends_on=date(2026, 12, 24))
        lend(database, asked, by_agent=True)
        invite(database, number)
        assert accept(database, number) is Answer.DONE
        assert person(database, address) == after
        take_back(database)


def test_T49_a_stand_in_of_another_domain_needs_an_agent(database: sa.Engine, acme: int) -> None:
    asked = Asked(name="Eve", address="eve@free.test", language="es", ends_on=date(2026, 12, 24))
    assert lend(database, asked) is Answer.WAITS
    assert value(database, SEAT.c.state) == [SeatState.ACTIVE] and state(database, 1) is AccessState.WAITING
    assert mails(database) == [("access_desk_notice", ANA), ("request_news", "lucia@acme.test")]
    assert approve(database, 1) is Answer.APPROVED
    assert mails(database)[2:] == [("request_news", "lucia@acme.test")]
    assert invite(database, 1) is Answer.DONE
    assert take_back(database) is Answer.DONE
    assert state(database, 1) is AccessState.EXPIRED, "the invitation ends with the seat that it was for"
    assert value(database, ONE_USE_LINK.c.ended_at) == [NOW]


def test_T49_a_partner_of_the_customer_may_stand_in_at_once(database: sa.Engine, acme: int) -> None:
    with transaction(database) as session:
        partner = add_partner(session, "Integra", NOW).id or 0
        add_partner_customer(session, partner, acme)
        add_contact(session, "pia@integra.test", NOW, partner=partner, name="Pia")
    asked = Asked(name="Pia", address="pia@integra.test", ends_on=date(2026, 12, 24))
    assert lend(database, asked) is Answer.APPROVED


def test_T49_loans_have_a_budget_and_so_has_an_address(database: sa.Engine, acme: int) -> None:
    def again(address: str) -> Answer:
        answer = lend(database, Asked(name="Max", address=address, ends_on=date(2026, 12, 24)))
        if answer is Answer.APPROVED:
            take_back(database)
        return answer

    one = [again("max@acme.test") for _ in range(POLICY.invitations_per_address_per_day + 1)]
    assert one == [Answer.APPROVED] * (len(one) - 1) + [Answer.TOO_OFTEN]
    others = [again(f"m{n}@acme.test") for n in range(POLICY.loans_per_customer_per_day)]
    left = POLICY.loans_per_customer_per_day - POLICY.invitations_per_address_per_day
    assert others == [Answer.APPROVED] * left + [Answer.TOO_OFTEN] * (len(others) - left)
    assert lend(database, Asked(name="Max", address="z@acme.test", ends_on=date(2026, 12, 24)), by_agent=True)
