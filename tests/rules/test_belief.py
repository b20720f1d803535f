"""rules/belief.py is the table of docs/threats.md, and what the rules do is what the table says."""

import re
from pathlib import Path

import pytest

from rules.belief import POWERS, Article, Change, Powers, Proof, proof_of
from tests.builders import NOW, decided, mail, reply_address, ticket
from tests.rules.test_identity_matrix import EVIDENCE
from values.decision import AddArticle, Decision, OpenTicket
from values.vocabulary import LedgerState, MailName, Reason, TicketStatus

PAGE = (Path(__file__).parents[2] / "docs" / "threats.md").read_text("utf-8")


def cells(proof: Proof, powers: Powers) -> list[str]:
    yes = {True: "yes", False: "no"}
    return [
        f"`{proof.value}`",
        yes[powers.order],
        powers.article.value,
        yes[powers.by_number],
        powers.reopen.value,
        yes[powers.quote],
        powers.counts.value,
        str(powers.absorbs),
    ]


def test_the_table_of_the_page_is_the_table_of_the_rules() -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines()]
    said = [[row[0], *row[2:]] for row in rows if re.fullmatch(r"`[a-z-]+`", row[0]) and len(row) == 9]
    assert said == [cells(proof, POWERS[proof]) for proof in Proof]


@pytest.mark.parametrize("proof", EVIDENCE)
def test_evidence_is_read_as_what_it_proves(proof: Proof) -> None:
    assert proof_of(EVIDENCE[proof]) is proof
    assert proof_of(EVIDENCE[proof], authentication=False) is Proof.UNASKED


def of(proof: Proof, *, to: str, **more: object) -> Decision:
    closed = ticket(status=TicketStatus.CLOSED, closed_at=NOW)
    return decided(mail(to=(to,), auth=EVIDENCE[proof], **more), tickets=(closed,), outbox=())


@pytest.mark.parametrize("proof", EVIDENCE)
def test_T12_who_may_order(proof: Proof) -> None:
    decision = of(proof, to=reply_address(), text="reopen")
    assert (decision.state is LedgerState.COMMAND_DONE) is POWERS[proof].order


@pytest.mark.parametrize("proof", EVIDENCE)
def test_what_becomes_of_the_words(proof: Proof) -> None:
    decision = of(proof, to=reply_address())
    articles = [one for one in decision.actions if isinstance(one, AddArticle)]
    wanted = {Article.PLAIN: [False], Article.HELD: []}.get(POWERS[proof].article, [True])
    assert [one.marked for one in articles] == wanted
    assert decision.reason is (Reason.PARTICIPANT if wanted else Reason.UNBELIEVED)


@pytest.mark.parametrize("proof", EVIDENCE)
def test_T17_whom_a_number_leads(proof: Proof) -> None:
    open_ticket = decided(mail(subject="[PD-1042] x", auth=EVIDENCE[proof]), outbox=())
    assert (open_ticket.ticket == 1042) is POWERS[proof].by_number


@pytest.mark.parametrize("proof", EVIDENCE)
def test_T25_what_reopens_and_fills_fields(proof: Proof) -> None:
    closed = ticket(status=TicketStatus.CLOSED, closed_at=NOW)
    by_anchor = mail(references=("m0@client.test",), auth=EVIDENCE[proof], text="Product: Ledger")
    keyed = mail(to=(reply_address(),), auth=EVIDENCE[proof], text="Product: Ledger")
    reopened = []
    for parsed in (by_anchor, keyed):
        decision = decided(parsed, tickets=(closed,), outbox=(), anchors=(("m0@client.test", 1042),))
        articles = [one for one in decision.actions if isinstance(one, AddArticle)]
        reopened.append([(one.status, one.fields.product) for one in articles] == [(TicketStatus.OPEN, "Ledger")])
    assert reopened == [POWERS[proof].reopen is Change.YES, POWERS[proof].reopen is not Change.NO]


@pytest.mark.parametrize("proof", EVIDENCE)
def test_T25_whose_words_an_acknowledgement_repeats(proof: Proof) -> None:
    decision = decided(mail(auth=EVIDENCE[proof]), tickets=(), outbox=())
    receipts = [one for one in decision.notices if one.mail is MailName.ACKNOWLEDGEMENT]
    assert bool(receipts) is any(isinstance(one, OpenTicket) for one in decision.actions)
    assert all(dict(one.context)["sender_text"] == POWERS[proof].quote for one in receipts)
