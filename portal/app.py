"""The portal: every page and what answers it, on one screen.

Takes: `Parts`.  Gives: an ASGI application.  Fails: with pages that say what to do; nothing of ours is shown.

GET, HEAD and OPTIONS change nothing (RFC 9110 §9.2.1). Every POST comes from a page of ours (portal/security.py).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio.to_thread
import structlog
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from models.db.engine import is_lost_race, is_outage
from portal import access_desk, attachments, invitation, people, request_access, sign_in, tickets
from portal.links import LinkClosed
from portal.pages import Pages, go, page, sign_in_first
from portal.parts import Parts
from portal.security import Headers, same_origin_only
from portal.session import is_ended, viewer_of
from portal.sign_in import home_of
from values.vocabulary import LinkPurpose

THREADS = 8  # pages made at a time: about as many as there are database connections
log = structlog.get_logger()


def static(request: Request, name: str = "") -> Response:
    """GET /static/NAME: the name holds the content's hash, so it is kept for ever."""
    pages: Pages = request.app.state.pages
    found = pages.file(name)
    if found is None:
        raise HTTPException(404)
    return found


GET: dict[str, Callable[..., Response]] = {
    "/": sign_in.start,
    "/auth/sent": sign_in.sent,
    "/sign-in/{token:path}": sign_in.show_link,
    "/request-access": request_access.show_form,
    "/request-access/sent": request_access.sent,
    "/request-access/proof/{token:path}": request_access.show_proof,
    "/invite/{token:path}": invitation.show,
    "/tickets": tickets.show_all,
    "/tickets/new": tickets.show_form,
    "/tickets/{number}": tickets.show,
    "/tickets/{number}/files/{id}": attachments.download,
    "/tickets/{number}/pictures/{id}": attachments.picture,
    "/people": people.show,
    "/access-requests": access_desk.show_all,
    "/access-requests/{id}": access_desk.show,
    "/static/{name}": static,
}
POST: dict[str, Callable[..., Response]] = {
    "/": sign_in.ask,
    "/auth/confirm": sign_in.confirm_code,
    "/sign-in/{token:path}": sign_in.confirm_link,
    "/sign-out": sign_in.sign_out,
    "/language": sign_in.choose_language,
    "/request-access": request_access.ask,
    "/request-access/proof/{token:path}": request_access.prove,
    "/invite/{token:path}": invitation.accept,
    "/tickets/new": tickets.open_new,
    "/tickets/{number}": tickets.answer,
    "/tickets/{number}/{what}": tickets.order,
    "/people/take-back": people.take_back,
    "/people/lend": people.lend,
    "/people/mail": people.judge_mail,
    "/people/request": people.judge_replacement,
    "/access-requests/{id}/approve": access_desk.approve,
    "/access-requests/{id}/refuse": access_desk.refuse,
}


def make_app(parts: Parts) -> ASGIApp:
    """The portal of a desk."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=_few_threads)
    app.state.parts, app.state.pages, app.state.reading = parts, Pages(parts), {}
    for path, answer in GET.items():
        app.add_api_route(path, answer, methods=["GET", "HEAD"], response_model=None)
    for path, answer in POST.items():
        app.add_api_route(path, answer, methods=["POST"], response_model=None)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _failed)

    async def deny(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request({**scope, "app": app, "state": {}}, receive)
        answer = await run_in_threadpool(_error_page, request, 403)
        await answer(scope, receive, send)

    return Headers(same_origin_only(app, parts, deny), parts)


@asynccontextmanager
async def _few_threads(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, LinkClosed):
        return _link_closed(request, error)
    if error.status_code == 404 and request.method == "POST" and is_ended(request):
        return sign_in_first(request)  # a form of a page whose session has ended meanwhile
    answer = page(request, "error", error.status_code, status=error.status_code, here="/")
    answer.headers.update(error.headers or {})
    return answer


def _link_closed(request: Request, closed: LinkClosed) -> Response:
    """What is the matter with a link, and the way on; who is signed in with its address already goes on at once."""
    viewer = viewer_of(request)
    looks = request.method in ("GET", "HEAD") and closed.purpose is LinkPurpose.SIGN_IN
    if looks and viewer and closed.address.lower() in (viewer.address.lower(), *viewer.addresses):
        return go(request, home_of(viewer))
    values = {"why": closed.why.value, "purpose": closed.purpose.value, "address": closed.address}
    return page(request, "link_closed", closed.status_code, here="/", **values)


def _failed(request: Request, error: Exception) -> Response:
    passing = is_lost_race(error) or is_outage(error)
    log.error("page failed", route=getattr(request.scope.get("route"), "path", None), exc_info=error)
    return _error_page(request, 503 if passing else 500)


def _error_page(request: Request, status: int) -> Response:
    """A page that asks the database nothing."""
    request.state.viewer = None
    return page(request, "error", status, status=status, here="/")
