"""ingest/smtp/transparency.py: RFC 5321 §2.3.8, §4.1.1.4, §4.5.2, cut at every place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.smtp.transparency import DataReader


def read(blocks: list[bytes]) -> tuple[bytes, bytes | None]:
    reader, octets = DataReader(), b""
    for at, block in enumerate(blocks):
        found, rest = reader.feed(block)
        octets += found
        if rest is not None:
            return octets, rest + b"".join(blocks[at + 1 :])
    return octets, None


CASES = [
    (b".\r\n", b"", b""),
    (b"\r\n.\r\n", b"\r\n", b""),
    (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
    (b"..\r\n.\r\n", b".\r\n", b""),
    (b"..a\r\n..b\r\n.\r\n", b".a\r\n.b\r\n", b""),
    (b".a\r\n.\r\n", b"a\r\n", b""),
    (b"a..b\r\n.\r\n", b"a..b\r\n", b""),
    (b"\r\n..\r\n...\r\n.\r\n.\r\n", b"\r\n.\r\n..\r\n", b".\r\n"),
    (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n", b""),
    (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n", b""),
    (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n", b""),
    (b"a\r.\r\nb\r\n.\r\n", b"a\r.\r\nb\r\n", b""),
    (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n", b""),
    (b"a\r\r\n.\r\n", b"a\r\r\n", b""),
    (b"a\r\n\0.\r\nb\r\n.\r\n", b"a\r\n\0.\r\nb\r\n", b""),
]


@pytest.mark.parametrize(("wire", "mail", "behind"), CASES)
def test_every_cut_gives_the_same(wire: bytes, mail: bytes, behind: bytes) -> None:
    assert read([wire]) == (mail, behind)
    assert read([wire[at : at + 1] for at in range(len(wire))]) == (mail, behind)
    for cut in range(len(wire)):
        assert read([wire[:cut], wire[cut:]]) == (mail, behind)


@given(st.lists(st.sampled_from([b".", b"\r\n", b"\r", b"\n", b"a"])), st.integers(1, 7))
def test_what_is_stuffed_comes_back(pieces: list[bytes], step: int) -> None:
    mail = b"".join(pieces) + b"\r\n"
    wire = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in mail.split(b"\r\n")) + b".\r\nNOOP"
    assert read([wire[at : at + step] for at in range(0, len(wire), step)]) == (mail, b"NOOP")
