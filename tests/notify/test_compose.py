"""notify/compose.py: what leaves is what the row says, whatever its values hold."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_string, policy
from email.header import decode_header, make_header
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from notify.compose import (
    HEADER_NAMES,
    Composed,
    OutgoingMail,
    Unfit,
    clean,
    clean_address,
    compose,
    thread_references,
)
from notify.render import Renderer
from values.mail import Mailbox
from values.vocabulary import MailClass, MailName

RENDERER = Renderer()
CONTEXT = {
    "subject": "Re: Export stops",
    "number": 1042,
    "product": "Nordvik Payroll",
    "erp": "Business Central",
    "erp_version": None,
    "product_version": None,
    "files": ({"name": "screen.png", "size": 211_000},),
    "missing": ("erp_version", "product_version"),
    "help": "help",
    "vendor": "Nordvik Support",
    "marker": "",
}
MAIL = OutgoingMail(
    mail=MailName.ACKNOWLEDGEMENT,
    kind=MailClass.RECEIPT,
    language="en",
    zone="Europe/Madrid",
    recipient="lucia@ibarra.test",
    sender=Mailbox(address="support@nordvik.test", name="Nordvik Support"),
    return_path="bounce+7.k3f9@nordvik.test",
    message_id="o7.9c41d07b@nordvik.test",
    date=datetime(2026, 11, 24, 9, 12, tzinfo=UTC),
    loop_marker="m1.abcdef",
    reply_to="support+t1042.k3f9q2@nordvik.test",
    in_reply_to="a@ibarra.test",
    references=("a@ibarra.test",),
    ticket=1042,
    reason="requester",
    context=CONTEXT,
)


def built(mail: OutgoingMail) -> tuple[Composed, Any]:
    composed = compose(mail, RENDERER)
    assert isinstance(composed, Composed), composed
    return composed, message_from_string(composed.message.decode(), policy=policy.default)


def test_a_receipt_is_automatic_and_a_conversation_is_not() -> None:
    _, receipt = built(MAIL)
    assert (receipt["Auto-Submitted"], receipt["X-Auto-Response-Suppress"]) == (
        "auto-replied",
        "DR, RN, OOF, AutoReply",
    )
    _, notice = built(replace(MAIL, kind=MailClass.NOTICE))
    assert (notice["Auto-Submitted"], notice["X-Auto-Response-Suppress"]) == ("auto-generated", "OOF, AutoReply")
    _, talk = built(replace(MAIL, kind=MailClass.CONVERSATION))
    assert not {"auto-submitted", "precedence", "x-auto-response-suppress"} & {name.lower() for name in talk}
    assert not any(name.lower().startswith("list-") for name in talk)


def test_the_envelope_and_the_thread_are_those_of_the_row() -> None:
    composed, message = built(MAIL)
    assert (composed.reverse_path, composed.forward_path) == ("bounce+7.k3f9@nordvik.test", "lucia@ibarra.test")
    assert message["Message-ID"] == "<o7.9c41d07b@nordvik.test>"
    assert message["In-Reply-To"] == "<a@ibarra.test>"
    assert message["Reply-To"] == "support+t1042.k3f9q2@nordvik.test"
    assert message["Subject"] == "Re: Export stops"
    assert message["Content-Language"] == "en"
    assert compose(MAIL, RENDERER) == composed, "the same row gives the same octets, so a second copy is recognisable"


@pytest.mark.parametrize(
    ("ids", "answered", "expected"),
    [
        ((), None, ()),
        ((), "a@x", ("a@x",)),
        (("a@x",), "a@x", ("a@x",)),
        (("a@x", "b@x"), "a@x", ("a@x", "b@x")),
        (("a@x", "b@x", "c@x"), "b@x", ("a@x", "c@x", "b@x")),
        (("a@x", "b@x", "c@x", "d@x", "e@x"), "e@x", ("a@x", "c@x", "d@x", "e@x")),
        (("a@x", "b@x", "c@x", "d@x", "e@x"), "f@x", ("a@x", "d@x", "e@x", "f@x")),
        (("a b@x", "<a@x>", "å@x", "a@x\r\nBcc: e@evil.test", "x" * 250 + "@x", "ok@x"), None, ("ok@x",)),
    ],
)
def test_references_are_the_first_and_the_last_three(
    ids: tuple[str, ...], answered: str | None, expected: tuple[str, ...]
) -> None:
    assert thread_references(ids, answered) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("lucia@ibarra.test", "lucia@ibarra.test"),
        ("Lucia@Ibarra.TEST", "Lucia@ibarra.test"),
        ("info@müller.test", "info@xn--mller-kva.test"),
        ("info@[192.0.2.1]", "info@[192.0.2.1]"),
        ("two..dots.@docomo.test", "two..dots.@docomo.test"),
        ("müller@x.test", "müller@x.test"),
    ],
)
def test_addresses_as_written_on_the_wire(address: str, expected: str) -> None:
    assert clean_address(address) == expected


@pytest.mark.parametrize(
    "address",
    ["", "lucia", "@x.test", "a@", "a b@x.test", "a,b@x.test", "a@x.test>", "<a@x.test>", "a@b@x.test,c@y.test",
     "a\r\nBcc:e@evil.test", "a@x.test\r\nBcc: e@evil.test", "a@x.test\n", "a@x test", "a@x.test (c)", '"a b"@x.test',
     "a;b@x.test", "a@.x.test", "a@x..test", "a@-", "a@x.test\u2028b", "a\u0085b@x.test", "a:b@x.test",
     "a@" + "x" * 260],
)  # fmt: skip
def test_an_address_that_is_not_one_plain_mailbox_is_refused(address: str) -> None:
    with pytest.raises(ValueError):
        clean_address(address)
    refused = compose(replace(MAIL, recipient=address), RENDERER)
    assert isinstance(refused, Unfit) and refused.reason


def test_a_non_ascii_local_part_asks_for_smtputf8() -> None:
    composed, _ = built(replace(MAIL, recipient="müller@müller.test"))
    assert composed.smtputf8 and composed.forward_path == "müller@xn--mller-kva.test"
    assert "To: müller@xn--mller-kva.test\r\n".encode() in composed.message
    assert not built(MAIL)[0].smtputf8


@pytest.mark.parametrize(
    "name",
    ["Åsa Björklund-Öström (Nordvik Löneprogram och Söderköpings Support)", "北欧支援" * 12,
     'An "odd" \\ name', "=?utf-8?q?x?=",
     "a, b; c: <d@e.test>", "", "Anna Lind"],
)  # fmt: skip
def test_a_name_stays_one_name(name: str) -> None:
    composed, message = built(replace(MAIL, sender=Mailbox(address="support@nordvik.test", name=name)))
    assert [one.addr_spec for one in message["From"].addresses] == ["support@nordvik.test"]
    assert max(len(line) for line in composed.message.split(b"\r\n")) <= 78


@pytest.mark.parametrize(
    "subject",
    ["hi\r\nX-Evil: 1", "=?utf-8?q?hi=0D=0AX-Evil:_1?=", "\x00\x1b[31m", "a\u2028Bcc: e@evil.test", "\ud800",
     "x" * 5000, "ü" * 5000, "  ", "", "{{7*7}}", "å\u202egnp.exe", "a  b   c", "é\r\n é"],
)  # fmt: skip
def test_a_subject_stays_one_subject(subject: str) -> None:
    composed, message = built(replace(MAIL, context={**CONTEXT, "subject": subject}))
    assert set(message.keys()) <= set(HEADER_NAMES)
    assert message.get_all("Subject") is not None and len(message.get_all("Subject")) == 1
    assert max(len(line) for line in composed.message.split(b"\r\n")) <= 78
    if subject == "=?utf-8?q?hi=0D=0AX-Evil:_1?=":
        assert message["Subject"] == subject, "its text is kept, not decoded a second time"


@pytest.mark.parametrize("subject", ["é" * 400, "漢" * 200, "😀" * 100, "é" + "x" * 400, "a é " * 100, "=?" * 100])
def test_rfc2047_2_encoded_words_are_short(subject: str) -> None:
    composed, message = built(replace(MAIL, context={**CONTEXT, "subject": subject}))
    head = composed.message.partition(b"\r\n\r\n")[0].decode()
    words = re.findall(r"=\?utf-8\?[bq]\?[^?]*\?=", head)
    assert words and max(len(word) for word in words) <= 75
    assert max(len(line) for line in head.split("\r\n") if "=?" in line) <= 76
    for word in words:
        assert "\ufffd" not in str(make_header(decode_header(word))), "no character is split between two words"
    assert message["Subject"] == clean(subject)


def test_what_cannot_be_built_is_unfit_and_says_why() -> None:
    for broken in (
        replace(MAIL, message_id="no brackets>\r\n"),
        replace(MAIL, loop_marker="a\nb"),
        replace(MAIL, sender=Mailbox(address="a,b@x.test")),
        replace(MAIL, return_path="a b@x.test"),
        replace(MAIL, reply_to="a@x.test, e@evil.test"),
        replace(MAIL, reason="a\r\nBcc: e@evil.test"),
    ):
        assert isinstance(compose(broken, RENDERER), Unfit)


def test_the_reading_again_finds_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    import notify.compose as module

    monkeypatch.setattr(module, "_mailbox", lambda name, box: f"{box.address}, evil@evil.test")
    refused = compose(MAIL, RENDERER)
    assert isinstance(refused, Unfit) and "From is" in refused.reason
    monkeypatch.undo()
    monkeypatch.setattr(module, "_unstructured", lambda name, value: value + "\r\n\r\nbody")
    assert isinstance(compose(MAIL, RENDERER), Unfit)
    monkeypatch.undo()
    monkeypatch.setattr(module, "_unstructured", lambda name, value: value + "!")
    refused = compose(MAIL, RENDERER)
    assert isinstance(refused, Unfit) and "Subject is" in refused.reason


# --- T29: no value of any field adds a recipient, a field or a part --------------------------------------------

HOSTILE = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="\r\n\t :<>@,;\"\\()=?_abBc\x00\x0b\x85\u2028\u202eüе漢", max_size=40),
    st.sampled_from(
        ["\r\nBcc: e@evil.test", "\nTo: e@evil.test\n\nbody", "a@x.test, e@evil.test", '" <e@evil.test>, "',
         "=?utf-8?q?=0D=0ABcc:_e@evil.test?=",
         "=?utf-8?b?DQpCY2M6IGVAZXZpbC50ZXN0?=", "\u2028Bcc: e@evil.test", "<e@evil.test>", "--=_",
         "\r\n.\r\nMAIL FROM:<e@evil.test>", "{{7*7}}"]
    ),
)  # fmt: skip
FIELDS = st.fixed_dictionaries(
    {
        "subject": HOSTILE,
        "product": HOSTILE,
        "erp": HOSTILE,
        "vendor": HOSTILE,
        "file": HOSTILE,
        "marker": HOSTILE,
        "name": HOSTILE,
        "in_reply_to": st.one_of(st.none(), HOSTILE),
        "reference": HOSTILE,
        "reason": st.one_of(st.none(), HOSTILE),
        "recipient": st.one_of(st.just("lucia@ibarra.test"), HOSTILE.map(lambda s: s + "@ibarra.test")),
        "reply_to": st.one_of(st.just("support+t1.x@nordvik.test"), HOSTILE),
    }
)


def no_field_can_be_injected(fields: dict[str, Any]) -> None:
    mail = replace(
        MAIL,
        recipient=fields["recipient"],
        sender=Mailbox(address="support@nordvik.test", name=fields["name"]),
        in_reply_to=fields["in_reply_to"],
        references=(fields["reference"],),
        reason=fields["reason"],
        reply_to=fields["reply_to"],
        context={
            **CONTEXT,
            "subject": fields["subject"],
            "product": fields["product"],
            "erp": fields["erp"],
            "vendor": fields["vendor"],
            "files": ({"name": fields["file"], "size": 1},),
            "marker": fields["marker"],
        },
    )
    composed = compose(mail, RENDERER)
    if isinstance(composed, Unfit):
        assert "does not say" not in composed.reason, composed  # refused by a rule, not found by the reading again
        return
    assert composed.forward_path == clean_address(fields["recipient"])
    head, _, _ = composed.message.partition(b"\r\n\r\n")
    names = [line.partition(b":")[0].decode() for line in head.split(b"\r\n") if not line.startswith(b" ")]
    assert set(names) <= set(HEADER_NAMES) and len(names) == len(set(names))
    message: Any = message_from_string(composed.message.decode(), policy=policy.default)
    assert [one.addr_spec for one in message["To"].addresses] == [composed.forward_path]
    assert [one.addr_spec for one in message["From"].addresses] == ["support@nordvik.test"]
    assert [part.get_content_type() for part in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert b"\r" not in composed.message.replace(b"\r\n", b"") and b"\n" not in composed.message.replace(b"\r\n", b"")
    assert max(len(line) for line in composed.message.split(b"\r\n")) <= 998


@settings(max_examples=2_000, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(FIELDS)
def test_no_field_can_be_injected(fields: dict[str, Any]) -> None:
    no_field_can_be_injected(fields)


@pytest.mark.long
@pytest.mark.timeout(3_600)
@settings(max_examples=100_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FIELDS)
def test_no_field_can_be_injected_in_a_hundred_thousand(fields: dict[str, Any]) -> None:
    no_field_can_be_injected(fields)


@given(st.text(max_size=200))
@example("a\r\n\r\nb")
def test_clean_leaves_one_line(text: str) -> None:
    cleaned = clean(text)
    assert cleaned == cleaned.strip() and len(cleaned.splitlines()) <= 1
    assert clean(cleaned) == cleaned
