"""The ledger: one row for every accepted mail, with what became of it and why."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from models.db.columns import Json, table_of, words
from values.mail import AuthEvidence, Envelope
from values.vocabulary import AuthResult, Belief, LedgerState, MatchedBy, Reason, Source


class Ledger(SQLModel, table=True):
    """`id` is the spool id, so a second recording of one spool entry finds its row (fault F06).

    `first_key` is the content key of the first copy and NULL for later ones: two workers that record two copies at
    once collide on it.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        sa.Index("ix_ledger_author_received", "author", "received"),
        sa.Index("ix_ledger_state_received", "state", "received"),
        sa.Index("ix_ledger_message_id_article", "message_id", "article"),
        sa.Index("ix_ledger_words_key_received", "words_key", "received"),
    )

    id: str = Field(primary_key=True)
    received: datetime
    recorded: datetime
    source: Source = Field(sa_type=words(Source))
    reverse_path: str
    forward_paths: list[str] = Field(sa_type=Json)
    client_ip: str | None = None
    helo: str | None = None
    tls: bool = False
    author: str | None = None  # wholly lower-cased; None unless From names exactly one mailbox
    author_name: str = ""
    message_id: str | None = None
    subject: str = ""
    sha256: str  # of the raw mail: its key in the blob store
    size: int
    content_key: str
    first_key: str | None = Field(default=None, unique=True)
    copy_of: str | None = None  # ledger id of the first copy
    words_key: str = ""
    claimed_from: str = ""  # the client that it counts against; "" = the author
    state: LedgerState = Field(sa_type=words(LedgerState))
    reason: Reason = Field(sa_type=words(Reason))
    matched_by: MatchedBy | None = Field(default=None, sa_type=words(MatchedBy))
    ticket: int | None = Field(default=None, foreign_key="ticket.id", index=True)
    article: int | None = Field(default=None, foreign_key="article.id")
    auth: dict[str, Any] | None = Field(default=None, sa_type=Json)  # AuthEvidence
    defects: list[str] = Field(default_factory=list, sa_type=Json)  # [word]
    trace: list[str] = Field(default_factory=list, sa_type=Json)  # ["gate: answer"]


LEDGER = table_of(Ledger)


def find_spooled(session: Session, id: str) -> tuple[Envelope, str, int] | None:
    """The envelope of a recorded mail, the SHA-256 of its octets (the key in the blob store) and their number."""
    row = session.connection().execute(sa.select(LEDGER).where(LEDGER.c.id == id)).first()
    if row is None:
        return None
    envelope = Envelope(
        reverse_path=row.reverse_path,
        forward_paths=tuple(row.forward_paths),
        source=row.source,
        received_at=row.received,
        client_ip=row.client_ip,
        helo=row.helo,
        tls=row.tls,
    )
    return envelope, row.sha256, row.size


def evidence_of(kept: dict[str, Any] | None) -> AuthEvidence:
    """What was found out about the author when the mail came: keys and records change, the mail is the same.

    A row of before `open_fields` were kept says the worst: how its words are read was open, unless it came directly.
    """
    if not kept:
        return AuthEvidence()
    return AuthEvidence(
        spf=AuthResult(kept["spf"]),
        spf_domain=kept["spf_domain"],
        dkim=AuthResult(kept["dkim"]),
        dkim_domains=tuple(kept["dkim_domains"]),
        dmarc=AuthResult(kept["dmarc"]),
        dmarc_policy=kept["dmarc_policy"],
        arc=AuthResult(kept["arc"]),
        belief=Belief(kept["belief"]),
        direct=bool(kept.get("direct")),
        signed_fields=tuple(kept.get("signed_fields", ())),
        open_fields=tuple(kept.get("open_fields", ("content-type",))),
        refused=bool(kept.get("refused")),
        evidence=tuple(kept["evidence"]),
    )
