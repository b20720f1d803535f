"""rules/access_mail.py: an order counts from a believed author, the very recipient, to the mail's own address."""

from dataclasses import replace
from typing import Any

import pytest

from rules.tokens import mint_notice_address, mint_return_path
from tests.builders import CONTACTS, KEYS, POLICY, decided, mail, outbox
from tests.rules.test_access import INVITED, JON, LENT, LUCIA, RESERVED, RESTING, asked, facts, instead
from values.access import (
    AccessFacts,
    DeclineHeld,
    FlagSeat,
    HeldFact,
    MoveRequest,
    ReleaseHeld,
    RequestAccess,
    TurnSeat,
)
from values.decision import Decision, Hold
from values.mail import DeliveryReport, ParsedMail, ReportedRecipient
from values.vocabulary import AccessState, Belief, LedgerState, MailKind, MailName, Reason, Source

ACCESS = "access@nordvik.test"
ANNA = "anna@nordvik.test"
SU = "su@acme.test"
MINE = replace(LUCIA, address=SU)
DESK = facts(MINE, JON, request=asked())


def notice(name: MailName = MailName.ACCESS_DESK_NOTICE, recipient: str = ANNA, **about: str | int | None) -> Any:
    return outbox(31, mail=name, recipient=recipient, ticket=None, about=tuple(about.items()) or (("request", 17),))


def reply(text: str, author: str = ANNA, **more: Any) -> ParsedMail:
    return mail(author, text=text, to=more.pop("to", (mint_notice_address(KEYS, ACCESS, 31),)), **more)


def answered(text: str, *, row: Any = None, access: AccessFacts = DESK, author: str = ANNA, **more: Any) -> Decision:
    return decided(reply(text, author, **more), outbox=(row or notice(),), access=access)


def answer_in(decision: Decision) -> str | None:
    told = [n for n in decision.notices if n.mail is MailName.COMMAND_ANSWER]
    return str(dict(told[0].context)["answer"]) if told else None


@pytest.mark.parametrize(
    ("text", "moves", "answer"),
    [
        ("approve", [AccessState.REFUSED], "seats-taken"),  # Acme has two seats, both held
        ("refuse no contract", [AccessState.REFUSED], "done"),
        ("rechazar: sin contrato", [AccessState.REFUSED], "done"),
        ("refuse", [], "reason-missing"),
    ],
)
def test_an_agent_decides_by_reply(text: str, moves: list[AccessState], answer: str) -> None:
    decision = answered(text)
    assert (decision.state, decision.reason) == (LedgerState.COMMAND_DONE, Reason.COMMAND)
    assert [action.now for action in decision.actions if isinstance(action, MoveRequest)] == moves
    assert answer_in(decision) == answer


def test_approve_reserves_a_seat_and_the_receipt_says_so() -> None:
    decision = answered("Approve", access=facts(MINE, request=asked()))
    assert [type(action).__name__ for action in decision.actions][:2] == ["MoveRequest", "ReserveSeat"]
    assert answer_in(decision) == "approved"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"belief": Belief.UNPROVED}, Reason.UNBELIEVED),
        ({"belief": Belief.REFUTED}, Reason.AGENT_BY_MAIL),
        ({"author": "eve@evil.test"}, Reason.TOKEN_OF_ANOTHER),
        ({"author": SU}, Reason.TOKEN_OF_ANOTHER),
        ({"message_id": None}, Reason.UNBELIEVED),  # T12: it could be sent again
        ({"text": "ok, go on"}, Reason.UNKNOWN_COMMAND),
        ({"text": "take back"}, Reason.UNKNOWN_COMMAND),  # a command, but not of this mail
        ({"to": (ACCESS,)}, Reason.AGENT_BY_MAIL),  # without the mail's own address it is no order
        ({"to": (mint_notice_address(KEYS, ACCESS, 31).replace("a31.", "a32."),)}, Reason.AGENT_BY_MAIL),
        (
            {"to": ("access+" + mint_return_path(KEYS, "bounce@nordvik.test", 31).partition("+")[2],)},
            Reason.AGENT_BY_MAIL,
        ),
        ({"kind": MailKind.AUTO_REPLY}, Reason.UNMATCHED_AUTO_REPLY),
    ],
)
def test_what_is_no_order_does_nothing(changes: dict[str, Any], reason: Reason) -> None:
    text = changes.pop("text", "approve")
    decision = answered(text, access=facts(MINE, request=asked()), **changes)
    assert decision.reason is reason
    assert not any(isinstance(action, MoveRequest | TurnSeat) for action in decision.actions)


