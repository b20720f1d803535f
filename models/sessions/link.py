"""One-use links: proof of an address, invitation, sign-in. No token lies here, only what it is derived from.

A token is an HMAC of the row's random seed under the desk's keys (rules/links.py): whoever reads the database can
redeem nothing, whoever reads the keys alone neither, and a mail that is composed again carries the same link.
"""

import secrets
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from models.db.columns import table_of, words
from values.vocabulary import LinkPurpose


class OneUseLink(SQLModel, table=True):
    __tablename__ = "one_use_link"

    id: int | None = Field(default=None, primary_key=True)
    purpose: LinkPurpose = Field(sa_type=words(LinkPurpose))
    seed: str  # 256 random bits, hexadecimal
    request: int | None = Field(default=None, foreign_key="access_request.id", index=True)
    contact: int | None = Field(default=None, foreign_key="contact.id", index=True)
    agent: int | None = Field(default=None, foreign_key="agent.id", index=True)
    address: str = Field(index=True)  # where the mail went
    nonce_hash: str | None = None  # SHA-256 of what the asking browser keeps: it needs no code
    attempts: int = 0
    created: datetime
    expires: datetime
    used_at: datetime | None = None
    ended_at: datetime | None = None  # a newer one took its place, or it was revoked


ONE_USE_LINK = table_of(OneUseLink)
_LARGEST_ID = 2**31 - 1
_UNUSED = (ONE_USE_LINK.c.used_at.is_(None), ONE_USE_LINK.c.ended_at.is_(None))


def add_link(
    session: Session,
    purpose: LinkPurpose,
    address: str,
    expires: datetime,
    now: datetime,
    *,
    request: int | None = None,
    contact: int | None = None,
    agent: int | None = None,
    nonce_hash: str | None = None,
) -> int:
    """A new link; older ones of its purpose to the same subject are void."""
    same = ONE_USE_LINK.c.request == request if request is not None else ONE_USE_LINK.c.address == address
    older = (
        ONE_USE_LINK.c.purpose == purpose,
        same,
        ONE_USE_LINK.c.used_at.is_(None),
        ONE_USE_LINK.c.ended_at.is_(None),
    )
    session.connection().execute(sa.update(ONE_USE_LINK).where(*older).values(ended_at=now))
    row = {
        "purpose": purpose,
        "seed": secrets.token_hex(32),
        "request": request,
        "contact": contact,
        "agent": agent,
        "address": address,
        "nonce_hash": nonce_hash,
        "attempts": 0,
        "created": now,
        "expires": expires,
    }
    return int(session.connection().execute(sa.insert(ONE_USE_LINK).returning(ONE_USE_LINK.c.id), row).scalar_one())


def find_link(session: Session, id: int | None) -> OneUseLink | None:
    """The link of this number, in any state: rules/links.py judges whether it is good. Changes nothing."""
    # PostgreSQL would fail on a number that no row can have, and tell that link from other wrong ones
    return None if id is None or id > _LARGEST_ID else session.get(OneUseLink, id)


def count_attempt(session: Session, id: int) -> int:
    """A wrong code was tried; how many by now."""
    later = ONE_USE_LINK.c.attempts + 1
    counted = sa.update(ONE_USE_LINK).where(ONE_USE_LINK.c.id == id).values(attempts=later)
    return int(session.connection().execute(counted.returning(ONE_USE_LINK.c.attempts)).scalar_one())


def use_link(session: Session, id: int, now: datetime) -> bool:
    """The link is used up. False where somebody was quicker, or it is void or expired."""
    which = (ONE_USE_LINK.c.id == id, ONE_USE_LINK.c.expires > now)
    used = sa.update(ONE_USE_LINK).where(*which, *_UNUSED).values(used_at=now)
    return session.connection().execute(used.returning(ONE_USE_LINK.c.id)).first() is not None


def end_links(session: Session, now: datetime, *, request: int | None = None, address: str | None = None) -> None:
    """Open links of this request, or to this address, are void."""
    whose = ONE_USE_LINK.c.request == request if request is not None else ONE_USE_LINK.c.address == address
    session.connection().execute(sa.update(ONE_USE_LINK).where(whose, *_UNUSED).values(ended_at=now))


def forget_links(session: Session, before: datetime) -> int:
    """Delete links that expired before this time; how many."""
    gone = sa.delete(ONE_USE_LINK).where(ONE_USE_LINK.c.expires < before).returning(ONE_USE_LINK.c.id)
    return len(session.connection().execute(gone).all())
