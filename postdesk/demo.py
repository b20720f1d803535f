"""The demo: a fictitious vendor with three customers, at work on this machine, with mails that really travel.

Takes: a folder.  Gives: a running desk in it, and tables of what became of each mail.  Fails: DemoError, with the place
of the log. Nothing leaves the machine: the smarthost is a Maildir, the DNS is the demo's own (demo_dns.py), and the
mails are signed, so that their authors are believed.
"""

import mimetypes
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parseaddr
from itertools import zip_longest
from mailbox import Maildir
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from models.db.engine import reading, transaction
from models.views.ledger import count_ledger, list_ledger, list_outbox, list_tickets, show_ledger, show_ticket
from postdesk import demo_dns
from postdesk import demo_mails as mails
from postdesk.answering import answer_ticket
from postdesk.desk_folder import make_desk
from postdesk.settings import CONFIG_NAME, load
from postdesk.wiring import Desk, host_and_port
from values.errors import PostdeskError

MARK = "made-by-postdesk-demo"  # only a folder with this file is ever deleted
OUTBOX = "outbox"
# what answers a mail by itself
ANSWERS = ("acknowledgement", "unknown_author", "command_answer", "ticket_command", "ticket_status")
PATIENCE = 60.0  # seconds that a step may take on a slow machine
SMTP_PORT, HTTP_PORT, DNS_PORT = 2525, 8800, 2553

T = TypeVar("T")


class DemoError(PostdeskError):
    """The demo could not go on."""


def reset(folder: Path) -> None:
    """Delete the demo's folder; nothing where there is none."""
    if not folder.exists():
        return
    if not (folder / MARK).exists() and any(folder.iterdir()):
        raise DemoError(f"{folder} was not made by the demo: choose another one with --dir, or delete it yourself")
    shutil.rmtree(folder)


