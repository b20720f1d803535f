"""An IMAP server that means harm, or is broken (T15, T56; fault F23): no crash, no memory, no loop, no secret told."""

import base64
import resource
import socket
import ssl
import threading
import time
from collections import Counter
from pathlib import Path
from threading import Event

import pytest
import sqlalchemy as sa
import structlog
import trustme

from ingest.imap import fetcher as imap
from ingest.imap import wire as imap_wire
from ingest.imap.fetcher import Fetcher, follow
from ingest.imap.wire import Server, connect
from tests.desk import wait_until
from tests.ingest.fetching import account_on, fetch, held, ledger, make_due, make_fetcher, polled, raw
from tests.ingest.imap_server import GOODBYE, HONEST, Answer, ImapServer, Line, mail_answer, silent_server

MAIL = raw("one")


@pytest.fixture
def fetcher(tmp_path: Path, sqlite_template: Path) -> Fetcher:
    import shutil

    from models.db.engine import make_engine

    shutil.copyfile(sqlite_template, tmp_path / "desk.db")
    return make_fetcher(tmp_path, make_engine(f"sqlite:///{tmp_path / 'desk.db'}"))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap_wire, "SILENCE", 0.4)
    monkeypatch.setattr(imap_wire, "ANSWER_SECONDS", 0.8)


def test_an_honest_server_is_fetched_from(fetcher: Fetcher) -> None:
    """What the others are compared with."""
    with ImapServer({1: MAIL, 5: raw("two")}) as server:
        assert fetch(account_on(server.port), fetcher) == 2
    assert [row["state"] for row in ledger(fetcher)] == ["ticket-opened", "ticket-opened"]
    assert all(b"STORE" not in line and b"BODY[" not in line for line in server.heard)


def endless(octets: bytes) -> Answer:
    def send(line: Line, connection: socket.socket) -> bytes | None:
        while True:
            connection.sendall(octets * 200)

    return send


def drip(octets: bytes) -> Answer:
    def send(line: Line, connection: socket.socket) -> bytes | None:
        while True:
            connection.sendall(octets)
            time.sleep(0.05)

    return send


