"""The catalogue of mails: one small function for each turns rows into the context of its template.

Takes: `MailRows` and the `Letterhead`.  Gives: an `OutgoingMail`.  Fails: `Unfit`, where the rows for it are gone.

Pure. Tokens are minted here, while composing, so that no secret lies in a row. Each mail has its kind: a conversation
(an agent's words), a receipt (answers one mail, by itself) or a notice; see notify/compose.py for what that means.
"""

import shlex
from collections.abc import Mapping

from models.views.mails import ArticleView, MailRows, TicketView
from notify.access_mails import ACCESS_MAILS
from notify.compose import OutgoingMail, Unfit
from notify.letterhead import CataloguedMail, Letterhead, reply_subject
from notify.render import Plain
from notify.ticket_mails import TICKET_MAILS
from rules.policy import Policy
from rules.ticket_commands import ticket_word
from rules.tokens import (
    mint_loop_marker,
    mint_message_id,
    mint_notice_address,
    mint_reply_address,
    mint_reply_tag,
    mint_return_path,
)
from values.mail import Mailbox
from values.vocabulary import MailClass, MailName, StaffTask, TicketCommand, Undelivered

__all__ = ["CATALOGUE", "Letterhead", "outgoing", "reply_subject"]

QUOTE_CAP = 5_000  # characters of an answered mail that are quoted below our answer
NOTICE_CAP = 50_000  # characters of a customer's text that an agent's notice carries
HELD_SUBJECT_CAP = 150  # characters
FIELDS = ("product", "erp", "erp_version", "product_version")


def outgoing(rows: MailRows, letterhead: Letterhead) -> OutgoingMail | Unfit:
    """The mail that an outbox row promises."""
    claimed = rows.claimed
    mail = CATALOGUE.get(claimed.mail)
    if mail is None:
        return Unfit(reason=f"no mail of the catalogue is named {claimed.mail}")
    context = mail.context(rows, letterhead)
    if context is None:
        return Unfit(reason="what it is about is gone")
    policy, keys = letterhead.policy, letterhead.keys
    reply_to = _reply_to(rows, letterhead, mail)
    # T25: a Message-ID is a text too; the ids of a mail that may be forged do not leave under our name
    names_ids = mail.threaded and claimed.context.get("sender_text") != 0
    return OutgoingMail(
        mail=claimed.mail,
        kind=mail.kind,
        language=claimed.language,
        zone=claimed.zone or (rows.participant.zone if rows.participant else "") or policy.zone,
        recipient=claimed.recipient,
        sender=Mailbox(address=letterhead.support, name=_sender_name(rows, letterhead, mail.kind)),
        return_path="" if mail.null_return_path else mint_return_path(keys, policy.return_path, claimed.id),
        # An earlier attempt's id stays, even if the signing key was changed since: a second copy is recognisable.
        message_id=claimed.message_id or mint_message_id(keys, policy.desk_domain, claimed.id, claimed.ticket),
        date=claimed.created,
        loop_marker=mint_loop_marker(keys, policy.desk_domain),
        reply_to=reply_to,
        in_reply_to=_answered_id(rows) if names_ids else None,
        references=rows.message_ids if names_ids else (),
        ticket=claimed.ticket if mail.threaded else None,
        reason=rows.participant.role if rows.participant else None,
        context={
            **context,
            "vendor": letterhead.vendor,
            "marker": _marker(rows, letterhead),
            "reply_to": reply_to or letterhead.support,
        },
        calendar=mail.calendar(rows, letterhead) if mail.calendar else None,
        files=rows.article.files if claimed.mail is MailName.AGENT_REPLY and rows.article else (),
    )


# --- one function for each mail ---------------------------------------------------------------------------------


def _acknowledgement(rows: MailRows, letterhead: Letterhead) -> dict[str, Plain] | None:
    """Number, what was noted, what is missing. An author who may be forged gets none of the mail's own words back:
    else anybody could have us write his words to a customer (threat T25)."""
    if rows.ticket is None or rows.article is None:
        return None
    echo = bool(rows.claimed.context.get("sender_text"))
    fields = _fields(rows.ticket)
    return {
        "subject": _about(rows, rows.ticket.subject) if echo else None,
        "number": rows.ticket.number,
        **(fields if echo else dict.fromkeys(FIELDS)),
        "missing": tuple(name for name in FIELDS if not fields[name]),
        "help": ticket_word(TicketCommand.HELP, rows.claimed.language),
        "files": _files(rows.article) if echo else (),
    }


