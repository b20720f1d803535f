"""The invitation: what one is invited to, and accepting it."""

from datetime import datetime

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response

from models.access.facts import gather_access
from models.access.request import perform
from models.access.views import find_request, find_seat
from models.sessions.link import OneUseLink
from portal.links import closed, look, needs_code, redeem
from portal.pages import page
from portal.parts import parts_of
from portal.security import Form
from portal.sign_in import begin_session, signed_in
from rules import access
from rules.links import Verdict
from values.vocabulary import Answer, LinkPurpose


def show(request: Request, token: str = "") -> Response:
    """GET /invite/TOKEN."""
    return _show(request, token)


def accept(request: Request, form: Form, token: str = "") -> Response:
    """POST /invite/TOKEN: the seat is taken, and the person signed in."""
    code = form.get("code", "")
    done = redeem(request, token, LinkPurpose.INVITATION, code, lambda *found: _accept(request, *found))
    if isinstance(done, Verdict):
        return _show(request, token, error="code", status=422)
    return signed_in(request, done, "/people")


def _show(request: Request, token: str, error: str | None = None, status: int = 200) -> Response:
    parts = parts_of(request)

    def found(session: Session) -> Response:
        link = look(request, session, token, LinkPurpose.INVITATION, parts.now())
        asked = find_request(session, link.request or 0)
        seat = find_seat(session, asked.seat) if asked and asked.seat else None
        if asked is None or seat is None:
            raise closed(link)
        return page(
            request, "invitation", status, asked=asked, seat=seat, needs_code=needs_code(request, link), error=error
        )

    return parts.read(found)


def _accept(request: Request, session: Session, link: OneUseLink, now: datetime) -> str:
    facts = gather_access(session, now, request=link.request)
    ruling = access.accept(facts, now)
    seat = facts.seat(facts.request.seat) if facts.request else None
    if ruling.answer is not Answer.DONE or seat is None:
        raise closed(link)
    perform(session, ruling.actions, ruling.notices, now, who=link.address, via=f"link:{link.id}")
    return begin_session(request, session, link.address, now, contact=seat.contact, agent=None)
