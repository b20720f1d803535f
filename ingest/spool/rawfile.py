"""A raw mail in a file of its own, as if it lay in the spool: for `postdesk explain` and for archives; and the envelope
of a mail that came without one.

Takes: a path.  Gives: a `SpooledMail`; its envelope is what a delivering server wrote into the header.
Fails: OSError where the file can't be read.
"""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

from values.mail import Envelope, SpooledMail
from values.vocabulary import Source

NO_ID = "0" * 26
_BLOCK = 1 << 20
_HEADER = 64 * 1024  # octets that are searched for trace fields
# No Return-Path field says nothing about the reverse-path, and "" would say that it was the null one.
_UNKNOWN_PATH = "unknown@unknown.invalid"
_TRACE = re.compile(rb"^(return-path|delivered-to|x-original-to):[ \t]*<?([^\r\n<>]{0,320})>?[ \t]*\r?$", re.I | re.M)


def spooled_from(path: Path, source: Source = Source.ARCHIVE) -> SpooledMail:
    """The mail in `path`, as if it had come by `source`. Its hash is made here, its trace fields are read."""
    digest = hashlib.sha256()
    size = 0
    head = b""
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            head = head or block
            digest.update(block)
            size += len(block)
    return SpooledMail(
        id=NO_ID, path=path, offset=0, size=size, sha256=digest.hexdigest(), envelope=envelope_from(head, source)
    )


def envelope_from(head: bytes, source: Source) -> Envelope:
    """What stands in for the envelope of a mail that begins with `head`, where no SMTP dialogue is at hand."""
    head = head[:_HEADER]
    end = re.search(rb"\r?\n\r?\n", head)
    fields = [(name.lower(), value.strip()) for name, value in _TRACE.findall(head[: end.start() + 1] if end else head)]
    reverse = next((value for name, value in fields if name == b"return-path"), None)
    forward = [value.decode("ascii", "replace") for name, value in fields if name != b"return-path"]
    return Envelope(
        reverse_path=_UNKNOWN_PATH if reverse is None else reverse.decode("ascii", "replace"),
        forward_paths=tuple(dict.fromkeys(path for path in forward if "@" in path))[:20],
        source=source,
        received_at=datetime.now(UTC),
    )
