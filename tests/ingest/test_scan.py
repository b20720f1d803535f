"""ingest/mime/scan.py: structure, line ends, limits; and agreement with the standard library's feed parser."""

import email
import random
import re
from email.message import Message
from pathlib import Path

import pytest

from ingest.mime.defects import Defect, Limit, ScanLimits
from ingest.mime.scan import Part, ScannedMail, scan
from tests.ingest.octets import Octets

CORPUS = Path(__file__).parent.parent / "corpus" / "parse"


def scanned(raw: bytes, **limits: int) -> ScannedMail:
    return scan(Octets(raw), ScanLimits(**limits))


def leaves(raw: bytes, part: Part | None) -> list[tuple[str, bytes]]:
    if part is None:
        return []
    if not part.children:
        return [(part.type, raw[part.body : part.end])]
    return [leaf for child in part.children for leaf in leaves(raw, child)]


def read(raw: bytes) -> list[tuple[str, bytes]]:
    return leaves(raw, scanned(raw).root)


TWO = (
    b"From: a@b.test\n"
    b"Content-Type: multipart/mixed; boundary=x\n"
    b"\n"
    b"preamble\n"
    b"--x\n"
    b"\n"
    b"one\n"
    b"--x\n"
    b"Content-Type: text/html\n"
    b"\n"
    b"<p>two</p>\n"
    b"\n"
    b"--x--\n"
)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends(end: bytes) -> None:
    raw = TWO.replace(b"\n", end)
    assert read(raw) == [("text/plain", b"one"), ("text/html", b"<p>two</p>" + end)]


def test_a_mail_without_a_body_or_without_a_header() -> None:
    assert read(b"") == [("text/plain", b"")]
    assert read(b"Subject: x") == [("text/plain", b"")]
    assert read(b"\nbody") == [("text/plain", b"body")]
    assert read(b"no header at all\nbody") == [("text/plain", b"no header at all\nbody")]


def test_the_from_line_of_mbox_is_no_field() -> None:
    found = scanned(b"From a@b.test Tue Nov 24 09:00:00 2026\n>From c\nSubject: x\n\nbody")
    assert [one.name for one in found.fields] == ["subject"]
    assert found.defects == ()


@pytest.mark.parametrize(
    ("raw", "defect", "expected"),
    [
        (TWO.replace(b"--x--\n", b""), Defect.END_BOUNDARY_MISSING, [b"one", b"<p>two</p>\n\n"]),
        (TWO + b"epilogue\n", Defect.EPILOGUE_TEXT, [b"one", b"<p>two</p>\n"]),
        (TWO.replace(b"boundary=x", b"foo=bar"), Defect.NO_BOUNDARY, None),
        (TWO.replace(b"boundary=x", b"boundary=y"), Defect.START_BOUNDARY_MISSING, None),
        (TWO.replace(b"boundary=x", b"boundary=x; boundary=y"), Defect.REPEATED_PARAMETER, [b"one", b"<p>two</p>\n"]),
        (b"Content-Type: text/html\n" + TWO, Defect.REPEATED_CONTENT_TYPE, None),
        (b"Content-Type: nonsense\n\nbody", Defect.INVALID_CONTENT_TYPE, [b"body"]),
        (b"From : a@b.test\n\nbody", Defect.SPACE_BEFORE_COLON, [b"body"]),
        (b" folded\nFrom: a@b.test\n\nbody", Defect.CONTINUATION_FIRST, [b"body"]),
        (b"Subject: a\x00b\n\nbody", Defect.NUL_IN_HEADER, [b"body"]),
        (b"Subject: a\nno field\nFrom: a@b.test\n\nbody", Defect.JUNK_IN_HEADER, [b"body"]),
        (b"Subject: a\nno field\nmore\n\nbody", Defect.NO_HEADER_END, [b"no field\nmore\n\nbody"]),
        (TWO.replace(b"; boundary=x", b";\nboundary=x"), Defect.UNINDENTED_LINE, [b"one", b"<p>two</p>\n"]),
        (b"Content-Transfer-Encoding: base64\n" + TWO, Defect.ENCODED_MULTIPART, [b"one", b"<p>two</p>\n"]),
    ],
)
def test_defects(raw: bytes, defect: Defect, expected: list[bytes] | None) -> None:
    found = scanned(raw)
    assert defect in found.defects
    if expected is not None:
        assert [content for _, content in leaves(raw, found.root)] == expected


def test_rfc2046_5_1_1_a_boundary_of_70_characters() -> None:
    boundary = b"'()+_,-./:=?0123456789" + b"x" * 48
    assert len(boundary) == 70
    raw = TWO.replace(b"boundary=x", b'boundary="' + boundary + b'"').replace(b"--x", b"--" + boundary)
    assert read(raw) == read(TWO) and len(read(TWO)) == 2


def test_a_second_from_below_a_junk_line_is_seen() -> None:
    found = scanned(b"From: su@acme.test\njunk\nFrom: x@evil.test\n\nbody")
    assert [one.name for one in found.fields] == ["from", "from"]


def test_a_wrong_boundary_is_guessed_from_the_body() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=y\n\n--x\nContent-Type: text/html\n\n<p>\n--x--\n"
    assert read(raw) == [("text/html", b"<p>")]


