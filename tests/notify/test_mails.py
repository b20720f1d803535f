"""notify/mails.py: what each mail says about the rows, and what it keeps to itself."""

import re
from dataclasses import replace
from email import message_from_bytes, policy
from html import unescape
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from models.views.mails import FileView, MailRows
from notify.compose import Composed, OutgoingMail, Unfit, compose
from notify.mails import CATALOGUE, outgoing, reply_subject
from notify.render import LANGUAGES, Renderer
from rules.commands import read_command
from rules.fields import read_fields
from rules.tokens import check_message_id, check_reply_address, check_return_path, find_body_markers
from tests.notify import rows
from tests.notify.rows import LETTERHEAD
from values.vocabulary import Command, MailClass, MailName

RENDERER = Renderer()


def built(material: MailRows, letterhead: Any = LETTERHEAD) -> tuple[OutgoingMail, Composed, Any]:
    mail = outgoing(material, letterhead)
    assert isinstance(mail, OutgoingMail), mail
    composed = compose(mail, RENDERER, lambda sha256: b"octets of a file")
    assert isinstance(composed, Composed), composed
    return mail, composed, message_from_bytes(composed.message, policy=policy.default)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Export stops", "Re: Export stops"),
        ("Re: Export stops", "Re: Export stops"),
        ("SV: Exporten stannar", "SV: Exporten stannar"),
        ("RE[2]: x", "RE[2]: x"),
        ("AW: x", "AW: x"),
        ("RV: La exportación", "Re: RV: La exportación"),
        ("Fwd: x", "Re: Fwd: x"),
        ("Report: x", "Re: Report: x"),
        ("", "Re:"),
    ],
)
def test_the_customers_subject_stays_his(subject: str, expected: str) -> None:
    assert reply_subject(subject) == expected


def test_kinds() -> None:
    kinds = {name: mail.kind for name, mail in CATALOGUE.items()}
    assert kinds == kinds | {
        MailName.ACKNOWLEDGEMENT: MailClass.RECEIPT,
        MailName.AGENT_REPLY: MailClass.CONVERSATION,
        MailName.AGENT_NOTICE: MailClass.NOTICE,
        MailName.UNKNOWN_AUTHOR: MailClass.RECEIPT,
    }


@pytest.mark.parametrize("material", [rows.acknowledgement(), rows.agent_reply(), rows.agent_notice()])
def test_a_reply_finds_its_way_back_by_each_of_our_codes(material: MailRows) -> None:
    mail, composed, message = built(material)
    keys, claimed = LETTERHEAD.keys, material.claimed
    assert material.participant
    token = check_reply_address(keys, str(message["Reply-To"]), ("support@nordvik.test",))
    assert token and (token.ticket, token.participant) == (1042, material.participant.id)
    for part in ("plain", "html"):
        (marker,) = find_body_markers(keys, message.get_body((part,)).get_content())
        assert (marker.ticket, marker.participant) == (1042, material.participant.id)
    assert check_return_path(keys, composed.reverse_path, "bounce@nordvik.test") == claimed.id
    ours = check_message_id(keys, mail.message_id, "desk.nordvik.test")
    assert ours and (ours.outbox, ours.ticket) == (claimed.id, 1042)


