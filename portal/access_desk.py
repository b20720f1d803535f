"""The agents' access desk: each request with its 24 hours, the company's seats, and what speaks for the applicant."""

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from models.access.facts import gather_access
from models.access.views import RequestView, find_request, list_requests
from models.views.viewer import Viewer, list_customer_names
from portal.pages import go, page, sign_in_first
from portal.parts import parts_of
from portal.people import act, number
from portal.request_access import TYPED_LIMIT
from portal.security import Form
from portal.session import viewer_of
from rules import access, seats
from values.access import AccessFacts
from values.decision import Ruling
from values.vocabulary import AccessState, Answer

SAID = frozenset({"approved", "refused", "seats-taken", "has-seat", "done"})
TROUBLE = frozenset({Answer.NO_CUSTOMER, Answer.NOBODY_TO_REPLACE, Answer.DATES, Answer.REASON_MISSING, Answer.ALREADY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A request on the desk and what an agent weighs."""

    request: RequestView
    facts: AccessFacts
    holders: tuple[str, ...]
    is_late: bool
    is_near: bool  # the warning of 20 hours is over

    @property
    def is_full(self) -> bool:
        return self.facts.customer is not None and len(self.holders) >= self.facts.customer.seats


def show_all(request: Request) -> Response:
    """GET /access-requests."""
    viewer = viewer_of(request)
    if viewer is None:
        return sign_in_first(request)
    _require_agent(viewer)
    parts, said = parts_of(request), request.query_params.get("said", "")

    def found(session: Session) -> tuple[list[Entry], list[RequestView]]:
        waiting = [_entry(request, session, one) for one in list_requests(session, open_only=True, limit=100)]
        settled = [one for one in list_requests(session) if one.state not in _OPEN and one.proved_at]
        return waiting, sorted(settled, key=lambda one: one.decided_at or one.created, reverse=True)[:20]

    waiting, settled = parts.read(found)
    return page(
        request, "access_requests", waiting=waiting, settled=settled, now=parts.now(), said=said if said in SAID else ""
    )


def show(request: Request, id: str = "") -> Response:
    """GET /access-requests/ID."""
    if viewer_of(request) is None:
        return sign_in_first(request)
    return _show(request, number(id))


def approve(request: Request, form: Form, id: str = "") -> Response:
    """POST /access-requests/ID/approve, with the customer where an agent knows it better than the domain."""
    _require_agent(viewer_of(request))
    parts, now = parts_of(request), parts_of(request).now()
    chosen = number(form.get("customer", "")) or None

    def rule(facts: AccessFacts, by: Viewer) -> Ruling:
        return access.approve(facts, parts.policy, now) if by.agent else Ruling(answer=Answer.NOT_YOURS)

    return _settled(request, number(id), act(request, rule, request_id=number(id), customer=chosen), form)


def refuse(request: Request, form: Form, id: str = "") -> Response:
    """POST /access-requests/ID/refuse, with the reason that the applicant is told."""
    _require_agent(viewer_of(request))
    reason, now = form.get("reason", "")[:TYPED_LIMIT], parts_of(request).now()
    withdraws = form.get("withdraws") == "yes"  # the page showed that it is approved

    def rule(facts: AccessFacts, by: Viewer) -> Ruling:
        return access.refuse(facts, reason, now, withdraws=withdraws) if by.agent else Ruling(answer=Answer.NOT_YOURS)

    return _settled(request, number(id), act(request, rule, request_id=number(id)), form)


# --- how ----------------------------------------------------------------------------------------------------------

_OPEN = (AccessState.UNPROVED, AccessState.WAITING, AccessState.APPROVED)


def _settled(request: Request, id: int, answer: Answer, form: Form) -> Response:
    if answer in TROUBLE:  # the page then shows who decided already
        return _show(request, id, 422, trouble=answer.value, reason=form.get("reason", "")[:TYPED_LIMIT])
    words = {Answer.DONE: "refused"}
    return go(request, f"/access-requests?said={words.get(answer, answer.value)}")


def _show(request: Request, id: int, status: int = 200, **more: Any) -> Response:
    _require_agent(viewer_of(request))

    def found(session: Session) -> tuple[Entry, list[tuple[int, str]]] | None:
        one = find_request(session, id)
        if one is None:
            return None
        return _entry(request, session, one), list_customer_names(session)

    shown = parts_of(request).read(found)
    if shown is None or shown[0].request.state is AccessState.UNPROVED:  # nobody's yet
        raise HTTPException(404)
    values = {"trouble": "", "reason": ""} | more
    return page(
        request, "access_request", status, entry=shown[0], customers=shown[1], now=parts_of(request).now(), **values
    )


def _entry(request: Request, session: Session, one: RequestView) -> Entry:
    parts = parts_of(request)
    now, policy = parts.now(), parts.policy
    facts = gather_access(session, now, request=one.id)
    near = one.due - (policy.access_due - policy.access_warning)
    is_open = one.state in (AccessState.WAITING, AccessState.APPROVED)
    return Entry(
        request=one,
        facts=facts,
        holders=tuple(seat.name or seat.address for seat in seats.holders(facts)),
        is_late=facts.request is not None and access.is_late(facts.request, now),
        is_near=is_open and now >= near,
    )


def _require_agent(viewer: Viewer | None) -> None:
    """The desk is not there for anybody else."""
    if viewer is None or viewer.agent is None:
        raise HTTPException(404)
