"""The mail is a person's and came through the gates before: who may open a ticket, and what is opened or added.

The last gates ask for the customer, for the proof and for the seat; `accept` composes what the other rules found.
"""

from dataclasses import replace
from datetime import timedelta

from rules.authn import belief_of, is_believed, obstacle_to_order, powers
from rules.autoreply import acknowledgement, unknown_author
from rules.belief import Article, Counts
from rules.case import Case, Outcome, held
from rules.colleagues import colleague_notices
from rules.fields import read_fields
from rules.people import Company, company_of, tongue_of
from rules.reply import agents_notices, staff_notices
from rules.requester import Requester, Standing, find_requester
from rules.thread import Joining, Thread, find_thread, may_change
from rules.triage import priority_of
from values.decision import (
    Action,
    AddArticle,
    Decision,
    Fields,
    LearnContact,
    Notice,
    OpenTicket,
    PauseThread,
    TicketFact,
    Unsuppress,
)
from values.mail import Mailbox
from values.vocabulary import (
    Belief,
    ColleaguePolicy,
    LedgerState,
    MailKind,
    Reason,
    Source,
    StaffTask,
    TicketStatus,
)

_OPENED_BECAUSE = {
    Standing.SUPERUSER: Reason.SUPERUSER,
    Standing.PARTNER: Reason.PARTNER,
    Standing.CONTACT: Reason.CONTACT,
    Standing.COLLEAGUE: Reason.COLLEAGUE_OPENED,
}


def without_customer(case: Case) -> Outcome:
    """Gate: strangers, look-alikes, and domains that lead to more than one customer. Participants pass."""
    requester = find_requester(case)
    if find_thread(case).joining is Joining.JOIN:
        return requester.standing.value
    if requester.standing is Standing.CONFLICT:
        why = f"{case.author} belongs to more than one customer, and the mail names none."
        return held(Reason.DOMAIN_CONFLICT, why, "open a ticket for the customer that you name")
    if requester.standing is Standing.LOOK_ALIKE:
        why = f"The domain of {case.author} looks like {case.facts.look_alike_of} and is another one."
        return held(Reason.LOOK_ALIKE, why, "open a ticket for the customer that you name")
    if requester.standing is Standing.UNKNOWN:
        return _stranger(case)
    name = requester.customer.name if requester.customer else "customer to be named"
    return f"{requester.standing.value} of {name}"


def unproved(case: Case) -> Outcome:
    """Gate: plain text of a known superuser is marked; of anybody else, or where the customer asks, it is held."""
    article = powers(case).article
    if article is Article.PLAIN:
        return "no"
    requester, thread = find_requester(case), find_thread(case)
    joined = thread.ticket if thread.joining is Joining.JOIN else None
    concerned = (requester.customer, case.facts.customer(joined.customer) if joined else None)
    strict = next((customer for customer in concerned if customer and customer.needs_belief), None)
    if strict and article is Article.MARKED:
        why = f"The signature of {case.author} leaves open how the words are read, and {strict.name} asks for proof."
    elif strict:
        why = f"Nothing proves that {case.author} wrote this, and {strict.name} asks for proof."
    elif article is Article.MARKED or requester.is_known or (joined and thread.keyed_for_author):
        return "yes: marked"
    else:
        why = f"Nothing proves that {case.author} wrote this."
    would = f"add it to ticket {joined.number}" if joined else "open a ticket"
    customer = requester.customer.id if requester.customer else None
    return held(Reason.UNBELIEVED, why, would, ticket=joined.number if joined else None, customer=customer)


def without_seat(case: Case) -> Outcome:
    """Gate: a colleague without a seat, where the customer does not let colleagues open tickets."""
    requester = find_requester(case)
    if find_thread(case).joining is Joining.JOIN:
        return "joins a ticket"
    if requester.standing not in (Standing.CONTACT, Standing.COLLEAGUE) or requester.customer is None:
        return "yes" if requester.standing is Standing.SUPERUSER else requester.standing.value
    if requester.customer.colleagues is ColleaguePolicy.OPEN:
        return f"none, and {requester.customer.name} lets colleagues write"
    why = f"{case.author} is of {requester.customer.name} and holds no seat."
    decision = held(Reason.COLLEAGUE_WITHOUT_SEAT, why, "open a ticket with the author", customer=requester.customer.id)
    return replace(decision, notices=colleague_notices(case, requester.customer))


