"""Clients that hold connections, beside a customer's server that goes on to send: threat T53, faults F12 and F33."""

import random
import resource
import selectors
import smtplib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from postdesk.supervise import raise_descriptors
from tests.desk import Sink, TestDesk, wait_until
from tests.faults.load import ROLES, Letter, check_ledger, letters, make_desk, wait_decided

IDLE = b"EHLO flood.test\r\n"
IN_DATA = IDLE + b"MAIL FROM:<a@flood.test>\r\nRCPT TO:<support@nordvik.test>\r\nDATA\r\n" + b"x" * 998 + b"\r\n"
LARGE = b"A line of a mail that never ends, and holds a file.\r\n" * 1400  # beyond 64 kB: a second descriptor


class Flood:
    """Holds connections from many loopback addresses, and opens another for each closed one, 10 to 30 s later."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._wanted: list[tuple[str, bytes]] = []
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, str, bytes]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.held = self.opened = self.closed = 0

    def hold(self, first: int, addresses: int, each: int, says: bytes) -> None:
        for number in range(addresses):
            self._due += [(0.0, f"127.0.{first}.{number + 1}", says)] * each

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join(30)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            now = time.monotonic()
            due, self._due = self._due[:20], self._due[20:]
            for at, address, says in due:
                if at > now:
                    self._due.append((at, address, says))
                else:
                    self._open(address, says)
            for key, _ in self._selector.select(0.01):
                self._read(key)

    def _open(self, address: str, says: bytes) -> None:
        connection = socket.socket()
        try:
            connection.settimeout(5)
            connection.bind((address, 0))
            connection.connect(("127.0.0.1", self._port))
            connection.setblocking(False)
            with suppress(OSError):
                connection.send(says)
        except OSError:
            connection.close()
            self._due.append((time.monotonic() + random.uniform(10, 30), address, says))
            return
        self.held += 1
        self.opened += 1
        self._selector.register(connection, selectors.EVENT_READ, (address, says))

    def _read(self, key: selectors.SelectorKey) -> None:
        connection, (address, says) = key.fileobj, key.data
        assert isinstance(connection, socket.socket)
        with suppress(OSError):
            if said := connection.recv(4096):
                if b"354" in said:
                    connection.send(LARGE)
                return
        self._selector.unregister(connection)
        connection.close()
        self.held -= 1
        self.closed += 1
        self._due.append((time.monotonic() + random.uniform(10, 30), address, says))


@contextmanager
def usual_descriptors() -> Iterator[None]:
    """What a process has on most systems when it starts; the desk begins so, the flood needs more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def send(desk: TestDesk, letter: Letter) -> float:
    """Seconds from the call to the 250, with a connection of its own; refused ones come again as RFC 5321 asks."""
    began = time.monotonic()
    while not letter.accepted:
        assert time.monotonic() - began < 30, "no 250 in 30 seconds"
        letter.tries += 1
        with suppress(OSError, smtplib.SMTPException), smtplib.SMTP("127.0.0.1", desk.port, timeout=30) as session:
            session.sendmail(letter.author, ["support@nordvik.test"], letter.raw)
            letter.accepted += 1
            break
        time.sleep(0.1)
    return time.monotonic() - began


def waits_beside(desk: TestDesk, sent: list[Letter], rate: float) -> list[float]:
    """How long each of `sent` waited for its 250, at so many a second whatever the others wait."""
    waits: list[float] = []
    began = time.monotonic()
    threads = []
    for number, letter in enumerate(sent):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        threads.append(threading.Thread(target=lambda letter=letter: waits.append(send(desk, letter))))
        threads[-1].start()
    for thread in threads:
        thread.join(60)
    assert len(waits) == len(sent)
    return sorted(waits)


def play(folder: Path, *, data: tuple[int, int], idle: tuple[int, int], mails: int, rate: float, within: float) -> None:
    """`data` and `idle`: addresses, and connections of each; `within`: seconds until 250, for 99 of 100 mails."""
    with Sink() as sink, usual_descriptors():
        desk = make_desk(folder, f"sqlite:///{folder / 'desk.db'}", sink)
        with desk.running(only=ROLES):
            raise_descriptors()
            flood = Flood(desk.port)
            flood.hold(1, *data, IN_DATA)
            flood.hold(2, *idle, IDLE)
            flood.begin()
            try:
                wait_until(lambda: flood.opened >= data[0] * data[1] + idle[0] * idle[1], "all connections were made")
                sent = letters("good", mails)
                waits = waits_beside(desk, sent, rate)
                held = flood.held
            finally:
                flood.end()
            wait_decided(desk, sent)
        check_ledger(desk, sent)
    p99 = waits[max(0, len(waits) * 99 // 100 - 1)]
    print(f"250 after p50 {waits[len(waits) // 2] * 1000:.0f}, p99 {p99 * 1000:.0f} ms; log {len(desk.log())} octets")
    print(f"most tries of a mail {max(letter.tries for letter in sent)}")
    print(f"the flood holds {held}, was closed {flood.closed} times")
    assert p99 < within
    assert len(desk.log()) < 1 << 20
    assert b"out of system resource" not in desk.log()


def test_f12_f33_t53_some_addresses_hold_all_they_may_and_a_customer_goes_on(tmp_path: Path) -> None:
    """More than the 464 connections that 1,024 descriptors would allow, of which more than those hold a file."""
    play(tmp_path, data=(10, 40), idle=(10, 30), mails=60, rate=20, within=30.0)


@pytest.mark.long
def test_f12_f33_t53_600_in_data_and_2000_idle(tmp_path: Path) -> None:
    play(tmp_path, data=(12, 50), idle=(40, 50), mails=400, rate=20, within=0.5)
