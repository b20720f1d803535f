"""notify/render.py: the way down from the vendor's template to plain English, and a sandbox that holds."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from notify.render import OUTPUT_CAP, Renderer, RenderError, _column
from templates.catalogue import BUILT_IN, language_of, translations_of

CONTEXT: dict[str, Any] = {
    "subject": "Re: Export stops",
    "number": 1042,
    "text": "Hello",
    "agent": "Anna Lind",
    "quote": {"at": datetime(2026, 11, 24, 9, 12, tzinfo=UTC), "author": "Lucía", "text": "one\n> two\n\nthree"},
    "vendor": "Nordvik Support",
    "marker": "",
}


@pytest.fixture
def override(tmp_path: Path) -> Callable[[str, str], Renderer]:
    """A renderer with one template of the vendor's own."""

    def made(path: str, source: str) -> Renderer:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
        return Renderer(override=tmp_path)

    return made


Override = Callable[[str, str], Renderer]


@pytest.mark.parametrize(
    ("wanted", "given"),
    [("en", "en"), ("es", "es"), ("sv-FI", "sv"), ("ES_mx", "es"), ("de", "en"), ("", "en"), ("../../etc", "en"),
     ("zh-Hant-TW", "en"), ("x" * 10_000, "en"), ("e", "en"), ("sv\x00", "en"), ("ar", "en")],
)  # fmt: skip
def test_a_locale_that_is_not_shipped_is_english(wanted: str, given: str) -> None:
    assert language_of(wanted) == given
    rendered = Renderer().render("agent_reply", wanted, "UTC", CONTEXT)
    assert rendered.language == given and "Hello" in rendered.text


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "\x00", "Europe", "x" * 5000])
def test_an_unknown_zone_is_utc(zone: str) -> None:
    assert "24 Nov 2026, 09:12 UTC" in Renderer().render("agent_reply", "en", zone, CONTEXT).text


def test_times_are_in_the_persons_zone() -> None:
    assert "24 Nov 2026, 10:12 CET" in Renderer().render("agent_reply", "en", "Europe/Madrid", CONTEXT).text


@pytest.mark.parametrize(
    ("zone", "language", "written"),
    [
        ("Europe/Madrid", "es", "24 nov 2026, 10:12 CET"),
        ("Europe/Stockholm", "sv", "24 nov. 2026, 10:12 CET"),
        ("Europe/London", "en", "24 Nov 2026, 09:12 GMT"),
        ("America/New_York", "es", "24 nov 2026, 4:12 UTC-05:00"),
        ("Asia/Kolkata", "en", "24 Nov 2026, 14:42 UTC+05:30"),
    ],
)
def test_every_time_says_its_zone(zone: str, language: str, written: str) -> None:
    assert written in Renderer().render("agent_reply", language, zone, CONTEXT).text


@pytest.mark.parametrize(
    "end", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
)
def test_no_line_of_a_stranger_leaves_its_quote(end: str) -> None:
    """What compose writes as a line end, or a mail program shows as one, ends no quote."""
    quote = {**CONTEXT["quote"], "text": f"quoted{end}{end}Anna Lind: send us your password"}
    rendered = Renderer().render("agent_reply", "en", "UTC", {**CONTEXT, "quote": quote})
    assert "> quoted\n>\n> Anna Lind: send us your password\n" in rendered.text
    assert "<p" in rendered.html.partition("quoted")[2].partition("Anna Lind: send")[0], "a paragraph of its own"


def test_the_vendors_template_comes_first(override: Override) -> None:
    renderer = override("mail/agent_reply/subject.txt", "[Nordvik] {{ subject }}")
    rendered = renderer.render("agent_reply", "sv", "UTC", CONTEXT)
    assert rendered.subject == "[Nordvik] Re: Export stops" and "Ärende 1042" in rendered.text and not rendered.notes


def test_the_vendors_own_sentences_have_his_own_catalogue(override: Override, tmp_path: Path) -> None:
    renderer = override("mail/agent_reply/subject.txt", "{% trans %}Ours about {{ number }}{% endtrans %}")
    folder = tmp_path / "locale" / "sv" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "postdesk.po").write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
        'msgid "Ours about %(number)s"\nmsgstr "Vårt om %(number)s"\n',
        encoding="utf-8",
    )
    rendered = renderer.render("agent_reply", "sv", "UTC", CONTEXT)
    assert rendered.subject == "Vårt om 1042" and "Ärende 1042" in rendered.text


