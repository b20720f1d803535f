"""Turn a decision into rows: ledger, ticket, article, held mail, outbox. Chooses nothing.

Takes: a mail and the decision about it, in the transaction in which its facts were gathered.  Gives: a Receipt.
Fails: PostdeskError outside a snapshot; a database error that `db.is_lost_race` knows where another worker took a key
(the Message-ID's anchor, the first copy's place) meanwhile: then the whole transaction is run again, and finds what
the other has written. Recording a spool id again changes nothing.
"""

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from models.access.request import about_request, perform
from models.db.columns import insert_new, storable
from models.db.engine import is_snapshot
from models.db.failpoint import failpoint
from models.db.keys import address_key, anchor_key
from models.inbound.held import hold, settle
from models.inbound.ledger import LEDGER
from models.inbound.spent_proof import spend
from models.outbox.outbox import OUTBOX, count_hard_bounce, enqueue, suppress, unsuppress
from models.people.customer import learn_contact
from models.tickets.event import note_event
from models.tickets.ticket import (
    NewArticle,
    NewTicket,
    add_article,
    anchor,
    assign_if_free,
    join_ticket,
    open_ticket,
    pause_thread,
    rotate_token,
    update_ticket,
)
from values.access import AccessAction
from values.actor import DESK, Actor
from values.decision import (
    AddArticle,
    Decision,
    Discard,
    Hold,
    LearnContact,
    NoteAutoReply,
    NoteSecondCopy,
    OpenTicket,
    PauseThread,
    Receipt,
    RecordReport,
    Release,
    RotateToken,
    SpendProof,
    TakePlace,
    Unsuppress,
)
from values.errors import PostdeskError
from values.mail import AuthEvidence, Envelope, Mailbox, ParsedMail, SpooledMail
from values.vocabulary import (
    ArticleKind,
    Door,
    HeldState,
    LedgerState,
    OutboxStatus,
    ParticipantRole,
    Reason,
    Source,
    TicketEventKind,
)

_NOBODY = Mailbox(address="")


def record(
    session: Session,
    mail: ParsedMail,
    decision: Decision,
    now: datetime,
    release: Release | None = None,
    *,
    again_by: str = "",
) -> Receipt:
    """Write what was decided. A held mail may be decided again: with a person's `release`, or because somebody,
    `again_by`, changed what is known. Its ledger row is brought up to date then, unless it is held as before."""
    connection = session.connection()
    if not is_snapshot(connection):
        raise PostdeskError(
            "record in the snapshot in which the facts were gathered: transaction(engine, snapshot=True)"
        )
    before = connection.execute(_BEFORE, {"spool_id": mail.spool_id}).first()
    if before and not _is_news(before, decision, release, again_by):
        return Receipt(
            ledger_id=before.id, state=before.state, ticket=before.ticket, article=before.article, already=True
        )
    work = _Work(session, mail, decision, now)
    for action in decision.actions:
        work.do(action)
    values = work.decided()
    if before:
        values |= {"first_key": mail.content_key} if work.takes_place else {}
        connection.execute(sa.update(LEDGER).where(LEDGER.c.id == mail.spool_id).values(**values))
        if decision.state is not LedgerState.HELD:
            settle(session, mail.spool_id, HeldState.RELEASED, release.by if release else again_by, now)
    else:
        _write_ledger(connection, _arrived(mail, now) | values)
    for held in work.holds:
        hold(session, mail.spool_id, decision.reason, held, mail, now, again=before is not None)
    notices = decision.notices
    if work.access:
        who = mail.author.address if mail.author else "desk"
        asked = perform(session, work.access, (), now, who=who, via=f"mail:{mail.spool_id}")
        notices = tuple(about_request(notice, asked) for notice in notices)
    failpoint("record.before-outbox")
    outbox = enqueue(session, notices, now, new_ticket=work.opened, article=work.article)
    return Receipt(
        ledger_id=mail.spool_id, state=decision.state, ticket=work.ticket, article=work.article, outbox=outbox
    )


def _is_news(before: Any, decision: Decision, release: Release | None, again_by: str) -> bool:
    if before.state is not LedgerState.HELD or not (release or again_by):
        return False
    is_held = decision.state is LedgerState.HELD
    return not is_held or (bool(again_by) and decision.reason is not before.reason)


