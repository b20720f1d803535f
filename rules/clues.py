"""What must be looked up before we can decide?

Takes: a parsed mail, the policy, the signing keys.  Gives: `Clues`: addresses, domains, Message-IDs, and the tickets
and outbox rows named by codes that are right.  Fails: never. This is the only rule that sees the keys.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator

from rules.access_form import read_asked
from rules.belief import POWERS, Counts, proof_of
from rules.policy import Policy
from rules.ticket_commands import TicketOrder, read_ticket_command
from rules.tokens import (
    Keys,
    check_loop_marker,
    check_message_id,
    check_notice_address,
    check_reply_address,
    check_return_path,
    find_body_markers,
    has_our_form,
)
from values.access import Asked
from values.addresses import canonical_address, canonical_domain, network, parent_domains, skeleton
from values.decision import CheckedToken, Clues
from values.mail import Mailbox, ParsedMail
from values.vocabulary import MailboxPurpose

IDS_LIMIT = 60  # Message-IDs of In-Reply-To and References that are looked up, nearest first
ADDRESSES_LIMIT = 100  # recipients that are looked at
CC_LIMIT = 50  # people who are looked up
_WORDS_LIMIT = 10_000  # characters

_DIGITS = re.compile(r"[0-9]+")


def look_for(mail: ParsedMail, policy: Policy, keys: Keys) -> Clues:
    """The clues of one mail."""
    author = canonical_author(mail.author)
    domain_text = author.rpartition("@")[2] if author else ""
    domain = canonical_domain(domain_text)
    own_ids, foreign_ids = _answered_ids(mail, policy, keys)
    return Clues(
        spool_id=mail.spool_id,
        content_key=mail.content_key,
        author=author,
        author_domains=parent_domains(domain) if domain else (),
        author_skeleton=skeleton(domain_text) if domain_text else None,
        author_skeletons=parent_domains(skeleton(domain_text)),
        words_key=words_key(author, mail),
        reply_tokens=_reply_tokens(mail, policy, keys),
        our_outbox_ids=own_ids,
        anchor_ids=foreign_ids,
        message_id=mail.message_id,
        own_marker=_is_own_mail(mail, policy, keys),
        subject_ticket=_subject_ticket(mail.subject, policy.subject_prefix),
        return_path_outbox_id=_return_path(mail, policy, keys),
        access_outbox_id=_answered_notice(mail, policy, keys),
        access_asked=_asked(mail, author, policy),
        reported_outbox_ids=_reported(mail, policy, keys),
        forward_paths=mail.envelope.forward_paths,
        cc=_people(mail, author, policy),
        proof_key=proof_key(author, mail.message_id),
        claimed_from=claimed_from(mail, policy),
    )


def canonical_author(author: Mailbox | None) -> str | None:
    """The author's address as it is compared; one that has no canonical form is kept, lower-cased, and finds nobody."""
    return (canonical_address(author.address) or author.address.lower()) if author else None


def words_key(author: str | None, mail: ParsedMail) -> str:
    """The same for mails of one author that differ in digits, white space and subject prefixes only; "" without words.

    Each machine has a prefix of its own, and two that answer each other heap them up: `Undeliverable: Re: Hello`. So
    of the subject only what follows the last colon counts.
    """
    words = f"{mail.subject.rpartition(':')[2]}\n{mail.text[:_WORDS_LIMIT]}"
    flat = " ".join(_DIGITS.sub("0", words).lower().split())
    return hashlib.sha256(f"{author}\n{flat}".encode("utf-8", "replace")).hexdigest() if author and flat else ""


def proof_key(author: str | None, message_id: str | None) -> str:
    """What an order is known by when it is sent again (T12). Not the octets of the signature: an RSA signature can be
    written in more than one way, while the Message-ID of an order is signed."""
    return hashlib.sha256(f"{author}\n{message_id}".encode("utf-8", "replace")).hexdigest() if message_id else ""


def claimed_from(mail: ParsedMail, policy: Policy) -> str:
    """Against which client the mail counts, "" where it counts against its author: a forger fills nobody's budget."""
    counts = POWERS[proof_of(mail.auth, authentication=policy.authentication)].counts
    return "" if counts is Counts.AUTHOR else network(mail.envelope.client_ip or "unknown")


