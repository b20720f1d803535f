"""Scheduled work that was begun: one row for each (job, period, recipient), so it is done once."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from models.db.columns import insert_new, table_of


class JobRun(SQLModel, table=True):
    __tablename__ = "job_run"
    __table_args__ = (sa.UniqueConstraint("job", "period", "recipient"),)

    id: int | None = Field(default=None, primary_key=True)
    job: str
    period: str  # such as 2026-11-24 or 2026-W48
    recipient: str = ""  # "" = the whole desk
    at: datetime


JOB_RUN = table_of(JobRun)


def begin_once(session: Session, job: str, period: str, now: datetime, *, recipient: str = "") -> bool:
    """True for the first caller ever with this (job, period, recipient). What the job enqueues belongs in the same
    transaction: both are there or neither."""
    connection = session.connection()
    row = {"job": job, "period": period, "recipient": recipient.lower(), "at": now}
    return connection.execute(insert_new(JOB_RUN, connection.dialect.name, "id"), row).first() is not None


def last_begun(session: Session, job: str, before: str) -> datetime | None:
    """When the job was begun last for the whole desk, the period `before` aside; None where it never was."""
    mine = (JOB_RUN.c.job == job, JOB_RUN.c.recipient == "", JOB_RUN.c.period != before)
    return session.connection().execute(sa.select(sa.func.max(JOB_RUN.c.at)).where(*mine)).scalar()


def forget_before(session: Session, before: datetime) -> int:
    """Delete the rows of periods that were begun before this time; how many."""
    gone = sa.delete(JOB_RUN).where(JOB_RUN.c.at < before).returning(JOB_RUN.c.id)
    return len(session.connection().execute(gone).all())
