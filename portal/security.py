"""What stands before every page: response headers, refusal of cross-origin requests, the size of a form.

Takes: any request.  Gives: it to the pages, and their answer with the headers of threats T34 and T50.  Fails: with 403
for what another site sends, 413 for what is larger than a form of ours.
"""

import ipaddress
from typing import Annotated, Any
from urllib.parse import parse_qsl

from asgi_cross_origin_protection import CrossOriginProtection
from fastapi import Depends
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portal.parts import Parts

FORM_LIMIT = 16 * 1024  # octets
FIELDS_LIMIT = 30
CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "referrer-policy": "no-referrer",  # a token in a URL tells itself to nobody
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
HSTS = "max-age=31536000"
PRIVATE = "no-store"


class Headers:
    """The headers of every answer; pages are kept by no cache unless they say so."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app = app
        self._headers = HEADERS | ({"strict-transport-security": HSTS} if parts.secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)  # a file of a ticket has a stricter policy of its own
                headers.setdefault("cache-control", PRIVATE)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def same_origin_only(app: ASGIApp, parts: Parts, deny: ASGIApp) -> ASGIApp:
    """Refuse what is not GET, HEAD or OPTIONS and comes from elsewhere, or does not say from where.

    Browsers tell by Sec-Fetch-Site, or by Origin, which must be the portal's own URL: what the Host field says is not
    asked, as whoever writes it could write both.
    """
    protected = CrossOriginProtection(
        app, allowed_origins=[parts.origin], deny_app=deny, allow_unverifiable_requests=False
    )

    async def without_host(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        kept = [(name, value) for name, value in scope["headers"] if name != b"host"]
        await protected({**scope, "headers": kept, "server": None}, receive, send)

    return without_host


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a posted form, as they were typed; the last value of a name. Other kinds of body are empty."""
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > FORM_LIMIT:
                raise HTTPException(413)
    except ClientDisconnect:  # nobody reads the answer; else each such client would write two errors into our log
        raise HTTPException(400) from None
    if not request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        return {}
    try:
        fields = parse_qsl(
            body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FIELDS_LIMIT, errors="replace"
        )
    except ValueError:
        raise HTTPException(413) from None
    # No database keeps NUL, and PostgreSQL fails on it
    return {name: value.replace("\0", "\ufffd") for name, value in fields}


Form = Annotated[dict[str, str], Depends(form_of)]


def client_of(request: Request) -> str:
    """Whom to count requests by: the IPv4 address, or the /64 that one IPv6 subscriber has (threat T28)."""
    host = request.client.host if request.client else ""
    try:
        address: Any = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    if address.version == 6:
        mapped = address.ipv4_mapped
        return str(mapped or ipaddress.ip_network((address, 64), strict=False))
    return str(address)
