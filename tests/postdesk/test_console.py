"""What commands print holds no order to a terminal, whatever strangers wrote (threat T57)."""

import json

import pytest

from postdesk.console import cell, show_json

STRANGE = "a\x1b[2J\x07\x9b31m\x7f\x85\u202egnp\u2028\ufeff\ud800\U000e0041å ✓\n\t"


def test_T57_json_holds_only_letters_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"subject": STRANGE, STRANGE: ["å", 1, None]})
    printed = capsys.readouterr().out
    assert printed.rstrip("\n").isprintable() and "å ✓" in printed
    assert json.loads(printed) == {"subject": STRANGE, STRANGE: ["å", 1, None]}


def test_T57_cells_hold_only_letters() -> None:
    assert cell([STRANGE]).isprintable() and "å ✓" in cell(STRANGE)
