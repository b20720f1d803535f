"""What became of the mails that carry agents' answers, and how many mails left nowhere. SELECTs only."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from models.outbox.outbox import OUTBOX
from values.vocabulary import MailName, OutboxStatus


def find_deliveries(session: Session, ticket: int) -> dict[int, list[dict[str, Any]]]:
    """The mails of each of an agent's answers on this ticket, one a recipient, by article.

    *failed* with a time of `sent`: it left and was returned. `last_reply`: what a server or a report said last.
    """
    found: dict[int, list[dict[str, Any]]] = {}
    for row in session.connection().execute(_OF_TICKET, {"number": ticket}):
        values = dict(row._mapping)
        found.setdefault(values.pop("article"), []).append(values)
    return found


def count_failed(session: Session, since: datetime) -> int:
    """How many mails that were promised since then have failed for good."""
    return int(session.connection().execute(_FAILED, {"since": since}).scalar_one())


_OF_TICKET = (
    sa.select(
        OUTBOX.c.article,
        OUTBOX.c.id.label("outbox"),
        *(OUTBOX.c[name] for name in ("recipient", "status", "attempts", "sent", "last_reply")),
    )
    .where(OUTBOX.c.ticket == sa.bindparam("number"), OUTBOX.c.article.is_not(None))
    .where(OUTBOX.c.mail == MailName.AGENT_REPLY)
    .order_by(OUTBOX.c.id)
)
_FAILED = (
    sa.select(sa.func.count())
    .select_from(OUTBOX)
    .where(OUTBOX.c.status == OutboxStatus.FAILED, OUTBOX.c.created >= sa.bindparam("since"))
)
