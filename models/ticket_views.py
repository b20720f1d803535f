"""Tickets as their customers see them in the portal: lists, one conversation, its files. SELECTs only.

Takes: the `Viewer`, by whom everything here is scoped (threat T49): he sees the tickets in which he takes part, those
of the customers whose active seat he holds, and those of the customers that his partner serves.  Gives: plain values;
None where there is no such thing or it is not his to see, which nobody can tell apart. Internal notes are not read.

Each look reads at most LOOKED_AT tickets from an index, however many there are; a page says where it stopped.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from models.contract import CONTRACT
from models.customer import CONTACT_CUSTOMER, CUSTOMER
from models.ticket import ARTICLE, ATTACHMENT, PARTICIPANT, TICKET
from models.viewer import Viewer
from models.vocabulary import ArticleKind, ColleaguePolicy, ParticipantRole, Priority, TicketStatus

LOOKED_AT = 2000  # tickets, open or closed, that one page is chosen from
PAGE = 25  # tickets on a page
ARTICLES = 50  # of a conversation on a page
TEXT_SHOWN = 100_000  # characters of one article
REMEMBERED = 50  # newest tickets of a customer whose products and versions are suggested
COMPANIES = 500  # that one may choose from

_OUTSIDE = (ArticleKind.INBOUND, ArticleKind.OUTBOUND)
_TAKES_PART = PARTICIPANT.c.role.not_in((ParticipantRole.LEFT, ParticipantRole.AGENT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a page of a list begins: behind the ticket with these. `waits`: of my own, which sort by it first."""

    updated: datetime
    number: int
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a list is to show. `status`: open, waiting, closed or all; `words`: of the subject, or the number."""

    customer: int | None = None  # None = those in which the viewer takes part
    status: str = "open"
    product: str = ""
    words: str = ""
    after: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRow:
    number: int
    subject: str
    status: TicketStatus
    requester: str
    product: str | None
    customer: str | None  # name
    updated: datetime
    since: datetime | None = None  # when the last word of the other side came: since then somebody waits


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketList:
    tickets: tuple[TicketRow, ...] = ()
    count: int = 0  # of all that fit, among those looked at
    partial: bool = False  # older ones were not looked at
    after: Place | None = None  # where the next page begins; None = this was the last


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


# --- whose tickets ------------------------------------------------------------------------------------------------


def customers_of(viewer: Viewer) -> tuple[int, ...]:
    """The customers whose every ticket the viewer may see."""
    return tuple(sorted({*viewer.seated, *viewer.serves}))


def list_visible_customers(session: Session, viewer: Viewer) -> list[tuple[int, str]]:
    """(id, name) of the customers whose every ticket the viewer may see, by name."""
    return _named(session, CUSTOMER.c.id.in_(customers_of(viewer)))


def list_openable_customers(session: Session, viewer: Viewer) -> list[tuple[int, str]]:
    """(id, name) of the customers for which the viewer may open a ticket: rules/portal_ticket.py asks the same."""
    member = sa.select(CONTACT_CUSTOMER.c.customer).where(CONTACT_CUSTOMER.c.contact == viewer.contact)
    lets_colleagues = CUSTOMER.c.id.in_(member) & (CUSTOMER.c.colleagues == ColleaguePolicy.OPEN)
    return _named(session, CUSTOMER.c.id.in_(customers_of(viewer)) | lets_colleagues)


def _named(session: Session, which: sa.ColumnElement[bool]) -> list[tuple[int, str]]:
    wanted = sa.select(CUSTOMER.c.id, CUSTOMER.c.name).where(which).order_by(CUSTOMER.c.name).limit(COMPANIES)
    return [(row.id, row.name) for row in session.connection().execute(wanted)]


def _visible(viewer: Viewer) -> sa.ColumnElement[bool]:
    """Whether a row of TICKET is the viewer's to see."""
    part = sa.exists().where(
        PARTICIPANT.c.ticket == TICKET.c.id, PARTICIPANT.c.address.in_(viewer.addresses), _TAKES_PART
    )
    return TICKET.c.customer.in_(customers_of(viewer)) | part


# --- lists --------------------------------------------------------------------------------------------------------


