"""Templates and catalogues: a mail's name and its context become subject, text and HTML in the person's language.

Takes: plain data only (no object of ours ever reaches a template).  Gives: `Rendered`, with notes on what fell back.
Fails: with `RenderError` only where the built-in English template itself fails, which the tests rule out.

The way down: the vendor's own template, the built-in one, the built-in one in English. A missing translation is its
English msgid. What a template may contain is a short list (no call, no assignment, no arithmetic, one level of loops),
so that neither an admin's text nor a broken override can read, write or burn anything.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from unicodedata import combining, east_asian_width
from urllib.parse import quote
from zoneinfo import ZoneInfo

import css_inline
from babel.dates import format_date
from babel.numbers import format_decimal
from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from templates.catalogue import BUILT_IN, LANGUAGES, LOCALES, MAILS, language_of, placeholders, translations_in
from templates.moments import write_moment

OUTPUT_CAP = 4 * 1024 * 1024  # characters of one rendered part

Plain = str | int | float | bool | datetime | date | None | tuple["Plain", ...] | Mapping[str, "Plain"]


class RenderError(Exception):
    """Not even the built-in English template could be rendered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    subject: str
    text: str
    html: str
    language: str  # the one it is really written in
    notes: tuple[str, ...] = ()  # what fell back and why, for the log


class Renderer:
    """Renders the mails under `templates/mail`, with `override` (a folder of the same shape) looked at first."""

    def __init__(self, override: Path | None = None, built_in: Path = BUILT_IN) -> None:
        self._folders = (built_in,) if override is None else (override, built_in)
        self._environments: dict[tuple[str, int], _Sandbox] = {}
        # Remote style sheets are never loaded: composing a mail opens no connection.
        self._inliner = css_inline.CSSInliner(load_remote_stylesheets=False)

    def render(self, mail: str, language: str, zone: str, context: Mapping[str, Plain]) -> Rendered:
        """The three parts of `mail` in `language`, times in the IANA `zone`; both fall back (en, UTC) where unknown."""
        wanted = language_of(language)
        notes = [] if wanted == language[:2].lower() else [f"language {language!r} is not shipped: {wanted}"]
        ways = [(wanted, n) for n in range(len(self._folders))] + [(LANGUAGES[0], len(self._folders) - 1)]
        for used, first_folder in dict.fromkeys(ways):
            try:
                return self._render(mail, used, zone, context, first_folder, notes)
            except Exception as error:  # a template is foreign code: whatever it raises, the mail still leaves
                notes.append(
                    f"template {mail} ({used}, {self._folders[first_folder]}): {type(error).__name__}: {error}"
                )
        raise RenderError("; ".join(notes))

    def _render(
        self, mail: str, language: str, zone: str, context: Mapping[str, Plain], first_folder: int, notes: list[str]
    ) -> Rendered:
        environment = self._environment(language, first_folder)
        data = {**_plain_mapping(context), "language": language, "zone": _known_zone(zone)}

        def part(name: str, **more: Plain) -> str:
            return _capped(environment.get_template(f"mail/{mail}/{name}").generate(data, **more))

        subject = " ".join(part("subject.txt").split())
        text, html = part("body.txt", title=subject), part("body.html", title=subject)
        return Rendered(
            subject=subject,
            text=text.strip("\n") + "\n",
            html=self._inliner.inline(html),
            language=language,
            notes=(*notes, *environment.notes),
        )

    def _environment(self, language: str, first_folder: int) -> "_Sandbox":
        key = (language, first_folder)
        if key not in self._environments:
            self._environments[key] = _Sandbox(language, self._folders[first_folder:])
        return self._environments[key]


# --- the sandbox ------------------------------------------------------------------------------------------------

