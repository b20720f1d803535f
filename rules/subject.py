"""Does a subject say that the mail forwards another, and what is it without its prefixes? (RFC 5322 §3.6.5)"""

import re

# Languages of the clients that our customers use: en, es, sv, and their neighbours.
_ANSWER = ("re", "sv", "aw", "antw", "odp", "vs", "ref", "res", "rif", "r")
_FORWARD = ("fw", "fwd", "vb", "rv", "wg", "tr", "vl", "pd", "enc", "i", "doorst", "vidarebefordrat", "reenviado")
_PREFIX = re.compile(r"\s{0,8}([a-z]{1,16})\s{0,2}(?:\[[0-9]{1,3}\]|\([0-9]{1,3}\))?\s{0,2}[:：]", re.IGNORECASE)
_PREFIXES_LIMIT = 20


def is_forward(subject: str) -> bool:
    """Whether the outermost prefix is one of forwarding: `Fwd: Re: ...` is, `Re: Fwd: ...` is not."""
    found = _PREFIX.match(subject)
    return found is not None and found[1].lower() in _FORWARD


def without_prefixes(subject: str) -> str:
    """The subject less all its leading prefixes of answering and forwarding."""
    rest = subject
    for _ in range(_PREFIXES_LIMIT):
        found = _PREFIX.match(rest)
        if not found or found[1].lower() not in (*_ANSWER, *_FORWARD):
            break
        rest = rest[found.end() :]
    return rest.strip()
