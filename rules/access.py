"""May this person have access, who decides it, and what follows? (domain.md 4; T28, T31, T33, T52)

Pure: `AccessFacts` go in, a `Ruling` comes out; mail, pages, commands and jobs ask the same functions and let
models/access/request.py perform the answer in the snapshot in which the facts were gathered:

    facts = gather_access(session, now, request=17)
    ruling = approve(facts, policy, now)
    perform(session, ruling.actions, ruling.notices, now, who=agent, via="session:4")

A request that a believed mail makes is decided before its row is there: its number is NEW_REQUEST until then.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from rules import seats
from rules.policy import Policy
from values.access import (
    NEW_REQUEST,
    AccessFacts,
    Asked,
    EndLinks,
    JoinCustomer,
    MintLink,
    MoveRequest,
    ReleaseWaiting,
    RequestAccess,
    RequestFact,
    ReserveSeat,
    SeatChoice,
    SeatFact,
    StaffFact,
    TurnSeat,
)
from values.decision import Notice, Ruling
from values.mail import Mailbox
from values.vocabulary import AccessKind, AccessState, Answer, Belief, MailName, RequestNews, SeatChange, SeatState

_OPEN = (AccessState.WAITING, AccessState.APPROVED, AccessState.INVITED)


# --- asking -------------------------------------------------------------------------------------------------------


def request(
    asked: Asked,
    facts: AccessFacts,
    policy: Policy,
    now: datetime,
    *,
    nonce_hash: str | None = None,
    belief: Belief = Belief.UNPROVED,
    evidence: tuple[str, ...] = (),
) -> Ruling:
    """Somebody asks for access. The answer is the same whoever it is and whichever company (T28, T52).

    ASKED: a link that proves the address is mailed to it. QUIET: over the address's budget, nothing is written; say the
    same, as the links before are on their way. TOO_OFTEN: over that of all together, nothing is written; say so.
    A `belief` of BELIEVED (a mail whose author is proved) needs no link: the ruling goes on as after `prove`.
    """
    if facts.asked_last_hour_in_all >= policy.requests_per_hour:
        return Ruling(answer=Answer.TOO_OFTEN)
    if facts.asked_last_hour >= policy.requests_per_address_per_hour:
        return Ruling(answer=Answer.QUIET)
    proved = belief is Belief.BELIEVED
    language = asked.language if asked.language in policy.languages else policy.language
    action = RequestAccess(
        asked=replace(asked, language=language),
        prove=not proved,
        due=now + policy.access_due,
        link_until=now + policy.proof_lifetime,
        belief=belief,
        evidence=evidence,
        nonce_hash=nonce_hash,
        language=language,
    )
    made = Ruling(answer=Answer.ASKED, actions=(action,))
    if not proved:
        return made
    fact = RequestFact(
        id=NEW_REQUEST, asked=action.asked, state=AccessState.UNPROVED, created=now, due=action.due, belief=belief
    )
    return seats.merged(made, prove(replace(facts, request=fact), policy, now))


def prove(facts: AccessFacts, policy: Policy, now: datetime) -> Ruling:
    """The applicant's address is proved: now it is looked up who that may be. From here the 24 hours count.

    WAITS for an agent; APPROVED by itself; DONE where a superuser takes the own seat back by asking again; a refusal
    (SEATS_TAKEN, HAS_SEAT) where there is nothing to decide and the domain is the customer's; ALREADY.
    """
    asked = facts.request
    if asked is None:
        return Ruling(answer=Answer.NOT_FOUND)
    if asked.state is not AccessState.UNPROVED:
        return Ruling(answer=Answer.ALREADY)
    if seats.seat_of(facts, facts.applicant, SeatState.RESTING):
        moved = _move(asked, AccessState.ACCEPTED, proved=True)
        return seats.merged(moved, seats.take_back(facts, facts.applicant, now))
    reserved = seats.seat_of(facts, facts.applicant, SeatState.RESERVED)
    if reserved and facts.open_requests:
        return _again(facts, asked, policy, now)
    waits = _move(
        asked,
        AccessState.WAITING,
        proved=True,
        customer=facts.customer.id if facts.customer else None,
        due=now + policy.access_due,
        replaces=facts.open_requests,
    )
    waiting = replace(facts, request=replace(asked, state=AccessState.WAITING, proved_at=now))
    if facts.domain_fits and facts.customers_by_domain == 1:
        ruling = approve(waiting, policy, now)
        nothing_to_decide = ruling.answer in (Answer.SEATS_TAKEN, Answer.HAS_SEAT)
        if nothing_to_decide or (ruling.answer is Answer.APPROVED and _by_itself(waiting)):
            return seats.merged(waits, ruling)
    return replace(waits, answer=Answer.WAITS, notices=(*_to_agents(facts, asked), *_ask_superusers(facts, asked, now)))


# --- deciding -----------------------------------------------------------------------------------------------------


def approve(facts: AccessFacts, policy: Policy, now: datetime, choice: SeatChoice | None = None) -> Ruling:
    """Somebody who may decide says yes. The seat is reserved at once, so two approvals never share the last one.

    `choice`: the seat that an agent chose, in place of the one that the applicant asked for.

    APPROVED; SEATS_TAKEN and HAS_SEAT refuse the request with a mail that says why; NO_CUSTOMER, NOBODY_TO_REPLACE
    and DATES change nothing and are for a person to mend; ALREADY, NOT_FOUND.
    """
    asked = facts.request
    if asked is None:
        return Ruling(answer=Answer.NOT_FOUND)
    if asked.state is not AccessState.WAITING:
        return Ruling(answer=Answer.ALREADY, decided_by=asked.decided_by)
    asked = _chosen(asked, choice) if choice else asked
    if facts.customer is None:
        return Ruling(answer=Answer.NO_CUSTOMER)
    if seats.seat_of(facts, facts.applicant, SeatState.ACTIVE, SeatState.RESTING):
        return _refused(asked, Answer.HAS_SEAT, Answer.HAS_SEAT, facts)
    if asked.asked.kind is AccessKind.IN_PLACE_OF:
        return _replacement(facts, asked, now)
    slot = seats.slot_for_one_more(facts)
    if slot is None:
        names = tuple(seat.name or seat.address for seat in seats.holders(facts))
        return replace(_refused(asked, Answer.SEATS_TAKEN, Answer.SEATS_TAKEN, facts), holders=names)
    return _approved(facts, asked, _reserve(facts, asked, slot=slot, starts=now))


def refuse(facts: AccessFacts, reason: str, now: datetime, *, withdraws: bool = False) -> Ruling:
    """Somebody who may decide says no, and why. `withdraws`: they know that it is approved, and take that back;
    else an approval that came a moment before stands (ALREADY)."""
    asked = facts.request
    if asked is None:
        return Ruling(answer=Answer.NOT_FOUND)
    if asked.state not in (_OPEN if withdraws else _OPEN[:1]):
        return Ruling(answer=Answer.ALREADY, decided_by=asked.decided_by)
    if not reason.strip():
        return Ruling(answer=Answer.REASON_MISSING)
    return _refused(asked, " ".join(reason.split()), Answer.DONE, facts)


def agree(facts: AccessFacts, policy: Policy, now: datetime, by: str) -> Ruling:
    """The person replaced, or another superuser, agrees to a replacement: approved by itself where all else fits.

    NOT_YOURS where `by` (an address) holds no seat there or the request is no replacement.
    """
    asked = facts.request
    if asked is None:
        return Ruling(answer=Answer.NOT_FOUND)
    if not may_agree(facts, by):
        return Ruling(answer=Answer.NOT_YOURS)
    if asked.state is not AccessState.WAITING:
        return Ruling(answer=Answer.ALREADY)
    noted = replace(
        _move(asked, AccessState.WAITING, agreed_by=by), notices=_news_to_staff(facts, asked, RequestNews.AGREED)
    )
    agreed = replace(facts, request=replace(asked, agreed_by=by))
    if _by_itself(agreed):
        ruling = approve(agreed, policy, now)
        if ruling.answer is Answer.APPROVED:
            return seats.merged(noted, ruling)
    return replace(noted, answer=Answer.DONE)


def may_agree(facts: AccessFacts, by: str) -> bool:
    """Has this superuser a word in the request? In replacements at the own company only."""
    asked = facts.request
    holds = any(
        seat.address == by.lower() and seat.state in (SeatState.ACTIVE, SeatState.RESTING) for seat in facts.seats
    )
    is_replacement = asked is not None and asked.asked.kind is AccessKind.IN_PLACE_OF
    return holds and is_replacement and asked is not None and asked.asked.address != by.lower()


# --- inviting and accepting ---------------------------------------------------------------------------------------


def invite(facts: AccessFacts, policy: Policy, now: datetime) -> Ruling:
    """The invitation of an approved request; of an invited one a new link, which ends the older ones."""
    asked = facts.request
    if asked is None:
        return Ruling(answer=Answer.NOT_FOUND)
    if asked.state not in (AccessState.APPROVED, AccessState.INVITED):
        return Ruling(answer=Answer.ALREADY)
    return Ruling(answer=Answer.DONE, actions=(_mint(asked.id, asked, policy, now),))


def invite_first(facts: AccessFacts, policy: Policy, now: datetime) -> Ruling:
    """As `invite` for the job: what was invited before is left alone."""
    asked = facts.request
    if asked is None or asked.state is not AccessState.APPROVED:
        return Ruling(answer=Answer.ALREADY)
    return invite(facts, policy, now)


def accept(facts: AccessFacts, now: datetime) -> Ruling:
    """The invited person accepts, by a POST with the code or from the asking browser (rules/links.py saw to that)."""
    asked = facts.request
    if asked is None:
        return Ruling(answer=Answer.NOT_FOUND)
    seat = facts.seat(asked.seat)
    if asked.state is not AccessState.INVITED or seat is None or seat.state is not SeatState.RESERVED:
        return Ruling(answer=Answer.ALREADY)
    joined = JoinCustomer(
        contact=seat.contact, customer=seat.customer, name=asked.asked.name, language=asked.asked.language
    )
    moved = _move(asked, AccessState.ACCEPTED)
    accepted = replace(moved, actions=(*moved.actions, joined))
    if seat.stands_in_for is None:
        turned = TurnSeat(seat=seat.id, was=seat.state, now=SeatState.ACTIVE)
        opened = seats.told(facts, seat, SeatChange.OPENED)
        waiting = ReleaseWaiting(author=seat.address, customer=seat.customer)
        return seats.merged(accepted, Ruling(answer=Answer.DONE, actions=(turned, waiting), notices=opened))
    if now < seat.starts:
        turned = TurnSeat(seat=seat.id, was=seat.state, now=SeatState.PLANNED)
        planned = seats.told(facts, seat, SeatChange.PLANNED)
        return seats.merged(accepted, Ruling(answer=Answer.DONE, actions=(turned,), notices=planned))
    return seats.merged(accepted, seats.start(facts, seat, now))


def reopen(facts: AccessFacts, policy: Policy, now: datetime) -> Ruling:
    """The invitation came back: the request waits again, and the account manager hears of it."""
    asked = facts.request
    if asked is None or asked.state is not AccessState.INVITED:
        return Ruling(answer=Answer.ALREADY)
    again = _move(asked, AccessState.WAITING, due=now + policy.access_due, reason="invitation-bounced")
    cause = f"request:{asked.id}:{now.date().isoformat()}"
    people = seats.responsible(facts)
    notices = (seats.notice_to(one, MailName.INVITATION_BOUNCED, cause, request=asked.id) for one in people)
    return replace(
        again,
        answer=Answer.WAITS,
        actions=(*again.actions, EndLinks(request=asked.id), *_free(facts, asked)),
        notices=tuple(notices),
    )


def expire(facts: AccessFacts, policy: Policy, now: datetime) -> Ruling:
    """Nobody proved the address, or accepted the invitation, in time: the reserved seat is free again."""
    asked = facts.request
    if asked is None or asked.state not in (AccessState.UNPROVED, AccessState.INVITED):
        return Ruling(answer=Answer.ALREADY)
    since, lifetime = asked.created, policy.proof_lifetime
    if asked.state is AccessState.INVITED:
        since, lifetime = asked.invited_at or asked.created, policy.invitation_lifetime
    if now < since + lifetime:
        return Ruling(answer=Answer.ALREADY)
    told: tuple[Notice, ...] = ()
    if asked.state is AccessState.INVITED:
        told = (*_news(facts, RequestNews.EXPIRED), *_news_to_staff(facts, asked, RequestNews.EXPIRED))
    ended = _move(asked, AccessState.EXPIRED)
    return replace(ended, actions=(*ended.actions, EndLinks(request=asked.id), *_free(facts, asked)), notices=told)


def warn(facts: AccessFacts, policy: Policy, now: datetime) -> Ruling:
    """A request that is nearly late: agents and the account manager are told."""
    asked = facts.request
    if asked is None or asked.state not in (AccessState.WAITING, AccessState.APPROVED):
        return Ruling(answer=Answer.ALREADY)
    if now < asked.due - (policy.access_due - policy.access_warning):
        return Ruling(answer=Answer.ALREADY)
    cause = f"request:{asked.id}:{asked.due.isoformat()}"
    notices = (seats.notice_to(one, MailName.ACCESS_LATE, cause, request=asked.id) for one in _deciders(facts))
    return Ruling(answer=Answer.DONE, notices=tuple(notices))


# --- lending without asking ---------------------------------------------------------------------------------------


def lend(
    facts: AccessFacts, asked: Asked, seat: SeatFact, policy: Policy, now: datetime, *, by_agent: bool = False
) -> Ruling:
    """A superuser, or an agent for them, lends a seat: a replacement that is agreed; the stand-in is invited.

    `asked.address` is the stand-in's, as the facts were gathered with it. APPROVED; WAITS for an agent, where a
    superuser lends to somebody who is neither the customer's nor its partner's (T49). HAS_SEAT, DATES,
    NOBODY_TO_REPLACE and TOO_OFTEN, over a superuser's budget, change nothing.
    """
    if seats.seat_of(facts, facts.applicant, SeatState.ACTIVE, SeatState.RESTING):
        return Ruling(answer=Answer.HAS_SEAT)
    if not by_agent and _lends_too_often(facts, policy):
        return Ruling(answer=Answer.TOO_OFTEN)
    asked = replace(asked, kind=AccessKind.IN_PLACE_OF, in_place_of=seat.address)
    made = RequestAccess(
        asked=asked,
        prove=False,
        due=now + policy.access_due,
        link_until=now + policy.proof_lifetime,
        customer=seat.customer,
        language=asked.language,
    )
    fact = RequestFact(
        id=NEW_REQUEST,
        asked=asked,
        state=AccessState.UNPROVED,
        created=now,
        due=made.due,
        customer=seat.customer,
        agreed_by=seat.address,
    )
    waits = _move(fact, AccessState.WAITING, customer=seat.customer, agreed_by=seat.address)
    waiting = replace(facts, request=replace(fact, state=AccessState.WAITING))
    ruling = approve(waiting, policy, now)
    if ruling.answer is not Answer.APPROVED:
        return Ruling(answer=ruling.answer)
    made_and_waits = seats.merged(Ruling(answer=Answer.DONE, actions=(made,)), waits)
    if by_agent or _is_of_customer(facts):
        return seats.merged(made_and_waits, ruling)
    told = (*_to_agents(facts, fact), *_news(waiting, RequestNews.LENT_OUTSIDE))
    return replace(made_and_waits, answer=Answer.WAITS, notices=told)


def _lends_too_often(facts: AccessFacts, policy: Policy) -> bool:
    return (
        facts.loans_last_day >= policy.loans_per_customer_per_day
        or facts.asked_last_day >= policy.invitations_per_address_per_day
    )


def _is_of_customer(facts: AccessFacts) -> bool:
    """Is the applicant of the customer's own domains, its contact, or of a partner that serves it?"""
    customer = facts.customer
    belongs = customer is not None and customer.id in facts.applicant_customers
    return facts.domain_fits or facts.applicant_serves or belongs


