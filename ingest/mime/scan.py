"""Octets of a mail → its header fields and its tree of parts, with every limit checked before a parser sees it.

Takes: `Octets`, random access to the raw mail.  Gives: `ScannedMail`, offsets only; no body is held in memory.
Fails: never; a mail over a limit carries the limit's word and as many header fields as were read.

The one authority on structure: boundary lines are told as RFC 2046 §5.1 and the standard library's feed parser tell
them (a stack of boundaries; LF, CRLF or CR; a missing end boundary; preamble and epilogue skipped; mbox's From line).
A message/rfc822 part is a leaf: what it contains belongs to another mail (RFC 2046 §5.2.1).
"""

import re
from dataclasses import dataclass, field
from typing import Protocol

from ingest.mime.defects import Defect, Limit, ScanLimits
from ingest.mime.params import read_params

_BLOCK = 1024 * 1024
_DELIMITER_CAP = 1000  # octets of a line that can be a boundary delimiter; RFC 2046 §5.1.1 allows 70 + 4
_FIELD = re.compile(rb"([!-9;-~]+)([ \t]*):")
_GUESS_CAP = 64 * 1024
_PLAIN_BOUNDARY = re.compile(rb"(?:^|[\r\n])--([^\r\n]{1,200})\r?\n[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-[A-Za-z\-]{2,30}:")
_MBOX_FROM = (b"From ", b">From ")


class Octets(Protocol):
    """Random access to a raw mail."""

    @property
    def size(self) -> int: ...

    def read(self, start: int, stop: int) -> bytes:
        """The octets from `start` to before `stop`, fewer only at the end of the mail."""


