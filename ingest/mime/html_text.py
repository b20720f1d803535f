"""HTML as plain text: addresses of links readable, quoted elements marked line by line.

Takes: decoded HTML.  Gives: text.  Fails: `marked_text` and `html_to_text` on what no library reads.
Pure; every step is linear in the HTML, or works on a capped piece of it (threats T44).

What a mail client quotes stands in elements of its own, and each client has its own. Lines of those elements begin
with `QUOTED`; the rest, wherever it stands, is the author's. A bare <blockquote> may be either: `PERHAPS`. What becomes
of the lines is for ingest/mime/reply.py to say.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import unquote

from inscriptis.css_profiles import STRICT_CSS_PROFILE
from inscriptis.html_engine import Inscriptis
from inscriptis.html_properties import Display
from inscriptis.model.config import ParserConfig
from inscriptis.model.html_element import HtmlElement
from lxml.html import HTMLParser, document_fromstring  # type: ignore[import-untyped]

from ingest.mime.body import tidy

HTML_CAP = 256 * 1024  # characters of HTML that are turned into text
QUOTED = "\ufdd0"  # noncharacters: no text holds them
PERHAPS = "\ufdd1"

_DATA_URL = re.compile(r"data:[a-zA-Z0-9/+.\-]{1,60};base64,[A-Za-z0-9+/=%\s]*")
_XML_DECLARATION = re.compile(r"^<\?xml[^>]{0,200}>")
# Nothing is indented: padding multiplies with depth, and a style sheet may ask for any amount of it (threats T42).
_BLOCK = HtmlElement(display=Display.block)
_CONFIG = ParserConfig(
    css={
        **STRICT_CSS_PROFILE,
        "ul": _BLOCK,
        "ol": _BLOCK,
        "cell": HtmlElement(display=Display.inline, suffix=" ", limit_whitespace_affixes=True),
    }
)
# Tables are read row by row: a layout in columns pads every row to the longest cell of the whole table.
_TABLE_AS = {"table": "div", "thead": "div", "tbody": "div", "tfoot": "div", "tr": "div", "td": "cell", "th": "cell"}

_Element = Any  # lxml has no types


def marked_text(html: str) -> str:
    """The visible text of `html`; quoted lines begin with `QUOTED` or `PERHAPS`. Raises what the libraries raise."""
    html = without_embedded(html)[:HTML_CAP].replace("\x00", "").replace(QUOTED, "").replace(PERHAPS, "")
    html = _XML_DECLARATION.sub("", html.strip(), count=1)
    if not html:
        return ""
    tree = document_fromstring(html, parser=HTMLParser(huge_tree=True))
    _prepare(tree, _quoted_roots(tree, html.lower()))
    text = tidy(Inscriptis(tree, _CONFIG).get_text())
    if QUOTED not in text and PERHAPS not in text:
        return text
    return "\n".join(map(_marked_line, text.split("\n")))


def html_to_text(html: str) -> str:
    """The visible text of `html`, quotations and all. Raises whatever the libraries raise on what they cannot read."""
    return unmarked(marked_text(html))


def unmarked(text: str) -> str:
    """`text` without the marks of quotation."""
    return text.replace(QUOTED, "").replace(PERHAPS, "")


def without_embedded(html: str) -> str:
    """`html` without the pictures that it carries in itself (data: URLs), which may be megabytes."""
    return _DATA_URL.sub("", html) if "base64," in html else html


def bare_text(html: str) -> str:
    """The text of HTML that no library can read: everything outside angle brackets."""
    out = []
    for piece in html[:HTML_CAP].split("<"):
        _, closed, after = piece.partition(">")
        out.append(after if closed else piece)
    return tidy(" ".join(out))


# --- which elements are quoted ------------------------------------------------------------------------------------

# A document without any of these words quotes nothing, as far as its elements say.
_HINTS = ("quote", "divrplyfwdmsg", "border-top", "olk_src_body", "cite", "inoteshistory", "mail-editor-ref", "header")
# Class or id of what is quoted as a whole: Yahoo, Notes, Outlook mobile, Outlook for the Mac.
_WHOLE = ("yahoo_quoted", "inoteshistory", "mail-editor-reference-message-container", "olk_src_body_section")
# Class of what holds an attribution and quotes, and whatever was answered between them: Gmail and many more, Proton,
# Zoho. Their quotes are blockquotes.
_HOLDS = ("gmail_quote", "protonmail_quote", "zmail_extra")
_QUOTES = (*_HOLDS, "isreplycontent", "blockquote_zmail", "front-blockquote", "clean_bq", "tutanota_quote")
_ATTRIBUTION = ("moz-cite-prefix", "gmail_attr")
# Outlook on the web and on phones, and old Outlook: the header of the quoted mail; the mail itself follows it.
_HEAD = ("divrplyfwdmsg", "outlookmessageheader")
_ZIMBRA = ("__QUOTED_TEXT__", "__HEADERS__")
_RULE_ABOVE = re.compile(r"border-top:[^;]{0,40}solid", re.I)  # Outlook's line above the header of a quoted mail
_LABELS_AMONG = 40  # elements of a header that are looked at
_LINE_CAP = 300  # characters of an attribution


def _quoted_roots(tree: _Element, lower: str) -> dict[_Element, str]:
    """The outermost quoted elements and their marks."""
    roots: dict[_Element, str] = {}
    if not any(hint in lower for hint in _HINTS):
        return roots
    has_quotes = "<blockquote" in lower
    headed = False
    elements = tree.iter("blockquote", "div", "span", "section", "table", "td")
    for element in elements:
        kind = _kind_of(element, has_quotes)
        if kind == "head":
            if not headed:
                headed = True
                roots |= dict.fromkeys(_below_head(element, "x_" in lower), QUOTED)
        elif kind:
            roots[element] = kind
            inside = sum(1 for _ in element.iter("blockquote", "div", "span", "section", "table", "td")) - 1
            next(islice(elements, inside, inside), None)  # passed over
    return roots


def _kind_of(element: _Element, has_quotes: bool) -> str:
    """`QUOTED`, `PERHAPS`, "head" (the quoted mail follows), or "" for what is the author's or holds it."""
    attributes = element.attrib
    if not attributes:
        return PERHAPS if element.tag == "blockquote" else ""
    names = f"{attributes.get('class', '')} {attributes.get('id', '')}".lower()
    if element.tag == "blockquote":
        is_cite = attributes.get("type", "").lower() == "cite" or any(name in names for name in _QUOTES)
        return QUOTED if is_cite else PERHAPS
    if len(names) > 1:
        if any(name in names for name in _WHOLE):
            return QUOTED
        if any(name in names for name in _HOLDS):
            return "" if has_quotes else QUOTED
        if any(name in names for name in _ATTRIBUTION):
            return QUOTED if _is_one_line(element) else ""
        if any(name in names for name in _HEAD):
            return "head"
    if attributes.get("data-marker") in _ZIMBRA or (attributes.get("name") == "quote" and _is_gmx(element)):
        return QUOTED
    style = attributes.get("style")
    if style and _RULE_ABOVE.search(style) and _labels(element) >= 3:
        return "head"
    return ""


