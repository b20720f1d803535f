"""The pipeline between a real spool and a real database: batches, a mail that fails, an outage, a second run."""

import errno
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Event

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from ingest.pipeline import run
from ingest.pipeline_parts import Authenticate, Pipeline
from ingest.poison import hold_shunted
from ingest.spool.spool import Spool
from models.blobs.store import open_blobs
from models.db.engine import reading, transaction
from models.people.customer import add_contact, add_customer, add_domain, give_seat
from models.views.ledger import count_ledger, list_held, list_ledger, list_tickets, show_ledger
from rules.policy import OwnMailbox, Policy
from rules.tokens import Keys
from values.mail import AuthEvidence, Envelope, Mailbox, SpooledMail
from values.vocabulary import Belief, MailboxPurpose, Source

NOW = datetime.now(UTC)
Make = Callable[..., Pipeline]


@pytest.fixture
def make(tmp_path: Path, database: sa.Engine) -> Make:
    """A pipeline whose desk knows the superuser grace@harbour.example."""
    with transaction(database) as session:
        customer = add_customer(session, "Harbour Tools", NOW)
        assert customer.id is not None
        add_domain(session, customer.id, "harbour.example")
        grace = add_contact(session, "grace@harbour.example", NOW, customer=customer.id)
        assert grace.id is not None
        give_seat(session, grace.id, customer.id, NOW)

    def made(authenticate: Authenticate | None = None) -> Pipeline:
        return Pipeline(
            spool=Spool(tmp_path / "spool"),
            engine=database,
            blobs=open_blobs((tmp_path / "blobs").as_uri()),
            policy=Policy(
                mailboxes=(OwnMailbox(address="support@nordvik.test", purpose=MailboxPurpose.SUPPORT),),
                return_path="bounce@nordvik.test",
                desk_domain="nordvik.test",
                authentication=authenticate is not None,
            ),
            keys=Keys(current="a", secrets={"a": bytes(32)}),
            now=lambda: datetime.now(UTC),
            authenticate=authenticate,
            cpu_seconds=10,
            wall_seconds=60,
        )

    return made


def _mail(subject: str) -> tuple[Envelope, bytes]:
    envelope = Envelope(
        reverse_path="grace@harbour.example",
        forward_paths=("support@nordvik.test",),
        source=Source.SMTP,
        received_at=datetime.now(UTC),
    )
    header = f"From: grace@harbour.example\r\nTo: support@nordvik.test\r\nSubject: {subject}\r\n"
    return envelope, f"{header}Message-ID: <{subject}@harbour.example>\r\n\r\nAbout {subject}.\r\n".encode()


def _work(desk: Pipeline) -> None:
    run(desk, "w0", Event(), until_idle=True)


def _states(desk: Pipeline) -> dict[str, int]:
    with reading(desk.engine) as session:
        return count_ledger(session)


def test_a_batch_becomes_tickets_and_its_raw_mails_are_kept(make: Make) -> None:
    desk = make()
    mails = [_mail(f"one-{number}") for number in range(12)]
    spooled = desk.spool.put_batch(mails)
    _work(desk)
    assert _states(desk) == {"ticket-opened": 12}
    assert [desk.blobs.get(each.sha256) for each in spooled] == [raw for _, raw in mails]
    assert desk.spool.counts().new == desk.spool.counts().work == 0


def test_a_mail_is_recorded_once_however_often_it_is_run(make: Make) -> None:
    """F06: the worker died after the commit and before the spool file went."""
    desk = make()
    claim_path = desk.spool.put(*_mail("twice")).path
    octets, name = claim_path.read_bytes(), claim_path.name
    _work(desk)
    (desk.spool.new / name).write_bytes(octets)
    _work(desk)
    assert _states(desk) == {"ticket-opened": 1}
    assert desk.spool.counts().new == 0