def test_an_unknown_word_is_answered_with_what_would_work() -> None:
    decision = answered("jawohl")
    assert decision.state is LedgerState.HELD and answer_in(decision) == "unknown-command"
    assert dict(decision.notices[0].context)["works"] == "approve,refuse"


def test_a_receipt_takes_the_order_that_the_mail_took() -> None:
    row = notice(MailName.COMMAND_ANSWER, request=17, works="approve,refuse")
    decision = answered("approve", row=row, access=facts(MINE, request=asked()))
    assert decision.reason is Reason.COMMAND and answer_in(decision) == "approved"


@pytest.mark.parametrize(
    ("text", "name", "access", "author", "answer"),
    [
        ("approve", MailName.ACCESS_AGREE, facts(MINE, JON, request=asked(instead())), SU, "done"),
        ("godkänn", MailName.ACCESS_AGREE, facts(MINE, JON, request=asked(instead())), SU, "done"),
        ("refuse I do not know her", MailName.ACCESS_AGREE, facts(MINE, JON, request=asked(instead())), SU, "done"),
        ("approve", MailName.ACCESS_AGREE, facts(JON, request=asked(instead())), SU, "not-yours"),  # ended meanwhile
        ("refuse I do not know her", MailName.ACCESS_AGREE, facts(JON, request=asked(instead())), SU, "not-yours"),
        ("take back", MailName.SEAT_CHANGED, facts(replace(RESTING, address=SU), LENT), SU, "done"),
        ("Ta tillbaka.", MailName.SEAT_RETURNS_SOON, facts(replace(RESTING, address=SU), LENT), SU, "done"),
        ("take back", MailName.SEAT_CHANGED, facts(MINE, JON), SU, "nothing-to-return"),
    ],
)
def test_superusers_order_by_reply(text: str, name: MailName, access: AccessFacts, author: str, answer: str) -> None:
    decision = answered(text, row=notice(name, author, request=17, seat=3), access=access, author=author)
    assert decision.state is LedgerState.COMMAND_DONE and answer_in(decision) == answer
    assert bool([a for a in decision.actions if isinstance(a, TurnSeat | MoveRequest)]) == (answer == "done")


HELD = HeldFact(id="01J1", customer=1, author="joe@acme.test", subject="x", waits=True)


@pytest.mark.parametrize(
    ("text", "kind", "held", "answer"),
    [
        ("release", ReleaseHeld, HELD, "done"),
        ("släpp fram", ReleaseHeld, HELD, "done"),
        ("declinar", DeclineHeld, HELD, "done"),
        ("release", None, replace(HELD, waits=False), "already"),
    ],
)
def test_a_superuser_judges_a_colleagues_mail(text: str, kind: type | None, held: HeldFact, answer: str) -> None:
    row = notice(MailName.COLLEAGUE_ASK, SU, held="01J1")
    decision = answered(text, row=row, access=facts(MINE, held=held), author=SU)
    assert answer_in(decision) == answer
    assert [a for a in decision.actions if isinstance(a, ReleaseHeld | DeclineHeld)] == (
        [kind(held="01J1", by=SU, **({"customer": 1} if kind is ReleaseHeld else {}))] if kind else []
    )


# --- mails to the access address ----------------------------------------------------------------------------------

STRANGER = "maria@acme.test"
NEW = facts(MINE)


