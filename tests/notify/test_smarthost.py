"""notify/smarthost.py against scripted servers on loopback: what was said decides, and nothing secret goes in clear."""

import mailbox
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import dkim
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from notify.compose import Composed
from notify.signing import SigningError, signer
from notify.smarthost import Deferred, Failed, Sent, Smarthost, Timeouts, open_smarthost, outcome_of
from tests.notify.sink import CUT, DRIP, MUTE, RESET, Sink, serving
from values.errors import PostdeskError

QUICK = Timeouts(connect=1.0, command=1.0, data=1.0)
MESSAGE = (
    b"From: support@nordvik.test\r\nTo: lucia@ibarra.test\r\nSubject: x\r\n\r\n.a line with a dot\r\n..\r\nend\r\n"
)
MAIL = Composed(
    reverse_path="bounce+7.x@nordvik.test", forward_path="lucia@ibarra.test", message_id="o7.x@nordvik.test",
    message=MESSAGE,
)  # fmt: skip


@pytest.fixture
def opened() -> Iterator[list[Smarthost]]:
    """Smarthosts to close in the end."""
    made: list[Smarthost] = []
    yield made
    for one in made:
        one.close()


def send(sink: Sink, opened: list[Smarthost], mail: Composed = MAIL, url: str = "", **more: object) -> object:
    smarthost = open_smarthost(url or sink.url, timeouts=QUICK, **more)  # type: ignore[arg-type]
    opened.append(smarthost)
    return smarthost.send(mail)


def test_what_is_taken_is_what_was_composed(opened: list[Smarthost]) -> None:
    with serving(Sink()) as sink:
        outcome = send(sink, opened, hostname="desk.nordvik.test")
        assert outcome == Sent(reply="250 2.0.0 Taken as 1")
        assert sink.messages == [MESSAGE], "dots doubled on the wire and single again (RFC 5321 §4.5.2)"
        assert sink.commands[0] == "EHLO desk.nordvik.test"
        assert sink.commands[-3:] == ["MAIL FROM:<bounce+7.x@nordvik.test>", "RCPT TO:<lucia@ibarra.test>", "DATA"]


def test_one_connection_serves_many_mails_and_a_refused_one_between(opened: list[Smarthost]) -> None:
    with serving(Sink(replies={"RCPT": ["250 Ok", "550 5.1.1 no such user", "250 Ok"]})) as sink:
        smarthost = open_smarthost(sink.url, timeouts=QUICK)
        opened.append(smarthost)
        outcomes = [type(smarthost.send(MAIL)) for _ in range(3)]
        assert outcomes == [Sent, Failed, Sent]
        assert sink.connections == 1 and sink.verbs().count("RSET") == 1


def test_the_null_reverse_path(opened: list[Smarthost]) -> None:
    with serving(Sink()) as sink:
        mail = Composed(reverse_path="", forward_path="a@x.test", message_id="o@x", message=MESSAGE)
        assert isinstance(send(sink, opened, mail), Sent)
        assert "MAIL FROM:<>" in sink.commands


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("451 4.3.0 try later", Deferred),
        ("421 4.3.2 shutting down", Deferred),
        ("550 5.1.1 no such user", Failed),
        ("552-5.3.4 too\r\n552 big", Failed),
        ("hello, who are you?", Deferred),
        ("9\x00\x01\x02", Deferred),
        ("", Deferred),
        ("999 beyond", Deferred),
        ("-50 below", Deferred),
        (CUT, Deferred),
        (RESET, Deferred),
    ],
)
def test_each_reply_at_each_verb(verb: str, reply: str, expected: type, opened: list[Smarthost]) -> None:
    with serving(Sink(replies={verb: reply})) as sink:
        outcome = send(sink, opened)
        assert isinstance(outcome, expected), outcome
        assert outcome.reply and outcome.reply.isprintable()


@pytest.mark.parametrize(
    ("verb", "reply", "expected"),
    [("MAIL", "251 will forward", Deferred), ("RCPT", "252 perhaps", Deferred), ("DATA", "250 Ok", Deferred),
     (".", "354 more", Deferred), ("RCPT", "251 will forward", Sent), (".", "251 Ok", Sent)],
)  # fmt: skip
def test_a_yes_out_of_its_place_is_no_yes(verb: str, reply: str, expected: type, opened: list[Smarthost]) -> None:
    with serving(Sink(replies={verb: reply})) as sink:
        outcome = send(sink, opened)
        assert isinstance(outcome, expected), outcome
        assert bool(sink.messages) is (expected is Sent or verb == "."), "sent means that the whole mail was taken"


def test_rfc5321_4_5_3_2_the_default_waits() -> None:
    waits = Timeouts()
    assert min(waits.connect, waits.command) >= 300 and waits.data >= 600


