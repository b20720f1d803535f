"""Every table of the desk, imported once, so that the metadata is whole for migrations."""

from sqlmodel import SQLModel

from models.access import request as access
from models.desk import audit, job_run
from models.desk import value as desk
from models.inbound import fetching, held
from models.inbound import ledger as inbound
from models.inbound import spent_proof as spent
from models.outbox import outbox
from models.people import agent as staff
from models.people import contract, customer
from models.sessions import link as one_use
from models.sessions import rate_limit, web_session
from models.tickets import event, ticket

metadata = SQLModel.metadata

__all__ = [
    "access",
    "audit",
    "contract",
    "customer",
    "desk",
    "event",
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
