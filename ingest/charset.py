"""Octets to text: charsets by name, by alias, by fallback; encoded words; never a lost letter.

Takes: octets and the charset they claim.  Gives: text.  Fails: never; a wrong claim is mended octet by octet.
Pure.
"""

import binascii
import codecs
import re
from functools import lru_cache

# What mail says → what Python calls it. Left out: names that Python knows by itself. WHATWG Encoding §4.2 decides
# where a name is used for a larger set than it means (gb2312 → gb18030, iso-8859-1 → cp1252).
_ALIASES = {
    "ansi": "cp1252",
    "ansi_x3.4-1968": "utf-8",
    "ascii": "utf-8",
    "big5": "big5hkscs",
    "cn-big5": "big5hkscs",
    "cp-850": "cp850",
    "dos-874": "cp874",
    "euc-kr": "cp949",
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "gbk": "gb18030",
    "iso-8859-1": "cp1252",
    "iso-8859-6-e": "iso-8859-6",
    "iso-8859-6-i": "iso-8859-6",
    "iso-8859-8-e": "iso-8859-8",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "iso8859-1": "cp1252",
    "iso8859_1": "cp1252",
    "iso_8859-1": "cp1252",
    "ks_c_5601": "cp949",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601-1989": "cp949",
    "ksc5601": "cp949",
    "ksc_5601": "cp949",
    "l1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "macintosh": "mac_roman",
    "shift-jis": "cp932",
    "shift_jis": "cp932",
    "sjis": "cp932",
    "tis-620": "cp874",
    "unicode": "utf-16",
    "unicode-1-1-utf-7": "utf-7",
    "unicode-1-1-utf-8": "utf-8",
    "us-ascii": "utf-8",  # what is called US-ASCII and is not, is mostly UTF-8
    "utf8": "utf-8",
    "utf-8-bom": "utf-8-sig",
    "win-1251": "cp1251",
    "windows-31j": "cp932",
    "windows-874": "cp874",
    "windows-949": "cp949",
    "x-cp1250": "cp1250",
    "x-cp1251": "cp1251",
    "x-cp1252": "cp1252",
    "x-euc-jp": "euc_jp",
    "x-gbk": "gb18030",
    "x-mac-cyrillic": "mac_cyrillic",
    "x-mac-roman": "mac_roman",
    "x-ms-cp932": "cp932",
    "x-sjis": "cp932",
    "x-windows-949": "cp949",
    "x-x-big5": "big5hkscs",
}
# Codecs that are not charsets of text, or that run something over the text.
_NO_CHARSETS = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "mbcs", "oem"}

_WIDE = {"utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"}
_META_CHARSET = re.compile(
    rb"<(?:meta|\?xml)[^>]{0,300}?(?:charset|encoding)\s{0,9}=\s{0,9}[\"']?([A-Za-z0-9_:.\-]{1,40})", re.I
)
_ISO_2022_JP = re.compile(rb"\x1b(?:\$[@B]|\(J)")

# RFC 2047 §2, read leniently: blanks inside, no blank between words, longer than 75.
_ENCODED_WORD = re.compile(r"=\?([^?\s=]{1,60})\?([bBqQ])\?(.{0,2000}?)\?=", re.S)


def _as_cp1252(fault: UnicodeError) -> tuple[str, int]:
    """A codecs error handler: reads the octets that do not belong as Windows-1252, which never fails here."""
    if not isinstance(fault, UnicodeDecodeError):
        raise fault
    octets = fault.object[fault.start : fault.end]
    return "".join(_CP1252[octet] for octet in octets), fault.end


_MENDED_ONE_BY_ONE = 2000  # octets outside the charset; with more of them the text is Windows-1252 throughout
_CP1252 = [bytes((octet,)).decode("cp1252", "ignore") or chr(octet) for octet in range(256)]
_C1_AS_CP1252 = {octet: _CP1252[octet] for octet in range(0x80, 0xA0)}
codecs.register_error("as-cp1252", _as_cp1252)


@lru_cache(maxsize=256)
def codec_of(charset: str) -> str | None:
    """The Python codec that reads `charset` (any spelling, quotes and RFC 2231 language allowed), or None."""
    name = charset.strip(" \t\r\n\"'").split("*", 1)[0].lower()
    if not name.isascii() or "\x00" in name:
        return None
    name = _ALIASES.get(name, name)
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    if not getattr(found, "_is_text_encoding", True) or found.name.replace("-", "_") in _NO_CHARSETS:
        return None
    return _ALIASES.get(found.name, found.name)


