"""What does a mail do that is one command about tickets, and who may order what? (domain.md 6; T01, T12, T17, T19)

Closing, reopening and letting a colleague take part need the ticket that the mail answers (its number in the subject is
not enough: anybody can guess it), and an author who takes part in it or holds a seat of its customer. The tables of
open tickets go to the registered address only. A command needs proof, as every privileged act does; it posts no
article, and each has one receipt.
"""

from dataclasses import dataclass, replace

from rules.authn import obstacle_to_order
from rules.autoreply import obstacle_to_answer
from rules.case import Case, Outcome, held
from rules.people import belongs_to, tongue_of
from rules.reply import agents_notices
from rules.requester import Standing, find_requester
from rules.thread import Joining, Thread, find_thread, may_reopen
from rules.ticket_commands import TicketOrder, Unreadable, read_ticket_command
from values.decision import AddArticle, Decision, Notice, TicketFact
from values.mail import Mailbox
from values.vocabulary import (
    ArticleKind,
    LedgerState,
    MailKind,
    MailName,
    MatchedBy,
    Reason,
    Source,
    TicketAnswer,
    TicketCommand,
    TicketStatus,
)

# Files that mail programs add by themselves; a mail with any other file has more to say than its one phrase.
_NO_WORDS = ("application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature", "text/vcard")
_LED = (Joining.JOIN, Joining.FOLLOW_UP)
_ON_A_TICKET = (TicketCommand.CLOSE, TicketCommand.REOPEN, TicketCommand.CC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """What became of a command. `status`: the ticket's next; `joins`: who takes part from now on."""

    answer: TicketAnswer
    status: TicketStatus | None = None
    joins: tuple[Mailbox, ...] = ()


def by_command(case: Case) -> Outcome:
    """Gate: the mail is one command about tickets, by somebody who takes part in one or is registered."""
    mail, facts = case.mail, case.facts
    order = read_ticket_command(mail.text, mail.author)
    if order is None:
        return "no"
    if mail.envelope.source is Source.ARCHIVE or mail.kind is not MailKind.PERSON:
        return f"of no person now: {mail.envelope.source.value}, {mail.kind.value}"
    if any(not file.inline and file.type not in _NO_WORDS for file in mail.attachments):
        return "no: it brings a file"
    thread = find_thread(case)
    ticket = thread.ticket if thread.joining in _LED and thread.matched_by is not MatchedBy.SUBJECT_NUMBER else None
    if thread.joining is Joining.FORWARD:
        return "no: it forwards a mail"
    if not (ticket or _is_registered(case)):
        return "of nobody who is registered"
    if not (thread.joining in _LED or facts.clues.our_outbox_ids or _subject_says_no_more(mail.subject)):
        return "no: it answers nothing, and its subject says more"
    if ticket and facts.sent.from_author_on_ticket_last_hour >= case.policy.articles_per_author_per_hour:
        return "no: more mails than a person writes"
    if why := obstacle_to_order(case):
        return _refused(case, why, ticket, thread)
    if isinstance(order, Unreadable):
        return _unreadable(case, order, ticket, thread)
    return _obeyed(case, order, ticket, thread)


def _obeyed(case: Case, order: TicketOrder, ticket: TicketFact | None, thread: Thread) -> Decision:
    done = _obey(case, order, ticket)
    actions: tuple[AddArticle, ...] = ()
    told: tuple[Notice, ...] = ()
    if ticket and done.answer is TicketAnswer.DONE and order.command in _ON_A_TICKET:
        note = AddArticle(  # no article of the conversation: agents see who ordered what
            ticket=ticket.number, author=_author(case), kind=ArticleKind.NOTE, status=done.status, cc=done.joins
        )
        actions, told = (note,), () if ticket.paused else agents_notices(case, ticket, order=order.command)
    is_table = order.command in (TicketCommand.STATUS, TicketCommand.STATUS_ALL) and done.answer is TicketAnswer.DONE
    receipt, line = _table(case, order) if is_table else _receipt(case, ticket, done.answer, order)
    return Decision(
        state=LedgerState.COMMAND_DONE,
        reason=Reason.COMMAND,
        matched_by=thread.matched_by if ticket else None,
        ticket=ticket.number if ticket else None,
        actions=actions,
        notices=(*receipt, *told),
        trace=(f"command: {order.command.value}, {done.answer.value}", line),
    )


def _obey(case: Case, order: TicketOrder, ticket: TicketFact | None) -> _Done:
    if order.command in _ON_A_TICKET and ticket is None:
        return _Done(answer=TicketAnswer.NO_TICKET)
    match order.command:
        case TicketCommand.CLOSE | TicketCommand.REOPEN if ticket:
            status = ordered_status(case, ticket, order.command)
            if isinstance(status, TicketAnswer):
                return _Done(answer=status)
            return _Done(answer=TicketAnswer.DONE, status=status)
        case TicketCommand.CC if ticket:
            return _join(case, order.colleague, ticket)
        case TicketCommand.STATUS_ALL if not _holds_seat(case):
            return _Done(answer=TicketAnswer.NOT_YOURS)
        case _:
            return _Done(answer=TicketAnswer.DONE)


def ordered_status(case: Case, ticket: TicketFact, command: TicketCommand) -> TicketStatus | TicketAnswer:
    """The ticket's next status by `close` or `reopen`, of a mail or a form; an answer where nothing is to be done."""
    if command is TicketCommand.CLOSE:
        return TicketAnswer.ALREADY if ticket.status is TicketStatus.CLOSED else TicketStatus.CLOSED
    if ticket.status not in (TicketStatus.CLOSED, TicketStatus.RESOLVED):
        return TicketAnswer.ALREADY
    return TicketStatus.OPEN if may_reopen(case, ticket) else TicketAnswer.TOO_LATE


def _join(case: Case, colleague: str | None, ticket: TicketFact) -> _Done:
    """T19: nobody but the customer's own people and its partner's; whoever asks."""
    if colleague is None or ticket.customer is None or case.policy.is_own(colleague):
        return _Done(answer=TicketAnswer.NOT_OURS)
    if any(one.address.lower() == colleague for one in ticket.participants):
        return _Done(answer=TicketAnswer.ALREADY)
    if not belongs_to(case, colleague, ticket.customer):
        return _Done(answer=TicketAnswer.NOT_OURS)
    return _Done(answer=TicketAnswer.DONE, joins=(Mailbox(address=colleague),))


# --- what is not obeyed -------------------------------------------------------------------------------------------


def _refused(case: Case, why: str, ticket: TicketFact | None, thread: Thread) -> Decision:
    """Nothing proves it: held, and told in a fixed text where it is no copy of one that was obeyed."""
    receipt: tuple[Notice, ...] = ()
    if not case.facts.proof_spent:
        few = case.policy.acknowledgements_per_unproved_author_per_day  # as a forger can make us write
        receipt, _ = _receipt(case, None, TicketAnswer.NOT_PROVED, None, budget=few)
    return replace(_held(Reason.UNBELIEVED, why, ticket, thread), notices=receipt)


def _unreadable(case: Case, order: Unreadable, ticket: TicketFact | None, thread: Thread) -> Decision:
    receipt, line = _receipt(case, ticket, TicketAnswer.UNKNOWN, None, nearest=order.nearest)
    why = "The mail begins like a command and is none that we know: nothing was posted, and the author was told."
    return replace(_held(Reason.UNKNOWN_COMMAND, why, ticket, thread), notices=receipt, trace=(line,))


def _held(reason: Reason, why: str, ticket: TicketFact | None, thread: Thread) -> Decision:
    would = f"add its words to ticket {ticket.number}" if ticket else "open a ticket with its words"
    matched_by = thread.matched_by if ticket else None
    number, customer = (ticket.number, ticket.customer) if ticket else (None, None)
    return held(reason, why, would, ticket=number, customer=customer, matched_by=matched_by)


# --- the answer ---------------------------------------------------------------------------------------------------


def _receipt(
    case: Case,
    ticket: TicketFact | None,
    answer: TicketAnswer,
    order: TicketOrder | None,
    *,
    nearest: TicketCommand | None = None,
    budget: int | None = None,
) -> tuple[tuple[Notice, ...], str]:
    """The one private receipt of a command, and the line for the trace."""
    if ticket and ticket.paused:
        return (), "receipt: no, automatic mail is paused on this ticket"
    own = next((one for one in ticket.participants if one.address.lower() == case.author), None) if ticket else None
    context = (
        ("answer", answer.value),
        ("command", order.command.value if order else ""),
        ("nearest", nearest.value if nearest else ""),
        ("superuser", int(_holds_seat(case))),
        ("colleague", order.colleague if order and answer in (TicketAnswer.DONE, TicketAnswer.ALREADY) else None),
        # T25: who may be forged gets none of the words and ids of his mail back
        ("sender_text", int(answer is not TicketAnswer.NOT_PROVED)),
    )
    notice = _notice(case, MailName.TICKET_COMMAND, context, ticket)
    return _within_budget(case, replace(notice, role=own.role if own else None), budget)


def _table(case: Case, order: TicketOrder) -> tuple[tuple[Notice, ...], str]:
    """The open tickets. Whose they are is asked again when the mail is written: a seat may be lost meanwhile."""
    contact, every = case.facts.contact, order.command is TicketCommand.STATUS_ALL
    asked = (("contact", contact.id if contact else None), ("every", int(every)))
    context = (*asked, ("superuser", int(_holds_seat(case))))
    return _within_budget(case, _notice(case, MailName.TICKET_STATUS, context, None), None)


def _notice(
    case: Case, mail: MailName, context: tuple[tuple[str, str | int | None], ...], ticket: TicketFact | None
) -> Notice:
    requester = find_requester(case)
    customer = case.facts.customer(ticket.customer) if ticket and ticket.customer else requester.customer
    tongue = tongue_of(case, case.facts.contact, customer)
    return Notice(
        mail=mail,
        recipient=case.author,
        key=Notice.key_of(mail, case.mail.spool_id, case.author),
        ticket=ticket.number if ticket else None,
        language=tongue.language,
        zone=tongue.zone,
        in_reply_to=case.mail.message_id,
        context=context,
    )


def _within_budget(case: Case, notice: Notice, budget: int | None) -> tuple[tuple[Notice, ...], str]:
    sent = case.facts.sent.to_author_last_day
    obstacle = obstacle_to_answer(case, repeats=budget is None)
    if not obstacle and sent >= (case.policy.acknowledgements_per_author_per_day if budget is None else budget):
        obstacle = f"{sent} automatic mails to the author today"
    return ((), f"receipt: no, {obstacle}") if obstacle else ((notice,), f"receipt: to {notice.recipient}")


def _author(case: Case) -> Mailbox:
    contact = case.facts.contact
    name = (case.mail.author.name if case.mail.author else "") or (contact.name if contact else "")
    return Mailbox(address=case.author, name=name)


def _holds_seat(case: Case) -> bool:
    return case.facts.contact is not None and bool(case.facts.contact.seats)


def _is_registered(case: Case) -> bool:
    """Known by address; to anybody else a command says nothing that another mail would not."""
    standing = find_requester(case).standing
    return case.facts.contact is not None and standing not in (Standing.UNKNOWN, Standing.LOOK_ALIKE)


def _subject_says_no_more(subject: str) -> bool:
    """Whether a mail that answers nothing may be a command: "Help!" below "The export stops" is a call for help."""
    return not subject.strip() or read_ticket_command(subject) is not None
