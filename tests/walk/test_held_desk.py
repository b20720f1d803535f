"""Nothing vanishes: every kind of mail that needs a person lies on the held desk, says why, and can be let through."""

from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest.release import release
from models.db.engine import reading, transaction
from models.inbound.held import drop
from models.inbound.ledger import LEDGER
from models.outbox.outbox import OUTBOX, RECIPIENT_HEALTH, SUPPRESSION
from models.people.customer import CONTACT_ADDRESS, CUSTOMER
from models.people.domains import list_domains
from models.record import record_poison
from models.tickets.ticket import ARTICLE, PARTICIPANT, TICKET
from models.views.ledger import count_ledger, list_held, show_ticket
from notify.jobs import run_due
from postdesk import domain_desk
from postdesk.answering import answer_ticket
from tests.walk.small_desk import BELIEVED, REFUTED, UNPROVED, SmallDesk, believing, letter, only
from values.decision import Release
from values.vocabulary import LedgerState, MailName, OutboxStatus, Reason

SU, BOSS, OTHER = "su@acme.test", "boss@acme.test", "su@bolt.test"


@pytest.fixture
def desk(database: sa.Engine, tmp_path: Path) -> SmallDesk:
    made = SmallDesk(engine=database, folder=tmp_path)
    made.people("Acme", SU, BOSS, domain="acme.test")
    made.people("Bolt", OTHER, domain="bolt.test")
    made.agent("anna@nordvik.test")
    return made


def held(desk: SmallDesk) -> dict[str, dict[str, Any]]:
    with reading(desk.engine) as session:
        return {row["id"]: row for row in list_held(session)}


# --- one mail of each kind ----------------------------------------------------------------------------------------


def _two_authors() -> bytes:
    return letter("x@evil.test").as_bytes().replace(b"From: x@evil.test", b"From: x@evil.test\nFrom: su@acme.test")


def _too_large() -> bytes:
    return b"From: su@acme.test\r\nTo: support@nordvik.test\r\n" + b"X-Long: " + b"a" * 600_000 + b"\r\n\r\nHello\r\n"


def _in_circles() -> bytes:
    hops = b"".join(b"Received: from a by b; Tue, 24 Nov 2026 09:00:00 +0000\r\n" for _ in range(60))
    return hops + letter(SU).as_bytes()


def _flood(desk: SmallDesk) -> str:
    """A machine that answers on one ticket; the mail that is one too many."""
    desk.take(letter(SU, "Loop"))
    number = only(desk.rows(TICKET), subject="Loop")[0]["id"]
    again = [letter(SU, f"[PD-{number}] Loop", f"again {'x' * n}") for n in range(20)]
    for one in again:
        (last,) = desk.take(one)
    return last


KINDS: dict[Reason, Callable[[], EmailMessage | bytes]] = {
    Reason.AUTHOR_AMBIGUOUS: _two_authors,
    Reason.OVER_LIMIT: _too_large,
    Reason.LOOP: _in_circles,
    Reason.LOOK_ALIKE: lambda: letter("su@acrne.test"),
    Reason.OWN_ADDRESS: lambda: letter("support@nordvik.test"),
    Reason.UNBELIEVED: lambda: letter("forged@acme.test"),
    Reason.UNKNOWN_CUSTOMER: lambda: letter("x@elsewhere.test"),
    Reason.COLLEAGUE_WITHOUT_SEAT: lambda: letter("joe@acme.test"),
    Reason.AGENT_BY_MAIL: lambda: letter("anna@nordvik.test"),
    Reason.AUTHOR_MISSING: lambda: b"To: support@nordvik.test\r\nSubject: Who\r\n\r\nam I\r\n",
}


