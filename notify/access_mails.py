"""The mails about access and seats: one small function for each turns rows into the context of its template.

As notify/mails.py, of which this is a family. Links and codes are minted here, while composing. What an applicant wrote
stands in few mails, as text, cut before it was kept (threats T25, T52).
"""

from collections.abc import Mapping
from datetime import timedelta

from models.access.views import AccessRows, LinkView, RequestView, SeatView
from models.views.mails import MailRows
from notify.ics import day_file
from notify.letterhead import CataloguedMail, Letterhead
from notify.render import Plain
from rules.access_form import unlinked
from rules.commands import word_for
from rules.links import PATHS, mint_link
from values.access import APPLICANT_TEXT_CAP
from values.addresses import canonical_address
from values.vocabulary import AccessKind, Answer, Command, LinkPurpose, MailClass, MailName

Context = dict[str, Plain] | None
MASK = "******"


# --- mails that carry a link --------------------------------------------------------------------------------------


def _access_proof(rows: MailRows, letterhead: Letterhead) -> Context:
    """Not one word of the applicant's: anybody can have us write this to anybody."""
    link = rows.access.link if rows.access else None
    return _link(letterhead, link, LinkPurpose.PROOF)


def _invitation(rows: MailRows, letterhead: Letterhead) -> Context:
    found = rows.access
    if found is None or found.request is None or found.seat is None or found.customer is None:
        return None
    link = _link(letterhead, found.link, LinkPurpose.INVITATION)
    if link is None:
        return None
    return {**link, **_loan(found.seat), "customer": found.customer, "support": letterhead.support}


def _sign_in(rows: MailRows, letterhead: Letterhead) -> Context:
    link = rows.access.link if rows.access else None
    return _link(letterhead, link, LinkPurpose.SIGN_IN)


def _link(letterhead: Letterhead, link: LinkView | None, purpose: LinkPurpose) -> Context:
    """None where a newer link took its place, or it was used: such a mail would only confuse."""
    if link is None or link.purpose is not purpose or not link.is_open:
        return None
    minted = mint_link(letterhead.keys, purpose, link.id, link.seed)
    url = f"{letterhead.portal_url}{PATHS[purpose]}{minted.token}"
    return {"url": url, "code": minted.code, "expires": link.expires}


def masked(context: Mapping[str, Plain]) -> dict[str, Plain]:
    """The same without link and code, for whoever looks at a mail that is not his own."""
    if "code" not in context:
        return dict(context)
    return {**context, "url": f"{str(context['url']).rpartition('/')[0]}/{MASK}", "code": MASK}


# --- mails about a request ----------------------------------------------------------------------------------------


def _request(rows: MailRows, letterhead: Letterhead) -> Context:
    """For agents and superusers: who asks for what, and what speaks for it."""
    found = rows.access
    if found is None or found.request is None:
        return None
    asked = found.request
    return {
        **_asked(asked),
        "customer": found.customer,
        "seats": found.seats,
        "used": len(found.holders),
        "holders": _people(found.holders),
        "said": unlinked(asked.said),  # in mails to agents only (T52)
        "believed": asked.belief.value == "believed",
        "agreed_by": asked.agreed_by,
        "due": asked.due,
        "desk_url": f"{letterhead.portal_url}/access-requests" if letterhead.portal_url else None,
        "approve": word_for(Command.APPROVE, rows.claimed.language),
        "refuse": word_for(Command.REFUSE, rows.claimed.language),
    }


def _refused(rows: MailRows, letterhead: Letterhead) -> Context:
    found = rows.access
    if found is None or found.request is None:
        return None
    return {"reason": found.request.reason or "", "support": letterhead.support}


def _request_news(rows: MailRows, letterhead: Letterhead) -> Context:
    """For who lent a seat or agreed, and for agents: what became of the request."""
    found = rows.access
    if found is None or found.request is None:
        return None
    return {
        **_asked(found.request),
        "news": str(rows.claimed.context.get("news") or ""),
        "customer": found.customer,
        "reason": found.request.reason or "",
        "agreed_by": found.request.agreed_by,
        "decided": found.request.decided_at is not None,
        "support": letterhead.support,
    }


def _seats_taken(rows: MailRows, letterhead: Letterhead) -> Context:
    found = rows.access
    if found is None or found.request is None or found.customer is None:
        return None
    return {
        "customer": found.customer,
        "seats": found.seats,
        "holders": _people(found.holders),
        "manager": found.manager or letterhead.support,
        "access_url": letterhead.access_url,
    }


# --- mails about a seat -------------------------------------------------------------------------------------------


def _seat_changed(rows: MailRows, letterhead: Letterhead) -> Context:
    found = rows.access
    if found is None or found.seat is None:
        return None
    return {
        **_loan(found.seat),
        "customer": found.seat.customer_name,
        "change": str(rows.claimed.context.get("change") or ""),
        "support": letterhead.support,
        "take_back": word_for(Command.TAKE_BACK, rows.claimed.language),
    }


