"""Which parts are the text, and flowed and untidy text as plain text.

Takes: the tree of parts, decoded text.  Gives: text.  Fails: never.
Pure; every step is linear in the text, or works on a capped piece of it (threats T44).
"""

import re
from dataclasses import dataclass, field

from ingest.mime.scan import Part

TEXT_CAP = 256 * 1024  # characters of full_text


# The same text once more, in a form that nobody asks for: no file, where another alternative stands beside it.
_SAME_TEXT = frozenset({"text/enriched", "text/richtext", "text/watch-html", "text/x-amp-html"})


@dataclass(slots=True)
class Chosen:
    """The leaves of a mail by their use, each list in order."""

    text: list[Part] = field(default_factory=list)  # what a reader of plain text sees; may hold HTML leaves
    html: list[Part] = field(default_factory=list)  # what a reader of HTML sees; may hold plain leaves
    files: list[Part] = field(default_factory=list)


def disposition_of(part: Part) -> str:
    """`inline`, `attachment`, another token, or "" (RFC 2183 §2)."""
    value = part.value("content-disposition")
    return value.split(b";", 1)[0].strip().lower().decode("ascii", "replace") if value else ""


def has_name(part: Part) -> bool:
    """Whether the part carries a file name."""
    return (
        any(key.startswith("name") for key in part.params) or b"filename" in part.value("content-disposition").lower()
    )


def choose(root: Part) -> Chosen:
    """Sort the leaves as RFC 8621 §4.1.4 does, but for images, sound and film: those are files, always.

    Of alternatives (RFC 2046 §5.1.4) the text and the HTML are kept; a type nobody knows is a file (RFC 2049 §2).
    """
    chosen = Chosen()
    if root.children:
        _walk(root, False, chosen, chosen.text, chosen.html)
    elif root.type.startswith(("multipart/", "text/")) and disposition_of(root) != "attachment":
        _both(chosen, root)
    else:
        chosen.files.append(root)
    if not chosen.text and not chosen.html:
        _rescue(chosen)
    return chosen


def _both(chosen: Chosen, part: Part) -> None:
    chosen.text.append(part)
    chosen.html.append(part)


def _walk(parent: Part, in_alternative: bool, chosen: Chosen, text: list[Part] | None, html: list[Part] | None) -> None:
    subtype = parent.type.partition("/")[2]
    text_before = len(text) if text is not None else -1
    html_before = len(html) if html is not None else -1
    for index, part in enumerate(parent.children):
        if part.children:
            _walk(part, in_alternative or part.type == "multipart/alternative", chosen, text, html)
        elif subtype == "alternative" and part.type in _SAME_TEXT and len(parent.children) > 1:
            continue
        elif not _is_body(part, index, subtype):
            chosen.files.append(part)
        elif subtype == "alternative":
            if part.type == "text/html":
                if html is not None:
                    html.append(part)
            elif text is not None:
                text.append(part)
        else:
            kind = part.type
            if in_alternative:
                html, text = (None if kind == "text/plain" else html), (None if kind == "text/html" else text)
            if text is not None:
                text.append(part)
            if html is not None:
                html.append(part)
    if subtype == "alternative" and text is not None and html is not None:
        if len(text) == text_before and len(html) > html_before:
            text.extend(html[html_before:])
        elif len(html) == html_before and len(text) > text_before:
            html.extend(text[text_before:])


def _is_body(part: Part, index: int, subtype: str) -> bool:
    if part.type.startswith("multipart/"):
        return True  # one whose boundary never came: its octets are all the text there is
    if part.type not in ("text/plain", "text/html") or disposition_of(part) == "attachment":
        return False
    return index == 0 or (subtype != "related" and not has_name(part))


def _rescue(chosen: Chosen) -> None:
    """A mail whose only text is a file shows it, and keeps the file."""
    for part in chosen.files:
        if part.type in ("text/plain", "text/html") and disposition_of(part) != "attachment":
            _both(chosen, part)
            return


# -- plain text

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def tidy(text: str) -> str:
    """LF line ends, no trailing blanks, no controls, at most two empty lines in a row."""
    text = _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\x0c", "\n"))
    lines: list[str] = []
    empty = 0
    for line in text.split("\n"):
        line = line.rstrip(" \t\xa0")
        empty = 0 if line else empty + 1
        if empty <= 2:
            lines.append(line)
    return "\n".join(lines).strip("\n")


def unflow(text: str, delete_space: bool) -> str:
    """format=flowed (RFC 3676 §4.2) → one line a paragraph."""
    out: list[str] = []
    joined: list[str] | None = None
    depth = 0
    for line in text.split("\n"):
        bare = line.lstrip(">")
        quote = len(line) - len(bare)
        bare = bare.removeprefix(" ")
        flows = bare.endswith(" ") and bare != "-- "
        if joined is not None and (quote != depth or bare == "-- "):
            out.append("".join(joined))
            joined = None
        if joined is None:
            joined = [">" * quote + " " if quote else ""]
            depth = quote
        joined.append(bare[:-1] if flows and delete_space else bare)
        if not flows:
            out.append("".join(joined))
            joined = None
    if joined is not None:
        out.append("".join(joined))
    return "\n".join(out)
