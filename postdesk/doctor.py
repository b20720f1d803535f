"""Is the desk fit to work? One check each for what it stands on, with what was seen and what to do about it.

Takes: a `Desk`.  Gives: findings, in order.  Fails: never; what a check runs into is its finding.
"""

import shutil
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from postdesk.wiring import Desk

OK, WARN, FAIL = "ok", "warn", "fail"
FREE_WARN = 2 * 1024**3  # octets of free disk below which a person should look
LATELY = timedelta(days=14)  # a mail that failed before is history; `outbox list` has it
FREE_FAIL = 256 * 1024**2  # the listener stops taking mail at about this much


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    check: str
    verdict: str  # ok | warn | fail
    seen: str
    repair: str = ""  # the command or the setting that mends it


def examine(desk: "Desk", names: Sequence[str]) -> Iterator[Finding]:
    """Run the checks of `names`. Those that read tables of a schema that is not there are one finding together."""
    unready = _unready(desk) if NEEDS_SCHEMA & set(names) else None
    if unready:
        yield unready
    for name in names:
        if unready and name in {"database", *NEEDS_SCHEMA}:
            continue
        try:
            found = CHECKS[name](desk)
            yield from (found,) if isinstance(found, Finding) else found
        except Exception as error:
            yield Finding(check=name, verdict=FAIL, seen=f"{type(error).__name__}: {error}", repair=REPAIRS[name])


def _unready(desk: "Desk") -> Finding | None:
    """Why no table can be read: what the check of the database finds, where it fails."""
    found = next(iter(examine(desk, ("database",))))
    return found if found.verdict == FAIL else None


def _configuration(desk: "Desk") -> Finding:
    mode = stat.S_IMODE(desk.settings.keys.stat().st_mode)
    ids = sorted(desk.keys.secrets)
    if mode & 0o077:
        return Finding(
            check="configuration",
            verdict=FAIL,
            seen=f"{desk.settings.keys} may be read by others (mode {mode:04o})",
            repair=f"chmod 600 {desk.settings.keys}",
        )
    return Finding(check="configuration", verdict=OK, seen=f"{desk.config}, signing keys {', '.join(ids)}")


def _privacy(desk: "Desk") -> Finding:
    from postdesk.doctor_privacy import look

    return look(desk)


def _database(desk: "Desk") -> Finding:
    from models.db.schema import is_current

    if not is_current(desk.engine):
        return Finding(
            check="database", verdict=FAIL, seen="its schema is not that of this version", repair="postdesk migrate"
        )
    return Finding(check="database", verdict=OK, seen=f"{desk.engine.dialect.name}, schema current")


def _spool(desk: "Desk") -> Finding:
    probe = desk.spool.tmp / "doctor-probe"
    probe.write_bytes(b"probe")
    probe.unlink()
    counts = desk.spool.counts()
    seen = f"{counts.new} new, {counts.work} in work, {counts.shunt} shunted"
    if counts.shunt:
        return Finding(check="spool", verdict=WARN, seen=seen, repair="postdesk shunt list")
    return Finding(check="spool", verdict=OK, seen=seen)


def _blobs(desk: "Desk") -> Finding:
    sha256, _ = desk.blobs.put_bytes(b"postdesk doctor")
    desk.blobs.sync()
    if desk.blobs.get(sha256) != b"postdesk doctor":
        return Finding(check="blobs", verdict=FAIL, seen="what was written was not read back", repair=REPAIRS["blobs"])
    return Finding(check="blobs", verdict=OK, seen=f"{desk.settings.blobs} takes and gives")


def _disk(desk: "Desk") -> Finding:
    free = shutil.disk_usage(desk.settings.spool).free
    seen = f"{free / 1024**3:.1f} GiB free for the spool"
    if free < FREE_WARN:
        verdict = FAIL if free < FREE_FAIL else WARN
        return Finding(check="disk", verdict=verdict, seen=seen, repair="free some space, or move `spool`")
    return Finding(check="disk", verdict=OK, seen=seen)


def _smarthost(desk: "Desk") -> Finding:
    url = desk.settings.smarthost
    if url.startswith("maildir:"):
        return Finding(check="smarthost", verdict=OK, seen=f"{url}: nothing leaves this machine")
    parts = urlsplit(url)
    port = parts.port or (465 if parts.scheme == "smtps" else 25)
    with socket.create_connection((parts.hostname or "", port), timeout=5) as connection:
        greeting = connection.recv(512) if parts.scheme == "smtp" else b"(TLS)"
    where = f"{parts.hostname}:{port}"
    if parts.scheme == "smtp" and not greeting.startswith(b"220"):
        return Finding(
            check="smarthost",
            verdict=FAIL,
            seen=f"{where} says {greeting[:60].decode('ascii', 'replace').strip()!r}",
            repair=REPAIRS["smarthost"],
        )
    return Finding(check="smarthost", verdict=OK, seen=f"{where} answers")


def _outbox(desk: "Desk") -> Finding:
    from models.db.engine import reading
    from models.outbox.delivery import count_failed
    from models.views.ledger import count_outbox

    with reading(desk.engine) as session:
        counts, lately = count_outbox(session), count_failed(session, desk.now() - LATELY)
    waiting, failed, suppressed = (counts.get(name, 0) for name in ("due", "failed", "suppressed"))
    seen = f"{waiting} due, {failed} failed ({lately} of the last {LATELY.days} days), {suppressed} suppressed"
    if lately:
        return Finding(check="outbox", verdict=WARN, seen=seen, repair="postdesk outbox list --status failed")
    return Finding(check="outbox", verdict=OK, seen=seen)


