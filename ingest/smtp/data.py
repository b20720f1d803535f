"""One DATA: blocks go in, a mail ready to be committed comes out. Small ones gather in memory, large ones in a file.

*Takes* octets from the wire. *Gives* a `Parcel` or a `SpoolWriter`. *Fails* at its end: faults and excess are kept
until then, since nobody listens before.
"""

import asyncio
import errno
import os
from collections.abc import Callable

from ingest.smtp.context import Desk
from ingest.smtp.transparency import DataReader
from ingest.spool.name import new_id
from ingest.spool.write import BATCH_OCTETS, Parcel, SpoolWriter
from values.mail import Envelope


class Incoming:
    """One DATA: blocks go in, a parcel or a writer with the whole mail comes out."""

    def __init__(self, desk: Desk, envelope: Envelope, received: Callable[[str], bytes]) -> None:
        self._desk = desk
        self._envelope = envelope
        self._reader = DataReader()
        self._id = new_id()
        self._parts = [received(self._id)]
        self._held = 0  # octets counted in desk.in_memory
        self._writer: SpoolWriter | None = None
        self.began = desk.loop.time()
        self.moved = self.began  # when the last octets came
        self.taken = 0  # octets from the wire
        self.size = 0  # octets of the mail as sent
        self.fault: OSError | None = None
        self.ended: asyncio.Future[bytes] = desk.loop.create_future()  # what stands behind the end

    @property
    def is_too_large(self) -> bool:
        return self.size > self._desk.limits.size

    def is_slow(self, grace: float) -> bool:
        """Has it taken longer than `grace` seconds, and brought less than the least rate?"""
        spent = self._desk.loop.time() - self.began
        return spent > grace and self.taken < spent * self._desk.limits.rate

    @property
    def progressed_at(self) -> float:
        """The loop's time of its last octets; of its beginning where it drips."""
        return self.began if self.is_slow(self._desk.limits.stress_seconds) else self.moved

    def take(self, block: bytes) -> None:
        self.taken += len(block)
        self.moved = self._desk.loop.time()
        octets, rest = self._reader.feed(block)
        self.size += len(octets)
        if octets and self.fault is None and not self.is_too_large:
            try:
                self._store(octets)
            except OSError as error:  # told at the end of DATA: nobody listens before
                self.fault = error
        if self.fault is not None or self.is_too_large:
            self.drop()
        if rest is not None and not self.ended.done():
            self.ended.set_result(rest)

    def item(self) -> Parcel | SpoolWriter:
        """The mail, to be committed. It is the committer's from here on."""
        if (writer := self._writer) is not None:
            self._writer = None
            return writer
        return Parcel(id=self._id, envelope=self._envelope, raw=b"".join(self._parts))

    def drop(self) -> None:
        """Forget what was received: it failed, or the client is gone."""
        self._desk.in_memory -= self._held
        self._held = 0
        self._parts.clear()
        if self._writer is not None:
            self._writer.abort()
            self._writer = None

    def _store(self, octets: bytes) -> None:
        if self._writer is not None:
            if self._desk.is_full():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._writer.write(octets)
            return
        self._parts.append(octets)
        self._held += len(octets)
        self._desk.in_memory += len(octets)
        if self.size > BATCH_OCTETS or self._desk.in_memory > self._desk.limits.memory:
            self._writer = self._desk.spool.open_writer(self._envelope, self._id)
            self._writer.write(b"".join(self._parts))
            self._parts.clear()
            self._desk.in_memory -= self._held
            self._held = 0
