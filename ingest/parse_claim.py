"""What is read of mails before any transaction: their octets are kept, they are parsed, their authors are asked after.

Takes: spooled mails.  Gives: `ParsedMail`s, in order; octets and attachments are in the blob store, not yet synced.
Fails: as the blob store and the disk do. A mail that costs more than its limits kills the process, as it should: the
spool gives it out alone then.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from structlog.contextvars import bound_contextvars

from ingest.limited_child import limited
from ingest.mime.parse import parse
from ingest.pipeline_parts import Pipeline
from values.mail import AuthEvidence, ParsedMail, SpooledMail

# Authors that are asked after at once. A forger's name servers may be silent for as long as we wait: one after the
# other, ten such mails kept every other mail waiting for a minute.
_AT_ONCE = 32
_STACK = 512 << 10  # octets a thread: the memory of a worker is limited, and 8 MiB for each would be most of it


def read_all(mails: Sequence[SpooledMail], desk: Pipeline) -> list[ParsedMail]:
    """Keep and parse each mail; then ask the DNS about all their authors at once."""
    parsed = [_read(mail, desk) for mail in mails]
    if desk.authenticate is None:
        return parsed
    asked = [partial(_evidence, desk, *pair) for pair in zip(mails, parsed, strict=True)]
    with limited(desk.cpu_seconds * len(mails), desk.wall_seconds):
        return [replace(mail, auth=auth) for mail, auth in zip(parsed, _at_once(asked), strict=True)]


def _read(spooled: SpooledMail, desk: Pipeline) -> ParsedMail:
    desk.blobs.put_file(spooled.path, spooled.offset, spooled.size, spooled.sha256)
    with bound_contextvars(mail=spooled.id), limited(desk.cpu_seconds, desk.wall_seconds):
        return parse(spooled, desk.blobs)


def _evidence(desk: Pipeline, spooled: SpooledMail, mail: ParsedMail) -> AuthEvidence:
    if desk.authenticate is None or mail.author is None:
        return mail.auth
    with bound_contextvars(mail=spooled.id):
        return desk.authenticate(spooled, mail.author)


def _at_once(work: Sequence[Callable[[], AuthEvidence]]) -> Iterable[AuthEvidence]:
    if len(work) == 1:
        return [work[0]()]
    before = threading.stack_size(_STACK)
    try:
        with ThreadPoolExecutor(min(len(work), _AT_ONCE), "author") as threads:
            return list(threads.map(lambda one: one(), work))
    finally:
        threading.stack_size(before)
