"""One leaf of a mail: its octets without their transfer encoding, block by block; its name; what is packed inside.

Takes: `Octets` and a `Part`.  Gives: decoded blocks, display names, the files inside uuencode and TNEF.
Fails: never on content.
"""

import binascii
import logging
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pybase64
from tnefparse.tnef import TNEF

from ingest.mime.charset import decode, lenient_base64
from ingest.mime.params import read_params, text_param
from ingest.mime.scan import Octets, Part

logging.getLogger("tnefparse").setLevel(logging.CRITICAL)  # it logs what senders wrote

_BLOCK = 256 * 1024
_SHORT_PIECE = 32  # characters of Base64 between two paddings, on average: any encoder writes longer ones
_SHORT_LINE = 20  # octets of a uuencoded line on average: encoders write 61
_FEW = 1000  # so many may be shorter
_NAME_CAP = 255  # octets in UTF-8
_TNEF_CAP = 16 * 1024 * 1024
_TNEF_OBJECTS = 2000
_TNEF_MESSAGE = b"\x07\x03\x02\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00F"  # begins a message inside a TNEF

_BASE64_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_PADDING = re.compile(rb"={2,}")
_WHITE = b" \t\r\n"
_NOT_BASE64 = bytes(octet for octet in range(256) if octet not in _BASE64_ALPHABET)
_KNOWN_ENCODINGS = {
    "": "identity",
    "7bit": "identity",
    "8bit": "identity",
    "binary": "identity",
    "7-bit": "identity",
    "8-bit": "identity",
    "base64": "base64",
    "base-64": "base64",
    "quoted-printable": "quoted-printable",
    "quotedprintable": "quoted-printable",
    "quoted": "quoted-printable",
    "x-uuencode": "uuencode",
    "uuencode": "uuencode",
    "x-uue": "uuencode",
    "uue": "uuencode",
}


def transfer_encoding(part: Part) -> str | None:
    """identity, base64, quoted-printable or uuencode; None for a word nobody knows (then the octets stay as sent)."""
    word = part.value("content-transfer-encoding").decode("latin-1").strip().lower()
    word = re.split(r"[\s;,(]", word, maxsplit=1)[0].strip("\"'<>.:=")
    return _KNOWN_ENCODINGS.get(word)


