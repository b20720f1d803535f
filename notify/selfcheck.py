"""Does this Python refuse a header field that would smuggle in another one? (threats T60, M9; CVE-2024-6923)

Takes: nothing.  Gives: findings for the log at start.  Fails: never.

It builds such a message and looks at the octets, for a version number says nothing about what a distribution patched.
notify/compose.py refuses CR and LF on its own and is what we rely on; this tells the operator that the second line of
defence is missing.
"""

from email.generator import BytesGenerator
from email.message import EmailMessage
from email.policy import SMTP
from io import BytesIO

_INJECTED = b"\nX-Injected:"


def header_injection_refused() -> bool:
    """Whether the interpreter refuses to write a header field whose name or folded value holds a line end."""
    return not any(_INJECTED in _written(name, value) for name, value in _ATTEMPTS)


def check_python() -> tuple[str, ...]:
    """What an operator should know about this interpreter; empty where all is well."""
    if header_injection_refused():
        return ()
    return (
        "this Python writes header fields with line ends in them (CVE-2024-6923); "
        "Postdesk checks its own headers, but update Python to a release that refuses them",
    )


_ATTEMPTS = (("Subject: a\r\nX-Injected", "yes"), ("Subject", "a\r\nX-Injected: yes"), ("X-Note", "a\nX-Injected: yes"))


def _written(name: str, value: str) -> bytes:
    """The octets of a message with that field; empty where it was refused."""
    message = EmailMessage(policy=SMTP)
    out = BytesIO()
    try:
        message[name] = value
        message.set_content("body")
        BytesGenerator(out).flatten(message)
    except Exception:  # ValueError, HeaderWriteError, HeaderParseError: any refusal will do
        return b""
    return out.getvalue()
