"""Mint and check the keyed codes by which we know our own addresses, Message-IDs and marks when they come back.

Every code is lower-case base32 of a fixed length, so that it survives systems that fold case; its first character names
the key. A code is an 80-bit HMAC-SHA256 over what it stands for, with a key of its own for each purpose: a code for one
purpose is worthless for another. Checking is total on any text, in constant time, and there is no older form to accept.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from values.addresses import canonical_domain
from values.decision import CheckedToken
from values.errors import PostdeskError
from values.vocabulary import MatchedBy

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"  # RFC 4648 §6, lower case
_CODE_BITS = 80  # threats T17, T20: 80 bits or more
_PARTICIPANT_CHARS = 7  # 35 bits
_GENERATION_CHARS = 4  # 20 bits
_CODE_CHARS = _CODE_BITS // 5
_TOKEN_CHARS = 1 + _PARTICIPANT_CHARS + _GENERATION_CHARS + _CODE_CHARS
_NUMBER_LIMIT = 10**10

_NUMBER = "[1-9][0-9]{0,9}"
_MARKER = re.compile(rf"(?<![a-z0-9])t({_NUMBER})\.([a-z2-7]{{{_TOKEN_CHARS}}})(?![a-z0-9])", re.ASCII | re.IGNORECASE)
_REPLY_TAG = re.compile(rf"t({_NUMBER})\.([a-z2-7]{{{_TOKEN_CHARS}}})", re.ASCII)
_MESSAGE_ID = re.compile(rf"(?:t({_NUMBER})\.)?o({_NUMBER})\.([a-z2-7]{{{_CODE_CHARS + 1}}})", re.ASCII)
_RETURN_TAG = re.compile(rf"({_NUMBER})\.([a-z2-7]{{{_CODE_CHARS + 1}}})", re.ASCII)
_TEXT_LIMIT = 500_000  # characters that are searched for a body marker
_MARKERS_LIMIT = 20  # tokens in one text that are checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The signing keys. Retired ones stay in `secrets` for as long as mails that they signed may be answered.

    Raises PostdeskError where an id is not one character of a-z2-7, a key has less than 32 octets, or the current key
    is missing.
    """

    current: str
    secrets: Mapping[str, bytes]

    def __post_init__(self) -> None:
        if self.current not in self.secrets:
            raise PostdeskError(
                f"The current signing key {self.current!r} is not among the keys: add it or name another."
            )
        for id, secret in self.secrets.items():
            if len(id) != 1 or id not in _ALPHABET:
                raise PostdeskError(f"A signing key's id is one character of {_ALPHABET}, not {id!r}.")
            if len(secret) < 32:
                raise PostdeskError(f"The signing key {id!r} is too short: make one of 32 octets or more.")

    def __repr__(self) -> str:  # never a secret in a log
        return f"Keys(current={self.current!r}, ids={sorted(self.secrets)!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class OurMessageId:
    """What a Message-ID of ours says."""

    outbox: int
    ticket: int | None


# --- reply tokens: support+t<ticket>.<token>@domain ---------------------------------------------------------------


def mint_reply_tag(keys: Keys, ticket: int, participant: int, generation: int) -> str:
    """`t<ticket>.<token>`: what stands after the `+` of the reply address, and what a footer line can carry."""
    who = _base32(participant, _PARTICIPANT_CHARS) + _base32(generation, _GENERATION_CHARS)
    number = _number(ticket)
    return f"t{number}.{keys.current}{who}{_code(keys, keys.current, 'reply', number, who)}"


def mint_reply_address(keys: Keys, mailbox: str, ticket: int, participant: int, generation: int) -> str:
    """The Reply-To address of one participant of one ticket. `mailbox`: `support@nordvik.test`."""
    return _tagged(mailbox, mint_reply_tag(keys, ticket, participant, generation))


