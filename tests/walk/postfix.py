"""A Postfix of its own: its folders, its ports on the loopback, its processes, and nothing of the machine's."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.desk import free_port, wait_until

_DAEMONS = Path("/usr/lib/postfix/sbin")
_MASTER = """
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def missing() -> str:
    """Why no Postfix can be started here; "" where one can."""
    if os.geteuid() != 0:
        return "Postfix starts as root only"
    if not shutil.which("postfix", path="/usr/sbin:/usr/bin:/sbin") or not (_DAEMONS / "master").exists():
        return "postfix is not installed: see tests/system-packages"
    return ""


class Postfix:
    """`with Postfix("hd.test", port) as relay:` takes mail for that domain and hands it to `port`, as a border does."""

    def __init__(self, domain: str, to_port: int, **settings: str) -> None:
        self.port = free_port()
        # not under the folder of the test: Postfix works as a user of its own, who must be able to get there
        self._folder = Path(tempfile.mkdtemp(prefix="postdesk-postfix-"))
        self._folder.chmod(0o755)
        self.queue, data, config = (self._folder / name for name in ("queue", "data", "etc"))
        for folder in (self.queue, data, config):
            folder.mkdir(mode=0o755)
        shutil.chown(data, "postfix", "postfix")
        values = {
            "compatibility_level": "3.6",
            "queue_directory": str(self.queue),
            "data_directory": str(data),
            "command_directory": "/usr/sbin",
            "daemon_directory": str(_DAEMONS),
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "myhostname": "border.test",
            "mydestination": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "192.0.2.1/32",  # its clients are strangers: the exceptions for its own network do not hold
            "relay_domains": domain,
            "smtpd_recipient_restrictions": "reject_unauth_destination",
            "transport_maps": f"inline:{{{{{domain} = smtp:[127.0.0.1]:{to_port}}}}}",
            "maillog_file": str(self._folder / "mail.log"),
            "maillog_file_prefixes": str(self._folder),
            "disable_dns_lookups": "yes",
            "smtp_host_lookup": "native",
            "smtp_tls_security_level": "none",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            **settings,
        }
        (config / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in values.items()))
        (config / "master.cf").write_text(_MASTER.format(port=f"127.0.0.1:{self.port}"))
        self._postfix = ["/usr/sbin/postfix", "-c", str(config)]

    def __enter__(self) -> Self:
        self._master = subprocess.Popen(
            [*self._postfix, "start-fg"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        wait_until(self._listens, f"Postfix: {self.log()}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        subprocess.run([*self._postfix, "stop"], capture_output=True, timeout=30, check=False)
        try:
            self._master.wait(20)
        finally:
            if self._master.poll() is None:
                self._master.kill()
            shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> str:
        path = self._folder / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _listens(self) -> bool:
        if self._master.poll() is not None:
            raise AssertionError(f"Postfix ended: {self._master.stderr.read() if self._master.stderr else b''!r}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                return connection.recv(3) == b"220"
        except OSError:
            return False

    def wait_until_idle(self) -> None:
        """All that it took was handed on, or given up."""
        waiting = ("incoming", "active", "deferred", "maildrop")
        wait_until(lambda: not any(self._files(name) for name in waiting), f"the queue\n{self.log()[-3000:]}")

    def _files(self, name: str) -> list[Path]:
        return [path for path in (self.queue / name).rglob("*") if path.is_file()]
