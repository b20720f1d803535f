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
import os
import re
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.spool.file import Damage, Reading, read_file
from ingest.spool.name import SpoolName, named
from ingest.spool.shunt import Shunt, Shunted
from ingest.spool.write import Parcel, SpoolIn
from values.mail import SpooledMail

MAX_ATTEMPTS = 3  # a mail that failed so often is shunted
LONGEST_WAIT = 60_000  # ms that a mail may be put off; what seems to wait longer was so before the clock went back
KNOWN_DAYS = 30  # that a server is known after its last believed mail
_NOTE_AGAIN = 3600.0  # seconds after which a known server is noted again
_WORKER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


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
class SpoolCounts:
    """Mails (not files) in each folder; `receiving` are files being written."""

    new: int
    work: int
    shunt: int
    receiving: int


class Spool(SpoolIn):
    """The folders under one root, on one local file system. Every method may be called from any thread or process."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._shunt = Shunt(self.shunt_folder, self.tmp)
        self._candidates: deque[SpoolName] = deque()
        self._listed: int | None = None  # mtime of new/ when it was listed and could be trusted
        self._noted: dict[str, float] = {}
        self._next_due = 0  # Unix ms of the first deferred file seen at that time; 0 = none

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
            try:
                file = self._open_claimed(path, name)
            except OSError:  # no descriptor, no memory: nothing that the mails did, so it costs them no attempt
                self.release(Claim(worker=worker, files=tuple(files)))
                self._rename_quietly(path, self.new / str(name))
                raise
            if file is not None:
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
            try:
                self._give_back(file, file.name.attempts, wait)
            except OSError:  # a batch cannot be split now: back as a whole, or the next recovery counts it as a failure
                self._rename_quietly(file.path, self.new / str(replace(file.name, after=_in(wait))))

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
        for path, name in named(self._desk(worker)):
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

    def shunted(self) -> list[Shunted]:
        """All that was set aside, oldest first."""
        return self._shunt.all()

    def unshunt(self, mail_id: str) -> bool:
        """Back to new/ with no failed attempt; False when there is no such mail."""
        return self._shunt.bring_back(mail_id, self.new)

    def drop_shunted(self, mail_id: str) -> bool:
        """Delete for good; False when there is no such mail."""
        return self._shunt.drop(mail_id)

    def sweep(self, older_than: float = 7200.0) -> int:
        """Delete files in tmp/ that nobody has written to for `older_than` seconds; gives how many. Forget servers that
        have brought nothing for long."""
        swept = 0
        for entry in os.scandir(self.tmp):
            try:
                if time.time() - entry.stat().st_mtime > older_than:
                    Path(entry.path).unlink()
                    swept += 1
            except FileNotFoundError:
                continue  # renamed meanwhile
        self._forget_known()
        return swept

    # -- whom we know -------------------------------------------------------------------------------------------

    def note_known(self, address: str) -> None:
        """A server at this address brought a mail that we believed, of somebody who is registered."""
        if "/" in address or time.monotonic() - self._noted.get(address, float("-inf")) < _NOTE_AGAIN:
            return
        with suppress(OSError):  # it says nothing about a mail
            (self.known / address).touch(mode=0o600)
            self._noted[address] = time.monotonic()

    def known_senders(self) -> frozenset[str]:
        """The addresses that were noted within KNOWN_DAYS."""
        since = time.time() - KNOWN_DAYS * 86400
        with suppress(OSError), os.scandir(self.known) as entries:
            return frozenset(entry.name for entry in entries if entry.stat().st_mtime >= since)
        return frozenset()

    def _forget_known(self) -> None:
        until = time.time() - KNOWN_DAYS * 86400
        for entry in os.scandir(self.known):
            if entry.stat().st_mtime < until:
                Path(entry.path).unlink(missing_ok=True)

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
        names = sorted((name for _, name in named(self.new)), key=lambda name: name.id)
        later = {name.after for name in names if 0 < name.after - now // 1_000_000 <= LONGEST_WAIT}
        self._candidates = deque(name for name in names if name.after not in later)
        self._next_due = min(later, default=0)
        # A file system's clock has ticks: a change in the tick of this listing would not move the mtime again.
        self._listed = mtime if abs(now - mtime) > 100_000_000 else None

    def _has_due(self) -> bool:
        if self._candidates:
            return True
        waits = 0 < self._next_due - time.time_ns() // 1_000_000 <= LONGEST_WAIT
        deferred_is_due = bool(self._next_due) and not waits
        if deferred_is_due or self._listed is None or self.new.stat().st_mtime_ns != self._listed:
            self._list_new()
        return bool(self._candidates)

    def _open_claimed(self, path: Path, name: SpoolName) -> ClaimedFile | None:
        """Read and check a file we hold. Damage goes to the shunt; None when nothing good is left."""
        try:
            reading = read_file(path, name.id, name.attempts)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            # A bad sector under one file must not end every worker that comes to it.
            reading = Reading(mails=(), damage=(Damage(offset=0, end=0, why=f"unreadable: {error.strerror}"),))
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
        self._shunt.write_note(name.id, "corrupt", detail, name.attempts, None)
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
        after = _in(wait)
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
            self._shunt.write_note(mail.id, reason, detail, attempts, mail.envelope)
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


def _in(wait: float) -> int:
    """Unix ms of the moment in `wait` seconds; 0 = now."""
    return time.time_ns() // 1_000_000 + int(wait * 1000) if wait > 0 else 0


def _mails_in(folder: Path) -> int:
    return sum(name.count for _, name in named(folder))
