"""Does a subject say that the mail forwards another? (RFC 5322 §3.6.5 knows answers only; clients translate both)"""

import re

# Languages of the clients that our customers use: en, es, sv, and their neighbours.
_FORWARD = ("fw", "fwd", "vb", "rv", "wg", "tr", "vl", "pd", "enc", "i", "doorst", "vidarebefordrat", "reenviado")
_PREFIX = re.compile(r"\s{0,8}([a-z]{1,16})\s{0,2}(?:\[[0-9]{1,3}\]|\([0-9]{1,3}\))?\s{0,2}[:：]", re.IGNORECASE)


def is_forward(subject: str) -> bool:
    """Whether the outermost prefix is one of forwarding: `Fwd: Re: ...` is, `Re: Fwd: ...` is not."""
    found = _PREFIX.match(subject)
    return found is not None and found[1].lower() in _FORWARD