def _is_one_line(element: _Element) -> bool:
    """An attribution and nothing else: people write above it in the same element, too."""
    text = _opening(element).strip()
    lines = sum(1 for one in islice(element.iter(), _LABELS_AMONG) if one.tag == "br" and (one.tail or "").strip())
    return len(text) <= _LINE_CAP and text.endswith((":", "：")) and not lines


def _opening(element: _Element, among: int = _LABELS_AMONG) -> str:
    """The text in the first elements of `element`: looked at for every element, so never all of it."""
    texts = []
    for one in islice(element.iter(), among):
        if isinstance(one.tag, str):
            texts.append(one.text or "")
        if one is not element:
            texts.append(one.tail or "")
    return "".join(texts)


def _is_gmx(element: _Element) -> bool:
    inside = islice(element.iter(), _LABELS_AMONG)
    return _labels(element) >= 2 or any(one.get("name") == "quoted-content" for one in inside if one is not element)


def _labels(element: _Element) -> int:
    """How many of its first words are labels in bold: `<b>From:</b>`, in any language."""
    bold = (one for one in islice(element.iter(), _LABELS_AMONG) if one.tag in ("b", "strong") or _is_bold(one))
    return sum(_opening(one, 3).rstrip().endswith((":", "：")) for one in bold)


def _is_bold(element: _Element) -> bool:
    return element.tag == "span" and "bold" in (element.get("style") or "")


