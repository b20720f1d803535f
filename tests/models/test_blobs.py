"""models/blobs/store.py: one contract for a folder, memory and S3; and what a folder needs to survive a power cut."""

import os
import resource
import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

import pytest
from obstore.exceptions import BaseError, GenericError

from models.blobs.store import IN_MEMORY, BlobStore, is_store_away, open_blobs
from values.errors import PostdeskError

SIZES = [0, 1, IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 1, 6 << 20, 11 << 20]


@pytest.fixture(params=["file", "memory", "s3", "s3 with prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "file":
        return open_blobs(f"file://{tmp_path}/desk%20blobs")
    if request.param == "memory":
        return open_blobs("memory:")
    s3 = request.getfixturevalue("s3")
    return open_blobs(s3.url.replace("?", "/desk/a?") if "prefix" in request.param else s3.url)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def local(folder: Path) -> BlobStore:
    return open_blobs(str(folder))


def chunks(octets: bytes, size: int = 100_000) -> Iterator[bytes]:
    yield from (octets[at : at + size] for at in range(0, len(octets), size))


def octets_of(size: int) -> bytes:
    return (b"%d;" % size * (size // 2 + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
def test_what_was_put_comes_back_by_its_hash(store: BlobStore, size: int) -> None:
    octets = octets_of(size)
    name = sha256(octets).hexdigest()
    assert not store.exists(name)
    assert store.put(chunks(octets)) == (name, size)
    store.sync()
    assert store.exists(name) and store.get(name) == octets
    assert b"".join(store.stream(name)) == octets
    assert store.put_bytes(octets) == (name, size) == store.put(iter([octets]))
    store.sync()
    store.delete(name)
    store.delete(name)
    assert not store.exists(name)
    with pytest.raises(FileNotFoundError):
        store.get(name)
    with pytest.raises(FileNotFoundError):
        store.stream(name)


@pytest.mark.parametrize("size", [0, 1000, IN_MEMORY + 1, 7 << 20])
def test_a_range_of_a_file_is_kept(store: BlobStore, tmp_path: Path, size: int) -> None:
    octets = octets_of(size)
    name = sha256(octets).hexdigest()
    spool = tmp_path / "spool"
    spool.write_bytes(b"before" + octets + b"after")
    store.put_file(spool, 6, size, name)
    assert store.get(name) == octets
    spool.unlink()
    store.put_file(spool, 6, size, name)  # it is there: the file is not even opened


def test_a_file_that_ends_too_early_leaves_nothing(store: BlobStore, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.write_bytes(b"x" * (IN_MEMORY + 10))
    for size in (IN_MEMORY + 11, 20):
        with pytest.raises(EOFError):
            store.put_file(spool, IN_MEMORY if size == 20 else 0, size, "a" * 64)
        assert not store.exists("a" * 64)


def test_a_put_that_fails_half_way_leaves_nothing_to_find(store: BlobStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * (IN_MEMORY + 1)
        raise ValueError("the parser stopped")

    with pytest.raises(ValueError, match="the parser stopped"):
        store.put(broken())


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 62 + "/x"])
def test_only_a_hash_is_a_name(store: BlobStore, name: str) -> None:
    for call in (store.get, store.exists, store.delete, store.stream):
        with pytest.raises(ValueError, match="not a SHA-256"):
            call(name)


@pytest.mark.parametrize("url", ["http://x/y", "s3:///x", "file://host/x", "s3://b?endpont=x", "ftp://x"])
def test_an_unknown_url_says_what_to_write(url: str) -> None:
    with pytest.raises(PostdeskError, match=r"write file:///folder|knows endpoint"):
        open_blobs(url)


def test_a_long_blob_is_never_whole_in_memory(local: BlobStore) -> None:
    tracemalloc.start()
    local.put(b"%07d" % n * 40_000 for n in range(360))  # 100 MB
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_blob_that_exists_is_not_written_again(local: BlobStore, folder: Path) -> None:
    name, _ = local.put_bytes(b"logo")
    path = folder / name[:2] / name[2:]
    before = path.stat()
    local.put_bytes(b"logo")
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_the_ruin_of_a_power_cut_is_written_again(local: BlobStore, folder: Path) -> None:
    name, _ = local.put_bytes(b"whole")
    path = folder / name[:2] / name[2:]
    path.write_bytes(b"")
    local.put_bytes(b"whole")
    assert local.get(name) == b"whole"


def _noted(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    synced: list[str] = []
    true_fsync = os.fsync

    def fsync(handle: int) -> None:
        synced.append(os.path.relpath(Path(f"/proc/self/fd/{handle}").readlink(), folder))
        true_fsync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return synced


def test_sync_makes_files_durable_and_then_their_folders(
    local: BlobStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = _noted(monkeypatch, folder)
    names = [local.put_bytes(b"%d" % n)[0] for n in range(20)]
    long, _ = local.put([b"x" * (IN_MEMORY + 1)])
    assert synced == []
    local.sync()
    files = {f"{name[:2]}/{name[2:]}" for name in (*names, long)}
    assert set(synced[: len(files)]) == files
    assert set(synced[len(files) :]) == {name[:2] for name in (*names, long)}
    synced.clear()
    local.sync()
    assert synced == []


def test_a_blob_of_another_process_is_made_durable_too(
    local: BlobStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been put a moment ago, and its process may never come to sync."""
    name, _ = open_blobs(str(folder)).put_bytes(b"logo")
    synced = _noted(monkeypatch, folder)
    local.put_bytes(b"logo")
    local.sync()
    assert synced == [f"{name[:2]}/{name[2:]}", name[:2]]


def test_what_could_not_be_made_durable_is_gone(
    local: BlobStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault F10: after a failed fsync the next one would succeed without the data. What was there before stays."""
    old, _ = local.put_bytes(b"a logo that many mails carry")
    local.sync()
    name, _ = local.put_bytes(b"unlucky")
    local.put_bytes(b"a logo that many mails carry")
    local.put_bytes(b"unlucky")

    def fail(_handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            local.sync()
    assert not local.exists(name) and local.exists(old)
    local.put_bytes(b"unlucky")
    local.sync()
    assert local.get(name) == b"unlucky"


def test_nothing_is_left_beside_the_blobs(local: BlobStore, folder: Path) -> None:
    for _ in range(2):
        local.put([b"x" * (IN_MEMORY + 1)])
    found: list[Any] = [path for path in folder.rglob("*") if path.is_file()]
    assert len(found) == 1


def test_a_full_disk_is_the_stores_trouble(local: BlobStore) -> None:
    """Fault F09: whoever meets it tries the same again later."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # the disk takes no more
    try:
        with pytest.raises(OSError, match="large") as full:
            local.put_bytes(bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert is_store_away(full.value)
    assert is_store_away(GenericError("S3 does not answer"))
    assert not is_store_away(ValueError("not a SHA-256"))


def test_what_is_set_aside_is_not_found_but_kept(store: BlobStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # S3 counts whole seconds
    ours, other = (store.put_bytes(octets)[0] for octets in (b"ours", b"other"))
    store.sync()
    ((found, written),) = store.names_in(ours[:2])
    assert found == ours and before <= written <= datetime.now(UTC) + timedelta(seconds=2)
    store.set_aside(ours)
    assert not store.exists(ours) and store.exists(other)
    assert [list(store.names_in(ours[:2])), list(store.unfinished())] == [[], []]
    ((found, since),) = store.aside()
    assert found == ours and since >= written
    store.put_back(ours)
    assert (store.get(ours), list(store.aside())) == (b"ours", [])
    store.set_aside(ours)
    store.put_bytes(b"ours")
    store.put_back(ours)
    assert (store.get(ours), list(store.aside())) == (b"ours", []), "the one that was written anew stays"
    store.set_aside(ours)
    store.forget(ours)
    store.forget(ours)
    assert not store.exists(ours) and list(store.aside()) == []
    with pytest.raises(FileNotFoundError):
        store.set_aside(ours)


class _S3(BaseHTTPRequestHandler):
    """An S3 that takes `late` seconds to answer, reads a body at `rate` octets a second, and may be out of order."""

    protocol_version = "HTTP/1.1"
    status, late, rate = 200, 0.0, 1e9

    def do_PUT(self) -> None:
        left = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, 100_000)))
            sleep(100_000 / self.rate)
        self._answer(0)

    def do_HEAD(self) -> None:
        self._answer(5)

    def _answer(self, length: int) -> None:
        sleep(self.late)
        self.send_response(self.status)
        for name, value in (("content-length", str(length)), ("etag", "x"), ("last-modified", formatdate(usegmt=True))):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def an_s3(monkeypatch: pytest.MonkeyPatch, **ways: float) -> Iterator[BlobStore]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with ThreadingHTTPServer(("127.0.0.1", 0), type("S3", (_S3,), ways)) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield open_blobs(f"s3://b?endpoint=http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("trouble", ["refused", "503", "silent"])
def test_an_s3_that_is_away_is_told_soon(trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with an_s3(monkeypatch, status=503) as store, socket.create_server(("127.0.0.1", 0)) as server:
        if trouble != "503":
            store = open_blobs(f"s3://b?endpoint=http://127.0.0.1:{server.getsockname()[1]}")
        if trouble == "refused":
            server.close()
        began = monotonic()
        with pytest.raises(BaseError) as told:
            store.put_bytes(b"x")
        assert monotonic() - began < 4 and is_store_away(told.value)


def test_an_s3_that_is_slow_is_not_away(monkeypatch: pytest.MonkeyPatch) -> None:
    with an_s3(monkeypatch, late=1.5, rate=400_000) as store:
        octets = b"x" * 1_000_000  # 2.5 s at this rate, longer than any of the short timeouts
        assert store.put_bytes(octets)[1] == len(octets)
