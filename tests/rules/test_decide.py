"""What becomes of a mail: one row a case, named after its threat or rule. The people: tests/builders.py."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rules.policy import Policy
from rules.tokens import mint_loop_marker, mint_return_path
from tests.builders import (
    ACME,
    ANNA,
    BOLT,
    CUSTOMERS,
    DESK,
    DOMAINS,
    KEYS,
    NOW,
    POLICY,
    SUPPORT,
    contact,
    decided,
    mail,
    our_message_id,
    outbox,
    reply_address,
    ticket,
    with_policy,
)
from values.decision import (
    AddArticle,
    Decision,
    Hold,
    LearnContact,
    NoteAutoReply,
    NoteSecondCopy,
    OpenTicket,
    OutboxFact,
    ParticipantFact,
    PauseThread,
    RecordReport,
    Release,
    RotateToken,
    SentCounts,
    Unsuppress,
)
from values.mail import AttachmentRef, AuthEvidence, DeliveryReport, Mailbox, ParsedMail, ReportedRecipient
from values.vocabulary import (
    ArticleKind,
    AuthorVerdict,
    Belief,
    LedgerState,
    MailKind,
    MailName,
    MatchedBy,
    ParticipantRole,
    Reason,
    Source,
    TicketStatus,
)

U, R = Belief.UNPROVED, Belief.REFUTED
FORGED = AuthEvidence(belief=R, dmarc_policy="reject")
OFF = with_policy(authentication=False)
BY_MAIL = with_policy(agent_by_mail=True)
TOKEN = reply_address()
STALE = reply_address(generation=0)
ROTATED = ticket(
    participants=(ParticipantFact(id=7, address="su@acme.test", role=ParticipantRole.REQUESTER, generation=1),)
)
VERP = mint_return_path(KEYS, "bounce@nordvik.test", 17)
FAILED = DeliveryReport(recipients=(ReportedRecipient(address="su@acme.test", status="5.1.1", permanent=True),))
CLOSED = ticket(status=TicketStatus.CLOSED, closed_at=NOW - timedelta(days=13))
LONG_CLOSED = ticket(status=TicketStatus.CLOSED, closed_at=NOW - timedelta(days=15))
MERGED = (ticket(number=1000, merged_into=1042, participants=(ticket().participants[0],)), ticket())
IN_OTHER_CASE = "Support@Nordvik.Test"

Row = tuple[str, ParsedMail, dict[str, Any], LedgerState, Reason]

OPENED, ADDED, HELD = LedgerState.TICKET_OPENED, LedgerState.ARTICLE_ADDED, LedgerState.HELD
DISCARDED, NOTED = LedgerState.DISCARDED, LedgerState.AUTO_REPLY_NOTED

ROWS: list[Row] = [
    ("superuser", mail(), {}, OPENED, Reason.SUPERUSER),
    ("T01 spoofed, failed under a policy", mail(belief=R), {}, HELD, Reason.UNBELIEVED),
    ("T01 spoofed, no policy: opened and marked", mail(belief=U), {}, OPENED, Reason.SUPERUSER),
    (
        "T01 spoofed, the customer asks for proof",
        mail(belief=U),
        {"customers": (replace(ACME, needs_belief=True), BOLT)},
        HELD,
        Reason.UNBELIEVED,
    ),
    ("authentication off: superuser", mail(belief=R), {"policy": OFF}, OPENED, Reason.SUPERUSER),
    ("authentication off: stranger", mail("x@evil.test"), {"policy": OFF}, HELD, Reason.UNKNOWN_CUSTOMER),
    ("authentication off: contact", mail("lin@bolt.test"), {"policy": OFF}, HELD, Reason.UNBELIEVED),
    (
        "T03 ambiguous",
        replace(mail(None), author_verdict=AuthorVerdict.AMBIGUOUS, author_claims=("su@acme.test", "x@evil.test")),
        {},
        HELD,
        Reason.AUTHOR_AMBIGUOUS,
    ),
    ("T04 missing", mail(None), {}, HELD, Reason.AUTHOR_MISSING),
    (
        "T05 display name",
        replace(mail("x@evil.test"), author=Mailbox(address="x@evil.test", name="su@acme.test")),
        {},
        HELD,
        Reason.UNKNOWN_CUSTOMER,
    ),
    ("T06 Cyrillic а", mail("su@аcme.test"), {}, HELD, Reason.LOOK_ALIKE),
    ("T06 its A-label", mail("su@xn--cme-5cd.test"), {}, HELD, Reason.LOOK_ALIKE),
    ("T06 accent, a valid domain", mail("su@xn--acm-dma.test"), {}, HELD, Reason.LOOK_ALIKE),
    ("T06 rn for m", mail("su@acrne.test"), {}, HELD, Reason.LOOK_ALIKE),
    ("T06 below a look-alike", mail("su@mail.acrne.test"), {}, HELD, Reason.LOOK_ALIKE),
    ("T06 ideographic stop", mail("su@acme。test"), {}, HELD, Reason.LOOK_ALIKE),
    ("T06 root dot", mail("su@acme.test."), {}, HELD, Reason.LOOK_ALIKE),
    ("T06 zero width", mail("su@ac\u200bme.test"), {}, HELD, Reason.LOOK_ALIKE),
    ("T06 upper case is the same", mail("su@ACME.TEST"), {}, OPENED, Reason.SUPERUSER),
    ("T08 suffix", mail("su@evil-acme.test"), {}, HELD, Reason.UNKNOWN_CUSTOMER),
    ("T08 prefix", mail("su@acme.test.evil.test"), {}, HELD, Reason.UNKNOWN_CUSTOMER),
    ("T08 sub-domain without the flag", mail("su@x.acme.test"), {}, HELD, Reason.UNKNOWN_CUSTOMER),
    ("T08 sub-domain with the flag", mail("su@x.bolt.test"), {}, OPENED, Reason.COLLEAGUE_OPENED),
    ("T08 beside the flag", mail("su@xbolt.test"), {}, HELD, Reason.UNKNOWN_CUSTOMER),
    (
        "T08 two customers",
        mail("x@acme.test"),
        {"domains": (*DOMAINS, replace(DOMAINS[0], customer=2))},
        HELD,
        Reason.DOMAIN_CONFLICT,
    ),
    ("T09 upper case", mail("SU@acme.test"), {}, OPENED, Reason.SUPERUSER),
    ("T09 quoted", mail('"su"@acme.test'), {}, OPENED, Reason.SUPERUSER),
    ("T09 tag is another address", mail("su+x@acme.test"), {}, HELD, Reason.COLLEAGUE_WITHOUT_SEAT),
    ("T09 empty local part", mail('""@acme.test'), {}, HELD, Reason.COLLEAGUE_WITHOUT_SEAT),
    ("T09 only a tag", mail("+su@acme.test"), {}, HELD, Reason.COLLEAGUE_WITHOUT_SEAT),
    ("T17 number of another", mail("su@bolt.test", subject="Re: [PD-1042] x"), {}, HELD, Reason.BESIDE_TICKET),
    ("T17 number, stranger", mail("x@evil.test", subject="[PD-1042]"), {}, HELD, Reason.BESIDE_TICKET),
    ("T17 our form, wrong code", mail("su@bolt.test", references=(our_message_id()[:-25] + "@" + DESK,)), {}, OPENED,
     Reason.SUPERUSER),
    ("T17 our id, stranger", mail("x@evil.test", references=(our_message_id(),)), {}, HELD, Reason.BESIDE_TICKET),
    (
        "T17 anchor of another",
        mail("su@bolt.test", references=("m0@client.test",)),
        {"anchors": (("m0@client.test", 1042),)},
        HELD,
        Reason.BESIDE_TICKET,
    ),
    ("T17 number, participant", mail(subject="Re: [PD-1042] x"), {}, ADDED, Reason.PARTICIPANT),
    ("T17 number, seat holder", mail("boss@acme.test", subject="[pd-1042]"), {}, ADDED, Reason.SEAT_HOLDER),
    ("T17 number, unproved guest", mail("guest@elsewhere.test", belief=U, subject="[PD-1042]"), {}, HELD,
     Reason.UNKNOWN_CUSTOMER),
    ("T25 number, unproved superuser", mail(belief=U, subject="[PD-1042]"), {}, OPENED, Reason.SUPERUSER),
    ("T17 no such number", mail(subject="[PD-9]"), {}, OPENED, Reason.SUPERUSER),
    ("T17 other brackets", mail(subject="PD-1042 [XPD-1042]"), {}, OPENED, Reason.SUPERUSER),
    ("T18 token, stranger", mail("x@evil.test", to=(TOKEN,)), {}, HELD, Reason.TOKEN_OF_ANOTHER),
    ("T18 token, colleague without seat", mail("joe@acme.test", to=(TOKEN,)), {}, HELD, Reason.TOKEN_OF_ANOTHER),
    ("T18 token, other seat holder", mail("boss@acme.test", to=(TOKEN,)), {}, ADDED, Reason.SEAT_HOLDER),
    ("T18 token, other participant", mail("guest@elsewhere.test", to=(TOKEN,)), {}, ADDED, Reason.PARTICIPANT),
    ("T18 quoted by a stranger", mail("x@evil.test", full_text=f"> {TOKEN}"), {}, HELD, Reason.TOKEN_OF_ANOTHER),
    ("T18 rotated, its owner", mail(to=(STALE,)), {"tickets": (ROTATED,)}, ADDED, Reason.PARTICIPANT),
    ("T18 rotated, stranger", mail("x@evil.test", to=(STALE,)), {"tickets": (ROTATED,)}, HELD, Reason.BESIDE_TICKET),
    ("T20 shortened token", mail(to=(TOKEN.replace("@", "")[:-13] + "@nordvik.test",)), {}, OPENED, Reason.SUPERUSER),
    ("T20 lower-cased token", mail(to=(TOKEN.upper(),)), {}, ADDED, Reason.PARTICIPANT),
    ("token, its owner", mail(to=(TOKEN,)), {}, ADDED, Reason.PARTICIPANT),
    ("token, its owner, unproved guest", mail("guest@elsewhere.test", belief=U, to=(reply_address(participant=8),)),
     {}, ADDED, Reason.PARTICIPANT),
    ("token, refuted", mail(belief=R, to=(TOKEN,)), {}, HELD, Reason.UNBELIEVED),
    ("token of a lost ticket", mail(to=(reply_address(number=5),)), {"tickets": ()}, OPENED, Reason.SUPERUSER),
    ("our id", mail(in_reply_to=(our_message_id(),)), {}, ADDED, Reason.PARTICIPANT),
    ("quoted address", mail(full_text=f"thanks\n> write to {TOKEN}"), {}, ADDED, Reason.PARTICIPANT),
    ("anchor", mail(references=("m0@client.test",)), {"anchors": (("m0@client.test", 1042),)}, ADDED,
     Reason.PARTICIPANT),
    ("answered before it came", mail(message_id="m0@client.test"), {"anchors": (("m0@client.test", 1042),)}, ADDED,
     Reason.PARTICIPANT),
    ("T22 same Message-ID, other words", mail(message_id="m0@client.test"),
     {"anchors": (("m0@client.test", 1042),), "message_id_recorded": True}, OPENED, Reason.SUPERUSER),
    ("T22 Message-ID of another customer's mail", mail("su@bolt.test", message_id="m0@client.test"),
     {"anchors": (("m0@client.test", 1042),)}, OPENED, Reason.SUPERUSER),
    ("T22 second copy", mail(), {"second_copy_of": "L1", "second_copy_state": OPENED}, LedgerState.DUPLICATE,
     Reason.SECOND_COPY),
    ("T22 copy of what was discarded", mail(), {"second_copy_of": "L1", "second_copy_state": DISCARDED}, OPENED,
     Reason.SUPERUSER),
    ("T22 copy of a forgery that was held", mail(),
     {"second_copy_of": "L1", "second_copy_state": HELD, "second_copy_auth": FORGED}, OPENED, Reason.SUPERUSER),
    ("T22 copy of a held mail", mail("x@evil.test"),
     {"second_copy_of": "L1", "second_copy_state": HELD, "second_copy_auth": AuthEvidence(belief=Belief.BELIEVED),
      "second_copy_reason": Reason.UNKNOWN_CUSTOMER},
     LedgerState.DUPLICATE, Reason.SECOND_COPY),
    ("merged ticket, by number", mail(subject="[PD-1000]"), {"tickets": MERGED}, ADDED, Reason.PARTICIPANT),
    ("merged ticket, by token", mail(to=(reply_address(number=1000),)), {"tickets": MERGED}, ADDED,
     Reason.PARTICIPANT),
    ("forward of our notice, by id", mail(subject="Fwd: Export stops", references=(our_message_id(),)), {}, OPENED,
     Reason.FORWARDED_NOTICE),
    ("forward of our notice, quoted, Swedish", mail("boss@acme.test", subject="VB: Export", full_text=TOKEN), {},
     OPENED, Reason.FORWARDED_NOTICE),
    ("forward of our notice, Spanish", mail(subject="RV: [PD-1042] x"), {}, OPENED, Reason.FORWARDED_NOTICE),
    ("forward to the reply address", mail(subject="Fwd: Export stops", to=(TOKEN,)), {}, ADDED, Reason.PARTICIPANT),
    ("answer to a forward", mail(subject="Re: Fwd: Export", references=(our_message_id(),)), {}, ADDED,
     Reason.PARTICIPANT),
    ("closed 13 days ago", mail(to=(TOKEN,)), {"tickets": (CLOSED,)}, ADDED, Reason.PARTICIPANT),
    ("closed 15 days ago", mail(to=(TOKEN,)), {"tickets": (LONG_CLOSED,)}, OPENED, Reason.FOLLOW_UP),
    ("closed 15 days ago, a guest", mail("guest@elsewhere.test", to=(reply_address(participant=8),)),
     {"tickets": (LONG_CLOSED,)}, HELD, Reason.UNKNOWN_CUSTOMER),
    ("T21 agent, off", mail("anna@nordvik.test", to=(reply_address(participant=9),)), {}, HELD, Reason.AGENT_BY_MAIL),
    ("T21 agent, spoofed", mail("anna@nordvik.test", belief=U, to=(reply_address(participant=9),)),
     {"policy": BY_MAIL}, HELD, Reason.AGENT_BY_MAIL),
    ("T21 agent, customer's token", mail("anna@nordvik.test", to=(TOKEN,)), {"policy": BY_MAIL}, HELD,
     Reason.AGENT_BY_MAIL),
    ("T21 agent, no token", mail("anna@nordvik.test", subject="[PD-1042]"), {"policy": BY_MAIL}, HELD,
     Reason.AGENT_BY_MAIL),
    ("T21 agent until yesterday", mail("anna@nordvik.test", to=(reply_address(participant=9),)),
     {"policy": BY_MAIL, "agents": ()}, HELD, Reason.TOKEN_OF_ANOTHER),
    ("T21 agent, a command", mail("anna@nordvik.test", to=(reply_address(participant=9),), text="/note\nHe is lying"),
     {"policy": BY_MAIL}, HELD, Reason.UNKNOWN_COMMAND),
    ("agent by mail", mail("anna@nordvik.test", to=(reply_address(participant=9),)), {"policy": BY_MAIL}, ADDED,
     Reason.AGENT_REPLY),
    ("T24 own address", mail(SUPPORT), {}, HELD, Reason.OWN_ADDRESS),
    ("T24 own address, other case", mail(IN_OTHER_CASE), {}, HELD, Reason.OWN_ADDRESS),
    ("T24 own address, tag", mail(TOKEN), {}, HELD, Reason.OWN_ADDRESS),
    ("T24 return path", mail(VERP), {}, HELD, Reason.OWN_ADDRESS),
    ("T24 the desk's domain", mail(f"x@{DESK}"), {}, HELD, Reason.OWN_ADDRESS),
    ("T24 our Message-ID as its own", mail(message_id=our_message_id()), {}, DISCARDED, Reason.LOOP),
    ("T26 our loop marker", mail(auto_headers=(("x-postdesk-loop", mint_loop_marker(KEYS, DESK)),)), {}, DISCARDED,
     Reason.LOOP),
    ("T26 a foreign loop marker", mail(auto_headers=(("x-postdesk-loop", "other.test abc"),)), {}, OPENED,
     Reason.SUPERUSER),
    ("T26 51 Received", mail(received_count=51), {}, HELD, Reason.LOOP),
    ("50 Received", mail(received_count=50), {}, OPENED, Reason.SUPERUSER),
    ("T26 auto-reply on its ticket", mail(kind=MailKind.AUTO_REPLY, to=(TOKEN,)), {}, NOTED, Reason.AUTO_REPLY),
    ("T26 auto-reply, closed long ago", mail(kind=MailKind.AUTO_REPLY, to=(TOKEN,)), {"tickets": (LONG_CLOSED,)},
     NOTED, Reason.AUTO_REPLY),
    ("auto-reply to the return path", mail(kind=MailKind.AUTO_REPLY, to=(), forward_paths=(VERP,)), {}, NOTED,
     Reason.AUTO_REPLY),
    ("auto-reply to a notice", mail(kind=MailKind.AUTO_REPLY, references=(our_message_id(number=None),)),
     {"outbox": (outbox(ticket=None),)}, NOTED, Reason.AUTO_REPLY),
    ("auto-reply to nothing", mail(kind=MailKind.AUTO_REPLY), {}, DISCARDED, Reason.UNMATCHED_AUTO_REPLY),
    ("T18 auto-reply with a leaked token", mail("x@evil.test", kind=MailKind.AUTO_REPLY, to=(TOKEN,)), {}, DISCARDED,
     Reason.UNMATCHED_AUTO_REPLY),
    ("T17 auto-reply, refuted", mail(kind=MailKind.AUTO_REPLY, belief=R, to=(TOKEN,)), {}, DISCARDED,
     Reason.UNMATCHED_AUTO_REPLY),
    ("T17 auto-reply, unproved guest, number", mail("guest@elsewhere.test", kind=MailKind.AUTO_REPLY, belief=U,
     subject="[PD-1042]"), {}, DISCARDED, Reason.UNMATCHED_AUTO_REPLY),
    ("a superuser's machine", mail(kind=MailKind.AUTO_GENERATED), {}, OPENED, Reason.SUPERUSER),
    ("T36 confirmation mail to a ticket", mail("no-reply@chat.test", kind=MailKind.AUTO_GENERATED, to=(TOKEN,)), {},
     HELD, Reason.TOKEN_OF_ANOTHER),
    ("a stranger's machine", mail("no-reply@chat.test", kind=MailKind.AUTO_GENERATED), {}, HELD,
     Reason.UNKNOWN_CUSTOMER),
    ("list mail", mail("news@acme.test", kind=MailKind.LIST), {}, DISCARDED, Reason.BULK),
    ("a superuser through a list", mail(kind=MailKind.LIST), {}, OPENED, Reason.SUPERUSER),
    ("report to the return path", mail("mailer-daemon@mx.test", belief=U, kind=MailKind.BOUNCE, report=FAILED, to=(),
     forward_paths=(VERP,)), {}, LedgerState.REPORT_RECORDED, Reason.DELIVERY_REPORT),
    ("T61 report to support", mail("mailer-daemon@mx.test", belief=U, kind=MailKind.BOUNCE, report=FAILED), {},
     DISCARDED, Reason.UNMATCHED_REPORT),
    ("report without a readable part", mail("mailer-daemon@mx.test", kind=MailKind.BOUNCE, forward_paths=(VERP,)), {},
     LedgerState.REPORT_RECORDED, Reason.DELIVERY_REPORT),
    ("complaint", mail("fbl@mx.test", kind=MailKind.COMPLAINT, report=replace(FAILED, feedback_type="abuse"),
     forward_paths=(VERP,)), {}, LedgerState.REPORT_RECORDED, Reason.COMPLAINT),
    ("TLS report", mail("tls@mx.test", auto_headers=(("tls-report-domain", "nordvik.test"),)), {}, DISCARDED,
     Reason.ADMINISTRATIVE),
    ("DMARC report", mail("dmarc@mx.test", attachments=(
        AttachmentRef(name="mx.test!nordvik.test!1!2.xml.gz", type="application/gzip", size=9, sha256="0" * 64),)),
     {}, DISCARDED, Reason.ADMINISTRATIVE),
    ("over a limit", mail(over_limit="depth"), {}, HELD, Reason.OVER_LIMIT),
    ("stranger", mail("x@evil.test"), {}, HELD, Reason.UNKNOWN_CUSTOMER),
    ("stranger, unproved", mail("x@evil.test", belief=U), {}, HELD, Reason.UNKNOWN_CUSTOMER),
    ("stranger, refuted", mail("x@evil.test", belief=R), {}, HELD, Reason.UNBELIEVED),
    ("colleague", mail("joe@acme.test"), {}, HELD, Reason.COLLEAGUE_WITHOUT_SEAT),
    ("colleague, not registered", mail("new@acme.test"), {}, HELD, Reason.COLLEAGUE_WITHOUT_SEAT),
    ("contact where colleagues write", mail("lin@bolt.test"), {}, OPENED, Reason.CONTACT),
    ("colleague where colleagues write", mail("new@bolt.test"), {}, OPENED, Reason.COLLEAGUE_OPENED),
    ("colleague, unproved", mail("new@bolt.test", belief=U), {}, HELD, Reason.UNBELIEVED),
    ("partner", mail("pat@partner.test"), {}, OPENED, Reason.PARTNER),
    ("contact of nobody", mail("old@gone.test"), {"contacts": (contact(9, "old@gone.test"),)}, HELD,
     Reason.UNKNOWN_CUSTOMER),
    ("seats at two customers", mail("c@consult.test"),
     {"contacts": (contact(9, "c@consult.test", seats=(1, 2)),)}, HELD, Reason.DOMAIN_CONFLICT),
    ("seats at two, one named", mail("c@consult.test", text="Customer: bolt"),
     {"contacts": (contact(9, "c@consult.test", seats=(1, 2)),)}, OPENED, Reason.SUPERUSER),
    ("seats at two, one domain", mail("c@bolt.test"), {"contacts": (contact(9, "c@bolt.test", seats=(1, 2)),)}, OPENED,
     Reason.SUPERUSER),
    ("released", mail("x@evil.test"), {"release": Release(by="anna@nordvik.test", customer=1)}, OPENED,
     Reason.RELEASED),
    ("released onto a ticket", mail("x@evil.test"), {"release": Release(by="anna@nordvik.test", ticket=1042)}, ADDED,
     Reason.RELEASED),
    ("released, over a limit", mail(None, over_limit="size"), {"release": Release(by="anna@nordvik.test")}, OPENED,
     Reason.RELEASED),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parsed", "found", "state", "reason"), ROWS, ids=[row[0] for row in ROWS])
def test_what_becomes_of_a_mail(
    name: str, parsed: ParsedMail, found: dict[str, Any], state: LedgerState, reason: Reason
) -> None:
    decision = decided(parsed, **found)
    assert (decision.state, decision.reason) == (state, reason), decision.trace
    assert decision.trace, "each decision tells how it came about"
    if state is HELD:
        (hold, *_) = decision.actions
        assert isinstance(hold, Hold)
        assert hold.why and hold.would


def opened(decision: Decision) -> OpenTicket:
    return next(action for action in decision.actions if isinstance(action, OpenTicket))


def added(decision: Decision) -> AddArticle:
    return next(action for action in decision.actions if isinstance(action, AddArticle))


def told(decision: Decision, name: MailName) -> list[str]:
    return [notice.recipient for notice in decision.notices if notice.mail is name]


def test_superusers_mail_opens_a_ticket_and_is_acknowledged() -> None:
    decision = decided(mail(cc=("boss@acme.test", "x@evil.test", SUPPORT), references=("m0@client.test",)))
    ticket_ = opened(decision)
    assert (ticket_.customer, ticket_.contact, ticket_.marked) == (1, 1, False)
    assert ticket_.requester == Mailbox(address="su@acme.test")
    assert ticket_.cc == (Mailbox(address="boss@acme.test"),)
    assert ticket_.proposed_cc == (Mailbox(address="x@evil.test"),)
    assert ticket_.anchors == ("m1@client.test", "m0@client.test")
    assert told(decision, MailName.ACKNOWLEDGEMENT) == ["su@acme.test"]
    assert told(decision, MailName.AGENT_NOTICE) == ["anna@nordvik.test", "bo@nordvik.test"]
    (receipt,) = [notice for notice in decision.notices if notice.mail is MailName.ACKNOWLEDGEMENT]
    assert receipt.key == "acknowledgement:01J00000000000000000000001:su@acme.test"
    assert receipt.about_new_ticket and receipt.role is ParticipantRole.REQUESTER
    assert (receipt.language, receipt.zone, receipt.in_reply_to) == ("en", "Europe/London", "m1@client.test")


def test_the_trace_names_each_gate_tried() -> None:
    gates = [line.partition(":")[0] for line in decided(mail(belief=R)).trace]
    assert gates == [
        *("over limit", "second copy", "report", "came back", "administrative", "automatic", "author", "own address"),
        *("access", "agent", "belief"),
    ]


def test_release_gates_do_not_ask_again() -> None:
    decision = decided(mail("x@evil.test"), release=Release(by="anna@nordvik.test", customer=1, learn=True))
    assert LearnContact(mailbox=Mailbox(address="x@evil.test"), customer=1) in decision.actions
    assert told(decision, MailName.ACKNOWLEDGEMENT) == ["x@evil.test"]
    unlearned = decided(mail("x@evil.test", belief=U), release=Release(by="anna@nordvik.test", customer=1))
    assert told(unlearned, MailName.ACKNOWLEDGEMENT) == []
    assert opened(unlearned).marked


def test_released_where_a_part_in_the_ticket_was_only_not_proved() -> None:
    guest = mail("guest@elsewhere.test", belief=U, subject="[PD-1042]")
    assert decided(guest, release=Release(by="anna@nordvik.test")).ticket == 1042


@pytest.mark.parametrize("belief", [Belief.BELIEVED, U, R])
def test_T10_nothing_goes_to_reply_to_sender_or_envelope(belief: Belief) -> None:
    """Threat T10: identity and answers come from the believed or registered author only."""
    hijacked = mail(
        belief=belief,
        reverse_path="x@evil.test",
        reply_to=(Mailbox(address="x@evil.test"),),
        sender_field=Mailbox(address="x@evil.test"),
    )
    for decision in (decided(hijacked), decided(replace(hijacked, to=(Mailbox(address=TOKEN),)))):
        assert "evil.test" not in repr(decision.notices) + repr(decision.actions)


def test_T19_whom_a_mail_names_does_not_read_the_ticket() -> None:
    """Threat T19: strangers are proposed; the customer's people join when the mail is proved."""
    answer = added(decided(mail(to=(TOKEN,), cc=("x@evil.test", "new@acme.test", "su@bolt.test", "pat@partner.test"))))
    assert answer.cc == (Mailbox(address="new@acme.test"), Mailbox(address="pat@partner.test"))
    assert answer.proposed_cc == (Mailbox(address="x@evil.test"), Mailbox(address="su@bolt.test"))
    unproved = added(decided(mail(belief=U, to=(TOKEN,), cc=("new@acme.test",))))
    assert (unproved.cc, unproved.proposed_cc) == ((), (Mailbox(address="new@acme.test"),))


