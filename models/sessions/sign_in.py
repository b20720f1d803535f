"""Signing in by mail: whoever may, gets a link; whoever may not, costs the same and learns the same (threat T28)."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session

from models.db.keys import address_key
from models.outbox.outbox import OUTBOX, enqueue
from models.people.agent import AGENT
from models.people.customer import (
    CONTACT,
    CONTACT_ADDRESS,
    CONTACT_CUSTOMER,
    HAS_HELD,
    PARTNER_CUSTOMER,
    SEAT,
    own_zone,
)
from models.sessions.link import ONE_USE_LINK, add_link
from values.decision import Notice
from values.vocabulary import LinkPurpose, MailName, OutboxStatus, SeatState

_NOBODY = "nobody signs in with this address"


def ask_sign_in(
    session: Session, address: str, until: datetime, now: datetime, *, language: str, nonce_hash: str | None = None
) -> int:
    """Write a link for this address, valid until then, and the mail that carries it; the link's number.

    `address`: canonical. Every address takes the same statements: the mail to one that nobody signs in with is
    suppressed where it is written. `nonce_hash`: of the asking browser (models/sessions/web_session.py: hash_of).
    """
    connection = session.connection()
    who = {"address": address_key(address)}
    person, agent = connection.execute(_CONTACT, who).first(), connection.execute(_AGENT, who).first()
    link = add_link(
        session,
        LinkPurpose.SIGN_IN,
        address,
        until,
        now,
        contact=person.id if person else None,
        agent=agent.id if agent else None,
        nonce_hash=nonce_hash,
    )
    known = agent or person
    notice = Notice(
        mail=MailName.SIGN_IN,
        recipient=address,
        key=Notice.key_of(MailName.SIGN_IN, f"link:{link}", address),
        language=(known.language if known else None) or language,
        zone=(known.zone if known else None) or "",
        context=(("link", link),),
    )
    (row,) = enqueue(session, (notice,), now)
    settled = {"status": OutboxStatus.DUE} if known else {"status": OutboxStatus.SUPPRESSED, "last_reply": _NOBODY}
    connection.execute(sa.update(OUTBOX).where(OUTBOX.c.id == row).values(**settled))
    return link


def has_signed_in(session: Session, address: str, nonce_hash: str) -> bool:
    """Whether somebody signed in to this address with a link that this very browser asked for, while links are kept."""
    link = (
        ONE_USE_LINK.c.purpose == LinkPurpose.SIGN_IN,
        ONE_USE_LINK.c.address == address,
        ONE_USE_LINK.c.nonce_hash == nonce_hash,
        ONE_USE_LINK.c.used_at.is_not(None),
    )
    return session.connection().execute(sa.select(ONE_USE_LINK.c.id).where(*link).limit(1)).first() is not None


_seats = sa.exists().where(SEAT.c.contact == CONTACT.c.id)
_CONTACT = (  # as models/views/viewer.py: Ties.may_sign_in
    sa.select(CONTACT.c.id, CONTACT.c.language, own_zone())
    .join(CONTACT_ADDRESS, CONTACT_ADDRESS.c.contact == CONTACT.c.id)
    .where(
        CONTACT_ADDRESS.c.address == sa.bindparam("address"),
        _seats.where(SEAT.c.state.in_((SeatState.ACTIVE, SeatState.RESTING, SeatState.PLANNED)))
        | sa.exists().where(PARTNER_CUSTOMER.c.partner == CONTACT.c.partner)
        | (sa.exists().where(CONTACT_CUSTOMER.c.contact == CONTACT.c.id) & ~_seats.where(HAS_HELD)),
    )
    .limit(1)
)
_AGENT = sa.select(AGENT.c.id, AGENT.c.language, AGENT.c.zone).where(
    AGENT.c.address == sa.bindparam("address"), AGENT.c.active
)
