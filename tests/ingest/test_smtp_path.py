"""ingest/smtp/path.py: RFC 5321 §4.1.2, RFC 6531 §3.3."""

import pytest

from ingest.smtp.path import PathArgument, parse_path

GOOD = [
    ("<>", "", {}),
    (" <su@acme.test>", "su@acme.test", {}),
    ("<Su.Ann+x=1@ACME.Test> SIZE=10 BODY=8BITMIME", "Su.Ann+x=1@acme.test", {"SIZE": "10", "BODY": "8BITMIME"}),
    ('<"a b>c"@acme.test>', '"a b>c"@acme.test', {}),
    (r'<"a\"@x"@acme.test>', r'"a\"@x"@acme.test', {}),
    ("<a@[192.0.2.1]>", "a@[192.0.2.1]", {}),
    ("<a@[IPv6:2001:db8::1]>", "a@[ipv6:2001:db8::1]", {}),
    ("<a@host_1.acme.test>", "a@host_1.acme.test", {}),
    ("<ünï@exämple.test> SMTPUTF8", "ünï@exämple.test", {"SMTPUTF8": None}),
    (f"<{'l' * 64}@{'d' * 63}.{'d' * 63}.{'d' * 61}>", f"{'l' * 64}@{'d' * 63}.{'d' * 63}.{'d' * 61}", {}),
    (f"<a@{'.'.join(['d' * 63] * 3 + ['d' * 63])}>", f"a@{'.'.join(['d' * 63] * 4)}", {}),
    (f"<{'v' * 120}@mailer.test>", f"{'v' * 120}@mailer.test", {}),  # longer than allowed, but real (VERP of others)
]
BAD = [
    (None, "501"),
    ("", "501"),
    ("su@acme.test", "501"),
    ("<su@acme.test", "501"),
    ("<su@acme.test>x", "501"),
    ("<<su@acme.test>>", "501"),
    ("<su@acme.test> SIZE=", "501"),
    ("<su@acme.test> SIZE=1 size=2", "501"),
    ("<su @acme.test>", "501"),
    ("<su@acme.test> =1", "501"),
    ("<@relay.test:su@acme.test>", "553 5.7.1 Source routes"),
    ("<@a.test,@b.test:su@acme.test>", "553 5.7.1 Source routes"),
    ("<su@>", "553"),
    ("<@>", "553"),
    ("<su@@acme.test>", "553"),
    ("<a@b@acme.test>", "553"),
    ("<su.@acme.test>", "553"),
    ("<.su@acme.test>", "553"),
    ("<su@acme..test>", "553"),
    ("<su@acme.test.>", "553"),
    ("<su@-acme.test>", "553"),
    ("<su@acme.test\x00>", "553"),
    ("<su\x7f@acme.test>", "553"),
    ("<ünï@acme.test>", "553"),
    ("<\udcff@acme.test> SMTPUTF8", "553"),
    ('<"unclosed@acme.test>', "501"),
    ("<" + '"' * 5000, "501"),
]


@pytest.mark.parametrize(("text", "address", "parameters"), GOOD)
def test_good(text: str, address: str, parameters: dict[str, str | None]) -> None:
    path = parse_path("FROM:" + text, "FROM:", smtputf8=None)
    assert isinstance(path, PathArgument) and (path.address, path.parameters) == (address, parameters)
    assert isinstance(parse_path("from:" + text, "FROM:", smtputf8=None), PathArgument)


@pytest.mark.parametrize(("text", "code"), BAD)
def test_bad(text: str | None, code: str) -> None:
    reply = parse_path(None if text is None else "TO:" + text, "TO:", smtputf8="SMTPUTF8" in (text or ""))
    assert isinstance(reply, str) and reply.startswith(code)
