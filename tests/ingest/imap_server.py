"""An IMAP server that does as a test says: a table from command to answer, on a real socket. For the hostile ones."""

import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Self

Answer = bytes | Callable[["Line", socket.socket], bytes | None]
HONEST = b"\0honest"  # an answer that is this: as an honest server would
GOODBYE = b"\0goodbye"  # an answer that ends with this: the server hangs up

_COMMAND = re.compile(rb"(\S+) (UID )?(\S+) ?(.*)", re.DOTALL)
_CAPABILITY = b"* CAPABILITY IMAP4rev1 IDLE UIDPLUS MOVE AUTH=PLAIN\r\n"


class Line:
    """One command: its tag, its name as `UID FETCH`, what follows."""

    def __init__(self, octets: bytes) -> None:
        found = _COMMAND.fullmatch(octets)
        self.tag, uid, self.name, self.rest = found.groups(b"") if found else (b"", b"", octets, b"")
        self.name = (uid + self.name).upper()


def mail_answer(raw: bytes, uid: int, line: Line) -> bytes:
    """What an honest server says to UID FETCH of BODY.PEEK[]<start.count>."""
    found = re.search(rb"<(\d+)\.(\d+)>", line.rest)
    assert found
    start, count = int(found[1]), int(found[2])
    piece = raw[start : start + count]
    size = b'RFC822.SIZE %d INTERNALDATE "24-Nov-2026 08:00:00 +0000" ' % len(raw) if start == 0 else b""
    return b"* 1 FETCH (UID %d %sBODY[]<%d> {%d}\r\n%s)\r\n" % (uid, size, start, len(piece), piece)


class ImapServer:
    """`with ImapServer(mails, {"UID SEARCH": b"* SEARCH 1\\r\\n"}) as server:` honest, but for what the table says.

    An answer is what stands before `TAG OK`; one that is or gives None, or has a tagged line of its own (TAG in it),
    is all that is said.
    """

    def __init__(
        self, mails: Mapping[int, bytes] = {}, answers: Mapping[str, Answer] = {}, greeting: bytes = b"* OK hi\r\n"
    ) -> None:
        self.mails, self.greeting = dict(mails), greeting
        self.answers = {name.encode(): answer for name, answer in answers.items()}
        self.heard: list[bytes] = []  # every line, of every connection
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._ended = threading.Event()
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection, connection.makefile("rb") as lines:
            connection.sendall(self.greeting)
            for octets in lines:
                octets = octets.rstrip(b"\r\n")
                self.heard.append(octets)
                line = Line(octets)
                said = self._answer(line, connection, lines)
                if said is None:
                    continue
                connection.sendall(said.removesuffix(GOODBYE))
                if said.endswith(GOODBYE):
                    connection.shutdown(socket.SHUT_RDWR)
                    return

    def _answer(self, line: Line, connection: socket.socket, lines: Iterator[bytes]) -> bytes | None:
        answer: Answer | None = self.answers.get(line.name)
        if callable(answer):
            answer = answer(line, connection)
            if answer is None:
                return None
        if answer is None or answer == HONEST:
            answer = self._honest(line, connection, lines)
        if b"TAG " in answer or answer.endswith(GOODBYE):
            return answer.replace(b"TAG ", line.tag + b" ")
        return answer + line.tag + b" OK done\r\n"

    def _honest(self, line: Line, connection: socket.socket, lines: Iterator[bytes]) -> bytes:
        match line.name:
            case b"CAPABILITY":
                return _CAPABILITY
            case b"AUTHENTICATE":
                connection.sendall(b"+ \r\n")
                self.heard.append(next(lines, b"").rstrip(b"\r\n"))
                return b""
            case b"SELECT" | b"EXAMINE":
                highest = max(self.mails, default=0)
                return b"* %d EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT %d] x\r\n" % (
                    len(self.mails),
                    highest + 1,
                )
            case b"UID SEARCH":
                return b"* SEARCH %s\r\n" % b" ".join(b"%d" % uid for uid in self.mails)
            case b"UID FETCH":
                uid = int(line.rest.split()[0])
                return mail_answer(self.mails[uid], uid, line) if uid in self.mails else b""
            case b"IDLE":
                connection.sendall(b"+ idling\r\n")
                self.heard.append(next(lines, b"").rstrip(b"\r\n"))
                return b""
        return b""


@contextmanager
def silent_server() -> Iterator[int]:
    """Takes connections and says nothing, ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])
