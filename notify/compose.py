"""One outgoing mail as a value → the octets for the smarthost.

Takes: `OutgoingMail`, all of it decided before, and the `Renderer`.  Gives: `Composed`.  Fails: `Unfit`, with the
reason: such a mail is failed at once and shown to a person, because trying again would build the same.

This is the one place that writes header fields of outgoing mail. Every value is cleaned, every name comes from a
constant list, and what was built is read again and compared before it leaves (threats T29, T30).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_string, policy
from email.errors import MessageError
from email.header import Header, decode_header, make_header
from email.utils import format_datetime, unquote
from typing import Protocol
from urllib.parse import quote

import idna

from models.views.mails import FileView
from notify.render import Plain, Rendered, RenderError
from values.mail import Mailbox
from values.vocabulary import MailClass, MailName

# RFC 5322 §2.1.1: lines aim at 78 octets without CRLF.
LINE = 78
SUBJECT_CAP = 500  # characters; a longer subject of a customer is cut
NAME_CAP = 80
ID_CAP = 250  # octets of a Message-ID that we repeat
LATEST_REFERENCES = 3

# RFC 3834 §3.1.7, §5 and the three header sets: a person's answer is never marked as automatic, or the customer's
# own helpdesk and vacation responder would treat it as a machine's.
AUTOMATIC: Mapping[MailClass, tuple[tuple[str, str], ...]] = {
    MailClass.CONVERSATION: (),
    MailClass.RECEIPT: (
        ("Auto-Submitted", "auto-replied"),
        ("X-Auto-Response-Suppress", "DR, RN, OOF, AutoReply"),
    ),
    MailClass.NOTICE: (
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "OOF, AutoReply"),
    ),
}

# All names that ever leave, in their order. No Cc and no Bcc: a mail has one recipient (RFC 5321 §7.2).
HEADER_NAMES: tuple[str, ...] = (
    "From",
    "To",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "X-Postdesk-Loop",
    "X-Postdesk-Mail",
    "X-Postdesk-Ticket",
    "X-Postdesk-Reason",
    "Content-Language",
    "MIME-Version",
    "Content-Type",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMail:
    """One mail to one recipient: everything that is needed to write it, nothing that must be looked up."""

    mail: MailName
    kind: MailClass
    language: str  # wanted; the renderer falls back to English
    zone: str  # IANA name
    recipient: str  # address: the only forward-path, and all of To
    sender: Mailbox  # From
    return_path: str  # the envelope's reverse-path; "" = null
    message_id: str  # without angle brackets, made from the outbox row's id
    date: datetime  # aware
    loop_marker: str  # signed by rules/tokens.py: our own mail is recognised when it comes back
    reply_to: str | None = None  # the ticket's address with this recipient's token
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()  # the ticket's ids, the first one first
    ticket: int | None = None
    reason: str | None = None  # why the recipient gets it: a word
    context: Mapping[str, Plain] = field(default_factory=dict)
    calendar: str | None = None  # an iCalendar file to attach (RFC 5545)
    files: tuple[FileView, ...] = ()  # to attach; their octets are in the blob store


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """Ready for SMTP: CRLF line ends, 7bit body."""

    reverse_path: str
    forward_path: str
    message_id: str
    message: bytes
    smtputf8: bool = False  # an address has a non-ASCII local part (RFC 6531)
    notes: tuple[str, ...] = ()  # what fell back while rendering, for the log


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """The mail cannot be built, now or later."""

    reason: str


class CanRender(Protocol):
    def render(self, mail: str, language: str, zone: str, context: Mapping[str, Plain]) -> Rendered: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One attachment as it is written."""

    type: str
    disposition: str  # the whole value of Content-Disposition, folded
    octets: bytes


def _no_blob(sha256: str) -> bytes:
    raise ValueError("a mail with files needs the blob store")


