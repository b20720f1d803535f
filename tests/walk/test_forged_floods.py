"""Mails in another's name, as many as a forger likes: who is kept from writing by them? (threat T26)"""

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from models.outbox.outbox import OUTBOX
from models.tickets.ticket import PARTICIPANT, TICKET
from rules.belief import Proof
from rules.tokens import mint_reply_address
from tests.rules.test_identity_matrix import EVIDENCE
from tests.walk.small_desk import BELIEVED, SmallDesk, letter, only, policy
from values.mail import AuthEvidence, Envelope
from values.vocabulary import LedgerState, MailName, Reason

SU, JOE = "su@acme.test", "joe@acme.test"
FORGER, OTHER = "192.0.2.66", "192.0.2.7"


class ManyClients(SmallDesk):
    """A desk whose mails come from the client `client`, with `proof` of their author."""

    client: str = FORGER
    proof: AuthEvidence = BELIEVED

    def _spooled(self, *what: object) -> tuple[Envelope, bytes]:
        envelope, raw = super()._spooled(*what)  # type: ignore[arg-type]
        return replace(envelope, client_ip=self.client), raw

    def write(self, count: int, proof: AuthEvidence, client: str, author: str, to: str = "") -> list[dict[str, object]]:
        self.client, self.proof = client, proof
        mails = [
            letter(
                author,
                "Re: Export",
                f"Words {chr(97 + n)} of {client}, {proof.open_fields} {proof.belief}.",
                To=to or "support@nordvik.test",
            )
            for n in range(count)
        ]
        return [self.ledger(self.take(mail, to=to)[0]) for mail in mails]


@pytest.fixture
def desk(database: sa.Engine, tmp_path: Path) -> ManyClients:
    made = ManyClients(engine=database, folder=tmp_path, policy=policy())
    made.believes = lambda address: made.proof
    made.people("Acme", SU, domain="acme.test")
    return made


def _ticket(desk: ManyClients) -> tuple[int, str]:
    (row,) = desk.write(1, BELIEVED, OTHER, SU)
    number = int(str(row["ticket"]))
    (su,) = only(desk.rows(PARTICIPANT), ticket=number, address=SU)
    support = desk.policy.mailboxes[0].address
    return number, mint_reply_address(desk.pipeline.keys, support, number, su["id"], su["generation"])


@pytest.mark.parametrize("proof", [Proof.REFUTED, Proof.NONE, Proof.WORDS_OPEN, Proof.SIGNED_IN_PART])
def test_T26_a_flood_in_anothers_name_silences_only_its_client(desk: ManyClients, proof: Proof) -> None:
    """A small limit stands for the 20 of a real desk: what counts is whose mails are counted."""
    desk.pipeline = replace(desk.pipeline, policy=replace(desk.policy, articles_per_author_per_hour=3))
    number, to = _ticket(desk)
    forged = desk.write(5, EVIDENCE[proof], FORGER, SU, to)
    flood = [] if proof is Proof.REFUTED else [Reason.LOOP_BROKEN] * 2
    assert [row["reason"] for row in forged if row["reason"] is Reason.LOOP_BROKEN] == flood
    assert not only(desk.rows(TICKET), id=number)[0]["paused"]
    for evidence, client in ((EVIDENCE[Proof.NONE], OTHER), (BELIEVED, OTHER), (BELIEVED, FORGER)):
        (row,) = desk.write(1, evidence, client, SU, to)
        assert row["state"] is LedgerState.ARTICLE_ADDED, row["trace"]


def test_T26_a_colleague_is_heard_after_forged_mails(desk: ManyClients) -> None:
    for proof in (Proof.REFUTED, Proof.NONE, Proof.WORDS_OPEN):
        desk.write(desk.policy.colleague_mails_per_hour, EVIDENCE[proof], FORGER, JOE)
    before = len(only(desk.rows(OUTBOX), mail=MailName.COLLEAGUE_ASK))
    desk.write(1, BELIEVED, OTHER, JOE)
    assert len(only(desk.rows(OUTBOX), mail=MailName.COLLEAGUE_ASK)) == before + 1
