"""Which blobs do rows name? A raw mail's by the ledger, an attachment's by the ticket it came to.

Takes: a session that reads.  Gives: SHA-256s.  Fails: as the database does.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from sqlmodel import Session

from models.inbound.ledger import LEDGER
from models.tickets.ticket import ATTACHMENT

_AT_ONCE = 5000  # rows that are fetched together


def is_ledger_empty(session: Session) -> bool:
    """Has this desk never recorded a mail?"""
    return session.connection().execute(sa.select(LEDGER.c.id).limit(1)).first() is None


def used_blobs(session: Session, first: str = "", last: str = "g") -> Iterator[str]:
    """The SHA-256 of each blob in use from `first` to before `last` ("g" comes after every hex digit); some twice.

    One walk over both tables and no probe for each blob: the ledger has no index of SHA-256s, which each mail would pay
    for and the sweep alone would use.
    """
    for column in (LEDGER.c.sha256, ATTACHMENT.c.sha256):
        wanted = sa.select(column).where(column >= first, column < last)
        yield from session.connection().execution_options(yield_per=_AT_ONCE).execute(wanted).scalars()
