"""The self-check tells by behaviour whether this Python refuses injected header fields."""

from email import policy
from email.message import EmailMessage

import pytest

from notify import selfcheck


def test_finding_follows_the_behaviour() -> None:
    assert bool(selfcheck.check_python()) is not selfcheck.header_injection_refused()


def test_knows_an_interpreter_that_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "_written", lambda name, value: b"Subject: a\r\nX-Injected: yes\r\n\r\n")
    assert not selfcheck.header_injection_refused()
    assert "CVE-2024-6923" in selfcheck.check_python()[0]


def test_knows_an_interpreter_that_refuses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "_written", lambda name, value: b"")
    assert selfcheck.check_python() == ()


@pytest.mark.skipif(
    not hasattr(policy.compat32, "verify_generated_headers"), reason="a Python without the fix of CVE-2024-6923"
)
def test_fixed_interpreter_refuses() -> None:
    assert selfcheck.header_injection_refused()


@pytest.mark.skipif(
    hasattr(policy.compat32, "verify_generated_headers"), reason="a Python with the fix of CVE-2024-6923"
)
def test_unfixed_interpreter_is_found_out() -> None:
    message = EmailMessage(policy=policy.SMTP)
    message["Subject: a\r\nX-Injected"] = "yes"
    assert b"\nX-Injected: yes" in message.as_bytes()
    assert not selfcheck.header_injection_refused()
