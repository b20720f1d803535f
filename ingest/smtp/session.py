"""One SMTP or LMTP connection: aiosmtpd's dialogue with our gate, timers, MAIL, RCPT and DATA.

*Takes* octets of a client. *Gives* mails to the committer; replies. *Fails* with 4yz for our faults, see smtp.py.
"""

import asyncio
import errno
import re
import ssl
from asyncio.sslproto import SSLProtocol
from collections import defaultdict
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from aiosmtpd.smtp import SMTP

from ingest.smtp.context import Desk, Listener
from ingest.smtp.data import Incoming
from ingest.smtp.path import parse_path
from ingest.smtp.reply import (
    NO_RELAY,
    NO_ROOM,
    NOT_OURS,
    OUR_FAULT,
    STOPPING,
    TIMEOUT,
    TOO_LARGE,
    TOO_MANY_ERRORS,
    TOO_SLOW,
    enhanced,
)
from models.db.failpoint import failpoint
from values.addresses import network
from values.mail import Envelope
from values.vocabulary import Source

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LINGER_SECONDS = 5.0  # for a client that does not read to take our last words
_COMMANDS_OF_A_MAIL = 120  # with a hundred recipients
_NOT_IN_HELO = re.compile(r"[^A-Za-z0-9.:_\[\]-]")


class GatedConnection(asyncio.Protocol):
    """Asks the gate; only who is let in costs a session, which then takes the connection over."""

    def __init__(self, desk: Desk, listener: Listener) -> None:
        self._desk, self._listener = desk, listener

    def connection_made(self, transport: Any) -> None:
        peer = transport.get_extra_info("peername")
        address = peer[0] if peer else ""
        refusal = self._desk.refusal(network(address))
        if refusal is not None:
            if self._listener.kind != "smtps":
                transport.write(refusal.encode("ascii") + b"\r\n")
            transport.close()
            return
        kind = LmtpSession if self._listener.kind == "lmtp" else SmtpSession
        session = kind(self._desk, self._listener, address)
        self._desk.enter(session, network(address))
        transport.set_protocol(session)
        session.connection_made(transport)


