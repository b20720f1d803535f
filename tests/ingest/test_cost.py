"""What one hostile mail may cost: each form of it is read within seconds of CPU, whatever its size."""

import encodings
import pkgutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.mime.charset import codec_of
from ingest.mime.content import HashOnly
from ingest.mime.defects import Defect
from ingest.mime.header import HeaderFacts, read_header
from ingest.mime.params import text_param
from ingest.mime.parse import parse
from ingest.mime.scan import Field
from values.mail import Envelope, ParsedMail, SpooledMail
from values.vocabulary import Source

CPU = 2.0  # seconds for one mail
EVIL = ("punycode", "utf-7", "UTF_7", "unicode-1-1-utf-7", "idna", "unicode_escape", "raw-unicode-escape", "undefined",
        "mbcs", "oem", "rot13", "zip", "bz2", "hex", "uu", "base64", "quopri", "string_escape", "charmap")  # fmt: skip


def header(name: str, value: bytes) -> tuple[HeaderFacts, float, list[Defect]]:
    """The facts of a mail with this field, the seconds of CPU they took, what was odd."""
    fields = [Field("from", b"Ana <ana@acme.test>")] * (name != "from") + [Field(name, value)]
    defects: dict[Defect, None] = {}
    began = time.process_time()
    facts = read_header(tuple(fields), defects)
    return facts, time.process_time() - began, list(defects)


@pytest.mark.parametrize("charset", EVIL)
def test_T44_a_codec_that_is_no_charset_reaches_no_octets(charset: str) -> None:
    assert codec_of(charset) is None and codec_of(charset.upper()) is None
    assert text_param({"name*": f"{charset}''a+2AA-%41"}, "name") == "a+2AA-A"


def test_T44_every_codec_on_the_list_is_linear() -> None:
    modules = {module.name for module in pkgutil.iter_modules(encodings.__path__)}
    octets = b"b+\x1b$B~{=\xe3\x81" * 12_500
    for codec in sorted({codec for name in modules if (codec := codec_of(name))}):
        began = time.process_time()
        octets.decode(codec, "replace")
        assert time.process_time() - began < 0.5, codec


@pytest.mark.parametrize("name", ["reply-to", "to", "cc", "from", "sender", "subject", "references", "auto-submitted"])
@pytest.mark.parametrize("charset", ["punycode", "utf-7", "idna", "unicode_escape", "utf-8", "x" * 70, "a b"])
@pytest.mark.parametrize("shape", ["one long word", "many words", "words that never end"])
def test_T44_words_in_a_header_cost_little(name: str, charset: str, shape: str) -> None:
    word = f"=?{charset}?q?%s?= ".encode()
    value = {
        "one long word": word % (b"b" * 250_000) + b"<r@b.test>",
        "many words": word % (b"b" * 1_900) * 30 + b"<r@b.test>",
        "words that never end": f"=?{charset}?q?".encode() * 20_000,
    }[shape]
    assert header(name, value)[1] < 0.5


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"=?iso-8859-1?q?M\xfcller?=", "Müller"),  # raw 8-bit octets inside a word
        ("=?iso-8859-1?q?Müll=E9r?=".encode(), "Müllér"),
        ("=?utf-8?q?Müller:_Köln_:)?=".encode(), "Müller: Köln :)"),
        (b"=?utf-8?q?Support:_Ana?=", "Support: Ana"),
        (b"=?iso-2022-jp?b?GyRCRWw1fhsoQg==?=", "東京"),
        (b"=?utf-8?b?" + b"QUFB" * 60 + b"?=", "A" * 180),
    ],
)
def test_words_that_others_write_wrong_are_read(written: bytes, shown: str) -> None:
    for name in ("from", "to"):
        facts = header(name, written + b" <ana@acme.test>")[0]
        (mailbox,) = (facts.author,) if name == "from" else facts.to
        assert mailbox is not None and (mailbox.name, mailbox.address) == (shown, "ana@acme.test")


