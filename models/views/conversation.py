"""One ticket as the people outside see it: its conversation, its files, and what its customer stated before.

Takes: the `Viewer` (models/views/ticket_scope.py says what is his to see).  Gives: plain values; None where there is
no such thing or it is not his to see, which nobody can tell apart. SELECTs only; internal notes are not read.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from models.people.contract import CONTRACT
from models.people.customer import CUSTOMER
from models.tickets.ticket import ARTICLE, ATTACHMENT, PARTICIPANT, TICKET
from models.views.ticket_lists import waiting_since
from models.views.ticket_scope import OUTSIDE, TAKES_PART, visible
from models.views.viewer import Viewer
from values.vocabulary import ArticleKind, ParticipantRole, Priority, TicketStatus

ARTICLES = 50  # of a conversation on a page
TEXT_SHOWN = 100_000  # characters of one article
PEOPLE = 2000  # who take part
REMEMBERED = 50  # newest tickets of a customer whose products and versions are suggested


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    id: int
    name: str
    type: str  # as declared
    size: int  # octets
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleRow:
    id: int
    kind: ArticleKind
    author: str  # address; "" of an agent, whose own is nobody's business
    author_name: str
    at: datetime
    text: str
    quoted: str  # what the mail carried besides: quotes and signature
    cut: bool  # longer than is shown
    marked: bool  # nothing proves who wrote it
    automatic: bool
    files: tuple[FileRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRow:
    address: str
    name: str
    role: ParticipantRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One ticket as the people outside see it."""

    number: int
    subject: str
    status: TicketStatus
    priority: Priority
    customer: str | None  # name
    requester: str
    product: str | None
    erp: str | None
    erp_version: str | None
    product_version: str | None
    created: datetime
    updated: datetime
    closed_at: datetime | None
    follow_up_of: int | None
    since: datetime | None
    people: tuple[PersonRow, ...]
    articles: tuple[ArticleRow, ...]  # oldest first
    earlier: int | None = None  # article before which there are older ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What a customer stated before, the newest first: suggestions of the form."""

    product: tuple[str, ...] = ()
    erp: tuple[str, ...] = ()
    erp_version: tuple[str, ...] = ()
    product_version: tuple[str, ...] = ()


def find_conversation(session: Session, viewer: Viewer, number: int, before: int | None = None) -> Conversation | None:
    """A ticket with its newest articles, or those before one of them; of a merged ticket the one it was merged into."""
    row = session.connection().execute(_ticket(viewer, number)).first()
    for _ in range(10):
        if row is None or row.merged_into is None:
            break
        row = session.connection().execute(_ticket(viewer, row.merged_into)).first()
    if row is None or row.merged_into is not None:
        return None
    articles, earlier = _articles(session, row.id, before)
    return Conversation(
        number=row.id,
        subject=row.subject,
        status=row.status,
        priority=row.priority,
        customer=row.company,
        requester=row.requester_name or row.requester,
        product=row.product,
        erp=row.erp,
        erp_version=row.erp_version,
        product_version=row.product_version,
        created=row.created,
        updated=row.updated,
        closed_at=row.closed_at,
        follow_up_of=row.follow_up_of,
        since=waiting_since(session, {row.id: row.status}).get(row.id),
        people=_people(session, row.id),
        articles=articles,
        earlier=earlier,
    )


def find_file(session: Session, viewer: Viewer, number: int, id: int) -> FileRow | None:
    """A file of a ticket that the viewer may see; never one of an internal note."""
    wanted = (
        sa.select(*_FILE)
        .join(ARTICLE, ARTICLE.c.id == ATTACHMENT.c.article)
        .join(TICKET, TICKET.c.id == ARTICLE.c.ticket)
        .where(ATTACHMENT.c.id == id, TICKET.c.id == number, ARTICLE.c.kind.in_(OUTSIDE), visible(viewer))
    )
    row = session.connection().execute(wanted).first()
    return FileRow(**row._mapping) if row else None


