"""Send every mail of a corpus over SMTP to a running desk, and see that each ends in exactly one state of the ledger.

Usage: python bench/corpus_smtp.py CORPUS_DIR [--database URL] [--only TEXT] [--keep]
Prints accepted and refused (with the replies), the ledger's states and reasons and whether they add up, the deaths of
workers, the peak memory of the pipeline's processes and the slowest mails; then what `postdesk explain` says of all.
Exit status 0 where nothing was lost, refused for no limit, or crashed.
"""

import argparse
import json
import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psutil
from corpus_parse import rows
from typer.testing import CliRunner

from postdesk.__main__ import app

FORMS = ("eml", "tnef")  # a bare TNEF body has no header: an odd mail, and sent as one
RECIPIENT = "support@nordvik.test"
PATIENCE = 600.0  # seconds


def on_the_wire(raw: bytes) -> bytes:
    """What a client makes of a file: LF becomes CRLF, a dot that begins a line is doubled. CR and NUL stay alone."""
    lines = re.sub(rb"\r?\n", b"\r\n", raw)
    lines = re.sub(rb"(?m)^\.", b"..", lines)
    return (lines if lines.endswith(b"\r\n") else lines + b"\r\n") + b".\r\n"


class Desk:
    """A fresh desk in a folder: no DNS, outgoing mail to a Maildir."""

    def __init__(self, folder: Path, database: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.config = folder / "desk" / "postdesk.toml"
        self.log = folder / "run.log"
        made = ["init", "--dir", str(folder / "desk"), "--vendor-domain", "nordvik.test", "--yes", "--smarthost"]
        made += [f"maildir:{folder / 'left'}", "--listen", f"127.0.0.1:{self.port}", "--authentication", "off"]
        subprocess.run([sys.executable, "-m", "postdesk", *made, "--database", database], check=True)
        self.call("migrate")

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "postdesk", "--config", str(self.config), *words]

    def call(self, *words: str) -> str:
        return subprocess.run(self.command(*words), check=True, capture_output=True, text=True).stdout

    @contextmanager
    def running(self) -> Iterator[int]:
        """The pid of the supervisor, while the desk runs."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                self.command("run", "--only", "listen,pipeline,dispatch,schedule"), stderr=log, start_new_session=True
            )
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() > until or process.poll() is not None:
                        raise
                    time.sleep(0.1)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def events(self) -> list[dict[str, str]]:
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def outbox(self) -> Counter[str]:
        return Counter(row["status"] for row in json.loads(self.call("outbox", "list", "--json")))

    def states(self) -> dict[str, int]:
        counted: dict[str, int] = json.loads(self.call("ledger", "count", "--json"))["states"]
        return counted


class Memory(threading.Thread):
    """The largest resident set of any process below one, looked at ten times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.ended = pid, 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.1):
            for process in psutil.Process(self.pid).children(recursive=True):
                try:
                    self.peak = max(self.peak, process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue


def send_all(port: int, files: list[Path]) -> tuple[dict[str, str], Counter[str]]:
    """The id of each accepted file, and how often each reply refused one."""
    accepted: dict[str, str] = {}
    refused: Counter[str] = Counter()
    session: smtplib.SMTP | None = None
    for path in files:
        session = session or smtplib.SMTP("127.0.0.1", port, timeout=60)
        try:
            session.ehlo_or_helo_if_needed()
            session.mail("author@acme.example")
            session.rcpt(RECIPIENT)
            code, told = session.docmd("DATA")
            assert code == 354, told
            session.send(on_the_wire(path.read_bytes()))
            code, told = session.getreply()
        except smtplib.SMTPServerDisconnected as error:
            refused[f"connection lost: {error} ({path.name})"] += 1
            session = None
            continue
        if code == 250:
            accepted[told.decode().rpartition(" ")[2]] = path.name
        else:
            refused[f"{code} {told.decode()} ({path.name})"] += 1
    if session:
        session.quit()
    return accepted, refused


def explain_all(files: list[Path], desk: Desk) -> tuple[bool, set[str]]:
    """One line for each file, whatever is in it: was it so, and who are the authors? Prints how it went."""
    began = time.perf_counter()
    done = subprocess.run(desk.command("explain", "--json", *map(str, files)), capture_output=True, text=True)
    seconds = time.perf_counter() - began
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    in_order = [line["file"] for line in lines] == [str(path) for path in files]
    traces = done.stderr.count("Traceback")
    print(f"explain: {len(lines)} lines for {len(files)} files in {seconds:.1f} s, exit status {done.returncode}")
    print(f"  in order: {in_order}; tracebacks {traces}")
    for why, count in Counter(line["decision"]["reason"] for line in lines).most_common():
        print(f"  {count:5} {why}")
    if traces:
        print(done.stderr[-3000:])
    return in_order and not traces and done.returncode == 0, {line["author"] for line in lines if line["author"]}


def make_known(authors: set[str], desk: Desk, folder: Path) -> None:
    """A customer for each domain that an author writes from, he himself its superuser, so that mails become tickets."""
    by_domain: dict[str, set[str]] = {}
    for author in authors:
        if re.fullmatch(r"[a-z0-9._+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+", author):
            by_domain.setdefault(author.rpartition("@")[2], set()).add(author)
    failed = 0
    for domain, superusers in sorted(by_domain.items()):
        table = folder / "customer.csv"
        one = f"{domain},{domain},en,UTC,{len(superusers)},{' '.join(sorted(superusers))}\n"
        table.write_text("name,domains,language,zone,seats,superusers\n" + one)
        command = ["--config", str(desk.config), "customer", "import", str(table)]
        failed += CliRunner().invoke(app, command).exit_code != 0  # here, not in a process of its own: they are many
    print(f"customers: {len(by_domain) - failed}, not taken (free-mail and such): {failed}")


def seconds_between(first: str, last: str) -> float:
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def main() -> None:
    """Run over the corpus and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("corpus", type=Path)
    options.add_argument("--database", help="instead of a SQLite file of its own")
    options.add_argument("--only", default="", help="files whose name holds this text")
    options.add_argument("--keep", action="store_true", help="leave the desk's folder, and say where")
    chosen = options.parse_args()
    files = [
        chosen.corpus / row["category"] / row["file"]
        for row in rows(chosen.corpus)
        if row["form"] in FORMS and chosen.only in row["file"]
    ]
    folder = Path(tempfile.mkdtemp(prefix="postdesk-corpus-"))
    desk = Desk(folder, chosen.database or f"sqlite:///{folder / 'desk.db'}")
    explained, authors = explain_all(files, desk)
    make_known(authors, desk, folder)
    desk.call("agent", "add", "anna@nordvik.test", "--name", "Anna Berg")  # is told of each: every mail is shown again
    with desk.running() as pid:
        memory = Memory(pid)
        memory.start()
        began = time.perf_counter()
        accepted, refused = send_all(desk.port, files)
        sent = time.perf_counter() - began
        until = time.monotonic() + PATIENCE
        while (states := desk.states())["spooled"] and time.monotonic() < until:
            time.sleep(0.5)
        decided = time.perf_counter() - began
        while {"due", "sending"} & set(outbox := desk.outbox()) and time.monotonic() < until:
            time.sleep(0.5)
        memory.ended.set()
        memory.join()
    ledger = {row["id"]: row for row in json.loads(desk.call("ledger", "list", "--json"))}
    print(f"sent {len(files)} in {sent:.1f} s, decided after {decided:.1f} s: accepted {len(accepted)}")
    print(f"refused {sum(refused.values())}")
    for reply, count in refused.most_common():
        print(f"  {count:5} {reply}")
    print("states:", {state: count for state, count in states.items() if count})
    for why, count in Counter(f"{row['state']} {row['reason']}" for row in ledger.values()).most_common():
        print(f"  {count:5} {why}")
    adds_up = len(accepted) == len(ledger) == sum(states.values()) and set(accepted) == set(ledger)
    print(f"each accepted mail is in the ledger once and nothing else is: {adds_up}")
    poison = [f"{accepted.get(id, id)}" for id, row in ledger.items() if row["reason"] == "poison"]
    print(f"held as poison: {len(poison)}", *poison, sep="\n  ")
    events = desk.events()
    deaths = [event for event in events if event["event"] == "worker ended"]
    failed = [event for event in events if event["event"] == "delivery failed"]
    print(f"workers' deaths: {len(deaths)} {dict(Counter(event['status'] for event in deaths))}")
    print(f"delivery failed: {len(failed)}")
    for event in failed[:10]:
        print("  ", [accepted.get(id, id) for id in event["mails"]], str(event.get("exception", ""))[-300:])
    print(f"outbox: {dict(outbox)}; composing failed: {sum(e['event'] == 'composing failed' for e in events)}")
    print(f"peak resident memory of a process of the desk: {memory.peak / 2**20:.0f} MiB")
    at = {(event["event"], event.get("id") or event.get("mail")): event["at"] for event in events}
    slow = sorted(((seconds_between(at["accepted", id], at["delivered", id]), id) for id in ledger), reverse=True)
    print("slowest from 250 to ledger:", ", ".join(f"{accepted.get(id, id)} {s:.2f} s" for s, id in slow[:3]))
    if chosen.keep:
        print(f"kept: {folder}")
    else:
        shutil.rmtree(folder)
    limits_only = all(re.match(r"5\d\d 5\.3\.4", reply) for reply in refused)
    sys.exit(0 if adds_up and limits_only and explained and not poison and set(outbox) <= {"sent"} else 1)


if __name__ == "__main__":
    os.environ.pop("POSTDESK_CONFIG", None)
    main()
