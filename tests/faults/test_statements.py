"""Killed after each SQL statement of a mail's transaction: all of its rows are there, or none (fault F05)."""

import os
import signal
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import sqlalchemy as sa

from ingest.pipeline import deliver
from ingest.spool.spool import Claim, Spool
from postdesk.settings import load
from postdesk.wiring import Desk
from tests.desk import Sink, TestDesk
from tests.faults.load import letters, make_desk
from values.mail import Envelope
from values.vocabulary import Source

MOST = 200  # statements; a mail needs far fewer


def test_f05_killed_after_each_statement(tmp_path: Path, empty_database_url: str) -> None:
    (letter,) = letters("s", 1)
    with Sink() as sink:
        desk = make_desk(tmp_path / "desk", empty_database_url, sink)
    envelope = Envelope(
        reverse_path=letter.author,
        forward_paths=("support@nordvik.test",),
        source=Source.SMTP,
        received_at=datetime.now(UTC),
    )
    spool = Spool(desk.folder / "spool")
    spool.put(envelope, letter.raw)
    claim = spool.claim("killed")
    assert claim is not None
    for number in count(1):
        status = _deliver(desk.config, claim, die_after=number)
        if status == 0:
            break
        assert status == -signal.SIGKILL and number < MOST
        assert _rows(desk) == (0, 0, 0), f"half a mail after statement {number}"
    assert _rows(desk) == (1, 1, 2)  # the acknowledgement, and the notice to the agent
    assert number > 10, "it died at many places before"


def _deliver(config: Path, claim: Claim, die_after: int) -> int:
    """The end of a process that delivers the claim, and is killed after that many statements."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            stage = Desk(load(config), config).pipeline()
            _arm(stage.engine, die_after)
            deliver(stage, claim)
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _arm(engine: sa.Engine, left: int) -> None:
    def count_down(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(engine, "after_cursor_execute", count_down)


def _rows(desk: TestDesk) -> tuple[int, int, int]:
    """Of the ledger, of tickets, of the outbox."""
    return len(desk.json("ledger", "list")), len(desk.json("ticket", "list")), len(desk.json("outbox", "list"))
