"""Templates become pages: in the person's language and zone, escaped throughout, complete without a script.

Takes: a template's name and plain values.  Gives: the response.  Fails: as a broken template does.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_skeleton, format_timedelta
from babel.numbers import format_decimal
from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from portal.parts import Parts, parts_of
from portal.session import LANGUAGE, read_cookie, viewer_of
from templates.catalogue import BUILT_IN, LOCALES, PAGES, translations_in
from templates.moments import write_moment, write_time

STATIC = {"style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}
NAMES = {"en": "English", "es": "Español", "sv": "Svenska"}
PATH_LIMIT = 500
# No second slash, no backslash, no control character.
_OURS = re.compile(r"/(?:[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*)?(?:\?[A-Za-z0-9_.~=&%+-]*)?", re.ASCII)
_FORMS_OF = ("/people", "/access-requests", "/tickets")  # pages below whose paths forms are posted
_OF_A_TICKET = re.compile(r"(/tickets/[0-9]+)/.*")
_FOR_A_YEAR = "public, max-age=31536000, immutable"  # the name holds the content's hash


class Pages:
    """The pages' templates and files of a desk; a vendor's own folder is looked at first."""

    def __init__(self, parts: Parts) -> None:
        self._folders = (parts.templates, BUILT_IN) if parts.templates else (BUILT_IN,)
        self.languages = tuple(one for one in parts.policy.languages if one in NAMES) or ("en",)
        self._environments = {language: _environment(self._folders, language) for language in self.languages}
        found = {name: self._read(name) for name in STATIC}
        self.files = {_hashed(name, content): (name, content) for name, content in found.items()}
        self._names = {name: f"{parts.prefix}/static/{hashed}" for hashed, (name, _) in self.files.items()}
        self._fallback = parts.policy.language if parts.policy.language in self.languages else self.languages[0]

    def _read(self, name: str) -> bytes:
        folder = next(folder for folder in self._folders if (folder / "portal" / name).is_file())
        return (folder / "portal" / name).read_bytes()

    def language_of(self, request: Request) -> str:
        """The signed-in person's, else the one chosen in this browser, else what it asks for, else the vendor's."""
        viewer = viewer_of(request)
        wishes = (viewer.language if viewer else None, read_cookie(request, LANGUAGE))
        for wish in (*wishes, *_accepted(request.headers.get("accept-language", ""))):
            if wish in self.languages:
                return wish
        return self._fallback

    def html(self, request: Request, name: str, values: Mapping[str, Any]) -> str:
        """A page's text."""
        parts, viewer, language = parts_of(request), viewer_of(request), self.language_of(request)
        shared = {
            "language": language,
            "languages": [(one, NAMES[one]) for one in self.languages],
            "zone": (viewer.zone if viewer else "") or parts.policy.zone,
            "viewer": viewer,
            "vendor": parts.policy.vendor_name or parts.policy.desk_domain,
            "root": parts.prefix,
            "here": request.scope["path"],
            "file": self._names,
        }
        return self._environments[language].get_template(f"portal/{name}.html").render(shared | dict(values))

    def file(self, hashed: str) -> Response | None:
        """A style sheet or picture by its hashed name."""
        found = self.files.get(hashed)
        if found is None:
            return None
        return Response(found[1], media_type=STATIC[found[0]], headers={"cache-control": _FOR_A_YEAR})


def page(request: Request, name: str, status: int = 200, /, **values: Any) -> HTMLResponse:
    """The page of this name."""
    pages: Pages = request.app.state.pages
    return HTMLResponse(pages.html(request, name, values), status)


def go(request: Request, path: str) -> RedirectResponse:
    """Look at another page of ours, after a POST too (RFC 9110 §15.4.4). `path` is ours, never a stranger's."""
    return RedirectResponse(parts_of(request).prefix + path, 303)


def own_path(text: str) -> str:
    """A path of ours and nothing else, as it stands; "/" where it is anything else (threat T34)."""
    return text if len(text) <= PATH_LIMIT and _OURS.fullmatch(text) else "/"


def sign_in_first(request: Request) -> RedirectResponse:
    """To the sign-in page, which leads back to the page that was asked for, or to that of the form that was posted."""
    asked = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "said"])
    path = request.scope["path"]
    if request.method == "POST":
        asked, path = "", next((page for page in _FORMS_OF if path.startswith(f"{page}/")), path)
        path = _OF_A_TICKET.sub(r"\1", request.scope["path"]) if path == "/tickets" else path
    wanted = own_path(f"{path}?{asked}" if asked else path)
    return go(request, "/" if wanted == "/" else f"/?{urlencode({'next': wanted})}")


def _hashed(name: str, content: bytes) -> str:
    stem, dot, kind = name.partition(".")
    return f"{stem}-{sha256(content).hexdigest()[:16]}{dot}{kind}"


def _accepted(header: str) -> list[str]:
    """Languages of Accept-Language by weight (RFC 9110 §12.5.4), without their regions."""
    found: list[tuple[float, str]] = []
    for item in header[:500].split(",")[:20]:
        tag, _, weight = item.partition(";")
        try:
            q = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        found.append((-q, tag.strip().split("-")[0].lower()))
    return [tag for q, tag in sorted(found, key=lambda one: one[0]) if q < 0]


# --- templates --------------------------------------------------------------------------------------------------


@cache
def _environment(folders: tuple[Path, ...], language: str) -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["ext.i18n.trimmed"] = True
    made.filters |= {
        "day": _day,
        "moment": _moment,
        "left": _left,
        "since": _since,
        "size": _size,
        "language_name": _language_name,
    }
    translations, _ = translations_in(folders, language, PAGES)
    made.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined]
    return made


def _locale(context: Context) -> str:
    language = str(context["language"])
    return LOCALES.get(language, language)


@pass_context
def _day(context: Context, value: date) -> str:
    """24 Nov 2026, by CLDR; a moment is first brought to the person's zone."""
    local = value.astimezone(ZoneInfo(context["zone"])) if isinstance(value, datetime) else value
    return str(format_skeleton("yMMMd", local, locale=_locale(context)))


@pass_context
def _moment(context: Context, value: datetime) -> str:
    """24 Nov 2026, 10:12 CET in the person's zone."""
    return write_moment(value, context["zone"], _locale(context))


@pass_context
def _left(context: Context, value: datetime, now: datetime) -> str:
    """5 hours: how far a moment is from now, either way."""
    return str(format_timedelta(abs(value - now), threshold=1.5, locale=_locale(context)))


@pass_context
def _since(context: Context, value: datetime, now: datetime) -> str:
    """10:12 CET, Tuesday, or 24 Nov 2026: as near as it is, in the person's zone."""
    zone = ZoneInfo(context["zone"])
    local, today, locale = value.astimezone(zone), now.astimezone(zone).date(), _locale(context)
    if local.date() == today:
        return write_time(value, zone.key, locale)
    if 0 < (today - local.date()).days < 6:
        return str(format_date(local, "EEEE", locale=locale))
    return str(format_skeleton("yMMMd", local, locale=locale))


@pass_context
def _size(context: Context, octets: int) -> str:
    """211 kB, 3.4 MB."""
    value, unit = (octets / 1e6, "MB") if octets >= 1e6 else (max(1, round(octets / 1000)), "kB")
    return f"{format_decimal(round(value, 1), locale=_locale(context))} {unit}"


def _language_name(code: str) -> str:
    return NAMES.get(code, code)
