"""The blob store: octets under their SHA-256, in a folder, on S3, or in memory.

Takes: octets or chunks of them.  Gives: their SHA-256 (lower-case hex) and size.  Fails: OSError or an obstore error
where the store does; nothing of a failed `put` is visible, and after a failed `sync` its blobs are gone.
Write first, then `sync()`, then commit the row that names the blob: an orphan is harmless, a missing blob is not.
"""

import errno
import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import MemoryStore, ObjectStore, S3Store

from models.blobs.folder import Folder
from values.errors import PostdeskError

if TYPE_CHECKING:
    from obstore.store import ClientConfig

IN_MEMORY = 1 << 20  # octets that are held before a blob of unknown length goes to the store in pieces
CHUNK = 256 << 10  # octets read at a time
PIECE = 5 << 20  # octets of one upload in pieces; S3 wants no less
ASIDE = "aside"  # folder of blobs that nothing names
UNFINISHED = "tmp"

# An S3 that is away is told within 3 seconds, and the mail comes again (fault F09); with obstore's own patience each
# took 11. What is refused, unreachable, unknown to the DNS or answered with 5xx is tried again for 2 seconds; one that
# takes a connection and is silent fails at the question before a `put`. Octets on a slow line have as long as before.
CONNECT = timedelta(seconds=2)
ASK = timedelta(seconds=3)  # for a HEAD, which has no body
TRANSFER = timedelta(seconds=30)  # for each piece: 5 MiB at 170 kB/s
_RETRY: Any = {
    "retry_config": {
        "retry_timeout": timedelta(seconds=2),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(milliseconds=500), "base": 2},
    }
}

# The disk is full, failing or read-only, or the folder is not there (not mounted) or not ours.
_NOT_THE_BLOBS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG),
    *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ESTALE),
    # Too little of the machine is left. Not ENOMEM: a worker meets it at its own limit, and the mail may be why.
    *(errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EAGAIN, errno.ENOLCK),
)


def is_store_away(error: BaseException) -> bool:
    """Is it the store's trouble (unreachable, full, read-only, broken) and no blob's? The same may succeed later."""
    return isinstance(error, BaseError) or (isinstance(error, OSError) and error.errno in _NOT_THE_BLOBS)


def open_blobs(url: str) -> "BlobStore":
    """The store at `/folder`, `file:///folder`, `s3://bucket/prefix?endpoint=…&region=…` or `memory:`.

    Keys of S3 come from the AWS_* variables. Raises PostdeskError for any other URL.
    """
    parts = urlsplit(url if "://" in url or url == "memory:" else Path(url).absolute().as_uri())
    if parts.scheme == "file" and parts.path and not parts.netloc:
        return BlobStore(Folder(Path(unquote(parts.path))))
    if parts.scheme == "s3" and parts.netloc:
        return BlobStore(_s3(parts.netloc, parts.path.strip("/"), dict(parse_qs(parts.query))))
    if parts.scheme == "memory":
        return BlobStore(Objects(MemoryStore()))
    raise PostdeskError(f"blobs {url!r}: write file:///folder, s3://bucket/prefix?endpoint=https://host or memory:")


def _s3(bucket: str, prefix: str, options: dict[str, list[str]]) -> "Objects":
    wrong = options.keys() - {"endpoint", "region"}
    if wrong:
        raise PostdeskError(f"blobs: s3:// knows endpoint and region, not {', '.join(sorted(wrong))}")
    endpoint, region = (options.get(name, [None])[0] for name in ("endpoint", "region"))

    def opened(timeout: timedelta) -> S3Store:
        client: ClientConfig = {"connect_timeout": CONNECT, "timeout": timeout}
        if not endpoint:
            return S3Store(bucket, prefix=prefix or None, region=region or "us-east-1", client_options=client, **_RETRY)
        return S3Store(
            bucket,
            prefix=prefix or None,
            region=region or "us-east-1",
            endpoint=endpoint,
            virtual_hosted_style_request=False,
            client_options=client | {"allow_http": endpoint.startswith("http://")},
            **_RETRY,
        )

    return Objects(opened(TRANSFER), opened(ASK))