def test_T18_a_token_in_wrong_hands_is_rotated() -> None:
    decision = decided(mail("x@evil.test", to=(TOKEN,)))
    assert RotateToken(participant=7) in decision.actions
    assert (decision.ticket, decision.matched_by, decision.notices) == (1042, MatchedBy.REPLY_TOKEN, ())
    stale = decided(mail("x@evil.test", to=(STALE,)), tickets=(ROTATED,))
    assert not any(isinstance(action, RotateToken) for action in stale.actions)


MATCHES = [
    (mail(to=(TOKEN,), subject="[PD-7]", references=(our_message_id(), "m0@client.test")), MatchedBy.REPLY_TOKEN),
    (mail(references=("m0@client.test", our_message_id()), full_text=TOKEN), MatchedBy.OUR_MESSAGE_ID),
    (mail(references=("m0@client.test",), full_text=TOKEN, subject="[PD-1042]"), MatchedBy.ANCHOR),
    (mail(full_text=TOKEN, subject="[PD-1042]"), MatchedBy.BODY_MARKER),
    (mail(subject="[PD-1042]"), MatchedBy.SUBJECT_NUMBER),
]


@pytest.mark.parametrize(("parsed", "matched_by"), MATCHES)
def test_the_strongest_lead_counts(parsed: ParsedMail, matched_by: MatchedBy) -> None:
    decision = decided(parsed, anchors=(("m0@client.test", 1042),))
    assert (decision.ticket, decision.matched_by) == (1042, matched_by)


