"""Mails and facts with defaults, for tables of rules tests. No fixtures, no I/O.

The cast: we are Nordvik (nordvik.test); Acme (acme.test) and Bolt (bolt.test) are customers; su@acme.test and
boss@acme.test hold Acme's seats, su@bolt.test Bolt's; joe@acme.test is a colleague without a seat; pat@partner.test is
of a partner that serves Acme; evil.test is the attacker.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rules.clues import look_for
from rules.decide import decide
from rules.policy import OwnMailbox, Policy
from rules.tokens import Keys, mint_message_id, mint_reply_address
from values.addresses import canonical_address, canonical_domain, parent_domains, skeleton
from values.decision import (
    AgentFact,
    Clues,
    ContactFact,
    CustomerFact,
    Decision,
    DomainFact,
    Facts,
    OutboxFact,
    ParticipantFact,
    TicketFact,
)
from values.mail import AuthEvidence, Envelope, Mailbox, ParsedMail
from values.vocabulary import (
    AuthorVerdict,
    Belief,
    ColleaguePolicy,
    MailboxPurpose,
    MailName,
    ParticipantRole,
    Source,
    TicketStatus,
)

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
KEYS = Keys(current="a", secrets={"a": bytes(range(32)), "b": bytes(range(32, 64))})
SUPPORT = "support@nordvik.test"
DESK = "desk.nordvik.test"
POLICY = Policy(
    mailboxes=(
        OwnMailbox(address=SUPPORT, purpose=MailboxPurpose.SUPPORT),
        OwnMailbox(address="access@nordvik.test", purpose=MailboxPurpose.ACCESS),
        OwnMailbox(address="licence@nordvik.test", purpose=MailboxPurpose.LICENCE),
    ),
    return_path="bounce@nordvik.test",
    desk_domain=DESK,
    vendor_name="Nordvik",
    zone="Europe/Stockholm",
)

ACME = CustomerFact(id=1, name="Acme", language="en", zone="Europe/London", colleagues=ColleaguePolicy.HOLD)
BOLT = CustomerFact(id=2, name="Bolt", language="es", zone="Europe/Madrid", colleagues=ColleaguePolicy.OPEN)
CUSTOMERS = (ACME, BOLT)
DOMAINS = (
    DomainFact(domain="acme.test", customer=1, subdomains=False),
    DomainFact(domain="bolt.test", customer=2, subdomains=True),
)


def contact(id: int, address: str, **more: Any) -> ContactFact:
    """A registered person; `seats`, `customers`, `partner`, `partner_customers` as wanted."""
    values: dict[str, Any] = {"name": "", "language": None, "zone": None, "customers": (), "seats": ()}
    return ContactFact(id=id, address=address, **(values | more))


CONTACTS = (
    contact(1, "su@acme.test", customers=(1,), seats=(1,)),
    contact(2, "boss@acme.test", customers=(1,), seats=(1,), language="sv"),
    contact(3, "joe@acme.test", customers=(1,)),
    contact(4, "su@bolt.test", customers=(2,), seats=(2,)),
    contact(5, "pat@partner.test", partner=1, partner_customers=(1,)),
    contact(6, "lin@bolt.test", customers=(2,)),
)
ANNA = AgentFact(id=1, address="anna@nordvik.test", name="Anna", language="sv")
AGENTS = (ANNA, AgentFact(id=2, address="bo@nordvik.test", name="Bo"))


def ticket(number: int = 1042, **more: Any) -> TicketFact:
    """Acme's open ticket, requested by su@acme.test (participant 7, generation 0), unless said otherwise."""
    values: dict[str, Any] = {
        "status": TicketStatus.OPEN,
        "customer": 1,
        "closed_at": None,
        "participants": (
            ParticipantFact(id=7, address="su@acme.test", role=ParticipantRole.REQUESTER, generation=0),
            ParticipantFact(id=8, address="guest@elsewhere.test", role=ParticipantRole.CC, generation=0),
            ParticipantFact(id=9, address="anna@nordvik.test", role=ParticipantRole.AGENT, generation=0),
        ),
        "requester": "su@acme.test",
        "language": "en",
        "subject": "Export stops",
    }
    return TicketFact(number=number, **(values | more))


