"""What the stages of the pipeline work with. Made by postdesk/wiring.py, one for each worker process."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ingest.spool.spool import Spool
from models.blobs.store import BlobStore
from models.db.engine import reading
from models.facts import gather
from rules.policy import Policy
from rules.tokens import Keys
from values.decision import Clues
from values.mail import AuthEvidence, Mailbox, SpooledMail

Authenticate = Callable[[SpooledMail, Mailbox], AuthEvidence]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """What the stages need; made by postdesk/wiring.py."""

    spool: Spool
    engine: sa.Engine
    blobs: BlobStore
    policy: Policy
    keys: Keys
    now: Callable[[], datetime]  # the desk's clock
    authenticate: Authenticate | None  # None = authentication is off
    cpu_seconds: float
    wall_seconds: float


def warm_up(desk: Pipeline) -> None:
    """Connect and have the statements ready before a mail waits: for the first they took 30 ms. Any fault shows later,
    with a mail in hand."""
    nobody = Clues(spool_id="", content_key="", author="nobody@postdesk.invalid", author_domains=("postdesk.invalid",))
    with suppress(SQLAlchemyError), reading(desk.engine) as session:
        gather(session, nobody, desk.now())
