"""What a form with files brings: its fields, and the files on disk, one after the other, never whole in memory.

Takes: a POST, of which nothing was read yet.  Gives: `Posted`, with the fields also where the files were too much: what
somebody typed is never lost.  Fails: with 400 where the client is gone, 413 where even the fields are too much.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from portal.security import FIELDS_LIMIT, form_of
from portal.session import viewer_of

UPLOAD_LIMIT = 32 << 20  # octets of one form with all its files
FILES_LIMIT = 20
TEXT_PART = 1 << 20  # octets of one field
STRANGER_LIMIT = 128 << 10  # octets that are kept of a form whose sender is not signed in (any more)
DRAINED = 4 * UPLOAD_LIMIT  # read on, and thrown away: a browser shows no answer before its form has left as a whole
STRANGER_SECONDS = 15.0
AT_ONCE = 3  # forms with files of one session that are read at a time
MULTIPART = "multipart/form-data"
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{1,70}")  # RFC 2046 §5.1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A form. `problem`: why its files do not count: too-large, too-many, broken, busy; "" = they do."""

    fields: dict[str, str] = field(default_factory=dict)
    files: tuple[UploadFile, ...] = ()
    problem: str = ""

    def text(self, name: str, most: int) -> str:
        """A field's words on one line."""
        return " ".join(self.fields.get(name, "").split())[:most]


class _TooLarge(MultiPartException):
    """The files are more than we take."""


async def posted_of(request: Request) -> AsyncIterator[Posted]:
    """The form of this request; its files are gone when the request is answered."""
    if not request.headers.get("content-type", "").lower().startswith(MULTIPART):
        yield Posted(fields=await form_of(request))
        return
    posted = await _read(request)
    try:
        yield posted
    finally:
        for file in posted.files:
            await file.close()


Upload = Annotated[Posted, Depends(posted_of)]


async def _read(request: Request) -> Posted:
    viewer = await run_in_threadpool(viewer_of, request)
    if viewer is None:
        try:
            async with asyncio.timeout(STRANGER_SECONDS):
                return await _parse(request, STRANGER_LIMIT)
        except TimeoutError:
            raise HTTPException(413) from None
    reading: dict[int, int] = request.app.state.reading
    busy = reading.get(viewer.session, 0) >= AT_ONCE
    reading[viewer.session] = reading.get(viewer.session, 0) + 1
    try:
        posted = await _parse(request, STRANGER_LIMIT if busy else UPLOAD_LIMIT)
        return Posted(fields=posted.fields, problem="busy") if busy and posted.problem else posted
    finally:
        reading[viewer.session] -= 1
        if not reading[viewer.session]:
            del reading[viewer.session]


async def _parse(request: Request, limit: int) -> Posted:
    body = request.stream()

    async def limited() -> AsyncGenerator[bytes, None]:
        size = 0
        async for piece in body:
            size += len(piece)
            if size > limit:
                raise _TooLarge("too-large")
            yield piece

    parser = MultiPartParser(
        _in_utf8(request.headers), limited(), max_files=FILES_LIMIT, max_fields=FIELDS_LIMIT, max_part_size=TEXT_PART
    )
    try:
        items = (await parser.parse()).multi_items()
    except MultiPartException as error:
        await _drain(body)
        return Posted(fields=_fields(parser.items), problem=_problem(error))
    except ClientDisconnect:
        raise HTTPException(400) from None
    except (KeyError, AssertionError, ValueError):  # no boundary, or one that no form of ours has
        await _drain(body)
        return Posted(problem="broken")
    files = tuple(item for _, item in items if isinstance(item, UploadFile))
    chosen = tuple(file for file in files if file.filename or file.size)  # a browser sends an empty one for none
    for file in files:
        if file not in chosen:
            await file.close()
    return Posted(fields=_fields(items), files=chosen)


def _in_utf8(headers: Headers) -> Headers:
    """Content-Type with its boundary and nothing else: our forms are UTF-8, and the library would
    run any codec of Python that the client names, in the event loop (threats T53)."""
    _, params = parse_options_header(headers["content-type"])
    boundary = params.get(b"boundary", b"").decode("latin-1")
    made = f'{MULTIPART}; boundary="{boundary}"' if _BOUNDARY.fullmatch(boundary) else MULTIPART
    return Headers({"content-type": made})


async def _drain(body: AsyncGenerator[bytes, None]) -> None:
    size = 0
    try:
        async for piece in body:
            size += len(piece)
            if size > DRAINED:
                raise HTTPException(413)
    except ClientDisconnect:
        raise HTTPException(400) from None


def _fields(items: list[tuple[str, str | UploadFile]]) -> dict[str, str]:
    return {name: value.replace("\0", "\ufffd") for name, value in items if isinstance(value, str)}


def _problem(error: MultiPartException) -> str:
    if isinstance(error, _TooLarge):
        return "too-large"
    return "too-many" if error.message.startswith("Too many files") else "broken"
