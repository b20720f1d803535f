"""docs/threats.md names every defence, the file that defends and the test that proves it: all of them exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "threats.md").read_text("utf-8")
WANTED = {*range(1, 35), 38, 42, 43, 44, 49, 50, *range(52, 58), 60, 61}
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| T\d\d \|", line)
]


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_threat_has_its_row_once() -> None:
    assert sorted(int(row[0][1:]) for row in ROWS) == sorted(WANTED)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_names_files_and_tests_that_exist(row: list[str]) -> None:
    threat, tries, done, where, proof = row
    assert tries and done
    files = re.findall(r"`([^`]+)`", where)
    assert files, threat
    assert [file for file in files if not (ROOT / file).is_file()] == []
    proofs = re.findall(r"`([^`]+)`", proof)
    assert proofs, threat
    for one in proofs:
        path, _, name = one.partition("::")
        assert name in functions_of(path), one


def test_the_comments_of_the_code_name_threats_of_the_page_or_of_another_room() -> None:
    """A comment that says T12 is found from here."""
    rules = "\n".join(path.read_text("utf-8") for path in (ROOT / "rules").glob("*.py"))
    named = {int(number) for number in re.findall(r"\bT(\d\d)\b", rules)}
    assert named & WANTED, "the rules do name their threats"
    assert named - WANTED <= {31, 32, 33, 34, 36, 52}, "threats of access and portal have their own page parts"
