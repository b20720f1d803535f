"""Every closed word list of the desk, each word once, each with its source.

The words stand in rows, in JSON and on pages, so a word that was released is never changed, only added to.
"""

from enum import StrEnum


class Source(StrEnum):
    """Where a mail came in."""

    SMTP = "smtp"
    LMTP = "lmtp"
    IMAP = "imap"
    ARCHIVE = "archive"
    PORTAL = "portal"


class MailboxPurpose(StrEnum):
    """What a mailbox of the vendor is for (domain.md 2)."""

    SUPPORT = "support"
    ACCESS = "access"
    LICENCE = "licence"


class LedgerState(StrEnum):
    """What became of an accepted mail: exactly one of these (domain.md 3.1)."""

    TICKET_OPENED = "ticket-opened"
    ARTICLE_ADDED = "article-added"
    REPORT_RECORDED = "report-recorded"
    AUTO_REPLY_NOTED = "auto-reply-noted"
    COMMAND_DONE = "command-done"
    ACCESS_REQUESTED = "access-requested"
    HELD = "held"
    DUPLICATE = "duplicate"
    DISCARDED = "discarded"


class Reason(StrEnum):
    """Why a mail was decided as it was: the closed list of `postdesk explain` and of the ledger."""

    # a ticket opens
    SUPERUSER = "superuser"  # the author holds a seat
    CONTACT = "contact"  # a registered contact whose customer lets colleagues open tickets
    COLLEAGUE_OPENED = "colleague-opened"  # customer's domain, no seat, customer setting `open`
    PARTNER = "partner"  # a partner's contact, for one of its customers
    FOLLOW_UP = "follow-up"  # answers a ticket closed too long ago: a new, linked one
    FORWARDED_NOTICE = "forwarded-notice"  # a forward of a mail of ours is a new ticket
    RELEASED = "released"  # an agent or a superuser let a held mail through
    # an article is added
    PARTICIPANT = "participant"  # the author takes part in the ticket
    SEAT_HOLDER = "seat-holder"  # the author holds a seat of the ticket's customer
    AGENT_REPLY = "agent-reply"  # an agent answered from the mail client
    # commands and access
    COMMAND = "command"
    ACCESS_REQUEST = "access-request"
    # machines
    DELIVERY_REPORT = "delivery-report"  # about a mail of ours, proved by VERP token or Message-ID
    COMPLAINT = "complaint"  # RFC 5965, about a mail of ours
    AUTO_REPLY = "auto-reply"  # RFC 3834 auto-replied, noted on its ticket
    UNMATCHED_REPORT = "unmatched-report"  # a report about a mail that is not provably ours: no state changes
    UNMATCHED_AUTO_REPLY = "unmatched-auto-reply"  # an automatic reply to nothing of ours
    BULK = "bulk"  # mailing list or bulk mail
    LOOP = "loop"  # our own marker came back, or too many Received fields
    LOOP_BROKEN = "loop-broken"  # the breaker paused this thread
    SECOND_COPY = "second-copy"  # same content and author recorded before
    # held for a person's judgment
    AUTHOR_MISSING = "author-missing"
    AUTHOR_AMBIGUOUS = "author-ambiguous"
    OWN_ADDRESS = "own-address"  # From names one of our own addresses
    UNBELIEVED = "unbelieved"  # failed under a published policy, or the customer asks for belief
    LOOK_ALIKE = "look-alike"  # the domain is confusable with a registered one
    DOMAIN_CONFLICT = "domain-conflict"  # the domain leads to more than one customer
    UNKNOWN_CUSTOMER = "unknown-customer"
    COLLEAGUE_WITHOUT_SEAT = "colleague-without-seat"
    BESIDE_TICKET = "beside-ticket"  # names a ticket its author has no part in
    TOKEN_OF_ANOTHER = "token-of-another"  # a reply token that was made for somebody else
    AGENT_BY_MAIL = "agent-by-mail"  # an agent's mail that is not believed, or not switched on
    UNKNOWN_COMMAND = "unknown-command"
    OVER_LIMIT = "over-limit"  # a limit of ingest/mime/scan.py
    NOT_FETCHED = "not-fetched"  # the server of a fetched mailbox does not give it
    POISON = "poison"  # killed its worker three times, or made the pipeline fail three times
    # discarded
    HELD_EXPIRED = "held-expired"
    DROPPED = "dropped"  # an agent dropped it from the held desk
    ADMINISTRATIVE = "administrative"  # DMARC and TLS aggregate reports


