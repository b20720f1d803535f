"""A signed order sent again orders nothing (threat T12): real signatures, a real DNS server, both databases.

The attacker has one mail that an agent really signed. He may send it again as often as he likes, from anywhere, to
anybody, with everything changed that the signature does not cover.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest.auth.resolver import DnsResolver
from ingest.auth.sender import authenticate
from ingest.mime.parse import FileOctets
from models.inbound.ledger import LEDGER
from models.tickets.ticket import ARTICLE, PARTICIPANT, TICKET
from rules.tokens import mint_reply_address
from tests.dns_server import DnsServer
from tests.ingest.signing import rsa_key, sign
from tests.walk.small_desk import SmallDesk, letter, only, policy
from values.mail import AuthEvidence, Mailbox, SpooledMail
from values.vocabulary import ArticleKind, LedgerState, Reason, TicketStatus

ANNA, SU = "anna@staff.test", "su@acme.test"


class SigningDesk(SmallDesk):
    """Asks the real sender check; its time is the real one, since signatures have theirs."""

    dns: DnsServer

    def _authenticate(self, spooled: SpooledMail, author: Mailbox) -> AuthEvidence:
        with spooled.path.open("rb") as file:
            return authenticate(
                FileOctets(file, spooled.offset, spooled.size),
                spooled.envelope,
                author.address.rpartition("@")[2],
                DnsResolver(["127.0.0.1"], port=self.dns.port),
                now=self.time,
            )


@pytest.fixture
def desk(database: sa.Engine, tmp_path: Path) -> Iterator[SigningDesk]:
    records = {
        ("_dmarc.staff.test", "TXT"): "v=DMARC1; p=reject",
        ("s._domainkey.staff.test", "TXT"): rsa_key().record,
        ("acme.test", "TXT"): "v=spf1 -all",
        ("_dmarc.acme.test", "TXT"): "v=DMARC1; p=none",
        ("s._domainkey.acme.test", "TXT"): rsa_key().record,
    }
    with DnsServer(records) as dns:
        made = SigningDesk(engine=database, folder=tmp_path, policy=policy(agent_by_mail=True), time=datetime.now(UTC))
        made.dns = dns
        made.people("Acme", SU, domain="acme.test")
        made.agent(ANNA)
        yield made


def _ticket(desk: SigningDesk) -> tuple[int, str]:
    """A ticket, and Anna's own reply address on it."""
    (id,) = desk.take(letter(SU))
    number = desk.ledger(id)["ticket"]
    (anna,) = only(desk.rows(PARTICIPANT), ticket=number, address=ANNA)
    keys, support = desk.pipeline.keys, desk.policy.mailboxes[0].address
    return number, mint_reply_address(keys, support, number, anna["id"], anna["generation"])


def _order(desk: SigningDesk, to: str, *names: bytes) -> bytes:
    raw = (
        f"From: Anna <{ANNA}>\r\nTo: {to}\r\nSubject: Re: Export stops\r\nDate: {format_datetime(desk.time)}\r\n"
        "Message-ID: <answer@staff.test>\r\n\r\nPlease restart it.\r\n"
    ).encode()
    more = {"include_headers": list(names)} if names else {}
    return sign(raw, "staff.test", **more)


def answers(desk: SigningDesk) -> list[str]:
    return [row["text"] for row in only(desk.rows(ARTICLE), kind=ArticleKind.OUTBOUND)]


def test_T12_a_signed_order_counts_once(desk: SigningDesk) -> None:
    number, to = _ticket(desk)
    order = _order(desk, to)
    (first,) = desk.take(order, to=to)
    assert desk.ledger(first)["reason"] is Reason.AGENT_REPLY, desk.ledger(first)["trace"]
    again = [
        order,
        b"Content-Type: text/html\r\n" + order,  # not signed: the parser sees another text, so it is no second copy
        b"Content-Type: text/plain; charset=utf-16\r\n" + order,
        b"X-New: 1\r\nReply-To: x@evil.test\r\n" + order,
        order.replace(b" b=", b" b=\r\n ", 1),
    ]
    for raw in again:
        (id,) = desk.take(raw, to=to, reverse_path="x@evil.test")
        assert desk.ledger(id)["reason"] in (Reason.SECOND_COPY, Reason.AGENT_BY_MAIL), raw[:60]
    assert answers(desk) == ["Please restart it."]
    assert {row["reason"] for row in map(desk.ledger, desk.take(*again, to=to))} <= {
        Reason.SECOND_COPY,
        Reason.AGENT_BY_MAIL,
    }
    assert answers(desk) == ["Please restart it."] and number


