"""A spooled mail → `ParsedMail`.

Takes: `SpooledMail` (a piece of a file) and a sink for attachments.  Gives: `ParsedMail`; attachments went to the sink.
Fails: never on content, odd things become `defects`; a fault of the disk or of the sink is raised as it came.

Bodies stay in the file: structure comes from scan as offsets, large leaves are decoded block by block.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from ingest.mime.body import choose
from ingest.mime.content import AttachmentSink, Content, Keeper
from ingest.mime.defects import Defect, Limit, ScanLimits
from ingest.mime.header import HeaderFacts, read_header
from ingest.mime.leaf import blocks
from ingest.mime.reply import language_of
from ingest.mime.scan import Field, Octets, Part, scan
from ingest.report.report import PART_CAP, REPORT_TYPES, ReportPart, ReportParts, read_report
from rules.loop import FormFacts, classify
from rules.subject import is_forward
from values.mail import DeliveryReport, ParsedMail, SpooledMail
from values.vocabulary import AuthorVerdict, MailKind

_WHOLE = 1024 * 1024  # mails up to this size are read at once


def parse(mail: SpooledMail, store: AttachmentSink, limits: ScanLimits | None = None) -> ParsedMail:
    """Read a mail. Attachments are put into `store`; everything else is in the value."""
    with Path(mail.path).open("rb") as file:
        octets = FileOctets(file, mail.offset, mail.size)
        keeper = Keeper(store)
        try:
            return _parse(mail, octets, keeper, limits)
        except (OSError, MemoryError):
            raise  # faults of the place, not of the mail: another attempt may succeed
        except Exception:
            if keeper.failed:
                raise
            return _unreadable(mail)


@dataclass(slots=True)
class FileOctets:
    """`Octets` of a piece of a file; a small mail is read once, a large one as it is asked for."""

    file: BinaryIO
    offset: int
    size: int
    whole: bytes | None = None

    def __post_init__(self) -> None:
        if self.size <= _WHOLE:
            self.file.seek(self.offset)
            self.whole = self.file.read(self.size)

    def read(self, start: int, stop: int) -> bytes:
        if self.whole is not None:
            return self.whole[start:stop]
        self.file.seek(self.offset + start)
        return self.file.read(max(min(stop, self.size) - start, 0))


def _parse(mail: SpooledMail, octets: Octets, keeper: Keeper, limits: ScanLimits | None) -> ParsedMail:
    scanned = scan(octets, limits)
    defects = dict.fromkeys(scanned.defects)
    if scanned.root is None:
        word = scanned.over_limit or Limit.UNREADABLE
        whole = word not in (Limit.SIZE, Limit.HEADER_SIZE, Limit.HEADER_COUNT)
        return _over_limit(mail, word, defects, _safe_header(scanned.fields, defects, whole))
    header = read_header(scanned.fields, defects)
    answers = bool(header.in_reply_to or header.references)
    content = Content(octets, keeper, defects, forwards=is_forward(header.subject), answers=answers)
    content.read(choose(scanned.root))
    report_parts = ReportParts(
        headers=header.report_headers,
        text=content.full_text[:PART_CAP],
        parts=tuple(_report_parts(octets, scanned.root)),
        reverse_path=mail.envelope.reverse_path,
    )
    report = read_report(report_parts)
    kind, evidence = _kind(mail, header, content.full_text, report)
    return ParsedMail(
        spool_id=mail.id,
        sha256=mail.sha256,
        size=mail.size,
        envelope=mail.envelope,
        author=header.author,
        author_verdict=header.author_verdict,
        author_claims=header.author_claims,
        sender_field=header.sender_field,
        reply_to=header.reply_to,
        to=header.to,
        cc=header.cc,
        subject=header.subject,
        date=header.date,
        message_id=header.message_id,
        in_reply_to=header.in_reply_to,
        references=header.references,
        received_count=header.received_count,
        auto_headers=header.auto_headers,
        text=content.text,
        full_text=content.full_text,
        html=content.html,
        attachments=tuple(content.attachments),
        content_key=_content_key(header, content),
        language=language_of(content.text),
        kind=kind,
        kind_evidence=evidence,
        report=report,
        defects=tuple(content.defects),
    )


def _kind(mail: SpooledMail, header: HeaderFacts, text: str, report: DeliveryReport | None) -> tuple[MailKind, str]:
    claimed = header.author_claims[0] if header.author_claims else ""
    return classify(
        FormFacts(
            auto_headers=header.auto_headers,
            reverse_path=mail.envelope.reverse_path,
            author=header.author.address if header.author else claimed,
            subject=header.subject,
            text=text[:2000],
            report=report,
        )
    )


def _safe_header(fields: tuple[Field, ...], defects: dict[Defect, None], whole: bool) -> HeaderFacts | None:
    """The header facts of a mail over a limit, from the fields that are short enough to be read safely.

    Where not every From field was read (`whole` is False, or one is too long), nobody is named as the author.
    """
    wanted = [one for one in fields if one.name in ("from", "subject", "date", "message-id")][:20]
    short = tuple(one for one in wanted if len(one.value) <= 8192)
    if not short:
        return None
    header = read_header(short, defects)
    if whole and len(short) == len(wanted) < 20:
        return header
    return replace(header, author=None, author_verdict=AuthorVerdict.AMBIGUOUS)


def _over_limit(mail: SpooledMail, word: Limit, defects: dict[Defect, None], header: HeaderFacts | None) -> ParsedMail:
    return ParsedMail(
        spool_id=mail.id,
        sha256=mail.sha256,
        size=mail.size,
        envelope=mail.envelope,
        author=header.author if header else None,
        author_verdict=header.author_verdict if header else AuthorVerdict.MISSING,
        author_claims=header.author_claims if header else (),
        subject=header.subject if header else "",
        date=header.date if header else None,
        message_id=header.message_id if header else None,
        content_key=mail.sha256,
        defects=tuple(defects),
        over_limit=word,
    )


def _unreadable(mail: SpooledMail) -> ParsedMail:
    return _over_limit(mail, Limit.UNREADABLE, {}, None)


def _report_parts(octets: Octets, root: Part) -> Iterator[ReportPart]:
    for part in _leaves(root):
        if part.type in REPORT_TYPES:
            content = b"".join(blocks(octets, part, part.body + 2 * PART_CAP))[:PART_CAP]
            yield ReportPart(type=part.type, content=content)


def _leaves(part: Part) -> Iterator[Part]:
    if not part.children:
        yield part
    for child in part.children:
        yield from _leaves(child)


def _content_key(header: HeaderFacts, content: Content) -> str:
    """The same for the same mail on two ways: nothing in it that a mail server adds or may change."""
    digest = hashlib.sha256()
    pieces = (
        header.author.address if header.author else "\n".join(header.author_claims),
        header.raw_date,
        header.message_id or "",
        header.subject,
        content.full_text,
        content.html or "",
        *(one.sha256 for one in content.attachments),
        *content.beyond,
    )
    for piece in pieces:
        digest.update(piece.encode("utf-8", "replace"))
        digest.update(b"\x00")
    return digest.hexdigest()
