"""Pages in every language, usable by keyboard and screen reader, and kept by no cache."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from babel.messages.pofile import read_po
from jinja2 import Environment

from models.people.agent import AGENT
from portal.pages import STATIC
from templates.catalogue import BUILT_IN, LANGUAGES, placeholders
from tests.portal.site import Browser, Checked, Site
from values.vocabulary import LinkPurpose

TEMPLATES = sorted((BUILT_IN / "portal").glob("*.html"))
TRANSLATED = [language for language in LANGUAGES if language != "en"]


def extracted() -> dict[str, str]:
    """Every message of the pages, by its singular, and the template that says it."""
    environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    environment.policies["ext.i18n.trimmed"] = True
    found: dict[str, str] = {}
    for path in TEMPLATES:
        for _, _, message in environment.extract_translations(path.read_text(encoding="utf-8")):
            found.setdefault(message if isinstance(message, str) else str(message[0]), path.name)
    return found


def catalogue(language: str) -> dict[str, tuple[str, ...]]:
    with (BUILT_IN / "locale" / language / "LC_MESSAGES" / "portal.po").open("rb") as file:
        read = read_po(file, locale=language, abort_invalid=True)
    return {
        str(m.id[0] if m.pluralizable else m.id): tuple(m.string) if m.pluralizable else (str(m.string),)
        for m in read
        if m.id
    }


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated_and_no_other(language: str) -> None:
    messages, translated = extracted(), catalogue(language)
    assert not {text: where for text, where in messages.items() if text not in translated}
    assert not set(translated) - set(messages)
    for message, strings in translated.items():
        assert all(strings), message
        assert all(placeholders(string) == placeholders(message) for string in strings), message
    texts = " ".join(text for strings in translated.values() for text in strings)
    wrong = r"\b(tu|tus|tú|te|contigo)\b" if language == "es" else r"\b(ni|er|ert|era)\b"
    assert not re.search(wrong, texts, re.IGNORECASE)


def test_no_text_stands_outside_the_catalogue() -> None:
    """What is between tags and in no `_()` or `trans` is a placeholder, a mark, or a figure."""
    for path in TEMPLATES:
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"{% block width %}\w+{% endblock %}|<!DOCTYPE html>", "", text)
        text = re.sub(r"{%-?\s*trans.*?endtrans\s*-?%}", "", text, flags=re.DOTALL)
        text = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}|<[^>]*>", " ", text, flags=re.DOTALL)
        assert not re.search(r"[A-Za-zåäöñé]{2,}", text), (path.name, text.split())


def every_page(site: Site) -> list[tuple[Browser, str]]:
    """A page of each kind, with people, requests, mails and mistakes on it."""
    site.waiting("maria@acme.test", kind="in-place-of", in_place_of="Ben Ode", ends_on="2026-12-14")
    site.waiting("olle@elsewhere.test")
    site.waiting("pia@acme.test")
    site.hold_mail(site.acme, "joe@acme.test", "Printer")
    stranger, ana, lucia = site.browser(), site.sign_in("ana@nordvik.test"), site.sign_in("lucia@acme.test")
    ana.post("/access-requests/3/approve")
    site.invite(3)
    site.ask_access("nils@acme.test")
    stranger.post("/", {"address": "lucia@acme.test"})
    return [
        (stranger, "/"),
        (stranger, "/auth/sent"),
        (stranger, "/request-access"),
        (stranger, "/request-access/sent"),
        (stranger, site.link("nils@acme.test", LinkPurpose.PROOF)),
        (stranger, site.link("pia@acme.test", LinkPurpose.INVITATION)),
        (stranger, site.link("lucia@acme.test", LinkPurpose.SIGN_IN)),
        (stranger, "/nowhere"),
        (ana, "/access-requests?said=approved"),
        (ana, "/access-requests/1"),
        (ana, "/access-requests/2"),
        (ana, "/access-requests/3"),
        (lucia, "/people?said=lent"),
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_page_has_labels_one_heading_a_title_a_language_and_no_script(site: Site, language: str) -> None:
    with site.engine.begin() as connection:
        connection.execute(sa.update(AGENT).values(language=language))
    for browser, path in every_page(site):
        browser.headers["Accept-Language"] = f"{language}-XX, en;q=0.1"
        answer = browser.get(path)
        checked = Checked(answer.body)
        assert not checked.wrong, (path, checked.wrong)
        assert checked.language == language, path
        for other in set(LANGUAGES) - {language}:
            leaked = {"en": "Skip to the content", "es": "Ir al contenido", "sv": "Hoppa till innehållet"}[other]
            assert leaked not in answer.body
        assert answer.headers["cache-control"] == "no-store"
        for link in checked.links:
            assert link.startswith(("/", "#")), (path, link)


def test_a_mistake_is_told_above_the_form_and_at_its_field(site: Site) -> None:
    stranger = site.browser()
    for path, form in (("/", {"address": "x"}), ("/request-access", {}), ("/auth/confirm", {"code": "1"})):
        answer = stranger.post(path, form)
        assert answer.status == 422
        assert not Checked(answer.body).wrong
        assert 'class="summary" role="alert"' in answer.body and "<title>Error: " in answer.body


def test_the_language_is_the_persons_then_the_browsers_then_the_vendors(site: Site) -> None:
    browser = site.browser(**{"Accept-Language": "fr, sv;q=0.5, es;q=0.9"})
    assert Checked(browser.get("/").body).language == "es"
    assert browser.post("/language", {"language": "sv", "back": "/request-access"}).to == "/request-access"
    assert Checked(browser.get("/request-access").body).language == "sv"
    browser.post("/language", {"language": "xx"})
    assert Checked(browser.get("/").body).language == "sv"
    site.sign_in("ana@nordvik.test", browser)
    assert Checked(browser.get("/access-requests").body).language == "en"  # an agent's own
    assert Checked(site.browser(**{"Accept-Language": ";;q=,q=x;, *"}).get("/").body).language == "en"


def test_the_sheet_and_the_icon_are_kept_for_ever_and_change_their_name(site: Site) -> None:
    browser = site.browser()
    body = browser.get("/").body
    for name, kind in STATIC.items():
        stem = name.partition(".")[0]
        found = re.search(rf"/static/{stem}-[0-9a-f]{{16}}\.\w+", body)
        assert found
        answer = browser.get(found[0])
        assert (answer.status, answer.headers["content-type"]) == (200, kind)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert browser.get(f"/static/{name}").status == 404


def test_colours_are_told_apart() -> None:
    """WCAG 2.2, 1.4.3: every text colour on every ground that it stands on, in light and in dark."""
    sheet = (BUILT_IN / "portal" / "style.css").read_text(encoding="utf-8")
    blocks = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6})", block))
        for block in re.findall(r":root {(.*?)\n *}", sheet, re.DOTALL)
    ]
    assert len(blocks) == 2
    grounds = {"bad": "bad-soft", "warn": "warn-soft", "good": "good-soft"}
    pairs = [
        (ink, ground) for ink in ("ink", "soft", "accent", "bad", "warn", "good") for ground in ("paper", "ground")
    ]
    pairs += [*grounds.items(), ("ink", "accent-soft"), ("accent-ink", "accent"), ("paper", "bad")]
    for colours in blocks:
        for ink, ground in pairs:
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        assert contrast(colours["edge"], colours["paper"]) >= 3  # 1.4.11: the border of a field


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * char for char in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_vendors_own_template_comes_first(tmp_path: Path) -> None:
    from portal.pages import Pages
    from portal.parts import Parts
    from tests.builders import KEYS, NOW, POLICY

    (tmp_path / "portal").mkdir()
    (tmp_path / "portal" / "icon.svg").write_text("<svg/>")
    url = "https://desk.nordvik.test"
    parts = Parts(engine=None, policy=POLICY, keys=KEYS, now=lambda: NOW, url=url, blobs=None, templates=tmp_path)  # type: ignore[arg-type]
    assert ("icon.svg", b"<svg/>") in Pages(parts).files.values()
