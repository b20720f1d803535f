"""What all mails of a desk share, and what the catalogue says of each."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from models.views.mails import MailRows
from notify.render import Plain
from rules.policy import Policy
from rules.tokens import Keys
from values.vocabulary import MailboxPurpose, MailClass

# What mail programs put before the subject of an answer, in the languages of our customers and their neighbours.
_ANSWERS = re.compile(r"\s{0,8}(?:re|sv|vs|aw|antw|odp|rif)(?:\[[0-9]{1,3}\])?\s?[:：]", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterhead:
    """What all mails of a desk share."""

    policy: Policy
    keys: Keys
    access_url: str | None = None  # page where access is requested
    portal_url: str = ""  # of the portal, without a slash at its end

    @property
    def vendor(self) -> str:
        return self.policy.vendor_name or self.policy.desk_domain

    @property
    def support(self) -> str:
        """The address that mails come from."""
        return self._mailbox(MailboxPurpose.SUPPORT) or ""

    @property
    def access(self) -> str:
        """The address that orders about access go to."""
        return self._mailbox(MailboxPurpose.ACCESS) or self.support

    def _mailbox(self, purpose: MailboxPurpose) -> str | None:
        return next((m.address for m in self.policy.mailboxes if m.purpose is purpose), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CataloguedMail:
    """One mail of the catalogue."""

    kind: MailClass
    context: Callable[[MailRows, Letterhead], dict[str, Plain] | None]  # None: rows are missing
    threaded: bool = True  # answers a mail: In-Reply-To, References, Reply-To with the recipient's token
    null_return_path: bool = False
    takes_orders: bool = False  # its Reply-To is made for its one recipient: the first line of a reply is an order
    calendar: Callable[[MailRows, Letterhead], str | None] | None = None  # an iCalendar file


def reply_subject(subject: str) -> str:
    """The customer's own subject with one "Re:"; untouched where he has one in any language."""
    return subject if _ANSWERS.match(subject) else f"Re: {subject}".rstrip()