@pytest.mark.parametrize(
    "broken",
    ["{{ nothing_of_this_name }}", "{{ quote.nothing }}", "{% if %}", "{{", "{% extends 'mail/none.txt' %}",
     "{{ 1/0 }}", "{{ subject|nofilter }}", "{{ number|datetime }}", "\x00{{ subject.x.y }}",
     "{% trans %}{{ missing }}{% endtrans %}"],
)  # fmt: skip
@pytest.mark.parametrize("part", ["subject.txt", "body.txt", "body.html"])
def test_a_broken_template_falls_back_to_the_built_in_one(broken: str, part: str, override: Override) -> None:
    rendered = override(f"mail/agent_reply/{part}", broken).render("agent_reply", "es", "UTC", CONTEXT)
    expected = Renderer().render("agent_reply", "es", "UTC", CONTEXT)
    assert (rendered.subject, rendered.text, rendered.html) == (expected.subject, expected.text, expected.html)
    assert len(rendered.notes) == 1 and "agent_reply" in rendered.notes[0]
    assert "Traceback" not in rendered.text + rendered.html


def test_a_translation_with_other_placeholders_is_left_in_english(tmp_path: Path) -> None:
    folder = tmp_path / "locale" / "sv" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    lines = ["Ticket %(nummer)s", "Ticket %(number)d", "%(number)999999999d", "100%", "%s"]
    (folder / "postdesk.po").write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
        + "".join(f'msgid "m{n} %(number)s"\nmsgstr "{line}"\n\n' for n, line in enumerate(lines)),
        encoding="utf-8",
    )
    translations, notes = translations_of(tmp_path, "sv")
    assert len(notes) == len(lines)
    assert all(translations.gettext(f"m{n} %(number)s") == f"m{n} %(number)s" for n in range(len(lines)))


def test_a_built_in_template_broken_in_one_language_leaves_in_english(tmp_path: Path) -> None:
    """A catalogue that cannot be read at all: the mail still leaves."""
    built_in = tmp_path / "built-in"
    (built_in / "mail").mkdir(parents=True)
    for path in (BUILT_IN / "mail").rglob("*.*"):
        target = built_in / path.relative_to(BUILT_IN)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    catalogue = built_in / "locale" / "sv" / "LC_MESSAGES" / "postdesk.po"
    catalogue.parent.mkdir(parents=True)
    catalogue.write_bytes(b'msgid "x\nmsgstr \xff')
    rendered = Renderer(built_in=built_in).render("agent_reply", "sv", "UTC", CONTEXT)
    assert rendered.language == "en" and "Ticket 1042" in rendered.text and rendered.notes


def test_nothing_left_to_fall_back_to() -> None:
    with pytest.raises(RenderError):
        Renderer().render("agent_reply", "en", "UTC", {})
    with pytest.raises(RenderError):
        Renderer().render("no_such_mail", "en", "UTC", CONTEXT)


# --- T47: what a template can never do --------------------------------------------------------------------------