def prepare(folder: Path) -> Desk:
    """A new desk in `folder` with the demo's vendor, customers and agents."""
    reset(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    demo_dns.make_key(folder)
    config = make_desk(
        folder,
        {
            "vendor_domain": mails.VENDOR_DOMAIN,
            "vendor_name": "Nordvik",
            "listen_smtp": (f"127.0.0.1:{_port(SMTP_PORT)}",),
            "http_listen": f"127.0.0.1:{_port(HTTP_PORT)}",
            "smarthost": f"maildir:{OUTBOX}",
            "authentication": True,
            "nameservers": (f"127.0.0.1:{_port(DNS_PORT, socket.SOCK_DGRAM)}",),
            "zone": "Europe/Stockholm",
            "workers": 1,
        },
    )
    desk = open_demo(folder, config)
    desk.migrate()
    _seed(desk)
    return desk


def open_demo(folder: Path, config: Path | None = None) -> Desk:
    """The desk of an earlier `prepare`."""
    config = (config or folder / CONFIG_NAME).resolve()
    if not config.exists():
        raise DemoError(f"there is no demo in {folder}; start one with `postdesk demo`")
    return Desk(load(config), config)


def _port(preferred: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """The preferred port, or a free one where it is taken."""
    for port in (preferred, 0):
        with socket.socket(type=kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the listener does
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoError("no port is free on 127.0.0.1")


def _seed(desk: Desk) -> None:
    from models.people.agent import add_agent
    from models.people.customer import add_contact, add_customer, add_domain, give_seat

    now = desk.now()
    with transaction(desk.engine) as session:
        for customer in mails.CUSTOMERS:
            made = add_customer(
                session, customer.name, now, language=customer.language, zone=customer.zone, seats=customer.seats
            )
            assert made.id is not None
            for domain in customer.domains:
                add_domain(session, made.id, domain)
            for person in customer.superusers:
                contact = add_contact(session, person.address, now, customer=made.id, name=person.name)
                assert contact.id is not None
                give_seat(session, contact.id, made.id, now)
        for agent in mails.AGENTS:
            add_agent(session, agent.address, agent.name, now, admin=agent is mails.ANNA, language="sv")


@contextmanager
def running(desk: Desk, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Every role of the desk, as `postdesk run` starts them, and the demo's DNS, until the block ends."""
    with demo_dns.serving(folder, host_and_port(desk.settings.nameservers[0])):
        yield from _roles(desk, folder)


def _roles(desk: Desk, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    log = folder / "postdesk.log"
    command = [sys.executable, "-m", "postdesk", "--config", str(desk.config), "run"]
    with log.open("ab") as stream:
        process = subprocess.Popen(command, stderr=stream, stdout=stream, start_new_session=True)
    try:
        wait_until(lambda: _answers(desk), "the SMTP listener", folder, process)
        wait_until(lambda: _listens(desk), "the portal", folder, process)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()


def smtp_address(desk: Desk) -> tuple[str, int]:
    return host_and_port(desk.settings.listen_smtp[0])


def _answers(desk: Desk) -> bool:
    try:
        with socket.create_connection(smtp_address(desk), timeout=1) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False


def _listens(desk: Desk) -> bool:
    try:
        socket.create_connection(host_and_port(desk.settings.http_listen), timeout=1).close()
    except OSError:
        return False
    return True


def wait_until(met: Callable[[], T], what: str, folder: Path, process: "subprocess.Popen[bytes] | None" = None) -> T:
    """The first true answer of `met`."""
    until = time.monotonic() + PATIENCE
    while not (answer := met()):
        if time.monotonic() > until or (process is not None and process.poll() is not None):
            raise DemoError(f"waited in vain for {what}; the log is {folder / 'postdesk.log'}")
        time.sleep(0.05)
    return answer


def send(desk: Desk, message: EmailMessage, *, reverse_path: str | None = None, to: str | None = None) -> str:
    """Over the wire and signed, as the author's own server would; the desk's reply."""
    author = parseaddr(message["From"])[1]
    octets = demo_dns.sign(desk.config.parent, author, message.as_bytes(policy=policy.SMTP))
    with smtplib.SMTP(*smtp_address(desk), timeout=30) as session:
        session.ehlo("client.example")
        session.mail(author if reverse_path is None else reverse_path)
        session.rcpt(to or parseaddr(message["To"])[1])
        code, reply = session.data(octets)
    return f"{code} {reply.decode('ascii', 'replace')}"


def sent_mails(desk: Desk) -> list[EmailMessage]:
    """What has left so far, oldest first; Return-Path and Delivered-To tell the envelope."""
    folder = Path(desk.settings.smarthost.removeprefix("maildir:"))
    if not folder.exists():
        return []
    box = Maildir(folder, create=False)
    found = [message_from_bytes(box.get_bytes(key), policy=policy.default) for key in sorted(box.keys(), key=_age)]
    return [message for message in found if isinstance(message, EmailMessage)]


def _age(key: str) -> tuple[int, ...]:
    """Seconds and microseconds out of a file's name, SECONDS.M123P…: its microseconds have no leading zeros."""
    found = re.match(r"(\d+)\.M(\d+)", key)
    return tuple(map(int, found.groups())) if found else ()


def newest_to(desk: Desk, address: str, mail_name: str) -> EmailMessage | None:
    return next(
        (
            message
            for message in reversed(sent_mails(desk))
            if message["Delivered-To"] == address and message["X-Postdesk-Mail"] == mail_name
        ),
        None,
    )


def decided(desk: Desk, accepted: int) -> bool:
    """Is every accepted mail decided, and everything that follows from it sent?"""
    with reading(desk.engine) as session:
        waiting = [row for row in list_outbox(session) if row["status"] in ("due", "sending")]
        return sum(count_ledger(session).values()) >= accepted and not waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What one mail of the demo is, and the state that it should end in."""

    told: str
    expected: str


def play(desk: Desk, folder: Path, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Send the demo's mails, let an agent answer, let customers go on; what became of each mail, in order."""
    stories: list[Story] = []

    def post(
        told: str, expected: str, message: EmailMessage, *, reverse_path: str | None = None, to: str | None = None
    ) -> None:
        send(desk, message, reverse_path=reverse_path, to=to)
        stories.append(Story(told=told, expected=expected))
        tell(f"  → {told}")

    def settle(what: str) -> None:
        wait_until(lambda: decided(desk, len(stories)), what, folder)

    def sent_to(person: mails.Person, mail_name: str) -> EmailMessage:
        found = wait_until(lambda: newest_to(desk, person.address, mail_name), f"{mail_name} to {person.name}", folder)
        assert found is not None
        return found

    at = desk.now()
    first = mails.from_lucia(at)
    post("a superuser writes in Spanish, with a picture", "ticket-opened", first)
    post("a superuser writes in Swedish", "ticket-opened", mails.from_elin(at))
    post("a superuser writes in English", "ticket-opened", mails.from_grace(at))
    post("a stranger writes", "held", mails.from_stranger(at))
    post("a look-alike of a customer's domain", "held", mails.from_look_alike(at))
    settle("the first mails")
    post("the same mail comes a second time", "duplicate", first)
    number = ticket_of(desk, mails.LUCIA.address)
    answer_as(desk, number, mails.ANNA.address, mails.AGENT_ANSWER)
    tell(f"  ← Anna answers ticket {number}")
    settle("Anna's answer")
    answer = sent_to(mails.LUCIA, "agent_reply")
    again = mails.reply(mails.LUCIA, answer, mails.CUSTOMER_ANSWER, at=at, id="reply-1")
    post("the superuser replies to Anna", "article-added", again)
    close = mails.reply(mails.ELIN, sent_to(mails.ELIN, "acknowledgement"), "stäng", at=at, id="close-1")
    post("a superuser closes her ticket by mail: stäng", "command-done", close)
    receipt = sent_to(mails.ELIN, "acknowledgement")
    away = mails.out_of_office(mails.ELIN, receipt, at)
    post("an out-of-office reply to our receipt", "auto-reply-noted", away)
    bounced = sent_to(mails.GRACE, "acknowledgement")
    back_to = parseaddr(bounced["Return-Path"])[1]
    post("a receipt of ours bounces", "report-recorded", mails.bounce_of(bounced, at), reverse_path="", to=back_to)
    settle("the last mails")
    return outcomes(desk, stories)


def outcomes(desk: Desk, stories: list[Story]) -> list[dict[str, Any]]:
    """One row for each mail, in the order they came: spool ids sort by arrival."""
    with reading(desk.engine) as session:
        ledger = list(reversed(list_ledger(session)))
        outbox = list_outbox(session)
        tickets = {row["ticket"]: show_ticket(session, row["ticket"]) or {} for row in ledger if row["ticket"]}
    rows = []
    for story, row in zip_longest(stories, ledger, fillvalue=None):
        if row is None:
            continue
        answers = [sent for sent in outbox if f":{row['id']}:" in sent["key"] and sent["mail"] in ANSWERS]
        rows.append(
            {
                "mail": story.told if story else "",
                "expected": story.expected if story else None,
                "from": row["author"],
                "became": row["state"],
                "because": " by ".join(filter(None, (row["reason"], row["matched_by"]))),
                "ticket": row["ticket"],
                "customer": tickets.get(row["ticket"], {}).get("customer"),
                "receipt": ", ".join(f"{sent['mail']} ({sent['language']})" for sent in answers),
            }
        )
    return rows


def ticket_of(desk: Desk, requester: str) -> int:
    """The newest ticket of a person."""
    with reading(desk.engine) as session:
        number = next((row["number"] for row in list_tickets(session) if row["requester"] == requester), None)
    if number is None:
        raise DemoError(f"{requester} has no ticket")
    return int(number)


def answer_as(desk: Desk, number: int, agent: str, text: str) -> None:
    """As `postdesk ticket reply` does it."""
    answered = answer_ticket(desk.engine, number, agent, text, desk.now())
    if isinstance(answered, str):
        raise DemoError(answered)


def is_agent(person: mails.Person) -> bool:
    return person in mails.AGENTS


def new_mail(desk: Desk, person: mails.Person, subject: str, text: str, attach: Path | None) -> EmailMessage:
    """A mail of this moment, by the desk's clock, to the support address."""
    message = mails.mail(person, subject, text, at=desk.now(), id=uuid4().hex)
    if attach:
        main, _, sub = (mimetypes.guess_type(attach.name)[0] or "application/octet-stream").partition("/")
        message.add_attachment(attach.read_bytes(), maintype=main, subtype=sub, filename=attach.name)
    return message


def reply_mail(desk: Desk, person: mails.Person, answered: EmailMessage, text: str) -> EmailMessage:
    return mails.reply(person, answered, text, at=desk.now(), id=uuid4().hex)


def newest_about(desk: Desk, address: str, number: int) -> EmailMessage | None:
    """The newest mail that the person got about a ticket."""
    about = (m for m in reversed(sent_mails(desk)) if m["X-Postdesk-Ticket"] == str(number))
    return next((message for message in about if message["Delivered-To"] == address), None)


def send_or_tell(desk: Desk, message: EmailMessage) -> str:
    """As `send`; says so where the demo does not run."""
    try:
        return send(desk, message)
    except OSError:
        raise DemoError("the demo does not run; start it with `postdesk demo` in another terminal") from None


def became(desk: Desk, reply: str) -> str:
    """What became of the mail that the listener's "250 … queued as ID" is about; "" where that takes too long."""
    id, until = reply.split()[-1], time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with reading(desk.engine) as session:
            if row := show_ledger(session, id):
                ours = [sent for sent in list_outbox(session, limit=50) if f":{id}:" in f"{sent['key']}:"]
                leaving = [f"{sent['mail']} ({sent['language']}) to {sent['recipient']}" for sent in reversed(ours)]
                ticket = f", ticket {row['ticket']}" if row["ticket"] else ""
                return f"{row['state']} because {row['reason']}{ticket}; mails: {', '.join(leaving) or 'none'}"
        time.sleep(0.05)
    return ""
