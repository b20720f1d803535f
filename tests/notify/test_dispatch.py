"""notify/dispatch.py on both databases, against scripted servers: once is enough, and nothing is lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from threading import Event, Thread
from typing import Any

import pytest
import sqlalchemy as sa

from models.blobs.store import open_blobs
from models.db.engine import make_engine, transaction
from models.outbox.delivery import count_failed, find_deliveries
from models.outbox.outbox import OUTBOX, enqueue, retry, suppress
from models.people.agent import add_agent
from models.sessions.sign_in import ask_sign_in
from models.tickets.ticket import NewArticle, NewTicket, add_article, open_ticket
from notify import dispatch
from notify.dispatch import Dispatch, run, run_once
from notify.render import Renderer
from notify.smarthost import Timeouts, open_smarthost
from tests.notify.rows import LETTERHEAD, NOW
from tests.notify.sink import CUT, Sink, serving
from values.decision import Fields, Notice
from values.mail import AttachmentRef, Mailbox
from values.vocabulary import ArticleKind, Door, MailName, ParticipantRole, SuppressionReason

SU, ANNA = "lucia@ibarra.test", "anna@nordvik.test"


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time

    def move(self, **by: float) -> None:
        self.time += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sink() -> Iterator[Sink]:
    with serving(Sink()) as made:
        yield made


@pytest.fixture
def desk(database: sa.Engine, sink: Sink, clock: Clock) -> Iterator[Dispatch]:
    made = desk_on(database, sink.url, clock)
    yield made
    made.smarthost.close()


def desk_on(engine: sa.Engine, url: str, now: Callable[[], datetime]) -> Dispatch:
    smarthost = open_smarthost(url, timeouts=Timeouts(connect=5, command=5, data=5))
    return Dispatch(
        engine=engine,
        smarthost=smarthost,
        letterhead=LETTERHEAD,
        renderer=Renderer(),
        blobs=open_blobs("memory:"),
        now=now,
    )


def promise(engine: sa.Engine, *recipients: str, lane: int = 0, created: datetime = NOW) -> tuple[int, ...]:
    """A ticket with a question, and an acknowledgement promised to each recipient."""
    with transaction(engine) as session:
        requester = Mailbox(address=SU, name="Lucía Ibarra")
        new = NewTicket(
            subject="La exportación se detiene", requester=requester, customer=None, contact=None, language="es",
            fields=Fields(product="Nordvik Payroll"),
        )  # fmt: skip
        number = open_ticket(session, new, created)
        file = AttachmentRef(name="captura.png", type="image/png", size=211_000, sha256="0" * 64)
        question = NewArticle(
            kind=ArticleKind.INBOUND, author=requester, text="No va.", message_id=f"q{number}@ibarra.test",
            attachments=(file,),
        )  # fmt: skip
        article = add_article(session, number, question, created, Door.MAIL)
        notices = [
            Notice(
                mail=MailName.ACKNOWLEDGEMENT,
                recipient=recipient,
                key=Notice.key_of(MailName.ACKNOWLEDGEMENT, str(number), recipient),
                ticket=number,
                language="es",
                zone="Europe/Madrid",
                in_reply_to=f"q{number}@ibarra.test",
                role=ParticipantRole.REQUESTER,
                context=(("sender_text", 1),),
            )
            for recipient in (recipients or (SU,))
        ]
        return enqueue(session, notices, created, article=article, lane=lane)


def row(engine: sa.Engine, id: int) -> Any:
    with engine.connect() as connection:
        return connection.execute(sa.select(OUTBOX).where(OUTBOX.c.id == id)).one()


def statuses(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return [str(one) for one in connection.execute(sa.select(OUTBOX.c.status).order_by(OUTBOX.c.id)).scalars()]


def test_of_two_links_the_newer_one_leaves_and_the_other_is_no_failure(desk: Dispatch, sink: Sink) -> None:
    """Anybody may ask for a link in somebody's name, twice at once: that is nothing an operator must look at."""
    with transaction(desk.engine) as session:
        add_agent(session, ANNA, "Anna Berg", NOW)
        for _ in range(2):
            ask_sign_in(session, ANNA, NOW + timedelta(minutes=15), NOW, language="en")
    while run_once(desk, "w").settled:
        pass
    assert statuses(desk.engine) == ["suppressed", "sent"] and len(sink.messages) == 1


