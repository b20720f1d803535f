"""Who the demo's people are, for the receiving side: their mails are signed, and a DNS server of the demo has the key.

Takes: the demo's folder; mails as octets.  Gives: signed mails; answers on a loopback port while the demo runs.
Fails: OSError where the port is taken.

One key serves every domain of the demo's people. Nothing else exists in this DNS: no SPF, no DMARC policy.
"""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from notify.signing import record_of, signer
from postdesk import demo_mails as mails

KEY_NAME = "people-dkim.pem"
SELECTOR = "demo"
TTL_S = 60


def make_key(folder: Path) -> None:
    """A new key in `folder`; only its owner may read it."""
    key = Ed25519PrivateKey.generate()
    path = folder / KEY_NAME
    path.touch(0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def sign(folder: Path, author: str, message: bytes) -> bytes:
    """The mail with a DKIM-Signature of its author's domain on top, as the author's own server would sign it."""
    return signer(author.rpartition("@")[2], SELECTOR, (folder / KEY_NAME).read_bytes())(message)


@contextmanager
def serving(folder: Path, address: tuple[str, int]) -> Iterator[None]:
    """Answer DNS questions by UDP at `address` until the block ends."""
    zone = _zone(record_of((folder / KEY_NAME).read_bytes()))

    class Question(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            packet, sock = self.request
            if answer := _answer(packet, zone):
                sock.sendto(answer, self.client_address)

    with socketserver.UDPServer(address, Question) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _zone(record: str) -> dict[str, str]:
    """TXT records by name, in lower case and without the last dot."""
    domains = {person.address.rpartition("@")[2] for person in mails.PEOPLE}
    return {f"{SELECTOR}._domainkey.{domain}": record for domain in domains}


def _answer(packet: bytes, zone: dict[str, str]) -> bytes:
    """The answer to one question; b"" to what is none."""
    try:
        query = dns.message.from_wire(packet)
        question = query.question[0]
        reply = dns.message.make_response(query)
    except (dns.exception.DNSException, IndexError):
        return b""
    text = zone.get(question.name.to_text(omit_final_dot=True).lower())
    if text is None:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    elif question.rdtype == dns.rdatatype.TXT:
        reply.answer.append(dns.rrset.from_text(question.name, TTL_S, "IN", "TXT", f'"{text}"'))
    return reply.to_wire()
