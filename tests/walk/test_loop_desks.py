"""Thirty days of machines that answer each other, through the database (threat T26): three mails for a pair at most.

Two desks like ours, each with its own database, parse, decide, record and compose for real; the mails between them and
a vacation responder, a bouncing server and bots that know no RFC are octets on a simulated wire with a clock of its
own. tests/rules/test_loops.py has more kinds of machines, with lists for a database.
"""

import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parseaddr
from itertools import count
from pathlib import Path

import pytest

from models.db.engine import make_engine
from models.inbound.ledger import LEDGER
from models.outbox.outbox import OUTBOX
from models.tickets.ticket import TICKET
from notify.compose import Composed
from tests.walk.small_desk import START, SmallDesk
from tests.walk.small_desk import policy as policy_of
from values.vocabulary import MailName

END = START + timedelta(days=30)
MOST = 3_000  # mails; a storm has happened long before
NUMBERS = count(1)
# What a relay may take out on the way: then nothing says any more that a mail is automatic.
TELLTALE = re.compile(
    r"(?im)^(auto-submitted|x-auto-response-suppress|x-postdesk-[a-z]+|precedence|list-[a-z]+):.*\r?\n"
)

Wire = tuple[str, str, bytes]  # reverse-path, forward-path, octets
Machine = Callable[[Composed], Iterator[Wire]]


def _mail(author: str, to: str, subject: str, text: str, **fields: str) -> bytes:
    made = EmailMessage(policy=policy.SMTP)
    made["From"], made["To"], made["Subject"] = author, to, subject
    made["Message-ID"] = f"<n{next(NUMBERS)}@{author.rpartition('@')[2]}>"
    for name, value in fields.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made.as_bytes()


