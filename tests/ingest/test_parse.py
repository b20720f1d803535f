"""ingest/mime/parse.py: from octets in a spool file to a ParsedMail, on small mails and on broken ones."""

import base64
import binascii
import hashlib
import random
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.mime.content import HashOnly
from ingest.mime.defects import Defect, Limit, ScanLimits
from ingest.mime.parse import parse
from values.mail import Envelope, ParsedMail, SpooledMail
from values.vocabulary import AuthorVerdict, Source

CORPUS = Path(__file__).parent.parent / "corpus"
ENVELOPE = Envelope(
    reverse_path="su@acme.test",
    forward_paths=("support@nordvik.test",),
    source=Source.SMTP,
    received_at=datetime(2026, 11, 24, 9, 0, tzinfo=UTC),
)


@dataclass
class Kept:
    """A sink that remembers."""

    contents: list[bytes] = field(default_factory=list)

    def put(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        content = b"".join(chunks)
        self.contents.append(content)
        return hashlib.sha256(content).hexdigest(), len(content)


Read = Callable[[bytes], ParsedMail]


def spooled(path: Path, raw: bytes, before: bytes = b"") -> SpooledMail:
    path.write_bytes(before + raw + before)
    digest = hashlib.sha256(raw).hexdigest()
    return SpooledMail(id="0" * 26, path=path, offset=len(before), size=len(raw), sha256=digest, envelope=ENVELOPE)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Parse octets with a sink that keeps nothing; the mail lies in the middle of a batch file."""
    return lambda raw: parse(
        spooled(tmp_path / "mail", raw, before=b"From: other@evil.test\r\n\r\nanother\r\n"), HashOnly()
    )


HEAD = (
    b"From: su@acme.test\r\nTo: support@nordvik.test\r\nSubject: Hello\r\n"
    b"Message-ID: <1@acme.test>\r\nMIME-Version: 1.0\r\n"
)


def test_a_plain_mail(read: Read) -> None:
    raw = (
        "From: Lucía <su@ACME.test>\r\nTo: A <support@nordvik.test>, b@acme.test\r\nTo: c@acme.test\r\n"
        "Cc: d@acme.test\r\nReply-To: e@acme.test\r\nSender: Boss <f@acme.test>\r\nSubject: Hola\r\n señor\r\n"
        "Received: x\r\nReceived: y\r\n"
        "Date: Tue, 24 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@acme.test>\r\nIn-Reply-To: <2@nordvik.test>\r\n"
        "References: <3@nordvik.test>\r\n <2@nordvik.test>\r\nPrecedence: bulk\r\n\r\nHej\r\n"
    ).encode()
    mail = read(raw)
    assert mail.author is not None and (mail.author.address, mail.author.name) == ("su@acme.test", "Lucía")
    assert mail.author_verdict is AuthorVerdict.ONE
    assert [one.address for one in mail.to] == ["support@nordvik.test", "b@acme.test", "c@acme.test"]
    assert [one.address for one in (*mail.cc, *mail.reply_to)] == ["d@acme.test", "e@acme.test"]
    assert mail.sender_field is not None and mail.sender_field.address == "f@acme.test"
    assert mail.subject == "Hola señor"
    assert mail.date == datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
    assert (mail.message_id, mail.in_reply_to) == ("1@acme.test", ("2@nordvik.test",))
    assert mail.references == ("3@nordvik.test", "2@nordvik.test")
    assert mail.received_count == 2
    assert ("precedence", "bulk") in mail.auto_headers
    assert (mail.text, mail.full_text, mail.html, mail.attachments) == ("Hej", "Hej", None, ())
    assert (mail.defects, mail.over_limit, mail.size) == ((), None, len(raw))


def test_an_address_with_hidden_characters_becomes_nobody_elses(read: Read) -> None:
    raw = "From: a@b.test\r\nTo: su\u202e@acme.test, c@d.test\r\nReply-To: s\u200bu@acme.test\r\n\r\nx".encode()
    mail = read(raw)
    assert ([one.address for one in mail.to], mail.reply_to) == (["c@d.test"], ())


# The From fields of M8: two parsers, two authors. Each must leave the author open.
M8 = [
    b"From: victim@big.test <evil@x.test>",
    b"From: <victim@big.test> <evil@x.test>",
    b"From: victim@big.test;<evil@x.test>",
    b"From: victim@big.test\r\nFrom: evil@x.test",
    b"From: evil@x.test\r\nFrom: victim@big.test",
    b"FROM : victim@big.test",
    b"From: victim@big.test, evil@x.test",
    b"From: victims: victim@big.test;",
    b"From: victim@big.test)evil@x.test",
    b"From: victim@big.test\x00 <evil@x.test>",
    b'From: "victim@big.test" <evil@x.test> <victim@big.test>',
    b"From: =?utf-8?q?victim=40big=2Etest?= <evil@x.test>, <victim@big.test>",
    b"From: ((((victim@big.test",
    b"From: a@x.test\r\njunk line\r\nFrom: victim@big.test",
]


@pytest.mark.parametrize("field", M8)
def test_from_fields_that_name_nobody(read: Read, field: bytes) -> None:
    mail = read(field + b"\r\nSubject: x\r\nDate: Tue, 24 Nov 2026 10:00:00 +0100\r\n\r\nbody")
    assert (mail.author_verdict, mail.author) == (AuthorVerdict.AMBIGUOUS, None)
    assert mail.author_claims


def test_a_base64_word_that_makes_the_library_raise(read: Read) -> None:
    mail = read(b"From: =?utf-8?b?w6Vhx?= <su@acme.test>\r\nSender: =?utf-8?b?a?= <a@b.test>\r\n\r\nbody")
    assert mail.author is not None and (mail.author.address, mail.author.name) == ("su@acme.test", "åa")


@pytest.mark.parametrize("field", [b"X: y", b"From:", b"From: <>", b"From\r\n : <any@attack.test>\r\nTo: x@y.test"])
def test_no_author(read: Read, field: bytes) -> None:
    assert read(field + b"\r\n\r\nbody").author_verdict is AuthorVerdict.MISSING


SUBJECTS = {
    b"=?utf-8?q?hi=0D=0AX-Evil:_1?=": "hi X-Evil: 1",  # M9
    "Grüße".encode("latin-1"): "Grüße",
    "Grüße".encode(): "Grüße",
    b"=?utf-8?b?R3LDvA==?= =?utf-8?b?w59l?=": "Grüße",
    b"=?utf-8?b?R3LD?=\r\n =?utf-8?b?vMOfZQ==?=": "Grüße",  # a character split between two words
    b"=?x-sjis?b?k/qWe4zq?=": "日本語",
    b"=?iso-2022-jp?b?GyRCRnxLXDhsGyhC?=": "日本語",
    b"=?gb2312?b?1tDOxA==?=": "中文",
    b"=?ks_c_5601-1987?b?x9Gxubi7?=": "한국말",
    b"=?us-ascii?q?caf=C3=A9?=": "café",
    b"=?iso-8859-1?q?=93quoted=94?=": "“quoted”",
    b"=?utf-8*sv?q?r=C3=A4ksm=C3=B6rg=C3=A5s?=": "räksmörgås",
    b"=?unknown?q?caf=E9?=": "café",
    b"=?utf-8?q?two words?=": "two words",
    b"=?utf-8?q?a?=b=?utf-8?q?c?=": "abc",
    b"Re: =?utf-8?q?=C3=A9?= x": "Re: é x",
    b"=?utf-8?b?!!!?=": "",
    b"": "",
}


@pytest.mark.parametrize("raw", SUBJECTS)
def test_subjects(read: Read, raw: bytes) -> None:
    assert read(b"From: a@b.test\r\nSubject: " + raw + b"\r\n\r\nx").subject == SUBJECTS[raw]


def test_the_first_of_two_subjects_counts(read: Read) -> None:
    mail = read(b"Subject: one\r\nSubject: two\r\n\r\nx")
    assert mail.subject == "one" and Defect.REPEATED_SUBJECT in mail.defects


@pytest.mark.parametrize(
    ("name", "value", "defect"),
    [
        ("From", "a@b.test", Defect.REPEATED_FROM),
        ("Subject", "x", Defect.REPEATED_SUBJECT),
        ("Date", "Tue, 24 Nov 2026 10:00:00 +0100", Defect.REPEATED_DATE),
        ("Message-ID", "<a@b.test>", Defect.REPEATED_MESSAGE_ID),
    ],
)
def test_rfc5322_3_6_fields_that_stand_twice_are_flagged(read: Read, name: str, value: str, defect: Defect) -> None:
    field = f"{name}: {value}\r\n".encode()
    assert defect not in read(field + b"\r\nx").defects
    assert defect in read(field * 2 + b"\r\nx").defects


# RFC 5322 §3.3 and §4.3, and what is no date. The time of receipt is the desk's, whatever stands here.
DATES = {
    b"Tue, 24 Nov 2026 10:00:00 +0100": (2026, 11, 24, 9, 0),
    b"24 Nov 2026 10:00 +0100": (2026, 11, 24, 9, 0),
    b"Tue, 24 Nov 26 10:00:00 +0100": (2026, 11, 24, 9, 0),
    b"Tue, 24 Nov 2026 10:00:00 EST": (2026, 11, 24, 15, 0),
    b"Tue, 24 Nov 2026 (a Tuesday) 10:00:00 +0100 (CET)": (2026, 11, 24, 9, 0),
    b"Tue, 24 Nov 2026\r\n 10:00:00 +0100": (2026, 11, 24, 9, 0),
    b"Mon, 42 Foo 2026 99:00:00": None,
    b"yesterday": None,
    b"": None,
}


@pytest.mark.parametrize("raw", DATES)
def test_rfc5322_4_3_dates(read: Read, raw: bytes) -> None:
    mail = read(b"From: a@b.test\r\nDate: " + raw + b"\r\n\r\nx")
    expected = DATES[raw]
    assert mail.date == (datetime(*expected, tzinfo=UTC) if expected else None)
    assert (Defect.DATE_INVALID in mail.defects) is (expected is None and raw != b"")
    assert mail.envelope.received_at == ENVELOPE.received_at


IDS = {
    b"<a@b.test>": ("a@b.test",),
    b"<a@b.test><c@d.test>": ("a@b.test", "c@d.test"),
    b"a@b.test": ("a@b.test",),
    b'Your message of "Tue" <a@b.test>': ("a@b.test",),
    b"<a\r\n @b.test>": ("a@b.test",),
    b"=?utf-8?q?=3Ca=40b=2Etest=3E?=": ("a@b.test",),
    b"<<<<<": (),
    b"": (),
}


@pytest.mark.parametrize("raw", IDS)
def test_ids(read: Read, raw: bytes) -> None:
    mail = read(b"In-Reply-To: " + raw + b"\r\nReferences: " + raw + b"\r\n\r\nx")
    assert mail.in_reply_to == IDS[raw] or (raw == b"<<<<<" and len(mail.in_reply_to) <= 1)
    assert mail.references == mail.in_reply_to


def test_references_are_bounded(read: Read) -> None:
    mail = read(b"References: " + b" ".join(b"<%d@a.test>" % number for number in range(5000)) + b"\r\n\r\nx")
    assert len(mail.references) == 200
    assert (mail.references[0], mail.references[-1]) == ("0@a.test", "4999@a.test")


BODIES = {
    "undeclared UTF-8": (b"Content-Type: text/plain\r\n\r\n" + "smörgås".encode(), "smörgås"),
    "undeclared cp1252": (b"\r\n" + "smörgås – “x”".encode("cp1252"), "smörgås – “x”"),
    "cp1252 declared as ASCII": (
        b"Content-Type: text/plain; charset=us-ascii\r\n\r\n" + "smörgås".encode("cp1252"),
        "smörgås",
    ),
    "cp1252 declared as UTF-8": (
        b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "smörgås €".encode("cp1252"),
        "smörgås €",
    ),
    "x-sjis": (b"Content-Type: text/plain; charset=x-sjis\r\n\r\n" + "日本語".encode("cp932"), "日本語"),
    "gb2312 that is gb18030": (b"Content-Type: text/plain; charset=gb2312\r\n\r\n" + "镕".encode("gb18030"), "镕"),
    "utf-16 without a mark": (
        b"Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.b64encode("hälsning".encode("utf-16-be")),
        "hälsning",
    ),
    "utf-16 that is ASCII": (b"Content-Type: text/plain; charset=utf-16\r\n\r\nhello", "hello"),
    "iso-2022-jp undeclared": (b"\r\n" + "日本語".encode("iso-2022-jp"), "日本語"),
    "unknown charset": (b"Content-Type: text/plain; charset=x-user-defined\r\n\r\n" + "é".encode(), "é"),
    "charset with NUL": (b"Content-Type: text/plain; charset=a\x00b\r\n\r\nhello", "hello"),
    "charset that is no charset": (b"Content-Type: text/plain; charset=rot13\r\n\r\nhello", "hello"),
    "quoted-printable": (b"Content-Transfer-Encoding: quoted-printable\r\n\r\nsm=C3=B6rg=\r\n=C3=A5s", "smörgås"),
    "base64 with junk": (b"Content-Transfer-Encoding: base64\r\n\r\naGVs!!\r\n bG8", "hello"),
    "base64 in two pieces": (b"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\nIHlvdQ==\r\n", "hello you"),
    "HTML by its meta": (
        b"Content-Type: text/html\r\n\r\n<meta charset=windows-1251><p>" + "привет".encode("cp1251"),
        "привет",
    ),
    "HTML": (
        b"Content-Type: text/html; charset=utf-8\r\n\r\n<style>p{}</style><p>one<p>two<script>x</script>",
        "one\n\ntwo",
    ),
    "flowed": (b"Content-Type: text/plain; format=flowed\r\n\r\none \r\ntwo\r\nthree", "one two\nthree"),
    "flowed, DelSp": (b"Content-Type: text/plain; format=flowed; delsp=yes\r\n\r\none \r\ntwo", "onetwo"),
    "controls": (b"\r\na\x00b\x07c", "abc"),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies(read: Read, name: str) -> None:
    raw, expected = BODIES[name]
    mail = read(b"From: a@b.test\r\n" + raw)
    assert mail.full_text == expected
    assert "\ufffd" not in mail.full_text


def mixed(*parts: bytes, subtype: bytes = b"mixed") -> bytes:
    joined = b"".join(b"--bound\r\n" + part + b"\r\n" for part in parts)
    return HEAD + b"Content-Type: multipart/" + subtype + b"; boundary=bound\r\n\r\n" + joined + b"--bound--\r\n"


PLAIN = b"Content-Type: text/plain\r\n\r\nplain"
HTML = b"Content-Type: text/html\r\n\r\n<b>rich</b>"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 3


def encoded(header: bytes, content: bytes = PNG) -> bytes:
    return header + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(content)


def test_alternatives(read: Read) -> None:
    mail = read(mixed(PLAIN, HTML, subtype=b"alternative"))
    assert (mail.full_text, mail.html, mail.attachments) == ("plain", "<b>rich</b>", ())


def test_an_inline_image_of_html(read: Read) -> None:
    image = encoded(b"Content-Type: image/png\r\nContent-ID: <one@a.test>\r\nContent-Disposition: inline")
    (found,) = read(mixed(HTML, image, subtype=b"related")).attachments
    assert (found.name, found.type, found.inline, found.content_id) == ("image-1.png", "image/png", True, "one@a.test")
    assert (found.sha256, found.size) == (hashlib.sha256(PNG).hexdigest(), len(PNG))


NAMES = {
    b'Content-Disposition: attachment; filename="a b.pdf"': "a b.pdf",
    b"Content-Disposition: attachment; filename=a b.pdf": "a b.pdf",
    b"Content-Disposition: attachment; filename*=utf-8''%C3%A5.pdf": "å.pdf",
    b"Content-Disposition: attachment; filename*0*=utf-8''%C3%A5; filename*1=b; filename*2=.pdf": "åb.pdf",
    b"Content-Disposition: attachment; filename*1=b.pdf; filename*0=a": "ab.pdf",
    b'Content-Disposition: attachment; filename="=?utf-8?q?=C3=A5.pdf?="': "å.pdf",
    b'Content-Disposition: attachment; filename="\xe5.pdf"': "å.pdf",
    "Content-Disposition: attachment; filename=å.pdf".encode(): "å.pdf",
    b'Content-Disposition: attachment\r\nContent-Type: application/pdf; name="n.pdf"': "n.pdf",
    b'Content-Disposition: attachment; filename="../../etc/x\x00.txt"': "x.txt",
    b'Content-Disposition: attachment; filename="C:\\Users\\a\\x.txt"': "x.txt",
    'Content-Disposition: attachment; filename="inv\u202efdp.exe"'.encode(): "invfdp.exe",
    b'Content-Disposition: attachment; filename=".."': "attachment-1.bin",
    b'Content-Disposition: attachment; filename=""': "attachment-1.bin",
    b"Content-Type: application/pdf": "attachment-1.pdf",
    b'Content-Disposition: attachment; filename="' + b"x" * 5000 + b'.pdf"': "x" * 251 + ".pdf",
}


@pytest.mark.parametrize("header", NAMES)
def test_names(read: Read, header: bytes) -> None:
    header = header if b"Content-Type" in header else b"Content-Type: application/octet-stream\r\n" + header
    (found,) = read(mixed(PLAIN, encoded(header))).attachments
    assert found.name == NAMES[header] if header in NAMES else found.name == NAMES[header.split(b"\r\n", 1)[1]]


def test_a_nested_message_keeps_its_octets_and_its_words(tmp_path: Path) -> None:
    inner = b"From: x@y.test\r\nSubject: inner\r\n\r\nbare LF\nand bare CR\rinner words\r\n"
    kept = Kept()
    mail = parse(spooled(tmp_path / "m", mixed(PLAIN, b"Content-Type: message/rfc822\r\n\r\n" + inner)), kept)
    assert kept.contents == [inner]
    assert mail.full_text == "plain"
    assert [one.name for one in mail.attachments] == ["message-1.eml"]


def test_rfc2046_5_2_pieces_and_pointers_are_files(tmp_path: Path) -> None:
    """A piece of a mail is not put together with others, and what an external body points to is not fetched."""
    piece = b'Content-Type: message/partial; id="x@y.test"; number=1; total=2\r\n\r\nFrom: a@b.test\r\n\r\nhalf'
    pointer = (
        b'Content-Type: message/external-body; access-type=URL; URL="http://127.0.0.1:9/x"\r\n\r\n'
        b"Content-Type: text/plain\r\n\r\n"
    )
    kept = Kept()
    mail = parse(spooled(tmp_path / "m", mixed(PLAIN, piece, pointer)), kept)
    assert mail.full_text == "plain"
    assert [one.type for one in mail.attachments] == ["message/partial", "message/external-body"]
    assert kept.contents == [part.partition(b"\r\n\r\n")[2] for part in (piece, pointer)]
    assert {Defect.PARTIAL_MESSAGE, Defect.EXTERNAL_BODY} <= set(mail.defects)


@pytest.mark.parametrize(
    "media_type", ["application/x-nobody-knows", "model/odd", "strange/one; x=y", "text/x-unheard"]
)
def test_rfc2049_2_unknown_types_are_files(tmp_path: Path, media_type: str) -> None:
    kept = Kept()
    part = encoded(f"Content-Type: {media_type}".encode())
    (found,) = parse(spooled(tmp_path / "m", mixed(PLAIN, part)), kept).attachments
    assert (kept.contents, found.type, found.inline) == ([PNG], media_type.partition(";")[0], False)


def test_rfc2045_6_8_junk_in_base64(tmp_path: Path) -> None:
    head = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    junk = b"!*\xff\r\n -".join(base64.b64encode(PNG)[at : at + 7] for at in range(0, len(PNG) * 4 // 3, 7))
    kept = Kept()
    parse(spooled(tmp_path / "m", mixed(PLAIN, head + junk)), kept)
    assert kept.contents == [PNG]


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit", "x-uuencode"])
def test_transfer_encodings_in_blocks(tmp_path: Path, encoding: str) -> None:
    content = random.Random(1).randbytes(900_001)
    if encoding == "base64":
        wire = base64.encodebytes(content).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable":
        wire = binascii.b2a_qp(content, istext=False)
    elif encoding == "8bit":
        wire = content
    else:
        lines = [binascii.b2a_uu(content[at : at + 45]) for at in range(0, len(content), 45)]
        wire = b"begin 644 x.bin\n" + b"".join(lines) + b"`\nend\n"
    kept = Kept()
    part = f"Content-Type: application/zip; name=x.zip\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + wire
    parse(spooled(tmp_path / "m", mixed(PLAIN, part)), kept)
    assert kept.contents == [content]


def test_uuencode_in_the_text(tmp_path: Path) -> None:
    lines = [binascii.b2a_uu(PNG[at : at + 45]) for at in range(0, len(PNG), 45)]
    body = (
        b"See below.\r\n\r\nbegin 644 shot.png\r\n" + b"".join(lines).replace(b"\n", b"\r\n") + b"`\r\nend\r\n\r\nBye"
    )
    kept = Kept()
    mail = parse(spooled(tmp_path / "m", HEAD + b"\r\n" + body), kept)
    assert kept.contents == [PNG]
    assert [one.name for one in mail.attachments] == ["shot.png"]
    assert mail.full_text == "See below.\n\n\nBye"
    assert Defect.UUENCODED_PART in mail.defects


def test_a_sentence_that_begins_is_no_uuencode(read: Read) -> None:
    body = b"begin 644 reasons to like it\nHello\nend\n"
    assert read(HEAD + b"\r\n" + body).attachments == ()


def tnef(*files: tuple[str, bytes]) -> bytes:
    """A winmail.dat with these files (MS-OXTNEF §2.1.3)."""

    def attribute(level: int, name: int, kind: int, content: bytes) -> bytes:
        return struct.pack("<BHHI", level, name, kind, len(content)) + content + struct.pack("<H", sum(content) % 65536)

    out = struct.pack("<IH", 0x223E9F78, 1) + attribute(1, 0x9006, 8, struct.pack("<I", 0x10000))
    for name, content in files:
        out += attribute(2, 0x9002, 6, bytes(14))
        out += attribute(2, 0x8010, 1, name.encode() + b"\x00") + attribute(2, 0x800F, 6, content)
    return out


def test_tnef_is_unpacked(tmp_path: Path) -> None:
    wrapper = encoded(b'Content-Type: application/ms-tnef; name="winmail.dat"', tnef(("a.png", PNG), ("b.txt", b"hej")))
    kept = Kept()
    mail = parse(spooled(tmp_path / "m", mixed(PLAIN, wrapper)), kept)
    assert kept.contents == [PNG, b"hej"]
    assert [one.name for one in mail.attachments] == ["a.png", "b.txt"]
    assert Defect.TNEF_UNPACKED in mail.defects


@pytest.mark.parametrize("content", [b"", b"nonsense", tnef(("a", b"x"))[:40], tnef(*[("a", b"")] * 3000)])
def test_tnef_that_cannot_be_read_stays_a_file(read: Read, content: bytes) -> None:
    mail = read(mixed(PLAIN, encoded(b'Content-Type: application/ms-tnef; name="winmail.dat"', content)))
    assert [one.name for one in mail.attachments] == ["winmail.dat"]


def test_the_content_key_is_the_same_on_two_ways(read: Read) -> None:
    raw = mixed(PLAIN, encoded(b"Content-Type: image/png"))
    one, two = read(raw), read(b"Received: from elsewhere\r\nX-Spam: no\r\n" + raw)
    assert one.content_key == two.content_key != ""
    assert one.sha256 != two.sha256
    for changed in (
        raw.replace(b"plain\r\n", b"plane\r\n"),
        raw.replace(b"Hello", b"Hallo"),
        raw.replace(b"su@", b"si@"),
        raw.replace(b"<1@", b"<2@"),
        raw.replace(b"iVBOR", b"iVBOS"),
    ):
        assert changed != raw and read(changed).content_key != one.content_key


def test_texts_that_differ_beyond_what_is_kept_are_no_copies(read: Read) -> None:
    long = HEAD + b"\r\n" + b"a line of text that is repeated\r\n" * 60_000
    one, two = read(long + b"one"), read(long + b"two")
    assert one.full_text == two.full_text and len(one.full_text) == 256 * 1024
    assert Defect.TEXT_TRUNCATED in one.defects
    assert one.content_key != two.content_key


def test_over_a_limit_the_safe_facts_are_kept(read: Read) -> None:
    mail = read(b"From: su@acme.test\r\nSubject: big\r\nTo: " + b"a@b.test, " * 600 + b"\r\n\r\nbody")
    assert mail.over_limit == Limit.ADDRESSES
    assert mail.author is not None and mail.author.address == "su@acme.test"
    assert (mail.subject, mail.to, mail.text, mail.attachments) == ("big", (), "", ())


@pytest.mark.parametrize(
    "raw",
    [
        b"From: su@acme.test\r\nX: " + b"y" * 600_000 + b"\r\nFrom: x@evil.test\r\n\r\nbody",
        b"From: su@acme.test\r\n" + b"X: y\r\n" * 2_000 + b"From: x@evil.test\r\n\r\nbody",
        b"From: su@acme.test\r\nFrom: " + b"y" * 9_000 + b"\r\nTo: " + b"a@b.test, " * 600 + b"\r\n\r\nbody",
    ],
)
def test_over_a_limit_a_from_field_out_of_sight_leaves_the_author_open(read: Read, raw: bytes) -> None:
    mail = read(raw)
    assert mail.over_limit and (mail.author, mail.author_verdict) == (None, AuthorVerdict.AMBIGUOUS)


def test_limits_are_an_argument(tmp_path: Path) -> None:
    mail = parse(spooled(tmp_path / "m", mixed(PLAIN, PLAIN)), HashOnly(), ScanLimits(parts=2))
    assert mail.over_limit == Limit.PARTS


def test_a_fault_of_the_sink_is_raised(tmp_path: Path) -> None:
    class Full:
        def put(self, chunks: Iterable[bytes]) -> tuple[str, int]:
            raise ValueError("bucket is gone")

    with pytest.raises(ValueError, match="bucket is gone"):
        parse(spooled(tmp_path / "m", mixed(PLAIN, encoded(b"Content-Type: image/png"))), Full())


def test_a_missing_spool_file_is_raised(tmp_path: Path) -> None:
    mail = replace(spooled(tmp_path / "m", HEAD), path=tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        parse(mail, HashOnly())


def test_a_fault_of_our_own_is_a_word_and_no_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr("ingest.mime.parse.read_header", broken)
    assert parse(spooled(tmp_path / "m", HEAD), HashOnly()).over_limit == Limit.UNREADABLE


# M11 and what else cost seconds or gigabytes on the way here; each within the budget of one mail.
BOMBS = {
    "nested": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(1000)),
    "parts": HEAD + b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\n\n" * 100_000,
    "words": b"Subject: " + b"=?utf-8?q?a?= " * 20_000 + b"\n\nx",
    "half words": b"Subject: " + b"=?a?q?" * 2_900 + b"x" * 400_000 + b"\n\nx",
    "brackets": b"Message-ID: " + b"<" * 100_000 + b"\n\nx",
    "comments": b"From: " + b"(" * 100_000 + b"\n\nx",
    "quotes": b"From: " + b'"' * 100_001 + b"\n\nx",
    "addresses": b"From: " + b"a@b.test," * 400 + b"\n\nx",
    "parameters": b"Content-Type: text/plain" + b"; a=b" * 50_000 + b"\n\nx",
    "sections": b"Content-Type: application/x" + b"; name*1*=b" * 20_000 + b"\n\nx",
    "headings": HEAD + b"\n" + b"On \n" * 100_000,
    "dated headings": HEAD + b"\n" + b"On 2024 x<x@y>\n" * 20_000,
    "begin lines": HEAD + b"\n" + b"begin 644 x\nA\n\nend\n" * 50_000,
    "misfits": HEAD + b"Content-Type: text/plain; charset=gb2312\n\n" + b"\xff\n" * 500_000,
    "deep HTML": HEAD + b"Content-Type: text/html\n\n" + b"<div>" * 50_000,
    "padded HTML": HEAD + b'Content-Type: text/html\n\n' + b'<div style="padding-left:100000em">x</div>' * 6_000,
    "long cell": HEAD + b"Content-Type: text/html\n\n<table><tr><td>" + b"x" * 100_000 + b"<tr><td>y<td>z" * 9_000,
    "short uuencode": HEAD + b"Content-Type: a/x\nContent-Transfer-Encoding: x-uuencode\n\n" + b"\n" * 3_000_000,
    "TNEF objects": HEAD
    + b"Content-Type: application/ms-tnef\n\n\x78\x9f\x3e\x22\x00\x00"
    + (b"\x01" + bytes(10)) * 300_000,
    "hyphens": HEAD + b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\n" + b"\r--y" * 500_000,
    "lone CR": HEAD.replace(b"\r\n", b"\r") + b"\r" * 1_000_000,
    "nothing but NUL": bytes(1_000_000),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(read: Read, name: str) -> None:
    start = time.process_time()
    read(BOMBS[name])
    assert time.process_time() - start < 2


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """A few octets changed, a piece doubled, cut or moved."""
    out = bytearray(raw)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(out) + 1)
        length = chance.choice([1, 1, 2, 5, 40])
        match chance.randrange(5):
            case 0:
                out[at : at + 1] = chance.choice(
                    [b"\x00", b"\xff", b"\r", b"\n", b"<", b'"', b"(", b"=?", b"--", b";", b"*"]
                )
            case 1:
                del out[at : at + length]
            case 2:
                out[at:at] = out[at : at + length] * chance.choice([1, 3, 50])
            case 3:
                out[at:at] = chance.randbytes(length)
            case _:
                other = chance.randrange(len(out) + 1)
                out[at:at] = out[other : other + length]
    return bytes(out)


SEEDS = [
    mixed(PLAIN, encoded(b'Content-Type: image/png; name="a.png"\r\nContent-ID: <x@y.test>')),
    mixed(PLAIN, HTML, subtype=b"alternative"),
    mixed(PLAIN, b"Content-Type: message/rfc822\r\n\r\n" + mixed(PLAIN)),
    mixed(PLAIN, encoded(b"Content-Type: application/ms-tnef", tnef(("a", b"b"), ("c", b"d")))),
    b"From: =?utf-8?b?w6U=?= <a@b.test>\r\nSubject: =?gb2312?b?1tDOxA==?=\r\nDate: Tue, 24 Nov 2026 10:00:00 +0100\r\n"
    b"Content-Type: text/plain; charset*=utf-8''utf-16; name*0*=x''%41; name*1=b\r\n\r\n"
    b"On 1 Jan 2024, a <a@b.test> wrote:\r\n> x",
    HEAD + b"\r\nbegin 644 x\r\n#0V%T\r\n`\r\nend\r\n",
    HEAD + b"Content-Type: text/html\r\n\r\n<html><meta charset=koi8-r><div class=gmail_quote><table><tr><td>x",
]


def fuzz(read: Read, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    seeds = SEEDS + [path.read_bytes() for path in sorted(CORPUS.glob("**/*.eml"))]
    for _ in range(rounds):
        raw = mutated(chance.choice(seeds), chance)
        mail = read(raw)
        assert mail.over_limit != Limit.UNREADABLE, raw
        assert (mail.author is not None) == (mail.author_verdict is AuthorVerdict.ONE), raw
        for text in (mail.subject, mail.text, mail.full_text, *(one.name for one in mail.attachments)):
            assert "\x00" not in text, raw
            text.encode("utf-8")
        for line in (mail.subject, mail.message_id or "", *(one.name for one in mail.attachments), *mail.references):
            assert "\r" not in line and "\n" not in line, raw
        assert set(mail.defects) <= set(Defect)


def test_mutations(read: Read) -> None:
    fuzz(read, 400, seed=20261124)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_many_mutations(read: Read, seed: int) -> None:
    fuzz(read, 5_000, seed)
