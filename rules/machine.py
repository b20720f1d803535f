"""What becomes of a mail that the form of the mail shows to be a machine's? (RFC 3834 §2, RFC 5321 §6.3, T26)

None of these is ever answered. What a superuser's own machine sends opens a ticket quietly; what answers a mail of
ours is noted on its ticket and changes nothing there.
"""

from rules.access_mail import bounced
from rules.authn import belief_of
from rules.bounce import ReportFinding, judge_report
from rules.case import Case, Outcome, discarded, held
from rules.reply import staff_notices, undelivered
from rules.thread import Joining, Thread, find_thread
from values.decision import Decision, NoteAutoReply, Notice, RecordReport
from values.mail import DeliveryReport
from values.vocabulary import Belief, LedgerState, MailKind, Reason, Undelivered

_REPORTS = (MailKind.BOUNCE, MailKind.DELAYED, MailKind.DELIVERED, MailKind.COMPLAINT)
_ANSWERS = (MailKind.AUTO_REPLY, MailKind.AUTO_GENERATED)


def over_limit(case: Case) -> Outcome:
    """Gate: a limit of ingest stopped the parser, so that only the envelope is sure."""
    limit = case.mail.over_limit
    if limit is None:
        return "no"
    return held(Reason.OVER_LIMIT, f"The mail is over the limit {limit} and was not read.", "open a ticket with it")


def came_back(case: Case) -> Outcome:
    """Gate: our own mail, or one that goes round in circles."""
    if case.clues.own_marker:
        return discarded(Reason.LOOP)
    if case.mail.received_count > case.policy.received_limit:  # RFC 5321 §6.3
        why = f"The mail passed {case.mail.received_count} servers, so it is probably going round in circles."
        return held(Reason.LOOP, why, "take it as an ordinary mail")
    return "no"


def report(case: Case) -> Outcome:
    """Gate: a delivery report or complaint. One about no mail of ours changes no state (T61, rules/bounce.py)."""
    mail, clues = case.mail, case.clues
    if mail.kind not in _REPORTS and (mail.report is None or clues.return_path_outbox_id is None):
        return "no"
    finding = judge_report(
        mail.report or DeliveryReport(),
        case.facts.outbox,
        return_path_outbox_id=clues.return_path_outbox_id,
        reported_outbox_ids=clues.reported_outbox_ids,
        hard_bounces_to_suppress=case.policy.hard_bounces_to_suppress,
    )
    if finding.record is None:
        return discarded(finding.reason) if mail.kind in _REPORTS else finding.trace
    follows = bounced(case, finding)
    return Decision(
        state=LedgerState.REPORT_RECORDED,
        reason=finding.reason,
        ticket=finding.record.ticket,
        actions=(finding.record, *follows.actions),
        notices=(*follows.notices, *_told(case, finding), *_returned(case, finding.record)),
        trace=(finding.trace,) if finding.trace else (),
    )


def _told(case: Case, finding: ReportFinding) -> tuple[Notice, ...]:
    """A second hard bounce or a complaint is told to the agents, once a day for each address."""
    if finding.staff_task is None or finding.record is None:
        return ()
    address = next(address for address, _ in finding.record.suppress)
    cause = f"{address.lower()}:{case.now.date().isoformat()}"
    task, ticket = finding.staff_task, finding.record.ticket
    return staff_notices(case, task, address, cause=cause, ticket=ticket, bounces=finding.bounces)


def _returned(case: Case, record: RecordReport) -> tuple[Notice, ...]:
    """An answer that came back for good is told to the agent who wrote it, once, in words of ours and no others."""
    told = next(iter(record.report.recipients), None)
    reply = " ".join(word for word in (told.action, told.status, told.reason) if word) if told else ""
    rows = (row for row in case.facts.outbox if row.id in record.failed)
    return tuple(
        notice
        for row in rows
        for notice in undelivered(row, Undelivered.RETURNED, reply, cause="returned", policy=case.policy)
    )


def administrative(case: Case) -> Outcome:
    """Gate: DMARC and TLS aggregate reports (RFC 9990, RFC 8460 §5.3) are data for other programs."""
    tls = any(name == "tls-report-domain" for name, _ in case.mail.auto_headers)
    names = (attachment.name.lower() for attachment in case.mail.attachments[:3])
    dmarc = any(name.count("!") >= 3 and name.endswith((".gz", ".zip", ".xml")) for name in names)
    return discarded(Reason.ADMINISTRATIVE) if (tls or dmarc) and not case.facts.contact else "no"


def automatic(case: Case) -> Outcome:
    """Gate: automatic answers and list mail."""
    kind = case.mail.kind
    holds_seat = case.facts.contact is not None and bool(case.facts.contact.seats)
    if kind is MailKind.LIST:
        return "list, by a superuser" if holds_seat else discarded(Reason.BULK)
    if kind not in _ANSWERS:
        return kind.value
    thread = find_thread(case)
    if thread.joining in (Joining.JOIN, Joining.FOLLOW_UP) and _may_note(case, thread):
        return _noted(thread.ticket.number if thread.ticket else None)
    if case.facts.outbox and _answers_our_mail(case):
        return _noted(None)
    if kind is MailKind.AUTO_REPLY:
        return discarded(Reason.UNMATCHED_AUTO_REPLY)
    return "auto-generated, answers nothing of ours"


def _may_note(case: Case, thread: Thread) -> bool:
    """As for plain text: believed, or not refuted and either a superuser or led here by a code made for the author."""
    belief, contact = belief_of(case), case.facts.contact
    if belief is Belief.UNPROVED:
        return thread.keyed_for_author or (contact is not None and bool(contact.seats))
    return belief is Belief.BELIEVED


def _answers_our_mail(case: Case) -> bool:
    """A mail of ours without a ticket, such as a notice, answered by its own recipient."""
    ids = {*case.clues.our_outbox_ids, case.clues.return_path_outbox_id}
    return any(
        row.id in ids and row.ticket is None and row.recipient.lower() == case.author for row in case.facts.outbox
    )


def _noted(ticket: int | None) -> Decision:
    return Decision(
        state=LedgerState.AUTO_REPLY_NOTED,
        reason=Reason.AUTO_REPLY,
        ticket=ticket,
        actions=(NoteAutoReply(ticket=ticket),),
    )
