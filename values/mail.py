"""A mail as frozen values, from the wire to the rules. No I/O here.

`SpooledMail` is what the spool gives; `ParsedMail` is what ingest/mime/parse.py makes of it and all that rules ever
see.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from values.vocabulary import AuthorVerdict, AuthResult, Belief, MailKind, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What the SMTP dialogue said (RFC 5321 §2.3.1), or what stands in for it on other ways in."""

    reverse_path: str  # without angle brackets; "" = the null reverse-path
    forward_paths: tuple[str, ...]
    source: Source
    received_at: datetime  # aware, UTC
    client_ip: str | None = None
    helo: str | None = None
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledMail:
    """One durable mail: `size` octets from `offset` in the file `path`, whose SHA-256 is `sha256`."""

    id: str  # 26 characters, sorts by arrival; the ledger's primary key, so a second recording is a no-op
    path: Path
    offset: int
    size: int  # octets of the mail itself, CRLF line ends as they came
    sha256: str
    envelope: Envelope
    attempts: int = 0  # earlier attempts that failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """RFC 5322 §3.4 mailbox. `address` has its domain lower-cased, as an A-label where it can be."""

    address: str
    name: str = ""  # for display only, cleaned of controls; never matched on


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentRef:
    """A body part kept in the blob store under its SHA-256."""

    name: str  # cleaned for display, never a path
    type: str  # media type as declared, lower-cased: "application/pdf"
    size: int  # octets after decoding
    sha256: str
    inline: bool = False
    content_id: str | None = None  # without angle brackets


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRecipient:
    """One recipient of a delivery report (RFC 3464 §2.3)."""

    address: str
    action: str = "failed"  # failed | delayed | delivered | relayed | expanded | complaint
    status: str | None = None  # "5.1.1" (RFC 3463)
    permanent: bool | None = None  # None = the report does not say
    reason: str | None = None  # a word such as userunknown, mailboxfull
    original_address: str | None = None  # Original-Recipient: what the sender wrote, where the report tells it apart


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What a bounce, delay notice or complaint says (RFC 3464, RFC 5965, and the forms that never read them)."""

    recipients: tuple[ReportedRecipient, ...] = ()
    original_message_id: str | None = None
    original_ids: tuple[str, ...] = ()  # every Message-ID found in the returned part, the likely one first
    feedback_type: str | None = None  # RFC 5965 §3.1: "abuse", ...; None = no complaint but a delivery report


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthEvidence:
    """The result of sender authentication and what it rests on. Made by ingest/auth/sender.py or authres.py."""

    spf: AuthResult = AuthResult.NONE
    spf_domain: str | None = None
    dkim: AuthResult = AuthResult.NONE  # the best aligned signature, else the best one
    dkim_domains: tuple[str, ...] = ()  # d= of every signature that passed
    dmarc: AuthResult = AuthResult.NONE
    dmarc_policy: str | None = None  # none | quarantine | reject, as published; None = no record
    arc: AuthResult = AuthResult.NONE
    belief: Belief = Belief.UNPROVED
    direct: bool = False  # aligned SPF: the author's own servers handed it to us or our border; it is no replay (T12)
    signed_fields: tuple[str, ...] = ()  # lower-case names that the aligned signatures cover
    open_fields: tuple[str, ...] = ()  # names of rules/belief.py that stand in the mail and that they do not cover
    refused: bool = False  # a signature that could have been the author's did not pass our own check
    evidence: tuple[str, ...] = ()  # lines for a person: what was looked at, what it said


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedMail:
    """All that is known of a mail before anything is looked up. Parsing is total: odd things become `defects`."""

    spool_id: str
    sha256: str
    size: int
    envelope: Envelope
    # header fields (RFC 5322 §3.6 names); ids stand without angle brackets
    author: Mailbox | None  # the one mailbox of From, None unless author_verdict is ONE
    author_verdict: AuthorVerdict
    author_claims: tuple[
        str, ...
    ] = ()  # addresses that a lenient reader might see in From; for display and look-alikes
    sender_field: Mailbox | None = None
    reply_to: tuple[Mailbox, ...] = ()
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    subject: str = ""
    date: datetime | None = None
    message_id: str | None = None
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    received_count: int = 0
    auto_headers: tuple[tuple[str, str], ...] = ()  # (lower-case name, value) of the fields that rules/loop.py reads
    # body
    text: str = ""  # what the author wrote now: without quote and signature
    full_text: str = ""  # all of it, as text
    html: str | None = None  # the HTML body as it came (decoded), capped; cleaned only where it is shown
    attachments: tuple[AttachmentRef, ...] = ()
    content_key: str = ""  # hash over author, subject, text, attachments and the Message-ID: a second copy has the same
    language: str | None = None  # of the text, where sure: en | es | sv
    # judgments of the parser about the form only
    kind: MailKind = MailKind.PERSON  # what the form of the mail says it is
    kind_evidence: str = ""  # which header or phrase said so
    report: DeliveryReport | None = None
    auth: AuthEvidence = field(default_factory=AuthEvidence)
    defects: tuple[str, ...] = ()  # kebab-case words, closed list in ingest/mime/defects.py
    over_limit: str | None = None  # the limit word when a limit stopped the parser; then only the envelope is sure
