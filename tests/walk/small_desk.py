"""A desk in this process: real spool, parser, rules, database, blob store and composer; only the DNS is left out.

What the sender check would find is said by the test; everything behind it is the real thing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from threading import Event
from typing import Any

import sqlalchemy as sa

from ingest.pipeline import run
from ingest.pipeline_parts import Pipeline
from ingest.spool.spool import Spool
from models.blobs.store import open_blobs
from models.db.engine import reading, transaction
from models.inbound.ledger import LEDGER
from models.outbox.outbox import claim_due, mark_sent
from models.people.agent import add_agent
from models.people.customer import add_contact, add_customer, add_domain, give_seat
from models.views.mails import find_mail_rows
from notify.compose import Composed, OutgoingMail, compose
from notify.letterhead import Letterhead
from notify.mails import outgoing
from notify.render import Renderer
from rules.policy import OwnMailbox, Policy
from rules.tokens import Keys
from values.mail import AuthEvidence, Envelope, Mailbox, SpooledMail
from values.vocabulary import Belief, ColleaguePolicy, MailboxPurpose, Source

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
SIGNED = ("cc", "date", "from", "message-id", "subject", "to")
BELIEVED = AuthEvidence(belief=Belief.BELIEVED, signed_fields=SIGNED)
UNPROVED = AuthEvidence()
REFUTED = AuthEvidence(belief=Belief.REFUTED, dmarc_policy="reject")
RENDERER = Renderer()

Row = dict[str, Any]


def policy(domain: str = "nordvik.test", **more: Any) -> Policy:
    """Support, access and return path of a vendor."""
    values: dict[str, Any] = {
        "mailboxes": (
            OwnMailbox(address=f"support@{domain}", purpose=MailboxPurpose.SUPPORT),
            OwnMailbox(address=f"access@{domain}", purpose=MailboxPurpose.ACCESS),
        ),
        "return_path": f"bounce@{domain}",
        "desk_domain": f"desk.{domain}",
        "vendor_name": "Nordvik Support",
    }
    return Policy(**(values | more))


@dataclass(kw_only=True)
class SmallDesk:
    """`believes`: what the sender check finds out about an author's address."""

    engine: sa.Engine
    folder: Path
    policy: Policy = field(default_factory=policy)
    believes: Callable[[str], AuthEvidence] = lambda address: BELIEVED
    time: datetime = START

    def __post_init__(self) -> None:
        secret = self.policy.desk_domain.encode().ljust(32, b".")[:32]
        self.pipeline = Pipeline(
            spool=Spool(self.folder / "spool"),
            engine=self.engine,
            blobs=open_blobs(str(self.folder / "blobs")),
            policy=self.policy,
            keys=Keys(current="a", secrets={"a": secret}),
            now=lambda: self.time,
            authenticate=self._authenticate,
            cpu_seconds=30,
            wall_seconds=60,
        )
        self.letterhead = Letterhead(policy=self.policy, keys=self.pipeline.keys)

    def _authenticate(self, spooled: SpooledMail, author: Mailbox) -> AuthEvidence:
        return self.believes(author.address.lower())

    def people(self, customer: str, *superusers: str, domain: str = "", colleagues: str = "hold") -> int:
        """A customer with its domain and superusers."""
        with transaction(self.engine) as session:
            made = add_customer(session, customer, self.time, colleagues=ColleaguePolicy(colleagues), seats=9).id or 0
            if domain:
                add_domain(session, made, domain)
            for address in superusers:
                contact = add_contact(session, address, self.time, customer=made).id or 0
                give_seat(session, contact, made, self.time)
        return made

    def agent(self, address: str, name: str = "Anna") -> None:
        with transaction(self.engine) as session:
            add_agent(session, address, name, self.time)

    def take(self, *mails: "bytes | EmailMessage", reverse_path: str | None = None, to: str = "") -> list[str]:
        """Accept mails as the listener does, in one batch, and deliver them; their ledger ids."""
        batch = [self._spooled(mail, reverse_path, to) for mail in mails]
        ids = [spooled.id for spooled in self.pipeline.spool.put_batch(batch)]
        run(self.pipeline, "test", Event(), until_idle=True)
        return ids

    def _spooled(self, mail: "bytes | EmailMessage", reverse_path: str | None, to: str) -> tuple[Envelope, bytes]:
        raw = mail if isinstance(mail, bytes) else mail.as_bytes(policy=mail.policy.clone(linesep="\r\n"))
        author = "" if isinstance(mail, bytes) else str(mail["From"] or "").rpartition("<")[2].rstrip(">")
        envelope = Envelope(
            reverse_path=author if reverse_path is None else reverse_path,
            forward_paths=(to or self.policy.mailboxes[0].address,),
            source=Source.SMTP,
            received_at=self.time,
            client_ip="192.0.2.9",
        )
        return envelope, raw

    def ledger(self, id: str) -> Row:
        with reading(self.engine) as session:
            return dict(session.connection().execute(sa.select(LEDGER).where(LEDGER.c.id == id)).one()._mapping)

    def rows(self, table: sa.Table) -> list[Row]:
        """All rows of a table, in the order of its key."""
        with reading(self.engine) as session:
            found = session.connection().execute(sa.select(table).order_by(*table.primary_key.columns)).all()
        return [dict(row._mapping) for row in found]

    def send(self, limit: int = 1000) -> list[Composed]:
        """Claim, compose and mark what is due, as dispatch does; what left, the envelope with it."""
        with transaction(self.engine) as session:
            claims = claim_due(session, "test", self.time, limit=limit)
        left = []
        for claimed in claims:
            with reading(self.engine) as session:
                mail = outgoing(find_mail_rows(session, claimed, self.time), self.letterhead)
            assert isinstance(mail, OutgoingMail), mail
            composed = compose(mail, RENDERER)
            assert isinstance(composed, Composed), composed
            with transaction(self.engine) as session:
                assert mark_sent(session, claimed, self.time, message_id=composed.message_id)
            left.append(composed)
        return left

    def wait(self, step: timedelta) -> None:
        self.time += step


def letter(author: str, subject: str = "Export stops", text: str = "The export stops.", **fields: str) -> EmailMessage:
    """A plain mail to support. Date: when the desk starts, unless said; every field may be given, To too."""
    message = EmailMessage()
    message["From"] = author
    values = {"To": "support@nordvik.test", "Date": START.strftime("%a, %d %b %Y %H:%M:%S +0000")}
    values["Message-ID"] = f"<{abs(hash((author, subject, text, tuple(fields.items()))))}@client.test>"
    for name, value in (values | {name.replace("_", "-"): value for name, value in fields.items()}).items():
        message[name] = value
    message["Subject"] = subject
    message.set_content(text)
    return message


def believing(*addresses: str, otherwise: AuthEvidence = UNPROVED) -> Callable[[str], AuthEvidence]:
    """Only these authors are believed."""
    return lambda address: BELIEVED if address in addresses else otherwise


def without(evidence: AuthEvidence, *names: str) -> AuthEvidence:
    """A signature that leaves these fields open."""
    return replace(evidence, signed_fields=tuple(name for name in evidence.signed_fields if name not in names))


def only(rows: Sequence[Row], **values: Any) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in values.items())]
