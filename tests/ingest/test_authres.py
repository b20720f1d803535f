"""Authentication-Results: only our border's word counts, wherever a sender puts his (RFC 8601, threats T02, T03)."""

import re
import time

import pytest

from ingest.auth.results import Border, parse_authres, read_authres
from ingest.mime.scan import Field
from values.mail import AuthEvidence
from values.vocabulary import AuthResult, Belief

GOOD = b"Authentication-Results: mx.hd.test; dmarc=pass header.from=acme.test\r\n"
BAD = b"Authentication-Results: mx.hd.test; dmarc=fail (p=reject dis=none) header.from=acme.test\r\n"
HOP = b"Received: from evil.test (evil.test [192.0.2.1]) by mx.hd.test with ESMTPS id 1; Mon, 2 Mar 2026\r\n"
STORE = b"Received: from mx.hd.test by store.hd.test with LMTP id 2; Mon, 2 Mar 2026 10:00:01 +0000\r\n"
BEFORE = b"Received: from pc by evil.test with ESMTP id 3; Mon, 2 Mar 2026 09:59:59 +0000\r\n"
REST = b"From: su@acme.test\r\nTo: support@hd.test\r\nSubject: hi\r\n"


def fields(raw: bytes) -> list[Field]:
    lines = re.sub(rb"\r\n(?=[ \t])", b"\n", raw).split(b"\r\n")
    pairs = (line.partition(b":") for line in lines if line)
    return [Field(name.decode().strip().lower(), value.replace(b"\n", b"\r\n") + b"\r\n") for name, _, value in pairs]


def read(
    raw: bytes, authserv_id: str = "mx.hd.test", author: str = "acme.test", own_hosts: tuple[str, ...] = ()
) -> AuthEvidence | None:
    return read_authres(fields(raw), Border(authserv_id=authserv_id, own_hosts=own_hosts), author)


def belief(raw: bytes, **settings: object) -> Belief | None:
    found = read(raw, **settings)  # type: ignore[arg-type]
    return found.belief if found else None


def test_word_of_our_border() -> None:
    found = read(
        b"Return-Path: <su@acme.test>\r\n"
        b"Authentication-Results: mx.hd.test;\r\n dkim=fail header.d=list.test;\r\n dkim=pass header.d=acme.test;\r\n"
        b" spf=softfail smtp.mailfrom=su@acme.test;\r\n"
        b"\tdmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=acme.test\r\n"
        + HOP + BEFORE + REST
    )  # fmt: skip
    assert found == AuthEvidence(
        spf=AuthResult.SOFTFAIL,
        dkim=AuthResult.PASS,
        dkim_domains=("acme.test",),
        dmarc=AuthResult.PASS,
        belief=Belief.BELIEVED,
        evidence=("mx.hd.test says dmarc=pass for acme.test",),
    )


# --- T02: a sender writes the field himself


@pytest.mark.parametrize(
    "forged",
    [
        GOOD,
        GOOD.lower(),
        GOOD.upper(),
        GOOD.replace(b"mx.hd.test;", b"mx.hd.test 1;"),
        GOOD.replace(b"mx.hd.test;", b"(a (nested) comment) mx.hd.test (x) 1 (y) ;"),
        GOOD.replace(b": mx.hd.test;", b":\r\n\tMX.HD.TEST\r\n ;"),
        GOOD.replace(b"Results:", b"Results :"),
        GOOD.replace(b"dmarc=pass", b"dmarc/1 = pass"),
        GOOD + GOOD,
    ],
)
@pytest.mark.parametrize(
    "where",
    [
        HOP + b"%s" + BEFORE + REST,  # directly below our own trace: on top of all that he wrote
        HOP + BEFORE + b"%s" + REST,
        HOP + BEFORE + REST + b"%s",
        HOP + b"%s" + REST,
        b"%s" + REST,  # no Received field at all: it did not come through a border
    ],
)
def test_forged_field_says_nothing(where: bytes, forged: bytes) -> None:
    assert read(where.replace(b"%s", forged)) is None
    if where.startswith(HOP):  # nor does it change what the border says
        assert belief(BAD + where.replace(b"%s", forged)) is Belief.REFUTED
        assert belief(GOOD + where.replace(b"%s", forged.replace(b"pass", b"fail"))) is Belief.BELIEVED


@pytest.mark.parametrize(
    "value",
    [
        b"mx.hd.test; dmarc=pass header.from=acme.test",
        b"MX.hd.test; DMARC=PASS HEADER.FROM=ACME.TEST.",
        b"(c) mx.hd.test (c) 1 (c); dmarc=pass (p=none) header.from=acme.test",
        b"mx.hd.test/1; dmarc=pass header.from=acme.test",
        b'mx.hd.test; dmarc=pass reason="a; dmarc=fail" header.from=acme.test;',
        b"mx.hd.test; dmarc/1 = pass header . from = \"acme.test\"",
        b"mx.hd.test; dkim=pass header.b=abc; dmarc=pass policy.dmarc=reject header.from=acme.test; arc=none",
    ],
)  # fmt: skip
def test_forms_of_the_field(value: bytes) -> None:
    assert belief(b"Authentication-Results: " + value + b"\r\n" + HOP + REST) is Belief.BELIEVED


