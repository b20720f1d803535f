"""Real senders: swaks with signed mails, directly and through a real Postfix, whose keys a loopback DNS serves; and the
sequences of SMTP smuggling (threat T14), which never become two mails."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from ingest.auth.resolver import DnsResolver
from ingest.auth.sender import authenticate
from ingest.mime.parse import FileOctets
from models.db.engine import make_engine
from models.inbound.ledger import LEDGER
from tests.dns_server import DnsServer
from tests.ingest.signing import rsa_key, sign
from tests.ingest.wire import SMUGGLING, Client, Desk
from tests.walk.postfix import Postfix, missing
from tests.walk.small_desk import SmallDesk, policy
from values.mail import AuthEvidence, Mailbox, SpooledMail
from values.vocabulary import LedgerState, Reason

SU, SUPPORT = "su@acme.test", "support@hd.test"
ENDS = (*SMUGGLING, b"\r\n..\n")

needs_swaks = pytest.mark.skipif(not shutil.which("swaks"), reason="swaks is not installed: see tests/system-packages")


# --- signed mails -------------------------------------------------------------------------------------------------


class CheckingDesk(SmallDesk):
    """Asks the real sender check, and the loopback DNS."""

    dns: DnsServer

    def _authenticate(self, spooled: SpooledMail, author: Mailbox) -> AuthEvidence:
        with spooled.path.open("rb") as file:
            octets = FileOctets(file, spooled.offset, spooled.size)
            resolver = DnsResolver(["127.0.0.1"], port=self.dns.port)
            domain = author.address.rpartition("@")[2]
            return authenticate(octets, spooled.envelope, domain, resolver, now=self.time)


@pytest.fixture
def checking(sqlite_template: Path, tmp_path: Path) -> Iterator[CheckingDesk]:
    (tmp_path / "desk.db").write_bytes(sqlite_template.read_bytes())
    records = {
        ("_dmarc.acme.test", "TXT"): "v=DMARC1; p=reject",
        ("acme.test", "TXT"): "v=spf1 -all",
        ("s._domainkey.acme.test", "TXT"): rsa_key().record,
    }
    with DnsServer(records) as dns:
        engine = make_engine(f"sqlite:///{tmp_path / 'desk.db'}")
        made = CheckingDesk(engine=engine, folder=tmp_path, policy=policy("hd.test"), time=datetime.now(UTC))
        made.dns = dns
        made.people("Acme", SU, domain="acme.test")
        yield made


def _message(n: str) -> bytes:
    return (
        f"From: Su <{SU}>\r\nTo: {SUPPORT}\r\nSubject: {n}\r\nDate: {format_datetime(datetime.now(UTC))}\r\n"
        f"Message-ID: <{n}@acme.test>\r\n\r\nThe export stops.\r\n.\r\n..dots\r\n\r\n"
    ).encode()


def _swaks(port: int, raw: bytes, folder: Path) -> None:
    path = folder / "mail.eml"
    path.write_bytes(raw.replace(b"\r\n", b"\n"))
    command = ["swaks", "--server", f"127.0.0.1:{port}", "--from", SU, "--to", SUPPORT, "--data", f"@{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _verdicts(desk: CheckingDesk) -> dict[str, tuple[LedgerState, Reason, str, str]]:
    desk.take()
    return {
        row["subject"]: (row["state"], row["reason"], row["auth"]["dkim"], row["auth"]["belief"])
        for row in desk.rows(LEDGER)
    }


BELIEVED = (LedgerState.TICKET_OPENED, Reason.SUPERUSER, "pass", "believed")
REFUTED = (LedgerState.HELD, Reason.UNBELIEVED)


@needs_swaks
def test_swaks_sends_signed_mail_directly(checking: CheckingDesk, tmp_path: Path) -> None:
    with Desk(tmp_path) as listener:
        for raw in (sign(_message("signed")), _message("bare"), sign(_message("changed")).replace(b"stops", b"stopt")):
            _swaks(listener.ports[0], raw, tmp_path)
    found = _verdicts(checking)
    assert found["signed"] == BELIEVED
    assert found["bare"][:2] == REFUTED
    assert found["changed"] == (*REFUTED, "fail", "refuted")


@needs_swaks
@pytest.mark.postfix
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_signature_survives_a_real_postfix(checking: CheckingDesk, tmp_path: Path) -> None:
    with Desk(tmp_path) as listener, Postfix("hd.test", listener.ports[0]) as border:
        _swaks(border.port, sign(_message("relayed")), tmp_path)
        _swaks(border.port, _message("bare"), tmp_path)
        border.wait_until_idle()
    found = _verdicts(checking)
    assert found["relayed"] == BELIEVED
    assert found["bare"][:2] == REFUTED


# --- smuggling ----------------------------------------------------------------------------------------------------


def _smuggle(port: int, n: int, end: bytes, *, chunks: bool) -> None:
    """A mail with the sequence in it, and behind that a whole second mail."""
    second = (
        f"MAIL FROM:<evil{n}@evil.test>\r\nRCPT TO:<{SUPPORT}>\r\nDATA\r\n"
        f"From: {SU}\r\nSubject: forged {n}\r\n\r\nforged\r\n"
    ).encode()
    first = f"From: x@outside.test\r\nSubject: first {n}\r\n\r\none".encode() + end + second
    with Client(port) as client, suppress(ConnectionError, OSError, AssertionError):
        if chunks:
            client.say("EHLO outside.test")
            client.say("MAIL FROM:<x@outside.test>")
            client.say(f"RCPT TO:<{SUPPORT}>")
            client.send(f"BDAT {len(first)} LAST\r\n".encode() + first)
        else:
            client.begin("x@outside.test", SUPPORT)
            client.send(first + b".\r\n")
        client.reply()
        client.say("QUIT")


def _came(listener: Desk) -> tuple[int, list[str]]:
    """How many mails, and the envelopes that nobody sent."""
    mails = listener.mails()
    return len(mails), [mail.envelope.reverse_path for mail in mails if "evil" in mail.envelope.reverse_path]


@pytest.mark.parametrize("chunks", [False, True], ids=["DATA", "BDAT"])
def test_T14_no_sequence_is_two_mails_directly(tmp_path: Path, chunks: bool) -> None:
    with Desk(tmp_path) as listener:
        for n, end in enumerate(ENDS):
            _smuggle(listener.ports[0], n, end, chunks=chunks)
        many, forged = _came(listener)
    assert forged == []
    assert many == (0 if chunks else len(ENDS)), "we offer no CHUNKING; all else is one mail each"


@pytest.mark.postfix
@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize("chunks", [False, True], ids=["DATA", "BDAT"])
def test_T14_no_sequence_is_two_mails_through_postfix(tmp_path: Path, chunks: bool) -> None:
    """Postfix before 3.9 has to be told: smtpd_forbid_bare_newline."""
    with Desk(tmp_path) as listener:
        with Postfix("hd.test", listener.ports[0], smtpd_forbid_bare_newline="yes") as border:
            for n, end in enumerate(ENDS):
                _smuggle(border.port, n, end, chunks=chunks)
            border.wait_until_idle()
        many, forged = _came(listener)
    assert forged == []
    assert 0 < many <= len(ENDS), "those that Postfix let through are one mail each"


@pytest.mark.postfix
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_T14_the_sequences_do_bite_where_nobody_defends(tmp_path: Path) -> None:
    """The measure itself: a Postfix that was told to take them makes two mails of some."""
    with Desk(tmp_path) as listener:
        with Postfix("hd.test", listener.ports[0], smtpd_forbid_bare_newline="no") as border:
            for n, end in enumerate(ENDS):
                _smuggle(border.port, n, end, chunks=False)
            border.wait_until_idle()
        _, forged = _came(listener)
    assert forged
