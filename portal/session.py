"""Who is signed in, by a cookie whose value only the browser knows; and the browser that asked for a link.

RFC 6265bis: `__Host-` binds a cookie to this very host, over TLS and for all paths, so no sister domain can set one.
Browsers take that prefix only with Secure. A desk tried out on http://127.0.0.1 has no TLS, and some browsers drop
Secure cookies there, so it uses plain names; everywhere else the portal is reached over https (postdesk/settings.py).
"""

import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response

from models.sessions.web_session import hash_of
from models.views.viewer import Viewer, find_viewer
from portal.parts import Parts, parts_of

SESSION, ASKED, LANGUAGE, NEXT = "postdesk", "postdesk-asked", "postdesk-language", "postdesk-next"
_ASKED = re.compile(r"([0-9]{1,10})\.([A-Za-z0-9_-]{43})", re.ASCII)
_ASKED_LIFETIME = timedelta(days=30)  # as long as links are kept: the browser is known again (portal/sign_in.py)
_NEXT_LIFETIME = timedelta(hours=1)
_SESSION_REMEMBERED = timedelta(days=30)  # beyond its end: a browser that had one is told that it has ended
_LANGUAGE_LIFETIME = timedelta(days=365)


def cookie_name(parts: Parts, name: str) -> str:
    return f"__Host-{name}" if parts.secure else name


def read_cookie(request: Request, name: str) -> str:
    return request.cookies.get(cookie_name(parts_of(request), name), "")


def set_cookie(request: Request, answer: Response, name: str, value: str, lifetime: timedelta | None) -> None:
    """Keep a value in the browser: hidden from scripts, never sent with what another site posts. None: forget it."""
    parts = parts_of(request)
    answer.set_cookie(
        cookie_name(parts, name),
        value,
        max_age=int(lifetime.total_seconds()) if lifetime else 0,
        path="/",
        secure=parts.secure,
        httponly=True,
        samesite="lax",
    )


def viewer_of(request: Request) -> Viewer | None:
    """Who is signed in. Looked up once a request."""
    if not hasattr(request.state, "viewer"):
        request.state.viewer = _find(request)
    found: Viewer | None = request.state.viewer
    return found


def is_ended(request: Request) -> bool:
    """Whether this browser was signed in, and is no more."""
    return viewer_of(request) is None and bool(read_cookie(request, SESSION))


def remember_session(request: Request, answer: Response, token: str) -> None:
    set_cookie(request, answer, SESSION, token, parts_of(request).policy.session_lifetime + _SESSION_REMEMBERED)


def remember_next(request: Request, answer: Response, path: str) -> None:
    """Keep the page that was asked for until the link of the mail is pressed; "": forget it."""
    if path or read_cookie(request, NEXT):
        set_cookie(request, answer, NEXT, quote(path, safe=""), _NEXT_LIFETIME if path else None)


def next_of(request: Request) -> str:
    return unquote(read_cookie(request, NEXT))


def _find(request: Request) -> Viewer | None:
    token = read_cookie(request, SESSION)
    if not token:
        return None
    parts = parts_of(request)
    now = parts.now()
    return parts.read(lambda session: find_viewer(session, token, now))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The browser that asks for a link: what it keeps, and the number of the sign-in link it asked for last."""

    nonce: str
    link: int | None = None
    known: bool = False  # the browser had it before

    @property
    def nonce_hash(self) -> str:
        return hash_of(self.nonce)


def asking_of(request: Request) -> Asking:
    """What this browser keeps; new where it keeps nothing yet."""
    found = _ASKED.fullmatch(read_cookie(request, ASKED))
    if found:
        return Asking(nonce=found[2], link=int(found[1]) or None, known=True)
    return Asking(nonce=secrets.token_urlsafe(32))


def remember_asking(request: Request, answer: Response, asking: Asking, link: int | None) -> None:
    set_cookie(request, answer, ASKED, f"{link or 0}.{asking.nonce}", _ASKED_LIFETIME)


def remember_language(request: Request, answer: Response, language: str) -> None:
    set_cookie(request, answer, LANGUAGE, language, _LANGUAGE_LIFETIME)
