"""The listener: SMTP, SMTP over TLS and LMTP from the wire into the spool. `async` ends here.

*Takes* connections. *Gives* mails in the spool; a 250 only after fsync file < rename < fsync folder (RFC 5321 §6.1).
*Fails* with 4yz and no detail wherever the fault is ours, so that the sender keeps the mail; 5yz is policy only.

aiosmtpd keeps the dialogue: command loop, RSET, NOOP, QUIT, STARTTLS. Ours are the gate, the timers, MAIL and RCPT in
exact grammar, and DATA, which is read in blocks and never whole in memory. docs/threats.md T14, T15, T53-T55.
"""

import asyncio
import errno
import re
import ssl
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from inspect import isawaitable
from ipaddress import IPv6Address, ip_address
from typing import Any, Literal, Protocol

from aiosmtpd.smtp import SMTP

from ingest.committer import Committer
from ingest.smtp_path import PathArgument, parse_path
from ingest.spool import BATCH_OCTETS, Parcel, Spool, SpoolWriter, new_id
from ingest.transparency import DataReader
from models.failpoint import failpoint
from models.mail import Envelope
from models.vocabulary import Source

RecipientCheck = Callable[[str], bool | Awaitable[bool]]
"""Is this address (local part as sent, domain in lower case) one of ours? May look into the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one listener process puts up with."""

    size: int = 50 * 1024 * 1024  # octets of one mail, announced as SIZE (RFC 1870)
    memory: int = 16 * 1024 * 1024  # octets of small mails in memory, all connections together; beyond, files
    free: int = 256 * 1024 * 1024  # octets the spool's disk keeps free beside twice the size of one mail
    recipients: int = 100  # of one mail; the next gets 452 (RFC 5321 §4.5.3.1.10)
    errors: int = 20  # 5yz replies in one session; then 421
    connections: int = 1000
    connections_per_address: int = 20  # an IPv6 /64 counts as one address
    command_seconds: float = 300.0  # wait for a command (RFC 5321 §4.5.3.2.7)
    session_seconds: float = 1800.0  # from the greeting on; DATA in progress may end
    data_idle_seconds: float = 180.0  # wait for the next octets within DATA
    data_seconds: float = 1800.0  # for one DATA in all
    rate: int = 512  # octets a second that DATA must average…
    rate_grace_seconds: float = 60.0  # …once it has taken so long
    refusal_seconds: float = 1.0  # pause before a 550, against harvesting (T54)
    check_seconds: float = 30.0  # wait for the recipient check; then 451
    stop_seconds: float = 30.0  # wait for DATA in progress when stopping


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One address to listen on. "smtps" is TLS from the first octet; the others offer STARTTLS where `tls` is given."""

    host: str
    port: int
    kind: Literal["smtp", "smtps", "lmtp"] = "smtp"
    tls: ssl.SSLContext | None = None
    require_tls: bool = False  # 530 to all but EHLO, NOOP, QUIT before STARTTLS


@dataclass(slots=True)
class Counters:
    """What happened since the start. Plain numbers; whoever wants metrics reads them."""

    connections: int = 0
    live: int = 0  # now
    rejected_connections: int = 0
    accepted: int = 0  # mails with a 250
    accepted_octets: int = 0
    refused_recipients: int = 0  # 550
    too_large: int = 0  # 552
    no_room: int = 0  # 452 4.3.1
    faults: int = 0  # 451: ours
    timeouts: int = 0


class Log(Protocol):
    """What structlog's loggers have."""

    def info(self, event: str, /, **fields: Any) -> Any: ...
    def warning(self, event: str, /, **fields: Any) -> Any: ...
    def error(self, event: str, /, **fields: Any) -> Any: ...