@pytest.mark.parametrize("verb", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize("reply", [MUTE, DRIP])
def test_a_silent_or_dripping_server_holds_a_worker_for_its_timeout_only(
    verb: str, reply: str, opened: list[Smarthost]
) -> None:
    timeouts = Timeouts(connect=0.3, command=0.3, data=0.3)
    with serving(Sink(replies={verb: reply})) as sink:
        smarthost = open_smarthost(sink.url, timeouts=timeouts)
        opened.append(smarthost)
        begun = time.monotonic()
        assert isinstance(smarthost.send(MAIL), Deferred)
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "replies",
    [
        {"greeting": "554 5.3.2 go away"},
        {"EHLO": "550 no"},
        {"greeting": CUT},
        {"greeting": "HTTP/1.1 400 Bad Request"},
    ],
)
def test_no_session_is_the_smarthosts_trouble_and_not_the_mails(
    replies: dict[str, str | list[str]], opened: list[Smarthost]
) -> None:
    with serving(Sink(replies=replies)) as sink:
        outcome = send(sink, opened)
        assert isinstance(outcome, Deferred) and outcome.unreachable, outcome


def test_nobody_listens(opened: list[Smarthost]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outcome = send(Sink(port=port), opened)
    assert isinstance(outcome, Deferred) and outcome.unreachable


def test_a_connection_that_died_in_between_is_made_anew(
    opened: list[Smarthost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notify.smarthost.IDLE", -1.0)
    with serving(Sink(replies={"NOOP": CUT})) as sink:
        smarthost = open_smarthost(sink.url, timeouts=QUICK)
        opened.append(smarthost)
        assert isinstance(smarthost.send(MAIL), Sent) and isinstance(smarthost.send(MAIL), Sent)
        assert sink.connections == 2 and len(sink.messages) == 2


def test_addresses_beyond_ascii_need_smtputf8(opened: list[Smarthost]) -> None:
    mail = Composed(
        reverse_path="", forward_path="müller@x.test", message_id="o@x", message=MESSAGE, smtputf8=True
    )  # fmt: skip
    with serving(Sink(extensions=())) as sink:
        outcome = send(sink, opened, mail)
        assert isinstance(outcome, Failed) and "SMTPUTF8" in outcome.reply and "MAIL" not in sink.verbs()
    with serving(Sink()) as sink:
        assert isinstance(send(sink, opened, mail), Sent)
        assert "MAIL FROM:<> SMTPUTF8 BODY=8BITMIME" in sink.commands and "RCPT TO:<müller@x.test>" in sink.commands


@pytest.mark.parametrize(
    ("code", "expected"),
    [(250, Sent), (251, Sent), (354, Deferred), (450, Deferred), (500, Failed), (599, Failed), (600, Deferred),
     (-1, Deferred), (0, Deferred), (530, Deferred), (535, Deferred)],
)  # fmt: skip
def test_the_first_digit_decides(code: int, expected: type) -> None:
    assert isinstance(outcome_of(code, "text"), expected)


# --- TLS (threat T16) -------------------------------------------------------------------------------------------


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_a_verified_session_signs_in_and_sends(scheme: str, opened: list[Smarthost]) -> None:
    authority = trustme.CA()
    sink = Sink(extensions=("AUTH PLAIN",), tls=server_context(authority, "127.0.0.1"), implicit_tls=scheme == "smtps")
    with serving(sink):
        url = f"{scheme}://desk%40nordvik.test:p%3Ass@127.0.0.1:{sink.port}"
        outcome = send(sink, opened, url=url, tls=client_context(authority))
        assert isinstance(outcome, Sent), outcome
        assert "AUTH" in sink.verbs() and sink.messages == [MESSAGE]
        if scheme == "smtp+starttls":
            assert sink.verbs().index("STARTTLS") < sink.verbs().index("AUTH")


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
@pytest.mark.parametrize("fault", ["self-signed", "wrong host"])
def test_a_server_that_cannot_prove_itself_gets_no_octet(scheme: str, fault: str, opened: list[Smarthost]) -> None:
    authority, trusted = trustme.CA(), trustme.CA()
    name = "other.test" if fault == "wrong host" else "127.0.0.1"
    sink = Sink(extensions=("AUTH PLAIN",), tls=server_context(authority, name), implicit_tls=scheme == "smtps")
    with serving(sink):
        url = f"{scheme}://desk:secret@127.0.0.1:{sink.port}"
        outcome = send(sink, opened, url=url, tls=client_context(authority if fault == "wrong host" else trusted))
        assert isinstance(outcome, Deferred) and outcome.unreachable, outcome
        assert not {"AUTH", "MAIL", "RCPT", "DATA"} & set(sink.verbs()) and not sink.messages


def test_a_server_without_starttls_gets_no_octet(opened: list[Smarthost]) -> None:
    with serving(Sink(extensions=("AUTH PLAIN",))) as sink:
        outcome = send(sink, opened, url=f"smtp+starttls://desk:secret@127.0.0.1:{sink.port}")
        assert isinstance(outcome, Deferred) and outcome.unreachable, outcome
        assert not {"AUTH", "MAIL", "RCPT", "DATA"} & set(sink.verbs()) and not sink.messages


def test_a_refused_password_fails_no_mail(opened: list[Smarthost]) -> None:
    authority = trustme.CA()
    sink = Sink(
        replies={"AUTH": "535 5.7.8 wrong"}, extensions=("AUTH PLAIN",), tls=server_context(authority, "127.0.0.1")
    )
    with serving(sink):
        url = f"smtp+starttls://desk:wrong@127.0.0.1:{sink.port}"
        outcome = send(sink, opened, url=url, tls=client_context(authority))
        assert isinstance(outcome, Deferred) and outcome.unreachable and not sink.messages


@pytest.mark.parametrize(
    ("url", "tls"),
    [
        ("smtp://127.0.0.1:2526", "off"),
        ("smtp://[::1]:2526", "off"),
        ("smtp://localhost", "off"),
        ("smtp://mail.nordvik.test:587", "starttls"),
        ("smtp://mail.nordvik.test?tls=off", "off"),
        ("smtp+starttls://127.0.0.1:587", "starttls"),
        ("smtps://u:p@mail.nordvik.test", "implicit"),
    ],
)
def test_what_a_url_asks_for(url: str, tls: str, opened: list[Smarthost]) -> None:
    smarthost = open_smarthost(url)
    opened.append(smarthost)
    assert smarthost._server.tls == tls  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "url", ["", "http://x", "smtp://", "smtp://x:99999", "smtps:x", "smtp://u:p@mail.nordvik.test?tls=off"]
)
def test_a_url_that_makes_no_sense(url: str) -> None:
    with pytest.raises(PostdeskError):
        open_smarthost(url)


# --- DKIM -------------------------------------------------------------------------------------------------------


def keys(kind: str) -> tuple[bytes, bytes]:
    """(private PEM, public DNS record)"""
    import base64

    if kind == "rsa":
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
        return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), record
    small = ed25519.Ed25519PrivateKey.generate()
    record = b"v=DKIM1; k=ed25519; p=" + base64.b64encode(small.public_key().public_bytes_raw())
    return small.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), record


