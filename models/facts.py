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

from models.columns import storable
from models.customer import (
    CONTACT,
    CONTACT_ADDRESS,
    CONTACT_CUSTOMER,
    CUSTOMER,
    CUSTOMER_DOMAIN,
    PARTNER_CUSTOMER,
    SEAT,
)
from models.decision import (
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
from models.inbound import LEDGER
from models.names import parent_domains
from models.outbox import OUTBOX, RECIPIENT_HEALTH, SUPPRESSION
from models.staff import AGENT
from models.ticket import PARTICIPANT, THREAD_ANCHOR, TICKET, address_key, anchor_key
from models.vocabulary import Belief, MailName, ParticipantRole, SeatState

COUNT_CAP = 1000  # a count of this much means "too many"
ANCHOR_CAP = 100  # Message-IDs of one mail that are looked up, the nearest first
_HUMAN = (MailName.AGENT_REPLY, MailName.AGENT_NOTICE)  # every other mail leaves by itself

_P = sa.bindparam


def gather(session: Session, clues: Clues, now: datetime, release: Release | None = None) -> Facts:
    """What the database knows about the clues; `release` is handed through and looked up with them."""
    find = _Finder(session.connection(), clues, now)
    first = find.first_copy()
    agents = find.agents()
    people = find.people(tuple(dict.fromkeys(filter(None, (clues.author, *clues.cc)))))
    contact = people.get(clues.author or "")
    domains, cc_domains = find.domains()
    outbox = find.outbox()
    anchors = find.anchors()
    tickets = find.tickets(_numbers(clues, outbox, anchors, release))
    own = _customers_of(contact, domains, release)
    return Facts(
        clues=clues,
        second_copy_of=first.id if first else None,
        second_copy_state=first.state if first else None,
        second_copy_belief=Belief(first.auth["belief"]) if first and first.auth else None,
        message_id_recorded=find.is_message_id_recorded(),
        agent=next((agent for agent, _ in agents if agent.address == clues.author), None),
        contact=contact,
        domains=domains,
        customers=find.customers(_named_customers(own, contact, cc_domains, people.values(), tickets)),
        look_alike_of=None if domains else find.look_alike(),
        author_suppressed=find.is_suppressed(),
        tickets=tickets,
        anchors=anchors,
        outbox=outbox,
        sent=find.counts({ticket.number for ticket in tickets}, is_unknown=not (contact or domains)),
        release=release,
        notified_agents=tuple(agent for agent, notify in agents if notify),
        cc_contacts=tuple(people[address] for address in clues.cc if address in people),
        cc_domains=cc_domains,
        superusers=() if contact and own <= set(contact.seats) else find.superusers(own),
    )


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

    def _all(self, statement: sa.Select[Any] | sa.CompoundSelect[Any], **values: object) -> Sequence[sa.Row[Any]]:
        """The rows. Texts come from mails: what a database refuses is taken out, as it was when they were written."""
        clean = {name: _storable(value) for name, value in values.items()}
        return self._connection.execute(statement, clean).all()

    def first_copy(self) -> sa.Row[Any] | None:
        if not self._clues.content_key:
            return None
        return next(iter(self._all(_FIRST_COPY, key=self._clues.content_key, spool_id=self._clues.spool_id)), None)

    def is_message_id_recorded(self) -> bool:
        id = self._clues.message_id
        return bool(id and self._all(_MESSAGE_ID, id=anchor_key(id), spool_id=self._clues.spool_id))

    def is_suppressed(self) -> bool:
        return bool(self._author and self._all(_SUPPRESSED, author=self._author))

    def agents(self) -> list[tuple[AgentFact, bool]]:
        return [
            (
                AgentFact(id=row.id, address=row.address, name=row.name, admin=row.admin, language=row.language),
                row.notify,
            )
            for row in self._all(_AGENTS)
        ]

    def people(self, addresses: tuple[str, ...]) -> dict[str, ContactFact]:
        """The contacts with these addresses, by address."""
        return self._with_ties(self._all(_CONTACTS, addresses=addresses)) if addresses else {}

    def superusers(self, customers: set[int]) -> tuple[ContactFact, ...]:
        if not customers:
            return ()
        rows = self._all(_SUPERUSERS, customers=sorted(customers), now=self._now)
        return tuple(self._with_ties(rows).values())

    def _with_ties(self, rows: Sequence[sa.Row[Any]]) -> dict[str, ContactFact]:
        if not rows:
            return {}
        ties: dict[tuple[int, str], set[int]] = defaultdict(set)
        for tie in self._all(_TIES, contacts=sorted({row.id for row in rows}), now=self._now):
            ties[tie.contact, tie.kind].add(tie.customer)
        return {
            row.address: ContactFact(
                id=row.id,
                address=row.address,
                name=row.name,
                language=row.language,
                zone=row.zone,
                customers=tuple(sorted(ties[row.id, "member"])),
                seats=tuple(sorted(ties[row.id, "seat"])),
                partner=row.partner,
                partner_customers=tuple(sorted(ties[row.id, "partner"])),
            )
            for row in rows
        }

    def domains(self) -> tuple[tuple[DomainFact, ...], tuple[DomainFact, ...]]:
        """The registered domains of the author and those of the Cc, label-exact (threat T08), longest first."""
        cc = [parent_domains(address.rpartition("@")[2]) for address in self._clues.cc]
        wanted = {*self._clues.author_domains, *(name for names in cc for name in names)}
        rows = self._all(_DOMAINS, domains=tuple(sorted(wanted))) if wanted else ()
        known = {
            row.domain: DomainFact(domain=row.domain, customer=row.customer, subdomains=row.subdomains) for row in rows
        }
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
        ids = dict.fromkeys((*clues.our_outbox_ids, clues.return_path_outbox_id, *clues.reported_outbox_ids))
        wanted = [id for id in ids if id is not None]
        if not wanted:
            return ()
        return tuple(
            OutboxFact(
                id=row.id, mail=row.mail, recipient=row.recipient, ticket=row.ticket, hard_bounces=row.hard_bounces or 0
            )
            for row in sorted(self._all(_OUTBOX, ids=wanted), key=lambda row: wanted.index(row.id))
        )

    def tickets(self, numbers: set[int]) -> tuple[TicketFact, ...]:
        """The tickets of these numbers, and those they were merged into."""
        rows: dict[int, sa.Row[Any]] = {}
        while missing := numbers - rows.keys():
            found = {row.id: row for row in self._all(_TICKETS, numbers=sorted(missing))}
            rows |= found
            numbers = {row.merged_into for row in found.values() if row.merged_into}
        if not rows:
            return ()
        taking_part: dict[int, list[ParticipantFact]] = defaultdict(list)
        for row in self._all(_PARTICIPANTS, numbers=sorted(rows)):
            fact = ParticipantFact(id=row.id, address=row.address, role=row.role, generation=row.generation)
            taking_part[row.ticket].append(fact)
        return tuple(_ticket_fact(row, taking_part[number]) for number, row in sorted(rows.items()))

    def customers(self, ids: set[int]) -> tuple[CustomerFact, ...]:
        if not ids:
            return ()
        return tuple(
            CustomerFact(
                id=row.id,
                name=row.name,
                language=row.language,
                zone=row.zone,
                colleagues=row.colleagues,
                needs_belief=row.needs_belief,
                first_line_partner=row.first_line_partner,
            )
            for row in self._all(_CUSTOMERS, ids=sorted(ids))
        )

    def counts(self, tickets: set[int], *, is_unknown: bool) -> SentCounts:
        author, same_words = self._author, self._same_words()
        if author is None:
            return SentCounts(same_words_last_month=same_words)
        day, hour = self._now - timedelta(days=1), self._now - timedelta(hours=1)
        sent = self._all(_SENT, author=author, since=day)
        received = self._all(_RECEIVED, author=author, since=hour, spool_id=self._clues.spool_id)
        unknown = self._all(_UNKNOWN, since=day) if is_unknown else ()
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
        return sum(row.n for row in self._all(_SENT, author=author, since=self._now - timedelta(days=30)))

    def _same_words(self) -> int:
        if not self._clues.words_key:
            return 0
        month = self._now - timedelta(days=30)
        (row,) = self._all(_SAME_WORDS, key=self._clues.words_key, since=month, spool_id=self._clues.spool_id)
        return int(row.n)


def _matching(names: Sequence[str], known: dict[str, DomainFact]) -> tuple[DomainFact, ...]:
    """Of a domain and its parents, longest first: those registered, a parent only where its row says so."""
    found = ((name, known[name]) for name in names if name in known)
    return tuple(fact for name, fact in found if name == names[0] or fact.subdomains)


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


_held_now = (SEAT.c.state == SeatState.ACTIVE) & (
    SEAT.c.until.is_(None) | (SEAT.c.until > _P("now", type_=SEAT.c.until.type))
)
_since = _P("since", type_=LEDGER.c.received.type)
_other = LEDGER.c.id != _P("spool_id")

_FIRST_COPY = sa.select(LEDGER.c.id, LEDGER.c.state, LEDGER.c.auth).where(LEDGER.c.first_key == _P("key"), _other)
_MESSAGE_ID = (  # "> 0" and not "IS NOT NULL": a range that the index answers, however many held mails repeat the id
    sa.select(LEDGER.c.id).where(LEDGER.c.message_id == _P("id"), LEDGER.c.article > 0, _other).limit(1)
)
_SUPPRESSED = sa.select(SUPPRESSION.c.address).where(SUPPRESSION.c.address == _P("author"))
_AGENTS = sa.select(AGENT).where(AGENT.c.active).order_by(AGENT.c.id)
_PERSON = (
    CONTACT.c.id,
    CONTACT.c.name,
    CONTACT.c.language,
    CONTACT.c.zone,
    CONTACT.c.partner,
    CONTACT_ADDRESS.c.address,
)
_CONTACTS = (
    sa.select(*_PERSON)
    .join(CONTACT_ADDRESS, CONTACT_ADDRESS.c.contact == CONTACT.c.id)
    .where(_among(CONTACT_ADDRESS.c.address, "addresses"))
)
_SUPERUSERS = (
    sa.select(*_PERSON)
    .join(CONTACT_ADDRESS, CONTACT_ADDRESS.c.contact == CONTACT.c.id)
    .join(SEAT, SEAT.c.contact == CONTACT.c.id)
    .where(_among(SEAT.c.customer, "customers"), CONTACT_ADDRESS.c.main, _held_now)
    .order_by(CONTACT.c.id)
)
_TIES = sa.union_all(
    sa.select(CONTACT_CUSTOMER.c.contact, CONTACT_CUSTOMER.c.customer, sa.literal("member").label("kind")).where(
        _among(CONTACT_CUSTOMER.c.contact, "contacts")
    ),
    sa.select(SEAT.c.contact, SEAT.c.customer, sa.literal("seat")).where(_among(SEAT.c.contact, "contacts"), _held_now),
    sa.select(CONTACT.c.id, PARTNER_CUSTOMER.c.customer, sa.literal("partner"))
    .join(PARTNER_CUSTOMER, PARTNER_CUSTOMER.c.partner == CONTACT.c.partner)
    .where(_among(CONTACT.c.id, "contacts")),
)
_DOMAINS = sa.select(CUSTOMER_DOMAIN).where(_among(CUSTOMER_DOMAIN.c.domain, "domains"))
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
    sa.select(OUTBOX.c.id, OUTBOX.c.mail, OUTBOX.c.recipient, OUTBOX.c.ticket, RECIPIENT_HEALTH.c.hard_bounces)
    .outerjoin(RECIPIENT_HEALTH, RECIPIENT_HEALTH.c.address == OUTBOX.c.recipient_key)
    .where(_among(OUTBOX.c.id, "ids"))
)
_TICKETS = sa.select(TICKET).where(_among(TICKET.c.id, "numbers"))
_PARTICIPANTS = (
    sa.select(PARTICIPANT)
    .where(_among(PARTICIPANT.c.ticket, "numbers"), PARTICIPANT.c.role != ParticipantRole.LEFT)
    .order_by(PARTICIPANT.c.id)
)
_CUSTOMERS = sa.select(CUSTOMER).where(_among(CUSTOMER.c.id, "ids")).order_by(CUSTOMER.c.id)

