"""templates/: every language is complete, its placeholders are right, its subjects are short."""

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from notify.render import _Sandbox
from templates.catalogue import BUILT_IN, LANGUAGES, placeholders
from values.vocabulary import MailName

MAILS = sorted(path.name for path in (BUILT_IN / "mail").iterdir() if path.is_dir())
TRANSLATED = [language for language in LANGUAGES if language != "en"]


def extracted() -> dict[str | tuple[str, ...], list[str]]:
    """Every message of the templates and where it stands."""
    found: dict[str | tuple[str, ...], list[str]] = {}
    environment = _Sandbox("en", (BUILT_IN,))
    for path in sorted((BUILT_IN / "mail").rglob("*.*")):
        for _, _, message in environment.extract_translations(path.read_text(encoding="utf-8")):
            ids = (message,) if isinstance(message, str) else tuple(part for part in message if part is not None)
            found.setdefault(ids[0] if len(ids) == 1 else ids, []).append(path.relative_to(BUILT_IN).as_posix())
    return found


def catalogue(language: str) -> dict[str | tuple[str, ...], tuple[str, ...]]:
    path = BUILT_IN / "locale" / language / "LC_MESSAGES" / "postdesk.po"
    with path.open("rb") as file:
        read = read_po(file, locale=language, abort_invalid=True)
    return {
        tuple(m.id) if m.pluralizable else str(m.id): tuple(m.string) if m.pluralizable else (str(m.string),)
        for m in read
        if m.id
    }


def test_every_mail_folder_is_a_mail_of_ours() -> None:
    assert set(MAILS) <= {str(name) for name in MailName}
    for mail in MAILS:
        assert {path.name for path in (BUILT_IN / "mail" / mail).iterdir()} == {"subject.txt", "body.txt", "body.html"}


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_message_has_a_translation_with_the_same_placeholders(language: str) -> None:
    messages, translated = extracted(), catalogue(language)
    missing = [f"{message!r} in {', '.join(where)}" for message, where in messages.items() if message not in translated]
    assert not missing, f"{language}: no translation of {missing}"
    assert not set(translated) - set(messages), f"{language}: no template says {set(translated) - set(messages)}"
    for message, strings in translated.items():
        ids = (message,) if isinstance(message, str) else message
        assert all(strings), f"{language}: the translation of {ids[0]!r} is empty"
        for one, string in zip((*ids, *ids[-1:]), strings, strict=False):
            assert placeholders(string) == placeholders(one), f"{language}: {one!r}"


@pytest.mark.parametrize("language", TRANSLATED)
def test_the_tone_of_a_language(language: str) -> None:
    texts = [text for strings in catalogue(language).values() for text in strings]
    assert not any("!" in text or "¡" in text for text in texts)
    if language == "es":
        assert not any(re.search(r"\b(tu|tus|tú|te|contigo)\b", text, re.IGNORECASE) for text in texts), "usted"
    if language == "sv":
        assert not any(re.search(r"\b(ni|er|ert|era)\b", text, re.IGNORECASE) for text in texts), "du"


BUTTONS = {"Open the page"}  # the text has the link itself


def test_text_and_html_say_the_same_sentences() -> None:
    """Both bodies are written by hand; neither may forget what the other says."""
    environment = _Sandbox("en", (BUILT_IN,))

    def sentences(path: Path) -> set[str]:
        found = environment.extract_translations(path.read_text(encoding="utf-8"))
        return {message if isinstance(message, str) else message[0] for _, _, message in found}

    bodies = sorted((BUILT_IN / "mail").rglob("*.txt"))
    for text in (path for path in bodies if path.name != "subject.txt"):
        subject = text.with_name("subject.txt")
        said = sentences(text.with_suffix(".html")) - BUTTONS - (sentences(subject) if subject.is_file() else set())
        assert said - sentences(text) == set(), text
        assert sentences(text) <= sentences(text.with_suffix(".html")), text
