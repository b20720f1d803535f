"""One mail of a mailbox: fetched in pieces, straight into the spool; one that can't be had is held with the reason.

Takes: a client with the folder selected, a UID.  Gives: `Brought`: the mail is in the spool, is too large, or is gone.
Fails: SpoolFault where the spool takes nothing; else as the connection does. Nothing of the mail stays then.

The id of the mail is made from where it lies: fetched again after a crash it has the same one, and the ledger records
an id once.
"""

import hashlib
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from imapclient.exceptions import ProtocolError

from ingest.imap.wire import Imap
from ingest.mime.parse import parse
from ingest.pipeline_parts import Pipeline
from ingest.spool.rawfile import envelope_from
from ingest.spool.spool import Spool
from models.db.engine import retrying, transaction
from models.db.failpoint import failpoint
from models.facts import gather
from models.record import record
from rules.case import Case, held
from rules.clues import look_for
from rules.duplicate import second_copy
from rules.policy import Policy
from values.addresses import canonical_address
from values.decision import Decision, Receipt
from values.mail import Envelope, SpooledMail
from values.ulid import id_of
from values.vocabulary import Reason, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 256 * 1024  # octets that are asked for at a time; below MAX_LITERAL of the wire


class SpoolFault(Exception):
    """The spool takes nothing now: no mail and no server is to blame."""


class Outcome(Enum):
    SPOOLED = "spooled"
    TOO_LARGE = "too-large"
    GONE = "gone"  # somebody deleted or moved it before we had it


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a mail lies. UIDs are worth something under their UIDVALIDITY only (RFC 9051 §2.3.1.1)."""

    mailbox: str
    uidvalidity: int
    uid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What became of one mail."""

    outcome: Outcome
    size: int = 0  # octets; as the server says where it is too large
    head: bytes = b""  # its beginning, of one that is too large
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    octets: bytes | None  # None: the server gave none
    size: int  # RFC822.SIZE; 0 = not said. Some servers only estimate it
    arrived: datetime | None  # INTERNALDATE


def bring(
    client: Imap,
    place: Place,
    spool: Spool,
    envelope: Callable[[bytes], Envelope],
    largest: int,
    alive: Callable[[], object] = lambda: None,
) -> Brought:
    """Fetch the mail into the spool; durable when this returns. No flag is set by it (RFC 9051 §6.4.5).

    `envelope`: what stands for it, from the beginning of the mail. `alive` is called between the pieces.
    """
    piece = _ask(client, place.uid, 0)
    if piece.octets is None:  # RFC 9051 §7.5: others may expunge it at any time
        if _is_there(client, place.uid):
            raise ProtocolError("the server lists the mail and does not give it")
        return Brought(outcome=Outcome.GONE)
    if piece.size and not piece.octets:
        raise ProtocolError(f"the server gave nothing of {piece.size} octets")
    if max(piece.size, len(piece.octets)) > largest:
        return Brought(outcome=Outcome.TOO_LARGE, size=piece.size, head=piece.octets, id=_id(place, piece))
    mail_id, head, size = _id(place, piece), piece.octets, piece.size
    with _spool_faults():
        # What we left there when we were killed; nobody else writes under this id while we have the mailbox.
        (spool.tmp / mail_id).unlink(missing_ok=True)
        writer = spool.open_writer(envelope(head), mail_id)
    try:
        while piece.octets:
            with _spool_faults():
                writer.write(piece.octets)
            if writer.size > largest:
                writer.abort()
                return Brought(outcome=Outcome.TOO_LARGE, size=max(size, writer.size), head=head, id=mail_id)
            if len(piece.octets) < CHUNK and writer.size >= size:
                break
            alive()
            piece = _ask(client, place.uid, writer.size)
            if piece.octets is None:
                raise ProtocolError("the server stopped within the mail")
    except BaseException:
        writer.abort()
        raise
    failpoint("imap.before-commit")
    with _spool_faults():
        spooled = writer.commit()
    return Brought(outcome=Outcome.SPOOLED, size=spooled.size, id=mail_id)


def envelope_of(head: bytes, address: str, policy: Policy) -> Envelope:
    """The envelope that a mailbox has lost, from what its server wrote into the header, now.

    Anybody can write these fields, so of Delivered-To and X-Original-To only addresses of ours count; `address` stands
    for a mail that names none. There is no client: what SPF says is the border's to know.
    """
    found = envelope_from(head, Source.IMAP)
    ours = tuple(path for path in found.forward_paths if policy.is_own(canonical_address(path) or ""))
    return replace(found, forward_paths=ours or (address,))


