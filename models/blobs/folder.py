"""A local folder as the place of blobs: plain files, and what it takes that they survive a power cut.

Takes: keys (`ab/cdef…`) and octets.  Gives: files, durable after `sync`.  Fails: OSError; nothing of a failed write is
visible under its key.

Plain system calls, because this is the hot path of a desk on one machine: an object store library hands each call to
threads of its own, which costs more than the call.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from uuid import uuid4

SYNC_THREADS = 8  # fsyncs that run at once share a journal commit: 0.2 ms a blob instead of 1.8 (ext4)
_READ = 256 << 10  # octets read at a time


class Folder:
    """The folder at `root`, with a sub-folder for each two first digits of a hash, and `tmp` for what is unfinished."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._threads: ThreadPoolExecutor | None = None  # of the process that syncs: threads do not survive a fork
        if not (root / "ff").is_dir():
            # All at once, so that a later `sync` need not ask whether a folder itself is durable.
            for shard in (*(f"{number:02x}" for number in range(256)), "tmp"):
                (root / shard).mkdir(parents=True, exist_ok=True)
            for parent in (root, root.parent):
                _fsync(parent)

    def size_of(self, key: str) -> int | None:
        try:
            return os.stat(self._path(key)).st_size  # noqa: PTH116 (asked for each mail: no Path is made for it)
        except FileNotFoundError:
            return None

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        """The octets under that key, whole or not at all."""
        self.adopt(self.stage(chunks), key)

    def stage(self, chunks: Iterable[bytes]) -> str:
        """The octets under a name of their own, until their key is known."""
        staged = f"tmp/{uuid4().hex}"
        path = self._path(staged)
        try:
            with open(path, "xb", buffering=0) as file:  # noqa: PTH123
                for chunk in chunks:
                    _write_all(file, chunk)
        except BaseException:
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108
            raise
        return staged

    def adopt(self, staged: str, key: str) -> None:
        """Staged octets get their key."""
        os.replace(self._path(staged), self._path(key))  # noqa: PTH105

    def get(self, key: str) -> bytes:
        return (self._root / key).read_bytes()

    def stream(self, key: str) -> Iterator[bytes]:
        return _blocks((self._root / key).open("rb", buffering=0))

    def remove(self, key: str) -> None:
        (self._root / key).unlink(missing_ok=True)

    def sync(self, keys: Iterable[str]) -> None:
        """These blobs are durable when this returns. After an OSError none of them is sure: the kernel calls their
        pages clean, and asking again would say yes to lost data."""
        names = sorted(keys)
        self._fsync_together(names)
        # One after the other: the journal that the files' fsyncs wrote holds the renames, so there is little to do.
        for shard in sorted({name[:2] for name in names}):
            _fsync(self._root / shard)

    def _fsync_together(self, names: list[str]) -> None:
        if len(names) == 1:
            _fsync(self._root / names[0])
            return
        self._threads = self._threads or ThreadPoolExecutor(SYNC_THREADS, "fsync")
        # Shares, not single files: handing over a file costs as much as its fsync.
        shares = [names[start::SYNC_THREADS] for start in range(min(SYNC_THREADS, len(names)))]
        list(self._threads.map(self._fsync_all, shares))

    def _fsync_all(self, names: list[str]) -> None:
        for name in names:
            _fsync(self._root / name)

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    # -- for the sweep (notify/sweep.py)

    def names_in(self, folder: str) -> Iterator[tuple[str, datetime]]:
        """Each name in the folder, and when it was last written."""
        with suppress(FileNotFoundError), os.scandir(self._root / folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    yield entry.name, datetime.fromtimestamp(entry.stat().st_mtime, UTC)

    def move(self, key: str, to: str) -> None:
        """The octets get another key, and count as written now."""
        source, target = self._root / key, self._root / to
        target.parent.mkdir(exist_ok=True)
        shards = [(folder, folder.stat()) for folder in (source.parent, target.parent)]
        os.utime(source)
        source.replace(target)
        for folder, was in shards:  # doctor tells by their times when a mail last came in
            os.utime(folder, ns=(was.st_atime_ns, was.st_mtime_ns))


def _write_all(file: FileIO, octets: bytes) -> None:
    left = memoryview(octets)
    while left:
        left = left[file.write(left) :]


def _blocks(file: FileIO) -> Iterator[bytes]:
    with file:
        while block := file.read(_READ):
            yield block


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
