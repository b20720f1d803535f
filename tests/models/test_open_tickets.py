"""models/views/open_tickets.py: whose open tickets a mail shows, on both databases, at a cost that does not grow."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlmodel import Session

from models.db.engine import reading, transaction
from models.outbox.outbox import claim_due, enqueue
from models.people.customer import SEAT, add_contact, add_customer, give_seat
from models.tickets.ticket import NewTicket, open_ticket, update_ticket
from models.views import open_tickets
from models.views.mails import find_mail_rows
from models.views.open_tickets import OpenTickets, find_company_tickets, find_own_tickets
from tests.models.made import NOW, Desk, make_desk
from tests.models.test_facts import noting, scanned
from values.actor import Actor
from values.decision import Notice
from values.mail import Mailbox
from values.vocabulary import Door, MailName, SeatState, TicketStatus

OPEN, PENDING, CLOSED, RESOLVED = TicketStatus.OPEN, TicketStatus.PENDING, TicketStatus.CLOSED, TicketStatus.RESOLVED


@pytest.fixture
def desk(database: sa.Engine) -> Desk:
    with transaction(database) as session:
        return make_desk(session)


def opened(
    session: Session,
    subject: str,
    customer: int | None,
    contact: int | None,
    minutes: int,
    *,
    status: TicketStatus | None = None,
    by: str = "su@acme.test",
) -> int:
    new = NewTicket(subject=subject, requester=Mailbox(address=by), customer=customer, contact=contact, language="es")
    number = open_ticket(session, new, NOW)
    update_ticket(session, number, NOW + timedelta(minutes=minutes), Actor(door=Door.MAIL), status=status)
    return number


def subjects(found: OpenTickets) -> list[str]:
    return [one.subject for one in found.tickets]


def test_what_waits_for_the_customer_comes_first_then_what_changed_last(database: sa.Engine, desk: Desk) -> None:
    with transaction(database) as session:
        for subject, minutes, status in (
            *(("old", 1, OPEN), ("asked early", 2, PENDING), ("new", 5, None), ("done", 6, CLOSED)),
            *(("asked late", 4, PENDING), ("solved", 3, RESOLVED)),
        ):
            opened(session, subject, desk.acme, desk.lucia, minutes, status=status)
    with reading(database) as session:
        mine, all = find_own_tickets(session, desk.lucia, "x"), find_company_tickets(session, desk.lucia, NOW)
    assert subjects(mine) == subjects(all) == ["asked late", "asked early", "new", "solved", "old"]
    assert [one.status for one in mine.tickets] == [PENDING, PENDING, TicketStatus.NEW, RESOLVED, OPEN]
    assert mine.tickets[0].updated == NOW + timedelta(minutes=4) and mine.more == all.more == 0


def test_T31_nobody_reads_what_is_not_his(database: sa.Engine, desk: Desk) -> None:
    with transaction(database) as session:
        bolt = add_customer(session, "Bolt", NOW).id or 0
        joe = add_contact(session, "joe@acme.test", NOW, customer=desk.acme).id or 0
        rival = add_contact(session, "su@bolt.test", NOW, customer=bolt).id or 0
        give_seat(session, rival, bolt, NOW)
        opened(session, "Lucía's", desk.acme, desk.lucia, 1)
        opened(session, "Joe's", desk.acme, joe, 2)
        opened(session, "Eva's", desk.acme, None, 3, by="Eva@acme.test")
        opened(session, "the rival's", bolt, rival, 4)
        opened(session, "nobody's", None, None, 5, by="x@evil.test")
        merged = opened(session, "merged", desk.acme, joe, 6)
        session.connection().execute(sa.text("UPDATE ticket SET merged_into = 1001 WHERE id = :id"), {"id": merged})
    with reading(database) as session:
        assert subjects(find_own_tickets(session, desk.lucia, "su@acme.test")) == ["Lucía's"]
        assert subjects(find_own_tickets(session, joe, "joe@acme.test")) == ["Joe's"]
        assert subjects(find_own_tickets(session, None, "eva@ACME.test")) == ["Eva's"], "who is not registered"
        assert subjects(find_company_tickets(session, desk.lucia, NOW)) == ["Eva's", "Joe's", "Lucía's"]
        assert find_company_tickets(session, joe, NOW) == OpenTickets(), "without a seat nothing of the company"
        assert subjects(find_company_tickets(session, rival, NOW)) == ["the rival's"]


def test_a_superuser_of_two_customers_sees_both(database: sa.Engine, desk: Desk) -> None:
    with transaction(database) as session:
        bolt = add_customer(session, "Bolt", NOW).id or 0
        give_seat(session, desk.lucia, bolt, NOW)
        opened(session, "Acme's", desk.acme, None, 1)
        opened(session, "Bolt's", bolt, None, 2)
    with reading(database) as session:
        assert subjects(find_company_tickets(session, desk.lucia, NOW)) == ["Bolt's", "Acme's"]


def test_a_seat_that_is_lost_before_the_mail_is_written_shows_nothing(database: sa.Engine, desk: Desk) -> None:
    with transaction(database) as session:
        opened(session, "Acme's", desk.acme, None, 1)
        asked = (("contact", desk.lucia), ("every", 1))
        notice = Notice(mail=MailName.TICKET_STATUS, recipient="su@acme.test", key="k", context=asked)
        enqueue(session, [notice], NOW)
        (claimed,) = claim_due(session, "w", NOW)
    with reading(database) as session:
        found = find_mail_rows(session, claimed, NOW).open_tickets
        assert found and subjects(found) == ["Acme's"]
    with transaction(database) as session:
        session.connection().execute(sa.update(SEAT).values(state=SeatState.RESTING))
    with reading(database) as session:
        assert find_mail_rows(session, claimed, NOW).open_tickets == OpenTickets()
    over = {"state": SeatState.ACTIVE, "until": NOW}  # no job has ended it yet
    with transaction(database) as session:
        session.connection().execute(sa.update(SEAT).values(**over))
    with reading(database) as session:
        assert find_mail_rows(session, claimed, NOW).open_tickets == OpenTickets(), "a seat that is over shows nothing"


def test_a_mail_shows_so_many_and_says_how_many_more(database: sa.Engine, desk: Desk) -> None:
    with transaction(database) as session:
        for n in range(53):
            opened(session, f"t{n}", desk.acme, desk.lucia, n, status=PENDING if n == 0 else None)
    with reading(database) as session:
        for found in (find_own_tickets(session, desk.lucia, "x"), find_company_tickets(session, desk.lucia, NOW)):
            assert subjects(found) == ["t0", *(f"t{n}" for n in range(52, 3, -1))] and found.more == 3


def test_what_is_read_has_an_index(database: sa.Engine, desk: Desk) -> None:
    with transaction(database) as session:
        for n in range(3):
            opened(session, f"t{n}", desk.acme, desk.lucia, n)
    with noting(database) as seen, reading(database) as session:
        find_own_tickets(session, desk.lucia, "x")
        find_own_tickets(session, None, "su@acme.test")
        find_company_tickets(session, desk.lucia, NOW)
    selects = [(text, values) for text, values in seen if text.startswith("SELECT")]
    assert len(selects) == 4
    for statement, parameters in selects:
        read = {table for table in scanned(database, statement, parameters) if not table.startswith("(subquery")}
        assert read == set(), statement  # but for the few rows that the inner look has found


def test_however_many_tickets_there_are_only_so_many_are_looked_at(database: sa.Engine, desk: Desk) -> None:
    """The closed ones stand in the way of nothing but the oldest open ones."""
    with transaction(database) as session:
        opened(session, "forgotten", desk.acme, desk.lucia, 0)
        for n in range(1, open_tickets.LOOKED_AT):
            opened(session, f"t{n}", desk.acme, desk.lucia, n, status=CLOSED)
        last = opened(session, "last", desk.acme, desk.lucia, open_tickets.LOOKED_AT)
    with reading(database) as session:
        assert [one.number for one in find_own_tickets(session, desk.lucia, "x").tickets] == [last]
        assert [one.number for one in find_company_tickets(session, desk.lucia, NOW).tickets] == [last]