@dataclass(frozen=True, slots=True)
class Field:
    """One header field. `value`: the octets after the colon, folding and line end included."""

    name: str  # lower-case
    value: bytes
    spaced: bool = False  # white space before the colon

    @property
    def unfolded(self) -> bytes:
        """The value on one line (RFC 5322 §2.2.3)."""
        value = self.value
        if b"\n" in value or b"\r" in value:
            value = value.replace(b"\r", b"").replace(b"\n", b"")
        return value.strip(b" \t")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One entity of the tree (RFC 2045 §2.4): its octets are `start:end` of the mail, its body `body:end`."""

    start: int
    body: int
    end: int
    fields: tuple[Field, ...]
    type: str  # lower-case media type; an invalid or missing one is text/plain (RFC 2045 §5.2)
    params: dict[str, str]  # of Content-Type, one character an octet; see params.text_param
    children: tuple["Part", ...] = ()

    def value(self, name: str) -> bytes:
        """The first field of that (lower-case) name on one line, or b""."""
        for one in self.fields:
            if one.name == name:
                return one.unfolded
        return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedMail:
    """The structure of a mail. `root` is None where a limit stopped the scan; `fields` are the header fields read."""

    fields: tuple[Field, ...]
    root: Part | None
    over_limit: Limit | None = None
    defects: tuple[Defect, ...] = ()


def scan(octets: Octets, limits: ScanLimits | None = None) -> ScannedMail:
    """Find the header section and the tree of parts of a mail."""
    scanner = _Scanner(octets, limits or ScanLimits())
    try:
        scanner.check_size()
        root, _ = scanner.entity(0, 0, "text/plain")
    except _OverLimit as over:
        return ScannedMail(
            fields=tuple(scanner.root_fields),
            root=None,
            over_limit=over.limit,
            defects=tuple(scanner.defects),
        )
    return ScannedMail(fields=root.fields, root=root, defects=tuple(scanner.defects))


class _OverLimit(Exception):
    def __init__(self, limit: Limit) -> None:
        self.limit = limit


@dataclass(frozen=True, slots=True)
class _Delimiter:
    """A line that is a boundary delimiter of the open multipart number `level`."""

    level: int
    start: int  # of the line
    next: int  # start of the line after it
    closes: bool


@dataclass(slots=True)
class _Header:
    fields: list[Field]
    body: int  # where the body begins
    delimiter: _Delimiter | None = None  # one that came before the empty line


@dataclass(slots=True)
class _Scanner:
    octets: Octets
    limits: ScanLimits
    defects: dict[Defect, None] = field(default_factory=dict)  # in order, once each
    root_fields: list[Field] = field(default_factory=list)
    open: dict[bytes, int] = field(default_factory=dict)  # boundary of each open multipart → its level
    parts: int = 0
    delimiter_lines: int = 0
    block: bytes = b""
    block_start: int = 0
    line_feed: int = -2  # where the next LF before two hyphens stands in the block; -1 = none, -2 = not looked for

    def check_size(self) -> None:
        if self.octets.size > self.limits.size:
            self._header(0, self.limits.part_header_size, root=True, over=Limit.SIZE)
            raise _OverLimit(Limit.SIZE)

    def entity(self, start: int, depth: int, default_type: str) -> tuple[Part, _Delimiter | None]:
        """The part that begins at `start`, and the delimiter line that ended it (None: the end of the mail)."""
        self.parts += 1
        if self.parts > self.limits.parts:
            raise _OverLimit(Limit.PARTS)
        if depth > self.limits.depth:
            raise _OverLimit(Limit.DEPTH)
        if depth == 0:
            header = self._header(start, self.limits.header_size, root=True, over=Limit.HEADER_SIZE)
            self._check_header(header.fields)
        else:
            header = self._header(start, self.limits.part_header_size, root=False, over=Limit.PART_HEADER_SIZE)
        media_type, params = self._media_type(header.fields, default_type)
        children: list[Part] = []
        if header.delimiter is not None:
            delimiter: _Delimiter | None = header.delimiter
        elif media_type.startswith("multipart/"):
            children, delimiter = self._children(header, media_type, params, depth)
        else:
            delimiter = self._next_delimiter(header.body)
        end = self.octets.size if delimiter is None else self._before_line_break(delimiter.start, header.body)
        part = Part(
            start=start,
            body=min(header.body, end),
            end=end,
            fields=tuple(header.fields),
            type=media_type,
            params=params,
            children=tuple(children),
        )
        return part, delimiter

    def _children(
        self, header: _Header, media_type: str, params: dict[str, str], depth: int
    ) -> tuple[list[Part], _Delimiter | None]:
        boundary = params.get("boundary", "").rstrip().encode("latin-1", "replace")
        if not boundary:
            self.defects[Defect.NO_BOUNDARY] = None
            boundary = self._guess_boundary(header.body, self.octets.size)
            if not boundary:
                return [], self._next_delimiter(header.body)
        if boundary in self.open:
            self.defects[Defect.BOUNDARY_REUSED] = None  # the outer multipart takes the parts
            return [], self._next_delimiter(header.body)
        default_type = "message/rfc822" if media_type == "multipart/digest" else "text/plain"
        level = len(self.open)
        self.open[boundary] = level
        children: list[Part] = []
        delimiter = self._next_delimiter(header.body)
        if delimiter is None or delimiter.level != level:
            self.defects[Defect.START_BOUNDARY_MISSING] = None
            del self.open[boundary]
            boundary = self._guess_boundary(header.body, self.octets.size if delimiter is None else delimiter.start)
            if not boundary or boundary in self.open:
                return [], delimiter
            self.open[boundary] = level
            delimiter = self._next_delimiter(header.body)
        while delimiter is not None and delimiter.level == level and not delimiter.closes:
            child, after = self.entity(delimiter.next, depth + 1, default_type)
            if after is not None and after.start == delimiter.next:
                self.parts -= 1  # two delimiters in a row: nothing between them
            else:
                children.append(child)
            delimiter = after
        del self.open[boundary]
        if not children:
            self.defects[Defect.START_BOUNDARY_MISSING] = None
        if delimiter is not None and delimiter.level == level:
            return children, self._skip_epilogue(delimiter.next)
        if children:
            self.defects[Defect.END_BOUNDARY_MISSING] = None
        return children, delimiter

    def _guess_boundary(self, start: int, end: int) -> bytes:
        """The boundary that the body plainly uses where the one declared never comes: two hyphens, then a field."""
        self.line_feed = -2  # the search goes back to `start`
        found = _PLAIN_BOUNDARY.search(self._slice(start, min(end, start + _GUESS_CAP)))
        return found.group(1).rstrip(b" \t") if found else b""

    def _skip_epilogue(self, start: int) -> _Delimiter | None:
        delimiter = self._next_delimiter(start)
        end = self.octets.size if delimiter is None else delimiter.start
        if self.octets.read(start, min(end, start + 4096)).strip():
            self.defects[Defect.EPILOGUE_TEXT] = None
        return delimiter

    # -- header sections

    def _header(self, start: int, cap: int, *, root: bool, over: Limit) -> _Header:
        size = 8 * 1024
        while True:
            chunk = self._slice(start, start + size)
            at_end = start + len(chunk) >= self.octets.size
            header = self._read_fields(chunk, start, at_end, self.root_fields if root else [])
            if header is not None:
                return header
            if size >= cap:
                raise _OverLimit(over)
            size = min(size * 8, cap)

    def _read_fields(self, chunk: bytes, start: int, at_end: bool, fields: list[Field]) -> _Header | None:
        """The fields of a header section that ends within `chunk`, or None where it does not."""
        fields.clear()
        raw: list[list[bytes]] = []
        names: list[tuple[str, bool]] = []
        lines = chunk.splitlines(True)
        if not at_end and lines:
            lines.pop()  # may go on
        offset = start
        result: _Header | None = None
        last_known: int | None = None
        for number, line in enumerate(lines):
            first = line[0]
            if first in b"\r\n":
                result = _Header(fields, offset + len(line))
                break
            if first in b" \t":
                if raw:
                    raw[-1].append(line)
                else:
                    self.defects[Defect.CONTINUATION_FIRST] = None
            elif first == 0x2D and self.open and (delimiter := self._match(offset)) is not None:
                result = _Header(fields, offset, delimiter)
                break
            elif found := _FIELD.match(line):
                name, space = found.groups()
                names.append((name.decode("ascii").lower(), bool(space)))
                raw.append([line[found.end() :]])
                if len(raw) > self.limits.header_count:
                    break
            elif raw and b"=" in line and names[-1][0] in _PARAMETRIC and raw[-1][-1].rstrip().endswith(b";"):
                self.defects[Defect.UNINDENTED_LINE] = None
                raw[-1].append(line)
            elif not line.startswith(_MBOX_FROM):
                if last_known is None:
                    last_known = _last_known(lines)
                if number > last_known:
                    self.defects[Defect.NO_HEADER_END] = None
                    result = _Header(fields, offset)
                    break
                # Most readers pass over it. So must we: a second From below it has to be seen.
                self.defects[Defect.JUNK_IN_HEADER] = None
            offset += len(line)
        else:
            if at_end:
                result = _Header(fields, offset)
        fields.extend(Field(name, b"".join(value), space) for (name, space), value in zip(names, raw, strict=True))
        if len(fields) > self.limits.header_count:
            raise _OverLimit(Limit.HEADER_COUNT)
        return result

    def _check_header(self, fields: list[Field]) -> None:
        words = addresses = commas = 0
        for one in fields:
            words += one.value.count(b"=?")
            if one.spaced:
                self.defects[Defect.SPACE_BEFORE_COLON] = None
            if b"\x00" in one.value:
                self.defects[Defect.NUL_IN_HEADER] = None
            if one.value.endswith(b"\r"):
                self.defects[Defect.BARE_CR] = None
            if one.name in _ADDRESS_FIELDS:
                addresses += one.value.count(b"@")
                commas += one.value.count(b",")
        if addresses > self.limits.addresses or commas > 4 * self.limits.addresses:
            raise _OverLimit(Limit.ADDRESSES)
        if words > self.limits.encoded_words:
            raise _OverLimit(Limit.ENCODED_WORDS)

    def _media_type(self, fields: list[Field], default_type: str) -> tuple[str, dict[str, str]]:
        value: bytes | None = None
        encodings = 0
        encoding = b""
        for one in fields:
            if one.name == "content-type":
                if value is not None:
                    self.defects[Defect.REPEATED_CONTENT_TYPE] = None
                else:
                    value = one.unfolded
            elif one.name == "content-transfer-encoding":
                encodings += 1
                encoding = encoding or one.unfolded.lower()
        if encodings > 1:
            self.defects[Defect.REPEATED_TRANSFER_ENCODING] = None
        if value is None:
            return default_type, {}
        head, params, repeated = read_params(value.decode("latin-1"))
        if repeated:
            self.defects[Defect.REPEATED_PARAMETER] = None
        tokens = head.split(None, 1)
        media_type = tokens[0] if tokens else ""
        if media_type.count("/") != 1 or media_type[0] == "/" or media_type[-1] == "/" or not media_type.isascii():
            self.defects[Defect.INVALID_CONTENT_TYPE] = None
            return "text/plain", params
        if media_type.startswith("multipart/") and encoding in (b"base64", b"quoted-printable"):
            self.defects[Defect.ENCODED_MULTIPART] = None
        return media_type, params

    # -- boundary delimiter lines

    def _next_delimiter(self, position: int) -> _Delimiter | None:
        """The first delimiter line of an open multipart at or after `position`, which is the start of a line."""
        if not self.open:
            return None
        line = position if self._slice(position, position + 2) == b"--" else self._next_hyphens(position)
        while line >= 0:
            self.delimiter_lines += 1
            if self.delimiter_lines > self.limits.delimiter_lines:
                raise _OverLimit(Limit.DELIMITER_LINES)
            delimiter = self._match(line)
            if delimiter is not None:
                return delimiter
            line = self._next_hyphens(line + 2)
        return None

    def _match(self, line: int) -> _Delimiter | None:
        """The delimiter that the line at offset `line` is, or None."""
        text = self._slice(line, line + _DELIMITER_CAP)
        end = text.find(b"\n")
        stop = text.find(b"\r", 0, end if end >= 0 else len(text))
        if stop < 0:
            stop = end
        after = len(text) if stop < 0 else stop + (2 if text[stop : stop + 2] == b"\r\n" else 1)
        token = (text[2:] if stop < 0 else text[2:stop]).rstrip(b" \t")
        level = self.open.get(token)
        closes = False
        if level is None and token.endswith(b"--"):
            level = self.open.get(token[:-2])
            closes = True
        return None if level is None else _Delimiter(level, line, line + after, closes)

    def _next_hyphens(self, position: int) -> int:
        """The next start of a line after `position` that begins with two hyphens, or -1."""
        position = max(position - 1, 0)
        while position < self.octets.size:
            self._load(position)
            relative = position - self.block_start
            # Base64 has no hyphen, and one octet is found twenty times as fast as three.
            hyphen = self.block.find(b"-", relative)
            relative = len(self.block) if hyphen < 0 else max(hyphen - 1, relative)
            # What was found is kept, so that a block full of the one line end is not searched again for the other.
            if self.line_feed == -2 or -1 < self.line_feed < relative:
                self.line_feed = self.block.find(b"\n--", relative)
            found = self.line_feed
            lone = self.block.find(b"\r--", relative, found if found >= 0 else len(self.block))
            if lone >= 0:
                found = lone
            if found >= 0:
                return self.block_start + found + 1
            if self.block_start + len(self.block) >= self.octets.size:
                return -1
            position = self.block_start + len(self.block) - 2
        return -1

    def _load(self, position: int) -> None:
        end = self.block_start + len(self.block)
        if self.block_start <= position and self.block and (position + 3 <= end or end >= self.octets.size):
            return
        self.block_start = position
        self.block = self.octets.read(position, position + _BLOCK)
        self.line_feed = -2

    def _slice(self, start: int, stop: int) -> bytes:
        relative = start - self.block_start
        if relative >= 0 and (
            stop <= self.block_start + len(self.block) or self.block_start + len(self.block) >= self.octets.size
        ):
            return self.block[relative : stop - self.block_start]
        return self.octets.read(start, stop)

    def _before_line_break(self, line: int, floor: int) -> int:
        """Where a body ends whose delimiter line begins at `line`: the line break belongs to the delimiter."""
        tail = self._slice(max(line - 2, floor), line)
        if tail.endswith(b"\r\n"):
            return line - 2
        return line - 1 if tail.endswith((b"\n", b"\r")) else line


def _last_known(lines: list[bytes]) -> int:
    """The number of the last line before the first empty one that begins a field every mail has, or -1."""
    last = -1
    for number, line in enumerate(lines):
        if line[0] in b"\r\n":
            break
        if _KNOWN_FIELD.match(line):
            last = number
    return last


_PARAMETRIC = frozenset({"content-type", "content-disposition"})
_KNOWN_FIELD = re.compile(
    rb"(?:from|to|cc|subject|date|sender|reply-to|message-id|in-reply-to|references|mime-version|received|return-path"
    rb"|content-(?:type|transfer-encoding|disposition|id)|dkim-signature|x-mailer)[ \t]{0,9}:",
    re.I,
)
_ADDRESS_FIELDS = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "bcc", "resent-from", "resent-to", "resent-cc", "delivered-to"}
)
