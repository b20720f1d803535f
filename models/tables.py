"""Every table of the desk, imported once, so that the metadata is whole for migrations."""

from sqlmodel import SQLModel

from models import (
    access,
    audit,
    contract,
    customer,
    desk,
    fetching,
    held,
    inbound,
    job_run,
    one_use,
    outbox,
    rate_limit,
    spent,
    staff,
    ticket,
    web_session,
)

metadata = SQLModel.metadata

__all__ = [
    "access",
    "audit",
    "contract",
    "customer",
    "desk",
    "fetching",
    "held",
    "inbound",
    "job_run",
    "metadata",
    "one_use",
    "outbox",
    "rate_limit",
    "spent",
    "staff",
    "ticket",
    "web_session",
]
