"""Replies as the mail clients make them: every word of the author's is in `text`, and none that is quoted."""

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.mime.content import HashOnly
from ingest.mime.parse import parse
from ingest.spool.rawfile import spooled_from
from values.mail import ParsedMail

WHEN, WHO = "Tue, Nov 24, 2026 at 10:00 AM", "Anna Berg &lt;anna@nordvik.test&gt;"
WROTE = f"On {WHEN}, {WHO} wrote:"
LABELS = (
    "<b>From:</b> Anna Berg &lt;anna@nordvik.test&gt;<br>\n<b>Sent:</b> Tuesday, November 24, 2026 10:00<br>\n"
    "<b>To:</b> Su Lund &lt;su@acme.test&gt;<br>\n<b>Subject:</b> Export"
)
HEAD = f'<div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0in 0in 0in"><p>{LABELS}</p></div>'
OWA_HEAD = f'<hr style="width:98%"><div id="divRplyFwdMsg" dir="ltr"><font>{LABELS}</font></div>'
CITE = '<blockquote type="cite">{}</blockquote>'
GMAIL = '<blockquote class="gmail_quote" style="border-left:1px solid #ccc">{}</blockquote>'


@dataclass(frozen=True)
class Form:
    """How a client makes a reply: what opens and closes the quotation, each quoted piece, and where one may write."""

    opening: str
    piece: str
    closing: str = ""
    between: bool = True  # people write between the quoted pieces
    below: bool = True


FORMS = {
    "gmail": Form(f'<div class="gmail_quote"><div dir="ltr" class="gmail_attr">{WROTE}<br></div>', GMAIL, "</div>"),
    "old gmail": Form(f'<div class="gmail_extra"><br><div class="gmail_quote">{WROTE}<br>', GMAIL, "</div></div>"),
    "k-9": Form(f'<br><div class="gmail_quote">{WROTE.replace("Anna Berg ", "")}', GMAIL, "</div>"),
    "outlook": Form(f"<div>{HEAD}</div>", "<p class=MsoNormal>{}</p>", "", False, False),
    "outlook, indented": Form(
        f"<div style='border:none;border-left:solid blue 1.5pt'><div>{HEAD}</div>", "<p>{}</p>", "</div>", False
    ),
    "outlook on the web": Form(
        f'<div id="appendonsend"></div>{OWA_HEAD}', '<div class="x_elementToProof">{}</div>', "", False
    ),
    "outlook on a phone": Form(
        f'<div id="mail-editor-reference-message-container">{OWA_HEAD}', "<div>{}</div>", "</div>", False
    ),
    "apple": Form("<div><br>", f"{CITE}", "</div>"),
    "apple, attributed": Form(
        f'<div><br><blockquote type="cite"><div>{WROTE}</div></blockquote><br class="Apple-interchange-newline">',
        CITE,
        "</div>",
    ),
    "thunderbird": Form(f'<div class="moz-cite-prefix">{WROTE}<br></div>', CITE),
    "yahoo": Form(
        f'<div id="ydp1yahoo_quoted_2" class="ydp1yahoo_quoted"><div>{WROTE}</div>', "<div>{}</div>", "</div>", False
    ),
    "proton": Form(
        f'<div class="protonmail_quote">{WROTE}<br>', '<blockquote class="protonmail_quote">{}</blockquote>', "</div>"
    ),
    "zimbra": Form(
        f'<hr id="zwchr"><div data-marker="__HEADERS__"><blockquote>{LABELS}</blockquote></div>',
        '<div data-marker="__QUOTED_TEXT__"><blockquote style="border-left:2px solid #1010FF">{}</blockquote></div>',
    ),
    "notes": Form(
        '<div>-----Anna Berg &lt;anna@nordvik.test&gt; wrote: -----</div><div class="iNotesHistory">',
        "<div>{}</div>",
        "</div>",
        False,
    ),
    "gmx": Form(
        '<div name="quote" style="border-left:2px solid #C3D9E5"><div><b>Gesendet:</b> heute<br><b>Von:</b> Anna</div>',
        '<div name="quoted-content">{}</div>',
        "</div>",
        False,
    ),
    "em client": Form(f"<div>------ Original Message ------</div><div>{LABELS}</div>", CITE),
    "yandex": Form('<div>24.11.2026, 10:00, "Anna" &lt;anna@nordvik.test&gt;:</div>', "<blockquote>{}</blockquote>"),
}
PLAIN = {
    "text, attributed": f"On {WHEN}, Anna Berg <anna@nordvik.test> wrote:\n",
    "text, folded": "El mar, 24 nov 2026 a las 10:00, Anna Berg (<anna@nordvik.test\n>) escribió:\n",
    "text, in Swedish": "Den tis 24 nov. 2026 kl 10:00 skrev Anna Berg <anna@nordvik.test>:\n",
    "text, bare": "",
}

