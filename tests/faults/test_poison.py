"""Mails that kill their worker, fail in it, or lie damaged on the disk: held, counted, and nobody else waits."""

from pathlib import Path

from tests.desk import Sink, TestDesk, wait_until
from tests.faults.load import AUTHORS, ROLES, Letter, check_ledger, counted, letters, load, make_desk, wait_decided

ROWS = "<tr><td>one</td><td>two</td></tr>\r\n" * 60000


def _held(desk: TestDesk) -> list[str]:
    return [row["id"] for row in desk.json("held", "list") if row["reason"] == "poison"]


def test_f04_a_mail_that_costs_too_much_is_held_and_others_flow(tmp_path: Path) -> None:
    """Killed by the kernel in its third worker, it takes nobody along; with more time it is read after all."""
    sent = letters("p", 20)
    costly = Letter(number=AUTHORS - 1, marker="costly", kind="html", text=f"<table>{ROWS}</table>")
    sent.insert(5, costly)
    with Sink() as sink:
        desk = make_desk(tmp_path / "desk", f"sqlite:///{tmp_path / 'desk.db'}", sink, mail_cpu_seconds="0.1")
        with desk.running(only=ROLES), load(desk) as senders:
            senders.send(sent)
            wait_decided(desk, sent)
            (held,) = wait_until(lambda: _held(desk), "the held mail")
            (shunted,) = desk.json("shunt", "list")
            assert (shunted["id"], shunted["reason"], shunted["attempts"]) == (held, "worker-died", 3)
        check_ledger(desk, sent, held=["costly"])

        desk.env["POSTDESK_MAIL_CPU_SECONDS"] = "30"
        desk.run("shunt", "retry", held)
        with desk.running(only=ROLES):
            wait_decided(desk, sent)
        assert not desk.json("shunt", "list") and not _held(desk)
        check_ledger(desk, sent)


def test_f13_damaged_spool_files_are_held_and_the_ledger_adds_up(tmp_path: Path) -> None:
    """A flipped octet, a cut file, an empty one, before anything was read: each accepted mail has its row."""
    sent = letters("d", 24)
    with Sink() as sink:
        desk = make_desk(tmp_path / "desk", f"sqlite:///{tmp_path / 'desk.db'}", sink)
        with desk.running(only="listen"), load(desk, threads=1) as senders:  # one sender: one mail a file
            senders.send(sent)
            wait_until(lambda: all(letter.accepted for letter in sent), "a 250 for each letter")
        files = sorted((desk.folder / "spool" / "new").iterdir())
        assert len(files) == len(sent)
        _damage(files[3], 500), _damage(files[9], 20)  # in the mail, in the header
        files[14].write_bytes(files[14].read_bytes()[:-10])
        files[20].write_bytes(b"")
        lost = [f"d{n}" for n in (3, 9, 14, 20)]
        desk.run("work", "--until-idle")
        check_ledger(desk, sent, held=lost)
        assert len(_held(desk)) == 4
        assert {row["reason"] for row in desk.json("shunt", "list")} == {"corrupt"}
        desk.run("work", "--until-idle")
        assert counted(desk)["accepted"] == 24, "looking again holds nothing twice"


def _damage(path: Path, at: int) -> None:
    octets = bytearray(path.read_bytes())
    octets[at] ^= 0x20
    path.write_bytes(octets)
