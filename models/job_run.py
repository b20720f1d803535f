"""Scheduled work that was begun: one row for each (job, period, recipient), so it is done once."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from models.columns import table_of


class JobRun(SQLModel, table=True):
    __tablename__ = "job_run"
    __table_args__ = (sa.UniqueConstraint("job", "period", "recipient"),)

    id: int | None = Field(default=None, primary_key=True)
    job: str
    period: str  # such as 2026-11-24 or 2026-W48
    recipient: str = ""  # "" = the whole desk
    at: datetime


JOB_RUN = table_of(JobRun)