WORDS = st.lists(
    st.sampled_from(["the", "export", "stops", "at", "10:30", "please", "see", "order", "1042"]), max_size=5
)


def read(body: str, subtype: str, header: str = "Subject: Re: Export\nIn-Reply-To: <1@nordvik.test>") -> ParsedMail:
    raw = f"From: su@acme.test\n{header}\nContent-Type: text/{subtype}; charset=utf-8\n\n{body}\n"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mail.eml"
        path.write_bytes(raw.encode())
        return parse(spooled_from(path), HashOnly())


def sentence(word: str, more: list[str]) -> str:
    return " ".join([word, *more])


@pytest.mark.parametrize("name", [*FORMS, *PLAIN])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(places=st.lists(st.booleans(), min_size=4, max_size=4), more=st.lists(WORDS, min_size=8, max_size=8))
def test_every_own_word_and_no_quoted_one(name: str, places: list[bool], more: list[list[str]]) -> None:
    """Own words above, between and below three quoted pieces, wherever the client lets people write."""
    own = [sentence(f"own{n}", more[n]) for n in range(4)]
    quoted = [sentence(f"quoted{n}", more[4 + n]) for n in range(3)]
    form = FORMS.get(name)
    if form:
        allowed = [True, form.between, form.between, form.below]
    else:
        allowed = [True] * 4
    says = [here and may for here, may in zip(places, allowed, strict=True)]
    if form and not (form.between or any(says[:1])):
        says[0] = True
    if not any(says):
        says[0] = True
    if form:
        html = [f"<div>{own[0]}</div>" if says[0] else "", form.opening]
        for n, piece in enumerate(quoted):
            html.append(form.piece.format(piece))
            if n < 2 and says[n + 1]:
                html.append(f"<div>{own[n + 1]}</div>")
        html.append(form.closing)
        if says[3]:
            html.append(f'<div class="elementToProof">{own[3]}</div>')
        mail = read("<html><body>" + "\n".join(html) + "</body></html>", "html")
    else:
        lines = [f"{own[0]}\n\n" if says[0] else "", PLAIN[name]]
        for n, piece in enumerate(quoted):
            lines.append(f"> {piece}\n")
            if says[n + 1]:
                lines.append(f"\n{own[n + 1]}\n\n")
        mail = read("".join(lines), "plain")
    for n in range(4):
        assert (f"own{n}" in mail.text) is says[n], mail.text
    assert not any(word in mail.text for word in ("quoted", "wrote", "escribió", "skrev", "nordvik", "Anna")), mail.text
    kept = mail.text.split()
    wanted = " ".join(own[n] for n in range(4) if says[n]).split()
    assert kept == wanted  # in their order
    assert all(f"quoted{n}" in mail.full_text for n in range(3))


@pytest.mark.parametrize(
    "html",
    [
        '<p>own0</p><div style="border:none;border-top:solid windowtext 1.0pt"><p>own1</p></div><p>own2</p>',
        '<p>own0</p><div name="quote"><p>own1</p></div><p>own2</p>',
        "<p>own0 the error is:</p><blockquote>own1</blockquote>",
        "<p>own0</p><blockquote>own1</blockquote><p>own2</p>",
        '<p>own0</p><table style="border-top:solid 1pt"><tr><td><b>Product:</b> x</td></tr></table><p>own1 own2</p>',
        '<div class="moz-cite-prefix">own0<br>On Tue, Nov 24, 2026 Anna &lt;a@b.test&gt; wrote:<br></div>'
        '<blockquote type="cite">old</blockquote><p>own1</p>',
        "<p>own0</p><p>From: Stockholm</p><p>To: Madrid</p><p>Date: May 3</p><p>own1</p>",
        "<pre>own0\nSQL&gt; own1\nSQL&gt; own2</pre>",
        "<p>own0</p><p>--</p><p>Su</p><blockquote type=cite>old</blockquote><p>own1</p>",
    ],
)
def test_what_is_not_surely_a_quotation_stays(html: str) -> None:
    text = read(html, "html").text
    assert all(word in text for word in ("own0", "own1", "own2") if word in html) and "old" not in text