def test_a_reply_that_names_two_tickets_goes_where_its_author_has_a_part() -> None:
    others = ticket(number=7, customer=2, participants=())
    parsed = mail(references=("m0@client.test",), subject="[PD-1042]")
    decision = decided(parsed, tickets=(ticket(), others), anchors=(("m0@client.test", 7),))
    assert (decision.ticket, decision.matched_by) == (1042, MatchedBy.SUBJECT_NUMBER)


STATUSES = [
    (TicketStatus.NEW, None),
    (TicketStatus.OPEN, None),
    (TicketStatus.PENDING, TicketStatus.OPEN),
    (TicketStatus.RESOLVED, TicketStatus.OPEN),
    (TicketStatus.CLOSED, TicketStatus.OPEN),
]


@pytest.mark.parametrize(("before", "after"), STATUSES)
def test_an_answer_opens_what_waited_and_a_machine_does_not(before: TicketStatus, after: TicketStatus | None) -> None:
    found = (ticket(status=before, closed_at=NOW - timedelta(days=1)),)
    assert added(decided(mail(to=(TOKEN,)), tickets=found)).status is after
    automatic = decided(mail(to=(TOKEN,), kind=MailKind.AUTO_REPLY), tickets=found)
    assert automatic.actions == (NoteAutoReply(ticket=1042),)
    assert automatic.notices == ()
    quiet = added(decided(mail(to=(TOKEN,), kind=MailKind.LIST), tickets=found))
    assert quiet.status is None