def _people(desk: "Desk") -> Finding:
    """Is there somebody who hears of mails, and somebody to hear from?"""
    from models.db.engine import reading
    from models.views.people import list_agents, list_customers

    with reading(desk.engine) as session:
        told = [row for row in list_agents(session) if row["active"] and row["notices"] != "none"]
        customers = list_customers(session)
    seen = f"{len(told)} agents who are told of mails, {len(customers)} customers"
    if not told:
        return Finding(check="people", verdict=WARN, seen=seen, repair="postdesk agent add ADDRESS --name NAME")
    if not customers:
        return Finding(check="people", verdict=WARN, seen=seen, repair="postdesk customer add NAME --domain DOMAIN")
    return Finding(check="people", verdict=OK, seen=seen)


def _access(desk: "Desk") -> Finding:
    from models.access.views import count_late, list_requests
    from models.db.engine import reading

    with reading(desk.engine) as session:
        late, waiting = count_late(session, desk.now()), len(list_requests(session, open_only=True))
    seen = f"{waiting} requests open, {late} over the 24 hours"
    if late:
        return Finding(check="access", verdict=WARN, seen=seen, repair="postdesk access list")
    return Finding(check="access", verdict=OK, seen=seen)


def _history(desk: "Desk") -> Finding:
    from postdesk.doctor_history import history

    return history(desk)


def _audit(desk: "Desk") -> Finding:
    """Has somebody changed, moved or cut out what stands in the audit?"""
    from models.db.engine import reading
    from models.desk.audit import find_break

    with reading(desk.engine) as session:
        broken = find_break(session)
    if broken is not None:
        seen = f"row {broken} is not what was written, or the row before it is missing"
        return Finding(check="audit", verdict=FAIL, seen=seen, repair=REPAIRS["audit"])
    return Finding(check="audit", verdict=OK, seen="its chain is whole")


def _python(desk: "Desk") -> Finding:
    from notify.selfcheck import check_python

    findings = check_python()
    if findings:
        return Finding(check="python", verdict=WARN, seen="; ".join(findings), repair=REPAIRS["python"])
    return Finding(check="python", verdict=OK, seen="refuses injected header fields")


def _authentication(desk: "Desk") -> Finding:
    if desk.settings.authentication:
        return Finding(check="authentication", verdict=OK, seen="authors are checked (SPF, DKIM, DMARC)")
    return Finding(check="authentication", verdict=WARN, seen="off: nobody is believed", repair="authentication = true")


def _dns(desk: "Desk") -> Iterator[Finding]:
    from postdesk.doctor_dns import look

    return look(desk)


def _imap(desk: "Desk") -> Iterator[Finding]:
    from postdesk.doctor_imap import look

    return look(desk)


def _portal(desk: "Desk") -> Finding:
    """Do the links in mails lead where people can go?"""
    from values.addresses import is_loopback

    settings, url = desk.settings, desk.portal_url
    if not url:
        return Finding(check="portal", verdict=OK, seen="none: mails have no links")
    here = is_loopback(urlsplit(url).hostname or "")
    if here and settings.smarthost.startswith("maildir:"):
        return Finding(check="portal", verdict=OK, seen=f"links lead to {url}, and no mail leaves this machine")
    if here:
        seen = f"links in mails lead to {url}, which this machine alone can reach"
        return Finding(check="portal", verdict=WARN, seen=seen, repair=REPAIRS["portal"])
    if not settings.portal_url:
        seen = f"links in mails lead to {url}: what http_listen says is no address for people"
        return Finding(check="portal", verdict=FAIL, seen=seen, repair=REPAIRS["portal"])
    return Finding(check="portal", verdict=OK, seen=f"links lead to {url}")


CHECKS: dict[str, Callable[["Desk"], Finding | Iterator[Finding]]] = {
    "configuration": _configuration,
    "privacy": _privacy,
    "database": _database,
    "spool": _spool,
    "blobs": _blobs,
    "history": _history,
    "audit": _audit,
    "disk": _disk,
    "smarthost": _smarthost,
    "outbox": _outbox,
    "people": _people,
    "access": _access,
    "authentication": _authentication,
    "dns": _dns,
    "imap": _imap,
    "portal": _portal,
    "python": _python,
}
NEEDS_SCHEMA = frozenset({"history", "audit", "outbox", "people", "access", "imap"})
REPAIRS = {
    "configuration": "postdesk init makes a key file; a backup has the old one",
    "privacy": "run doctor as the user of the desk",
    "database": "start the database, or mend `database` in postdesk.toml",
    "spool": "give the user of the desk the right to write there, or mend `spool`",
    "blobs": "give the user of the desk the right to write there, or mend `blobs`",
    "history": "mend what `database` or `blobs` says first",
    "audit": "compare with a backup: somebody wrote to the table past its triggers (docs/operations.md)",
    "disk": "mend `spool` in postdesk.toml",
    "smarthost": "start it, open the way to it, or mend `smarthost` in postdesk.toml",
    "outbox": "mend what `database` says first",
    "people": "mend what `database` says first",
    "access": "mend what `database` says first",
    "authentication": "mend `nameservers`",
    "dns": "mend `nameservers`, or the file that the error names",
    "imap": "mend what `database` says first",
    "portal": 'portal_url = "https://desk.nordvik.test", the address of the proxy that speaks TLS (docs/operations.md)',
    "python": "use the newest patch release of Python",
}
