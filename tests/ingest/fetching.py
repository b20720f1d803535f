"""A desk that fetches, for tests: real spool, blobs and database; and what became of the mails."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import sqlalchemy as sa

from ingest.imap.fetcher import Fetcher, take_turn
from ingest.imap.folder import Account
from ingest.imap.wire import Server
from ingest.pipeline import run
from ingest.pipeline_parts import Pipeline
from ingest.spool.spool import Spool
from models.blobs.store import open_blobs
from models.db.engine import reading, transaction
from models.inbound.fetching import FETCHED_MAILBOX, Polled, find_polled
from models.people.customer import add_contact, add_customer, add_domain, give_seat
from models.views.ledger import list_held, list_ledger
from rules.policy import OwnMailbox, Policy
from rules.tokens import Keys
from values.vocabulary import MailboxPurpose

NEVER = Event()


def make_fetcher(folder: Path, engine: sa.Engine, *, largest: int = 1 << 20, worker: str = "a") -> Fetcher:
    """A desk whose superuser is grace@harbour.example."""
    with transaction(engine) as session:
        now = datetime.now(UTC)
        customer = add_customer(session, "Harbour Tools", now)
        assert customer.id is not None
        add_domain(session, customer.id, "harbour.example")
        grace = add_contact(session, "grace@harbour.example", now, customer=customer.id)
        assert grace.id is not None
        give_seat(session, grace.id, customer.id, now)
    desk = Pipeline(
        spool=Spool(folder / "spool"),
        engine=engine,
        blobs=open_blobs((folder / "blobs").as_uri()),
        policy=Policy(
            mailboxes=(OwnMailbox(address="support@nordvik.test", purpose=MailboxPurpose.SUPPORT),),
            return_path="bounce@nordvik.test",
            desk_domain="nordvik.test",
            authentication=False,
        ),
        keys=Keys(current="a", secrets={"a": bytes(32)}),
        now=lambda: datetime.now(UTC),
        authenticate=None,
        cpu_seconds=10,
        wall_seconds=60,
    )
    return Fetcher(desk=desk, largest=largest, worker=worker)


def account_on(port: int, password: str = "sesame", **more: Any) -> Account:
    server = Server(host="127.0.0.1", port=port, tls="off", user="support", password=lambda: password)
    return Account(server=server, address="support@nordvik.test", **more)


def fetch(account: Account, fetcher: Fetcher, tries: "Counter[int] | None" = None) -> int | None:
    """One turn: all that is there."""
    return take_turn(account, fetcher, NEVER, Counter() if tries is None else tries, once=True)


def raw(subject: str, *top: str, body: str = "The export stops.") -> bytes:
    head = "".join(f"{line}\r\n" for line in top)
    return (
        f"{head}From: Grace <grace@harbour.example>\r\nTo: support@nordvik.test\r\nSubject: {subject}\r\n"
        f"Message-ID: <{subject.replace(' ', '.')}@harbour.example>\r\nDate: Tue, 24 Nov 2026 08:00:00 +0000\r\n\r\n"
        f"{body}\r\n"
    ).encode()


def ledger(fetcher: Fetcher) -> list[dict[str, Any]]:
    """Every mail with what became of it, once all that was fetched is decided; in order of arrival."""
    run(fetcher.desk, "w0", NEVER, until_idle=True)
    with reading(fetcher.desk.engine) as session:
        return sorted(list_ledger(session), key=lambda row: str(row["id"]))


def held(fetcher: Fetcher) -> list[dict[str, Any]]:
    with reading(fetcher.desk.engine) as session:
        return list_held(session)


def polled(fetcher: Fetcher, account: Account) -> Polled:
    with reading(fetcher.desk.engine) as session:
        found = find_polled(session, account.name)
    return found or Polled(looked_at=None, fault="", fault_at=None, uidvalidity=None, last_uid=0)


def make_due(fetcher: Fetcher) -> None:
    """The pause after a fault, or the lease of a dead fetcher, is over."""
    with transaction(fetcher.desk.engine) as session:
        past = datetime(2020, 1, 1, tzinfo=UTC)
        session.connection().execute(sa.update(FETCHED_MAILBOX).values(due_at=past))