def is_late(asked: RequestFact, now: datetime) -> bool:
    """Was the promise of 24 hours broken? Only while it is ours to act."""
    return asked.state in (AccessState.WAITING, AccessState.APPROVED) and now > asked.due


# --- how ----------------------------------------------------------------------------------------------------------


def _by_itself(facts: AccessFacts) -> bool:
    """May the request be approved without an agent? (domain.md 4)"""
    asked, customer = facts.request, facts.customer
    if asked is None or customer is None or not customer.automatic:
        return False
    if not facts.domain_fits or facts.customers_by_domain != 1:
        return False
    return asked.asked.kind is AccessKind.NEW or asked.agreed_by is not None


def _chosen(asked: RequestFact, choice: SeatChoice) -> RequestFact:
    wanted = replace(
        asked.asked,
        kind=AccessKind.NEW if choice.in_place_of is None else AccessKind.IN_PLACE_OF,
        in_place_of=choice.in_place_of or "",
        starts_on=choice.starts_on or asked.asked.starts_on,
        ends_on=choice.ends_on or asked.asked.ends_on,
    )
    return replace(asked, asked=wanted)


def _replacement(facts: AccessFacts, asked: RequestFact, now: datetime) -> Ruling:
    customer, wanted = facts.customer, asked.asked
    regular = seats.named_seat(facts, wanted.in_place_of)
    if regular is None or customer is None:
        return Ruling(answer=Answer.NOBODY_TO_REPLACE)
    starts = seats.first_moment(wanted.starts_on, customer.zone) if wanted.starts_on else now
    until = seats.first_moment(wanted.ends_on + timedelta(days=1), customer.zone) if wanted.ends_on else None
    starts = max(starts, now)
    if not seats.loan_fits(facts, regular, starts, until, now):
        return Ruling(answer=Answer.DATES)
    reserved = _reserve(facts, asked, slot=None, starts=starts, until=until, stands_in_for=regular.id)
    approved = _approved(facts, asked, reserved)
    waited = asked.id != NEW_REQUEST and not _is_of_customer(facts)  # whoever lent it was told that it would
    return replace(approved, notices=_news(facts, RequestNews.APPROVED) if waited else ())


