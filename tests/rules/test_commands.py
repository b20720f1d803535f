"""rules/commands.py: the whole first line is a command, in three languages, or the mail carries none."""

import time

import pytest

from rules.commands import PHRASES, Ordered, read_command, word_for
from values.vocabulary import Command

APPROVE, REFUSE, RELEASE, DECLINE, TAKE_BACK = Command


@pytest.mark.parametrize(
    ("text", "command", "reason"),
    [
        ("approve", APPROVE, ""),
        ("Approve.", APPROVE, ""),
        ("  APPROVE!  \n\nBest wishes\nAnna", APPROVE, ""),
        ("/approve", APPROVE, ""),
        ("\n\napprove", APPROVE, ""),
        ("aprobar", APPROVE, ""),
        ("Godkänn", APPROVE, ""),
        ("Godka\u0308nn", APPROVE, ""),  # written with a combining mark, as a Mac does
        ("refuse no contract yet", REFUSE, "no contract yet"),
        ("Refuse: no contract yet.", REFUSE, "no contract yet."),
        ("refuse", REFUSE, ""),
        ("refuse\nNo contract yet.", REFUSE, "No contract yet."),
        ("rechazar sin contrato", REFUSE, "sin contrato"),
        ("Rechazar, sin contrato", REFUSE, "sin contrato"),
        ("avslå: inget avtal", REFUSE, "inget avtal"),
        ("neka", REFUSE, ""),
        ("release", RELEASE, ""),
        ("dejar pasar", RELEASE, ""),
        ("Släpp fram", RELEASE, ""),
        ("decline", DECLINE, ""),
        ("no dejar pasar", DECLINE, ""),
        ("avböj", DECLINE, ""),
        ("take back", TAKE_BACK, ""),
        ("Take  back", TAKE_BACK, ""),
        ("recuperar", TAKE_BACK, ""),
        ("Ta tillbaka", TAKE_BACK, ""),
        ("återta", TAKE_BACK, ""),
    ],
)
def test_what_is_a_command(text: str, command: Command, reason: str) -> None:
    assert read_command(text) == Ordered(command=command, reason=reason)


@pytest.mark.parametrize(
    "text",
    [
        *("", " \n ", "ok", "yes", "approve it please", "I approve", "please approve", "approve?", "approve approve"),
        *("Do not approve", "> approve", "approves", "apprové", "аpprove", "refusenothing", "not now\napprove"),
        *("take back the seat on Monday", "release the hounds", "Thanks\ntake back", "approve\u202e", "//approve"),
    ],
)
def test_what_is_no_command(text: str) -> None:
    assert read_command(text) is None


def test_a_quoted_line_above_is_passed_over() -> None:
    assert read_command("> Reply approve or refuse\napprove") == Ordered(command=APPROVE)


def test_each_command_has_a_word_in_each_language_and_no_word_two_meanings() -> None:
    seen: dict[str, Command] = {}
    for command, tongues in PHRASES.items():
        assert set(tongues) == {"en", "es", "sv"}
        for phrases in tongues.values():
            for phrase in phrases:
                assert seen.setdefault(phrase, command) is command
                assert read_command(phrase.upper()) == Ordered(command=command)
    assert word_for(REFUSE, "sv") == "avslå" and word_for(REFUSE, "xx") == "refuse"


def test_a_long_text_is_read_in_no_time() -> None:
    began = time.perf_counter()
    for text in ("refuse " * 500_000, " " * 3_000_000, "a" * 3_000_000, "\n" * 3_000_000):
        read_command(text)
    assert time.perf_counter() - began < 1.0
    order = read_command("refuse " + "x" * 700)
    assert order is not None and len(order.reason) <= 500
