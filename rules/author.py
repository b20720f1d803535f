"""Who does the From field name? Exactly one mailbox in strict grammar, or ambiguous (RFC 5322 §3.6.2, threats T03-T06).

Pure. What a mail server authenticated and what we read must be the same address, so a field that two readers could
understand in two ways names nobody; nor does a group (RFC 6854). Harmless oddities are accepted where only one address
can be seen by anybody.
"""

import re
from collections.abc import Sequence

from values.addresses import canonical_domain
from values.mail import Mailbox
from values.vocabulary import AuthorVerdict

_FIELD_CAP = 4096  # characters of a From field; longer ones are ambiguous
_ADDRESS_CAP = 320  # octets: 64 + @ + 255 (RFC 5321 §4.5.3.1)
_CLAIMS_CAP = 20

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]"
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_ASCII_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?")
_LITERAL = re.compile(r"\[(?:[0-9.]{7,15}|IPv6:[0-9A-Fa-f:.]{2,45})\]")
_LOOKS_LIKE = re.compile(r"[^\s<>()\[\],;:\"\\@]{1,64}@[^\s<>()\[\],;:\"\\@]{1,255}")

_Reading = tuple[AuthorVerdict, Mailbox | None, tuple[str, ...]]


def read_author(fields: Sequence[str], second_reading: Sequence[str] | None = None) -> _Reading:
    """The one author of a mail.

    `fields`: the value of every From field, unfolded, 8-bit octets decoded, encoded words as they came.
    `second_reading`: the addresses another parser saw in the first From field; None = there is no other parser.
    Gives the verdict, the author (only with ONE) and the addresses a lenient reader might see.
    """
    claims = _claims(fields, second_reading or ())
    if not fields or not any(one.strip(" \t\r\n<>") for one in fields):
        return AuthorVerdict.MISSING, None, claims
    author = _only_mailbox(fields[0]) if len(fields) == 1 else None
    if author is None:
        return AuthorVerdict.AMBIGUOUS, None, claims
    if second_reading is not None:
        others = {plain_address(one) for one in second_reading if "@" in one}
        if others != {author.address}:
            return AuthorVerdict.AMBIGUOUS, None, claims
    return AuthorVerdict.ONE, author, claims


def plain_address(address: str) -> str | None:
    """An addr-spec in one spelling: domain as lower-case A-labels, needless quotes off the local part.

    None where the address is not an addr-spec of RFC 5322 §3.4.1 (no comments, no obsolete forms), or where another
    reader could see another address in it. The case of the local part is kept (RFC 5321 §2.4).
    """
    if len(address.encode("utf-8", "replace")) > _ADDRESS_CAP or _has_hidden(address):
        return None
    local, at, domain = address.rpartition("@")
    if not at:
        return None
    if len(local) > 2 and local[0] == local[-1] == '"':
        bare = local[1:-1]
        if _DOT_ATOM.fullmatch(bare):
            local = bare
        elif set(bare) & set('"\\@<>(),:;[]'):
            return None
    elif not _DOT_ATOM.fullmatch(local):
        return None
    known = _plain_domain(domain)
    return f"{local}@{known}" if known else None


def _plain_domain(domain: str) -> str | None:
    """values/addresses.py decides on everything but plain letters, where single labels and underscores are let through:
    they are nobody's registered domain, but they name an author all the same.
    """
    lower = domain.lower()
    if _LITERAL.fullmatch(domain):
        return domain
    if lower.isascii() and "xn--" not in lower:
        return lower if all(_ASCII_LABEL.fullmatch(label) for label in lower.split(".")) else None
    return canonical_domain(domain)


def _has_hidden(text: str) -> bool:
    """Whether a character stands in it that cannot be seen, or that turns the direction of writing."""
    return not text.isprintable()  # categories C* and Z*, but for the plain space