def _reserve(
    facts: AccessFacts,
    asked: RequestFact,
    *,
    slot: int | None,
    starts: datetime,
    until: datetime | None = None,
    stands_in_for: int | None = None,
) -> ReserveSeat:
    assert facts.customer is not None
    return ReserveSeat(
        request=asked.id,
        customer=facts.customer.id,
        holder=Mailbox(address=asked.asked.address, name=asked.asked.name),
        slot=slot,
        starts=starts,
        until=until,
        stands_in_for=stands_in_for,
        starts_on=asked.asked.starts_on if stands_in_for else None,
        ends_on=asked.asked.ends_on if stands_in_for else None,
    )


def _approved(facts: AccessFacts, asked: RequestFact, reserve: ReserveSeat) -> Ruling:
    moved = _move(asked, AccessState.APPROVED, customer=reserve.customer)
    return replace(moved, answer=Answer.APPROVED, actions=(*moved.actions, reserve))


def _refused(asked: RequestFact, reason: str, answer: Answer, facts: AccessFacts) -> Ruling:
    mail = MailName.ACCESS_SEATS_TAKEN if reason == Answer.SEATS_TAKEN else MailName.ACCESS_REFUSED
    customer = facts.customer
    # T28: who holds the seats is told to people of the customer's own domain only
    if mail is MailName.ACCESS_SEATS_TAKEN and not facts.domain_fits:
        mail = MailName.ACCESS_REFUSED
    notice = Notice(
        mail=mail,
        recipient=asked.asked.address,
        key=Notice.key_of(mail, f"request:{asked.id or asked.created.isoformat()}", asked.asked.address),
        language=asked.asked.language,
        zone=customer.zone if customer else "",
        context=(("request", asked.id),),
    )
    moved = _move(asked, AccessState.REFUSED, reason=str(reason), customer=customer.id if customer else None)
    ended = (EndLinks(request=asked.id),) if asked.state is AccessState.INVITED else ()
    told = (notice, *_news(facts, RequestNews.REFUSED))
    return replace(moved, answer=answer, actions=(*moved.actions, *ended, *_free(facts, asked)), notices=told)


