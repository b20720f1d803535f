"""Thirty days of machines that answer each other (threat T26): at most three automatic mails for each pair.

The desk is the real rules; what models/facts.py would find is counted from lists. The correspondents are written down
as they behave in the wild: a second desk like ours, a vacation responder, a bouncing server, and bots that know no RFC.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count

import pytest

from rules.clues import look_for
from rules.decide import decide
from rules.policy import OwnMailbox, Policy
from rules.tokens import Keys, mint_message_id, mint_reply_address, mint_return_path
from values.decision import (
    AddArticle,
    ContactFact,
    CustomerFact,
    Decision,
    DomainFact,
    Facts,
    Hold,
    NoteAutoReply,
    Notice,
    OpenTicket,
    OutboxFact,
    ParticipantFact,
    PauseThread,
    SentCounts,
    TicketFact,
)
from values.mail import AuthEvidence, DeliveryReport, Envelope, Mailbox, ParsedMail, ReportedRecipient
from values.vocabulary import (
    AuthorVerdict,
    Belief,
    ColleaguePolicy,
    MailboxPurpose,
    MailKind,
    MailName,
    ParticipantRole,
    Reason,
    Source,
    TicketStatus,
)

START = datetime.fromisoformat("2026-11-01T08:00:00+00:00")
END = START + timedelta(days=30)
MINUTE = timedelta(minutes=1)
NUMBERS = count(1)
MAILS_LIMIT = 5_000  # a storm has happened long before


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail on the wire."""

    sender: str  # From
    recipient: str
    reverse_path: str
    subject: str
    text: str
    message_id: str
    reply_to: str = ""
    in_reply_to: str | None = None
    kind: MailKind = MailKind.PERSON  # what its header says it is
    automatic: bool = True


Receive = Callable[[Letter, datetime], Iterator[Letter]]


def letter(sender: str, recipient: str, subject: str, text: str, **more: object) -> Letter:
    known = {"reverse_path": sender, "message_id": f"n{next(NUMBERS)}@{sender.rpartition('@')[2]}"}
    return Letter(sender=sender, recipient=recipient, subject=subject, text=text, **(known | more))  # type: ignore[arg-type]


