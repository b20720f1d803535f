#!/usr/bin/env python3
"""Where a pipeline worker's milliseconds go: mails are put into the spool of a fresh desk, then delivered in here.

  worker_profile.py [--mails 300] [--load mix|small] [--kind sqlite|postgresql] [--profile cumtime|tottime]

Prints one JSON line: CPU and wall milliseconds a mail of each stage. `other` is the loop, the log, finishing files.
With --profile, cProfile's table instead (it makes everything slower, small calls most).
"""

import argparse
import cProfile
import json
import os
import pstats
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

from end_to_end import databases, generate, manifest
from fresh_desk import FreshDesk

from ingest import parse_claim as reading
from ingest import pipeline
from ingest.spool.write import BATCH_OCTETS
from postdesk.log import configure
from postdesk.settings import load
from postdesk.wiring import Desk
from values.mail import Envelope
from values.vocabulary import Source

TOGETHER = 10  # small mails that a spool file holds, as under load


def fill(desk: Desk, mails: Path) -> int:
    """The mails of a folder in the spool, small ones together."""
    waiting: list[tuple[Envelope, bytes]] = []
    rows = manifest(mails)
    for row in rows:
        raw = (mails / row["file"]).read_bytes()
        envelope = Envelope(
            reverse_path="user1@cust001.example",
            forward_paths=("support@help.example",),
            source=Source.SMTP,
            received_at=datetime.now(UTC),
        )
        if len(raw) > BATCH_OCTETS:
            desk.spool.put(envelope, raw)
        else:
            waiting.append((envelope, raw))
        if len(waiting) == TOGETHER:
            desk.spool.put_batch(waiting)
            waiting = []
    if waiting:
        desk.spool.put_batch(waiting)
    return len(rows)


class Clocks:
    """CPU and wall seconds of wrapped functions, without those of wrapped functions that they call."""

    def __init__(self) -> None:
        self.cpu: Counter[str] = Counter()
        self.wall: Counter[str] = Counter()
        self._inner: list[list[float]] = []

    def wrap(self, name: str, owner: Any, attribute: str) -> None:
        original = getattr(owner, attribute)
        setattr(owner, attribute, self.timed(name, original))

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*words: Any, **more: Any) -> Any:
            self._inner.append([0.0, 0.0])
            cpu, wall = time.process_time(), time.perf_counter()
            try:
                return work(*words, **more)
            finally:
                cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
                inner = self._inner.pop()
                self.cpu[name] += cpu - inner[0]
                self.wall[name] += wall - inner[1]
                if self._inner:
                    self._inner[-1][0] += cpu
                    self._inner[-1][1] += wall

        return run


def stages(clocks: Clocks, stage: pipeline.Pipeline) -> None:
    """Put a clock on every stage."""
    module: Any = pipeline
    clocks.wrap("parse", reading, "parse")
    for name in ("look_for", "gather", "decide", "record"):
        clocks.wrap(name, module, name)
    clocks.wrap("begin, commit", module, "_record_all")
    for name in ("claim", "finish"):
        clocks.wrap(name, type(stage.spool), name)
    for attribute, name in (("put_file", "keep raw"), ("put", "keep attachments"), ("sync", "fsync blobs")):
        clocks.wrap(name, type(stage.blobs), attribute)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=300)
    parser.add_argument("--load", choices=["mix", "small"], default="mix")
    parser.add_argument("--kind", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--profile", choices=["cumtime", "tottime"])
    parser.add_argument("--rows", type=int, default=60)
    wanted = parser.parse_args()
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postdesk-bench-")))
        work.chmod(0o755)
        urls = stack.enter_context(databases(wanted.kind))
        generate(work, wanted.mails)
        fresh = FreshDesk(work / "desk", next(urls))
        config = fresh.folder / "postdesk.toml"
        desk = Desk(load(config), config)
        mails = fill(desk, work / wanted.load)
        configure("pipeline", stream=stack.enter_context((work / "log").open("w")))
        stage = desk.pipeline()
        if wanted.profile:
            with cProfile.Profile() as found:
                pipeline.run(stage, "w0", Event(), until_idle=True)
            pstats.Stats(found).sort_stats(wanted.profile).print_stats(wanted.rows)
            return
        clocks = Clocks()
        stages(clocks, stage)
        clocks.timed("other", pipeline.run)(stage, "w0", Event(), until_idle=True)
        assert fresh.recorded() == mails
        fresh.forget()
    line = {name: [round(1000 * c / mails, 3) for c in (clocks.cpu[name], clocks.wall[name])] for name in clocks.cpu}
    total = [round(1000 * sum(c.values()) / mails, 3) for c in (clocks.cpu, clocks.wall)]
    print(json.dumps({"load": wanted.load, "database": wanted.kind, "mails": mails, **line, "all": total}))


if __name__ == "__main__":
    os.umask(0o022)
    main()
