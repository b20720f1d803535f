"""One mail, from the spool to a recorded decision, and the loop around it: the table of contents of the desk.

Takes: claims of mails from the spool.  Gives: ledger rows with all that follows from them, then a finished spool file.
Fails: a mail that fails goes back with one attempt more, the third time to the shunt and to the held desk; a database
that is away costs no attempt.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event

import sqlalchemy as sa
import structlog
from sqlmodel import Session

from ingest.killable import limited
from ingest.parse import parse
from ingest.poison import hold_shunted
from ingest.spool import Claim, Spool
from models.blobs import BlobStore
from models.db import is_outage, retrying, transaction
from models.decision import Receipt
from models.facts import gather
from models.failpoint import failpoint
from models.mail import AuthEvidence, Mailbox, ParsedMail, SpooledMail
from models.record import record
from rules.clues import look_for
from rules.decide import decide
from rules.policy import Policy
from rules.tokens import Keys

MOST_AT_ONCE = 50  # mails that share one transaction under load
RACE_PATIENCE = 30.0  # seconds of lost races and outage before the loop looks whether it shall stop

log = structlog.get_logger()

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


def deliver_one(mail: ParsedMail, session: Session, policy: Policy, keys: Keys, now: datetime) -> Receipt:
    """Decide about a parsed mail and record the decision, in the transaction that the facts were read in."""
    clues = look_for(mail, policy, keys)
    facts = gather(session, clues, now)
    decision = decide(mail, facts, policy, now)
    return record(session, mail, decision, now)


def read_one(spooled: SpooledMail, desk: Pipeline) -> ParsedMail:
    """Keep and parse a mail and ask who its author is, outside any transaction. One that costs too much kills us."""
    desk.blobs.put_file(spooled.path, spooled.offset, spooled.size, spooled.sha256)
    with limited(desk.cpu_seconds, desk.wall_seconds):
        mail = parse(spooled, desk.blobs)
        if desk.authenticate and mail.author:
            mail = replace(mail, auth=desk.authenticate(spooled, mail.author))
    return mail


def run(desk: Pipeline, worker: str, stop: Event, *, until_idle: bool = False, poll: float = 1.0) -> None:
    """Deliver what the spool gives, as `worker`, until `stop` is set (or nothing is due)."""
    while not stop.is_set():
        claim = desk.spool.claim(worker, MOST_AT_ONCE)
        if claim:
            deliver(desk, claim, stop)
        elif until_idle:
            return
        else:
            desk.spool.wait_for_new(poll)


def deliver(desk: Pipeline, claim: Claim, stop: Event) -> None:
    """All mails of a claim in one transaction; where that fails, mail by mail."""
    if not _fault(desk, claim.mails, stop):
        desk.spool.finish(claim)
        return
    for file in claim.files:
        alone = replace(claim, files=(file,))
        faults = [fault for mail in file.mails if (fault := _fault(desk, [mail], stop))]
        if not faults:
            desk.spool.finish(alone)
        elif any(is_outage(fault) for fault in faults):
            desk.spool.release(alone)
        else:  # what was recorded meanwhile is known by its id when it comes again
            desk.spool.defer(alone, "failed", detail=repr(faults[0]), wait=1.0)
            hold_shunted(desk.spool, desk.engine, desk.now)


def _fault(desk: Pipeline, mails: Sequence[SpooledMail], stop: Event) -> Exception | None:
    """Deliver `mails` in one transaction; what kept them from being delivered."""
    try:
        parsed = [read_one(mail, desk) for mail in mails]
        while True:
            try:
                receipts = retrying(lambda: _record_all(desk, parsed), patience=RACE_PATIENCE)
                break
            except sa.exc.SQLAlchemyError as error:
                if stop.is_set() or not is_outage(error):
                    raise
                log.error("database away", error=str(error))
    except Exception as error:
        log.exception("delivery failed", mails=[mail.id for mail in mails])
        return error
    for receipt in receipts:
        log.info("delivered", mail=receipt.ledger_id, state=receipt.state, ticket=receipt.ticket)
    failpoint("pipeline.after-commit")
    return None


def _record_all(desk: Pipeline, parsed: Sequence[ParsedMail]) -> list[Receipt]:
    with transaction(desk.engine, snapshot=True) as session:
        receipts = [deliver_one(mail, session, desk.policy, desk.keys, desk.now()) for mail in parsed]
        desk.blobs.sync()  # what the rows name is durable before they are
        failpoint("pipeline.before-commit")
    return receipts
