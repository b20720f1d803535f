"""What happens to a ticket is kept event by event, in the transaction of the change. On both databases."""

from datetime import timedelta

import sqlalchemy as sa
from sqlmodel import Session

from models.db.engine import transaction
from models.record import record
from models.tickets.ticket import NewArticle, add_article, pass_tickets, pause_thread, resume_thread, update_ticket
from models.views.history import EventRow, list_history
from tests.models.made import NOW, Desk, a_mail, adding, make_desk, opening
from values.actor import Actor
from values.mail import Envelope, Mailbox
from values.vocabulary import ArticleKind, Door, Source, TicketEventKind, TicketStatus

ANA = Actor(who="ana@nordvik.test", door=Door.COMMAND)


def opened(session: Session) -> tuple[Desk, int]:
    desk = make_desk(session)
    receipt = record(session, mail := a_mail("01aa"), opening(mail, customer=desk.acme), NOW)
    assert receipt.ticket is not None
    return desk, receipt.ticket


def told(rows: tuple[EventRow, ...]) -> list[tuple[str, str, str | None, str | None, str | None]]:
    return [(row.kind.value, row.who, row.door.value if row.door else None, row.was, row.now) for row in rows]


def test_a_mail_opens_a_ticket_and_another_moves_it(database: sa.Engine) -> None:
    with transaction(database, snapshot=True) as session:
        _, ticket = opened(session)
        update_ticket(session, ticket, NOW, ANA, status=TicketStatus.CLOSED)
        update_ticket(session, ticket, NOW, ANA, status=TicketStatus.CLOSED)  # nothing happens to it a second time
        record(session, reply := a_mail("01bb"), adding(reply, ticket), NOW + timedelta(minutes=1))
        history = list_history(session, ticket)
    assert told(history) == [
        ("opened", "su@acme.test", "mail", None, None),
        ("status", "ana@nordvik.test", "command", "new", "closed"),
        ("status", "su@acme.test", "mail", "closed", "open"),
        ("article", "su@acme.test", "mail", None, None),
    ]
    assert history[0].article is not None and history[1].who_name == "Ana" and history[1].is_agent


def test_a_form_comes_through_the_page(database: sa.Engine) -> None:
    form = Envelope(reverse_path="su@acme.test", forward_paths=(), source=Source.PORTAL, received_at=NOW)
    with transaction(database, snapshot=True) as session:
        desk = make_desk(session)
        receipt = record(session, mail := a_mail("01aa", envelope=form), opening(mail, customer=desk.acme), NOW)
        (event,) = list_history(session, receipt.ticket or 0)
    assert (event.kind, event.door) == (TicketEventKind.OPENED, Door.PAGE)


def test_the_customer_reads_no_note_and_not_that_email_was_paused(database: sa.Engine) -> None:
    with transaction(database, snapshot=True) as session:
        _, ticket = opened(session)
        note = NewArticle(kind=ArticleKind.NOTE, author=Mailbox(address="ana@nordvik.test"), text="They pay late.")
        add_article(session, ticket, note, NOW, Door.COMMAND)
        pause_thread(session, ticket, "too much", NOW, Actor(door=Door.MAIL))
        resume_thread(session, ticket, NOW, ANA)
        everything, outside = list_history(session, ticket), list_history(session, ticket, outside=True)
    assert [row.kind.value for row in everything] == ["opened", "article", "paused", "resumed"]
    assert [row.kind.value for row in outside] == ["opened"]


def test_tickets_that_pass_say_from_whom_to_whom(database: sa.Engine) -> None:
    with transaction(database, snapshot=True) as session:
        desk, ticket = opened(session)
        session.connection().execute(sa.text(f"UPDATE ticket SET contact = {desk.lucia} WHERE id = {ticket}"))
        giver, taker = (desk.lucia, "su@acme.test"), (desk.lucia, "jon@acme.test")
        pass_tickets(session, desk.acme, giver, taker, NOW, Actor(door=Door.JOB))
        passed = list_history(session, ticket, outside=True)[-1]
    assert (passed.kind.value, passed.who, passed.was, passed.now) == ("requester", "desk", "Lucía", "jon@acme.test")
