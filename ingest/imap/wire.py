"""The wire to an IMAP server that may be slow, broken or hostile: every answer has an end in time and in octets.

Takes: a `Server`, an event that ends all waiting.  Gives: `Imap`, an IMAPClient that is logged in.
Fails: `Refused` where a person must mend something (his password, the name of the server); `Stopped`; else OSError or
IMAPClientError, after which the connection is worth nothing.

IMAPClient builds the commands and reads the answers; imaplib below it would read a literal of any size, lines without
end, an octet a minute, and half a mail where the connection breaks off (threats T56, fault F23). So reading is our own.
"""

import imaplib
import re
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Literal

from imapclient import IMAPClient

CONNECT_SECONDS = 20.0
SILENCE = 60.0  # seconds without an octet of an answer
ANSWER_SECONDS = 300.0  # until an answer is complete; the largest is a chunk of a mail or a long list of UIDs
MAX_LITERAL = 1 << 20
MAX_ANSWER = 8 << 20  # one line lists all UIDs that are new: 800,000 and more
LOOK = 0.25  # seconds between two looks at the event that ends all
ALERTS = 5  # of one answer

_ALERT = re.compile(rb"\[ALERT\] ?(.{0,200})", re.IGNORECASE)


class Stopped(Exception):
    """We were asked to end."""


class Refused(Exception):
    """The server's answer will be the same until a person mends something: what it said, and what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the mailboxes of one account are."""

    host: str
    port: int
    tls: Literal["on", "starttls", "off"]
    user: str
    password: Callable[[], str] = field(repr=False)  # asked at each connection; raises Refused
    context: ssl.SSLContext | None = None  # None: the certificate is verified against the system's roots


class Wire(imaplib.IMAP4):
    """The connection. Reading is bounded: see the head of this file."""

    def __init__(self, server: Server, stop: Event, told: Callable[[str], None]) -> None:
        self._stop, self._told = stop, told
        self._context = server.context or ssl.create_default_context()
        self._implicit = server.tls == "on"
        self._buffer = bytearray()
        self._allow(ANSWER_SECONDS)
        super().__init__(server.host, server.port, CONNECT_SECONDS)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), timeout)
        if not self._implicit:
            return plain
        try:
            return self._context.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise

    # -- what imaplib calls

    def send(self, data: Any) -> None:
        """A new command, or more of one: the answer begins now, and what was said before is forgotten but for BYE."""
        for kind in [kind for kind in self.untagged_responses if kind != "BYE"]:
            del self.untagged_responses[kind]
        self._allow(ANSWER_SECONDS)
        self.sock.settimeout(SILENCE)
        super().send(data)

    def _get_response(self) -> bytes | None:
        """RFC 9051 §7.1: a person must see what the server says as an ALERT."""
        line: bytes | None = super()._get_response()  # type: ignore[misc]
        if line is not None and self._alerts < ALERTS and (found := _ALERT.search(line)):
            self._alerts += 1
            self._told(found[1].decode("utf-8", "replace"))
        return line

    def readline(self) -> bytes:
        searched = 0
        while (end := self._buffer.find(b"\n", searched) + 1) == 0:
            searched = len(self._buffer)
            self._fill()
        return self._take(end)

    def read(self, size: int) -> bytes:
        if size > MAX_LITERAL:
            raise self.abort(f"a literal of {size} octets")
        while len(self._buffer) < size:
            self._fill()
        return self._take(size)

    # -- beyond imaplib

    def begin_tls(self) -> None:
        """STARTTLS, demanded. What the server said in clear behind its answer was not said by it (threats T15)."""
        if "STARTTLS" not in self.capabilities:
            raise Refused('the server does not offer STARTTLS: write tls = "on" and its port for TLS, mostly 993')
        status, said = self._simple_command("STARTTLS")
        if status != "OK":
            raise self.abort(f"STARTTLS: {said!r}")
        if self._buffer:
            raise self.abort("the server spoke in clear after STARTTLS")
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)
        self.file = self.sock.makefile("rb")
        self._tls_established = True
        self._get_capabilities()

    def idle(self, seconds: float, alive: Callable[[], object], every: float) -> None:
        """Wait in IDLE (RFC 2177) until the server says something, `seconds` at most; `alive` is called meanwhile.

        imapclient takes an EXISTS that comes before the "+" for a refusal, and spins where the connection has ended.
        """
        tag = self._command("IDLE")
        while self._get_response() is not None:
            if self.tagged_commands[tag]:
                raise self.error(f"IDLE: {self.tagged_commands.pop(tag)!r}")
        self.wait(seconds, alive, every)
        self.send(b"DONE\r\n")
        status, said = self._get_tagged_response(tag)
        if status != "OK":
            raise self.error(f"IDLE: {said!r}")

    def wait(self, seconds: float, alive: Callable[[], object], every: float) -> None:
        """Until the server says something, `seconds` at most; `alive` is called `every` so many seconds."""
        until = time.monotonic() + seconds
        while not self._buffer and (left := until - time.monotonic()) > 0:
            self._allow(min(left, every))
            try:
                self._fill()
            except TimeoutError:
                alive()

    # -- within

    def _allow(self, seconds: float) -> None:
        """The next answer may take as long and be as large."""
        self._until = time.monotonic() + seconds
        self._room = MAX_ANSWER
        self._alerts = 0

    def _fill(self) -> None:
        """More octets into the buffer. TimeoutError where none come."""
        until = min(self._until, time.monotonic() + SILENCE)
        while True:
            if self._stop.is_set():
                raise Stopped
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the server did not answer in time")
            self.sock.settimeout(min(left, LOOK))
            with suppress(TimeoutError):
                block = self.sock.recv(64 * 1024)
                break
        if not block:
            raise self.abort("the server closed the connection")
        self._room -= len(block)
        if self._room < 0:
            raise self.abort(f"an answer of more than {MAX_ANSWER} octets")
        self._buffer += block

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


