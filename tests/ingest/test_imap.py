"""Mail fetched from a real Dovecot: each mail once, whatever is killed, made anew, moved or taken over."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event, Thread

import pytest
import sqlalchemy as sa
from imapclient import IMAPClient

from ingest.imap.fetcher import Fetcher, follow
from ingest.imap.folder import Account, After
from ingest.imap.mail import SpoolFault
from models.db.engine import transaction
from models.inbound.fetching import FETCHED_MAILBOX
from tests.desk import wait_until
from tests.dovecot import Dovecot, missing
from tests.ingest.fetching import (
    account_on,
    fetch,
    held,
    ledger,
    make_due,
    make_fetcher,
    polled,
    raw,
)

pytestmark = [pytest.mark.dovecot, pytest.mark.skipif(bool(missing()), reason=missing())]
_numbers = iter(range(10_000))


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    with Dovecot() as server:
        yield server


@pytest.fixture
def user() -> str:
    """A mailbox of its own for each test."""
    return f"user{next(_numbers)}"


@pytest.fixture
def fetcher(tmp_path: Path, database: sa.Engine) -> Fetcher:
    return make_fetcher(tmp_path, database)


def of(user: str, account: Account) -> Account:
    return replace(account, server=replace(account.server, user=user))


def flags(client: IMAPClient, folder: str = "INBOX") -> dict[int, tuple[bytes, ...]]:
    client.select_folder(folder, readonly=True)
    return {uid: answer[b"FLAGS"] for uid, answer in client.fetch(client.search("ALL"), ["FLAGS"]).items()}


def test_each_mail_is_fetched_once_and_left_as_it_is(server: Dovecot, user: str, fetcher: Fetcher) -> None:
    account = of(user, account_on(server.port))
    top = (
        "Return-Path: <grace@harbour.example>",
        "Delivered-To: support+x@nordvik.test",
        "Delivered-To: eve@evil.test",
    )
    server.deliver(user, raw("one", *top))
    server.deliver(user, raw("two"))
    assert fetch(account, fetcher) == 2
    first, second = ledger(fetcher)
    assert (first["state"], second["state"]) == ("ticket-opened", "ticket-opened")
    assert first["source"] == second["source"] == "imap"
    assert first["reverse_path"] == "grace@harbour.example"
    assert first["forward_paths"] == ["support+x@nordvik.test"], "an address that is not ours says nothing"
    assert second["forward_paths"] == ["support@nordvik.test"], "the mailbox's own, where the header names none"
    assert (first["size"], second["size"]) == (len(raw("one", *top)), len(raw("two")))
    assert flags(server.sign_in(user)) == {1: (b"\\Recent",), 2: (b"\\Recent",)}, "not even looked at"
    assert fetch(account, fetcher) == 0
    server.deliver(user, raw("three"))
    assert fetch(account, fetcher) == 1
    assert (polled(fetcher, account).last_uid, polled(fetcher, account).fault) == (3, "")


def test_what_somebody_reads_or_moves_meanwhile(server: Dovecot, user: str, fetcher: Fetcher) -> None:
    """F26: flags are not ours to go by, and a gap in the UIDs is none of our business."""
    account = of(user, account_on(server.port))
    for subject in ("one", "two", "three"):
        server.deliver(user, raw(subject))
    client = server.sign_in(user)
    client.select_folder("INBOX")
    client.add_flags([1], [b"\\Seen"])
    client.create_folder("Elsewhere")
    client.move([2], "Elsewhere")
    assert fetch(account, fetcher) == 2
    assert [row["message_id"] for row in ledger(fetcher)] == ["one@harbour.example", "three@harbour.example"]


def test_idle_brings_a_mail_at_once(server: Dovecot, user: str, fetcher: Fetcher) -> None:
    stop = Event()
    account = of(user, account_on(server.port))
    thread = Thread(target=follow, args=(account, fetcher, stop))
    thread.start()
    try:
        for number in range(3):
            wait_until(lambda: polled(fetcher, account).looked_at, "the first look")
            server.deliver(user, raw(f"mail {number}"))
            wait_until(lambda n=number: fetcher.desk.spool.counts().new == n + 1, "the mail", 15)
    finally:
        stop.set()
        thread.join(5)
    assert not thread.is_alive(), "ends within seconds, in IDLE too"
    assert len(ledger(fetcher)) == 3
    assert fetch(account, fetcher) == 0, "the lease was given back"


def test_a_mailbox_made_anew_loses_and_doubles_nothing(server: Dovecot, user: str, fetcher: Fetcher) -> None:
    """F24: another UIDVALIDITY; the copies are known by their content."""
    account = of(user, account_on(server.port, folder="Support"))
    client = server.sign_in(user)
    client.create_folder("Support")
    for subject in ("one", "two"):
        client.append("Support", raw(subject))
    assert fetch(account, fetcher) == 2
    before = polled(fetcher, account)
    client.delete_folder("Support")
    client.create_folder("Support")
    for subject in ("three", "one", "two"):
        client.append("Support", raw(subject))
    assert fetch(account, fetcher) == 3
    after = polled(fetcher, account)
    assert (before.uidvalidity, before.last_uid) != (after.uidvalidity, after.last_uid)
    assert Counter(row["state"] for row in ledger(fetcher)) == {"ticket-opened": 3, "duplicate": 2}
    assert fetch(account, fetcher) == 0


def test_a_mailbox_that_went_back_is_read_anew(server: Dovecot, user: str, fetcher: Fetcher) -> None:
    """F24: a server restored from a backup gives the UIDs of mails that we have to other mails."""
    account = of(user, account_on(server.port))
    server.deliver(user, raw("one"))
    assert fetch(account, fetcher) == 1
    with transaction(fetcher.desk.engine) as session:
        session.connection().execute(sa.text("UPDATE fetch_cursor SET last_uid = 5"))
    server.deliver(user, raw("two"))
    assert fetch(account, fetcher) == 2, "the first one again"
    states = Counter(row["state"] for row in ledger(fetcher))
    assert states == {"ticket-opened": 2}, "under its old id: no row of its own"


def test_seen(server: Dovecot, user: str, fetcher: Fetcher) -> None:
    server.deliver(user, raw("one"))
    assert fetch(of(user, account_on(server.port, after=After.SEEN)), fetcher) == 1
    assert b"\\Seen" in flags(server.sign_in(user))[1]


@pytest.mark.parametrize("capability", ["", "IMAP4rev1 IDLE UIDPLUS"], ids=["MOVE", "UIDPLUS"])
def test_move_takes_that_mail_and_no_other(tmp_path: Path, database: sa.Engine, user: str, capability: str) -> None:
    """RFC 6851, RFC 4315: what others have marked as deleted stays."""
    fetcher = make_fetcher(tmp_path, database)
    with Dovecot(capability) as server:
        account = of(user, account_on(server.port, after=After.MOVE, move_to="Done", since=date(2020, 1, 1)))
        assert fetch(account, fetcher) == 0
        told = polled(fetcher, account).fault
        assert "there is no folder Done to move to: make it; the folders are: INBOX" in told
        client = server.sign_in(user)
        client.create_folder("Done")
        server.deliver(user, raw("marked"))
        client.select_folder("INBOX")
        client.add_flags([1], [b"\\Deleted"])
        with transaction(fetcher.desk.engine) as session:
            old = {"mailbox": account.name, "uidvalidity": client.folder_status("INBOX")[b"UIDVALIDITY"]}
            row = "INSERT INTO fetch_cursor VALUES (:mailbox, :uidvalidity, 1, '2026-11-24 08:00:00+00')"
            session.connection().execute(sa.text(row), old)
        server.deliver(user, raw("one"))
        make_due(fetcher)
        assert fetch(account, fetcher) == 1
        assert list(flags(client)) == [1]
        assert len(flags(client, "Done")) == 1
        assert [row["state"] for row in ledger(fetcher)] == ["ticket-opened"]


def test_old_mail_is_left_alone_where_that_is_wished(server: Dovecot, user: str, fetcher: Fetcher) -> None:
    client = server.sign_in(user)
    client.append("INBOX", raw("old"), msg_time=datetime(2026, 3, 1, 12, tzinfo=UTC))
    client.append("INBOX", raw("new"), msg_time=datetime(2026, 11, 2, 12, tzinfo=UTC))
    assert fetch(of(user, account_on(server.port, since=date(2026, 11, 1))), fetcher) == 1
    assert [row["message_id"] for row in ledger(fetcher)] == ["new@harbour.example"]


def test_a_mail_over_the_limit_is_held_with_its_beginning(server: Dovecot, user: str, fetcher: Fetcher) -> None:
    account = of(user, account_on(server.port, after=After.SEEN))
    large = raw("large", body="A line of a long protocol.\r\n" * 60_000)
    server.deliver(user, large)
    server.deliver(user, raw("after it"))
    assert fetch(account, fetcher) == 2
    first, second = ledger(fetcher)
    assert (first["state"], first["reason"], first["author"]) == ("held", "over-limit", "grace@harbour.example")
    assert second["state"] == "ticket-opened"
    (shown,) = held(fetcher)
    assert f"The mail has {len(large):,} octets" in shown["why"] and f"{account.name}, UID 1" in shown["why"]
    assert flags(server.sign_in(user))[1] == (), "it stays as it is, for a person to look at"
    assert fetch(account, fetcher) == 0, "and is not looked at again and again"
    with transaction(fetcher.desk.engine) as session:
        session.connection().execute(sa.text("DELETE FROM fetch_cursor"))
    assert fetch(account, fetcher) == 2
    assert len(ledger(fetcher)) == 2, "held once, under one id"


def test_a_large_mail_comes_in_pieces_and_whole(server: Dovecot, user: str, fetcher: Fetcher) -> None:
    large = raw("large", body="\r\n".join(f"line {number}" for number in range(100_000)))
    assert len(large) > 4 * 256 * 1024
    server.deliver(user, large)
    exact = raw("exact", body="x" * (2 * 256 * 1024 - len(raw("exact", body=""))))
    assert len(exact) == 2 * 256 * 1024
    server.deliver(user, exact)
    assert fetch(of(user, account_on(server.port)), replace(fetcher, largest=2 * len(large))) == 2
    claim = fetcher.desk.spool.claim("w", 10)
    assert claim is not None
    assert [fetcher.desk.spool.read(mail) for mail in claim.mails] == [large, exact]


def test_only_one_of_two_fetchers_has_a_mailbox(server: Dovecot, user: str, fetcher: Fetcher) -> None:
    account, other, stop = of(user, account_on(server.port)), replace(fetcher, worker="b"), Event()
    thread = Thread(target=follow, args=(account, fetcher, stop))
    thread.start()
    try:
        server.deliver(user, raw("one"))
        wait_until(lambda: fetcher.desk.spool.counts().new == 1, "the mail")
        assert fetch(account, other) is None, "lent"
    finally:
        stop.set()
        thread.join(5)
    assert fetch(account, other) == 0, "given back"
    assert len(ledger(fetcher)) == 1


def test_a_fetcher_that_lost_its_lease_moves_nothing(
    server: Dovecot, user: str, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It slept (SIGSTOP, a machine cut off) between the spool and the cursor; another fetched the mail meanwhile."""
    account, other = of(user, account_on(server.port)), replace(fetcher, worker="b")
    server.deliver(user, raw("one"))

    def meanwhile(place: str) -> None:
        if place == "imap.before-advance":
            monkeypatch.setattr("ingest.imap.fetcher.failpoint", lambda place: None)
            make_due(fetcher)
            assert fetch(account, other) == 1
            server.deliver(user, raw("two"))

    monkeypatch.setattr("ingest.imap.fetcher.failpoint", meanwhile)
    assert fetch(account, fetcher) == 1
    assert polled(fetcher, account).last_uid == 1
    assert fetch(account, other) == 1, "what came after it is the other one's"
    assert [row["state"] for row in ledger(fetcher)] == ["ticket-opened", "ticket-opened"]


