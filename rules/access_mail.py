"""What does a mail about access do: an answer to one of our notices, or a request? (domain.md 4, T01, T52)

An order counts from a believed author who is the very recipient of the notice, to the reply address that was made for
it. What is no order does nothing: it is held, and answered with what would work.
"""

from dataclasses import replace

from rules import access, colleagues, seats
from rules.authn import belief_of, obstacle_to_order
from rules.autoreply import obstacle_to_answer
from rules.bounce import ReportFinding
from rules.case import Case, Outcome, held
from rules.commands import Ordered, read_command
from rules.people import tongue_of
from values.access import AccessFacts
from values.decision import Decision, Hold, Notice, OutboxFact, Ruling
from values.vocabulary import (
    Answer,
    Belief,
    Command,
    LedgerState,
    MailKind,
    MailName,
    Reason,
    SeatState,
    Source,
    SuppressionReason,
)

# What a reply to each notice may order.
ORDERS: dict[MailName, tuple[Command, ...]] = {
    MailName.ACCESS_DESK_NOTICE: (Command.APPROVE, Command.REFUSE),
    MailName.ACCESS_LATE: (Command.APPROVE, Command.REFUSE),
    MailName.INVITATION_BOUNCED: (Command.APPROVE, Command.REFUSE),
    MailName.ACCESS_AGREE: (Command.APPROVE, Command.REFUSE),
    MailName.COLLEAGUE_ASK: (Command.RELEASE, Command.DECLINE),
    MailName.SEAT_CHANGED: (Command.TAKE_BACK,),
    MailName.SEAT_RETURNS_SOON: (Command.TAKE_BACK,),
}


def about_access(case: Case) -> Outcome:
    """Gate: replies to notices about access, and mails to the access address that are nobody's tickets."""
    clues, facts = case.clues, case.facts
    if clues.access_outbox_id is None and clues.access_asked is None:
        return "no"
    if case.mail.envelope.source is Source.ARCHIVE or case.mail.kind is not MailKind.PERSON:
        return case.mail.kind.value
    if belief_of(case) is Belief.REFUTED:
        return "refuted"  # the gate of belief says why
    row = next((row for row in facts.outbox if row.id == clues.access_outbox_id), None)
    if row is not None:
        return _answered(case, row)
    if facts.agent or (facts.contact and facts.contact.seats):
        return _superuser(case)
    return _request(case)


# --- replies ------------------------------------------------------------------------------------------------------


def _answered(case: Case, row: OutboxFact) -> Outcome:
    would = "take it as an ordinary mail"
    if row.recipient.lower() != case.author:
        return held(Reason.TOKEN_OF_ANOTHER, f"{case.author} used the reply address of {row.recipient}.", would)
    if why := obstacle_to_order(case):
        return held(Reason.UNBELIEVED, why, would)
    works = _works(row)
    order = read_command(case.mail.text)
    if order is None or order.command not in works:
        if not works:
            return "answers a mail that takes no order"
        why = "The first line is no order that this mail takes: nothing was done, and the author was told."
        asked = _told(case, row, Answer.UNKNOWN_COMMAND, None)
        return replace(held(Reason.UNKNOWN_COMMAND, why, would), notices=asked)
    ruling = _obey(case, order, case.facts.access or AccessFacts())
    return _done(ruling, _told(case, row, ruling.answer, order))


def _obey(case: Case, order: Ordered, facts: AccessFacts) -> Ruling:
    by, now, policy = case.author, case.now, case.policy
    match order.command:
        case Command.TAKE_BACK:
            return seats.take_back(facts, case.facts.contact.id if case.facts.contact else None, now)
        case Command.RELEASE:
            return colleagues.release(facts, by)
        case Command.DECLINE:
            return colleagues.decline(facts, by)
        case Command.APPROVE:
            return access.approve(facts, policy, now) if case.facts.agent else access.agree(facts, policy, now, by)
        case Command.REFUSE:
            may = case.facts.agent is not None or access.may_agree(facts, by)
            return access.refuse(facts, order.reason, now) if may else Ruling(answer=Answer.NOT_YOURS)


def _works(row: OutboxFact) -> tuple[Command, ...]:
    """What a reply to this mail may order; a receipt takes what the mail took that it answers."""
    if row.mail is not MailName.COMMAND_ANSWER:
        return ORDERS.get(row.mail, ())
    words = str(dict(row.about).get("works") or "").split(",")
    return tuple(command for command in Command if command in words)


def _told(case: Case, row: OutboxFact, answer: Answer, order: Ordered | None) -> tuple[Notice, ...]:
    """The receipt of an order: done or not, and why."""
    about = tuple((name, value) for name, value in row.about if name in ("request", "seat", "held"))
    works = ",".join(_works(row))
    said = order.command.value if order else ""
    return _receipt(case, (*about, ("answer", answer.value), ("command", said), ("works", works)))


