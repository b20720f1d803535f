"""The files of tickets: kept from a form, given as downloads, and pictures shown where they are plain pictures.

A file is never shown as what it says it is: a download has no type that a browser opens, and a picture has the type
that its first octets prove. Both are sandboxed, so that neither runs in our origin (threats T38, T49).
"""

import re
import unicodedata
from collections.abc import Iterable
from itertools import chain
from urllib.parse import quote

from starlette.concurrency import iterate_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from models.blobs.store import CHUNK, BlobStore
from models.views.conversation import FileRow, find_file
from portal.parts import parts_of
from portal.people import number as number_in
from portal.session import viewer_of
from values.addresses import UNSAFE_IN_NAMES, clean_file_name
from values.mail import AttachmentRef

PICTURE_LIMIT = 10 << 20  # octets of a picture that is shown; a larger one is a download
SANDBOX = "default-src 'none'; sandbox"
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,90}", re.ASCII)


def download(request: Request, number: str = "", id: str = "") -> Response:
    """GET /tickets/NUMBER/files/ID."""
    file = _file(request, number, id)
    name = clean_file_name(file.name)
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    ascii_name = (
        UNSAFE_IN_NAMES.sub("_", folded).replace("%", "_") or "file"
    )  # a full-width quotation mark is a plain one now
    disposition = f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}"  # RFC 6266 §4.3
    return _stream(request, file, "application/octet-stream", disposition)


def picture(request: Request, number: str = "", id: str = "") -> Response:
    """GET /tickets/NUMBER/pictures/ID: a PNG, JPEG, GIF or WebP by its first octets; else there is none."""
    file = _file(request, number, id)
    kind = None if file.size > PICTURE_LIMIT else picture_type(_head(parts_of(request).blobs, file))
    if kind is None:
        raise HTTPException(404)
    return _stream(request, file, kind, "inline")


def may_be_picture(file: FileRow) -> bool:
    """Whether the page asks for it as a picture; what it really is shows when it is asked for."""
    return file.size <= PICTURE_LIMIT and file.type in ("image/png", "image/jpeg", "image/gif", "image/webp")


def picture_type(head: bytes) -> str | None:
    """The type of a plain picture by the first octets of its file. None of these can hold a script."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def keep(blobs: BlobStore, files: Iterable[UploadFile]) -> tuple[AttachmentRef, ...]:
    """Put the files into the store; `blobs.sync()` is the caller's. Fails as the store does."""
    kept = []
    for file in files:
        file.file.seek(0)
        sha256, size = blobs.put(iter(lambda: file.file.read(CHUNK), b""))  # noqa: B023 (read at once)
        declared = (file.content_type or "").partition(";")[0].strip().lower()
        kept.append(
            AttachmentRef(
                name=clean_file_name(file.filename or ""),
                type=declared if _TYPE.fullmatch(declared) else "application/octet-stream",
                size=size,
                sha256=sha256,
            )
        )
    return tuple(kept)


def _file(request: Request, number: str, id: str) -> FileRow:
    viewer, parts = viewer_of(request), parts_of(request)
    if viewer is None or viewer.contact is None:
        raise HTTPException(404)
    found = parts.read(lambda session: find_file(session, viewer, number_in(number), number_in(id)))
    if found is None:
        raise HTTPException(404)
    return found


def _head(blobs: BlobStore, file: FileRow) -> bytes:
    try:
        return next(iter(blobs.stream(file.sha256)), b"")[:16]
    except FileNotFoundError:
        raise HTTPException(404) from None


def _stream(request: Request, file: FileRow, kind: str, disposition: str) -> Response:
    headers = {
        "content-disposition": disposition,
        "content-security-policy": SANDBOX,
        "content-length": str(file.size),
        "cache-control": "private, no-store",
    }
    if request.method == "HEAD":
        return Response(headers=headers, media_type=kind)
    try:
        chunks = iter(parts_of(request).blobs.stream(file.sha256))
        first = next(chunks, b"")  # a blob that is not there is told before the answer begins
    except FileNotFoundError:
        raise HTTPException(404) from None
    return StreamingResponse(iterate_in_threadpool(chain((first,), chunks)), headers=headers, media_type=kind)