def recipients(mail: ParsedMail) -> Iterator[str]:
    """Every address that the mail went to, as envelope and header say; bounded."""
    header = (mailbox.address for mailbox in (*mail.to, *mail.cc))
    for count, address in enumerate((*mail.envelope.forward_paths, *header)):
        if count < ADDRESSES_LIMIT:
            yield address


def _reply_tokens(mail: ParsedMail, policy: Policy, keys: Keys) -> tuple[CheckedToken, ...]:
    support = tuple(m.address for m in policy.mailboxes if m.purpose is MailboxPurpose.SUPPORT)
    addressed = (check_reply_address(keys, address, support) for address in recipients(mail))
    quoted = find_body_markers(keys, mail.full_text)
    return tuple(dict.fromkeys([*(token for token in addressed if token), *quoted]))


def _answered_ids(mail: ParsedMail, policy: Policy, keys: Keys) -> tuple[tuple[int, ...], tuple[str, ...]]:
    ours: list[int] = []
    foreign: list[str] = []
    for message_id in _first(dict.fromkeys((*mail.in_reply_to, *reversed(mail.references))), IDS_LIMIT):
        if found := check_message_id(keys, message_id, policy.desk_domain):
            ours.append(found.outbox)
        elif not has_our_form(message_id, policy.desk_domain):  # ours with a wrong code leads nowhere (T17)
            foreign.append(message_id)
    return tuple(dict.fromkeys(ours)), tuple(foreign)


def _is_own_mail(mail: ParsedMail, policy: Policy, keys: Keys) -> bool:
    markers = (value for name, value in mail.auto_headers if name == "x-postdesk-loop")
    if any(check_loop_marker(keys, value, policy.desk_domain) for value in markers):
        return True
    return mail.message_id is not None and check_message_id(keys, mail.message_id, policy.desk_domain) is not None


def _subject_ticket(subject: str, prefix: str) -> int | None:
    found = re.search(rf"\[{re.escape(prefix)}-([1-9][0-9]{{0,9}})\]", subject[:1000], re.ASCII | re.IGNORECASE)
    return int(found[1]) if found else None


def _return_path(mail: ParsedMail, policy: Policy, keys: Keys) -> int | None:
    found = (check_return_path(keys, address, policy.return_path) for address in recipients(mail))
    return next((outbox for outbox in found if outbox is not None), None)


def _answered_notice(mail: ParsedMail, policy: Policy, keys: Keys) -> int | None:
    access = tuple(m.address for m in policy.mailboxes if m.purpose is MailboxPurpose.ACCESS)
    found = (check_notice_address(keys, address, access) for address in recipients(mail))
    return next((outbox for outbox in found if outbox is not None), None)


def _asked(mail: ParsedMail, author: str | None, policy: Policy) -> Asked | None:
    """What a mail to the access address asks for, where its author has an address that can be written to."""
    mailboxes = (policy.mailbox_of(canonical_address(address) or "") for address in recipients(mail))
    to_access = any(mailbox and mailbox.purpose is MailboxPurpose.ACCESS for mailbox in mailboxes)
    address = canonical_address(author) if to_access and author else None
    return read_asked(mail, address, mail.language or policy.language) if address else None


def _reported(mail: ParsedMail, policy: Policy, keys: Keys) -> tuple[int, ...]:
    if mail.report is None:
        return ()
    ids = (mail.report.original_message_id or "", *mail.report.original_ids)
    found = (check_message_id(keys, message_id, policy.desk_domain) for message_id in ids[:IDS_LIMIT])
    return tuple(dict.fromkeys(one.outbox for one in found if one))


def _people(mail: ParsedMail, author: str | None, policy: Policy) -> tuple[str, ...]:
    """Canonical addresses of To and Cc and of whom a command names, but for the author and ourselves."""
    order = read_ticket_command(mail.text, mail.author)
    ordered = order.colleague if isinstance(order, TicketOrder) else None  # `cc jon@acme.test`
    named = (ordered, *(canonical_address(mailbox.address) for mailbox in (*mail.to, *mail.cc)[:ADDRESSES_LIMIT]))
    others = dict.fromkeys(one for one in named if one and one != author and not policy.is_own(one))
    return tuple(_first(others, CC_LIMIT))


def _first(items: Iterable[str], limit: int) -> list[str]:
    return [item for count, item in enumerate(items) if count < limit]
