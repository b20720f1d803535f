"""When a mail is answered automatically, and when it is not (RFC 3834 §2 and §4; threats T25, T27)."""

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import NOW, POLICY, SUPPORT, decided, mail, reply_address, with_policy
from values.decision import Decision, Notice, SentCounts
from values.mail import Mailbox, ParsedMail
from values.vocabulary import Belief, MailKind, MailName, Source

U = Belief.UNPROVED
OFF = with_policy(authentication=False)


def receipts(decision: Decision) -> list[Notice]:
    automatic = (MailName.ACKNOWLEDGEMENT, MailName.UNKNOWN_AUTHOR)
    return [notice for notice in decision.notices if notice.mail in automatic]


SILENT: list[tuple[str, ParsedMail, dict[str, Any]]] = [
    ("auto-generated", mail(kind=MailKind.AUTO_GENERATED), {}),
    ("list", mail(kind=MailKind.LIST), {}),
    ("null reverse-path", mail(reverse_path=""), {}),
    ("owner-", mail(reverse_path="owner-list@acme.test"), {}),
    ("-owner", mail(reverse_path="list-owner@acme.test"), {}),
    ("-request", mail(reverse_path="list-request@acme.test"), {}),
    ("-bounces with VERP", mail(reverse_path="list-bounces+su=acme.test@acme.test"), {}),
    ("MAILER-DAEMON", mail(reverse_path="MAILER-DAEMON@acme.test"), {}),
    ("no-reply", mail("no-reply@bolt.test"), {}),
    ("do_not_reply", mail("Do_Not_Reply@bolt.test"), {}),
    ("our address is in Bcc", mail(to=("other@acme.test",), forward_paths=(SUPPORT,)), {}),
    ("our address is nowhere", mail(to=()), {}),
    ("X-Auto-Response-Suppress", mail(auto_headers=(("x-auto-response-suppress", "DR, AutoReply"),)), {}),
    ("X-Auto-Response-Suppress: All", mail(auto_headers=(("x-auto-response-suppress", "All"),)), {}),
    ("archive", mail(source=Source.ARCHIVE), {}),
    ("an article is no opening", mail(to=(reply_address(),)), {}),
    ("budget of a day", mail(), {"sent": SentCounts(to_author_last_day=20)}),
    ("budget of a day, unproved", mail(belief=U), {"sent": SentCounts(to_author_last_day=5)}),
    (
        "T26 the same words again, answered often enough",
        mail(),
        {"sent": SentCounts(same_words_last_month=1, to_author_last_month=3)},
    ),
    ("T25 stranger, unproved", mail("x@evil.test", belief=U), {}),
    ("T25 stranger, refuted", mail("x@evil.test", belief=Belief.REFUTED), {}),
    ("T25 stranger, told today", mail("x@evil.test"), {"sent": SentCounts(unknown_to_author_last_day=1)}),
    ("T25 domain, told enough", mail("x@evil.test"), {"sent": SentCounts(unknown_to_domain_last_day=20)}),
    ("T25 told enough this hour", mail("x@evil.test"), {"sent": SentCounts(unknown_total_last_hour=60)}),
    ("T25 stranger's machine", mail("x@evil.test", kind=MailKind.AUTO_GENERATED), {}),
    ("T25 stranger at a ticket", mail("x@evil.test", subject="[PD-1042]"), {}),
    ("T27 over a limit", mail(over_limit="size"), {}),
    ("T27 look-alike", mail("su@acrne.test"), {}),
    ("T27 colleague held", mail("joe@acme.test"), {}),
    ("T27 no author", mail(None), {}),
    ("T27 second copy", mail(), {"second_copy_of": "L1"}),
]


@pytest.mark.parametrize(("name", "parsed", "found"), SILENT, ids=[row[0] for row in SILENT])
def test_no_automatic_answer(name: str, parsed: ParsedMail, found: dict[str, Any]) -> None:
    assert receipts(decided(parsed, **found)) == []


ANSWERED: list[tuple[str, ParsedMail, dict[str, Any]]] = [
    ("believed", mail(), {}),
    ("our address in Cc", mail(to=("boss@acme.test",), cc=(SUPPORT,)), {}),
    ("other letters, a tag", mail(to=("Support+x@NORDVIK.test",)), {}),
    ("another reverse-path", mail(reverse_path="b-123@esp.test"), {}),
    ("unproved superuser", mail(belief=U), {}),
    ("authentication off: the whole budget", mail(belief=U), {"policy": OFF, "sent": SentCounts(to_author_last_day=9)}),
    ("a suppressed out-of-office only", mail(auto_headers=(("x-auto-response-suppress", "DR, OOF"),)), {}),
    ("stranger", mail("x@evil.test"), {}),
    ("the same words again", mail(), {"sent": SentCounts(same_words_last_month=9, to_author_last_month=2)}),
    ("like a nobody's name", mail("ownership@bolt.test", reverse_path="norepley@bolt.test"), {}),
]


@pytest.mark.parametrize(("name", "parsed", "found"), ANSWERED, ids=[row[0] for row in ANSWERED])
def test_one_automatic_answer_to_the_author(name: str, parsed: ParsedMail, found: dict[str, Any]) -> None:
    (notice,) = receipts(decided(parsed, **found))
    assert parsed.author is not None
    assert notice.recipient == parsed.author.address


def test_T25_no_word_of_a_forger_leaves_under_our_name() -> None:
    """Threat T25: what an unproved or unknown author wrote stands in no automatic mail."""
    canary = "canary-buy-now"
    unproved = decided(mail(belief=U, subject=canary, text=canary))
    (receipt,) = receipts(unproved)
    assert receipt.context == (("sender_text", 0),)
    assert receipts(decided(mail(subject=canary)))[0].context == (("sender_text", 1),)
    assert receipts(decided(mail(belief=U), policy=OFF))[0].context == (("sender_text", 1),)
    stranger = replace(mail("x@evil.test", subject=canary, text=canary), reply_to=(Mailbox(address="v@victim.test"),))
    assert canary not in repr(receipts(decided(stranger)))
    assert "victim" not in repr(decided(stranger).notices)


def test_T25_two_workers_make_one_key_a_day_for_a_stranger() -> None:
    first, second = (receipts(decided(mail("x@evil.test", spool_id=id)))[0] for id in ("S1", "S2"))
    assert first.key == second.key == f"unknown_author:{NOW.date()}:x@evil.test"


def test_T25_ten_thousand_forged_senders_get_nothing() -> None:
    sent = 0
    for number in range(10_000):
        belief = (U, Belief.REFUTED)[number % 2]
        decision = decided(mail(f"victim{number}@domain{number % 97}.test", belief=belief, subject="canary"))
        sent += len(decision.notices)
    assert sent == 0
    assert POLICY.unknown_per_hour < 10_000
