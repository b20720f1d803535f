"""What is looked up: every address, id and code of a mail, bounded."""

import pytest

from rules.clues import CC_LIMIT, IDS_LIMIT, look_for, words_key
from rules.tokens import mint_reply_address, mint_return_path
from tests.builders import KEYS, POLICY, SUPPORT, mail, our_message_id, reply_address
from values.decision import CheckedToken
from values.mail import DeliveryReport, Mailbox
from values.vocabulary import MatchedBy

TOKEN = CheckedToken(ticket=1042, participant=7, generation=0, found_in=MatchedBy.REPLY_TOKEN)


def test_the_clues_of_a_reply() -> None:
    parsed = mail(
        "Su@ACME.test",
        to=(reply_address(),),
        cc=("Boss@acme.test", "su@acme.test", SUPPORT, "not an address"),
        in_reply_to=(our_message_id(),),
        references=("m0@client.test", "m2@client.test", our_message_id()),
        subject="Re: [PD-1042] Export",
        full_text=f"> {reply_address(participant=8)}",
    )
    clues = look_for(parsed, POLICY, KEYS)
    assert clues.author == "su@acme.test"
    assert clues.author_domains == ("acme.test",)
    assert clues.reply_tokens[0] == TOKEN
    assert clues.reply_tokens[1].found_in is MatchedBy.BODY_MARKER
    assert clues.our_outbox_ids == (17,)
    assert clues.anchor_ids == ("m2@client.test", "m0@client.test"), "the nearest first"
    assert clues.subject_ticket == 1042
    assert clues.cc == ("boss@acme.test",)
    assert (clues.own_marker, clues.return_path_outbox_id, clues.reported_outbox_ids) == (False, None, ())


def test_fetched_mail_has_its_addresses_in_the_header_only() -> None:
    clues = look_for(mail(to=(reply_address(),), forward_paths=()), POLICY, KEYS)
    assert clues.reply_tokens == (TOKEN,)


def test_a_reply_address_of_another_mailbox_is_none() -> None:
    licence = mint_reply_address(KEYS, "licence@nordvik.test", 1042, 7, 0)
    assert look_for(mail(to=(licence,)), POLICY, KEYS).reply_tokens == ()


def test_reports_name_our_rows_by_return_path_and_by_id() -> None:
    verp = mint_return_path(KEYS, "bounce@nordvik.test", 17)
    report = DeliveryReport(original_message_id=our_message_id(18), original_ids=(our_message_id(19), "x@client.test"))
    clues = look_for(mail("mailer-daemon@mx.test", to=(), forward_paths=(verp,), report=report), POLICY, KEYS)
    assert clues.return_path_outbox_id == 17
    assert clues.reported_outbox_ids == (18, 19)


def test_our_form_with_a_wrong_code_is_no_anchor() -> None:
    forged = our_message_id().replace("t1042", "t1043")
    clues = look_for(mail(references=(forged,)), POLICY, KEYS)
    assert (clues.our_outbox_ids, clues.anchor_ids) == ((), ())


def test_clues_are_bounded() -> None:
    parsed = mail(
        references=tuple(f"m{n}@client.test" for n in range(5000)),
        cc=tuple(f"p{n}@acme.test" for n in range(5000)),
    )
    clues = look_for(parsed, POLICY, KEYS)
    assert len(clues.anchor_ids) == IDS_LIMIT
    assert clues.anchor_ids[0] == "m4999@client.test"
    assert len(clues.cc) <= CC_LIMIT


SAME = [
    ("Ticket 17 received", "We got it. Number 17.", True),
    ("Re: Ticket 18  received", "We got it.\nNumber 18.", True),
    ("AW: Re: TICKET 4711 received", "we got it. Number 4711.", True),
    ("Ticket 17 received", "We got it. Number 17. Thanks", False),
    ("Undeliverable: Re: Undeliverable: Re: Ticket 17 received", "We got it. Number 17.", True),
    ("Other", "We got it. Number 17.", False),
]


@pytest.mark.parametrize(("subject", "text", "is_same"), SAME)
def test_a_machine_repeats_itself(subject: str, text: str, is_same: bool) -> None:
    first = words_key("bot@acme.test", mail(subject="Ticket 16 received", text="We got it. Number 16."))
    assert (words_key("bot@acme.test", mail(subject=subject, text=text)) == first) is is_same
    assert words_key("su@acme.test", mail(subject=subject, text=text)) != first


def test_no_words_no_key() -> None:
    assert words_key("su@acme.test", mail(subject="Re:", text=" ")) == ""
    assert words_key(None, mail()) == ""


def test_odd_authors_are_kept_and_lead_nowhere() -> None:
    clues = look_for(mail('""@acme.test'), POLICY, KEYS)
    assert (clues.author, clues.author_domains) == ('""@acme.test', ("acme.test",))
    clues = look_for(mail("SU@localhost"), POLICY, KEYS)
    assert (clues.author, clues.author_domains) == ("su@localhost", ())
    clues = look_for(mail(None), POLICY, KEYS)
    assert (clues.author, clues.author_skeleton, clues.author_skeletons) == (None, None, ())


def test_surrogates_and_nonsense_do_no_harm() -> None:
    odd = "\udcff\x00\u202e"
    parsed = mail(
        subject=odd, text=odd, full_text=odd, message_id=odd, references=(odd,), reply_to=(Mailbox(address=odd),)
    )
    assert look_for(parsed, POLICY, KEYS).anchor_ids == (odd,)