def test_a_follow_up_is_linked() -> None:
    decision = decided(mail(to=(TOKEN,)), tickets=(LONG_CLOSED,))
    assert opened(decision).follow_up_of == 1042


def test_agents_hear_of_replies_but_never_of_their_own() -> None:
    decision = decided(mail(to=(TOKEN,)))
    assert told(decision, MailName.AGENT_NOTICE) == ["anna@nordvik.test", "bo@nordvik.test"]
    assert {notice.language for notice in decision.notices} == {"sv", "en"}
    both = contact(1, "anna@nordvik.test", customers=(1,), seats=(1,))
    own = decided(mail("anna@nordvik.test"), contacts=(both,), agent=None)
    assert told(own, MailName.AGENT_NOTICE) == ["bo@nordvik.test"]


def test_a_paused_thread_gets_no_automatic_mail() -> None:
    decision = decided(mail(to=(TOKEN,)), tickets=(ticket(paused=True),))
    assert (decision.state, decision.notices) == (ADDED, ())


def test_the_breaker_pauses_a_thread_once() -> None:
    storm = SentCounts(from_author_on_ticket_last_hour=POLICY.articles_per_author_per_hour)
    decision = decided(mail(to=(TOKEN,)), sent=storm)
    assert decision.reason is Reason.LOOP_BROKEN
    assert any(isinstance(action, PauseThread) for action in decision.actions)
    assert decision.state is HELD, "the mail is kept all the same"
    assert told(decision, MailName.STAFF_TASK) == ["anna@nordvik.test", "bo@nordvik.test"]
    again = decided(mail(to=(TOKEN,)), sent=storm, tickets=(ticket(paused=True),))
    assert (again.state, again.reason, again.notices) == (HELD, Reason.LOOP_BROKEN, ())
    assert not any(isinstance(action, PauseThread) for action in again.actions)
    released = decided(mail(to=(TOKEN,)), sent=storm, tickets=(ticket(paused=True),), release=Release(by="anna@x.test"))
    assert any(isinstance(action, AddArticle) for action in released.actions)


