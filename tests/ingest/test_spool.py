"""ingest/spool/: spool.py and file.py on real files. Faults F01-F13; power-cut safety by the order of calls."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.spool.name import new_id
from ingest.spool.spool import MAX_ATTEMPTS, Spool
from ingest.spool.write import Parcel
from values.mail import Envelope
from values.vocabulary import Source

ENVELOPE = Envelope(
    reverse_path="su@acme.test",
    forward_paths=("support@hd.test", "Ünï\udcff@hd.test"),
    source=Source.SMTP,
    received_at=datetime(2026, 1, 5, 8, 0, tzinfo=UTC),
    client_ip="192.0.2.1",
    helo="mx.acme.test",
    tls=True,
)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def raw(n: int) -> bytes:
    return b"Subject: %d\r\n\r\nbody\r\n" % n


def files(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_ids_are_26_characters_unique_and_sort_by_time() -> None:
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 5000
    assert {len(i) for i in ids} == {26}
    time.sleep(0.002)
    assert new_id() > ids[-1]


def test_put_then_claim_gives_the_same_mail(spool: Spool) -> None:
    put = spool.put(ENVELOPE, raw(1))
    claim = spool.claim("w1")
    assert claim is not None
    (mail,) = claim.mails
    assert (mail.id, mail.size, mail.sha256, mail.envelope) == (put.id, put.size, put.sha256, ENVELOPE)
    assert spool.read(mail) == raw(1)
    assert spool.claim("w2") is None
    spool.finish(claim)
    assert files(spool.work / "w1") == files(spool.new) == files(spool.tmp) == []


def test_a_streamed_mail_reads_back(spool: Spool) -> None:
    writer = spool.open_writer(ENVELOPE)
    assert spool.claim("w") is None
    for _ in range(40):
        writer.write(b"x" * 65536)
    done = writer.commit()
    claim = spool.claim("w")
    assert claim is not None and claim.mails[0].size == done.size == 40 * 65536
    assert spool.read(claim.mails[0]) == b"x" * done.size


def test_an_aborted_writer_leaves_nothing(spool: Spool) -> None:
    writer = spool.open_writer(ENVELOPE)
    writer.write(b"x")
    writer.abort()
    writer.abort()
    assert files(spool.tmp) == files(spool.new) == []


def test_a_batch_is_one_file_and_splits_into_singles(spool: Spool) -> None:
    put = spool.put_batch([(ENVELOPE, raw(n)) for n in range(5)])
    assert len(files(spool.new)) == 1 and spool.counts().new == 5
    claim = spool.claim("w", 1)  # never torn, whatever `most` says
    assert claim is not None and [m.id for m in claim.mails] == [m.id for m in put]
    spool.split(claim)
    assert files(spool.work / "w") == [] and len(files(spool.new)) == 5
    for n in range(5):
        single = spool.claim("w")
        assert single is not None and single.mails[0].id == put[n].id and spool.read(single.mails[0]) == raw(n)
        assert single.mails[0].attempts == 0
        spool.finish(single)


def test_claim_gathers_fresh_files_but_takes_failed_ones_alone(spool: Spool) -> None:
    for n in range(3):
        spool.put(ENVELOPE, raw(n))
    claim = spool.claim("w", 2)
    assert claim is not None and len(claim.mails) == 2
    spool.defer(claim, "failed")
    sizes = []
    while (claim := spool.claim("w", 10)) is not None:
        sizes.append((len(claim.mails), claim.mails[0].attempts))
        spool.finish(claim)
    assert sorted(sizes) == [(1, 0), (1, 1), (1, 1)]
    spool.put(ENVELOPE, raw(4))
    claim = spool.claim("w")
    assert claim is not None
    spool.defer(claim, "failed")
    spool.put(ENVELOPE, raw(5))
    claim = spool.claim("w", 10)
    assert claim is not None and [mail.attempts for mail in claim.mails] == [1]  # nobody joins it either


def test_two_workers_never_hold_the_same_mail(spool: Spool) -> None:
    for n in range(50):
        spool.put(ENVELOPE, raw(n))
    other = Spool(spool.root)
    held: list[str] = []
    while (a := spool.claim("a", 3)) is not None:
        held += [mail.id for mail in a.mails]
        if (b := other.claim("b", 2)) is not None:
            held += [mail.id for mail in b.mails]
    assert len(held) == len(set(held)) == 50


def test_defer_waits_counts_and_shunts_at_the_third_failure(spool: Spool) -> None:
    put = spool.put(ENVELOPE, raw(1))
    claim = spool.claim("w")
    assert claim is not None and spool.defer(claim, "failed", wait=0.4) == ()
    assert spool.claim("w") is None and not spool.wait_for_new(0.2)  # not before its time: no hot loop
    assert spool.wait_for_new(2.0)
    for attempts in range(1, MAX_ATTEMPTS):
        claim = spool.claim("w")
        assert claim is not None and claim.mails[0].attempts == attempts
        shunted = spool.defer(claim, "failed", detail="ValueError")
    assert [m.id for m in shunted] == [put.id] and shunted[0].attempts == MAX_ATTEMPTS
    assert spool.read(shunted[0]) == raw(1)
    assert spool.claim("w") is None
    (note,) = spool.shunted()
    assert (note.id, note.reason, note.detail, note.attempts) == (put.id, "failed", "ValueError", 3)
    assert spool.unshunt(put.id) and not spool.unshunt(put.id)
    claim = spool.claim("w")
    assert claim is not None and claim.mails[0].attempts == 0 and files(spool.shunt_folder) == []


def test_release_keeps_the_attempts(spool: Spool) -> None:
    spool.put(ENVELOPE, raw(1))
    for _ in range(5):
        claim = spool.claim("w")
        assert claim is not None and claim.mails[0].attempts == 0
        spool.release(claim)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """No file can be opened while the block runs."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, most[1]))
    taken = []
    with suppress(OSError):
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    try:
        yield
    finally:
        for one in taken:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, most)


