"""Read a delivery report, whatever form the reporting system chose.

Takes: `ReportParts`, the few parts of a mail that can be a report.  Gives: a `DeliveryReport`, or None where the mail
is none.  Fails: never; it is pure and its time grows with the (capped) input only.
"""

from dataclasses import dataclass

from models.mail import DeliveryReport

# The header fields of the mail itself that are read here; `ReportParts.headers` needs no others.
REPORT_HEADERS: tuple[str, ...] = (
    "content-type",
    "from",
    "in-reply-to",
    "references",
    "subject",
    "x-failed-recipients",
)

# The leaves (not inside a nested message) that `ReportParts.parts` wants, by media type.
REPORT_TYPES: tuple[str, ...] = (
    "message/delivery-status",
    "message/disposition-notification",
    "message/feedback-report",
    "message/global",
    "message/global-delivery-status",
    "message/global-disposition-notification",
    "message/global-headers",
    "message/partial",
    "message/rfc822",
    "text/rfc822-headers",
)
PART_CAP = 64 * 1024  # octets of one part that are read
TEXT_CAP = 64 * 1024  # characters of text that are read


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPart:
    """One leaf of the mail; a nested message is one leaf, its own header section first."""

    type: str  # one of REPORT_TYPES
    content: bytes  # transfer encoding removed, the first PART_CAP octets


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportParts:
    """All that `read_report` looks at.

    `headers`: (lower-case name, decoded value) of the REPORT_HEADERS of the mail, in order. `text`: all text of the mail
    outside nested messages (HTML as text where there is no plain), the first TEXT_CAP characters. `parts`: the leaves
    whose type is in REPORT_TYPES, in order.
    """

    headers: tuple[tuple[str, str], ...]
    text: str
    parts: tuple[ReportPart, ...] = ()


def read_report(parts: ReportParts) -> DeliveryReport | None:
    """What the mail says about the delivery of another mail, or None (RFC 3464, RFC 5965, and other forms)."""
    return None  # interface only, the reading follows
