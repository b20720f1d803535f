"""What all connections of one listener process share: limits, counters, the gate, the way into the spool.

*Takes* connections and addresses. *Gives* admission or the reply that refuses it.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Literal, Protocol

from ingest.smtp.gate import Connection, Gate
from ingest.smtp.path import PathArgument
from ingest.smtp.reply import STOPPING
from ingest.spool.committer import Committer
from ingest.spool.spool import Spool

RecipientCheck = Callable[[str], bool | Awaitable[bool]]
"""Is this address (local part as sent, domain in lower case) one of ours? May look into the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one listener process puts up with."""

    size: int = 50 * 1024 * 1024  # octets of one mail, announced as SIZE (RFC 1870)
    memory: int = 16 * 1024 * 1024  # octets of small mails in memory, all connections together; beyond, files
    free: int = 256 * 1024 * 1024  # octets the spool's disk keeps free beside twice the size of one mail
    recipients: int = 100  # of one mail; the next gets 452 (RFC 5321 §4.5.3.1.8, §4.5.3.1.10)
    errors: int = 20  # 5yz replies in one session; then 421
    connections: int = 1000
    connections_per_address: int = 20  # an IPv6 /64 counts as one address
    command_seconds: float = 300.0  # wait for a command (RFC 5321 §4.5.3.2.7)
    handshake_seconds: int = 30  # for TLS from the first octet
    session_seconds: float = 1800.0  # from the greeting on; DATA in progress may end
    data_idle_seconds: float = 180.0  # wait for the next octets within DATA
    data_seconds: float = 1800.0  # for one DATA in all
    rate: int = 512  # octets a second that DATA must average…
    rate_grace_seconds: float = 60.0  # …once it has taken so long
    commands: int = 300  # of one session since its last mail; each further one waits…
    command_pause_seconds: float = 0.05  # …so long, against floods of NOOP and the like
    refusal_seconds: float = 1.0  # pause before a 550, against harvesting (T54)
    check_seconds: float = 30.0  # wait for the recipient check; then 451
    stress_seconds: float = 10.0  # near the cap: instead of each longer wait (ingest/smtp/gate.py)
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


class Desk:
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
        self.gate = Gate(
            limits.connections,
            limits.connections_per_address,
            limits.stress_seconds,
            self.loop.time,
            spool.known_senders,
        )
        self.in_memory = 0  # octets of small mails being received
        self._room = (float("-inf"), 0)  # when the disk was asked last, what it said

    def refusal(self, address: str) -> str | None:
        """The reply that turns a newcomer away; None: there is room, and `enter` takes it."""
        refusal = STOPPING if self.closing else self.gate.refusal(address)
        self.counters.rejected_connections += refusal is not None
        return refusal

    def enter(self, session: Connection, address: str) -> None:
        self.gate.enter(session, address)
        self.counters.connections += 1
        self.counters.live = len(self.gate)

    def leave(self, session: Connection) -> None:
        self.gate.leave(session)
        self.counters.live = len(self.gate)

    def patience(self, seconds: float) -> float:
        """How long a client is waited for that is given `seconds` in quiet times."""
        return min(seconds, self.limits.stress_seconds) if self.gate.is_stressed else seconds

    def has_room(self) -> bool:
        """Asked at MAIL: is there room for a mail of the largest size, twice? (RFC 1870 §6.2, faults F08, F12)"""
        return self._free() >= self.limits.free + 2 * self.limits.size

    def is_full(self) -> bool:
        """Asked within DATA: many mails that began together may fill the disk, whether they end or not (F08)."""
        return self._free() < self.limits.free

    def _free(self) -> int:
        now = self.loop.time()
        if now - self._room[0] > 0.5:
            self._room = (now, self.spool.free_octets())
        return self._room[1]

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
