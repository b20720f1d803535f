"""Who may do what: From form x what was proved x domain trick x lead to a ticket x Cc and Reply-To (T01-T12, T17-T25).

The oracle below knows people and a few sentences of domain.md, and nothing of the rules' code. Two numbers must be 0:
mails with a word of a ticket to an address that nobody registered, and articles on another customer's ticket.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product

import pytest

from rules.belief import Proof
from rules.policy import Policy
from tests.builders import (
    AGENTS,
    CONTACTS,
    NOW,
    POLICY,
    decided,
    mail,
    our_message_id,
    outbox,
    reply_address,
    ticket,
    with_policy,
)
from values.decision import AddArticle, Decision, Fields, LearnContact, OpenTicket, TicketFact
from values.mail import AuthEvidence, Mailbox, ParsedMail
from values.vocabulary import Belief, LedgerState, MailName, TicketStatus

# What the From field says -> who that is. The second word is all that the oracle goes by.
PEOPLE = {
    "su@acme.test": "superuser of acme, takes part",
    "SU@ACME.test": "superuser of acme, takes part",
    '"su"@acme.test': "superuser of acme, takes part",
    "boss@acme.test": "superuser of acme",
    "joe@acme.test": "colleague at acme",
    "new@acme.test": "colleague at acme",
    "su+x@acme.test": "colleague at acme",
    "su@bolt.test": "superuser of bolt",
    "lin@bolt.test": "colleague at bolt",
    "new@bolt.test": "colleague at bolt",
    "new@mail.bolt.test": "colleague at bolt",
    "pat@partner.test": "partner",
    "guest@elsewhere.test": "guest, takes part",
    "x@evil.test": "stranger",
    "su@acrne.test": "stranger",
    "su@аcme.test": "stranger",
    "su@xn--cme-5cd.test": "stranger",
    "su@acme.test.": "stranger",
    "su@acme.test.evil.test": "stranger",
    "su@evil-acme.test": "stranger",
    "su@x.acme.test": "stranger",
    "su@xbolt.test": "stranger",
    "support@nordvik.test": "we",
    "Support+t1042@nordvik.test": "we",
    "anna@nordvik.test": "agent",
    "": "nobody",
}
LEADS = (
    *("none", "token of su", "token of guest", "token of boss's old", "forged token", "our id", "forged id"),
    *("anchor", "quoted token", "number", "own id is an anchor"),
)
LEADING_NOWHERE = ("none", "forged token", "forged id")
CC = ((), ("x@evil.test",), ("joe@acme.test", "x@evil.test"), ("su@bolt.test",), ("new@mail.bolt.test",))
REPLY_TO = ((), ("x@evil.test",), ("su@acme.test",))
STATUSES = {
    "open": ticket(),
    "closed": ticket(status=TicketStatus.CLOSED, closed_at=NOW - timedelta(days=3)),
    "closed long ago": ticket(status=TicketStatus.CLOSED, closed_at=NOW - timedelta(days=30)),
}
OFF = with_policy(authentication=False)
ALL_SIGNED = ("cc", "date", "from", "message-id", "subject", "to")


def believed(*signed: str, left_open: tuple[str, ...] = (), **more: bool) -> AuthEvidence:
    return AuthEvidence(belief=Belief.BELIEVED, signed_fields=signed, open_fields=left_open, **more)


# What the check found, which fields a signature covers, the border's word against our own check -> what that proves.
EVIDENCE = {
    Proof.DIRECT: believed("from", left_open=("content-type",), direct=True),
    Proof.SIGNED: believed(*ALL_SIGNED),
    Proof.VOUCHED: believed(),
    Proof.VOUCHED_ALONE: believed(refused=True),
    Proof.SIGNED_IN_PART: believed(*ALL_SIGNED, left_open=("references",)),
    Proof.WORDS_OPEN: believed(*ALL_SIGNED, left_open=("content-type",)),
    Proof.NONE: AuthEvidence(),
    Proof.REFUTED: AuthEvidence(belief=Belief.REFUTED, dmarc_policy="reject"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    author: str
    proof: Proof
    policy: Policy
    lead: str
    prefix: str
    cc: tuple[str, ...]
    reply_to: tuple[str, ...]
    status: str

    @property
    def is_proved(self) -> bool:
        return self.proof not in (Proof.NONE, Proof.REFUTED) and self.policy.authentication

    @property
    def is_weak(self) -> bool:
        """Nothing proves it, or a copy of it may have been changed on the way."""
        weak = (Proof.NONE, Proof.WORDS_OPEN, Proof.SIGNED_IN_PART)
        return self.proof in weak and self.policy.authentication

    @property
    def is_keyed(self) -> bool:
        """A code that was made for this very author led here."""
        is_su = self.author.lower().replace('"', "") == "su@acme.test"
        by_su = is_su and self.lead in ("token of su", "our id", "quoted token")
        return by_su or (self.author == "guest@elsewhere.test" and self.lead == "token of guest")

    @property
    def who(self) -> str:
        return PEOPLE[self.author]


ALL = tuple(product(PEOPLE, EVIDENCE, (POLICY, OFF), LEADS, ("", "Re: ", "Fwd: "), CC, REPLY_TO, STATUSES))


def rows(count: int, seed: int) -> Iterator[Row]:
    for author, proof, policy, lead, prefix, cc, reply_to, status in random.Random(seed).sample(ALL, count):
        yield Row(
            author=author,
            proof=proof,
            policy=policy,
            lead=lead,
            prefix=prefix,
            cc=cc,
            reply_to=reply_to,
            status=status,
        )


def mail_of(row: Row) -> ParsedMail:
    token = {
        "token of su": reply_address(),
        "token of guest": reply_address(participant=8),
        "token of boss's old": reply_address(participant=7, generation=5),
        "forged token": reply_address().replace("t1042", "t1043"),
    }.get(row.lead, "support@nordvik.test")
    references = {
        "our id": (our_message_id(),),
        "forged id": (our_message_id().replace("t1042", "t1043"),),
        "anchor": ("m0@client.test",),
    }.get(row.lead, ())
    parsed = mail(
        row.author or None,
        auth=EVIDENCE[row.proof],
        to=(token,),
        cc=row.cc,
        subject=row.prefix + ("[PD-1042] Export" if row.lead == "number" else "Export"),
        references=references,
        message_id="m0@client.test" if row.lead == "own id is an anchor" else "m1@client.test",
        text="The export stops.\nProduct: Ledger",
        full_text=f"> {reply_address()}" if row.lead == "quoted token" else "The export stops.",
    )
    return replace(parsed, reply_to=tuple(Mailbox(address=address) for address in row.reply_to))


def decision_of(row: Row) -> Decision:
    found: TicketFact = STATUSES[row.status]
    return decided(
        mail_of(row),
        policy=row.policy,
        tickets=(found, ticket(number=1043, customer=2, participants=())),
        outbox=(outbox(),),
        anchors=(("m0@client.test", 1042),),
    )


def expected(row: Row) -> LedgerState:
    """The oracle: domain.md 3.2 to 3.6, said for these people and Acme's ticket 1042."""
    if row.who in ("nobody", "we", "agent") or (row.proof is Proof.REFUTED and row.policy.authentication):
        return LedgerState.HELD
    has_part = "takes part" in row.who or row.who == "superuser of acme"
    leads = row.lead not in LEADING_NOWHERE and not (row.lead == "own id is an anchor" and not has_part)
    if row.lead == "number" and row.proof is Proof.NONE and row.policy.authentication:
        leads = False  # anybody can guess it
    if leads and not has_part:
        return LedgerState.HELD
    is_addressed = row.lead.startswith("token")
    is_new = (row.prefix == "Fwd: " and not is_addressed) or row.status == "closed long ago"
    is_new = is_new or (row.status == "closed" and row.is_weak and not row.is_keyed)
    if leads and not is_new:
        is_known = row.who.startswith("superuser") or row.lead == "token of guest"
        return LedgerState.ARTICLE_ADDED if row.is_proved or is_known else LedgerState.HELD
    if row.who.startswith("superuser") or row.who == "partner" or (row.who == "colleague at bolt" and row.is_proved):
        return LedgerState.TICKET_OPENED
    return LedgerState.HELD