def test_a_thread_that_was_answered_too_often_is_paused_and_its_mail_added() -> None:
    often = SentCounts(to_author_on_ticket_last_day=POLICY.automatic_per_pair)
    decision = decided(mail(to=(TOKEN,)), sent=often)
    assert (decision.state, decision.reason) == (ADDED, Reason.LOOP_BROKEN)
    assert len(told(decision, MailName.STAFF_TASK)) == 2
    resumed = ticket(resumed_at=NOW - timedelta(hours=1))
    assert decided(mail(to=(TOKEN,)), sent=often, tickets=(resumed,)).reason is Reason.PARTICIPANT


@pytest.mark.parametrize("report", [FAILED, DeliveryReport(feedback_type="abuse")])
def test_T61_agents_are_told_of_an_address_that_gets_no_more_mail(report: DeliveryReport) -> None:
    bounced = mail(None, kind=MailKind.BOUNCE, report=report, to=(VERP,), reverse_path="", belief=U)
    decision = decided(bounced, outbox=(outbox(hard_bounces=1),))
    tasks = [notice for notice in decision.notices if notice.mail is MailName.STAFF_TASK]
    assert [notice.recipient for notice in tasks] == ["anna@nordvik.test", "bo@nordvik.test"]
    assert dict(tasks[0].context)["address"] == "su@acme.test"
    first = decided(bounced, outbox=(outbox(),))
    assert bool(first.notices) == (report is not FAILED), "one hard bounce is nobody's business yet"


