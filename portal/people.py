"""The superusers' own page: seats and who holds them, lending and taking back, colleagues' mails that wait.

What a viewer may see is models/views/viewer.py's to say, what he may do is rules/access.py's; anything else is not
there.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from models.access.facts import gather_access
from models.access.request import perform
from models.views.viewer import Viewer, find_viewer, list_companies
from portal.pages import go, page, sign_in_first
from portal.parts import parts_of
from portal.request_access import TYPED_LIMIT, days_of
from portal.security import Form
from portal.session import SESSION, read_cookie, viewer_of
from rules import access, colleagues, seats
from rules.access_form import clean
from values.access import APPLICANT_TEXT_CAP, AccessFacts, Asked
from values.addresses import canonical_address
from values.decision import Ruling
from values.vocabulary import AccessKind, Answer, SeatState

LEND = ("name", "address", "language", "starts_on", "ends_on")
SAID = frozenset(
    {"taken-back", "released", "declined", "agreed", "refused", "lent", "lent-outside", "withdrawn", "already"}
)


def show(request: Request) -> Response:
    """GET /people."""
    viewer = superuser_of(request)
    if viewer is None:
        return go(request, "/") if viewer_of(request) else sign_in_first(request)
    return _show(request, viewer)


def take_back(request: Request, form: Form) -> Response:
    """POST /people/take-back: the own seat is active again, or a replacement does not begin."""
    viewer = _require(request)
    customer = _own_customer(viewer, form)
    now = parts_of(request).now()
    begun: list[bool] = []

    def rule(facts: AccessFacts, by: Viewer) -> Ruling:
        begun.append(seats.seat_of(facts, by.contact, SeatState.RESTING) is not None)
        return seats.take_back(facts, by.contact, now)

    answer = act(request, rule, customer=customer)
    return _said(request, answer, "taken-back" if begun[-1] else "withdrawn")


def judge_mail(request: Request, form: Form) -> Response:
    """POST /people/mail: let a colleague's mail through, or not."""
    held, releases = form.get("held", "")[:200], form.get("do") == "release"
    rule = colleagues.release if releases else colleagues.decline
    answer = act(request, lambda facts, by: rule(facts, by.address), held=held)
    return _said(request, answer, "released" if releases else "declined")


def judge_replacement(request: Request, form: Form) -> Response:
    """POST /people/request: agree to a replacement, or refuse it with a reason."""
    agrees, reason = form.get("do") == "agree", form.get("reason", "")[:TYPED_LIMIT]
    parts = parts_of(request)
    now = parts.now()

    def rule(facts: AccessFacts, by: Viewer) -> Ruling:
        if agrees:
            return access.agree(facts, parts.policy, now, by.address)
        may = access.may_agree(facts, by.address)
        return access.refuse(facts, reason, now) if may else Ruling(answer=Answer.NOT_YOURS)

    answer = act(request, rule, request_id=number(form.get("request", "")))
    if answer is Answer.REASON_MISSING:
        return _show(request, _require(request), 422, reason_missing=number(form.get("request", "")))
    return _said(request, answer, "agreed" if agrees else "refused")


def lend(request: Request, form: Form) -> Response:
    """POST /people/lend: a colleague stands in for the viewer, from a day until another."""
    viewer, parts = _require(request), parts_of(request)
    customer, now = _own_customer(viewer, form), parts.now()
    asked, wrong = read_lending(form, parts.policy.languages, now)
    if asked is not None:
        stand_in = asked

        def rule(facts: AccessFacts, by: Viewer) -> Ruling:
            mine = seats.seat_of(facts, by.contact, SeatState.ACTIVE)
            return access.lend(facts, stand_in, mine, parts.policy, now) if mine else Ruling(answer=Answer.NOT_YOURS)

        answer = act(request, rule, customer=customer, asked=asked)
        if answer is Answer.DONE or answer is Answer.APPROVED:
            return _said(request, answer, "lent")
        if answer is Answer.WAITS:
            return _said(request, answer, "lent-outside")
        wrong = {
            Answer.HAS_SEAT: {"address": "has-seat"},
            Answer.TOO_OFTEN: {"address": "too-often"},
            Answer.DATES: {"starts_on": "taken"},
        }.get(answer, {})
        if not wrong:
            raise HTTPException(404)
    typed = {name: form.get(name, "")[:TYPED_LIMIT] for name in LEND} | {"customer": customer}
    return _show(request, viewer, 422, typed=typed, wrong=wrong)


