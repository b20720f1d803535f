"""ingest/mime/reply.py: what the author wrote now, and the language. The budget is 50 ms for 100 kB (threats T44)."""

import time

import pytest

from ingest.mime.reply import language_of, written_now

NEW = "It works now.\nThank you!"
QUOTE = "> old\n> older"

HEADINGS = [
    "On Tue, Nov 24, 2026 at 10:00 AM Anna <anna@nordvik.test> wrote:",
    "On Tue, Nov 24, 2026 at 10:00 AM Anna\n<anna@nordvik.test> wrote:",
    "On Tue, Nov 24, 2026 at 10:00 AM Anna <\nanna@nordvik.test> wrote:",
    "Anna <anna@nordvik.test> wrote:",
    "Am Di., 24. Nov. 2026 um 10:00 Uhr schrieb Anna <anna@nordvik.test>:",
    "Anna <anna@nordvik.test> schrieb am Di., 24. Nov. 2026 um 10:00 Uhr:",
    "El mar, 24 nov 2026 a las 10:00, Anna (<anna@nordvik.test>) escribió:",
    "Den tis 24 nov. 2026 kl 10:00 skrev Anna <anna@nordvik.test>:",
    "Den tis 24 nov. 2026 10:00Anna <anna@nordvik.test> skrev:",
    "Le mar. 24 nov. 2026 à 10:00, Anna <anna@nordvik.test> a écrit :",
    "Il giorno mar 24 nov 2026 alle ore 10:00 Anna <anna@nordvik.test> ha scritto:",
    "Op di 24 nov. 2026 om 10:00 schreef Anna <anna@nordvik.test>:",
    "24.11.2026, 10:00, Anna <anna@nordvik.test>:",
    "2026-11-24 10:00 GMT+01:00 Anna <anna@nordvik.test>:",
    "2026年11月24日(火) 10:00 Anna <anna@nordvik.test>:",
    "-----Original Message-----\nFrom: Anna\nSent: Tuesday",
    "-------- Ursprungligt meddelande --------\nFrån: Anna",
    "-------- Mensaje original --------",
    "-------- Some other words --------",
    "________________________________\nFrom: Anna <anna@nordvik.test>\nSent: Tuesday\nTo: su@acme.test\nSubject: x",
    "Från: Anna <anna@nordvik.test>\nSkickat: den 24 november 2026 10:00\nTill: su@acme.test\nÄmne: x",
    "De: Anna <anna@nordvik.test>\nEnviado el: martes\nPara: su@acme.test\nAsunto: x",
    "*From:* Anna <anna@nordvik.test>\n*Sent:* Tuesday\n*To:* su@acme.test",
    "##- Please type your reply above this line -##",
    "Date: Tue, 24 Nov 2026 10:00\nFrom: Anna <anna@nordvik.test>\nTo: su@acme.test\nSubject: x",
    "On Tue, Nov 24, 2026 at 10:00 AM\nAnna\nBerg\nof\nNordvik\n<anna@nordvik.test>\nwrote:",
    "24.11.2026, 10:00, Anna <anna@nordvik.test\n>:",
    "El mar, 24 nov 2026 a las 10:00, Anna (<anna@nordvik.test\n>) escribió:",
]


@pytest.mark.parametrize("heading", HEADINGS)
def test_headings(heading: str) -> None:
    assert written_now(f"{NEW}\n\n{heading}\n\nold words") == NEW
    assert written_now(f"{NEW}\n\n{heading}\n{QUOTE}") == NEW


def test_quotes() -> None:
    assert written_now(f"{NEW}\n\n{QUOTE}") == NEW
    assert written_now(f"On 24 Nov 2026 Anna <a@b.test> wrote:\n{QUOTE}\n\n{NEW}") == NEW
    assert written_now("> first?\nyes\n> second?\nno") == "yes\nno"
    assert written_now(f"On 24 Nov 2026 Anna <a@b.test> wrote:\n\n{NEW}") == NEW