def test_a_promise_leaves_once(desk: Dispatch, sink: Sink) -> None:
    (id,) = promise(desk.engine)
    assert run_once(desk, "w").settled == 1 and run_once(desk, "w").settled == 0
    sent = row(desk.engine, id)
    assert (sent.status, sent.attempts, sent.sent, sent.last_reply) == ("sent", 1, NOW, "250 2.0.0 Taken as 1")
    (taken,) = sink.messages
    message: Any = message_from_bytes(taken, policy=policy.default)
    assert message["Message-ID"] == f"<{sent.message_id}>" and message["To"] == SU
    assert message["Subject"] == "Re: La exportación se detiene"
    assert message["In-Reply-To"] == message["References"] == f"<q{sent.ticket}@ibarra.test>"
    text = message.get_body(("plain",)).get_content().replace("\r\n", "\n")
    assert f"Su número es {sent.ticket}." in text and "- Producto: Nordvik Payroll" in text and "captura.png" in text
    assert "Versión del producto:" in text and "\nProducto:" not in text
    assert f"MAIL FROM:<bounce+{id}." in "".join(sink.commands)


def test_an_answer_of_an_agent(desk: Dispatch, sink: Sink) -> None:
    (id,) = promise(desk.engine)
    run_once(desk, "w")
    number = row(desk.engine, id).ticket
    with transaction(desk.engine) as session:
        answer = NewArticle(
            kind=ArticleKind.OUTBOUND, author=Mailbox(address="anna@nordvik.test", name="Anna Lind"), text="¿Versión?"
        )
        article = add_article(session, number, answer, NOW, Door.COMMAND)
        notice = Notice(
            mail=MailName.AGENT_REPLY, recipient=SU, key="reply", ticket=number, language="es",
            role=ParticipantRole.REQUESTER,
        )  # fmt: skip
        enqueue(session, [notice], NOW, article=article)
    run_once(desk, "w")
    message: Any = message_from_bytes(sink.messages[1], policy=policy.default)
    assert message["From"].addresses[0].display_name == "Anna Lind (Nordvik Support)"
    assert message["In-Reply-To"] == f"<q{number}@ibarra.test>"
    assert message["References"] == f"<q{number}@ibarra.test> <{row(desk.engine, id).message_id}>"
    text = message.get_body(("plain",)).get_content().replace("\r\n", "\n")
    assert text.startswith("¿Versión?\n\nAnna Lind\n\n-- \n") and "\n> No va.\n" in text
    assert "Auto-Submitted" not in message


def test_a_deferral_is_tried_again_with_the_same_id_and_ends(desk: Dispatch, sink: Sink, clock: Clock) -> None:
    sink.replies["RCPT"] = "451 4.3.0 later"
    (id,) = promise(desk.engine)
    assert run_once(desk, "w").settled == 1
    first = row(desk.engine, id)
    assert first.status == "due" and timedelta(minutes=1) <= first.due_at - NOW <= timedelta(minutes=1.2)
    assert first.last_reply == "451 4.3.0 later" and run_once(desk, "w").settled == 0, "not before its time"
    attempts = 1
    while row(desk.engine, id).status == "due":
        clock.time = row(desk.engine, id).due_at
        if attempts == 8:  # the days between are all alike
            clock.time = NOW + timedelta(days=4, hours=20)
        assert run_once(desk, "w").settled == 1
        attempts += 1
    last = row(desk.engine, id)
    assert last.status == "failed" and last.last_reply.startswith("given up: 451") and last.attempts == attempts
    assert timedelta(days=4) < clock.time - NOW <= timedelta(days=5) and last.message_id == first.message_id


def test_a_no_is_final(desk: Dispatch, sink: Sink, clock: Clock) -> None:
    sink.replies["RCPT"] = "550 5.1.1 no such user"
    (id,) = promise(desk.engine)
    run_once(desk, "w")
    clock.move(days=1)
    assert run_once(desk, "w").settled == 0
    assert (row(desk.engine, id).status, row(desk.engine, id).last_reply) == ("failed", "550 5.1.1 no such user")