def test_T61_a_storm_of_bounces_tells_each_agent_once_a_day() -> None:
    bounced = mail(None, kind=MailKind.BOUNCE, report=FAILED, to=(VERP,), reverse_path="", belief=U)
    again = replace(bounced, spool_id="01J00000000000000000000002")
    one, two = (decided(one, outbox=(outbox(hard_bounces=n),)) for one, n in ((bounced, 1), (again, 2)))
    assert [n.key for n in one.notices] == [n.key for n in two.notices]


@pytest.mark.parametrize(
    ("action", "permanent", "mail_name", "told_agents"),
    [
        ("failed", True, MailName.AGENT_REPLY, ["anna@nordvik.test"]),
        ("failed", False, MailName.AGENT_REPLY, []),
        ("failed", None, MailName.AGENT_REPLY, []),
        ("delayed", False, MailName.AGENT_REPLY, []),
        ("delivered", True, MailName.AGENT_REPLY, []),
        ("failed", True, MailName.ACKNOWLEDGEMENT, []),
        ("failed", True, MailName.AGENT_NOTICE, []),
        ("failed", True, MailName.ANSWER_UNDELIVERED, []),
    ],
)
def test_who_wrote_an_answer_is_told_when_it_comes_back(
    action: str, permanent: bool | None, mail_name: MailName, told_agents: list[str]
) -> None:
    entry = ReportedRecipient(
        address="su@acme.test", action=action, status="5.2.2", permanent=permanent, reason="mailboxfull"
    )
    bounce = mail(
        None, kind=MailKind.BOUNCE, report=DeliveryReport(recipients=(entry,)), to=(VERP,), reverse_path="", belief=U
    )
    about = (("author", "anna@nordvik.test"), ("author_language", "sv"))
    row = outbox(mail=mail_name, about=about)
    decision = decided(bounce, outbox=(row,))
    assert told(decision, MailName.ANSWER_UNDELIVERED) == told_agents
    if told_agents:
        (notice,) = decision.notices
        assert dict(notice.context)["reply"] == "failed 5.2.2 mailboxfull"
        again = replace(bounce, spool_id="01J00000000000000000000002")
        assert decided(again, outbox=(row,)).notices[0].key == notice.key, "a second report tells nothing new"