@dataclass(kw_only=True)
class Desk:
    """The rules with lists for a database. `strips`: its relay removes all that says that a mail is automatic."""

    domain: str
    partners: tuple[str, ...]  # addresses that hold a seat here: the worst case
    strips: bool = False
    tickets: dict[int, TicketFact] = field(default_factory=dict)
    outbox: dict[int, tuple[OutboxFact, datetime]] = field(default_factory=dict)
    keys_seen: set[str] = field(default_factory=set)
    ledger: list[tuple[str, datetime, int | None, str]] = field(default_factory=list)  # author, when, ticket, words
    anchors: list[tuple[str, int]] = field(default_factory=list)
    automatic: Counter[str] = field(default_factory=Counter)
    decisions: list[Decision] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.support = f"support@{self.domain}"
        self.keys = Keys(current="a", secrets={"a": self.domain.encode().ljust(32, b".")})
        self.policy = Policy(
            mailboxes=(OwnMailbox(address=self.support, purpose=MailboxPurpose.SUPPORT),),
            return_path=f"bounce@{self.domain}",
            desk_domain=f"desk.{self.domain}",
        )

    def receive(self, wire: Letter, now: datetime) -> Iterator[Letter]:
        parsed = self.parse(wire, now)
        decision = decide(parsed, self.facts(parsed, now), self.policy, now)
        self.decisions.append(decision)
        number = self.apply(decision)
        self.ledger.append((wire.sender, now, number, decision.words_key))
        for notice in decision.notices:
            if notice.key not in self.keys_seen:
                self.keys_seen.add(notice.key)
                yield self.send(notice, number, parsed, now)

    def parse(self, wire: Letter, now: datetime) -> ParsedMail:
        """As ingest/mime/parse.py would; every author is believed, the worst case."""
        report = None
        if wire.kind is MailKind.BOUNCE:
            failed = ReportedRecipient(address=wire.text, status="5.1.1", permanent=True)
            report = DeliveryReport(recipients=(failed,))
        return ParsedMail(
            spool_id=f"S{next(NUMBERS)}",
            sha256="",
            size=len(wire.text),
            envelope=Envelope(
                reverse_path=wire.reverse_path, forward_paths=(wire.recipient,), source=Source.SMTP, received_at=now
            ),
            author=Mailbox(address=wire.sender),
            author_verdict=AuthorVerdict.ONE,
            to=(Mailbox(address=wire.recipient),),
            subject=wire.subject,
            message_id=wire.message_id,
            in_reply_to=(wire.in_reply_to,) if wire.in_reply_to else (),
            text=wire.text,
            full_text=wire.text,
            kind=wire.kind,
            report=report,
            auth=AuthEvidence(belief=Belief.BELIEVED),
        )

    def facts(self, parsed: ParsedMail, now: datetime) -> Facts:
        clues = look_for(parsed, self.policy, self.keys)
        found = {token.ticket for token in clues.reply_tokens} | {clues.subject_ticket}
        rows = [self.outbox[id][0] for id in clues.our_outbox_ids if id in self.outbox]
        rows += [self.outbox[id][0] for id in (clues.return_path_outbox_id,) if id in self.outbox]
        anchors = [(id, number) for id, number in self.anchors if id in (*clues.anchor_ids, clues.message_id)]
        found |= {row.ticket for row in rows} | {number for _, number in anchors}
        numbers = {number for number in found if number}
        domains = {address.rpartition("@")[2]: n for n, address in enumerate(self.partners, 1)}
        contacts = [
            ContactFact(id=n, address=a, name="", language=None, zone=None, customers=(n,), seats=(n,))
            for n, a in enumerate(self.partners, 1)
        ]
        return Facts(
            clues=clues,
            contact=next((one for one in contacts if one.address == clues.author), None),
            domains=tuple(
                DomainFact(domain=domain, customer=n, subdomains=False)
                for domain, n in domains.items()
                if domain in clues.author_domains
            ),
            customers=tuple(
                CustomerFact(id=n, name=f"C{n}", language="en", zone="UTC", colleagues=ColleaguePolicy.HOLD)
                for n in domains.values()
            ),
            tickets=tuple(self.tickets[number] for number in sorted(numbers) if number in self.tickets),
            anchors=tuple(anchors),
            outbox=tuple(rows),
            sent=self.counts(clues.author or "", clues.words_key, numbers, now),
        )

    def counts(self, author: str, words: str, numbers: set[int], now: datetime) -> SentCounts:
        hour, day, month = (now - timedelta(**{unit: n}) for unit, n in (("hours", 1), ("days", 1), ("days", 30)))
        sent = [(row, at) for row, at in self.outbox.values() if row.recipient == author]
        unknown = [(r, at) for r, at in self.outbox.values() if r.mail is MailName.UNKNOWN_AUTHOR and at >= day]
        received = [row for row in self.ledger if row[0] == author and row[1] >= hour]
        domain = "@" + author.rpartition("@")[2]
        return SentCounts(
            to_author_last_day=sum(at >= day for _, at in sent),
            to_author_on_ticket_last_day=sum(at >= day and row.ticket in numbers for row, at in sent),
            unknown_to_author_last_day=sum(row.recipient == author for row, _ in unknown),
            unknown_to_domain_last_day=sum(row.recipient.endswith(domain) for row, _ in unknown),
            unknown_total_last_hour=sum(at >= hour for _, at in unknown),
            from_author_last_hour=len(received),
            from_author_on_ticket_last_hour=sum(row[2] in numbers for row in received),
            same_words_last_month=sum(row[3] == words and row[1] >= month for row in self.ledger),
            to_author_last_month=sum(at >= month for _, at in sent),
        )

    def apply(self, decision: Decision) -> int | None:
        number = decision.ticket
        for action in decision.actions:
            if isinstance(action, OpenTicket):
                number = 1000 + len(self.tickets)
                requester = ParticipantFact(
                    id=number, address=action.requester.address, role=ParticipantRole.REQUESTER, generation=0
                )
                self.tickets[number] = TicketFact(
                    number=number,
                    status=TicketStatus.NEW,
                    customer=action.customer,
                    closed_at=None,
                    participants=(requester,),
                    requester=action.requester.address,
                    language=action.language,
                )
            if isinstance(action, OpenTicket | AddArticle) and number:
                self.anchors += [(id, number) for id in action.anchors]
            if isinstance(action, PauseThread):
                self.tickets[action.ticket] = replace(self.tickets[action.ticket], paused=True)
        return number

    def send(self, notice: Notice, number: int | None, parsed: ParsedMail, now: datetime) -> Letter:
        id = len(self.outbox) + 1
        ticket = number if notice.about_new_ticket else notice.ticket
        self.outbox[id] = (OutboxFact(id=id, mail=notice.mail, recipient=notice.recipient, ticket=ticket), now)
        self.automatic[notice.recipient] += 1
        reply_to = mint_reply_address(self.keys, self.support, ticket, ticket, 0) if ticket and notice.role else ""
        answer = letter(
            self.support,
            notice.recipient,
            f"Re: {parsed.subject}",
            f"We have your report. Its number is {ticket}.",
            reverse_path=mint_return_path(self.keys, f"bounce@{self.domain}", id),
            message_id=mint_message_id(self.keys, f"desk.{self.domain}", id, ticket),
            reply_to=reply_to,
            in_reply_to=notice.in_reply_to,
            kind=MailKind.AUTO_REPLY,
        )
        if self.strips:
            return replace(answer, kind=MailKind.PERSON, in_reply_to=None, reply_to="", text=f"We have it. {ticket}")
        return answer