class SmtpSession(SMTP):
    """One connection. Overrides private names of aiosmtpd, hence its exact pin and tests/ingest/test_smtp.py."""

    command_size_limit = 2048  # RFC 5321 §4.5.3.1.4 asks for 512 and more with extensions
    command_size_limits: dict[str, int] = defaultdict(lambda: 2048)
    # of the buffer for commands; DATA does not pass through it, so text lines may have any length (§4.5.3.1.6)
    line_length_limit = 4096
    protocol = "SMTP"

    def __init__(self, desk: Desk, listener: Listener, peer: str) -> None:
        super().__init__(
            None,  # no handler: what one would do is overridden here
            data_size_limit=desk.limits.size,
            enable_SMTPUTF8=True,
            hostname=desk.hostname,
            ident="LMTP Postdesk" if self.protocol == "LMTP" else "ESMTP Postdesk",
            tls_context=listener.tls if listener.kind != "smtps" else None,
            require_starttls=listener.require_tls,
            timeout=desk.limits.command_seconds,
            loop=desk.loop,
        )
        self._desk = desk
        self._implicit_tls = listener.tls if listener.kind == "smtps" else None
        self._incoming: Incoming | None = None
        self._is_committing = False
        self._has_failed = False
        self._errors = 0
        self._commands = 0  # since the last mail
        self._progressed = desk.loop.time()
        self._ends = desk.loop.time() + desk.limits.session_seconds
        self._peer = peer

    # -- the connection -----------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        if self._original_transport is not None:  # TLS is up; the library drops what came in plain before it (T15)
            self._begin_dialogue(transport)
            return
        if self._implicit_tls is not None:
            self._begin_tls(transport, self._implicit_tls)
        else:
            self._begin_dialogue(transport)

    def _begin_dialogue(self, transport: Any) -> None:
        super().connection_made(transport)
        assert self._handler_coroutine is not None
        # How a session ended is no news; without this it would be told as an exception never retrieved.
        self._handler_coroutine.add_done_callback(lambda task: task.cancelled() or task.exception())

    def _begin_tls(self, transport: Any, context: ssl.SSLContext) -> None:
        """TLS from the first octet. Not left to create_server: the gate has to count who never ends a handshake."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        waiter.add_done_callback(self._end_handshake)
        self._tls_protocol = SSLProtocol(
            self.loop,
            self,
            context,
            waiter,
            server_side=True,
            ssl_handshake_timeout=int(self._desk.patience(self._desk.limits.handshake_seconds)) or 1,
        )
        self._original_transport = transport
        transport.set_protocol(self._tls_protocol)
        self._tls_protocol.connection_made(transport)

    def _end_handshake(self, waiter: "asyncio.Future[None]") -> None:
        waiter.exception()  # seen
        if self._handler_coroutine is None:  # it failed, and nobody tells us of the lost connection
            self._has_failed = True
            self._desk.leave(self)

    def connection_lost(self, error: Exception | None) -> None:
        """RFC 5321 §4.1.1.4: no final dot, no mail. The library cancels the command loop, which drops what it took."""
        self._desk.leave(self)
        if not self._has_failed:
            super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._has_failed:
            return
        if self._incoming is None:
            super().data_received(data)
        else:
            self._take(data)

    def eof_received(self) -> bool | None:
        if self._has_failed:
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
        super()._reset_timeout(min(self._desk.patience(duration or self._desk.limits.command_seconds), left))

    def _timeout_cb(self) -> None:
        self._desk.counters.timeouts += 1
        self.say_goodbye(TIMEOUT)

    def say_goodbye(self, reply: str) -> None:
        """RFC 5321 §3.8: never close without a word. A client that does not read does not hold us up."""
        transport: Any = self.transport
        if transport is None:
            if self._original_transport is not None:  # still in its handshake
                self._original_transport.close()
            return
        if transport.is_closing():
            return
        transport.write(reply.encode("ascii") + b"\r\n")
        transport.close()
        self.loop.call_later(_LINGER_SECONDS, transport.abort)

    def cut(self, reply: str) -> None:
        """Say goodbye, and give the place back at once, even where the client does not read."""
        self.say_goodbye(reply)
        transport: Any = self.transport or self._original_transport
        if transport is not None and transport.get_write_buffer_size():
            transport.abort()

    @property
    def progressed_at(self) -> float | None:
        """For the gate: commands count as progress while they may still be those of one mail."""
        if self._is_committing:
            return None
        return self._incoming.progressed_at if self._incoming is not None else self._progressed

    @property
    def is_busy(self) -> bool:
        """Within DATA or its commit: what a stop waits for."""
        return self._incoming is not None or self._is_committing

    async def push(self, status: str | bytes) -> None:
        reply = enhanced(status if isinstance(status, str) else status.decode("utf-8", "replace"))
        self._errors += reply.startswith("5")
        await self._slow_down()
        await super().push(reply)
        if self._errors >= self._desk.limits.errors:
            self.say_goodbye(TOO_MANY_ERRORS)
            self._end()

    async def _slow_down(self) -> None:
        """T53: whoever says much and brings no mail waits for each reply, so that a few connections full of commands
        do not keep everybody else waiting. Nobody is refused: more recipients than one mail may have are many commands.
        """
        self._commands += 1
        if self._commands <= _COMMANDS_OF_A_MAIL:
            self._progressed = self.loop.time()
        if self._commands > self._desk.limits.commands:
            await asyncio.sleep(self._desk.limits.command_pause_seconds)

    def _end(self) -> None:
        """The command loop goes no further than its next await, whatever commands wait in its buffer."""
        assert self._handler_coroutine is not None
        self._handler_coroutine.cancel()

    async def handle_exception(self, error: Exception) -> str:
        """RFC 5321 §4.2.1: whatever goes wrong within is ours, hence 4yz, and nobody's business (the library: 500)."""
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
        await self._slow_down()
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
        # RFC 2920 §3.2: one command after the other, whatever more is in the buffer
        words = [self.hostname, "PIPELINING", f"SIZE {self._desk.limits.size}", "8BITMIME", "SMTPUTF8"]
        if self.tls_context is not None and self._tls_protocol is None:
            words.append("STARTTLS")
        words.append("ENHANCEDSTATUSCODES")
        await self._slow_down()
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
        self.envelope.mail_from = path.address  # "" too: delivery reports have it (RFC 5321 §4.5.5)
        self.envelope.smtp_utf8 = "SMTPUTF8" in path.parameters
        return "250 2.1.0 Ok"

    def _unfit(self, parameters: dict[str, str | None]) -> str | None:
        """The reply to parameters of MAIL that we cannot meet. RET and ENVID (RFC 3461 §4) are not offered: 555."""
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

    async def _receive(self) -> Incoming:
        """Ask for the mail, take it to its end; what came behind it goes back to the command loop."""
        incoming = Incoming(self._desk, self._envelope_of_ours(), self._received)
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
        is_long = self.loop.time() - incoming.began > limits.data_seconds or incoming.taken > 4 * limits.size
        if is_long or incoming.is_slow(self._desk.patience(limits.rate_grace_seconds)):
            self._desk.counters.timeouts += 1
            self.say_goodbye(TOO_SLOW)
            return
        # M4: the library's timer would count the whole DATA; ours starts again with every block.
        super()._reset_timeout(self._desk.patience(limits.data_idle_seconds))

    async def _commit(self, incoming: Incoming) -> str:
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
        self._commands = 0
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
        self._desk.log.error("spool-fault", peer=self._peer, errno=error.errno, exc_info=None if full else error)
        return NO_ROOM if full else OUR_FAULT

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        if self._is_tls():
            await self.push("503 5.5.1 TLS is on already")
            return
        await super().smtp_STARTTLS(arg or "")  # RFC 3207 §4.2: the library forgets EHLO and what came in plain

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
    """RFC 2033 §4.1: LHLO instead of HELO; §4.2: after DATA one reply for each recipient that got a 250."""

    protocol = "LMTP"

    async def smtp_LHLO(self, arg: str | None) -> None:
        await super().smtp_EHLO(arg)

    async def smtp_HELO(self, hostname: str | None) -> None:
        await self.push("500 5.5.1 This is LMTP: say LHLO")

    async def smtp_EHLO(self, hostname: str | None) -> None:
        await self.push("500 5.5.1 This is LMTP: say LHLO")

    def _replies(self, reply: str, recipients: int) -> str:
        return "\r\n".join([reply] * recipients)
