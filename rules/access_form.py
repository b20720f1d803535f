"""What does a mail to the access address ask for? Labelled lines in each of our languages; the author is the applicant.

Also cleans what the web form says, so that both ways in keep the same: one line, at most 64 characters (threat T52).
Pure, total and linear.
"""

import re
import unicodedata
from datetime import date

from values.access import APPLICANT_TEXT_CAP, Asked
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


def read_asked(mail: ParsedMail, address: str, language: str) -> Asked:
    """What the author, whose canonical address is `address`, asks for; `language` where no line names one."""
    stated = _stated(mail.text)
    in_place_of = clean(stated.get("in_place_of", ""))
    return Asked(
        name=clean(stated.get("name", "") or (mail.author.name if mail.author else "")) or address.partition("@")[0],
        address=address,
        company=clean(stated.get("company", "")),
        phone=clean(stated.get("phone", "")),
        language=_LANGUAGE_OF.get(stated.get("language", "").casefold(), language),
        kind=AccessKind.IN_PLACE_OF if in_place_of else AccessKind.NEW,
        in_place_of=in_place_of,
        starts_on=read_day(stated.get("starts_on", "")) if in_place_of else None,
        ends_on=read_day(stated.get("ends_on", "")) if in_place_of else None,
    )


def clean(text: str) -> str:
    """An applicant's text as we keep it: one line, no control or direction mark, 64 characters."""
    shown = (char if unicodedata.category(char)[0] != "C" else " " for char in text[:1000])
    return " ".join("".join(shown).split())[:APPLICANT_TEXT_CAP].strip()


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


def _stated(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text[: LINES_LIMIT * _LINE_LIMIT].splitlines()[:LINES_LIMIT]:
        label, separator, value = line[:_LINE_LIMIT].replace("：", ":").partition(":")
        field = _FIELD_OF.get(" ".join(label.strip(" \t-*•·>_").casefold().split()))
        cleaned = " ".join(value.strip(" \t*_").split())
        if separator and field and cleaned and field not in found:
            found[field] = cleaned
    return found
