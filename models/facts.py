"""Look up what the rules want to know about one mail.

Takes: Clues.  Gives: Facts.  Fails: as the database does. SELECTs only, no judgment. Every statement here is an index
probe or reads a list that does not grow with tickets and mails; counts stop at COUNT_CAP. A test holds them to that.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from models.access.facts import gather_access
from models.db.columns import storable
from models.db.keys import address_key, anchor_key
from models.inbound.ledger import LEDGER, evidence_of
from models.inbound.spent_proof import SPENT_PROOF
from models.outbox.outbox import OUTBOX, RECIPIENT_HEALTH, SUPPRESSION
from models.people.agent import AGENT
from models.people.customer import (
    CONTACT,
    CONTACT_ADDRESS,
    CONTACT_CUSTOMER,
    CUSTOMER,
    CUSTOMER_DOMAIN,
    PARTNER_CUSTOMER,
    SEAT,
    seat_held_at,
)
from models.tickets.ticket import PARTICIPANT, THREAD_ANCHOR, TICKET
from values.access import AccessFacts
from values.addresses import parent_domains
from values.decision import (
    AgentFact,
    Clues,
    ContactFact,
    CustomerFact,
    DomainFact,
    Facts,
    OutboxFact,
    ParticipantFact,
    Release,
    SentCounts,
    TicketFact,
)
from values.vocabulary import AgentNotices, MailName, ParticipantRole, Reason

COUNT_CAP = 1000  # a count of this much means "too many"
ANCHOR_CAP = 100  # Message-IDs of one mail that are looked up, the nearest first
_HUMAN = (MailName.AGENT_REPLY, MailName.AGENT_NOTICE)  # every other mail leaves by itself

_P = sa.bindparam


def gather(session: Session, clues: Clues, now: datetime, release: Release | None = None) -> Facts:
    """What the database knows about the clues; `release` is handed through and looked up with them."""
    find = _Finder(session.connection(), clues, now)
    before = find.before()
    agents = session.info.get(_AGENTS)  # all mails of a transaction see the same agents
    if agents is None:
        agents = session.info[_AGENTS] = find.agents()
    people = find.people(tuple(dict.fromkeys(filter(None, (clues.author, *clues.cc)))))
    contact = people.get(clues.author or "")
    domains, cc_domains = find.domains()
    outbox = find.outbox()
    anchors = find.anchors()
    tickets = find.tickets(_numbers(clues, outbox, anchors, release))
    own = _customers_of(contact, domains, release)
    return Facts(
        clues=clues,
        second_copy_of=before.id,
        second_copy_state=before.state,
        second_copy_reason=before.reason,
        second_copy_ticket=before.ticket,
        second_copy_auth=evidence_of(before.auth) if before.auth else None,
        message_id_recorded=bool(before.message_id_recorded),
        agent=next((agent for agent in agents if agent.address == clues.author), None),
        contact=contact,
        domains=domains,
        customers=find.customers(_named_customers(own, contact, cc_domains, people.values(), tickets)),
        look_alike_of=None if domains else find.look_alike(),
        author_suppressed=bool(before.author_suppressed),
        tickets=tickets,
        anchors=anchors,
        outbox=outbox,
        sent=find.counts(
            {ticket.number for ticket in tickets},
            same_words=before.same_words,
            is_unknown=not ((contact and _has_ties(contact)) or domains),
        ),
        release=release,
        notified_agents=tuple(agent for agent in agents if agent.notices is not AgentNotices.NONE),
        cc_contacts=tuple(people[address] for address in clues.cc if address in people),
        cc_domains=cc_domains,
        superusers=() if contact and own <= set(contact.seats) else find.superusers(own),
        access=_access(session, clues, outbox, now),
        proof_spent=bool(before.proof_spent),
    )


def _access(session: Session, clues: Clues, outbox: Sequence[OutboxFact], now: datetime) -> AccessFacts | None:
    """What is known about access: for an answer to a notice or a report about one, what it was about; for a mail to
    the access address, what it asks for."""
    answered = clues.access_outbox_id or clues.return_path_outbox_id
    row = next((row for row in outbox if row.id == answered), None)
    if row is not None:
        about = dict(row.about)
        holder = row.recipient if clues.access_outbox_id is None else clues.author
        request, seat, held = (about.get(name) for name in ("request", "seat", "held"))
        return gather_access(
            session,
            now,
            request=int(request) if request else None,
            seat=int(seat) if seat else None,
            held=str(held) if held else None,
            holder=holder,
        )
    if clues.access_asked is not None:
        return gather_access(session, now, asked=clues.access_asked, holder=clues.author)
    return None


def _numbers(
    clues: Clues, outbox: Sequence[OutboxFact], anchors: Sequence[tuple[str, int]], release: Release | None
) -> set[int]:
    found = {token.ticket for token in clues.reply_tokens} | {ticket for _, ticket in anchors}
    found |= {row.ticket for row in outbox if row.ticket}
    found |= {number for number in (clues.subject_ticket, release and release.ticket) if number}
    return found


def _customers_of(contact: ContactFact | None, domains: Iterable[DomainFact], release: Release | None) -> set[int]:
    """The customers whose colleague the author may be."""
    own = {domain.customer for domain in domains} | set(contact.customers if contact else ())
    return own | ({release.customer} if release and release.customer else set())


def _named_customers(
    own: set[int],
    contact: ContactFact | None,
    cc_domains: Iterable[DomainFact],
    people: Iterable[ContactFact],
    tickets: Iterable[TicketFact],
) -> set[int]:
    named = own | {domain.customer for domain in cc_domains} | {t.customer for t in tickets if t.customer}
    for person in people:
        named |= {*person.customers, *person.seats}
    return named | set(contact.partner_customers if contact else ())


class _Finder:
    """The lookups of one mail: what they share is the connection, the clues and the time."""

    def __init__(self, connection: sa.Connection, clues: Clues, now: datetime) -> None:
        self._connection = connection
        self._clues = clues
        self._now = now
        self._author = address_key(clues.author) if clues.author else None
        self._customers: dict[int, CustomerFact] = {}  # those that came with another look

    def _all(self, statement: sa.Select[Any] | sa.CompoundSelect[Any], **values: object) -> Sequence[sa.Row[Any]]:
        """The rows. Texts come from mails: what a database refuses is taken out, as it was when they were written."""
        clean = {name: _storable(value) for name, value in values.items()}
        return self._connection.execute(statement, clean).all()

    def before(self) -> sa.Row[Any]:
        """What came of this mail's first copy, and the single facts about its id, author and words."""
        clues = self._clues
        (row,) = self._all(
            _BEFORE,
            key=clues.content_key or None,
            spool_id=clues.spool_id,
            id=anchor_key(clues.message_id) if clues.message_id else None,
            author=self._author,
            words_key=clues.words_key or None,
            proof_key=clues.proof_key or None,
            since=self._now - timedelta(days=30),
        )
        return row

    def agents(self) -> list[AgentFact]:
        return [
            AgentFact(
                id=row.id,
                address=row.address,
                name=row.name,
                admin=row.admin,
                language=row.language,
                zone=row.zone,
                notices=row.notices,
            )
            for row in self._all(_AGENTS)
        ]

    def people(self, addresses: tuple[str, ...]) -> dict[str, ContactFact]:
        """The contacts with these addresses, by address."""
        return _contact_facts(self._all(_PEOPLE, addresses=addresses, now=self._now)) if addresses else {}

    def superusers(self, customers: set[int]) -> tuple[ContactFact, ...]:
        if not customers:
            return ()
        return tuple(_contact_facts(self._all(_SUPERUSERS, customers=sorted(customers), now=self._now)).values())

    def domains(self) -> tuple[tuple[DomainFact, ...], tuple[DomainFact, ...]]:
        """The registered domains of the author and those of the Cc, label-exact (threat T08), longest first."""
        cc = [parent_domains(address.rpartition("@")[2]) for address in self._clues.cc]
        wanted = {*self._clues.author_domains, *(name for names in cc for name in names)}
        rows = self._all(_DOMAINS, domains=tuple(sorted(wanted))) if wanted else ()
        known = {row.domain: DomainFact(domain=row.domain, customer=row.id, subdomains=row.subdomains) for row in rows}
        self._customers |= {row.id: _customer_fact(row) for row in rows}
        of_cc = dict.fromkeys(fact for names in cc for fact in _matching(names, known))
        return _matching(self._clues.author_domains, known), tuple(of_cc)

    def look_alike(self) -> str | None:
        skeletons = self._clues.author_skeletons or tuple(filter(None, (self._clues.author_skeleton,)))
        if not skeletons:
            return None
        rows = self._all(_LOOK_ALIKE, skeletons=skeletons, domains=self._clues.author_domains)
        return rows[0].domain if rows else None

    def anchors(self) -> tuple[tuple[str, int], ...]:
        ids = dict.fromkeys(filter(None, (*self._clues.anchor_ids[:ANCHOR_CAP], self._clues.message_id)))
        if not ids:
            return ()
        found = defaultdict(list)
        for row in self._all(_ANCHORS, ids=tuple({anchor_key(id) for id in ids})):
            found[row.message_id].append(row.ticket)
        return tuple((id, ticket) for id in ids for ticket in sorted(found[anchor_key(id)]))

    def outbox(self) -> tuple[OutboxFact, ...]:
        clues = self._clues
        named = (*clues.our_outbox_ids, clues.return_path_outbox_id, clues.access_outbox_id)
        ids = dict.fromkeys((*named, *clues.reported_outbox_ids))
        wanted = [id for id in ids if id is not None]
        if not wanted:
            return ()
        return tuple(
            OutboxFact(
                id=row.id,
                mail=row.mail,
                recipient=row.recipient,
                ticket=row.ticket,
                hard_bounces=row.hard_bounces or 0,
                about=tuple(row.context.items()),
            )
            for row in sorted(self._all(_OUTBOX, ids=wanted), key=lambda row: wanted.index(row.id))
        )

    def tickets(self, numbers: set[int]) -> tuple[TicketFact, ...]:
        """The tickets of these numbers, and those they were merged into."""
        rows: dict[int, sa.Row[Any]] = {}
        taking_part: dict[int, list[ParticipantFact]] = defaultdict(list)
        while missing := numbers - rows.keys():
            numbers = set()
            for row in self._all(_TICKETS, numbers=sorted(missing)):
                rows[row.id] = row
                numbers |= {row.merged_into} if row.merged_into else set()
                if row.who is not None:
                    fact = ParticipantFact(id=row.who, address=row.address, role=row.role, generation=row.generation)
                    taking_part[row.id].append(fact)
        return tuple(_ticket_fact(row, taking_part[number]) for number, row in sorted(rows.items()))

    def customers(self, ids: set[int]) -> tuple[CustomerFact, ...]:
        if missing := ids - self._customers.keys():
            self._customers |= {row.id: _customer_fact(row) for row in self._all(_CUSTOMERS, ids=sorted(missing))}
        return tuple(self._customers[id] for id in sorted(ids))

    def counts(self, tickets: set[int], *, same_words: int, is_unknown: bool) -> SentCounts:
        author, now = self._author, self._now
        if author is None:
            return SentCounts(same_words_last_month=same_words)
        day, hour = now - timedelta(days=1), now - timedelta(hours=1)
        clues = self._clues
        rows = self._all(
            _COUNTS, author=author, day=day, hour=hour, spool_id=clues.spool_id, claimed_from=clues.claimed_from
        )
        sent = [row for row in rows if row.way == "sent"]
        received = [row for row in rows if row.way == "received"]
        unknown = self._all(_UNKNOWN, day=day) if is_unknown else ()
        ending = "@" + author.rpartition("@")[2]
        return SentCounts(
            to_author_last_day=sum(row.n for row in sent),
            to_author_on_ticket_last_day=sum(row.n for row in sent if row.ticket in tickets),
            unknown_to_author_last_day=sum(row.recipient_key == author for row in unknown),
            unknown_to_domain_last_day=sum(row.recipient_key.endswith(ending) for row in unknown),
            unknown_total_last_hour=sum(row.created >= hour for row in unknown),
            from_author_last_hour=sum(row.n for row in received),
            from_author_on_ticket_last_hour=sum(row.n for row in received if row.ticket in tickets),
            same_words_last_month=same_words,
            to_author_last_month=self._sent_last_month(author) if same_words else 0,
        )

    def _sent_last_month(self, author: str) -> int:
        return sum(row.n for row in self._all(_SENT, author=author, day=self._now - timedelta(days=30)))