def record_poison(session: Session, spooled: SpooledMail, why: str, now: datetime) -> Receipt:
    """Hold a mail that can't be read: it killed its worker, or the pipeline failed on it, three times."""
    connection = session.connection()
    before = connection.execute(_BEFORE, {"spool_id": spooled.id}).first()
    if before:
        return Receipt(ledger_id=before.id, state=before.state, ticket=before.ticket, already=True)
    row = _received(spooled.id, spooled.envelope, spooled.sha256, spooled.size, now) | {
        "author": None,
        "author_name": "",
        "message_id": None,
        "subject": "",
        "content_key": "",
        "auth": None,
        "defects": [],
        "state": LedgerState.HELD,
        "reason": Reason.POISON,
        "trace": [storable(why)],
    }
    _write_ledger(connection, row)
    held = Hold(why=why, would="Read it again, and decide then.")
    hold(session, spooled.id, Reason.POISON, held, None, now)
    return Receipt(ledger_id=spooled.id, state=LedgerState.HELD)


class _Work:
    """What the actions of one decision make, for each other and for the ledger row."""

    def __init__(self, session: Session, mail: ParsedMail, decision: Decision, now: datetime) -> None:
        self._session = session
        self._mail = mail
        self._decision = decision
        self._door = Door.PAGE if mail.envelope.source is Source.PORTAL else Door.MAIL
        self._by = Actor(who=address_key(mail.author.address) if mail.author else DESK, door=self._door)
        self._now = now
        self.ticket = decision.ticket
        self.opened: int | None = None
        self.article: int | None = None
        self.copy_of: str | None = None
        self.takes_place = False
        self.holds: list[Hold] = []
        self.access: list[AccessAction] = []

    def do(self, action: Any) -> None:
        match action:
            case OpenTicket():
                self._open(action)
            case AddArticle():
                self._add(action)
            case NoteAutoReply():
                if action.ticket is not None:
                    self._note(action.ticket)
            case RecordReport():
                self._report(action)
            case Hold():
                self.holds.append(action)
            case NoteSecondCopy():
                self.copy_of = action.of
            case TakePlace():
                self.takes_place = True
                first = sa.update(LEDGER).where(LEDGER.c.id == action.of)
                self._session.connection().execute(first.values(first_key=None))
            case RotateToken():
                rotate_token(self._session, action.participant)
            case LearnContact():
                learn_contact(self._session, action.mailbox, action.customer, self._now)
            case Unsuppress():
                unsuppress(self._session, action.address)
            case PauseThread():
                pause_thread(self._session, action.ticket, action.story, self._now, Actor(door=self._door))
            case SpendProof():
                spend(self._session, action.key, self._mail.spool_id, self._now)
            case Discard():
                pass
            case _ if isinstance(action, AccessAction):
                self.access.append(action)
            case _:
                raise PostdeskError(f"record knows no action {type(action).__name__}")

    def decided(self) -> dict[str, Any]:
        """The part of the ledger row that the decision makes."""
        return {
            "state": self._decision.state,
            "reason": self._decision.reason,
            "matched_by": self._decision.matched_by,
            "ticket": self.ticket,
            "article": self.article,
            "copy_of": self.copy_of,
            "words_key": self._decision.words_key,
            "claimed_from": self._decision.claimed_from,
            "trace": [storable(line) for line in self._decision.trace],
        }

    def _open(self, action: OpenTicket) -> None:
        new = NewTicket(
            subject=action.subject,
            requester=action.requester,
            customer=action.customer,
            contact=action.contact,
            language=action.language,
            fields=action.fields,
            priority=action.priority,
            marked=action.marked,
            follow_up_of=action.follow_up_of,
        )
        self.ticket = self.opened = open_ticket(self._session, new, self._now)
        author = self._mail.author or action.requester
        self._write(self.ticket, author, ArticleKind.INBOUND, action.marked, action.proposed_cc)
        self._join(self.ticket, action.cc)
        self._anchor(self.ticket, action.customer, action.anchors)

    def _add(self, action: AddArticle) -> None:
        self.ticket = action.ticket
        customer = update_ticket(
            self._session, action.ticket, self._now, self._by, status=action.status, fields=action.fields
        )
        self._write(action.ticket, action.author, action.kind, action.marked, action.proposed_cc)
        self._join(action.ticket, action.cc)
        self._anchor(action.ticket, customer, action.anchors)
        if action.assignee is not None:
            agent = (action.assignee, address_key(action.author.address))
            assign_if_free(self._session, action.ticket, agent, self._now, self._by)

    def _note(self, ticket: int) -> None:
        """A machine's mail on a ticket: shown, and nothing changes."""
        self.ticket = ticket
        self._write(ticket, self._mail.author or _NOBODY, ArticleKind.INBOUND, True, (), automatic=True)

    def _report(self, action: RecordReport) -> None:
        told = next(iter(action.report.recipients), None)
        status = told.status if told else None
        for address in action.hard_bounced:
            count_hard_bounce(self._session, address, status, self._now)
        for address, reason in action.suppress:
            suppress(self._session, address, reason, self._now, outbox=next(iter(action.outbox), None))
        if told and action.outbox:
            reported = {"last_reply": storable(f"reported {told.action} {status or ''} {told.reason or ''}").strip()}
            status_now = sa.case((OUTBOX.c.id.in_(action.failed), OutboxStatus.FAILED), else_=OutboxStatus.SENT)
            ours = sa.update(OUTBOX).where(OUTBOX.c.id.in_(action.outbox), OUTBOX.c.status == OutboxStatus.SENT)
            self._session.connection().execute(ours.values(**reported, status=status_now))
        if action.ticket is not None:
            self._note(action.ticket)

    def _write(
        self,
        ticket: int,
        author: Mailbox,
        kind: ArticleKind,
        marked: bool,
        proposed_cc: tuple[Mailbox, ...],
        *,
        automatic: bool = False,
    ) -> None:
        mail = self._mail
        new = NewArticle(
            kind=kind,
            author=author,
            text=mail.text,
            full_text=mail.full_text,
            html=mail.html,
            subject=mail.subject,
            message_id=mail.message_id,
            ledger=mail.spool_id,
            marked=marked,
            automatic=automatic,
            proposed_cc=proposed_cc,
            attachments=mail.attachments,
        )
        opens = ticket == self.opened
        self.article = add_article(self._session, ticket, new, self._now, self._door, opens=opens)

    def _join(self, ticket: int, cc: Iterable[Mailbox]) -> None:
        for box in cc:
            join_ticket(self._session, ticket, box.address, ParticipantRole.CC, name=box.name)
            kind, who = TicketEventKind.PARTICIPANT, address_key(box.address)
            note_event(self._session, (ticket,), kind, self._by, self._now, now=who)

    def _anchor(self, ticket: int, customer: int | None, ids: tuple[str, ...]) -> None:
        own = (self._mail.message_id,) if self._mail.message_id else ()
        anchor(self._session, ticket, customer, (*own, *ids))


