"""What one hostile mail may cost: each form of it is read within seconds of CPU, whatever its size."""

import encodings
import pkgutil
import time

import pytest

from ingest.mime.charset import codec_of
from ingest.mime.defects import Defect
from ingest.mime.header import HeaderFacts, read_header
from ingest.mime.params import text_param
from ingest.mime.scan import Field

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