@pytest.mark.parametrize(
    "value",
    [
        b"mx.hd.test.evil.test; dmarc=pass header.from=acme.test",
        b"evil.test; dmarc=pass header.from=acme.test",
        b"mx.hd.test 2; dmarc=pass header.from=acme.test",  # a version that nobody knows
        b"(mx.hd.test); dmarc=pass header.from=acme.test",
        b"dmarc=pass header.from=acme.test",
        b"spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=acme.test; dmarc=pass action=none header.from=acme.test",
        b"mx.hd.test; dmarc=pass header.from=acme.test (" + b"(" * 9000,
        b"",
    ],
)
def test_not_the_word_of_our_border(value: bytes) -> None:
    assert read(b"Authentication-Results: " + value + b"\r\n" + HOP + REST) is None


@pytest.mark.parametrize("border", [None, Border(authserv_id="")])
def test_way_in_that_is_not_set_up_says_nothing(border: Border | None) -> None:
    assert read_authres(fields(GOOD + HOP + REST), border, "acme.test") is None


# --- what it says


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (b"dmarc=pass header.from=acme.test", Belief.BELIEVED),
        (b"dmarc=pass header.from=evil.test", Belief.UNPROVED),  # T03: the border saw another author
        (b"dmarc=pass header.from=mail.acme.test", Belief.UNPROVED),
        (b"dmarc=pass", Belief.UNPROVED),
        (b"dmarc=pass header.from=acme.test header.from=evil.test", Belief.UNPROVED),
        (b"dmarc=pass (header.from=acme.test)", Belief.UNPROVED),
        (b"dkim=pass header.d=acme.test; spf=pass smtp.mailfrom=acme.test", Belief.UNPROVED),  # T13
        (b"dmarc=none header.from=acme.test", Belief.UNPROVED),
        (b"dmarc=temperror header.from=acme.test", Belief.UNPROVED),
        (b"dmarc=bestguesspass header.from=acme.test", Belief.UNPROVED),
        (b"dmarc=fail header.from=acme.test", Belief.REFUTED),
        (b"dmarc=fail (p=none dis=none) header.from=acme.test", Belief.UNPROVED),
        (b"dmarc=fail (p=NONE sp=QUARANTINE dis=NONE) header.from=acme.test", Belief.REFUTED),
        (b"dmarc=fail (p=reject dis=none) header.from=acme.test", Belief.REFUTED),
        (b"dmarc=fail (p=reject) header.from=evil.test", Belief.UNPROVED),
        (b"dmarc=pass header.from=acme.test; dmarc=fail header.from=acme.test", Belief.UNPROVED),
        (b"none", Belief.UNPROVED),
    ],
)
def test_results(results: bytes, expected: Belief) -> None:
    assert belief(b"Authentication-Results: mx.hd.test; " + results + b"\r\n" + HOP + REST) is expected


def test_fields_of_our_border_must_agree() -> None:
    assert belief(GOOD + GOOD + HOP + REST) is Belief.BELIEVED
    assert belief(GOOD + BAD + HOP + REST) is Belief.UNPROVED
    assert belief(BAD + GOOD + HOP + REST) is Belief.UNPROVED
    one_field_for_each_method = b"Authentication-Results: mx.hd.test; dkim=pass header.d=acme.test\r\n"
    assert belief(one_field_for_each_method + GOOD + HOP + REST) is Belief.BELIEVED


# --- hosts of ours above the field


@pytest.mark.parametrize(
    ("raw", "own_hosts", "expected"),
    [
        (STORE + GOOD + HOP + REST, (), None),
        (STORE + GOOD + HOP + REST, ("store.hd.test",), Belief.BELIEVED),
        (STORE + GOOD + HOP + REST, ("hd.test",), Belief.BELIEVED),
        (STORE + GOOD + HOP + REST, ("re.hd.test",), None),
        # a border that writes its results below its own trace, as Gmail does
        (HOP + GOOD + BEFORE + REST, ("mx.hd.test",), Belief.BELIEVED),
        (HOP + BAD + BEFORE + GOOD + REST, ("mx.hd.test",), Belief.REFUTED),
        (HOP + BAD + HOP + GOOD + BEFORE + REST, ("mx.hd.test",), Belief.UNPROVED),  # he forged our trace as well
        (b"Received: by 2002:a17:906::1 with SMTP id 4; x\r\n" + GOOD + HOP + REST, ("2002:",), Belief.BELIEVED),
        # a client that greets us with the name of our store
        (HOP.replace(b"evil.test (evil.test", b"x (by store.hd.test") + GOOD + REST, ("store.hd.test",), None),
        (HOP.replace(b"evil.test (evil.test", b"x by store.hd.test (y") + GOOD + REST, ("store.hd.test",), None),
        (HOP.replace(b"evil.test (evil.test", b"((x) by store.hd.test (y") + GOOD + REST, ("store.hd.test",), None),
    ],
)  # fmt: skip
def test_hosts_of_ours(raw: bytes, own_hosts: tuple[str, ...], expected: Belief | None) -> None:
    assert belief(raw, own_hosts=own_hosts) is expected


@pytest.mark.parametrize("bad", [b"(" * 8000, b"() " * 2600, b"; a=b" * 1600, b"smtp.x " * 1100, b'"\\a ' * 2000])
def test_field_made_to_keep_us_busy(bad: bytes) -> None:
    started = time.process_time()
    parse_authres((b"mx.hd.test; dmarc=pass " + bad).decode())
    assert time.process_time() - started < 0.5
