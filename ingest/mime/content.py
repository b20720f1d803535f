"""What the leaves of a mail say and bring: its text, its HTML, its files.

Takes: the leaves that body chose, `Octets`, a sink for files.  Gives: `Content`; files went to the sink.
Fails: never on content, odd things become `defects`; a fault of the disk or of the sink is raised as it came.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from ingest.mime.body import (
    TEXT_CAP,
    Chosen,
    disposition_of,
    tidy,
    unflow,
)
from ingest.mime.charset import codec_of, decode, html_charset
from ingest.mime.defects import Defect
from ingest.mime.header import clean_line
from ingest.mime.html_text import HTML_CAP, bare_text, marked_text, unmarked, without_embedded
from ingest.mime.leaf import (
    PackedFile,
    blocks,
    clean_name,
    is_tnef,
    made_up_name,
    raw_name,
    take_uuencoded,
    transfer_encoding,
    unpack_tnef,
)
from ingest.mime.reply import written_now
from ingest.mime.scan import Octets, Part
from values.mail import AttachmentRef

_UU_CAP = 4 * 1024 * 1024  # octets of a text leaf that are searched for uuencoded files
_TEXT_READ = 1024 * 1024  # octets of a text leaf that are decoded
_HTML_KEPT = 512 * 1024  # characters of ParsedMail.html
_HTML_READ = 2 * 1024 * 1024  # octets of an HTML leaf that are read
_TAG = 8  # characters that are read in the time that one tag takes
_HTML_WORK = 3 * HTML_CAP  # characters of HTML, and for its tags, that are turned into text for one whole mail
_TNEF_READ = 24 * 1024 * 1024


class AttachmentSink(Protocol):
    """Where attachments go: the blob store, or `HashOnly`."""

    def put(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Keep the content that the chunks make up; gives its SHA-256 (hex) and its size in octets."""