def list_customer_tickets(session: Session, viewer: Viewer, wanted: Wanted) -> TicketList:
    """A page of the viewer's own tickets, those that wait for him first; or of a company's, the last changed first.

    None of a customer that is not his to see.
    """
    if wanted.customer is not None and wanted.customer not in customers_of(viewer):
        return TicketList()
    if number := _number_in(wanted.words):
        return _with_dates(session, _by_number(session, viewer, number, wanted.customer))
    near = (_mine(viewer) if wanted.customer is None else _of_company(wanted.customer, wanted.after)).subquery()
    found = _chosen(session, near, wanted)
    rows, more = found[:PAGE], len(found) > PAGE
    looked_at, end = _end_of(session, near)
    partial, after = looked_at >= LOOKED_AT, _place_of(rows[-1]) if more else None
    if partial and after is None and wanted.customer is not None and end is not None:
        after = Place(updated=end.updated, number=end.id)  # go on where the look ended
    count = (len(found) if wanted.words else found[0].total) if found else 0
    return _with_dates(
        session, TicketList(tickets=tuple(_row(row) for row in rows), count=count, partial=partial, after=after)
    )


_COLUMNS = (
    *(TICKET.c[name] for name in ("id", "subject", "status", "requester", "requester_name", "product", "updated")),
    *(TICKET.c.customer, TICKET.c.merged_into),
)


def _of_company(customer: int, after: Place | None) -> sa.Select[Any]:
    """The next tickets of a company behind a place, by ix_ticket_customer_updated."""
    newest = sa.select(*_COLUMNS).where(TICKET.c.customer == customer)
    if after is not None:
        behind = (TICKET.c.updated < after.updated) | (TICKET.c.id < after.number)
        newest = newest.where(TICKET.c.updated <= after.updated, behind)
    return newest.order_by(TICKET.c.updated.desc(), TICKET.c.id.desc()).limit(LOOKED_AT)


def _mine(viewer: Viewer) -> sa.Select[Any]:
    """The tickets which the viewer joined last, by ix_participant_address."""
    part = sa.select(PARTICIPANT.c.ticket).where(PARTICIPANT.c.address.in_(viewer.addresses), _TAKES_PART)
    newest = part.order_by(PARTICIPANT.c.id.desc()).limit(LOOKED_AT).subquery()
    return sa.select(*_COLUMNS).where(TICKET.c.id.in_(sa.select(newest.c.ticket)))


def _chosen(session: Session, near: sa.Subquery, wanted: Wanted) -> list[sa.Row[Any]]:
    """Those of the near tickets that fit, in the order of the list; of a search all, else one more than a page has."""
    waits = near.c.status == TicketStatus.PENDING
    by_waiting = [sa.case((waits, 0), else_=1)] if wanted.customer is None else []
    total = sa.func.count().over().label("total")
    fitting = sa.select(near, CUSTOMER.c.name.label("company"), total).outerjoin(
        CUSTOMER, CUSTOMER.c.id == near.c.customer
    )
    fitting = fitting.where(near.c.merged_into.is_(None), *_of_status(near.c.status, wanted.status))
    if wanted.product:
        fitting = fitting.where(near.c.product == wanted.product)
    ordered = fitting.order_by(*by_waiting, near.c.updated.desc(), near.c.id.desc())
    if wanted.words:
        said = wanted.words.casefold()
        rows = session.connection().execute(ordered).all()
        found = [row for row in rows if said in row.subject.casefold()]
        return _behind(found, wanted)
    if wanted.customer is not None:
        return list(session.connection().execute(ordered.limit(PAGE + 1)).all())
    return _behind(list(session.connection().execute(ordered).all()), wanted)


def _behind(rows: list[sa.Row[Any]], wanted: Wanted) -> list[sa.Row[Any]]:
    """Of an ordered list what comes after the place; the company's lists begin there already."""
    after = wanted.after
    if after is None or wanted.customer is not None:
        return rows
    place = (not after.waits, -after.updated.timestamp(), -after.number)
    return [row for row in rows if (row.status is not TicketStatus.PENDING, -row.updated.timestamp(), -row.id) > place]


def _of_status(status: sa.ColumnElement[Any], word: str) -> list[sa.ColumnElement[bool]]:
    match word:
        case "open":
            return [status != TicketStatus.CLOSED]
        case "waiting":
            return [status == TicketStatus.PENDING]
        case "closed":
            return [status == TicketStatus.CLOSED]
        case _:
            return []