def test_an_agents_answer_by_mail_reaches_the_others() -> None:
    decision = decided(mail("anna@nordvik.test", to=(reply_address(participant=9),)), policy=BY_MAIL)
    article = added(decision)
    assert (article.kind, article.status) == (ArticleKind.OUTBOUND, TicketStatus.PENDING)
    assert told(decision, MailName.AGENT_REPLY) == ["su@acme.test", "guest@elsewhere.test"]


def test_writing_proves_an_address_alive_only_when_it_is_believed() -> None:
    assert Unsuppress(address="su@acme.test") in decided(mail(), author_suppressed=True).actions
    assert not any(isinstance(a, Unsuppress) for a in decided(mail(belief=U), author_suppressed=True).actions)


def test_the_archive_is_read_in_silence() -> None:
    for decision in (decided(mail(source=Source.ARCHIVE)), decided(mail("x@evil.test", source=Source.ARCHIVE))):
        assert decision.notices == ()


def test_second_copies_name_the_first() -> None:
    decision = decided(mail(), second_copy_of="L1", second_copy_state=OPENED)
    assert decision.actions == (NoteSecondCopy(of="L1"),)


def test_a_report_counts_against_the_row_it_was_sent_to() -> None:
    bounce = mail("mailer-daemon@mx.test", kind=MailKind.BOUNCE, report=FAILED, to=(), forward_paths=(VERP,))
    row = OutboxFact(id=17, mail=MailName.AGENT_REPLY, recipient="su@acme.test", ticket=1042, hard_bounces=1)
    (action,) = decided(bounce, outbox=(row,)).actions
    assert isinstance(action, RecordReport)
    assert action.hard_bounced == ("su@acme.test",)
    assert [address for address, _ in action.suppress] == ["su@acme.test"]


