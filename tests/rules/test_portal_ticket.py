"""What a signed-in contact's form becomes: who may open, answer and order, and what follows."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rules.case import Case
from rules.portal_ticket import answer_by_form, is_too_much, may_open_for, open_by_form, order_by_form, part_in
from tests.builders import CUSTOMERS, NOW, POLICY, facts_for, mail, ticket
from values.decision import AddArticle, Clues, Decision, Fields, OpenTicket, SentCounts, TicketFact
from values.vocabulary import (
    ArticleKind,
    LedgerState,
    MailName,
    Reason,
    TicketAnswer,
    TicketCommand,
    TicketStatus,
)


def case_of(author: str, *tickets: TicketFact, **facts: Any) -> Case:
    clues = Clues(spool_id="f" * 26, content_key="", author=author)
    found = replace(facts_for(clues), tickets=tickets, customers=CUSTOMERS, **facts)
    return Case(mail=mail(author), facts=found, policy=POLICY, now=NOW)


@pytest.mark.parametrize(
    "author,customer,reason",
    [
        ("su@acme.test", 1, Reason.SUPERUSER),
        ("su@acme.test", 2, None),
        ("joe@acme.test", 1, None),  # without a seat, and Acme holds its colleagues' mail
        ("lin@bolt.test", 2, Reason.CONTACT),  # Bolt lets them write
        ("lin@bolt.test", 1, None),
        ("pat@partner.test", 1, Reason.PARTNER),
        ("pat@partner.test", 2, None),
        ("nobody@acme.test", 1, None),  # not registered
        ("su@acme.test", 99, None),
    ],
)
def test_who_may_open_a_ticket_for_whom(author: str, customer: int, reason: Reason | None) -> None:
    case = case_of(author)
    assert may_open_for(case, customer) is reason
    decision = open_by_form(case, customer, "Export", Fields(product="Payroll"))
    assert (decision.reason if decision else None) is reason


@pytest.mark.parametrize(
    "author,part",
    [
        ("su@acme.test", Reason.PARTICIPANT),
        ("boss@acme.test", Reason.SEAT_HOLDER),
        ("pat@partner.test", Reason.PARTNER),
        ("guest@elsewhere.test", Reason.PARTICIPANT),
        ("joe@acme.test", None),
        ("su@bolt.test", None),
        ("lin@bolt.test", None),
        ("anna@nordvik.test", None),  # an agent's part is no customer's
    ],
)
def test_who_has_a_part_in_a_ticket(author: str, part: Reason | None) -> None:
    case, one = case_of(author, ticket()), ticket()
    assert part_in(case, one) is part
    answered, closed = answer_by_form(case, one), order_by_form(case, one, TicketCommand.CLOSE)
    assert (answered.reason if answered else None) is part
    assert (closed is None) == (part is None)


def test_a_new_ticket_has_the_mails_of_one_that_came_by_mail() -> None:
    decision = open_by_form(case_of("su@acme.test"), 1, "Export", Fields(product="Payroll"))
    assert decision and decision.state is LedgerState.TICKET_OPENED
    (action,) = decision.actions
    assert isinstance(action, OpenTicket)
    assert (action.subject, action.fields.product, action.customer, action.marked) == ("Export", "Payroll", 1, False)
    assert {notice.mail for notice in decision.notices} == {MailName.ACKNOWLEDGEMENT, MailName.AGENT_NOTICE}
    assert decision.notices[0].recipient == "su@acme.test"


@pytest.mark.parametrize(
    "status,closed,becomes",
    [(TicketStatus.OPEN, 0, None), (TicketStatus.PENDING, 0, TicketStatus.OPEN),
     (TicketStatus.CLOSED, 13, TicketStatus.OPEN)],
)  # fmt: skip
def test_an_answer(status: TicketStatus, closed: int, becomes: TicketStatus | None) -> None:
    one = ticket(status=status, closed_at=NOW - timedelta(days=closed))
    decision = answer_by_form(case_of("su@acme.test", one), one)
    assert decision and decision.state is LedgerState.ARTICLE_ADDED
    (action,) = decision.actions
    assert isinstance(action, AddArticle) and (action.status, action.kind) == (becomes, ArticleKind.INBOUND)
    assert {notice.mail for notice in decision.notices} == {MailName.AGENT_NOTICE}
    assert answer_by_form(case_of("su@acme.test"), replace(one, paused=True)).notices == ()  # type: ignore[union-attr]


def test_an_answer_that_comes_too_late_follows() -> None:
    one = ticket(status=TicketStatus.CLOSED, closed_at=NOW - timedelta(days=15))
    decision = answer_by_form(case_of("boss@acme.test", one), one)
    assert decision and decision.reason is Reason.FOLLOW_UP
    (action,) = decision.actions
    assert isinstance(action, OpenTicket) and (action.follow_up_of, action.subject) == (1042, "Export stops")


@pytest.mark.parametrize(
    "status,days,command,becomes",
    [
        (TicketStatus.OPEN, 0, TicketCommand.CLOSE, TicketStatus.CLOSED),
        (TicketStatus.RESOLVED, 0, TicketCommand.CLOSE, TicketStatus.CLOSED),
        (TicketStatus.CLOSED, 1, TicketCommand.CLOSE, TicketAnswer.ALREADY),
        (TicketStatus.OPEN, 0, TicketCommand.REOPEN, TicketAnswer.ALREADY),
        (TicketStatus.RESOLVED, 0, TicketCommand.REOPEN, TicketStatus.OPEN),
        (TicketStatus.CLOSED, 14, TicketCommand.REOPEN, TicketStatus.OPEN),
        (TicketStatus.CLOSED, 15, TicketCommand.REOPEN, TicketAnswer.TOO_LATE),
    ],
)
def test_orders(status: TicketStatus, days: int, command: TicketCommand, becomes: TicketStatus | TicketAnswer) -> None:
    one = ticket(status=status, closed_at=NOW - timedelta(days=days))
    decision = order_by_form(case_of("su@acme.test", one), one, command)
    if isinstance(becomes, TicketAnswer):
        assert decision is becomes
        return
    assert isinstance(decision, Decision) and decision.state is LedgerState.COMMAND_DONE
    (action,) = decision.actions
    assert isinstance(action, AddArticle) and (action.kind, action.status) == (ArticleKind.NOTE, becomes)


@pytest.mark.parametrize("sent,much", [(0, False), (59, False), (60, True)])
def test_more_in_an_hour_than_a_person_writes(sent: int, much: bool) -> None:
    assert is_too_much(case_of("su@acme.test", sent=SentCounts(from_author_last_hour=sent))) is much