def _agent_reply(rows: MailRows, letterhead: Letterhead) -> dict[str, Plain] | None:
    if rows.ticket is None or rows.article is None:
        return None
    return {
        "subject": reply_subject(rows.ticket.subject),
        "number": rows.ticket.number,
        "text": rows.article.text.strip("\n"),
        "agent": rows.article.author_name or letterhead.vendor,
        "quote": _quote(rows.answered, letterhead.policy),
    }


def _agent_notice(rows: MailRows, letterhead: Letterhead) -> dict[str, Plain] | None:
    if rows.ticket is None or rows.article is None:
        return None
    article = rows.article
    agent = shlex.quote(rows.claimed.recipient)
    return {
        "prefix": letterhead.policy.subject_prefix,
        "subject": rows.ticket.subject,
        "number": rows.ticket.number,
        "new": article.first,
        "order": str(rows.claimed.context.get("order") or ""),
        "author": f"{article.author_name} <{article.author}>" if article.author_name else article.author,
        "customer": rows.ticket.customer,
        **_fields(rows.ticket),
        "marked": article.marked,
        "text": _cut(article.text.strip("\n"), NOTICE_CAP),
        "files": _files(article),
        "by_mail": letterhead.policy.agent_by_mail,
        "command": f"postdesk ticket reply {rows.ticket.number} --as {agent} < answer.txt",
    }


def _unknown_author(rows: MailRows, letterhead: Letterhead) -> dict[str, Plain]:
    """Fixed text: not one word of the sender's, not even his address or Message-ID (threat T25)."""
    return {"access_url": letterhead.access_url, "keep_days": letterhead.policy.held_unknown.days}


def _staff_task(rows: MailRows, letterhead: Letterhead) -> dict[str, Plain]:
    """Addresses and numbers only; what to do about them is a command."""
    told, number = rows.claimed.context, rows.claimed.ticket
    address = str(told.get("address") or "")
    paused = told.get("what") == StaffTask.PAUSED
    # quoted: an address may hold a backquote, and an agent will copy the line into a shell
    command = f"postdesk ticket resume {number}" if paused else f"postdesk suppression lift {shlex.quote(address)}"
    return {
        "what": told.get("what"),
        "address": address,
        "command": command,
        "bounces": told.get("bounces"),
        "received": told.get("received"),
        "sent": told.get("sent"),
        "number": number,
        "prefix": letterhead.policy.subject_prefix,
    }


def _held_waiting(rows: MailRows, letterhead: Letterhead) -> dict[str, Plain] | None:
    """Authors and subjects are what strangers wrote: to agents only, and each on one line."""
    found = rows.waiting
    if found is None or not found.mails:
        return None
    return {
        "count": len(found.mails) + found.more,
        "more": found.more,
        "mails": tuple(
            {
                "author": one.author,
                "subject": " ".join(one.subject.split())[:HELD_SUBJECT_CAP],
                "why": " ".join(one.why.split()),
                "command": f"postdesk held show {one.id}",
            }
            for one in found.mails
        ),
    }


def _agent_mail_held(rows: MailRows, letterhead: Letterhead) -> dict[str, Plain]:
    """Why an agent's mail was sent to nobody, and the commands that do what it may have meant."""
    told, number, policy = rows.claimed.context, rows.claimed.ticket, letterhead.policy
    agent, nearest = shlex.quote(rows.claimed.recipient), str(told.get("nearest") or "")
    reply = f"postdesk ticket reply {number} --as {agent}"
    held = str(told.get("held") or "")
    on_ticket = (f"{reply} < answer.txt", f"{reply} --close < answer.txt", f"{reply} --note < note.txt")
    return {
        "prefix": policy.subject_prefix,
        "number": number,
        "obstacle": str(told.get("obstacle") or ""),
        "nearest": ticket_word(TicketCommand(nearest), rows.claimed.language) if nearest else None,
        "count": policy.answer_files,
        "size": policy.answer_size,
        "commands": (*(on_ticket if number else ()), f"postdesk held show {held}", f"postdesk held release {held}"),
    }