def test_T12_replays_that_arrive_together_count_once(desk: SigningDesk) -> None:
    _, to = _ticket(desk)
    order = _order(desk, to)
    desk.take(*(b"Content-Type: text/html; x=%d\r\n" % n + order for n in range(5)), order, to=to)
    assert len(answers(desk)) == 1


def test_T12_what_is_not_signed_can_be_aimed_elsewhere(desk: SigningDesk) -> None:
    """To is not signed: the attacker puts the reply address of another ticket there."""
    _, to = _ticket(desk)
    (id,) = desk.take(letter(SU, "Another", "Another matter.", Message_ID="<other@acme.test>"))
    (anna,) = only(desk.rows(PARTICIPANT), ticket=desk.ledger(id)["ticket"], address=ANNA)
    support = desk.policy.mailboxes[0].address
    aim = mint_reply_address(desk.pipeline.keys, support, desk.ledger(id)["ticket"], anna["id"], anna["generation"])
    loose = _order(desk, to, b"from", b"subject", b"date", b"message-id")
    (turned,) = desk.take(loose.replace(to.encode(), aim.encode()), to=aim)
    row = desk.ledger(turned)
    assert (row["auth"]["belief"], row["reason"]) == ("believed", Reason.AGENT_BY_MAIL)
    assert answers(desk) == []


def _replies(desk: SigningDesk, words: str) -> tuple[bytes, str]:
    """Su quotes to the desk, in a mail that her provider signs as large ones do, what the attacker wrote to her."""
    number = desk.ledger(desk.take(letter(SU))[0])["ticket"]
    (su,) = only(desk.rows(PARTICIPANT), ticket=number, address=SU)
    support = desk.policy.mailboxes[0].address
    to = mint_reply_address(desk.pipeline.keys, support, number, su["id"], su["generation"])
    raw = (
        f"From: Su <{SU}>\r\nTo: {to}\r\n"
        f"Subject: Re: Export stops\r\nDate: {format_datetime(desk.time)}\r\nMessage-ID: <quotes@acme.test>\r\n\r\n"
        f"Look what they wrote to me:\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\n{words}\r\n--x--\r\n"
    ).encode()
    names = [b"from", b"to", b"subject", b"date", b"message-id"]
    return sign(raw, "acme.test", include_headers=names), to


TURNED = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n"


def test_T12_another_content_type_makes_no_order_of_quoted_words(desk: SigningDesk) -> None:
    genuine, to = _replies(desk, "close")
    (turned,) = desk.take(TURNED + genuine, to=to, reverse_path="x@evil.test")
    row = desk.ledger(turned)
    assert (row["auth"]["belief"], row["auth"]["open_fields"]) == ("believed", ["content-type", "mime-version"])
    assert (row["state"], row["reason"]) == (LedgerState.HELD, Reason.UNBELIEVED), row["trace"]
    assert only(desk.rows(TICKET), id=row["ticket"])[0]["status"] is not TicketStatus.CLOSED
    (id,) = desk.take(genuine, to=to, reverse_path=SU)
    assert desk.ledger(id)["state"] is LedgerState.ARTICLE_ADDED, "what she wrote arrives all the same"


def test_T12_words_that_another_content_type_shows_are_marked(desk: SigningDesk) -> None:
    again, to = _replies(desk, "send us the keys")
    (turned,) = desk.take(TURNED + again, to=to, reverse_path="x@evil.test")
    (article,) = only(desk.rows(ARTICLE), ledger=turned)
    assert "send us the keys" in article["text"] and article["marked"]
    (id,) = desk.take(again, to=to, reverse_path=SU)
    (article,) = only(desk.rows(ARTICLE), ledger=id)
    assert not article["marked"], "no Content-Type stands there, and the mail is what was signed"


