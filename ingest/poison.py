"""Mails that failed three times: they lie in the spool's shunt, and a person finds them on the held desk.

Takes: the spool and the database.  Gives: a held ledger row for each shunted mail that has none.
Fails: as the database does; the next call makes up for it, so nothing is lost between the shunt and the row.
"""

from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa

from ingest.shunt import Shunted
from ingest.spool import Spool
from ingest.spoolfile import read_file
from models.db import retrying, transaction
from models.mail import SpooledMail
from models.record import record_poison

CORRUPT = "corrupt"  # a damaged file: its good mails went their way, the rest has no envelope to make a row of


def hold_shunted(spool: Spool, engine: sa.Engine, now: Callable[[], datetime]) -> int:
    """Record every shunted mail that the ledger does not know; how many these were."""
    shunted = [each for each in spool.shunted() if each.reason != CORRUPT]
    return sum(_hold(mail, each, engine, now) for each in shunted for mail in _mails(each))


def _mails(shunted: Shunted) -> tuple[SpooledMail, ...]:
    try:
        return read_file(shunted.path, shunted.id, shunted.attempts).mails
    except FileNotFoundError:
        return ()  # retried or dropped meanwhile


def _hold(mail: SpooledMail, shunted: Shunted, engine: sa.Engine, now: Callable[[], datetime]) -> bool:
    why = {
        "worker-died": "It used more time or memory than one mail may, three times.",
        "failed": f"The pipeline failed on it, three times: {shunted.detail[:300]}",
    }.get(shunted.reason, f"It was set aside: {shunted.reason}.")

    def write() -> bool:
        with transaction(engine, snapshot=True) as session:
            return not record_poison(session, mail, why, now()).already

    return retrying(write)
