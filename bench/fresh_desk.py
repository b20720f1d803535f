"""A fresh desk for measurements: `postdesk init` in a folder, `postdesk run` as real processes, fsyncs and all.

It knows the senders of gen_mail.py: 200 customers with a domain each, whose five contacts are superusers. Mails to
support@help.example open tickets and are acknowledged. Authentication is off: the desk asks no DNS.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import models.tables  # noqa: F401 (foreign keys need every table)
from models.db.engine import make_engine, reading
from models.inbound.ledger import LEDGER

CUSTOMERS, CONTACTS = 200, 5
PATIENCE = 600.0  # seconds for anything


class FreshDesk:
    """One desk in a folder that does not exist yet. `database`: a URL; empty = SQLite in the folder."""

    def __init__(self, folder: Path, database: str = "", **settings: str) -> None:
        self.folder = folder
        self.database = database or f"sqlite:///{folder / 'postdesk.db'}"
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("POSTDESK_")}
        self._env |= {f"POSTDESK_{name.upper()}": value for name, value in settings.items()}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        words = ["init", "--yes", "--dir", str(folder), "--vendor-domain", "help.example", "--authentication", "off"]
        words += ["--listen", f"127.0.0.1:{self.port}", "--database", self.database, "--smarthost", "maildir:out"]
        self.postdesk(*words)
        self.postdesk("migrate")
        table = folder / "customers.csv"
        table.write_text("name,domains,language,zone,seats,superusers\n" + "".join(map(_customer, range(CUSTOMERS))))
        self.postdesk("customer", "import", str(table))
        self.engine = make_engine(self.database)

    def postdesk(self, *words: str) -> None:
        done = subprocess.run(self._command(*words), env=self._env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"postdesk {' '.join(words)}: {done.stderr}"

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "postdesk", "--config", str(self.folder / "postdesk.toml"), *words]

    @contextmanager
    def running(self, only: str = "listen,pipeline") -> Iterator[psutil.Process]:
        """The supervisor of the roles, until the block ends; the processes are its children."""
        with (self.folder / "run.log").open("ab") as log:
            process = subprocess.Popen(self._command("run", "--only", only), stderr=log, env=self._env)
        try:
            wait_for(self._answers, "the listener")
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, (self.folder / "run.log").read_text()[-2000:]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(3) == b"220"
        except OSError:
            return False

    def recorded(self) -> int:
        """How many mails the ledger holds."""
        with reading(self.engine) as session:
            return int(session.connection().execute(sa.select(sa.func.count()).select_from(LEDGER)).scalar_one())

    def forget(self) -> None:
        """Let go of the database, so that it can be removed."""
        self.engine.dispose()


def _customer(number: int) -> str:
    domain = f"cust{number:03d}.example"
    superusers = " ".join(f"user{contact}@{domain}" for contact in range(CONTACTS))
    return f"Customer {number},{domain},en,UTC,{CONTACTS},{superusers}\n"


def wait_for(met: Callable[[], bool], what: str, pause: float = 0.02) -> None:
    until = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(pause)


def cpu_by_role(supervisor: psutil.Process) -> dict[str, float]:
    """CPU seconds so far, by what the processes do. The first child listens, the second keeps the workers."""
    listener, keeper = sorted(supervisor.children(), key=lambda process: process.pid)
    return {"listener": _cpu([listener]), "workers": _cpu([keeper, *keeper.children()])}


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))
