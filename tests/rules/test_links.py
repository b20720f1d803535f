"""rules/links.py: a token is good for one purpose, once, for a while; every other text fares the same (T32, T33)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from rules.links import CODE_ATTEMPTS, Verdict, judge_code, judge_link, judge_redeeming, link_id, mint_link, plain_code
from rules.tokens import Keys
from tests.builders import KEYS, NOW
from values.vocabulary import LinkPurpose

PROOF, INVITATION, SIGN_IN = LinkPurpose


@dataclass(frozen=True)
class Row:
    id: int | None = 17
    purpose: LinkPurpose = INVITATION
    seed: str = "5eed" * 16
    attempts: int = 0
    expires: datetime = NOW + timedelta(hours=72)
    used_at: datetime | None = None
    ended_at: datetime | None = None
    nonce_hash: str | None = None


LINK = Row()
TOKEN = mint_link(KEYS, INVITATION, 17, LINK.seed).token
CODE = mint_link(KEYS, INVITATION, 17, LINK.seed).code


def test_a_link_is_good_for_looking_and_redeemed_with_its_code() -> None:
    assert link_id(TOKEN) == 17
    assert judge_link(KEYS, TOKEN, INVITATION, LINK, NOW) is Verdict.GOOD
    assert judge_redeeming(KEYS, TOKEN, INVITATION, LINK, NOW) is Verdict.PROVE
    assert judge_redeeming(KEYS, TOKEN, INVITATION, LINK, NOW, code=CODE) is Verdict.GOOD
    assert (
        judge_redeeming(KEYS, TOKEN, INVITATION, LINK, NOW, code=f" {CODE[:3].lower()}-{CODE[3:].lower()} ")
        is Verdict.GOOD
    )
    assert judge_code(KEYS, INVITATION, LINK, NOW, code=CODE) is Verdict.GOOD


def test_the_token_has_256_bits_and_the_seed_does_not_tell_it() -> None:
    assert len(TOKEN.partition("-")[2]) == 1 + 52
    assert LINK.seed not in TOKEN and CODE not in TOKEN


def test_the_browser_that_asked_needs_no_code() -> None:
    asked = replace(LINK, nonce_hash="n" * 64)
    assert judge_redeeming(KEYS, TOKEN, INVITATION, asked, NOW, nonce_hash="n" * 64) is Verdict.GOOD
    assert judge_redeeming(KEYS, TOKEN, INVITATION, asked, NOW, nonce_hash="m" * 64) is Verdict.PROVE
    assert judge_redeeming(KEYS, TOKEN, INVITATION, LINK, NOW, nonce_hash="n" * 64) is Verdict.PROVE


@pytest.mark.parametrize(
    ("token", "link"),
    [
        ("", LINK),
        (" ", LINK),
        (TOKEN, None),
        (f" {TOKEN}", LINK),
        (f"{TOKEN}\n", LINK),
        (TOKEN.upper(), LINK),
        (TOKEN[:-1] + ("a" if TOKEN[-1] != "a" else "b"), LINK),
        (TOKEN.replace("17-a", "17-b"), LINK),  # another key
        (TOKEN.replace("17-a", "17-c"), LINK),  # no key of ours
        (TOKEN.replace("17-", "18-"), LINK),
        (TOKEN, replace(LINK, id=18)),
        (TOKEN, replace(LINK, purpose=SIGN_IN)),
        (TOKEN, replace(LINK, seed="0" * 64)),
        (TOKEN, replace(LINK, expires=NOW)),
        (TOKEN, replace(LINK, used_at=NOW - timedelta(minutes=1))),
        (TOKEN, replace(LINK, ended_at=NOW - timedelta(minutes=1))),
        (TOKEN, replace(LINK, attempts=CODE_ATTEMPTS)),
        (mint_link(KEYS, SIGN_IN, 17, LINK.seed).token, LINK),
        ("17-a" + "\u0661" * 52, LINK),
        ("9" * 400, LINK),
    ],
)
def test_every_wrong_link_fares_the_same(token: str, link: Row | None) -> None:
    assert judge_link(KEYS, token, INVITATION, link, NOW) is Verdict.GONE
    assert judge_redeeming(KEYS, token, INVITATION, link, NOW, code=CODE) is Verdict.GONE


@pytest.mark.parametrize("code", ["", " ", CODE[:-1], CODE + "X", "000000", "\0", "é" * 6, "X" * 10_000])
def test_a_wrong_code_proves_nothing(code: str) -> None:
    assert judge_redeeming(KEYS, TOKEN, INVITATION, LINK, NOW, code=code) is Verdict.PROVE


def test_a_retired_key_still_opens_what_it_minted() -> None:
    rotated = Keys(current="b", secrets=KEYS.secrets)
    assert judge_redeeming(rotated, TOKEN, INVITATION, LINK, NOW, code=CODE) is Verdict.GOOD
    gone = Keys(current="b", secrets={"b": KEYS.secrets["b"]})
    assert judge_link(gone, TOKEN, INVITATION, LINK, NOW) is Verdict.GONE


def test_codes_differ_and_have_no_letter_that_is_read_as_another() -> None:
    codes = {mint_link(KEYS, INVITATION, n, LINK.seed).code for n in range(1, 3000)}
    assert len(codes) > 2990
    assert not set("".join(codes)) & set("01OIL")
    assert plain_code(" 7gk-q2m ") == "7GKQ2M"