def test_f12_without_a_descriptor_a_claim_costs_no_attempt(spool: Spool) -> None:
    spool.put_batch([(ENVELOPE, raw(n)) for n in range(3)])
    spool.put(ENVELOPE, raw(3))
    assert spool.claim("nobody", 0) is None  # its folder is made
    spool.wait_for_new(1)  # listed
    with no_descriptors(), pytest.raises(OSError, match="Too many open files"):
        spool.claim("w", 10)
    claim = spool.claim("w", 10)
    assert claim is not None and [mail.attempts for mail in claim.mails] == [0] * 4


def test_f12_a_batch_that_cannot_be_split_goes_back_whole_and_waits(spool: Spool) -> None:
    spool.put_batch([(ENVELOPE, raw(n)) for n in range(3)])
    claim = spool.claim("w")
    assert claim is not None
    with no_descriptors():
        spool.release(claim, 0.3)
    assert spool.claim("w") is None, "it waits"
    assert spool.wait_for_new(5)
    again = spool.claim("w")
    assert again is not None and [mail.attempts for mail in again.mails] == [0] * 3


def test_recover_returns_what_a_dead_worker_held_each_mail_on_its_own(spool: Spool) -> None:
    """F04: the attempt counter survives; a poison mail in a batch takes its neighbours along once, not thrice."""
    put = spool.put_batch([(ENVELOPE, raw(n)) for n in range(4)])
    assert spool.claim("dead") is not None
    fresh = Spool(spool.root)
    assert fresh.recover("dead") == ()
    done: list[str] = []
    shunted: list[str] = []
    for _ in range(20):
        claim = fresh.claim("dead", 10)
        if claim is None:
            break
        assert len(claim.mails) == 1
        if claim.mails[0].id == put[1].id:  # this one kills its worker
            shunted += [mail.id for mail in fresh.recover("dead")]
        else:
            done.append(claim.mails[0].id)
            fresh.finish(claim)
    assert sorted(done) == sorted(m.id for m in put if m.id != put[1].id)
    assert shunted == [put[1].id]
    assert [s.reason for s in fresh.shunted()] == ["worker-died"]


def test_shunting_a_batch_leaves_one_file_each(spool: Spool) -> None:
    put = spool.put_batch([(ENVELOPE, raw(n)) for n in range(3)])
    claim = spool.claim("w")
    assert claim is not None
    shunted = spool.shunt(claim, "failed")
    assert [spool.read(mail) for mail in shunted] == [raw(0), raw(1), raw(2)]
    assert spool.counts().shunt == 3 and files(spool.work / "w") == []
    assert spool.drop_shunted(put[0].id) and [s.id for s in spool.shunted()] == [put[1].id, put[2].id]


Mutation = Callable[[bytearray], None]