def test_nothing_is_accepted_that_the_spool_does_not_take(
    server: Dovecot, user: str, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = of(user, account_on(server.port, after=After.SEEN))
    server.deliver(user, raw("one"))
    monkeypatch.setattr(fetcher.desk.spool, "free_octets", lambda: 1)
    assert fetch(account, fetcher) == 0
    assert "too little room" in polled(fetcher, account).fault
    monkeypatch.undo()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetcher.desk.spool, "fsync", full)
    make_due(fetcher)
    assert fetch(account, fetcher) == 0
    assert SpoolFault.__name__ in polled(fetcher, account).fault
    assert flags(server.sign_in(user))[1] == (b"\\Recent",) or flags(server.sign_in(user))[1] == ()
    monkeypatch.undo()
    make_due(fetcher)
    assert fetch(account, fetcher) == 1


def test_a_wrong_password_is_told_and_not_hammered(server: Dovecot, user: str, fetcher: Fetcher) -> None:
    """F28: one try in five minutes."""
    account = of(user, account_on(server.port, password="hunter2"))
    assert fetch(account, fetcher) == 0
    told = polled(fetcher, account).fault
    assert f"it refuses {user}: [AUTHENTICATIONFAILED]" in told and "mend user or password" in told
    assert "hunter2" not in told
    assert fetch(account, fetcher) is None, "not again now, by nobody"
    with fetcher.desk.engine.connect() as connection:
        due_at, fault_at = connection.execute(sa.select(FETCHED_MAILBOX.c.due_at, FETCHED_MAILBOX.c.fault_at)).one()
    assert (due_at - fault_at).total_seconds() >= 300


