"""Codes survive what mail systems do, and nothing else is a code (threats T17, T20)."""

import base64
import hmac
import random
import string
from collections.abc import Callable

import pytest

from rules.tokens import (
    Keys,
    check_loop_marker,
    check_message_id,
    check_reply_address,
    check_return_path,
    find_body_markers,
    has_our_form,
    mint_loop_marker,
    mint_message_id,
    mint_reply_address,
    mint_reply_tag,
    mint_return_path,
)
from tests.builders import DESK, KEYS, SUPPORT
from values.errors import PostdeskError
from values.vocabulary import MatchedBy

BOUNCE = "bounce@nordvik.test"
REPLY = mint_reply_address(KEYS, SUPPORT, 1042, 7, 3)
MESSAGE_ID = mint_message_id(KEYS, DESK, 17, 1042)
RETURN_PATH = mint_return_path(KEYS, BOUNCE, 17)
MARKER = mint_loop_marker(KEYS, DESK)

CODES: list[tuple[str, Callable[[str], object]]] = [
    (REPLY, lambda text: check_reply_address(KEYS, text, (SUPPORT,))),
    (MESSAGE_ID, lambda text: check_message_id(KEYS, text, DESK)),
    (RETURN_PATH, lambda text: check_return_path(KEYS, text, BOUNCE)),
    (MARKER, lambda text: check_loop_marker(KEYS, text, DESK)),
    (mint_reply_tag(KEYS, 1042, 7, 3), lambda text: find_body_markers(KEYS, text)),
]


def test_each_code_says_what_it_stands_for() -> None:
    token = check_reply_address(KEYS, REPLY, (SUPPORT,))
    assert token is not None
    assert (token.ticket, token.participant, token.generation) == (1042, 7, 3)
    assert token.found_in is MatchedBy.REPLY_TOKEN
    found = check_message_id(KEYS, MESSAGE_ID, DESK)
    assert found is not None
    assert (found.outbox, found.ticket) == (17, 1042)
    without = check_message_id(KEYS, mint_message_id(KEYS, DESK, 18), DESK)
    assert without is not None
    assert (without.outbox, without.ticket) == (18, None)
    assert check_return_path(KEYS, RETURN_PATH, BOUNCE) == 17
    assert check_loop_marker(KEYS, MARKER, DESK)


@pytest.mark.parametrize(("code", "check"), CODES)
def test_codes_survive_folding_of_case(code: str, check: Callable[[str], object]) -> None:
    assert check(code.upper())
    assert check(code.lower())


@pytest.mark.parametrize(
    "text",
    [
        f"> Reply-To: {REPLY}",
        f"<mailto:{REPLY}?subject=x>",
        f"El mar, 24 nov 2026, Nordvik <{REPLY}> escribió:",
        f"{mint_reply_tag(KEYS, 1042, 7, 3)}",
        f"[{mint_reply_tag(KEYS, 1042, 7, 3).upper()}]",
        f"support%2B{REPLY.partition('+')[2]}".replace("%2B", "%2b+"),
    ],
)
def test_quoted_addresses_and_footer_lines_are_body_markers(text: str) -> None:
    (token,) = find_body_markers(KEYS, text)
    assert (token.ticket, token.participant, token.found_in) == (1042, 7, MatchedBy.BODY_MARKER)


def test_every_code_fits_into_a_local_part() -> None:
    """RFC 5321 §4.5.3.1.1: 64 octets."""
    longest = mint_reply_address(KEYS, "a" * 23 + "@nordvik.test", 10**10 - 1, 32**7 - 1, 32**4 - 1)
    assert len(longest.partition("@")[0]) == 64
    with pytest.raises(PostdeskError, match="23 octets"):
        mint_reply_address(KEYS, "a" * 24 + "@nordvik.test", 10**10 - 1, 7, 0)
    with pytest.raises(PostdeskError, match="does not fit"):
        mint_reply_tag(KEYS, 1, 32**7, 0)
    with pytest.raises(PostdeskError, match="no ticket"):
        mint_reply_tag(KEYS, 10**10, 1, 0)


def mutated(code: str, dice: random.Random) -> str:
    """One to three edits: another character, one less, one more, two swapped, or cut short."""
    alphabet = string.ascii_lowercase + string.digits + "@+.-_=% \t\x00éK\u212a\u0131１"
    text = list(code)
    for _ in range(dice.randint(1, 3)):
        place, kind = dice.randrange(len(text) or 1), dice.randrange(5)
        if kind == 0 and text:
            text[place] = dice.choice(alphabet)
        elif kind == 1 and text:
            del text[place]
        elif kind == 2:
            text.insert(place, dice.choice(alphabet))
        elif kind == 3 and len(text) > 1:
            other = dice.randrange(len(text))
            text[place], text[other] = text[other], text[place]
        else:
            del text[place:]
    return "".join(text)


