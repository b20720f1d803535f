"""Read what a report says to people: which addresses failed, and why.

For ingest/report/report.py, pure. One general reader instead of one for each product: an address counts by its place
in its line, what is said about it by codes and phrases near it (report_words.py). Everything is capped, every regular
expression linear: the text is a stranger's.
"""

import re
from dataclasses import replace
from itertools import chain, islice

from ingest.report.words import (
    CONTACT_WORDS,
    COPY_PHRASES,
    DECISIVE_STATUS,
    DELAY_TEXTS,
    DELIVERED_TEXTS,
    FAILURE_TEXTS,
    GAVE_UP_TEXTS,
    OTHER_ENDS,
    OTHER_WORDS,
    PERMANENT_TEXTS,
    REASON_OF_STATUS,
    REASON_OF_SUBJECT,
    REASON_PHRASES,
    RECIPIENT_ENDS,
    RECIPIENT_WORDS,
    SENDER_TEXTS,
    TO_ENDS,
    TRANSIENT_TEXTS,
    TRIED_ENDS,
    VERSION_WORDS,
)
from values.mail import ReportedRecipient

TEXT_CAP = 64 * 1024  # characters of text that are read
LINE_CAP = 1000  # characters of one line
LINES_CAP = 2000
RECIPIENTS_CAP = 100
_WORDS_CAP = 8000  # characters about one recipient
_CONTEXT_LINES = 14  # lines from an address on that speak about it

_ADDRESS = re.compile(r"(?<![\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]{1,128}@[\w-][\w.-]{0,254}")
_QUOTED_ADDRESS = re.compile(r'"[^"\s@]{1,64}"@[\w-][\w.-]{0,254}')
_EXPANDED = re.compile(r"\(expanded from:? {0,3}<?([^\s<>()@]{1,128}@[\w-][\w.-]{0,254})>?\)", re.I)  # Postfix
ENHANCED = re.compile(r"(?<![\d.])([245]\.[0-7]\.\d{1,3})(?![\d.]*\d)")  # RFC 3463 §2; not a piece of an IP address
REPLY_CODE = re.compile(
    r"(?<![\d.,/-])(?<![\da-f:]:)([45][0-5]\d)(?=[\s,;-]|$)(?! (?:bytes|octets|seconds|lines|characters|kb)\b)"
)


def read_text(
    subject: str, author: str, text: str, listed: list[str], returned_to: list[str]
) -> tuple[ReportedRecipient, ...]:
    """The recipients that a report's text names.

    `author`: the From field of the report, whose address never failed. `listed`: the addresses of X-Failed-Recipients
    (Exim, Google), which are all of them. `returned_to`: whom the returned message was for; asked when the text
    names nobody.
    """
    lines = [line[:LINE_CAP] for line in text[:TEXT_CAP].splitlines()[:LINES_CAP]]
    report = lines[: copy_starts(lines)]
    told = squeezed("\n".join(report))
    whole = squeezed(subject) + " " + told
    action = action_of(whole)
    own = {a.lower() for a in addresses(author)}
    places = _failed_places(report, own) or _failed_places(lines, own)
    if listed:
        context = {address.lower(): n for n, address in places}
        places = [(context.get(address.lower(), 0), address) for address in listed]
    if not places:
        places = [(0, address) for address in returned_to[:1]]
    if not places:
        return ()
    about_all = judged("", action, None, told)
    if about_all.reason is None and about_all.permanent is None:
        about_all = judged("", action, None, whole)
    found = []
    for (n, address), (following, _) in zip(places, [*places[1:], (len(report), "")], strict=True):
        end = min(max(following, n + 1), n + _CONTEXT_LINES)
        near = judged(address, action, None, " ".join(report[n:end])) if len(places) > 1 else about_all
        if near.status is None and near.reason is None and near.permanent is None:
            near = about_all
        expanded = _EXPANDED.search(" ".join(report[n : n + 2]))
        found.append(replace(near, address=address, original_address=expanded[1] if expanded else None))
    return merged(found)


def copy_starts(lines: list[str]) -> int:
    """The index of the line where the returned message begins."""
    for n, line in enumerate(lines):
        bare = line.strip().lower()
        if bare.startswith(("return-path: <", "received: from", "received: by")):
            return n
        if len(bare) > 120 or not any(phrase in bare for phrase in COPY_PHRASES):
            continue
        if bare[:2] in ("--", "==", "**", "__") or bare.endswith((":", "---", "===", "***", "follows.")):
            return n
    return len(lines)


