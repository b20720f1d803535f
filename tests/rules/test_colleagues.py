"""rules/colleagues.py: who hears of a mail without a seat, and who lets it through. Tables, no fixtures."""

from dataclasses import replace

import pytest

from rules import colleagues
from tests.builders import CONTACTS, decided, mail
from tests.rules.test_access import LUCIA, facts
from values.access import HeldFact
from values.decision import SentCounts
from values.vocabulary import Answer, Belief, MailName, Reason

SU = "su@acme.test"
UNBELIEVED = HeldFact(id="x", customer=1, author="a", subject="", waits=True, reason=Reason.UNBELIEVED)


def test_a_colleagues_mail_is_held_and_both_sides_are_told() -> None:
    superusers = tuple(one for one in CONTACTS if one.address in (SU, "boss@acme.test"))
    decision = decided(mail("joe@acme.test"), superusers=superusers)
    assert decision.reason is Reason.COLLEAGUE_WITHOUT_SEAT
    told = [(notice.mail, notice.recipient) for notice in decision.notices]
    assert told == [
        (MailName.COLLEAGUE_ASK, SU),
        (MailName.COLLEAGUE_ASK, "boss@acme.test"),
        (MailName.COLLEAGUE_HELD, "joe@acme.test"),
    ]
    unproved = decided(mail("joe@acme.test", belief=Belief.UNPROVED), superusers=superusers)
    assert unproved.notices == (), "only who is believed is answered, and superusers are asked about nobody else"
    busy = decided(mail("joe@acme.test"), superusers=superusers, sent=SentCounts(from_author_last_hour=5))
    assert busy.notices == ()


@pytest.mark.parametrize(
    ("by", "held", "answer"),
    [
        ("lucia@acme.test", HeldFact(id="x", customer=1, author="a", subject="", waits=True), Answer.DONE),
        ("lucia@acme.test", HeldFact(id="x", customer=1, author="a", subject="", waits=False), Answer.ALREADY),
        ("maria@acme.test", HeldFact(id="x", customer=1, author="a", subject="", waits=True), Answer.NOT_YOURS),
        ("lucia@acme.test", None, Answer.NOT_FOUND),
        ("lucia@acme.test", UNBELIEVED, Answer.NOT_FOUND),
    ],
)
def test_who_releases_a_colleagues_mail(by: str, held: HeldFact | None, answer: Answer) -> None:
    for rule in (colleagues.release, colleagues.decline):
        assert rule(facts(LUCIA, held=held), by).answer is answer


def test_T25_only_a_colleague_who_was_told_that_the_mail_waits_is_told_that_it_was_declined() -> None:
    held = HeldFact(id="m1", customer=1, author="joe@acme.test", subject="Help", waits=True, language="sv", told=True)
    (told,) = colleagues.decline(facts(LUCIA, held=held), "lucia@acme.test").notices
    assert (told.mail, told.recipient, told.language) == (MailName.COLLEAGUE_DECLINED, "joe@acme.test", "sv")
    assert colleagues.decline(facts(LUCIA, held=replace(held, told=False)), "lucia@acme.test").notices == ()
