"""A form about tickets becomes rows: looked up, decided and recorded as a mail is, in one transaction.

Takes: who sends it, what he wrote, the files in the store already.  Gives: the `Receipt`.  Fails: as the database and
the store do; then nothing was recorded, and the same form can be sent again.

The id in the ledger is made of the form's key and of what was written, so that a form that is sent twice is recorded
once, and one that is changed and sent again is another. As every mail's, its words are kept in a blob besides.
"""

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP

from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request

from models.facts import gather
from models.record import record
from models.views.conversation import find_conversation
from models.views.viewer import Viewer, find_viewer
from portal.parts import Parts, parts_of
from portal.session import SESSION, read_cookie
from rules.case import Case
from rules.portal_ticket import is_too_much
from values.decision import Clues, Decision, Receipt
from values.mail import AttachmentRef, AuthEvidence, Envelope, Mailbox, ParsedMail
from values.ulid import ALPHABET, TIME_LETTERS, base32, id_of, ms_of, time_of
from values.vocabulary import AuthorVerdict, Belief, MailboxPurpose, Source, TicketAnswer

_KEPT = timedelta(days=2)  # a form that was opened longer ago has another key
Rule = Callable[[Case], Decision | TicketAnswer | None]


class Refused(Exception):
    """The form is not taken, and why: said on the page, with all that was typed."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def new_key(now: datetime) -> str:
    """What a form carries: when it was opened, and chance."""
    return id_of(int(now.timestamp() * 1000), secrets.randbits(16), secrets.randbits(64))


def post(
    request: Request,
    rule: Rule,
    *,
    key: str,
    ticket: int | None = None,
    subject: str = "",
    text: str = "",
    attachments: tuple[AttachmentRef, ...] = (),
) -> Receipt | TicketAnswer:
    """Record what the rule decides about this form; an answer where it decides that there is nothing to do.

    Raises HTTPException 404 where the ticket or customer is not the viewer's, `Refused` where he sends too many.
    """
    parts, now, token = parts_of(request), parts_of(request).now(), read_cookie(request, SESSION)

    def once(session: Session) -> Receipt | TicketAnswer:
        viewer = find_viewer(session, token, now)
        if viewer is None or not viewer.addresses:
            raise HTTPException(404)
        address, number = viewer.addresses[0], ticket
        if ticket is not None:
            seen = find_conversation(session, viewer, ticket)
            if seen is None:
                raise HTTPException(404)
            number = seen.number  # of a merged ticket the one it was merged into
            address = next((one.address for one in seen.people if one.address in viewer.addresses), address)
        said = (request.scope["path"], str(viewer.contact), subject, text, *(file.sha256 for file in attachments))
        mail = _as_mail(parts, viewer, address, _id(key, said, now), subject, text, attachments, now)
        clues = Clues(spool_id=mail.spool_id, content_key="", author=address, subject_ticket=number)
        case = Case(mail=mail, facts=gather(session, clues, now), policy=parts.policy, now=now)
        decision = rule(case)
        if decision is None:
            raise HTTPException(404)
        if isinstance(decision, TicketAnswer):
            return decision
        if is_too_much(case):
            raise Refused("too-much")
        parts.blobs.sync()
        return record(session, mail, decision, now)

    return parts.write(once)


def _as_mail(
    parts: Parts,
    viewer: Viewer,
    address: str,
    id: str,
    subject: str,
    text: str,
    attachments: tuple[AttachmentRef, ...],
    now: datetime,
) -> ParsedMail:
    """The form as the rules read it: a person's mail to the support address, whose author is proved by his session."""
    support = next((box.address for box in parts.policy.mailboxes if box.purpose is MailboxPurpose.SUPPORT), "")
    raw = _raw(address, support, subject, text, attachments, now)
    sha256, size = parts.blobs.put_bytes(raw)
    return ParsedMail(
        spool_id=id,
        sha256=sha256,
        size=size,
        envelope=Envelope(reverse_path=address, forward_paths=(support,), source=Source.PORTAL, received_at=now),
        author=Mailbox(address=address, name=viewer.name),
        author_verdict=AuthorVerdict.ONE,
        to=(Mailbox(address=support),),
        subject=subject,
        date=now,
        text=text,
        full_text=text,
        attachments=attachments,
        auth=AuthEvidence(belief=Belief.BELIEVED, evidence=(f"signed in to the portal, session {viewer.session}",)),
    )


def _raw(address: str, support: str, subject: str, text: str, files: tuple[AttachmentRef, ...], now: datetime) -> bytes:
    """The words as a mail, the files by name and SHA-256: what a restore looks for under the row's SHA-256."""
    message = EmailMessage(policy=SMTP)
    message["From"] = f"<{address}>"
    message["To"] = f"<{support}>"
    message["Subject"] = subject
    message["Date"] = now
    listed = "".join(f"\n[{file.name}, {file.size}, sha256 {file.sha256}]" for file in files)
    message.set_content(f"{text}\n{listed}" if listed else text, cte="base64")
    return message.as_bytes()


def _id(key: str, said: tuple[str, ...], now: datetime) -> str:
    """26 characters: the ms at which the form was opened, and a hash over its key and all that was written in it."""
    opened = _opened(key)
    if opened is None or not now - _KEPT <= opened <= now + timedelta(minutes=5):
        key = new_key(now)
    hashed = hashlib.sha256("\0".join((key, *said)).encode("utf-8", "surrogatepass")).digest()
    return key[:TIME_LETTERS] + base32(int.from_bytes(hashed[:10], "big"), len(key) - TIME_LETTERS)


def _opened(key: str) -> datetime | None:
    may_be = len(key) == 26 and set(key) <= set(ALPHABET) and ms_of(key) < 1 << 45
    return time_of(key) if may_be else None