def _receipt(case: Case, context: tuple[tuple[str, str | int | None], ...]) -> tuple[Notice, ...]:
    sent, policy = case.facts.sent, case.policy
    if obstacle_to_answer(case) or sent.to_author_last_day >= policy.acknowledgements_per_author_per_day:
        return ()
    agent, contact = case.facts.agent, case.facts.contact
    tongue = tongue_of(
        case, contact, case.facts.customer(contact.customers[0]) if contact and contact.customers else None
    )
    notice = Notice(
        mail=MailName.COMMAND_ANSWER,
        recipient=case.author,
        key=Notice.key_of(MailName.COMMAND_ANSWER, case.mail.spool_id, case.author),
        language=agent.language if agent else tongue.language,
        zone=agent.zone if agent else tongue.zone,
        in_reply_to=case.mail.message_id,
        context=context,
    )
    return (notice,)


def _done(ruling: Ruling, receipt: tuple[Notice, ...]) -> Decision:
    return Decision(
        state=LedgerState.COMMAND_DONE,
        reason=Reason.COMMAND,
        actions=ruling.actions,
        notices=(*ruling.notices, *receipt),
        trace=(f"access: {ruling.answer.value}",),
    )


# --- what comes back ----------------------------------------------------------------------------------------------


def bounced(case: Case, finding: ReportFinding) -> Ruling:
    """A hard bounce of an invitation reopens its request; an address that gets no more mail flags its holder's seat."""
    row, facts = finding.hard_bounced_row, case.facts.access
    if row is None or facts is None or finding.record is None:
        return Ruling(answer=Answer.ALREADY)
    again = Ruling(answer=Answer.ALREADY)
    if row.mail is MailName.INVITATION:
        again = access.reopen(facts, case.policy, case.now)
    dead = {address.lower() for address, why in finding.record.suppress if why is SuppressionReason.HARD_BOUNCE}
    flags = [
        seats.flag(facts, seat, seats.BOUNCES)
        for seat in facts.seats
        if seat.address in dead and seat.state in (SeatState.ACTIVE, SeatState.RESTING)
    ]
    return seats.merged(again, *flags)


# --- mails to the access address ----------------------------------------------------------------------------------


def _superuser(case: Case) -> Outcome:
    """A superuser who is back may say so without a notice at hand; all else that insiders write is a ticket."""
    order = read_command(case.mail.text)
    contact = case.facts.contact
    if contact is None or order is None or order.command is not Command.TAKE_BACK or obstacle_to_order(case):
        return "of one who has access"
    ruling = seats.take_back(case.facts.access or AccessFacts(), contact.id, case.now)
    about = (("answer", ruling.answer.value), ("command", order.command.value), ("works", Command.TAKE_BACK.value))
    return _done(ruling, _receipt(case, about))


def _request(case: Case) -> Outcome:
    asked, facts = case.clues.access_asked, case.facts.access or AccessFacts()
    if asked is None:
        return "no"
    contact = case.facts.contact
    order = read_command(case.mail.text)
    back = order is not None and order.command is Command.TAKE_BACK and not obstacle_to_order(case)
    if contact and back and seats.seat_of(facts, contact.id, SeatState.RESTING):
        return _superuser(case)
    obstacle = obstacle_to_answer(case)
    if obstacle:
        return held(Reason.ACCESS_REQUEST, f"It asks for access, and {obstacle}.", "open a ticket with it")
    ruling = access.request(
        asked, facts, case.policy, case.now, belief=_belief(case), evidence=case.mail.auth.evidence[:5]
    )
    if ruling.answer in (Answer.QUIET, Answer.TOO_OFTEN):
        why = f"{case.author}, or everybody together, asked for access too often within an hour."
        decision = held(Reason.ACCESS_REQUEST, why, "open a ticket with it")
        until = case.now + case.policy.held_unknown
        kept = tuple(replace(a, expires_at=until) if isinstance(a, Hold) else a for a in decision.actions)
        return replace(decision, actions=kept)
    receipt = _receipt(case, (("answer", Answer.WAITS.value), ("request", 0))) if ruling.answer is Answer.WAITS else ()
    return Decision(
        state=LedgerState.ACCESS_REQUESTED,
        reason=Reason.ACCESS_REQUEST,
        actions=ruling.actions,
        notices=(*ruling.notices, *receipt),
        trace=(f"access: {ruling.answer.value}",),
    )


def _belief(case: Case) -> Belief:
    """A mail that may order nothing asks as a stranger at the form does: a mailed link proves the address."""
    return Belief.UNPROVED if obstacle_to_order(case) else Belief.BELIEVED