def check_reply_address(keys: Keys, address: str, mailboxes: tuple[str, ...]) -> CheckedToken | None:
    """What a reply address stands for, where it belongs to one of our `mailboxes` and its code is right."""
    mailbox, tag = _untagged(address)
    found = _REPLY_TAG.fullmatch(tag) if mailbox in mailboxes else None
    return _check_reply(keys, found[1], found[2], MatchedBy.REPLY_TOKEN) if found else None


def find_body_markers(keys: Keys, text: str) -> tuple[CheckedToken, ...]:
    """Reply tags with a right code that stand anywhere in a text: a quoted reply address, or our footer line."""
    tokens: list[CheckedToken] = []
    for count, found in enumerate(_MARKER.finditer(text[:_TEXT_LIMIT])):
        token = _check_reply(keys, found[1], found[2].lower(), MatchedBy.BODY_MARKER)
        if token and token not in tokens:
            tokens.append(token)
        if count >= _MARKERS_LIMIT:
            break
    return tuple(tokens)


def _check_reply(keys: Keys, number: str, token: str, found_in: MatchedBy) -> CheckedToken | None:
    key, who, code = token[0], token[1:-_CODE_CHARS], token[-_CODE_CHARS:]
    if not _is_code(keys, key, code, "reply", number, who):
        return None
    return CheckedToken(
        ticket=int(number),
        participant=_int(who[:_PARTICIPANT_CHARS]),
        generation=_int(who[_PARTICIPANT_CHARS:]),
        found_in=found_in,
    )


# --- our Message-IDs: t<ticket>.o<outbox>.<code>@desk-domain ------------------------------------------------------


def mint_message_id(keys: Keys, desk_domain: str, outbox: int, ticket: int | None = None) -> str:
    """The Message-ID of an outbox row, without angle brackets: the same each time it is minted with the same key."""
    prefix = "" if ticket is None else f"t{_number(ticket)}."
    code = _code(keys, keys.current, "message-id", _number(ticket or 0), _number(outbox))
    return f"{prefix}o{_number(outbox)}.{keys.current}{code}@{desk_domain}"


def check_message_id(keys: Keys, message_id: str, desk_domain: str) -> OurMessageId | None:
    """What a Message-ID (without angle brackets) stands for, where it is one of ours."""
    local, _, domain = _folded(message_id).rpartition("@")
    found = _MESSAGE_ID.fullmatch(local) if domain == desk_domain else None
    if not found or not _is_code(keys, found[3][0], found[3][1:], "message-id", found[1] or "0", found[2]):
        return None
    return OurMessageId(outbox=int(found[2]), ticket=int(found[1]) if found[1] else None)


def has_our_form(message_id: str, desk_domain: str) -> bool:
    """Whether a Message-ID looks like ours, with or without a right code."""
    local, _, domain = _folded(message_id).rpartition("@")
    return domain == desk_domain and _MESSAGE_ID.fullmatch(local) is not None


# --- return paths: bounce+<outbox>.<code>@domain ------------------------------------------------------------------


def mint_return_path(keys: Keys, mailbox: str, outbox: int) -> str:
    """The MAIL FROM of an outbox row (VERP). `mailbox`: `bounce@nordvik.test`."""
    number = _number(outbox)
    return _tagged(mailbox, f"{number}.{keys.current}{_code(keys, keys.current, 'return-path', number)}")


def check_return_path(keys: Keys, address: str, mailbox: str) -> int | None:
    """The outbox id of a return path of ours."""
    base, tag = _untagged(address)
    found = _RETURN_TAG.fullmatch(tag) if base == mailbox else None
    if not found or not _is_code(keys, found[2][0], found[2][1:], "return-path", found[1]):
        return None
    return int(found[1])


# --- replies to notices about access: access+a<outbox>.<code>@domain ---------------------------------------------


