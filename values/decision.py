"""Between looking and doing: what must be looked up (Clues), what was found (Facts), what shall be done (Decision).

All frozen, no I/O. `Notice` has the only builder of idempotency keys: one key leaves the desk once, ever.
"""

from dataclasses import dataclass
from datetime import datetime

from values.access import AccessAction, AccessFacts, Asked
from values.mail import AuthEvidence, DeliveryReport, Mailbox
from values.vocabulary import (
    AgentNotices,
    Answer,
    ArticleKind,
    ColleaguePolicy,
    LedgerState,
    MailName,
    MatchedBy,
    ParticipantRole,
    Priority,
    Reason,
    SuppressionReason,
    TicketStatus,
)

# --- what must be looked up -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedToken:
    """A reply token whose keyed code is right: it was made by us for this participant of this ticket."""

    ticket: int
    participant: int
    generation: int  # rotated tokens have a higher one
    found_in: MatchedBy  # REPLY_TOKEN (an address) or BODY_MARKER (the quoted text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clues:
    """What rules/clues.py wants to know about a mail. Codes are checked already: these are ids, not claims."""

    spool_id: str
    content_key: str
    author: str | None = None  # address, wholly lower-cased
    author_domains: tuple[str, ...] = ()  # the author's domain and its parents, longest first, A-labels
    author_skeleton: str | None = None  # confusable skeleton of the author's domain, for look-alikes
    author_skeletons: tuple[str, ...] = ()  # the same and those of its parents: a look-alike may send from a sub-domain
    words_key: str = ""  # hash over author and words, digits and reply prefixes aside: a machine repeats itself
    reply_tokens: tuple[CheckedToken, ...] = ()
    our_outbox_ids: tuple[int, ...] = ()  # of own Message-IDs with a valid code in In-Reply-To and References
    anchor_ids: tuple[str, ...] = ()  # foreign Message-IDs of In-Reply-To and References, nearest first
    message_id: str | None = None  # its own; looked up like an anchor, since an answer may have come first
    own_marker: bool = False  # our loop marker, or one of our Message-IDs as its own: this mail is ours, come back
    subject_ticket: int | None = None
    return_path_outbox_id: int | None = None  # of a valid VERP forward-path: this is a report about that row
    reported_outbox_ids: tuple[int, ...] = ()  # of own Message-IDs with a valid code inside the report
    forward_paths: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    release_of: str | None = None  # ledger id, when an agent or superuser releases a held mail
    access_outbox_id: int | None = None  # of a checked reply address of a notice about access
    access_asked: Asked | None = None  # what a mail to the access address asks for
    claimed_from: str = ""  # the client that a mail counts against whose author is only claimed; "" = the author
    proof_key: str = ""  # of author and Message-ID: an order with it counts once (T12); "" = it has no Message-ID


# --- what was found ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFact:
    id: int
    name: str
    language: str
    zone: str
    colleagues: ColleaguePolicy
    needs_belief: bool = False  # stricter than the standard: plain text needs a believed author too
    first_line_partner: int | None = None  # partner id, None = the vendor answers first


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainFact:
    """A registered domain that the author's domain equals, or lies under where `subdomains` is set."""

    domain: str
    customer: int
    subdomains: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactFact:
    id: int
    address: str
    name: str
    language: str | None
    zone: str | None
    customers: tuple[int, ...]  # customers this contact belongs to
    seats: tuple[int, ...]  # customers whose active seat this contact holds now
    partner: int | None = None  # the partner whose contact this is
    partner_customers: tuple[int, ...] = ()  # customers that the partner serves


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFact:
    id: int
    address: str
    name: str
    admin: bool = False
    language: str = "en"
    zone: str = ""  # "" = the desk's
    notices: AgentNotices = AgentNotices.ALL


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantFact:
    id: int
    address: str
    role: ParticipantRole
    generation: int  # of its reply token


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketFact:
    number: int
    status: TicketStatus
    customer: int | None
    closed_at: datetime | None
    participants: tuple[ParticipantFact, ...]
    requester: str  # address
    language: str
    paused: bool = False  # the loop breaker stopped automatic mail on this thread
    resumed_at: datetime | None = None  # an agent let it leave again
    assignee: int | None = None  # agent
    merged_into: int | None = None
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxFact:
    """One of our mails, proved by a keyed code."""

    id: int
    mail: MailName
    recipient: str
    ticket: int | None
    hard_bounces: int = 0  # of this recipient, so far
    about: tuple[tuple[str, str | int | None], ...] = ()  # Notice.context: ids of what the mail is about