def _returns_file(rows: MailRows, letterhead: Letterhead) -> str | None:
    seat = rows.access.seat if rows.access else None
    if seat is None or seat.ends_on is None:
        return None
    summary = f"{seat.regular or seat.customer_name} ← {_who(seat)} ({letterhead.vendor})"
    uid = f"seat-{seat.id}@{letterhead.policy.desk_domain}"
    return day_file(uid=uid, stamp=rows.claimed.created, day=seat.ends_on + timedelta(days=1), summary=summary)


def _seat_flagged(rows: MailRows, letterhead: Letterhead) -> Context:
    found = rows.access
    if found is None or found.seat is None:
        return None
    return {
        "holder": _who(found.seat),
        "address": found.seat.address,
        "customer": found.seat.customer_name,
        "seats": found.seats,
        "flag": found.seat.flag or "",
        "manager": found.manager or letterhead.support,
        "access_url": letterhead.access_url,
    }


# --- colleagues, and the receipt of an order ----------------------------------------------------------------------


def _colleague_held(rows: MailRows, letterhead: Letterhead) -> Context:
    return {}


def _colleague_declined(rows: MailRows, letterhead: Letterhead) -> Context:
    held = rows.access.held if rows.access else None
    return None if held is None else {"about": held.subject[:APPLICANT_TEXT_CAP]}


def _colleague_ask(rows: MailRows, letterhead: Letterhead) -> Context:
    held = rows.access.held if rows.access else None
    if held is None:
        return None
    return {
        "author": held.author,
        "about": held.subject[:APPLICANT_TEXT_CAP],
        "text": held.text.strip("\n"),
        "release": word_for(Command.RELEASE, rows.claimed.language),
        "decline": word_for(Command.DECLINE, rows.claimed.language),
    }


def _command_answer(rows: MailRows, letterhead: Letterhead) -> Context:
    context, found = rows.claimed.context, rows.access or AccessRows()
    works = [word for word in str(context.get("works") or "").split(",") if word]
    return {
        "answer": str(context.get("answer") or Answer.UNKNOWN_COMMAND),
        "command": str(context.get("command") or ""),
        "name": unlinked(found.request.name) if found.request else None,
        "number": found.request.id if found.request else None,
        "holders": _people(found.holders),
        "works": tuple({"command": word, "word": word_for(Command(word), rows.claimed.language)} for word in works),
    }


def _asked(asked: RequestView) -> dict[str, Plain]:
    return {
        "number": asked.id,
        "name": unlinked(asked.name),
        "address": asked.address,
        "company": unlinked(asked.company),
        "phone": unlinked(asked.phone),
        "replaces": asked.kind is AccessKind.IN_PLACE_OF,
        "regular": unlinked(asked.in_place_of),
        "starts": asked.starts_on,
        "ends": asked.ends_on,
    }


def _loan(seat: SeatView) -> dict[str, Plain]:
    regular = seat.regular if seat.regular and canonical_address(seat.regular) else unlinked(seat.regular or "")
    return {"holder": _who(seat), "regular": regular or None, "starts": seat.starts_on, "ends": seat.ends_on}


def _people(seats: tuple[SeatView, ...]) -> tuple[dict[str, Plain], ...]:
    return tuple({"name": _who(seat), "address": seat.address} for seat in seats)


def _who(seat: SeatView) -> str:
    """The name, which the holder chose as an applicant; the address where there is none."""
    return unlinked(seat.name) or seat.address


def _notice(context: object, **more: object) -> CataloguedMail:
    return CataloguedMail(kind=MailClass.NOTICE, context=context, threaded=False, **more)  # type: ignore[arg-type]


ACCESS_MAILS: Mapping[MailName, CataloguedMail] = {
    MailName.ACCESS_PROOF: _notice(_access_proof),
    MailName.ACCESS_DESK_NOTICE: _notice(_request, takes_orders=True),
    MailName.ACCESS_AGREE: _notice(_request, takes_orders=True),
    MailName.ACCESS_LATE: _notice(_request, takes_orders=True),
    MailName.ACCESS_REFUSED: _notice(_refused),
    MailName.ACCESS_SEATS_TAKEN: _notice(_seats_taken),
    MailName.INVITATION: _notice(_invitation),
    MailName.INVITATION_BOUNCED: _notice(_request, takes_orders=True),
    MailName.SEAT_CHANGED: _notice(_seat_changed, takes_orders=True),
    MailName.SEAT_RETURNS_SOON: _notice(_seat_changed, takes_orders=True, calendar=_returns_file),
    MailName.SEAT_FLAGGED: _notice(_seat_flagged),
    MailName.REQUEST_NEWS: _notice(_request_news),
    MailName.SIGN_IN: _notice(_sign_in),
    MailName.COLLEAGUE_HELD: CataloguedMail(kind=MailClass.RECEIPT, context=_colleague_held),
    MailName.COLLEAGUE_DECLINED: _notice(_colleague_declined),
    MailName.COLLEAGUE_ASK: _notice(_colleague_ask, takes_orders=True),
    MailName.COMMAND_ANSWER: CataloguedMail(kind=MailClass.RECEIPT, context=_command_answer, takes_orders=True),
}