def accepted(cases: int, seed: int) -> list[str]:
    dice = random.Random(seed)
    found = []
    for number in range(cases):
        code, check = CODES[number % 4]  # the body marker is found inside other text, so it has a test of its own
        text = mutated(code, dice)
        if text.lower() != code.lower() and check(text):
            found.append(text)
    return found


def test_none_of_100_000_mutations_is_accepted() -> None:
    assert accepted(100_000, seed=2) == []


def test_guesses_are_worth_nothing() -> None:
    dice = random.Random(3)
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    for _ in range(10_000):
        token = "a" + "".join(dice.choices(letters, k=27))
        assert check_reply_address(KEYS, f"support+t1042.{token}@nordvik.test", (SUPPORT,)) is None


OTHER_PARTS = [
    REPLY.replace("t1042", "t1043"),
    REPLY.replace("t1042", "t01042"),
    REPLY.replace("t1042", "t１042"),
    REPLY.replace("nordvik.test", "evil.test"),
    REPLY.replace("support+", "licence+"),
    REPLY.replace("+t", "+x+t"),
    REPLY.partition("@")[0],
    REPLY + ".",
    f"support+t1042@{'nordvik.test'}",
    "support+t1042.@nordvik.test",
    "support+@nordvik.test",
    "",
    "@",
    "+@",
    "k" * 100_000,
    f"support+{RETURN_PATH.partition('+')[2]}",
    f"support+{MESSAGE_ID.partition('@')[0]}@nordvik.test",
]


@pytest.mark.parametrize("address", OTHER_PARTS)
def test_other_addresses_are_no_tokens(address: str) -> None:
    assert check_reply_address(KEYS, address, (SUPPORT,)) is None


def test_a_code_for_one_purpose_is_worth_nothing_for_another() -> None:
    """The code of outbox row 17 as a return path does not make a Message-ID for row 17, nor the other way round."""
    code = RETURN_PATH.partition(".")[2].partition("@")[0]
    assert check_message_id(KEYS, f"o17.{code}@{DESK}", DESK) is None
    other = mint_message_id(KEYS, DESK, 17).partition(".")[2].partition("@")[0]
    assert check_return_path(KEYS, f"bounce+17.{other}@nordvik.test", BOUNCE) is None


def test_codes_are_what_they_were_released_as() -> None:
    """A code in a customer's mailbox must be right for years: HMAC-SHA256 by purpose, 80 bits, base32."""

    def code(purpose: bytes, text: bytes) -> str:
        of_purpose = hmac.digest(KEYS.secrets["a"], b"postdesk " + purpose + b"\x01", "sha256")
        return base64.b32encode(hmac.digest(of_purpose, text, "sha256")[:10]).decode().lower()

    assert f"bounce+17.a{code(b'return-path', b'17')}@nordvik.test" == RETURN_PATH
    assert f"t1042.o17.a{code(b'message-id', b'1042|17')}@{DESK}" == MESSAGE_ID
    assert f"support+t1042.aaaaaaahaaad{code(b'reply', b'1042|aaaaaahaaad')}@nordvik.test" == REPLY
    assert f"{DESK} a{code(b'loop', DESK.encode())}" == MARKER


def test_the_ticket_of_a_message_id_is_part_of_its_code() -> None:
    assert check_message_id(KEYS, MESSAGE_ID.replace("t1042", "t1043"), DESK) is None
    assert check_message_id(KEYS, MESSAGE_ID.replace("t1042.", ""), DESK) is None
    assert has_our_form(MESSAGE_ID.replace("t1042", "t1043"), DESK)
    assert not has_our_form("abc@client.test", DESK)


def test_retired_keys_still_check_and_unknown_ones_do_not() -> None:
    rotated = Keys(current="b", secrets=KEYS.secrets)
    assert check_reply_address(rotated, REPLY, (SUPPORT,)) is not None
    assert mint_reply_address(rotated, SUPPORT, 1042, 7, 3) != REPLY
    without = Keys(current="b", secrets={"b": KEYS.secrets["b"]})
    assert check_reply_address(without, REPLY, (SUPPORT,)) is None


@pytest.mark.parametrize(
    ("current", "secrets"),
    [("a", {}), ("a", {"a": b"short"}), ("ab", {"ab": bytes(32)}), ("1", {"1": bytes(32)}), ("A", {"A": bytes(32)})],
)
def test_keys_are_sound_or_refused(current: str, secrets: dict[str, bytes]) -> None:
    with pytest.raises(PostdeskError):
        Keys(current=current, secrets=secrets)


def test_keys_show_no_secret() -> None:
    shown = repr(Keys(current="a", secrets={"a": b"top-secret-top-secret-top-secret"}))
    assert "secret-top" not in shown


def test_a_text_full_of_markers_costs_little() -> None:
    forged = "t1042.a" + "b" * 27 + " "
    assert find_body_markers(KEYS, forged * 20_000) == ()
    assert find_body_markers(KEYS, "t1" * 300_000) == ()