def _key(sha256: str) -> str:
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError(f"not a SHA-256 in lower-case hex: {sha256!r}")
    return f"{sha256[:2]}/{sha256[2:]}"


class Place(Protocol):
    """Where blobs lie under their keys. `write` and `stage` keep all or nothing."""

    def size_of(self, key: str) -> int | None: ...
    def write(self, key: str, chunks: Iterable[bytes]) -> None: ...
    def stage(self, chunks: Iterable[bytes]) -> str: ...
    def adopt(self, staged: str, key: str) -> None: ...
    def get(self, key: str) -> bytes: ...
    def stream(self, key: str) -> Iterator[bytes]: ...
    def remove(self, key: str) -> None: ...
    def sync(self, keys: Iterable[str]) -> None: ...
    def names_in(self, folder: str) -> Iterator[tuple[str, datetime]]: ...
    def move(self, key: str, to: str) -> None: ...


class Objects:
    """S3, or memory: an object store, durable as soon as it answers.

    `asked`: the same store with little patience, for the question that comes before each `put`.
    """

    def __init__(self, store: ObjectStore, asked: ObjectStore | None = None) -> None:
        self._store = store
        self._asked = asked or store

    def size_of(self, key: str) -> int | None:
        try:
            return int(obstore.head(self._asked, key)["size"])
        except FileNotFoundError:
            return None

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        head = next(iterator := iter(chunks), b"")
        if (second := next(iterator, None)) is None:
            obstore.put(self._store, key, head, use_multipart=False)
        else:
            self._put_pieces(key, chain((head, second), iterator))

    def stage(self, chunks: Iterable[bytes]) -> str:
        staged = f"tmp/{uuid4().hex}"
        self._put_pieces(staged, iter(chunks))
        return staged

    def _put_pieces(self, key: str, chunks: Iterator[bytes]) -> None:
        obstore.put(self._store, key, chunks, chunk_size=PIECE, max_concurrency=2)

    def adopt(self, staged: str, key: str) -> None:
        obstore.rename(self._store, staged, key)

    def get(self, key: str) -> bytes:
        return bytes(obstore.get(self._store, key).bytes())

    def stream(self, key: str) -> Iterator[bytes]:
        found = obstore.get(self._store, key)
        return (bytes(chunk) for chunk in found.stream(min_chunk_size=CHUNK))

    def remove(self, key: str) -> None:
        if self.size_of(key) is not None:
            obstore.delete(self._store, key)

    def sync(self, keys: Iterable[str]) -> None:
        pass

    def names_in(self, folder: str) -> Iterator[tuple[str, datetime]]:
        for chunk in obstore.list(self._store, folder, chunk_size=1000):
            for found in chunk:
                yield found["path"].rpartition("/")[2], found["last_modified"]

    def move(self, key: str, to: str) -> None:
        obstore.rename(self._store, key, to)


