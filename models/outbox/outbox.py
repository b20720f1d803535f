"""The outbox: promises to send, claimed by lease and settled with fencing; and the addresses that get none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from models.db.columns import Json, insert_new, storable, table_of, upsert, words
from models.db.keys import address_key
from models.tickets.ticket import PARTICIPANT, join_ticket
from values.decision import Notice
from values.vocabulary import MailName, OutboxStatus, SuppressionReason

_REPLY_KEPT = 2000  # characters of a server's reply

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
        sa.Index("ix_outbox_recipient_key_created", "recipient_key", "created"),
        sa.Index("ix_outbox_unknown", "created", sqlite_where=_UNKNOWN, postgresql_where=_UNKNOWN),
        {"sqlite_autoincrement": True},  # the Message-ID is made from the id: never twice
    )

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True)  # Notice.key: one key leaves the desk once, ever
    mail: MailName = Field(sa_type=words(MailName))
    recipient: str  # as it is written in the envelope
    recipient_key: str  # the same wholly lower-cased, to count and to suppress by
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An outbox row lent to one worker until its lease ends."""

    id: int
    fence: int  # of this claim: settling needs it
    attempts: int  # including this one
    key: str
    mail: MailName
    recipient: str
    ticket: int | None
    article: int | None
    participant: int | None
    language: str
    zone: str
    in_reply_to: str | None
    context: Mapping[str, str | int | None]
    message_id: str | None  # of an earlier attempt: a second copy must carry the same
    created: datetime


def enqueue(
    session: Session,
    notices: Iterable[Notice],
    now: datetime,
    *,
    new_ticket: int | None = None,
    article: int | None = None,
    lane: int = 0,
) -> tuple[int, ...]:
    """Promise these mails and return the ids of the new rows. A key that was promised before is left as it is.

    `new_ticket`: the ticket of notices with `about_new_ticket`. A notice with a role makes its recipient a
    participant of its ticket. `lane`: a dispatcher takes lower lanes first.
    """
    connection = session.connection()
    statement = _enqueue(connection.dialect.name)
    made = []
    for notice in notices:
        ticket = new_ticket if notice.about_new_ticket else notice.ticket
        row = {
            "key": storable(notice.key),
            "mail": notice.mail,
            "recipient": storable(notice.recipient),
            "recipient_key": address_key(notice.recipient),
            "ticket": ticket,
            "article": article,
            "of_ticket": ticket if notice.role else None,
            "who": address_key(notice.recipient),
            "language": notice.language,
            "zone": notice.zone,
            "in_reply_to": storable(notice.in_reply_to) if notice.in_reply_to else None,
            "context": {name: storable(v) if isinstance(v, str) else v for name, v in notice.context},
            "lane": lane,
            "status": OutboxStatus.DUE,
            "attempts": 0,
            "fence": 0,
            "due_at": now,
            "created": now,
        }
        new = connection.execute(statement, row).first()
        if new and notice.role and ticket is not None and new.participant is None:
            joined = join_ticket(session, ticket, notice.recipient, notice.role)
            connection.execute(sa.update(OUTBOX).where(OUTBOX.c.id == new.id).values(participant=joined))
        if new:
            made.append(int(new.id))
    return tuple(made)


@cache
def _enqueue(dialect: str) -> Any:
    """One statement a row: the participant is nearly always there, and found on the way."""
    participant = (
        sa.select(PARTICIPANT.c.id)
        .where(PARTICIPANT.c.ticket == sa.bindparam("of_ticket"), PARTICIPANT.c.address == sa.bindparam("who"))
        .scalar_subquery()
    )
    return insert_new(OUTBOX, dialect, "id", "participant").values(participant=participant)


