"""A Dovecot of its own: its folder, its ports on the loopback, its processes; runs without any privilege."""

import grp
import os
import pwd
import shutil
import signal
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import trustme
from imapclient import IMAPClient

from tests.desk import free_port, wait_until

PASSWORD = "sesame"
_CONFIG = """
base_dir = {base}/run
state_dir = {base}/run
log_path = {base}/dovecot.log
protocols = imap
listen = 127.0.0.1
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{base}/mail/%u
ssl = yes
ssl_cert = <{base}/cert.pem
ssl_key = <{base}/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
mail_max_userip_connections = 100
imap_capability = {capability}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={base}/mail/%u
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


def missing() -> str:
    """Why no Dovecot can be started here; "" where one can."""
    if not shutil.which("dovecot", path="/usr/sbin:/usr/bin:/sbin") or not Path("/usr/lib/dovecot/imap").exists():
        return "dovecot-imapd is not installed: see tests/system-packages"
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        return "there is no setpriv to run Dovecot without privileges"
    return ""


class Dovecot:
    """`with Dovecot() as server:` any user name may sign in, with PASSWORD. `capability`: what it says that it can."""

    def __init__(self, capability: str = "") -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.authority = trustme.CA()
        self._capability = capability
        self.base = Path(tempfile.mkdtemp(prefix="postdesk-dovecot-"))
        who = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self._group = grp.getgrgid(who.pw_gid)
        self._who = who
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        certificate = self.authority.issue_cert("localhost")
        certificate.cert_chain_pems[0].write_to_path(self.base / "cert.pem")
        certificate.private_key_pem.write_to_path(self.base / "key.pem")
        self.authority.cert_pem.write_to_path(self.base / "ca.pem")
        (self.base / "mail").mkdir()
        config = self.base / "dovecot.conf"
        config.write_text(
            _CONFIG.format(
                base=self.base,
                user=self._who.pw_name,
                group=self._group.gr_name,
                uid=self._who.pw_uid,
                gid=self._who.pw_gid,
                password=PASSWORD,
                port=self.port,
                tls_port=self.tls_port,
                capability=self._capability,
            )
        )
        as_nobody = []
        if os.geteuid() == 0:
            as_nobody = ["setpriv", f"--reuid={self._who.pw_uid}", f"--regid={self._who.pw_gid}", "--clear-groups"]
            for path in (self.base, *self.base.iterdir()):
                os.chown(path, self._who.pw_uid, self._who.pw_gid)
        self._process = subprocess.Popen([*as_nobody, "/usr/sbin/dovecot", "-c", str(config), "-F"])
        wait_until(self._answers, f"Dovecot; its log is {self.base}/dovecot.log")
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        shutil.rmtree(self.base, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            IMAPClient("127.0.0.1", self.port, ssl=False, timeout=2).shutdown()
        except OSError:
            return False
        return True

    @property
    def context(self) -> ssl.SSLContext:
        """What believes this server's certificate, for "localhost"."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    def sign_in(self, user: str) -> IMAPClient:
        """As a mail program does, on a connection of its own."""
        client = IMAPClient("127.0.0.1", self.port, ssl=False, timeout=20)
        client.login(user, PASSWORD)
        return client

    def deliver(self, user: str, raw: bytes, folder: str = "INBOX") -> None:
        """A mail arrives in this mailbox."""
        client = self.sign_in(user)
        client.append(folder, raw)  # type: ignore[no-untyped-call]
        client.logout()  # type: ignore[no-untyped-call]
