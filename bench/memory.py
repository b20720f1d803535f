#!/usr/bin/env python3
"""What large mails cost in memory: peak of the resident set above what the process held before, listener and worker.

  memory.py [--megabytes 25]

For each case a fresh desk with one worker takes some small mails first, so that everything is imported. Then come
mails of the full size: one with an attachment, one that is all text, one that is all HTML; or eight with attachments
at once. Prints one JSON line each: megabytes above what the processes held after the small mails (goal: at most 64).
"""

import argparse
import base64
import json
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import load
import psutil
from fresh_desk import FreshDesk, wait_for

GOAL = 64  # megabytes
Make = Callable[[int, random.Random], bytes]


def with_file(size: int, dice: random.Random) -> bytes:
    octets = dice.randbytes((size - 1000) * 57 // 78)
    body = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    return (
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n'
        b'--b\r\nContent-Type: application/pdf; name="scan.pdf"\r\nContent-Disposition: attachment\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n" + body + b"--b--\r\n"
    )


def all_text(size: int, dice: random.Random) -> bytes:
    line = b"The export stopped in step %d, =C3=BC and so on, says the protocol of the night.\r\n"
    body = b"".join(line % dice.randrange(10**6) for _ in range(size // 90))
    return b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + body


def all_html(size: int, dice: random.Random) -> bytes:
    row = b"<tr><td>Step %d</td><td><b>stopped</b> &amp; not <i>begun</i> again</td></tr>\r\n"
    body = b"".join(row % dice.randrange(10**6) for _ in range(size // 84))
    return b"Content-Type: text/html; charset=utf-8\r\n\r\n<html><body><table>" + body + b"</table></body></html>\r\n"


def mail(make: Make, size: int, number: int) -> bytes:
    """A mail of at most `size` octets, ready for the wire."""
    who = f"user{number % 5}@cust{number % 200:03d}.example"
    head = (
        f"From: {who}\r\nTo: support@help.example\r\nSubject: Large {number}\r\nMIME-Version: 1.0\r\n"
        f"Message-ID: <large.{number}@{who.partition('@')[2]}>\r\nDate: Tue, 24 Nov 2026 08:00:00 +0000\r\n"
    )
    raw = head.encode() + make(size - 1000, random.Random(number))
    assert size * 0.9 < len(raw) <= size
    return bytes(load.stuff(raw))


def status(process: psutil.Process, name: str) -> float:
    """A line of /proc/PID/status in megabytes."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


class Watch:
    """The peaks of some processes above what they hold now."""

    def __init__(self, processes: dict[str, psutil.Process]) -> None:
        self._processes = processes
        for process in processes.values():
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak starts anew (proc(5))
        self._before = {name: status(process, "VmRSS:") for name, process in processes.items()}

    def above(self) -> dict[str, float]:
        peaks = {name: status(process, "VmHWM:") for name, process in self._processes.items()}
        return {f"{name}_mb": round(peak - self._before[name], 1) for name, peak in peaks.items()}


KINDS = (
    ("one with a file", with_file, 1),
    ("one, all text", all_text, 1),
    ("one, all HTML", all_html, 1),
    ("eight at once", with_file, 8),
)


def measure(folder: Path, megabytes: int) -> list[dict[str, object]]:
    """One line for each of KINDS."""
    return [_case(folder / str(n), megabytes, *kind) for n, kind in enumerate(KINDS)]


def _case(folder: Path, megabytes: int, kind: str, make: Make, many: int) -> dict[str, object]:
    desk = FreshDesk(folder, workers="1", max_message_size=str((megabytes + 1) << 20))
    warm = [mail(KINDS[n % 3][1], 20_000, n) for n in range(12)]
    large = [mail(make, megabytes << 20, 100 + n) for n in range(many)]
    with desk.running() as supervisor:
        _deliver(desk, warm, len(warm))
        listener, keeper = sorted(supervisor.children(), key=lambda process: process.pid)
        watch = Watch({"listener": listener, "worker": (worker := keeper.children()[0])})
        _deliver(desk, large, len(warm) + many)
        assert worker.is_running(), "the worker was ended by its limits"
        above = watch.above()
    desk.forget()
    return {"mails": kind, "megabytes": megabytes, **above, "goal": GOAL}


def _deliver(desk: FreshDesk, payloads: list[bytes], in_all: int) -> None:
    accepted, refused = load.blast(desk.port, payloads, connections=len(payloads))
    assert accepted == len(payloads), refused
    wait_for(lambda: desk.recorded() == in_all, "the ledger")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=25)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="postdesk-bench-") as work:
        for line in measure(Path(work) / "desk", wanted.megabytes):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    os.umask(0o022)
    main()