HOSTILE: dict[str, dict[str, Answer]] = {
    "a literal of 4 GB": {"UID FETCH": b"* 1 FETCH (UID 1 BODY[]<0> {4294967295}\r\nxx)\r\n"},
    "a literal of 4 GB where none belongs": {"UID SEARCH": b"* SEARCH {4000000000}\r\n1\r\n"},
    "a literal of a huge number": {"UID SEARCH": b"* SEARCH {" + b"9" * 100_000 + b"}\r\n1\r\n"},
    "a line without an end": {"UID SEARCH": endless(b"1 ")},
    "lines without an end": {"UID SEARCH": endless(b"* SEARCH 1 2 3 4 5 6 7 8\r\n")},
    "continuations without an end": {"UID SEARCH": endless(b"+ go on\r\n")},
    "literals without an end": {"UID FETCH": endless(b"* 1 FETCH (UID 1 X {10}\r\n0123456789)\r\n")},
    "password wanted without an end": {"AUTHENTICATE": endless(b"+ \r\n")},
    "an octet at a time": {"UID SEARCH": drip(b" ")},
    "a line at a time": {"UID SEARCH": drip(b"* OK wait\r\n")},
    "nothing": {"UID SEARCH": lambda line, connection: None},
    "another's tag": {"UID SEARCH": b"TAG X"},
    "garbage": {"UID SEARCH": b"\x00\xff\xfe garbage\r\n"},
    "bare LF": {"UID SEARCH": b"* SEARCH 1\n"},
    "half a mail, then the end": {"UID FETCH": b"* 1 FETCH (UID 1 BODY[]<0> {500}\r\nFrom: a@b\r\n\r\nhalf" + GOODBYE},
    "the end": {"UID FETCH": GOODBYE},
    "BYE": {"UID FETCH": b"* BYE going down\r\n" + GOODBYE},
    "BYE at SELECT": {"EXAMINE": b"* BYE going down\r\n" + GOODBYE},
    "brackets without an end": {"UID FETCH": b"* 1 FETCH (UID 1 X " + b"(" * 100_000 + b")\r\n"},
    "a number without an end": {"UID SEARCH": b"* SEARCH " + b"9" * 100_000 + b"\r\n"},
    "words for UIDs": {"UID SEARCH": b"* SEARCH one two\r\n"},
    "two lists": {"UID SEARCH": b"* SEARCH 1\r\n* SEARCH 2\r\n"},
    "a FETCH of words": {"UID FETCH": b"* one FETCH (UID x)\r\n"},
    "an uneven FETCH": {"UID FETCH": b"* 1 FETCH (UID 1 BODY[]<0>)\r\n"},
    "more than was asked for": {"UID FETCH": b"* 1 FETCH (UID 1 BODY[]<0> {300000}\r\n" + b"x" * 300_000 + b")\r\n"},
    "nothing of a mail with a size": {"UID FETCH": b"* 1 FETCH (UID 1 RFC822.SIZE 5 BODY[]<0> NIL)\r\n"},
    "a mail with no UID": {"UID FETCH": b"* 9 FETCH (BODY[]<0> {4}\r\nabcd)\r\n"},
    "another mail": {"UID FETCH": b"* 9 FETCH (UID 9 BODY[]<0> {4}\r\nabcd)\r\n"},
    "another piece": {"UID FETCH": b"* 1 FETCH (UID 1 BODY[]<9> {4}\r\nabcd)\r\n"},
    "no piece but all": {"UID FETCH": b"* 1 FETCH (UID 1 BODY[] {4}\r\nabcd)\r\n"},
    "a number for a mail": {"UID FETCH": b"* 1 FETCH (UID 1 BODY[]<0> 17)\r\n"},
    "no UIDVALIDITY": {"EXAMINE": b"* 1 EXISTS\r\n"},
    "UIDVALIDITY 0": {"EXAMINE": b"* 1 EXISTS\r\n* OK [UIDVALIDITY 0] x\r\n"},
    "UIDVALIDITY of a huge number": {"EXAMINE": b"* 1 EXISTS\r\n* OK [UIDVALIDITY " + b"9" * 5000 + b"] x\r\n"},
    "UIDVALIDITY that is a word": {"EXAMINE": b"* 1 EXISTS\r\n* OK [UIDVALIDITY x] x\r\n"},
    "no CAPABILITY": {"CAPABILITY": b""},
    "NO to everything": {"UID SEARCH": b"TAG NO no\r\n"},
    "BAD": {"UID SEARCH": b"TAG BAD bad\r\n"},
}