def decode(octets: bytes, charset: str | None = None) -> tuple[str, bool]:
    """The text of `octets`, and whether `charset` did not fit and the text is a best reading.

    Order: the charset claimed, UTF-8, Windows-1252; octets outside the charset become their Windows-1252 characters.
    """
    codec = codec_of(charset) if charset else None
    mended = bool(charset) and codec is None
    if (codec is None or codec == "utf-8") and octets.isascii():
        if b"\x1b" in octets and _ISO_2022_JP.search(octets):
            codec = "iso2022_jp_ext"
        else:
            return octets.decode("ascii"), mended
    if codec in _WIDE:
        codec = _wide_codec(octets, codec)
    if codec == "iso2022_jp":
        codec = "iso2022_jp_ext"
    try:
        return _scalars(octets.decode(codec or "utf-8")), mended
    except (UnicodeError, ValueError, LookupError):
        pass
    if codec in _WIDE:
        return _scalars(octets.decode(codec, "replace")), True
    if len(octets) > _MENDED_ONE_BY_ONE and _misfits(octets, codec or "utf-8") > _MENDED_ONE_BY_ONE:
        return octets.decode("latin-1").translate(_C1_AS_CP1252), True
    try:
        return _scalars(octets.decode(codec or "utf-8", "as-cp1252")), True
    except (UnicodeError, ValueError, LookupError):
        return _scalars(octets.decode("utf-8", "as-cp1252")), True


def _misfits(octets: bytes, codec: str) -> int:
    try:
        return octets.decode(codec, "replace").count("\ufffd")
    except (UnicodeError, ValueError, LookupError):
        return 0


def _wide_codec(octets: bytes, codec: str) -> str:
    """UTF-16 or UTF-32 as it is really written: by its mark, by where the zeros stand, or not at all."""
    if octets[:2] in (b"\xff\xfe", b"\xfe\xff") or codec.startswith("utf-32") or codec != "utf-16":
        return codec if b"\x00" in octets[:400] else "utf-8"
    head = octets[:400]
    if b"\x00" not in head:
        return "utf-8"
    return "utf-16-le" if head[1::2].count(0) >= head[0::2].count(0) else "utf-16-be"


def _scalars(text: str) -> str:
    """Without lone surrogates, which some codecs make and no UTF-8 can carry."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text


def html_charset(octets: bytes) -> str | None:
    """The charset that an HTML document names itself in its first 4 KiB (WHATWG HTML §13.2.3.2), or None."""
    found = _META_CHARSET.search(octets[:4096])
    return found.group(1).decode("ascii") if found else None


def decode_words(value: str) -> str:
    """`value` with its encoded words read (RFC 2047 §6.2), adjacent ones joined before their octets are decoded."""
    if "=?" not in value:
        return value
    out: list[str] = []
    octets, charset, start, end = b"", "", 0, 0
    for word in _ENCODED_WORD.finditer(value):
        between = value[end : word.start()]
        adjacent = bool(charset) and not between.strip(" \t\r\n")
        raw = _word_octets(word.group(2), word.group(3))
        here = word.group(1).split("*", 1)[0].lower()
        if adjacent and here == charset:
            octets += raw  # a character may be split between two words
        else:
            if charset:
                out.append(_word_text(octets, charset, value[start:end]))
            if not adjacent:
                out.append(between)
            octets, charset, start = raw, here, word.start()
        end = word.end()
    if charset:
        out.append(_word_text(octets, charset, value[start:end]))
    out.append(value[end:])
    return "".join(out)


def _word_text(octets: bytes, charset: str, written: str) -> str:
    """The text of joined words; as it was written where the octets are no text in that charset nor in any other."""
    text, mended = decode(octets, charset)
    if mended and any(one < " " or "\x7f" <= one < "\xa0" for one in text):
        return written
    return text


def _word_octets(encoding: str, text: str) -> bytes:
    octets = text.encode("utf-8", "surrogateescape")
    if encoding in "qQ":
        return binascii.a2b_qp(octets.replace(b"\r", b"").replace(b"\n", b""), header=True)
    return lenient_base64(octets)


_NOT_BASE64 = bytes(
    octet for octet in range(256) if octet not in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)


def lenient_base64(octets: bytes) -> bytes:
    """Base64 with junk skipped (RFC 2045 §6.8) and the padding that should stand there."""
    clean = octets.translate(None, _NOT_BASE64)
    if len(clean) % 4 == 1:
        clean = clean[:-1]
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
