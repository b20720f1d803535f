"""How addresses and Message-IDs stand in the database, so that equal ones compare as equal."""

from hashlib import sha256

from models.db.columns import storable

_LONGEST_KEPT = 255  # characters; an index holds no key of any length
_LONGEST_ADDRESS = 320  # characters; RFC 5321 allows 254 octets


def address_key(address: str) -> str:
    """How an address is compared: wholly lower-cased; what no mail system allows is cut off."""
    return storable(address.lower())[:_LONGEST_ADDRESS]


def anchor_key(message_id: str) -> str:
    """How a Message-ID stands in the database: itself, or its hash where it is absurdly long."""
    if len(message_id) <= _LONGEST_KEPT:
        return storable(message_id)
    return "sha256:" + sha256(message_id.encode("utf-8", "surrogatepass")).hexdigest()
