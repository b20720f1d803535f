"""Promises that a clock in the future has put off: it went back, and nobody must wait until it is there again.

Takes: an engine, the desk's time, how far a row may be ahead of it.  Gives: how many rows are due now.
Fails: as the database does.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa

from models.db.engine import reading, transaction
from models.outbox.outbox import OUTBOX
from values.vocabulary import OutboxStatus


def recall_ahead(engine: sa.Engine, now: datetime, *, lease: timedelta, wait: timedelta) -> int:
    """Make due what no lease (of a row in hand) and no deferral reaches so far.

    `fence` stays: a dispatcher that is alive and holds such a row settles it, unless another was quicker.
    """
    ahead = sa.or_(
        sa.and_(OUTBOX.c.status == OutboxStatus.SENDING, OUTBOX.c.due_at > now + lease),
        sa.and_(OUTBOX.c.status == OutboxStatus.DUE, OUTBOX.c.due_at > now + wait),
    )
    with reading(engine) as session:  # nearly always none: no writer's place is taken for it
        if session.connection().execute(sa.select(OUTBOX.c.id).where(ahead).limit(1)).first() is None:
            return 0
    with transaction(engine) as session:
        due = sa.update(OUTBOX).where(ahead).values(due_at=now).returning(OUTBOX.c.id)
        return len(session.connection().execute(due).all())