class Imap(IMAPClient):
    """A client whose connection is a `Wire`. For one thread."""

    def __init__(self, server: Server, stop: Event, told: Callable[[str], None]) -> None:
        self._made = (server, stop, told)
        super().__init__(server.host, server.port, ssl=server.tls == "on", timeout=SILENCE)
        self.wire.debug = 0  # imapclient would write the whole of each chunk into a string that nobody reads
        self.normalise_times = False

    @property
    def wire(self) -> Wire:
        wire = self._imap
        assert isinstance(wire, Wire)
        return wire

    def _create_IMAP4(self) -> Wire:
        return Wire(*self._made)

    def ask(self, uid: int, items: Sequence[str]) -> dict[bytes, Any]:
        """What the server says of one mail; empty where it says nothing."""
        answer: dict[int, dict[bytes, Any]] = self.fetch([uid], items)  # type: ignore[no-untyped-call]
        return answer.get(uid, {})

    def find(self, criteria: str) -> list[int]:
        """The UIDs that a SEARCH finds, in their order, each once."""
        found = self.search(criteria)  # type: ignore[no-untyped-call]
        return sorted({uid for uid in found if 0 < uid < 1 << 32})

    def close(self) -> None:
        """The connection ends here, whatever state it is in."""
        with suppress(Exception):
            self.shutdown()


def connect(server: Server, stop: Event, told: Callable[[str], None] = lambda text: None) -> Imap:
    """A connection that is logged in. `told` gets the server's alerts."""
    try:
        client = Imap(server, stop, told)
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(server, error) from None
    try:
        _log_in(client, server)
    except ssl.SSLCertVerificationError as error:
        client.close()
        raise _untrusted(server, error) from None
    except BaseException:
        client.close()
        raise
    return client


def _log_in(client: Imap, server: Server) -> None:
    wire = client.wire
    if wire.state != "NONAUTH":
        # RFC 3501 §11.1: whoever stands between us and the server could say PREAUTH to keep us from STARTTLS.
        raise Refused("the server calls us logged in before we have said who we are (PREAUTH): it is not believed")
    if server.tls == "starttls":
        wire.begin_tls()
    password = server.password()
    plain = "AUTH=PLAIN" in wire.capabilities
    if "LOGINDISABLED" in wire.capabilities and not plain:
        raise Refused('the server takes no password on this connection: write tls = "on" or tls = "starttls"')
    try:
        if plain:
            wire.authenticate("PLAIN", _once(f"\0{server.user}\0{password}".encode()))
        else:
            wire.login(_quoted(server.user), password)
    except UnicodeEncodeError:
        raise Refused("user or password has letters that this server's LOGIN does not take (ASCII only)") from None
    except imaplib.IMAP4.error as error:
        said = _said(error, password)
        if isinstance(error, imaplib.IMAP4.abort) or is_temporary(said):
            raise type(error)(said) from None  # the connection or the moment, not the password
        raise Refused(f"it refuses {server.user}: {said}; mend user or password (or what the provider asks)") from None


def _said(error: Exception, secret: str) -> str:
    """What the server said; a hostile one says the password back, for our log."""
    told = error.args[0] if error.args else ""
    text = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
    return (text.replace(secret, "***") if secret else text)[:200]


def _once(answer: bytes) -> Callable[[bytes], bytes]:
    """A server that asks again and again would have us say the password for ever."""
    left = [answer]

    def respond(_: bytes) -> bytes:
        if not left:
            raise imaplib.IMAP4.abort("the server asks for the password twice")
        return left.pop()

    return respond


def is_temporary(said: str) -> bool:
    """RFC 5530: these codes are about the moment; all others are about what was asked for."""
    upper = said.upper()
    return any(f"[{code}]" in upper for code in ("UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "CONTACTADMIN"))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _untrusted(server: Server, error: ssl.SSLCertVerificationError) -> Refused:
    why = error.verify_message or error.reason
    return Refused(f"the certificate of {server.host} is not believed ({why}): write the name that stands in it")
