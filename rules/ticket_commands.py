"""Does a customer's mail say nothing but one command about tickets? In any of our languages. (domain.md 6)

The whole text is one phrase, or it is text: case, a leading slash and a closing full stop or exclamation mark do not
count, and no phrase is longer than three words, so that "please close it next week" is never a command. A single line
of so few words that begins with a slash and is no phrase is `Unreadable`: a slip of the pen must not be posted.
"""

import re
import unicodedata
from dataclasses import dataclass
from difflib import get_close_matches

from values.addresses import canonical_address
from values.mail import Mailbox
from values.vocabulary import TicketCommand

WORDS_LIMIT = 3
_TEXT_LIMIT = 400  # characters; an address may have 254

# What the mails name first in each language stands first; the others are what people write instead.
TICKET_PHRASES: dict[TicketCommand, dict[str, tuple[str, ...]]] = {
    TicketCommand.CLOSE: {
        "en": ("close", "solved", "close ticket", "close the ticket"),
        "es": ("cerrar", "resuelto", "resuelta", "solucionado", "cerrar caso", "cerrar el caso"),
        "sv": ("stäng", "löst", "stänga", "stäng ärendet"),
    },
    TicketCommand.REOPEN: {
        "en": ("reopen", "re-open", "open again", "reopen ticket", "reopen the ticket"),
        "es": ("reabrir", "abrir de nuevo", "reabrir caso", "reabrir el caso"),
        "sv": ("öppna igen", "återöppna", "öppna ärendet igen"),
    },
    TicketCommand.STATUS: {
        "en": ("status", "my tickets", "my open tickets"),
        "es": ("estado", "mis casos", "mis casos abiertos"),
        "sv": ("status", "mina ärenden", "mina öppna ärenden"),
    },
    TicketCommand.STATUS_ALL: {
        "en": ("status all", "all tickets", "all company tickets"),
        "es": ("estado todos", "estado de todos", "todos los casos"),
        "sv": ("status alla", "alla ärenden"),
    },
    TicketCommand.CC: {
        "en": ("cc",),
        "es": ("cc", "copia a"),
        "sv": ("cc", "kopia till"),
    },
    TicketCommand.HELP: {
        "en": ("help", "commands"),
        "es": ("ayuda",),
        "sv": ("hjälp", "kommandon"),
    },
}
_COMMAND_OF = {
    phrase: command
    for command, tongues in TICKET_PHRASES.items()
    for phrases in tongues.values()
    for phrase in phrases
    if command is not TicketCommand.CC  # never without an address
}
_CC = sorted({phrase for phrases in TICKET_PHRASES[TicketCommand.CC].values() for phrase in phrases})
# Mail programs write an address as a link: `jon@acme.test<mailto:jon@acme.test>`, `<jon@acme.test>`.
_COLLEAGUE = re.compile(
    rf"(?:{'|'.join(map(re.escape, _CC))})[: ] ?"
    r"<?([^\s<>@]{1,64}@[^\s<>@]{1,255}?)>?(?:<mailto:[^\s<>]{1,330}>)?",
)

