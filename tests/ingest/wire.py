"""A listener on a loopback port in a thread of its own, and a client that says exactly what a test wants said."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ingest.smtp.server import Counters, Limits, Listener, RecipientCheck, serve
from ingest.spool.spool import Spool
from values.mail import SpooledMail

OURS = {"support@hd.test", "Support@hd.test", "help@hd.test"}
QUICK = Limits(refusal_seconds=0.0, free=0, size=1024 * 1024)
# T14: what some servers take for the end of DATA, and we do not.
SMUGGLING = (
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\n\n.\r\n",
    b"\r\r.\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n\x00.\x00\r\n",
    b"\r\n. \r\n",
    b"\r\n.\r\r\n",
    b"\xc2\x85.\xc2\x85",
    b"\x0b.\x0b",
)


class QuietLog:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, /, **fields: Any) -> None:
        self.events.append((event, fields))

    warning = error = info


class Desk:
    """`with Desk(folder) as desk:` a running listener; stops gracefully at the end."""

    def __init__(
        self,
        folder: Path,
        limits: Limits = QUICK,
        accepts: RecipientCheck = OURS.__contains__,
        listeners: Sequence[Listener] = (Listener(host="127.0.0.1", port=0),),
    ) -> None:
        self.spool = Spool(folder / "spool")
        self.limits, self.accepts, self.listeners = limits, accepts, listeners
        self.counters = Counters()
        self.log = QuietLog()
        self.ports: list[int] = []
        self._bound = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()

        def announce(bound: Sequence[tuple[str, int]]) -> None:
            self.ports = [port for _, port in bound]
            self._bound.set()

        await serve(
            self.listeners,
            self.spool,
            self.accepts,
            self.limits,
            self._stop,
            self.log,
            hostname="mx.hd.test",
            domains=["hd.test"],
            counters=self.counters,
            announce=announce,
        )

    def __enter__(self) -> "Desk":
        self._thread.start()
        assert self._bound.wait(10)
        return self

    def __exit__(self, *fault: object) -> None:
        self.stop()
        self.join()

    def stop(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: stopped already
            self._loop.call_soon_threadsafe(self._stop.set)

    def join(self) -> None:
        self._thread.join(40)
        assert not self._thread.is_alive()

    def client(self, listener: int = 0, **options: Any) -> "Client":
        return Client(self.ports[listener], **options)

    def mails(self) -> list[SpooledMail]:
        """Everything in the spool, in order; the files stay claimed."""
        found: list[SpooledMail] = []
        while (claim := self.spool.claim("test", 100)) is not None:
            found += claim.mails
        return found

    def contents(self) -> list[bytes]:
        """The mails as they were sent: without the Received field that we put on top."""
        return [without_received(self.spool.read(mail)) for mail in self.mails()]


def without_received(raw: bytes) -> bytes:
    lines = raw.split(b"\r\n")
    assert lines[0].startswith(b"Received: ")
    end = next(at for at, line in enumerate(lines[1:], 1) if not line.startswith(b"\t"))
    return b"\r\n".join(lines[end:])


class Client:
    """Says octets, reads replies. A reply is its text lines joined by newlines."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None, greet: bool = True) -> None:
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self._buffer = b""
        if greet:
            self.greeting = self.reply()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *fault: object) -> None:
        self.socket.close()

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def say(self, line: str) -> str:
        self.send(line.encode() + b"\r\n")
        return self.reply()

    def reply(self) -> str:
        lines = []
        while True:
            line = self._line()
            lines.append(line)
            if line[3:4] != "-":
                return "\n".join(lines)

    def _line(self) -> str:
        while b"\r\n" not in self._buffer:
            block = self.socket.recv(65536)
            if not block:
                raise ConnectionError(f"closed; left: {self._buffer!r}")
            self._buffer += block
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line.decode()

    def rest(self) -> str:
        """All until the server closes."""
        with suppress(ConnectionResetError):
            while block := self.socket.recv(65536):
                self._buffer += block
        return self._buffer.decode()

    def start_tls(self, tls: ssl.SSLContext) -> None:
        assert self.say("STARTTLS").startswith("220")
        self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")

    def begin(self, sender: str = "su@acme.test", *recipients: str) -> None:
        """EHLO to the 354."""
        assert self.say("EHLO client.test").startswith("250")
        assert self.say(f"MAIL FROM:<{sender}>").startswith("250")
        for recipient in recipients or ("support@hd.test",):
            assert self.say(f"RCPT TO:<{recipient}>").startswith("250")
        assert self.say("DATA").startswith("354")

    def deliver(self, body: bytes = b"Subject: x\r\n\r\nbody\r\n", sender: str = "su@acme.test") -> str:
        """A whole mail; the reply to its end. The body must be stuffed and end in CRLF."""
        self.begin(sender)
        self.send(body + b".\r\n")
        return self.reply()
