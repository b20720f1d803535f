"""rules/author.py: tables of From fields (RFC 5322 §3.6.2, threats T03-T06, M8)."""

import random

import pytest

from rules.author import plain_address, read_author
from values.vocabulary import AuthorVerdict

ONE, AMBIGUOUS, MISSING = AuthorVerdict.ONE, AuthorVerdict.AMBIGUOUS, AuthorVerdict.MISSING

ACCEPTED = {
    "su@acme.test": ("su@acme.test", ""),
    "<su@acme.test>": ("su@acme.test", ""),
    "Lucía <su@acme.test>": ("su@acme.test", "Lucía"),
    '"Last, First" <su@acme.test>': ("su@acme.test", "Last, First"),
    "Last, First <su@acme.test>": ("su@acme.test", "Last, First"),
    "J. Q. Public <su@acme.test>": ("su@acme.test", "J. Q. Public"),
    "su@acme.test (Lucía)": ("su@acme.test", "Lucía"),
    "Lucía <su@acme.test> (at home)": ("su@acme.test", "Lucía"),
    "Pete(A wonderful \\) chap) <pete(his account)@acme.test(his host)>": ("pete@acme.test", "Pete"),
    "su@acme.test <su@acme.test>": ("su@acme.test", "su@acme.test"),
    "'su@acme.test' <su@acme.test>": ("su@acme.test", "'su@acme.test'"),
    '"victim@acme.test" <x@evil.test>': ("x@evil.test", "victim@acme.test"),  # T05: a quoted name is a name
    "SU@ACME.TEST": ("SU@acme.test", ""),  # RFC 5321 §2.4: the local part keeps its case
    '"su"@acme.test': ("su@acme.test", ""),
    '"su su"@acme.test': ('"su su"@acme.test', ""),
    "su@bücher.test": ("su@xn--bcher-kva.test", ""),
    "su@xn--bcher-kva.test": ("su@xn--bcher-kva.test", ""),
    "root@localhost": ("root@localhost", ""),
    "su@[192.0.2.1]": ("su@[192.0.2.1]", ""),
    "O'Hara <o'hara+x=y@acme.test>": ("o'hara+x=y@acme.test", "O'Hara"),
    "=?utf-8?q?a=40evil=2Etest?= <su@acme.test>": ("su@acme.test", "=?utf-8?q?a=40evil=2Etest?="),
    "su@acme.test,": ("su@acme.test", ""),
}

REFUSED = [
    # the forms of M8 and their kin: two readers, two authors
    "victim@acme.test <x@evil.test>",
    "<victim@acme.test> <x@evil.test>",
    "victim@acme.test;<x@evil.test>",
    "victim@acme.test, x@evil.test",
    "A <a@acme.test>, B <b@evil.test>",
    "A <a@acme.test> B <b@evil.test>",
    "victim@acme.test)x@evil.test",
    "Group: victim@acme.test;",
    "Group: victim@acme.test, x@evil.test;",
    "x@evil.test (victim@acme.test)",
    "(victim@acme.test) x@evil.test",
    "victim@acme.test x@evil.test",
    "<@relay.test:victim@acme.test>",
    "victim@acme.test\x00 <x@evil.test>",
    "victim@acme.test\r\nFrom: x@evil.test",
    '"victim@acme.test <x@evil.test>',
    "<victim@acme.test",
    "victim@acme.test>",
    "((((((victim@acme.test",
    "<victim(>)@acme.test>",
    "<victim@acme.test(@evil.test)>",
    "victim@acme.test@evil.test",
    '"victim@acme.test,"@evil.test',
    '""@acme.test',
    "@acme.test",
    "victim@",
    "victim",
    "victim @evil <a@acme.test>",
    "a..b@acme.test",
    ".a@acme.test",
    # domains that are not what they look like (T06)
    "su@acme.test.",
    "su@acme。test",
    "su@ａcme.test",
    "su@ac\u200bme.test",
    "su@acme\u00ad.test",
    "su@аcme.test",  # a Cyrillic letter among Latin ones
    "s\u200bu@acme.test",
    "su\u202e@acme.test",
    "su@acme .test",
    "su@-acme.test",
    "su@xn--a.test",
    "su@xn--acme.test",
    "su@" + "a" * 64 + ".test",
    "x" * 5000 + "@acme.test",
]


@pytest.mark.parametrize("value", ACCEPTED)
def test_one_mailbox(value: str) -> None:
    verdict, author, _ = read_author([value])
    assert verdict is ONE and author is not None
    assert (author.address, author.name) == ACCEPTED[value]


@pytest.mark.parametrize("value", REFUSED)
def test_ambiguous(value: str) -> None:
    verdict, author, _ = read_author([value])
    assert (verdict, author) == (AMBIGUOUS, None)


@pytest.mark.parametrize("fields", [[], [""], ["  "], ["<>"], [" < > "]])
def test_missing(fields: list[str]) -> None:
    assert read_author(fields)[:2] == (MISSING, None)


@pytest.mark.parametrize("fields", [["su@acme.test", "x@evil.test"], ["x@evil.test", "su@acme.test"], ["a@b.test"] * 2])
def test_two_fields_name_nobody(fields: list[str]) -> None:
    verdict, author, claims = read_author(fields)
    assert (verdict, author) == (AMBIGUOUS, None)
    assert set(claims) == set(fields)


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        (["su@acme.test"], ONE),
        (["SU@acme.test"], AMBIGUOUS),
        (["su@ACME.test"], ONE),
        (['"su"@acme.test'], ONE),
        ([], AMBIGUOUS),
        (["x@evil.test"], AMBIGUOUS),
        (["su@acme.test", "x@evil.test"], AMBIGUOUS),
    ],
)
def test_the_other_parser_must_agree(second: list[str], verdict: AuthorVerdict) -> None:
    assert read_author(["su@acme.test"], second)[0] is verdict


def test_claims_name_whom_a_lenient_reader_sees() -> None:
    assert read_author(["victim@acme.test <x@evil.test>"])[2] == ("victim@acme.test", "x@evil.test")
    assert len(read_author([", ".join(f"a{number}@b.test" for number in range(100))])[2]) == 20


def test_plain_address_refuses_what_is_no_addr_spec() -> None:
    assert plain_address("a@b.test") == "a@b.test"
    assert [plain_address(one) for one in ("", "a", "a@", "a b@c.test", "a@b@c", "<a@b>")] == [None] * 6


def test_random_fields_never_become_a_victim() -> None:
    """10,000 fields put together at random: the victim is the author only where no other address stands in it."""
    chance = random.Random(20261124)
    pieces = [
        "su@acme.test",
        "x@evil.test",
        "<",
        ">",
        '"',
        "(",
        ")",
        ",",
        ";",
        ":",
        " ",
        "\\",
        "@",
        "\x00",
        "\t",
        "A",
        "é",
    ]
    for _ in range(10_000):
        value = "".join(chance.choice(pieces) for _ in range(chance.randint(1, 9)))
        verdict, author, _ = read_author([value])
        if author is not None and author.address == "su@acme.test":
            outside_quotes = "".join(value.split('"')[::2])
            assert "evil" not in outside_quotes, value
        assert (author is not None) == (verdict is ONE)
