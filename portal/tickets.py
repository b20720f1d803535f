"""Tickets for the people outside: my open ones, those of the company, one conversation, a new one.

Whose tickets are to be seen is models/views/ticket_scope.py's to say, what a form does rules/portal_ticket.py's. A
form whose files, store or database failed is answered with all that was typed in it: nobody writes a text twice.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from models.blobs.store import is_store_away
from models.db.engine import is_lost_race, is_outage
from models.views.conversation import Conversation, Remembered, find_conversation, remember
from models.views.history import list_history
from models.views.ticket_lists import Place, Wanted, list_customer_tickets
from models.views.ticket_scope import list_openable_customers, list_visible_customers
from models.views.viewer import Viewer
from portal.attachments import keep, may_be_picture
from portal.pages import go, page, sign_in_first
from portal.parts import parts_of
from portal.people import number as number_in
from portal.post import Refused, Rule, new_key, post
from portal.security import Form
from portal.session import viewer_of
from portal.upload import Posted, Upload
from rules.fields import FIELD_LIMIT
from rules.portal_ticket import answer_by_form, open_by_form, order_by_form
from values.decision import Fields, Receipt
from values.mail import AttachmentRef
from values.vocabulary import TicketAnswer, TicketCommand, TicketStatus

STATUSES = ("open", "waiting", "closed", "all")
SUBJECT_LIMIT = 200  # characters
TEXT_LIMIT = 50_000
SEARCH_LIMIT = 100
FIELDS = ("product", "product_version", "erp", "erp_version")
NEW = (*FIELDS, "customer", "follows", "subject", "text", "key")
ORDERS = {"close": TicketCommand.CLOSE, "reopen": TicketCommand.REOPEN}
SAID = frozenset({"sent", "opened", "followed", "closed", "reopened", "already", "too-late"})
_PLACE = re.compile(r"([01])\.([0-9]{1,17})\.([0-9]{1,9})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
log = structlog.get_logger()


def show_all(request: Request) -> Response:
    """GET /tickets: my open tickets; `view=company`: all of the company's."""
    viewer, asked = viewer_of(request), request.query_params
    if viewer is None or viewer.contact is None:
        return go(request, "/") if viewer else sign_in_first(request)
    status = asked.get("status", "") if asked.get("status") in STATUSES else "open"
    product, words = clean_line(asked.get("product", ""), FIELD_LIMIT), clean_line(asked.get("q", ""), SEARCH_LIMIT)

    def look(session: Session) -> dict[str, Any]:
        companies = list_visible_customers(session, viewer)
        chosen = _chosen(companies, asked.get("customer", "")) if asked.get("view") == "company" else None
        place = _place(asked.get("after", ""))
        wanted = Wanted(customer=chosen, status=status, product=product, words=words, after=place)
        found = list_customer_tickets(session, viewer, wanted)
        of = chosen or (companies[0][0] if companies else None)
        said = remember(session, of) if of else Remembered()
        return {"companies": companies, "customer": chosen, "found": found, "products": said.product, "place": place}

    values = parts_of(request).read(look)
    after = values["found"].after
    return page(
        request, "tickets", **values, status=status, product=product, words=words, now=parts_of(request).now(),
        after=_place_text(after) if after else "",
    )  # fmt: skip


def show(request: Request, number: str = "") -> Response:
    """GET /tickets/NUMBER."""
    viewer = viewer_of(request)
    if viewer is None:
        return sign_in_first(request)
    before = number_in(request.query_params.get("before", "")) or None
    found = _find(request, viewer, number, before)
    if found.number != number_in(number):
        return go(request, f"/tickets/{found.number}")
    return _show(request, found)


def answer(request: Request, posted: Upload, number: str = "") -> Response:
    """POST /tickets/NUMBER: add to the conversation."""
    path = f"/tickets/{number_in(number)}"
    return _taken(request, posted, path, lambda viewer: _answer(request, posted, number, viewer))


