"""A scripted SMTP server on a loopback socket: says what the test wants and remembers what it was told."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

CUT = "cut"  # as a reply: close the connection
RESET = "reset"  # … with RST
MUTE = "mute"  # say nothing
DRIP = "drip"  # one octet every 50 ms, never a line end


@dataclass
class Sink:
    """Replies by verb (`greeting`, `EHLO`, `AUTH`, `MAIL`, `RCPT`, `DATA`, `.`, …); a list is used up, one a time."""

    replies: dict[str, str | list[str]] = field(default_factory=dict)
    extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8")
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    port: int = 0
    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0
    taken: Event = field(default_factory=Event)  # a message was received whole
    ended: Event = field(default_factory=Event)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def reply(self, verb: str, default: str) -> str:
        scripted = self.replies.get(verb, default)
        if isinstance(scripted, list):
            return scripted.pop(0) if scripted else default
        return scripted

    def verbs(self) -> list[str]:
        return [command.split(" ")[0].upper() for command in self.commands]


@contextmanager
def serving(sink: Sink) -> Iterator[Sink]:
    """The sink at work in threads until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink.port = server.getsockname()[1]
        Thread(target=_accept, args=(server, sink), daemon=True).start()
        try:
            yield sink
        finally:
            sink.ended.set()


def _accept(server: socket.socket, sink: Sink) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        sink.connections += 1
        Thread(target=_talk, args=(connection, sink), daemon=True).start()


def _talk(connection: socket.socket, sink: Sink) -> None:
    try:
        if sink.implicit_tls and sink.tls:
            connection = sink.tls.wrap_socket(connection, server_side=True)
        _dialogue(connection, sink)
    except (OSError, ssl.SSLError):
        pass
    finally:
        connection.close()


def _dialogue(connection: socket.socket, sink: Sink) -> None:
    if not _say(connection, sink, sink.reply("greeting", "220 sink.test ESMTP")):
        return
    lines = connection.makefile("rb")
    while line := lines.readline():
        command = line.decode("utf-8", "replace").rstrip("\r\n")
        sink.commands.append(command)
        verb = command.split(" ")[0].upper()
        default = "250 2.0.0 Ok"
        if verb == "EHLO":
            offers = (*sink.extensions, *(("STARTTLS",) if sink.tls and not sink.implicit_tls else ()))
            default = "".join(f"250-{one}\r\n" for one in ("sink.test", *offers)) + "250 HELP"
        elif verb == "AUTH":
            default = "235 2.7.0 Welcome"
        elif verb == "STARTTLS" and sink.tls:
            _say(connection, sink, "220 Go ahead")
            connection = sink.tls.wrap_socket(connection, server_side=True)
            lines = connection.makefile("rb")
            continue
        elif verb == "DATA":
            default = "354 Go ahead"
        said = sink.reply(verb, default)
        if not _say(connection, sink, said):
            return
        if verb == "DATA" and said.startswith("354"):
            message = _message(lines)
            if message is None:
                return
            sink.messages.append(message)
            sink.taken.set()
            if not _say(connection, sink, sink.reply(".", "250 2.0.0 Taken as 1")):
                return
        if verb == "QUIT":
            return


def _message(lines: object) -> bytes | None:
    kept: list[bytes] = []
    while line := lines.readline():  # type: ignore[attr-defined]
        if line == b".\r\n":
            return b"".join(kept)
        kept.append(line[1:] if line.startswith(b".") else line)
    return None


def _say(connection: socket.socket, sink: Sink, reply: str) -> bool:
    if reply == CUT:
        connection.shutdown(socket.SHUT_RDWR)
        return False
    if reply == RESET:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        return False
    if reply == MUTE:
        sink.ended.wait(30)
        return False
    if reply == DRIP:
        connection.sendall(b"250")
        while not sink.ended.is_set():
            connection.sendall(b" ")
            time.sleep(0.05)
        return False
    connection.sendall(reply.encode("utf-8", "surrogateescape") + b"\r\n")
    return True