def _matching(names: Sequence[str], known: dict[str, DomainFact]) -> tuple[DomainFact, ...]:
    """Of a domain and its parents, longest first: those registered, a parent only where its row says so."""
    found = ((name, known[name]) for name in names if name in known)
    return tuple(fact for name, fact in found if name == names[0] or fact.subdomains)


def _customer_fact(row: sa.Row[Any]) -> CustomerFact:
    return CustomerFact(
        id=row.id,
        name=row.name,
        language=row.language,
        zone=row.zone,
        colleagues=row.colleagues,
        needs_belief=row.needs_belief,
        first_line_partner=row.first_line_partner,
    )


def _contact_facts(rows: Sequence[sa.Row[Any]]) -> dict[str, ContactFact]:
    """By address. A row is one combination of a contact's ties."""
    ties: dict[str, list[sa.Row[Any]]] = defaultdict(list)
    for row in rows:
        ties[row.address].append(row)
    return {
        address: ContactFact(
            id=found[0].id,
            address=address,
            name=found[0].name,
            language=found[0].language,
            zone=found[0].zone,
            customers=tuple(sorted({row.member_of for row in found if row.member_of is not None})),
            seats=tuple(sorted({row.seat_of for row in found if row.seat_of is not None})),
            partner=found[0].partner,
            partner_customers=tuple(sorted({row.serves for row in found if row.serves is not None})),
        )
        for address, found in ties.items()
    }


