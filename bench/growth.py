"""What one recorded mail costs with few tickets and with many: gather + record, no parsing, no deciding.

    python bench/growth.py [--few 1000] [--many 100000] [--mails 400] [--rounds 3] [--kind sqlite] [--kind postgresql]

Prints one JSON line for each database and batch size: median milliseconds a mail (its share of the commit in it) with
few and with many tickets, and their ratio. The two desks take turns, batch by batch, so a slower minute hits both.
Of the mails, 60 in 100 open a ticket (acknowledged), 40 are replies to earlier tickets found by an anchor. The desk
has 200 customers with five contacts each; each ticket that is there has two articles, two anchors, two outbox rows.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parent.parent))

from models.db.engine import make_engine, transaction
from models.db.schema import migrate
from models.facts import gather
from models.inbound.ledger import LEDGER
from models.outbox.outbox import OUTBOX
from models.people.agent import add_agent
from models.people.customer import add_contact, add_customer, add_domain, give_seat
from models.record import record
from models.tickets.ticket import ARTICLE, PARTICIPANT, THREAD_ANCHOR, TICKET
from tests.models.made import NOW, a_mail, adding, clues_of, opening
from tests.postgres import PostgresServer
from values.vocabulary import ArticleKind, LedgerState, MailName, OutboxStatus, ParticipantRole, Reason, Source

CUSTOMERS, CONTACTS, FIRST = 200, 5, 1001
CHUNK = 5000  # tickets seeded in one transaction
TEXT = "The report is empty since this morning. " * 20


def address_of(ticket: int) -> str:
    return f"p{ticket % CONTACTS}@c{ticket % CUSTOMERS:03d}.test"


def seed(engine: sa.Engine, tickets: int) -> None:
    """A desk with so many tickets, spread over the year before NOW."""
    migrate(engine)
    with transaction(engine) as session:
        add_agent(session, "ana@nordvik.test", "Ana", NOW)
        for number in range(CUSTOMERS):
            customer = add_customer(session, f"Customer {number}", NOW, seats=CONTACTS).id or 0
            add_domain(session, customer, f"c{number:03d}.test")
            for person in range(CONTACTS):
                contact = add_contact(session, f"p{person}@c{number:03d}.test", NOW, customer=customer).id or 0
                give_seat(session, contact, customer, NOW)
    for start in range(0, tickets, CHUNK):
        _seed_chunk(engine, range(start, min(tickets, start + CHUNK)), tickets)
    with engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE")
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("CHECKPOINT")
    engine.dispose()  # SQLite folds the write-ahead log into the file


def _seed_chunk(engine: sa.Engine, chunk: range, tickets: int) -> None:
    rows: dict[sa.Table, list[dict[str, Any]]] = {
        t: [] for t in (TICKET, ARTICLE, PARTICIPANT, LEDGER, THREAD_ANCHOR, OUTBOX)
    }
    for n in chunk:
        _seed_ticket(rows, n, NOW - timedelta(days=365) * ((tickets - n) / tickets) - timedelta(days=2))
    with transaction(engine) as session:
        for table, values in rows.items():
            session.connection().execute(sa.insert(table), values)


def _seed_ticket(rows: dict[sa.Table, list[dict[str, Any]]], n: int, at: Any) -> None:
    who, customer, ticket = address_of(n), n % CUSTOMERS + 1, FIRST + n
    rows[TICKET].append(
        {"subject": f"Seed {n}", "customer": customer, "requester": who, "requester_name": "", "language": "en",
         "status": "open", "priority": "normal", "marked": False, "paused": False, "created": at, "updated": at}
    )  # fmt: skip
    rows[PARTICIPANT].append(
        {"ticket": ticket, "address": who, "name": "", "role": ParticipantRole.REQUESTER, "generation": 1}
    )
    for part in (0, 1):
        id = f"S{n:09d}{part}"
        rows[ARTICLE].append(
            {"ticket": ticket, "kind": ArticleKind.INBOUND, "author": who, "author_name": "", "at": at,
             "subject": f"Seed {n}", "text": TEXT, "full_text": TEXT, "message_id": f"{id}@seed.test", "ledger": id,
             "marked": False, "automatic": False}
        )  # fmt: skip
        rows[LEDGER].append(
            {"id": id, "received": at, "recorded": at, "source": Source.SMTP, "reverse_path": who,
             "forward_paths": ["support@nordvik.test"], "tls": False, "author": who, "author_name": "",
             "message_id": f"{id}@seed.test", "subject": f"Seed {n}", "sha256": "0" * 64, "size": 3000,
             "content_key": f"k{id}", "first_key": f"k{id}", "words_key": f"w{id}", "state": LedgerState.ARTICLE_ADDED,
             "reason": Reason.SUPERUSER, "ticket": ticket, "article": 2 * n + part + 1, "defects": [], "trace": []}
        )  # fmt: skip
        rows[THREAD_ANCHOR].append({"message_id": f"{id}@seed.test", "scope": customer, "ticket": ticket})
        rows[OUTBOX].append(
            {"key": f"seed:{id}", "mail": MailName.ACKNOWLEDGEMENT, "recipient": who, "recipient_key": who,
             "ticket": ticket, "language": "en", "zone": "UTC", "context": {}, "lane": 0, "status": OutboxStatus.SENT,
             "attempts": 1, "fence": 1, "due_at": at, "created": at, "sent": at}
        )  # fmt: skip


def arrivals(tickets: int, seed_of: int) -> Iterator[tuple[Any, int | None]]:
    """Mails without end: (mail, the ticket that it answers)."""
    dice, n = random.Random(seed_of), 0
    while True:
        n += 1
        id = f"M{seed_of:03d}{n:022d}"
        old = dice.randrange(tickets)
        if dice.random() < 0.4:
            ids = (f"S{old:09d}0@seed.test", f"S{old:09d}1@seed.test")
            yield a_mail(id, author=address_of(old), in_reply_to=ids[1:], references=ids, text=TEXT), FIRST + old
        else:
            yield a_mail(id, author=address_of(old), text=TEXT), None


def deliver(engine: sa.Engine, mails: list[tuple[Any, int | None]]) -> float:
    """Seconds for one transaction with these mails."""
    began = time.perf_counter()
    with transaction(engine, snapshot=True) as session:
        for mail, answers in mails:
            facts = gather(session, clues_of(mail, words_key=mail.spool_id), NOW)
            assert facts.contact and bool(facts.anchors) == bool(answers)
            if answers:
                decision = adding(mail, facts.anchors[0][1])
            else:
                decision = opening(mail, customer=facts.domains[0].customer, contact=facts.contact.id)
            record(session, mail, decision, NOW)
    return time.perf_counter() - began


def compare(few: sa.Engine, many: sa.Engine, sizes: tuple[int, int], batch: int, mails: int, salt: int) -> list[float]:
    """Median milliseconds a mail, [few, many]."""
    streams = [arrivals(size, salt) for size in sizes]
    took: list[list[float]] = [[], []]
    for turn in range(mails // batch + 5):
        for side, engine in enumerate((few, many)):
            seconds = deliver(engine, [next(streams[side]) for _ in range(batch)])
            if turn >= 5:  # the first ones fill caches
                took[side].append(seconds / batch * 1000)
    return [statistics.median(values) for values in took]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--mails", type=int, default=400, help="mails of one round, on each desk")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", action="append", choices=["sqlite", "postgresql"])
    wanted = parser.parse_args()
    for kind in wanted.kind or ["sqlite", "postgresql"]:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postdesk-growth-")))
            urls = [f"sqlite:///{folder / name}.db" for name in ("few", "many")]
            if kind == "postgresql":
                server = stack.enter_context(PostgresServer(fsync="on", shared_buffers="256MB"))
                urls = [server.url(name) for name in ("few", "many")]
                for name in ("few", "many"):
                    server.sql(f"CREATE DATABASE {name}")
            engines = [make_engine(url) for url in urls]
            sizes = (wanted.few, wanted.many)
            for engine, size in zip(engines, sizes, strict=True):
                seed(engine, size)
            for batch in (1, 20):
                rounds = [
                    compare(engines[0], engines[1], sizes, batch, wanted.mails * (5 if batch > 1 else 1), salt)
                    for salt in range(batch * 10, batch * 10 + wanted.rounds)
                ]
                few, many = (statistics.median(values) for values in zip(*rounds, strict=True))
                ratios = [round(b / a, 3) for a, b in rounds]
                line = {"database": kind, "batch": batch, "tickets": sizes, "few_ms": round(few, 3),
                        "many_ms": round(many, 3), "ratio": statistics.median(ratios), "ratios": ratios}  # fmt: skip
                print(json.dumps(line), flush=True)
            for engine in engines:
                engine.dispose()


if __name__ == "__main__":
    main()