def _failed_places(lines: list[str], own: set[str]) -> list[tuple[int, str]]:
    """(line index, address) of the addresses that the text says failed: those of the best rank that occurs."""
    ranked: list[tuple[int, int, str]] = []
    for n, line in enumerate(lines):
        if "@" not in line:
            continue
        lowered = line.lower()
        failing = bool(codes(lowered) or REPLY_CODE.search(lowered)) or _phrase_of(lowered) is not None
        failing = failing or any(phrase in lowered for phrase in FAILURE_TEXTS)
        for match in islice(chain(_QUOTED_ADDRESS.finditer(line), _ADDRESS.finditer(line)), 20):
            address = match[0].rstrip(".-")
            rank = _rank(lowered[: match.start()], failing)
            if rank and _is_sender(lowered, match.start(), match.end()):
                rank = 0
            if rank and address.lower() not in own and _plausible(address):
                ranked.append((rank, n, address))
    best = max((rank for rank, _, _ in ranked), default=0)
    return [(n, address) for rank, n, address in ranked if rank == best][:RECIPIENTS_CAP]


def _rank(before: str, failing: bool) -> int:
    """How surely an address after these words is the failed one: 3 sure, 2 labelled To, 0 somebody else's.

    `failing`: the line gives a code or a reason. An address that merely occurs is an example or a contact, not counted.
    """
    label = before.rstrip(" \t<\"'([`*").lstrip(" \t>*-")
    if label.endswith(TRIED_ENDS):
        return 3
    if label.endswith(OTHER_ENDS) or label.rpartition(" ")[2] in OTHER_WORDS:
        return 0
    if not any(c.isalnum() for c in label):
        return 3
    if any(word in label for word in CONTACT_WORDS):
        return 0
    if label.endswith(RECIPIENT_ENDS) or label.rpartition(" ")[2].lstrip(":<") in RECIPIENT_WORDS:
        return 3
    if label.endswith(TO_ENDS):
        return 2
    return 3 if failing else 0


def _is_sender(lowered: str, start: int, end: int) -> bool:
    """Whether the line speaks of this address as of the sender that was refused (RFC 5321 §3.3: at MAIL FROM)."""
    if not any(phrase in lowered for phrase in SENDER_TEXTS):
        return False
    said = lowered[end : end + 40].lstrip(">:;, )'\"")
    return said.startswith("sender ") or any(c.isalnum() for c in lowered[:start])


def action_of(text: str) -> str:
    if any(phrase in text for phrase in GAVE_UP_TEXTS):
        return "failed"
    if any(phrase in text for phrase in DELAY_TEXTS):
        return "delayed"
    if any(phrase in text for phrase in DELIVERED_TEXTS) and not any(phrase in text for phrase in FAILURE_TEXTS):
        return "delivered"
    return "failed"


# --- one recipient ------------------------------------------------------------------------------------------------


def judged(address: str, action: str, status: str | None, words: str) -> ReportedRecipient:
    """Put together what the Status field and the words say.

    The remote system's own enhanced code beats a Status of detail 0.0, which only repeats the class (RFC 3463 §3.1).
    """
    words = squeezed(words[:_WORDS_CAP])
    found = codes(words)
    told = next((code for code in found if not code.endswith(".0.0")), found[0] if found else None)
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
    code = status or next(iter(REPLY_CODE.findall(words)), "")
    return {"5": True, "4": False}.get(code[:1])


def _reason(words: str, status: str | None) -> tuple[str | None, bool | None]:
    """The reason word, and what the words alone say about permanence. Words tell more than most systems' codes do."""
    by_status = None
    if status and status[0] in "45":
        _, subject, detail = status.split(".")
        if f"{subject}.{detail}" in DECISIVE_STATUS:
            return REASON_OF_STATUS[f"{subject}.{detail}"], None
        by_status = REASON_OF_STATUS.get(f"{subject}.{detail}") or REASON_OF_SUBJECT.get(subject)
    return _phrase_of(words) or (by_status, None)


def _phrase_of(words: str) -> tuple[str, bool | None] | None:
    for reason, permanent, phrases in REASON_PHRASES:
        if any(phrase in words for phrase in phrases):
            return reason, permanent
    return None


def codes(words: str) -> list[str]:
    """The enhanced status codes; "version 5.0.2" is none."""
    return [m[1] for m in ENHANCED.finditer(words) if not words[: m.start()].endswith(VERSION_WORDS)]


def merged(found: list[ReportedRecipient]) -> tuple[ReportedRecipient, ...]:
    """One entry an address: the first, completed by what later ones know."""
    by_address: dict[str, ReportedRecipient] = {}
    for recipient in found:
        key = recipient.address.lower()
        first = by_address.setdefault(key, recipient)
        if first is not recipient and first.status is None and (recipient.status or first.reason is None):
            by_address[key] = replace(recipient, address=first.address)
    return tuple(by_address.values())[:RECIPIENTS_CAP]


def addresses(value: str) -> list[str]:
    value = value[: 10 * LINE_CAP]
    found = [*_QUOTED_ADDRESS.findall(value), *_ADDRESS.findall(value)]
    return [address for raw in found if _plausible(address := raw.rstrip(".-"))][:RECIPIENTS_CAP]


def _plausible(address: str) -> bool:
    local, _, domain = address.rpartition("@")
    return bool(local) and bool(domain) and not domain.replace(".", "").isdigit() and ".." not in domain


def squeezed(text: str) -> str:
    return " ".join(text.lower().split())