def _has_ties(contact: ContactFact) -> bool:
    """Not who was invited and has not accepted: nobody's contact yet."""
    return bool(contact.customers or contact.seats or contact.partner is not None)


def _ticket_fact(row: sa.Row[Any], participants: Sequence[ParticipantFact]) -> TicketFact:
    return TicketFact(
        number=row.id,
        status=row.status,
        customer=row.customer,
        closed_at=row.closed_at,
        participants=tuple(participants),
        requester=row.requester,
        language=row.language,
        paused=row.paused,
        resumed_at=row.resumed_at,
        assignee=row.assignee,
        merged_into=row.merged_into,
        subject=row.subject,
    )


def _storable(value: object) -> object:
    if isinstance(value, str):
        return storable(value)
    return [_storable(item) for item in value] if isinstance(value, tuple) else value


def _among(column: sa.Column[Any], name: str) -> sa.ColumnElement[bool]:
    return column.in_(_P(name, expanding=True))


def _capped(statement: sa.Select[Any]) -> sa.Subquery:
    return statement.limit(COUNT_CAP).subquery()


_held_now = seat_held_at(_P("now", type_=SEAT.c.until.type))
_since, _day, _hour = (_P(name, type_=LEDGER.c.received.type) for name in ("since", "day", "hour"))
_other = LEDGER.c.id != _P("spool_id")