def one_of_each(desk: SmallDesk) -> dict[Reason, str]:
    desk.believes = lambda address: REFUTED if address == "forged@acme.test" else BELIEVED
    found = {reason: desk.take(make())[0] for reason, make in KINDS.items()}
    desk.take(letter(SU, "Ours"))
    number = only(desk.rows(TICKET), subject="Ours")[0]["id"]
    (found[Reason.BESIDE_TICKET],) = desk.take(letter(OTHER, f"[PD-{number}] Ours"))
    found[Reason.LOOP_BROKEN] = _flood(desk)
    found[Reason.POISON] = _poison(desk)
    return found


def _poison(desk: SmallDesk) -> str:
    spooled = desk.pipeline.spool.put_batch([desk._spooled(letter(SU, "Poison"), None, "")])[0]
    with transaction(desk.engine, snapshot=True) as session:
        record_poison(session, spooled, "It killed its worker three times.", desk.time)
    return spooled.id


def test_every_kind_lands_on_the_held_desk_and_says_why(desk: SmallDesk) -> None:
    found = one_of_each(desk)
    rows = held(desk)
    assert {reason: rows[id]["reason"] for reason, id in found.items()} == {reason: reason for reason in found}
    for id in found.values():
        assert rows[id]["why"] and rows[id]["would"], rows[id]
    for reason, id in found.items():
        kept = rows[id]["expires"]
        days = 7 if reason is Reason.UNKNOWN_CUSTOMER else 90
        assert (kept is None) if reason is Reason.POISON else (kept - rows[id]["held"] == timedelta(days=days)), reason


def test_what_nobody_decides_is_discarded_in_the_end_and_the_ledger_says_so(desk: SmallDesk) -> None:
    found = one_of_each(desk)
    before = len(desk.rows(LEDGER))
    desk.wait(timedelta(days=8))
    run_due(desk.engine, desk.time)
    gone = desk.ledger(found.pop(Reason.UNKNOWN_CUSTOMER))
    assert (gone["state"], gone["reason"]) == (LedgerState.DISCARDED, Reason.HELD_EXPIRED)
    assert set(found.values()) <= set(held(desk))
    desk.wait(timedelta(days=83))
    run_due(desk.engine, desk.time)
    assert set(held(desk)) == {found[Reason.POISON]}, "what failed by our own fault waits for us"
    with reading(desk.engine) as session:
        assert sum(count_ledger(session).values()) == before, "accepted is the sum of what became of them"


def test_every_kind_can_be_let_through(desk: SmallDesk) -> None:
    acme = only(desk.rows(CUSTOMER), name="Acme")[0]["id"]
    found = one_of_each(desk)
    del found[Reason.POISON]  # `shunt retry`, once the fault is mended
    for reason, id in found.items():
        receipt = release(desk.pipeline, id, Release(by="anna@nordvik.test", customer=acme))
        assert receipt and receipt.ticket, reason
        row = desk.ledger(id)
        assert (row["reason"], row["ticket"]) == (Reason.RELEASED, receipt.ticket), reason
    assert not set(found.values()) & set(held(desk))


def test_a_release_learns_the_address_only_when_asked(desk: SmallDesk) -> None:
    acme = only(desk.rows(CUSTOMER), name="Acme")[0]["id"]
    for address, learn in (("one@elsewhere.test", False), ("two@elsewhere.test", True)):
        (id,) = desk.take(letter(address))
        release(desk.pipeline, id, Release(by="anna@nordvik.test", customer=acme, learn=learn))
    known = {row["address"] for row in desk.rows(CONTACT_ADDRESS)}
    assert ("one@elsewhere.test" in known, "two@elsewhere.test" in known) == (False, True)
    (again,) = desk.take(letter("two@elsewhere.test", "Second"))
    assert desk.ledger(again)["reason"] is Reason.COLLEAGUE_WITHOUT_SEAT, "he is known now, and holds no seat"


