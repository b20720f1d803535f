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

from ingest.report_words import (
    CONTACT_WORDS,
    COPY_PHRASES,
    DAEMON_NAMES,
    DAEMONS,
    DELAY_TEXTS,
    DELIVERED_TEXTS,
    FAILURE_SUBJECTS,
    FAILURE_TEXTS,
    GAVE_UP_TEXTS,
    OTHER_LABELS,
    PERMANENT_TEXTS,
    REASON_OF_STATUS,
    REASON_OF_SUBJECT,
    REASON_PHRASES,
    RECIPIENT_LABELS,
    TRANSIENT_TEXTS,
)
from models.mail import DeliveryReport, ReportedRecipient

# The header fields of the mail itself that are read here; `ReportParts.headers` needs no others.
REPORT_HEADERS: tuple[str, ...] = (
    "content-type",
    "from",
    "in-reply-to",
    "references",
    "subject",
    "x-failed-recipients",
    "x-hmxmroriginalrecipient",
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
TEXT_CAP = 64 * 1024  # characters of text that are read
_LINE_CAP = 1000  # characters of one line
_LINES_CAP = 2000
_RECIPIENTS_CAP = 100
_CONTEXT_LINES = 14  # lines after an address that speak about it
_IDS_CAP = 20

_ADDRESS = re.compile(r"(?<![\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]{1,128}@[\w-][\w.-]{0,254}")
_QUOTED_ADDRESS = re.compile(r'"[^"\s@]{1,64}"@[\w-][\w.-]{0,254}')
_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")  # RFC 3463 §2; not a piece of an IP address
_REPLY_CODE = re.compile(r"(?<![\d.,:/#-])([45][0-5]\d)(?=[\s-]|$)(?! (?:bytes|octets|seconds|lines|characters|kb)\b)")
_MESSAGE_ID = re.compile(r"<([^<>\s]{1,900}@[^<>\s]{1,255})>")
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
        return tuple(_as_text(part.content[:PART_CAP]) for part in self.parts if part.type in types)


def read_report(parts: ReportParts) -> DeliveryReport | None:
    """What the mail says about the delivery of another mail, or None (RFC 3464, RFC 5965, and other forms)."""
    returned = _returned(parts)
    found = _read_feedback(parts, returned)
    if found is None:
        recipients = _read_status_parts(parts) or _read_text(parts, returned)
        found = DeliveryReport(recipients=recipients) if recipients else None
    if found is None:
        return None
    ids = _original_ids(parts, returned)
    return replace(found, original_message_id=ids[0] if ids else None, original_ids=ids)


# --- RFC 5965: complaints -----------------------------------------------------------------------------------------


def _read_feedback(parts: ReportParts, returned: tuple[Fields, ...]) -> DeliveryReport | None:
    """A complaint. RFC 6591 auth-failure feedback is about a domain's mail in general and none (rules/loop.py)."""
    recipients: list[str] = []
    feedback_type = None
    for content in parts.of_type("message/feedback-report"):
        for name, value in _fields(content.splitlines()):
            if name == "feedback-type":
                feedback_type = value.lower()[:40]
            elif name in ("original-rcpt-to", "removal-recipient", "redacted-address"):
                recipients += _addresses(value)
    if not feedback_type and parts.header("x-hmxmroriginalrecipient"):  # Microsoft's JMRP writes no report part
        feedback_type = "abuse"
        recipients = _addresses(parts.header("x-hmxmroriginalrecipient"))
    if not feedback_type or feedback_type == "auth-failure":
        return None
    for fields in () if recipients else returned:
        recipients += _addresses(fields.get("x-hmxmroriginalrecipient", "") or fields.get("to", ""))
    return DeliveryReport(
        recipients=tuple(
            ReportedRecipient(address=a, action="complaint", reason="feedback") for a in _once(recipients)
        ),
        feedback_type=feedback_type,
    )


# --- RFC 3464 ---------------------------------------------------------------------------------------------------


def _read_status_parts(parts: ReportParts) -> tuple[ReportedRecipient, ...]:
    sections = parts.of_type(*_STATUS_TYPES)
    lowered = parts.text[:TEXT_CAP].lower()
    if not sections and "final-recipient:" in lowered and _is_report(parts):
        sections = (parts.text[:TEXT_CAP],)  # fields written into the text, by systems that make no multipart/report
    found = [_recipient_of(group) for section in sections for group in _recipient_groups(section)]
    return _merged([recipient for recipient in found if recipient])


def _recipient_groups(section: str) -> Iterator[Fields]:
    """The per-recipient fields (RFC 3464 §2.3). A blank line parts groups, and so does a repeated Final-Recipient."""
    group: Fields = {}
    for name, value in _fields(section.splitlines()[:_LINES_CAP]):
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
    address = _typed_address(group.get("original-recipient", "")) or _typed_address(group.get("final-recipient", ""))
    if not address:
        return None
    action = group.get("action", "failed").lower().split(" ")[0].split(";")[0].strip() or "failed"
    if action not in ("failed", "delayed", "delivered", "relayed", "expanded"):
        action = "delayed" if action.startswith("delay") else "failed"
    diagnostic = group.get("diagnostic-code", "")
    status = next(iter(_ENHANCED.findall(group.get("status", ""))), None)
    if action in ("delivered", "relayed", "expanded"):
        return ReportedRecipient(address=address, action=action, status=status)
    return _judged(address, action, status, diagnostic)


def _typed_address(value: str) -> str:
    """The address of "rfc822; a@b" (RFC 3464 §2.3.1), with the escapes of RFC 6533 undone."""
    kind, _, rest = value.partition(";")
    if kind.strip().lower() == "utf-8":
        rest = _HEX_ESCAPE.sub(lambda m: chr(int(m[1], 16)) if int(m[1], 16) < 0x110000 else "", rest)
    return next(iter(_addresses(rest or kind)), "")


# --- reports for people -----------------------------------------------------------------------------------------


def _read_text(parts: ReportParts, returned: tuple[Fields, ...]) -> tuple[ReportedRecipient, ...]:
    if not _is_report(parts):
        return ()
    lines = [line[:_LINE_CAP] for line in parts.text[:TEXT_CAP].splitlines()[:_LINES_CAP]]
    report = lines[: _copy_starts(lines)]
    whole = _squeezed("\n".join([parts.header("subject"), *report]))
    action = _action_of(whole)
    own = {a.lower() for a in _addresses(parts.header("from"))}
    places = _failed_places(report, own) or _failed_places(lines, own)
    listed = _addresses(parts.header("x-failed-recipients"))  # Exim, Google
    if listed:
        context = {address.lower(): n for n, address in places}
        places = [(context.get(address.lower(), 0), address) for address in listed]
    if not places:  # the text names nobody: whoever the returned message went to
        places = [(0, address) for fields in returned for address in _addresses(fields.get("to", ""))][:1]
    starts = sorted({n for n, _ in places})
    found = []
    for n, address in places:
        end = min([*(s for s in starts if s > n), n + _CONTEXT_LINES])
        near = _squeezed("\n".join(report[n:end])) if len(places) > 1 else whole
        recipient = _judged(address, action, None, near)
        if recipient.status is None and recipient.reason is None and recipient.permanent is None:
            recipient = _judged(address, action, None, whole)
        found.append(recipient)
    return _merged(found)


def _is_report(parts: ReportParts) -> bool:
    """Two signs are needed: of the form (who wrote it, about what), and of the text."""
    subject = _squeezed(parts.header("subject"))
    author = _squeezed(parts.header("from"))
    content_type = parts.header("content-type").lower()
    local = next((a.partition("@")[0] for a in _addresses(author)), author)
    daemon = any(local.startswith(word) for word in DAEMONS) or any(word in author for word in DAEMON_NAMES)
    report_type = "multipart/report" in content_type and "delivery-status" in content_type
    if _ANSWERED.match(subject) and not daemon and not report_type:
        return False  # somebody answers or forwards a report
    told = any(phrase in subject for phrase in FAILURE_SUBJECTS)
    formed = daemon or told or report_type or parts.reverse_path == "" or bool(parts.header("x-failed-recipients"))
    if not formed:
        return False
    text = _squeezed(parts.text[:TEXT_CAP])
    return told or report_type or any(phrase in text for phrase in FAILURE_TEXTS) or bool(_ENHANCED.search(text))


def _copy_starts(lines: list[str]) -> int:
    """The index of the line where the returned message begins."""
    for n, line in enumerate(lines):
        bare = line.strip().lower()
        if bare.startswith(("return-path: <", "received: from", "received: by")):
            return n
        if len(bare) > 120 or not any(phrase in bare for phrase in COPY_PHRASES):
            continue
        if bare[:2] in ("--", "==", "**", "__") or bare.endswith((":", "---", "===", "***")):
            return n
    return len(lines)


def _failed_places(lines: list[str], own: set[str]) -> list[tuple[int, str]]:
    """(line index, address) of the addresses that the text says failed: those of the best rank that occurs."""
    ranked: list[tuple[int, int, str]] = []
    for n, line in enumerate(lines):
        if "@" not in line:
            continue
        for match in [*_QUOTED_ADDRESS.finditer(line), *_ADDRESS.finditer(line)]:
            address = match[0].rstrip(".-")
            rank = _rank(line[: match.start()], line[match.end() :])
            if rank and address.lower() not in own and _plausible(address):
                ranked.append((rank, n, address))
        if len(ranked) > 10 * _RECIPIENTS_CAP:
            break
    best = max((rank for rank, _, _ in ranked), default=0)
    return [(n, address) for rank, n, address in ranked if rank == best][:_RECIPIENTS_CAP]


def _rank(before: str, after: str) -> int:
    """How surely an address at this place of a line is the failed one: 3 sure, 2 labelled To, 1 just there, 0 not."""
    label = before.lower().rstrip(" \t<\"'([`*").lstrip(" \t>*-")
    rest = after.lower()
    if any(label.endswith(other) for other in OTHER_LABELS if other not in ("at", "by", "from", "e-mail")) or any(
        label == other or label.endswith(" " + other) for other in ("at", "by", "from", "e-mail")
    ):
        return 0
    if label == "" or not any(c.isalnum() for c in label):
        return 3
    if any(label == known or label.endswith((" " + known, ":" + known, "<" + known)) for known in RECIPIENT_LABELS):
        return 3
    if any(word in label for word in CONTACT_WORDS):
        return 0
    if label.endswith(("to:", "to", "to :", "an:", "para:", "a:", "till:")):
        return 2
    if _ENHANCED.search(before + " " + after) or _REPLY_CODE.search(before + " " + after):
        return 3
    if any(phrase in rest or phrase in label for _, _, phrases in REASON_PHRASES for phrase in phrases):
        return 3
    return 1


def _action_of(text: str) -> str:
    if any(phrase in text for phrase in GAVE_UP_TEXTS):
        return "failed"
    if any(phrase in text for phrase in DELAY_TEXTS):
        return "delayed"
    if any(phrase in text for phrase in DELIVERED_TEXTS) and not any(phrase in text for phrase in FAILURE_TEXTS):
        return "delivered"
    return "failed"


# --- one recipient ------------------------------------------------------------------------------------------------


def _judged(address: str, action: str, status: str | None, words: str) -> ReportedRecipient:
    """Put together what the Status field and the words say.

    The remote system's own enhanced code beats a Status of detail 0.0, which only repeats the class (RFC 3463 §3.1).
    """
    words = _squeezed(words)
    codes = _ENHANCED.findall(words)
    told = next((code for code in codes if not code.endswith(".0.0")), codes[0] if codes else None)
    if told and (status is None or (status.endswith(".0.0") and not told.endswith(".0.0"))):
        status = told
    reason, by_words = _reason(words, status)
    if action == "delayed":
        permanent: bool | None = False
    elif action not in ("failed", "delayed"):
        permanent = None
    else:
        permanent = _class_of(status, words)
        if permanent is None:
            permanent = by_words
        if permanent is None and any(phrase in words for phrase in PERMANENT_TEXTS):
            permanent = True
        if permanent is None and any(phrase in words for phrase in TRANSIENT_TEXTS):
            permanent = False
    return ReportedRecipient(address=address, action=action, status=status, permanent=permanent, reason=reason)


def _class_of(status: str | None, words: str) -> bool | None:
    """Permanent by the first digit of the enhanced code, else of the reply code (RFC 5321 §4.2.1)."""
    code = status or next(iter(_REPLY_CODE.findall(words)), "")
    return {"5": True, "4": False}.get(code[:1])


def _reason(words: str, status: str | None) -> tuple[str | None, bool | None]:
    by_status = None
    if status and status[0] in "45":
        _, subject, detail = status.split(".")
        by_status = REASON_OF_STATUS.get(f"{subject}.{detail}") or REASON_OF_SUBJECT.get(subject)
    for reason, permanent, phrases in REASON_PHRASES:
        if any(phrase in words for phrase in phrases):
            return reason, permanent
    return by_status, None


# --- the returned message, and small tools --------------------------------------------------------------------------


def _returned(parts: ReportParts) -> tuple[Fields, ...]:
    """The header section of each returned message, first value of each field."""
    sections = [content.lstrip("\r\n") for content in parts.of_type(*_RETURNED_TYPES)]
    lines = parts.text[:TEXT_CAP].splitlines()[:_LINES_CAP]
    if not sections and (start := _copy_starts(lines)) < len(lines):
        first = next((n for n in range(start, len(lines)) if _FIELD.match(lines[n].lstrip(" >"))), len(lines))
        sections = ["\n".join(line.lstrip(" >") if line.startswith(" >") else line for line in lines[first:])]
    found = []
    for section in sections:
        fields: Fields = {}
        for name, value in _fields(section.splitlines()[:_LINES_CAP]):
            if name == "":
                break
            fields.setdefault(name, value)
        found.append(fields)
    return tuple(found)


def _original_ids(parts: ReportParts, returned: tuple[Fields, ...]) -> tuple[str, ...]:
    """Every Message-ID that the report names, the returned message's own first."""
    found: list[str] = []
    for fields in returned:
        found += _MESSAGE_ID.findall(fields.get("message-id", ""))
    for content in parts.of_type("message/disposition-notification", *_STATUS_TYPES):
        found += _MESSAGE_ID.findall(" ".join(v for n, v in _fields(content.splitlines()) if n.endswith("message-id")))
    for line in parts.text[:TEXT_CAP].splitlines()[:_LINES_CAP]:
        if "message-id" in line[:_LINE_CAP].lower():
            found += _MESSAGE_ID.findall(line[:_LINE_CAP])
    for name in ("in-reply-to", "references"):
        found += _MESSAGE_ID.findall(parts.header(name)[: 10 * _LINE_CAP])
    return tuple(_once(found)[:_IDS_CAP])


def _fields(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(lower-case name, unfolded value) of header-like lines; ("", "") for a blank line; others are passed over."""
    name, values = "", [""]
    for line in lines:
        line = line[:_LINE_CAP]
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


def _merged(found: list[ReportedRecipient]) -> tuple[ReportedRecipient, ...]:
    """One entry an address: the first, completed by what later ones know."""
    by_address: dict[str, ReportedRecipient] = {}
    for recipient in found:
        key = recipient.address.lower()
        first = by_address.setdefault(key, recipient)
        if first is not recipient and first.status is None and first.reason is None:
            by_address[key] = replace(recipient, address=first.address)
    return tuple(by_address.values())[:_RECIPIENTS_CAP]


def _addresses(value: str) -> list[str]:
    value = value[: 10 * _LINE_CAP]
    found = [*_QUOTED_ADDRESS.findall(value), *_ADDRESS.findall(value)]
    return [address for raw in found if _plausible(address := raw.rstrip(".-"))][:_RECIPIENTS_CAP]


def _plausible(address: str) -> bool:
    local, _, domain = address.rpartition("@")
    return bool(local) and bool(domain) and not domain.replace(".", "").isdigit() and ".." not in domain


def _once(values: list[str]) -> list[str]:
    first: dict[str, str] = {}
    for value in values:
        first.setdefault(value.lower(), value)
    return list(first.values())


def _squeezed(text: str) -> str:
    return " ".join(text.lower().split())


def _as_text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")
