"""ingest/smtp/reply.py: RFC 2034 §4, RFC 3463 §2."""

import re

import pytest

from ingest.smtp import path as smtp_path
from ingest.smtp import reply as smtp_reply
from ingest.smtp.reply import enhanced

OURS = [
    text
    for module in (smtp_reply, smtp_path)
    for name, text in vars(module).items()
    if name.isupper() and not name.startswith("_") and isinstance(text, str)
]
OF_THE_LIBRARY = ["221 Bye", "250 OK", "451 Error", "500 Error: command unrecognized", "503 Error: need RCPT", "554 No"]


@pytest.mark.parametrize("reply", OURS + OF_THE_LIBRARY)
def test_rfc2034_the_class_of_each_code_is_that_of_its_reply(reply: str) -> None:
    found = re.match(r"([245])\d\d (?:([245])\.\d{1,3}\.\d{1,3} )?\S", enhanced(reply))
    assert found and found[2] in (found[1], None)
    assert found[2] or reply in OF_THE_LIBRARY, "each of ours carries its code"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("250 OK", "250 2.0.0 OK"),
        ("550 5.1.1 No", "550 5.1.1 No"),
        ("500 Error", "500 5.5.1 Error"),
        ("250-mx.hd.test\r\n250 HELP", "250-mx.hd.test\r\n250 HELP"),
        ("354 Go on", "354 Go on"),
    ],
)
def test_a_reply_gets_the_code_that_it_lacks(reply: str, expected: str) -> None:
    assert enhanced(reply) == expected


def test_rfc5321_4_5_3_1_5_a_reply_is_no_longer_than_allowed() -> None:
    assert len(enhanced("500 " + "x" * 1000)) == 510