OUR_FAULT = "451 4.3.0 Temporary fault here, please try again later"
NO_ROOM = "452 4.3.1 Not enough room here, please try again later"
TOO_LARGE = "552 5.3.4 The mail is larger than {} octets"
STOPPING = "421 4.3.2 Going down, please try again later"
BUSY = "421 4.7.0 Too many connections, please try again later"
TIMEOUT = "421 4.4.2 Timeout, closing"
TOO_SLOW = "421 4.4.2 Too slow, closing"
TOO_MANY_ERRORS = "421 4.7.0 Too many errors, closing"
NOT_OURS = "550 5.1.1 No such address here: please check how it is spelt"
NO_RELAY = "550 5.7.1 We do not relay"
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# RFC 2034: the library's own replies lack these.
_ENHANCED = {"500": "5.5.1", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1", "530": "5.7.0", "554": "5.7.0"}
_ENHANCED |= {"221": "2.0.0", "250": "2.0.0", "454": "4.7.0"}
_HAS_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3} ")
_REPLY_MOST = 510  # RFC 5321 §4.5.3.1.5, without CRLF
_LINGER_SECONDS = 5.0  # for a client that does not read to take our last words
_NOT_IN_HELO = re.compile(r"[^A-Za-z0-9.:_\[\]-]")


class _Desk:
    """What all sessions of one process share."""

    def __init__(
        self,
        *,
        spool: Spool,
        accepts: RecipientCheck,
        limits: Limits,
        log: Log,
        hostname: str,
        domains: Collection[str],
        counters: Counters,
        executor: ThreadPoolExecutor,
    ) -> None:
        self.spool = spool
        self.accepts = accepts
        self.limits = limits
        self.log = log
        self.hostname = hostname
        self.domains = frozenset(domain.lower() for domain in domains)
        self.counters = counters
        self.executor = executor
        self.committer = Committer(spool, executor)
        self.loop = asyncio.get_running_loop()
        self.closing = False
        self.sessions: dict[SmtpSession, str] = {}
        self.by_address: Counter[str] = Counter()
        self.in_memory = 0  # octets of small mails being received
        self._room = (float("-inf"), 0)  # when the disk was asked last, what it said

    def admit(self, session: "SmtpSession", address: str) -> str | None:
        """None, or the reply that turns the connection away."""
        if self.closing:
            return STOPPING
        if len(self.sessions) >= self.limits.connections:
            return BUSY
        if self.by_address[address] >= self.limits.connections_per_address:
            return BUSY
        self.sessions[session] = address
        self.by_address[address] += 1
        self.counters.connections += 1
        self.counters.live = len(self.sessions)
        return None

    def leave(self, session: "SmtpSession") -> None:
        address = self.sessions.pop(session, None)
        if address is None:
            return
        self.by_address[address] -= 1
        if not self.by_address[address]:
            del self.by_address[address]
        self.counters.live = len(self.sessions)

    def has_room(self) -> bool:
        """Asked at MAIL: is there room for a mail of the largest size, twice? (RFC 1870 §6.2, faults F08, F12)"""
        now = self.loop.time()
        if now - self._room[0] > 0.5:
            self._room = (now, self.spool.free_octets())
        return self._room[1] >= self.limits.free + 2 * self.limits.size

    async def is_ours(self, path: PathArgument) -> bool:
        # RFC 5321 §4.5.1, RFC 2142: a person must be reachable here, whatever the list of mailboxes says.
        local = path.local.lower()
        if local == "postmaster" and not path.domain:
            return True
        if local in ("postmaster", "abuse") and path.domain in self.domains:
            return True
        if not path.domain:
            return False
        answer = self.accepts(path.address)
        return await asyncio.wait_for(answer, self.limits.check_seconds) if isawaitable(answer) else answer


