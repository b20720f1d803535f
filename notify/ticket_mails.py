"""The mails that answer a command about tickets: rows become the context of their template.

As notify/mails.py, of which this is a family. The words that a customer can write are those of the mail's language.
"""

from collections.abc import Mapping

from models.views.mails import MailRows
from models.views.open_tickets import OpenTicket
from notify.letterhead import CataloguedMail, Letterhead, reply_subject
from notify.render import Plain
from rules.commands import word_for
from rules.ticket_commands import ticket_word
from values.vocabulary import Command, MailClass, MailName, TicketAnswer, TicketCommand, TicketStatus

Context = dict[str, Plain]
_WAITS_FOR = {TicketStatus.PENDING: "you", TicketStatus.RESOLVED: "nobody"}


def _ticket_command(rows: MailRows, letterhead: Letterhead) -> Context:
    """Done, or not and why. Of the mail that it answers it has no word but a checked address (threat T25)."""
    told, language, ticket = rows.claimed.context, rows.claimed.language, rows.ticket
    nearest = str(told.get("nearest") or "")
    is_superuser = bool(told.get("superuser"))
    return {
        "subject": reply_subject(ticket.subject) if ticket else None,
        "number": ticket.number if ticket else None,
        "answer": str(told.get("answer") or TicketAnswer.UNKNOWN),
        "command": str(told.get("command") or ""),
        "colleague": str(told.get("colleague") or ""),
        "nearest": ticket_word(TicketCommand(nearest), language) if nearest else None,
        "days": letterhead.policy.reopen_window.days,
        "words": tuple(
            {"command": command.value, "word": ticket_word(command, language)}
            for command in TicketCommand
            if is_superuser or command is not TicketCommand.STATUS_ALL
        ),
        "reopen": ticket_word(TicketCommand.REOPEN, language),
        "status": ticket_word(TicketCommand.STATUS, language),
        "take_back": word_for(Command.TAKE_BACK, language) if is_superuser else None,
        "access": letterhead.access,
    }


def _ticket_status(rows: MailRows, letterhead: Letterhead) -> Context | None:
    found = rows.open_tickets
    if found is None:
        return None
    every, language = bool(rows.claimed.context.get("every")), rows.claimed.language
    offers_all = not every and bool(rows.claimed.context.get("superuser"))
    return {
        "every": every,
        "count": len(found.tickets) + found.more,
        "tickets": tuple(_row(one) for one in found.tickets),
        "more": found.more,
        "all": ticket_word(TicketCommand.STATUS_ALL, language) if offers_all else None,
        "help": ticket_word(TicketCommand.HELP, language),
    }


def _row(ticket: OpenTicket) -> Context:
    return {
        "number": ticket.number,
        "subject": ticket.subject,
        "status": ticket.status.value,
        "waits_for": _WAITS_FOR.get(ticket.status, "us"),
        "changed": ticket.updated,
    }


TICKET_MAILS: Mapping[MailName, CataloguedMail] = {
    MailName.TICKET_COMMAND: CataloguedMail(kind=MailClass.RECEIPT, context=_ticket_command),
    MailName.TICKET_STATUS: CataloguedMail(kind=MailClass.RECEIPT, context=_ticket_status),
}
