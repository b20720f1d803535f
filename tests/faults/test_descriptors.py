"""Workers with too few file descriptors: what they cannot open says nothing about the mail."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.spool.name import SpoolName
from tests.desk import Sink, wait_until
from tests.faults.load import check_ledger, letters, load, make_desk, wait_decided


@pytest.mark.long
def test_f12_workers_of_nine_descriptors_shunt_nothing(tmp_path: Path) -> None:
    sent = letters("n", 12, large_every=6)
    with Sink() as sink:
        desk = make_desk(tmp_path / "desk", f"sqlite:///{tmp_path / 'desk.db'}", sink)
        with desk.running(only="pipeline") as pipeline, desk.running(only="listen"), load(desk) as senders:
            wait_until(lambda: len(list(_family(pipeline.pid))) >= 3, "a worker")
            before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in _family(pipeline.pid)}
            for pid in before:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (9, before[pid][1]))
            senders.send(sent)
            wait_until(lambda: all(letter.accepted for letter in sent), "a 250 for each letter")
            wait_until(lambda: desk.log().count(b"Too many open files") >= 2, "mails that fail", 20)
            assert _attempts(desk.folder / "spool") == {0}
            for pid in _family(pipeline.pid):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, before[pipeline.pid])
            wait_decided(desk, sent)
        check_ledger(desk, sent)


def _attempts(spool: Path) -> set[int]:
    """What the names of the mails in the spool, or in its shunt, say of their attempts."""
    names = [SpoolName.parse(path.name) for path in spool.rglob("*")]
    return {name.attempts for name in names if name}


def _family(pid: int) -> Iterator[int]:
    """A process and all that descend from it, as far as they still run."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _family(int(child))
