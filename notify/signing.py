"""DKIM signatures of outgoing mail (RFC 6376, RFC 8463).

Takes: the octets of a mail.  Gives: the same with a DKIM-Signature field on top.  Fails: with `SigningError`; then the
mail waits. It never leaves unsigned, because the receivers' DMARC would count that against the vendor.
"""

import base64
from collections.abc import Callable
from typing import Any

import dkim
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from values.errors import PostdeskError

Sign = Callable[[bytes], bytes]

# RFC 6376 §5.4. Each name stands once more than the field does (§8.15): a field that somebody adds, or puts a second
# time on top, breaks the signature.
OVER_SIGNED: tuple[bytes, ...] = (
    b"from",
    b"to",
    b"cc",
    b"reply-to",
    b"subject",
    b"date",
    b"message-id",
    b"in-reply-to",
    b"references",
    b"auto-submitted",
    b"list-unsubscribe",
    b"list-unsubscribe-post",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",  # who changes it changes the words
)


class SigningError(Exception):
    """The mail could not be signed with the configured key."""


def signer(domain: str, selector: str, key_pem: bytes) -> Sign:
    """A function that signs with this RSA or Ed25519 private key (PEM). PostdeskError where the key is neither."""
    algorithm, key = _for_dkimpy(key_pem)
    signing_of: Any = dkim.DKIM  # dkimpy has no types

    def sign(message: bytes) -> bytes:
        head = message.partition(b"\r\n\r\n")[0].lower()
        present = [name for name in OVER_SIGNED if b"\r\n" + name + b":" in b"\r\n" + head]
        try:
            signing = signing_of(message, signature_algorithm=algorithm, linesep=b"\r\n")
            field = signing.sign(
                selector.encode(),
                domain.encode(),
                key,
                canonicalize=(b"relaxed", b"relaxed"),
                include_headers=[*present, *OVER_SIGNED],
            )
        except (dkim.DKIMException, ValueError, KeyError, TypeError, IndexError) as error:
            raise SigningError(f"DKIM: {type(error).__name__}: {error}") from error
        return bytes(field) + message

    return sign


def _for_dkimpy(key_pem: bytes) -> tuple[bytes, bytes]:
    key = _private(key_pem)
    if isinstance(key, RSAPrivateKey):
        return b"rsa-sha256", key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return b"ed25519-sha256", base64.b64encode(key.private_bytes_raw())


def _private(key_pem: bytes) -> RSAPrivateKey | Ed25519PrivateKey:
    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PostdeskError("The DKIM key is no private key in PEM: make one with `openssl genrsa 2048`.") from error
    if isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        return key
    raise PostdeskError("The DKIM key is neither RSA nor Ed25519: make one with `openssl genrsa 2048`.")


def record_of(key_pem: bytes) -> str:
    """The TXT record to publish for this private key (PEM). PostdeskError where it is neither RSA nor Ed25519."""
    public = _public(key_pem)
    if isinstance(public, RSAPublicKey):
        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; p={base64.b64encode(spki).decode()}"
    return f"v=DKIM1; k=ed25519; p={base64.b64encode(public.public_bytes_raw()).decode()}"


def is_published(record: str, key_pem: bytes) -> bool:
    """Is the key in a TXT record the public half of this private key?"""
    tags = {name.strip(): value for name, _, value in (tag.partition("=") for tag in record.split(";"))}
    public = _public(key_pem)
    kind = "rsa" if isinstance(public, RSAPublicKey) else "ed25519"
    try:
        key = base64.b64decode("".join(tags.get("p", "").split()), validate=True)
        if tags.get("k", "rsa").strip() != kind or not key:
            return False
        # Some publish the bare RSAPublicKey that the RFC names, most what OpenSSL writes; the loader takes both.
        return (load_der_public_key(key) if kind == "rsa" else Ed25519PublicKey.from_public_bytes(key)) == public
    except (ValueError, UnsupportedAlgorithm):
        return False


def _public(key_pem: bytes) -> RSAPublicKey | Ed25519PublicKey:
    return _private(key_pem).public_key()
