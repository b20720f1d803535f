"""One-use links and their codes: minted while a mail is composed, checked when a person redeems them (T32, T33).

Token and code are HMAC-SHA256 of the row's random seed under the desk's keys, with a key of its own for each purpose.
The row holds the seed only, so a copy of the database redeems nothing. Checking is total, in constant time, and says
the same for every link that we never made.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from rules.tokens import Keys
from values.vocabulary import LinkPurpose

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"  # RFC 4648 §6, lower case: survives what folds case
_TOKEN_CHARS = 52  # 256 bits
_CODE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # nothing that is read as something else
CODE_CHARS = 6
PATHS = {  # of the portal's page behind each link; the token follows
    LinkPurpose.PROOF: "/request-access/proof/",
    LinkPurpose.INVITATION: "/invite/",
    LinkPurpose.SIGN_IN: "/sign-in/",
}
CODE_ATTEMPTS = 5  # wrong codes that one link bears
_TOKEN = re.compile(rf"([1-9][0-9]{{0,17}})-([a-z2-7])([a-z2-7]{{{_TOKEN_CHARS}}})", re.ASCII)


class Link(Protocol):
    """What a row of models/sessions/link.py says."""

    @property
    def id(self) -> int | None: ...
    @property
    def purpose(self) -> LinkPurpose: ...
    @property
    def seed(self) -> str: ...
    @property
    def attempts(self) -> int: ...
    @property
    def expires(self) -> datetime: ...
    @property
    def used_at(self) -> datetime | None: ...
    @property
    def ended_at(self) -> datetime | None: ...
    @property
    def nonce_hash(self) -> str | None: ...


class Closed(StrEnum):
    """Why a link of ours is good no more. Only who holds its token, or asked for it, learns that."""

    USED = "used"
    ENDED = "ended"  # a newer one took its place, or what it was for is over
    LOCKED = "locked"  # too many wrong codes
    EXPIRED = "expired"


class Verdict(StrEnum):
    GOOD = "good"
    GONE = "gone"  # none, of another purpose, used, void, expired, or too many wrong codes
    PROVE = "prove"  # the link is good; the code, or the browser that asked, is missing or wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    token: str  # for the URL
    code: str  # for the page, typed by a person


def mint_link(keys: Keys, purpose: LinkPurpose, id: int, seed: str) -> Minted:
    """The same token and code each time, as long as the current key is."""
    return Minted(
        token=f"{id}-{keys.current}{_mac(keys, keys.current, purpose, id, seed)}",
        code=_code(keys, keys.current, purpose, id, seed),
    )


def link_id(token: str) -> int | None:
    """The number of the row that a token names, or None where it has not even the form of one."""
    found = _TOKEN.fullmatch(token)
    return int(found[1]) if found else None


def judge_link(keys: Keys, token: str, purpose: LinkPurpose, link: Link | None, now: datetime) -> Verdict:
    """Is this token good for looking at the page? Changes nothing: GOOD or GONE."""
    good = link is not None and is_minted(keys, token, purpose, link) and closed_why(link, now) is None
    return Verdict.GOOD if good else Verdict.GONE


def is_minted(keys: Keys, token: str, purpose: LinkPurpose, link: Link | None) -> bool:
    """Did we make this very token for this link? True for one that is used or expired too."""
    found = _TOKEN.fullmatch(token)
    if link is None or link.id is None or not found or int(found[1]) != link.id or link.purpose is not purpose:
        return False
    return found[2] in keys.secrets and hmac.compare_digest(_mac(keys, found[2], purpose, link.id, link.seed), found[3])


def closed_why(link: Link, now: datetime) -> Closed | None:
    """Why this link is good no more; None where it is good."""
    if link.used_at is not None:
        return Closed.USED
    if link.ended_at is not None:
        return Closed.ENDED
    if link.attempts >= CODE_ATTEMPTS:
        return Closed.LOCKED
    return None if now < link.expires else Closed.EXPIRED


def judge_redeeming(
    keys: Keys,
    token: str,
    purpose: LinkPurpose,
    link: Link | None,
    now: datetime,
    *,
    code: str = "",
    nonce_hash: str | None = None,
) -> Verdict:
    """May a person's POST use up the link? With the mailed code, or from the browser that asked for it (T32).

    PROVE: count an attempt (models.sessions.link.count_attempt) where a code was given.
    """
    if judge_link(keys, token, purpose, link, now) is not Verdict.GOOD or link is None or link.id is None:
        return Verdict.GONE
    if nonce_hash and link.nonce_hash and hmac.compare_digest(nonce_hash, link.nonce_hash):
        return Verdict.GOOD
    typed = plain_code(code).encode()
    codes = (_code(keys, key, purpose, link.id, link.seed) for key in keys.secrets)
    return Verdict.GOOD if any(hmac.compare_digest(one.encode(), typed) for one in codes) else Verdict.PROVE


def judge_code(keys: Keys, purpose: LinkPurpose, link: Link | None, now: datetime, *, code: str) -> Verdict:
    """As `judge_redeeming` for a person who types the code only, in the browser that asked for it."""
    if link is None or link.id is None or link.purpose is not purpose:
        return Verdict.GONE
    token = mint_link(keys, purpose, link.id, link.seed).token
    return judge_redeeming(keys, token, purpose, link, now, code=code)


def plain_code(typed: str) -> str:
    """A code as a person types it: case, spaces and hyphens do not count; 0 and 1 are in no code."""
    return "".join(char for char in typed[:40].upper() if char.isalnum() and char.isascii())


def _mac(keys: Keys, key: str, purpose: LinkPurpose, id: int, seed: str) -> str:
    value = int.from_bytes(_digest(keys, key, f"link {purpose}", id, seed), "big")
    return "".join(_ALPHABET[value >> 5 * place & 31] for place in reversed(range(_TOKEN_CHARS)))


def _code(keys: Keys, key: str, purpose: LinkPurpose, id: int, seed: str) -> str:
    value = int.from_bytes(_digest(keys, key, f"code {purpose}", id, seed), "big")
    letters = []
    for _ in range(CODE_CHARS):
        value, place = divmod(value, len(_CODE_ALPHABET))
        letters.append(_CODE_ALPHABET[place])
    return "".join(letters)


def _digest(keys: Keys, key: str, purpose: str, id: int, seed: str) -> bytes:
    # As in rules/tokens.py: HKDF-Expand with one block (RFC 5869 §2.3), so no purpose can stand for another.
    of_purpose = hmac.digest(keys.secrets[key], f"postdesk {purpose}".encode() + b"\x01", hashlib.sha256)
    return hmac.digest(of_purpose, f"{id}|{seed}".encode(), hashlib.sha256)