def released(case: Case) -> Outcome:
    """Gate of released mails: a person's word stands for belief and seat; the customer it names is the customer's."""
    release = case.facts.release
    if release is None:
        return "no"
    requester = find_requester(case)
    customer = release.customer
    if customer is None and requester.customer:
        customer = requester.customer.id
    author = _author(case, requester) or Mailbox(address=release.by)
    learn: tuple[Action, ...] = ()
    if release.learn and customer is not None and case.author:
        learn = (LearnContact(mailbox=author, customer=customer),)
    thread = find_thread(case)
    ticket = thread.ticket if thread.joining is Joining.JOIN else None
    if release.ticket is not None:
        ticket, thread = case.facts.ticket(release.ticket), Thread(joining=Joining.JOIN)
    if ticket:
        return _add(case, ticket, thread, author, Reason.RELEASED, learn)
    may_answer = bool(case.author) and (is_believed(case) or bool(learn) or requester.contact is not None)
    return _open(case, requester, author, customer, Reason.RELEASED, also=learn, may_answer=may_answer)


def accept(case: Case) -> Decision:
    """Open a ticket or add an article, with what the other rules found."""
    requester, thread = find_requester(case), find_thread(case)
    author = _author(case, requester) or Mailbox(address=case.author)
    if thread.joining is Joining.JOIN and thread.ticket:
        return _add(case, thread.ticket, thread, author, thread.part or Reason.PARTICIPANT)
    reason, follow_up_of = _OPENED_BECAUSE.get(requester.standing, Reason.CONTACT), None
    if thread.joining is Joining.FORWARD:
        reason = Reason.FORWARDED_NOTICE
    elif thread.joining is Joining.FOLLOW_UP and thread.ticket:
        reason, follow_up_of = Reason.FOLLOW_UP, thread.ticket.number
    customer = requester.customer.id if requester.customer else None
    return _open(case, requester, author, customer, reason, follow_up_of=follow_up_of, thread=thread)


def _stranger(case: Case) -> Decision:
    notices, line = unknown_author(case, tongue_of(case, None, None))
    why = f"{case.author} is of no customer that we know."
    decision = held(Reason.UNKNOWN_CUSTOMER, why, "open a ticket for the customer that you name")
    return replace(decision, notices=notices, trace=(line,))


def _open(
    case: Case,
    requester: Requester,
    author: Mailbox,
    customer: int | None,
    reason: Reason,
    *,
    follow_up_of: int | None = None,
    thread: Thread | None = None,
    also: tuple[Action, ...] = (),
    may_answer: bool = True,
) -> Decision:
    tongue = tongue_of(case, requester.contact, case.facts.customer(customer))
    company = company_of(case, customer, may_join=True)
    action = OpenTicket(
        subject=case.mail.subject,
        requester=author,
        customer=customer,
        contact=requester.contact.id if requester.contact else None,
        language=tongue.language,
        fields=read_fields(case.mail.text),
        priority=priority_of(case.mail),
        marked=powers(case).article is not Article.PLAIN,
        follow_up_of=follow_up_of,
        cc=company.joining,
        proposed_cc=company.proposed,
        anchors=_anchors(case),
    )
    receipt: tuple[Notice, ...] = ()
    line = "acknowledgement: no, the author is not proved"
    if may_answer:
        receipt, line = acknowledgement(case, author, tongue)
    return Decision(
        state=LedgerState.TICKET_OPENED,
        reason=reason,
        matched_by=thread.matched_by if thread else None,
        actions=(*also, action, *_alive(case)),
        notices=(*receipt, *_to_agents(case, None)),
        trace=(line,),
    )