def test_a_drop_leaves_the_books(desk: SmallDesk) -> None:
    (id,) = desk.take(letter("x@elsewhere.test"))
    with transaction(desk.engine) as session:
        assert drop(session, id, "anna@nordvik.test", desk.time)
    assert (desk.ledger(id)["state"], desk.ledger(id)["reason"]) == (LedgerState.DISCARDED, Reason.DROPPED)
    assert release(desk.pipeline, id, Release(by="anna@nordvik.test")) is None


# --- the domain desk ----------------------------------------------------------------------------------------------


def test_a_new_domain_shows_what_it_would_free_and_frees_it(desk: SmallDesk) -> None:
    ibarra = desk.people("Ibarra", "lucia@ibarra.test", colleagues="open")
    desk.people("Careful", "ana@careful.test")
    desk.believes = believing("joe@ibarra.test", "jo@sub.ibarra.test", otherwise=REFUTED)
    free, below, forged = (desk.take(letter(f"{who}.test"))[0] for who in ("joe@ibarra", "jo@sub.ibarra", "eve@ibarra"))
    would = domain_desk.add(desk.pipeline, "ibarra.test", ibarra, by="anna@nordvik.test", dry_run=True)
    assert [(row["id"], row["state"], row["reason"]) for row in would] == [(free, "ticket-opened", "colleague-opened")]
    with reading(desk.engine) as session:
        assert "ibarra.test" not in {row["domain"] for row in list_domains(session)}, "nothing was changed"
    assert {free, below, forged} <= set(held(desk))

    became = domain_desk.add(desk.pipeline, "ibarra.test", ibarra, by="anna@nordvik.test")
    assert [(row["id"], row["state"]) for row in became] == [(free, "ticket-opened")]
    assert desk.ledger(free)["reason"] is Reason.COLLEAGUE_OPENED
    assert set(held(desk)) == {below, forged}, "a forged mail stays where it is, and sub-domains are not covered"
    covered = domain_desk.add(desk.pipeline, "ibarra.test", ibarra, by="anna@nordvik.test", subdomains=True)
    assert [row["id"] for row in covered] == [below]


def test_a_new_domain_asks_the_superusers_where_colleagues_are_held(desk: SmallDesk) -> None:
    ibarra = desk.people("Ibarra", "lucia@ibarra.test")
    (id,) = desk.take(letter("joe@ibarra.test"))
    desk.send()
    became = domain_desk.add(desk.pipeline, "ibarra.test", ibarra, by="anna@nordvik.test")
    assert [(row["id"], row["state"]) for row in became] == [(id, "held")]
    assert held(desk)[id]["reason"] is Reason.COLLEAGUE_WITHOUT_SEAT
    asked = only(desk.rows(OUTBOX), mail=MailName.COLLEAGUE_ASK)
    assert [row["recipient"] for row in asked] == ["lucia@ibarra.test"]
    again = domain_desk.add(desk.pipeline, "ibarra.test", ibarra, by="anna@nordvik.test")
    assert again == [], "it waits for a superuser now, not for a domain"


def test_a_moved_domain_takes_what_waits_along(desk: SmallDesk) -> None:
    bolt = only(desk.rows(CUSTOMER), name="Bolt")[0]["id"]
    with transaction(desk.engine) as session:
        session.connection().execute(sa.update(CUSTOMER).where(CUSTOMER.c.id == bolt).values(colleagues="open"))
    (id,) = desk.take(letter("joe@elsewhere.test"))
    acme = only(desk.rows(CUSTOMER), name="Acme")[0]["id"]
    domain_desk.add(desk.pipeline, "elsewhere.test", acme, by="anna@nordvik.test")
    assert held(desk)[id]["reason"] is Reason.COLLEAGUE_WITHOUT_SEAT
    domain_desk.move(desk.pipeline, "elsewhere.test", bolt, by="anna@nordvik.test")
    (new,) = desk.take(letter("joe@elsewhere.test", "Second"))
    assert desk.ledger(new)["reason"] is Reason.COLLEAGUE_OPENED


# --- who is not believed changes nothing --------------------------------------------------------------------------