def may_order(row: Row) -> bool:
    return row.proof in (Proof.DIRECT, Proof.SIGNED, Proof.VOUCHED) and row.policy.authentication


REGISTERED = {one.address for one in CONTACTS} | {agent.address for agent in AGENTS}


def leaks(row: Row, decision: Decision) -> list[str]:
    """Every way in which the decision gives somebody more than he has."""
    found = []
    open_words = row.policy.authentication and row.proof in (Proof.NONE, Proof.WORDS_OPEN)
    for notice in decision.notices:
        is_authors = row.is_proved and notice.recipient == row.author.lower()
        if notice.mail is MailName.UNKNOWN_AUTHOR:
            found += [] if is_authors and notice.ticket is None and not notice.context else [f"told: {notice}"]
        elif notice.recipient not in REGISTERED and not (is_authors and row.who == "colleague at bolt"):
            found.append(f"mail to {notice.recipient}")
        if open_words and dict(notice.context).get("sender_text"):
            found.append("words that may be a forger's leave")
    for action in decision.actions:
        if isinstance(action, AddArticle | OpenTicket) and open_words and not action.marked:
            found.append("words that may be a forger's are not marked")
        if isinstance(action, AddArticle) and row.is_weak and not row.is_keyed:
            found += ["a weak proof changes a ticket"] if action.status or action.fields != Fields() else []
        if isinstance(action, AddArticle) and not may_order(row):
            found += [f"{box.address} joined by one who may not order" for box in action.cc]
        if isinstance(action, AddArticle):
            if action.ticket != 1042 or not ("takes part" in row.who or row.who == "superuser of acme"):
                found.append(f"article of {row.author} on {action.ticket}")
            found += [f"{box.address} joined" for box in action.cc if not box.address.endswith("@acme.test")]
        if isinstance(action, OpenTicket):
            domain = {1: "acme.test", 2: "bolt.test"}.get(action.customer or 0, "?")
            found += [f"{box.address} joined" for box in action.cc if not box.address.endswith(domain)]
            if action.customer == 1 and "acme" not in row.who and row.who != "partner":
                found.append(f"ticket of acme for {row.author}")
            if action.requester.address not in REGISTERED and row.who != "colleague at bolt":
                found.append(f"requester {action.requester.address}")
        if isinstance(action, LearnContact):
            found.append("registered without a person's word")
    return found


def check(count: int, seed: int) -> None:
    wrong = []
    for row in rows(count, seed):
        decision = decision_of(row)
        if decision.state is not expected(row) or leaks(row, decision):
            wrong.append((row, decision.state, expected(row), decision.reason, leaks(row, decision)))
    assert wrong[:3] == [], f"{len(wrong)} of {count}"


def test_1500_identities() -> None:
    check(1_500, seed=1)


@pytest.mark.long
def test_20000_identities() -> None:
    check(20_000, seed=2)


def test_the_matrix_reaches_every_state() -> None:
    states = {expected(row) for row in rows(1_500, seed=1)}
    assert states == {LedgerState.HELD, LedgerState.TICKET_OPENED, LedgerState.ARTICLE_ADDED}