def outbox(id: int = 17, **more: Any) -> OutboxFact:
    values: dict[str, Any] = {"mail": MailName.ACKNOWLEDGEMENT, "recipient": "su@acme.test", "ticket": 1042}
    return OutboxFact(id=id, **(values | more))


def reply_address(number: int = 1042, participant: int = 7, generation: int = 0) -> str:
    return mint_reply_address(KEYS, SUPPORT, number, participant, generation)


def our_message_id(id: int = 17, number: int | None = 1042) -> str:
    return mint_message_id(KEYS, DESK, id, number)


def mail(author: str | None = "su@acme.test", **more: Any) -> ParsedMail:
    """A believed person's mail to support. `belief`, `reverse_path`, `to` and `cc` (addresses) are shortcuts."""
    belief = more.pop("belief", Belief.BELIEVED)
    to = more.pop("to", (SUPPORT,))
    values: dict[str, Any] = {
        "spool_id": "01J00000000000000000000001",
        "sha256": "0" * 64,
        "size": 1000,
        "envelope": Envelope(
            reverse_path=more.pop("reverse_path", author or "x@evil.test"),
            forward_paths=more.pop("forward_paths", to),
            source=more.pop("source", Source.SMTP),
            received_at=NOW - timedelta(seconds=2),
        ),
        "author": Mailbox(address=author) if author else None,
        "author_verdict": AuthorVerdict.ONE if author else AuthorVerdict.MISSING,
        "to": tuple(Mailbox(address=address) for address in to),
        "cc": tuple(Mailbox(address=address) for address in more.pop("cc", ())),
        "subject": "Export stops",
        "message_id": "m1@client.test",
        "date": NOW,
        "text": "The export stops.",
        "content_key": "c1",
        "auth": AuthEvidence(belief=belief, dmarc_policy="reject" if belief is Belief.REFUTED else None),
    }
    values["full_text"] = more.get("text", values["text"])
    return ParsedMail(**(values | more))


def facts_for(clues: Clues, **more: Any) -> Facts:
    """What a desk with the cast above finds for the clues; `tickets`, `outbox`, `anchors` are the desk's rows.

    An independent, plain reading of values/decision.py: lists instead of tables.
    """
    contacts: tuple[ContactFact, ...] = more.pop("contacts", CONTACTS)
    domains: tuple[DomainFact, ...] = more.pop("domains", DOMAINS)
    agents: tuple[AgentFact, ...] = more.pop("agents", AGENTS)
    values: dict[str, Any] = {
        "clues": clues,
        "agent": next((agent for agent in agents if agent.address == clues.author), None),
        "contact": next((one for one in contacts if one.address == clues.author), None),
        "domains": tuple(domain for domain in domains if domain.domain in clues.author_domains),
        "customers": CUSTOMERS,
        "look_alike_of": _look_alike(clues, domains),
        "notified_agents": agents,
        "cc_contacts": tuple(one for one in contacts if one.address in clues.cc),
        "cc_domains": tuple(d for d in domains if any(d.domain in _parents(address) for address in clues.cc)),
        "tickets": (ticket(),),
        "outbox": (outbox(),),
    }
    return Facts(**(values | more))


def _look_alike(clues: Clues, domains: tuple[DomainFact, ...]) -> str | None:
    if any(domain.domain in clues.author_domains for domain in domains):
        return None
    return next((d.domain for d in domains if skeleton(d.domain) in clues.author_skeletons), None)


def _parents(address: str) -> tuple[str, ...]:
    domain = canonical_domain((canonical_address(address) or "").rpartition("@")[2])
    return parent_domains(domain) if domain else ()


def decided(parsed: ParsedMail, *, policy: Policy = POLICY, now: datetime = NOW, **facts: Any) -> Decision:
    """clues -> facts -> decision, as the pipeline does it."""
    return decide(parsed, facts_for(look_for(parsed, policy, KEYS), **facts), policy, now)


def with_policy(**changes: Any) -> Policy:
    return replace(POLICY, **changes)