def remember(session: Session, customer: int) -> Remembered:
    """What the customer's newest tickets stated, and the products of its contracts."""
    names = ("product", "erp", "erp_version", "product_version")
    newest = sa.select(*(TICKET.c[name] for name in names)).where(TICKET.c.customer == customer)
    connection = session.connection()
    rows = connection.execute(newest.order_by(TICKET.c.updated.desc()).limit(REMEMBERED)).all()
    agreed = sa.select(CONTRACT.c.product).where(CONTRACT.c.customer == customer).order_by(CONTRACT.c.id.desc())
    products = connection.execute(agreed.limit(REMEMBERED)).scalars().all()
    said = {name: dict.fromkeys(value for row in rows if (value := getattr(row, name))) for name in names}
    said["product"] |= dict.fromkeys(products)
    return Remembered(**{name: tuple(found)[:REMEMBERED] for name, found in said.items()})


def _ticket(viewer: Viewer, number: int) -> sa.Select[Any]:
    wanted = sa.select(TICKET, CUSTOMER.c.name.label("company")).outerjoin(CUSTOMER, CUSTOMER.c.id == TICKET.c.customer)
    return wanted.where(TICKET.c.id == number, visible(viewer))


def _articles(session: Session, ticket: int, before: int | None) -> tuple[tuple[ArticleRow, ...], int | None]:
    shown = [sa.func.substr(ARTICLE.c[name], 1, TEXT_SHOWN + 1).label(name) for name in ("text", "full_text")]
    plain = (ARTICLE.c[name] for name in ("id", "kind", "author", "author_name", "at", "marked", "automatic"))
    wanted = sa.select(*plain, *shown).where(ARTICLE.c.ticket == ticket, ARTICLE.c.kind.in_(OUTSIDE))
    if before is not None:
        wanted = wanted.where(ARTICLE.c.id < before)
    rows = session.connection().execute(wanted.order_by(ARTICLE.c.id.desc()).limit(ARTICLES + 1)).all()
    files = _files(session, [row.id for row in rows])
    articles = tuple(_article(row, files.get(row.id, ())) for row in reversed(rows[:ARTICLES]))
    return articles, articles[0].id if len(rows) > ARTICLES else None


def _article(row: sa.Row[Any], files: tuple[FileRow, ...]) -> ArticleRow:
    text, whole = row.text.strip("\n"), row.full_text.strip("\n")
    is_ours = row.kind is ArticleKind.OUTBOUND
    return ArticleRow(
        id=row.id,
        kind=row.kind,
        author="" if is_ours else row.author,
        author_name=row.author_name,
        at=row.at,
        text=text[:TEXT_SHOWN],
        quoted="" if is_ours else _beside(text, whole)[:TEXT_SHOWN],
        cut=max(len(row.text), len(row.full_text)) > TEXT_SHOWN,
        marked=row.marked,
        automatic=row.automatic,
        files=files,
    )


def _beside(text: str, whole: str) -> str:
    """What the whole mail says besides the text: what follows it, or all where the text stands in the middle."""
    if whole.split() == text.split():
        return ""
    return whole.removeprefix(text).strip("\n")


def _files(session: Session, articles: list[int]) -> dict[int, tuple[FileRow, ...]]:
    wanted = sa.select(ATTACHMENT.c.article, *_FILE).where(ATTACHMENT.c.article.in_(articles))
    found: dict[int, tuple[FileRow, ...]] = {}
    for row in session.connection().execute(wanted.order_by(ATTACHMENT.c.article, ATTACHMENT.c.position)):
        values = {name: value for name, value in row._mapping.items() if name != "article"}
        found[row.article] = (*found.get(row.article, ()), FileRow(**values))
    return found


def _people(session: Session, ticket: int) -> tuple[PersonRow, ...]:
    wanted = sa.select(PARTICIPANT.c.address, PARTICIPANT.c.name, PARTICIPANT.c.role)
    wanted = wanted.where(PARTICIPANT.c.ticket == ticket, TAKES_PART).order_by(PARTICIPANT.c.id)
    return tuple(PersonRow(**row._mapping) for row in session.connection().execute(wanted.limit(PEOPLE)))


_FILE = tuple(ATTACHMENT.c[name] for name in ("id", "name", "type", "size", "sha256"))
