"""The file format of the spool: one or more records, each a header line and the raw mail behind it.

*Takes* an envelope and octets. *Gives* header lines, and records read back and checked. *Fails* never on content:
what does not check out is reported as a damaged stretch of the file, and reading goes on behind it.

    {"postdesk-spool":1,"file":"<file id>","id":…,"size":…,"sha256":…,"reverse_path":…, …}␠␠␠<crc32>\n<raw octets>

The file id stands first in every header: it has 64 random bits that no sender knows, so a damaged file can be searched
for its next record without falling for a header that somebody wrote into his mail.
"""

import hashlib
import json
import mmap
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from values.mail import Envelope, SpooledMail
from values.vocabulary import Source

FORMAT = 1
_HEADER_MOST = 1 << 20  # octets; 100 recipients of the longest kind stay well below
_BLOCK = 1 << 20  # octets read at once while checking: a large mail is never whole in memory
_WIDEST = 10**15  # a size as wide as sizes get, to reserve room for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A stretch of a spool file that is no good record."""

    offset: int
    end: int
    why: str
    mail: SpooledMail | None = None  # what its header says, where that is whole and the octets behind it are not


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A spool file read and checked: the good mails, and the stretches that are damaged."""

    mails: tuple[SpooledMail, ...]
    damage: tuple[Damage, ...]


def encode_header(
    file_id: str, mail_id: str, envelope: Envelope, *, size: int, sha256: str, width: int | None = None
) -> bytes:
    """The header line of one record; `width` pads it to a length got from `header_width`."""
    fields = {
        "id": mail_id,
        "size": size,
        "sha256": sha256,
        "reverse_path": envelope.reverse_path,
        "forward_paths": envelope.forward_paths,
        "source": envelope.source.value,
        "received_at": envelope.received_at.isoformat(),
        "client_ip": envelope.client_ip,
        "helo": envelope.helo,
        "tls": envelope.tls,
    }
    line = _opening(file_id) + json.dumps(fields, separators=(",", ":")).encode("ascii")[1:]
    if width is not None:
        line = line.ljust(width - 10)
    return b"%b %08x\n" % (line, zlib.crc32(line))


def header_width(file_id: str, mail_id: str, envelope: Envelope) -> int:
    """How much room a header needs at most, for a mail whose size and hash are not known yet."""
    return len(encode_header(file_id, mail_id, envelope, size=_WIDEST, sha256="0" * 64))


def read_file(path: Path, file_id: str, attempts: int) -> Reading:
    """Every record of a spool file, its checksum verified. Raises OSError where the file cannot be read."""
    mails: list[SpooledMail] = []
    damage: list[Damage] = []
    fd = os.open(path, os.O_RDONLY)
    try:
        end = os.fstat(fd).st_size
        if end == 0:
            return Reading(mails=(), damage=(Damage(offset=0, end=0, why="empty"),))
        for found in _records(fd, end, file_id, path, attempts):
            if isinstance(found, Damage):
                damage.append(found)
            else:
                mails.append(found)
    finally:
        os.close(fd)
    return Reading(mails=tuple(mails), damage=tuple(damage))


def _opening(file_id: str) -> bytes:
    return b'{"postdesk-spool":%d,"file":"%b",' % (FORMAT, file_id.encode("ascii"))


def _records(fd: int, end: int, file_id: str, path: Path, attempts: int) -> Iterator[SpooledMail | Damage]:
    at = 0
    while at < end:
        line = _header_line(fd, at)
        mail = _decode(line, file_id, path, at, attempts)
        if mail is None or mail.offset + mail.size > end:
            beyond = _next_record(fd, at + 1, end, file_id)
            yield Damage(offset=at, end=beyond, why="header" if mail is None else "truncated", mail=mail)
            at = beyond
            continue
        at = mail.offset + mail.size
        if _sha256(fd, mail.offset, mail.size) == mail.sha256:
            yield mail
        else:
            yield Damage(offset=mail.offset - len(line), end=at, why="checksum", mail=mail)


def _header_line(fd: int, at: int) -> bytes:
    line = b""
    while b"\n" not in line and len(line) < _HEADER_MOST and (block := os.pread(fd, 8192, at + len(line))):
        line += block
    return line[: line.find(b"\n") + 1]  # b"" where there is no line end


def _decode(line: bytes, file_id: str, path: Path, at: int, attempts: int) -> SpooledMail | None:
    body, crc = line[:-10], line[-9:-1]
    if not body.startswith(_opening(file_id)) or b"%08x" % zlib.crc32(body) != crc:
        return None
    with suppress(ValueError, KeyError, TypeError):
        fields: dict[str, Any] = json.loads(body)
        envelope = Envelope(
            reverse_path=fields["reverse_path"],
            forward_paths=tuple(fields["forward_paths"]),
            source=Source(fields["source"]),
            received_at=datetime.fromisoformat(fields["received_at"]),
            client_ip=fields["client_ip"],
            helo=fields["helo"],
            tls=fields["tls"],
        )
        return SpooledMail(
            id=fields["id"],
            path=path,
            offset=at + len(line),
            size=fields["size"],
            sha256=fields["sha256"],
            envelope=envelope,
            attempts=attempts,
        )
    return None


def _sha256(fd: int, offset: int, size: int) -> str:
    digest = hashlib.sha256()
    end = offset + size
    while offset < end and (block := os.pread(fd, min(_BLOCK, end - offset), offset)):
        digest.update(block)
        offset += len(block)
    return digest.hexdigest()


def _next_record(fd: int, start: int, end: int, file_id: str) -> int:
    """Where the next header of this file begins, or the end of the file."""
    with mmap.mmap(fd, end, access=mmap.ACCESS_READ) as whole:
        found = whole.find(_opening(file_id), start)
    return end if found < 0 else found