def _free(facts: AccessFacts, asked: RequestFact) -> tuple[TurnSeat, ...]:
    """The seat that was reserved for a request is free again."""
    seat = facts.seat(asked.seat)
    if seat is None or seat.state is not SeatState.RESERVED:
        return ()
    return (TurnSeat(seat=seat.id, was=seat.state, now=SeatState.ENDED, why="not taken"),)


def _again(facts: AccessFacts, asked: RequestFact, policy: Policy, now: datetime) -> Ruling:
    """Who was approved and asks once more, has lost the invitation: a new one leaves, the new request ends."""
    ended = _move(asked, AccessState.EXPIRED, proved=True, reason=f"request {facts.open_requests[0]} goes on")
    mint = _mint(facts.open_requests[0], asked, policy, now)
    return replace(ended, answer=Answer.APPROVED, actions=(*ended.actions, mint))


def _mint(number: int, asked: RequestFact, policy: Policy, now: datetime) -> MintLink:
    return MintLink(request=number, until=now + policy.invitation_lifetime, language=asked.asked.language)


def _to_agents(facts: AccessFacts, asked: RequestFact) -> tuple[Notice, ...]:
    cause, people = _cause(asked), _deciders(facts)
    return tuple(seats.notice_to(one, MailName.ACCESS_DESK_NOTICE, cause, request=asked.id) for one in people)


