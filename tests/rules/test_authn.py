"""What a mail must show before it may order anything (threat T12): one row for each way to send an order again."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rules.belief import FIELDS_OF_AIM, FIELDS_OF_WORDS
from rules.clues import proof_key
from tests.builders import NOW, SUPPORT, decided, mail, outbox, reply_address, ticket, with_policy
from values.decision import AddArticle, Release, SpendProof
from values.mail import AuthEvidence, ParsedMail
from values.vocabulary import Belief, LedgerState, Reason

BY_MAIL = with_policy(agent_by_mail=True)
ANNAS = reply_address(participant=9)
ALL = ("date", "from", "message-id", "subject", "to")


def signed(*names: str, direct: bool = False, left_open: tuple[str, ...] = ()) -> AuthEvidence:
    return AuthEvidence(belief=Belief.BELIEVED, signed_fields=names, direct=direct, open_fields=left_open)


REFUSED_BY_US = AuthEvidence(belief=Belief.BELIEVED, refused=True)


def order(**more: Any) -> ParsedMail:
    """An agent's answer by mail, to the reply address that was made for her."""
    return mail("anna@nordvik.test", **({"to": (ANNAS,), "auth": signed(*ALL)} | more))


MAY = [
    ("signed throughout", order()),
    ("handed over by the author's own servers, nothing signed", order(auth=signed(direct=True))),
    ("handed over by the author's own servers, To not signed", order(auth=signed("from", direct=True))),
    ("our border vouches for it", order(auth=signed())),
    ("a week old, to the second", order(date=NOW - timedelta(days=7, seconds=2))),
    ("with a signed Cc", order(cc=("su@acme.test",), auth=signed(*ALL, "cc"))),
]
MAY_NOT = [
    ("not believed", order(auth=AuthEvidence(signed_fields=ALL)), {}),
    ("obeyed before", order(), {"proof_spent": True}),
    ("no Message-ID", order(message_id=None), {}),
    ("no Date", order(date=None), {}),
    ("too old", order(date=NOW - timedelta(days=7, seconds=3)), {}),
    ("from the future", order(date=NOW + timedelta(days=8)), {}),
    ("we are not in To or Cc", order(to=("x@elsewhere.test",), forward_paths=(ANNAS,)), {}),
    *((f"{name} not signed", order(auth=signed(*(n for n in ALL if n != name))), {}) for name in ALL),
    *(
        (f"{name} stands there and is not signed", order(auth=signed(*ALL, left_open=(name,))), {})
        for name in (*FIELDS_OF_WORDS, *FIELDS_OF_AIM)
    ),
    ("our border vouches for it, and we refused its signature", order(auth=REFUSED_BY_US), {}),
    ("a Cc that is not signed", order(cc=("su@acme.test",), auth=signed(*ALL, left_open=("cc",))), {}),
]


@pytest.mark.parametrize(("name", "parsed"), MAY, ids=[row[0] for row in MAY])
def test_T12_an_order_counts(name: str, parsed: ParsedMail) -> None:
    assert decided(parsed, policy=BY_MAIL).reason is Reason.AGENT_REPLY


@pytest.mark.parametrize(("name", "parsed", "found"), MAY_NOT, ids=[row[0] for row in MAY_NOT])
def test_T12_an_order_that_may_be_sent_again_is_held(name: str, parsed: ParsedMail, found: dict[str, Any]) -> None:
    decision = decided(parsed, policy=BY_MAIL, **found)
    assert (decision.state, decision.reason) == (LedgerState.HELD, Reason.AGENT_BY_MAIL)
    assert not any(isinstance(action, SpendProof) for action in decision.actions), "only an order that counts is spent"


@pytest.mark.parametrize(("name", "parsed", "found"), MAY_NOT[1:3], ids=[row[0] for row in MAY_NOT[1:3]])
def test_T12_plain_text_needs_none_of_it_but_lets_nobody_join(
    name: str, parsed: ParsedMail, found: dict[str, Any]
) -> None:
    plain = replace(mail(to=(reply_address(),), cc=("boss@acme.test",)), message_id=parsed.message_id)
    (article,) = (action for action in decided(plain, **found).actions if isinstance(action, AddArticle))
    assert (article.cc, [one.address for one in article.proposed_cc]) == ((), ["boss@acme.test"])


def test_T12_what_was_obeyed_is_remembered_by_author_and_message_id() -> None:
    parsed = order()
    (spent,) = (action for action in decided(parsed, policy=BY_MAIL).actions if isinstance(action, SpendProof))
    assert spent.key == proof_key("anna@nordvik.test", parsed.message_id)
    assert proof_key("bo@nordvik.test", parsed.message_id) != spent.key != proof_key("anna@nordvik.test", "m2@x.test")
    assert not any(isinstance(action, SpendProof) for action in decided(mail()).actions), "plain text spends nothing"


def test_T12_who_orders_nothing_needs_no_proof_of_his_own() -> None:
    """An agent's word lets a held mail through, whatever its own proof is worth."""
    word = Release(by="anna@nordvik.test", ticket=1042)
    decision = decided(order(message_id=None), policy=BY_MAIL, release=word, tickets=(ticket(),), outbox=(outbox(),))
    assert decision.reason is Reason.RELEASED


def test_our_address_counts_in_any_spelling() -> None:
    parsed = order(to=("Support@Nordvik.Test",), forward_paths=(ANNAS,))
    assert SUPPORT == "support@nordvik.test"
    assert decided(parsed, policy=BY_MAIL).reason is Reason.AGENT_REPLY