def mint_notice_address(keys: Keys, mailbox: str, outbox: int) -> str:
    """The Reply-To of one notice, for its one recipient. `mailbox`: `access@nordvik.test`."""
    number = _number(outbox)
    return _tagged(mailbox, f"a{number}.{keys.current}{_code(keys, keys.current, 'notice', number)}")


def check_notice_address(keys: Keys, address: str, mailboxes: tuple[str, ...]) -> int | None:
    """The outbox id of the notice that a mail to this address answers."""
    base, tag = _untagged(address)
    found = _RETURN_TAG.fullmatch(tag[1:]) if base in mailboxes and tag.startswith("a") else None
    if not found or not _is_code(keys, found[2][0], found[2][1:], "notice", found[1]):
        return None
    return int(found[1])


# --- the loop marker: X-Postdesk-Loop -----------------------------------------------------------------------------


def mint_loop_marker(keys: Keys, desk_domain: str) -> str:
    """The value of X-Postdesk-Loop, the same on each of our automatic mails."""
    return f"{desk_domain} {keys.current}{_code(keys, keys.current, 'loop', desk_domain)}"


def check_loop_marker(keys: Keys, value: str, desk_domain: str) -> bool:
    """Whether a header value is our own loop marker."""
    domain, _, marker = _folded(value).partition(" ")
    return (
        domain == desk_domain
        and len(marker) == 1 + _CODE_CHARS
        and _is_code(keys, marker[0], marker[1:], "loop", desk_domain)
    )


# --- the letters --------------------------------------------------------------------------------------------------


def _code(keys: Keys, key: str, purpose: str, *parts: str) -> str:
    # HKDF-Expand with one block (RFC 5869 §2.3): the keys are random already, and no purpose can stand for another.
    of_purpose = hmac.digest(keys.secrets[key], f"postdesk {purpose}".encode() + b"\x01", hashlib.sha256)
    digest = hmac.digest(of_purpose, "|".join(parts).encode(), hashlib.sha256)
    return _base32(int.from_bytes(digest[: _CODE_BITS // 8], "big"), _CODE_CHARS)


def _is_code(keys: Keys, key: str, code: str, purpose: str, *parts: str) -> bool:
    return key in keys.secrets and hmac.compare_digest(_code(keys, key, purpose, *parts).encode(), code.encode())


def _base32(value: int, chars: int) -> str:
    if not 0 <= value < 32**chars:
        raise PostdeskError(f"{value} does not fit into {chars} characters of a token.")
    return "".join(_ALPHABET[value >> 5 * place & 31] for place in reversed(range(chars)))


def _int(text: str) -> int:
    value = 0
    for char in text:
        value = value << 5 | _ALPHABET.index(char)
    return value


def _number(value: int) -> str:
    if not 0 <= value < _NUMBER_LIMIT:
        raise PostdeskError(f"{value} is no ticket or outbox number: they go from 1 to {_NUMBER_LIMIT - 1}.")
    return str(value)


def _tagged(mailbox: str, tag: str) -> str:
    local, _, domain = mailbox.rpartition("@")
    tagged = f"{local}+{tag}"
    if len(tagged) > 64:  # RFC 5321 §4.5.3.1.1
        raise PostdeskError(
            f"{mailbox} has too long a name for reply tokens: its part before the @ may have 23 octets."
        )
    return f"{tagged}@{domain}"


def _untagged(address: str) -> tuple[str, str]:
    """(`support@nordvik.test`, tag), each "" where the address has none or other than ASCII characters."""
    local, _, domain_text = _folded(address).rpartition("@")
    base, plus, tag = local.partition("+")
    # no white space or other spelling that canonical_domain would forgive: a code is right to the last character
    return (f"{base}@{domain_text}", tag) if plus and canonical_domain(domain_text) == domain_text else ("", "")


def _folded(text: str) -> str:
    """Lower case; "" for text that is not ASCII or too long, since the Kelvin sign would lower-case to k."""
    return text.lower() if text.isascii() and len(text) <= 320 else ""