def test_a_wrong_folder_is_told(server: Dovecot, user: str, fetcher: Fetcher) -> None:
    account = of(user, account_on(server.port, folder="Suport"))
    server.sign_in(user).create_folder("Support")
    assert fetch(account, fetcher) == 0
    told = polled(fetcher, account).fault
    assert "there is no folder Suport" in told and "the folders are: INBOX, Support" in told


def test_tls(server: Dovecot, user: str, fetcher: Fetcher) -> None:
    """T15, T16: the certificate is verified before a word of the password; STARTTLS is demanded."""
    server.deliver(user, raw("one"))
    plain = of(user, account_on(server.port))
    for port, tls in ((server.tls_port, "on"), (server.port, "starttls")):
        secured = replace(plain.server, host="localhost", port=port, tls=tls)
        assert fetch(replace(plain, server=secured), fetcher) == 0
        told = polled(fetcher, replace(plain, server=secured)).fault
        assert "the certificate of localhost is not believed" in told
        make_due(fetcher)
        assert fetch(replace(plain, server=replace(secured, context=server.context)), fetcher) == (
            1 if tls == "on" else 0
        )
        wrong_name = replace(secured, host="127.0.0.1", context=server.context)
        assert fetch(replace(plain, server=wrong_name), fetcher) == 0
        assert "is not believed" in polled(fetcher, replace(plain, server=wrong_name)).fault
        make_due(fetcher)
    assert len(ledger(fetcher)) == 1