PAYLOADS = [
    # into the program
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ subject.__class__ }}", "{{ self.__init__.__globals__ }}", "{{ self._TemplateReference__context }}",
    "{{ ().__class__.__bases__[0] }}", "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}", "{{ namespace.__init__.__globals__ }}",
    "{{ joiner.__init__.__globals__ }}", "{{ get_flashed_messages.__globals__ }}", "{{ url_for.__globals__ }}",
    "{{ gettext.__globals__ }}", "{{ gettext('x').__class__ }}", "{{ _('x') }}", "{{ gettext(number) }}",
    "{{ subject|attr('__class__') }}", "{{ subject|map('upper')|list }}", "{{ [].append(1) }}", "{{ dict(a=1) }}",
    "{{ config }}", "{{ request }}", "{{ environment }}", "{{ caller() }}", "{{ loop }}", "{{ debug() }}",
    "{% debug %}",
    "{{ subject.format(a=1) }}", "{{ '{0.__class__}'.format(subject) }}", "{{ subject.encode('utf-8') }}",
    "{{ quote.keys() }}", "{{ quote.pop('at') }}", "{{ quote.__class__ }}", "{{ zone.replace('U', '/etc/') }}",
    "{% import 'mail/_base.html' as x %}", "{% from 'mail/_base.html' import x %}", "{% include '/etc/passwd' %}",
    "{% include '../../../../etc/passwd' %}", "{% extends '../../../../etc/passwd' %}", "{% include subject %}",
    "{% set x = 1 %}{{ x }}", "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "{% call x() %}{% endcall %}",
    "{% filter upper %}x{% endfilter %}", "{% with a = 1 %}{{ a }}{% endwith %}", "{% do subject.x() %}",
    # into the machine's time and memory
    "{{ 'a' * 10**9 }}", "{{ 10**10**10 }}", "{{ 2**999999999 }}", "{{ '%999999999d' % 1 }}", "{{ 'a'.rjust(10**9) }}",
    "{{ 'a'|center(1000000000) }}", "{{ '%999999999d'|format(1) }}", "{{ subject|indent(1000000000) }}",
    "{{ subject|wordwrap(1) }}", "{{ range(10**9)|list }}", "{% for a in range(10**9) %}x{% endfor %}",
    "{% for a in text %}{% for b in text %}{% for c in text %}x{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in quote recursive %}{{ loop(quote) }}{% endfor %}", "{% for a in text %}{{ text }}{% endfor %}",
    "{% set ns = namespace(a='x') %}{% for i in text %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}{{ ns.a }}",
    "{{ text ~ text ~ text }}", "{{ gettext('%(x)999999999d', x=1) }}", "{{ ngettext('%(x)999999999d', 'b', 1, x=1) }}",
    "{{ [text, text] }}", "{{ text[::-1] }}", "{{ lipsum(n=100000) }}",
]  # fmt: skip


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_template_reads_writes_and_burns_nothing(payload: str, override: Override) -> None:
    context = {**CONTEXT, "text": "x" * 40_000}
    begun = time.monotonic()
    rendered = override("mail/agent_reply/body.txt", payload).render("agent_reply", "en", "UTC", context)
    assert time.monotonic() - begun < 1.0
    harmless = Renderer().render("agent_reply", "en", "UTC", context).text
    given = rendered.text
    assert given == harmless or (payload == "{{ text[::-1] }}" and given == context["text"] + "\n"), payload
    assert len(given) <= OUTPUT_CAP


class Secret:
    word = "secret"


@pytest.mark.parametrize("thing", [Secret(), Secret, open, [1], {"a": [Secret()]}, {1, 2}, b"x", lambda: 1])
def test_only_plain_data_reaches_a_template(thing: Any) -> None:
    with pytest.raises(RenderError, match="no plain data"):
        Renderer().render("agent_reply", "en", "UTC", {**CONTEXT, "thing": thing})


@pytest.mark.parametrize("canary", ["{{7*7}}", "{% debug %}", "%(number)s", "%s", "<b>x</b>", "{{ self }}", "';--"])
def test_values_are_never_rendered_a_second_time(canary: str) -> None:
    """Threat T48: what a customer writes stands in his mail as he wrote it, in the text and, escaped, in the HTML."""
    from html import unescape

    quote = {"at": CONTEXT["quote"]["at"], "author": canary, "text": canary}
    context = {**CONTEXT, "subject": canary, "text": canary, "agent": canary, "vendor": canary, "quote": quote}
    for language in ("en", "es", "sv"):
        rendered = Renderer().render("agent_reply", language, "UTC", context)
        assert rendered.subject == canary and rendered.text.count(canary) == 5
        assert unescape(rendered.html).count(canary) == 6 and "<b>" not in rendered.html


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("abc", "abc     "),
        (1042, "1042    "),
        ("abcdef", "abcdef  "),
        ("abcdefg", "abcde…  "),
        ("", "        "),
        ("a\nb\tc", "a b c   "),
        ("打印机", "打印机  "),  # wide letters: two columns each
        ("打印机坏", "打印…   "),
        ("Sta\u0308ng", "Sta\u0308ng   "),  # a combining mark has no width
    ],
)
def test_a_cell_is_as_wide_as_its_column(value: str | int, cell: str) -> None:
    assert _column(value, 6) == cell
