"""Which domains signed this mail, and does their signature cover what we show? (RFC 6376, RFC 8617, by dkimpy)

Takes: `Octets` of a raw mail and something that answers DNS questions.  Gives: a `Signature` for each DKIM-Signature
field, an `ArcChain` for the ARC sets.  Fails: never; what cannot be checked has a word and a note.

dkimpy does the header fields and the keys; the body hash is ours (body_hash.py), so that no mail is whole in memory.
dkimpy lets pass what we must not count: l=, a second Subject, a From that is not signed, keys in testing mode, keys so
large that they are an attack. All of that is told here, before dkimpy is asked.
"""

import base64
import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any

import dkim
from dkim.canonicalization import CanonicalizationPolicy, Relaxed
from dkim.util import InvalidTagValueList, parse_tag_value

from ingest.auth.body_hash import BodyHash
from ingest.auth.resolver import Deadline, DnsStatus
from ingest.mime.scan import Field, Octets
from values.addresses import canonical_domain
from values.vocabulary import AuthResult

MAX_SIGNATURES = 8
MAX_ARC_SETS = 10  # RFC 8617 §5.1.1.1 allows 50; each costs two key look-ups, and real chains have one to three
_MAX_HEADER = 512 * 1024
_MAX_FIELDS = 2000
_MAX_SIGNATURE = 8 * 1024  # octets of one signature field
_MAX_SIGNED_NAMES = 200
_KEY_BITS = (1024, 4096)  # RFC 8301 §3.2; above, one check costs what a thousand honest ones cost
_MAX_EXPONENT_BITS = 33
_ALGORITHMS = (b"rsa-sha256", b"ed25519-sha256")  # RFC 8301 §3.1: rsa-sha1 must not be verified
_SKEW = 36_000  # seconds; clocks that are wrong by a time zone; dkimpy allows the same

_HEADER_END = re.compile(rb"\r?\n\r?\n")
_BARE_CR = re.compile(rb"\r(?!\n)")
_LONG_WHITE = re.compile(rb"\s{256}")  # dkimpy's pattern for folding takes quadratic time on white space
_KEY_TAG = re.compile(rb"(?:^|;)[ \t]*p[ \t]*=")
_INSTANCE = re.compile(rb"[\s;]*i\s*=\s*(\d{1,3})\s*(?:;|$)")

# RFC 5322 §3.6: at most one of each. A second one that the signature does not cover may be the one that is shown.
_SINGLE = (b"from", b"sender", b"reply-to", b"to", b"cc", b"message-id", b"in-reply-to", b"references", b"subject",
           b"date", b"mime-version", b"content-type", b"content-transfer-encoding")  # fmt: skip
_EXACTLY_ONE = (b"from", b"subject", b"date")  # RFC 6376 §8.15
_ARC_FIELDS = (b"arc-authentication-results", b"arc-message-signature", b"arc-seal")

_SILENT = logging.Logger("dkimpy")  # what dkimpy would log is in our notes
_SILENT.disabled = True

