"""Which ticket does the mail belong to, and may its author add to it? (domain.md 3.6, T17-T22)

Leads, strongest first: a reply token in an address of ours, our own Message-IDs, foreign Message-IDs seen on a ticket,
a reply token in the quoted text, the number in the subject. No lead is enough by itself: the author is a participant of
the ticket or holds a seat of its customer, or the mail is held beside the ticket.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from rules.authn import powers
from rules.belief import Change
from rules.case import Case, Outcome, held
from rules.subject import is_forward
from values.decision import CheckedToken, ParticipantFact, RotateToken, TicketFact
from values.vocabulary import MatchedBy, ParticipantRole, Reason, TicketStatus


class Joining(StrEnum):
    """How the mail stands to the ticket that it names."""

    NEW = "new"  # it names none
    JOIN = "join"
    FOLLOW_UP = "follow-up"  # closed too long ago: a new, linked ticket
    FORWARD = "forward"  # forwards something of a ticket: a new ticket
    BESIDE = "beside"
    ANOTHERS_TOKEN = "anothers-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """What was found. `keyed_for_author`: a code that we made for this very author led here."""

    joining: Joining
    ticket: TicketFact | None = None
    matched_by: MatchedBy | None = None
    part: Reason | None = None  # PARTICIPANT or SEAT_HOLDER where the author may add to the ticket
    keyed_for_author: bool = False
    misused: int | None = None  # participant whose current token somebody else used


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lead:
    ticket: TicketFact
    matched_by: MatchedBy
    token: CheckedToken | None = None
    recipient: str = ""  # of the mail of ours that is answered
    only_if_permitted: bool = False  # the mail's own Message-ID: whoever has no part simply opens a new ticket (T22)


def find_thread(case: Case) -> Thread:
    """The first lead that the author may follow; else the refusal of the strongest."""
    leads = list(_leads(case))
    by_token = [lead for lead in leads if lead.matched_by is MatchedBy.REPLY_TOKEN]
    others = [lead for lead in leads if lead.matched_by is not MatchedBy.REPLY_TOKEN]
    for group in (by_token, others):
        for lead in group:
            if part := part_of(case, lead.ticket):
                return _followed(case, lead, part)
        refused = [lead for lead in group if not lead.only_if_permitted]
        if refused:
            return _refused(case, refused[0])
    return Thread(joining=Joining.NEW)


def part_of(case: Case, ticket: TicketFact) -> Reason | None:
    """The author's part in a ticket; agents have theirs in rules/agent.py."""
    if any(_is_author(case, one) and one.role is not ParticipantRole.AGENT for one in _all_participants(case, ticket)):
        return Reason.PARTICIPANT
    contact = case.facts.contact
    if contact and ticket.customer is not None and ticket.customer in contact.seats:
        return Reason.SEAT_HOLDER
    return None


def named_beside(case: Case) -> Outcome:
    """Gate: the mail names a ticket in which its author has no part."""
    thread = find_thread(case)
    number = thread.ticket.number if thread.ticket else None
    would = f"open a ticket of its own, or add it to ticket {number} where the release says so"
    if thread.joining is Joining.ANOTHERS_TOKEN and thread.misused is not None:
        why = f"{case.author} used the reply address of another participant of ticket {number}."
        rotate = (RotateToken(participant=thread.misused),)
        return held(
            Reason.TOKEN_OF_ANOTHER, why, would, ticket=number, matched_by=thread.matched_by, also=rotate
        )  # T18: the leaked address is worth nothing from now on
    if thread.joining is Joining.BESIDE:
        why = f"{case.author} has no part in ticket {number}, which the mail names."
        return held(Reason.BESIDE_TICKET, why, would, ticket=number, matched_by=thread.matched_by)
    return f"{thread.joining.value} {number} by {thread.matched_by}" if number else thread.joining.value