def answered(engine: sa.Engine, *recipients: str, language: str = "sv") -> tuple[int, ...]:
    """A ticket and Anna's answer on it, promised to each recipient."""
    promised = promise(engine)
    number = row(engine, promised[0]).ticket
    with transaction(engine) as session:
        new = NewArticle(kind=ArticleKind.OUTBOUND, author=Mailbox(address=ANNA, name="Anna Lind"), text="¿Versión?")
        article = add_article(session, number, new, NOW, Door.COMMAND)
        notices = [
            Notice(
                mail=MailName.AGENT_REPLY, recipient=recipient, key=f"reply:{recipient}", ticket=number,
                role=ParticipantRole.REQUESTER, context=(("author", ANNA), ("author_language", language)),
            )
            for recipient in recipients
        ]  # fmt: skip
        return enqueue(session, notices, NOW, article=article)


def undelivered(engine: sa.Engine) -> list[Any]:
    with engine.connect() as connection:
        which = sa.select(OUTBOX).where(OUTBOX.c.mail == MailName.ANSWER_UNDELIVERED)
        return list(connection.execute(which.order_by(OUTBOX.c.id)))


def test_an_answer_that_is_refused_is_told_to_its_author(desk: Dispatch, sink: Sink) -> None:
    a, b = answered(desk.engine, "a@x.test", "b@x.test")
    sink.replies["RCPT"] = ["250 Ok", "250 Ok", "550 5.1.1 no such user"]  # the acknowledgement, a, b
    run_once(desk, "w")
    (notice,) = undelivered(desk.engine)
    assert (notice.recipient, notice.language, notice.status, notice.lane) == (ANNA, "sv", "due", 0)
    sink.replies["RCPT"] = "250 Ok"
    run_once(desk, "w")
    message: Any = message_from_bytes(sink.messages[-1], policy=policy.default)
    assert message["To"] == ANNA and message["Auto-Submitted"] == "auto-generated" and message["Reply-To"] is None
    text = message.get_body(("plain",)).get_content()
    assert "b@x.test" in text and "550 5.1.1 no such user" in text and f"postdesk outbox retry {b}" in text
    with transaction(desk.engine) as session:
        (delivery,) = find_deliveries(session, row(desk.engine, a).ticket).values()
    assert [(one["recipient"], one["status"], one["last_reply"]) for one in delivery] == [
        ("a@x.test", "sent", row(desk.engine, a).last_reply),
        ("b@x.test", "failed", "550 5.1.1 no such user"),
    ]


def test_an_answer_that_never_leaves_is_told_each_time_a_person_tried(desk: Dispatch, sink: Sink, clock: Clock) -> None:
    """Suppressed, given up, not to be composed; and again, where a person sent it again in vain."""
    gone, late, odd = answered(desk.engine, "gone@x.test", "late@x.test", "o dd@x.test")
    with transaction(desk.engine) as session:
        suppress(session, "gone@x.test", SuppressionReason.HARD_BOUNCE, NOW)
    sink.replies["RCPT"] = "451 4.3.0 later"
    run_once(desk, "w")
    clock.move(days=5)
    with desk.engine.begin() as connection:  # the days between are all alike
        connection.execute(sa.update(OUTBOX).where(OUTBOX.c.id == late).values(attempts=100))
    run_once(desk, "w")
    told = {one.context["outbox"]: one.context for one in undelivered(desk.engine)}
    assert {id: one["what"] for id, one in told.items()} == {gone: "suppressed", late: "failed", odd: "failed"}
    assert told[late]["reply"] == "given up: 451 4.3.0 later" and "not one plain" in str(told[odd]["reply"])
    with transaction(desk.engine) as session:
        assert retry(session, gone, clock())
    run_once(desk, "w")
    assert len(undelivered(desk.engine)) == 4


def test_a_notice_that_fails_is_told_to_nobody(desk: Dispatch, sink: Sink) -> None:
    answered(desk.engine, "a@x.test")
    sink.replies["RCPT"] = "550 5.1.1 no such user"
    assert run(desk, "w", Event(), until_idle=True) == 3
    assert statuses(desk.engine) == ["failed"] * 3 and len(undelivered(desk.engine)) == 1
    with transaction(desk.engine) as session:
        assert (count_failed(session, NOW), count_failed(session, NOW + timedelta(seconds=1))) == (3, 0)


