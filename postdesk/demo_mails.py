"""The people and the mails of the demo: a fictitious vendor, Nordvik, and three of its customers. Text only, no logic.

Every domain ends in .test or .example (RFC 2606): none of these mails could ever reach a person.
"""

import struct
import zlib
from dataclasses import dataclass
from datetime import date, datetime
from email import message_from_string, policy
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

VENDOR_DOMAIN = "nordvik.test"
SUPPORT, ACCESS = f"support@{VENDOR_DOMAIN}", f"access@{VENDOR_DOMAIN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    key: str  # what `postdesk demo send --as KEY` calls them
    name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCustomer:
    name: str
    domains: tuple[str, ...]
    language: str
    zone: str
    superusers: tuple[Person, ...]
    seats: int = 2


LUCIA = Person(key="lucia", name="Lucía Ibarra", address="lucia@ibarra.example")
MARCOS = Person(key="marcos", name="Marcos Peña", address="marcos@ibarra.example")
ELIN = Person(key="elin", name="Elin Skogby", address="elin@skogby.example")
OLA = Person(key="ola", name="Ola Lindqvist", address="ola@skogby.example")
GRACE = Person(key="grace", name="Grace Harbour", address="grace@harbour.example")
TOM = Person(key="tom", name="Tom Fisher", address="tom@harbour.example")
IVY = Person(key="ivy", name="Ivy Cooper", address="ivy@harbour.example")  # asks for the third seat
MARIA = Person(key="maria", name="María Sanz", address="maria@ibarra.example")  # stands in for Lucía
ANNA = Person(key="anna", name="Anna Berg", address=f"anna@{VENDOR_DOMAIN}")
JON = Person(key="jon", name="Jon Vik", address=f"jon@{VENDOR_DOMAIN}")
STRANGER = Person(key="stranger", name="Sam Stranger", address="sam@unknown.example")
LOOK_ALIKE = Person(key="look-alike", name="Grace Harbour", address="grace@harb0ur.example")

CUSTOMERS = (
    DemoCustomer(
        name="Talleres Ibarra",
        domains=("ibarra.example",),
        language="es",
        zone="Europe/Madrid",
        superusers=(LUCIA, MARCOS),
    ),
    DemoCustomer(
        name="Skogby Trä",
        domains=("skogby.example",),
        language="sv",
        zone="Europe/Stockholm",
        superusers=(ELIN, OLA),
    ),
    DemoCustomer(
        name="Harbour Tools",
        domains=("harbour.example",),
        language="en",
        zone="Europe/London",
        superusers=(GRACE, TOM),
        seats=3,
    ),
)
AGENTS = (ANNA, JON)
PEOPLE = (LUCIA, MARCOS, ELIN, OLA, GRACE, TOM, IVY, MARIA, ANNA, JON, STRANGER, LOOK_ALIKE)


def picture(width: int = 240, height: int = 120) -> bytes:
    """A PNG: a red bar on a pale ground, as a screenshot of an error might look from afar."""
    row_pale = b"\x00" + b"\xf2\xf4\xf8" * width
    row_bar = b"\x00" + b"\xf2\xf4\xf8" * 20 + b"\xc8\x32\x32" * (width - 40) + b"\xf2\xf4\xf8" * 20
    rows = b"".join(row_bar if 40 <= y < 60 else row_pale for y in range(height))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def mail(author: Person, subject: str, text: str, *, to: str = SUPPORT, at: datetime, id: str) -> EmailMessage:
    """A plain mail as a person's client writes it."""
    message = EmailMessage()
    message["From"] = f"{author.name} <{author.address}>"
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{id}@{author.address.rpartition('@')[2]}>"
    message.set_content(text)
    return message


def from_lucia(at: datetime) -> EmailMessage:
    message = mail(
        LUCIA,
        "La exportación se detiene",
        "Buenos días:\n\nLa exportación de facturas se detiene al 80 %. Adjunto una captura del error.\n\n"
        "Producto: Nordvik Export\nERP: Business Central\nVersión del ERP: 24.1\nVersión del producto: 3.2\n\n"
        "Un saludo,\nLucía\n",
        at=at,
        id="exportacion-1",
    )
    message.add_attachment(picture(), maintype="image", subtype="png", filename="captura.png")
    return message


