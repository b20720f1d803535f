"""The way into the spool: tmp/ID, fsync, rename to new/, fsync of the folder. See spool.py for the whole.

*Takes* envelopes and octets. *Gives* durable `SpooledMail`s. *Fails* with OSError: the mail is then not accepted, and
nothing of it stays.
"""

import errno
import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ingest.spool.file import encode_header, header_width
from ingest.spool.name import SpoolName, new_id
from models.db.failpoint import failpoint
from values.mail import Envelope, SpooledMail

BATCH_OCTETS = 64 * 1024  # a mail up to this size may share a file with others
_PROBE_SECONDS = 5.0  # how often a spool marked bad is tried again, at most
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A mail in memory that waits to be made durable."""

    id: str
    envelope: Envelope
    raw: bytes


class SpoolWriter:
    """One mail that is streamed to its own file because it is large. Ends with `commit` or `abort`, once."""

    def __init__(self, spool: "SpoolIn", mail_id: str, envelope: Envelope) -> None:
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
        """For SpoolIn.commit: complete the header and fsync. The mail's path is where it will be renamed to."""
        sha256 = self._digest.hexdigest()
        header = encode_header(self.id, self.id, self.envelope, size=self.size, sha256=sha256, width=self._room)
        os.pwrite(self._fd, header, 0)
        self._spool.fsync(self._fd)
        fd, self._fd = self._fd, -1
        os.close(fd)
        path = self._spool.new / str(SpoolName(id=self.id, count=1, attempts=0, after=0))
        return _spooled(self.id, self.envelope, path, self._room, self.size, sha256)


class SpoolIn:
    """The folders, what is written into them, and their health."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tmp, self.new, self.work, self.shunt_folder = (root / name for name in ("tmp", "new", "work", "shunt"))
        self.known = root / "known"  # a file for each address whose mails we lately believed
        for folder in (self.tmp, self.new, self.work, self.shunt_folder, self.known):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.bad: OSError | None = None  # the fsync error that made us stop accepting, until a probe succeeds
        self.fsync_failures = 0
        self._probed_at = 0.0

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
            fsync_path(self.new)
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


def _spooled(mail_id: str, envelope: Envelope, path: Path, offset: int, size: int, sha256: str) -> SpooledMail:
    return SpooledMail(id=mail_id, path=path, offset=offset, size=size, sha256=sha256, envelope=envelope)


def _or_raise(outcome: Sequence[SpooledMail | OSError]) -> list[SpooledMail]:
    mails = []
    for result in outcome:
        if isinstance(result, OSError):
            raise result
        mails.append(result)
    return mails


def _write_all(fd: int, octets: bytes) -> None:
    left = memoryview(octets)
    while left:
        left = left[os.write(fd, left) :]


def _discard(path: Path) -> None:
    """Best effort: the file system may be the very thing that failed. `sweep` comes later."""
    with suppress(OSError):
        path.unlink()


def fsync_path(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