@dataclass(frozen=True, slots=True, kw_only=True)
class SentCounts:
    """Automatic mails enqueued before now, for the budgets of rules/autoreply.py."""

    to_author_last_day: int = 0
    to_author_on_ticket_last_day: int = 0
    unknown_to_author_last_day: int = 0
    unknown_to_domain_last_day: int = 0
    unknown_total_last_hour: int = 0
    # mails received from this author; of a mail whose author is only claimed: those claimed by the same client
    from_author_last_hour: int = 0
    from_author_on_ticket_last_hour: int = 0  # of these, articles on the ticket that the clues lead to
    same_words_last_month: int = 0  # earlier mails with the same words_key in 30 days, however decided
    to_author_last_month: int = 0  # automatic mails in 30 days; counted only where the same words came before


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A person's word on a held mail, as a fact of the second decision."""

    by: str  # address of the agent or superuser
    customer: int | None = None
    learn: bool = False  # register the author as a contact of that customer
    ticket: int | None = None  # put it onto this ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What models/facts.py found for the clues. SELECTs only, no judgment."""

    clues: Clues = Clues(spool_id="", content_key="")  # what these facts answer
    second_copy_of: str | None = None  # ledger id with the same content key
    second_copy_state: LedgerState | None = None  # what became of that first copy
    second_copy_reason: Reason | None = None
    second_copy_ticket: int | None = None
    second_copy_auth: AuthEvidence | None = None  # what was found out about its author
    message_id_recorded: bool = False  # another mail with this very Message-ID is an article already
    agent: AgentFact | None = None
    contact: ContactFact | None = None
    domains: tuple[DomainFact, ...] = ()
    customers: tuple[CustomerFact, ...] = ()  # all that the other facts name
    look_alike_of: str | None = None  # a registered domain with the same skeleton and another spelling
    author_suppressed: bool = False  # the author's address is suppressed; writing proves it alive
    tickets: tuple[TicketFact, ...] = ()  # all that tokens, anchors, subject and outbox rows lead to, merges followed
    anchors: tuple[tuple[str, int], ...] = ()  # (Message-ID, ticket number) for the anchor ids known to us
    outbox: tuple[OutboxFact, ...] = ()
    sent: SentCounts = SentCounts()
    release: Release | None = None
    notified_agents: tuple[AgentFact, ...] = ()  # active agents who want to hear of every ticket, or of theirs
    cc_contacts: tuple[ContactFact, ...] = ()
    cc_domains: tuple[DomainFact, ...] = ()
    superusers: tuple[ContactFact, ...] = ()  # active seat holders of the author's customer (colleague mails)
    access: AccessFacts | None = None  # where the mail is about access
    proof_spent: bool = False  # another mail with this proof_key gave an order before

    def customer(self, id: int | None) -> CustomerFact | None:
        return next((c for c in self.customers if c.id == id), None)

    def ticket(self, number: int | None) -> TicketFact | None:
        """The ticket of that number, or the one it was merged into."""
        found = next((t for t in self.tickets if t.number == number), None)
        seen: set[int] = set()
        while found and found.merged_into and found.number not in seen:
            seen.add(found.number)
            found = next((t for t in self.tickets if t.number == found.merged_into), None)
        return found


