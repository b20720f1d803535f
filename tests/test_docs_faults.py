"""docs/faults.md names every fault, the file that defends and the test that proves it: all of them exist."""

import re
from pathlib import Path

import pytest

from tests.test_docs_threats import functions_of

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in (ROOT / "docs" / "faults.md").read_text("utf-8").splitlines()
    if re.match(r"\| F\d\d \|", line)
]


def test_every_fault_has_its_row_in_order() -> None:
    assert [row[0] for row in ROWS] == [f"F{number:02}" for number in range(1, 39)]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_names_files_and_tests_that_exist_or_says_that_it_has_none(row: list[str]) -> None:
    _, breaks, does, where, proof = row
    assert breaks and does
    assert [file for file in re.findall(r"`([^`]+)`", where) if not (ROOT / file).is_file()] == []
    proofs = re.findall(r"`([^`]+)::([^`]+)`", proof)
    assert proofs or proof == "not covered yet"
    assert [name for path, name in proofs if name not in functions_of(path)] == []