def vacation(address: str) -> Receive:
    """Answers each mail, to the return path, and says that it is automatic."""

    def receive(wire: Letter, now: datetime) -> Iterator[Letter]:
        if wire.reverse_path:
            more = {"reverse_path": "", "in_reply_to": wire.message_id, "kind": MailKind.AUTO_REPLY}
            yield letter(address, wire.reverse_path, f"Out of office: {wire.subject}", "I am away.", **more)

    return receive


def bouncing(address: str) -> Receive:
    """A server that takes mail for `address` and then reports that there is no such mailbox."""

    def receive(wire: Letter, now: datetime) -> Iterator[Letter]:
        if wire.reverse_path:
            sender = f"mailer-daemon@{address.rpartition('@')[2]}"
            yield letter(sender, wire.reverse_path, "Undeliverable", address, reverse_path="", kind=MailKind.BOUNCE)

    return receive


def bouncing_badly(address: str) -> Receive:
    """A server that writes a plain letter to From, as the dead mailbox itself."""

    def receive(wire: Letter, now: datetime) -> Iterator[Letter]:
        yield letter(address, wire.sender, f"Undeliverable: {wire.subject}", "This mailbox does not exist.")

    return receive


def bot(address: str, *, threads: bool, quotes: bool = False) -> Receive:
    """A helpdesk that knows no RFC: answers every mail like a person, with a new number each time."""

    def receive(wire: Letter, now: datetime) -> Iterator[Letter]:
        to = (wire.reply_to or wire.sender) if threads else wire.sender
        number = next(NUMBERS)
        text = f"Thank you! Your ticket is #{number}." + (f"\n> {wire.text}\n> {wire.reply_to}" if quotes else "")
        more = {"in_reply_to": wire.message_id} if threads else {}
        yield letter(
            address, to, f"[#{number}] Received: {wire.subject}" if quotes else f"[#{number}] Received", text, **more
        )

    return receive


def run(desks: list[Desk], others: dict[str, Receive], seeds: list[tuple[datetime, Letter]]) -> int:
    """Let the mails go to and fro for thirty days; the number of mails that were on the wire."""
    order = count()
    queue = [(at, next(order), wire) for at, wire in seeds]
    heapq.heapify(queue)
    travelled = 0
    while queue and queue[0][0] < END:
        now, _, wire = heapq.heappop(queue)
        travelled += 1
        assert travelled < MAILS_LIMIT, "a storm"
        desk = next((desk for desk in desks if wire.recipient.endswith("@" + desk.domain)), None)
        receive = desk.receive if desk else others.get(wire.recipient)
        for answer in receive(wire, now) if receive else ():
            heapq.heappush(queue, (now + MINUTE, next(order), answer))
    return travelled


BOT = "desk@bot.test"
CORRESPONDENTS: dict[str, Callable[[str], Receive]] = {
    "vacation responder": vacation,
    "bouncing server": bouncing,
    "badly bouncing server": bouncing_badly,
    "bot that threads": lambda address: bot(address, threads=True),
    "bot that does not thread": lambda address: bot(address, threads=False),
    "bot that quotes": lambda address: bot(address, threads=True, quotes=True),
}


