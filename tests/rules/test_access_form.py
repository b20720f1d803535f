"""rules/access_form.py: what a mail to the access address asks for, and what is left of an applicant's texts."""

import time
from datetime import date

import pytest

from rules.access_form import clean, read_asked, read_day, unlinked
from tests.builders import mail
from values.vocabulary import AccessKind

EN = """Hello,

Name: María Sanz
Company: Talleres Ibarra S.A.
Phone: +34 600 000 000
Language: Spanish
In place of: Lucía Ibarra
From: 1 December 2026
Until: 2026-12-15
"""
ES = """Nombre: María Sanz
Empresa: Talleres Ibarra S.A.
Teléfono: +34 600 000 000
Idioma: español
En lugar de: Lucía Ibarra
Desde: 1 de diciembre de 2026
Hasta: 15 de diciembre de 2026"""
SV = """* Namn: María Sanz
* Företag: Talleres Ibarra S.A.
* Telefon: +34 600 000 000
* Språk: spanska
* I stället för: Lucía Ibarra
* Från och med: 1 december 2026
* Till och med: 15 december 2026"""


@pytest.mark.parametrize("text", [EN, ES, SV])
def test_labelled_lines_in_each_language(text: str) -> None:
    asked = read_asked(mail("maria@ibarra.test", text=text), "maria@ibarra.test", "en")
    assert (asked.name, asked.company, asked.phone) == ("María Sanz", "Talleres Ibarra S.A.", "+34 600 000 000")
    assert (asked.language, asked.kind, asked.in_place_of) == ("es", AccessKind.IN_PLACE_OF, "Lucía Ibarra")
    assert (asked.starts_on, asked.ends_on) == (date(2026, 12, 1), date(2026, 12, 15))
    assert asked.address == "maria@ibarra.test"


def test_plain_words_ask_for_a_seat_of_ones_own() -> None:
    asked = read_asked(mail("maria@ibarra.test", text="I need access, please."), "maria@ibarra.test", "sv")
    assert (asked.name, asked.kind, asked.language, asked.ends_on) == ("maria", AccessKind.NEW, "sv", None)


@pytest.mark.parametrize(
    "text",
    [
        "Hej, jag ska ersätta Erik Berg från den 1 december 2026 till och med 15 december 2026. Tack",
        "Voy a reemplazar a Erik Berg desde el 1 de diciembre de 2026 hasta el 15 de diciembre de 2026",
        "I will replace Erik Berg from\n1 December 2026 until 2026-12-15, please.",
    ],
)
def test_a_replacement_in_words_is_understood(text: str) -> None:
    asked = read_asked(mail("maria@ibarra.test", text=text), "maria@ibarra.test", "en")
    assert (asked.kind, asked.in_place_of) == (AccessKind.IN_PLACE_OF, "Erik Berg")
    assert (asked.starts_on, asked.ends_on) == (date(2026, 12, 1), date(2026, 12, 15))
    assert asked.said == text


@pytest.mark.parametrize(
    "text",
    [
        "ersätta erik från 1/12 till 15/12",
        "Quiero reemplazar a Lucía desde mañana",
        "I would like to replace Erik.",
        "Sustituyo a nuestra compañera",
        "I need a seat instead of",
    ],
)
def test_a_replacement_that_is_not_clear_is_for_an_agent_and_no_new_seat(text: str) -> None:
    asked = read_asked(mail("maria@ibarra.test", text=text), "maria@ibarra.test", "en")
    assert (asked.kind, asked.in_place_of, asked.ends_on) == (AccessKind.IN_PLACE_OF, "", None)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-12-01", date(2026, 12, 1)),
        ("1 December 2026", date(2026, 12, 1)),
        ("1st Dec. 2026", date(2026, 12, 1)),
        ("1 de diciembre de 2026", date(2026, 12, 1)),
        ("1 dic 2026", date(2026, 12, 1)),
        ("1. maj 2027", date(2027, 5, 1)),
        ("1/12/2026", None),
        ("tomorrow", None),
        ("2026-02-30", None),
        ("99 December 2026", None),
        ("", None),
        ("0000-00-00", None),
        ("٢٠٢٦-١٢-٠١", None),
    ],
)
def test_days(text: str, day: date | None) -> None:
    assert read_day(text) == day


def test_an_applicants_text_is_one_short_line_and_no_link() -> None:
    """T52."""
    assert clean("a\r\nBcc: e@evil.test\u202e\x00\u2028b") == "a Bcc: e@evil.test b"
    assert len(clean("x" * 10_000)) == 64
    assert unlinked("Visit https://evil.test/x or www.evil.test") == "Visit https: / / evil. test/ x or www. evil. test"
    assert unlinked("mail e@evil.test") == "mail e@ evil. test"
    assert unlinked("Núria J. Pérez-Ibáñez, S.A.") == "Núria J. Pérez-Ibáñez, S. A."


def test_any_text_is_read_in_no_time() -> None:
    began = time.perf_counter()
    for text in ("1 " * 1_000_000, "name:" * 500_000, ("1 de " * 400_000), "\n" * 1_000_000):
        read_asked(mail(text=text), "a@acme.test", "en")
        read_day(text)
        unlinked(clean(text))
    assert time.perf_counter() - began < 2.0
