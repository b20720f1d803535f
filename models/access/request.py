"""Access requests, and what is done about them: `perform` writes what rules/access.py decided. Chooses nothing.

Every change is written to the audit with who did it and by which mail, session, command or job.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel

from models.db.columns import Json, storable, table_of, words
from models.db.engine import is_snapshot
from models.desk.audit import append
from models.inbound.held import drop, release_later, release_waiting
from models.outbox.outbox import enqueue
from models.people.customer import CUSTOMER, SEAT, add_contact, join_customer, main_address
from models.sessions.link import add_link, end_links
from models.tickets.ticket import pass_tickets
from values.access import (
    NEW_REQUEST,
    AccessAction,
    DeclineHeld,
    EndLinks,
    FlagSeat,
    JoinCustomer,
    MintLink,
    MoveRequest,
    PassTickets,
    ReleaseHeld,
    ReleaseWaiting,
    RequestAccess,
    ReserveSeat,
    TurnSeat,
)
from values.actor import Actor
from values.decision import Notice
from values.errors import PostdeskError
from values.vocabulary import AccessKind, AccessState, Belief, LinkPurpose, MailName, SeatState

_REASON_KEPT = 500  # characters


class AccessRequest(SQLModel, table=True):
    """What an applicant asked for, and how it went. The texts are the applicant's own: shown as text, never linked."""

    __tablename__ = "access_request"
    __table_args__ = (
        sa.Index("ix_access_request_address_created", "address", "created"),
        sa.Index("ix_access_request_state_due", "state", "due"),
        {"sqlite_autoincrement": True},  # the number stands in mails: never twice
    )

    id: int | None = Field(default=None, primary_key=True)
    state: AccessState = Field(default=AccessState.UNPROVED, sa_type=words(AccessState))
    kind: AccessKind = Field(sa_type=words(AccessKind))
    name: str
    address: str  # canonical
    company: str = ""
    phone: str = ""
    language: str = "en"
    in_place_of: str = ""  # address or name of a superuser, as the applicant wrote it; empty: nobody clearly named
    starts_on: date | None = None
    ends_on: date | None = None
    customer: int | None = Field(default=None, foreign_key="customer.id")
    seat: int | None = Field(default=None, foreign_key="seat.id", index=True)
    belief: Belief = Field(default=Belief.UNPROVED, sa_type=words(Belief))  # of the mail that asked
    evidence: list[str] = Field(default_factory=list, sa_type=Json)  # lines for the agent
    said: str = ""  # the words of the mail that asked, for agents only
    via: str  # mail:<ledger id>, form
    created: datetime = Field(index=True)
    due: datetime  # an invitation or a reason by then
    proved_at: datetime | None = None
    decided_at: datetime | None = None
    decided_by: str | None = None
    reason: str | None = None  # of a refusal, or why it waits again
    agreed_by: str | None = None  # superuser who agreed to the replacement
    invited_at: datetime | None = None
    accepted_at: datetime | None = None


ACCESS_REQUEST = table_of(AccessRequest)


def perform(
    session: Session,
    actions: Iterable[AccessAction],
    notices: Iterable[Notice],
    now: datetime,
    *,
    who: str,
    via: str,
) -> int | None:
    """Do what was decided and promise its mails; the number of the request that was made, if one was.

    `who`: an address, or "desk". `via`: mail:<ledger id>, session:<id>, form, command, job:<name>. Needs the snapshot
    in which the facts were gathered; run the whole transaction again where `db.is_lost_race` says so.
    """
    if not is_snapshot(session.connection()):
        raise PostdeskError("perform in the snapshot of its facts: transaction(engine, snapshot=True)")
    work = _Work(session, now, who, via)
    for action in actions:
        work.do(action)
    enqueue(session, (about_request(notice, work.made) for notice in notices), now)
    return work.made


def about_request(notice: Notice, made: int | None) -> Notice:
    """The notice with the number of the request that was made, where it is about that one."""
    if made is None or ("request", NEW_REQUEST) not in notice.context:
        return notice
    context = tuple((name, made if name == "request" else value) for name, value in notice.context)
    return replace(notice, context=context)