def test_initials_mark_a_quotation_below_a_heading_only() -> None:
    heading = "On 24 Nov 2026 Anna Berg <a@b.test> wrote:"
    assert written_now(f"{heading}\n\nAB> old\nAB> older\n{NEW}") == NEW
    assert written_now("I see\nSQL> select 1\nSQL> no rows") == "I see\nSQL> select 1\nSQL> no rows"


def test_a_list_footer() -> None:
    footer = "_" * 47 + "\nusers mailing list\nusers@lists.test\nhttps://lists.test/listinfo/users"
    assert written_now(f"{NEW}\n{footer}") == NEW
    assert written_now(f"{NEW}\n{'_' * 47}\nmore of it") == f"{NEW}\n{'_' * 47}\nmore of it"


def test_a_postscript_below_the_line_of_a_phone_stays() -> None:
    assert written_now(f"{NEW}\n\nSent from my iPhone\nP.S. and this") == f"{NEW}\n\nP.S. and this"


def test_words_between_a_heading_and_the_quoted_lines_stay() -> None:
    heading = "On Tue, Nov 24, 2026 at 10:00 AM Anna <anna@nordvik.test> wrote:"
    assert written_now(f"Hi\n\n{heading}\n\nfirst\n{QUOTE}\nsecond") == "Hi\n\nfirst\nsecond"


def test_words_below_a_signature_and_a_quote_stay() -> None:
    assert written_now(f"{NEW}\n\n-- \nSu\n\n{QUOTE}\n\nP.S. and this") == f"{NEW}\n\n\nP.S. and this"
    assert written_now(f"{NEW}\n\n{QUOTE}\n\n-- \nSu") == NEW


@pytest.mark.parametrize(
    "signature", ["-- \nSu\nAcme", "--\nSu", "Sent from my iPhone", "Skickat från min iPhone", "Get Outlook for iOS"]
)
def test_signatures(signature: str) -> None:
    assert written_now(f"{NEW}\n\n{signature}") == NEW


@pytest.mark.parametrize(
    "text",
    [
        "",
        NEW,
        "From: what I saw\nit is broken",
        "On Monday we wrote:\nthis and that",
        "At 10:30 the job sent these:\none\ntwo",
        "Sent from my desk, which is better than a phone.",
        "> all of it is quoted",
        "---------- Forwarded message ---------\nFrom: a@b.test\nDate: today\nSubject: x\n\nbody",
        "a | b\n- - -\n1 | 2",
    ],
)
def test_what_stays(text: str) -> None:
    assert written_now(text) == text


SLOW = [
    "On \n",
    "On ",
    "On 2024 ",
    "On 2024\n",
    "> ",
    "From: a\n",
    "From: a\nSent: b\n",
    "-----\n",
    "-",
    " ",
    "\n",
    "a@",
    "On 1:11 <a@b ",
    "On 2024 x<x@y>\n",
    "On 11:11 schreef\n",
    "Sent from my\n",
    "reply ",
    "-- \n",
    "_",
    "----- x x x x x x x x x\n",
    'On 2024 "' + "a " * 190 + "\n",
]


@pytest.mark.parametrize("piece", SLOW)
def test_time_is_linear(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    spent = []
    for _ in range(3):
        start = time.process_time()
        written_now(text)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.05


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello, the export does not work when we open it in the client. Can you help?", "en"),
        ("Hola, no podemos abrir el programa desde ayer y los usuarios están sin trabajo, gracias por la ayuda", "es"),
        ("Hej, vi kan inte öppna programmet från i dag och det är bråttom, kan ni hjälpa oss med det?", "sv"),
        ("Guten Tag, der Export funktioniert nicht mehr seit dem Update", None),
        ("ok", None),
        ("", None),
        ("12345 67890 ---", None),
    ],
)
def test_language(text: str, language: str | None) -> None:
    assert language_of(text) == language