def test_a_nested_message_is_a_leaf_with_its_exact_octets() -> None:
    inner = b"From: c@d.test\r\nContent-Type: multipart/mixed; boundary=z\r\n\r\n--z\r\n\r\nin\n\rner\r\n--z--"
    raw = b"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822\n\n" + inner + b"\r\n--x--\n"
    assert read(raw) == [("message/rfc822", inner)]


def test_an_outer_boundary_ends_inner_parts() -> None:
    raw = (
        b"Content-Type: multipart/mixed; boundary=outer\n\n--outer\n"
        b"Content-Type: multipart/alternative; boundary=inner\n\n--inner\n\none\n--outer\n\ntwo\n--outer--\n"
    )
    assert [content for _, content in read(raw)] == [b"one", b"two"]


def test_digest_parts_are_messages() -> None:
    assert read(TWO.replace(b"mixed", b"digest"))[0] == ("message/rfc822", b"one")


def test_delimiters_beyond_one_block_are_found() -> None:
    filler = b"x" * 76 + b"\r\n"
    for pad in range(3):  # the delimiter line across the edge of a block
        body = filler * 13_444 + b"y" * (1024 * 1024 - 13_444 * 78 - 100 + 40 * pad)
        raw = b"Content-Type: multipart/mixed; boundary=bound\r\n\r\n--bound\r\n\r\n" + body + b"\r\n--bound--\r\n"
        assert read(raw) == [("text/plain", body)]


OVER = {
    "size": (b"Subject: a\n\n" + b"x" * 100, Limit.SIZE, {"size": 50}),
    "header size": (b"Subject: " + b"a" * 600_000 + b"\n\nbody", Limit.HEADER_SIZE, {}),
    "header count": (b"Subject: a\n" + b"X: y\n" * 3000 + b"\nbody", Limit.HEADER_COUNT, {}),
    "addresses": (b"Subject: a\nTo: " + b"a@b.test, " * 501 + b"\n\nbody", Limit.ADDRESSES, {}),
    "commas": (b"Subject: a\nCc: " + b"," * 2001 + b"\n\nbody", Limit.ADDRESSES, {}),
    "words": (b"Subject: a" + b"=?utf-8?q?a?= " * 3001 + b"\n\nbody", Limit.ENCODED_WORDS, {}),
    "parts": (b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\nbody\n" * 1001, Limit.PARTS, {}),
    "part header": (
        b"Content-Type: multipart/mixed; boundary=x\n\n--x\nX: " + b"y" * 70_000 + b"\n\nbody\n--x--",
        Limit.PART_HEADER_SIZE,
        {},
    ),
    "delimiter lines": (
        b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\n" + b"--y\n" * 101,
        Limit.DELIMITER_LINES,
        {"delimiter_lines": 100},
    ),
}


@pytest.mark.parametrize("name", OVER)
def test_limits(name: str) -> None:
    raw, limit, limits = OVER[name]
    found = scanned(raw, **limits)
    assert (found.over_limit, found.root) == (limit, None)
    if raw.startswith(b"Subject: a\n"):
        assert found.fields[0].unfolded == b"a"


def nested(depth: int) -> bytes:
    lines = [b"Content-Type: multipart/mixed; boundary=b0\n\n"]
    lines += [
        b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (level - 1, level) for level in range(1, depth)
    ]
    return b"".join(lines) + b"--b%d\n\nbody\n" % (depth - 1)


def test_depth() -> None:
    assert scanned(nested(100)).over_limit is None
    assert scanned(nested(101)).over_limit is Limit.DEPTH
    assert scanned(nested(5000)).over_limit is Limit.DEPTH


# -- the standard library as the other reader


def stdlib_leaves(message: Message) -> list[tuple[str, bytes]]:
    if message.is_multipart():
        return [leaf for child in message.get_payload() for leaf in stdlib_leaves(child)]  # type: ignore[union-attr,arg-type]
    payload = message.get_payload()
    assert isinstance(payload, str)
    return [(message.get_content_type(), payload.encode("ascii", "surrogateescape"))]


PIECES = [
    b"--x\n",
    b"--x\n",
    b"--y\n",
    b"--x--\n",
    b"--y--\n",
    b"--x  \n",
    b"--xy\n",
    b"--\n",
    b"\n",
    b"\n",
    b"text\n",
    b"Content-Type: multipart/mixed; boundary=y\n\n",
    b"Content-Type: text/html\n\n",
    b"Content-Type: application/pdf\n",
]


def test_random_trees_are_read_as_the_standard_library_reads_them() -> None:
    chance = random.Random(20261124)
    compared = 0
    for _ in range(3000):
        ends = chance.choice([b"\n", b"\r\n", b"\r"])
        body = b"".join(chance.choice(PIECES) for _ in range(chance.randint(1, 14)))
        raw = (b"Content-Type: multipart/mixed; boundary=x\n\n" + body).replace(b"\n", ends)
        found = scanned(raw)
        if {Defect.START_BOUNDARY_MISSING, Defect.NO_HEADER_END, Defect.JUNK_IN_HEADER} & set(found.defects):
            continue  # there we read more than it does, on purpose
        if re.search(rb"--(?:x|y)[ ]*[\r\n]+--(?:x|y)--", raw):
            continue  # it takes an end boundary right after a boundary for one more of these
        compared += 1
        theirs = stdlib_leaves(email.message_from_bytes(raw))
        ours = leaves(raw, found.root)
        assert [one[0] for one in ours] == [one[0] for one in theirs], raw
        assert [one[1].strip() for one in ours] == [one[1].strip() for one in theirs], raw
    assert compared > 500
