"""What a subject's outermost prefix says."""

import pytest

from rules.subject import is_forward

SUBJECTS = [
    ("Export stops", False),
    ("Re: Fwd: Export", False),
    ("SV: Export", False),
    ("AW: WG: Export", False),
    ("Fwd: Re: Export", True),
    ("FWD[2]: Export", True),
    ("Fw (3) : Export", True),
    ("VB: Export", True),
    ("RV: Export", True),
    ("WG: Export", True),
    (" fw:Export", True),
    ("Fw：Export", True),
    ("Forwarding: Export", False),
    ("[PD-1042] Fwd: Export", False),
    ("", False),
]


@pytest.mark.parametrize(("subject", "forwards"), SUBJECTS)
def test_forwards(subject: str, forwards: bool) -> None:
    assert is_forward(subject) is forwards