@pytest.mark.parametrize(
    ("changes", "state", "proves"),
    [
        ({}, LedgerState.ACCESS_REQUESTED, False),
        ({"belief": Belief.UNPROVED}, LedgerState.ACCESS_REQUESTED, True),
        ({"message_id": None}, LedgerState.ACCESS_REQUESTED, True),
        ({"belief": Belief.REFUTED}, LedgerState.HELD, None),
        ({"reverse_path": ""}, LedgerState.HELD, None),  # nothing may be answered to the null reverse-path
        ({"author": "noreply@acme.test"}, LedgerState.HELD, None),
        ({"author": SU}, LedgerState.TICKET_OPENED, None),  # of one who has access: an ordinary ticket
        ({"author": ANNA}, LedgerState.HELD, None),
        ({"kind": MailKind.LIST}, LedgerState.DISCARDED, None),
        ({"source": Source.ARCHIVE, "belief": Belief.BELIEVED}, LedgerState.HELD, None),  # read in silence
    ],
)
def test_who_asks_by_mail(changes: dict[str, Any], state: LedgerState, proves: bool | None) -> None:
    author = changes.pop("author", STRANGER)
    decision = decided(mail(author, to=(ACCESS,), text="Name: María", **changes), access=NEW)
    assert decision.state is state, decision.trace
    made = [action for action in decision.actions if isinstance(action, RequestAccess)]
    assert [one.prove for one in made] == ([] if proves is None else [proves])


def test_a_believed_request_is_told_to_agents_and_received() -> None:
    decision = decided(mail(STRANGER, to=(ACCESS,)), access=NEW)
    names = [notice.mail for notice in decision.notices]
    assert names.count(MailName.ACCESS_DESK_NOTICE) == 2 and answer_in(decision) == "waits"


def test_too_many_requests_are_held_quietly() -> None:
    """T52."""
    decision = decided(mail(STRANGER, to=(ACCESS,)), access=replace(NEW, asked_last_hour=3))
    assert (decision.state, decision.reason, decision.notices) == (LedgerState.HELD, Reason.ACCESS_REQUEST, ())
    (hold,) = (action for action in decision.actions if isinstance(action, Hold))
    assert hold.expires_at is not None


def test_a_forged_request_sends_one_fixed_mail_without_a_word_of_its_own() -> None:
    """T25: what a forger wrote leaves in no mail to the victim; the proof has only the link."""
    forged = mail("victim@bolt.test", to=(ACCESS,), text="Name: CANARY\nCompany: CANARY", belief=Belief.UNPROVED)
    decision = decided(forged, access=AccessFacts())
    assert decision.notices == () and [type(a).__name__ for a in decision.actions] == ["RequestAccess"]


def test_the_regular_takes_back_by_a_plain_mail() -> None:
    resting = tuple(replace(one, seats=()) if one.address == SU else one for one in CONTACTS)
    decision = decided(
        mail(SU, to=(ACCESS,), text="take back"), contacts=resting, access=facts(replace(RESTING, address=SU), LENT)
    )
    assert decision.state is LedgerState.COMMAND_DONE and answer_in(decision) == "done"


# --- what comes back ----------------------------------------------------------------------------------------------


def bounce(row: Any, access: AccessFacts) -> Decision:
    report = DeliveryReport(
        recipients=(ReportedRecipient(address=row.recipient, status="5.1.1", permanent=True, reason="userunknown"),)
    )
    back = mail(
        "mailer-daemon@acme.test",
        reverse_path="",
        to=(mint_return_path(KEYS, POLICY.return_path, 31),),
        kind=MailKind.BOUNCE,
        report=report,
    )
    return decided(back, outbox=(row,), access=access)


def test_a_hard_bounce_of_an_invitation_reopens_its_request() -> None:
    decision = bounce(
        notice(MailName.INVITATION, "maria@acme.test", request=17), facts(MINE, RESERVED, request=INVITED)
    )
    assert [a.now for a in decision.actions if isinstance(a, MoveRequest)] == [AccessState.WAITING]
    assert [n.mail for n in decision.notices if n.mail is MailName.INVITATION_BOUNCED]
    other = bounce(notice(MailName.ACCESS_PROOF, "maria@acme.test", request=17), facts(MINE, request=INVITED))
    assert not [a for a in other.actions if isinstance(a, MoveRequest)]


def test_the_second_hard_bounce_of_a_superuser_flags_the_seat_and_asks_the_other() -> None:
    row = notice(MailName.SEAT_CHANGED, SU, seat=1)
    assert not [a for a in bounce(row, facts(MINE, JON)).actions if isinstance(a, FlagSeat)]
    decision = bounce(replace(row, hard_bounces=1), facts(MINE, JON))
    assert [a.seat for a in decision.actions if isinstance(a, FlagSeat)] == [1]
    asked_of = {n.recipient for n in decision.notices if n.mail is MailName.SEAT_FLAGGED}
    assert asked_of == {"jon@acme.test", "sales@nordvik.test"}