def test_an_earlier_message_id_stays() -> None:
    material = rows.acknowledgement()
    again = replace(material, claimed=replace(material.claimed, message_id="t1042.o7.old@desk.nordvik.test"))
    assert built(again)[2]["Message-ID"] == "<t1042.o7.old@desk.nordvik.test>"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_unproved_get_none_of_the_mails_words_back(language: str) -> None:
    """Threat T25: anybody can write a mail in a customer's name; our answer must not carry it to him."""
    material = rows.acknowledgement(language, sender_text=0)
    canary = "CANARY"
    assert material.ticket and material.article
    ticket = replace(material.ticket, subject=canary, product=canary, erp=canary, erp_version=canary, marked=True)
    article = replace(
        material.article, text=canary, subject=canary, author_name=canary, files=(FileView(name=canary, size=1),)
    )
    _, composed, message = built(replace(material, ticket=ticket, article=article))
    assert canary.encode() not in composed.message and "1042" in message["Subject"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_stranger_gets_a_fixed_text(language: str) -> None:
    """Threat T25: not his words, not his address in the text, not his Message-ID; and no way to make a loop."""
    one = rows.unknown_author(language)
    other = replace(
        one, claimed=replace(one.claimed, recipient="CANARY@evil.test", in_reply_to="CANARY", context={"x": "CANARY"})
    )
    _, first, _ = built(one)
    mail, second, message = built(other)
    assert second.message.replace(b"CANARY@evil.test", b"info@unknown.test") == first.message
    assert mail.return_path == "" and message["Auto-Submitted"] == "auto-replied" and "Reply-To" not in message


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_asked_for_can_be_answered_line_by_line(language: str) -> None:
    """The labels of the acknowledgement are those that rules/fields.py reads in an answer."""
    material = rows.acknowledgement(language)
    assert material.ticket
    nothing = replace(material.ticket, product=None, erp=None, erp_version=None, product_version=None)
    _, _, message = built(replace(material, ticket=nothing))
    text = message.get_body(("plain",)).get_content()
    asked = [line for line in text.splitlines() if line.endswith(":")]
    assert len(asked) == 4
    found = read_fields("\n".join(f"{label} value{n}" for n, label in enumerate(asked)))
    assert (found.product, found.erp, found.erp_version, found.product_version) == (
        "value0",
        "value1",
        "value2",
        "value3",
    )
    assert read_fields(text) == read_fields(""), "the questions themselves state nothing"


def test_agents_see_that_an_author_is_not_proved() -> None:
    assert "Not verified" in built(rows.agent_notice(marked=True))[2].get_body(("plain",)).get_content()
    assert "Not verified" not in built(rows.agent_notice())[2].get_body(("plain",)).get_content()


def test_agents_are_asked_to_answer_by_mail_only_where_that_works() -> None:
    closed = replace(LETTERHEAD, policy=replace(LETTERHEAD.policy, agent_by_mail=False))
    text = built(rows.agent_notice())[2].get_body(("plain",)).get_content()
    assert "Your reply to this email goes to the customer." in text
    without = built(rows.agent_notice(), closed)[2].get_body(("plain",)).get_content()
    assert "Your reply to this email goes to the customer." not in without
    assert "postdesk ticket reply 1042 --as anna@nordvik.test < answer.txt" in without


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_order_is_one_press_away(language: str) -> None:
    """The link opens an answer to the address of the order, with the word in it that a reply needs (RFC 6068)."""
    mail, _, parsed = built(rows.access(MailName.ACCESS_AGREE, language, to="lucia@ibarra.test"))
    html = parsed.get_body(("html",)).get_content()
    links = [urlsplit(unescape(link)) for link in re.findall(r'href="(mailto:[^"]+)"', html)]
    assert [unquote(link.path) for link in links] == [mail.reply_to, mail.reply_to]
    bodies = [parse_qs(link.query)["body"][0] for link in links]
    ordered = [read_command(body) for body in (bodies[0], f"{bodies[1]} no contract yet")]
    assert [one.command for one in ordered if one] == [Command.APPROVE, Command.REFUSE]
    assert parse_qs(links[0].query)["subject"] == [f"Re: {parsed['Subject']}"]


@pytest.mark.parametrize("name", [MailName.ACCESS_DESK_NOTICE, MailName.ACCESS_AGREE, MailName.ACCESS_LATE])
def test_T52_no_word_of_an_applicant_is_a_link(name: MailName) -> None:
    """Mail programs make a link of evil.test by themselves; the address, which is proved, stays one."""
    material = rows.access(name, "en", to="anna@nordvik.test")
    assert material.access and material.access.request
    lure: dict[str, Any] = {
        field: f"see https://evil.test/{field}" for field in ("name", "company", "phone", "in_place_of")
    }
    request = replace(material.access.request, **lure)
    _, _, message = built(replace(material, access=replace(material.access, request=request)))
    for kind in ("plain", "html"):
        assert "evil.test" not in message.get_body((kind,)).get_content()
    assert "evil.test" not in message["Subject"]


def test_long_words_are_cut_where_they_are_only_quoted_and_never_where_they_are_the_answer() -> None:
    material = rows.agent_reply()
    assert material.article and material.answered
    long = replace(
        material,
        article=replace(material.article, text="A" * 200_000),
        answered=replace(material.answered, text="Q" * 200_000),
    )
    text = built(long)[2].get_body(("plain",)).get_content()
    assert text.count("A" * 200_000) == 1 and "Q" * 5_000 in text and "Q" * 5_001 not in text


def test_a_mail_that_no_catalogue_names_is_unfit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify.mails.CATALOGUE", {})
    assert isinstance(outgoing(rows.acknowledgement(), LETTERHEAD), Unfit)


@pytest.mark.parametrize("canary", ["{{7*7}}", "{% for x in y %}", "%(number)s", "<script>x</script>", "${7*7}"])
@pytest.mark.parametrize("name", ["acknowledgement", "agent_reply", "agent_notice"])
def test_every_field_stands_as_it_was_written(name: str, canary: str) -> None:
    """Threat T48: a value is data, in every field of every mail."""
    material: MailRows = getattr(rows, name)()
    assert material.ticket and material.article
    file = (FileView(name=canary, size=1),)
    article = replace(material.article, author_name=canary, text=canary, subject=canary, files=file)
    ticket = replace(material.ticket, subject=canary, product=canary, erp=canary, erp_version=canary, customer=canary)
    answered = replace(material.answered, author_name=canary, text=canary) if material.answered else None
    vendor = replace(LETTERHEAD, policy=replace(LETTERHEAD.policy, vendor_name=canary))
    _, _, message = built(replace(material, ticket=ticket, article=article, answered=answered), vendor)
    text, html = (message.get_body((part,)).get_content() for part in ("plain", "html"))
    assert canary in message["Subject"] and text.count(canary) >= 3 and unescape(html).count(canary) >= 3
    assert "<script>" not in html


def test_T25_no_answer_quotes_words_that_nobody_proved() -> None:
    material = rows.agent_reply()
    assert material.answered
    answered = replace(material.answered, text="Words of a forger", marked=True)
    assert "Words of a forger" not in built(replace(material, answered=answered))[1].message.decode()
    off = replace(LETTERHEAD, policy=replace(LETTERHEAD.policy, authentication=False))
    shown = built(replace(material, answered=answered), off)[1].message.decode()
    assert "Words of a forger" in shown, "the vendor asks for no proof"


@pytest.mark.parametrize(
    ("promised", "participant", "zone"),
    [
        ("Europe/Oslo", "Europe/Madrid", "Europe/Oslo"),
        ("", "Europe/Madrid", "Europe/Madrid"),
        ("", "", LETTERHEAD.policy.zone),
    ],
)
def test_times_are_in_the_zone_of_the_recipient_else_of_the_desk(promised: str, participant: str, zone: str) -> None:
    material = rows.agent_reply()
    assert material.participant
    material = replace(
        material,
        claimed=replace(material.claimed, zone=promised),
        participant=replace(material.participant, zone=participant),
    )
    assert built(material)[0].zone == zone


def test_the_acknowledgement_of_a_form_answers_no_mail() -> None:
    material = rows.acknowledgement()
    assert material.article
    by_form = replace(
        material,
        claimed=replace(material.claimed, in_reply_to=None),
        article=replace(material.article, message_id=None),
    )
    for asked in (material, by_form):
        message = built(asked)[2]
        assert (message["Subject"].startswith("Re: "), message["In-Reply-To"] is not None) == (asked is material,) * 2