class _Incoming:
    """One DATA: blocks go in, a parcel or a writer with the whole mail comes out."""

    def __init__(self, desk: _Desk, envelope: Envelope, received: Callable[[str], bytes]) -> None:
        self._desk = desk
        self._envelope = envelope
        self._reader = DataReader()
        self._id = new_id()
        self._parts = [received(self._id)]
        self._held = 0  # octets counted in desk.in_memory
        self._writer: SpoolWriter | None = None
        self.began = desk.loop.time()
        self.taken = 0  # octets from the wire
        self.size = 0  # octets of the mail as sent
        self.fault: OSError | None = None
        self.ended: asyncio.Future[bytes] = desk.loop.create_future()  # what stands behind the end

    @property
    def is_too_large(self) -> bool:
        return self.size > self._desk.limits.size

    def take(self, block: bytes) -> None:
        self.taken += len(block)
        octets, rest = self._reader.feed(block)
        self.size += len(octets)
        if octets and self.fault is None and not self.is_too_large:
            try:
                self._store(octets)
            except OSError as error:  # told at the end of DATA: nobody listens before
                self.fault = error
        if self.fault is not None or self.is_too_large:
            self.drop()
        if rest is not None and not self.ended.done():
            self.ended.set_result(rest)

    def item(self) -> Parcel | SpoolWriter:
        """The mail, to be committed. It is the committer's from here on."""
        if (writer := self._writer) is not None:
            self._writer = None
            return writer
        return Parcel(id=self._id, envelope=self._envelope, raw=b"".join(self._parts))

    def drop(self) -> None:
        """Forget what was received: it failed, or the client is gone."""
        self._desk.in_memory -= self._held
        self._held = 0
        self._parts.clear()
        if self._writer is not None:
            self._writer.abort()
            self._writer = None

    def _store(self, octets: bytes) -> None:
        if self._writer is not None:
            self._writer.write(octets)
            return
        self._parts.append(octets)
        self._held += len(octets)
        self._desk.in_memory += len(octets)
        if self.size > BATCH_OCTETS or self._desk.in_memory > self._desk.limits.memory:
            self._writer = self._desk.spool.open_writer(self._envelope, self._id)
            self._writer.write(b"".join(self._parts))
            self._parts.clear()
            self._desk.in_memory -= self._held
            self._held = 0


