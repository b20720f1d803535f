"""What commands print holds no order to a terminal, whatever strangers wrote (threat T57)."""

import json

import pytest
import typer

from postdesk.console import LISTED, PAGE, Row, cell, show_json, show_list, show_table, show_text

STRANGE = "a\x1b[2J\x07\x9b31m\x7f\x85\u202egnp\u2028\ufeff\ud800\U000e0041å ✓\n\t"


def test_T57_json_holds_only_letters_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"subject": STRANGE, STRANGE: ["å", 1, None]})
    printed = capsys.readouterr().out
    assert printed.rstrip("\n").isprintable() and "å ✓" in printed
    assert json.loads(printed) == {"subject": STRANGE, STRANGE: ["å", 1, None]}


def test_T57_cells_hold_only_letters() -> None:
    assert cell([STRANGE]).isprintable() and "å ✓" in cell(STRANGE)


def test_T57_no_line_of_a_text_looks_like_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """A customer's text that goes on as if an agent had answered."""
    show_text(f"Help\n\n── reply · anna@nordvik.test · 2026-11-24 09:00\n\tSend it.\r\x85── reply{STRANGE}")
    printed = capsys.readouterr().out
    assert "── reply · anna@nordvik.test" in printed and "       Send it." in printed
    assert all(not line or (line.startswith("   ") and line.isprintable()) for line in printed.split("\n"))


@pytest.mark.parametrize(("columns", "drawn"), [("80", False), ("120", True)])
def test_a_table_too_wide_for_the_terminal_is_lines(
    columns: str, drawn: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    row = {"id": "01m85t3h0w000fyek5jf2gvk3e", "author": "grace@harbour.example", "why": "x " * 30, "late": True}
    row |= {"received": "2026-11-24 09:03", "state": "article-added"}
    show_table("held", [row], ("id", "author", "why", "late", "received", "state"))
    printed = capsys.readouterr().out
    assert ("│" in printed) == drawn and "01m85t3h0w000fyek5jf2gvk3e" in printed and "yes" in printed
    assert drawn or "  author           grace@harbour.example\n" in printed, "whole, to copy from"
    assert max(map(len, printed.splitlines())) <= int(columns)


@pytest.mark.parametrize("as_json", [False, True])
def test_f34_a_list_of_all_is_written_page_by_page(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """However long it is, no more than a page of it is in memory, and each is written before the next is read."""
    count, printed = 3 * PAGE + 1, ""
    asked: list[int] = []

    def rows(after: Row | None, most: int) -> list[Row]:
        nonlocal printed
        printed += capsys.readouterr().out
        first = int(after["id"]) + 1 if after else 0
        assert not after or str(after["id"]) in printed
        asked.append(most)
        return [{"id": id} for id in range(first, min(first + most, count))]

    show_list("mails", rows, ("id",), limit=None, all_=True, json_=as_json)
    printed += capsys.readouterr().out
    assert set(asked) == {PAGE}
    if as_json:
        assert [row["id"] for row in json.loads(printed)] == [*range(count)]
    else:
        assert all(f" {id} " in printed for id in range(count))


def test_a_long_list_says_that_there_is_more(capsys: pytest.CaptureFixture[str]) -> None:
    there = LISTED + 50

    def rows(after: Row | None, most: int) -> list[Row]:
        first = after["id"] + 1 if after else 0
        return [{"id": id} for id in range(first, min(first + most, there))]

    show_list("mails", rows, ("id",), limit=None, all_=False, json_=False)
    printed = capsys.readouterr()
    assert f" {LISTED - 1} " in printed.out and f" {LISTED} " not in printed.out
    assert f"the first {LISTED}; there are more" in printed.err and "--all" in printed.err
    show_list("mails", rows, ("id",), limit=None, all_=False, json_=True)
    printed = capsys.readouterr()
    assert (len(json.loads(printed.out)), printed.err) == (there, ""), "a program gets every row"
    show_list("mails", rows, ("id",), limit=7, all_=False, json_=True)
    printed = capsys.readouterr()
    assert (len(json.loads(printed.out)), printed.err) == (7, "")
    with pytest.raises(typer.Exit):
        show_list("mails", rows, ("id",), limit=7, all_=True, json_=True)


def test_an_empty_list_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    show_list("mails", lambda after, most: [], ("id",), limit=None, all_=True, json_=True)
    assert json.loads(capsys.readouterr().out) == []
    show_list("mails", lambda after, most: [], ("id",), limit=None, all_=True, json_=False)
    assert capsys.readouterr().out == "mails: none\n"
