"""Who hears of an agent's answer."""

from dataclasses import replace

from models.decision import ParticipantFact
from models.vocabulary import MailName, ParticipantRole, TicketStatus
from rules.reply import answer
from tests.builders import ANNA, ticket


def test_everybody_but_agents_gets_a_mail() -> None:
    status, notices = answer(ticket(language="sv"), ANNA, "article:5", zone="Europe/Oslo", in_reply_to="m1@client.test")
    assert status is TicketStatus.PENDING
    assert [(n.recipient, n.role) for n in notices] == [
        ("su@acme.test", ParticipantRole.REQUESTER),
        ("guest@elsewhere.test", ParticipantRole.CC),
    ]
    first = notices[0]
    assert (first.mail, first.key) == (MailName.AGENT_REPLY, "agent_reply:article:5:su@acme.test")
    assert (first.ticket, first.language, first.zone) == (1042, "sv", "Europe/Oslo")
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
