"""ingest/smtp/server.py over real sockets: the SMTP lines of docs/rfc.md, threats T14, T15, T53-T55, faults F01-F11."""

import asyncio
import errno
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import trustme

from ingest.smtp.server import Limits, Listener
from ingest.smtp.session import SmtpSession
from ingest.spool.spool import Spool
from ingest.spool.write import BATCH_OCTETS
from tests.ingest.wire import QUICK, SMUGGLING, Client, Desk, without_received
from values.vocabulary import Source

ROOT = Path(__file__).parents[2]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path) as desk:
        yield desk


@pytest.fixture(scope="module")
def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server, client) contexts of one authority."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


# -- the dialogue ---------------------------------------------------------------------------------------------------


def test_a_mail_comes_in(desk: Desk) -> None:
    with desk.client() as client:
        assert client.greeting == "220 mx.hd.test ESMTP Postdesk"
        reply = client.deliver(b"Subject: hi\r\n\r\n..dot\r\n")
        (mail,) = desk.mails()
        assert reply == f"250 2.0.0 Ok: queued as {mail.id}"
        assert without_received(desk.spool.read(mail)) == b"Subject: hi\r\n\r\n.dot\r\n"
        envelope = mail.envelope
        assert (envelope.reverse_path, envelope.forward_paths) == ("su@acme.test", ("support@hd.test",))
        assert (envelope.source, envelope.client_ip, envelope.helo, envelope.tls) == (
            Source.SMTP,
            "127.0.0.1",
            "client.test",
            False,
        )
        assert client.say("QUIT") == "221 2.0.0 Bye"
    assert (desk.counters.accepted, desk.counters.connections) == (1, 1)