def order(request: Request, form: Form, number: str = "", what: str = "") -> Response:
    """POST /tickets/NUMBER/close and /tickets/NUMBER/reopen."""
    command, viewer = ORDERS.get(what), viewer_of(request)
    if command is None or viewer is None or viewer.contact is None:
        raise HTTPException(404)
    wanted = number_in(number)

    def rule(case: Any) -> Any:
        ticket = case.facts.ticket(case.clues.subject_ticket)
        return order_by_form(case, ticket, command) if ticket else None

    try:
        done = post(request, rule, key=form.get("key", ""), ticket=wanted, text=command.value)
    except Refused:
        return go(request, f"/tickets/{wanted}")
    if isinstance(done, Receipt):
        said = "closed" if command is TicketCommand.CLOSE else "reopened"
    else:
        said = "too-late" if done is TicketAnswer.TOO_LATE else "already"
    return go(request, f"/tickets/{wanted}?said={said}")


def show_form(request: Request) -> Response:
    """GET /tickets/new: the form; `follows`: the ticket that it refers to."""
    viewer, asked = viewer_of(request), request.query_params
    if viewer is None or viewer.contact is None:
        return go(request, "/") if viewer else sign_in_first(request)
    typed = {"customer": asked.get("customer", "")}
    return _form(request, viewer, typed, {})


def open_new(request: Request, posted: Upload) -> Response:
    """POST /tickets/new."""
    return _taken(request, posted, "/tickets/new", lambda viewer: _open_new(request, posted, viewer))


# --- how ----------------------------------------------------------------------------------------------------------


def _answer(request: Request, posted: Posted, number: str, viewer: Viewer) -> Response:
    text = text_of(posted)
    wrong = _wrong_text(text, missing=not posted.files)
    if wrong:
        return _show(request, _find(request, viewer, number), 422, typed=text, wrong={"text": wrong})
    wanted = number_in(number)
    _find(request, viewer, number)  # before anything is kept for it

    def rule(case: Any) -> Any:
        ticket = case.facts.ticket(case.clues.subject_ticket)
        return answer_by_form(case, ticket) if ticket else None

    done = post(request, rule, key=posted.fields.get("key", ""), ticket=wanted, text=text,
                attachments=_kept(request, posted))  # fmt: skip
    assert isinstance(done, Receipt)
    followed = done.ticket is not None and _find(request, viewer, str(done.ticket)).follow_up_of is not None
    return go(request, f"/tickets/{done.ticket}?said={'followed' if followed and done.ticket != wanted else 'sent'}")


def _open_new(request: Request, posted: Posted, viewer: Viewer) -> Response:
    subject, text = posted.text("subject", 10 * SUBJECT_LIMIT), text_of(posted)
    stated = {name: posted.text(name, 10 * FIELD_LIMIT) for name in FIELDS}
    wrong = {"subject": "missing" if not subject else "long-line" if len(subject) > SUBJECT_LIMIT else ""}
    wrong |= {name: "long-line" for name, value in stated.items() if len(value) > FIELD_LIMIT}
    wrong["text"] = _wrong_text(text, missing=True)
    openable = parts_of(request).read(lambda session: list_openable_customers(session, viewer))
    customer = _chosen(openable, posted.fields.get("customer", ""), exactly=True)
    wrong["customer"] = "" if customer else "choose"
    wrong = {name: wrong[name] for name in ("customer", "subject", "text", *FIELDS) if wrong.get(name)}
    if wrong or customer is None:
        typed = {name: posted.fields.get(name, "") for name in NEW} | {"text": text}
        return _form(request, viewer, typed, wrong, 422, files=bool(posted.files))
    fields = Fields(**{name: clean_line(value, FIELD_LIMIT) or None for name, value in stated.items()})
    rule: Rule = lambda case: open_by_form(case, customer, clean_line(subject, SUBJECT_LIMIT), fields)  # noqa: E731
    done = post(request, rule, key=posted.fields.get("key", ""), subject=clean_line(subject, SUBJECT_LIMIT),
                text=text, attachments=_kept(request, posted))  # fmt: skip
    assert isinstance(done, Receipt)
    return go(request, f"/tickets/{done.ticket}?said=opened")


def _taken(request: Request, posted: Posted, path: str, work: Any) -> Response:
    """What `work` answers; where the form cannot be taken, a page with all that was typed."""
    viewer = viewer_of(request)
    if viewer is None:
        return _not_taken(request, posted, path, "signed-out", 403)
    if viewer.contact is None:
        raise HTTPException(404)
    if posted.problem:
        return _not_taken(request, posted, path, posted.problem, 413 if posted.problem != "busy" else 429)
    try:
        answered: Response = work(viewer)
    except HTTPException:
        raise
    except Refused as refused:
        return _not_taken(request, posted, path, refused.why, 429)
    except Exception as error:
        passing = is_store_away(error) or is_outage(error) or is_lost_race(error)
        log.error("form not taken", route=getattr(request.scope.get("route"), "path", None), exc_info=error)
        return _not_taken(request, posted, path, "away" if passing else "fault", 503 if passing else 500)
    return answered


