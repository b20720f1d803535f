"""Load that keeps its promise and books that must balance: what every fault test sends, and what must be true after."""

import itertools
import smtplib
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from tests.desk import Sink, TestDesk, wait_until

AGENT = "anna@nordvik.test"
AUTHORS = 200
ROLES = "listen,pipeline,dispatch,schedule"  # the portal has no part in a mail's way


@dataclass(slots=True, kw_only=True)
class Letter:
    """One mail of one author (so that no budget of answers is touched), and what its sender saw."""

    number: int
    marker: str
    text: str = "The export stops."
    kind: str = "plain"
    tries: int = 0  # how often it was sent, or may have been
    accepted: int = 0  # how often it got a 250

    @property
    def author(self) -> str:
        return f"c{self.number}@ibarra.example"

    @property
    def message_id(self) -> str:
        return f"{self.marker}@mail.ibarra.example"

    @property
    def raw(self) -> bytes:
        return (
            f"From: {self.author}\r\nTo: support@nordvik.test\r\nSubject: Export {self.marker} stops\r\n"
            f"Message-ID: <{self.message_id}>\r\nDate: Tue, 24 Nov 2026 08:00:00 +0000\r\n"
            f"MIME-Version: 1.0\r\nContent-Type: text/{self.kind}; charset=utf-8\r\n\r\n{self.text}\r\n"
        ).encode()


_numbers = itertools.count()


def letters(name: str, count: int, *, large_every: int = 10) -> list[Letter]:
    """Mostly small mails, which share a spool file, and now and then one that has a file of its own."""
    large = "A line of a long protocol.\r\n" * 4000
    return [
        Letter(
            number=next(_numbers) % AUTHORS,
            marker=f"{name}{n}",
            text=large if n % large_every == 5 else "The export stops.",
        )
        for n in range(count)
    ]


class Load:
    """Senders that do as RFC 5321 §4.5.4.1 asks: without a 250 they keep the mail and send the same octets again."""

    def __init__(self, port: int, threads: int = 4) -> None:
        self._port = port
        self._queue: Queue[Letter] = Queue()
        self._ended = threading.Event()
        self._busy = [threading.Thread(target=self._send_all, daemon=True) for _ in range(threads)]
        for thread in self._busy:
            thread.start()

    def send(self, all_of: Iterable[Letter]) -> None:
        for letter in all_of:
            self._queue.put(letter)

    def end(self) -> None:
        self._ended.set()
        for thread in self._busy:
            thread.join(60)
            assert not thread.is_alive()

    def _send_all(self) -> None:
        session: smtplib.SMTP | None = None
        while not self._ended.is_set():
            try:
                letter = self._queue.get(timeout=0.05)
            except Empty:
                continue
            while not letter.accepted and not self._ended.is_set():
                session = self._send(session, letter)
        if session is not None:
            session.close()

    def _send(self, session: smtplib.SMTP | None, letter: Letter) -> smtplib.SMTP | None:
        """The session to go on with, or None after a fault."""
        try:
            session = session or smtplib.SMTP("127.0.0.1", self._port, timeout=30)
            letter.tries += 1
            session.sendmail(letter.author, ["support@nordvik.test"], letter.raw)
            letter.accepted += 1
            return session
        except (OSError, smtplib.SMTPException) as error:
            assert getattr(error, "smtp_code", 400) < 500, f"our fault must be 4yz: {error}"
            if session is not None:
                session.close()
            self._ended.wait(0.1)
            return None


@contextmanager
def load(desk: TestDesk, threads: int = 4) -> Iterator[Load]:
    running = Load(desk.port, threads)
    try:
        yield running
    finally:
        running.end()


def make_desk(folder: Path, database: str, sink: Sink, **settings: str) -> TestDesk:
    """A desk that opens a ticket for each author of a letter, and tells one agent."""
    desk = TestDesk(folder, database, sink.url, **settings)
    superusers = " ".join(f"c{n}@ibarra.example" for n in range(AUTHORS))
    table = folder / "customers.csv"
    table.write_text(
        "name,domains,language,zone,seats,superusers\n"
        f"Talleres Ibarra,ibarra.example,es,Europe/Madrid,{AUTHORS},{superusers}\n"
    )
    desk.run("customer", "import", str(table))
    desk.run("agent", "add", AGENT, "--name", "Anna Berg")
    return desk


