"""The spool: a folder that makes a mail ours before anybody is told so, and lends it to one worker at a time.

*Takes* envelopes and octets. *Gives* durable `SpooledMail`s, then claims on them. *Fails* with OSError: the mail is
then not accepted, and nothing of it stays.

    open_writer ─► tmp/ID ──fsync file──rename──fsync folder──► new/ID.COUNT.ATTEMPTS.AFTER
                      (250 is said only now)                     │           ▲
                                     claim: rename, atomic       │           │ release (attempts as they were)
                                                                 ▼           │ defer   (one attempt more, wait)
                                               work/WORKER/ID.COUNT.ATTEMPTS.AFTER
                                                    │            │           │ recover (its worker died: as defer)
                                             finish │            │ third failure, or damaged
                                                    ▼            ▼
                                                 (gone)       shunt/ID.… + shunt/ID.reason.json ── unshunt ─► new/

One file holds one mail, or a batch of small mails that got their 250 together (one fsync for all). A batch that fails
is split: every mail becomes a file of its own, durable before the batch goes. A crash in between leaves a mail twice,
under one id, and the ledger records an id once. Any number of processes may write and claim; nothing here locks. Within
a process, `claim` and `wait_for_new` belong to one thread for each Spool object.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest.spoolfile import Reading, encode_header, header_width, read_file
from models.failpoint import failpoint
from models.mail import Envelope, SpooledMail

MAX_ATTEMPTS = 3  # a mail that failed so often is shunted
BATCH_OCTETS = 64 * 1024  # a mail up to this size may share a file with others
_PROBE_SECONDS = 5.0  # how often a spool marked bad is tried again, at most
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: sorts as it counts
_WORKER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_MAIL_ID = re.compile(rf"[{_ALPHABET}]{{26}}")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolName:
    """What a file name says, so that counting and choosing read no file."""

    id: str  # of the file; a single mail's own id, a batch's first
    count: int  # mails within
    attempts: int  # how often it failed before
    after: int  # Unix time in ms before which it is not claimed; 0 = at once

    def __str__(self) -> str:
        return f"{self.id}.{self.count}.{self.attempts}.{self.after}"

    @classmethod
    def parse(cls, text: str) -> "SpoolName | None":
        parts = text.split(".")
        if len(parts) != 4 or not _MAIL_ID.fullmatch(parts[0]) or not all(map(str.isdecimal, parts[1:])):
            return None
        return cls(id=parts[0], count=int(parts[1]), attempts=int(parts[2]), after=int(parts[3]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A mail in memory that waits to be made durable."""

    id: str
    envelope: Envelope
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedFile:
    path: Path
    name: SpoolName
    mails: tuple[SpooledMail, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Mails lent to one worker. Files that failed before are always claimed alone."""

    worker: str
    files: tuple[ClaimedFile, ...]

    @property
    def mails(self) -> tuple[SpooledMail, ...]:
        return tuple(mail for file in self.files for mail in file.mails)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shunted:
    """A mail that was set aside, and why."""

    id: str
    reason: str  # a word: failed | worker-died | corrupt | …
    detail: str
    at: datetime
    path: Path
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolCounts:
    """Mails (not files) in each folder; `receiving` are files being written."""

    new: int
    work: int
    shunt: int
    receiving: int


def new_id() -> str:
    """26 characters: 48 bits of ms and a count within it, to sort by; 64 random bits, to be unique on all machines."""
    with _id_lock:
        now = time.time_ns() // 1_000_000
        _id_state[1] = _id_state[1] + 1 if now == _id_state[0] else 0
        _id_state[0] = now
        count = _id_state[1]
    number = (now << 80) | ((count & 0xFFFF) << 64) | int.from_bytes(os.urandom(8), "big")
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in _SHIFTS)


_id_lock = threading.Lock()
_id_state = [0, 0]  # the ms of the last id, and how many ids it has had
_SHIFTS = range(125, -1, -5)


class SpoolWriter:
    """One mail that is streamed to its own file because it is large. Ends with `commit` or `abort`, once."""

    def __init__(self, spool: "Spool", mail_id: str, envelope: Envelope) -> None:
        self.id = mail_id
        self.envelope = envelope
        self.size = 0
        self._spool = spool
        self._digest = hashlib.sha256()
        self._room = header_width(mail_id, mail_id, envelope)
        self.tmp = spool.tmp / mail_id
        failpoint("spool.before-write")
        self._fd = os.open(self.tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write_all(self._fd, bytes(self._room))
        except OSError:
            self.abort()
            raise

    def write(self, block: bytes) -> None:
        """Raises OSError; then only `abort` is left."""
        _write_all(self._fd, block)
        self._digest.update(block)
        self.size += len(block)

    def commit(self) -> SpooledMail:
        """Make it durable and visible. Raises OSError; the mail is then not accepted and its file is gone."""
        return _or_raise(self._spool.commit([self]))[0]

    def abort(self) -> None:
        """Drop what was written. May be called again, and after a commit that failed."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)
        _discard(self.tmp)

    def seal(self) -> SpooledMail:
        """For Spool.commit: complete the header and fsync. The mail's path is where it will be renamed to."""
        sha256 = self._digest.hexdigest()
        header = encode_header(self.id, self.id, self.envelope, size=self.size, sha256=sha256, width=self._room)
        os.pwrite(self._fd, header, 0)
        self._spool.fsync(self._fd)
        fd, self._fd = self._fd, -1
        os.close(fd)
        path = self._spool.new / str(SpoolName(id=self.id, count=1, attempts=0, after=0))
        return _spooled(self.id, self.envelope, path, self._room, self.size, sha256)


class Spool:
    """The folders under one root, on one local file system. Every method may be called from any thread or process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tmp, self.new, self.work, self.shunt_folder = (root / name for name in ("tmp", "new", "work", "shunt"))
        for folder in (self.tmp, self.new, self.work, self.shunt_folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.bad: OSError | None = None  # the fsync error that made us stop accepting, until a probe succeeds
        self.fsync_failures = 0
        self._probed_at = 0.0
        self._candidates: deque[SpoolName] = deque()
        self._listed: int | None = None  # mtime of new/ when it was listed and could be trusted
        self._next_due = 0  # Unix ms of the first deferred file seen at that time; 0 = none

    # -- the way in ---------------------------------------------------------------------------------------------

    def open_writer(self, envelope: Envelope, mail_id: str | None = None) -> SpoolWriter:
        """A writer for a mail that comes in blocks. Raises OSError."""
        self._require_good()
        return SpoolWriter(self, mail_id or new_id(), envelope)

    def put(self, envelope: Envelope, raw: bytes, mail_id: str | None = None) -> SpooledMail:
        """Durable when it returns (RFC 5321 §6.1). Raises OSError: then nothing was kept."""
        return _or_raise(self.commit([Parcel(id=mail_id or new_id(), envelope=envelope, raw=raw)]))[0]

    def put_batch(self, mails: Sequence[tuple[Envelope, bytes]]) -> list[SpooledMail]:
        """Several mails into one file with one fsync: all or none. Raises OSError."""
        return _or_raise(self.commit([Parcel(id=new_id(), envelope=envelope, raw=raw) for envelope, raw in mails]))

    def commit(self, parcels: Sequence[Parcel | SpoolWriter]) -> list[SpooledMail | OSError]:
        """Make mails durable together: parcels share one file, each writer has its own, all share the folder's fsync.

        Gives one outcome for each, in order. An OSError means: not accepted, nothing kept.
        """
        outcome: list[SpooledMail | OSError] = [OSError(errno.EIO, "not committed")] * len(parcels)
        small = [(at, parcel) for at, parcel in enumerate(parcels) if isinstance(parcel, Parcel)]
        files: list[tuple[Path, list[tuple[int, SpooledMail]]]] = []
        if small:
            try:
                tmp, mails = self._write_batch([parcel for _, parcel in small])
                files.append((tmp, [(at, mail) for (at, _), mail in zip(small, mails, strict=True)]))
            except OSError as error:
                for at, _ in small:
                    outcome[at] = error
        for at, writer in enumerate(parcels):
            if isinstance(writer, SpoolWriter):
                try:
                    files.append((writer.tmp, [(at, writer.seal())]))
                except OSError as error:
                    writer.abort()
                    outcome[at] = error
        failpoint("spool.after-write")
        for at, result in self._publish(files):
            outcome[at] = result
        return outcome

    def _publish(
        self, files: Iterable[tuple[Path, list[tuple[int, SpooledMail]]]]
    ) -> Iterator[tuple[int, SpooledMail | OSError]]:
        """Rename sealed files into new/ and fsync the folder; all of these fail where that fsync fails."""
        renamed = []
        for tmp, mails in files:
            try:
                tmp.rename(mails[0][1].path)
                renamed.append(mails)
            except OSError as error:
                _discard(tmp)
                yield from ((at, error) for at, _ in mails)
        failpoint("spool.after-rename")
        if not renamed:
            return
        try:
            self._fsync_folder(self.new)
        except OSError as error:
            for mails in renamed:
                _discard(mails[0][1].path)
                yield from ((at, error) for at, _ in mails)
            return
        for mails in renamed:
            yield from mails

    def _write_batch(self, parcels: Sequence[Parcel], **name: int) -> tuple[Path, list[SpooledMail]]:
        """One sealed file in tmp/ with all the parcels; `name` may set attempts and after. Raises OSError."""
        self._require_good()
        file_id = parcels[0].id
        fields = {"attempts": 0, "after": 0, **name}
        path = self.new / str(SpoolName(id=file_id, count=len(parcels), **fields))
        chunks: list[bytes] = []
        mails: list[SpooledMail] = []
        at = 0
        for parcel in parcels:
            sha256 = hashlib.sha256(parcel.raw).hexdigest()
            header = encode_header(file_id, parcel.id, parcel.envelope, size=len(parcel.raw), sha256=sha256)
            chunks += (header, parcel.raw)
            mail = _spooled(parcel.id, parcel.envelope, path, at + len(header), len(parcel.raw), sha256)
            mails.append(mail)
            at += len(header) + len(parcel.raw)
        tmp = self.tmp / file_id
        failpoint("spool.before-write")
        try:
            fd = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                _write_all(fd, b"".join(chunks))
                self.fsync(fd)
            finally:
                os.close(fd)
        except OSError:
            _discard(tmp)
            raise
        return tmp, mails

    # -- health -------------------------------------------------------------------------------------------------

    def fsync(self, fd: int) -> None:
        """fsync once. After an error the kernel may drop the pages and call the next fsync good, so it is never tried
        again on this file: the caller discards it, and the spool is bad until a new file can be made durable."""
        try:
            os.fsync(fd)
        except OSError as error:
            self.fsync_failures += 1
            if error.errno not in _NO_SPACE:
                self.bad = error
            raise

    def is_good(self) -> bool:
        """May mail be accepted? A bad spool is probed with a fresh file, at most every 5 s."""
        if self.bad is not None and time.monotonic() - self._probed_at >= _PROBE_SECONDS:
            self._probed_at = time.monotonic()
            self._probe()
        return self.bad is None

    def free_octets(self) -> int:
        """Free space for us; 0 when the file system is out of inodes."""
        room = os.statvfs(self.root)
        return room.f_bavail * room.f_frsize if room.f_favail or not room.f_files else 0

    def _probe(self) -> None:
        path = self.tmp / new_id()
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(fd, b"probe")
                os.fsync(fd)
            finally:
                os.close(fd)
                path.unlink(missing_ok=True)
            _fsync_path(self.new)
        except OSError as error:
            self.bad = error
        else:
            self.bad = None

    def _require_good(self) -> None:
        if self.bad is not None and not self.is_good():
            raise OSError(errno.EIO, "the spool is marked bad after an fsync error")

    def _fsync_folder(self, folder: Path) -> None:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.fsync(fd)
        finally:
            os.close(fd)

    # -- the way out --------------------------------------------------------------------------------------------

    def claim(self, worker: str, most: int = 1) -> Claim | None:
        """Up to about `most` mails (a batch file is never torn), oldest first; None = nothing is due.

        A file that failed before comes alone, so that a mail that kills its worker takes nobody along twice.
        Damaged records go to the shunt; the rest of their file is given.
        """
        desk = self._desk(worker)
        files: list[ClaimedFile] = []
        mails = 0
        while mails < most and (name := self._next_candidate()) is not None:
            if name.attempts and files:
                self._candidates.appendleft(name)
                break
            path = desk / str(name)
            try:
                (self.new / str(name)).rename(path)
            except FileNotFoundError:
                continue  # another worker was quicker
            if (file := self._open_claimed(path, name)) is not None:
                files.append(file)
                mails += len(file.mails)
                if name.attempts:
                    break
        return Claim(worker=worker, files=tuple(files)) if files else None

    def finish(self, claim: Claim) -> None:
        """The mails are recorded: their files may go."""
        for file in claim.files:
            file.path.unlink(missing_ok=True)

    def split(self, claim: Claim) -> None:
        """A claim of several mails failed as a whole: each goes back as a file of its own, attempts as they were."""
        self.release(claim)

    def release(self, claim: Claim, wait: float = 0.0) -> None:
        """Give the mails back as they were, to be claimed after `wait` seconds: the fault was not theirs."""
        for file in claim.files:
            self._give_back(file, file.name.attempts, wait)

    def defer(self, claim: Claim, reason: str, *, detail: str = "", wait: float = 0.0) -> tuple[SpooledMail, ...]:
        """The mails failed: back with one attempt more, after `wait` seconds. Gives those that failed too often, which
        are in the shunt now under `reason`."""
        shunted: list[SpooledMail] = []
        for file in claim.files:
            shunted += self._failed(file, reason, detail, wait)
        return tuple(shunted)

    def shunt(self, claim: Claim, reason: str, detail: str = "") -> tuple[SpooledMail, ...]:
        """Set the mails aside, each with a note; `unshunt` brings one back. Gives them with their new paths."""
        shunted: list[SpooledMail] = []
        for file in claim.files:
            shunted += self._set_aside(file, reason, detail, file.name.attempts)
        return tuple(shunted)

    def recover(self, worker: str) -> tuple[SpooledMail, ...]:
        """What a dead worker held goes back with one attempt more, every mail in a file of its own. Gives those that
        were shunted because it was their third attempt. Call it for a worker that surely does not run."""
        shunted: list[SpooledMail] = []
        for path, name in _named(self._desk(worker)):
            if (file := self._open_claimed(path, name)) is not None:
                shunted += self._failed(file, "worker-died", "", 0.0)
        return tuple(shunted)

    def workers(self) -> list[str]:
        """Every worker name that has a folder, alive or not."""
        return sorted(entry.name for entry in os.scandir(self.work) if entry.is_dir())

    def read(self, mail: SpooledMail) -> bytes:
        """The raw octets of a mail. Raises OSError."""
        with mail.path.open("rb") as file:
            file.seek(mail.offset)
            return file.read(mail.size)

    def wait_for_new(self, timeout: float) -> bool:
        """Return True as soon as a mail is due, False after `timeout` seconds. Looks at one mtime, ever more slowly."""
        until = time.monotonic() + timeout
        pause = 0.002
        while not self._has_due():
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, 0.05)
        return True

    def counts(self) -> SpoolCounts:
        return SpoolCounts(
            new=_mails_in(self.new),
            work=sum(_mails_in(self.work / worker) for worker in self.workers()),
            shunt=_mails_in(self.shunt_folder),
            receiving=sum(1 for _ in os.scandir(self.tmp)),
        )

    # -- the shunt ----------------------------------------------------------------------------------------------

    def shunted(self) -> list[Shunted]:
        """All that was set aside, oldest first."""
        return [self._note(path, name) for path, name in _named(self.shunt_folder)]

    def unshunt(self, mail_id: str) -> bool:
        """Back to new/ with no failed attempt; False when there is no such mail."""
        for path, name in _named(self.shunt_folder):
            if name.id == mail_id:
                path.rename(self.new / str(replace(name, attempts=0, after=0)))
                self._note_path(mail_id).unlink(missing_ok=True)
                return True
        return False

    def drop_shunted(self, mail_id: str) -> bool:
        """Delete for good; False when there is no such mail."""
        for path, name in _named(self.shunt_folder):
            if name.id == mail_id:
                path.unlink(missing_ok=True)
                self._note_path(mail_id).unlink(missing_ok=True)
                return True
        return False

    def sweep(self, older_than: float = 7200.0) -> int:
        """Delete files in tmp/ that nobody has written to for `older_than` seconds; gives how many."""
        swept = 0
        for entry in os.scandir(self.tmp):
            try:
                if time.time() - entry.stat().st_mtime > older_than:
                    Path(entry.path).unlink()
                    swept += 1
            except FileNotFoundError:
                continue  # renamed meanwhile
        return swept

    # -- within -------------------------------------------------------------------------------------------------

    def _desk(self, worker: str) -> Path:
        if not _WORKER.fullmatch(worker):
            raise ValueError(f"a worker's name is a file name of letters, digits, . _ -; got {worker!r}")
        desk = self.work / worker
        desk.mkdir(mode=0o700, exist_ok=True)
        return desk

    def _next_candidate(self) -> SpoolName | None:
        if not self._candidates:
            self._list_new()
        return self._candidates.popleft() if self._candidates else None

    def _list_new(self) -> None:
        mtime = self.new.stat().st_mtime_ns
        now = time.time_ns()
        names = sorted((name for _, name in _named(self.new)), key=lambda name: name.id)
        self._candidates = deque(name for name in names if name.after <= now // 1_000_000)
        self._next_due = min((name.after for name in names if name.after > now // 1_000_000), default=0)
        # A file system's clock has ticks: a change in the tick of this listing would not move the mtime again.
        self._listed = mtime if mtime < now - 100_000_000 else None

    def _has_due(self) -> bool:
        if self._candidates:
            return True
        deferred_is_due = bool(self._next_due) and self._next_due <= time.time_ns() // 1_000_000
        if deferred_is_due or self._listed is None or self.new.stat().st_mtime_ns != self._listed:
            self._list_new()
        return bool(self._candidates)

    def _open_claimed(self, path: Path, name: SpoolName) -> ClaimedFile | None:
        """Read and check a file we hold. Damage goes to the shunt; None when nothing good is left."""
        try:
            reading = read_file(path, name.id, name.attempts)
        except FileNotFoundError:
            return None
        if not reading.damage:
            return ClaimedFile(path=path, name=name, mails=reading.mails)
        self._shunt_damage(path, name, reading)
        if not reading.mails:
            return None
        return ClaimedFile(path=path, name=name, mails=reading.mails)

    def _shunt_damage(self, path: Path, name: SpoolName, reading: Reading) -> None:
        detail = "; ".join(f"{damage.why} at {damage.offset}" for damage in reading.damage)
        # The whole file is kept, as evidence and because a person may still read it; the good mails in it flow.
        aside = self.shunt_folder / str(replace(name, after=0, count=max(1, name.count - len(reading.mails))))
        self._write_note(name.id, "corrupt", detail, name.attempts, None)
        if reading.mails:
            aside.unlink(missing_ok=True)
            aside.hardlink_to(path)
        else:
            path.rename(aside)

    def _failed(self, file: ClaimedFile, reason: str, detail: str, wait: float) -> tuple[SpooledMail, ...]:
        attempts = file.name.attempts + 1
        if attempts >= MAX_ATTEMPTS:
            return self._set_aside(file, reason, detail, attempts)
        self._give_back(file, attempts, wait)
        return ()

    def _give_back(self, file: ClaimedFile, attempts: int, wait: float) -> None:
        after = time.time_ns() // 1_000_000 + int(wait * 1000) if wait > 0 else 0
        if file.name.count == 1:
            self._rename_quietly(file.path, self.new / str(replace(file.name, attempts=attempts, after=after)))
            return
        for mail in file.mails:
            raw = self.read(mail)
            tmp, (single,) = self._write_batch(
                [Parcel(id=mail.id, envelope=mail.envelope, raw=raw)], attempts=attempts, after=after
            )
            tmp.rename(single.path)
        self._fsync_folder(self.new)
        file.path.unlink(missing_ok=True)

    def _set_aside(self, file: ClaimedFile, reason: str, detail: str, attempts: int) -> tuple[SpooledMail, ...]:
        shunted = []
        for mail in file.mails:
            name = SpoolName(id=mail.id, count=1, attempts=attempts, after=0)
            aside = self.shunt_folder / str(name)
            self._write_note(mail.id, reason, detail, attempts, mail.envelope)
            if file.name.count == 1:
                self._rename_quietly(file.path, aside)
                shunted.append(replace(mail, path=aside, attempts=attempts))
            else:
                tmp, (single,) = self._write_batch(
                    [Parcel(id=mail.id, envelope=mail.envelope, raw=self.read(mail))], attempts=attempts
                )
                tmp.rename(aside)
                shunted.append(replace(single, path=aside, attempts=attempts))
        self._fsync_folder(self.shunt_folder)
        if file.name.count > 1:
            file.path.unlink(missing_ok=True)
        return tuple(shunted)

    @staticmethod
    def _rename_quietly(path: Path, target: Path) -> None:
        """A file that is gone was recovered or finished by somebody else: nothing is left to do here."""
        try:
            path.rename(target)
        except FileNotFoundError:
            return

    def _note_path(self, mail_id: str) -> Path:
        return self.shunt_folder / f"{mail_id}.reason.json"

    def _write_note(self, mail_id: str, reason: str, detail: str, attempts: int, envelope: Envelope | None) -> None:
        note: dict[str, Any] = {
            "id": mail_id,
            "reason": reason,
            "detail": detail[:2000],
            "attempts": attempts,
            "at": datetime.now(UTC).isoformat(),
            "reverse_path": envelope.reverse_path if envelope else None,
            "forward_paths": envelope.forward_paths if envelope else None,
        }
        tmp = self.tmp / f"{mail_id}.{secrets.token_hex(4)}.note"
        tmp.write_text(json.dumps(note, indent=1) + "\n", encoding="ascii")
        _fsync_path(tmp)
        tmp.rename(self._note_path(mail_id))

    def _note(self, path: Path, name: SpoolName) -> Shunted:
        try:
            note = json.loads(self._note_path(name.id).read_text(encoding="ascii"))
            reason, detail, at = str(note["reason"]), str(note["detail"]), datetime.fromisoformat(note["at"])
        except (OSError, ValueError, KeyError, TypeError):
            reason, detail, at = "unknown", "its note is missing", datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return Shunted(id=name.id, reason=reason, detail=detail, at=at, path=path, attempts=name.attempts)


def _spooled(mail_id: str, envelope: Envelope, path: Path, offset: int, size: int, sha256: str) -> SpooledMail:
    return SpooledMail(id=mail_id, path=path, offset=offset, size=size, sha256=sha256, envelope=envelope)


def _or_raise(outcome: Sequence[SpooledMail | OSError]) -> list[SpooledMail]:
    mails = []
    for result in outcome:
        if isinstance(result, OSError):
            raise result
        mails.append(result)
    return mails


def _named(folder: Path) -> list[tuple[Path, SpoolName]]:
    """The spool files of a folder in order of their ids; notes and strangers are left out."""
    found = [(name, entry.path) for entry in os.scandir(folder) if (name := SpoolName.parse(entry.name)) is not None]
    return [(Path(path), name) for name, path in sorted(found, key=lambda pair: pair[0].id)]


def _mails_in(folder: Path) -> int:
    return sum(name.count for _, name in _named(folder))


def _write_all(fd: int, octets: bytes) -> None:
    left = memoryview(octets)
    while left:
        left = left[os.write(fd, left) :]


def _discard(path: Path) -> None:
    """Best effort: the file system may be the very thing that failed. `sweep` comes later."""
    with suppress(OSError):
        path.unlink()


def _fsync_path(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
