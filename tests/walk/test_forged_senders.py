"""We are no relay (threat T25): thousands of forged senders get next to nothing from us, and no word of their own.

The mails go through spool, parser, rules, database and composer. A canary stands in every place that a sender fills.
"""

from collections import Counter
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from random import Random

import pytest

from models.db.engine import make_engine
from models.inbound.ledger import LEDGER
from models.outbox.outbox import OUTBOX
from tests.walk.small_desk import BELIEVED, REFUTED, UNPROVED, SmallDesk, letter
from values.mail import AuthEvidence
from values.vocabulary import MailName

CANARY = "zzqcanaryqzz"
VICTIM = "su@acme.test"
ANNA = "anna@nordvik.test"


@pytest.fixture
def desk(sqlite_template: Path, tmp_path: Path) -> SmallDesk:
    path = tmp_path / "desk.db"
    path.write_bytes(sqlite_template.read_bytes())
    made = SmallDesk(engine=make_engine(f"sqlite:///{path}"), folder=tmp_path)
    made.people("Acme", VICTIM, domain="acme.test")
    made.agent(ANNA)
    return made


def forged(n: int, dice: Random) -> EmailMessage:
    """Somebody else's address, ours, a superuser's, or one of the forger's own domains, whose mail is believed."""
    author = dice.choice(
        [
            *(f"victim{n}@big{n % 40}.test", f"believed{n}@own{n % 40}.test", f"believed{n}@own.test"),
            *(VICTIM, f"colleague{n}@acme.test", "support@nordvik.test", f"refuted{n}@bank.test"),
        ]
    )
    made = letter(
        f"{CANARY} {n} <{author}>",
        f"{CANARY} buy now {n}",
        f"Visit https://{CANARY}.test/{n}\n\nProduct: {CANARY}\nERP: {CANARY} 1\n",
        To=f"{CANARY} <support@nordvik.test>",
        Reply_To=f"{CANARY}@evil.test",
        Message_ID=f"<{CANARY}.{n}@evil.test>",
        References=f"<{CANARY}.ref{n}@evil.test>",
    )
    made.add_attachment(CANARY.encode(), maintype="text", subtype="plain", filename=f"{CANARY}.txt")
    return made


def _evidence(address: str) -> AuthEvidence:
    if address.startswith("believed"):
        return BELIEVED
    return REFUTED if address.startswith("refuted") else UNPROVED


def flood(desk: SmallDesk, many: int) -> None:
    """Within an hour, through every stage; then everything that is due is composed."""
    desk.believes = _evidence
    dice = Random(20261124)
    mails = [forged(n, dice) for n in range(many)]
    for start in range(0, many, 100):
        desk.take(*mails[start : start + 100])
        desk.wait(timedelta(seconds=3600 / (many / 100)) * 0.9)
    policy, rows = desk.policy, desk.rows(OUTBOX)
    strangers = Counter(row["recipient"] for row in rows if row["mail"] is MailName.UNKNOWN_AUTHOR)
    domains = Counter(address.rpartition("@")[2] for address in strangers.elements())
    assert 0 < strangers.total() <= policy.unknown_per_hour, "in all"
    assert max(strangers.values()) <= policy.unknown_per_address_per_day
    assert max(domains.values()) <= policy.unknown_per_domain_per_day
    assert all(address.startswith("believed") for address in strangers), "nobody whose address was forged hears of us"
    answered = [row for row in rows if row["recipient"] not in (ANNA, *strangers)]
    assert {row["recipient"] for row in answered} <= {VICTIM}
    assert len(answered) <= policy.acknowledgements_per_unproved_author_per_day
    assert len(desk.rows(LEDGER)) == many, "nothing vanished"
    outside = 0
    while left := desk.send():
        for composed in left:
            if composed.forward_path != ANNA:
                outside += 1
                assert CANARY.encode() not in composed.message.replace(b"=\r\n", b"").lower()
    assert outside == strangers.total() + len(answered)


def test_T25_500_forged_senders(desk: SmallDesk) -> None:
    flood(desk, 500)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_T25_10_000_forged_senders(desk: SmallDesk) -> None:
    flood(desk, 10_000)


def test_T25_the_canary_is_seen_where_it_may_be(desk: SmallDesk) -> None:
    """The measure itself: a believed superuser's subject comes back to him, and agents read his words."""
    desk.take(letter(VICTIM, f"{CANARY} stops"))
    left = {composed.forward_path: composed.message.lower() for composed in desk.send()}
    assert CANARY.encode() in left[VICTIM]
    assert CANARY.encode() in left[ANNA]