class BlobStore:
    """See the module. Threads may share one; a process that forks opens its own afterwards."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._unsynced: dict[str, bool] = {}  # key → did we write it?
        self._lock = Lock()

    def put(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Keep what the chunks make together. Memory: about IN_MEMORY and two pieces, however long it is."""
        size, head = 0, []
        rest = iter(chunks)
        for chunk in rest:
            size += len(chunk)
            head.append(chunk)
            if size > IN_MEMORY:
                return self._put_long(chain(head, rest))
        return self.put_bytes(b"".join(head))

    def put_bytes(self, octets: bytes) -> tuple[str, int]:
        """Keep these octets."""
        return self._put_known(hashlib.sha256(octets).hexdigest(), octets)

    def put_file(self, path: Path, offset: int, size: int, sha256: str) -> None:
        """Keep `size` octets of a file from `offset`. Their SHA-256 is trusted: the spool has checked it.

        Raises EOFError where the file is shorter.
        """
        key = _key(sha256)
        if not self._is_there(key, size):
            with path.open("rb") as file:
                file.seek(offset)
                self._place.write(key, _exactly(file.read, size, path))
            self._remember(key, ours=True)

    def get(self, sha256: str) -> bytes:
        """The octets. Raises FileNotFoundError where there is no such blob."""
        return self._place.get(_key(sha256))

    def stream(self, sha256: str) -> Iterator[bytes]:
        """The octets in chunks. Raises FileNotFoundError where there is no such blob."""
        return self._place.stream(_key(sha256))

    def exists(self, sha256: str) -> bool:
        """Is there such a blob?"""
        return self._place.size_of(_key(sha256)) is not None

    def delete(self, sha256: str) -> None:
        """Remove the blob; nothing where there is none."""
        key = _key(sha256)
        with self._lock:
            self._unsynced.pop(key, None)
        self._place.remove(key)

    def sync(self) -> None:
        """Everything put so far is durable when this returns. Else it raises, and what we wrote of it is gone (fault
        F10); what was there before stays: an older row may name it."""
        with self._lock:
            keys, self._unsynced = self._unsynced, {}
            if not keys:
                return
            try:
                self._place.sync(keys)
            except OSError:
                for key in (key for key, ours in keys.items() if ours):
                    self._place.remove(key)
                raise

    def _put_known(self, sha256: str, octets: bytes) -> tuple[str, int]:
        key = _key(sha256)
        if not self._is_there(key, len(octets)):
            self._place.write(key, (octets,))
            self._remember(key, ours=True)
        return sha256, len(octets)

    def _put_long(self, chunks: Iterator[bytes]) -> tuple[str, int]:
        """Under a name of its own first: the key is known only at the end."""
        hashed, size = hashlib.sha256(), 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for chunk in chunks:
                hashed.update(chunk)
                size += len(chunk)
                yield chunk

        staged = self._place.stage(counted())
        sha256 = hashed.hexdigest()
        key = _key(sha256)
        if self._is_there(key, size):
            self._place.remove(staged)
        else:
            self._place.adopt(staged, key)
            self._remember(key, ours=True)
        return sha256, size

    def _is_there(self, key: str, size: int) -> bool:
        """A blob of another length is the ruin that a power cut left, and is written again.

        One that is there may be another process's and not durable yet, so `sync` takes it in.
        """
        there = self._place.size_of(key) == size
        if there:
            self._remember(key, ours=False)
        return there

    def _remember(self, key: str, *, ours: bool) -> None:
        with self._lock:
            self._unsynced[key] = ours or self._unsynced.get(key, False)

    # -- for the sweep (notify/sweep.py)

    def names_in(self, shard: str) -> Iterator[tuple[str, datetime]]:
        """(SHA-256, when it was last written) of each blob whose SHA-256 begins with these two digits."""
        return ((shard + name, at) for name, at in self._place.names_in(shard) if len(name) == 62)

    def aside(self) -> Iterator[tuple[str, datetime]]:
        """(SHA-256, since when) of each blob that was set aside."""
        return self._place.names_in(ASIDE)

    def set_aside(self, sha256: str) -> None:
        """The blob is not found any more, but kept. Raises FileNotFoundError where there is none."""
        self._place.move(_key(sha256), f"{ASIDE}/{sha256}")

    def put_back(self, sha256: str) -> None:
        """A blob that was set aside is found again; one that was written anew meanwhile stays as it is."""
        if self.exists(sha256):
            self.forget(sha256)
        else:
            self._place.move(f"{ASIDE}/{sha256}", _key(sha256))

    def forget(self, sha256: str) -> None:
        """A blob that was set aside is gone for good."""
        self._place.remove(f"{ASIDE}/{sha256}")

    def unfinished(self) -> Iterator[tuple[str, datetime]]:
        """(name, when it was last written) of what never became a blob: its writer died."""
        return self._place.names_in(UNFINISHED)

    def drop_unfinished(self, name: str) -> None:
        """Remove one of these."""
        self._place.remove(f"{UNFINISHED}/{name}")


def _exactly(read: Callable[[int], bytes], size: int, path: Path) -> Iterator[bytes]:
    left = size
    while left:
        chunk = read(min(CHUNK, left))
        if not chunk:
            raise EOFError(f"{path} ends {left} octets too early")
        left -= len(chunk)
        yield chunk