def _answer_undelivered(rows: MailRows, letterhead: Letterhead) -> dict[str, Plain] | None:
    """What a server said goes to agents only, as text."""
    told = rows.claimed.context
    if rows.ticket is None:
        return None
    address = str(told.get("address") or "")
    reply = " ".join(str(told.get("reply") or "").split())
    # quoted as in a staff task; an address that gets no mail must be unblocked before the answer can be sent
    lift = (f"postdesk suppression lift {shlex.quote(address)}",) if told.get("what") == Undelivered.SUPPRESSED else ()
    return {
        "what": told.get("what"),
        "address": address,
        "reply": reply,
        "suppressed": reply.rpartition(": ")[2] if told.get("what") == Undelivered.SUPPRESSED else "",
        "commands": (*lift, f"postdesk outbox retry {told.get('outbox')}"),
        "number": rows.ticket.number,
        "about": rows.ticket.subject,
        "prefix": letterhead.policy.subject_prefix,
    }


CATALOGUE: Mapping[MailName, CataloguedMail] = {
    MailName.ACKNOWLEDGEMENT: CataloguedMail(kind=MailClass.RECEIPT, context=_acknowledgement),
    MailName.AGENT_REPLY: CataloguedMail(kind=MailClass.CONVERSATION, context=_agent_reply),
    MailName.AGENT_NOTICE: CataloguedMail(kind=MailClass.NOTICE, context=_agent_notice),
    MailName.UNKNOWN_AUTHOR: CataloguedMail(
        kind=MailClass.RECEIPT, context=_unknown_author, threaded=False, null_return_path=True
    ),
    MailName.STAFF_TASK: CataloguedMail(kind=MailClass.NOTICE, context=_staff_task, threaded=False),
    MailName.HELD_WAITING: CataloguedMail(kind=MailClass.NOTICE, context=_held_waiting, threaded=False),
    MailName.AGENT_MAIL_HELD: CataloguedMail(kind=MailClass.RECEIPT, context=_agent_mail_held),
    MailName.ANSWER_UNDELIVERED: CataloguedMail(kind=MailClass.NOTICE, context=_answer_undelivered, threaded=False),
    **ACCESS_MAILS,
    **TICKET_MAILS,
}


# --- what they share --------------------------------------------------------------------------------------------


def _sender_name(rows: MailRows, letterhead: Letterhead, kind: MailClass) -> str:
    if kind is MailClass.CONVERSATION and rows.article and rows.article.author_name:
        return f"{rows.article.author_name} ({letterhead.vendor})"
    return letterhead.vendor


def _reply_to(rows: MailRows, letterhead: Letterhead, mail: CataloguedMail) -> str | None:
    if mail.takes_orders:
        return mint_notice_address(letterhead.keys, letterhead.access, rows.claimed.id)
    if not mail.threaded or rows.participant is None or rows.claimed.ticket is None:
        return None
    who = rows.participant
    return mint_reply_address(letterhead.keys, letterhead.support, rows.claimed.ticket, who.id, who.generation)


def _marker(rows: MailRows, letterhead: Letterhead) -> str:
    """The token once more, in the text: it survives in the quote where a provider drops plus-addresses."""
    if rows.participant is None or rows.claimed.ticket is None:
        return ""
    return mint_reply_tag(letterhead.keys, rows.claimed.ticket, rows.participant.id, rows.participant.generation)


def _answered_id(rows: MailRows) -> str | None:
    """The id that the row names, else that of the mail it is about or answers."""
    about = rows.answered if rows.claimed.mail is MailName.AGENT_REPLY else rows.article
    return rows.claimed.in_reply_to or (about.message_id if about else None)


def _about(rows: MailRows, subject: str) -> str:
    """The customer's subject: as an answer where there is a mail that it answers, and not a form."""
    return reply_subject(subject) if _answered_id(rows) else subject


def _fields(ticket: TicketView) -> dict[str, Plain]:
    return {name: getattr(ticket, name) for name in FIELDS}


def _files(article: ArticleView) -> tuple[dict[str, Plain], ...]:
    return tuple({"name": file.name, "size": file.size} for file in article.files)


def _quote(answered: ArticleView | None, policy: Policy) -> dict[str, Plain] | None:
    """The customer's last words, but for those that nobody proved: a forger's would leave under our name (T25). Nor are
    older ones quoted then, for it is not those that are answered."""
    if answered is None or not answered.text.strip() or (answered.marked and policy.authentication):
        return None
    return {
        "at": answered.at,
        "author": answered.author_name or answered.author,
        "text": _cut(answered.text.strip("\n"), QUOTE_CAP),
    }


def _cut(text: str, cap: int) -> str:
    return text if len(text) <= cap else text[:cap].rstrip() + " […]"
