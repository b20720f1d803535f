"""Every table of the desk, imported once, so that the metadata is whole for migrations."""

from sqlmodel import SQLModel

from models import audit, customer, desk, held, inbound, job_run, outbox, staff, ticket

metadata = SQLModel.metadata

__all__ = ["audit", "customer", "desk", "held", "inbound", "job_run", "metadata", "outbox", "staff", "ticket"]
