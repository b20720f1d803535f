"""The gettext catalogues of mails and pages: which languages there are, and the texts of one, compiled in memory.

Takes: a templates folder, ours or a vendor's.  Gives: translations.  Fails: as reading a broken file does; a line whose
placeholders differ from the English one is left out, and told.
"""

import io
import re
from gettext import GNUTranslations, NullTranslations
from itertools import pairwise
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

BUILT_IN = Path(__file__).parent
LANGUAGES: tuple[str, ...] = ("en", "es", "sv")  # complete ones; the first is the language of the msgids
# English dates are written for readers everywhere: day before month, 24 hours.
LOCALES = {"en": "en_GB"}
MAILS, PAGES = "postdesk", "portal"  # names of the catalogues

_PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|%)")


def language_of(wanted: str) -> str:
    """The shipped language for a wanted one: "sv-FI" → "sv", "xx" → "en"."""
    short = re.split(r"[-_]", wanted.lower(), maxsplit=1)[0]
    return short if short in LANGUAGES else LANGUAGES[0]


def placeholders(message: str) -> set[str] | None:
    """The names in `%(name)s` of a message; None where it holds any other kind of conversion."""
    if "%" in _PLACEHOLDER.sub("", message):
        return None
    return {found[1] for found in _PLACEHOLDER.finditer(message) if found[1]}


def translations_in(folders: tuple[Path, ...], language: str, name: str) -> tuple[NullTranslations, tuple[str, ...]]:
    """A language's texts from these folders, the first one that knows a message wins; and notes on lines left out."""
    loaded = [translations_of(folder, language, name) for folder in folders]
    for (translations, _), (following, _) in pairwise(loaded):
        translations.add_fallback(following)
    return loaded[0][0], tuple(note for _, found in loaded for note in found)


def translations_of(folder: Path, language: str, name: str = MAILS) -> tuple[NullTranslations, tuple[str, ...]]:
    """The catalogue of a language under a templates folder, compiled in memory, and notes on lines left out."""
    path = folder / "locale" / language / "LC_MESSAGES" / f"{name}.po"
    if not path.is_file():
        return NullTranslations(), ()
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language, abort_invalid=True)
    notes = []
    for message in list(catalogue):
        if message.id and not _fits(_texts(message.id), _texts(message.string)):
            catalogue.delete(message.id, message.context)
            notes.append(f"{path}: the placeholders of {message.id!r} differ: left in English")
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled), tuple(notes)


def _texts(one_or_more: object) -> tuple[str, ...]:
    """The singular and plural forms of one side of a catalogue entry, without empty ones."""
    found = one_or_more if isinstance(one_or_more, tuple | list) else (one_or_more,)
    return tuple(str(text) for text in found if text)


def _fits(ids: tuple[str, ...], strings: tuple[str, ...]) -> bool:
    allowed = set().union(*(placeholders(one) or set() for one in ids))
    return all((found := placeholders(one)) is not None and found <= allowed for one in strings)
