"""A colleague without a seat wrote: who is told that the mail waits, and who may let it through? (domain.md 4)

Pure: facts go in, notices or a `Ruling` come out; mail, pages and jobs ask the same functions.
"""

from rules.autoreply import obstacle_to_answer
from rules.case import Case
from rules.people import tongue_of
from values.access import AccessFacts, DeclineHeld, HeldFact, ReleaseHeld
from values.decision import CustomerFact, Notice, Ruling
from values.vocabulary import Answer, MailName, Reason, SeatState, Source


def colleague_notices(case: Case, customer: CustomerFact) -> tuple[Notice, ...]:
    """A colleague's mail is held: the superusers are asked, and the colleague, who is believed here, is told."""
    if case.mail.envelope.source is Source.ARCHIVE or obstacle_to_answer(case):
        return ()
    sent, policy, cause = case.facts.sent, case.policy, case.mail.spool_id
    if sent.from_author_last_hour >= policy.colleague_mails_per_hour:
        return ()
    asked = tuple(
        Notice(
            mail=MailName.COLLEAGUE_ASK,
            recipient=one.address,
            key=Notice.key_of(MailName.COLLEAGUE_ASK, cause, one.address),
            language=one.language or customer.language,
            zone=one.zone or customer.zone,
            context=(("held", cause),),
        )
        for one in case.facts.superusers
        if customer.id in one.seats
    )
    if not asked or sent.to_author_last_day >= policy.acknowledgements_per_author_per_day:
        return asked
    tongue = tongue_of(case, case.facts.contact, customer)
    told = Notice(
        mail=MailName.COLLEAGUE_HELD,
        recipient=case.author,
        key=Notice.key_of(MailName.COLLEAGUE_HELD, cause, case.author),
        language=tongue.language,
        zone=tongue.zone,
        in_reply_to=case.mail.message_id,
    )
    return (*asked, told)


def release(facts: AccessFacts, by: str) -> Ruling:
    """A superuser lets a colleague's mail through."""
    held = _judged(facts, by)
    if isinstance(held, Answer):
        return Ruling(answer=held)
    return Ruling(answer=Answer.DONE, actions=(ReleaseHeld(held=held.id, by=by, customer=held.customer),))


def decline(facts: AccessFacts, by: str) -> Ruling:
    """A superuser does not let a colleague's mail through."""
    held = _judged(facts, by)
    if isinstance(held, Answer):
        return Ruling(answer=held)
    declined = DeclineHeld(held=held.id, by=by)
    if not held.told:  # who was promised nothing, or proved nothing, hears nothing (T25)
        return Ruling(answer=Answer.DONE, actions=(declined,))
    told = Notice(
        mail=MailName.COLLEAGUE_DECLINED,
        recipient=held.author,
        key=Notice.key_of(MailName.COLLEAGUE_DECLINED, held.id, held.author),
        language=held.language,
        zone=facts.customer.zone if facts.customer else "UTC",
        context=(("held", held.id),),
    )
    return Ruling(answer=Answer.DONE, actions=(declined,), notices=(told,))


def _judged(facts: AccessFacts, by: str) -> HeldFact | Answer:
    """The mail that `by` (an address), a superuser of the customer now, may judge; else why not."""
    # What waits for another reason, such as a mail that nobody proved, is for agents to judge.
    if facts.held is None or facts.held.reason is not Reason.COLLEAGUE_WITHOUT_SEAT:
        return Answer.NOT_FOUND
    if not any(seat.address == by.lower() and seat.state is SeatState.ACTIVE for seat in facts.seats):
        return Answer.NOT_YOURS
    return facts.held if facts.held.waits else Answer.ALREADY
