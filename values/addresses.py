"""One spelling for each domain and address, and the picture of a domain for finding look-alikes.

Pure: rules call it for what a mail says, models for what is registered, so both compare the same thing.
"""

import ipaddress
import re
import unicodedata
from functools import lru_cache

import idna

LOCAL_PART_LIMIT = 64  # octets, RFC 5321 §4.5.3.1.1
DOMAIN_LIMIT = 253  # octets of the A-label form without the root dot, RFC 1035 §2.3.4 less length octets
ADDRESS_LIMIT = 254  # octets, RFC 5321 §4.5.3.1.3 less the angle brackets
_KEPT = 4096  # addresses that are not worked out again: a mail names its few in many places

_LDH_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # RFC 5890 §2.3.1
_DOTS = re.compile("[。．｡․]")  # UTS 46 §4, and one that only looks like a stop
_ATEXT = frozenset("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~.")
_COMPANY = (  # scripts that are written together in one word (UTS 39, highly restrictive)
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)


def canonical_domain(text: str) -> str | None:
    """The domain as lower-case A-labels (RFC 5891), or None where it is no mail domain, or one made to deceive.

    None too where UTS 46 would turn other characters into the letters of an ordinary domain (full-width forms,
    ideographic full stops, zero-width characters), and where one label mixes scripts: nobody types those by accident.
    """
    labels = text.strip(" \t").split(".")
    if len(labels) < 2 or len(text) > DOMAIN_LIMIT:
        return None
    found = [_canonical_label(label) for label in labels]
    if None in found:
        return None
    domain = ".".join(label for label in found if label)
    if found[-1] and found[-1].isdigit():  # an IPv4 address is no domain
        return None
    return domain if len(domain) <= DOMAIN_LIMIT else None


def canonical_address(text: str) -> str | None:
    """The address with its local part lower-cased and needless quotes taken off and its domain canonical, or None.

    A tag after `+` stays: `su+x@` and `su@` are two addresses. Dots count. RFC 5321 lets local parts differ in case;
    no customer's server does, and two people in one mailbox name would be a trap for agents.
    """
    text = text.strip(" \t")
    return _canonical_address(text) if len(text) <= LOCAL_PART_LIMIT + len('""@') + DOMAIN_LIMIT else None


@lru_cache(_KEPT)
def _canonical_address(text: str) -> str | None:
    local, at, domain_text = text.rpartition("@")
    domain = canonical_domain(domain_text) if at else None
    local_part = _canonical_local_part(local)
    if domain is None or local_part is None:
        return None
    address = f"{local_part}@{domain}"
    return address if len(address.encode()) <= ADDRESS_LIMIT else None


def is_loopback(host: str) -> bool:
    """Is the host this very machine, by name or address?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def network(address: str) -> str:
    """What counts as one address: an IPv6 host owns a /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.IPv6Address(int(parsed) >> 64 << 64))
    return address


def parent_domains(domain: str, limit: int = 6) -> tuple[str, ...]:
    """The canonical domain and its parents with two labels or more, longest first; at most `limit` of them.

    The limit drops the longest, never the short ones: those are the registered kind.
    """
    labels = domain.split(".")
    parents = [".".join(labels[start:]) for start in range(len(labels) - 1)]
    return tuple(parents if len(parents) <= limit else [parents[0], *parents[1 - limit :]])


def skeleton(domain: str) -> str:
    """What the domain looks like: equal for domains that a hurried reader takes for each other (after UTS 39).

    Total: any text has one, valid or not. Small own table: Latin, Cyrillic, Greek, digits and a few letter pairs.
    """
    dotted = _DOTS.sub(".", domain.strip().lower()).rstrip(".")
    shown = ".".join(_shown_label(label) for label in dotted.split("."))
    flat = unicodedata.normalize("NFKD", shown).lower()
    kept = (char for char in flat if unicodedata.category(char) not in ("Mn", "Me", "Cf", "Cc"))
    letters = "".join(_LOOKS_LIKE.get(char, char) for char in kept)
    for pair, single in (("rn", "m"), ("vv", "w")):
        letters = letters.replace(pair, single)
    return letters