# --- what shall be done -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Ticket fields as the mail states them (domain.md 3.7); None = not stated."""

    product: str | None = None
    erp: str | None = None
    erp_version: str | None = None
    product_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTicket:
    subject: str
    requester: Mailbox
    customer: int | None
    contact: int | None
    language: str
    fields: Fields = Fields()
    priority: Priority = Priority.NORMAL
    marked: bool = False  # the author is not proved: shown to agents, no privileged act
    follow_up_of: int | None = None
    cc: tuple[Mailbox, ...] = ()  # become participants
    proposed_cc: tuple[Mailbox, ...] = ()  # only shown to the agent
    anchors: tuple[str, ...] = ()  # foreign Message-IDs that lead here from now on, but for those that lead elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class AddArticle:
    ticket: int
    author: Mailbox
    kind: ArticleKind = ArticleKind.INBOUND
    status: TicketStatus | None = None  # the ticket's next status; None = unchanged
    fields: Fields = Fields()  # fills what is empty
    marked: bool = False
    cc: tuple[Mailbox, ...] = ()
    proposed_cc: tuple[Mailbox, ...] = ()
    anchors: tuple[str, ...] = ()  # as in OpenTicket
    assignee: int | None = None  # agent who has the ticket from now on, where nobody has it


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteAutoReply:
    """Shown collapsed on the ticket; changes no status (rfc.md 43)."""

    ticket: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordReport:
    """A delivery report or complaint about rows of ours."""

    outbox: tuple[int, ...]
    report: DeliveryReport
    failed: tuple[int, ...] = ()  # of these rows, those that are proved not to have arrived
    hard_bounced: tuple[str, ...] = ()  # addresses whose count goes up by one
    suppress: tuple[tuple[str, SuppressionReason], ...] = ()
    ticket: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """To the held desk, with what a person should know."""

    why: str  # one sentence for the agent
    would: str  # what a release would do
    ticket: int | None = None  # held beside this ticket
    customer: int | None = None
    expires_at: datetime | None = None  # None = until a person decides


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """Kept in the ledger and as a raw mail, nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSecondCopy:
    of: str  # ledger id


@dataclass(frozen=True, slots=True, kw_only=True)
class TakePlace:
    """From now on copies are copies of this mail, not of the changed one that came first."""

    of: str  # ledger id


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateToken:
    participant: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnContact:
    """Register the author as a contact of a customer (release with `learn`)."""

    mailbox: Mailbox
    customer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsuppress:
    """An address proves itself alive by writing."""

    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendProof:
    """The mail gave an order: one with the same author and Message-ID gives none any more (T12)."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseThread:
    """The loop breaker: no more automatic mail on this ticket until an agent resumes it."""

    ticket: int
    story: str  # for the agent: what went to and fro, how often


Action = (
    OpenTicket
    | AddArticle
    | NoteAutoReply
    | RecordReport
    | Hold
    | Discard
    | NoteSecondCopy
    | TakePlace
    | RotateToken
    | LearnContact
    | Unsuppress
    | PauseThread
    | SpendProof
    | AccessAction
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An intention to send one mail to one recipient; models/record.py turns it into an outbox row.

    No secret and no text of a mail stands in it: notify/mails.py reads rows by the ids when it composes.
    """

    mail: MailName
    recipient: str  # address; the envelope's only forward-path
    key: str
    ticket: int | None = None  # None with `about_new_ticket`: the ticket this very decision opens
    about_new_ticket: bool = False
    language: str = "en"
    zone: str = ""  # "" = the one of the recipient on the ticket, else the desk's
    in_reply_to: str | None = None  # Message-ID that is answered
    role: ParticipantRole | None = None  # makes a reply token for this recipient as participant
    context: tuple[tuple[str, str | int | None], ...] = ()  # ids and short facts

    @staticmethod
    def key_of(mail: MailName, cause: str, recipient: str) -> str:
        """The idempotency key: which mail, because of what (a ledger id, an article id, a job's period), to whom."""
        return f"{mail}:{cause}:{recipient.lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    state: LedgerState
    reason: Reason
    matched_by: MatchedBy | None = None
    ticket: int | None = None  # the existing ticket concerned; None when one opens
    actions: tuple[Action, ...] = ()
    notices: tuple[Notice, ...] = ()
    trace: tuple[str, ...] = ()  # "gate: answer", in the order tried
    words_key: str = ""  # of the clues, kept in the ledger for SentCounts.same_words_last_month
    claimed_from: str = ""  # of the clues, kept in the ledger for SentCounts.from_author_last_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What rules/access.py answers to a page, a command, a job or a mail; models/access/request.py performs it."""

    answer: Answer
    actions: tuple[AccessAction, ...] = ()
    notices: tuple[Notice, ...] = ()
    holders: tuple[str, ...] = ()  # who holds the seats, where all are taken
    decided_by: str | None = None  # who decided before, where somebody did


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What models/record.py did."""

    ledger_id: str
    state: LedgerState
    ticket: int | None = None
    article: int | None = None
    outbox: tuple[int, ...] = ()
    already: bool = False  # this spool id was recorded before; nothing was done now
    from_known: bool = False  # the author is registered, and believed