def test_a_bare_quotation_at_the_end_of_an_answer() -> None:
    html = "<p>own0</p><blockquote>old</blockquote>"
    assert read(html, "html").text == "own0"
    assert read(html, "html", "Subject: Export").text == "own0\n\nold"


FORWARDED = "From: Pedro &lt;p@x.test&gt;<br>Date: today<br>Subject: Export<br>To: su@acme.test"
COVER = "<div>os reenvío</div>"
FORWARDS = [
    f'{COVER}<div class="gmail_quote"><div class="gmail_attr">---------- Forwarded message ---------<br>{FORWARDED}'
    "</div><br>the error</div>",
    f'{COVER}<blockquote type="cite"><div>Begin forwarded message:</div>{FORWARDED}<br>the error</blockquote>',
    f'{COVER}<div>Inicio del mensaje reenviado:</div><blockquote type="cite">{FORWARDED}<br>the error</blockquote>',
    f'{COVER}<div class="moz-forward-container">-------- Forwarded Message --------<div>{FORWARDED}</div>'
    "the error</div>",
]


@pytest.mark.parametrize("html", [*FORWARDS, f"<p>os reenvío</p>{HEAD}<p>the error of Pedro</p>"])
@pytest.mark.parametrize("subject", ["Subject: Fwd: Export", "Subject: RV: Export\nIn-Reply-To: <1@x.test>"])
def test_a_forward_is_shown(html: str, subject: str) -> None:
    text = read(html, "html", subject).text
    assert text.startswith("os reenvío") and "the error" in text and "Pedro" in text


@pytest.mark.parametrize("html", FORWARDS)
def test_a_forward_within_an_answer_is_shown(html: str) -> None:
    text = read(html, "html").text
    assert text.startswith("os reenvío") and "the error" in text and "Pedro" in text


def test_a_forward_in_plain_text() -> None:
    text = (
        "os reenvío lo de Pedro\n\nFrom: Pedro <p@x.test>\nSent: today\nTo: su@acme.test\nSubject: Export\n\nthe error"
    )
    assert read(text, "plain", "Subject: Fwd: Export").text == text
    assert read(text, "plain").text == "os reenvío lo de Pedro"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('see <a href="https://acme.test/log?x=1">the log</a>.', "see the log <https://acme.test/log?x=1>."),
        ('<a href="https://acme.test/">acme.test</a>', "acme.test"),
        ('<a href="https://evil.test/">https://acme.test</a>', "https://acme.test <https://evil.test/>"),
        ('<a href="mailto:su@acme.test?subject=x">su@acme.test</a>', "su@acme.test"),
        ('<a href="mailto:su@acme.test">Su <b>Lund</b></a>', "Su Lund <su@acme.test>"),
        ('<a href="javascript:x()">x</a> <a href="#top">y</a> <a>z</a>', "x y z"),
        ('<a href="https://acme.test/"><img src="x"></a>a', "a"),
    ],
)
def test_links(html: str, text: str) -> None:
    found = read(html, "html")
    assert found.text == found.full_text == text


@pytest.mark.parametrize(
    "piece",
    [
        "<div class=gmail_quote>",
        "<div class=moz-cite-prefix>",
        "<div id=divRplyFwdMsg>",
        "<div id=divRplyFwdMsg>a</div>",
        "<blockquote>",
        "<blockquote>a</blockquote>b",
        "<blockquote type=cite>a</blockquote>b:",
        '<div style="border-top:solid"><b>a:</b>',
        "<div name=quote><i></i>",
        "<a href=http://a.test>b",
        "<span class=gmail_attr>x",
    ],
)
def test_time_is_linear_in_html(piece: str) -> None:
    """Twice the HTML takes about twice the time; the tree is at most as deep as the parser lets it be."""

    def spent(times: int) -> float:
        html = "<p>own</p><blockquote type=cite>old</blockquote>" + piece * times
        began = time.process_time()
        read(html, "html")
        return time.process_time() - began

    few, many = min(spent(2000) for _ in range(2)), min(spent(4000) for _ in range(2))
    assert many < max(4 * few, 0.2)
