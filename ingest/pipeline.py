"""One mail, from the spool to a recorded decision, and the loop around it: the table of contents of the desk.

Takes: claims of mails from the spool.  Gives: ledger rows with all that follows from them, then a finished spool file.
Fails: a mail that fails goes back with one attempt more, the third time to the shunt and to the held desk; a database
or a blob store that is away (or full) costs no attempt.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from threading import Event

import structlog
from sqlmodel import Session

from ingest.parse_claim import read_all
from ingest.pipeline_parts import Pipeline, warm_up
from ingest.poison import ShuntWatch
from ingest.spool.spool import Claim
from models.blobs.store import is_store_away
from models.db.engine import is_outage, retrying, transaction
from models.db.failpoint import failpoint
from models.db.outage import BLOBS, DATABASE
from models.facts import gather
from models.record import record
from rules.clues import look_for
from rules.decide import decide
from rules.policy import Policy
from rules.tokens import Keys
from values.addresses import network
from values.decision import Receipt
from values.mail import ParsedMail, SpooledMail
from values.vocabulary import Belief, Source

MOST_AT_ONCE = 50  # mails that are claimed together under load
# Mails that share a transaction. SQLite has one writer: the more, the fewer commits. PostgreSQL has many, which lose
# races or deadlock (a second until that is found) where they touch one thread: the fewer, the rarer.
TOGETHER = {"sqlite": 50, "postgresql": 5}
RACE_PATIENCE = 10.0  # seconds of lost races and outage before the mails go back
OUTAGE_PAUSE = 5.0  # seconds before mails that met an outage are tried again

log = structlog.get_logger()


def deliver_one(mail: ParsedMail, session: Session, policy: Policy, keys: Keys, now: datetime) -> Receipt:
    """Decide about a parsed mail and record the decision, in the transaction that the facts were read in."""
    clues = look_for(mail, policy, keys)
    facts = gather(session, clues, now)
    decision = decide(mail, facts, policy, now)
    receipt = record(session, mail, decision, now)
    return replace(receipt, from_known=facts.contact is not None and mail.auth.belief is Belief.BELIEVED)


def run(desk: Pipeline, worker: str, stop: Event, *, until_idle: bool = False, poll: float = 1.0) -> None:
    """Deliver what the spool gives, as `worker`, until `stop` is set (or nothing is due)."""
    shunt = ShuntWatch(desk.spool, desk.engine, desk.now)
    warm_up(desk)
    while not stop.is_set():
        shunt.look()
        claim = desk.spool.claim(worker, MOST_AT_ONCE)
        if claim:
            failpoint("pipeline.after-claim")
            deliver(desk, claim)
        elif until_idle:
            return
        else:
            desk.spool.wait_for_new(poll)


def deliver(desk: Pipeline, claim: Claim) -> None:
    """All mails of a claim in one transaction; where that fails, file by file and mail by mail."""
    fault = _fault(desk, claim.mails)
    if fault is None or _is_away(fault):
        _settle(desk, claim, fault)
        return
    for file in claim.files:
        faults = [_fault(desk, [mail]) for mail in file.mails]
        # What was recorded although its neighbour failed is known by its id when it comes again.
        _settle(desk, replace(claim, files=(file,)), next(filter(None, faults), None))


def _settle(desk: Pipeline, claim: Claim, fault: Exception | None) -> None:
    if fault is None:
        desk.spool.finish(claim)
    elif _is_away(fault):
        desk.spool.release(claim, OUTAGE_PAUSE)
    else:
        desk.spool.defer(claim, "failed", detail=repr(fault), wait=1.0)


def _is_away(fault: Exception) -> bool:
    return is_outage(fault) or is_store_away(fault)


def _fault(desk: Pipeline, mails: Sequence[SpooledMail]) -> Exception | None:
    """Deliver `mails`; what kept them from being delivered. Those recorded before a fault are known by their ids."""
    try:
        parsed = read_all(mails, desk)
        failpoint("pipeline.after-parse")
        desk.blobs.sync()  # what the rows name is durable before they are; nobody waits for the disk in a transaction
        BLOBS.over()
        most = TOGETHER[desk.engine.dialect.name]
        for some in (parsed[at : at + most] for at in range(0, len(parsed), most)):
            receipts = retrying(partial(_record_all, desk, some), patience=RACE_PATIENCE)
            for mail, receipt in zip(some, receipts, strict=True):
                if receipt.from_known and mail.envelope.client_ip and mail.envelope.source is Source.SMTP:
                    desk.spool.note_known(network(mail.envelope.client_ip))
                log.info("delivered", mail=receipt.ledger_id, state=receipt.state, ticket=receipt.ticket)
    except Exception as error:
        if _is_away(error):  # no mail is to blame, and each comes again every few seconds
            (DATABASE if is_outage(error) else BLOBS).met(error)
        else:
            log.exception("delivery failed", mails=[mail.id for mail in mails])
        return error
    failpoint("pipeline.after-commit")
    return None


def _record_all(desk: Pipeline, parsed: Sequence[ParsedMail]) -> list[Receipt]:
    now = desk.now()
    with transaction(desk.engine, snapshot=True) as session:
        receipts = [deliver_one(mail, session, desk.policy, desk.keys, now) for mail in parsed]
        failpoint("pipeline.before-commit")
    return receipts