class Arming:
    """Named places (models/db/failpoint.py) at which a process of a running desk shall die."""

    def __init__(self, desk: TestDesk, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        desk.env["POSTDESK_FAIL_AT"] = f"{folder}/"

    def arm(self, *stages: str) -> None:
        for stage in stages:
            (self._folder / stage).touch()

    def wait(self) -> None:
        """Until somebody has died at every armed stage."""
        wait_until(lambda: not any(self._folder.iterdir()), "a death at each armed stage")


def counted(desk: TestDesk) -> dict[str, Any]:
    answer: dict[str, Any] = desk.json("ledger", "count")
    return answer


def wait_decided(desk: TestDesk, sent: Sequence[Letter]) -> None:
    """Until every letter has its 250 and the spool is empty."""
    wait_until(lambda: all(letter.accepted for letter in sent), "a 250 for each letter")
    wait_until(lambda: not counted(desk)["states"]["spooled"], "an empty spool")


def wait_sent(desk: TestDesk) -> None:
    wait_until(lambda: {row["status"] for row in desk.json("outbox", "list")} <= {"sent"}, "an empty outbox")


def check_ledger(desk: TestDesk, sent: Sequence[Letter], held: Iterable[str] = ()) -> Counter[str]:
    """Every mail that got a 250 is in the ledger exactly once, with one ticket (or held); the states."""
    book = counted(desk)
    ledger = desk.json("ledger", "list")
    assert book["accepted"] == sum(book["states"].values()) == len(ledger)
    rows = defaultdict(list)
    for row in ledger:
        rows[row["message_id"]].append(row["state"])
    poisoned = set(held)
    for letter in sent:
        states = Counter(rows.pop(letter.message_id, ()))
        if letter.marker in poisoned:  # held unread: the ledger knows no Message-ID of it
            assert not states
            continue
        assert states.pop("ticket-opened", 0) == 1, f"{letter.marker}: {states} {_of(ledger, letter)}"
        # What came again is a copy: each 250 has its row, and each row was sent.
        assert letter.accepted <= 1 + states.pop("duplicate", 0) <= letter.tries, f"{letter.marker}: {states}"
        assert not states, f"{letter.marker}: {states}"
    assert len(rows.pop(None, [])) == len(poisoned) and not rows
    opened = Counter(ticket["subject"] for ticket in desk.json("ticket", "list"))
    assert opened == Counter(f"Export {x.marker} stops" for x in sent if x.marker not in poisoned)
    return Counter(row["state"] for row in ledger)


def _of(ledger: list[dict[str, Any]], letter: Letter) -> list[tuple[str, str]]:
    """What the ledger says of a letter, for the message of a failed assertion."""
    return [(row["state"], row["reason"]) for row in ledger if row["message_id"] == letter.message_id]


def check_outbox(desk: TestDesk, sent: Sequence[Letter], sink: Sink, *, twice: int = 0) -> None:
    """An answer and a notice for each letter, each left once; at most `twice` of them a second time, the same mail."""
    outbox = desk.json("outbox", "list")
    promised = Counter(row["recipient"] for row in outbox)
    assert promised == Counter({AGENT: len(sent)}) + Counter(letter.author for letter in sent)
    assert len({row["key"] for row in outbox}) == len(outbox)
    assert {row["status"] for row in outbox} <= {"sent"}
    left = Counter((path, str(mail["Message-ID"]).strip("<>")) for _, path, mail in sink.taken)
    assert set(left) == {(row["recipient"], row["message_id"]) for row in outbox}
    again = {mail: times for mail, times in left.items() if times > 1}
    assert all(times == 2 for times in again.values()) and len(again) <= twice, again