def _read(composed: Composed) -> tuple[EmailMessage, str]:
    """A mail of ours and where its answer goes by its header."""
    message = message_from_bytes(composed.message, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message, parseaddr(str(message["Reply-To"] or message["From"]))[1]


def vacation(composed: Composed) -> Iterator[Wire]:
    """As RFC 3834 wants it, but for each mail anew."""
    message, _ = _read(composed)
    me, subject = composed.forward_path, f"Out of office: {message['Subject']}"
    if composed.reverse_path:
        fields = {"Auto_Submitted": "auto-replied", "In_Reply_To": str(message["Message-ID"])}
        yield "", composed.reverse_path, _mail(me, composed.reverse_path, subject, "Back on Monday.", **fields)


def rude_vacation(composed: Composed) -> Iterator[Wire]:
    """Answers the header, says nowhere that it is a machine."""
    message, to = _read(composed)
    me = composed.forward_path
    yield me, to, _mail(me, to, f"Re: {message['Subject']}", "I am on leave, call my colleague.")


def bouncing(composed: Composed) -> Iterator[Wire]:
    """A server that takes every mail and then cannot deliver it: one report as it should be, one as it should not."""
    message, to = _read(composed)
    me, postmaster = composed.forward_path, f"postmaster@{composed.forward_path.rpartition('@')[2]}"
    report = (
        f"From: MAILER-DAEMON@gone.test\r\nTo: {composed.reverse_path}\r\nSubject: Undelivered Mail\r\n"
        f"Message-ID: <n{next(NUMBERS)}@gone.test>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nMailbox full.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.gone.test\r\n\r\n"
        f"Final-Recipient: rfc822; {me}\r\nAction: failed\r\nStatus: 4.2.2\r\n\r\n--b--\r\n"
    )
    if composed.reverse_path:
        yield "", composed.reverse_path, report.encode()
    yield me, to, _mail(me, to, f"Undeliverable: {message['Subject']}", f"Your mail to {me} came back. {postmaster}")


def ignorant(composed: Composed) -> Iterator[Wire]:
    """Answers everything at once, twice: on the thread, and as a mail of its own with a number in it."""
    message, to = _read(composed)
    me, number = composed.forward_path, next(NUMBERS)
    yield me, to, _mail(me, to, f"Re: {message['Subject']}", "Thank you for your mail, it is important to us.")
    yield me, "support@nordvik.test", _mail(me, "support@nordvik.test", f"Case {number}", f"We opened case {number}.")


def silent(composed: Composed) -> Iterator[Wire]:
    """A monitor: writes every day, reads nothing."""
    return iter(())


MONITOR = "monitor@plant.test"
MACHINES: dict[str, Machine] = {
    "ola@vacation.test": vacation,
    "rude@vacation.test": rude_vacation,
    "dead@gone.test": bouncing,
    "bot@ignorant.test": ignorant,
    MONITOR: silent,
}
OURS, THEIRS = "support@nordvik.test", "support@twin.test"


class World:
    """The desks, the machines, and the wire between them."""

    def __init__(self, template: Path, folder: Path, *, strips: bool) -> None:
        self.strips = strips
        self.desks = {OURS: self._desk(template, folder / "a", "nordvik.test", THEIRS, *MACHINES)}
        self.desks[THEIRS] = self._desk(template, folder / "b", "twin.test", OURS)
        self.wire: list[tuple[datetime, int, Wire]] = []
        self.carried = 0

    @staticmethod
    def _desk(template: Path, folder: Path, domain: str, *superusers: str) -> SmallDesk:
        """Every correspondent holds a seat and is believed: the worst case."""
        folder.mkdir()
        (folder / "desk.db").write_bytes(template.read_bytes())
        made = SmallDesk(engine=make_engine(f"sqlite:///{folder / 'desk.db'}"), folder=folder, policy=policy_of(domain))
        made.people("Everybody", *superusers)
        return made

    def put(self, at: datetime, wire: Wire) -> None:
        heapq.heappush(self.wire, (at, next(NUMBERS), wire))

    def run(self) -> None:
        while self.wire and self.wire[0][0] < END:
            at, _, (reverse_path, to, raw) = heapq.heappop(self.wire)
            self.carried += 1
            assert self.carried < MOST, "a storm"
            desk = next(desk for desk in self.desks.values() if to.endswith(desk.policy.return_path.partition("@")[2]))
            desk.time = max(desk.time, at)
            desk.take(raw, reverse_path=reverse_path, to=to)
            self.carry(desk)

    def carry(self, desk: SmallDesk) -> None:
        """What the desk sends arrives a minute later, and is answered at once."""
        for composed in desk.send():
            for wire in self._answers(composed):
                self.put(desk.time + timedelta(minutes=1), wire)

    def _answers(self, composed: Composed) -> Iterator[Wire]:
        to = composed.forward_path
        if machine := MACHINES.get(to):
            yield from machine(composed)
        elif any(to.partition("+")[0].partition("@")[0] == "support" for _ in self.desks):
            yield composed.reverse_path, to, self._relayed(composed.message)

    def _relayed(self, message: bytes) -> bytes:
        if not self.strips:
            return message
        head, _, body = message.decode("latin-1").partition("\r\n\r\n")
        renamed = re.sub(r"(?im)^message-id:.*$", f"Message-ID: <n{next(NUMBERS)}@relay.test>", head + "\r\n")
        return (TELLTALE.sub("", renamed).rstrip("\r\n") + "\r\n\r\n" + body).encode("latin-1")

    def automatic(self) -> Counter[tuple[str, str]]:
        """Mails that left by themselves in all thirty days, by (desk, recipient)."""
        return Counter(
            (desk.policy.desk_domain, row["recipient"])
            for desk in self.desks.values()
            for row in desk.rows(OUTBOX)
            if row["mail"] not in (MailName.AGENT_REPLY, MailName.AGENT_NOTICE, MailName.STAFF_TASK)
        )


def thirty_days(template: Path, folder: Path, *, strips: bool) -> World:
    world = World(template, folder, strips=strips)
    for author in sorted(MACHINES.keys() - {MONITOR} | {THEIRS}):
        world.put(START, (author, OURS, _mail(author, OURS, f"Hello from {author}", "The export stops.")))
    world.put(START, (OURS, THEIRS, _mail(OURS, THEIRS, "Hello from Nordvik", "Your server is down.")))
    for day in range(30):  # the same words each day, but for the numbers
        at = START + timedelta(days=day, hours=3)
        world.put(at, (MONITOR, OURS, _mail(MONITOR, OURS, f"Status {day}", f"{day * 7} jobs ran.")))
    world.run()
    return world


@pytest.mark.timeout(600)
@pytest.mark.parametrize("strips", [False, True], ids=["as sent", "a relay strips what says automatic"])
def test_T26_three_mails_a_pair_in_thirty_days(sqlite_template: Path, tmp_path: Path, strips: bool) -> None:
    world = thirty_days(sqlite_template, tmp_path, strips=strips)
    automatic = world.automatic()
    assert len(automatic) >= 5, "everybody was answered once"
    assert max(automatic.values()) <= 3, automatic
    ours = world.desks[OURS]
    assert len(ours.rows(LEDGER)) > 36, "the machines did answer"
    assert len(ours.rows(TICKET)) < len(ours.rows(LEDGER))
