"""kill -9 of each role at each named stage under load (faults F01-F07): no acknowledged mail lost, no ticket twice."""

import os
import random
import signal
import socket
import threading
from itertools import zip_longest
from pathlib import Path

import psutil
import pytest

from tests.desk import Sink, TestDesk, wait_until
from tests.faults.load import (
    ROLES,
    Arming,
    Letter,
    check_ledger,
    check_outbox,
    letters,
    load,
    make_desk,
    wait_decided,
    wait_sent,
)

LISTEN = ("spool.before-write", "spool.after-write", "spool.after-rename", "smtp.before-250", "smtp.after-250")
PIPELINE = (
    "pipeline.after-claim",
    "pipeline.after-parse",
    "record.before-outbox",
    "pipeline.before-commit",
    "pipeline.after-commit",
)
DISPATCH = ("dispatch.before-mark", "dispatch.after-claim", "dispatch.before-send", "dispatch.after-mark")


def test_killed_at_each_stage(tmp_path: Path, empty_database_url: str) -> None:
    """In each round one process of each role dies at the next stage of its row."""
    rounds = list(zip_longest(LISTEN if "sqlite" in empty_database_url else (), PIPELINE, DISPATCH))
    sent: list[Letter] = []
    with Sink() as sink:
        desk = make_desk(tmp_path / "desk", empty_database_url, sink)
        arming = Arming(desk, tmp_path / "armed")
        with desk.running(only=ROLES), load(desk) as senders:
            for number, stages in enumerate(rounds):
                arming.arm(*filter(None, stages))
                burst = letters(f"r{number}m", 12)
                sent += burst
                senders.send(burst)
                arming.wait()
                # The mails in hand have one attempt less: innocent ones must not be there at three deaths.
                wait_decided(desk, sent)
            desk.run("tick", "3m")  # leases of dead dispatchers end
            wait_sent(desk)
        states = check_ledger(desk, sent)
        check_outbox(desk, sent, sink, twice=1)
    if LISTEN[0] in rounds[0]:
        assert states["duplicate"], "killed between rename and 250: the same octets came again, and are known"


def test_any_process_killed_under_load(tmp_path: Path) -> None:
    """The supervisor's children and theirs, one after the other, at whatever they do: each comes back."""
    _kill_around(tmp_path, rounds=1)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(3))
def test_any_process_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    random.seed(seed)
    _kill_around(tmp_path, rounds=6)


def _kill_around(tmp_path: Path, rounds: int) -> None:
    sent: list[Letter] = []
    with Sink() as sink:
        desk = make_desk(tmp_path / "desk", f"sqlite:///{tmp_path / 'desk.db'}", sink)
        killed = 0
        with desk.running(only=ROLES) as supervisor, load(desk) as senders:
            for number in range(rounds):
                processes = wait_until(lambda: _all_of(supervisor.pid), "four roles and two workers")
                for at, process in enumerate(random.sample(processes, len(processes))):
                    burst = letters(f"k{number}p{at}m", 6)
                    sent += burst
                    senders.send(burst)
                    wait_until(lambda: sum(x.accepted for x in sent) > len(sent) - 6, "load")  # noqa: B023
                    if process.is_running():
                        os.kill(process.pid, signal.SIGKILL)
                        killed += 1
                wait_decided(desk, sent)
            desk.run("tick", "3m")
            wait_sent(desk)
        check_ledger(desk, sent)
        check_outbox(desk, sent, sink, twice=5 * killed)
    assert killed >= 4 * rounds


def _all_of(supervisor: int, count: int = 6) -> list[psutil.Process]:
    """All processes of the desk; none while one of them is still to come back."""
    processes = psutil.Process(supervisor).children(recursive=True)
    return processes if len(processes) == count else []


def test_the_supervisor_killed_under_load(tmp_path: Path) -> None:
    """Nobody outlives it, so that the next desk on the same folder is the only one."""
    sent = letters("s", 30)
    with Sink() as sink:
        desk = make_desk(tmp_path / "desk", f"sqlite:///{tmp_path / 'desk.db'}", sink)
        with load(desk) as senders:
            with pytest.raises(AssertionError), desk.running(only=ROLES) as supervisor:  # it cannot end with status 0
                everybody = psutil.Process(supervisor.pid).children(recursive=True)
                senders.send(sent)
                wait_until(lambda: any(letter.accepted for letter in sent), "load")
                supervisor.kill()
                supervisor.wait()
                wait_until(lambda: not any(_is_alive(process) for process in everybody), "the end of all")
            with desk.running(only=ROLES):
                wait_decided(desk, sent)
                desk.run("tick", "3m")
                wait_sent(desk)
        check_ledger(desk, sent)
        check_outbox(desk, sent, sink, twice=5)


@pytest.mark.long
def test_the_next_run_begins_while_the_killed_ones_roles_still_end(tmp_path: Path) -> None:
    """As a supervisor above ours would: at once. A client in DATA keeps the old listener, and with it the port."""
    sent = letters("n", 30)
    with Sink() as sink:
        desk = make_desk(tmp_path / "desk", f"sqlite:///{tmp_path / 'desk.db'}", sink)
        with load(desk) as senders:
            with pytest.raises(AssertionError), desk.running() as supervisor:
                roles = wait_until(lambda: _all_of(supervisor.pid, 7), "five roles and two workers")
                senders.send(sent[:20])
                wait_until(lambda: any(letter.accepted for letter in sent), "load")
                client = _in_data(desk.port, slow := Letter(number=0, marker="slow"))
                sent.append(slow)
                supervisor.kill()
                supervisor.wait()
            rest = threading.Thread(target=_end_data, args=(desk, client, slow))
            rest.start()
            with desk.running() as supervisor:  # ends with status 0 although its first listener found the port taken
                rest.join()
                assert slow.accepted, "the old listener ends what was within DATA"
                senders.send(sent[20:30])
                wait_until(lambda: _all_of(supervisor.pid, 7), "five roles and two workers again")
                assert not any(_is_alive(process) for process in roles)
                wait_decided(desk, sent)
                desk.run("tick", "3m")
                wait_sent(desk)
        check_ledger(desk, sent)
        check_outbox(desk, sent, sink, twice=5)
        assert not desk.json("shunt", "list")


def _in_data(port: int, letter: Letter) -> socket.socket:
    """A client that has said all but the last octets of its mail."""
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    said = f"MAIL FROM:<{letter.author}>\r\n", "RCPT TO:<support@nordvik.test>\r\n", "DATA\r\n"
    for line in ("EHLO mail.ibarra.example\r\n", *said):
        client.recv(999)
        client.sendall(line.encode())
    assert client.recv(999).startswith(b"354")
    letter.tries += 1
    client.sendall(letter.raw[:-10])
    return client


def _end_data(desk: TestDesk, client: socket.socket, letter: Letter) -> None:
    """Once the next listener has met the old one."""
    wait_until(lambda: b'"ended": "listen"' in desk.log(), "a port that is taken")
    client.sendall(letter.raw[-10:] + b".\r\n")
    letter.accepted += client.recv(99).startswith(b"250")
    client.close()


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