def test_a_reply_does_not_wait_for_an_acknowledgement(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nagle's algorithm is off on every accepted connection."""
    options: list[int] = []
    connected = SmtpSession.connection_made

    def look(self: SmtpSession, transport: asyncio.BaseTransport) -> None:
        options.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        connected(self, transport)

    monkeypatch.setattr(SmtpSession, "connection_made", look)
    with desk.client() as client:
        assert client.deliver().startswith("250")
    assert options and all(options)


def test_rfc5321_4_1_1_1_ehlo_advertises_what_we_do_and_nothing_else(desk: Desk) -> None:
    with desk.client() as client:
        words = {line[4:] for line in client.say("EHLO client.test").splitlines()}
        assert words == {"mx.hd.test", "PIPELINING", "SIZE 1048576", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"}
        assert client.say("HELO client.test") == "250 mx.hd.test"


def test_rfc5321_4_4_received_is_on_top_with_id_and_protocol(desk: Desk) -> None:
    with desk.client() as client:
        old = b"Received: from a by b; Mon, 5 Jan 2026 08:00:00 +0000\r\nSubject: x\r\n\r\n"
        client.deliver(old)
        client.say("HELO bad\x01(name)")
        client.say("MAIL FROM:<su@acme.test>")
        client.say("RCPT TO:<support@hd.test>")
        client.say("RCPT TO:<help@hd.test>")
        client.say("DATA")
        client.send(old + b".\r\n")
        client.reply()
    one, two = desk.mails()
    first, second = desk.spool.read(one).decode(), desk.spool.read(two).decode()
    assert re.match(
        r"Received: from client\.test \(\[127\.0\.0\.1\]\)\r\n\tby mx\.hd\.test \(Postdesk\) with ESMTP id "
        + one.id
        + r"\r\n\tfor <support@hd\.test>;"
        + r"\r\n\t\w{3}, \d\d? \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\nReceived: from a by b;",
        first,
    )
    assert second.startswith("Received: from bad??name? ([127.0.0.1])") and f"with SMTP id {two.id};" in second
    assert "for <" not in second  # with several recipients it would tell one of the other


def test_rfc5321_2_4_local_part_case_stays_domain_case_does_not_matter(desk: Desk) -> None:
    with desk.client() as client:
        client.begin("Su.Ann@ACME.test", "Support@HD.Test")
        client.send(b"\r\n.\r\n")
        client.reply()
    (mail,) = desk.mails()
    assert (mail.envelope.reverse_path, mail.envelope.forward_paths) == ("Su.Ann@acme.test", ("Support@hd.test",))


def test_rfc5321_4_5_5_the_null_reverse_path(desk: Desk) -> None:
    with desk.client() as client:
        assert client.deliver(sender="").startswith("250")
    assert desk.mails()[0].envelope.reverse_path == ""


@pytest.mark.parametrize(
    "recipient", ["postmaster", "POSTMaster", "postmaster@hd.test", "Abuse@HD.test", "support@hd.test"]
)
def test_rfc5321_4_5_1_and_rfc2142_a_person_is_reached(desk: Desk, recipient: str) -> None:
    with desk.client() as client:
        client.begin("su@acme.test", recipient)


RELAY = [
    "abuse@other.test",
    "postmaster@other.test",
    "abuse",
    "support",
    "nobody@hd.test",
    "support@other.test",
    "support@hd.test.other.test",
    "support@other.hd.test",
    "victim%other.test@hd.test",
    "victim%other.test",
    "other.test!victim",
    "other.test!victim@hd.test",
    "@hd.test:victim@other.test",
    "@hd.test,@b.test:victim@other.test",
    '"victim@other.test"@hd.test',
    '"victim%other.test"@hd.test',
    '"support"@hd.test',
    '"other.test!victim"@hd.test',
    "victim@other.test@hd.test",
    "victim@[127.0.0.1]",
    "support@[127.0.0.1]",
    "victim@other.test@",
    "support@hd.test@other.test",
    "support@hd.test,victim@other.test",
    "support@hd.test> TO:<victim@other.test",
    "support@hd.test.",
    "support@hd.test\x00",
    "sUPPORT@hd.test",
]


@pytest.mark.parametrize("recipient", RELAY)
def test_t55_we_are_no_relay(desk: Desk, recipient: str) -> None:
    with desk.client() as client:
        client.say("EHLO client.test")
        client.say("MAIL FROM:<su@acme.test>")
        assert re.match(r"(550 5\.[17]\.|553 5\.|501 5\.|555 5\.)", client.say(f"RCPT TO:<{recipient}>"))
        assert client.say("DATA").startswith("503")


TRICKS = [form for form in RELAY if "%" in form or "!" in form or form[0] in '"@' or form.count("@") > 1]


def test_t55_forms_that_ask_for_another_look_are_refused_whatever_the_list_says(tmp_path: Path) -> None:
    with Desk(tmp_path, replace(QUICK, errors=100), accepts=lambda address: True) as desk, desk.client() as client:
        client.say("EHLO client.test")
        client.say("MAIL FROM:<su@acme.test>")
        assert len(TRICKS) > 10
        for form in TRICKS:
            assert client.say(f"RCPT TO:<{form}>")[:3] in ("550", "553", "501"), form


def test_rfc5321_4_1_4_order_of_commands(desk: Desk) -> None:
    with desk.client() as client:
        assert client.say("MAIL FROM:<su@acme.test>").startswith("503 5.5.1")
        client.say("EHLO client.test")
        assert client.say("RCPT TO:<support@hd.test>").startswith("503 5.5.1")
        assert client.say("DATA").startswith("503 5.5.1")
        client.say("MAIL FROM:<>")
        assert client.say("MAIL FROM:<>").startswith("503 5.5.1")
        assert client.say("DATA").startswith("503 5.5.1")
        client.say("RCPT TO:<support@hd.test>")
        for clear in ("RSET", "EHLO again.test", "HELO again.test"):
            assert client.say(clear).startswith("250")
            assert client.say("DATA").startswith("503 5.5.1")
            assert client.say("MAIL FROM:<>").startswith("250")


def test_rfc5321_4_5_3_1_10_the_101st_recipient_gets_452(tmp_path: Path) -> None:
    with Desk(tmp_path, accepts=lambda address: True) as desk, desk.client() as client:
        client.say("EHLO client.test")
        client.say("MAIL FROM:<su@acme.test>")
        for n in range(100):
            assert client.say(f"RCPT TO:<a{n}@hd.test>").startswith("250")
        assert client.say("RCPT TO:<a100@hd.test>").startswith("452 4.5.3")
        client.say("DATA")
        client.send(b"\r\n.\r\n")
        assert client.reply().startswith("250")
        assert len(desk.mails()[0].envelope.forward_paths) == 100


def test_rfc5321_4_5_3_1_lengths(tmp_path: Path) -> None:
    with Desk(tmp_path, accepts=lambda address: True) as desk, desk.client() as client:
        client.say("EHLO client.test")
        domain = ".".join(["d" * 63] * 3) + "." + "d" * 59
        assert client.say(f"MAIL FROM:<{'l' * 64}@{domain}>").startswith("250")
        assert client.say(f"RCPT TO:<{'l' * 64}@{domain}>").startswith("250")
        assert client.say("NOOP " + "x" * 505).startswith("250")
        assert client.say("NOOP " + "x" * 9000).startswith("500")
        assert client.say("X" * 600 + " y").startswith("500")
        assert len(client.say("Y" * 1900)) <= 510  # our replies are legal too
        client.say("DATA")
        client.send(b"a" * 1000 + b"\r\n" + b"b" * 100_000 + b"\r\n.\r\n")
        assert client.reply().startswith("250")
        assert desk.contents() == [b"a" * 1000 + b"\r\n" + b"b" * 100_000 + b"\r\n"]


def test_rfc5321_7_3_vrfy_and_expn_disclose_nothing(desk: Desk) -> None:
    with desk.client() as client:
        client.say("EHLO client.test")
        assert client.say("VRFY support@hd.test") == client.say("VRFY nobody@hd.test")
        assert client.say("VRFY support@hd.test").startswith("252")
        assert client.say("EXPN list").startswith("502")
        assert client.say("AUTH PLAIN AGEAYg==").startswith("502")
        assert "hd.test" not in client.say("HELP")


def test_rfc1870_size(desk: Desk) -> None:
    with desk.client() as client:
        client.say("EHLO client.test")
        assert client.say("MAIL FROM:<a@b.test> SIZE=1048577").startswith("552 5.3.4")
        assert client.say("MAIL FROM:<a@b.test> SIZE=x").startswith("501")
        assert client.say(f"MAIL FROM:<a@b.test> SIZE={'9' * 400}").startswith("501")
        assert client.say("MAIL FROM:<a@b.test> SIZE=1048576").startswith("250")
        assert client.say("RSET").startswith("250")
        body = b"x" * 998 + b"\r\n"
        assert client.deliver(body * 1049).startswith("552 5.3.4")
        assert client.deliver().startswith("250")  # the session goes on
        assert len(desk.mails()) == 1 and list(desk.spool.tmp.iterdir()) == []


def test_rfc3461_dsn_and_other_parameters_are_not_offered(desk: Desk) -> None:
    with desk.client() as client:
        client.say("EHLO client.test")
        assert client.say("MAIL FROM:<a@b.test> RET=HDRS ENVID=x").startswith("555 5.5.4")
        assert client.say("MAIL FROM:<a@b.test> BODY=BINARYMIME").startswith("501")
        assert client.say("MAIL FROM:<a@b.test> BODY=8bitmime SMTPUTF8").startswith("250")
        assert client.say("RCPT TO:<support@hd.test> NOTIFY=NEVER").startswith("555 5.5.4")


def test_rfc6531_utf8_addresses(tmp_path: Path) -> None:
    with Desk(tmp_path, accepts=lambda address: address == "süpport@hd.test") as desk, desk.client() as client:
        client.say("EHLO client.test")
        assert client.say("MAIL FROM:<ünï@acme.test>").startswith("553 5.6.7")
        assert client.say("MAIL FROM:<ünï@acme.test> SMTPUTF8").startswith("250")
        assert client.say("RCPT TO:<süpport@hd.test>").startswith("250")
        client.say("DATA")
        client.send("Subject: ü\r\n.\r\n".encode())
        assert client.reply().startswith("250")
        (mail,) = desk.mails()
        assert mail.envelope.reverse_path == "ünï@acme.test"
        assert b"with UTF8SMTP id" in desk.spool.read(mail)


def test_rfc3030_bdat_is_refused_and_its_octets_are_no_commands(desk: Desk) -> None:
    with desk.client() as client:
        client.say("EHLO client.test")
        client.say("MAIL FROM:<a@b.test>")
        client.say("RCPT TO:<support@hd.test>")
        client.send(
            b"BDAT 80 LAST\r\nRSET\r\nMAIL FROM:<evil@evil.test>\r\nRCPT TO:<support@hd.test>\r\nDATA\r\nx\r\n.\r\n"
        )
        said = client.rest()
        assert said.startswith("502 ") and "354" not in said and said.count("250") == 0
    assert desk.mails() == []


def test_rfc2920_pipelining_through_the_end_of_data(desk: Desk) -> None:
    with desk.client() as client:
        client.say("EHLO client.test")
        one = b"MAIL FROM:<a@b.test>\r\nRCPT TO:<support@hd.test>\r\nRCPT TO:<no@hd.test>\r\nDATA\r\n"
        client.send(one)
        assert [client.reply()[:3] for _ in range(4)] == ["250", "250", "550", "354"]
        client.send(b"one\r\n.\r\n" + one)
        assert [client.reply()[:3] for _ in range(5)] == ["250", "250", "250", "550", "354"]
        client.send(b"two\r\n.\r\nNOOP\r\nQUIT\r\n")
        assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "221"]
    assert desk.contents() == [b"one\r\n", b"two\r\n"]


def test_a_client_that_does_not_wait_for_the_354_is_read_right(desk: Desk) -> None:
    with desk.client() as client:
        big = b"x" * 76 + b"\r\n"
        client.send(
            b"EHLO c\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<support@hd.test>\r\nDATA\r\n" + big * 3000 + b".\r\nQUIT\r\n"
        )
        said = client.rest()
        assert [line[:4] for line in said.splitlines()][-5:] == ["250 ", "250 ", "354 ", "250 ", "221 "]
    assert desk.contents() == [big * 3000]


def test_a_client_that_closes_its_half_still_gets_its_250(desk: Desk) -> None:
    with desk.client() as client:
        client.send(b"EHLO c\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<support@hd.test>\r\nDATA\r\nx\r\n.\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert "250 2.0.0 Ok: queued" in client.rest()
    assert len(desk.mails()) == 1


def test_large_mails_are_streamed_and_stay_exact(desk: Desk) -> None:
    body = b"".join(b".%d" % n + b"y" * (n % 300) + b"\r\n" for n in range(5000))
    assert len(body) > BATCH_OCTETS
    with desk.client() as client:
        assert client.deliver(body.replace(b"\r\n.", b"\r\n..").replace(b".0", b"..0", 1)).startswith("250")
    assert desk.contents() == [body]


# -- T14: smuggling ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", SMUGGLING)
def test_t14_rfc5321_2_3_8_no_end_but_crlf_dot_crlf(desk: Desk, end: bytes) -> None:
    second = b"MAIL FROM:<evil@evil.test>\r\nRCPT TO:<support@hd.test>\r\nDATA\r\nforged\r\n"
    with desk.client() as client:
        assert client.deliver(b"one" + end + second).startswith("250")
        assert client.say("NOOP").startswith("250")
    (mail,) = desk.mails()
    assert b"forged" in desk.spool.read(mail)


# -- T15: TLS ---------------------------------------------------------------------------------------------------------


def test_rfc3207_starttls(tmp_path: Path, certificates: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, trust = certificates
    listeners = [Listener(host="127.0.0.1", port=0, tls=server, require_tls=True)]
    with Desk(tmp_path, listeners=listeners) as desk, desk.client() as client:
        assert "250-STARTTLS" in client.say("EHLO client.test")
        assert client.say("MAIL FROM:<su@acme.test>").startswith("530 5.7.0")
        client.start_tls(trust)
        assert client.say("MAIL FROM:<su@acme.test>").startswith("503")  # EHLO is forgotten
        assert "STARTTLS" not in client.say("EHLO client.test")
        assert "AUTH" not in client.say("EHLO client.test")
        assert client.say("STARTTLS").startswith("503")
        assert client.deliver(b"x" * 76 + b"\r\n" + b"y" * 300_000 + b"\r\n").startswith("250")
        (mail,) = desk.mails()
        assert mail.envelope.tls and b"with ESMTPS id" in desk.spool.read(mail)


def test_t15_what_was_sent_in_plain_after_starttls_is_dropped(
    tmp_path: Path, certificates: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server, trust = certificates
    with Desk(tmp_path, listeners=[Listener(host="127.0.0.1", port=0, tls=server)]) as desk, desk.client() as client:
        client.say("EHLO client.test")
        client.send(b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@evil.test>\r\n")
        assert client.reply().startswith("220")
        client.socket = trust.wrap_socket(client.socket, server_hostname="localhost")
        assert client.say("RCPT TO:<support@hd.test>").startswith("503")
        assert client.say("NOOP").startswith("250")


def test_garbage_instead_of_a_handshake_ends_that_connection_only(
    tmp_path: Path, certificates: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    listeners = [Listener(host="127.0.0.1", port=0, tls=certificates[0])]
    with Desk(tmp_path, listeners=listeners) as desk:
        with desk.client() as client:
            client.say("EHLO client.test")
            client.say("STARTTLS")
            client.send(b"MAIL FROM:<evil@evil.test>\r\n" * 10)
            client.rest()
        with desk.client() as client:
            assert client.deliver().startswith("250")
        assert_soon(lambda: desk.counters.live == 0)


def test_implicit_tls(tmp_path: Path, certificates: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, trust = certificates
    listeners = [Listener(host="127.0.0.1", port=0, kind="smtps", tls=server)]
    with Desk(tmp_path, listeners=listeners) as desk, desk.client(tls=trust) as client:
        assert "STARTTLS" not in client.say("EHLO client.test")
        assert client.deliver().startswith("250")
        assert desk.mails()[0].envelope.tls


def test_t53_who_never_ends_the_handshake_is_counted_and_cut(
    tmp_path: Path, certificates: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server, trust = certificates
    listeners = [Listener(host="127.0.0.1", port=0, kind="smtps", tls=server)]
    limits = replace(QUICK, connections_per_address=3, handshake_seconds=2)
    with Desk(tmp_path, limits, listeners=listeners) as desk:
        silent = [desk.client(greet=False) for _ in range(2)]
        garbage = desk.client(greet=False)
        assert_soon(lambda: desk.counters.live == 3)
        with pytest.raises(OSError):
            desk.client(tls=trust)
        garbage.send(b"EHLO client.test\r\n" * 10)
        assert_soon(lambda: desk.counters.live <= 2)
        assert desk.client(tls=trust).greeting.startswith("220")
        assert [client.rest() for client in silent] == ["", ""]
        assert_soon(lambda: desk.counters.live == 0)


# -- LMTP -------------------------------------------------------------------------------------------------------------


def test_rfc2033_4_2_one_reply_for_each_recipient(tmp_path: Path) -> None:
    with Desk(tmp_path, listeners=[Listener(host="127.0.0.1", port=0, kind="lmtp")]) as desk, desk.client() as client:
        assert client.greeting == "220 mx.hd.test LMTP Postdesk"
        assert client.say("EHLO x").startswith("500")
        assert client.say("HELO x").startswith("500")
        assert {"250-PIPELINING", "250 ENHANCEDSTATUSCODES"} <= set(client.say("LHLO x").splitlines())
        client.say("MAIL FROM:<a@b.test>")
        client.say("RCPT TO:<support@hd.test>")
        assert client.say("RCPT TO:<nobody@hd.test>").startswith("550")
        client.say("RCPT TO:<help@hd.test>")
        client.say("DATA")
        client.send(b"x\r\n.\r\n")
        assert [client.reply()[:9] for _ in range(2)] == ["250 2.0.0"] * 2
        assert client.say("DATA").startswith("503")
        (mail,) = desk.mails()
        assert mail.envelope.source is Source.LMTP and b"with LMTP id" in desk.spool.read(mail)


# -- caps: T53, T54 ---------------------------------------------------------------------------------------------------


def assert_soon(condition: Any, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_t53_connections_per_address_and_in_all(tmp_path: Path) -> None:
    with Desk(tmp_path, replace(QUICK, connections_per_address=3)) as desk:
        clients = [desk.client() for _ in range(3)]
        with desk.client() as client:
            assert client.greeting.startswith("421 4.7.0")
            assert client.rest() == ""
        assert desk.counters.rejected_connections == 1
        clients.pop().socket.close()
        assert_soon(lambda: desk.counters.live == 2)
        assert desk.client().greeting.startswith("220")
    with Desk(tmp_path, replace(QUICK, connections=2)) as desk:
        kept = [desk.client(), desk.client()]
        assert desk.client().greeting.startswith("421 4.7.0")
        assert kept[0].say("NOOP").startswith("250")


def test_t54_twenty_errors_then_421(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk, desk.client() as client:
        client.say("EHLO client.test")
        client.say("MAIL FROM:<a@b.test>")
        client.send(b"".join(b"RCPT TO:<a%d@hd.test>\r\n" % n for n in range(30)) + b"RCPT TO:<support@hd.test>\r\n")
        said = client.rest().splitlines()
        assert [line[:3] for line in said] == ["550"] * 20 + ["421"]
        assert said[0] == "550 5.1.1 No such address here: please check how it is spelt"


def test_t54_a_refusal_takes_its_time(tmp_path: Path) -> None:
    with Desk(tmp_path, replace(QUICK, refusal_seconds=0.2)) as desk, desk.client() as client:
        client.say("EHLO client.test")
        client.say("MAIL FROM:<a@b.test>")
        began = time.monotonic()
        assert client.say("RCPT TO:<no@hd.test>").startswith("550")
        assert time.monotonic() - began >= 0.2


def test_t53_many_commands_without_a_mail_wait_for_their_replies(tmp_path: Path) -> None:
    """And nobody who brings mail waits, however many mails one session has."""
    pause = 0.3
    with Desk(tmp_path, replace(QUICK, commands=10, command_pause_seconds=pause)) as desk, desk.client() as client:
        began = time.monotonic()
        client.say("EHLO client.test")
        for number in range(3):
            for command in ("NOOP", "RSET", "MAIL FROM:<a@b.test>", "RCPT TO:<support@hd.test>", "DATA"):
                client.say(command)
            assert client.say(f"Subject: {number}\r\n\r\nx\r\n.").startswith("250")
        for _ in range(9):
            client.say("VRFY support")
        quick = time.monotonic() - began
        began = time.monotonic()
        for command in ("NOOP", "EHLO client.test", "HELO client.test", "RSET"):
            client.say(command)
        assert time.monotonic() - began >= 3 * pause > quick


@pytest.mark.parametrize(
    ("limits", "drip"),
    [
        (replace(QUICK, command_seconds=0.2), False),
        (replace(QUICK, session_seconds=0.3), True),  # NOOP for ever
    ],
)
def test_t53_m4_silence_and_endless_sessions_get_421(tmp_path: Path, limits: Limits, drip: bool) -> None:
    with Desk(tmp_path, limits) as desk, desk.client() as client:
        if drip:
            with pytest.raises((ConnectionError, AssertionError)):
                for _ in range(1000):
                    assert client.say("NOOP").startswith("250")
                    time.sleep(0.01)
        else:
            assert client.rest() == "421 4.4.2 Timeout, closing\r\n"
        assert desk.counters.timeouts == 1


def test_rfc5321_4_5_3_2_7_the_default_wait_is_five_minutes() -> None:
    assert Limits().command_seconds >= 300 and Limits().data_idle_seconds >= 180


def test_m4_data_has_a_timer_for_each_block_not_for_all(tmp_path: Path) -> None:
    """An upload that takes longer than the timer is fine while octets come."""
    limits = replace(QUICK, command_seconds=0.3, data_idle_seconds=0.3)
    with Desk(tmp_path, limits) as desk, desk.client() as client:
        client.begin()
        for _ in range(10):
            client.send(b"a line\r\n")
            time.sleep(0.1)
        client.send(b".\r\n")
        assert client.reply().startswith("250")
        client.begin()
        client.send(b"then silence\r\n")
        assert client.rest() == "421 4.4.2 Timeout, closing\r\n"
    assert desk.contents() == [b"a line\r\n" * 10] and list(desk.spool.tmp.iterdir()) == []


@pytest.mark.parametrize("limits", [replace(QUICK, rate_grace_seconds=0.2), replace(QUICK, data_seconds=0.2)])
def test_t53_drip_within_data_is_cut(tmp_path: Path, limits: Limits) -> None:
    with Desk(tmp_path, limits) as desk, desk.client() as client:
        client.begin()
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                client.send(b"x")
                time.sleep(0.01)
        assert desk.counters.timeouts == 1
    assert desk.mails() == []


def test_an_endless_data_is_cut(tmp_path: Path) -> None:
    with Desk(tmp_path, replace(QUICK, size=10_000)) as desk, desk.client() as client:
        client.begin()
        with pytest.raises(ConnectionError):
            for _ in range(10_000):
                client.send(b"x" * 1000)
        assert list(desk.spool.tmp.iterdir()) == []


def test_a_client_that_never_reads_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing politely would wait for ever to get our last words out."""
    monkeypatch.setattr("ingest.smtp.session._LINGER_SECONDS", 0.5)
    with Desk(tmp_path, replace(QUICK, session_seconds=3.0)) as desk, desk.client() as client:
        client.socket.setblocking(False)
        until = time.monotonic() + 10
        while desk.counters.live and time.monotonic() < until:
            try:  # short commands with long replies, until the server can write no more
                client.socket.send(b"EHLO x\r\n" * 1000)
            except BlockingIOError:
                time.sleep(0.01)
            except ConnectionError:
                break
        assert_soon(lambda: desk.counters.live == 0)
        assert desk.counters.timeouts == 1


def test_small_mails_beyond_the_memory_cap_go_to_files(tmp_path: Path) -> None:
    with Desk(tmp_path, replace(QUICK, memory=10_000)) as desk:
        clients = [desk.client() for _ in range(5)]
        for client in clients:
            client.begin()
            client.send(b"x" * 4000 + b"\r\n")
        assert_soon(lambda: len(list(desk.spool.tmp.iterdir())) == 3)
        for client in clients:
            client.send(b".\r\n")
            assert client.reply().startswith("250")
        assert desk.contents() == [b"x" * 4000 + b"\r\n"] * 5


# -- faults: always 4yz, never a word of ours -------------------------------------------------------------------------


FULL = OSError(errno.ENOSPC, "No space left on device", "/secret")
BROKEN = OSError(errno.EIO, "Input/output error", "/secret")


@pytest.mark.parametrize(
    ("error", "code", "large", "where"),
    [
        (FULL, "452 4.3.1", False, "commit"),
        (FULL, "452 4.3.1", True, "commit"),
        (FULL, "452 4.3.1", True, "open_writer"),
        (BROKEN, "451 4.3.0", False, "commit"),
        (BROKEN, "451 4.3.0", True, "commit"),
        (BROKEN, "451 4.3.0", True, "open_writer"),
        (RuntimeError("secret dsn"), "451 4.3.0", False, "commit"),
        (RuntimeError("secret dsn"), "451 4.3.0", True, "commit"),
    ],
)
def test_rfc5321_4_2_1_our_faults_are_4yz_without_detail(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str, large: bool, where: str
) -> None:
    """M1, F08, F10: the library would say 500 and the text of the exception."""

    def fail(*args: object) -> None:
        raise error

    with desk.client() as client:
        monkeypatch.setattr(Spool, where, fail)
        reply = client.deliver(b"x\r\n" * (100_000 if large else 1))
        assert reply.startswith(code) and "secret" not in reply
        monkeypatch.undo()
        assert client.deliver().startswith("250")  # recovers alone
    assert len(desk.mails()) == 1


@pytest.mark.parametrize("kind", ["raises", "hangs", "async"])
def test_a_recipient_check_that_fails_is_our_fault(tmp_path: Path, kind: str) -> None:
    async def check(address: str) -> bool:
        if kind == "hangs":
            await asyncio.sleep(60)
        if kind == "raises":
            raise RuntimeError("secret dsn")
        return True

    with Desk(tmp_path, replace(QUICK, check_seconds=0.1), accepts=check) as desk, desk.client() as client:
        client.say("EHLO client.test")
        client.say("MAIL FROM:<a@b.test>")
        reply = client.say("RCPT TO:<support@hd.test>")
        assert reply.startswith("250" if kind == "async" else "451 4.3.0") and "secret" not in reply


def test_f08_too_little_free_space_is_452_at_mail(tmp_path: Path) -> None:
    with Desk(tmp_path, replace(QUICK, free=1 << 60)) as desk, desk.client() as client:
        client.say("EHLO client.test")
        assert client.say("MAIL FROM:<a@b.test>").startswith("452 4.3.1")


def test_f10_a_bad_spool_refuses_at_mail_and_comes_back(desk: Desk) -> None:
    with desk.client() as client:
        client.say("EHLO client.test")
        desk.spool.bad = OSError(errno.EIO, "fsync")
        desk.spool._probed_at = time.monotonic()
        assert client.say("MAIL FROM:<a@b.test>").startswith("451 4.3.0")
        desk.spool._probed_at -= 60
        assert client.say("MAIL FROM:<a@b.test>").startswith("250")


def test_rfc5321_4_1_1_4_lost_before_the_final_dot_nothing_stays(desk: Desk) -> None:
    for body in (b"x\r\n", b"x" * 300_000):
        with desk.client() as client:
            client.begin()
            client.send(body)
    assert_soon(lambda: desk.counters.live == 0)
    assert desk.mails() == [] and list(desk.spool.tmp.iterdir()) == []


@pytest.mark.parametrize("body", [b"x\r\n", b"x\r\n" * 100_000])
def test_m5_a_client_that_hangs_up_cannot_cancel_a_commit(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    begun, go = threading.Event(), threading.Event()
    real = Spool.commit

    def slow(spool: Spool, parcels: Any) -> Any:
        begun.set()
        assert go.wait(10)
        return real(spool, parcels)

    monkeypatch.setattr(Spool, "commit", slow)
    first, gone, honest = (desk.client() for _ in range(3))
    for client in (first, gone, honest):
        client.begin()
        client.send(body + b".\r\n")
        assert begun.wait(10)  # the first is being committed, the others wait for the next batch
    assert_soon(lambda: desk.spool.counts().receiving == (3 if len(body) > BATCH_OCTETS else 0))
    time.sleep(0.1)
    for client in (first, gone):
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.socket.close()  # a reset, not a farewell
    assert_soon(lambda: desk.counters.live == 1)
    go.set()
    assert honest.reply().startswith("250")
    assert desk.contents() == [body] * 3


# -- durability -------------------------------------------------------------------------------------------------------

SERVER = """
import sys
from pathlib import Path
from tests.ingest.wire import Desk
desk = Desk(Path(sys.argv[1]))
with desk:
    print(desk.ports[0], flush=True)
    sys.stdin.read()
"""


def test_rfc1123_5_3_3_the_listener_has_no_parser() -> None:
    """What a sender waits for after its final dot is the disk: everything else comes later, in another process."""
    code = "import ingest.smtp.server, sys; print(*(m for m in sys.modules if m.split('.')[0] in {names}))".format(
        names=("mailparser", "lxml", "sqlalchemy", "dkim", "spf")
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("body", [b"x\r\n", b"x\r\n" * 100_000])
def test_rfc5321_6_1_fsync_rename_fsync_folder_then_250(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    log: list[str] = []
    fsync, rename, push = os.fsync, os.rename, SmtpSession.push

    def log_fsync(fd: int) -> None:
        fsync(fd)
        log.append("fsync " + Path(f"/proc/self/fd/{fd}").readlink().parent.name)

    def log_rename(*args: Any, **options: Any) -> None:
        rename(*args, **options)
        log.append("rename")

    async def log_push(session: SmtpSession, status: str) -> None:
        log.append(status[:3])
        await push(session, status)

    monkeypatch.setattr(os, "fsync", log_fsync)
    monkeypatch.setattr(os, "rename", log_rename)
    monkeypatch.setattr(SmtpSession, "push", log_push)
    with desk.client() as client:
        client.begin()
        log.clear()
        client.send(body + b".\r\n")
        client.reply()
    assert log[:4] == ["fsync tmp", "rename", "fsync spool", "250"]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_rfc5321_6_1_power_cut_safety_as_the_kernel_sees_it(tmp_path: Path) -> None:
    """A kill keeps the page cache and proves nothing about a power cut: the order of system calls does."""
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2,sendto,write"
    server = subprocess.Popen(
        ["strace", "-f", "-y", "-s", "80", "-e", calls, "-o", str(trace), sys.executable, "-c", SERVER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert server.stdout is not None and server.stdin is not None and server.stderr is not None
    with server.stdin, server.stdout, server.stderr:
        port = server.stdout.readline()
        if not port:
            pytest.skip(f"strace may not trace here: {server.stderr.read()[:200]}")
        ids = []
        with Client(int(port)) as client:
            for body in (b"x\r\n", b"x\r\n" * 100_000):
                ids.append(client.deliver(body).rsplit(" ", 1)[1])
        server.stdin.close()
        server.wait(30)
    lines = trace.read_text().splitlines()

    def first(*words: str) -> int:
        return next(at for at, line in enumerate(lines) if all(word in line for word in words))

    for mail_id in ids:
        file = first("fsync(", f"/tmp/{mail_id}>")
        rename = first("rename", f"/tmp/{mail_id}", f"/new/{mail_id}")
        told = first("250 2.0.0 Ok: queued as", mail_id)
        folder = rename + next(at for at, line in enumerate(lines[rename:]) if "fsync(" in line and "/new>" in line)
        assert file < rename < folder < told


def test_mails_that_arrive_together_share_a_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one commit runs the next batch gathers; a lone mail waits for nobody."""
    go = threading.Event()
    real, sizes = Spool.commit, []

    def slow(spool: Spool, parcels: Any) -> Any:
        sizes.append(len(parcels))
        assert len(sizes) > 1 or go.wait(10)
        return real(spool, parcels)

    monkeypatch.setattr(Spool, "commit", slow)
    clients = [desk.client() for _ in range(10)]
    for client in clients:
        client.begin()
        client.send(b"x\r\n.\r\n")
    time.sleep(0.2)  # nothing to await: the nine have to be waiting behind the first
    go.set()
    assert all(client.reply().startswith("250") for client in clients)
    assert sizes == [1, 9] and desk.spool.counts().new == 10
    assert len(list(desk.spool.new.iterdir())) == 2


@pytest.mark.parametrize(
    ("stage", "answered", "kept"),
    [
        ("spool.before-write", False, 0),
        ("spool.after-write", False, 0),
        ("spool.after-rename", False, 1),
        ("smtp.before-250", False, 1),
        ("smtp.after-250", True, 1),
    ],
)
@pytest.mark.parametrize("body", [b"x\r\n", b"x\r\n" * 100_000])
def test_f01_f02_f03_killed_at_each_stage(tmp_path: Path, stage: str, answered: bool, kept: int, body: bytes) -> None:
    """RFC 5321 §6.1: whoever got a 250 finds his mail after a kill; nobody gets one for a mail that is not there."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path)],
        env={**os.environ, "POSTDESK_FAIL_AT": stage},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert server.stdout is not None and server.stdin is not None
    with server.stdout, server.stdin, Client(int(server.stdout.readline())) as client:
        client.begin()
        try:
            client.send(body + b".\r\n")
            got = client.reply().startswith("250")
        except ConnectionError:
            got = False
        assert server.wait(10) == -signal.SIGKILL
    assert got == answered
    spool = Spool(tmp_path / "spool")
    claim = spool.claim("w", 10)
    mails = claim.mails if claim is not None else ()
    assert [without_received(spool.read(mail)) for mail in mails] == [body] * kept


# -- the end: F37 -----------------------------------------------------------------------------------------------------


def test_rfc5321_3_8_stop_says_421_and_finishes_what_is_in_data(desk: Desk) -> None:
    idle, busy, between = desk.client(), desk.client(), desk.client()
    between.say("EHLO client.test")
    between.say("MAIL FROM:<a@b.test>")
    busy.begin()
    busy.send(b"half a mail\r\n")
    desk.stop()
    assert idle.rest() == "421 4.3.2 Going down, please try again later\r\n"
    assert between.rest() == "421 4.3.2 Going down, please try again later\r\n"
    assert desk.client().greeting.startswith("421 4.3.2")
    busy.send(b"the rest\r\n.\r\n")
    assert busy.reply().startswith("250")
    assert busy.rest() == "421 4.3.2 Going down, please try again later\r\n"
    desk.join()
    assert desk.contents() == [b"half a mail\r\nthe rest\r\n"]


def test_a_stop_waits_no_longer_than_it_is_told(tmp_path: Path) -> None:
    with Desk(tmp_path, replace(QUICK, stop_seconds=0.3)) as desk:
        client = desk.client()
        client.begin()
        began = time.monotonic()
        desk.stop()
        assert client.rest() == "421 4.3.2 Going down, please try again later\r\n"
        desk.join()
        assert 0.2 < time.monotonic() - began < 5


# -- measured ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_f34_eight_mails_of_25_mb_at_once_add_little_memory(tmp_path: Path) -> None:
    """M7: the library holds +255 MB for four of them."""
    code = SERVER.replace("Desk(Path(sys.argv[1]))", "Desk(Path(sys.argv[1]), replace(QUICK, size=64 << 20))")
    code = code.replace("import Desk", "import QUICK, Desk\nfrom dataclasses import replace")
    server = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert server.stdout is not None and server.stdin is not None
    body = (b"x" * 76 + b"\r\n") * (25_000_000 // 78)
    replies: list[str] = []
    with server.stdin, server.stdout:
        port = int(server.stdout.readline())
        with Client(port) as client:
            assert client.deliver().startswith("250")  # all that is loaded late is loaded

        def send() -> None:
            with Client(port) as client:
                client.socket.settimeout(60)
                replies.append(client.deliver(body))

        threads = [threading.Thread(target=send) for _ in range(8)]
        process = psutil.Process(server.pid)
        before = most = process.memory_info().rss
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            most = max(most, process.memory_info().rss)
            time.sleep(0.005)
        server.terminate()
    server.wait(10)
    print(f"{(most - before) / (1 << 20):.1f} MiB more")
    assert [reply[:3] for reply in replies] == ["250"] * 8
    assert most - before <= 64 << 20


@pytest.mark.long
def test_f33_t53_drip_clients_do_not_keep_an_honest_one_waiting(tmp_path: Path) -> None:
    limits = replace(QUICK, connections=600, connections_per_address=500)
    with Desk(tmp_path, limits) as desk:
        slow = [desk.client() for _ in range(500)]
        for client in slow:
            client.send(b"EH")
        assert desk.client().greeting.startswith("421")  # the cap for that address
        slow[0].socket.close()
        assert_soon(lambda: desk.counters.live == 499)
        waits = []
        for _ in range(100):
            began = time.monotonic()
            with desk.client() as client:
                assert client.deliver().startswith("250")
                client.say("QUIT")
            waits.append(time.monotonic() - began)
            assert_soon(lambda: desk.counters.live == 499)
            for client in slow[1::50]:
                client.send(b"x")
        print(f"p99 {sorted(waits)[98] * 1000:.0f} ms")
        assert sorted(waits)[98] < 1.0
