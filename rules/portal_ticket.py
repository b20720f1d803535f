"""What becomes of a form that a signed-in contact sends about tickets? (domain.md 3, 5)

A form is decided like a mail whose author is proved: the session is the proof, opened by a link that only his mailbox
got. The same functions choose status, receipt and the agents' notices. Two things differ: a form can be refused on the
spot, so nothing is held; and the people of a partner answer on all tickets of the customers they serve, since they see
them here, while a mail would have to prove which ticket it means.
"""

from rules.accept import next_status
from rules.autoreply import acknowledgement
from rules.case import Case
from rules.people import tongue_of
from rules.reply import agents_notices
from rules.thread import may_reopen, part_of
from rules.ticket_mail import ordered_status
from rules.triage import priority_of
from values.decision import AddArticle, Decision, Fields, Notice, OpenTicket, TicketFact
from values.mail import Mailbox
from values.vocabulary import (
    ArticleKind,
    ColleaguePolicy,
    LedgerState,
    Reason,
    TicketAnswer,
    TicketCommand,
)


def may_open_for(case: Case, customer: int) -> Reason | None:
    """Why the author may open tickets of this customer; None where he may not. As domain.md 3.4 says for mail."""
    contact, known = case.facts.contact, case.facts.customer(customer)
    if contact is None or known is None:
        return None
    if customer in contact.seats:
        return Reason.SUPERUSER
    if customer in contact.partner_customers:
        return Reason.PARTNER
    is_colleague = customer in contact.customers and known.colleagues is ColleaguePolicy.OPEN
    return Reason.CONTACT if is_colleague else None


def part_in(case: Case, ticket: TicketFact) -> Reason | None:
    """The author's part in a ticket; None where it is not his."""
    contact = case.facts.contact
    serves = contact is not None and ticket.customer is not None and ticket.customer in contact.partner_customers
    return part_of(case, ticket) or (Reason.PARTNER if serves else None)


def open_by_form(case: Case, customer: int, subject: str, fields: Fields) -> Decision | None:
    """A new ticket with the author as its requester. None: not for this customer."""
    reason = may_open_for(case, customer)
    return _open(case, customer, subject, fields, reason) if reason else None


def answer_by_form(case: Case, ticket: TicketFact) -> Decision | None:
    """An article; on a ticket closed too long ago a new one that follows it (domain.md 3.6). None: not his."""
    part = part_in(case, ticket)
    if part is None:
        return None
    if not may_reopen(case, ticket):
        return _open(case, ticket.customer, ticket.subject, Fields(), Reason.FOLLOW_UP, follow_up_of=ticket.number)
    added = AddArticle(ticket=ticket.number, author=_author(case), status=next_status(case, ticket))
    return Decision(
        state=LedgerState.ARTICLE_ADDED,
        reason=part,
        ticket=ticket.number,
        actions=(added,),
        notices=() if ticket.paused else agents_notices(case, ticket),
    )


def order_by_form(case: Case, ticket: TicketFact, command: TicketCommand) -> Decision | TicketAnswer | None:
    """Close or reopen: a note for the agents, who hear of it. None: not his; an answer: why nothing is done."""
    if part_in(case, ticket) is None:
        return None
    status = ordered_status(case, ticket, command)
    if isinstance(status, TicketAnswer):
        return status
    note = AddArticle(ticket=ticket.number, author=_author(case), kind=ArticleKind.NOTE, status=status)
    return Decision(
        state=LedgerState.COMMAND_DONE,
        reason=Reason.COMMAND,
        ticket=ticket.number,
        actions=(note,),
        notices=() if ticket.paused else agents_notices(case, ticket, order=command),
    )


def is_too_much(case: Case) -> bool:
    """More in an hour than a person writes, by mail and form together: later, then."""
    return case.facts.sent.from_author_last_hour >= case.policy.forms_per_author_per_hour


def _open(
    case: Case,
    customer: int | None,
    subject: str,
    fields: Fields,
    reason: Reason,
    *,
    follow_up_of: int | None = None,
) -> Decision:
    author, contact = _author(case), case.facts.contact
    tongue = tongue_of(case, contact, case.facts.customer(customer))
    action = OpenTicket(
        subject=subject,
        requester=author,
        customer=customer,
        contact=contact.id if contact else None,
        language=tongue.language,
        fields=fields,
        priority=priority_of(case.mail),
        follow_up_of=follow_up_of,
    )
    receipt: tuple[Notice, ...]
    receipt, line = acknowledgement(case, author, tongue)  # answered by mail, it leads to the ticket
    return Decision(
        state=LedgerState.TICKET_OPENED,
        reason=reason,
        actions=(action,),
        notices=(*receipt, *agents_notices(case, None)),
        trace=(line,),
    )


def _author(case: Case) -> Mailbox:
    contact = case.facts.contact
    return Mailbox(address=case.author, name=contact.name if contact else "")