_same_words = _capped(
    sa.select(LEDGER.c.id).where(LEDGER.c.words_key == _P("words_key"), LEDGER.c.received >= _since, _other)
)
_one = sa.select(sa.literal(1).label("one")).subquery()
_copy = LEDGER.alias("copy")
_BEFORE = sa.select(
    _copy.c.id,
    _copy.c.state,
    _copy.c.reason,
    _copy.c.ticket,
    _copy.c.auth,
    # "> 0" and not "IS NOT NULL": a range that the index answers, however many held mails repeat the id
    sa.exists().where(LEDGER.c.message_id == _P("id"), LEDGER.c.article > 0, _other).label("message_id_recorded"),
    sa.exists().where(SUPPRESSION.c.address == _P("author")).label("author_suppressed"),
    sa.exists()
    .where(SPENT_PROOF.c.key == _P("proof_key"), SPENT_PROOF.c.ledger != _P("spool_id"))
    .label("proof_spent"),
    sa.select(sa.func.count()).select_from(_same_words).scalar_subquery().label("same_words"),
).select_from(_one.outerjoin(_copy, (_copy.c.first_key == _P("key")) & (_copy.c.id != _P("spool_id"))))
_AGENTS = sa.select(AGENT).where(AGENT.c.active).order_by(AGENT.c.id)
_PERSON = (
    CONTACT.c.id,
    CONTACT.c.name,
    CONTACT.c.language,
    CONTACT.c.zone,
    CONTACT.c.partner,
    CONTACT_ADDRESS.c.address,
)
_people = (  # few ties of each kind, so their combinations are few, and one look finds them all
    sa.select(
        *_PERSON,
        CONTACT_CUSTOMER.c.customer.label("member_of"),
        SEAT.c.customer.label("seat_of"),
        PARTNER_CUSTOMER.c.customer.label("serves"),
    )
    .join(CONTACT_ADDRESS, CONTACT_ADDRESS.c.contact == CONTACT.c.id)
    .outerjoin(CONTACT_CUSTOMER, CONTACT_CUSTOMER.c.contact == CONTACT.c.id)
    .outerjoin(SEAT, (SEAT.c.contact == CONTACT.c.id) & _held_now)
    .outerjoin(PARTNER_CUSTOMER, PARTNER_CUSTOMER.c.partner == CONTACT.c.partner)
    .order_by(CONTACT.c.id)
)
_PEOPLE = _people.where(_among(CONTACT_ADDRESS.c.address, "addresses"))
_SUPERUSERS = _people.where(
    CONTACT.c.id.in_(sa.select(SEAT.c.contact).where(_among(SEAT.c.customer, "customers"), _held_now)),
    CONTACT_ADDRESS.c.main,
)
_DOMAINS = (  # with their customers, who are wanted next
    sa.select(CUSTOMER_DOMAIN.c.domain, CUSTOMER_DOMAIN.c.subdomains, CUSTOMER)
    .join(CUSTOMER, CUSTOMER.c.id == CUSTOMER_DOMAIN.c.customer)
    .where(_among(CUSTOMER_DOMAIN.c.domain, "domains"))
)
_LOOK_ALIKE = (
    sa.select(CUSTOMER_DOMAIN.c.domain)
    .where(
        _among(CUSTOMER_DOMAIN.c.skeleton, "skeletons"),
        CUSTOMER_DOMAIN.c.domain.not_in(_P("domains", expanding=True)),
    )
    .order_by(CUSTOMER_DOMAIN.c.domain)
    .limit(1)
)
_ANCHORS = sa.select(THREAD_ANCHOR.c.message_id, THREAD_ANCHOR.c.ticket).where(
    _among(THREAD_ANCHOR.c.message_id, "ids")
)
_OUTBOX = (
    sa.select(
        OUTBOX.c.id,
        OUTBOX.c.mail,
        OUTBOX.c.recipient,
        OUTBOX.c.ticket,
        OUTBOX.c.context,
        RECIPIENT_HEALTH.c.hard_bounces,
    )
    .outerjoin(RECIPIENT_HEALTH, RECIPIENT_HEALTH.c.address == OUTBOX.c.recipient_key)
    .where(_among(OUTBOX.c.id, "ids"))
)
_TICKETS = (
    sa.select(
        TICKET.c.id,
        TICKET.c.status,
        TICKET.c.customer,
        TICKET.c.closed_at,
        TICKET.c.requester,
        TICKET.c.language,
        TICKET.c.paused,
        TICKET.c.resumed_at,
        TICKET.c.assignee,
        TICKET.c.merged_into,
        TICKET.c.subject,
        PARTICIPANT.c.id.label("who"),
        PARTICIPANT.c.address,
        PARTICIPANT.c.role,
        PARTICIPANT.c.generation,
    )
    .outerjoin(PARTICIPANT, (PARTICIPANT.c.ticket == TICKET.c.id) & (PARTICIPANT.c.role != ParticipantRole.LEFT))
    .where(_among(TICKET.c.id, "numbers"))
    .order_by(PARTICIPANT.c.id)
)
_CUSTOMERS = sa.select(CUSTOMER).where(_among(CUSTOMER.c.id, "ids"))