def _leads(case: Case) -> Iterator[_Lead]:
    facts, clues = case.facts, case.clues
    for token in clues.reply_tokens:
        if token.found_in is MatchedBy.REPLY_TOKEN and (ticket := facts.ticket(token.ticket)):
            yield _Lead(ticket=ticket, matched_by=MatchedBy.REPLY_TOKEN, token=token)
    for id in (*clues.our_outbox_ids, clues.return_path_outbox_id):
        row = next((row for row in facts.outbox if row.id == id), None)
        if row and (ticket := facts.ticket(row.ticket)):
            yield _Lead(ticket=ticket, matched_by=MatchedBy.OUR_MESSAGE_ID, recipient=row.recipient.lower())
    for anchor in clues.anchor_ids:
        for ticket in _anchored(case, anchor):
            yield _Lead(ticket=ticket, matched_by=MatchedBy.ANCHOR)
    # An answer to this mail came before it. Not so where another mail used this Message-ID: then it opens its own.
    if clues.message_id and not facts.message_id_recorded:
        for ticket in _anchored(case, clues.message_id):
            yield _Lead(ticket=ticket, matched_by=MatchedBy.ANCHOR, only_if_permitted=True)
    for token in clues.reply_tokens:
        if token.found_in is MatchedBy.BODY_MARKER and (ticket := facts.ticket(token.ticket)):
            yield _Lead(ticket=ticket, matched_by=MatchedBy.BODY_MARKER, token=token)
    # Anybody can guess a number: it leads those whose author is proved, and by a person's word (T17, T25).
    if (powers(case).by_number or facts.release) and (ticket := facts.ticket(clues.subject_ticket)):
        yield _Lead(ticket=ticket, matched_by=MatchedBy.SUBJECT_NUMBER)


def _anchored(case: Case, message_id: str) -> Iterator[TicketFact]:
    """The tickets that a foreign Message-ID was seen on."""
    numbers = (number for anchor, number in case.facts.anchors if anchor == message_id)
    return (ticket for number in numbers if (ticket := case.facts.ticket(number)))


def _followed(case: Case, lead: _Lead, part: Reason) -> Thread:
    owner = _owner(case, lead.token) if lead.token else None
    keyed = lead.recipient == case.author or (owner is not None and _is_author(case, owner))
    reopens = lead.ticket.status is not TicketStatus.CLOSED or _may_change(case, keyed=keyed)
    joining = Joining.JOIN
    if is_forward(case.mail.subject) and lead.matched_by is not MatchedBy.REPLY_TOKEN:
        joining = Joining.FORWARD
    elif not (reopens and may_reopen(case, lead.ticket)):
        joining = Joining.FOLLOW_UP
    return Thread(joining=joining, ticket=lead.ticket, matched_by=lead.matched_by, part=part, keyed_for_author=keyed)


def may_change(case: Case, thread: Thread) -> bool:
    """Whether the mail changes the ticket that it joins: its status, and the fields that are empty."""
    return _may_change(case, keyed=thread.keyed_for_author)


def _may_change(case: Case, *, keyed: bool) -> bool:
    reopen = powers(case).reopen
    return case.facts.release is not None or reopen is Change.YES or (reopen is Change.KEYED and keyed)


def _refused(case: Case, lead: _Lead) -> Thread:
    owner = _owner(case, lead.token) if lead.token else None
    return Thread(
        joining=Joining.ANOTHERS_TOKEN if owner else Joining.BESIDE,
        ticket=lead.ticket,
        matched_by=lead.matched_by,
        misused=owner.id if owner else None,
    )


def may_reopen(case: Case, ticket: TicketFact) -> bool:
    """Whether an answer goes onto the ticket itself: always while it is not closed, later within the window."""
    if ticket.status is not TicketStatus.CLOSED:
        return True
    return ticket.closed_at is not None and case.now - ticket.closed_at <= case.policy.reopen_window


def _owner(case: Case, token: CheckedToken) -> ParticipantFact | None:
    """The participant of a token, where it is the current one."""
    named = next((ticket for ticket in case.facts.tickets if ticket.number == token.ticket), None)
    participants = _all_participants(case, named) if named else ()
    return next((p for p in participants if p.id == token.participant and p.generation == token.generation), None)


def _all_participants(case: Case, ticket: TicketFact) -> tuple[ParticipantFact, ...]:
    """Those of the ticket, and of the tickets that were merged into it and led here."""
    merged = (
        other.participants
        for other in case.facts.tickets
        if other.merged_into is not None and case.facts.ticket(other.number) == case.facts.ticket(ticket.number)
    )
    return tuple(p for group in (ticket.participants, *merged) for p in group)


def _is_author(case: Case, participant: ParticipantFact) -> bool:
    return bool(case.author) and participant.address.lower() == case.author
