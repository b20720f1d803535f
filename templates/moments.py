"""How a moment is written for a person, on pages and in mails alike: in their zone, and the zone is named.

Takes: an aware moment, an IANA zone and a CLDR locale.  Gives: text.  Fails: as zoneinfo where the zone is unknown.
"""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time, get_timezone_name

_NAME = re.compile(r"[^\W\d_]{2,5}")  # CET, GMT, UTC, CEST


def write_moment(value: datetime, zone: str, locale: str) -> str:
    """24 Nov 2026, 10:12 CET."""
    return (
        f"{format_date(value.astimezone(ZoneInfo(zone)), 'medium', locale=locale)}, {write_time(value, zone, locale)}"
    )


def write_time(value: datetime, zone: str, locale: str) -> str:
    """10:12 CET; where people of this locale have no short name for the zone, 10:12 UTC-05:00 (ISO 8601)."""
    local = value.astimezone(ZoneInfo(zone))
    name = str(get_timezone_name(local, "short", locale=locale))
    named = name if _NAME.fullmatch(name) else f"UTC{local.isoformat(timespec='minutes')[16:]}"
    return f"{format_time(local, 'short', locale=locale)} {named}"