def blocks(octets: Octets, part: Part, stop: int | None = None) -> Iterator[bytes]:
    """The decoded body of a leaf, up to the (encoded) offset `stop`."""
    end = part.end if stop is None else min(stop, part.end)
    raw = _raw_blocks(octets, part.body, end)
    match transfer_encoding(part):
        case "base64":
            return _base64(raw)
        case "quoted-printable":
            return _quoted_printable(raw)
        case "uuencode":
            return _uudecoded(raw, _FEW + (end - part.body) // _SHORT_LINE)
        case _:
            return raw


def _raw_blocks(octets: Octets, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        block = octets.read(start, min(start + _BLOCK, end))
        if not block:
            return
        yield block
        start += len(block)


def _base64(raw: Iterable[bytes]) -> Iterator[bytes]:
    """RFC 2045 §6.8: junk is skipped. A piece that ends in padding may be followed by another."""
    left = b""
    for block in raw:
        clean = left + block.translate(None, _NOT_BASE64)
        if b"=" in clean and clean.count(b"=") > _FEW:
            clean = _PADDING.sub(b"=", clean)
            if clean.count(b"=") > _FEW + len(clean) // _SHORT_PIECE:
                clean = clean.replace(b"=", b"")
        if b"=" in clean:
            *whole, left = clean.split(b"=")
            for piece in whole:
                if piece:
                    yield lenient_base64(piece)
            continue
        cut = len(clean) - len(clean) % 4
        left = clean[cut:]
        yield pybase64.b64decode(clean[:cut], validate=True)  # clean already; without, it would clean again
    if left:
        yield lenient_base64(left)


def _quoted_printable(raw: Iterable[bytes]) -> Iterator[bytes]:
    return (binascii.a2b_qp(block) for block in _whole_lines(raw))


def _uudecoded(raw: Iterable[bytes], left: int) -> Iterator[bytes]:
    for block in _whole_lines(raw):
        lines = [line for line in block.splitlines() if line][:left]
        left -= len(lines)
        yield uudecode(lines)
        if not left:
            return  # more lines than any encoder makes of so many octets


def _whole_lines(raw: Iterable[bytes]) -> Iterator[bytes]:
    """The same octets in blocks that end with a line; within an endless line before the last "=" or anywhere."""
    left = b""
    for block in raw:
        whole = left + block
        cut = whole.rfind(b"\n") + 1
        if cut == 0:
            equals = whole.rfind(b"=", max(len(whole) - 3, 0))
            cut = equals if equals >= 0 else len(whole)
        left = whole[cut:]
        yield whole[:cut]
    if left:
        yield left


# -- names


def raw_name(part: Part, charset: str | None = None) -> str | None:
    """The file name that the part carries, decoded but not cleaned; Content-Disposition before Content-Type."""
    value = part.value("content-disposition")
    if value:
        _, params, _ = read_params(value.decode("latin-1"))
        name = text_param(params, "filename", charset)
        if name and name.strip():
            return name
    name = text_param(part.params, "name", charset)
    return name if name and name.strip() else None


def clean_name(name: str) -> str:
    """A name to show: the last path component (RFC 2183 §2.3), without controls and marks that hide or turn text.

    Gives "" where nothing is left. Threats M10, T40.
    """
    name = name.replace("\\", "/").rstrip("/ ").rpartition("/")[2]
    name = "".join(
        " " if one in "\t\r\n" else one
        for one in unicodedata.normalize("NFC", name)
        if one in "\t\r\n" or unicodedata.category(one) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    )
    name = " ".join(name.split()).strip(" .") if name.strip(" .") else ""
    return _shorten(name)


def _shorten(name: str) -> str:
    if len(name.encode("utf-8")) <= _NAME_CAP:
        return name
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension) > 20:
        stem, extension = name, ""
    tail = f"{dot}{extension}" if extension else ""
    room = _NAME_CAP - len(tail.encode("utf-8"))
    return stem.encode("utf-8")[:room].decode("utf-8", "ignore") + tail


_EXTENSIONS = {
    "application/msword": "doc",
    "application/ms-tnef": "dat",
    "application/octet-stream": "bin",
    "application/pdf": "pdf",
    "application/pgp-encrypted": "asc",
    "application/pgp-keys": "asc",
    "application/pgp-signature": "asc",
    "application/pkcs7-mime": "p7m",
    "application/pkcs7-signature": "p7s",
    "application/x-pkcs7-mime": "p7m",
    "application/x-pkcs7-signature": "p7s",
    "application/zip": "zip",
    "image/jpeg": "jpg",
    "image/svg+xml": "svg",
    "message/delivery-status": "txt",
    "message/disposition-notification": "txt",
    "message/feedback-report": "txt",
    "message/global": "eml",
    "message/news": "eml",
    "message/partial": "eml",
    "message/rfc822": "eml",
    "text/calendar": "ics",
    "text/plain": "txt",
    "text/rfc822-headers": "txt",
    "text/vcard": "vcf",
    "text/x-vcard": "vcf",
}


def made_up_name(media_type: str, number: int) -> str:
    """A name for the unnamed part number `number`: message-2.eml, image-3.png."""
    main, _, subtype = media_type.partition("/")
    word = main if main in ("message", "image", "audio", "video", "text") else "attachment"
    plain = subtype if subtype.isalnum() and len(subtype) <= 5 else "bin"
    return f"{word}-{number}.{_EXTENSIONS.get(media_type, plain)}"


# -- files inside


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file found inside a part."""

    name: str
    content: bytes
    content_id: str | None = None


_UU_BEGIN = re.compile(rb"^begin(?:-base64)? [0-7]{3,4} ([^\r\n]{1,255})\r?$", re.M)


def take_uuencoded(content: bytes) -> tuple[bytes, list[PackedFile]]:
    """`content` of a text part without its uuencoded files, and these (up to 100)."""
    files: list[PackedFile] = []
    kept: list[bytes] = []
    position, end = 0, 0
    for begin in _UU_BEGIN.finditer(content):
        if begin.start() < position:
            continue
        if len(files) >= 100:
            break
        # Cheap questions first: a text may be nothing but such lines (threats T44).
        is_base64 = b"-base64" in begin.group()[:14]
        if not is_base64 and not _is_uu_line(_line_at(content, begin.end() + 1)):
            continue
        if end < begin.end():
            end = content.find(b"\nend", begin.end())
        if end < 0:
            break  # no further file can end either
        lines = content[begin.end() + 1 : end + 1].splitlines()
        if not lines:
            continue
        decoded = lenient_base64(b"".join(lines)) if is_base64 else uudecode(lines)
        files.append(PackedFile(decode(begin.group(1).strip())[0], decoded))
        kept.append(content[position : begin.start()])
        newline = content.find(b"\n", end + 1)
        position = newline + 1 if newline >= 0 else len(content)
    kept.append(content[position:])
    return b"".join(kept), files


def _line_at(content: bytes, start: int) -> bytes:
    """The first octets of the line that begins at `start`: as many as a uuencoded one has, and one more."""
    return content[start : start + 93].partition(b"\n")[0].rstrip(b"\r")


def _is_uu_line(line: bytes) -> bool:
    if not line:
        return False
    count = (line[0] - 32) & 63
    return 32 <= line[0] <= 96 and len(line.rstrip()) - 1 >= (count * 8 + 5) // 6 - 3 and len(line) <= 90


def uudecode(lines: Iterable[bytes]) -> bytes:
    """The octets of uuencoded lines; begin, end and lines that are none are passed over."""
    out: list[bytes] = []
    for line in lines:
        if line.startswith(b"begin ") or line.strip() == b"end":
            continue
        try:
            out.append(binascii.a2b_uu(line))
        except (binascii.Error, ValueError):
            # Encoders that pad to a longer line than they say: cut to what the count names.
            length = (((line[0] - 32) & 63) * 4 + 5) // 3 if line else 0
            try:
                out.append(binascii.a2b_uu(line[:length]))
            except (binascii.Error, ValueError):
                continue
    return b"".join(out)


def is_tnef(part: Part, name: str | None) -> bool:
    """Whether the part is Outlook's TNEF wrapper."""
    return part.type in ("application/ms-tnef", "application/vnd.ms-tnef") or (
        (name or "").lower() == "winmail.dat" and part.type == "application/octet-stream"
    )


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a TNEF wrapper held."""

    files: list[PackedFile]
    text: str
    html: str


def unpack_tnef(content: bytes) -> Unpacked | None:
    """The files and the body of a TNEF wrapper, or None where it cannot be read (within our limits)."""
    if not _is_small_tnef(content):
        return None
    try:
        tnef = TNEF(content, do_checksum=False)  # type: ignore[no-untyped-call]
        files = [_packed(one.long_filename(), one.data) for one in tnef.attachments if one.data]
        return Unpacked(files, _as_text(tnef.body), _as_text(tnef.htmlbody))
    except Exception:  # the library raises what its struct, assert and decode calls raise
        return None


def _packed(name: object, content: object) -> PackedFile:
    return PackedFile(
        _as_text(name).strip("\x00 "), content if isinstance(content, bytes) else _as_text(content).encode()
    )


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return decode(value)[0].rstrip("\x00")
    return value.rstrip("\x00") if isinstance(value, str) else ""


def _is_small_tnef(content: bytes) -> bool:
    """The library copies the rest of the data for each object, so the number of objects is bounded before."""
    if len(content) > _TNEF_CAP or not content.startswith(b"\x78\x9f\x3e\x22") or content.count(_TNEF_MESSAGE) > 20:
        return False
    offset, objects = 6, 0
    while offset + 11 < len(content):
        objects += 1
        if objects > _TNEF_OBJECTS or objects * len(content) > 1_000_000_000:
            return False
        offset += int.from_bytes(content[offset + 5 : offset + 9], "little") + 11
    return True
