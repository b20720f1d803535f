"""One composed mail → the smarthost, and what it said.

Takes: `Composed` mails, one after the other over one connection.  Gives: `Sent`, `Deferred` or `Failed`, told by the
first digit of the reply (RFC 5321 §4.2.1).  Fails: never with an exception, but for a URL that makes no sense.

Nothing is tried twice here and nothing waits: that is notify/dispatch.py's. After the final dot without a reply nobody
knows (RFC 1047): it is Deferred, and the next attempt carries the same Message-ID.
"""

import asyncio
import mailbox
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import aiosmtplib
from aiosmtplib.errors import SMTPDataError, SMTPException, SMTPResponseException

from notify.compose import Composed
from notify.signing import Sign, SigningError
from values.addresses import is_loopback
from values.errors import PostdeskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The smarthost took it; that says nothing about delivery."""

    reply: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """Not now."""

    reply: str
    unreachable: bool = False  # it is the smarthost's trouble, not this mail's: other mails would fare alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Never: another attempt would get the same reply."""

    reply: str


Outcome = Sent | Deferred | Failed


class Smarthost(Protocol):
    def send(self, mail: Composed) -> Outcome: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds, each for one whole reply however slowly it drips (RFC 5321 §4.5.3.2)."""

    connect: float = 300.0  # connection, greeting, EHLO, TLS, AUTH
    command: float = 300.0  # MAIL, RCPT
    data: float = 600.0  # after the final dot; also the sending itself


REUSE = 100  # mails over one connection
IDLE = 2.0  # seconds after which a connection is asked for a sign of life before it is used
REPLY_CAP = 500  # characters of a reply that are kept
# RFC 4954 §6, RFC 3207 §4: about the session (sign in first, wrong password), so not about the mail.
_SESSION_CODES = (421, 530, 534, 535, 538)


def open_smarthost(
    url: str,
    *,
    hostname: str = "localhost",
    sign: Sign | None = None,
    timeouts: Timeouts = Timeouts(),
    tls: ssl.SSLContext | None = None,
) -> Smarthost:
    """The smarthost of a URL. `hostname`: our name in EHLO. `tls`: a context of its own (tests: another root).

    `smtps://user:password@host:465` TLS from the start; `smtp://host:587` and `smtp+starttls://` STARTTLS, demanded
    and verified; `smtp://` to a loopback address, or with `?tls=off`, in clear; `maildir:/path` no server at all.
    RFC 8314 §3.3 prefers the first of these.
    PostdeskError where the URL is none of these.
    """
    parts = urlsplit(url)
    if parts.scheme == "maildir":
        return _Maildir(Path(parts.path), sign)
    return _Smtp(_server(parts), hostname, sign, timeouts, tls or ssl.create_default_context())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    host: str
    port: int
    tls: str  # implicit | starttls | off
    username: str | None
    password: str | None


def _server(parts: SplitResult) -> _Server:
    default_ports = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
    try:
        port = parts.port or default_ports[parts.scheme]
    except (KeyError, ValueError):
        port = 0
    if not parts.hostname or not port:
        raise PostdeskError("The smarthost is smtp://host:25, smtps://user:password@host:465 or maildir:FOLDER.")
    switched_off = parse_qs(parts.query).get("tls") == ["off"]
    if parts.scheme == "smtps":
        tls = "implicit"
    elif parts.scheme == "smtp" and (switched_off or is_loopback(parts.hostname)):
        tls = "off"
    else:
        tls = "starttls"
    if tls == "off" and parts.username and not is_loopback(parts.hostname):
        raise PostdeskError("A password never goes in clear over the net: write smtps:// or smtp+starttls://.")
    return _Server(
        host=parts.hostname,
        port=port,
        tls=tls,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password or "") if parts.username else None,
    )


class _Smtp:
    """A connection that is kept for the next mail. For one thread: it drives a loop of its own."""

    def __init__(
        self, server: _Server, hostname: str, sign: Sign | None, timeouts: Timeouts, context: ssl.SSLContext
    ) -> None:
        self._server, self._hostname, self._sign, self._timeouts, self._context = (
            server, hostname, sign, timeouts, context,
        )  # fmt: skip
        self._runner: asyncio.Runner | None = None
        self._client: aiosmtplib.SMTP | None = None
        self._sent_over_it = 0
        self._last_used = 0.0

    def send(self, mail: Composed) -> Outcome:
        try:
            message = self._sign(mail.message) if self._sign else mail.message
        except SigningError as error:
            return Deferred(reply=_short(str(error)), unreachable=True)
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self._send(mail, message))

    def close(self) -> None:
        """End the session politely, if there is one. Another mail would open a new one."""
        if self._runner is not None:
            self._runner.run(self._quit())
            self._runner.close()
            self._runner = None

    async def _send(self, mail: Composed, message: bytes) -> Outcome:
        try:
            client = await self._connected()
        except (SMTPException, OSError, ValueError) as error:
            self._drop()
            return Deferred(reply=_short(f"no session with {self._server.host}: {error}"), unreachable=True)
        if mail.smtputf8 and not client.supports_extension("smtputf8"):  # RFC 6531 §3.1
            return Failed(reply=f"{self._server.host} does not take addresses beyond ASCII (SMTPUTF8)")
        outcome = await self._transaction(client, mail, message)
        self._sent_over_it += 1
        self._last_used = time.monotonic()
        if not await self._is_fit_for_more(client, outcome):
            await self._quit()
        return outcome

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._client is not None and time.monotonic() - self._last_used > IDLE:
            try:
                await self._client.noop(timeout=self._timeouts.command)
            except (SMTPException, OSError):
                self._drop()
        if self._client is not None and self._client.is_connected:
            return self._client
        server = self._server
        self._client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            local_hostname=self._hostname,
            timeout=self._timeouts.connect,
            use_tls=server.tls == "implicit",
            # Never None: that would go on in clear where somebody strips STARTTLS from the EHLO reply (T16).
            start_tls=server.tls == "starttls",
            tls_context=None if server.tls == "off" else self._context,
            username=server.username,
            password=server.password,
        )
        await self._client.connect()
        await self._client.ehlo()
        self._sent_over_it = 0
        return self._client

    async def _transaction(self, client: aiosmtplib.SMTP, mail: Composed, message: bytes) -> Outcome:
        options, encoding = (["SMTPUTF8", "BODY=8BITMIME"], "utf-8") if mail.smtputf8 else ([], "ascii")
        seconds = self._timeouts.command
        try:
            await client.mail(mail.reverse_path, options=options, encoding=encoding, timeout=seconds)
            await client.rcpt(mail.forward_path, encoding=encoding, timeout=seconds)
            said = await client.data(message, timeout=self._timeouts.data)
        except SMTPResponseException as error:
            if 200 <= error.code <= 299 and not (isinstance(error, SMTPDataError) and error.code != 250):
                self._drop()  # a Yes out of its place (250 instead of 354): nothing was sent
                return Deferred(reply=_short(f"unexpected {error.code} {error.message}"))
            return outcome_of(error.code, error.message)
        except (SMTPException, OSError, ValueError) as error:
            self._drop()
            return Deferred(reply=_short(f"{type(error).__name__}: {error}"))
        return outcome_of(said.code, said.message)

    async def _is_fit_for_more(self, client: aiosmtplib.SMTP, outcome: Outcome) -> bool:
        if not client.is_connected or self._sent_over_it >= REUSE:
            return False
        if isinstance(outcome, Sent):
            return True
        try:  # a refused transaction is still open
            return (await client.rset(timeout=self._timeouts.command)).code == 250
        except (SMTPException, OSError):
            return False

    async def _quit(self) -> None:
        if self._client is not None and self._client.is_connected:
            try:
                await self._client.quit(timeout=5.0)
            except (SMTPException, OSError):
                pass  # the mail is settled already
        self._drop()

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def outcome_of(code: int, text: str) -> Outcome:
    """By the first digit; whatever is no proper reply is not a No (RFC 5321 §4.2.1, §4.3.2)."""
    reply = _short(f"{code} {text}")
    if 200 <= code <= 299:
        return Sent(reply=reply)
    if 500 <= code <= 599 and code not in _SESSION_CODES:
        return Failed(reply=reply)
    return Deferred(reply=reply, unreachable=code in _SESSION_CODES)


def _short(reply: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in reply)
    return " ".join(printable.split())[:REPLY_CAP]


class _Maildir:
    """Mails as files for a person to read, with the envelope on top. Nothing leaves the machine."""

    def __init__(self, folder: Path, sign: Sign | None) -> None:
        self._folder, self._sign = folder, sign

    def send(self, mail: Composed) -> Outcome:
        try:
            message = self._sign(mail.message) if self._sign else mail.message
            # RFC 5321 §4.4: final delivery puts the reverse-path on top; Delivered-To is custom.
            envelope = f"Return-Path: <{mail.reverse_path}>\r\nDelivered-To: {mail.forward_path}\r\n".encode()
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            # The stdlib's Maildir writes into tmp, fsyncs, and renames into new.
            key = mailbox.Maildir(self._folder, create=True).add(envelope + message)
        except (OSError, mailbox.Error, SigningError) as error:
            return Deferred(reply=_short(f"{type(error).__name__}: {error}"), unreachable=True)
        return Sent(reply=f"written to {key}")

    def close(self) -> None:
        """There is no session."""
