"""The portal on a socket, until it is told to stop.

Takes: an application and where to listen.  Gives: nothing; it returns when what was under way is answered.
Fails: OSError where the port is taken.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST = 20.0  # seconds in which a request must be here as a whole: our forms are small (threat T53)
UPLOAD_RATE = 32 << 10  # octets a second, below which a form with files is too slow: 256 kbit/s
UPLOAD_MOST = 1024.0  # seconds that a form with files can earn: 32 MiB at that rate (portal/upload.py)
GRACE = 10  # seconds for what is under way when the portal is stopped
CONNECTIONS = 200  # at a time; more get 503
BACKLOG = 128


def serve(
    app: ASGIApp,
    host: str,
    port: int,
    stop: Event,
    *,
    proxies: Sequence[str] = (),
    announce: Callable[[tuple[str, int]], None] = lambda bound: None,
    request_seconds: float = REQUEST,
) -> None:
    """Answer requests until `stop` is set. `proxies`: whose X-Forwarded-For and -Proto are believed."""
    config = uvicorn.Config(
        app,
        http=type("Timed", (_Timed,), {"request_seconds": request_seconds}),
        log_config=None,
        access_log=False,  # a path may hold a token
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACE,
        ws="none",
    )
    server = _Server(config)
    with _listening(host, port) as listener:
        announce(listener.getsockname()[:2])
        threading.Thread(target=_end, args=(server, stop), daemon=True, name="stop").start()
        asyncio.run(server.serve(sockets=[listener]))


class _Timed(H11Protocol):
    """One connection. uvicorn waits for ever for the rest of a request, so that CONNECTIONS sockets that never end
    theirs would close the portal to everybody (threat T53)."""

    request_seconds = REQUEST
    _slow: asyncio.TimerHandle | None = None
    _began = 0.0
    _octets = 0  # of this request

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._octets += len(data)
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._rest()

    def _watch(self) -> None:
        """The clock runs from the first octet of a request to its last, and is not set back by those between."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._rest()
        elif self._slow is None:
            self._began = self.loop.time()
            self._slow = self.loop.call_later(self.request_seconds, self._late)

    def _late(self) -> None:
        """The time is over; a form with files, which nobody has answered yet, has more as it brings more."""
        earned = min(self._octets / UPLOAD_RATE, UPLOAD_MOST) if self._uploads() else 0.0
        left = self._began + self.request_seconds + earned - self.loop.time()
        if left > 0:
            self._slow = self.loop.call_later(left, self._late)
        else:
            self.transport.abort()

    def _uploads(self) -> bool:
        waits = self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.SEND_RESPONSE
        return waits and any(n == b"content-type" and v.lower().startswith(b"multipart/") for n, v in self.headers)

    def _rest(self) -> None:
        self._octets = 0
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the supervisor's (postdesk/supervise.py): they set `stop`."""
        yield


def _end(server: uvicorn.Server, stop: Event) -> None:
    stop.wait()
    server.should_exit = True


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=BACKLOG) as listener:
        # Connections inherit it. asyncio sets it where it made the socket itself, and not on this one: head and body of
        # an answer are two segments, and without it the second waits 40 ms for the delayed ACK of the first.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener
