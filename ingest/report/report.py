"""Read a delivery report, whatever form the reporting system chose.

Takes: `ReportParts`, the few parts of a mail that can be a report.  Gives: a `DeliveryReport`, or None where the mail
is none.  Fails: never; it is pure, and its time grows with the (capped) input only.

Three readers, surest first: RFC 5965 feedback, RFC 3464 fields (in their own part or in the text), and one reader for
everything written for people: addresses by their place in the line, codes and phrases near them (report_words.py).
Whether the report is about a mail of ours is not asked here: a stranger can write any of this (rules/bounce.py).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ingest.report.text import (
    ENHANCED,
    LINE_CAP,
    LINES_CAP,
    REPLY_CODE,
    TEXT_CAP,
    action_of,
    addresses,
    codes,
    copy_starts,
    judged,
    merged,
    read_text,
    squeezed,
)
from ingest.report.words import DAEMON_NAMES, DAEMONS, FAILURE_SUBJECTS, FAILURE_TEXTS
from values.mail import DeliveryReport, ReportedRecipient

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
_STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
_RETURNED_TYPES = (
    "message/rfc822",
    "message/global",
    "message/partial",
    "text/rfc822-headers",
    "message/global-headers",
)

PART_CAP = 64 * 1024  # octets of one part that are read
_IDS_CAP = 20
_NO_COMPLAINTS = ("auth-failure", "not-spam")  # RFC 6591, RFC 6430: not about what a recipient did not want
_PARTS_CAP = 20

_MESSAGE_ID = re.compile(r"<([^<>\s]{3,998})>")
_HEX_ESCAPE = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")  # RFC 6533 §3
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,60}):[ \t]*(.*)")
_ANSWERED = re.compile(r"(?i)\s*(?:re|aw|sv|vs|fwd?|wg|rv|tr|vb|i|r)\s*:")

Fields = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPart:
    """One leaf of the mail; a nested message is one leaf, its own header section first."""

    type: str  # one of REPORT_TYPES
    content: bytes  # transfer encoding removed, the first PART_CAP octets


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportParts:
    """All that `read_report` looks at.

    `headers`: (lower-case name, decoded value) of the mail's REPORT_HEADERS, in order. `text`: all text of the mail
    outside nested messages (HTML as text where there is no plain), the first TEXT_CAP characters. `parts`: the leaves
    whose type is in REPORT_TYPES, in order. `reverse_path`: "" = null; None = not known.
    """

    headers: tuple[tuple[str, str], ...]
    text: str
    parts: tuple[ReportPart, ...] = ()
    reverse_path: str | None = None

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    def of_type(self, *types: str) -> tuple[str, ...]:
        """The content of those parts as text; UTF-8 where it is, else every octet kept (RFC 6533 allows UTF-8)."""
        return tuple(_as_text(part.content[:PART_CAP]) for part in self.parts[:_PARTS_CAP] if part.type in types)


def read_report(parts: ReportParts) -> DeliveryReport | None:
    """What the mail says about the delivery of another mail, or None (RFC 3464, RFC 5965 §2, and other forms)."""
    found = _read_feedback(parts)
    if found is None:
        recipients = _read_status_parts(parts)
        if not recipients and _is_report(parts):
            recipients = _read_written_fields(parts) or _read_for_people(parts)
        found = DeliveryReport(recipients=recipients) if recipients or _is_failure_of_nobody(parts) else None
    if found is None:
        return None
    ids = _original_ids(parts)
    return replace(found, original_message_id=ids[0] if ids else None, original_ids=ids)


# --- RFC 5965: complaints -----------------------------------------------------------------------------------------


def _read_feedback(parts: ReportParts) -> DeliveryReport | None:
    """A complaint, or None: other feedback is told apart in rules/loop.py."""
    recipients: list[str] = []
    feedback_type = None
    for content in parts.of_type("message/feedback-report"):
        for name, value in _fields(content.splitlines()):
            if name == "feedback-type":
                feedback_type = value.lower()[:40]
            elif name in ("original-rcpt-to", "removal-recipient", "redacted-address"):
                recipients += addresses(value)
    if not feedback_type and squeezed(parts.header("subject")).startswith("complaint about message"):
        is_jmrp = any("x-hmxmroriginalrecipient" in fields for fields in _returned(parts))
        feedback_type = "abuse" if is_jmrp else None
    if not feedback_type or feedback_type in _NO_COMPLAINTS:
        return None
    for fields in () if recipients else _returned(parts):
        recipients += addresses(fields.get("x-hmxmroriginalrecipient", "") or fields.get("to", ""))
    return DeliveryReport(
        recipients=tuple(
            ReportedRecipient(address=a, action="complaint", reason="feedback") for a in _once(recipients)
        ),
        feedback_type=feedback_type,
    )


# --- RFC 3464 ---------------------------------------------------------------------------------------------------


def _read_status_parts(parts: ReportParts) -> tuple[ReportedRecipient, ...]:
    """The fields in a part of their own (RFC 3464 §2.1.1), whether or not it lies in a report of RFC 6522."""
    return _read_sections(parts.of_type(*_STATUS_TYPES))


def _read_written_fields(parts: ReportParts) -> tuple[ReportedRecipient, ...]:
    """Systems that make no multipart/report write the fields into the text; scanners wrap the whole report."""
    wrapped = [c for c in parts.of_type("message/rfc822") if "multipart/report" in c[: 10 * LINE_CAP].lower()]
    return _read_sections(c for c in (parts.text[:TEXT_CAP], *wrapped) if "final-recipient:" in c.lower())


def _read_sections(sections: Iterable[str]) -> tuple[ReportedRecipient, ...]:
    found = [_recipient_of(group) for section in sections for group in _recipient_groups(section)]
    return merged([recipient for recipient in found if recipient])


def _recipient_groups(section: str) -> Iterator[Fields]:
    """The per-recipient fields (RFC 3464 §2.3). A blank line parts groups, and so does a repeated Final-Recipient."""
    group: Fields = {}
    for name, value in _fields(section.splitlines()[:LINES_CAP]):
        whole = "final-recipient" in group or ("original-recipient" in group and "status" in group)
        if whole and (name == "" or (name == "final-recipient" and name in group)):
            yield group
            group = {}
        if name in (
            "final-recipient",
            "original-recipient",
            "action",
            "status",
            "diagnostic-code",
            "x-actual-recipient",
        ):
            group.setdefault(name, value)
    if "final-recipient" in group or "original-recipient" in group:
        yield group


def _recipient_of(group: Fields) -> ReportedRecipient | None:
    original = _typed_address(group.get("original-recipient", ""))
    address = _typed_address(group.get("final-recipient", "")) or original
    if not address:
        return None
    action = group.get("action", "failed").lower().split(" ")[0].split(";")[0].strip() or "failed"
    if action not in ("failed", "delayed", "delivered", "relayed", "expanded"):
        action = "delayed" if action.startswith("delay") else "failed"
    diagnostic = group.get("diagnostic-code", "")
    status = next(iter(ENHANCED.findall(group.get("status", ""))), None)
    found = ReportedRecipient(address=address, action=action, status=status)
    if action in ("failed", "delayed"):
        found = judged(address, action, status, diagnostic)
    return replace(found, original_address=original) if original and original != address else found


def _typed_address(value: str) -> str:
    """The address of "rfc822; a@b" (RFC 3464 §2.3.1), with the escapes of RFC 6533 undone."""
    kind, _, rest = value.partition(";")
    if kind.strip().lower() == "utf-8":
        rest = _HEX_ESCAPE.sub(lambda m: chr(int(m[1], 16)) if int(m[1], 16) < 0x110000 else "", rest)
    return next(iter(addresses(rest or kind)), "")


# --- reports for people -----------------------------------------------------------------------------------------


def _read_for_people(parts: ReportParts) -> tuple[ReportedRecipient, ...]:
    return read_text(
        subject=parts.header("subject"),
        author=parts.header("from"),
        text=parts.text,
        listed=addresses(parts.header("x-failed-recipients")),
        returned_to=[address for fields in _returned(parts) for address in addresses(fields.get("to", ""))],
    )


def _is_report(parts: ReportParts) -> bool:
    """Two signs are needed: of the form (who wrote it, about what), and of the text."""
    subject = squeezed(parts.header("subject"))
    content_type = parts.header("content-type").lower()
    daemon = _is_daemon(parts)
    report_type = "multipart/report" in content_type and "delivery-status" in content_type
    if _ANSWERED.match(subject) and not daemon and not report_type:
        return False  # somebody answers or forwards a report
    told = any(phrase in subject for phrase in FAILURE_SUBJECTS)
    formed = daemon or told or report_type or parts.reverse_path == "" or bool(parts.header("x-failed-recipients"))
    if not formed:
        return False
    text = squeezed(parts.text[:TEXT_CAP])
    if told or report_type or any(phrase in text for phrase in FAILURE_TEXTS):
        return True
    return bool(codes(text)) or (daemon and bool(REPLY_CODE.search(text)))


def _is_failure_of_nobody(parts: ReportParts) -> bool:
    """A daemon says that a mail failed, and names no address that can be read: a bounce all the same."""
    subject, text = squeezed(parts.header("subject")), squeezed(parts.text[:TEXT_CAP])
    says = any(phrase in text for phrase in FAILURE_TEXTS) or any(phrase in subject for phrase in FAILURE_SUBJECTS)
    return says and _is_daemon(parts) and _is_report(parts) and action_of(f"{subject} {text}") == "failed"


def _is_daemon(parts: ReportParts) -> bool:
    author = squeezed(parts.header("from"))
    local = author.rpartition("<")[2].lstrip('"')
    return any(local.startswith(word) for word in DAEMONS) or any(word in author for word in DAEMON_NAMES)


# --- the returned message, and small tools --------------------------------------------------------------------------


def _returned(parts: ReportParts) -> tuple[Fields, ...]:
    """The header section of each returned message, first value of each field."""
    sections = [content.lstrip("\r\n") for content in parts.of_type(*_RETURNED_TYPES)]
    lines = parts.text[:TEXT_CAP].splitlines()[:LINES_CAP]
    if not sections and (start := copy_starts(lines)) < len(lines):
        first = next((n for n in range(start, len(lines)) if _FIELD.match(lines[n].lstrip(" >"))), len(lines))
        sections = ["\n".join(line.lstrip(" >") if line.startswith(" >") else line for line in lines[first:])]
    found = []
    for section in sections:
        fields: Fields = {}
        for name, value in _fields(section.splitlines()[:LINES_CAP]):
            if name == "":
                break
            fields.setdefault(name, value)
        found.append(fields)
    return tuple(found)


def _original_ids(parts: ReportParts) -> tuple[str, ...]:
    """Every Message-ID that the report names, the returned message's own first."""
    found: list[str] = []
    for fields in _returned(parts):
        found += _ids(fields.get("message-id", ""))
    for content in parts.of_type("message/disposition-notification", *_STATUS_TYPES):
        found += _ids(" ".join(v for n, v in _fields(content.splitlines()) if n.endswith("message-id")))
    for line in parts.text[:TEXT_CAP].splitlines()[:LINES_CAP]:
        if "message-id" in line[:LINE_CAP].lower():
            found += _ids(line[:LINE_CAP])
    for name in ("in-reply-to", "references"):
        found += _ids(parts.header(name)[: 10 * LINE_CAP])
    return tuple(_once(found)[:_IDS_CAP])


def _fields(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(lower-case name, unfolded value) of header-like lines; ("", "") for a blank line; others are passed over."""
    name, values = "", [""]
    for line in lines:
        line = line[:LINE_CAP]
        if line[:1] in (" ", "\t") and line.strip() and name:
            if len(values) < 50:
                values.append(line.strip())
            continue
        if name:
            yield name, " ".join(values)
            name = ""
        if not line.strip():
            yield "", ""
        elif match := _FIELD.match(line):
            name, values = match[1].lower(), [match[2].strip()]
    if name:
        yield name, " ".join(values)


def _ids(text: str) -> list[str]:
    return [found for found in _MESSAGE_ID.findall(text) if "@" in found]


def _once(values: list[str]) -> list[str]:
    first: dict[str, str] = {}
    for value in values:
        first.setdefault(value.lower(), value)
    return list(first.values())


def _as_text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")