def test_each_recipient_has_his_own_fate(desk: Dispatch, sink: Sink) -> None:
    """Fault F20: of a yes, a later and a no, only the later one is tried again."""
    sink.replies["RCPT"] = ["250 Ok", "450 busy", "550 no"]
    promise(desk.engine, "a@x.test", "b@x.test", "c@x.test")
    run_once(desk, "w")
    assert statuses(desk.engine) == ["sent", "due", "failed"] and len(sink.messages) == 1


def test_a_suppressed_address_gets_nothing(desk: Dispatch, sink: Sink) -> None:
    (id,) = promise(desk.engine, "Lucia@Ibarra.test")
    with transaction(desk.engine) as session:
        suppress(session, SU, SuppressionReason.HARD_BOUNCE, NOW)
    assert run_once(desk, "w").settled == 1
    assert row(desk.engine, id).status == "suppressed" and "hard-bounce" in row(desk.engine, id).last_reply
    assert sink.connections == 0


def test_what_cannot_be_composed_fails_alone(desk: Dispatch, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threat M9: a poisoned row neither comes again nor holds up the next."""
    bad, odd, good = promise(desk.engine, "a b@x.test", "odd@x.test", SU)
    real = dispatch.outgoing

    def outgoing(rows: Any, letterhead: Any) -> Any:
        if rows.claimed.id == odd:
            raise RecursionError("a fault of ours")
        return real(rows, letterhead)

    monkeypatch.setattr(dispatch, "outgoing", outgoing)
    assert run_once(desk, "w").settled == 3 and run_once(desk, "w").settled == 0
    assert statuses(desk.engine) == ["failed", "failed", "sent"]
    assert "not one plain address" in row(desk.engine, bad).last_reply
    assert "a fault of ours" in row(desk.engine, odd).last_reply and row(desk.engine, good).attempts == 1


def test_a_ticket_that_is_gone(desk: Dispatch) -> None:
    with transaction(desk.engine) as session:
        enqueue(session, [Notice(mail=MailName.ACKNOWLEDGEMENT, recipient=SU, key="k")], NOW)
    run_once(desk, "w")
    assert statuses(desk.engine) == ["failed"]


def test_an_unreachable_smarthost_costs_one_attempt_a_round(database: sa.Engine, clock: Clock) -> None:
    with serving(Sink(replies={"greeting": "421 4.3.2 down"})) as down:
        desk = desk_on(database, down.url, clock)
        promise(database, *(f"u{n}@x.test" for n in range(4)))
        done = run_once(desk, "w")
        assert done.unreachable and done.settled == 4 and down.connections == 1
        assert statuses(database) == ["due"] * 4
        assert run(desk, "w", Event(), until_idle=True) == 0


def test_run_sends_until_idle_and_until_stopped(desk: Dispatch, sink: Sink) -> None:
    promise(desk.engine, *(f"u{n}@x.test" for n in range(12)))
    assert run(desk, "w", Event(), until_idle=True) == 12
    assert statuses(desk.engine) == ["sent"] * 12 and sink.connections == 1
    stop = Event()
    again = desk_on(desk.engine, sink.url, desk.now)
    worker = Thread(target=run, args=(again, "w", stop), kwargs={"poll": 0.01})
    worker.start()
    sink.taken.clear()
    promise(desk.engine, "late@x.test")
    assert sink.taken.wait(10)
    stop.set()
    worker.join(10)
    assert not worker.is_alive() and statuses(desk.engine) == ["sent"] * 13


def test_digests_never_starve_acknowledgements(desk: Dispatch, sink: Sink) -> None:
    """Fault F22: an acknowledgement waits for one handful at most, however many digests are queued."""
    promise(desk.engine, *(f"d{n}@x.test" for n in range(30)), lane=1)
    run_once(desk, "w")
    (urgent,) = promise(desk.engine, "urgent@x.test")
    run_once(desk, "w")
    assert row(desk.engine, urgent).status == "sent" and len(sink.messages) <= 2 * dispatch.MOST_AT_ONCE


def test_two_dispatchers_share_the_work(desk: Dispatch, sink: Sink) -> None:
    promise(desk.engine, *(f"u{n}@x.test" for n in range(40)))
    other = desk_on(desk.engine, sink.url, desk.now)
    workers = [
        Thread(target=run, args=(one, name, Event()), kwargs={"until_idle": True})
        for one, name in ((desk, "a"), (other, "b"))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    run(desk_on(desk.engine, sink.url, desk.now), "c", Event(), until_idle=True)
    assert statuses(desk.engine) == ["sent"] * 40
    to = sorted(str(message_from_bytes(message)["To"]) for message in sink.messages)
    assert to == sorted(f"u{n}@x.test" for n in range(40)), "each once"


def test_the_lease_is_kept_while_a_dialogue_lasts(desk: Dispatch, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow smarthost: a second worker must not take the row of the first and send it twice."""
    monkeypatch.setattr(dispatch, "LEASE", timedelta(seconds=0.6))
    slow = replace(desk, now=lambda: datetime.now(UTC))
    promise(desk.engine, created=datetime.now(UTC) - timedelta(seconds=1))
    release = Event()
    monkeypatch.setattr(sink, "reply", lambda verb, default: (verb == "." and release.wait(10), default)[1])
    worker = Thread(target=run_once, args=(slow, "first"))
    worker.start()
    assert sink.taken.wait(10)
    second = desk_on(desk.engine, sink.url, lambda: datetime.now(UTC))
    for _ in range(4):
        Event().wait(0.4)  # real leases end in real time
        assert run_once(second, "second").settled == 0
    release.set()
    worker.join(10)
    assert statuses(desk.engine) == ["sent"] and len(sink.messages) == 1
    second.smarthost.close()


def test_a_worker_whose_row_was_taken_settles_nothing(desk: Dispatch, clock: Clock) -> None:
    (id,) = answered(desk.engine, "a@x.test")
    stolen = []

    class Slow:
        def send(self, mail: Any) -> Any:
            with desk.engine.begin() as connection:  # the lease ended, and another worker has the row
                connection.execute(sa.update(OUTBOX).where(OUTBOX.c.id == id).values(fence=OUTBOX.c.fence + 1))
            stolen.append(mail.message_id)
            return dispatch.Failed(reply="550 late news")

        def close(self) -> None: ...

    run_once(replace(desk, smarthost=Slow()), "late")
    assert stolen and row(desk.engine, id).status == "sending" and row(desk.engine, id).last_reply is None
    assert not undelivered(desk.engine), "another worker may have sent it"


# --- kill -9 (fault F07) ----------------------------------------------------------------------------------------

CHILD = """
import sys
from datetime import datetime
from models.db.engine import make_engine
from models.blobs.store import open_blobs
from notify.dispatch import run_once
from tests.notify.test_dispatch import desk_on
now = datetime.fromisoformat(sys.argv[3])
run_once(desk_on(make_engine(sys.argv[1]), sys.argv[2], lambda: now), "killed")
"""


@pytest.mark.parametrize(
    ("place", "copies"),
    [("dispatch.after-claim", 1), ("dispatch.before-send", 1), ("dispatch.before-mark", 2), ("dispatch.after-mark", 1)],
)
def test_killed_anywhere_the_mail_leaves_and_a_second_copy_is_recognisable(
    place: str, copies: int, database_url: str, sink: Sink, clock: Clock
) -> None:
    engine = make_engine(database_url)
    (id,) = promise(engine)
    child = subprocess.run(
        [sys.executable, "-c", CHILD, database_url, sink.url, NOW.isoformat()],
        env={**os.environ, "POSTDESK_FAIL_AT": place},
        capture_output=True,
        timeout=60,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    clock.move(seconds=dispatch.LEASE.total_seconds() + 1)
    desk = desk_on(engine, sink.url, clock)
    run_once(desk, "next")
    desk.smarthost.close()
    assert row(engine, id).status == "sent"
    ids = [message_from_bytes(message)["Message-ID"] for message in sink.messages]
    assert len(ids) == copies and len(set(ids)) == 1, "only the ambiguous moment sends twice, under the same id"
    engine.dispose()


def test_no_reply_after_the_dot_is_unknown_and_tried_again_with_the_same_id(
    desk: Dispatch, sink: Sink, clock: Clock
) -> None:
    sink.replies["."] = [CUT]
    (id,) = promise(desk.engine)
    run_once(desk, "w")
    assert row(desk.engine, id).status == "due"
    clock.move(minutes=2)
    run_once(desk, "w")
    ids = [message_from_bytes(message)["Message-ID"] for message in sink.messages]
    assert row(desk.engine, id).status == "sent" and len(ids) == 2 and len(set(ids)) == 1
    assert sink.messages[0] == sink.messages[1], "the same octets: a second copy is the same mail"