class _Work:
    """The actions of one decision, one after the other."""

    def __init__(self, session: Session, now: datetime, who: str, via: str) -> None:
        self._session = session
        self._connection = session.connection()
        self._now = now
        self._who = who
        self._via = via
        self.made: int | None = None

    def do(self, action: AccessAction) -> None:
        match action:
            case RequestAccess():
                self._ask(action)
            case MoveRequest():
                self._move(action)
            case ReserveSeat():
                self._reserve(action)
            case JoinCustomer():
                join_customer(self._session, action.contact, action.customer, storable(action.name), action.language)
                self._tell("contact.join", f"contact:{action.contact}", {"customer": action.customer})
            case TurnSeat():
                self._turn(action)
            case PassTickets():
                giver, taker = self._person(action.giver), self._person(action.taker)
                by = Actor.of(self._who, self._via)
                detail = {"tickets": pass_tickets(self._session, action.customer, giver, taker, self._now, by)}
                self._tell("tickets.pass", f"customer:{action.customer}", detail | {"from": giver[0], "to": taker[0]})
            case FlagSeat():
                self._write(sa.update(SEAT).where(SEAT.c.id == action.seat).values(flag=action.flag))
                self._tell("seat.flag", f"seat:{action.seat}", {"flag": action.flag})
            case MintLink():
                self._invite(action)
            case EndLinks():
                end_links(self._session, self._now, request=self._number(action.request))
            case ReleaseHeld():
                if release_later(self._session, action.held, action.by, action.customer, self._now):
                    self._tell("held.wish", f"held:{action.held}")
            case ReleaseWaiting():
                for id in release_waiting(self._session, action.author, action.customer, self._now):
                    self._tell("held.wish", f"held:{id}")
            case DeclineHeld():
                if drop(self._session, action.held, action.by, self._now):
                    self._tell("held.decline", f"held:{action.held}")

    # -- requests

    def _ask(self, action: RequestAccess) -> None:
        asked = action.asked
        row = {
            "state": AccessState.UNPROVED,
            "kind": asked.kind,
            "name": storable(asked.name),
            "address": asked.address,
            "company": storable(asked.company),
            "phone": storable(asked.phone),
            "language": asked.language,
            "in_place_of": storable(asked.in_place_of),
            "starts_on": asked.starts_on,
            "ends_on": asked.ends_on,
            "customer": action.customer,
            "belief": action.belief,
            "said": storable(asked.said),
            "evidence": [storable(line) for line in action.evidence],
            "via": self._via,
            "created": self._now,
            "due": action.due,
        }
        made = sa.insert(ACCESS_REQUEST).returning(ACCESS_REQUEST.c.id)
        self.made = int(self._connection.execute(made, row).scalar_one())
        self._tell("access.ask", f"access:{self.made}", {"address": asked.address, "kind": asked.kind.value})
        if action.prove:
            link = add_link(
                self._session,
                LinkPurpose.PROOF,
                asked.address,
                action.link_until,
                self._now,
                request=self.made,
                nonce_hash=action.nonce_hash,
            )
            self._mail_link(MailName.ACCESS_PROOF, asked.address, self.made, link, action.language, "")

    def _number(self, request: int) -> int:
        return self.made if request == NEW_REQUEST and self.made is not None else request

    def _move(self, action: MoveRequest) -> None:
        request = self._number(action.request)
        values: dict[str, Any] = {"state": action.now}
        if action.customer is not None:
            values["customer"] = action.customer
        if action.due is not None:
            values["due"] = action.due
        if action.proved:
            values["proved_at"] = self._now
        if action.agreed_by is not None:
            values["agreed_by"] = action.agreed_by
        if action.reason is not None:
            values["reason"] = storable(action.reason)[:_REASON_KEPT]
        if action.now in (AccessState.APPROVED, AccessState.REFUSED) and action.was is not action.now:
            values |= {"decided_at": self._now, "decided_by": self._who}
        if action.now is AccessState.ACCEPTED:
            values["accepted_at"] = self._now
        which = sa.update(ACCESS_REQUEST).where(ACCESS_REQUEST.c.id == request)
        self._write(which.where(ACCESS_REQUEST.c.state == action.was).values(**values))
        detail = {"was": action.was.value, "now": action.now.value, "reason": values.get("reason")}
        self._tell("access.move", f"access:{request}", {k: v for k, v in detail.items() if v is not None})
        for older in action.replaces:
            ended = {"state": AccessState.EXPIRED, "reason": f"request {request} took its place"}
            self._write(sa.update(ACCESS_REQUEST).where(ACCESS_REQUEST.c.id == older).values(**ended))
            end_links(self._session, self._now, request=older)
            self._tell("access.expire", f"access:{older}", {"replaced_by": request})

    def _invite(self, action: MintLink) -> None:
        request = self._number(action.request)
        row = self._connection.execute(_INVITED, {"request": request}).one()
        link = add_link(self._session, LinkPurpose.INVITATION, row.address, action.until, self._now, request=request)
        invited = {"state": AccessState.INVITED, "invited_at": self._now}
        self._write(sa.update(ACCESS_REQUEST).where(ACCESS_REQUEST.c.id == request).values(**invited))
        self._mail_link(MailName.INVITATION, row.address, request, link, action.language, row.zone)
        self._tell("access.invite", f"access:{request}", {"until": action.until.isoformat()})

    def _mail_link(self, mail: MailName, address: str, request: int, link: int, language: str, zone: str) -> None:
        notice = Notice(
            mail=mail,
            recipient=address,
            key=Notice.key_of(mail, f"link:{link}", address),
            language=language,
            zone=zone,
            context=(("request", request), ("link", link)),
        )
        enqueue(self._session, (notice,), self._now)

    # -- seats

    def _reserve(self, action: ReserveSeat) -> None:
        # Two approvals, or an approval and a lowered number, at the same moment collide here: one is decided again.
        touched = sa.update(CUSTOMER).where(CUSTOMER.c.id == action.customer).values(seats=CUSTOMER.c.seats)
        self._write(touched)
        request = self._number(action.request)
        # The address alone: whoever has not accepted has chosen neither name nor language, and belongs to nobody (T49).
        person = add_contact(self._session, action.holder.address, self._now)
        row = {
            "customer": action.customer,
            "contact": person.id,
            "state": SeatState.RESERVED,
            "slot": action.slot,
            "starts": action.starts,
            "until": action.until,
            "stands_in_for": action.stands_in_for,
            "starts_on": action.starts_on,
            "ends_on": action.ends_on,
        }
        seat = int(self._connection.execute(sa.insert(SEAT).returning(SEAT.c.id), row).scalar_one())
        self._write(sa.update(ACCESS_REQUEST).where(ACCESS_REQUEST.c.id == request).values(seat=seat))
        self._tell("seat.reserve", f"seat:{seat}", {"request": request, "slot": action.slot})

    def _turn(self, action: TurnSeat) -> None:
        values: dict[str, Any] = {"state": action.now}
        if action.slot is not None:
            values["slot"] = action.slot
        if action.now is SeatState.ENDED:
            values["until"] = self._now
            if action.was in (SeatState.RESERVED, SeatState.PLANNED):
                values["slot"] = None  # it never began: models/people/customer.py: HAS_HELD
        turned = sa.update(SEAT).where(SEAT.c.id == action.seat, SEAT.c.state == action.was)
        self._write(turned.values(**values))
        detail = {"was": action.was.value, "now": action.now.value, "why": action.why}
        self._tell("seat.turn", f"seat:{action.seat}", {k: v for k, v in detail.items() if v})

    # -- what they share

    def _person(self, contact: int) -> tuple[int, str]:
        return contact, main_address(self._session, contact)

    def _write(self, statement: sa.Update) -> None:
        """Exactly one row, as the decision saw it; in a snapshot anything else is a fault of ours."""
        if self._connection.execute(statement).rowcount != 1:
            raise PostdeskError("access: a row is not as it was when this was decided")

    def _tell(self, what: str, subject: str, detail: dict[str, Any] | None = None) -> None:
        append(self._session, self._now, who=self._who, what=what, subject=subject, via=self._via, detail=detail)


_INVITED = (
    sa.select(ACCESS_REQUEST.c.address, sa.func.coalesce(CUSTOMER.c.zone, "").label("zone"))
    .select_from(ACCESS_REQUEST.outerjoin(CUSTOMER, CUSTOMER.c.id == ACCESS_REQUEST.c.customer))
    .where(ACCESS_REQUEST.c.id == sa.bindparam("request"))
)
