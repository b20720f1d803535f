"""A held mail is let through: read again from the blob store, decided again with a person's word as one more fact.

Takes: the id of a held mail and the word of the person who releases it.  Gives: the Receipt, or None where nothing is
held under that id.  Fails: as the pipeline does; nothing is changed then.
"""

import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog
from sqlmodel import Session

from ingest.mime.parse import parse
from ingest.pipeline_parts import Pipeline
from models.db.engine import is_outage, reading, retrying, transaction
from models.desk.audit import append
from models.facts import gather
from models.inbound.held import forget_wish, wanted_releases
from models.inbound.ledger import evidence_of, find_spooled
from models.record import record
from models.views.ledger import show_held, show_ledger
from rules.clues import look_for
from rules.decide import decide
from values.decision import Decision, Receipt, Release
from values.errors import Refused
from values.mail import ParsedMail, SpooledMail

log = structlog.get_logger()


def release(desk: Pipeline, id: str, word: Release, via: str = "command") -> Receipt | None:
    """Let the held mail `id` through; `via`: how the word was given, for the audit.

    Raises Refused where the word names a ticket that is not there.
    """
    mail = read_held(desk, id)
    return retrying(lambda: _decide_again(desk, mail, word, via)) if mail else None


def release_wanted(desk: Pipeline) -> int:
    """Let through what superusers released by mail or page; how many. One that fails waits for an agent again."""
    with reading(desk.engine) as session:
        wanted = wanted_releases(session)
    done = 0
    for id, word in wanted:
        try:
            receipt = release(desk, id, word, via="job:release-wanted")
        except Exception as error:
            log.exception("release failed", mail=id)
            if is_outage(error):
                break  # the wish stays
            receipt = None
        if receipt is None or receipt.already:
            with transaction(desk.engine) as session:
                forget_wish(session, id)
        else:
            done += 1
    return done


def _decide_again(desk: Pipeline, mail: ParsedMail, word: Release, via: str) -> Receipt:
    now = desk.now()
    with transaction(desk.engine, snapshot=True) as session:
        clues = replace(look_for(mail, desk.policy, desk.keys), release_of=mail.spool_id)
        facts = gather(session, clues, now, word)
        if word.ticket is not None and facts.ticket(word.ticket) is None:
            raise Refused(f"{word.ticket}: there is no such ticket; see `postdesk ticket list`")
        receipt = record(session, mail, decide(mail, facts, desk.policy, now), now, word)
        desk.blobs.sync()
        if not receipt.already:
            append(
                session,
                now,
                who=word.by,
                what="held.release",
                subject=f"held:{mail.spool_id}",
                via=via,
                detail={"ticket": receipt.ticket},
            )
    return receipt


def judge_again(desk: Pipeline, id: str, by: str) -> Receipt | None:
    """Decide about a held mail once more, with what is known now and nobody's word: every gate is asked.

    It may open a ticket, or be held for another reason. None where nothing is held under that id; `already` where it
    is held as before. `by`: who changed what is known, for the audit.
    """
    mail = read_held(desk, id)
    return retrying(lambda: _judge_again(desk, mail, by)) if mail else None


def _judge_again(desk: Pipeline, mail: ParsedMail, by: str) -> Receipt:
    now = desk.now()
    with transaction(desk.engine, snapshot=True) as session:
        receipt = record(session, mail, decision_now(desk, session, mail, now), now, again_by=by)
        desk.blobs.sync()
        if not receipt.already:
            detail = {"state": receipt.state.value, "ticket": receipt.ticket}
            subject = f"held:{mail.spool_id}"
            append(session, now, who=by, what="held.judge-again", subject=subject, via="command", detail=detail)
    return receipt


def decision_now(desk: Pipeline, session: Session, mail: ParsedMail, now: datetime) -> Decision:
    """What the rules say of a held mail with what is known now."""
    return decide(mail, gather(session, look_for(mail, desk.policy, desk.keys), now), desk.policy, now)


def read_held(desk: Pipeline, id: str) -> ParsedMail | None:
    """The held mail with this id as it was parsed when it came; None where nothing is held under it."""
    with transaction(desk.engine) as session:
        held, kept, row = show_held(session, id), find_spooled(session, id), show_ledger(session, id)
    if held is None or kept is None or row is None:
        return None
    envelope, sha256, size = kept
    with tempfile.TemporaryDirectory(prefix="postdesk-release-") as folder:
        path = Path(folder) / id
        with path.open("wb") as file:
            file.writelines(desk.blobs.stream(sha256))
        spooled = SpooledMail(id=id, path=path, offset=0, size=size, sha256=sha256, envelope=envelope)
        return replace(parse(spooled, desk.blobs), auth=evidence_of(row["auth"]))