def compose(mail: OutgoingMail, renderer: CanRender, blob: Callable[[str], bytes] = _no_blob) -> Composed | Unfit:
    """Write one mail, read it again, and give it out only if it says what it should.

    `blob`: the octets of a file by its SHA-256; what it raises is raised here, ValueError apart.
    """
    try:
        rendered = renderer.render(mail.mail, mail.language, mail.zone, mail.context)
        sender = Mailbox(address=clean_address(mail.sender.address), name=clean_name(mail.sender.name))
        recipient = clean_address(mail.recipient)
        return_path = clean_address(mail.return_path) if mail.return_path else ""
        headers = dict(_headers(mail, rendered, sender, recipient))
        files = _files(mail, blob)
        message = _head(headers) + _mime(rendered, mail, files)
    except (ValueError, RenderError) as error:
        return Unfit(reason=str(error))
    if fault := _difference(message, headers, rendered, sender, recipient, files):
        return Unfit(reason=f"the mail that was built does not say what it should: {fault}")
    return Composed(
        reverse_path=return_path,
        forward_path=recipient,
        message_id=mail.message_id,
        message=message,
        smtputf8=not (return_path + recipient + sender.address + (mail.reply_to or "")).isascii(),
        notes=rendered.notes,
    )


# --- values -----------------------------------------------------------------------------------------------------

# C0, DEL, C1, line and paragraph separator, and the marks that turn the direction of what follows.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")
# One mailbox and nothing else: no space, no quoting, no comment, no list (RFC 5322 §3.4.1 dot-atom, dots anywhere).
_LOCAL_PART = re.compile(r"[^\x00-\x20\x7f-\xa0\s()<>\[\]:;@\\,\"\u2028\u2029]{1,64}")
_MESSAGE_ID = re.compile(r"[!-;=?-~]+@[!-;=?-~]+")  # printable ASCII without angle brackets


def clean(value: str) -> str:
    """Text for a header field: controls and line separators become one space, nothing else changes."""
    return _CONTROLS.sub(" ", value).strip()


def clean_name(value: str) -> str:
    """A display name: one line, single spaces (RFC 5322 phrases keep no more), NAME_CAP characters."""
    return " ".join(clean(value).split())[:NAME_CAP].strip()


def clean_address(address: str) -> str:
    """An address as it is written on the wire: the domain as A-labels (RFC 5891). ValueError where it is none."""
    local, at, domain = address.rpartition("@")
    if not at or not _LOCAL_PART.fullmatch(local) or "=?" in local:  # an encoded word would be decoded (RFC 2047 §5)
        raise ValueError(f"not one plain address: {clean(address)[:100]!r}")
    return f"{local}@{_a_labels(domain, address)}"


def _a_labels(domain: str, address: str) -> str:
    if re.fullmatch(r"\[[0-9A-Fa-f.:]+\]", domain):  # an address literal (RFC 5321 §4.1.3)
        return domain
    try:
        encoded = domain.lower() if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        encoded = ""
    if len(encoded) > 255 or not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9])?", encoded) or ".." in encoded:
        raise ValueError(f"not a domain: {clean(address)[:100]!r}")
    return encoded


def is_message_id(value: str) -> bool:
    """May this foreign Message-ID be repeated in a mail of ours? Odd and very long ones are left out."""
    return len(value) <= ID_CAP and _MESSAGE_ID.fullmatch(value) is not None


def thread_references(ids: tuple[str, ...], in_reply_to: str | None) -> tuple[str, ...]:
    """The customer's first Message-ID and the last three, each once, the answered one last unless it is the first.

    Mail programs want ids that they have seen, or always the same one; the whole chain would grow without bound
    (RFC 5322 §3.6.4 wants it, RFC 5537 §3.4.4 allows to trim it so).
    """
    known = [one for one in dict.fromkeys((*ids, *((in_reply_to,) if in_reply_to else ()))) if is_message_id(one)]
    if in_reply_to in known[1:]:
        known.append(known.pop(known.index(in_reply_to)))
    return tuple(known if len(known) <= 1 + LATEST_REFERENCES else [known[0], *known[-LATEST_REFERENCES:]])


# --- header fields ----------------------------------------------------------------------------------------------


def _headers(mail: OutgoingMail, rendered: Rendered, sender: Mailbox, recipient: str) -> Iterator[tuple[str, str]]:
    """(name, folded value) in the order of HEADER_NAMES."""
    yield "From", _mailbox("From", sender)
    yield "To", recipient  # the bare address: a name would be the recipient's own text in our header
    if mail.reply_to:
        yield "Reply-To", clean_address(mail.reply_to)
    yield "Subject", _unstructured("Subject", _subject(rendered))
    yield "Date", format_datetime(mail.date)
    yield "Message-ID", _id(mail.message_id)
    if mail.in_reply_to and is_message_id(mail.in_reply_to):  # of receipts too: RFC 3834 §3.1.6
        yield "In-Reply-To", _id(mail.in_reply_to)
    if references := thread_references(mail.references, mail.in_reply_to):
        yield "References", "\r\n ".join(_id(one) for one in references)
    yield from AUTOMATIC[mail.kind]
    yield "X-Postdesk-Loop", " ".join(_token(word) for word in mail.loop_marker.split(" "))
    yield "X-Postdesk-Mail", _token(mail.mail)
    if mail.ticket is not None:
        yield "X-Postdesk-Ticket", str(int(mail.ticket))
    if mail.reason:
        yield "X-Postdesk-Reason", _token(mail.reason)
    yield "Content-Language", _token(rendered.language)


