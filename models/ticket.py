"""Tickets, their articles, attachments and participants, and the Message-IDs that lead to them."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from models.columns import Json, table_of, words
from models.vocabulary import ArticleKind, ParticipantRole, Priority, TicketStatus


class Ticket(SQLModel, table=True):
    """The primary key is the number that people see; it starts at 1001 and is never used again."""

    __tablename__ = "ticket"
    __table_args__ = (
        sa.Index("ix_ticket_customer_updated", "customer", "updated"),
        sa.Index("ix_ticket_status_updated", "status", "updated"),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, primary_key=True)
    subject: str
    status: TicketStatus = Field(default=TicketStatus.NEW, sa_type=words(TicketStatus))
    priority: Priority = Field(default=Priority.NORMAL, sa_type=words(Priority))
    customer: int | None = Field(default=None, foreign_key="customer.id")
    contact: int | None = Field(default=None, foreign_key="contact.id", index=True)
    requester: str  # address
    requester_name: str = ""
    language: str = "en"
    product: str | None = None
    erp: str | None = None
    erp_version: str | None = None
    product_version: str | None = None
    marked: bool = False  # opened by an author who is not proved: no privileged act
    paused: bool = False  # the loop breaker stopped automatic mail
    pause_story: str | None = None
    follow_up_of: int | None = Field(default=None, foreign_key="ticket.id")
    merged_into: int | None = Field(default=None, foreign_key="ticket.id")
    assignee: int | None = Field(default=None, foreign_key="agent.id", index=True)
    created: datetime
    updated: datetime
    closed_at: datetime | None = None


class Article(SQLModel, table=True):
    __tablename__ = "article"

    id: int | None = Field(default=None, primary_key=True)
    ticket: int = Field(foreign_key="ticket.id", index=True)
    kind: ArticleKind = Field(sa_type=words(ArticleKind))
    author: str  # address
    author_name: str = ""
    at: datetime
    subject: str = ""
    text: str = ""  # without quote and signature
    full_text: str = ""
    html: str | None = None  # as it came; cleaned only where it is shown
    message_id: str | None = None
    ledger: str | None = None  # no foreign key: the ledger row is written last, and points here
    marked: bool = False
    automatic: bool = False  # an automatic reply: shown collapsed, changed nothing
    proposed_cc: list[list[str]] | None = Field(
        default=None, sa_type=Json
    )  # [[address, name]]: for the agent to add, never by itself


class Attachment(SQLModel, table=True):
    __tablename__ = "attachment"

    id: int | None = Field(default=None, primary_key=True)
    article: int = Field(foreign_key="article.id", index=True)
    position: int
    name: str
    type: str
    size: int
    sha256: str = Field(index=True)  # the key in the blob store
    inline: bool = False
    content_id: str | None = None


class Participant(SQLModel, table=True):
    __tablename__ = "participant"
    __table_args__ = (sa.UniqueConstraint("ticket", "address"),)

    id: int | None = Field(default=None, primary_key=True)
    ticket: int = Field(foreign_key="ticket.id")
    address: str = Field(index=True)  # wholly lower-cased
    name: str = ""
    role: ParticipantRole = Field(sa_type=words(ParticipantRole))
    generation: int = 1  # of the reply token; a rotated token has a higher one


class ThreadAnchor(SQLModel, table=True):
    """A foreign Message-ID that leads to a ticket.

    `scope` is the customer's id, or 0 where the ticket has none: whoever re-uses a Message-ID of another customer's
    mail gets an anchor beside it and neither takes its place nor collides with it (threat T22).
    """

    __tablename__ = "thread_anchor"
    __table_args__ = (sa.Index("ix_thread_anchor_ticket", "ticket"),)

    message_id: str = Field(primary_key=True)
    scope: int = Field(primary_key=True)
    ticket: int = Field(foreign_key="ticket.id")


TICKET = table_of(Ticket)
ARTICLE = table_of(Article)
ATTACHMENT = table_of(Attachment)
PARTICIPANT = table_of(Participant)
THREAD_ANCHOR = table_of(ThreadAnchor)
