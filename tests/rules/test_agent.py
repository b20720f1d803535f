"""An agent's mail: sent to the customer, or held whole and answered."""

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import decided, mail, reply_address, with_policy
from values.decision import Decision, SentCounts
from values.mail import AttachmentRef, ParsedMail
from values.vocabulary import AgentObstacle, Belief, LedgerState, MailName, Reason, TicketCommand

BY_MAIL = with_policy(agent_by_mail=True)
ANNAS = reply_address(participant=9)


def annas(text: str = "See 24.1.", **more: Any) -> ParsedMail:
    return mail("anna@nordvik.test", **({"to": (ANNAS,), "text": text} | more))


def receipts(decision: Decision) -> list[tuple[str, str]]:
    found = [dict(one.context) for one in decision.notices if one.mail is MailName.AGENT_MAIL_HELD]
    return [(str(one["obstacle"]), str(one["nearest"])) for one in found]


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("close", TicketCommand.CLOSE),
        ("Cerrar.", TicketCommand.CLOSE),
        ("Stäng!", TicketCommand.CLOSE),
        ("Fixed in 24.1.\n\nclose\n\nAnna Lind\nNordvik", TicketCommand.CLOSE),
        ("close\nThe next release has it.", TicketCommand.CLOSE),
        ("Hello,\n/clsoe\nBest regards", TicketCommand.CLOSE),
        ("Hello,\n/note he is lying, as always with this customer\nBest regards", None),
        ("cc jon@acme.test", TicketCommand.CC),
        ("Hello\ncc: jon@acme.test\nAnna", TicketCommand.CC),
        ("status", TicketCommand.STATUS),
        ("/anything", None),
        ("/note\nHe is lying", None),
        ("Hello\n/etc/hosts", None),
    ],
)
def test_T21_a_command_is_never_mailed_to_a_customer(text: str, nearest: TicketCommand | None) -> None:
    decision = decided(annas(text), policy=BY_MAIL)
    assert (decision.state, decision.reason, decision.ticket) == (LedgerState.HELD, Reason.UNKNOWN_COMMAND, 1042)
    ((obstacle, near),) = receipts(decision)
    assert obstacle == AgentObstacle.COMMAND
    assert near == (nearest.value if nearest else near)
    (notice,) = decision.notices
    assert (notice.recipient, notice.language, notice.ticket) == ("anna@nordvik.test", "sv", 1042)


@pytest.mark.parametrize(
    "text",
    [
        "We close the ticket next week.",
        "Look into this file:\n/var/log/postdesk.log\nand send it.",
        "Status\nThe fix is in test.",
        "> close\nYes.",
    ],
)
def test_a_sentence_is_sent(text: str) -> None:
    assert decided(annas(text), policy=BY_MAIL).reason is Reason.AGENT_REPLY


def test_a_set_of_files_that_is_too_large_is_refused_with_an_answer() -> None:
    file = AttachmentRef(name="dump.zip", type="application/zip", size=10 << 20, sha256="0" * 64)
    fits = decided(annas(attachments=(file,)), policy=BY_MAIL)
    assert (fits.reason, receipts(fits)) == (Reason.AGENT_REPLY, [])
    for files in ((replace(file, size=file.size + 1),), (replace(file, size=1),) * 21):
        refused = decided(annas(attachments=files), policy=BY_MAIL)
        assert (refused.state, refused.reason) == (LedgerState.HELD, Reason.AGENT_BY_MAIL)
        assert receipts(refused) == [(AgentObstacle.TOO_MUCH, "")]


def test_a_report_by_phone_and_a_forward_are_answered() -> None:
    for one in (mail("anna@nordvik.test"), mail("anna@nordvik.test", subject="Fwd: Export")):
        assert receipts(decided(one, policy=BY_MAIL)) == [(AgentObstacle.NO_TICKET, "")]
    assert receipts(decided(annas(), policy=with_policy(agent_by_mail=False))) == [(AgentObstacle.SWITCHED_OFF, "")]


def test_T25_whoever_forges_an_agent_makes_us_write_little() -> None:
    unproved = decided(annas(belief=Belief.UNPROVED), policy=BY_MAIL)
    (notice,) = unproved.notices
    assert receipts(unproved) == [(AgentObstacle.NOT_PROVED, "")]
    assert (notice.ticket, notice.in_reply_to, dict(notice.context)["sender_text"]) == (None, None, 0)
    assert receipts(decided(annas(belief=Belief.REFUTED), policy=BY_MAIL)) == []
    five = SentCounts(to_author_last_day=5)
    assert receipts(decided(annas(belief=Belief.UNPROVED), policy=BY_MAIL, sent=five)) == []
    assert receipts(decided(annas("close"), policy=BY_MAIL, sent=five)) != []
    assert receipts(decided(annas("close"), policy=BY_MAIL, sent=SentCounts(to_author_last_day=20))) == []
