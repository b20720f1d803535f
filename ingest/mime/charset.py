"""Octets to text: charsets by name, by alias, by fallback; encoded words; never a lost letter.

Takes: octets and the charset they claim.  Gives: text.  Fails: never; a wrong claim is mended octet by octet.
Pure.
"""

import binascii
import codecs
import re
from base64 import b64encode
from encodings import normalize_encoding
from encodings.aliases import aliases
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
# The list: the codecs of Python that a stranger's octets may meet, each linear in them. Not in it: what runs something
# over the text (punycode, IDNA, escapes), UTF-7 (threats M11), what another machine would lack. A name that is not in
# it reaches no codec, whatever Python knows by it.
_LIST = """
    ascii big5 big5hkscs cp037 cp1026 cp1125 cp1140 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp273
    cp424 cp437 cp500 cp720 cp737 cp775 cp850 cp852 cp855 cp856 cp857 cp858 cp860 cp861 cp862 cp863 cp864 cp865 cp866
    cp869 cp874 cp875 cp932 cp949 cp950 cp1006 euc_jis_2004 euc_jisx0213 euc_jp euc_kr gb18030 gb2312 gbk hp_roman8 hz
    iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext iso2022_kr iso8859_1 iso8859_10
    iso8859_11 iso8859_13 iso8859_14 iso8859_15 iso8859_16 iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7
    iso8859_8 iso8859_9 johab koi8_r koi8_t koi8_u kz1048 latin_1 mac_croatian mac_cyrillic mac_farsi mac_greek
    mac_iceland mac_latin2 mac_roman mac_romanian mac_turkish ptcp154 shift_jis shift_jis_2004 shift_jisx0213 tis_620
    utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le utf_8 utf_8_sig
"""
_CODECS = frozenset(_LIST.split())


_CHARSET_CAP = 80  # characters of a charset's name
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
    """The Python codec that reads `charset` (any spelling, quotes and RFC 2231 language allowed), or None.

    Everything that decodes a stranger's octets by a name asks here.
    """
    if len(charset) > _CHARSET_CAP:
        return None
    name = charset.strip(" \t\r\n\"'").split("*", 1)[0].lower()
    if not name.isascii() or "\x00" in name:
        return None
    module = normalize_encoding(_ALIASES.get(name, name))
    module = aliases.get(module, module)
    if module not in _CODECS:
        return None
    found = codecs.lookup(module).name
    return _ALIASES.get(found, found)


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
        raw = _word_octets(word.group(2), word.group(3), word.group(1))
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


_WORD_BEGINS = r"=\?(?=[^?]*\?[bBqQ]\?)"
_WORD_OR_BEGINNING = re.compile(f"{_ENCODED_WORD.pattern}|{_WORD_BEGINS}", re.S)
_STRUCTURE = frozenset('<>@,;"\\(')  # another reader of addresses may see an end or a beginning in these
_UTF8_ONCE = 45  # octets in one word: RFC 2047 §2 allows 75 characters


def words_in_utf8(value: str) -> str:
    """An address field whose encoded words are sound ones in UTF-8: no other reader need know (or run) a charset.

    A word whose octets look like structure stays as it is written, so that nobody sees other addresses than before; one
    that is no word for us, or in no charset of ours, is made one for nobody.
    """
    return _WORD_OR_BEGINNING.sub(_sound_word, value) if "=?" in value else value


def _sound_word(found: re.Match[str]) -> str:
    charset, encoding, written = found.groups()
    if charset is None:
        return "= ?"
    if set(written) & _STRUCTURE or found.string[found.end() : found.end() + 1] == "@":
        return found.group() if codec_of(charset) else f"= ?{found.group()[2:]}"
    text = _word_text(_word_octets(encoding, written, charset), charset, "")
    octets, words = text.encode("utf-8", "replace"), []
    while octets:
        end = min(len(octets), _UTF8_ONCE)
        while end < len(octets) and octets[end] & 0xC0 == 0x80:
            end -= 1  # a word holds whole characters (RFC 2047 §5)
        words.append(f"=?utf-8?b?{b64encode(octets[:end]).decode('ascii')}?=")
        octets = octets[end:]
    return " ".join(words)


def _word_text(octets: bytes, charset: str, written: str) -> str:
    """The text of joined words; as it was written where the octets are no text in that charset nor in any other."""
    text, mended = decode(octets, charset)
    if mended and any(one < " " or "\x7f" <= one < "\xa0" for one in text):
        return written
    return text


def _word_octets(encoding: str, text: str, charset: str) -> bytes:
    octets = text.encode("utf-8", "surrogateescape")
    if encoding in "bB":
        return lenient_base64(octets)
    codec = None if text.isascii() else codec_of(charset)
    if codec and codec not in _WIDE:  # raw 8-bit characters between the encoded ones: back into the charset of these
        octets = text.encode(codec, "replace")
    return binascii.a2b_qp(octets.replace(b"\r", b"").replace(b"\n", b""), header=True)


_NOT_BASE64 = bytes(
    octet for octet in range(256) if octet not in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)


def lenient_base64(octets: bytes) -> bytes:
    """Base64 with junk skipped (RFC 2045 §6.8) and the padding that should stand there."""
    clean = octets.translate(None, _NOT_BASE64)
    if len(clean) % 4 == 1:
        clean = clean[:-1]
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
