"""Requesting access and proving the address. Who asks learns nothing but that he has asked (threats T28, T52)."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from models.access.facts import count_requests, gather_access
from models.access.request import perform
from models.access.views import find_request
from models.sessions.link import OneUseLink
from models.sessions.rate_limit import take
from portal.links import closed, look, needs_code, redeem
from portal.pages import Pages, go, page
from portal.parts import parts_of
from portal.security import Form, client_of
from portal.session import asking_of, remember_asking
from rules import access
from rules.access_form import clean, read_day
from rules.links import Closed, Verdict
from values.access import APPLICANT_TEXT_CAP, Asked
from values.addresses import canonical_address
from values.vocabulary import AccessKind, Answer, LinkPurpose

FIELDS = ("name", "address", "company", "phone", "language", "kind", "in_place_of", "starts_on", "ends_on")
TYPED_LIMIT = 300  # characters of a field that are shown again after a mistake
LATEST = timedelta(days=2 * 366)  # a replacement begins and ends within


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A form as it was filled in: the wish where all is right, else the word for what is wrong with each field."""

    asked: Asked | None
    wrong: dict[str, str]


def show_form(request: Request) -> Response:
    """GET /request-access."""
    pages: Pages = request.app.state.pages
    typed = dict.fromkeys(FIELDS, "") | {"kind": AccessKind.NEW.value, "language": pages.language_of(request)}
    return page(request, "request_access", typed=typed, wrong={})


def ask(request: Request, form: Form) -> Response:
    """POST /request-access: a link that proves the address is mailed. Nobody is looked up before that."""
    parts, asking = parts_of(request), asking_of(request)
    now, policy, client = parts.now(), parts.policy, client_of(request)
    filled = read_form(form, parts.policy.languages, now.date())
    asked = filled.asked
    if asked is None:
        typed = {name: form.get(name, "")[:TYPED_LIMIT] for name in FIELDS}
        return page(request, "request_access", 422, typed=typed, wrong=filled.wrong)

    def once(session: Session) -> Answer:
        if not take(session, f"ask:{client}", policy.asks_per_client_per_hour, timedelta(hours=1), now):
            return Answer.TOO_OFTEN
        facts = count_requests(session, asked.address, now)
        ruling = access.request(asked, facts, policy, now, nonce_hash=asking.nonce_hash)
        perform(session, ruling.actions, ruling.notices, now, who=asked.address, via="form")
        return ruling.answer

    if parts.write(once) is Answer.TOO_OFTEN:
        raise HTTPException(429)
    answer = go(request, "/request-access/sent")
    remember_asking(request, answer, asking, asking.link)
    return answer


def sent(request: Request) -> Response:
    """GET /request-access/sent: the same for everybody."""
    return page(request, "request_sent")


def show_proof(request: Request, token: str = "") -> Response:
    """GET /request-access/proof/TOKEN."""
    parts = parts_of(request)

    def found(session: Session) -> Response:
        link = look(request, session, token, LinkPurpose.PROOF, parts.now())
        return _proof_page(request, session, link, needs_code(request, link))

    return parts.read(found)


def prove(request: Request, form: Form, token: str = "") -> Response:
    """POST /request-access/proof/TOKEN: from here the 24 hours count."""
    parts = parts_of(request)
    done = redeem(request, token, LinkPurpose.PROOF, form.get("code", ""), lambda *found: _prove(request, *found))
    if not isinstance(done, Verdict):
        return page(
            request, "request_proved", answer=done.value, hours=int(parts.policy.access_due.total_seconds() // 3600)
        )

    def again(session: Session) -> Response:
        link = look(request, session, token, LinkPurpose.PROOF, parts.now())
        return _proof_page(request, session, link, True, error="code", status=422)

    return parts.read(again)


def _proof_page(
    request: Request,
    session: Session,
    link: OneUseLink,
    needs_code: bool,
    error: str | None = None,
    status: int = 200,
) -> Response:
    asked = find_request(session, link.request or 0)
    if asked is None:
        raise closed(link)
    return page(request, "request_proof", status, asked=asked, needs_code=needs_code, error=error)


def _prove(request: Request, session: Session, link: OneUseLink, now: datetime) -> Answer:
    ruling = access.prove(gather_access(session, now, request=link.request), parts_of(request).policy, now)
    if ruling.answer in (Answer.NOT_FOUND, Answer.ALREADY):
        raise closed(link, Closed.USED if ruling.answer is Answer.ALREADY else Closed.ENDED)
    perform(session, ruling.actions, ruling.notices, now, who=link.address, via=f"link:{link.id}")
    return ruling.answer


# --- the form -----------------------------------------------------------------------------------------------------


def read_form(form: Form, languages: tuple[str, ...], today: date) -> Filled:
    """What was filled in, cleaned as a mail's words are; `today` is the vendor's, a day either way is let pass."""
    kind = AccessKind.IN_PLACE_OF if form.get("kind") == AccessKind.IN_PLACE_OF.value else AccessKind.NEW
    wrong = {name: "missing" for name in ("name", "address", "company") if not form.get(name, "").strip()}
    wrong |= {
        name: "long"
        for name in ("name", "company", "phone", "in_place_of")
        if len(form.get(name, "").strip()) > APPLICANT_TEXT_CAP
    }
    address = canonical_address(form.get("address", "")[:TYPED_LIMIT])
    if address is None and "address" not in wrong:
        wrong["address"] = "address"
    starts_on = ends_on = None
    if kind is AccessKind.IN_PLACE_OF:
        if not form.get("in_place_of", "").strip():
            wrong["in_place_of"] = "missing"
        starts_on, ends_on = days_of(form, today, wrong)
    if wrong or address is None:
        order = {name: place for place, name in enumerate(FIELDS)}
        return Filled(asked=None, wrong=dict(sorted(wrong.items(), key=lambda one: order[one[0]])))
    asked = Asked(
        name=clean(form["name"]),
        address=address,
        company=clean(form["company"]),
        phone=clean(form.get("phone", "")),
        language=form.get("language", "") if form.get("language") in languages else languages[0],
        kind=kind,
        in_place_of=clean(form.get("in_place_of", "")) if kind is AccessKind.IN_PLACE_OF else "",
        starts_on=starts_on,
        ends_on=ends_on,
    )
    return Filled(asked=asked, wrong={})


def days_of(form: Form, today: date, wrong: dict[str, str]) -> tuple[date | None, date | None]:
    """From and until of a replacement; empty: from now, for good."""
    found: dict[str, date | None] = {}
    for name in ("starts_on", "ends_on"):
        typed = form.get(name, "").strip()
        found[name] = read_day(typed) if typed else None
        if typed and found[name] is None:
            wrong[name] = "day"
        elif (day := found[name]) and not today - timedelta(days=1) <= day <= today + LATEST:
            wrong[name] = "past" if day < today else "far"
    starts_on, ends_on = found["starts_on"], found["ends_on"]
    if starts_on and ends_on and ends_on < starts_on and "ends_on" not in wrong:
        wrong["ends_on"] = "order"
    return starts_on, ends_on