@pytest.mark.parametrize("seat", [True, False], ids=["superuser", "stranger"])
@pytest.mark.parametrize("name", CORRESPONDENTS)
def test_T26_machines_get_three_automatic_mails_at_most(name: str, seat: bool) -> None:
    desk = Desk(domain="nordvik.test", partners=(BOT,) if seat else ("su@acme.test",))
    seed = letter(BOT, desk.support, "Hello", "The export stops.")
    assert run([desk], {BOT: CORRESPONDENTS[name](BOT)}, [(START, seed)]) >= 2
    assert max(desk.automatic.values(), default=0) <= 3
    assert desk.automatic[BOT] >= 1, "the first mail was answered"


@pytest.mark.parametrize("name", CORRESPONDENTS)
def test_T26_a_machine_that_also_writes_every_day(name: str) -> None:
    desk = Desk(domain="nordvik.test", partners=(BOT,))
    daily = [
        (START + timedelta(days=n), letter(BOT, desk.support, f"Backup {n} failed", f"Run {n} failed."))
        for n in range(30)
    ]
    run([desk], {BOT: CORRESPONDENTS[name](BOT)}, daily)
    assert len(desk.tickets) >= 30, "every mail is kept"
    assert max(desk.automatic.values()) <= 3


@pytest.mark.parametrize("strips", [False, True], ids=["honest", "all marks stripped on the way"])
def test_T26_two_desks_like_ours(strips: bool) -> None:
    north = Desk(domain="nordvik.test", partners=("support@south.test",), strips=strips)
    south = Desk(domain="south.test", partners=("support@nordvik.test",), strips=strips)
    seed = letter("support@south.test", north.support, "Hello", "The export stops.")
    run([north, south], {}, [(START, seed)])
    assert north.automatic["support@south.test"] in (1, 2, 3)
    assert south.automatic["support@nordvik.test"] <= 3


def test_T26_all_of_them_at_once() -> None:
    names = dict(zip((f"x{n}@bot{n}.test" for n in range(len(CORRESPONDENTS))), CORRESPONDENTS, strict=True))
    north = Desk(domain="nordvik.test", partners=("support@south.test", *names))
    south = Desk(domain="south.test", partners=("support@nordvik.test", *names), strips=True)
    others = {address: CORRESPONDENTS[name](address) for address, name in names.items()}
    seeds = [
        (START + MINUTE * n, letter(address, desk.support, "Hello", "The export stops."))
        for desk in (north, south)
        for n, address in enumerate(("support@south.test", "support@nordvik.test", *names))
        if address != desk.support
    ]
    run([north, south], others, seeds)
    for desk in (north, south):
        assert max(desk.automatic.values()) <= 3, desk.automatic


def test_a_storm_on_one_ticket_pauses_it() -> None:
    """Articles get no answer, but the agents' mailboxes shall not fill either."""
    desk = Desk(domain="nordvik.test", partners=(BOT,))
    (receipt,) = desk.receive(letter(BOT, desk.support, "Hello", "x"), START)
    for n in range(40):
        list(desk.receive(letter(BOT, receipt.reply_to, "Re: Hello", f"again {'x' * n}"), START + MINUTE))
    (ticket,) = desk.tickets.values()
    assert ticket.paused
    assert sum(any(isinstance(a, PauseThread) for a in decision.actions) for decision in desk.decisions) == 1
    assert sum(any(isinstance(a, AddArticle | NoteAutoReply | Hold) for a in d.actions) for d in desk.decisions) == 40
    assert [d.reason for d in desk.decisions].count(Reason.LOOP_BROKEN) == 21, "what comes too fast is held"


def test_a_person_gets_an_acknowledgement_for_each_ticket() -> None:
    desk = Desk(domain="nordvik.test", partners=("su@acme.test",))
    words = ("printer", "export", "import", "payroll", "login", "report", "licence", "backup")
    for n, word in enumerate(words):
        list(desk.receive(letter("su@acme.test", desk.support, word, f"The {word} stops."), START + n * MINUTE))
    assert desk.automatic["su@acme.test"] == len(words)
