"""A whole desk for tests: `postdesk init`, `postdesk run` as real processes, asked over the command line."""

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from typer.testing import CliRunner

from postdesk.__main__ import app, explained

PATIENCE = 45.0  # seconds that anything may take on a busy machine


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(met: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """The first true answer of `met`; fails with `what` after `seconds`."""
    until = time.monotonic() + seconds
    while not (answer := met()):
        assert time.monotonic() < until, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(0.05)
    return answer


class Sink:
    """A real SMTP server that keeps what it takes, with the envelope."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, EmailMessage]] = []  # reverse-path, forward-path, mail
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port())

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self._controller.port}"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        message = message_from_bytes(bytes(envelope.content or b""), policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.taken += [(envelope.mail_from or "", path, message) for path in envelope.rcpt_tos]
        return "250 Ok"

    def to(self, address: str) -> list[EmailMessage]:
        return [message for _, path, message in self.taken if path == address]

    def __enter__(self) -> "Sink":
        self._controller.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._controller.stop()


class TestDesk:
    """One desk in a folder."""

    __test__ = False

    def __init__(self, folder: Path, database: str, smarthost: str, **settings: str) -> None:
        self.folder = folder
        self.port, self.http_port = free_port(), free_port()
        self.config = folder / "postdesk.toml"
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("POSTDESK_")}
        self.settings = {f"POSTDESK_{key.upper()}": value for key, value in settings.items()}
        self.env |= self.settings
        made = ["init", "--dir", str(folder), "--vendor-domain", "nordvik.test", "--yes", "--smarthost", smarthost]
        made += ["--listen", f"127.0.0.1:{self.port}", "--http", f"127.0.0.1:{self.http_port}"]
        made += ["--database", database, "--authentication", "off"]
        self.run(*made)
        self.run("migrate")

    def call(self, *words: str, input: str = "") -> "subprocess.CompletedProcess[str]":
        """A command of this desk, whatever its exit status. The long ones are processes of their own."""
        if words[0] in ("work", "tick", "explain", "demo"):
            command = [sys.executable, "-m", "postdesk", "--config", str(self.config), *words]
            return subprocess.run(command, input=input, capture_output=True, text=True, env=self.env, timeout=120)
        done = CliRunner().invoke(app, ["--config", str(self.config), *words], input=input, env=self.settings)
        status, told = done.exit_code, done.stderr
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            explanation = explained(done.exception)
            if explanation is None:
                raise done.exception
            status, told = explanation
        return subprocess.CompletedProcess(list(words), status, done.stdout, told)

    def run(self, *words: str, input: str = "") -> str:
        """The stdout of a command that must succeed."""
        done = self.call(*words, input=input)
        assert done.returncode == 0, f"postdesk {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *words: str, input: str = "") -> Any:
        return json.loads(self.run(*words, "--json", input=input))

    @contextmanager
    def running(self, *, only: str = "") -> Iterator["subprocess.Popen[bytes]"]:
        """`postdesk run` until the block ends, then SIGTERM; it must end with 0."""
        command = [sys.executable, "-m", "postdesk", "--config", str(self.config), "run"]
        log = self.folder / "run.log"
        with log.open("ab") as stream:
            process = subprocess.Popen(
                command + (["--only", only] if only else []), stderr=stream, env=self.env, start_new_session=True
            )
        try:
            if not only or "listen" in only:
                wait_until(self.answers, f"the listener\n{log.read_text()}")
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                status = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert status == 0, log.read_text()

    def log(self) -> bytes:
        """What all runs wrote to standard error."""
        return (self.folder / "run.log").read_bytes()

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(3) == b"220"
        except OSError:
            return False

    def send(self, message: EmailMessage, *, reverse_path: str | None = None, to: str | None = None) -> None:
        """Over the wire, as the author's server would."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as session:
            session.send_message(message, from_addr=reverse_path, to_addrs=to)


def mail(author: str, to: str, subject: str, text: str, **fields: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = author
    message["To"] = to
    message["Subject"] = subject
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message
