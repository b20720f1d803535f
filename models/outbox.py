"""The outbox: promises to send, claimed by lease and settled with fencing; and the addresses that get none."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from models.columns import Json, table_of, words
from models.vocabulary import MailName, OutboxStatus, SuppressionReason

_WAITING = sa.text("status IN ('due', 'sending')")
_UNKNOWN = sa.text("mail = 'unknown_author'")


class Outbox(SQLModel, table=True):
    """One mail to one recipient. No secret and no text of a mail stands here: it is composed from rows by the ids.

    `due_at` is also the lease: a claimed row falls due again when its lease ends. `fence` grows with every claim, so
    a worker that lost its lease settles nothing.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        sa.Index("ix_outbox_waiting", "lane", "due_at", sqlite_where=_WAITING, postgresql_where=_WAITING),
        sa.Index("ix_outbox_recipient_created", "recipient", "created"),
        sa.Index("ix_outbox_unknown", "created", sqlite_where=_UNKNOWN, postgresql_where=_UNKNOWN),
        {"sqlite_autoincrement": True},  # the Message-ID is made from the id: never twice
    )

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True)  # Notice.key: one key leaves the desk once, ever
    mail: MailName = Field(sa_type=words(MailName))
    recipient: str
    ticket: int | None = Field(default=None, foreign_key="ticket.id", index=True)
    article: int | None = Field(default=None, foreign_key="article.id")
    participant: int | None = Field(default=None, foreign_key="participant.id")
    language: str = "en"
    zone: str = "UTC"
    in_reply_to: str | None = None
    context: dict[str, str | int | None] = Field(default_factory=dict, sa_type=Json)  # {name: id or short fact}
    lane: int = 0  # lower first: digests never hold up acknowledgements (fault F22)
    status: OutboxStatus = Field(default=OutboxStatus.DUE, sa_type=words(OutboxStatus))
    attempts: int = 0
    due_at: datetime
    worker: str | None = None
    fence: int = 0
    message_id: str | None = None  # without angle brackets
    created: datetime
    sent: datetime | None = None
    last_reply: str | None = None


class Suppression(SQLModel, table=True):
    __tablename__ = "suppression"

    address: str = Field(primary_key=True)  # wholly lower-cased
    reason: SuppressionReason = Field(sa_type=words(SuppressionReason))
    since: datetime
    outbox: int | None = Field(default=None, foreign_key="outbox.id")


class RecipientHealth(SQLModel, table=True):
    __tablename__ = "recipient_health"

    address: str = Field(primary_key=True)  # wholly lower-cased
    hard_bounces: int = 0
    last_bounce: datetime
    last_status: str | None = None  # RFC 3463


OUTBOX = table_of(Outbox)
SUPPRESSION = table_of(Suppression)
RECIPIENT_HEALTH = table_of(RecipientHealth)