class SmtpSession(SMTP):
    """One connection. Overrides private names of aiosmtpd, hence its exact pin and tests/ingest/test_smtp.py."""

    command_size_limit = 2048  # RFC 5321 §4.5.3.1.4 asks for 512 and more with extensions
    command_size_limits: dict[str, int] = defaultdict(lambda: 2048)
    line_length_limit = 4096  # of the buffer for commands; DATA does not pass through it
    protocol = "SMTP"

    def __init__(self, desk: _Desk, listener: Listener) -> None:
        super().__init__(
            None,  # no handler: what one would do is overridden here
            data_size_limit=desk.limits.size,
            enable_SMTPUTF8=True,
            hostname=desk.hostname,
            ident=f"E{self.protocol} Postdesk" if self.protocol == "SMTP" else f"{self.protocol} Postdesk",
            tls_context=listener.tls if listener.kind != "smtps" else None,
            require_starttls=listener.require_tls,
            timeout=desk.limits.command_seconds,
            loop=desk.loop,
        )
        self._desk = desk
        self._incoming: _Incoming | None = None
        self._is_committing = False
        self._is_rejected = False
        self._eof = False
        self._errors = 0
        self._ends = desk.loop.time() + desk.limits.session_seconds
        self._peer = ""

    # -- the connection -----------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        if self._original_transport is not None:  # STARTTLS is done; the library drops what came in plain (T15)
            super().connection_made(transport)
            return
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if peer else ""
        refusal = self._desk.admit(self, _network(self._peer))
        if refusal is not None:
            self._is_rejected = True
            self._desk.counters.rejected_connections += 1
            transport.write(refusal.encode("ascii") + b"\r\n")
            transport.close()
            return
        super().connection_made(transport)
        assert self._handler_coroutine is not None
        self._handler_coroutine.add_done_callback(lambda task: task.cancelled() or task.exception())

    def connection_lost(self, error: Exception | None) -> None:
        self._desk.leave(self)
        if self._incoming is not None:  # RFC 5321 §4.1.1.4: no final dot, no mail
            self._incoming.drop()
            self._incoming = None
        if not self._is_rejected:
            super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._is_rejected:
            return
        if self._incoming is None:
            super().data_received(data)
        else:
            self._take(data)

    def eof_received(self) -> bool | None:
        if self._is_rejected:
            return False
        over_tls = self.transport is not None and self.transport.get_extra_info("ssl_object") is not None
        if over_tls or self._incoming is not None:
            return super().eof_received()
        # A client may close its half after its last command: that one is still answered. The command loop ends when
        # it has read all, see handle_exception.
        self._reader.feed_eof()
        return True

    def _reset_timeout(self, duration: float | None = None) -> None:
        left = max(self._ends - self.loop.time(), 0.001)
        super()._reset_timeout(min(duration or self._desk.limits.command_seconds, left))

    def _timeout_cb(self) -> None:
        self._desk.counters.timeouts += 1
        self.say_goodbye(TIMEOUT)

    def say_goodbye(self, reply: str) -> None:
        """RFC 5321 §3.8: never close without a word. A client that does not read does not hold us up."""
        transport: Any = self.transport
        if transport is None or transport.is_closing():
            return
        transport.write(reply.encode("ascii") + b"\r\n")
        transport.close()
        self.loop.call_later(_LINGER_SECONDS, transport.abort)

    @property
    def is_busy(self) -> bool:
        """Within DATA or its commit: what a stop waits for."""
        return self._incoming is not None or self._is_committing

    async def push(self, status: str | bytes) -> None:
        reply = _enhanced(status if isinstance(status, str) else status.decode("utf-8", "replace"))
        self._errors += reply.startswith("5")
        await super().push(reply)
        if self._errors >= self._desk.limits.errors:
            self.say_goodbye(TOO_MANY_ERRORS)
            self._end()

    def _end(self) -> None:
        """The command loop goes no further than its next await, whatever commands wait in its buffer."""
        assert self._handler_coroutine is not None
        self._handler_coroutine.cancel()

    async def handle_exception(self, error: Exception) -> str:
        """Whatever goes wrong within is ours, and is nobody's business (the library says 500 and the text)."""
        if isinstance(error, asyncio.IncompleteReadError):  # the client closed its half and all is answered
            if self.transport is not None:
                self.transport.close()
            self._end()
            return STOPPING  # written nowhere
        self._desk.counters.faults += 1
        self._desk.log.error("smtp-fault", peer=self._peer, exc_info=error)
        return OUR_FAULT

    # -- commands -----------------------------------------------------------------------------------------------

    async def smtp_HELO(self, hostname: str | None) -> None:
        if not hostname:
            await self.push("501 5.5.4 Syntax: HELO hostname")
            return
        self._begin(hostname, extended=False)
        await super().push(f"250 {self.hostname}")

    def _begin(self, hostname: str, *, extended: bool) -> None:
        """RFC 5321 §4.1.4: HELO and EHLO clear the transaction."""
        assert self.session is not None
        self.envelope = self._create_envelope()
        self.session.extended_smtp = extended
        self.session.host_name = hostname

    async def smtp_EHLO(self, hostname: str | None) -> None:
        if not hostname:
            await self.push("501 5.5.4 Syntax: EHLO hostname")
            return
        self._begin(hostname, extended=True)
        words = [self.hostname, "PIPELINING", f"SIZE {self._desk.limits.size}", "8BITMIME", "SMTPUTF8"]
        if self.tls_context is not None and self._tls_protocol is None:
            words.append("STARTTLS")
        words.append("ENHANCEDSTATUSCODES")
        await super().push("\r\n".join([*(f"250-{word}" for word in words[:-1]), f"250 {words[-1]}"]))

    async def smtp_MAIL(self, arg: str | None) -> None:
        await self.push(await self._mail(arg))

    async def _mail(self, arg: str | None) -> str:
        assert self.session is not None and self.envelope is not None
        if not self.session.host_name:
            return "503 5.5.1 Send HELO or EHLO first"
        if self.envelope.mail_from is not None:
            return "503 5.5.1 MAIL was given already"
        path = parse_path(arg, "FROM:", smtputf8=None)
        if isinstance(path, str):
            return path
        if path.local and not path.domain:
            return "553 5.1.7 The address needs a domain"
        if (refusal := self._unfit(path.parameters)) is not None:
            return refusal
        if self._desk.spool.bad is not None and not await self.loop.run_in_executor(
            self._desk.executor, self._desk.spool.is_good
        ):
            return OUR_FAULT
        if not self._desk.has_room():
            self._desk.counters.no_room += 1
            return NO_ROOM
        self.envelope.mail_from = path.address
        self.envelope.smtp_utf8 = "SMTPUTF8" in path.parameters
        return "250 2.1.0 Ok"

    def _unfit(self, parameters: dict[str, str | None]) -> str | None:
        """The reply to parameters of MAIL that we cannot meet. RET and ENVID (DSN) are not offered, hence 555."""
        left = dict(parameters)
        body = left.pop("BODY", "7BIT")
        if body is None or body.upper() not in ("7BIT", "8BITMIME"):
            return "501 5.5.4 BODY is 7BIT or 8BITMIME"
        if left.pop("SMTPUTF8", None) is not None:
            return "501 5.5.4 SMTPUTF8 takes no value"
        if "SIZE" in left:
            size = left.pop("SIZE")
            if size is None or not (size.isascii() and size.isdigit() and len(size) <= 20):
                return "501 5.5.4 SIZE is a number"
            if int(size) > self._desk.limits.size:  # RFC 1870 §6.1
                self._desk.counters.too_large += 1
                return TOO_LARGE.format(self._desk.limits.size)
        return "555 5.5.4 Parameter not known here" if left else None

    async def smtp_RCPT(self, arg: str | None) -> None:
        await self.push(await self._rcpt(arg))

    async def _rcpt(self, arg: str | None) -> str:
        assert self.envelope is not None
        if self.envelope.mail_from is None:
            return "503 5.5.1 Send MAIL first"
        path = parse_path(arg, "TO:", smtputf8=self.envelope.smtp_utf8)
        if isinstance(path, str):
            return path
        if not path.local:
            return "501 5.1.3 The address is empty"
        if path.parameters:  # NOTIFY, ORCPT (DSN): not offered
            return "555 5.5.4 Parameter not known here"
        if path.quoted or "%" in path.local or "!" in path.local:  # T55: forms that ask a relay to look again
            return NO_RELAY
        if len(self.envelope.rcpt_tos) >= self._desk.limits.recipients:
            return "452 4.5.3 Too many recipients, send the others in another mail"
        if not await self._desk.is_ours(path):
            self._desk.counters.refused_recipients += 1
            await asyncio.sleep(self._desk.limits.refusal_seconds)
            return NOT_OURS
        self.envelope.rcpt_tos.append(path.address)
        return "250 2.1.5 Ok"

    async def smtp_DATA(self, arg: str | None) -> None:
        assert self.envelope is not None
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        if not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 Send RCPT first")
            return
        recipients = self.envelope.rcpt_tos
        incoming = await self._receive()
        reply = await self._commit(incoming)
        self.envelope = self._create_envelope()
        if reply.startswith("250"):
            failpoint("smtp.before-250")
        await self.push(self._replies(reply, len(recipients)))
        if reply.startswith("250"):
            failpoint("smtp.after-250")
        if self._desk.closing:
            self.say_goodbye(STOPPING)

    def _replies(self, reply: str, recipients: int) -> str:
        return reply

    async def _receive(self) -> _Incoming:
        """Ask for the mail, take it to its end; what came behind it goes back to the command loop."""
        incoming = _Incoming(self._desk, self._envelope_of_ours(), self._received)
        reader: Any = self._reader
        early = bytes(reader._buffer)  # a client may not wait for the 354
        reader._buffer.clear()
        reader._maybe_resume_transport()
        self._incoming = incoming
        try:
            self._take(early)
            await super().push("354 End data with <CR><LF>.<CR><LF>")
            await incoming.ended
        except BaseException:
            incoming.drop()
            raise
        finally:
            self._incoming = None
        return incoming

    def _take(self, block: bytes) -> None:
        incoming, limits = self._incoming, self._desk.limits
        assert incoming is not None
        incoming.take(block)
        if incoming.ended.done():
            self._incoming = None
            super().data_received(incoming.ended.result())
            return
        spent = self.loop.time() - incoming.began
        slow = spent > limits.rate_grace_seconds and incoming.taken < spent * limits.rate
        if slow or spent > limits.data_seconds or incoming.taken > 4 * limits.size:
            self._desk.counters.timeouts += 1
            self.say_goodbye(TOO_SLOW)
            return
        # M4: the library's timer would count the whole DATA; ours starts again with every block.
        super()._reset_timeout(limits.data_idle_seconds)

    async def _commit(self, incoming: _Incoming) -> str:
        """Make the mail durable; the reply to its sender."""
        counters = self._desk.counters
        if incoming.is_too_large:
            counters.too_large += 1
            return TOO_LARGE.format(self._desk.limits.size)
        if incoming.fault is not None:
            return self._fault(incoming.fault)
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()  # no 421 into a commit: the sender would have it twice
        self._is_committing = True
        try:
            # M5: the client may hang up now, and the library then cancels us. What is begun is ended.
            mail = await asyncio.shield(self._desk.committer.submit(incoming.item()))
        except OSError as error:
            return self._fault(error)
        finally:
            self._is_committing = False
            incoming.drop()
            if self.transport is not None:
                self._reset_timeout()
        counters.accepted += 1
        counters.accepted_octets += mail.size
        self._desk.log.info(
            "accepted", id=mail.id, size=mail.size, peer=self._peer, reverse_path=mail.envelope.reverse_path
        )
        return f"250 2.0.0 Ok: queued as {mail.id}"

    def _fault(self, error: OSError) -> str:
        full = error.errno in _NO_SPACE
        if full:
            self._desk.counters.no_room += 1
        else:
            self._desk.counters.faults += 1
        self._desk.log.error("spool-fault", peer=self._peer, errno=error.errno, exc_info=error)
        return NO_ROOM if full else OUR_FAULT

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        if self._is_tls():
            await self.push("503 5.5.1 TLS is on already")
            return
        await super().smtp_STARTTLS(arg or "")

    async def smtp_VRFY(self, arg: str | None) -> None:
        await self.push("252 2.5.0 Send the mail and see")  # RFC 5321 §7.3: discloses nothing

    async def smtp_EXPN(self, arg: str | None) -> None:
        await self.push("502 5.5.1 Not implemented")

    async def smtp_AUTH(self, arg: str | None) -> None:
        await self.push("502 5.5.1 Not implemented")  # nobody submits here

    async def smtp_HELP(self, arg: str | None) -> None:
        await self.push("214 2.0.0 See RFC 5321")

    async def smtp_BDAT(self, arg: str | None) -> None:
        """RFC 3030 is not offered. The octets that follow are no commands, so the session cannot go on."""
        await self.push("502 5.5.1 BDAT is not offered")
        self.say_goodbye("421 4.7.0 Closing: octets after BDAT are no commands")
        self._end()

    # -- what is stored -----------------------------------------------------------------------------------------

    def _envelope_of_ours(self) -> Envelope:
        assert self.envelope is not None and self.session is not None
        return Envelope(
            reverse_path=self.envelope.mail_from or "",
            forward_paths=tuple(dict.fromkeys(self.envelope.rcpt_tos)),
            source=Source.LMTP if self.protocol == "LMTP" else Source.SMTP,
            received_at=datetime.now(UTC),
            client_ip=self._peer or None,
            helo=_NOT_IN_HELO.sub("?", self.session.host_name or "")[:255],
            tls=self._is_tls(),
        )

    def _is_tls(self) -> bool:
        return self.transport is not None and self.transport.get_extra_info("ssl_object") is not None

    def _received(self, mail_id: str) -> bytes:
        """RFC 5321 §4.4, with the keywords of RFC 3848 and RFC 6531 §4.3."""
        assert self.envelope is not None and self.session is not None
        utf8 = "UTF8" if self.envelope.smtp_utf8 else ""
        extended = "E" if self.protocol == "SMTP" and self.session.extended_smtp and not utf8 else ""
        with_ = f"{utf8}{extended}{self.protocol}{'S' if self._is_tls() else ''}"
        helo = _NOT_IN_HELO.sub("?", self.session.host_name or "")[:255]
        # "for" only with one recipient: with more it would tell each of the others.
        only = f"\r\n\tfor <{self.envelope.rcpt_tos[0]}>" if len(self.envelope.rcpt_tos) == 1 else ""
        literal = f"IPv6:{self._peer}" if ":" in self._peer else self._peer
        return (
            f"Received: from {helo} ([{literal}])\r\n\tby {self.hostname} (Postdesk) with {with_} id {mail_id}"
            f"{only};\r\n\t{format_datetime(datetime.now(UTC))}\r\n"
        ).encode()


