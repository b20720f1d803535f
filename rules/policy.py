"""The frozen numbers and lists that the rules obey. postdesk/wiring.py makes one from the settings.

Each number has its unit and its source: docs/domain.md (D), docs/threats.md (T), RFC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from values.vocabulary import MailboxPurpose


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMailbox:
    """A mailbox of the vendor. The local part has room for a reply token: at most 23 octets."""

    address: str  # canonical: lower case, A-labels
    purpose: MailboxPurpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the vendor has chosen."""

    # who we are
    mailboxes: tuple[OwnMailbox, ...]
    return_path: str  # mailbox that delivery reports come back to, "bounce@nordvik.test"; its local part <= 23 octets
    desk_domain: str  # right side of our Message-IDs, canonical
    vendor_name: str = ""
    subject_prefix: str = "PD"  # [PD-1042]
    language: str = "en"  # where nothing else tells
    languages: tuple[str, ...] = ("en", "es", "sv")  # that we can write (D 5)
    zone: str = "UTC"

    # whom we believe
    authentication: bool = True  # False: nobody is believed
    order_age: timedelta = timedelta(days=7)  # T12: an order's Date may be off by so much from when it came
    answer_files: int = 20  # files of one answer
    answer_size: int = 10 << 20  # octets of all files of one answer; a third more on the wire
    agent_by_mail: bool = False  # T21: agents answer by command unless the vendor wants otherwise

    # threads
    reopen_window: timedelta = timedelta(days=14)  # D 3.6: a later answer opens a follow-up ticket

    # automatic mail (RFC 3834 §2, T25, T26). One acknowledgement a ticket, when it opens, is not a number
    acknowledgements_per_author_per_day: int = 20
    acknowledgements_per_unproved_author_per_day: int = 5  # a forger can make us write these to a superuser
    unknown_per_address_per_day: int = 1  # D 3.5
    unknown_per_domain_per_day: int = 20
    unknown_per_hour: int = 60  # in all
    automatic_per_pair: int = 3  # the breaker: to one author on one ticket a day, or in 30 days where his words repeat
    articles_per_author_per_hour: int = 20  # on one ticket; more is a machine, and the thread is paused
    forms_per_author_per_hour: int = 60  # mails and forms of the portal about tickets; more is a machine

    # machines
    received_limit: int = 50  # Received fields; RFC 5321 §6.3 asks for 100 or more before refusing, we only hold
    hard_bounces_to_suppress: int = 2  # T61, D 4

    # access (D 4)
    access_due: timedelta = timedelta(hours=24)  # an invitation or a reason by then
    access_warning: timedelta = timedelta(hours=20)  # agents are warned
    proof_lifetime: timedelta = timedelta(hours=72)
    invitation_lifetime: timedelta = timedelta(hours=72)  # T33
    sign_in_lifetime: timedelta = timedelta(minutes=15)  # T33
    requests_per_address_per_hour: int = 3  # T28
    asks_per_client_per_hour: int = 20  # T28: forms of one IP address (IPv6: one /64), requests and sign-ins together
    sign_ins_per_address_per_hour: int = 3  # T28
    session_lifetime: timedelta = timedelta(hours=12)  # of the portal, after which one signs in again
    requests_per_hour: int = 300  # in all: proofs that we write to addresses which strangers name
    loans_per_customer_per_day: int = 10  # T49: replacements that superusers of one customer arrange
    invitations_per_address_per_day: int = 3  # T49: that superusers have sent to one address
    colleague_mails_per_hour: int = 5  # of one colleague without a seat about which superusers are asked
    seat_reminder: timedelta = timedelta(days=2)  # before a replacement ends

    # the held desk
    held_unknown: timedelta = timedelta(days=7)  # D 3.5
    held_others: timedelta = timedelta(days=90)  # everything else that waits for a person's judgment

    def too_much(self, sizes: Sequence[int]) -> str:
        """Why files of these sizes (octets) cannot go out with one answer; "" where they can."""
        if len(sizes) > self.answer_files:
            return f"{len(sizes)} files are too many: an answer carries up to {self.answer_files}."
        if sum(sizes) > self.answer_size:
            return f"{sum(sizes) >> 20} MB of files are too much: an answer carries up to {self.answer_size >> 20} MB."
        return ""

    def mailbox_of(self, address: str) -> OwnMailbox | None:
        """The own mailbox that a canonical address belongs to, its tag after `+` aside."""
        plain = without_tag(address)
        return next((mailbox for mailbox in self.mailboxes if mailbox.address == plain), None)

    def is_own(self, address: str) -> bool:
        """Whether a canonical address is a mailbox of ours, the return path, or in a domain that is only the desk's."""
        if without_tag(address) == self.return_path or self.mailbox_of(address):
            return True
        domains_with_people = {mailbox.address.rpartition("@")[2] for mailbox in self.mailboxes}
        return address.rpartition("@")[2] == self.desk_domain and self.desk_domain not in domains_with_people


def without_tag(address: str) -> str:
    """`support+t1042.x@nordvik.test` -> `support@nordvik.test` (RFC 5233)."""
    local, _, domain = address.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"