_Field = tuple[bytes, bytes]  # name as written, value with its folding and line end
_Tags = dict[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One DKIM-Signature field. `domain` is d= in A-label form, "" where it has none."""

    domain: str
    result: AuthResult
    note: str = ""
    signed: tuple[str, ...] = ()  # the fields that h= names, lower case, as often as it names them


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcChain:
    """The ARC sets of a mail. `claims` is the ARC-Authentication-Results value of the first sealer, i=1, without i=."""

    result: AuthResult
    sealers: tuple[str, ...] = ()
    claims: str = ""
    note: str = ""
    signed: tuple[str, ...] = ()  # the fields that every ARC-Message-Signature covers


class SignedMail:
    """The header fields of a mail as a verifier reads them, and its body hash."""

    def __init__(self, octets: Octets) -> None:
        head = octets.read(0, min(octets.size, _MAX_HEADER))
        end = _HEADER_END.search(head)
        self.unfit = "" if end or octets.size <= _MAX_HEADER else "header too large"
        header, body = (head[: end.start()], end.end()) if end else (head, octets.size)
        self.body = BodyHash(octets, body)
        self.fields: list[_Field] = []
        if not self.unfit:
            self._read(header)
        self.counts = Counter(name.lower() for name, _ in self.fields)

    def _read(self, header: bytes) -> None:
        if _BARE_CR.search(header) or b"\x00" in header:
            self.unfit = "a bare CR or NUL in the header"  # readers would not agree on what the fields are
            return
        if header.count(b"\n") > _MAX_FIELDS * 10:
            self.unfit = "too many header lines"
            return
        try:
            fields, _ = dkim.rfc822_parse(header + b"\r\n\r\n")  # type: ignore[no-untyped-call]
        except (dkim.DKIMException, IndexError):
            self.unfit = "a line in the header that is no field"
            return
        if len(fields) > _MAX_FIELDS:
            self.unfit = "too many header fields"
            return
        self.fields = [(name, value) for name, value in fields]

    def trace(self) -> Iterable[Field]:
        """The fields from the top, in the form of ingest/mime/scan.py."""
        return (Field(name.decode("ascii").lower(), value) for name, value in self.fields)

    def uncovered(self, signed: Collection[bytes]) -> str:
        """Why a signature over `signed` fields does not cover what is shown; "" where it does."""
        for name in _SINGLE:
            count = self.counts[name]
            if count > 1 and (name in _EXACTLY_ONE or count > list(signed).count(name)):
                return f"{count} {name.decode()} fields"
        for name in _EXACTLY_ONE:
            if self.counts[name] and name not in signed:
                return f"{name.decode()} is not signed"
        return ""

    def left_open(self, signatures: Collection[Collection[str]], names: Iterable[str]) -> tuple[str, ...]:
        """Of `names` those fields that stand here and that none of the good signatures, each given by the names in its
        h=, covers. A name in h= covers one field, or that there is none: whoever adds one breaks the signature."""
        covered = {name: max((list(one).count(name) for one in signatures), default=0) for name in names}
        return tuple(name for name, count in covered.items() if self.counts[name.encode()] > count)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A DKIM-Signature field before it is checked."""

    field: _Field
    tags: _Tags
    domain: str


def find_signatures(mail: SignedMail) -> tuple[_Candidate, ...]:
    """Every DKIM-Signature field with a readable d=, from the top; nothing is checked yet."""
    found: list[_Candidate] = []
    for name, value in mail.fields:
        if name.lower() == b"dkim-signature" and len(value) <= _MAX_SIGNATURE and not _LONG_WHITE.search(value):
            tags = _read_tags(value)
            found.append(_Candidate((name, value), tags, _domain(tags)))
    return tuple(found)


def check_signatures(
    mail: SignedMail, candidates: Iterable[_Candidate], ask: Deadline, at: datetime
) -> tuple[Signature, ...]:
    """The result of each candidate. `at`: the moment that x= and t= are held against."""
    return tuple(_check(mail, one, ask, at) for one in candidates)


def check_arc(mail: SignedMail, sealers: Collection[str], ask: Deadline) -> ArcChain:
    """Validate the whole chain (RFC 8617 §5.2) where every seal in it is by one of `sealers`; else only say whose.

    A chain is as good as its worst sealer: whoever sealed last could have invented what is below.
    """
    sets = [(name.lower(), value) for name, value in mail.fields if name.lower() in _ARC_FIELDS]
    if not sets:
        return ArcChain(result=AuthResult.NONE)
    if len(sets) > 3 * MAX_ARC_SETS or any(len(v) > _MAX_SIGNATURE or _LONG_WHITE.search(v) for _, v in sets):
        return ArcChain(result=AuthResult.FAIL, note="too many or too large ARC fields")
    seals = tuple(_domain(_read_tags(value)) for name, value in sets if name == b"arc-seal")
    listed = {canonical_domain(sealer) for sealer in sealers}
    if not seals or not all(domain and domain in listed for domain in seals):
        return ArcChain(result=AuthResult.NONE, sealers=seals, note="sealed by a domain that is not listed")
    for name, value in sets:
        if name == b"arc-message-signature" and (reason := _arc_refusal(mail, _read_tags(value))):
            return ArcChain(result=AuthResult.FAIL, sealers=seals, note=reason)
    return _verify_arc(mail, ask, seals, sets)


def _verify_arc(mail: SignedMail, ask: Deadline, seals: tuple[str, ...], sets: Sequence[_Field]) -> ArcChain:
    verifier = _ArcVerifier(mail)
    try:
        word, _, _ = verifier.verify(  # type: ignore[no-untyped-call]
            dnsfunc=lambda name, timeout=0: _find_key(_text(name), ask)[0]
        )
    except Exception:  # as in _verify
        word = dkim.CV_Fail
    if word != dkim.CV_Pass:
        return ArcChain(result=AuthResult.FAIL, sealers=seals, note="the chain does not validate")
    return ArcChain(result=AuthResult.PASS, sealers=seals, claims=_first_claims(sets), signed=_sealed_fields(sets))


def _arc_refusal(mail: SignedMail, tags: _Tags) -> str:
    if b"l" in tags:
        return "l= leaves room for another body"
    return mail.uncovered(_signed_names(tags))


def _sealed_fields(sets: Sequence[_Field]) -> tuple[str, ...]:
    signed = [set(_names(_read_tags(value))) for name, value in sets if name == b"arc-message-signature"]
    return tuple(sorted(set.intersection(*signed))) if signed else ()


def _first_claims(sets: Sequence[_Field]) -> str:
    for name, value in sets:
        found = _INSTANCE.match(value) if name == _ARC_FIELDS[0] else None
        if found and int(found.group(1)) == 1:
            return value[found.end() :].decode("utf-8", "replace")
    return ""


def _check(mail: SignedMail, one: _Candidate, ask: Deadline, at: datetime) -> Signature:
    result, note = _refusal(mail, one, at)
    if result is None:
        key, result, note = _find_key(f"{_text(one.tags[b's'])}._domainkey.{one.domain}", ask)
        if key is not None:
            result, note = _verify(mail, one, key)
    return Signature(domain=one.domain, result=result, note=note, signed=_names(one.tags))


def _refusal(mail: SignedMail, one: _Candidate, at: datetime) -> tuple[AuthResult | None, str]:
    """Why a signature is not even looked at: malformed (permerror), or not to be counted whatever it says (policy)."""
    tags = one.tags
    try:
        # Times are ours to judge: dkimpy would ask the clock, and a mail may have waited long in our own spool.
        dkim.validate_signature_fields({k: v for k, v in tags.items() if k not in (b"t", b"x")})  # type: ignore[no-untyped-call]
    except Exception:  # DKIMException, and KeyError and IndexError on odd input
        return AuthResult.PERMERROR, "malformed"
    signed = _signed_names(tags)
    if not one.domain or len(signed) > _MAX_SIGNED_NAMES or b"from" not in signed:  # RFC 6376 §6.1.1
        return AuthResult.PERMERROR, "no d=, or From is not signed"
    if tags[b"a"] not in _ALGORITHMS:
        return AuthResult.PERMERROR, "algorithm not allowed"
    seconds = at.timestamp()
    if _seconds(tags, b"x", inf) < seconds - _SKEW or _seconds(tags, b"t", -inf) > seconds + _SKEW:
        return AuthResult.PERMERROR, "expired, or from the future"
    if b"l" in tags:
        return AuthResult.POLICY, "l= leaves room for another body"  # RFC 6376 §8.2
    if reason := mail.uncovered(signed):
        return AuthResult.POLICY, reason
    return None, ""


def _find_key(name: str, ask: Deadline) -> tuple[bytes | None, AuthResult, str]:
    """The key record under `name` if it may be used (RFC 6376 §3.6.1), else why not."""
    answer = ask.ask(name, "TXT")
    if answer.status is DnsStatus.FAILED:
        return None, AuthResult.TEMPERROR, "the key was not answered"
    record = next((text for text in answer.texts if _KEY_TAG.search(text)), None)
    if record is None:
        return None, AuthResult.PERMERROR, "no key"
    try:
        tags = parse_tag_value(record)  # type: ignore[no-untyped-call]
        key, bits, kind, _ = dkim.evaluate_pk(name, record)  # type: ignore[no-untyped-call]
    except Exception:  # a stranger's record; dkimpy's ASN.1 reader raises whatever Python raises
        return None, AuthResult.PERMERROR, "unreadable or revoked key"
    if b"y" in tags.get(b"t", b"").replace(b" ", b"").split(b":"):
        return None, AuthResult.POLICY, "key in testing mode"  # to be treated as unsigned
    if not _allows(tags, b"h", b"sha256") or not _allows(tags, b"s", b"email"):
        return None, AuthResult.PERMERROR, "key for another hash or service"
    if kind == b"rsa" and not _is_sane_rsa(key, bits):
        return None, AuthResult.POLICY, f"key of {bits} bits"
    return record, AuthResult.NONE, ""


def _allows(tags: _Tags, tag: bytes, word: bytes) -> bool:
    words = [one.strip() for one in tags.get(tag, b"*").split(b":")]
    return b"*" in words or word in words


def _is_sane_rsa(key: dict[str, int], bits: int) -> bool:
    exponent_bits = key["publicExponent"].bit_length()
    return _KEY_BITS[0] <= bits <= _KEY_BITS[1] and exponent_bits <= _MAX_EXPONENT_BITS


def _verify(mail: SignedMail, one: _Candidate, key: bytes) -> tuple[AuthResult, str]:
    verifier = _DkimVerifier(mail)
    try:
        good = verifier.verify_sig(  # type: ignore[no-untyped-call]
            one.tags, _signed_names(one.tags), one.field, lambda name, timeout=0: key
        )
    except dkim.ValidationError:
        return AuthResult.FAIL, "the body was changed"
    except Exception:  # dkimpy is fed by strangers and raises whatever Python raises; a mail must not fail for it
        return AuthResult.PERMERROR, "not verifiable"
    return (AuthResult.PASS, "") if good else (AuthResult.FAIL, "the header was changed, or another key signed")


class _StreamedBody:
    """dkimpy's verifier, with the body hash of ours compared first and then taken out of what dkimpy sees."""

    def __init__(self, mail: SignedMail) -> None:
        super().__init__(logger=_SILENT, minkey=_KEY_BITS[0])  # type: ignore[call-arg]
        self.headers = [list(field) for field in mail.fields]
        self._hash = mail.body

    def verify_sig_process(self, sig: _Tags, *rest: Any) -> Any:
        if b"bh" in sig:
            canonical = CanonicalizationPolicy.from_c_value(sig.get(b"c", b"simple/simple"))  # type: ignore[no-untyped-call]
            digest = self._hash.digest(relaxed=canonical.body_algorithm is Relaxed)
            if base64.b64decode(re.sub(rb"\s+", b"", sig[b"bh"])) != digest:
                raise dkim.ValidationError("body hash mismatch")
            sig = {tag: value for tag, value in sig.items() if tag != b"bh"}
        return super().verify_sig_process(sig, *rest)  # type: ignore[misc]


class _DkimVerifier(_StreamedBody, dkim.DKIM):
    pass


class _ArcVerifier(_StreamedBody, dkim.ARC):
    pass


def _read_tags(value: bytes) -> _Tags:
    try:
        return dict(parse_tag_value(value))  # type: ignore[no-untyped-call]
    except InvalidTagValueList:
        return {}


def _domain(tags: _Tags) -> str:
    return canonical_domain(_text(tags.get(b"d", b""))) or ""


def _signed_names(tags: _Tags) -> list[bytes]:
    return [name.strip().lower() for name in tags.get(b"h", b"").split(b":")]


def _names(tags: _Tags) -> tuple[str, ...]:
    return tuple(_text(name) for name in _signed_names(tags))


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace").strip()


def _seconds(tags: _Tags, tag: bytes, absent: float) -> float:
    """A time tag, seconds since 1970 (RFC 6376 §3.5); what is no number counts as the worst one."""
    if tag not in tags:
        return absent
    digits = tags[tag]
    return float(digits) if digits.isdigit() and len(digits) <= 12 else -absent
