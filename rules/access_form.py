"""What does a mail to the access address ask for? Labelled lines in each of our languages; the author is the applicant.

Where no line says whose seat it is about, the words do ("replace Erik Berg from ..."). They count as they stand only
where they name somebody and a last day that can be read; else an agent chooses: never does such a mail become a request
for a new seat.

Also cleans what the web form says, so that both ways in keep the same: one line, at most 64 characters (threat T52).
Pure, total and linear.
"""

import re
import unicodedata
from datetime import date

from values.access import APPLICANT_TEXT_CAP, APPLICANT_WORDS_CAP, Asked
from values.mail import ParsedMail
from values.vocabulary import AccessKind

LINES_LIMIT = 100
_LINE_LIMIT = 200  # characters

_LABELS: dict[str, tuple[str, ...]] = {
    "name": ("name", "my name", "full name", "nombre", "nombre y apellidos", "namn", "mitt namn"),
    "company": ("company", "customer", "empresa", "compañía", "cliente", "företag", "kund"),
    "phone": ("phone", "telephone", "mobile", "teléfono", "telefono", "móvil", "telefon", "mobil"),
    "language": ("language", "idioma", "lengua", "språk"),
    "in_place_of": (
        *("in place of", "instead of", "replaces", "replacing", "stand-in for", "covering for"),
        *("en lugar de", "en vez de", "sustituye a", "sustituyo a", "reemplazo de"),
        *("i stället för", "istället för", "ersätter", "vikarierar för"),
    ),
    "starts_on": ("from", "starts", "start", "desde", "a partir de", "inicio", "från", "från och med", "fr.o.m."),
    "ends_on": ("until", "to", "till", "ends", "end", "hasta", "fin", "till och med", "t.o.m.", "slut"),
}
_FIELD_OF = {label: field for field, labels in _LABELS.items() for label in labels}
_LANGUAGE_OF = {
    name: code
    for code, names in {
        "en": ("en", "english", "inglés", "ingles", "engelska"),
        "es": ("es", "spanish", "español", "espanol", "castellano", "spanska"),
        "sv": ("sv", "swedish", "sueco", "svenska"),
    }.items()
    for name in names
}
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            ("january", "jan", "enero", "januari"),
            ("february", "feb", "febrero", "februari"),
            ("march", "mar", "marzo", "mars"),
            ("april", "apr", "abril", "abr"),
            ("may", "mayo", "maj"),
            ("june", "jun", "junio", "juni"),
            ("july", "jul", "julio", "juli"),
            ("august", "aug", "agosto", "ago", "augusti"),
            ("september", "sep", "sept", "septiembre"),
            ("october", "oct", "octubre", "oktober", "okt"),
            ("november", "nov", "noviembre"),
            ("december", "dec", "diciembre", "dic"),
        ),
        start=1,
    )
    for name in names
}
_LINKS = re.compile(r"([.:@/])(?=[^\s.])")
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII)
_DAY_MONTH = re.compile(r"(\d{1,2})(?:st|nd|rd|th|\.)? (?:de )?([a-z]{3,10})[.,]? (?:de )?(\d{4})", re.ASCII)

# "Replace Erik", in words. What follows the name ends it.
_REPLACES = re.compile(
    r"\b(?:replac(?:e|es|ing)|(?:stand|standing|fill|filling) in for|cover(?:ing)? for|in place of|instead of"
    r"|take over (?:the seat )?(?:from|of)"
    r"|(?:reempla[zc]|sustitu)\w{1,5} (?:a|al)|en (?:lugar|vez) de|en sustitución de"
    r"|ersätt(?:a|er)?|vikariera?r? för|i ?stället för|ta över efter)\b",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"\s+(?P<who>[^\s<>]{1,64}@[^\s<>,;]{1,64}|[^\W\d_][^\n\d.,;:!?()<>@]{0,63}?)"
    r"(?=\s+(?:from|since|starting|until|till|to|as|while|during|desde|hasta|a partir|como|mientras|durante|del\s+\d+"
    r"|från|fr\.o\.m|till|t\.o\.m|som|under|medan)\b|[\n.,;:!?()<>]|\s*$)",
    re.IGNORECASE,
)
_FROM = re.compile(r"\b(?:from|since|starting|desde|a partir del?|del|från|fr\.o\.m\.)\s", re.IGNORECASE)
_UNTIL = re.compile(r"\b(?:until|till?|to|hasta|al|t\.o\.m\.)\s", re.IGNORECASE)
_BEFORE_DAY = re.compile(r"(?:and including|och med|med|on|the|el|den|día)\s", re.IGNORECASE)
_PERIOD_LIMIT = 200  # characters after the name