def hold_beginning(desk: Pipeline, brought: Brought, place: Place, envelope: Envelope, largest: int) -> Receipt:
    """A mail over `max_message_size`: its beginning is kept and held, so that a person hears of it."""
    why = (
        f"The mail has {brought.size:,} octets, more than max_message_size ({largest:,}); only its beginning was "
        f"fetched. The whole lies in {place.mailbox}, UID {place.uid}."
    )
    ruling = held(Reason.OVER_LIMIT, why, "open a ticket with its beginning")
    return _hold(desk, brought.id, brought.head, envelope, ruling)


def hold_unfetched(desk: Pipeline, place: Place, address: str, fault: str) -> Receipt:
    """A mail that the server does not give: a person has to look for it there."""
    why = f"{place.mailbox} did not give this mail, UID {place.uid}, again and again: {fault}"
    now = datetime.now(UTC)
    envelope = Envelope(reverse_path="", forward_paths=(address,), source=Source.IMAP, received_at=now)
    mail_id = _id(place, _Piece(octets=b"", size=0, arrived=now))
    ruling = held(Reason.NOT_FETCHED, why, "open an empty ticket")
    return _hold(desk, mail_id, b"", envelope, ruling, key=f"not fetched: {place}")


def _hold(desk: Pipeline, mail_id: str, head: bytes, envelope: Envelope, ruling: Decision, *, key: str = "") -> Receipt:
    """Only the header is read here: what stands below it is for the pipeline's workers, which have limits."""
    sha256, size = desk.blobs.put_bytes(head)
    desk.blobs.sync()
    header = head[: head.find(b"\r\n\r\n") + 4] if b"\r\n\r\n" in head else head
    with tempfile.TemporaryDirectory(prefix="postdesk-fetch-") as folder:
        path = Path(folder) / mail_id
        path.write_bytes(header)
        spooled = SpooledMail(id=mail_id, path=path, offset=0, size=len(header), sha256=sha256, envelope=envelope)
        mail = replace(parse(spooled, desk.blobs), size=size, content_key=key or sha256)

    def write() -> Receipt:
        now = desk.now()
        with transaction(desk.engine, snapshot=True) as session:
            facts = gather(session, look_for(mail, desk.policy, desk.keys), now)
            copy = second_copy(Case(mail=mail, facts=facts, policy=desk.policy, now=now))
            return record(session, mail, copy if isinstance(copy, Decision) else ruling, now)

    return retrying(write)


def _ask(client: Imap, uid: int, start: int) -> _Piece:
    """CHUNK octets of the mail from `start`; BODY.PEEK sets no flag."""
    wanted = [f"BODY.PEEK[]<{start}.{CHUNK}>", *(["RFC822.SIZE", "INTERNALDATE"] if start == 0 else [])]
    answer = client.ask(uid, wanted)
    octets, size, arrived = (answer.get(name) for name in (b"BODY[]<%d>" % start, b"RFC822.SIZE", b"INTERNALDATE"))
    if isinstance(octets, bytes) and len(octets) > CHUNK:
        raise ProtocolError(f"{len(octets)} octets came where {CHUNK} were asked for")
    return _Piece(
        octets=octets if isinstance(octets, bytes) else None,
        size=size if isinstance(size, int) else 0,
        arrived=arrived if isinstance(arrived, datetime) else None,
    )


def _is_there(client: Imap, uid: int) -> bool:
    return uid in client.find(f"UID {uid}")


def _id(place: Place, piece: _Piece) -> str:
    """Sorts by arrival in the mailbox (to the second, then by UID), as the ids of the spool do. The size keeps apart
    what a server that was restored from a backup gives under the same UID. A time that can't be is none."""
    arrived = piece.arrived.astimezone(UTC) if piece.arrived else None
    may_be = arrived is not None and arrived < datetime.now(UTC) + timedelta(days=1)
    ms = max(int(arrived.timestamp() * 1000), 0) if arrived and may_be else 0
    text = f"{place.mailbox}\n{place.uidvalidity}\n{place.uid}\n{piece.size}"
    chance = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big")
    return id_of(ms, place.uid, chance)


@contextmanager
def _spool_faults() -> "Iterator[None]":
    try:
        yield
    except OSError as error:
        raise SpoolFault(f"the spool takes nothing: {error.strerror or error}") from error
