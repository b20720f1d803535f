"""What is known about access, and what shall be done about it: frozen values between rules/access.py and the rows.

Facts are what models/access/facts.py found; actions are what models/access/request.py does. No I/O.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice

from values.mail import Mailbox
from values.vocabulary import AccessKind, AccessState, Belief, Reason, SeatState

NEW_REQUEST = 0  # stands for the number of the request that the same actions make
APPLICANT_WORDS_CAP = 2000  # characters of a mail that asks for access
APPLICANT_TEXT_CAP = 64  # characters of each text that an applicant wrote (threat T52)


def free_slot(taken: Sequence[int], seats: int) -> int | None:
    """The lowest free slot of `seats`, where not all are taken. Always the lowest: two who look at once collide."""
    return next(free_slots(taken, seats), None)


def free_slots(taken: Sequence[int], seats: int) -> Iterator[int]:
    """The slots to give, the lowest first: as many as `seats` leaves, where a lowered number took slots above it."""
    held = frozenset(taken)
    return islice((slot for slot in range(1, seats + 1) if slot not in held), max(0, seats - len(taken)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an applicant asks for, as the form or the mail says it. Cleaned: one line, at most 64 characters each."""

    name: str
    address: str  # canonical
    company: str = ""
    phone: str = ""
    language: str = "en"
    kind: AccessKind = AccessKind.NEW
    in_place_of: str = ""  # address or name of a superuser
    starts_on: date | None = None  # in the customer's zone; None = at once
    ends_on: date | None = None  # the last day; None = for good
    said: str = ""  # the mail's own words, for agents: lines without control characters, at most 2,000 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatChoice:
    """What an agent chose, where the applicant's words were not clear: whose place, or a seat of their own."""

    in_place_of: str | None = None  # address of a superuser; None: a new seat
    starts_on: date | None = None  # None: as the applicant asked
    ends_on: date | None = None  # None: as the applicant asked


# --- facts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFact:
    id: int
    asked: Asked
    state: AccessState
    created: datetime
    due: datetime
    proved_at: datetime | None = None
    belief: Belief = Belief.UNPROVED  # of the mail that asked
    customer: int | None = None
    seat: int | None = None  # reserved for it, or taken by it
    agreed_by: str | None = None  # superuser who agreed to the replacement
    decided_by: str | None = None
    invited_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatFact:
    """A seat that has not ended, and who holds it."""

    id: int
    customer: int
    contact: int
    address: str
    name: str
    language: str
    zone: str
    state: SeatState
    slot: int | None
    starts: datetime
    until: datetime | None
    stands_in_for: int | None = None  # seat
    starts_on: date | None = None
    ends_on: date | None = None
    flag: str | None = None
    request: int | None = None  # that it is reserved for, or came from
    request_state: AccessState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffFact:
    id: int
    address: str
    name: str
    language: str
    zone: str
    admin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessCustomerFact:
    id: int
    name: str
    language: str
    zone: str
    seats: int  # the contract's number
    automatic: bool  # approves requests by itself where everything fits
    manager: int | None = None  # agent


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFact:
    """A held mail of a customer. A superuser's word lets a colleague's through, and no other (`reason`)."""

    id: str
    customer: int
    author: str
    subject: str
    waits: bool
    reason: Reason = Reason.COLLEAGUE_WITHOUT_SEAT
    language: str = "en"  # of the author
    told: bool = False  # the author was told that it waits


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessFacts:
    """Everything that one act of access may depend on."""

    request: RequestFact | None = None
    customer: AccessCustomerFact | None = None  # of the request, else by the applicant's domain, else as asked for
    domain_fits: bool = False  # the applicant's domain is the customer's
    customers_by_domain: int = 0  # more than one is a conflict for a person to solve
    applicant: int | None = None  # contact with the applicant's address
    applicant_customers: tuple[int, ...] = ()
    applicant_serves: bool = False  # the applicant is of a partner that serves the customer
    seats: tuple[SeatFact, ...] = ()  # of the customer, none ended
    agents: tuple[StaffFact, ...] = ()  # active, who hear of requests
    manager: StaffFact | None = None
    open_requests: tuple[int, ...] = ()  # other requests of this address that are not decided
    asked_last_hour: int = 0  # requests of this address
    asked_last_hour_in_all: int = 0
    asked_last_day: int = 0  # requests of this address, its own and superusers' for it
    loans_last_day: int = 0  # replacements that anybody asked for at the customer
    held: HeldFact | None = None

    def seat(self, id: int | None) -> SeatFact | None:
        return next((seat for seat in self.seats if seat.id == id), None)


# --- actions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAccess:
    """Write the request; with `prove`, a link that proves the address is mailed to it."""

    asked: Asked
    prove: bool
    due: datetime
    link_until: datetime
    belief: Belief = Belief.UNPROVED
    evidence: tuple[str, ...] = ()
    nonce_hash: str | None = None  # of the browser that asked
    customer: int | None = None
    language: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRequest:
    """The request goes on to a state, from the one that the decision saw."""

    request: int
    was: AccessState
    now: AccessState
    customer: int | None = None  # None = as it is
    due: datetime | None = None
    proved: bool = False  # the address is proved now
    reason: str | None = None
    agreed_by: str | None = None
    replaces: tuple[int, ...] = ()  # older requests that end


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveSeat:
    """A seat for an approved request. With a slot it counts; without one it stands in for another seat."""

    request: int
    customer: int
    holder: Mailbox
    slot: int | None
    starts: datetime
    until: datetime | None = None
    stands_in_for: int | None = None
    starts_on: date | None = None
    ends_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinCustomer:
    """Who accepted a seat belongs to the customer now. Name and language are kept where the contact has none yet."""

    contact: int
    customer: int
    name: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSeat:
    """A seat's next state, from the one that the decision saw."""

    seat: int
    was: SeatState
    now: SeatState
    slot: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassTickets:
    """Open tickets of one holder pass to another, who takes part in them from now on."""

    customer: int
    giver: int  # contact
    taker: int  # contact


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagSeat:
    seat: int
    flag: str | None  # None = the flag is taken down


@dataclass(frozen=True, slots=True, kw_only=True)
class MintLink:
    """A link to the request's applicant, which ends the older ones of its purpose; the mail carries it."""

    request: int
    until: datetime
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndLinks:
    """Links of this request are void."""

    request: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHeld:
    """A superuser lets a colleague's held mail through: the pipeline decides it again with his word."""

    held: str
    by: str
    customer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseWaiting:
    """What this person wrote before there was access is decided again for the customer (domain.md 3.5)."""

    author: str
    customer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclineHeld:
    held: str
    by: str


AccessAction = (
    RequestAccess
    | MoveRequest
    | ReserveSeat
    | JoinCustomer
    | TurnSeat
    | PassTickets
    | FlagSeat
    | MintLink
    | EndLinks
    | ReleaseHeld
    | ReleaseWaiting
    | DeclineHeld
)