def from_elin(at: datetime) -> EmailMessage:
    return mail(
        ELIN,
        "Bokföringen går inte att öppna",
        "Hej!\n\nEfter uppdateringen i går går bokföringen inte att öppna. Vad ska vi göra?\n\n"
        "Produkt: Nordvik Lön\nERP: NAV\nERP-version: 2018\n\nHälsningar\nElin\n",
        at=at,
        id="bokforing-1",
    )


def from_grace(at: datetime) -> EmailMessage:
    return mail(
        GRACE,
        "Labels print twice",
        "Hello,\n\nsince Monday every label is printed twice. It happens on both printers.\n\nKind regards\nGrace\n",
        at=at,
        id="labels-1",
    )


def from_stranger(at: datetime) -> EmailMessage:
    return mail(
        STRANGER,
        "Question about your product",
        "Hi,\n\ncan you help me with my installation?\n\nSam\n",
        at=at,
        id="q-1",
    )


def from_look_alike(at: datetime) -> EmailMessage:
    return mail(
        LOOK_ALIKE,
        "Urgent: please send our licence again",
        "Please send the licence key to this address today.\n\nGrace\n",
        at=at,
        id="urgent-1",
    )


def access_form(person: Person) -> dict[str, str]:
    """What a person types into the form of the portal who asks for a seat."""
    fields = {"name": person.name, "address": person.address, "company": "Harbour Tools", "phone": "+44 20 7946 0000"}
    return fields | {"language": "en", "kind": "new"}


def asks_to_replace(author: Person, regular: Person, first: date, last: date, *, at: datetime) -> EmailMessage:
    """A mail to the access address, in the customer's language."""
    text = (
        f"Nombre: {author.name}\nEmpresa: Talleres Ibarra\nIdioma: español\n"
        f"En lugar de: {regular.name}\nDesde: {first.isoformat()}\nHasta: {last.isoformat()}\n"
    )
    return mail(author, "Sustitución", text, to=ACCESS, at=at, id="sustitucion-1")


def reply(author: Person, answered: EmailMessage, text: str, *, at: datetime, id: str) -> EmailMessage:
    """As a mail client answers: to Reply-To, the answered text quoted below."""
    body = answered.get_body(("plain",))
    quoted = "\n".join(f"> {line}" for line in (body.get_content() if body else "").splitlines())
    to = parseaddr(answered["Reply-To"] or answered["From"])[1]
    message = mail(author, answered["Subject"], f"{text.rstrip()}\n\n{quoted}\n", to=to, at=at, id=id)
    message["In-Reply-To"] = answered["Message-ID"]
    message["References"] = f"{answered['References'] or ''} {answered['Message-ID']}".strip()
    return message


def out_of_office(author: Person, answered: EmailMessage, at: datetime) -> EmailMessage:
    """RFC 3834: what a vacation responder sends."""
    subject = f"Frånvaro: {answered['Subject']}"
    message = mail(author, subject, "Jag är borta till och med fredag.\n", at=at, id="franvaro-1")
    message["Auto-Submitted"] = "auto-replied"
    message["In-Reply-To"] = answered["Message-ID"]
    return message


def bounce_of(returned: EmailMessage, at: datetime) -> EmailMessage:
    """RFC 3464: the report of a server that knows no such mailbox."""
    recipient = str(returned["Delivered-To"])
    domain = recipient.rpartition("@")[2]
    text = REPORT.format(
        domain=domain, recipient=recipient, date=format_datetime(at), message_id=str(returned["Message-ID"])
    )
    report = message_from_string(text, policy=policy.default)
    assert isinstance(report, EmailMessage)
    return report


REPORT = """\
From: Mail Delivery System <mailer-daemon@{domain}>
To: postmaster@nordvik.test
Subject: Undelivered Mail Returned to Sender
Date: {date}
Message-ID: <bounce-1@{domain}>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=-report"

--=-report
Content-Type: text/plain; charset=us-ascii

This is the mail system at {domain}. Your message could not be delivered:

<{recipient}>: unknown user

--=-report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.{domain}

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1

--=-report
Content-Type: text/rfc822-headers

Message-ID: {message_id}

--=-report--
"""
AGENT_ANSWER = (
    "Hola Lucía:\n\nGracias por la captura. ¿Podría enviarnos también el registro de eventos del servidor?\n\nAnna\n"
)
CUSTOMER_ANSWER = "Aquí lo tiene: el registro dice «disco lleno». Ya hay espacio y la exportación termina.\n"
