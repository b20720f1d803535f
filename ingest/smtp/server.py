"""The listener: SMTP, SMTP over TLS and LMTP from the wire into the spool. `async` ends here.

*Takes* connections. *Gives* mails in the spool; a 250 only after fsync file < rename < fsync folder (RFC 5321 §6.1).
*Fails* with 4yz and no detail wherever the fault is ours, so that the sender keeps the mail; 5yz is policy only.

aiosmtpd keeps the dialogue: command loop, RSET, NOOP, QUIT, STARTTLS. Ours are the gate, the timers, MAIL and RCPT in
exact grammar, and DATA, which is read in blocks and never whole in memory. docs/threats.md T14, T15, T53-T55.
Nobody parses here: the reply to the final dot must not wait for that (RFC 1123 §5.3.3, RFC 1047).
"""

import asyncio
import os
import socket
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from ingest.smtp.context import Counters, Desk, Limits, Listener, Log, RecipientCheck
from ingest.smtp.reply import STOPPING
from ingest.smtp.session import GatedConnection
from ingest.spool.spool import Spool

ACCEPTED_AT_ONCE = 32  # connections for each turn of the loop; asyncio tells as often that it has no descriptor left
QUEUE = 1024  # connections that wait in the kernel

__all__ = ["Counters", "Limits", "Listener", "Log", "RecipientCheck", "serve"]


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
        desk = Desk(
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
            for session in desk.gate.sessions:
                session.say_goodbye(STOPPING)


async def _listen(loop: asyncio.AbstractEventLoop, desk: Desk, listener: Listener) -> asyncio.Server:
    if listener.kind == "smtps" and listener.tls is None:
        raise ValueError(f"a listener of kind smtps needs a certificate: {listener.host}:{listener.port}")
    server = await loop.create_server(
        lambda: GatedConnection(desk, listener), listener.host, listener.port, backlog=ACCEPTED_AT_ONCE
    )
    for bound in server.sockets:  # the kernel's queue may be longer: a connection in it costs no descriptor of ours
        with socket.socket(fileno=os.dup(bound.fileno())) as same:
            same.listen(QUEUE)
    return server


async def _drain(desk: Desk) -> None:
    """F37: 421 to whoever comes or is idle; wait for DATA in progress, and for every commit that was begun."""
    desk.closing = True
    until = desk.loop.time() + desk.limits.stop_seconds
    for session in desk.gate.sessions:
        if not session.is_busy:
            session.say_goodbye(STOPPING)
    while desk.loop.time() < until and (len(desk.gate) or not desk.committer.is_idle):
        await asyncio.sleep(0.02)