def test_T61_a_forged_report_changes_nothing(desk: SmallDesk) -> None:
    desk.take(letter(SU))
    (sent, *_) = [mail for mail in desk.send() if mail.forward_path == SU]
    before = {table.name: desk.rows(table) for table in _STATE}
    forged_path = sent.reverse_path.replace("bounce+", "bounce+9")
    for path in (
        "bounce@nordvik.test",
        "support@nordvik.test",
        forged_path,
        sent.reverse_path[:-22] + sent.reverse_path[-21:],
    ):
        for _ in range(3):
            desk.take(_report(SU, "<unknown@nordvik.test>"), reverse_path="", to=path)
            desk.take(_complaint(SU), reverse_path="", to=path)
    assert {table.name: desk.rows(table) for table in _STATE} == before
    for count in range(2):
        desk.take(_report(SU, f"<{sent.message_id}>", count), reverse_path="", to=sent.reverse_path)
    assert [row["address"] for row in desk.rows(SUPPRESSION)] == [SU], "the real return path does count, twice"
    with reading(desk.engine) as session:
        shown = show_ticket(session, desk.rows(TICKET)[0]["id"])
    assert shown and {one["suppressed"] for one in shown["participants"] if one["address"] == SU} == {"hard-bounce"}
    assert [row["recipient"] for row in only(desk.rows(OUTBOX), mail=MailName.STAFF_TASK)] == ["anna@nordvik.test"]
    desk.take(letter(SU, "I am alive"))
    assert desk.rows(SUPPRESSION) == [], "writing proves the address alive"


_STATE = (OUTBOX, RECIPIENT_HEALTH, SUPPRESSION, TICKET, ARTICLE, PARTICIPANT, CONTACT_ADDRESS)


def test_an_answer_that_comes_back_is_told_to_who_wrote_it_and_stands_on_the_ticket(desk: SmallDesk) -> None:
    desk.agent("bo@nordvik.test", "Bo")
    desk.take(letter(SU))
    desk.send()
    (number,) = (row["id"] for row in desk.rows(TICKET))
    answered = answer_ticket(desk.engine, number, "anna@nordvik.test", "Which version?", desk.time)
    assert not isinstance(answered, str)
    (answer,) = desk.send()
    desk.take(_report(SU, f"<{answer.message_id}>", 7), reverse_path="", to="support@nordvik.test")
    assert only(desk.rows(OUTBOX), mail=MailName.ANSWER_UNDELIVERED) == [], "our Message-ID is known to everybody in Cc"
    assert only(desk.rows(OUTBOX), status=OutboxStatus.FAILED) == []
    for count in range(2):
        desk.take(_report(SU, f"<{answer.message_id}>", count), reverse_path="", to=answer.reverse_path)
    told = only(desk.rows(OUTBOX), mail=MailName.ANSWER_UNDELIVERED)
    assert [row["recipient"] for row in told] == ["anna@nordvik.test"], "once, and nobody else"
    with reading(desk.engine) as session:
        ticket = show_ticket(session, number)
    assert ticket
    question, written, *reports = ticket["articles"]
    (delivery,) = written["delivery"]
    assert (question["delivery"], [one["delivery"] for one in reports]) == ([], [[], [], []])
    assert (delivery["recipient"], delivery["status"], delivery["sent"]) == (SU, "failed", desk.time)
    assert delivery["last_reply"].startswith("reported failed 5.1.1")
    (notice,) = [mail for mail in desk.send() if mail.reverse_path.startswith(f"bounce+{told[0]['id']}.")]
    before = desk.rows(OUTBOX)
    failed = _report("anna@nordvik.test", f"<{notice.message_id}>", 9)
    desk.take(failed, reverse_path="", to=notice.reverse_path)
    assert len(desk.rows(OUTBOX)) == len(before), "nobody is told of a notice"


