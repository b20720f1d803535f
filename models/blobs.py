"""The blob store: octets under their SHA-256, in a folder, on S3, or in memory.

Takes: octets or chunks of them.  Gives: their SHA-256 (lower-case hex) and size.  Fails: OSError or an obstore error
where the store does; nothing of a failed `put` is visible, and after a failed `sync` its blobs are gone.
Write first, then `sync()`, then commit the row that names the blob: an orphan is harmless, a missing blob is not.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from threading import Lock
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, S3Store

from models.errors import PostdeskError

IN_MEMORY = 1 << 20  # octets that are held before a blob of unknown length goes to the store in pieces
CHUNK = 256 << 10  # octets read at a time
PIECE = 5 << 20  # octets of one upload in pieces; S3 wants no less
LOCAL_PIECE = 1 << 20  # the same for a folder
SYNC_THREADS = 8  # fsyncs that run at once share a journal commit: 0.2 ms a blob instead of 1.8 (ext4)


_NOT_THE_BLOBS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)


def is_store_away(error: BaseException) -> bool:
    """Is it the store's trouble (unreachable, full, read-only, broken) and no blob's? The same may succeed later."""
    return isinstance(error, BaseError) or (isinstance(error, OSError) and error.errno in _NOT_THE_BLOBS)


def open_blobs(url: str) -> "BlobStore":
    """The store at `/folder`, `file:///folder`, `s3://bucket/prefix?endpoint=…&region=…` or `memory:`.

    Keys of S3 come from the AWS_* variables. Raises PostdeskError for any other URL.
    """
    parts = urlsplit(url if "://" in url or url == "memory:" else Path(url).absolute().as_uri())
    if parts.scheme == "file" and parts.path and not parts.netloc:
        folder = Path(unquote(parts.path))
        _make_shards(folder)
        return BlobStore(LocalStore(folder, mkdir=True), folder)
    if parts.scheme == "s3" and parts.netloc:
        return BlobStore(_s3(parts.netloc, parts.path.strip("/"), dict(parse_qs(parts.query))), None)
    if parts.scheme == "memory":
        return BlobStore(MemoryStore(), None)
    raise PostdeskError(f"blobs {url!r}: write file:///folder, s3://bucket/prefix?endpoint=https://host or memory:")


def _s3(bucket: str, prefix: str, options: dict[str, list[str]]) -> S3Store:
    wrong = options.keys() - {"endpoint", "region"}
    if wrong:
        raise PostdeskError(f"blobs: s3:// knows endpoint and region, not {', '.join(sorted(wrong))}")
    endpoint, region = (options.get(name, [None])[0] for name in ("endpoint", "region"))
    if not endpoint:
        return S3Store(bucket, prefix=prefix or None, region=region or "us-east-1")
    return S3Store(
        bucket,
        prefix=prefix or None,
        region=region or "us-east-1",
        endpoint=endpoint,
        virtual_hosted_style_request=False,
        client_options={"allow_http": endpoint.startswith("http://")},
    )


def _make_shards(folder: Path) -> None:
    """All folders at once, so that a later `sync` need not ask whether a folder itself is durable."""
    if not (folder / "ff").is_dir():
        for shard in (*(f"{n:02x}" for n in range(256)), "tmp"):
            (folder / shard).mkdir(parents=True, exist_ok=True)
        for parent in (folder, folder.parent):
            _fsync(parent)


def _key(sha256: str) -> str:
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError(f"not a SHA-256 in lower-case hex: {sha256!r}")
    return f"{sha256[:2]}/{sha256[2:]}"


class BlobStore:
    """See the module. Threads may share one; a process that forks opens its own afterwards."""

    def __init__(self, store: ObjectStore, folder: Path | None) -> None:
        self._store = store
        self._folder = folder  # where the store is a local folder: what it writes must be made durable
        self._piece = PIECE if folder is None else LOCAL_PIECE
        self._unsynced: set[str] = set()
        self._lock = Lock()

    def put(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Keep what the chunks make together. Memory: about IN_MEMORY and two pieces, however long it is."""
        hashed, size, head = hashlib.sha256(), 0, []
        rest = iter(chunks)
        for chunk in rest:
            hashed.update(chunk)
            size += len(chunk)
            head.append(chunk)
            if size > IN_MEMORY:
                return self._put_long(chain(head, rest), hashlib.sha256())
        return self._put_known(hashed.hexdigest(), b"".join(head))

    def put_bytes(self, octets: bytes) -> tuple[str, int]:
        """Keep these octets."""
        return self._put_known(hashlib.sha256(octets).hexdigest(), octets)

    def put_file(self, path: Path, offset: int, size: int, sha256: str) -> None:
        """Keep `size` octets of a file from `offset`. Their SHA-256 is trusted: the spool has checked it.

        Raises EOFError where the file is shorter.
        """
        key = _key(sha256)
        if self._is_there(key, size):
            return
        with path.open("rb") as file:
            file.seek(offset)
            if size <= IN_MEMORY:
                octets = file.read(size)
                if len(octets) < size:
                    raise EOFError(f"{path} ends before {offset + size}")
                self._write(key, octets)
            else:
                self._write(key, _exactly(file.read, size, path))

    def get(self, sha256: str) -> bytes:
        """The octets. Raises FileNotFoundError where there is no such blob."""
        return bytes(obstore.get(self._store, _key(sha256)).bytes())

    def stream(self, sha256: str) -> Iterator[bytes]:
        """The octets in chunks. Raises FileNotFoundError where there is no such blob."""
        found = obstore.get(self._store, _key(sha256))
        return (bytes(chunk) for chunk in found.stream(min_chunk_size=CHUNK))

    def exists(self, sha256: str) -> bool:
        """Is there such a blob?"""
        return self._size_of(_key(sha256)) is not None

    def delete(self, sha256: str) -> None:
        """Remove the blob; nothing where there is none."""
        key = _key(sha256)
        with self._lock:
            self._unsynced.discard(key)
        if self._size_of(key) is not None:
            obstore.delete(self._store, key)

    def sync(self) -> None:
        """Everything put so far is durable when this returns. What could not be made durable is gone, and it raises.

        After a failed fsync the kernel calls the pages clean: asking again would say yes to lost data.
        """
        with self._lock:
            keys, self._unsynced = self._unsynced, set()
            if self._folder is None or not keys:
                return
            folders = {key[:2] for key in keys}
            try:
                for names in (keys, folders):
                    self._fsync_all(self._folder, sorted(names))
            except OSError:
                for key in keys:
                    (self._folder / key).unlink(missing_ok=True)
                raise

    def _put_known(self, sha256: str, octets: bytes) -> tuple[str, int]:
        key = _key(sha256)
        if not self._is_there(key, len(octets)):
            self._write(key, octets)
        return sha256, len(octets)

    def _put_long(self, chunks: Iterator[bytes], hashed: "hashlib._Hash") -> tuple[str, int]:
        """Under a name of its own first: the key is known only at the end."""
        size = 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for chunk in chunks:
                hashed.update(chunk)
                size += len(chunk)
                yield chunk

        staged = f"tmp/{uuid4().hex}"
        obstore.put(self._store, staged, counted(), chunk_size=self._piece, max_concurrency=2)
        sha256 = hashed.hexdigest()
        key = _key(sha256)
        if self._is_there(key, size):
            obstore.delete(self._store, staged)
        else:
            obstore.rename(self._store, staged, key)
            self._remember(key)
        return sha256, size

    def _write(self, key: str, content: bytes | Iterator[bytes]) -> None:
        if isinstance(content, bytes):
            obstore.put(self._store, key, content, use_multipart=False)
        else:
            obstore.put(self._store, key, content, chunk_size=self._piece, max_concurrency=2)
        self._remember(key)

    def _is_there(self, key: str, size: int) -> bool:
        """A blob of another length is the ruin that a power cut left, and is written again.

        One that is there may be another process's and not durable yet, so `sync` takes it in.
        """
        there = self._size_of(key) == size
        if there:
            self._remember(key)
        return there

    def _remember(self, key: str) -> None:
        if self._folder is not None:
            with self._lock:
                self._unsynced.add(key)

    def _size_of(self, key: str) -> int | None:
        try:
            return int(obstore.head(self._store, key)["size"])
        except FileNotFoundError:
            return None

    @staticmethod
    def _fsync_all(folder: Path, names: list[str]) -> None:
        if len(names) == 1:
            _fsync(folder / names[0])
            return
        with ThreadPoolExecutor(min(SYNC_THREADS, len(names))) as threads:
            list(threads.map(lambda name: _fsync(folder / name), names))


def _exactly(read: Callable[[int], bytes], size: int, path: Path) -> Iterator[bytes]:
    left = size
    while left:
        chunk = read(min(CHUNK, left))
        if not chunk:
            raise EOFError(f"{path} ends {left} octets too early")
        left -= len(chunk)
        yield chunk


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
