"""What the listener says: every reply of ours once, with its enhanced status code (RFC 3463, RFC 2034)."""

import re

OUR_FAULT = "451 4.3.0 Temporary fault here, please try again later"
NO_ROOM = "452 4.3.1 Not enough room here, please try again later"
TOO_LARGE = "552 5.3.4 The mail is larger than {} octets"
STOPPING = "421 4.3.2 Going down, please try again later"
BUSY = "421 4.7.0 Too many connections, please try again later"
TIMEOUT = "421 4.4.2 Timeout, closing"
TOO_SLOW = "421 4.4.2 Too slow, closing"
TOO_MANY_ERRORS = "421 4.7.0 Too many errors, closing"
NOT_OURS = "550 5.1.1 No such address here: please check how it is spelt"
NO_RELAY = "550 5.7.1 We do not relay"
# RFC 2034: the library's own replies lack these.
_ENHANCED = {"500": "5.5.1", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1", "530": "5.7.0", "554": "5.7.0"}
_ENHANCED |= {"221": "2.0.0", "250": "2.0.0", "454": "4.7.0"}
_HAS_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3} ")
_REPLY_MOST = 510  # RFC 5321 §4.5.3.1.5, without CRLF


def enhanced(reply: str) -> str:
    """With an enhanced status code (RFC 2034), on one line of legal length."""
    if "\r" in reply or reply[3:4] != " ":
        return reply
    code = _ENHANCED.get(reply[:3])
    if code is not None and not _HAS_ENHANCED.match(reply, 4):
        reply = f"{reply[:3]} {code} {reply[4:]}"
    return reply[:_REPLY_MOST]
