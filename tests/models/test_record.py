"""models/record.py: what a decision leaves in the database, once, whoever else is at work."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from models.db.engine import is_lost_race, retrying, transaction
from models.facts import gather
from models.inbound.held import HELD, drop, expire_due
from models.inbound.ledger import LEDGER, find_spooled
from models.outbox.outbox import OUTBOX, RECIPIENT_HEALTH, SUPPRESSION, claim_due, mark_sent
from models.people.customer import CONTACT_ADDRESS
from models.record import record, record_poison
from models.tickets.ticket import ARTICLE, ATTACHMENT, PARTICIPANT, THREAD_ANCHOR, TICKET
from tests.models.made import (
    NOW,
    Desk,
    a_mail,
    adding,
    an_attachment,
    clues_of,
    holding,
    make_desk,
    opening,
)
from values.decision import (
    AddArticle,
    Decision,
    Fields,
    LearnContact,
    NoteAutoReply,
    NoteSecondCopy,
    Notice,
    PauseThread,
    Receipt,
    RecordReport,
    Release,
    RotateToken,
    Unsuppress,
)
from values.errors import PostdeskError
from values.mail import DeliveryReport, Mailbox, ReportedRecipient, SpooledMail
from values.vocabulary import (
    ArticleKind,
    HeldState,
    LedgerState,
    MailName,
    OutboxStatus,
    ParticipantRole,
    Reason,
    SuppressionReason,
    TicketStatus,
)


@pytest.fixture
def desk(database: sa.Engine) -> Desk:
    with transaction(database) as session:
        return make_desk(session)


def counts(engine: sa.Engine, *tables: sa.Table) -> list[int]:
    with engine.connect() as connection:
        return [connection.execute(sa.select(sa.func.count()).select_from(t)).scalar_one() for t in tables]


def rows(engine: sa.Engine, table: sa.Table) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]


def do(engine: sa.Engine, mail: Any, decision: Decision, **more: Any) -> Receipt:
    with transaction(engine, snapshot=True) as session:
        return record(session, mail, decision, NOW, **more)


def test_a_new_ticket_has_its_number_article_anchors_participants_and_notice(database: sa.Engine, desk: Desk) -> None:
    mail = a_mail("A1", references=("before@acme.test",), attachments=(an_attachment(), an_attachment("b.png")))
    cc = (Mailbox(address="Eva@acme.test", name="Eva"),)
    made = do(database, mail, opening(mail, customer=desk.acme, contact=desk.lucia, cc=cc))
    assert (made.ticket, made.state, made.already) == (1001, LedgerState.TICKET_OPENED, False)
    (ticket,) = rows(database, TICKET)
    assert (ticket["status"], ticket["requester"], ticket["updated"]) == (TicketStatus.NEW, "su@acme.test", NOW)
    (article,) = rows(database, ARTICLE)
    assert (article["text"], article["ledger"], article["message_id"]) == (mail.text, "A1", "A1@acme.test")
    assert [row["name"] for row in rows(database, ATTACHMENT)] == ["report.pdf", "b.png"]
    assert {(row["message_id"], row["scope"]) for row in rows(database, THREAD_ANCHOR)} == {
        ("A1@acme.test", desk.acme),
        ("before@acme.test", desk.acme),
    }
    assert {row["address"] for row in rows(database, PARTICIPANT)} == {"su@acme.test", "eva@acme.test"}
    (promise,) = rows(database, OUTBOX)
    assert (promise["ticket"], promise["article"], promise["status"]) == (1001, made.article, OutboxStatus.DUE)
    assert promise["participant"] is not None and made.outbox == (promise["id"],)
    (ledger,) = rows(database, LEDGER)
    assert (ledger["ticket"], ledger["trace"]) == (1001, ["gate: no", "accept: superuser"])
    assert ledger["received"] == NOW and ledger["forward_paths"] == ["support@nordvik.test"]


def test_recording_a_spool_id_again_changes_nothing(database: sa.Engine, desk: Desk) -> None:
    mail = a_mail("A1")
    first = do(database, mail, opening(mail, customer=desk.acme))
    before = counts(database, LEDGER, TICKET, ARTICLE, OUTBOX, THREAD_ANCHOR, PARTICIPANT)
    again = do(database, mail, adding(mail, 1001))
    assert again == Receipt(
        ledger_id="A1", state=LedgerState.TICKET_OPENED, ticket=1001, article=first.article, already=True
    )
    assert counts(database, LEDGER, TICKET, ARTICLE, OUTBOX, THREAD_ANCHOR, PARTICIPANT) == before


def test_an_article_reopens_fills_empty_fields_and_keeps_stated_ones(database: sa.Engine, desk: Desk) -> None:
    mail, reply = a_mail("A1"), a_mail("A2")
    do(database, mail, opening(mail, customer=desk.acme, fields=Fields(product="Ledger")))
    do(database, reply, adding(reply, 1001, fields=Fields(product="Other", erp_version="24.1")))
    (ticket,) = rows(database, TICKET)
    assert (ticket["product"], ticket["erp_version"], ticket["status"]) == ("Ledger", "24.1", TicketStatus.OPEN)
    closing = a_mail("A3")
    do(database, closing, adding(closing, 1001, status=TicketStatus.CLOSED))
    assert rows(database, TICKET)[0]["closed_at"] == NOW
    reopening = a_mail("A4")
    do(database, reopening, adding(reopening, 1001))
    assert rows(database, TICKET)[0]["closed_at"] is None
    assert counts(database, ARTICLE, THREAD_ANCHOR) == [4, 4]


def test_a_command_leaves_a_note_closes_and_brings_back_who_had_left(database: sa.Engine, desk: Desk) -> None:
    mail, order = a_mail("A1"), a_mail("A2", text="close")
    do(database, mail, opening(mail, customer=desk.acme, cc=(Mailbox(address="eva@acme.test"),)))
    with transaction(database) as session:
        eva = sa.update(PARTICIPANT).where(PARTICIPANT.c.address == "eva@acme.test")
        session.connection().execute(eva.values(role=ParticipantRole.LEFT, generation=2))
    eva_and_jon = (Mailbox(address="Eva@acme.test"), Mailbox(address="jon@acme.test"))
    note = AddArticle(
        ticket=1001,
        author=Mailbox(address="su@acme.test"),
        kind=ArticleKind.NOTE,
        status=TicketStatus.CLOSED,
        cc=eva_and_jon,
    )
    done = Decision(state=LedgerState.COMMAND_DONE, reason=Reason.COMMAND, ticket=1001, actions=(note,))
    assert do(database, order, done).article == 2
    (ticket,) = rows(database, TICKET)
    assert (ticket["status"], ticket["closed_at"]) == (TicketStatus.CLOSED, NOW)
    assert [(row["kind"], row["text"]) for row in rows(database, ARTICLE)][1] == (ArticleKind.NOTE, "close")
    people = {row["address"]: (row["role"], row["generation"]) for row in rows(database, PARTICIPANT)}
    assert people["eva@acme.test"] == (ParticipantRole.CC, 2), "back, and what she had before stays void"
    assert people["jon@acme.test"] == (ParticipantRole.CC, 1)
    assert people["su@acme.test"][0] is ParticipantRole.REQUESTER


def test_no_ticket_of_that_number_is_a_broken_invariant_and_leaves_nothing(database: sa.Engine, desk: Desk) -> None:
    mail = a_mail("A1")
    with pytest.raises(PostdeskError, match="no ticket 77"):
        do(database, mail, adding(mail, 77))
    assert counts(database, LEDGER, ARTICLE, OUTBOX) == [0, 0, 0]


def test_the_same_message_id_under_two_customers_makes_two_tickets(database: sa.Engine, desk: Desk) -> None:
    """Threat T22: whoever re-uses a Message-ID merges nothing and blocks nothing."""
    victim = a_mail("A1", message_id="same@acme.test")
    attack = a_mail("A2", author="x@evil.test", message_id="same@acme.test")
    do(database, victim, opening(victim, customer=desk.acme))
    do(database, attack, opening(attack, customer=None))
    assert counts(database, TICKET, THREAD_ANCHOR) == [2, 2]
    with transaction(database, snapshot=True) as session:
        reply = a_mail("A3", in_reply_to=("same@acme.test",))
        assert gather(session, clues_of(reply), NOW).anchors == (("same@acme.test", 1001), ("same@acme.test", 1002))


def test_an_anchor_known_when_deciding_does_not_stop_a_new_ticket(database: sa.Engine, desk: Desk) -> None:
    """A follow-up of a ticket closed too long ago references ids that lead to the old one."""
    old = a_mail("A1")
    do(database, old, opening(old, customer=desk.acme))
    late = a_mail("A2", references=("A1@acme.test",))
    made = do(database, late, opening(late, customer=desk.acme, follow_up_of=1001))
    assert made.ticket == 1002
    assert {row["message_id"]: row["ticket"] for row in rows(database, THREAD_ANCHOR)} == {
        "A1@acme.test": 1001,
        "A2@acme.test": 1002,
    }


def _decide(mail: Any, desk: Desk, facts: Any) -> Decision:
    """The rules in small: a second copy, an answer to a known thread, or a new ticket."""
    if facts.second_copy_of:
        noted = (NoteSecondCopy(of=facts.second_copy_of),)
        return Decision(state=LedgerState.DUPLICATE, reason=Reason.SECOND_COPY, actions=noted)
    if facts.anchors:
        return adding(mail, facts.anchors[0][1])
    return opening(mail, customer=desk.acme)


def _race(database: sa.Engine, desk: Desk, mails: list[Any]) -> list[Receipt]:
    """One thread a mail; all have gathered their facts before the first may record (where the database lets them)."""
    may_wait = database.dialect.name == "postgresql"  # SQLite lets only one in at a time
    together = threading.Barrier(len(mails))
    receipts: list[Receipt] = []

    def deliver(mail: Any) -> None:
        first_try = True

        def once() -> Receipt:
            nonlocal first_try
            with transaction(database, snapshot=True) as session:
                facts = gather(session, clues_of(mail), NOW)
                if first_try and may_wait:
                    first_try = False
                    together.wait(20)
                return record(session, mail, _decide(mail, desk, facts), NOW)

        receipts.append(retrying(once))

    threads = [threading.Thread(target=deliver, args=(mail,)) for mail in mails]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(receipts) == len(mails)
    return receipts


def test_workers_that_open_one_thread_at_once_make_one_ticket(database: sa.Engine, desk: Desk) -> None:
    original = a_mail("A1")
    replies = [a_mail(f"A{n}", author=f"p{n}@acme.test", references=("A1@acme.test",)) for n in (2, 3)]
    receipts = _race(database, desk, [original, *replies])
    assert {made.ticket for made in receipts} == {1001} or len({made.ticket for made in receipts}) == 1
    assert sorted(made.state for made in receipts) == ["article-added", "article-added", "ticket-opened"]
    assert counts(database, TICKET, ARTICLE, LEDGER) == [1, 3, 3]


def test_two_copies_at_once_without_a_message_id_make_one_ticket(database: sa.Engine, desk: Desk) -> None:
    """Fault F27: the same mail by two ways."""
    copies = [a_mail(id, message_id=None, content_key="same") for id in ("A1", "A2")]
    receipts = _race(database, desk, copies)
    assert sorted(made.state for made in receipts) == ["duplicate", "ticket-opened"]
    assert counts(database, TICKET, OUTBOX, LEDGER) == [1, 1, 2]


def test_one_spool_entry_in_two_workers_is_recorded_once(database: sa.Engine, desk: Desk) -> None:
    receipts = _race(database, desk, [a_mail("A1", message_id=None), a_mail("A1", message_id=None)])
    assert sorted(made.already for made in receipts) == [False, True]
    assert counts(database, TICKET, OUTBOX, LEDGER) == [1, 1, 1]


def test_a_snapshot_is_demanded_where_a_race_would_go_unseen(database: sa.Engine, desk: Desk) -> None:
    mail = a_mail("A1")
    with transaction(database) as session:
        if database.dialect.name == "sqlite":
            record(session, mail, opening(mail, customer=desk.acme), NOW)
        else:
            with pytest.raises(PostdeskError, match="snapshot=True"):
                record(session, mail, opening(mail, customer=desk.acme), NOW)


def test_a_key_leaves_once(database: sa.Engine, desk: Desk) -> None:
    mail, other = a_mail("A1"), a_mail("A2")
    decision = opening(mail, customer=desk.acme)
    do(database, mail, decision)
    made = do(database, other, replace(decision, trace=()))
    assert made.outbox == () and counts(database, TICKET, OUTBOX) == [2, 1]


def test_a_held_mail_is_released_once_and_its_ledger_row_says_so(database: sa.Engine, desk: Desk) -> None:
    mail = a_mail("A1", author="eva@acme.test")
    do(database, mail, holding(customer=desk.acme, expires_at=NOW + timedelta(days=7)))
    (held,) = rows(database, HELD)
    assert (held["state"], held["author"], held["text"]) == (HeldState.HELD, "eva@acme.test", mail.text)
    release = Release(by="ana@nordvik.test", customer=desk.acme)
    decision = replace(opening(mail, customer=desk.acme), reason=Reason.RELEASED)
    assert do(database, mail, decision).already  # the spool entry again, not a person
    made = do(database, mail, decision, release=release)
    assert (made.already, made.ticket) == (False, 1001)
    again = do(database, mail, decision, release=release)
    assert again.already and counts(database, TICKET, LEDGER) == [1, 1]
    (held,) = rows(database, HELD)
    assert (held["state"], held["decided_by"]) == (HeldState.RELEASED, "ana@nordvik.test")
    (ledger,) = rows(database, LEDGER)
    assert (ledger["state"], ledger["reason"], ledger["ticket"]) == ("ticket-opened", Reason.RELEASED, 1001)


def test_held_mail_is_dropped_by_a_person_or_expires(database: sa.Engine) -> None:
    for id, expires in (("A1", None), ("A2", NOW), ("A3", NOW + timedelta(days=1))):
        do(database, a_mail(id), holding(expires_at=expires))
    with transaction(database) as session:
        assert drop(session, "A1", "ana@nordvik.test", NOW) and not drop(session, "A1", "ana@nordvik.test", NOW)
        assert expire_due(session, NOW) == ["A2"]
    assert [(row["id"], row["state"], row["reason"]) for row in rows(database, LEDGER)] == [
        ("A1", LedgerState.DISCARDED, Reason.DROPPED),
        ("A2", LedgerState.DISCARDED, Reason.HELD_EXPIRED),
        ("A3", LedgerState.HELD, Reason.UNKNOWN_CUSTOMER),
    ]


def test_a_report_counts_bounces_suppresses_and_fails_the_row(database: sa.Engine, desk: Desk) -> None:
    mail = a_mail("A1")
    (row,) = do(database, mail, opening(mail, customer=desk.acme)).outbox
    with transaction(database) as session:
        (claimed,) = claim_due(session, "w", NOW)
        assert mark_sent(session, claimed, NOW, message_id="1@nordvik.test")
    told = ReportedRecipient(address="su@acme.test", status="5.1.1", permanent=True, reason="userunknown")
    named = RecordReport(outbox=(row,), report=DeliveryReport(recipients=(told,)))
    do(
        database,
        a_mail("A0", author=None),
        Decision(state=LedgerState.REPORT_RECORDED, reason=Reason.DELIVERY_REPORT, actions=(named,)),
    )
    (sent,) = rows(database, OUTBOX)
    assert sent["status"] is OutboxStatus.SENT, "a report that proves nothing is noted, and the row stays sent"
    for n, suppress in ((2, ()), (3, (("su@acme.test", SuppressionReason.HARD_BOUNCE),))):
        action = RecordReport(
            outbox=(row,),
            report=DeliveryReport(recipients=(told,)),
            failed=(row,),
            hard_bounced=("SU@acme.test",),
            suppress=suppress,
            ticket=1001,
        )
        report = a_mail(f"A{n}", author=None)
        decision = Decision(state=LedgerState.REPORT_RECORDED, reason=Reason.DELIVERY_REPORT, actions=(action,))
        do(database, report, decision)
    assert [r["hard_bounces"] for r in rows(database, RECIPIENT_HEALTH)] == [2]
    assert [r["reason"] for r in rows(database, SUPPRESSION)] == [SuppressionReason.HARD_BOUNCE]
    (sent,) = rows(database, OUTBOX)
    assert (sent["status"], sent["last_reply"]) == (OutboxStatus.FAILED, "reported failed 5.1.1 userunknown")
    assert [r["automatic"] for r in rows(database, ARTICLE)] == [False, True, True]
    with transaction(database, snapshot=True) as session:
        facts = gather(session, clues_of(a_mail("A9"), reported_outbox_ids=(row,)), NOW)
        assert facts.author_suppressed and facts.outbox[0].hard_bounces == 2
    alive = a_mail("A4")
    do(database, alive, replace(adding(alive, 1001), actions=(Unsuppress(address="su@acme.test"),)))
    assert counts(database, SUPPRESSION, RECIPIENT_HEALTH) == [0, 0]


def test_the_small_actions(database: sa.Engine, desk: Desk) -> None:
    mail = a_mail("A1")
    do(database, mail, opening(mail, customer=desk.acme))
    (requester,) = rows(database, PARTICIPANT)
    note = a_mail("A2")
    do(
        database,
        note,
        Decision(
            state=LedgerState.AUTO_REPLY_NOTED,
            reason=Reason.AUTO_REPLY,
            ticket=1001,
            actions=(
                NoteAutoReply(ticket=1001),
                RotateToken(participant=requester["id"]),
                PauseThread(ticket=1001, story="12 mails in an hour"),
                LearnContact(mailbox=Mailbox(address="Eva@acme.test", name="Eva"), customer=desk.acme),
            ),
        ),
    )
    assert rows(database, PARTICIPANT)[0]["generation"] == 2
    (ticket,) = rows(database, TICKET)
    assert (ticket["paused"], ticket["status"], ticket["pause_story"]) == (
        True,
        TicketStatus.NEW,
        "12 mails in an hour",
    )
    assert {row["address"] for row in rows(database, CONTACT_ADDRESS)} == {"su@acme.test", "eva@acme.test"}
    assert rows(database, ARTICLE)[1]["automatic"]


HOSTILE = "nul \0 surrogate \udce4 long " + "x" * 5000


def test_no_text_of_a_mail_stops_the_recording(database: sa.Engine, desk: Desk) -> None:
    mail = a_mail(
        "A1",
        author=HOSTILE + "@evil.test",
        subject=HOSTILE,
        text=HOSTILE,
        full_text=HOSTILE,
        html=HOSTILE,
        message_id=HOSTILE,
        references=(HOSTILE + "1",),
        attachments=(replace(an_attachment(HOSTILE), type=HOSTILE, content_id=HOSTILE),),
    )
    decision = opening(mail, customer=None, fields=Fields(product=HOSTILE), proposed_cc=(Mailbox(address=HOSTILE),))
    context = (("fact", HOSTILE),)
    notice = Notice(mail=MailName.UNKNOWN_AUTHOR, recipient=HOSTILE, key=HOSTILE[:200], context=context)
    do(database, mail, replace(decision, notices=(notice,), trace=(HOSTILE,)))
    held = a_mail("A2", subject=HOSTILE, text=HOSTILE)
    do(database, held, holding())
    with transaction(database, snapshot=True) as session:
        again = a_mail("A3", author=HOSTILE + "@evil.test", in_reply_to=(HOSTILE,))
        assert gather(session, clues_of(again), NOW).anchors == ((HOSTILE, 1001),)


def test_a_mail_that_fails_in_a_batch_takes_only_itself_back(database: sa.Engine, desk: Desk) -> None:
    mails = [a_mail(f"A{n}") for n in range(3)]
    with transaction(database, snapshot=True) as session:
        for mail in mails:
            try:
                with session.begin_nested():
                    wrong = mail.spool_id == "A1"
                    record(session, mail, adding(mail, 77) if wrong else opening(mail, customer=desk.acme), NOW)
            except PostdeskError:
                pass
    assert [row["id"] for row in rows(database, LEDGER)] == ["A0", "A2"]
    assert counts(database, TICKET, OUTBOX) == [2, 2]


def test_poison_is_held_with_what_is_known_of_it(database: sa.Engine, tmp_path: Any) -> None:
    envelope = a_mail("P1").envelope
    spooled = SpooledMail(
        id="P1", path=tmp_path / "x", offset=0, size=9, sha256="0" * 64, envelope=envelope, attempts=3
    )
    for already in (False, True):
        with transaction(database, snapshot=True) as session:
            made = record_poison(session, spooled, "It made the reader use more than 20 s.", NOW)
            assert (made.state, made.already) == (LedgerState.HELD, already)
            assert find_spooled(session, "P1") == (envelope, "0" * 64, 9)
    assert [row["reason"] for row in rows(database, HELD)] == [Reason.POISON]


def test_what_another_took_is_a_lost_race_and_the_rest_is_not(database: sa.Engine, desk: Desk) -> None:
    with pytest.raises(sa.exc.IntegrityError) as twice, transaction(database) as session:
        make_desk_again = sa.insert(CONTACT_ADDRESS).values(contact=desk.lucia, address="su@acme.test", main=True)
        session.connection().execute(make_desk_again)
    assert is_lost_race(twice.value)
    with pytest.raises(sa.exc.IntegrityError) as nobody, transaction(database) as session:
        session.connection().execute(sa.insert(CONTACT_ADDRESS).values(contact=999, address="eva@acme.test", main=True))
    assert not is_lost_race(nobody.value)