_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Filter,
    nodes.Test, nodes.If, nodes.For, nodes.Const, nodes.Compare, nodes.Operand, nodes.Not, nodes.And, nodes.Or,
    nodes.Extends, nodes.Block, nodes.Keyword, nodes.EvalContextModifier, nodes.ScopedEvalContextModifier,
    nodes.MarkSafeIfAutoescape,
)  # fmt: skip
_CALLS = ("gettext", "ngettext")  # what `trans` blocks become


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja with nothing but `if`, `for`, `trans`, `block` and the filters below."""

    def __init__(self, language: str, folders: tuple[Path, ...]) -> None:
        super().__init__(
            loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
            autoescape=lambda name: bool(name and name.endswith(".html")),
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.policies["ext.i18n.trimmed"] = True
        self.globals.clear()
        self.filters = {
            "column": _column,
            "datetime": _datetime,
            "day": _day,
            "filesize": _filesize,
            "mailto": _mailto,
            "paragraphs": _paragraphs,
            "quoted": _quoted,
        }
        translations, self.notes = translations_in(folders, language, MAILS)
        self.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined]

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _check(tree, loops=0)
        return tree


def _check(node: nodes.Node, loops: int) -> None:
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.For):
            if loops or child.recursive:
                raise SecurityError(f"line {child.lineno}: a loop inside a loop")
            _check(child, loops + 1)
            continue
        if isinstance(child, nodes.Call):
            _check_call(child)
        elif not isinstance(child, _ALLOWED):
            raise SecurityError(f"line {child.lineno}: {type(child).__name__} is not allowed in a mail template")
        _check(child, loops)


def _check_call(call: nodes.Call) -> None:
    """Only what a `trans` block becomes: gettext with constant messages that hold `%(name)s` and nothing else."""
    if not (isinstance(call.node, nodes.Name) and call.node.name in _CALLS):
        raise SecurityError(f"line {call.lineno}: a call")
    for message in call.args[: 1 if call.node.name == "gettext" else 2]:
        if not isinstance(message, nodes.Const) or placeholders(str(message.value)) is None:
            raise SecurityError(f"line {call.lineno}: a message that is not plain text")


def _capped(pieces: Iterator[str]) -> str:
    kept, size = [], 0
    for piece in pieces:
        size += len(piece)
        if size > OUTPUT_CAP:
            raise SecurityError(f"more than {OUTPUT_CAP} characters")
        kept.append(piece)
    return "".join(kept)


_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")  # those of str.splitlines


def _plain_mapping(context: Mapping[str, Plain]) -> dict[str, Plain]:
    return {str(name): _plain(value) for name, value in context.items()}


def _plain(value: Plain) -> Plain:
    """Refuses whatever is not plain data: an object in the context is a way into the program (threats M14)."""
    if isinstance(value, Mapping):
        return _plain_mapping(value)
    if isinstance(value, tuple):
        return tuple(_plain(one) for one in value)
    if isinstance(value, str):
        # An Enum word becomes its text, Markup loses its promise. What a mail or an eye takes for a line end is one for
        # the filters too: else a stranger's line would stand outside of its quote, as if we had written it.
        return _LINE_ENDS.sub("\n", str(value))
    if value is None or type(value) in (int, float, bool, datetime, date):
        return value
    raise TypeError(f"a {type(value).__name__} is no plain data for a template")


# --- filters ----------------------------------------------------------------------------------------------------


@cache
def _known_zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError, LookupError):  # unknown, unreadable, or a folder
        return "UTC"


@pass_context
def _datetime(context: Context, value: datetime) -> str:
    """24 Nov 2026, 10:12 CET, by CLDR in the person's language and zone."""
    return write_moment(value, context["zone"], LOCALES.get(context["language"], context["language"]))


@pass_context
def _day(context: Context, value: date) -> str:
    """24 Nov 2026: a day by itself, in no zone."""
    language = context["language"]
    return str(format_date(value, "medium", locale=LOCALES.get(language, language)))


@pass_context
def _filesize(context: Context, octets: int) -> str:
    """211 kB, in the decimal units that mail programs show."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if octets >= size:
            number = octets / size
            language = context["language"]
            return f"{format_decimal(number, '0.#' if number < 10 else '0', locale=language)} {unit}"
    return f"{octets} B"


def _column(value: str | int, width: int) -> str:
    """A cell of a table in plain text: `width` columns wide and two apart from the next, cut where it is longer."""
    text = " ".join(str(value).split())
    if _columns(text) > width:
        while text and _columns(text) > width - 1:
            text = text[:-1]
        text = f"{text.rstrip()}…"
    return text + " " * (width + 2 - _columns(text))


def _columns(text: str) -> int:
    """How wide a text is in a fixed-width font (UAX 11): wide letters take two columns, combining marks none."""
    return sum(2 if east_asian_width(one) in "WF" else 0 if combining(one) else 1 for one in text)


def _mailto(body: str, address: str, subject: str) -> str:
    """A link that opens an answer with `body` in it, ready to be sent (RFC 6068 §2; its "+" some programs take for a
    blank, so it is encoded too)."""
    return f"mailto:{quote(address, safe='@')}?subject={quote(f'Re: {subject}', safe='')}&body={quote(body, safe='')}"


def _paragraphs(text: str) -> Markup:
    """Text as HTML paragraphs: escaped, empty lines part paragraphs, line ends and indents stay."""
    blocks = re.split(r"\n[ \t]*\n\s*?(?=\S|$)", text.strip("\n"))
    return Markup("\n").join(Markup("<p>{}</p>").format(_lines(block)) for block in blocks if block.strip())


def _lines(block: str) -> Markup:
    kept = (escape(re.sub(r"^[ \t]+", lambda m: "\u00a0" * len(m[0]), line)) for line in block.split("\n"))
    return Markup("<br>\n").join(kept)


def _quoted(text: str) -> str:
    """Text as quoted lines of a plain mail (RFC 3676 §4.5 style)."""
    return "\n".join(f">{line}" if line.startswith(">") else f"> {line}".rstrip() for line in text.split("\n"))
