"""The SHA-256 of a canonical body, for DKIM and ARC (RFC 6376 §3.4.3, §3.4.4), whatever the size of the mail.

Takes: `Octets`, random access to the raw mail, and where its body starts.  Gives: the digest.  Fails: never.

dkimpy would hold the body three times over, and its pattern for white space at line ends takes quadratic time on a run
of it. This one walks the body in blocks: its memory is one block, its time grows with the size alone.
"""

import hashlib
import re
from functools import cached_property

from ingest.mime.scan import Octets

_BLOCK = 1 << 16
_CRLF = b"\r\n"
_WHITE = re.compile(rb"[ \t]{2,}|\t")
_TURNED_LINE_ENDS = re.compile(rb"(?:\n\r)*")


class BodyHash:
    """The two digests of one body, each made at most once."""

    def __init__(self, mail: Octets, start: int) -> None:
        self._mail = mail
        self._start = start

    def digest(self, *, relaxed: bool) -> bytes:
        """The digest under `relaxed` or `simple` body canonicalization."""
        return self._relaxed if relaxed else self._simple

    @cached_property
    def _relaxed(self) -> bytes:
        return self._make(relaxed=True)

    @cached_property
    def _simple(self) -> bytes:
        return self._make(relaxed=False)

    def _make(self, *, relaxed: bool) -> bytes:
        canonical = _Canonical(relaxed)
        size = self._mail.size
        for at in range(self._start, size, _BLOCK):
            canonical.feed(self._mail.read(at, min(at + _BLOCK, size)), last=at + _BLOCK >= size)
        return canonical.digest()


class _Canonical:
    """Blocks in, digest out. Line ends are held back until text follows them, for those at the end do not count."""

    def __init__(self, relaxed: bool) -> None:
        self._relaxed = relaxed
        self._sha256 = hashlib.sha256()
        self._held = b""  # the end of a block that the next one may change: white space, a CR
        self._line_ends = 0
        self._empty = True

    def feed(self, block: bytes, *, last: bool) -> None:
        text = self._held + block
        self._held = b""
        if not last:
            text, self._held = self._split(text)
        if text.count(b"\n") != text.count(_CRLF):
            text = text.replace(_CRLF, b"\n").replace(b"\n", _CRLF)  # as dkimpy reads a mail that was stored with LF
        if self._relaxed:
            if b"\t" in text or b"  " in text:
                text = _WHITE.sub(b" ", text)
            text = text.replace(b" \r\n", _CRLF)
            text = text.removesuffix(b" ") if last else text
        self._take(text)

    def _split(self, text: bytes) -> tuple[bytes, bytes]:
        end = len(text) - text.endswith(b"\r")
        if self._relaxed:
            end = len(text[:end].rstrip(b" \t"))
        held = text[end:]
        if self._relaxed and held[:1] in (b" ", b"\t"):
            held = b" \r" if held.endswith(b"\r") else b" "
        return text[:end], held

    def _take(self, text: bytes) -> None:
        turned = text[len(text.rstrip(_CRLF)) :][::-1]
        found = _TURNED_LINE_ENDS.match(turned)
        line_ends = found.end() // 2 if found else 0
        content = text[: len(text) - 2 * line_ends]
        if content:
            self._release()
            self._sha256.update(content)
            self._empty = False
            self._line_ends = line_ends
        else:
            self._line_ends += line_ends

    def _release(self) -> None:
        while self._line_ends > 0:
            count = min(self._line_ends, _BLOCK)
            self._sha256.update(_CRLF * count)
            self._line_ends -= count

    def digest(self) -> bytes:
        if not (self._relaxed and self._empty):  # §3.4.3: an empty body is one CRLF; §3.4.4: nothing
            self._sha256.update(_CRLF)
        return self._sha256.digest()
