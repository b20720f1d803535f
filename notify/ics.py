"""A day as a calendar file (RFC 5545): published, nothing to accept.

Pure. Takes the day and what is said of it.  Gives the text of the file, with CRLF line ends and folded lines.
"""

from datetime import UTC, date, datetime, timedelta

_LINE = 75  # octets, RFC 5545 §3.1


def day_file(*, uid: str, stamp: datetime, day: date, summary: str) -> str:
    """One event of a whole day. `uid` is the same each time for the same event, so a second file changes nothing."""
    lines = (
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Postdesk//Postdesk//EN",
        "METHOD:PUBLISH",
        "BEGIN:VEVENT",
        f"UID:{_text(uid)}",
        f"DTSTAMP:{stamp.astimezone(UTC):%Y%m%dT%H%M%SZ}",
        f"DTSTART;VALUE=DATE:{day:%Y%m%d}",
        f"DTEND;VALUE=DATE:{day + timedelta(days=1):%Y%m%d}",
        f"SUMMARY:{_text(summary)}",
        "TRANSP:TRANSPARENT",
        "END:VEVENT",
        "END:VCALENDAR",
    )
    return "".join(f"{folded}\r\n" for folded in map(_folded, lines))


def _text(value: str) -> str:
    """RFC 5545 §3.3.11: commas, semicolons and backslashes escaped; no line end can enter."""
    flat = "".join(char if char.isprintable() else " " for char in value)
    return flat.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")


def _folded(line: str) -> str:
    pieces, piece, size = [], "", 0
    for char in line:
        octets = len(char.encode("utf-8", "replace"))
        if size + octets > _LINE:
            pieces.append(piece)
            piece, size = "", 1  # the space that marks what goes on
        piece, size = piece + char, size + octets
    return "\r\n ".join((*pieces, piece))