def _below_head(head: _Element, renames: bool) -> Iterator[_Element]:
    """The header of a quoted mail and what follows it in the element where the author's words end.

    `renames`: Outlook on the web puts `x_` before the classes of what it quotes; its `elementToProof` was typed now.
    """
    top, holds_mail = head, False
    while (parent := top.getparent()) is not None and parent.tag not in ("body", "html") and _is_first(top, parent):
        holds_mail = holds_mail or any(map(_says, top.itersiblings()))
        top = parent
    yield top
    if holds_mail:  # an element that holds header and mail ends where they do
        return
    for following in top.itersiblings():
        if not (renames and "elementToProof" in (following.get("class") or "").split()):
            yield following


def _is_first(element: _Element, parent: _Element) -> bool:
    """Whether nothing is said in `parent` before `element`."""
    if (parent.text or "").strip():
        return False
    return not any(_says(one) or (one.tail or "").strip() for one in element.itersiblings(preceding=True))


def _says(element: _Element) -> bool:
    return any(text.strip() for text in element.itertext("*"))


# --- the tree as it is rendered -----------------------------------------------------------------------------------


def _prepare(tree: _Element, roots: dict[_Element, str]) -> None:
    """Tables to rows, styles to what is hidden, links to words and address; the text of `roots` with its marks."""
    elements = tree.iter()
    for element in elements:
        mark = roots.get(element) if roots else None
        if mark is None:
            _plain(element)
            continue
        inside = -1
        for one in element.iter():
            inside += 1
            _plain(one)
            if one.text and isinstance(one.tag, str):
                one.text = _with_mark(one.text, mark)
            if one.tail and (one is not element or (mark is QUOTED and _is_below(element, roots))):
                one.tail = _with_mark(one.tail, mark)
        next(islice(elements, inside, inside), None)


def _is_below(element: _Element, roots: dict[_Element, str]) -> bool:
    """Whether text right after this quoted element is quoted, too: where the element after it is."""
    following = element.getnext()
    return following is not None and following in roots


def _plain(element: _Element) -> None:
    tag = element.tag
    if tag in _TABLE_AS:
        element.tag = _TABLE_AS[tag]
    elif tag == "a":
        _show_address(element)
    style = element.attrib.pop("style", None)
    if style and "none" in style and "display:none" in style.replace(" ", "").lower():
        element.set("style", "display:none")


_LINE_START = re.compile(r"\n([^\S\n]*)(?=\S)")


def _with_mark(text: str, mark: str) -> str:
    bare = text.lstrip()
    if not bare:
        return text
    before = text[: len(text) - len(bare)]
    return before + mark + (_LINE_START.sub(rf"\n\1{mark}", bare) if "\n" in bare else bare)


def _marked_line(line: str) -> str:
    """The mark of a line at its start, before a list's bullet; a line that begins with the author's words has none."""
    for mark in (QUOTED, PERHAPS):
        before, found, _ = line.partition(mark)
        if found and not unmarked(before).strip(" \t\xa0*+-o.•0123456789"):
            return mark + unmarked(line)
    return unmarked(line)


_SHOWN = ("http:", "https:", "ftp:", "file:", "mailto:")
_ADDRESS_CAP = 2000
_SCHEME = re.compile(r"^(?:https?://|mailto:|ftp://)?(?:www\.)?", re.I)


def _show_address(link: _Element) -> None:
    """`<a href=ADDRESS>words</a>` → `words <ADDRESS>`, where the words are not the address."""
    href = link.get("href")
    if not href or len(href) > _ADDRESS_CAP or not (href := href.strip()).lower().startswith(_SHOWN):
        return
    address = unquote(href[7:].partition("?")[0]) if href.lower().startswith("mailto:") else href
    address = "%20".join(address.split()).replace("<", "%3C").replace(">", "%3E")
    words = _opening(link)[:_ADDRESS_CAP]
    if not address or not words.strip() or _bare(address) in map(_bare, [words, *words.split()]):
        return
    if len(link):
        link[-1].tail = f"{link[-1].tail or ''} <{address}>"
    else:
        link.text = f"{link.text or ''} <{address}>"


def _bare(address: str) -> str:
    """An address as people write it, for comparing."""
    return _SCHEME.sub("", "".join(address.split()).strip("<>()[].,;:")).rstrip("/").casefold()