def test_authors_are_asked_after_at_once(make: Make) -> None:
    """F36: a forger's silent name servers cost each of his mails seconds; nobody waits for them one after the other."""
    all_ask = Barrier(20)

    def silent(spooled: SpooledMail, author: Mailbox) -> AuthEvidence:
        all_ask.wait(10)  # broken, and the mail with it, where another is asked after first
        return AuthEvidence(belief=Belief.UNPROVED, evidence=(spooled.id,))

    desk = make(silent)
    spooled = desk.spool.put_batch([_mail(f"slow-{number}") for number in range(20)])
    _work(desk)
    with reading(desk.engine) as session:
        rows = list_ledger(session)
        evidence = {row["id"]: (show_ledger(session, row["id"]) or {})["auth"]["evidence"] for row in rows}
    assert evidence == {mail.id: [mail.id] for mail in spooled}, "each has its own"


def _failing_for(desk_of: Make, marker: bytes, error: Exception) -> Pipeline:
    """A pipeline in which one stage fails for each mail with `marker`."""

    def check(spooled: SpooledMail, author: Mailbox) -> AuthEvidence:
        with spooled.path.open("rb") as file:
            file.seek(spooled.offset)
            if marker in file.read(spooled.size):
                raise error
        return AuthEvidence(belief=Belief.BELIEVED)

    return desk_of(check)


def test_a_mail_that_fails_takes_nobody_along(make: Make) -> None:
    """F32: two wait with it in one batch; the third failure shunts and holds it."""
    desk = _failing_for(make, b"Subject: bad", ValueError("a fault of ours"))
    desk.spool.put_batch([_mail("good-1"), _mail("bad"), _mail("good-2")])
    for _ in range(3):
        _work(desk)
        _let_deferred_be_due(desk)
    hold_shunted(desk.spool, desk.engine, desk.now)
    assert _states(desk) == {"ticket-opened": 2, "held": 1}
    with reading(desk.engine) as session:
        (held,) = list_held(session)
        assert held["reason"] == "poison"
        assert "a fault of ours" in held["why"]
        assert {row["subject"] for row in list_tickets(session)} == {"good-1", "good-2"}
    (shunted,) = desk.spool.shunted()
    assert (shunted.id, shunted.attempts) == (held["id"], 3)


def _let_deferred_be_due(desk: Pipeline) -> None:
    """As if the wait were over: the time stands in the file's name."""
    for path in list(desk.spool.new.iterdir()):
        path.rename(path.with_name(path.name.rpartition(".")[0] + ".0"))


def test_an_outage_costs_no_attempt(make: Make) -> None:
    desk = _failing_for(make, b"Subject", sa.exc.TimeoutError())
    desk.spool.put_batch([_mail("one"), _mail("two")])
    for _ in range(5):
        _work(desk)
        _let_deferred_be_due(desk)
    assert _states(desk) == {}
    assert desk.spool.counts().new == 2
    back = make()
    _work(back)
    assert _states(back) == {"ticket-opened": 2}


@pytest.mark.parametrize(
    ("place", "fault"), [("blobs", OSError(errno.ENOSPC, "no space")), ("database", sa.exc.TimeoutError("no answer"))]
)
def test_f09_f15_an_outage_is_logged_once_where_it_begins_and_once_where_it_ends(
    place: str, fault: Exception, make: Make
) -> None:
    """Not with a traceback for each mail every few seconds."""
    desk = _failing_for(make, b"Subject", fault)
    desk.spool.put_batch([_mail("one"), _mail("two")])
    with capture_logs() as said:
        for _ in range(5):
            _work(desk)
            _let_deferred_be_due(desk)
        _work(make())
    told = [(line["event"], line.get("place")) for line in said if line["event"] != "delivered"]
    assert told == [("outage began", place), ("outage ended", place)]
    assert not any("exc_info" in line for line in said)


def test_the_author_is_checked_before_the_decision(make: Make) -> None:
    desk = _failing_for(make, b"nothing", ValueError())
    spooled = desk.spool.put(*_mail("proved"))
    _work(desk)
    with reading(desk.engine) as session:
        row = show_ledger(session, spooled.id)
        (ticket,) = list_tickets(session)
    assert row is not None
    assert row["auth"]["belief"] == "believed"
    assert ticket["marked"] is False


def test_without_authentication_nobody_is_believed(make: Make) -> None:
    desk = make()
    desk.spool.put(*_mail("unproved"))
    _work(desk)
    with reading(desk.engine) as session:
        (ticket,) = list_tickets(session)
        (row,) = list_ledger(session)
    assert ticket["marked"] is True
    assert row["reason"] == "superuser"
