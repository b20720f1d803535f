"""ingest/smtp/gate.py: who may hold a connection when all are taken (threat T53, faults F12, F33)."""

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.smtp.gate import OWN_DESCRIPTORS, Gate, most_connections
from tests.desk import wait_until
from tests.ingest.wire import QUICK, Client, Desk


class Session:
    is_busy = False

    def __init__(self, at: float | None) -> None:
        self.progressed_at = at
        self.said = ""

    def say_goodbye(self, reply: str) -> None:
        self.said = reply

    cut = say_goodbye


def gate_at(now: Callable[[], float], *known: str, most: int = 100) -> Gate:
    return Gate(most, 50, 10.0, now, lambda: frozenset(known))


def fill(gate: Gate, count: int, each: int, at: float | None) -> list[Session]:
    sessions = [Session(at) for _ in range(count)]
    for number, session in enumerate(sessions):
        gate.enter(session, f"192.0.2.{number // each}")
    return sessions


def test_no_more_connections_than_descriptors() -> None:
    assert most_connections(1024, 1000) == (1024 - OWN_DESCRIPTORS) // 2
    assert most_connections(65536, 1000) == 1000
    assert most_connections(10, 1000) == 1


def test_t53_near_the_cap_who_holds_many_makes_room() -> None:
    gate = gate_at(lambda: 1000.0)
    quiet = fill(gate, 30, 30, at=999.0)  # one address
    others = [Session(998.0) for _ in range(60)]
    for number, session in enumerate(others):
        gate.enter(session, f"198.51.100.{number}")
    assert gate.refusal("192.0.2.0") is not None  # it has its share
    assert gate.refusal("203.0.113.1") is None
    assert sum(bool(session.said) for session in quiet) == 1
    assert not any(session.said for session in others)


def test_t53_the_longest_without_progress_goes_first() -> None:
    gate = gate_at(lambda: 1000.0)
    fresh, old = fill(gate, 89, 1, at=995.0), Session(980.0)
    gate.enter(old, "198.51.100.1")
    assert gate.refusal("203.0.113.1") is None and old.said.startswith("421")
    gate.enter(Session(1000.0), "203.0.113.1")
    assert gate.refusal("203.0.113.2") is not None  # nobody has been quiet for long
    assert not any(session.said for session in fresh)


def test_t53_what_is_made_durable_is_never_cut() -> None:
    gate = gate_at(lambda: 1000.0)
    fill(gate, 90, 30, at=None)
    assert gate.refusal("203.0.113.1") is not None


def test_t53_a_customers_server_finds_a_place() -> None:
    gate = gate_at(lambda: 1000.0, "203.0.113.1")
    fill(gate, 90, 1, at=999.0)
    assert gate.refusal("203.0.113.2") is not None
    assert gate.refusal("203.0.113.1") is None
    customer = Session(0.0)
    gate.enter(customer, "203.0.113.1")
    assert gate.refusal("203.0.113.2") is not None and not customer.said  # quiet for long, and yet not for a stranger


@pytest.mark.parametrize("known", [True, False])
def test_t53_over_sockets_the_cap_is_no_end(tmp_path: Path, known: bool) -> None:
    limits = replace(QUICK, connections=20, connections_per_address=50, stress_seconds=60.0)
    with Desk(tmp_path, limits) as desk:
        if known:
            desk.spool.note_known("127.0.0.1")
        flood = [_from(f"127.0.1.{1 + number % 18}", desk.ports[0]) for number in range(18)]
        client = Client(desk.ports[0])
        assert client.greeting.startswith("220" if known else "421")
        if known:
            assert client.deliver().startswith("250")
        for connection in (*flood, client.socket):
            connection.close()


def _from(address: str, port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(address, 0))
    assert connection.recv(3) == b"220"
    return connection


def test_f08_mails_that_never_end_do_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Desk(tmp_path, replace(QUICK, free=1 << 20)) as desk, desk.client() as client:
        client.begin()
        client.send(b"x" * 998 + b"\r\n" + b"a line\r\n" * 20_000)
        wait_until(lambda: any(desk.spool.tmp.iterdir()), "a file of its own")
        monkeypatch.setattr(desk.spool, "free_octets", lambda: 1000)

        def is_gone() -> bool:
            client.send(b"another line\r\n")
            return not any(desk.spool.tmp.iterdir())

        wait_until(is_gone, "what was received is given back")
        client.send(b".\r\n")
        assert client.reply().startswith("452 4.3.1")
        assert desk.client().greeting.startswith("220")