def _not_taken(request: Request, posted: Posted, path: str, why: str, status: int) -> Response:
    """A page that asks the database nothing."""
    typed = {name: value for name in NEW if (value := posted.fields.get(name, ""))}
    typed["text"] = text_of(posted)
    had_files = bool(posted.files) or posted.problem in ("too-large", "too-many")
    return page(request, "ticket_not_taken", status, path=path, why=why, typed=typed, had_files=had_files)


def _kept(request: Request, posted: Posted) -> tuple[AttachmentRef, ...]:
    return keep(parts_of(request).blobs, posted.files)


def _find(request: Request, viewer: Viewer, number: str, before: int | None = None) -> Conversation:
    wanted = number_in(number)
    if viewer.contact is None:
        raise HTTPException(404)
    found = parts_of(request).read(lambda session: find_conversation(session, viewer, wanted, before))
    if found is None:
        raise HTTPException(404)
    return found


def _show(
    request: Request, found: Conversation, status: int = 200, *, typed: str = "", wrong: dict[str, str] | None = None
) -> Response:
    parts = parts_of(request)
    now, said = parts.now(), request.query_params.get("said", "")
    is_closed = found.status is TicketStatus.CLOSED
    late = is_closed and (found.closed_at is None or now - found.closed_at > parts.policy.reopen_window)
    history = parts.read(lambda session: list_history(session, found.number, outside=True))
    pictures = {file.id for article in found.articles for file in article.files if may_be_picture(file)}
    return page(
        request, "ticket", status, ticket=found, typed=typed, wrong=wrong or {}, key=new_key(now), now=now, late=late,
        is_closed=is_closed, said=said if said in SAID else "", pictures=pictures, history=history,
        days=parts.policy.reopen_window // timedelta(days=1),
    )  # fmt: skip


def _form(
    request: Request,
    viewer: Viewer,
    typed: dict[str, str],
    wrong: dict[str, str],
    status: int = 200,
    *,
    files: bool = False,
) -> Response:
    parts = parts_of(request)

    def look(session: Session) -> tuple[list[tuple[int, str]], Remembered]:
        openable = list_openable_customers(session, viewer)
        of = _chosen(openable, typed.get("customer", ""), exactly=False)
        return openable, remember(session, of) if of in (*viewer.seated, *viewer.serves) else Remembered()

    openable, said = parts.read(look)
    key = typed.get("key") or new_key(parts.now())
    return page(
        request, "ticket_new", status, openable=openable, remembered=said, typed=typed, wrong=wrong, key=key,
        files=files,
    )  # fmt: skip


def _chosen(companies: list[tuple[int, str]], typed: str, *, exactly: bool = False) -> int | None:
    """The customer of this number where it is among these, or the only one; the first where it need not be exact."""
    ids = [id for id, _ in companies]
    if number_in(typed) in ids:
        return number_in(typed)
    if exactly:
        return ids[0] if len(ids) == 1 and not typed else None
    return ids[0] if ids else None


def text_of(posted: Posted) -> str:
    """What was written, with line ends as in every text of ours."""
    return posted.fields.get("text", "").replace("\r\n", "\n").replace("\r", "\n").strip("\n")


def clean_line(text: str, most: int) -> str:
    """One line without control and direction marks."""
    return " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * most]).split())[:most].strip()


def _wrong_text(text: str, *, missing: bool) -> str:
    if missing and not text.strip():
        return "missing"
    return "long-text" if len(text) > TEXT_LIMIT else ""


def _place(text: str) -> Place | None:
    found = _PLACE.fullmatch(text)
    if found is None:
        return None
    updated = _EPOCH + timedelta(microseconds=int(found[2]))
    return Place(waits=found[1] == "1", updated=updated, number=int(found[3]))


def _place_text(place: Place) -> str:
    return f"{int(place.waits)}.{(place.updated - _EPOCH) // timedelta(microseconds=1)}.{place.number}"
