#!/usr/bin/env python3
"""What large mails cost in memory: the listener with several at once, the worker that parses and records them.

  memory.py [--megabytes 25] [--at-once 8]

A fresh desk takes ten small mails first, so that everything is loaded; then the kernel's high-water marks (VmHWM) are
reset, the large mails are sent, and the marks are read again. Prints one JSON line: MiB above the baseline for the
listener with one mail and with all at once, and for the worker that grew most (goal: 64 each).
"""

import argparse
import base64
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import load
import psutil
from fresh_desk import FreshDesk, wait_for


def letter(number: int, octets: int) -> bytes:
    """A mail with an attachment that makes it about `octets` long, stuffed for DATA."""
    head = (
        f"From: user{number % 5}@cust{number % 200:03d}.example\r\nTo: support@help.example\r\n"
        f"Subject: large {number}\r\n"
        f"Message-ID: <large{number}@cust.example>\r\nDate: Tue, 24 Nov 2026 08:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n'
    )
    body = base64.encodebytes(os.urandom(octets * 3 // 4)).replace(b"\n", b"\r\n") if octets else b""
    part = b'--b\r\nContent-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n' + body
    return load.stuff(head.encode() + part + b"--b--\r\n")


def resident(process: psutil.Process, what: str) -> float:
    """MiB of VmRSS or VmHWM."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


class Watch:
    """High-water marks of processes above what they hold now."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self.processes = processes
        for process in processes:
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        self.before = [resident(process, "VmRSS") for process in processes]

    def growth(self) -> float:
        return max(resident(each, "VmHWM") - was for each, was in zip(self.processes, self.before, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=25)
    parser.add_argument("--at-once", type=int, default=8)
    arguments = parser.parse_args()
    size = arguments.megabytes * 1_000_000 - 20_000  # the limit counts the octets of the whole mail
    with tempfile.TemporaryDirectory() as folder:
        desk = FreshDesk(Path(folder) / "desk", max_message_size=str(arguments.megabytes * 1_100_000))
        with desk.running() as supervisor:
            load.blast(desk.port, [letter(n, 0) for n in range(10)], 2)
            wait_for(lambda: desk.recorded() == 10, "the small mails")
            listener, keeper = sorted(supervisor.children(), key=lambda process: process.pid)
            found: dict[str, float] = {"megabytes": arguments.megabytes}
            for name, many in (("one", 1), ("at_once", arguments.at_once)):
                payloads = [letter(100 * (many + 1) + n, size) for n in range(many)]
                before = desk.recorded()
                watches = {"listener": Watch([listener]), "worker": Watch(keeper.children())}
                accepted, refused = load.blast(desk.port, payloads, many)
                assert accepted == many, refused
                wait_for(lambda: desk.recorded() == before + many, "the large mails")  # noqa: B023
                found |= {f"{role}_{name}_mib": round(watch.growth(), 1) for role, watch in watches.items()}
        desk.forget()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
