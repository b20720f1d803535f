"""What sender authentication costs: CPU for a signed mail of 50 kB, memory for one of 25 MB.

    python -m bench.auth_cost [--runs 200]

The DNS is one on the loopback in this process: `with DNS` counts the work of asking it and of its answering, `cached`
is what a mail costs when the author's domain was heard before, as for all but the first mail of a customer.
"""

import argparse
import base64
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from ingest.auth.resolver import DnsResolver, Resolver
from ingest.auth.sender import authenticate
from tests.dns_server import DnsServer, Entry
from tests.ingest.octets import Octets
from tests.ingest.signing import MAIL, rsa_key, sign
from values.mail import Envelope
from values.vocabulary import Belief, Source

NOW = datetime.now(UTC)
ENVELOPE = Envelope(
    reverse_path="su@acme.test",
    forward_paths=("support@hd.test",),
    source=Source.SMTP,
    received_at=NOW,
    client_ip="127.0.0.5",
    helo="mail.acme.test",
)
ZONE: dict[tuple[str, str], Entry] = {
    ("acme.test", "TXT"): "v=spf1 ip4:127.0.0.5 -all",
    ("_dmarc.acme.test", "TXT"): "v=DMARC1; p=reject",
    ("s._domainkey.acme.test", "TXT"): rsa_key().record,
}
_LIMIT_MS = 20
_LIMIT_MB = 64


@dataclass(frozen=True)
class MailFile:
    """Octets read from a file as they are asked for."""

    path: Path
    size: int

    def read(self, start: int, stop: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)


def mail_of(size: int) -> bytes:
    """A mail of about `size` octets with a base64 body, signed."""
    return sign(MAIL + base64.encodebytes(os.urandom(size * 3 // 4)).replace(b"\n", b"\r\n"))


def cpu_ms(runs: int, resolver: Callable[[], Resolver]) -> float:
    """Median CPU milliseconds of one check."""
    mail = Octets(mail_of(50_000))
    spent: list[float] = []
    for _ in range(runs):
        asked = resolver()
        started = time.process_time()
        found = authenticate(mail, ENVELOPE, "acme.test", asked, now=NOW)
        spent.append(time.process_time() - started)
        assert found.belief is Belief.BELIEVED, found
    return statistics.median(spent) * 1000


def peak_mb(port: int, path: str) -> tuple[float, float]:
    """Megabytes above the baseline and CPU milliseconds, for the mail in `path`; to be run in a fresh process."""
    resolver = DnsResolver(["127.0.0.1"], port=port)
    small = MailFile(Path(path + ".small"), Path(path + ".small").stat().st_size)
    authenticate(small, ENVELOPE, "acme.test", resolver, now=NOW)  # what is loaded once
    before, started = _peak_kb(), time.process_time()
    found = authenticate(MailFile(Path(path), Path(path).stat().st_size), ENVELOPE, "acme.test", resolver, now=NOW)
    spent, after = time.process_time() - started, _peak_kb()
    assert found.belief is Belief.BELIEVED, found
    return (after - before) / 1024, spent * 1000


def _peak_kb() -> int:
    """VmHWM, for ru_maxrss of a child remembers its parent."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--runs", type=int, default=200)
    runs = options.parse_args().runs
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mail"
        path.write_bytes(mail_of(25_000_000))
        path.with_suffix(".small").write_bytes(mail_of(50_000))
        with DnsServer(ZONE) as server:
            shared = DnsResolver(["127.0.0.1"], port=server.port)
            cached = cpu_ms(runs, lambda: shared)
            asking = cpu_ms(runs, lambda: DnsResolver(["127.0.0.1"], port=server.port))
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                grown, spent_ms = pool.apply(peak_mb, (server.port, str(path)))
    print(f"50 kB signed, cached DNS      {cached:6.1f} ms CPU  (goal {_LIMIT_MS})")
    print(f"50 kB signed, with DNS        {asking:6.1f} ms CPU  (goal {_LIMIT_MS})")
    print(
        f"25 MB signed                  {spent_ms:6.1f} ms CPU, {grown:.1f} MB above the baseline  (goal {_LIMIT_MB})"
    )


if __name__ == "__main__":
    main()