def test_a_partner_of_several_customers_may_name_one() -> None:
    partner = contact(5, "pat@partner.test", partner=1, partner_customers=(1, 2))
    unnamed = decided(mail("pat@partner.test"), contacts=(partner,))
    assert (unnamed.state, opened(unnamed).customer) == (OPENED, None)
    named = decided(mail("pat@partner.test", text="Kund: Bolt\n\nDet fungerar inte"), contacts=(partner,))
    assert opened(named).customer == 2


LANGUAGES = [
    (contact(1, "su@acme.test", seats=(1,), language="sv", zone="Europe/Oslo"), "es", ("sv", "Europe/Oslo")),
    (contact(1, "su@acme.test", seats=(2,)), "en", ("es", "Europe/Madrid")),
    (contact(1, "su@acme.test", seats=(1,), language="de"), None, ("en", "Europe/London")),
]


@pytest.mark.parametrize(("person", "of_mail", "expected"), LANGUAGES)
def test_language_and_zone_are_the_persons(person: Any, of_mail: str | None, expected: tuple[str, str]) -> None:
    decision = decided(mail(language=of_mail), contacts=(person,))
    receipt = next(notice for notice in decision.notices if notice.mail is MailName.ACKNOWLEDGEMENT)
    assert (receipt.language, receipt.zone) == expected


@pytest.mark.parametrize(("of_mail", "expected"), [("es", "es"), (None, "en"), ("de", "en")])
def test_a_stranger_is_told_in_the_mails_language(of_mail: str | None, expected: str) -> None:
    (notice,) = decided(mail("x@evil.test", language=of_mail)).notices
    assert (notice.mail, notice.language, notice.zone) == (MailName.UNKNOWN_AUTHOR, expected, "Europe/Stockholm")


def test_a_decision_is_the_same_each_time() -> None:
    assert decided(mail()) == decided(mail())
    assert isinstance(POLICY, Policy) and ANNA and CUSTOMERS