def _only_mailbox(value: str) -> Mailbox | None:
    """The mailbox of a From field that can be read in one way only, else None."""
    if len(value) > _FIELD_CAP or any(ord(one) < 32 and one not in "\t" for one in value) or "\x7f" in value:
        return None
    cut = _cut(value)
    if cut is None:
        return None
    outside, quoted, comments, angles = cut
    if len(angles) > 1:
        return None
    if angles:
        # RFC 5322 §4.4 allows blanks and comments around the @.
        address = plain_address(re.sub(r"[ \t]*@[ \t]*", "@", angles[0].strip(" \t")))
        before, _, after = outside.partition("<>")
        if after.strip(" \t,;") or ";" in before or ":" in before:
            return None
        name = before
    else:
        spec, _, rest = outside.strip(" \t").rstrip(",; \t").partition(" ")
        if rest:
            return None
        address = plain_address(_restore(spec, quoted))
        name = " ".join(comments)
    if address is None:
        return None
    # Another address outside quotes is one that a simpler reader may take for the author.
    for seen in (*_LOOKS_LIKE.findall(name), *(hit for one in comments for hit in _LOOKS_LIKE.findall(one))):
        if plain_address(seen) != address and plain_address(seen.strip(".'")) != address:
            return None
    if "@" in _LOOKS_LIKE.sub("", name):
        return None
    return Mailbox(address=address, name=_restore(name, quoted).strip(" \t"))


_QUOTE = "\ue000"  # stands for a quoted string while the rest is looked at


def _cut(value: str) -> tuple[str, list[str], list[str], list[str]] | None:
    """The field without its quoted strings, comments and angle-addrs, and these three; None where one is not closed.

    Each quoted string leaves a mark, each angle-addr `<>`, each comment a blank.
    """
    if _QUOTE in value:
        return None
    outside: list[str] = []
    quoted: list[str] = []
    comments: list[str] = []
    angles: list[str] = []
    angle: list[str] | None = None
    position = 0
    while position < len(value):
        one = value[position]
        target = outside if angle is None else angle
        if one == '"':
            end = _end_of_quote(value, position)
            if end is None:
                return None
            if angle is None:
                quoted.append(value[position + 1 : end])
                outside.append(_QUOTE)
            else:
                angle.append(value[position : end + 1])
            position = end
        elif one == "(":
            end = _end_of_comment(value, position)
            if end is None:
                return None
            comment = value[position + 1 : end]
            if angle is not None and set(comment) & set('@<>"'):
                return None
            comments.append(comment)
            target.append(" ")
            position = end
        elif one == "<":
            if angle is not None:
                return None
            angle = []
        elif one == ">":
            if angle is None:
                return None
            angles.append("".join(angle))
            outside.append("<>")
            angle = None
        elif one in ")\\":
            return None
        else:
            target.append(one)
        position += 1
    return None if angle is not None else ("".join(outside), quoted, comments, angles)


def _end_of_quote(value: str, start: int) -> int | None:
    position = start + 1
    while position < len(value):
        if value[position] == "\\":
            position += 1
        elif value[position] == '"':
            return position
        position += 1
    return None


def _end_of_comment(value: str, start: int) -> int | None:
    depth = 0
    position = start
    while position < len(value):
        one = value[position]
        if one == "\\":
            position += 1
        elif one == "(":
            depth += 1
        elif one == ")":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return None


def _restore(text: str, quoted: list[str]) -> str:
    """Put the quoted strings back: quoted in an address, bare in a name."""
    strings = iter(quoted)
    in_address = "@" in text
    return "".join(
        (f'"{next(strings)}"' if in_address else re.sub(r"\\(.)", r"\1", next(strings))) if one == _QUOTE else one
        for one in text
    )


def _claims(fields: Sequence[str], second_reading: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for field in fields:
        for hit in _LOOKS_LIKE.findall(field[:_FIELD_CAP]):
            found[hit] = None
    for address in second_reading:
        found[address[:_ADDRESS_CAP]] = None
    return tuple(found)[:_CLAIMS_CAP]