def read_asked(mail: ParsedMail, address: str, language: str) -> Asked:
    """What the author, whose canonical address is `address`, asks for; `language` where no line names one."""
    stated = _stated(mail.text)
    replaces = "in_place_of" in stated or _REPLACES.search(mail.text[:APPLICANT_WORDS_CAP]) is not None
    if "in_place_of" not in stated:
        stated |= _replacement_in_words(mail.text[:APPLICANT_WORDS_CAP])
    in_place_of = clean(stated.get("in_place_of", ""))
    return Asked(
        name=clean(stated.get("name", "") or (mail.author.name if mail.author else "")) or address.partition("@")[0],
        address=address,
        company=clean(stated.get("company", "")),
        phone=clean(stated.get("phone", "")),
        language=_LANGUAGE_OF.get(stated.get("language", "").casefold(), language),
        kind=AccessKind.IN_PLACE_OF if replaces else AccessKind.NEW,
        in_place_of=in_place_of,
        starts_on=read_day(stated.get("starts_on", "")) if in_place_of else None,
        ends_on=read_day(stated.get("ends_on", "")) if in_place_of else None,
        said=clean_lines(mail.text),
    )


def clean(text: str) -> str:
    """An applicant's text as we keep it: one line, no control or direction mark, 64 characters."""
    shown = (char if unicodedata.category(char)[0] != "C" else " " for char in text[:1000])
    return " ".join("".join(shown).split())[:APPLICANT_TEXT_CAP].strip()


def clean_lines(text: str) -> str:
    """The words of a mail as an agent reads them: its lines, no control or direction mark, at most 2,000 characters."""
    lines = text[: 2 * APPLICANT_WORDS_CAP].splitlines()
    shown = ("".join(c if unicodedata.category(c)[0] != "C" else " " for c in line).rstrip() for line in lines)
    return "\n".join(shown)[:APPLICANT_WORDS_CAP].strip("\n")


def unlinked(text: str) -> str:
    """An applicant's text so that no mail program makes a link of it: a stranger's name is no way to lead people
    elsewhere under our name (threat T52)."""
    return _LINKS.sub(r"\1 ", text)


def read_day(text: str) -> date | None:
    """2026-12-01, 1 December 2026, 1 de diciembre de 2026, 1 december 2026. Never 1/12: that is two days."""
    flat = " ".join(text[:60].casefold().split())
    try:
        if found := _ISO.match(flat):
            return date(int(found[1]), int(found[2]), int(found[3]))
        if (found := _DAY_MONTH.match(flat)) and (month := _MONTHS.get(found[2])):
            return date(int(found[3]), month, int(found[1]))
    except ValueError:
        return None
    return None


def _replacement_in_words(text: str) -> dict[str, str]:
    """Whose place, from when to when; {} unless it names somebody and every day it names can be read."""
    verb = _REPLACES.search(text)
    named = _NAME.match(text, verb.end()) if verb else None
    if named is None:
        return {}
    rest = " ".join(text[named.end() :][:_PERIOD_LIMIT].split())
    until = _UNTIL.search(rest)
    first = _FROM.search(rest, 0, until.start() if until else len(rest))
    ends = _day_at(rest, until.end()) if until else None
    starts = _day_at(rest, first.end()) if first else None
    if ends is None or (first is not None and starts is None):
        return {}
    found = {"in_place_of": named["who"], "ends_on": ends.isoformat()}
    return found | ({"starts_on": starts.isoformat()} if starts else {})


def _day_at(text: str, at: int) -> date | None:
    while before := _BEFORE_DAY.match(text, at):
        at = before.end()
    return read_day(text[at:])


def _stated(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text[: LINES_LIMIT * _LINE_LIMIT].splitlines()[:LINES_LIMIT]:
        label, separator, value = line[:_LINE_LIMIT].replace("：", ":").partition(":")
        field = _FIELD_OF.get(" ".join(label.strip(" \t-*•·>_").casefold().split()))
        cleaned = " ".join(value.strip(" \t*_").split())
        if separator and field and cleaned and field not in found:
            found[field] = cleaned
    return found
