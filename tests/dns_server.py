"""A DNS server on the loopback: what a test writes into its zone is what the world publishes."""

import socket
import socketserver
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Self

from dnslib import MX, PTR, QTYPE, RCODE, RD, RR, TXT, A, DNSRecord

_UDP_MOST = 1232


class Trouble(Enum):
    """What a server does instead of answering."""

    SERVFAIL = "servfail"
    SILENCE = "silence"


@dataclass(frozen=True)
class Late:
    """An answer that comes after `seconds`."""

    seconds: float
    texts: tuple[str, ...] = ()


Entry = str | list[str] | Late | Trouble
_Handler = type[socketserver.BaseRequestHandler]
Zone = Mapping[tuple[str, str], Entry]


class DnsServer:
    """Serves `zone` by UDP and TCP: {("acme.test", "TXT"): "v=spf1 -all", ("acme.test", "A"): Trouble.SILENCE}.

    A name that has entries, or has names with entries below it, exists; every other one does not. `otherwise` is what
    happens to questions about names that do not exist. `asked` lists the questions in the order they came.
    """

    def __init__(self, zone: Zone, otherwise: Trouble | None = None) -> None:
        self.zone = dict(zone)
        self.otherwise = otherwise
        self.asked: list[tuple[str, str]] = []
        self._stopping = threading.Event()
        server = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                query, sock = self.request
                if reply := server.reply(query):
                    packed = reply.pack()
                    sock.sendto(packed if len(packed) <= _UDP_MOST else _cut(reply), self.client_address)

        class Tcp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                head = self.request.recv(2, socket.MSG_WAITALL)
                query = self.request.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL) if len(head) == 2 else b""
                if query and (reply := server.reply(query)):
                    packed = reply.pack()
                    self.request.sendall(struct.pack("!H", len(packed)) + packed)

        self._udp, self._tcp = _on_one_port(Udp, Tcp)
        self.port: int = self._udp.server_address[1]
        self._threads = [threading.Thread(target=one.serve_forever, args=(0.005,)) for one in (self._udp, self._tcp)]

    def reply(self, query: bytes) -> DNSRecord | None:
        """The answer to a packet; None = silence."""
        request = DNSRecord.parse(query)
        name, kind = str(request.q.qname).rstrip(".").lower(), QTYPE[request.q.qtype]
        self.asked.append((name, kind))
        entry = self.zone.get((name, kind))
        reply = request.reply()
        if entry is None and not self._exists(name):
            entry = self.otherwise
            reply.header.rcode = RCODE.NXDOMAIN
        if isinstance(entry, Late):
            self._stopping.wait(entry.seconds)
            entry = list(entry.texts)
        if entry is Trouble.SILENCE:
            return None
        if entry is Trouble.SERVFAIL:
            reply.header.rcode = RCODE.SERVFAIL
            return reply
        for value in [entry] if isinstance(entry, str) else entry or []:
            reply.add_answer(RR(request.q.qname, request.q.qtype, rdata=_rdata(kind, value), ttl=60))
        return reply

    def _exists(self, name: str) -> bool:
        return any(known == name or known.endswith("." + name) for known, _ in self.zone)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()


class _ThreadingUdp(socketserver.ThreadingUDPServer):
    daemon_threads = True


class _ThreadingTcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _on_one_port(udp: _Handler, tcp: _Handler) -> tuple[_ThreadingUdp, _ThreadingTcp]:
    """Both servers; a port that is free for one of them may be taken for the other."""
    for _ in range(50):
        first = _ThreadingTcp(("127.0.0.1", 0), tcp)
        try:
            return _ThreadingUdp(("127.0.0.1", first.server_address[1]), udp), first
        except OSError:
            first.server_close()
    raise OSError("no port is free for both")


def _cut(reply: DNSRecord) -> bytes:
    reply.header.tc = 1
    reply.rr = []
    return bytes(reply.pack())


def _rdata(kind: str, value: str) -> RD:
    if kind == "TXT":
        octets = value.encode()
        return TXT([octets[at : at + 255] for at in range(0, len(octets), 255)])
    if kind == "MX":
        preference, _, host = value.partition(" ")
        return MX(host, int(preference))
    makers: dict[str, Any] = {"A": A, "PTR": PTR}
    return makers[kind](value)
