"""May we answer automatically, to which address, how often? (RFC 3834 §2 and §4, RFC 5230 §4.6, T10, T25-T27)

One acknowledgement when a ticket opens, one fixed text a day to believed strangers, and nothing else, ever. The answer
goes to the author that was believed or registered, never to Reply-To, Sender or the envelope. Several small budgets
and one memory for words that come again and again stand against machines that do not say that they are machines.
"""

import re

from rules.authn import is_believed, powers
from rules.belief import Counts
from rules.case import Case
from rules.clues import ADDRESSES_LIMIT
from rules.people import Tongue
from values.addresses import canonical_address
from values.decision import Notice
from values.mail import Mailbox
from values.vocabulary import MailKind, MailName, ParticipantRole, Source

# RFC 3834 §2: owner-*, *-request and MAILER-DAEMON are not people; the others say so of themselves.
_NOBODY = re.compile(
    r"(?:owner-.{0,64}|.{0,64}-(?:owner|request|bounces?)|mailer-daemon|postmaster|daemon|bounces?|listserv|majordomo"
    r"|no[-_.]?reply|do[-_.]?not[-_.]?reply)(?:[+=].{0,64})?",
    re.ASCII,
)


def acknowledgement(case: Case, requester: Mailbox, tongue: Tongue) -> tuple[tuple[Notice, ...], str]:
    """The acknowledgement of the ticket that opens, or none; and the line for the trace."""
    policy, sent = case.policy, case.facts.sent
    few, many = policy.acknowledgements_per_unproved_author_per_day, policy.acknowledgements_per_author_per_day
    budget = many if powers(case).counts is Counts.AUTHOR else few
    obstacle = obstacle_to_answer(case)
    if not obstacle and sent.to_author_last_day >= budget:
        obstacle = f"{sent.to_author_last_day} automatic mails to the author today"
    if obstacle:
        return (), f"acknowledgement: no, {obstacle}"
    notice = Notice(
        mail=MailName.ACKNOWLEDGEMENT,
        recipient=requester.address,
        key=Notice.key_of(MailName.ACKNOWLEDGEMENT, case.mail.spool_id, requester.address),
        about_new_ticket=True,
        language=tongue.language,
        zone=tongue.zone,
        in_reply_to=case.mail.message_id,
        role=ParticipantRole.REQUESTER,
        # T25: what a forger wrote must not leave under our name: no subject, no fields, no file names of theirs
        context=(("sender_text", int(powers(case).quote)),),
    )
    return (notice,), f"acknowledgement: to {requester.address}"


def unknown_author(case: Case, tongue: Tongue) -> tuple[tuple[Notice, ...], str]:
    """The one fixed text a day that tells a believed stranger how to get access; no word of his stands in it."""
    policy, sent = case.policy, case.facts.sent
    obstacle = "not believed" if not is_believed(case) else obstacle_to_answer(case)
    if not obstacle and sent.unknown_to_author_last_day >= policy.unknown_per_address_per_day:
        obstacle = "told already in the last 24 hours"
    if not obstacle and sent.unknown_to_domain_last_day >= policy.unknown_per_domain_per_day:
        obstacle = "enough to this domain in the last 24 hours"
    if not obstacle and sent.unknown_total_last_hour >= policy.unknown_per_hour:
        obstacle = "enough in the last hour"
    if obstacle:
        return (), f"unknown author: no answer, {obstacle}"
    notice = Notice(
        mail=MailName.UNKNOWN_AUTHOR,
        recipient=case.author,
        # The day is the cause: two workers that count at the same moment make the same key, and one mail leaves.
        key=Notice.key_of(MailName.UNKNOWN_AUTHOR, case.now.date().isoformat(), case.author),
        language=tongue.language,
        zone=tongue.zone,
        in_reply_to=case.mail.message_id,
    )
    return (notice,), f"unknown author: told {case.author}"


def obstacle_to_answer(case: Case, *, repeats: bool = False) -> str | None:
    """What forbids any automatic answer to this mail, whoever wrote it. `repeats`: a proved command, which says the
    same each time it is given; what it may cost is its budget."""
    mail, policy = case.mail, case.policy
    if mail.envelope.source is Source.ARCHIVE:
        return "the archive is read in silence"
    if mail.kind is not MailKind.PERSON:  # RFC 3834 §2
        return f"the mail is {mail.kind.value}"
    if not mail.envelope.reverse_path:  # RFC 5321 §4.5.5: the null reverse-path is never answered
        return "null reverse-path"
    if canonical_address(case.author) is None:
        return "the author's address is odd"
    if any(_is_nobody(address) for address in (mail.envelope.reverse_path, case.author)):
        return "nobody reads that address"
    if case.clues.return_path_outbox_id is not None:
        return "it went to a return path of ours"
    if not any(_is_ours(case, one) for one in (*mail.to, *mail.cc)[:ADDRESSES_LIMIT]):  # RFC 3834 §2
        return "our address is not in To or Cc"
    suppress = " ".join(value.lower() for name, value in mail.auto_headers if name == "x-auto-response-suppress")
    if re.search(r"\b(?:all|autoreply)\b", suppress):
        return "X-Auto-Response-Suppress"
    sent = case.facts.sent
    if not repeats and sent.same_words_last_month and sent.to_author_last_month >= policy.automatic_per_pair:
        return "the same words came before, and the author was answered often enough"
    return None


def _is_nobody(address: str) -> bool:
    return _NOBODY.fullmatch(address.rpartition("@")[0].lower()[:128]) is not None


def _is_ours(case: Case, mailbox: Mailbox) -> bool:
    address = canonical_address(mailbox.address)
    return address is not None and case.policy.mailbox_of(address) is not None