def _ask_superusers(facts: AccessFacts, asked: RequestFact, now: datetime) -> tuple[Notice, ...]:
    """The person replaced and the other superusers are asked, where the applicant is of their own domain (T52) and
    said clearly whom they replace, and until when."""
    if asked.asked.kind is not AccessKind.IN_PLACE_OF or not facts.domain_fits or not asked.asked.in_place_of:
        return ()
    return tuple(
        seats.notice_to(seat, MailName.ACCESS_AGREE, _cause(asked), request=asked.id)
        for seat in facts.seats
        if seat.state is SeatState.ACTIVE and seat.address != asked.asked.address
    )


def _news(facts: AccessFacts, news: RequestNews) -> tuple[Notice, ...]:
    """The superuser who lent the seat or agreed hears what became of it."""
    asked = facts.request
    by = next((seat for seat in facts.seats if asked and seat.address == asked.agreed_by), None)
    if asked is None or by is None:
        return ()
    cause = f"{_cause(asked)}:{news}"
    return (seats.notice_to(by, MailName.REQUEST_NEWS, cause, request=asked.id, news=news.value),)


def _news_to_staff(facts: AccessFacts, asked: RequestFact, news: RequestNews) -> tuple[Notice, ...]:
    cause = f"{_cause(asked)}:{news}"
    people = seats.responsible(facts)
    return tuple(
        seats.notice_to(one, MailName.REQUEST_NEWS, cause, request=asked.id, news=news.value) for one in people
    )


def _cause(asked: RequestFact) -> str:
    """For the keys of notices; a request whose row is not there yet is told apart by who asks, and when."""
    return f"request:{asked.id or f'{asked.asked.address}:{asked.created.isoformat()}'}"


def _deciders(facts: AccessFacts) -> tuple[StaffFact, ...]:
    """Agents and the account manager, each once."""
    people = (*facts.agents, *((facts.manager,) if facts.manager else ()))
    return tuple({one.address: one for one in people}.values())


def _move(asked: RequestFact, to: AccessState, **changes: object) -> Ruling:
    move = MoveRequest(request=asked.id, was=asked.state, now=to, **changes)  # type: ignore[arg-type]
    return Ruling(answer=Answer.DONE, actions=(move,))