def verified(message: bytes, record: bytes) -> bool:
    asked = []

    def txt(name: bytes, timeout: int = 5) -> bytes:
        asked.append(name)
        return record

    try:
        return bool(dkim.verify(message, dnsfunc=txt)) and asked == [b"desk._domainkey.nordvik.test."]
    except dkim.DKIMException:
        return False


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_signature_verifies_and_breaks_when_a_field_is_added(kind: str) -> None:
    pem, record = keys(kind)
    signed = signer("nordvik.test", "desk", pem)(MESSAGE)
    assert verified(signed, record) and signed.endswith(MESSAGE)
    for added in (b"From: evil@evil.test", b"Subject: other", b"Reply-To: evil@evil.test", b"To: e@evil.test",
                  b"Cc: e@evil.test", b"Date: now", b"Auto-Submitted: no", b"Content-Type: text/html"):  # fmt: skip
        assert not verified(added + b"\r\n" + signed, record), added
    assert not verified(signed.replace(b"end", b"END"), record)


def test_a_key_that_cannot_sign_sends_nothing(opened: list[Smarthost], tmp_path: Path) -> None:
    with pytest.raises(PostdeskError):
        signer("nordvik.test", "desk", b"no key")

    def broken(message: bytes) -> bytes:
        raise SigningError("DKIM: the key is gone")

    with serving(Sink()) as sink:
        outcome = send(sink, opened, sign=broken)
        assert isinstance(outcome, Deferred) and "DKIM" in outcome.reply and sink.connections == 0
    outcome = open_smarthost(f"maildir:{tmp_path / 'out'}", sign=broken).send(MAIL)
    assert isinstance(outcome, Deferred) and not (tmp_path / "out").exists()


# --- Maildir ----------------------------------------------------------------------------------------------------


def test_a_maildir_keeps_the_mail_and_its_envelope(tmp_path: Path) -> None:
    smarthost = open_smarthost(f"maildir:{tmp_path / 'some' / 'outbox'}")
    assert isinstance(smarthost.send(MAIL), Sent) and isinstance(smarthost.send(MAIL), Sent)
    smarthost.close()
    kept = list(mailbox.Maildir(tmp_path / "some" / "outbox", create=False))
    assert len(kept) == 2
    assert kept[0]["Return-Path"] == "<bounce+7.x@nordvik.test>" and kept[0]["Delivered-To"] == "lucia@ibarra.test"
    assert not list((tmp_path / "some" / "outbox" / "tmp").iterdir())


def test_a_maildir_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    outcome = open_smarthost(f"maildir:{tmp_path / 'file'}").send(MAIL)
    assert isinstance(outcome, Deferred) and outcome.unreachable