class MailKind(StrEnum):
    """What wrote the mail (RFC 3834 §2, RFC 3464, RFC 5965)."""

    PERSON = "person"
    AUTO_REPLY = "auto-reply"
    AUTO_GENERATED = "auto-generated"
    LIST = "list"
    BOUNCE = "bounce"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    COMPLAINT = "complaint"


class AuthorVerdict(StrEnum):
    """How many mailboxes the From field names (RFC 5322 §3.6.2; threats T03, T04)."""

    ONE = "one"
    AMBIGUOUS = "ambiguous"
    MISSING = "missing"


class AuthResult(StrEnum):
    """Result words of RFC 8601 §2.7, with `policy` for a signature that we do not count (l=)."""

    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Belief(StrEnum):
    """Do we believe that the author wrote the mail? (domain.md 3.2)"""

    BELIEVED = "believed"  # DMARC-aligned pass
    UNPROVED = "unproved"  # no published policy, or DNS did not answer, or authentication is off
    REFUTED = "refuted"  # failed under a published policy


class MatchedBy(StrEnum):
    """What led a mail to its ticket, strongest first."""

    REPLY_TOKEN = "reply-token"
    OUR_MESSAGE_ID = "our-message-id"  # an id of ours with a valid keyed code, in In-Reply-To or References
    ANCHOR = "anchor"  # a foreign Message-ID seen before on the ticket
    BODY_MARKER = "body-marker"
    SUBJECT_NUMBER = "subject-number"


class AutoSubmitted(StrEnum):
    """RFC 3834 §5."""

    NO = "no"
    AUTO_GENERATED = "auto-generated"
    AUTO_REPLIED = "auto-replied"