def _canonical_label(label: str) -> str | None:
    folded = unicodedata.normalize("NFC", label.lower())
    if label.isascii() and not folded.startswith("xn--"):
        return folded if _LDH_LABEL.fullmatch(folded) else None
    try:
        a_label = idna.encode(label, uts46=True).decode("ascii")
        u_label = idna.decode(a_label)
    except (idna.IDNAError, UnicodeError):
        return None
    if not a_label.startswith("xn--"):  # other characters became plain letters
        return None
    if not label.isascii() and u_label != folded:  # something was folded or dropped
        return None
    return a_label if _is_one_script(u_label) else None


def _is_one_script(label: str) -> bool:
    letters = (char for char in label if unicodedata.category(char).startswith("L"))
    scripts = {unicodedata.name(char, "?").split()[0] for char in letters}
    return len(scripts) < 2 or any(scripts <= company for company in _COMPANY)


def _canonical_local_part(text: str) -> str | None:
    if any(not char.isascii() and unicodedata.normalize("NFC", char).lower().isascii() for char in text):
        return None  # the Kelvin sign would become an ordinary k
    local = unicodedata.normalize("NFC", text).lower()
    if len(local) >= 2 and local[0] == local[-1] == '"':
        inner = local[1:-1]
        if _is_dot_atom(inner):
            local = inner
        elif not inner or not inner.replace("\\", "").replace('"', "").isprintable():
            return None
    elif not _is_dot_atom(local):
        return None
    return local if 0 < len(local.encode()) <= LOCAL_PART_LIMIT else None


def _is_dot_atom(local: str) -> bool:
    """RFC 5322 §3.2.3, with the letters of RFC 6532 §3.2."""
    if not local or local[0] == "." or local[-1] == "." or ".." in local:
        return False
    return all(char in _ATEXT if char.isascii() else unicodedata.category(char)[0] in "LNM" for char in local)


def _shown_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")  # what would be shown, valid or not
    except (UnicodeError, ValueError):
        return label


_LOOKS_LIKE = {
    shape: letter
    for letter, shapes in {
        # 1, l, i and the upper-case I are one stroke; 0 and o one ring
        "a": "αаɑａ",
        "b": "ьƅЬв",
        "c": "сϲᴄⅽ",
        "d": "ԁɗⅾ",
        "e": "еєҽ℮ɛεэ",
        "f": "ƒғ",
        "g": "ɡգց",
        "h": "һհнη",
        "j": "јϳʝ",
        "k": "кκќ",
        "l": "1iıіӏӀ|ⅼɩι",
        "m": "мⅿ",
        "n": "пոռ",
        "o": "0оοօσø๐",
        "p": "рρ",
        "q": "ԛ",
        "r": "гɼᴦ",
        "s": "ѕꜱ",
        "t": "тτţ",
        "u": "υսц",
        "v": "νѵⅴ",
        "w": "ѡԝωա",
        "x": "хχⅹ×",
        "y": "уүγʏ",
        "z": "ᴢʐ",
    }.items()
    for shape in shapes
}


FILE_NAME_KEPT = 120  # characters
UNSAFE_IN_NAMES = re.compile(r'[\\/:*?"<>|]')


def clean_file_name(name: str) -> str:
    """A file's name for a person and for a disk: no path, no control or direction mark, not hidden, not endless."""
    last = re.split(r"[\\/]", name)[-1]
    shown = "".join(char if unicodedata.category(char)[0] != "C" else " " for char in last[:1000])
    plain = " ".join(UNSAFE_IN_NAMES.sub("_", shown).split()).strip(". ")
    stem, dot, ending = plain.rpartition(".")
    if len(plain) > FILE_NAME_KEPT and dot and len(ending) <= 10:
        return f"{stem[: FILE_NAME_KEPT - len(ending) - 1]}.{ending}"
    return plain[:FILE_NAME_KEPT] or "file"
