"""What a subject's prefixes say."""

import pytest

from rules.subject import is_forward, without_prefixes

SUBJECTS = [
    ("Export stops", None, "Export stops"),
    ("Re: Export stops", "answer", "Export stops"),
    ("SV: Export", "answer", "Export"),
    ("AW: WG: Export", "answer", "Export"),
    ("Re[2]: Export", "answer", "Export"),
    ("RE (3) : Export", "answer", "Export"),
    ("Fwd: Re: Export", "forward", "Export"),
    ("VB: Export", "forward", "Export"),
    ("RV: Export", "forward", "Export"),
    ("WG: Export", "forward", "Export"),
    (" fw:Export", "forward", "Export"),
    ("Fw：Export", "forward", "Export"),
    ("Error: Export", None, "Error: Export"),
    ("[PD-1042] Fwd: Export", None, "[PD-1042] Fwd: Export"),
    ("Re:", "answer", ""),
    ("", None, ""),
]


@pytest.mark.parametrize(("subject", "kind", "rest"), SUBJECTS)
def test_prefixes(subject: str, kind: str | None, rest: str) -> None:
    assert is_forward(subject) is (kind == "forward")
    assert without_prefixes(subject) == rest


def test_endless_prefixes_end() -> None:
    assert without_prefixes("Re: " * 100_000 + "x").endswith("x")