def _arrived(mail: ParsedMail, now: datetime) -> dict[str, Any]:
    """The part of the ledger row that the mail makes."""
    return _received(mail.spool_id, mail.envelope, mail.sha256, mail.size, now) | {
        "author": address_key(mail.author.address) if mail.author else None,
        "author_name": storable(mail.author.name) if mail.author else "",
        "message_id": anchor_key(mail.message_id) if mail.message_id else None,
        "subject": storable(mail.subject),
        "content_key": mail.content_key,
        "auth": _auth(mail.auth),
        "defects": list(mail.defects),
    }


def _received(id: str, envelope: Envelope, sha256: str, size: int, now: datetime) -> dict[str, Any]:
    return {
        "id": id,
        "received": envelope.received_at,
        "recorded": now,
        "source": envelope.source,
        "reverse_path": storable(envelope.reverse_path),
        "forward_paths": [storable(path) for path in envelope.forward_paths],
        "client_ip": envelope.client_ip,
        "helo": storable(envelope.helo) if envelope.helo else None,
        "tls": envelope.tls,
        "sha256": sha256,
        "size": size,
    }


def _auth(auth: AuthEvidence) -> dict[str, Any]:
    return {field: _plain(getattr(auth, field)) for field in _AUTH_FIELDS}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [storable(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return storable(value) if isinstance(value, str) else value


def _write_ledger(connection: sa.Connection, row: dict[str, Any]) -> None:
    """The first copy takes the content key's place; a known later copy goes without, a raced one is a lost race."""
    statement = insert_new(LEDGER, connection.dialect.name, "id")
    first = row["content_key"] if row["content_key"] and row["state"] is not LedgerState.DUPLICATE else None
    row = row | {"copy_of": row.get("copy_of"), "words_key": row.get("words_key", ""), "first_key": first}
    row |= {"claimed_from": row.get("claimed_from", "")}
    if connection.execute(statement, row).scalar() is None:
        connection.execute(sa.insert(LEDGER), row | {"first_key": None})


_AUTH_FIELDS = tuple(field.name for field in fields(AuthEvidence))
_BEFORE = sa.select(LEDGER.c.id, LEDGER.c.state, LEDGER.c.reason, LEDGER.c.ticket, LEDGER.c.article).where(
    LEDGER.c.id == sa.bindparam("spool_id")
)
