"""Header fields → facts, by mail-parser, with its gaps mended before and after.

Takes: the fields that scan found.  Gives: `HeaderFacts`.  Fails: never.

mail-parser reads one small message that holds only the fields below: addresses, dates and the subject are its word.
Mended before: 8-bit octets become text by the charset they are in, encoded words in charsets it does not know or would
cut letters from become text. Mended after: repeated fields, names it left encoded, controls.
"""

import logging
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message

from mailparser import MailParser
from mailparser.utils import get_addresses

from ingest.mime.charset import decode, decode_words, words_in_utf8
from ingest.mime.defects import Defect
from ingest.mime.params import read_params
from ingest.mime.scan import Field
from ingest.report.report import REPORT_HEADERS
from rules.author import plain_address, read_author
from rules.loop import AUTO_HEADERS
from values.mail import Mailbox
from values.vocabulary import AuthorVerdict

logging.getLogger("mailparser").setLevel(logging.CRITICAL)  # it logs what senders wrote; we have `defects` for that

_NAME_CAP = 200  # characters of a display name
_VALUE_CAP = 4096  # characters of a subject or an id that are kept
_IDS = 100  # of References: the first and the last so many
_FIELD_CAP = 64 * 1024  # characters of an address field; ScanLimits.addresses of them in a plain hand
_ADDRESS_FIELDS = ("to", "cc", "reply-to")
_BRACKETED = re.compile(r"<([^<>]{1,998})>")
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_MEANT = "\u200c\u200d\xad"  # joiners, which shape letters and emoji, and the soft hyphen: invisible but meant


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderFacts:
    """The header part of a ParsedMail, under the same names."""

    author: Mailbox | None
    author_verdict: AuthorVerdict
    author_claims: tuple[str, ...]
    sender_field: Mailbox | None = None
    reply_to: tuple[Mailbox, ...] = ()
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    subject: str = ""
    date: datetime | None = None
    raw_date: str = ""
    message_id: str | None = None
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    received_count: int = 0
    auto_headers: tuple[tuple[str, str], ...] = ()
    report_headers: tuple[tuple[str, str], ...] = ()  # for ingest/report/report.py


class _HeaderOnly(MailParser):
    """mail-parser without its walk through the parts of a message that has none: a quarter of its time."""

    def parse(self) -> "_HeaderOnly":
        self._reset()  # type: ignore[no-untyped-call]
        return self