class HashOnly:
    """A sink that keeps nothing: what `postdesk explain` needs of an attachment is its hash."""

    def put(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """The SHA-256 (hex) and the size of the content."""
        digest = hashlib.sha256()
        size = 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
        return digest.hexdigest(), size


@dataclass(slots=True)
class Keeper:
    """The sink, and whether it failed: its faults must not be taken for faults of the mail."""

    store: AttachmentSink
    failed: bool = False

    def put(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        try:
            return self.store.put(chunks)
        except Exception:
            self.failed = True
            raise


@dataclass(slots=True)
class Content:
    """Reads the chosen leaves: texts are decoded, files go to the sink."""

    octets: Octets
    keeper: Keeper
    defects: dict[Defect, None]
    forwards: bool = False  # by its subject, the mail forwards another
    answers: bool = False  # by its header, it answers another
    attachments: list[AttachmentRef] = field(default_factory=list)
    text: str = ""
    full_text: str = ""
    html: str | None = None
    html_left: int = _HTML_WORK
    beyond: list[str] = field(default_factory=list)  # hashes of text leaves that were not read to their end

    def read(self, chosen: Chosen) -> None:
        """Fill text, full_text, html and attachments."""
        plain: dict[int, str] = {}  # start of a leaf → its text
        for part in {id(one): one for one in (*chosen.text, *chosen.html)}.values():
            plain[part.start] = self._leaf_text(part)
        unpacked = [self._file(part) for part in chosen.files]
        texts: list[str] = []
        written: list[str] = []
        for part in chosen.text:
            full, now = self._as_text(part, plain[part.start])
            if full.strip():
                texts.append(full)
                written.append(now)
        htmls = [plain[part.start] for part in chosen.html if part.type == "text/html"]
        if not texts and htmls:
            full, now = self._from_html("\n".join(htmls))
            texts, written = [full], [now]
        for text, html in (one for one in unpacked if one is not None):
            if not texts and (text or html):
                full, now = (tidy(text), tidy(text)) if text else self._from_html(html)
                texts, written = [full], [now]
                htmls = htmls or ([html] if html else [])
        self._set_text("\n\n".join(texts), "\n\n".join(written))
        if htmls:
            html = "\n".join(htmls)
            if len(html) > _HTML_KEPT:
                self.defects[Defect.HTML_TRUNCATED] = None
            self.html = html[:_HTML_KEPT].replace("\x00", "")

    def _set_text(self, full: str, written: str) -> None:
        if len(full) > TEXT_CAP:
            self.defects[Defect.TEXT_TRUNCATED] = None
            self.beyond.append(hashlib.sha256(full.encode("utf-8", "replace")).hexdigest())
        self.full_text = full[:TEXT_CAP]
        now = written_now(written[:TEXT_CAP], forwards=self.forwards, answers=self.answers)
        self.text = now or self.full_text

    def _leaf_text(self, part: Part) -> str:
        """The decoded text of a leaf, without the files inside it."""
        is_html = part.type == "text/html"
        cap = _HTML_READ if is_html else _UU_CAP
        content = b"".join(blocks(self.octets, part, part.body + cap))
        if part.end - part.body > cap:
            self.defects[Defect.HTML_TRUNCATED if is_html else Defect.TEXT_TRUNCATED] = None
            self.beyond.append(HashOnly().put(blocks(self.octets, part))[0])
        if transfer_encoding(part) is None:
            self.defects[Defect.UNKNOWN_TRANSFER_ENCODING] = None
        if not is_html and b"begin" in content and b"\nend" in content:
            content, files = take_uuencoded(content)
            for one in files:
                self.defects[Defect.UUENCODED_PART] = None
                self._packed(one, "application/octet-stream")
        if not is_html and len(content) > _TEXT_READ:
            self.defects[Defect.TEXT_TRUNCATED] = None
            self.beyond.append(hashlib.sha256(content).hexdigest())
            content = content[:_TEXT_READ]
        charset = part.params.get("charset")
        if is_html and (charset is None or codec_of(charset) in (None, "utf-8")):
            charset = _html_charset(content, charset)
        text, mended = decode(content, charset)
        if charset and codec_of(charset) is None:
            self.defects[Defect.CHARSET_UNKNOWN] = None
        elif mended:
            self.defects[Defect.CHARSET_MENDED] = None
        text = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
        if part.params.get("format", "").lower() == "flowed" and not is_html:
            text = unflow(text, part.params.get("delsp", "").lower() == "yes")
        return text

    def _as_text(self, part: Part, content: str) -> tuple[str, str]:
        if part.type == "text/html":
            return self._from_html(content)
        full = tidy(content)
        return full, full

    def _from_html(self, html: str) -> tuple[str, str]:
        """All of the text of an HTML body, and the same with its quoted lines marked."""
        html = without_embedded(html)
        cost = min(len(html), HTML_CAP) + _TAG * html.count("<", 0, HTML_CAP)
        if cost > self.html_left:  # a costly one is costly as often as it stands in the mail (threats T42)
            self.defects[Defect.HTML_TRUNCATED] = None
            self.beyond.append(hashlib.sha256(html.encode("utf-8", "replace")).hexdigest())
            html = html[: min(len(html), HTML_CAP) * self.html_left // cost]
        self.html_left -= min(cost, self.html_left)
        try:
            marked = marked_text(html)
        except Exception:  # lxml and inscriptis: RecursionError, ParserError, ValueError …
            self.defects[Defect.HTML_UNREADABLE] = None
            marked = bare_text(html)
        return unmarked(marked), marked

    def _file(self, part: Part) -> tuple[str, str] | None:
        """Put a leaf into the sink; of a TNEF wrapper put the files in it, and give its text and HTML."""
        name = raw_name(part)
        if part.type == "message/partial":
            self.defects[Defect.PARTIAL_MESSAGE] = None
        elif part.type == "message/external-body":
            self.defects[Defect.EXTERNAL_BODY] = None
        if transfer_encoding(part) is None:
            self.defects[Defect.UNKNOWN_TRANSFER_ENCODING] = None
        if is_tnef(part, name) and part.end - part.body <= _TNEF_READ:
            unpacked = unpack_tnef(b"".join(blocks(self.octets, part)))
            if unpacked is None:
                self.defects[Defect.TNEF_UNREADABLE] = None
            elif unpacked.files or unpacked.text or unpacked.html:
                self.defects[Defect.TNEF_UNPACKED] = None
                for one in unpacked.files:
                    self._packed(one, "application/octet-stream")
                return unpacked.text, unpacked.html
        sha256, size = self.keeper.put(blocks(self.octets, part))
        content_id = _content_id(part)
        disposition = disposition_of(part)
        self.attachments.append(
            AttachmentRef(
                name=self._name(name, part.type),
                type=clean_line(part.type),
                size=size,
                sha256=sha256,
                inline=disposition != "attachment"
                and part.type.startswith(("image/", "audio/", "video/"))
                and (content_id is not None or disposition == "inline"),
                content_id=content_id,
            )
        )
        return None

    def _packed(self, one: PackedFile, media_type: str) -> None:
        sha256, size = self.keeper.put(iter([one.content]))
        self.attachments.append(
            AttachmentRef(
                name=self._name(one.name, media_type),
                type=media_type,
                size=size,
                sha256=sha256,
                content_id=one.content_id,
            )
        )

    def _name(self, raw: str | None, media_type: str) -> str:
        name = clean_name(raw) if raw else ""
        if raw and name != raw:
            self.defects[Defect.NAME_CLEANED] = None
        return name or made_up_name(media_type, len(self.attachments) + 1)


def _content_id(part: Part) -> str | None:
    value = clean_line(decode(part.value("content-id"))[0]).strip("<> ")
    return value[:998] or None


def _html_charset(content: bytes, declared: str | None) -> str | None:
    """What the document says, where the header says nothing certain and the octets are not UTF-8."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        named = html_charset(content)
        return named if named and codec_of(named) else declared
    return declared
