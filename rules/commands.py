"""Which command does a reply carry? The whole first line is one, in any of our languages, or the mail carries none.

Whole phrases, so that prose is never a command: case, a leading slash and a closing full stop do not count. Only a
refusal has more to say: its reason follows on the line, or stands in the next one. Who may order what is for
rules/access_mail.py to say.
"""

import unicodedata
from dataclasses import dataclass

from values.vocabulary import Command

LINE_LIMIT = 300  # characters
REASON_LIMIT = 500

# What the mails name first in each language stands first; the others are what people write instead.
PHRASES: dict[Command, dict[str, tuple[str, ...]]] = {
    Command.APPROVE: {
        "en": ("approve", "approved"),
        "es": ("aprobar", "aprobado", "aprobada", "apruebo"),
        "sv": ("godkänn", "godkänd", "godkänt", "godkänna"),
    },
    Command.REFUSE: {
        "en": ("refuse", "refused", "reject"),
        "es": ("rechazar", "rechazado", "rechazada", "rechazo"),
        "sv": ("avslå", "avslag", "neka"),
    },
    Command.RELEASE: {
        "en": ("release", "let through"),
        "es": ("dejar pasar", "liberar"),
        "sv": ("släpp fram", "släpp", "släpp igenom"),
    },
    Command.DECLINE: {
        "en": ("decline", "declined"),
        "es": ("no dejar pasar", "declinar"),
        "sv": ("avböj", "avböja", "avvisa"),
    },
    Command.TAKE_BACK: {
        "en": ("take back", "take it back"),
        "es": ("recuperar", "retomar", "recuperar el acceso"),
        "sv": ("ta tillbaka", "återta"),
    },
}
_COMMAND_OF = {
    phrase: command for command, tongues in PHRASES.items() for phrases in tongues.values() for phrase in phrases
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """A command and, of a refusal, its reason."""

    command: Command
    reason: str = ""


def read_command(text: str) -> Ordered | None:
    """The command of a reply, whose `text` is without quote and signature. None where its first line is no command."""
    lines = [line.strip() for line in text[: 20 * LINE_LIMIT].splitlines()]
    lines = [line for line in lines if line and not line.startswith(">")]
    if not lines or len(lines[0]) > LINE_LIMIT + REASON_LIMIT:
        return None
    first = unicodedata.normalize("NFC", lines[0]).removeprefix("/").strip()
    if command := _COMMAND_OF.get(_plain(first)):
        reason = lines[1] if command is Command.REFUSE and len(lines) > 1 else ""
        return Ordered(command=command, reason=reason[:REASON_LIMIT])
    return _refusal(first)


def word_for(command: Command, language: str) -> str:
    """What to write in this language."""
    phrases = PHRASES[command]
    return phrases.get(language, phrases["en"])[0]


def _refusal(line: str) -> Ordered | None:
    """`refuse no contract yet`, `rechazar: sin contrato`: the only command that has something to say on its line."""
    verb, _, reason = line.partition(" ")
    verb, reason = verb.rstrip(":,;–—-"), reason.strip(" :,;–—-")
    if not reason or _COMMAND_OF.get(verb.casefold()) is not Command.REFUSE:
        return None
    return Ordered(command=Command.REFUSE, reason=" ".join(reason.split())[:REASON_LIMIT])


def _plain(line: str) -> str:
    return " ".join(line.rstrip(".! ").casefold().split())
