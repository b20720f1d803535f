"""rules/ticket_commands.py: a mail that is one phrase and nothing else is a command, in three languages."""

import time

import pytest

from rules.ticket_commands import (
    TICKET_PHRASES,
    WORDS_LIMIT,
    TicketOrder,
    Unreadable,
    read_ticket_command,
    ticket_word,
)
from values.mail import Mailbox
from values.vocabulary import TicketCommand

CLOSE, REOPEN, STATUS, ALL, CC, HELP = TicketCommand


@pytest.mark.parametrize(
    ("text", "command"),
    [
        *(("close", CLOSE), ("Close.", CLOSE), ("  SOLVED!\n", CLOSE), ("/close", CLOSE), ("/ close", CLOSE)),
        *(("cerrar", CLOSE), ("¡Resuelto!", CLOSE), ("Stäng", CLOSE), ("Sta\u0308ng", CLOSE), ("löst!!", CLOSE)),
        *(("Close the ticket", CLOSE), ("\n\n> quoted\nclose\n\n", CLOSE), ("close\u00a0ticket", CLOSE)),
        *(("reopen", REOPEN), ("Reabrir", REOPEN), ("Öppna  igen.", REOPEN), ("/öppna igen", REOPEN)),
        *(("status", STATUS), ("Estado", STATUS), ("my tickets", STATUS), ("mina ärenden", STATUS)),
        *(("status all", ALL), ("Status All.", ALL), ("estado todos", ALL), ("status alla", ALL), ("/status all", ALL)),
        *(("help", HELP), ("Help!", HELP), ("ayuda", HELP), ("Hjälp", HELP)),
    ],
)
def test_what_is_a_command(text: str, command: TicketCommand) -> None:
    assert read_ticket_command(text) == TicketOrder(command=command)


@pytest.mark.parametrize(
    ("text", "colleague"),
    [
        ("cc jon@acme.test", "jon@acme.test"),
        ("CC: Jon@Acme.test.", "jon@acme.test"),
        ("/cc <jon@acme.test>", "jon@acme.test"),
        ("cc jon@acme.test<mailto:jon@acme.test>", "jon@acme.test"),  # as Outlook writes it
        ("copia a jon@acme.test", "jon@acme.test"),
        ("Kopia till jon@acme.test!", "jon@acme.test"),
        ("cc jon@localhost", None),  # no address that mail can reach
    ],
)
def test_whom_a_command_names(text: str, colleague: str | None) -> None:
    assert read_ticket_command(text) == TicketOrder(command=CC, colleague=colleague)


@pytest.mark.parametrize(
    "text",
    [
        *("", " \n ", "ok", "please close it next week", "close it", "closed", "I close", "close?", "not solved"),
        *("close\nThanks\nLucía", "Thanks\nclose", "close\n\nBest wishes", "> close", "close close", "сlose"),
        *("cc", "cc jon", "cc jon@acme.test eva@acme.test", "cc: jon@acme.test and Eva", "jon@acme.test"),
        *("status report", "status of 1042", "help me please", "the help", "//close", "/var/log/syslog", "/", "/ "),
        *("/close it now please", "/etc/hosts is full", "/stauts\nand more", "/1042", "approve", "take back"),
    ],
)
def test_what_is_text(text: str) -> None:
    assert read_ticket_command(text) is None


LUCIA = Mailbox(address="lucia.ortega@acme.test", name="Lucía Ortega")


@pytest.mark.parametrize(
    "below",
    [
        *("Lucía Ortega", "\nLucía", "\nGracias,\nLucía", "\nSaludos\n\nLucía Ortega\nJefa de Sistemas\nAcme S.A."),
        *("Lucia Ortega\n+34 600 100 200\nwww.acme.test", "Un saludo,\nLUCÍA ORTEGA\nlucia.ortega@acme.test"),
    ],
)
def test_a_signature_below_is_no_text(below: str) -> None:
    assert read_ticket_command(f"Resuelto\n{below}", LUCIA) == TicketOrder(command=CLOSE)


@pytest.mark.parametrize(
    "below",
    [
        *("Gracias", "Pedro", "Lucía\npero falta otra cosa", "Lucía no está", "pero solo el primero\nLucía", "no"),
        *(
            "Lucía\n" + "Acme\n" * 9,
            "Lucía\nMadrid\n¿y el otro caso 1042 cuándo se va a resolver, por favor? " + "x" * 40,
        ),
    ],
)
def test_words_below_that_are_no_signature_make_it_a_text(below: str) -> None:
    assert read_ticket_command(f"Resuelto\n{below}", LUCIA) is None


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        *(("/stauts", STATUS), ("/clos", CLOSE), ("/reopne.", REOPEN), ("/statsu all", ALL), ("/cc jon", CC)),
        *(("/hlep", HELP), ("/xyzzy", None), ("/assign me", None), ("/close it now", CLOSE), ("/ayuda!!", HELP)),
        ("/cerar", CLOSE),
    ],
)
def test_a_slip_of_the_pen_is_neither_command_nor_text(text: str, nearest: TicketCommand | None) -> None:
    found = read_ticket_command(text)
    if text == "/ayuda!!":
        assert found == TicketOrder(command=HELP)
    else:
        assert found == Unreadable(nearest=nearest)


def test_each_command_has_a_word_in_each_language_and_no_word_two_meanings() -> None:
    seen: dict[str, TicketCommand] = {}
    assert set(TICKET_PHRASES) == set(TicketCommand)
    for command, tongues in TICKET_PHRASES.items():
        assert set(tongues) == {"en", "es", "sv"}
        for phrases in tongues.values():
            for phrase in phrases:
                assert seen.setdefault(phrase, command) is command
                assert len(phrase.split()) <= WORDS_LIMIT
                colleague = " jon@acme.test" if command is CC else ""
                found = read_ticket_command(phrase.upper() + colleague)
                assert isinstance(found, TicketOrder) and found.command is command, phrase
    assert ticket_word(CLOSE, "sv") == "stäng" and ticket_word(CLOSE, "xx") == "close"


def test_a_long_text_is_read_in_no_time() -> None:
    began = time.perf_counter()
    for text in ("close " * 500_000, " " * 3_000_000, "/" * 3_000_000, "\n" * 3_000_000, "cc " + "a@" * 190, "/" * 390):
        read_ticket_command(text)
    assert time.perf_counter() - began < 1.0