def _flip(at: int) -> Mutation:
    def flip(content: bytearray) -> None:
        content[at] ^= 0x01

    return flip


def _cut(to: int) -> Mutation:
    def cut(content: bytearray) -> None:
        del content[to:]

    return cut


@pytest.mark.parametrize("seed", range(20))
def test_f13_a_damaged_record_is_shunted_and_the_rest_of_the_batch_flows(spool: Spool, seed: int) -> None:
    put = spool.put_batch([(ENVELOPE, raw(n)) for n in range(4)])
    (path,) = spool.new.iterdir()
    content = bytearray(path.read_bytes())
    hit = 2  # damage anywhere in the third record: header or body
    start = put[hit - 1].offset + put[hit - 1].size
    end = put[hit].offset + put[hit].size
    content[start + (seed * 7919) % (end - start)] ^= 0x20
    path.write_bytes(content)
    claim = spool.claim("w")
    assert claim is not None
    assert [m.id for m in claim.mails] == [put[0].id, put[1].id, put[3].id]
    assert [s.reason for s in spool.shunted()] == ["corrupt"]
    spool.finish(claim)
    assert spool.shunted()[0].path.read_bytes() == content  # the evidence stays


@pytest.mark.parametrize("mutate", [_cut(0), _cut(10), _cut(300), _flip(0), _flip(200), _flip(-3)])
def test_f13_a_damaged_single_file_is_shunted_and_others_flow(spool: Spool, mutate: Mutation) -> None:
    spool.put(ENVELOPE, raw(1))
    (path,) = spool.new.iterdir()
    content = bytearray(path.read_bytes())
    mutate(content)
    path.write_bytes(content)
    good = spool.put(ENVELOPE, raw(2))
    claim = spool.claim("w")
    assert claim is not None and [m.id for m in claim.mails] == [good.id]
    assert [s.reason for s in spool.shunted()] == ["corrupt"]


def test_f13_a_forged_header_in_a_mail_is_no_record(spool: Spool) -> None:
    """A mail that quotes a header of the format must not be taken for a record when the one before it is damaged."""
    (victim,) = spool.put_batch([(ENVELOPE, raw(1))])
    stolen = victim.path.read_bytes()
    spool.finish(spool.claim("w"))  # type: ignore[arg-type]
    put = spool.put_batch([(ENVELOPE, stolen + b"\r\n" + stolen), (ENVELOPE, raw(2))])
    content = bytearray(put[0].path.read_bytes())
    content[60] ^= 1  # the header of the record that carries the forgery
    put[0].path.write_bytes(content)
    claim = spool.claim("w")
    assert claim is not None and [m.id for m in claim.mails] == [put[1].id]


def test_sweep_takes_old_tmp_files_only(spool: Spool) -> None:
    """F01: a tmp file of a killed writer is never seen as mail and goes in time."""
    spool.open_writer(ENVELOPE)
    old = spool.open_writer(ENVELOPE)
    os.utime(old.tmp, (time.time() - 9000, time.time() - 9000))
    assert spool.sweep() == 1 and len(files(spool.tmp)) == 1 and spool.claim("w") is None


def test_wait_for_new_wakes_on_a_mail_of_another_process(spool: Spool) -> None:
    assert not spool.wait_for_new(0.01)
    pid = os.fork()
    if pid == 0:
        time.sleep(0.15)
        Spool(spool.root).put(ENVELOPE, raw(1))
        os._exit(0)
    began = time.monotonic()
    assert spool.wait_for_new(10)
    assert time.monotonic() - began < 5
    os.waitpid(pid, 0)
    assert spool.claim("w") is not None


# -- order and faults of system calls -------------------------------------------------------------------------------