def _subject(rendered: Rendered) -> str:
    return clean(rendered.subject)[:SUBJECT_CAP].strip()


def _head(headers: Mapping[str, str]) -> bytes:
    lines = []
    for name, value in headers.items():
        if name not in HEADER_NAMES:
            raise ValueError(f"{name!r} is no header field of ours")
        if re.search(r"[\x00-\x1f\x7f]", value.replace("\r\n ", " ")):
            raise ValueError(f"a control character in {name}")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode()


def _mailbox(name: str, mailbox: Mailbox) -> str:
    if not mailbox.name:
        return mailbox.address
    if mailbox.name.isascii() and "=?" not in mailbox.name:
        quoted = mailbox.name.replace("\\", "\\\\").replace('"', '\\"')
        phrase = f'"{quoted}"'
    else:
        phrase = _encoded(name, mailbox.name)
    line_end = " " if len(name) + len(phrase) + len(mailbox.address) + 5 <= LINE else "\r\n "
    return f"{phrase}{line_end}<{mailbox.address}>"


def _unstructured(name: str, value: str) -> str:
    """As it is where it fits one line of ASCII, else encoded words (RFC 2047 §2), which fold at any character."""
    if value.isascii() and "=?" not in value and len(name) + 2 + len(value) <= LINE:
        return value
    return _encoded(name, value)


def _encoded(name: str, value: str) -> str:
    # The stdlib's older Header, not the folding of EmailMessage: its output is the same in every Python version.
    return Header(value, "utf-8", maxlinelen=76, header_name=name).encode(linesep="\r\n")


def _id(message_id: str) -> str:
    if not is_message_id(message_id):
        raise ValueError(f"not a Message-ID: {clean(message_id)[:100]!r}")
    return f"<{message_id}>"


def _token(value: str) -> str:
    if not re.fullmatch(r"[!-~]{1,200}", value):
        raise ValueError(f"not one word: {clean(value)[:100]!r}")
    return str(value)


# --- body -------------------------------------------------------------------------------------------------------

_TEXT_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def _mime(rendered: Rendered, mail: OutgoingMail, files: tuple[_File, ...]) -> bytes:
    """MIME fields and the two alternatives; with files, all of them in a multipart/mixed (RFC 2046 §5.1.3)."""
    if not files:
        return b"MIME-Version: 1.0\r\n" + _alternatives(rendered, mail.message_id)
    boundary = _boundary(f"calendar {mail.message_id}")
    pieces = [
        f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary="{boundary}"\r\n\r\n'.encode(),
        f"--{boundary}\r\n".encode(),
        _alternatives(rendered, mail.message_id),
    ]
    for file in files:
        fields = f"Content-Type: {file.type}\r\nContent-Disposition: {file.disposition}\r\n"
        pieces += (f"--{boundary}\r\n{fields}".encode(), _encoded_file(file), b"\r\n")
    return b"".join((*pieces, f"--{boundary}--\r\n".encode()))


def _encoded_file(file: _File) -> bytes:
    if file.type == _CALENDAR:  # text of ours stays legible
        return b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + binascii.b2a_qp(file.octets, istext=True)
    return b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(file.octets).replace(b"\n", b"\r\n")


# Not method=REQUEST: nothing to accept, a file that a person may open (RFC 5546 §3.2.1, RFC 6047 §2.4)
_CALENDAR = 'text/calendar; charset="utf-8"; method=PUBLISH'
_FILE_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,90}", re.ASCII)
FILE_NAME_CAP = 60  # characters; percent-encoded they still fit a line of 998 octets (RFC 5322 §2.1.1)


def _files(mail: OutgoingMail, blob: Callable[[str], bytes]) -> tuple[_File, ...]:
    made = [
        _File(type=_file_type(one.type), disposition=_disposition(one.name), octets=blob(one.sha256))
        for one in mail.files
    ]
    if mail.calendar is not None:
        made.insert(0, _File(type=_CALENDAR, disposition=_disposition("seat.ics"), octets=_crlf(mail.calendar)))
    return tuple(made)