@dataclass(slots=True)
class _Reader:
    fields: tuple[Field, ...]
    defects: dict[Defect, None]
    charset: str | None = None
    by_name: dict[str, list[Field]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in self.fields:
            self.by_name.setdefault(one.name, []).append(one)
        content_type = self.by_name.get("content-type")
        if content_type:
            _, params, _ = read_params(content_type[0].unfolded.decode("latin-1"))
            self.charset = params.get("charset")

    def values(self, name: str) -> list[str]:
        """The values of every field of that name, on one line, 8-bit octets decoded, encoded words as they came."""
        return [self._text(one.unfolded) for one in self.by_name.get(name, ())]

    def _text(self, octets: bytes) -> str:
        try:
            return octets.decode("utf-8")
        except UnicodeDecodeError:
            self.defects[Defect.RAW_8BIT_HEADER] = None
            return decode(octets, self.charset)[0]

    def first(self, name: str, repeated: Defect | None = None) -> str:
        values = self.values(name)
        if len(values) > 1 and repeated is not None:
            self.defects[repeated] = None
        value = values[0] if values else ""
        if len(value) > _VALUE_CAP:
            self.defects[Defect.HEADER_CUT] = None
        return value[:_VALUE_CAP]

    def decoded(self, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        """(name, decoded value) of the fields of these lower-case names, in the order of the names."""
        return tuple(
            (name, clean_line(decode_words(value[:_VALUE_CAP])))
            for name in names
            if name in self.by_name
            for value in self.values(name)[:10]
        )


def read_header(fields: tuple[Field, ...], defects: dict[Defect, None]) -> HeaderFacts:
    """The facts of a header section; what is odd goes into `defects`, fields that stand twice too (RFC 5322 §3.6)."""
    reader = _Reader(fields, defects)
    message = Message()
    froms = reader.values("from")
    if len(froms) > 1:
        defects[Defect.REPEATED_FROM] = None
    if froms:
        message["From"] = _sound(froms[0], defects)
    for name in _ADDRESS_FIELDS:
        values = reader.values(name)
        if values:
            # Two To fields are one list to every reader but the library.
            message[name] = _sound(", ".join(values), defects)
    message["Subject"] = clean_line(decode_words(reader.first("subject", Defect.REPEATED_SUBJECT)))
    message["Date"] = raw_date = reader.first("date", Defect.REPEATED_DATE)
    mail = _HeaderOnly(message)  # type: ignore[no-untyped-call]
    if raw_date and mail.date is None:  # neither of RFC 5322 §3.3 nor of §4.3; the time of receipt is what counts
        defects[Defect.DATE_INVALID] = None
    verdict, author, claims = read_author(
        [words_in_utf8(one) for one in froms], [address for _, address in mail.from_ or ()]
    )
    if any(one.spaced for one in reader.by_name.get("from", ())):
        verdict, author = AuthorVerdict.AMBIGUOUS, None  # `From :` is a From field to some readers only
    if any(not one["recovered"] for one in mail.address_header_defects):
        defects[Defect.ADDRESS_INVALID] = None
    ids = _ids(reader.first("message-id", Defect.REPEATED_MESSAGE_ID))
    sender_field = reader.first("sender")
    sender = _mailboxes(get_addresses(_sound(sender_field, defects), decode_names=True)) if sender_field else ()
    return HeaderFacts(
        author=author and Mailbox(address=author.address, name=clean_line(decode_words(author.name))[:_NAME_CAP]),
        author_verdict=verdict,
        author_claims=tuple(clean_line(one) for one in claims),
        sender_field=sender[0] if sender else None,
        reply_to=_mailboxes(mail.reply_to),
        to=_mailboxes(mail.to),
        cc=_mailboxes(mail.cc),
        subject=clean_line(mail.subject),
        date=mail.date,
        raw_date=raw_date,
        message_id=ids[0] if ids else None,
        in_reply_to=_bounded(_ids(" ".join(reader.values("in-reply-to")))),
        references=_bounded(_ids(" ".join(reader.values("references")))),
        received_count=len(reader.by_name.get("received", ())),
        auto_headers=reader.decoded(AUTO_HEADERS),
        report_headers=reader.decoded(REPORT_HEADERS),
    )


def _sound(value: str, defects: dict[Defect, None]) -> str:
    """An address field as the library may see it: of bounded length, its words in UTF-8 (threats T42, T44)."""
    if len(value) > _FIELD_CAP:
        defects[Defect.HEADER_CUT] = None
        value = value[:_FIELD_CAP].rpartition(",")[0]
    return words_in_utf8(value)


def _mailboxes(addresses: object) -> tuple[Mailbox, ...]:
    """mail-parser's (name, address) pairs as mailboxes."""
    found = []
    for name, address in addresses if isinstance(addresses, list) else ():
        if "@" not in address:
            continue
        local, _, domain = address.rpartition("@")
        known = plain_address(address) or f"{local}@{domain.lower()}"
        if clean_line(known) != known:
            continue  # cleaned of what cannot be seen it would be somebody else's address
        found.append(Mailbox(address=known, name=clean_line(decode_words(name))[:_NAME_CAP]))
    return tuple(found)


def clean_line(text: str) -> str:
    """One line for display: no line breaks (threats M9), no controls, no marks that turn the direction of writing."""
    if text.isprintable():
        return text.strip()
    out = []
    for one in text:
        if one in "\r\n\t\x0b\x0c\x85\u2028\u2029":
            out.append(" ")
        elif one in _MEANT or unicodedata.category(one) not in _HIDDEN:
            out.append(one)
    return re.sub(r" {2,}", " ", "".join(out)).strip() if "\r" in text or "\n" in text else "".join(out).strip()


def _ids(value: str) -> list[str]:
    """The message ids in a field, without brackets (RFC 5322 §3.6.4), however they were written down."""
    if "=?" in value:
        value = decode_words(value)
    found = ["".join(one.split()) for one in _BRACKETED.findall(value)]
    if not found:
        found = [
            one for token in re.split(r"[\s,;]+", value) if "@" in (one := token.strip("<>\"'")) and len(one) <= 998
        ]
        if not found and value.strip() and " " not in value.strip() and len(value) <= 998:
            found = [value.strip().strip("<>")]
    return [clean for one in dict.fromkeys(found) if (clean := clean_line(one))]


def _bounded(ids: list[str]) -> tuple[str, ...]:
    return tuple(ids) if len(ids) <= 2 * _IDS else (*ids[:_IDS], *ids[-_IDS:])
