"""rules/ticket_mail.py: what one word by mail does to tickets, by whom, and what it is answered with."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import (
    ACME,
    CONTACTS,
    NOW,
    SUPPORT,
    contact,
    decided,
    mail,
    our_message_id,
    outbox,
    reply_address,
    ticket,
    with_policy,
)
from values.decision import AddArticle, Decision, Hold, Notice, ParticipantFact, SentCounts, SpendProof
from values.mail import AttachmentRef, AuthEvidence, Mailbox
from values.vocabulary import (
    ArticleKind,
    Belief,
    LedgerState,
    MailKind,
    MailName,
    MatchedBy,
    ParticipantRole,
    Reason,
    Source,
    TicketStatus,
)

DONE, HELD, ADDED, OPENED = (
    *(LedgerState.COMMAND_DONE, LedgerState.HELD),
    *(LedgerState.ARTICLE_ADDED, LedgerState.TICKET_OPENED),
)
OPEN, CLOSED, PENDING, RESOLVED = TicketStatus.OPEN, TicketStatus.CLOSED, TicketStatus.PENDING, TicketStatus.RESOLVED
TOKEN = reply_address()
JUST = ticket(status=CLOSED, closed_at=NOW - timedelta(days=13))
LONG = ticket(status=CLOSED, closed_at=NOW - timedelta(days=15))


def order(text: str, author: str = "su@acme.test", **more: Any) -> Any:
    return mail(author, text=text, subject="Re: Export stops", to=more.pop("to", (TOKEN,)), **more)


def told(decision: Decision) -> Notice | None:
    """The one receipt."""
    found = [n for n in decision.notices if n.mail in (MailName.TICKET_COMMAND, MailName.TICKET_STATUS)]
    assert len(found) <= 1
    return found[0] if found else None


def answer_of(decision: Decision) -> Any:
    receipt = told(decision)
    return dict(receipt.context).get("answer", receipt.mail.value) if receipt else None


def notes(decision: Decision) -> list[AddArticle]:
    return [action for action in decision.actions if isinstance(action, AddArticle)]


# --- on the ticket that the mail answers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "on", "status", "answer"),
    [
        ("close", ticket(), CLOSED, "done"),
        ("Resuelto.", ticket(status=PENDING), CLOSED, "done"),
        ("/stäng", ticket(status=RESOLVED), CLOSED, "done"),
        ("close", JUST, None, "already"),
        ("close", LONG, None, "already"),
        ("reopen", JUST, OPEN, "done"),
        ("öppna igen", ticket(status=RESOLVED), OPEN, "done"),
        ("reopen", LONG, None, "too-late"),
        ("reopen", ticket(), None, "already"),
        ("reopen", ticket(status=PENDING), None, "already"),
    ],
)
def test_closing_and_reopening(text: str, on: Any, status: TicketStatus | None, answer: str) -> None:
    decision = decided(order(text), tickets=(on,))
    assert (decision.state, decision.reason, decision.ticket) == (DONE, Reason.COMMAND, 1042)
    assert decision.matched_by is MatchedBy.REPLY_TOKEN and answer_of(decision) == answer
    assert [(note.kind, note.status) for note in notes(decision)] == ([(ArticleKind.NOTE, status)] if status else [])
    agents = [n for n in decision.notices if n.mail is MailName.AGENT_NOTICE]
    assert [dict(n.context)["order"] for n in agents] == (
        ["reopen" if status is OPEN else "close"] * 2 if status else []
    )
    assert any(isinstance(action, SpendProof) for action in decision.actions), "T12: it counts once"


def test_the_receipt_goes_to_the_author_alone_with_the_ticket_s_own_address() -> None:
    receipt = told(decided(order("close", cc=("jon@acme.test",), reply_to=(Mailbox(address="x@evil.test"),))))
    assert receipt and (receipt.recipient, receipt.ticket, receipt.role) == (
        *("su@acme.test", 1042),
        ParticipantRole.REQUESTER,
    )
    assert receipt.in_reply_to == "m1@client.test" and receipt.language == "en"
    boss = told(decided(order("stäng", "boss@acme.test")))
    assert boss and boss.role is None and boss.language == "sv", "a seat holder who does not take part: no token"


@pytest.mark.parametrize(
    ("author", "more", "state", "reason"),
    [
        ("su@acme.test", {}, DONE, Reason.COMMAND),
        ("boss@acme.test", {}, DONE, Reason.COMMAND),  # holds a seat of the customer
        ("guest@elsewhere.test", {}, DONE, Reason.COMMAND),  # takes part
        ("joe@acme.test", {}, HELD, Reason.BESIDE_TICKET),  # of the company, no seat, no part; the token is old
        ("su@bolt.test", {}, HELD, Reason.TOKEN_OF_ANOTHER),  # T18
        ("x@evil.test", {}, HELD, Reason.TOKEN_OF_ANOTHER),
        ("su@acme.test", {"to": (SUPPORT,), "in_reply_to": (our_message_id(),)}, DONE, Reason.COMMAND),
        ("su@acme.test", {"to": (SUPPORT,), "full_text": f"close\n> {TOKEN}"}, DONE, Reason.COMMAND),  # body marker
    ],
)
def test_who_may(author: str, more: dict[str, Any], state: LedgerState, reason: Reason) -> None:
    if author == "joe@acme.test":
        more = {"to": (SUPPORT,), "in_reply_to": (our_message_id(),)}
    decision = decided(order("close", author, **more))
    assert (decision.state, decision.reason) == (state, reason), decision.trace
    assert bool(notes(decision)) == (state is DONE)


def test_T17_a_number_in_the_subject_closes_nothing() -> None:
    guessed = mail(text="close", subject="Re: [PD-1042] Export stops")
    decision = decided(guessed)
    assert decision.state is DONE and answer_of(decision) == "no-ticket" and not notes(decision)
    assert decision.ticket is None


@pytest.mark.parametrize(
    ("colleague", "joins", "answer"),
    [
        ("eva@acme.test", True, "done"),  # of the customer's own domain
        ("joe@acme.test", True, "done"),
        ("pat@partner.test", True, "done"),  # of its partner
        ("guest@elsewhere.test", False, "already"),
        ("su@bolt.test", False, "not-ours"),  # T19: of another customer
        ("x@evil.test", False, "not-ours"),
        ("eva@sub.acme.test", False, "not-ours"),
        ("support@nordvik.test", False, "not-ours"),
        ("eva@localhost", False, "not-ours"),
    ],
)
def test_T19_a_colleague_takes_part(colleague: str, joins: bool, answer: str) -> None:
    decision = decided(order(f"cc {colleague}"))
    assert decision.state is DONE and answer_of(decision) == answer
    assert [note.cc for note in notes(decision)] == ([(Mailbox(address=colleague),)] if joins else [])
    assert not any(note.status for note in notes(decision)), "the status stays"
    receipt = told(decision)
    assert receipt and dict(receipt.context)["colleague"] == (None if answer == "not-ours" else colleague), "T25"


def test_an_ordinary_mail_with_people_in_copy_is_as_it_was() -> None:
    decision = decided(order("cc eva@acme.test and Jon, please", cc=("joe@acme.test",)))
    (article,) = notes(decision)
    assert article.kind is ArticleKind.INBOUND and article.cc == (Mailbox(address="joe@acme.test"),)


def test_a_reply_by_text_reopens_as_it_always_did() -> None:
    for text in ("It is not solved", "please close it next week", "close\n\nThanks, Lucía"):
        decision = decided(order(text), tickets=(JUST,))
        assert decision.state is ADDED and [a.status for a in notes(decision)] == [OPEN]


# --- tables and help ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("author", "text", "answer", "asked"),
    [
        ("su@acme.test", "status", "ticket_status", {"contact": 1, "every": 0, "superuser": 1}),
        ("su@acme.test", "status all", "ticket_status", {"contact": 1, "every": 1, "superuser": 1}),
        ("joe@acme.test", "status", "ticket_status", {"contact": 3, "every": 0, "superuser": 0}),
        ("joe@acme.test", "status all", "not-yours", {"superuser": 0}),
        ("pat@partner.test", "status", "ticket_status", {"contact": 5, "every": 0, "superuser": 0}),
        ("pat@partner.test", "status all", "not-yours", {}),
        ("joe@acme.test", "help", "done", {"superuser": 0, "command": "help"}),
        ("su@acme.test", "ayuda", "done", {"superuser": 1}),
    ],
)
def test_who_gets_which_answer(author: str, text: str, answer: str, asked: dict[str, Any]) -> None:
    decision = decided(mail(author, text=text, subject=text))
    receipt = told(decision)
    assert decision.state is DONE and not notes(decision) and receipt and receipt.recipient == author
    assert answer_of(decision) == answer and asked.items() <= dict(receipt.context).items()
    assert len(decision.notices) == 1, "nobody else hears of it"


def test_on_a_ticket_it_is_the_same() -> None:
    decision = decided(order("status"))
    assert decision.state is DONE and answer_of(decision) == "ticket_status" and not notes(decision)
    guest = told(decided(order("status", "guest@elsewhere.test")))
    assert guest and dict(guest.context)["contact"] is None, "who takes part and is not registered: what he asked for"


@pytest.mark.parametrize(
    ("author", "more", "reason"),
    [
        ("x@evil.test", {}, Reason.UNKNOWN_CUSTOMER),
        ("eva@acme.test", {}, Reason.COLLEAGUE_WITHOUT_SEAT),  # of the domain, not registered: as with any mail
        ("su@acme.test", {"belief": Belief.REFUTED}, Reason.UNBELIEVED),
        ("anna@nordvik.test", {}, Reason.AGENT_BY_MAIL),
    ],
)
def test_to_anybody_else_it_is_a_mail_like_any_other(author: str, more: dict[str, Any], reason: Reason) -> None:
    for text in ("status", "status all", "help", "close"):
        decision = decided(mail(author, text=text, subject=text, **more))
        plain = decided(mail(author, text="The export stops.", **more))
        assert (decision.state, decision.reason) == (plain.state, reason) == (HELD, plain.reason)
        assert [n.mail for n in decision.notices] == [n.mail for n in plain.notices]


@pytest.mark.parametrize(
    ("text", "subject", "answers", "state"),
    [
        ("Help!", "Help", False, DONE),
        ("status", "", False, DONE),
        ("Status", "Status all", False, DONE),
        ("Help!", "The export stops", False, OPENED),  # a call for help
        ("status", "Re: Invoice 17", False, OPENED),
        ("solved", "The export stops", False, OPENED),
        ("Help!", "Re: Your open tickets: 3", True, DONE),  # answers a mail of ours that is about no ticket
    ],
)
def test_a_mail_that_answers_nothing(text: str, subject: str, answers: bool, state: LedgerState) -> None:
    ids = (our_message_id(18, None),) if answers else ()
    row = outbox(18, mail=MailName.TICKET_STATUS, ticket=None)
    decision = decided(mail(text=text, subject=subject, in_reply_to=ids), outbox=(row,))
    assert decision.state is state, decision.trace


def test_close_without_a_ticket_is_told_so() -> None:
    decision = decided(mail(text="close", subject="close"))
    assert decision.state is DONE and answer_of(decision) == "no-ticket" and not decision.ticket


# --- what is not obeyed -------------------------------------------------------------------------------------------

OPEN_TO = AuthEvidence(belief=Belief.BELIEVED, signed_fields=("from", "subject", "date", "message-id"))


@pytest.mark.parametrize(
    ("changes", "facts", "answer"),
    [
        ({"belief": Belief.UNPROVED}, {}, "not-proved"),
        ({"message_id": None}, {}, "not-proved"),
        ({"date": NOW - timedelta(days=8)}, {}, "not-proved"),
        ({"auth": OPEN_TO}, {}, "not-proved"),
        ({}, {"proof_spent": True}, None),  # T12: sent again; its author does not hear of it a second time
        ({}, {"policy": with_policy(authentication=False)}, "not-proved"),
        ({"belief": Belief.UNPROVED}, {"sent": SentCounts(to_author_last_day=5)}, None),
    ],
)
@pytest.mark.parametrize("text", ["close", "reopen", "cc eva@acme.test", "status", "status all", "help", "/clsoe"])
def test_T01_T12_what_nothing_proves_does_nothing(
    text: str, changes: dict[str, Any], facts: dict[str, Any], answer: str | None
) -> None:
    decision = decided(order(text, **changes), tickets=(ticket(),), **facts)
    assert (decision.state, decision.reason, decision.ticket) == (HELD, Reason.UNBELIEVED, 1042)
    assert [type(action) for action in decision.actions] == [Hold] and answer_of(decision) == answer
    receipt = told(decision)
    assert receipt is None or (receipt.ticket, receipt.recipient, dict(receipt.context)["sender_text"]) == (
        *(None, "su@acme.test"),
        0,
    )


def test_a_word_that_we_do_not_know_posts_nothing_and_is_told() -> None:
    decision = decided(order("/stauts"))
    assert (decision.state, decision.reason, decision.ticket) == (HELD, Reason.UNKNOWN_COMMAND, 1042)
    receipt = told(decision)
    assert receipt and answer_of(decision) == "unknown" and dict(receipt.context)["nearest"] == "status"
    (hold,) = (action for action in decision.actions if isinstance(action, Hold))
    assert "1042" in hold.would and not notes(decision)


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"source": Source.ARCHIVE}, ADDED),
        ({"kind": MailKind.LIST}, ADDED),
        ({"attachments": (AttachmentRef(name="a.png", type="image/png", size=1, sha256="0" * 64),)}, ADDED),
        ({"attachments": (AttachmentRef(name="l.png", type="image/png", size=1, sha256="0" * 64, inline=True),)}, DONE),
        (
            {
                "attachments": (
                    AttachmentRef(name="smime.p7s", type="application/pkcs7-signature", size=1, sha256="0" * 64),
                )
            },
            DONE,
        ),
        ({"kind": MailKind.AUTO_REPLY}, LedgerState.AUTO_REPLY_NOTED),
    ],
)
def test_what_is_no_command_though_it_says_one(more: dict[str, Any], state: LedgerState) -> None:
    assert decided(order("close", **more)).state is state


def test_a_forward_is_a_new_ticket() -> None:
    forward = mail(text="close", subject="Fwd: Export stops", in_reply_to=(our_message_id(),))
    assert decided(forward).reason is Reason.FORWARDED_NOTICE


# --- budgets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "receipts"),
    [
        (SentCounts(to_author_last_day=19), 1),
        (SentCounts(to_author_last_day=20), 0),
        # the same word each week is no machine's
        (SentCounts(same_words_last_month=9, to_author_last_month=9), 1),
    ],
)
def test_T26_answers_have_a_budget(sent: SentCounts, receipts: int) -> None:
    for text in ("close", "status", "help"):
        decision = decided(order(text), sent=sent)
        assert decision.state is DONE and (told(decision) is not None) == bool(receipts), decision.trace


def test_T26_who_orders_too_fast_is_held_as_text_is() -> None:
    decision = decided(order("close"), sent=SentCounts(from_author_on_ticket_last_hour=20))
    assert (decision.state, decision.reason) == (HELD, Reason.LOOP_BROKEN)


def test_nothing_leaves_by_itself_on_a_paused_ticket() -> None:
    decision = decided(order("close"), tickets=(ticket(paused=True),))
    assert decision.state is DONE and notes(decision) and decision.notices == ()


def test_of_several_customers_the_contact_still_asks_for_his_own() -> None:
    both = contact(9, "both@elsewhere.test", customers=(1, 2), seats=(1, 2))
    decision = decided(mail("both@elsewhere.test", text="status all", subject=""), contacts=(*CONTACTS, both))
    assert decision.state is DONE and answer_of(decision) == "ticket_status"


def test_a_merged_ticket_is_the_one_it_was_merged_into() -> None:
    merged = (ticket(number=1000, merged_into=1042, participants=(ticket().participants[0],)), ticket())
    decision = decided(order("close", to=(reply_address(1000),)), tickets=merged)
    assert decision.ticket == 1042 and [note.ticket for note in notes(decision)] == [1042]


def test_who_asked_for_proof_of_every_mail_has_it() -> None:
    strict = replace(ACME, needs_belief=True)
    assert decided(order("close"), customers=(strict,)).state is DONE


def test_a_participant_of_another_role_is_told_with_his_own_token() -> None:
    stand_in = ParticipantFact(id=12, address="boss@acme.test", role=ParticipantRole.STAND_IN, generation=2)
    receipt = told(decided(order("close", "boss@acme.test"), tickets=(ticket(participants=(stand_in,)),)))
    assert receipt and receipt.role is ParticipantRole.STAND_IN