@pytest.mark.parametrize(
    "value",
    [b"=?utf-8?q?<boss@acme.test>?= <ana@evil.test>", b"=?utf-8?q?a,?= boss@acme.test <ana@evil.test>",
     b"=?utf-8?q?boss?=@acme.test <ana@evil.test>", b"=?punycode?q?a(?= boss@acme.test <ana@evil.test>"],
)  # fmt: skip
def test_a_word_that_looks_like_structure_names_no_author(value: bytes) -> None:
    assert header("from", value)[0].author is None


# --- bodies -------------------------------------------------------------------------------------------------------

TOP = b"From: Ana <ana@acme.test>\r\nSubject: x\r\nMIME-Version: 1.0\r\n"


def leaf(encoding: bytes, body: bytes, type: bytes = b"image/png") -> bytes:
    return b"Content-Type: " + type + b"\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body


def parts(one: bytes, count: int) -> bytes:
    return (
        TOP + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + (b"--x\r\n" + one + b"\r\n") * count + b"--x--\r\n"
    )


def html(body: bytes, count: int) -> bytes:
    return parts(leaf(b"8bit", body, b"text/html"), count)


def nested(depth: int) -> bytes:
    return TOP + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth)
    )


# Each makes a mail of about so many octets.
FORMS: dict[str, Callable[[int], bytes]] = {
    "uuencode begins": lambda n: TOP + b"\r\n" + b"begin 644 x\r\n" * (n // 13) + b"\r\nend\r\n",
    "uuencode begins and lines": lambda n: TOP + b"\r\n" + b"begin 644 x\n#8V%T\n" * (n // 18) + b"end\n",
    "uuencode without end": lambda n: TOP + b"\r\n" + b"begin 644 x\n#8V%T\n" * (n // 18),
    "uuencode files": lambda n: TOP + b"\r\n" + b"begin 644 x\n#8V%T\nend\n" * (n // 22),
    "uuencode by base64": lambda n: TOP + b"\r\n" + b"begin-base64 644 x\nQUFB\n" * (n // 24) + b"end\n",
    "uuencoded short lines": lambda n: TOP + leaf(b"x-uuencode", b"!\n" * (n // 2)),
    "uuencoded parts": lambda n: parts(leaf(b"x-uuencode", b"!\n" * (n // 20)), 10),
    "html br": lambda n: html(b"<br>" * 65_000, n // 260_000 + 1),
    "html p": lambda n: html(b"<p>a" * 60_000, n // 240_000 + 1),
    "html table": lambda n: html(b"<table>" + b"<tr><td>a" * 25_000, n // 225_000 + 1),
    "html deep": lambda n: html(b"<div>" * 50_000, n // 250_000 + 1),
    "html open": lambda n: html(b"<" * 250_000, n // 250_000 + 1),
    "html entities": lambda n: html(b"&amp;" * 50_000, n // 250_000 + 1),
    "html attributes": lambda n: html(b"<p " + b"a=b " * 60_000, n // 240_000 + 1),
    "base64 padding": lambda n: TOP + leaf(b"base64", b"=" * n),
    "base64 padded text": lambda n: TOP + leaf(b"base64", b"A=" * (n // 2), b"text/plain"),
    "base64 short pieces": lambda n: TOP + leaf(b"base64", b"AAAA=" * (n // 5)),
    "base64 pieces in parts": lambda n: parts(leaf(b"base64", b"A=" * (n // 200)), 100),
    "base64 junk": lambda n: TOP + leaf(b"base64", b"\x80-" * (n // 2)),
    "quoted-printable breaks": lambda n: TOP + leaf(b"quoted-printable", b"=\n" * (n // 2)),
    "quoted-printable endless": lambda n: TOP + leaf(b"quoted-printable", b"=3D" * (n // 3)),
    "quoted-printable blanks": lambda n: TOP + leaf(b"quoted-printable", b" " * n, b"text/plain"),
    "rfc 2231 sections": lambda n: parts(
        leaf(b"7bit", b"x", b"a/b" + b"".join(b"; name*%d*=%%41" % i for i in range(900))), min(n // 15_000 + 1, 900)
    ),
    "rfc 2231 punycode": lambda n: parts(
        leaf(b"7bit", b"x", b"a/b; name*=punycode''" + b"b" * 16_000), min(n // 16_000 + 1, 900)
    ),
    "type of semicolons": lambda n: parts(leaf(b"7bit", b"x", b"a/b" + b" ;" * 8_000), min(n // 16_000 + 1, 900)),
    "type of quotes": lambda n: parts(leaf(b"7bit", b"x", b'a/b; n="' + b"\\" * 16_000), min(n // 16_000 + 1, 900)),
    "nested types": lambda n: nested(min(n // 60, 2_000)) + b"x" * n,
    "header flood": lambda n: b"X: y\r\n" * (n // 6) + TOP + b"\r\n",
    "header lines folded": lambda n: TOP + b"X: y" + b"\r\n z" * (n // 4) + b"\r\n\r\n",
    "addresses": lambda n: TOP + b"To: " + b"a@b.test, " * (n // 10) + b"\r\n\r\n",
    "punycode in an address": lambda n: (
        TOP + b"Reply-To: =?punycode?q?" + b"b" * min(n, 500_000) + b"?= <r@b.test>\r\n\r\n"
    ),
    "body in punycode": lambda n: TOP + leaf(b"8bit", b"b" * n, b"text/plain; charset=punycode"),
    "body in utf-7": lambda n: TOP + leaf(b"8bit", b"+2AA-" * (n // 5), b"text/plain; charset=utf-7"),
    "body in iso-2022": lambda n: TOP + leaf(b"8bit", b"\x1b$B\x1b(B" * (n // 6), b"text/plain; charset=iso-2022-jp"),
    "quotes": lambda n: TOP + b"\r\n" + b"> a\r\n" * (n // 5),
    "headings": lambda n: TOP + b"\r\n" + b"On 1.1.2020 a <a@b.test> wrote:\r\n" * (n // 33),
    "delimiters": lambda n: parts(b"\r\nx", 1) + b"\r\n--y" * (n // 5),
    "line feeds": lambda n: TOP + b"\r\n" + b"\n" * n,
    "flowed": lambda n: TOP + leaf(b"8bit", b"> a \n" * (n // 5), b"text/plain; format=flowed; delsp=yes"),
    "carriage returns": lambda n: TOP + b"\r\n" + b"\r" * n,
}  # fmt: skip


def read(folder: Path, octets: bytes) -> tuple[ParsedMail, float]:
    """The mail and the seconds of CPU that reading it took."""
    path = folder / "mail"
    path.write_bytes(octets)
    envelope = Envelope(
        reverse_path="ana@acme.test",
        forward_paths=(),
        source=Source.SMTP,
        received_at=datetime.now(UTC),
        client_ip=None,
    )
    mail = SpooledMail(id="x", path=path, offset=0, size=len(octets), sha256="0" * 64, envelope=envelope)
    began = time.process_time()
    return parse(mail, HashOnly()), time.process_time() - began


@pytest.mark.parametrize("form", FORMS)
def test_T42_no_form_of_a_mail_costs_two_seconds(form: str, tmp_path: Path) -> None:
    assert read(tmp_path, FORMS[form](4_000_000))[1] < CPU


@pytest.mark.long
@pytest.mark.parametrize("size", [1_000, 60_000, 400_000, 2_000_000, 10_000_000, 25_000_000])
@pytest.mark.parametrize("form", FORMS)
def test_T42_no_form_of_a_mail_costs_two_seconds_at_any_size(form: str, size: int, tmp_path: Path) -> None:
    assert read(tmp_path, FORMS[form](size))[1] < CPU


def test_uuencoded_files_among_lines_that_only_look_so_are_found(tmp_path: Path) -> None:
    body = b"begin 644 no\nplain words here\nbegin 644 cat.txt\n#8V%T\n`\nend\nafter\n"
    mail, _ = read(tmp_path, TOP + b"\r\n" + body)
    assert [(one.name, one.size) for one in mail.attachments] == [("cat.txt", 3)]
    assert mail.full_text == "begin 644 no\nplain words here\nafter"
