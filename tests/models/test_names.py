"""Domains and addresses have one spelling; look-alikes have one picture (threats T06, T08, T09)."""

import pytest

from values.addresses import canonical_address, canonical_domain, parent_domains, skeleton

T06_DOMAINS = [  # what the From field says -> what we compare; None is held
    ("acme.test", "acme.test"),
    ("ACME.TEST", "acme.test"),
    ("Acme.Test", "acme.test"),
    (" acme.test ", "acme.test"),
    ("acme.test.", None),
    (".acme.test", None),
    ("acme..test", None),
    ("acme。test", None),
    ("acme．test", None),
    ("acme｡test", None),
    ("аcme.test", None),  # Cyrillic а among Latin
    ("acmе.test", None),  # Cyrillic е
    ("αcme.test", None),  # Greek α
    ("ａｃｍｅ.test", None),  # full width
    ("acme.ｔest", None),
    ("ac\u200bme.test", None),  # zero-width space
    ("ac\u200dme.test", None),
    ("acme\u00ad.test", None),  # soft hyphen
    ("ac\u2060me.test", None),
    ("\u202eacme.test", None),
    ("acme.tes\u0442", None),
    ("ac\u212ame.test", None),  # the Kelvin sign lower-cases to k
    ("acme\x00.test", None),
    ("acme .test", None),
    ("acme.test@evil.test", None),
    ("[192.0.2.1]", None),
    ("192.0.2.1", None),
    ("localhost", None),
    ("", None),
    (".", None),
    ("-acme.test", None),
    ("acme-.test", None),
    ("acme_x.test", None),
    ("a" * 64 + ".test", None),
    (".".join(["a" * 60] * 5) + ".test", None),
    ("bücher.test", "xn--bcher-kva.test"),
    ("BÜCHER.test", "xn--bcher-kva.test"),
    ("bu\u0308cher.test", "xn--bcher-kva.test"),
    ("xn--bcher-kva.test", "xn--bcher-kva.test"),
    ("XN--BCHER-KVA.TEST", "xn--bcher-kva.test"),
    ("xn--cme-5cd.test", None),  # аcme as A-label: mixed scripts
    ("xn--acme.test", None),
    ("xn--.test", None),
    ("bü\u200bcher.test", None),  # mapping would drop or fold something and leave a valid name
    ("ｂücher.test", None),
    ("büⅽher.test", None),
    ("пример.test", "xn--e1afmkfd.test"),
    ("例え.test", "xn--r8jz45g.test"),
    ("evil-acme.test", "evil-acme.test"),
]


@pytest.mark.parametrize(("text", "domain"), T06_DOMAINS)
def test_domain_has_one_spelling_or_none(text: str, domain: str | None) -> None:
    assert canonical_domain(text) == domain


T09_ADDRESSES = [
    ("su@acme.test", "su@acme.test"),
    ("SU@acme.test", "su@acme.test"),
    ("su@ACME.test", "su@acme.test"),
    ('"su"@acme.test', "su@acme.test"),
    ("su+x@acme.test", "su+x@acme.test"),
    ("s.u@acme.test", "s.u@acme.test"),
    ("+su@acme.test", "+su@acme.test"),
    ('""@acme.test', None),
    ("@acme.test", None),
    ("su@", None),
    ("su", None),
    ("", None),
    (".su@acme.test", None),
    ("su.@acme.test", None),
    ("s..u@acme.test", None),
    ("s u@acme.test", None),
    ('"s u"@acme.test', '"s u"@acme.test'),
    ("su\r\n@acme.test", None),
    ('"su\r\nX: y"@acme.test', None),
    ("x" * 64 + "@acme.test", "x" * 64 + "@acme.test"),
    ("x" * 65 + "@acme.test", None),
    ("su@acme.test@evil.test", None),
    ("<su@acme.test>", None),
    ("lucía@ibarra.test", "lucía@ibarra.test"),
    ("luci\u0301a@ibarra.test", "lucía@ibarra.test"),
    ("su\u200b@acme.test", None),
    ("su\u202e@acme.test", None),
    ("\u212aim@acme.test", None),
]


@pytest.mark.parametrize(("text", "address"), T09_ADDRESSES)
def test_address_has_one_spelling_or_none(text: str, address: str | None) -> None:
    assert canonical_address(text) == address


@pytest.mark.parametrize(
    "look_alike",
    [
        "аcme.test",
        "аcmе.test",
        "асмe.test",
        "acmé.test",
        "αcme.test",
        "acrne.test",
        "ａcme.test",
        "ac\u200bme.test",
        "acme。test",
        "acme｡test",
        "acme．test",
        "acme.test.",
        "xn--cme-5cd.test",
    ],
)
def test_look_alikes_share_a_skeleton(look_alike: str) -> None:
    assert skeleton(look_alike) == skeleton("acme.test")


@pytest.mark.parametrize(
    ("one", "other"), [("nordvik.test", "n0rdvlk.test"), ("paypal.test", "paypa1.test"), ("wave.test", "vvave.test")]
)
def test_digits_and_pairs_look_alike(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize("other", ["acne.test", "evil-acme.test", "acme.example", "acme2.test", "x.acme.test"])
def test_other_domains_keep_their_own_skeleton(other: str) -> None:
    assert skeleton(other) != skeleton("acme.test")


def test_parents_are_bounded_and_keep_the_short_ones() -> None:
    assert parent_domains("a.b.acme.test") == ("a.b.acme.test", "b.acme.test", "acme.test")
    deep = parent_domains(".".join("abcdefghij") + ".acme.test")
    assert len(deep) == 6
    assert deep[-1] == "acme.test"
