"""Sessions of the portal: kept here, so that they can be revoked. Only the hash of the cookie's value lies in a row."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from models.db.columns import table_of


class WebSession(SQLModel, table=True):
    __tablename__ = "web_session"

    id: int | None = Field(default=None, primary_key=True)
    token_hash: str = Field(unique=True)  # SHA-256 of the cookie's value
    contact: int | None = Field(default=None, foreign_key="contact.id", index=True)
    agent: int | None = Field(default=None, foreign_key="agent.id", index=True)
    address: str
    created: datetime
    expires: datetime
    revoked_at: datetime | None = None


WEB_SESSION = table_of(WebSession)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Who a living session belongs to: a contact or an agent. `id` is for the audit (`session:<id>`)."""

    id: int
    contact: int | None
    agent: int | None
    address: str
    expires: datetime


def hash_of(token: str) -> str:
    """How a cookie's value or a browser's nonce lies in a row."""
    return sha256(token.encode("utf-8", "replace")).hexdigest()


def open_session(
    session: Session,
    address: str,
    now: datetime,
    expires: datetime,
    *,
    contact: int | None = None,
    agent: int | None = None,
) -> str:
    """A new session; the value of its cookie, 256 random bits, which is told once and kept nowhere."""
    token = secrets.token_urlsafe(32)
    row = {
        "token_hash": hash_of(token),
        "contact": contact,
        "agent": agent,
        "address": address,
        "created": now,
        "expires": expires,
    }
    session.connection().execute(sa.insert(WEB_SESSION), row)
    return token


def find_session(session: Session, token: str, now: datetime) -> SignedIn | None:
    """Whose session this cookie's value is; None where it has ended, was revoked or never was."""
    alive = (WEB_SESSION.c.revoked_at.is_(None), WEB_SESSION.c.expires > now)
    row = session.connection().execute(sa.select(WEB_SESSION).where(WEB_SESSION.c.token_hash == hash_of(token), *alive))
    found = row.first()
    if found is None:
        return None
    return SignedIn(id=found.id, contact=found.contact, agent=found.agent, address=found.address, expires=found.expires)


def revoke_session(session: Session, id: int, now: datetime) -> bool:
    """The session ends now. False where it had."""
    ends = sa.update(WEB_SESSION).where(WEB_SESSION.c.id == id, WEB_SESSION.c.revoked_at.is_(None))
    return session.connection().execute(ends.values(revoked_at=now).returning(WEB_SESSION.c.id)).first() is not None


def revoke_sessions_of(session: Session, now: datetime, *, contact: int | None = None, agent: int | None = None) -> int:
    """Every session of this person ends now; how many."""
    whose = WEB_SESSION.c.contact == contact if contact is not None else WEB_SESSION.c.agent == agent
    ends = sa.update(WEB_SESSION).where(whose, WEB_SESSION.c.revoked_at.is_(None)).values(revoked_at=now)
    return len(session.connection().execute(ends.returning(WEB_SESSION.c.id)).all())


def revoke_all_sessions(session: Session, now: datetime) -> int:
    """Everybody signs in anew; how many sessions ended."""
    ends = sa.update(WEB_SESSION).where(WEB_SESSION.c.revoked_at.is_(None), WEB_SESSION.c.expires > now)
    return len(session.connection().execute(ends.values(revoked_at=now).returning(WEB_SESSION.c.id)).all())


def forget_sessions(session: Session, before: datetime) -> int:
    """Delete sessions that ended before this time; how many."""
    gone = sa.delete(WEB_SESSION).where(WEB_SESSION.c.expires < before).returning(WEB_SESSION.c.id)
    return len(session.connection().execute(gone).all())
