"""Signing in with a mailed link or code, signing out, and the language of the pages."""

from datetime import datetime, timedelta

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response

from models.desk.audit import append
from models.sessions.link import OneUseLink
from models.sessions.rate_limit import take
from models.sessions.sign_in import ask_sign_in, has_signed_in
from models.sessions.web_session import open_session, revoke_session
from models.views.viewer import Viewer
from portal.links import gone, look, needs_code, redeem, redeem_code
from portal.pages import Pages, go, own_path, page
from portal.parts import parts_of
from portal.security import Form, client_of
from portal.session import (
    SESSION,
    asking_of,
    is_ended,
    next_of,
    remember_asking,
    remember_language,
    remember_next,
    remember_session,
    set_cookie,
    viewer_of,
)
from rules.links import Verdict
from values.addresses import canonical_address
from values.vocabulary import LinkPurpose

HOUR = timedelta(hours=1)


def start(request: Request) -> Response:
    """GET /: sign in; who is signed in goes on."""
    viewer = viewer_of(request)
    wanted = own_path(request.query_params.get("next", ""))
    if viewer:
        return go(request, home_of(viewer) if wanted == "/" else wanted)
    return _form(request, wanted)


def ask(request: Request, form: Form) -> Response:
    """POST /: mail a link; `next`: the page to go to then.

    Every well-formed address gets the same answer by the same work (threat T28).
    """
    parts, asking = parts_of(request), asking_of(request)
    typed = form.get("address", "")[:300]
    address = canonical_address(typed)
    if address is None:
        error = "address" if typed.strip() else "missing"
        return _form(request, own_path(form.get("next", "")), 422, address=typed, error=error)
    pages: Pages = request.app.state.pages
    language, client, now, policy = pages.language_of(request), client_of(request), parts.now(), parts.policy

    def once(session: Session) -> int | None:
        if not take(session, f"ask:{client}", policy.asks_per_client_per_hour, HOUR, now):
            return None  # a refused client takes nobody's budget: else it would lock out whom it names
        # A browser that signed in as this person before has a count of its own: else whoever knows an address could
        # use up its links each hour, and keep its owner out for as long as he likes.
        known = has_signed_in(session, address, asking.nonce_hash)
        whose = f"sign-in:{address}" + (f":{asking.nonce_hash}" if known else "")
        if not take(session, whose, policy.sign_ins_per_address_per_hour, HOUR, now):
            return None
        until = now + policy.sign_in_lifetime
        return ask_sign_in(session, address, until, now, language=language, nonce_hash=asking.nonce_hash)

    link = parts.write(once)
    answer = go(request, "/auth/sent")
    remember_asking(request, answer, asking, link or asking.link)
    wanted = own_path(form.get("next", ""))
    remember_next(request, answer, "" if wanted == "/" else wanted)
    return answer


def sent(request: Request) -> Response:
    """GET /auth/sent: look into your mailbox, or type the code here."""
    return page(request, "sign_in_sent", error=None)


def confirm_code(request: Request, form: Form) -> Response:
    """POST /auth/confirm: the code alone, in the browser that asked."""
    done = redeem_code(request, LinkPurpose.SIGN_IN, form.get("code", ""), lambda *found: _sign_in(request, *found))
    return page(request, "sign_in_sent", 422, error="code") if isinstance(done, Verdict) else _on(request, *done)


def show_link(request: Request, token: str = "") -> Response:
    """GET /sign-in/TOKEN: a button, and the code where another browser asked."""
    parts = parts_of(request)

    def found(session: Session) -> tuple[bool, str]:
        link = look(request, session, token, LinkPurpose.SIGN_IN, parts.now())
        return needs_code(request, link), link.address

    coded, address = parts.read(found)
    return page(request, "sign_in_link", needs_code=coded, address=address, error=None)


def confirm_link(request: Request, form: Form, token: str = "") -> Response:
    """POST /sign-in/TOKEN."""
    code = form.get("code", "")
    done = redeem(request, token, LinkPurpose.SIGN_IN, code, lambda *found: _sign_in(request, *found))
    if isinstance(done, Verdict):
        return page(request, "sign_in_link", 422, needs_code=True, address=None, error="code")
    return _on(request, *done)


def sign_out(request: Request) -> Response:
    """POST /sign-out: the session ends on our side, not only in the browser."""
    parts, viewer = parts_of(request), viewer_of(request)
    if viewer:
        parts.write(lambda session: revoke_session(session, viewer.session, parts.now()))
    answer = go(request, "/")
    set_cookie(request, answer, SESSION, "", None)
    return answer


def choose_language(request: Request, form: Form) -> Response:
    """POST /language: remembered in this browser; back to where one was."""
    pages: Pages = request.app.state.pages
    back = form.get("back", "")
    answer = go(request, own_path(back))
    if form.get("language") in pages.languages:
        remember_language(request, answer, form["language"])
    return answer


# --- how ----------------------------------------------------------------------------------------------------------


def begin_session(
    request: Request, session: Session, address: str, now: datetime, *, contact: int | None, agent: int | None
) -> str:
    """A new session, and the end of the one that this browser had: what was known before is worth nothing (T51)."""
    before = viewer_of(request)
    if before:
        revoke_session(session, before.session, now)
    append(session, now, who=address, what="session.open", subject=f"address:{address}", via="form")
    until = now + parts_of(request).policy.session_lifetime
    return open_session(session, address, now, until, contact=contact, agent=agent)


def signed_in(request: Request, token: str, path: str) -> Response:
    """On to `path` with the new session's cookie."""
    answer = go(request, path)
    remember_session(request, answer, token)
    return answer


def _on(request: Request, token: str, home: str) -> Response:
    """To the page that was asked for before signing in, else home."""
    wanted = own_path(next_of(request))
    answer = signed_in(request, token, home if wanted == "/" else wanted)
    remember_next(request, answer, "")
    return answer


def _form(request: Request, wanted: str, status: int = 200, *, address: str = "", error: str | None = None) -> Response:
    return page(request, "sign_in", status, address=address, error=error, wanted=wanted, ended=is_ended(request))


def home_of(viewer: Viewer) -> str:
    return "/access-requests" if viewer.agent is not None else "/tickets"


def _sign_in(request: Request, session: Session, link: OneUseLink, now: datetime) -> tuple[str, str]:
    if link.agent is None and link.contact is None:  # an address that nobody signs in with
        raise gone()
    token = begin_session(request, session, link.address, now, contact=link.contact, agent=link.agent)
    return token, "/access-requests" if link.agent is not None else "/tickets"