def _file_type(declared: str) -> str:
    """The declared type where it is one of a plain file: a mail within a mail must be read as a file again."""
    plain = _FILE_TYPE.fullmatch(declared) and not declared.startswith(("multipart/", "message/"))
    return declared if plain else "application/octet-stream"


def _disposition(name: str) -> str:
    """RFC 2183, and RFC 2231 §4 for a name that is not plain ASCII."""
    shown = re.sub(r'[\\/"]', "_", clean(name)).strip(". ") or "file"
    stem, dot, ending = shown.rpartition(".")
    if len(shown) > FILE_NAME_CAP:
        short = dot and len(ending) <= 10
        shown = f"{stem[: FILE_NAME_CAP - len(ending) - 1]}.{ending}" if short else shown[:FILE_NAME_CAP]
    if shown.isascii():
        return f'attachment; filename="{shown}"'
    return f"attachment;\r\n filename*=UTF-8''{quote(shown, safe='')}"


def _alternatives(rendered: Rendered, message_id: str) -> bytes:
    """The two alternatives, the plain one first (RFC 2046 §5.1.4).

    Written by hand, because what EmailMessage writes differs between Python versions, and goldens are octets.
    """
    boundary = _boundary(message_id)
    pieces = [f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n\r\n'.encode()]
    for subtype, text in (("plain", rendered.text), ("html", rendered.html)):
        pieces.append(
            f'--{boundary}\r\nContent-Type: text/{subtype}; charset="utf-8"\r\n'
            "Content-Transfer-Encoding: quoted-printable\r\n\r\n".encode()
        )
        # Short ASCII lines: no relay has a reason to re-encode what DKIM has signed.
        pieces.append(binascii.b2a_qp(_crlf(text), istext=True) + b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces)


def _boundary(of: str) -> str:
    """Holds "=_", which quoted-printable never does, so no text can contain it (RFC 2045 §6.7)."""
    return "=_" + hashlib.sha256(of.encode()).hexdigest()[:32]


def _crlf(text: str) -> bytes:
    """UTF-8 without controls, every line end a CRLF (RFC 5321 §2.3.8, RFC 2045 §2.8).

    The lone dot and "From " of SMTP and mbox get encoded later.
    """
    one_kind = re.sub(r"\r\n?|[\u2028\u2029\x85]", "\n", text)
    return _TEXT_CONTROLS.sub("\ufffd", one_kind).replace("\n", "\r\n").encode()


# --- reading it again -------------------------------------------------------------------------------------------


def _difference(
    message: bytes, built: Mapping[str, str], rendered: Rendered, sender: Mailbox, to: str, files: tuple[_File, ...]
) -> str | None:
    """What the built mail says otherwise than meant, or None. Read by the stdlib, which had no part in writing it."""
    try:
        read = message_from_string(message.decode(), policy=policy.compat32)
        if list(read.keys()) != [*built, "MIME-Version", "Content-Type"]:
            return f"its header fields are {', '.join(read.keys())}"
        for name, meant in (("From", sender), ("To", Mailbox(address=to))):
            line = _one_line(read[name])
            found = [one.addr_spec for one in policy.default.header_factory(name, line).addresses]
            if found != [meant.address] or _phrase(line) != meant.name:
                return f"{name} is {read[name]!r}"
        if _unfolded(read["Subject"]) != _subject(rendered):
            return f"Subject is {read['Subject']!r}"
        leaves = (part for part in read.walk() if not part.is_multipart())
        parts = [(part.get_content_type(), part.get_payload(decode=True)) for part in leaves]
        attached = [(file.type.partition(";")[0], file.octets) for file in files]
        if parts != [("text/plain", _crlf(rendered.text)), ("text/html", _crlf(rendered.html)), *attached]:
            return "its parts are not the text and the HTML"
    except (MessageError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        return f"it cannot be read: {type(error).__name__}"
    return None


def _unfolded(value: str) -> str:
    return str(make_header(decode_header(_one_line(value))))


def _phrase(line: str) -> str:
    """The display name. Not as the stdlib's address parser has it, which puts a space between encoded words."""
    phrase = line.rpartition("<")[0].strip()
    return unquote(phrase) if phrase.startswith('"') else _unfolded(phrase)


def _one_line(value: str) -> str:
    return value.replace("\r\n", "").replace("\n", "")
