"""The argument of MAIL and RCPT, in the exact grammar of RFC 5321 §4.1.2 (RFC 6531 for UTF-8).

*Takes* the text behind the command. *Gives* a `PathArgument`, or the reply that refuses it. *Fails* never.
"""

import re
from dataclasses import dataclass

_ARGUMENT = re.compile(r'\s*<((?:"(?:[^"\\]|\\.)*"|[^<>"\s])*)>(?:\s+(\S.*))?', re.DOTALL)
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+"
_DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_QUOTED = re.compile(r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*"')
# The underscore is no letter of a host name, but stands in real ones.
_LABEL = r"[A-Za-z0-9_\u0080-\U0010ffff](?:[A-Za-z0-9_\u0080-\U0010ffff-]*[A-Za-z0-9_\u0080-\U0010ffff])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LITERAL = re.compile(r"\[[A-Za-z0-9:.-]+\]")
# No lengths are asked here: more than RFC 5321 §4.5.3.1.1, §4.5.3.1.2 and §4.5.3.1.3 demand comes from real senders.
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")

BAD_SYNTAX = "501 5.5.4 Syntax: {} <address> [parameters]"
BAD_ADDRESS = "553 5.1.3 The address is not of the form local-part@domain"
NO_ROUTES = "553 5.7.1 Source routes are not accepted"
NOT_ASCII = "553 5.6.7 The address needs SMTPUTF8"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathArgument:
    """A path without its brackets ("" = the null path), its domain in lower case; parameters by upper-case name."""

    local: str  # as sent: the case of a local part is its owner's business (RFC 5321 §2.4)
    domain: str  # "" = none was given
    quoted: bool
    parameters: dict[str, str | None]

    @property
    def address(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local


def parse_path(argument: str | None, keyword: str, *, smtputf8: bool | None) -> PathArgument | str:
    """The path of `MAIL FROM:` or `RCPT TO:` (`keyword` is what stands before the colon and the colon).

    `smtputf8` None: whether UTF-8 is allowed is said by a parameter of this very command (RFC 6531 §3.4).
    """
    syntax = BAD_SYNTAX.format(keyword)
    if argument is None or argument[: len(keyword)].upper() != keyword:
        return syntax
    match = _ARGUMENT.fullmatch(argument[len(keyword) :])
    if match is None:
        return syntax
    parameters = _parameters(match[2] or "")
    if parameters is None:
        return syntax
    inner = match[1]
    if inner.startswith("@"):
        return NO_ROUTES
    if not inner.isascii() and not ("SMTPUTF8" in parameters if smtputf8 is None else smtputf8):
        return NOT_ASCII
    if any("\udc80" <= letter <= "\udcff" for letter in inner):  # octets that are no UTF-8
        return BAD_ADDRESS
    local, at, domain = inner.rpartition("@")
    if not at:
        local, domain = inner, ""
    quoted = local.startswith('"')
    if inner and not (_QUOTED if quoted else _DOT_STRING).fullmatch(local):
        return BAD_ADDRESS
    if at and not (_DOMAIN.fullmatch(domain) or _LITERAL.fullmatch(domain)):
        return BAD_ADDRESS
    return PathArgument(local=local, domain=domain.lower(), quoted=quoted, parameters=parameters)


def _parameters(text: str) -> dict[str, str | None] | None:
    found: dict[str, str | None] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if not _KEYWORD.fullmatch(name) or (equals and not value) or name.upper() in found:
            return None
        found[name.upper()] = value if equals else None
    return found