_CLOSINGS = frozenset(
    (
        *("thanks", "thank you", "many thanks", "best", "best regards", "kind regards", "regards", "cheers"),
        *("gracias", "muchas gracias", "saludos", "un saludo", "saludos cordiales", "atentamente"),
        *("tack", "tack så mycket", "mvh", "hälsningar", "vänliga hälsningar", "med vänliga hälsningar"),
    )
)
_SIGNATURE_LINES = 8
_DETAIL_LIMIT = 80
_ON_A_TICKET = (TicketCommand.CLOSE, TicketCommand.REOPEN, TicketCommand.CC)
_SLASHED = re.compile(r"/ ?[^\W\d_][\w-]*[:?]?(?: |$)")
_WORD = re.compile(r"[^\W\d_]+")
_DETAIL = re.compile(r"\d{3}|\d[\d .-]{5}|\S@\S|://|www\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketOrder:
    """A command, and of `cc` whom it names: a canonical address, None where it is none."""

    command: TicketCommand
    colleague: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Looks like a command and is none. `nearest`: the command whose phrase is spelt most alike, if any is."""

    nearest: TicketCommand | None = None


def read_ticket_command(text: str, author: Mailbox | None = None) -> TicketOrder | Unreadable | None:
    """The command of a mail whose `text` is without quotation; None where it is a text like any other.

    Below it may stand the signature of `author`: their name as the mail or its address has it, and what belongs to it.
    """
    lines = [line for line in text.strip().splitlines() if line.strip()] if len(text) <= 4 * _TEXT_LIMIT else []
    lines = [line for line in lines if not line.startswith(">")]
    if not lines or len(lines[0]) > _TEXT_LIMIT or (lines[1:] and not _is_signature(lines[1:], author)):
        return None
    said = _plain(lines[0])
    phrase = said.removeprefix("/").lstrip()
    if command := _COMMAND_OF.get(phrase):
        return TicketOrder(command=command)
    if found := _COLLEAGUE.fullmatch(phrase):
        return TicketOrder(command=TicketCommand.CC, colleague=canonical_address(found[1]))
    return _slip(said) if said.startswith("/") else None


def read_agent_command(text: str) -> Unreadable | None:
    """A line of an agent's mail that is a command and no words for a customer; None where there is none.

    Stricter than for a customer: the slash and one word anywhere, any slash in the first or last line, and a line that
    is a command about its ticket, or the whole mail any command.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(">")]
    for place, line in enumerate(lines):
        said = _plain(line[:_TEXT_LIMIT])
        is_end = place in (0, len(lines) - 1)
        if said.startswith("/") and (is_end or _SLASHED.match(said)):
            return _slip(said) or Unreadable()
        command = _COMMAND_OF.get(said) or (TicketCommand.CC if _COLLEAGUE.fullmatch(said) else None)
        if command in _ON_A_TICKET or (command and len(lines) == 1):
            return Unreadable(nearest=command)
    return None


def _is_signature(lines: list[str], author: Mailbox | None) -> bool:
    """A greeting perhaps, the author's name, and lines that are no sentences: a title, a company, a telephone."""
    if _plain(lines[0]).rstrip(",") in _CLOSINGS:
        lines = lines[1:]
    if author is None or not lines or len(lines) > _SIGNATURE_LINES:
        return False
    known = set(_WORD.findall(f"{author.name} {author.address.rpartition('@')[0]}".casefold()))
    name = _WORD.findall(unicodedata.normalize("NFC", lines[0]).casefold())
    return bool(name) and known.issuperset(name) and all(map(_is_detail, lines[1:]))


def _is_detail(line: str) -> bool:
    """Numbers, addresses, or words that begin with capitals: "Jefa de Sistemas" is, "pero falta otra cosa" is not."""
    if _DETAIL.search(line):
        return len(line) <= _DETAIL_LIMIT
    words = [word for word in _WORD.findall(line) if len(word) > 3]
    return len(line) <= _DETAIL_LIMIT and bool(words) and all(word[0].isupper() for word in words)


def ticket_word(command: TicketCommand, language: str) -> str:
    """What to write in this language."""
    phrases = TICKET_PHRASES[command]
    return phrases.get(language, phrases["en"])[0]


def _slip(said: str) -> Unreadable | None:
    """`/stauts`: one to three words, the first of letters only. A path or a long sentence is text."""
    words = said[1:].split()
    if not words or len(words) > WORDS_LIMIT or not words[0].strip(":?").replace("-", "").isalpha():
        return None
    near = get_close_matches(" ".join(words), _COMMAND_OF, 1) or get_close_matches(words[0], [*_COMMAND_OF, *_CC], 1)
    return Unreadable(nearest=None if not near else _COMMAND_OF.get(near[0], TicketCommand.CC))


def _plain(line: str) -> str:
    flat = unicodedata.normalize("NFC", line.replace("\u00a0", " "))
    return " ".join(flat.rstrip(".!¡ \t").lstrip("¡ \t").casefold().split())
