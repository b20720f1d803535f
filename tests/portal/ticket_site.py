"""Tickets on the portal's site: what stands on them, a form with files as a browser sends it, and more people.

Joe (joe@acme.test) is of Acme and holds no seat; Pat (pat@partner.test) is of a partner that serves Acme only.
"""

import re
from datetime import datetime

import sqlalchemy as sa

from models.db.engine import transaction
from models.people.customer import CONTACT, CONTACT_ADDRESS, add_contact, add_partner, add_partner_customer
from models.tickets.ticket import NewArticle, NewTicket, add_article, join_ticket, open_ticket, update_ticket
from tests.portal.site import Answer, Browser, Site
from values.actor import Actor
from values.mail import AttachmentRef, Mailbox
from values.vocabulary import ArticleKind, Door, ParticipantRole, TicketStatus

LUCIA, BEN, BO, ANA = "lucia@acme.test", "ben@acme.test", "bo@bolt.test", "ana@nordvik.test"
JOE, PAT = "joe@acme.test", "pat@partner.test"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cfc0f01f0005"
    "05020132b17f5c0000000049454e44ae426082"
)
File = tuple[str, str, bytes]  # name, type, octets


def more_people(site: Site) -> None:
    now = site.clock()
    with transaction(site.engine) as session:
        add_contact(session, JOE, now, customer=site.acme, name="Joe Day")
        partner = add_partner(session, "Partner", now).id or 0
        add_partner_customer(session, partner, site.acme)
        add_contact(session, PAT, now, partner=partner, name="Pat")


def a_ticket(
    site: Site,
    subject: str = "The export stops",
    *,
    by: str = LUCIA,
    customer: int | None = None,
    status: TicketStatus | None = None,
    product: str | None = None,
    cc: tuple[str, ...] = (),
    at: datetime | None = None,
    files: tuple[AttachmentRef, ...] = (),
    text: str = "Since Monday it stops.",
    **article: str,
) -> int:
    """A ticket with one mail on it; its number."""
    now = at or site.clock()
    with site.engine.connect() as connection:
        people = sa.select(CONTACT.c.id, CONTACT.c.name).join(
            CONTACT_ADDRESS, CONTACT_ADDRESS.c.contact == CONTACT.c.id
        )
        contact, name = connection.execute(people.where(CONTACT_ADDRESS.c.address == by)).one()
    with transaction(site.engine) as session:
        new = NewTicket(
            subject=subject,
            requester=Mailbox(address=by, name=name),
            customer=customer or site.acme,
            contact=contact,
            language="en",
        )
        number = open_ticket(session, new, now)
        for address in cc:
            join_ticket(session, number, address, ParticipantRole.CC)
        written = NewArticle(
            kind=ArticleKind.INBOUND, author=Mailbox(address=by, name=name), text=text,
            full_text=article.get("full_text", text), html=article.get("html"), attachments=files,
        )  # fmt: skip
        add_article(session, number, written, now, Door.MAIL)
        if status is not None:
            update_ticket(session, number, now, Actor(door=Door.MAIL), status=status)
        if product:
            session.connection().execute(
                sa.text("UPDATE ticket SET product = :p WHERE id = :n"), {"p": product, "n": number}
            )
    return number


def add(site: Site, ticket: int, kind: ArticleKind, text: str, files: tuple[AttachmentRef, ...] = ()) -> None:
    """An agent's answer or note."""
    with transaction(site.engine) as session:
        author = Mailbox(address=ANA, name="Ana Berg")
        add_article(
            session, ticket, NewArticle(kind=kind, author=author, text=text, attachments=files), site.clock(), Door.MAIL
        )
        if kind is ArticleKind.OUTBOUND:
            update_ticket(session, ticket, site.clock(), Actor(door=Door.COMMAND), status=TicketStatus.PENDING)


def kept(site: Site, name: str, type: str, octets: bytes) -> AttachmentRef:
    sha256, size = site.parts.blobs.put_bytes(octets)
    return AttachmentRef(name=name, type=type, size=size, sha256=sha256)


def multipart(fields: dict[str, str], files: tuple[File, ...] = ()) -> bytes:
    """RFC 7578, as browsers write it: fields first, in the order of the form."""
    parts = [f'--xx\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields.items()]
    for name, kind, octets in files:
        head = (
            f'--xx\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
        )
        parts.append(head.encode() + octets + b"\r\n")
    return b"".join(parts) + b"--xx--\r\n"


def send(browser: Browser, path: str, fields: dict[str, str], *files: File) -> Answer:
    return browser.post(path, multipart(fields, files), Content_Type="multipart/form-data; boundary=xx")


def key_of(answer: Answer) -> str:
    """The key of the form on a page."""
    found = re.search(r'name="key" value="([0-9a-z]{26})"', answer.body)
    assert found, answer.body
    return found[1]


def number_of(answer: Answer) -> int:
    """Where a form led to."""
    found = re.fullmatch(r"/tickets/([0-9]+)\?said=[a-z-]+", answer.to)
    assert answer.status == 303 and found, (answer.status, answer.to, answer.body)
    return int(found[1])
