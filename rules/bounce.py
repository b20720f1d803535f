"""Is it a delivery report about a mail of ours, and what follows from it? (RFC 3464, RFC 3463, RFC 5965; threat T61)

Pure. Anybody can write a report that names anybody as failed. So only a report to the return path that we made for one
outbox row (VERP, a keyed code) counts against an address. Our Message-ID proves less: everybody who was sent a reply
with it in References knows it. Such a report is shown on its ticket and changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from values.decision import OutboxFact, RecordReport
from values.mail import DeliveryReport, ReportedRecipient
from values.vocabulary import Reason, StaffTask, SuppressionReason

# Reasons that speak of the message, of us or of a passing trouble: the address may be alive (X.2.2 is transient)
NOT_THE_ADDRESS = (
    "authfailure",
    "blocked",
    "contenterror",
    "expired",
    "mailboxfull",
    "mesgtoobig",
    "networkerror",
    "norelaying",
    "policyviolation",
    "rejected",
    "spamdetected",
    "systemerror",
    "systemfull",
    "toomanyconn",
    "virusdetected",
)
_SENDER_STATUS = ("5.1.7", "5.1.8")  # RFC 3463 §3.2: these two of X.1.z are about the sender's address


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFinding:
    """What a report means for us."""

    reason: Reason  # DELIVERY_REPORT, COMPLAINT, or UNMATCHED_REPORT
    record: RecordReport | None = None  # None = nothing of ours is proved, so nothing is recorded
    hard_bounced_row: OutboxFact | None = None  # the mail whose address is dead: an invitation reopens its request
    staff_task: StaffTask | None = None  # what agents are told: the address gets no more mail
    bounces: int = 0  # hard bounces of the address by now
    trace: str = ""


def judge_report(
    report: DeliveryReport,
    ours: Sequence[OutboxFact],
    *,
    return_path_outbox_id: int | None,
    reported_outbox_ids: Sequence[int] = (),
    hard_bounces_to_suppress: int,
) -> ReportFinding:
    """The finding for one report.

    `ours`: the outbox rows that were looked up. `return_path_outbox_id`: the row whose return path the report was sent
    to, its code checked (Clues). `reported_outbox_ids`: rows of own Message-IDs in the report, their codes checked.
    """
    row = next((fact for fact in ours if fact.id == return_path_outbox_id), None)
    if row is not None:
        return _complaint(report, row) if report.feedback_type else _bounce(report, row, hard_bounces_to_suppress)
    named = tuple(fact for fact in ours if fact.id in reported_outbox_ids and _entries(report, fact.recipient))
    if not named:
        return ReportFinding(reason=Reason.UNMATCHED_REPORT, trace="no mail of ours is proved")
    return ReportFinding(
        reason=Reason.COMPLAINT if report.feedback_type else Reason.DELIVERY_REPORT,
        record=RecordReport(outbox=tuple(fact.id for fact in named), report=report, ticket=named[0].ticket),
        trace="proved by Message-ID only: recorded, nothing counted",
    )


def _complaint(report: DeliveryReport, row: OutboxFact) -> ReportFinding:
    """RFC 5965: somebody pressed the spam button. What nobody asked for is no longer sent."""
    return ReportFinding(
        reason=Reason.COMPLAINT,
        record=RecordReport(
            outbox=(row.id,),
            report=report,
            suppress=((row.recipient, SuppressionReason.COMPLAINT),),
            ticket=row.ticket,
        ),
        staff_task=StaffTask.COMPLAINT,
        trace="complaint: suppressed",
    )


def _bounce(report: DeliveryReport, row: OutboxFact, hard_bounces_to_suppress: int) -> ReportFinding:
    """One mail has one recipient, so the report to its return path is about it, whatever address a forwarder names."""
    entries = _entries(report, row.recipient) or report.recipients
    final = bool(entries) and all(entry.action == "failed" and entry.permanent is True for entry in entries)
    hard = final and all(_is_dead(entry) for entry in entries)
    enough = hard and row.hard_bounces + 1 >= hard_bounces_to_suppress
    return ReportFinding(
        reason=Reason.DELIVERY_REPORT,
        record=RecordReport(
            outbox=(row.id,),
            report=report,
            failed=(row.id,) if final else (),
            hard_bounced=(row.recipient,) if hard else (),
            suppress=((row.recipient, SuppressionReason.HARD_BOUNCE),) if enough else (),
            ticket=row.ticket,
        ),
        hard_bounced_row=row if hard else None,
        staff_task=StaffTask.DEAD_ADDRESS if enough else None,
        bounces=row.hard_bounces + 1 if hard else row.hard_bounces,
        trace=f"hard bounce {row.hard_bounces + 1} of {hard_bounces_to_suppress}" if hard else "recorded, not counted",
    )


def _entries(report: DeliveryReport, recipient: str) -> tuple[ReportedRecipient, ...]:
    wanted = recipient.lower()
    return tuple(
        entry
        for entry in report.recipients
        if entry.address.lower() == wanted or (entry.original_address or "").lower() == wanted
    )


def _is_dead(entry: ReportedRecipient) -> bool:
    """Of a final failure: does it say that the address is no good? X.1.z is about addresses (RFC 3463 §3.2)."""
    if entry.status in _SENDER_STATUS:
        return False
    return (entry.status or "").startswith("5.1.") or entry.reason not in NOT_THE_ADDRESS