class Calls:
    """Records fsync and rename, and can make the nth call of a kind fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail: str = "", nth: int = 0, code: int = errno.EIO) -> None:
        self.log: list[str] = []
        for name in ("open", "write", "pwrite", "fsync", "rename", "close"):
            self._wrap(monkeypatch, name, fail, nth, code)

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, name: str, fail: str, nth: int, code: int) -> None:
        real = getattr(os, name)
        seen = 0

        def call(*args: object, **kwargs: object) -> object:
            nonlocal seen
            seen += 1
            what = str(args[0])
            if name == "fsync":
                what = str(Path(f"/proc/self/fd/{args[0]}").readlink())
            self.log.append(f"{name} {what}")
            if name == fail and seen == nth:
                if name == "close":
                    real(*args, **kwargs)
                raise OSError(code, os.strerror(code))
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, call)


def test_rfc5321_6_1_order_is_fsync_file_rename_fsync_folder(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = spool.open_writer(ENVELOPE)
    writer.write(b"x" * 100_000)
    calls = Calls(monkeypatch)
    spool.commit([writer, Parcel(id=new_id(), envelope=ENVELOPE, raw=raw(1))])
    kept = [line for line in calls.log if line.split()[0] in ("fsync", "rename")]
    monkeypatch.undo()
    kinds = [line.split()[0] + ("-folder" if line.endswith("/new") else "") for line in kept]
    assert kinds == ["fsync", "fsync", "rename", "rename", "fsync-folder"]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("call", ["open", "write", "pwrite", "fsync", "rename", "close"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_f10_any_failing_call_accepts_nothing_and_keeps_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, call: str, nth: int, code: int
) -> None:
    Calls(monkeypatch, call, nth, code)
    outcomes: list[object] = []
    try:
        writer = spool.open_writer(ENVELOPE)
        try:
            writer.write(b"x" * 100_000)
        except OSError:
            writer.abort()
            raise
        outcomes += spool.commit([writer, Parcel(id=new_id(), envelope=ENVELOPE, raw=raw(1))])
    except OSError:
        pass
    monkeypatch.undo()
    accepted = [outcome for outcome in outcomes if not isinstance(outcome, OSError)]
    found = []
    while (claim := Spool(spool.root).claim("w")) is not None:
        found += [mail.id for mail in claim.mails]
    assert sorted(found) == sorted(mail.id for mail in accepted)  # type: ignore[attr-defined]
    assert files(spool.tmp) == []
    assert spool.shunted() == []


def test_f10_an_fsync_error_marks_the_spool_bad_until_a_probe_succeeds(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(monkeypatch, "fsync", 1)
    with pytest.raises(OSError):
        spool.put(ENVELOPE, raw(1))
    assert spool.bad is not None and spool.fsync_failures == 1
    assert len([line for line in calls.log if line.startswith("fsync")]) == 1  # never tried again on that file
    monkeypatch.undo()
    spool._probed_at = time.monotonic()
    with pytest.raises(OSError):
        spool.put(ENVELOPE, raw(1))
    assert not spool.is_good()
    spool._probed_at = time.monotonic() - 6
    assert spool.is_good() and spool.put(ENVELOPE, raw(1)).size


def test_f08_a_full_disk_does_not_mark_the_spool_bad(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    Calls(monkeypatch, "fsync", 1, errno.ENOSPC)
    with pytest.raises(OSError):
        spool.put(ENVELOPE, raw(1))
    monkeypatch.undo()
    assert spool.bad is None
    assert spool.put(ENVELOPE, raw(1)).size  # recovers alone


CHILD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from ingest.spool.spool import Spool
from values.mail import Envelope
from values.vocabulary import Source
envelope = Envelope(reverse_path="", forward_paths=("a@hd.test",), source=Source.IMAP, received_at=datetime.now(UTC))
for n in range(3):
    print(Spool(Path(sys.argv[1])).put(envelope, b"x" * 100).id, flush=True)
"""


@pytest.mark.parametrize(
    ("stage", "told", "kept"),
    [("spool.before-write:2", 1, 1), ("spool.after-write:2", 1, 1), ("spool.after-rename:2", 1, 2)],
)
def test_f01_f02_killed_at_a_stage(spool: Spool, stage: str, told: int, kept: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(spool.root)],
        env={**os.environ, "POSTDESK_FAIL_AT": stage},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.returncode == -signal.SIGKILL
    assert len(run.stdout.split()) == told
    found = []
    while (claim := spool.claim("w")) is not None:
        found += [mail.id for mail in claim.mails]
    assert len(found) == kept and set(run.stdout.split()) <= set(found)  # told implies kept
    assert spool.shunted() == []


def test_the_note_is_json_a_person_can_read(spool: Spool) -> None:
    put = spool.put(ENVELOPE, raw(1))
    claim = spool.claim("w")
    assert claim is not None
    spool.shunt(claim, "failed", "x")
    note = json.loads((spool.shunt_folder / f"{put.id}.reason.json").read_text())
    assert note["reverse_path"] == "su@acme.test" and note["reason"] == "failed"
