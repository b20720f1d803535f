"""Who hears of an agent's answer."""

from dataclasses import replace

import pytest

from rules.reply import REPLY_TOLD, answer, undelivered
from tests.builders import ANNA, POLICY, ticket
from values.decision import OutboxFact, ParticipantFact
from values.vocabulary import MailName, ParticipantRole, TicketStatus, Undelivered


def test_everybody_but_agents_gets_a_mail() -> None:
    status, notices = answer(ticket(language="sv"), ANNA, "article:5", in_reply_to="m1@client.test")
    assert status is TicketStatus.PENDING
    assert [(n.recipient, n.role) for n in notices] == [
        ("su@acme.test", ParticipantRole.REQUESTER),
        ("guest@elsewhere.test", ParticipantRole.CC),
    ]
    first = notices[0]
    assert (first.mail, first.key) == (MailName.AGENT_REPLY, "agent_reply:article:5:su@acme.test")
    assert (first.ticket, first.language, first.zone) == (1042, "sv", ""), "the recipient's own"
    assert (first.in_reply_to, first.about_new_ticket) == ("m1@client.test", False)


def test_a_note_reaches_nobody_and_changes_nothing() -> None:
    assert answer(ticket(), ANNA, "article:5", note=True) == (None, ())


def test_closing() -> None:
    status, notices = answer(ticket(), ANNA, "article:5", close=True)
    assert (status, len(notices)) == (TicketStatus.CLOSED, 2)


def test_one_mail_for_each_address() -> None:
    twice = ParticipantFact(id=10, address="SU@acme.test", role=ParticipantRole.CC, generation=0)
    found = replace(ticket(), participants=(*ticket().participants, twice))
    _, notices = answer(found, ANNA, "article:5")
    assert [notice.recipient for notice in notices] == ["su@acme.test", "guest@elsewhere.test"]


def answer_row(**changes: object) -> OutboxFact:
    """The row that an answer of Anna's makes."""
    first = answer(ticket(), ANNA, "article:5")[1][0]
    row = OutboxFact(id=17, mail=first.mail, recipient=first.recipient, ticket=first.ticket, about=first.context)
    return replace(row, **changes)  # type: ignore[arg-type]


def test_who_wrote_an_answer_is_told_that_it_did_not_arrive() -> None:
    (told,) = undelivered(answer_row(), Undelivered.FAILED, "550 no", cause="1", policy=POLICY)
    assert (told.mail, told.recipient, told.language) == (MailName.ANSWER_UNDELIVERED, "anna@nordvik.test", "sv")
    assert (told.ticket, told.role, told.zone) == (1042, None, ANNA.zone), "it makes no reply address"
    expected = {"what": "failed", "address": "su@acme.test", "reply": "550 no", "outbox": 17}
    assert dict(told.context) == expected
    assert told.key == "answer_undelivered:outbox:17:1:anna@nordvik.test"
    (long,) = undelivered(answer_row(), Undelivered.FAILED, "5" * 9000, cause="1", policy=POLICY)
    assert dict(long.context)["reply"] == "5" * REPLY_TOLD


@pytest.mark.parametrize("mail", [name for name in MailName if name is not MailName.AGENT_REPLY])
def test_nobody_is_told_of_any_other_mail(mail: MailName) -> None:
    for what in Undelivered:
        assert undelivered(answer_row(mail=mail), what, "550 no", cause="1", policy=POLICY) == ()


def test_an_answer_whose_author_is_not_known_or_is_the_desk_itself() -> None:
    for about in ((), (("author", "support@nordvik.test"),), (("author", "Bounce@nordvik.test"),)):
        assert undelivered(answer_row(about=about), Undelivered.FAILED, "550", cause="1", policy=POLICY) == ()