def _end_of(session: Session, near: sa.Subquery) -> tuple[int, Any]:
    """How many tickets were looked at, and the last of them."""
    connection = session.connection()
    count = int(connection.execute(sa.select(sa.func.count()).select_from(near)).scalar_one())
    if count < LOOKED_AT:
        return count, None
    last = sa.select(near.c.id, near.c.updated).order_by(near.c.updated, near.c.id).limit(1)
    return count, connection.execute(last).first()


def _by_number(session: Session, viewer: Viewer, number: int, customer: int | None) -> TicketList:
    wanted = sa.select(*_COLUMNS, CUSTOMER.c.name.label("company")).outerjoin(
        CUSTOMER, CUSTOMER.c.id == TICKET.c.customer
    )
    wanted = wanted.where(TICKET.c.id == number, TICKET.c.merged_into.is_(None), _visible(viewer))
    if customer is not None:
        wanted = wanted.where(TICKET.c.customer == customer)
    rows = session.connection().execute(wanted).all()
    return TicketList(tickets=tuple(_row(row) for row in rows), count=len(rows))


def _number_in(words: str) -> int | None:
    """The ticket that a search for nothing but a number means: `1042`, `#1042`, `[PD-1042]`."""
    text = words.strip(" #[]").rpartition("-")[2]
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 and " " not in words.strip() else None


def _row(row: Any) -> TicketRow:
    return TicketRow(
        number=row.id,
        subject=row.subject,
        status=row.status,
        requester=row.requester_name or row.requester,
        product=row.product,
        customer=row.company,
        updated=row.updated,
    )


def _place_of(row: sa.Row[Any]) -> Place:
    return Place(updated=row.updated, number=row.id, waits=row.status is TicketStatus.PENDING)


def _with_dates(session: Session, found: TicketList) -> TicketList:
    """Since when somebody waits: the last word of the other side."""
    said = _last_words(session, [row.number for row in found.tickets])
    rows = (replace(row, since=said.get((row.number, _spoke_last(row.status)))) for row in found.tickets)
    return replace(found, tickets=tuple(rows))


def _spoke_last(status: TicketStatus) -> ArticleKind:
    return ArticleKind.OUTBOUND if status is TicketStatus.PENDING else ArticleKind.INBOUND


def _last_words(session: Session, numbers: Iterable[int]) -> dict[tuple[int, ArticleKind], datetime]:
    newest = sa.select(ARTICLE.c.ticket, ARTICLE.c.kind, sa.func.max(ARTICLE.c.at).label("at"))
    newest = newest.where(ARTICLE.c.ticket.in_(list(numbers)), ARTICLE.c.kind.in_(_OUTSIDE), ~ARTICLE.c.automatic)
    rows = session.connection().execute(newest.group_by(ARTICLE.c.ticket, ARTICLE.c.kind))
    return {(row.ticket, row.kind): row.at for row in rows}


# --- one ticket ---------------------------------------------------------------------------------------------------


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
    said = _last_words(session, [row.id])
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
        since=said.get((row.id, _spoke_last(row.status))),
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
        .where(ATTACHMENT.c.id == id, TICKET.c.id == number, ARTICLE.c.kind.in_(_OUTSIDE), _visible(viewer))
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
    return wanted.where(TICKET.c.id == number, _visible(viewer))


def _articles(session: Session, ticket: int, before: int | None) -> tuple[tuple[ArticleRow, ...], int | None]:
    shown = [sa.func.substr(ARTICLE.c[name], 1, TEXT_SHOWN + 1).label(name) for name in ("text", "full_text")]
    plain = (ARTICLE.c[name] for name in ("id", "kind", "author", "author_name", "at", "marked", "automatic"))
    wanted = sa.select(*plain, *shown).where(ARTICLE.c.ticket == ticket, ARTICLE.c.kind.in_(_OUTSIDE))
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
    wanted = wanted.where(PARTICIPANT.c.ticket == ticket, _TAKES_PART).order_by(PARTICIPANT.c.id)
    return tuple(PersonRow(**row._mapping) for row in session.connection().execute(wanted.limit(LOOKED_AT)))


_FILE = tuple(ATTACHMENT.c[name] for name in ("id", "name", "type", "size", "sha256"))
