"""What a report changes: nothing, unless it came to the return path of a mail of ours (threat T61)."""

import pytest

from rules.bounce import ReportFinding, judge_report
from values.decision import OutboxFact
from values.mail import DeliveryReport, ReportedRecipient
from values.vocabulary import MailName, Reason, StaffTask, SuppressionReason

LUCIA = "lucia@acme.test"


def row(id: int = 7, hard_bounces: int = 0, recipient: str = LUCIA) -> OutboxFact:
    return OutboxFact(id=id, mail=MailName.ACKNOWLEDGEMENT, recipient=recipient, ticket=1042, hard_bounces=hard_bounces)


def entry(
    address: str = LUCIA,
    action: str = "failed",
    status: str | None = "5.1.1",
    permanent: bool | None = True,
    reason: str | None = "userunknown",
    original: str | None = None,
) -> ReportedRecipient:
    return ReportedRecipient(
        address=address, action=action, status=status, permanent=permanent, reason=reason, original_address=original
    )


def judged(
    *entries: ReportedRecipient,
    ours: tuple[OutboxFact, ...] = (row(),),
    return_path: int | None = 7,
    reported: tuple[int, ...] = (),
    feedback: str | None = None,
) -> ReportFinding:
    return judge_report(
        DeliveryReport(recipients=entries, feedback_type=feedback),
        ours,
        return_path_outbox_id=return_path,
        reported_outbox_ids=reported,
        hard_bounces_to_suppress=2,
    )


@pytest.mark.parametrize(
    ("one", "hard"),
    [
        (entry(), True),
        (entry(address="LUCIA@acme.test"), True),
        (entry(address="l.perez@mail.example"), True),  # forwarded: the return path alone proves whose it is
        (entry(address="l.perez@mail.example", original=LUCIA), True),
        (entry(status=None, reason=None), True),
        (entry(status="5.1.10", reason="notaccept"), True),
        (entry(status="5.1.1", reason="rejected"), True),  # X.1.1 is about the address, whatever the words
        (entry(status="5.1.8", reason="rejected"), False),  # about our address
        (entry(status="5.2.2", reason="mailboxfull"), False),
        (entry(status="5.7.26", reason="authfailure"), False),  # our fault
        (entry(status="5.7.1", reason="spamdetected"), False),  # about the message
        (entry(status="4.4.7", permanent=False, reason="expired"), False),
        (entry(status=None, permanent=None, reason="mailboxfull"), False),
        (entry(action="delayed", permanent=False), False),
        (entry(action="delivered", permanent=None, status="2.0.0"), False),
    ],
)
def test_what_counts_as_a_hard_bounce(one: ReportedRecipient, hard: bool) -> None:
    finding = judged(one)
    assert finding.reason is Reason.DELIVERY_REPORT
    assert finding.record is not None
    assert finding.record.outbox == (7,)
    assert finding.record.ticket == 1042
    assert finding.record.hard_bounced == ((LUCIA,) if hard else ())
    assert finding.hard_bounced_row == (row() if hard else None)
    assert finding.record.suppress == ()
    assert finding.staff_task is None


@pytest.mark.parametrize(("before", "suppressed"), [(0, False), (1, True), (5, True)])
def test_second_hard_bounce_suppresses(before: int, suppressed: bool) -> None:
    finding = judged(entry(), ours=(row(hard_bounces=before),))
    assert finding.record is not None and finding.record.failed == (7,)
    assert finding.record is not None
    assert finding.record.hard_bounced == (LUCIA,)
    assert finding.record.suppress == (((LUCIA, SuppressionReason.HARD_BOUNCE),) if suppressed else ())
    assert (finding.staff_task is not None) is suppressed


def test_soft_bounce_after_a_hard_one_suppresses_nobody() -> None:
    finding = judged(entry(status="4.2.2", permanent=False, reason="mailboxfull"), ours=(row(hard_bounces=1),))
    assert finding.record is not None
    assert finding.record.suppress == ()


def test_only_the_entry_of_our_recipient_counts() -> None:
    finding = judged(entry(address="other@acme.test"), entry(action="delayed", permanent=False, status="4.4.1"))
    assert finding.record is not None
    assert finding.record.hard_bounced == ()


def test_forwarder_with_one_living_target_is_alive() -> None:
    finding = judged(entry(address="a@x.test"), entry(address="b@x.test", action="delivered", permanent=None))
    assert finding.record is not None
    assert finding.record.hard_bounced == ()


@pytest.mark.parametrize(
    ("ours", "return_path", "reported"),
    [
        ((), None, ()),
        ((), 7, ()),  # the code was right, the row is gone
        ((row(),), None, ()),  # looked up for another reason
        ((row(),), None, (8,)),
        ((row(recipient="ana@acme.test"),), None, (7,)),  # our Message-ID, but of a mail to somebody else
    ],
)
@pytest.mark.parametrize("feedback", [None, "abuse"])
def test_unproved_report_changes_nothing(
    ours: tuple[OutboxFact, ...], return_path: int | None, reported: tuple[int, ...], feedback: str | None
) -> None:
    finding = judged(entry(), ours=ours, return_path=return_path, reported=reported, feedback=feedback)
    assert finding.reason is Reason.UNMATCHED_REPORT
    assert (finding.record, finding.hard_bounced_row, finding.staff_task) == (None, None, None)


@pytest.mark.parametrize(
    ("feedback", "reason"), [(None, Reason.DELIVERY_REPORT), ("abuse", Reason.COMPLAINT)], ids=["bounce", "complaint"]
)
def test_message_id_alone_records_and_counts_nothing(feedback: str | None, reason: Reason) -> None:
    """Everybody who was sent a reply knows our Message-IDs from its References."""
    finding = judged(entry(), ours=(row(hard_bounces=9),), return_path=None, reported=(7,), feedback=feedback)
    assert finding.reason is reason
    assert finding.record is not None
    assert (finding.record.outbox, finding.record.ticket) == ((7,), 1042)
    assert (finding.record.failed, finding.record.hard_bounced, finding.record.suppress) == ((), (), ())


def test_complaint_suppresses_and_asks_people() -> None:
    finding = judged(entry(action="complaint", permanent=None, status=None, reason="feedback"), feedback="abuse")
    assert finding.reason is Reason.COMPLAINT
    assert finding.record is not None
    assert finding.record.suppress == ((LUCIA, SuppressionReason.COMPLAINT),)
    assert finding.record.hard_bounced == ()
    assert finding.staff_task is StaffTask.COMPLAINT


def test_return_path_wins_over_message_id() -> None:
    ours = (row(), row(id=8, recipient="ana@acme.test"))
    finding = judged(entry(), ours=ours, return_path=7, reported=(8,))
    assert finding.record is not None
    assert finding.record.outbox == (7,)