class LmtpSession(SmtpSession):
    """RFC 2033: LHLO instead of HELO, and after DATA one reply for each recipient that got a 250."""

    protocol = "LMTP"

    async def smtp_LHLO(self, arg: str | None) -> None:
        await super().smtp_EHLO(arg)

    async def smtp_HELO(self, hostname: str | None) -> None:
        await self.push("500 5.5.1 This is LMTP: say LHLO")

    async def smtp_EHLO(self, hostname: str | None) -> None:
        await self.push("500 5.5.1 This is LMTP: say LHLO")

    def _replies(self, reply: str, recipients: int) -> str:
        return "\r\n".join([reply] * recipients)


async def serve(
    listeners: Sequence[Listener],
    spool: Spool,
    accepts: RecipientCheck,
    limits: Limits,
    stop: asyncio.Event,
    log: Log,
    *,
    hostname: str,
    domains: Collection[str] = (),
    counters: Counters | None = None,
    announce: Callable[[Sequence[tuple[str, int]]], object] = lambda bound: None,
) -> None:
    """Listen until `stop` is set; then finish what is in DATA (at most `limits.stop_seconds`) and return.

    `domains` are ours: postmaster@ and abuse@ of each are accepted whatever `accepts` says. `announce` is told the
    (host, port) pairs once they are bound, in the order of `listeners`. Raises OSError when an address is taken.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="spool") as executor:
        desk = _Desk(
            spool=spool,
            accepts=accepts,
            limits=limits,
            log=log,
            hostname=hostname,
            domains=domains,
            counters=counters if counters is not None else Counters(),
            executor=executor,
        )
        servers: list[asyncio.Server] = []
        try:
            for listener in listeners:
                servers.append(await _listen(loop, desk, listener))
            announce([server.sockets[0].getsockname()[:2] for server in servers])
            await stop.wait()
            await _drain(desk)
        finally:
            for server in servers:
                server.close()
            for session in list(desk.sessions):
                session.say_goodbye(STOPPING)


async def _listen(loop: asyncio.AbstractEventLoop, desk: _Desk, listener: Listener) -> asyncio.Server:
    if listener.kind == "smtps" and listener.tls is None:
        raise ValueError(f"a listener of kind smtps needs a certificate: {listener.host}:{listener.port}")
    kind = LmtpSession if listener.kind == "lmtp" else SmtpSession
    implicit = listener.tls if listener.kind == "smtps" else None
    return await loop.create_server(
        lambda: kind(desk, listener), listener.host, listener.port, ssl=implicit, backlog=512
    )


async def _drain(desk: _Desk) -> None:
    """F37: 421 to whoever comes or is idle; wait for DATA in progress, and for every commit that was begun."""
    desk.closing = True
    until = desk.loop.time() + desk.limits.stop_seconds
    for session in list(desk.sessions):
        if not session.is_busy:
            session.say_goodbye(STOPPING)
    while desk.loop.time() < until and (desk.sessions or not desk.committer.is_idle):
        await asyncio.sleep(0.02)


def _network(address: str) -> str:
    """What counts as one address: an IPv6 host owns a /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return address


def _enhanced(reply: str) -> str:
    """With an enhanced status code (RFC 2034), on one line of legal length."""
    if "\r" in reply or reply[3:4] != " ":
        return reply
    code = _ENHANCED.get(reply[:3])
    if code is not None and not _HAS_ENHANCED.match(reply, 4):
        reply = f"{reply[:3]} {code} {reply[4:]}"
    return reply[:_REPLY_MOST]