class TicketStatus(StrEnum):
    NEW = "new"
    OPEN = "open"
    PENDING = "pending"  # waiting for the customer
    RESOLVED = "resolved"
    CLOSED = "closed"


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class ArticleKind(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"
    NOTE = "note"


class ParticipantRole(StrEnum):
    REQUESTER = "requester"
    CC = "cc"
    AGENT = "agent"
    STAND_IN = "stand-in"  # takes part while a seat is lent
    LEFT = "left"  # takes part no more: no mail, no reply address


class Door(StrEnum):
    """By which way somebody acted on the desk."""

    MAIL = "mail"
    PAGE = "page"
    COMMAND = "command"
    JOB = "job"
    API = "api"


class TicketEventKind(StrEnum):
    """What can happen to a ticket."""

    OPENED = "opened"
    ARTICLE = "article"
    STATUS = "status"
    ASSIGNEE = "assignee"
    REQUESTER = "requester"  # it passed to another contact
    PARTICIPANT = "participant"  # somebody takes part from now on
    PAUSED = "paused"  # automatic email stopped
    RESUMED = "resumed"


class MailName(StrEnum):
    """Every mail that we send; each has a folder of this name under templates/mail/."""

    ACKNOWLEDGEMENT = "acknowledgement"
    AGENT_REPLY = "agent_reply"
    AGENT_NOTICE = "agent_notice"  # tells agents of a new ticket or reply
    UNKNOWN_AUTHOR = "unknown_author"
    STAFF_TASK = "staff_task"  # tells agents of an address that gets no more mail, or of a thread that was paused
    HELD_WAITING = "held_waiting"  # tells agents which mails wait for their judgment
    AGENT_MAIL_HELD = "agent_mail_held"  # tells agents why their own mail waits and was sent to nobody
    ANSWER_UNDELIVERED = "answer_undelivered"  # tells an agent that an answer of his did not arrive
    # access
    ACCESS_PROOF = "access_proof"
    ACCESS_DESK_NOTICE = "access_desk_notice"  # tells agents that a request waits for them
    ACCESS_AGREE = "access_agree"  # asks the person replaced and the other superuser for their word
    ACCESS_LATE = "access_late"
    ACCESS_REFUSED = "access_refused"
    ACCESS_SEATS_TAKEN = "access_seats_taken"
    INVITATION = "invitation"
    INVITATION_BOUNCED = "invitation_bounced"
    SEAT_CHANGED = "seat_changed"
    SEAT_RETURNS_SOON = "seat_returns_soon"
    SEAT_FLAGGED = "seat_flagged"
    REQUEST_NEWS = "request_news"  # tells who lent or agreed, or the agents, what became of a request
    SIGN_IN = "sign_in"
    COLLEAGUE_HELD = "colleague_held"
    COLLEAGUE_DECLINED = "colleague_declined"
    COLLEAGUE_ASK = "colleague_ask"
    COMMAND_ANSWER = "command_answer"
    # tickets by mail
    TICKET_COMMAND = "ticket_command"  # the receipt of a command about tickets: done or not, and why
    TICKET_STATUS = "ticket_status"  # the table of open tickets


class AgentNotices(StrEnum):
    """Which tickets an agent hears of by mail."""

    ALL = "all"  # of every new ticket and reply, and of what only a person can decide
    MINE = "mine"  # of replies on tickets that are assigned to this agent
    NONE = "none"


class MailClass(StrEnum):
    """The three header sets of outgoing mail, see notify/compose.py."""

    CONVERSATION = "conversation"
    RECEIPT = "receipt"
    NOTICE = "notice"


class OutboxStatus(StrEnum):
    """*sent* means that the smarthost took it, never that it was delivered."""

    DUE = "due"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


class SeatState(StrEnum):
    RESERVED = "reserved"  # approved; becomes active when the invitation is accepted
    PLANNED = "planned"  # accepted; becomes active on the day the replacement starts
    ACTIVE = "active"
    RESTING = "resting"  # lent to a stand-in
    ENDED = "ended"


class AccessState(StrEnum):
    """An access request's way (domain.md 4)."""

    UNPROVED = "unproved"  # the address is not proved yet
    WAITING = "waiting"  # for an agent's word
    APPROVED = "approved"  # the invitation is due
    INVITED = "invited"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    EXPIRED = "expired"


class SeatChange(StrEnum):
    """What a mail about a seat tells."""

    OPENED = "opened"  # a superuser more
    PLANNED = "planned"  # a replacement is agreed and begins later
    STARTED = "started"
    RETURNED = "returned"  # a replacement ended on its day
    TAKEN_BACK = "taken-back"  # … because the regular is back early
    HOLDER = "holder"  # the seat has another holder for good
    CANCELLED = "cancelled"  # a replacement that does not begin
    ENDED = "ended"


class AccessKind(StrEnum):
    """What an applicant asks for (domain.md 4)."""

    NEW = "new"  # a seat of his own
    IN_PLACE_OF = "in-place-of"  # the seat of a superuser, for a time or for good


class LinkPurpose(StrEnum):
    """What a one-use link is good for; one of another purpose is worthless."""

    PROOF = "proof"  # proves the address of an applicant
    INVITATION = "invitation"
    SIGN_IN = "sign-in"


class Command(StrEnum):
    """What a reply can order in its first line (rules/commands.py)."""

    APPROVE = "approve"
    REFUSE = "refuse"
    RELEASE = "release"
    DECLINE = "decline"
    TAKE_BACK = "take-back"


class TicketCommand(StrEnum):
    """What a customer's mail can order where it says nothing else (rules/ticket_commands.py)."""

    CLOSE = "close"
    REOPEN = "reopen"
    STATUS = "status"  # my open tickets
    STATUS_ALL = "status-all"  # those of the whole company
    CC = "cc"  # a colleague takes part
    HELP = "help"


class TicketAnswer(StrEnum):
    """What became of a command about tickets."""

    DONE = "done"
    ALREADY = "already"  # it is so
    TOO_LATE = "too-late"  # closed longer ago than a ticket reopens
    NO_TICKET = "no-ticket"  # the mail answers none
    NOT_OURS = "not-ours"  # the colleague is of no domain of the customer's, nor of its partner
    NOT_YOURS = "not-yours"  # for superusers only
    NOT_PROVED = "not-proved"  # nothing shows that the author wrote it, or it may be sent again
    UNKNOWN = "unknown"  # begins with a slash, and is no word that we know


class RequestNews(StrEnum):
    """What became of a request, for whom it concerns beside the applicant."""

    LENT_OUTSIDE = "lent-outside"  # a superuser lends to another domain: an agent decides first
    APPROVED = "approved"  # … and said yes
    REFUSED = "refused"
    EXPIRED = "expired"  # the invitation was not accepted in time
    AGREED = "agreed"  # a superuser agreed to a replacement


class Answer(StrEnum):
    """What became of an act of access: for pages, commands, mails and the audit alike."""

    DONE = "done"
    ASKED = "asked"  # the address is to be proved
    WAITS = "waits"  # for an agent's word
    APPROVED = "approved"
    QUIET = "quiet"  # over a budget: nothing is written and the answer is the same
    NOT_FOUND = "not-found"
    ALREADY = "already"  # somebody decided before
    NOT_YOURS = "not-yours"  # this person may not do it
    NO_CUSTOMER = "no-customer"  # which customer the applicant belongs to is not known
    SEATS_TAKEN = "seats-taken"
    HAS_SEAT = "has-seat"  # the applicant holds one already
    NOBODY_TO_REPLACE = "nobody-to-replace"  # the named superuser holds no active seat there
    DATES = "dates"  # the replacement would end before it begins, or has ended
    TOO_OFTEN = "too-often"  # over a budget: nothing was written, and who asked is told so
    NOTHING_TO_RETURN = "nothing-to-return"
    REASON_MISSING = "reason-missing"  # a refusal needs one
    UNKNOWN_COMMAND = "unknown-command"


class HeldState(StrEnum):
    HELD = "held"
    RELEASED = "released"
    DROPPED = "dropped"
    EXPIRED = "expired"


class StaffTask(StrEnum):
    """What agents are told of besides tickets and access."""

    DEAD_ADDRESS = "dead-address"  # hard bounces enough: suppressed (T61)
    COMPLAINT = "complaint"  # RFC 5965: suppressed
    PAUSED = "paused"  # the breaker of a thread (T26)


class Undelivered(StrEnum):
    """How an answer ended that did not arrive."""

    FAILED = "failed"  # the smarthost refused it, or it was given up, or it could not be composed
    SUPPRESSED = "suppressed"  # its address gets no mail
    RETURNED = "returned"  # it left, and a report says that it failed


class AgentObstacle(StrEnum):
    """Why a mail of an agent was not sent to a customer."""

    SWITCHED_OFF = "switched-off"  # agent_by_mail
    NOT_PROVED = "not-proved"  # nothing shows that the agent wrote it, or it may be sent again
    NO_TICKET = "no-ticket"  # not to a reply address of the agent's own: a report, a forward
    COMMAND = "command"  # a line of it is a command
    TOO_MUCH = "too-much"  # more files, or larger ones, than an answer carries


class DomainConflict(StrEnum):
    """What is not clear about a domain, for the domain desk (domain.md 3.3; threats T06 to T08)."""

    SHARED = "shared"  # registered, and by now known as free mail or a public suffix
    CONFUSABLE = "confusable"  # two customers' domains look alike
    SUB_DOMAIN = "sub-domain"  # of one customer, below a domain of another that covers its sub-domains
    ELSEWHERE = "elsewhere"  # a contact of another customer writes from it
    PARTNER = "partner"  # a partner's people write from it
    SEVERAL = "several-customers"  # a contact of several customers, whose domain names none of them
    HELD_LOOK_ALIKE = "held-look-alike"  # mails wait that look like a registered domain's
    UNMATCHED = "unmatched"  # mails wait whose domain leads to no customer


class ColleaguePolicy(StrEnum):
    """What happens to mail of a customer's people without a seat."""

    HOLD = "hold"
    OPEN = "open"


class SuppressionReason(StrEnum):
    HARD_BOUNCE = "hard-bounce"
    COMPLAINT = "complaint"
    MANUAL = "manual"