_sent = _capped(
    sa.select(OUTBOX.c.ticket).where(
        OUTBOX.c.recipient_key == _P("author"),
        OUTBOX.c.created >= _since,
        OUTBOX.c.mail.not_in(_HUMAN),
    )
)
_SENT = sa.select(_sent.c.ticket, sa.func.count().label("n")).group_by(_sent.c.ticket)
_received = _capped(
    sa.select(LEDGER.c.ticket).where(LEDGER.c.author == _P("author"), LEDGER.c.received >= _since, _other)
)
_RECEIVED = sa.select(_received.c.ticket, sa.func.count().label("n")).group_by(_received.c.ticket)
_UNKNOWN = (  # the word stands in the statement, as in the partial index that answers it; the budgets keep it short
    sa.select(OUTBOX.c.recipient_key, OUTBOX.c.created)
    .where(sa.text(f"mail = '{MailName.UNKNOWN_AUTHOR}'"), OUTBOX.c.created >= _since)
    .order_by(OUTBOX.c.created.desc())
    .limit(10 * COUNT_CAP)
)
_same = _capped(sa.select(LEDGER.c.id).where(LEDGER.c.words_key == _P("key"), LEDGER.c.received >= _since, _other))
_SAME_WORDS = sa.select(sa.func.count().label("n")).select_from(_same)