_sent = _capped(  # what answers a proved command is no sign of a loop on the ticket; it counts for the author
    sa.select(sa.case((OUTBOX.c.mail != MailName.TICKET_COMMAND, OUTBOX.c.ticket)).label("ticket")).where(
        OUTBOX.c.recipient_key == _P("author"),
        OUTBOX.c.created >= _day,
        OUTBOX.c.mail.not_in(_HUMAN),
    )
)
_SENT = sa.select(sa.literal("sent").label("way"), _sent.c.ticket, sa.func.count().label("n")).group_by(_sent.c.ticket)
_received = _capped(  # the newest, however many are sent in the author's name
    sa.select(LEDGER.c.ticket, LEDGER.c.reason, LEDGER.c.claimed_from)
    .where(LEDGER.c.author == _P("author"), LEDGER.c.received >= _hour, _other)
    .order_by(LEDGER.c.received.desc())
)
# What is only claimed counts against its client, and a copy counts against nobody: a forger has as many as they like.
_COUNTS = sa.union_all(
    _SENT,
    sa.select(sa.literal("received"), _received.c.ticket, sa.func.count())
    .where(_received.c.claimed_from == _P("claimed_from"), _received.c.reason != Reason.SECOND_COPY)
    .group_by(_received.c.ticket),
)
_UNKNOWN = (  # the word stands in the statement, as in the partial index that answers it; the budgets keep it short
    sa.select(OUTBOX.c.recipient_key, OUTBOX.c.created)
    .where(sa.text(f"mail = '{MailName.UNKNOWN_AUTHOR}'"), OUTBOX.c.created >= _day)
    .order_by(OUTBOX.c.created.desc())
    .limit(10 * COUNT_CAP)
)
