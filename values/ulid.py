"""Ids of accepted mails: 26 characters that sort by arrival, whatever way the mail came.

Takes: a time, and what tells mails of one millisecond apart.  Gives: an id, and the time that is in it.  Pure.
"""

from datetime import UTC, datetime

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: sorts as it counts
TIME_LETTERS = 10  # the first of an id: Unix time in ms


def id_of(ms: int, count: int, chance: int) -> str:
    """48 bits of Unix time in ms and 16 of a count within it, to sort by; 64 bits to be unique on all machines."""
    return base32(ms << 80 | (count & 0xFFFF) << 64 | chance, 26)


def time_of(mail_id: str) -> datetime:
    """The time in an id."""
    return datetime.fromtimestamp(ms_of(mail_id) / 1000, UTC)


def ms_of(mail_id: str) -> int:
    """The time in an id, as Unix time in ms. Raises ValueError for a letter that no id has."""
    ms = 0
    for letter in mail_id[:TIME_LETTERS]:
        ms = ms * 32 + ALPHABET.index(letter)
    return ms


def base32(number: int, length: int) -> str:
    """The last `5 * length` bits of the number."""
    return "".join(ALPHABET[number >> shift & 31] for shift in range(5 * (length - 1), -1, -5))