def _genuine(desk: SigningDesk, to: str) -> bytes:
    raw = (
        f"From: Su <{SU}>\r\nTo: {to}\r\nSubject: Another matter\r\nDate: {format_datetime(desk.time)}\r\n"
        "Message-ID: <genuine@acme.test>\r\n\r\nThe import stops too.\r\n"
    ).encode()
    return sign(raw, "acme.test", include_headers=[b"from", b"to", b"subject", b"date", b"message-id"])


CHANGED = {
    "as a machine's": b"Auto-Submitted: auto-replied\r\n",
    "as a circle": b"Received: by mx.evil.test; Tue, 24 Nov 2026 09:00:00 +0000\r\n" * 51,
    "into another ticket": b"References: <first@acme.test>\r\n",
    "into another ticket, as an answer": b"In-Reply-To: <first@acme.test>\r\n",
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED.keys())
def test_T22_a_changed_copy_that_comes_first_swallows_nothing(desk: SigningDesk, change: bytes) -> None:
    (first,) = desk.take(letter(SU, Message_ID="<first@acme.test>"))
    genuine = _genuine(desk, desk.policy.mailboxes[0].address)
    (changed,) = desk.take(change + genuine, reverse_path="x@evil.test")
    ids = [desk.take(genuine, reverse_path=SU)[0] for _ in range(3)]
    rows = [desk.ledger(id) for id in ids]
    assert [row["state"] for row in rows] == [LedgerState.TICKET_OPENED, *2 * [LedgerState.DUPLICATE]], rows[0]["trace"]
    assert rows[0]["ticket"] not in (desk.ledger(first)["ticket"], desk.ledger(changed)["ticket"])
    assert [row["copy_of"] for row in rows] == [None, ids[0], ids[0]], "copies are copies of the genuine one now"
    (again,) = desk.take(change + genuine, reverse_path="x@evil.test")
    assert desk.ledger(again)["state"] is LedgerState.DUPLICATE


def test_T22_a_changed_copy_that_was_noted_as_automatic_swallows_no_reply(desk: SigningDesk) -> None:
    """On a ticket a machine's mail is noted, not discarded: the reply itself must still arrive."""
    reply, to = _replies(desk, "The import stops too.")
    automatic = b"Auto-Submitted: auto-replied\r\n" + reply
    (noted,) = desk.take(automatic, to=to, reverse_path="x@evil.test")
    assert desk.ledger(noted)["state"] is LedgerState.AUTO_REPLY_NOTED, desk.ledger(noted)["trace"]
    (id,) = desk.take(reply, to=to, reverse_path=SU)
    assert desk.ledger(id)["state"] is LedgerState.ARTICLE_ADDED, desk.ledger(id)["trace"]


def test_T22_a_forged_copy_that_was_held_and_then_the_genuine_mail_twice_is_one_ticket(desk: SigningDesk) -> None:
    genuine = _genuine(desk, desk.policy.mailboxes[0].address)
    desk.dns.zone["_dmarc.acme.test", "TXT"] = "v=DMARC1; p=reject"
    forged = b"From:" + genuine.partition(b"\r\nFrom:")[2]  # without its signature
    assert desk.ledger(desk.take(forged, reverse_path="x@evil.test")[0])["state"] is LedgerState.HELD
    desk.take(genuine, genuine, reverse_path=SU)
    desk.take(genuine, reverse_path=SU)
    assert len(only(desk.rows(TICKET), subject="Another matter")) == 1
    assert [row["auth"]["belief"] for row in only(desk.rows(LEDGER), state=LedgerState.TICKET_OPENED)] == ["believed"]


def test_T22_a_copy_of_a_held_mail_that_would_be_held_as_well_is_a_copy(desk: SigningDesk) -> None:
    stranger = letter("x@elsewhere.test", Message_ID="<x@elsewhere.test>")
    states = [desk.ledger(id)["state"] for id in desk.take(stranger, stranger)]
    assert states == [LedgerState.HELD, LedgerState.DUPLICATE]