def claim_due(
    session: Session, worker: str, now: datetime, *, limit: int = 20, lease: timedelta = timedelta(minutes=15)
) -> list[Claimed]:
    """Lend up to `limit` due rows to a worker. A row whose worker let its lease end is due again.

    Commit before sending. The lease must be longer than the longest SMTP dialogue (RFC 5321 §4.5.3.2).
    """
    picked = (
        sa.select(OUTBOX.c.id)
        .where(_WAITING, OUTBOX.c.due_at <= now)
        .order_by(OUTBOX.c.lane, OUTBOX.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("picked")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    claim = (
        sa.update(OUTBOX)
        .where(OUTBOX.c.id.in_(sa.select(picked.c.id)))
        .values(
            status=OutboxStatus.SENDING,
            worker=worker,
            fence=OUTBOX.c.fence + 1,
            attempts=OUTBOX.c.attempts + 1,
            due_at=now + lease,
        )
        .returning(*(OUTBOX.c[field.name] for field in fields(Claimed)), OUTBOX.c.lane)
    )
    rows = session.connection().execute(claim).all()
    rows = sorted(rows, key=lambda row: (row.lane, row.id))
    return [Claimed(**{name: value for name, value in row._mapping.items() if name != "lane"}) for row in rows]


def mark_sent(session: Session, claimed: Claimed, now: datetime, *, message_id: str, reply: str = "") -> bool:
    """The smarthost took it. False where the lease had ended and another worker has the row."""
    return _settle(session, claimed, status=OutboxStatus.SENT, sent=now, message_id=message_id, last_reply=reply)


def mark_deferred(
    session: Session, claimed: Claimed, next_attempt: datetime, *, message_id: str | None = None, reply: str = ""
) -> bool:
    """Not now: due again at `next_attempt`. False as in `mark_sent`."""
    return _settle(
        session,
        claimed,
        status=OutboxStatus.DUE,
        due_at=next_attempt,
        message_id=message_id or claimed.message_id,
        last_reply=reply,
    )


def mark_failed(session: Session, claimed: Claimed, *, message_id: str | None = None, reply: str = "") -> bool:
    """Never: it stays as failed until a person retries it. False as in `mark_sent`."""
    return _settle(
        session,
        claimed,
        status=OutboxStatus.FAILED,
        message_id=message_id or claimed.message_id,
        last_reply=reply,
    )


def mark_suppressed(session: Session, claimed: Claimed, *, why: str) -> bool:
    """Its address gets no mail. False as in `mark_sent`."""
    return _settle(session, claimed, status=OutboxStatus.SUPPRESSED, last_reply=why)


def _settle(session: Session, claimed: Claimed, **values: object) -> bool:
    reply = str(values.pop("last_reply"))
    statement = (
        sa.update(OUTBOX)
        .where(OUTBOX.c.id == claimed.id, OUTBOX.c.fence == claimed.fence, OUTBOX.c.status == OutboxStatus.SENDING)
        .values(worker=None, last_reply=storable(reply)[:_REPLY_KEPT], **values)
        .returning(OUTBOX.c.id)
    )
    return session.connection().execute(statement).first() is not None


def extend_lease(
    session: Session, claimed: Claimed, now: datetime, *, lease: timedelta = timedelta(minutes=15)
) -> bool:
    """A long dialogue goes on. False where the lease had ended and another worker has the row: stop sending."""
    statement = (
        sa.update(OUTBOX)
        .where(OUTBOX.c.id == claimed.id, OUTBOX.c.fence == claimed.fence, OUTBOX.c.status == OutboxStatus.SENDING)
        .values(due_at=now + lease)
        .returning(OUTBOX.c.id)
    )
    return session.connection().execute(statement).first() is not None


def find_claimed(session: Session, id: int) -> Claimed | None:
    """A row as it was or would be lent, to look at the mail; nothing is lent."""
    statement = sa.select(*(OUTBOX.c[field.name] for field in fields(Claimed))).where(OUTBOX.c.id == id)
    row = session.connection().execute(statement).first()
    return Claimed(**row._mapping) if row else None


def retry(session: Session, id: int, now: datetime) -> bool:
    """A person sends a failed or suppressed row again, with its old Message-ID. False where it is neither."""
    statement = (
        sa.update(OUTBOX)
        .where(OUTBOX.c.id == id, OUTBOX.c.status.in_((OutboxStatus.FAILED, OutboxStatus.SUPPRESSED)))
        .values(status=OutboxStatus.DUE, due_at=now, attempts=0)
        .returning(OUTBOX.c.id)
    )
    return session.connection().execute(statement).first() is not None


def next_due(session: Session) -> datetime | None:
    """When the next waiting row falls due; None where nothing waits."""
    return session.connection().execute(sa.select(sa.func.min(OUTBOX.c.due_at)).where(_WAITING)).scalar()


def find_suppression(session: Session, address: str) -> SuppressionReason | None:
    """Why this address gets no mail; None = it may."""
    statement = sa.select(SUPPRESSION.c.reason).where(SUPPRESSION.c.address == address_key(address))
    return session.connection().execute(statement).scalar()


def suppress(
    session: Session, address: str, reason: SuppressionReason, now: datetime, *, outbox: int | None = None
) -> None:
    """No more mail to this address. The first reason stays."""
    connection = session.connection()
    row = {"address": address_key(address), "reason": reason, "since": now, "outbox": outbox}
    connection.execute(insert_new(SUPPRESSION, connection.dialect.name), row)


def unsuppress(session: Session, address: str) -> bool:
    """The address is alive again: its bounces are forgotten too. False where it was not suppressed."""
    connection = session.connection()
    connection.execute(sa.delete(RECIPIENT_HEALTH).where(RECIPIENT_HEALTH.c.address == address_key(address)))
    found = sa.delete(SUPPRESSION).where(SUPPRESSION.c.address == address_key(address)).returning(SUPPRESSION.c.address)
    return connection.execute(found).first() is not None


def count_hard_bounce(session: Session, address: str, status: str | None, now: datetime) -> None:
    """One permanent failure more of this address (RFC 3463 class 5)."""
    connection = session.connection()
    row = {"address": address_key(address), "hard_bounces": 1, "last_bounce": now, "last_status": status}
    statement = upsert(RECIPIENT_HEALTH, connection.dialect.name).on_conflict_do_update(
        index_elements=["address"],
        set_={
            "hard_bounces": RECIPIENT_HEALTH.c.hard_bounces + 1,
            "last_bounce": now,
            "last_status": status,
        },
    )
    connection.execute(statement, row)