def _add(
    case: Case, ticket: TicketFact, thread: Thread, author: Mailbox, reason: Reason, also: tuple[Action, ...] = ()
) -> Decision:
    # T01: a mail that nobody proved lets nobody join a ticket that has a history
    company = company_of(case, ticket.customer, may_join=not obstacle_to_order(case)) if ticket.customer else Company()
    changes = may_change(case, thread)
    article = AddArticle(
        ticket=ticket.number,
        author=author,
        status=next_status(case, ticket) if changes else None,
        fields=read_fields(case.mail.text) if changes else Fields(),
        marked=powers(case).article is not Article.PLAIN,
        cc=company.joining,
        proposed_cc=company.proposed,
        anchors=_anchors(case),
    )
    storm = () if case.facts.release else _storm(case, ticket)
    told = _told_of(case, storm)
    if _is_flood(case) and not case.facts.release:
        rests = f": automatic mail on ticket {ticket.number} rests" if storm or ticket.paused else ""
        why = f"Mails from {case.author} come too fast for a person{rests}."
        would = f"add it to ticket {ticket.number}"
        flood = held(Reason.LOOP_BROKEN, why, would, ticket=ticket.number, matched_by=thread.matched_by, also=storm)
        return replace(flood, notices=told)
    return Decision(
        state=LedgerState.ARTICLE_ADDED,
        reason=Reason.LOOP_BROKEN if storm else reason,
        matched_by=thread.matched_by,
        ticket=ticket.number,
        actions=(*also, article, *storm, *_alive(case)),
        notices=(*(() if ticket.paused else _to_agents(case, ticket)), *told),
        trace=("automatic mail: paused on this ticket",) if ticket.paused or storm else (),
    )


def next_status(case: Case, ticket: TicketFact) -> TicketStatus | None:
    """A person's answer opens what waited or was done; a machine's changes nothing (T26)."""
    if case.mail.kind is not MailKind.PERSON or ticket.status in (TicketStatus.NEW, TicketStatus.OPEN):
        return None
    return TicketStatus.OPEN


def _storm(case: Case, ticket: TicketFact) -> tuple[PauseThread, ...]:
    """The breaker of a thread: so many mails to and fro that no person writes them (T26)."""
    sent, policy = case.facts.sent, case.policy
    received = sent.from_author_on_ticket_last_hour
    # each of several tickets merged into one, or named by one mail, had its own acknowledgement
    sent_too_many = sent.to_author_on_ticket_last_day >= policy.automatic_per_pair * max(1, len(case.facts.tickets))
    if ticket.resumed_at and case.now - ticket.resumed_at < timedelta(days=1):
        sent_too_many = False  # an agent has seen those: they would pause the thread at once again
    # what is only claimed pauses nothing: else a forger silences the ticket
    flood = _is_flood(case) and powers(case).counts is Counts.AUTHOR
    if ticket.paused or not (flood or sent_too_many):
        return ()
    story = (
        f"{received} mails from {case.author} in an hour and {sent.to_author_on_ticket_last_day} automatic mails "
        "back in a day: automatic mail on this ticket rests until an agent resumes it."
    )
    return (PauseThread(ticket=ticket.number, story=story),)


def _is_flood(case: Case) -> bool:
    """More on one ticket in an hour than a person writes: it is held, so that the ticket stays readable."""
    many = case.facts.sent.from_author_on_ticket_last_hour >= case.policy.articles_per_author_per_hour
    return many and case.mail.envelope.source is not Source.ARCHIVE


def _told_of(case: Case, storm: tuple[PauseThread, ...]) -> tuple[Notice, ...]:
    """The agents hear that a thread was paused, with the numbers of its story."""
    sent = case.facts.sent
    return tuple(
        notice
        for pause in storm
        for notice in staff_notices(
            case,
            StaffTask.PAUSED,
            case.author,
            cause=case.mail.spool_id,
            ticket=pause.ticket,
            received=sent.from_author_on_ticket_last_hour,
            sent=sent.to_author_on_ticket_last_day,
        )
    )


def _to_agents(case: Case, ticket: TicketFact | None) -> tuple[Notice, ...]:
    return () if case.mail.envelope.source is Source.ARCHIVE else agents_notices(case, ticket)


def _alive(case: Case) -> tuple[Unsuppress, ...]:
    """Who writes can be written to; a forger must not be able to say so."""
    writes = belief_of(case) is Belief.BELIEVED and case.mail.kind is MailKind.PERSON
    return (Unsuppress(address=case.author),) if case.facts.author_suppressed and writes else ()


def _author(case: Case, requester: Requester) -> Mailbox | None:
    if not case.author:
        return None
    name = (case.mail.author.name if case.mail.author else "") or (requester.contact.name if requester.contact else "")
    return Mailbox(address=requester.contact.address if requester.contact else case.author, name=name)


def _anchors(case: Case) -> tuple[str, ...]:
    """The foreign Message-IDs that lead to this ticket from now on: the mail's own and those it answers."""
    return tuple(dict.fromkeys(id for id in (case.clues.message_id, *case.clues.anchor_ids) if id))
