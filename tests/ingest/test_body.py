"""ingest/mime/body.py: which leaves are the text, and HTML, flowed and untidy text as plain text."""

import pytest

from ingest.mime.body import choose, tidy, unflow
from ingest.mime.html_text import bare_text, html_to_text
from ingest.mime.scan import scan
from tests.ingest.octets import Octets


def chosen(tree: str) -> tuple[list[str], list[str], list[str]]:
    """The types of text, HTML and file leaves of a tree written as `mixed(plain,png+a.png)`."""
    found = choose(scan(Octets(mail(tree).encode())).root)  # type: ignore[arg-type]
    return tuple([part.type.split("/")[1] for part in leaves] for leaves in (found.text, found.html, found.files))  # type: ignore[return-value]


TYPES = {
    "plain": "text/plain",
    "html": "text/html",
    "png": "image/png",
    "pdf": "application/pdf",
    "calendar": "text/calendar",
    "enriched": "text/enriched",
    "rfc822": "message/rfc822",
    "signature": "application/pgp-signature",
}


def mail(tree: str, level: int = 0) -> str:
    name, opening, rest = tree.partition("(")
    if not opening:
        kind, _, file = tree.partition("+")
        kind, how, _ = kind.partition("!")
        disposition = (
            f"Content-Disposition: {'attachment' if how else 'inline'}; filename={file}\n" if file or how else ""
        )
        return f"Content-Type: {TYPES[kind]}\n{disposition}\nbody\n"
    depth, start, children = 0, 0, []
    inner = rest[:-1]
    for at, one in enumerate(inner + ","):
        depth += (one == "(") - (one == ")")
        if one == "," and depth == 0:
            children.append(inner[start:at])
            start = at + 1
    bound = f"b{level}"
    parts = "".join(f"--{bound}\n{mail(child, level + 1)}\n" for child in children)
    return f"Content-Type: multipart/{name}; boundary={bound}\n\n{parts}--{bound}--\n"


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ("plain", (["plain"], ["plain"], [])),
        ("html", (["html"], ["html"], [])),
        ("pdf", ([], [], ["pdf"])),
        ("rfc822", ([], [], ["rfc822"])),
        ("alternative(plain,html)", (["plain"], ["html"], [])),
        ("alternative(html)", (["html"], ["html"], [])),
        ("alternative(plain,calendar)", (["plain"], ["plain"], ["calendar"])),
        ("alternative(plain,enriched,html)", (["plain"], ["html"], [])),
        ("mixed(plain,pdf)", (["plain"], ["plain"], ["pdf"])),
        ("mixed(plain,png,plain)", (["plain", "plain"], ["plain", "plain"], ["png"])),
        ("mixed(plain,plain+log.txt)", (["plain"], ["plain"], ["plain"])),
        ("mixed(plain!,plain!)", ([], [], ["plain", "plain"])),
        ("mixed(pdf,plain+log.txt)", (["plain"], ["plain"], ["pdf", "plain"])),
        ("mixed(alternative(plain,related(html,png)),pdf)", (["plain"], ["html"], ["png", "pdf"])),
        ("related(html,png,html)", (["html"], ["html"], ["png", "html"])),
        ("signed(plain,signature)", (["plain"], ["plain"], ["pgp-signature"])),
        ("mixed(plain,rfc822)", (["plain"], ["plain"], ["rfc822"])),
    ],
)
def test_choose(tree: str, expected: tuple[list[str], list[str], list[str]]) -> None:
    assert chosen(tree) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("", ""),
        ("<p>a<p>b", "a\n\nb"),
        ("a<br>b", "a\nb"),
        ("<b>H</b>ello", "Hello"),
        ("<span>H</span>ello", "Hello"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>", "a b\nc d"),
        ("<ul><li>a<li>b</ul>", "* a\n* b"),
        ("<style>p{}</style><script>x()</script><title>t</title>a", "a"),
        ('<span style="display: none">hidden</span>seen', "seen"),
        ('<div style="padding-left:100000em">a</div>', "a"),
        ("<div>" * 250 + "a", "a"),
        ('<img src="data:image/png;base64,' + "A" * 900_000 + '">a', "a"),
        ("<?xml version='1.0' encoding='utf-8'?><p>a", "a"),
        ("a\x00b", "ab"),
        ("&lt;a&gt;&nbsp;&eacute;", "<a> é"),
    ],
)
def test_html_to_text(html: str, expected: str) -> None:
    assert html_to_text(html) == expected


def test_bare_text() -> None:
    assert bare_text("<div>a<b>b</b") == " a b /b"


def test_tidy() -> None:
    assert tidy("\n\na \r\nb\r\x00c\n\n\n\n\nd\x0ce\n\n") == "a\nb\nc\n\n\nd\ne"


@pytest.mark.parametrize(
    ("text", "delete_space", "expected"),
    [
        ("a \nb \nc\nd", False, "a b c\nd"),
        ("a \nb", True, "ab"),
        ("> a \n> b\nc", False, "> a b\nc"),
        ("a \n> b", False, "a \n> b"),
        ("a \n-- \nb", False, "a \n-- \nb"),
        (" > no quote", False, "> no quote"),
        ("a ", False, "a "),
    ],
)
def test_unflow(text: str, delete_space: bool, expected: str) -> None:
    assert unflow(text, delete_space) == expected
