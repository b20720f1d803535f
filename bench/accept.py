#!/usr/bin/env python3
"""How many mails a second do we accept, against stock aiosmtpd that throws them away?

  accept.py [--mails 300] [--rounds 3] [--folder /tmp/…] [--load mix|small|both]

Ours answers 250 after fsync of the file, rename and fsync of the folder; the yardstick (sink.py) keeps nothing. Both
are separate processes loaded by load.py over 20 connections, in turn, with the mails of gen_mail.py. Prints the medians
and their ratio. Absolute rates move with the machine; the ratio counts (goal: 3 on the mix, 0.7 on small mails).
"""

import argparse
import asyncio
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import load

HERE = Path(__file__).resolve().parent


def serve(folder: Path) -> None:
    """The listener with everything on, as `postdesk run --only listen` has it."""
    sys.path.insert(0, str(HERE.parent))
    import structlog

    from ingest.smtp.server import Limits, Listener
    from ingest.smtp.server import serve as listen
    from ingest.spool.spool import Spool

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))

    async def main() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await listen(
            [Listener(host="127.0.0.1", port=0)],
            Spool(folder),
            lambda address: address == "support@help.example",
            Limits(size=64 << 20),
            stop,
            structlog.get_logger(),
            hostname="mx.help.example",
            announce=lambda bound: print(bound[0][1], flush=True),
        )

    asyncio.run(main())


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(name: str, payloads: list[bytes], work: Path) -> float:
    """One run against a fresh process; mails a second."""
    spool = work / "spool"
    if name == "ours":
        server = subprocess.Popen([sys.executable, __file__, "--serve", str(spool)], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        port = int(server.stdout.readline())
    else:
        port = free_port()
        server = subprocess.Popen([sys.executable, str(HERE / "sink.py"), str(port)])
        time.sleep(1.0)
    try:
        began = time.perf_counter()
        accepted, refused = load.blast(port, payloads)
        seconds = time.perf_counter() - began
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(spool, ignore_errors=True)
    assert accepted == len(payloads), refused[:3]
    return accepted / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where mails and spool are put (default: a new temporary folder)")
    parser.add_argument("--load", choices=["mix", "small", "both"], default="both")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as work:
        mails = Path(work) / "mails"
        make = [sys.executable, str(HERE / "gen_mail.py"), str(arguments.mails), str(mails)]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        small = load.read(mails, small=True)
        loads = {"mix": load.read(mails), "small": small * max(1, 4 * arguments.mails // len(small))}
        for kind, payloads in loads.items():
            if arguments.load not in (kind, "both"):
                continue
            rates: dict[str, list[float]] = {"stock": [], "ours": []}
            for _ in range(arguments.rounds):
                for name, found in rates.items():
                    found.append(measure(name, payloads, Path(work)))
            stock, ours = (statistics.median(found) for found in rates.values())
            result = {"load": kind, "mails": len(payloads), "stock": round(stock), "ours": round(ours)}
            print(json.dumps({**result, "ratio": round(ours / stock, 2)}), flush=True)


if __name__ == "__main__":
    main()