# --- how ----------------------------------------------------------------------------------------------------------


def act(
    request: Request, rule: Callable[[AccessFacts, Viewer], Ruling], *, request_id: int | None = None, **which: Any
) -> Answer:
    """Gather, rule and perform in one transaction, as the viewer of that very moment."""
    parts, now, token = parts_of(request), parts_of(request).now(), read_cookie(request, SESSION)

    def once(session: Session) -> Answer:
        viewer = find_viewer(session, token, now)
        if viewer is None:
            raise HTTPException(404)
        ruling = rule(gather_access(session, now, request=request_id, **which), viewer)
        perform(session, ruling.actions, ruling.notices, now, who=viewer.address, via=viewer.via)
        return ruling.answer

    answer = parts.write(once)
    if answer in (Answer.NOT_FOUND, Answer.NOT_YOURS):  # told apart for nobody (threat T49)
        raise HTTPException(404)
    return answer


def superuser_of(request: Request) -> Viewer | None:
    """Who is signed in, where he holds a seat anywhere."""
    viewer = viewer_of(request)
    return viewer if viewer and viewer.customers else None


def number(text: str) -> int:
    """A row's number out of a form or path; 0, which no row has, where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0


def read_lending(form: Form, languages: tuple[str, ...], now: datetime) -> tuple[Asked | None, dict[str, str]]:
    """Who stands in and when; or what is wrong with each field."""
    wrong = {name: "missing" for name in ("name", "address", "ends_on") if not form.get(name, "").strip()}
    if len(form.get("name", "").strip()) > APPLICANT_TEXT_CAP:
        wrong["name"] = "long"
    address = canonical_address(form.get("address", "")[:TYPED_LIMIT])
    if address is None and "address" not in wrong:
        wrong["address"] = "address"
    starts_on, ends_on = days_of(form, now.date(), wrong)
    if wrong or address is None:
        order = {name: place for place, name in enumerate(LEND)}
        return None, dict(sorted(wrong.items(), key=lambda one: order[one[0]]))
    asked = Asked(
        name=clean(form["name"]),
        address=address,
        language=form.get("language", "") if form.get("language") in languages else languages[0],
        kind=AccessKind.IN_PLACE_OF,
        starts_on=starts_on,
        ends_on=ends_on,
    )
    return asked, {}


def _show(request: Request, viewer: Viewer, status: int = 200, **more: Any) -> Response:
    parts = parts_of(request)
    said = request.query_params.get("said", "")
    values = {"typed": {}, "wrong": {}, "reason_missing": 0, "said": said if said in SAID else ""} | more
    companies = parts.read(lambda session: list_companies(session, viewer))
    return page(request, "people", status, companies=companies, me=viewer.contact, **values)


def _require(request: Request) -> Viewer:
    viewer = superuser_of(request)
    if viewer is None:
        raise HTTPException(404)
    return viewer


def _own_customer(viewer: Viewer, form: Form) -> int:
    customer = number(form.get("customer", ""))
    if customer not in viewer.customers:
        raise HTTPException(404)
    return customer


def _said(request: Request, answer: Answer, done: str) -> Response:
    settled = answer in (Answer.ALREADY, Answer.NOTHING_TO_RETURN)
    return go(request, f"/people?said={'already' if settled else done}")