TOLD = {
    "a literal of 4 GB": "a literal of 4294967295 octets",
    "a literal of 4 GB where none belongs": "a literal of 4000000000 octets",
    "a line without an end": "an answer of more than",
    "lines without an end": "an answer of more than",
    "continuations without an end": "an answer of more than",
    "literals without an end": "an answer of more than",
    "password wanted without an end": "asks for the password twice",
    "an octet at a time": "did not answer in time",
    "a line at a time": "did not answer in time",
    "nothing": "did not answer in time",
    "half a mail, then the end": "closed the connection",
    "more than was asked for": "300000 octets came",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_t56_a_hostile_answer_is_a_fault_and_costs_little(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if " without an end" in name and TOLD.get(name, "").startswith("an answer"):  # its octets end it, not its time
        monkeypatch.setattr(imap_wire, "MAX_ANSWER", 400 * 1024)
        monkeypatch.setattr(imap_wire, "ANSWER_SECONDS", 30.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ImapServer({1: MAIL}, HOSTILE[name]) as server:
        account = account_on(server.port)
        begun = time.monotonic()
        assert fetch(account, fetcher) == 0
        assert time.monotonic() - begun < 10
    fault = polled(fetcher, account).fault
    assert fault and TOLD.get(name, "") in fault
    assert fetcher.desk.spool.counts().new == 0, "no mail, and no half mail"
    assert list(fetcher.desk.spool.tmp.iterdir()) == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80 * 1024, "KiB"


@pytest.mark.parametrize("command", ["CAPABILITY", "AUTHENTICATE", "EXAMINE", "UID SEARCH", "UID FETCH", "IDLE"])
def test_f23_an_end_at_any_point_is_a_new_connection_after_a_pause(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """RFC 9051 §5.4, §7.1.5: nothing is lost, and nobody is hammered."""
    monkeypatch.setattr(imap, "FIRST_PAUSE", 0.4)
    monkeypatch.setattr(imap, "LENT_PAUSE", 0.05)
    monkeypatch.setattr(imap, "BREATH", 0.01)
    cuts = [b"* BYE autologout\r\n" + GOODBYE, GOODBYE]

    def cut(line: Line, connection: socket.socket) -> bytes | None:
        return cuts.pop() if cuts else HONEST

    stop = Event()
    with ImapServer({1: MAIL}, {command: cut}) as server:
        thread = threading.Thread(target=follow, args=(account_on(server.port), fetcher, stop))
        begun = time.monotonic()
        thread.start()
        wait_until(lambda: server.connections == 3 and fetcher.desk.spool.counts().new == 1, "the third time", 20)
        assert time.monotonic() - begun > 0.2 + 0.4, "a pause each time, and a longer one"
        stop.set()
        thread.join(3)
        assert not thread.is_alive()
    assert len(ledger(fetcher)) == 1


@pytest.mark.parametrize(
    "where", ["CONNECT", "CAPABILITY", "AUTHENTICATE", "EXAMINE", "UID SEARCH", "UID FETCH", "IDLE"]
)
def test_it_ends_within_seconds_wherever_it_waits(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(imap_wire, "SILENCE", 60.0)
    monkeypatch.setattr(imap_wire, "ANSWER_SECONDS", 60.0)
    stop, reached = Event(), Event()

    def wait(line: Line, connection: socket.socket) -> bytes | None:
        reached.set()
        return None

    with silent_server() as silent, ImapServer({1: MAIL}, {where: wait}) as server:
        port = silent if where == "CONNECT" else server.port
        thread = threading.Thread(target=follow, args=(account_on(port), fetcher, stop))
        thread.start()
        assert where == "CONNECT" or reached.wait(10)
        stop.set()
        thread.join(3)
        assert not thread.is_alive()


def test_t15_preauth_is_not_believed(fetcher: Fetcher) -> None:
    """RFC 3501 §11.1: not a word of the account is said."""
    with ImapServer({1: MAIL}, greeting=b"* PREAUTH welcome\r\n") as server:
        account = account_on(server.port)
        assert fetch(account, fetcher) == 0
    assert "PREAUTH" in polled(fetcher, account).fault
    assert [line.split()[1] for line in server.heard] == [b"CAPABILITY"]


def test_t15_what_is_said_in_clear_after_starttls_is_not_taken(fetcher: Fetcher) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    answers: dict[str, Answer] = {
        "CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS\r\n",
        "STARTTLS": b"TAG OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n",
    }
    with ImapServer({1: MAIL}, answers) as server:
        secured = Server(
            host="localhost", port=server.port, tls="starttls", user="u", password=lambda: "sesame", context=context
        )
        with pytest.raises(Exception, match="spoke in clear"):
            connect(secured, Event())
        server.answers[b"CAPABILITY"] = b"* CAPABILITY IMAP4rev1\r\n"
        with pytest.raises(imap_wire.Refused, match="does not offer STARTTLS"):
            connect(secured, Event())
    assert not any(b"LOGIN" in line or b"AUTH" in line for line in server.heard)


def test_a_server_that_says_the_password_back(fetcher: Fetcher, capsys: pytest.CaptureFixture[str]) -> None:
    answers: dict[str, Answer] = {
        "CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n",
        "LOGIN": b"TAG NO [AUTHENTICATIONFAILED] is it hunter2?\r\n",
    }
    with ImapServer({1: MAIL}, answers) as server:
        account = account_on(server.port, password="hunter2")
        assert fetch(account, fetcher) == 0
        server.answers[b"LOGIN"] = b"TAG NO [UNAVAILABLE] not now, hunter2\r\n"
        make_due(fetcher)
        assert fetch(account, fetcher) == 0
    assert "hunter2" not in polled(fetcher, account).fault + capsys.readouterr().out


def test_rfc5530_a_server_that_is_busy_is_asked_again_soon(fetcher: Fetcher) -> None:
    with ImapServer({1: MAIL}, {"AUTHENTICATE": b"TAG NO [UNAVAILABLE] later\r\n"}) as server:
        account = account_on(server.port)
        assert fetch(account, fetcher) == 0
        with fetcher.desk.engine.connect() as connection:
            row = connection.execute(sa.text("SELECT due_at, fault_at FROM fetched_mailbox")).one()
    assert row[0] < row[1][:17] + "99", "seconds, not minutes"


def test_an_alert_is_shown(fetcher: Fetcher) -> None:
    with (
        ImapServer({}, {"EXAMINE": b"* OK [UIDVALIDITY 7] x\r\n* OK [ALERT] disk full soon\r\n"}) as server,
        structlog.testing.capture_logs() as lines,
    ):
        assert fetch(account_on(server.port), fetcher) == 0
    assert any(line["event"] == "imap-alert" and "disk full soon" in str(line) for line in lines)


def test_uids_that_go_back_or_come_twice(fetcher: Fetcher) -> None:
    mails = {3: raw("three"), 7: raw("seven"), 9: raw("nine")}
    with ImapServer(mails, {"UID SEARCH": b"* SEARCH 9 3 7 7 3 0 99999999999\r\n"}) as server:
        account = account_on(server.port)
        assert fetch(account, fetcher) == 3
        assert polled(fetcher, account).last_uid == 9
        server.answers[b"UID SEARCH"] = b"* SEARCH 9 3\r\n"
        assert fetch(account, fetcher) == 0, "a range with * names the highest one, however low it is"
    assert len(ledger(fetcher)) == 3


def test_a_mail_that_goes_while_it_is_fetched(fetcher: Fetcher) -> None:
    """RFC 9051 §7.5: EXPUNGE at any time. The others come; of this one nothing stays."""
    large = raw("large", body="x" * 600_000)

    def expunged(line: Line, connection: socket.socket) -> bytes | None:
        if line.rest.startswith(b"1 ") and b"<0." not in line.rest:
            del server.mails[1]
            return b"* 1 EXPUNGE\r\n* 1 EXISTS\r\n"
        uid = int(line.rest.split()[0])
        return (b"* 2 EXISTS\r\n" + mail_answer(server.mails[uid], uid, line)) if uid in server.mails else b""

    with ImapServer({1: large, 2: MAIL}, {"UID FETCH": expunged}) as server:
        account = account_on(server.port)
        assert fetch(account, fetcher) == 0
        make_due(fetcher)
        assert fetch(account, fetcher) == 1
    assert [row["message_id"] for row in ledger(fetcher)] == ["one@harbour.example"]


@pytest.mark.parametrize(
    ("answer", "tries"),
    [(b"TAG NO [SERVERBUG] can't\r\n", imap.REFUSALS), (b"", imap.REFUSALS), (GOODBYE, imap.BREAKS)],
    ids=["NO", "nothing", "the end"],
)
def test_a_mail_that_cannot_be_had_is_held_and_stops_nobody(fetcher: Fetcher, answer: bytes, tries: int) -> None:
    def refuse(line: Line, connection: socket.socket) -> bytes | None:
        uid = int(line.rest.split()[0])
        return answer if uid == 2 else mail_answer(server.mails[uid], uid, line)

    failed: Counter[int] = Counter()
    with ImapServer({1: MAIL, 2: raw("two"), 3: raw("three")}, {"UID FETCH": refuse}) as server:
        account = account_on(server.port)
        fetched = []
        for _ in range(tries + 1):
            fetched.append(fetch(account, fetcher, failed))
            make_due(fetcher)
    assert fetched == [1, *[0] * (tries - 1), 1]
    states = [(row["state"], row["reason"]) for row in ledger(fetcher)]
    assert sorted(states) == [("held", "not-fetched"), *[("ticket-opened", "superuser")] * 2]
    (one,) = held(fetcher)
    assert f"{account.name} did not give this mail, UID 2" in one["why"]


def test_sizes_that_are_wrong(fetcher: Fetcher) -> None:
    """Some servers only estimate RFC822.SIZE; what counts is what comes."""
    large = raw("large", body="x" * 400_000)

    def lie(size: bytes) -> Answer:
        return lambda line, connection: mail_answer(large, 1, line).replace(b"SIZE %d" % len(large), b"SIZE " + size)

    for size, outcome in ((b"10", 1), (b"500000", 1), (b"-5", 1), (b"x", 1), (b"99999999999999", 1)):
        with ImapServer({1: large}, {"UID FETCH": lie(size)}) as server:
            assert fetch(account_on(server.port, folder=f"INBOX{size.decode()}"), fetcher) == outcome
    rows = ledger(fetcher)
    assert sorted(Counter(row["size"] for row in rows).items()) == [(256 * 1024, 1), (len(large), 4)]
    (one,) = held(fetcher)
    assert "The mail has 99,999,999,999,999 octets" in one["why"]


def test_a_mail_larger_than_it_says_is_cut_off_at_the_limit(fetcher: Fetcher) -> None:
    def more(line: Line, connection: socket.socket) -> bytes | None:
        return mail_answer(raw("endless", body="x" * (16 << 20)), 1, line).replace(b"RFC822.SIZE", b"X-SIZE")

    with ImapServer({1: MAIL}, {"UID FETCH": more}) as server:
        assert fetch(account_on(server.port), fetcher) == 1
        asked = sum(b"FETCH" in line for line in server.heard)
    assert asked <= (fetcher.largest >> 18) + 1
    (one,) = held(fetcher)
    assert one["reason"] == "over-limit" and one["author"] == "grace@harbour.example"


def test_a_server_that_always_has_news_is_asked_at_most_twice_a_second(fetcher: Fetcher) -> None:
    """News before the "+" of IDLE is no refusal of it, and news without an end is no reason to ask without a pause."""
    tags: list[bytes] = []

    def news(line: Line, connection: socket.socket) -> bytes | None:
        tags.append(line.tag)
        connection.sendall(b"* 1 EXISTS\r\n+ idling\r\n* 2 EXISTS\r\n")
        return None

    def done(line: Line, connection: socket.socket) -> bytes | None:
        connection.sendall(tags[-1] + b" OK done\r\n")
        return None

    stop = Event()
    with ImapServer({}, {"IDLE": news, "DONE": done}) as server:
        thread = threading.Thread(target=follow, args=(account_on(server.port), fetcher, stop))
        thread.start()
        time.sleep(2.0)
        stop.set()
        thread.join(3)
    assert server.connections == 1
    assert 3 <= sum(b"SEARCH" in line for line in server.heard) <= 5


def test_rfc2177_idle_is_renewed(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    assert imap.IDLE_SECONDS < 29 * 60
    monkeypatch.setattr(imap, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(imap, "BREATH", 0.01)
    stop = Event()
    with ImapServer({}) as server:
        thread = threading.Thread(target=follow, args=(account_on(server.port), fetcher, stop))
        thread.start()
        wait_until(lambda: server.heard.count(b"DONE") >= 3, "a third IDLE")
        stop.set()
        thread.join(3)
    assert server.connections == 1


def test_a_password_that_login_cannot_carry(fetcher: Fetcher) -> None:
    """AUTHENTICATE PLAIN can; quotes and backslashes are no end of anything."""
    with ImapServer({}, {"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n"}) as server:
        account = account_on(server.port, password="sésame")
        assert fetch(account, fetcher) == 0
        assert "ASCII only" in polled(fetcher, account).fault
        make_due(fetcher)
        fetch(account_on(server.port, password='a" \\b'), fetcher)
        assert any(line.endswith(b'LOGIN "support" "a\\" \\\\b"') for line in server.heard)
        del server.answers[b"CAPABILITY"]
        fetch(account, fetcher)
    assert base64.b64encode("\0support\0sésame".encode()) in server.heard


def test_a_server_without_idle_is_polled(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(imap, "BREATH", 0.01)
    stop = Event()
    with ImapServer({}, {"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n"}) as server:
        thread = threading.Thread(target=follow, args=(account_on(server.port), fetcher, stop))
        thread.start()
        wait_until(lambda: sum(b"SEARCH" in line for line in server.heard) > 2, "polls")
        server.mails[1] = MAIL
        wait_until(lambda: fetcher.desk.spool.counts().new == 1, "the mail")
        stop.set()
        thread.join(3)
    assert not any(b"IDLE" in line for line in server.heard)