def _report(failed: str, message_id: str, count: int = 0) -> bytes:
    return (
        "From: MAILER-DAEMON@mx.test\r\nTo: bounce@nordvik.test\r\nSubject: Undelivered\r\n"
        f"Message-ID: <report{count}@mx.test>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nNo such user.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\n"
        f"Final-Recipient: rfc822; {failed}\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {message_id}\r\n\r\n--b--\r\n"
    ).encode()


def _complaint(about: str) -> bytes:
    return (
        "From: fbl@mx.test\r\nTo: bounce@nordvik.test\r\nSubject: Abuse\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nSpam.\r\n"
        "--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: x/1\r\nVersion: 1\r\n"
        f"Original-Rcpt-To: {about}\r\n\r\n"
        "--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <unknown@nordvik.test>\r\n\r\n--b--\r\n"
    ).encode()


CONTROL = (
    *("X-Zammad-Ticket-Owner", "X-Zammad-Ticket-Priority", "X-Zammad-Ticket-State", "X-Zammad-Ignore"),
    *(
        "X-Zammad-Customer-Email",
        "X-Zammad-Ticket-Customer_id",
        "X-Zammad-Article-Internal",
        "X-Zammad-Send-Auto-Response",
    ),
    *("X-OTRS-Queue", "X-OTRS-Priority", "X-OTRS-State", "X-OTRS-Ignore", "X-OTRS-CustomerNo", "X-OTRS-CustomerUser"),
    *(
        "X-OTRS-Owner",
        "X-OTRS-Loop",
        "X-OTRS-FollowUp-State",
        "X-OTRS-DynamicField-Secret",
        "X-OTRS-IsVisibleForCustomer",
    ),
    *("X-Ignore", "X-RT-Command", "X-RT-Original-Encoding", "X-RT-Ticket", "X-FreeScout-Mail-Type", "X-osTicket-Owner"),
    *("X-Postdesk-Ticket", "X-Postdesk-Customer", "X-Postdesk-Mail", "X-Postdesk-Loop", "X-Postdesk-Believed"),
    *("X-Postdesk-Release", "X-Postdesk-Role", "X-Helpdesk-Id", "X-Spam-Flag", "X-GLPI-Ticket", "X-Redmine-Project"),
)


@pytest.mark.parametrize("author", [SU, "x@elsewhere.test"])
def test_T23_control_fields_of_strangers_have_no_effect(desk: SmallDesk, author: str) -> None:
    assert len(CONTROL) >= 30
    plain, *others = (letter(author, f"Number {n}") for n in range(len(CONTROL) + 1))
    for one, name in zip(others, CONTROL, strict=True):
        one[name] = "1001 admin@nordvik.test closed yes true agent Bolt desk.nordvik.test"
    first = desk.ledger(desk.take(plain)[0])
    for one, name in zip(others, CONTROL, strict=True):
        desk.wait(timedelta(days=31))
        row = desk.ledger(desk.take(one)[0])
        assert (row["state"], row["reason"], row["matched_by"]) == (first["state"], first["reason"], None), name
    opened = desk.rows(TICKET)
    same = ("status", "priority", "customer", "requester", "assignee", "marked", "paused", "language", "product")
    assert len({tuple(row[name] for name in same) for row in opened}) == (1 if author == SU else 0)
    assert {row["recipient"] for row in desk.rows(OUTBOX)} <= {SU, "anna@nordvik.test", "x@elsewhere.test"}


def test_unproved_is_told_from_refuted(desk: SmallDesk) -> None:
    """Plain text of a superuser that nothing proves is opened and marked, and answered at the registered address."""
    desk.believes = believing(otherwise=UNPROVED)
    (id,) = desk.take(letter(SU, "Marked", Reply_To="x@evil.test"), reverse_path="x@evil.test")
    assert desk.ledger(id)["state"] is LedgerState.TICKET_OPENED
    assert desk.rows(TICKET)[0]["marked"]
    assert {mail.forward_path for mail in desk.send()} == {SU, "anna@nordvik.test"}
