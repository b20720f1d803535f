#!/usr/bin/env python3
"""From the first octet over SMTP to the last committed ticket, against django-helpdesk's own ingest of the same mails.

  end_to_end.py [--mails 300] [--rounds 3] [--load mix|small|both] [--kind sqlite|postgresql|both] [--alone]

Ours: a fresh desk, `postdesk run --only listen,pipeline` with its standard two workers, 20 SMTP connections, every
fsync real; the clock stops when the ledger holds all mails. Then the books are compared with what the generator says:
one ticket a thread, an acknowledgement a ticket, attachments by their SHA-256, texts by a marker and a sentence.
The yardstick reads files (no SMTP, no spool) in one process; its start-up is not counted. In turn, `--rounds` times.
Prints one JSON line for each load: medians of rate and of CPU milliseconds a mail, and the ratio of rates (goal: 6).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import django_helpdesk
import load
import sqlalchemy as sa
from fresh_desk import FreshDesk, cpu_by_role, wait_for

from models.db.engine import reading
from models.inbound.ledger import LEDGER
from models.outbox.outbox import OUTBOX
from models.tickets.ticket import ARTICLE, ATTACHMENT
from tests.postgres import PostgresServer
from values.vocabulary import MailName, Reason

HERE = Path(__file__).resolve().parent


def generate(folder: Path, mails: int, seed: int = 1) -> None:
    """The mixed load in `folder`/mix, and `folder`/small with as many mails without attachments."""
    make = [sys.executable, str(HERE / "gen_mail.py")]
    options = ["--tag", "dh", "--eight-bit", "utf8", "--seed", str(seed)]
    subprocess.run([*make, str(mails), str(folder / "mix"), *options], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*make, str(mails * 2), str(folder / "all"), *options], check=True, stdout=subprocess.DEVNULL)
    small = folder / "small"
    small.mkdir()
    rows = [row for row in manifest(folder / "all") if not row["att_sha256"]][: mails * 3 // 2]
    for row in rows:
        (folder / "all" / row["file"]).rename(small / row["file"])
    (small / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.rmtree(folder / "all")


def manifest(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines()]


def ours(mails: Path, folder: Path, database: str = "") -> dict[str, float]:
    """One run: rate and CPU milliseconds a mail. The books must be right."""
    payloads, rows = load.read(mails), manifest(mails)
    desk = FreshDesk(folder, database)
    with desk.running() as supervisor:
        before = cpu_by_role(supervisor)
        own = time.process_time()
        began = time.perf_counter()
        accepted, refused = load.blast(desk.port, payloads)
        taken = time.perf_counter() - began
        assert accepted == len(payloads), refused[:3]
        client = time.process_time() - own
        wait_for(lambda: desk.recorded() == len(rows), "the ledger")
        seconds = time.perf_counter() - began
        after = cpu_by_role(supervisor)
    books = check(desk, rows)
    desk.forget()
    shutil.rmtree(folder)
    cost = {f"{role}_ms": 1000 * (after[role] - before[role]) / len(rows) for role in after}
    total = {"cpu_ms": sum(cost.values()), "client_ms": 1000 * client / len(rows)}
    return {"rate": len(rows) / seconds, "accept_rate": len(rows) / taken, **cost, **total, **books}


def check(desk: FreshDesk, rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Is everything there that the generator says? How many tickets, acknowledgements, held mails there are."""
    with reading(desk.engine) as session:
        connection = session.connection()
        ledger = {row.message_id: row for row in connection.execute(sa.select(LEDGER))}
        articles = {row.id: row for row in connection.execute(sa.select(ARTICLE))}
        files: dict[int, set[str]] = defaultdict(set)
        for file in connection.execute(sa.select(ATTACHMENT)):
            files[file.article].add(file.sha256)
        sent = connection.execute(sa.select(OUTBOX.c.ticket).where(OUTBOX.c.mail == MailName.ACKNOWLEDGEMENT)).all()
    assert len(ledger) == len(rows), "a mail is in the ledger twice"
    threads: dict[int, set[int]] = defaultdict(set)
    held = 0
    for row in rows:
        entry = ledger[row["message_id"].strip("<>").lower()]
        if entry.reason is Reason.LOOP_BROKEN:  # the generator has authors who write more in an hour than a person does
            held += 1
            continue
        threads[row["root"]].add(entry.ticket)
        article = articles[entry.article]
        assert row["marker"] in article.full_text, row["file"]
        assert row["special"] in article.full_text, row["file"]
        assert files[entry.article] == ({row["att_sha256"]} if row["att_sha256"] else set()), row["file"]
    tickets = [ticket for found in threads.values() for ticket in found]
    assert len(tickets) == len(set(tickets)) == len(threads), "a thread is not one ticket"
    assert {row.ticket for row in sent} <= set(tickets)
    assert held < len(rows) / 20, "the breaker holds more than a few"
    return {"tickets": len(tickets), "acknowledgements": len(sent), "held": held}


@contextmanager
def databases(kind: str) -> Iterator[Iterator[str]]:
    """URLs of fresh databases, one after the other."""
    if kind == "sqlite":
        yield iter(lambda: "", None)
        return
    with PostgresServer(fsync="on", shared_buffers="256MB", listen_addresses="") as server:

        def fresh() -> Iterator[str]:
            number = 0
            while number := number + 1:
                server.sql(f"CREATE DATABASE run{number}")
                yield server.url(f"run{number}")

        yield fresh()


def compare(mails: Path, work: Path, rounds: int, kind: str, *, alone: bool) -> dict[str, Any]:
    """Both sides in turn; medians."""
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": []}
    with databases(kind) as urls:
        for turn in range(rounds):
            found["ours"].append(ours(mails, work / f"desk{turn}", next(urls)))
            if not alone:
                found["theirs"].append(theirs := django_helpdesk.measure(mails))
                assert theirs["left"] == 0, "django-helpdesk left mails behind"
    line: dict[str, Any] = {"load": mails.name, "database": kind, "mails": len(manifest(mails))}
    line |= {key: _median(found["ours"], key) for key in found["ours"][0]}
    if found["theirs"]:
        line["django_rate"] = _median(found["theirs"], "rate")
        line["django_cpu_ms"] = 1000 * _median(found["theirs"], "cpu_seconds") / line["mails"]
        line["ratio"] = line["rate"] / line["django_rate"]
    return {key: round(value, 2) if isinstance(value, float) else value for key, value in line.items()}


def _median(runs: list[dict[str, Any]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=300, help="of the mix; of small mails half as many again")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--load", choices=["mix", "small", "both"], default="both")
    parser.add_argument("--kind", choices=["sqlite", "postgresql", "both"], default="sqlite")
    parser.add_argument("--alone", action="store_true", help="without the yardstick")
    wanted = parser.parse_args()
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postdesk-bench-")))
        work.chmod(0o755)
        generate(work, wanted.mails)
        for kind in ("sqlite", "postgresql") if wanted.kind == "both" else (wanted.kind,):
            for name in ("mix", "small") if wanted.load == "both" else (wanted.load,):
                line = compare(work / name, work, wanted.rounds, kind, alone=wanted.alone)
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    os.umask(0o022)
    main()
