"""MIME parameters: `text/plain; charset="x"; name*0*=…` (RFC 2045 §5.1, RFC 2231, RFC 2183).

Takes: a field value, one character an octet (Latin-1), so that nothing is lost.  Gives: the value and its parameters.
Fails: never.  Pure and linear.
"""

import re
from itertools import islice
from urllib.parse import unquote_to_bytes

from ingest.mime.charset import decode, decode_words

_VALUE_CAP = 8 * 1024  # characters
_PARAMS_CAP = 100  # of one value: a name of 255 octets in sections of ten characters, all of them escaped, has 80
_PARAM = re.compile(r';\s*([^\s=;"]{1,80})\s*=\s*("(?:[^"\\]|\\.)*"?|[^;]*)', re.S)
_NO_SEMICOLON = re.compile(r"^(\s*[^\s;=\"]+/[^\s;=\"]+)(?=\s+[\w*\-]+\s*=)")  # `multipart/mixed boundary=x`
_SECTION = re.compile(r"([^*]+)(?:\*(\d{1,4}))?(\*)?")


def read_params(value: str) -> tuple[str, dict[str, str], bool]:
    """The value before the first semicolon (lower-case), its parameters as sent, and whether one of them stood twice.

    The first of two equal names counts. Continuations (`name*0`) stay apart here; `text_param` joins them.
    """
    value = _NO_SEMICOLON.sub(r"\1;", value[:_VALUE_CAP], count=1)
    head, _, _ = value.partition(";")
    params: dict[str, str] = {}
    repeated = False
    for found in islice(_PARAM.finditer(value, len(head)), _PARAMS_CAP):
        name = found.group(1).lower()
        if name in params:
            repeated = True
        else:
            params[name] = _unquote(found.group(2))
    return head.strip().lower(), params, repeated


def _unquote(value: str) -> str:
    value = value.strip()
    if not value.startswith('"'):
        return value
    inner = value[1:-1] if value.endswith('"') and len(value) > 1 else value[1:]
    # Only these two: a backslash before anything else is a Windows path that nobody quoted.
    if "\\" not in inner:
        return inner
    return "\\".join(piece.replace('\\"', '"') for piece in inner.split("\\\\"))


def text_param(params: dict[str, str], name: str, charset: str | None = None) -> str | None:
    """The parameter `name` as text: its sections joined and decoded (RFC 2231 §3, §4), else the plain value.

    `charset`: what to try for octets that carry no charset of their own. Encoded words, which do not belong there, are
    read too.
    """
    sections: dict[int, tuple[str, bool]] = {}
    for key, value in params.items():
        if not key.startswith(name + "*"):
            continue
        found = _SECTION.fullmatch(key)
        if found and found.group(1) == name:
            sections.setdefault(int(found.group(2) or 0), (value, bool(found.group(3))))
    joined = _join(sections, charset) if 0 in sections else None
    if joined:
        return joined
    plain = params.get(name)
    return None if plain is None else _octets_text(plain, charset)


def _join(sections: dict[int, tuple[str, bool]], charset: str | None) -> str:
    octets = b""
    declared: str | None = None
    encoded = False
    for number in range(len(sections)):
        if number not in sections:
            break  # RFC 2231 §3: a gap ends the value
        value, extended = sections[number]
        if number == 0 and extended and value.count("'") >= 2:
            declared, _, value = value.split("'", 2)
        octets += unquote_to_bytes(value.encode("latin-1")) if extended else value.encode("latin-1")
        encoded = encoded or extended
    text, _ = decode(octets, declared or charset)
    return text if encoded else decode_words(text)


def _octets_text(value: str, charset: str | None) -> str:
    octets = value.encode("latin-1", "replace")
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        text = decode(octets, charset)[0]
    return decode_words(text)
