"""Mails as a signer sends them: keys made in the test run, signed by dkimpy."""

import base64
from dataclasses import dataclass
from functools import cache
from typing import Any

import dkim
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

MAIL = (
    b"From: Su <su@acme.test>\r\nTo: support@hd.test\r\nSubject: Licence\r\n"
    b"Date: Mon, 02 Mar 2026 10:00:00 +0000\r\nMessage-ID: <1@acme.test>\r\n\r\nHello,\r\nplease help.\r\n"
)
SIGNED = (b"from", b"to", b"subject", b"date", b"message-id")


@dataclass(frozen=True)
class Key:
    """A private key as dkimpy wants it, and the record of the public one."""

    private: bytes
    record: str
    algorithm: bytes


@cache
def rsa_key(bits: int = 2048, number: int = 0) -> Key:
    """`number` tells keys of one size apart."""
    key = generate_private_key(public_exponent=65537, key_size=bits)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Key(private, f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}", b"rsa-sha256")


@cache
def ed25519_key() -> Key:
    key = Ed25519PrivateKey.generate()
    private = base64.b64encode(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))
    public = base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    return Key(private, f"v=DKIM1; k=ed25519; p={public.decode()}", b"ed25519-sha256")


def sign(raw: bytes, domain: str = "acme.test", selector: str = "s", key: Key | None = None, **more: Any) -> bytes:
    """The mail with a signature on top."""
    key = key or rsa_key()
    more.setdefault("include_headers", [name for name in SIGNED if (name + b":") in raw.lower()])
    more.setdefault("canonicalize", (b"relaxed", b"relaxed"))
    field = dkim.sign(raw, selector.encode(), domain.encode(), key.private, signature_algorithm=key.algorithm, **more)
    return bytes(field) + raw


def seal(raw: bytes, domain: str, claims: str, key: Key | None = None) -> bytes:
    """The mail with an ARC set on top, by a sealer that found `claims` (Authentication-Results without its id)."""
    key = key or rsa_key()
    judged = f"Authentication-Results: mx.{domain}; {claims}\r\n".encode() + raw
    fields = dkim.arc_sign(
        judged, b"arc", domain.encode(), key.private, f"mx.{domain}".encode(), include_headers=list(SIGNED)
    )
    return b"".join(fields) + raw
