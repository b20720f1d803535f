"""Does the DNS say what others must find for mail to reach the desk, and for its own mail to be taken?

Takes: a `Desk`.  Gives: a finding for MX, SPF, DKIM and DMARC each, with the record to publish.  Fails: never; what the
DNS does not answer is a finding.

What only the smarthost's operator can say is not asked: which addresses it sends from, its PTR, its own DKIM key.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ingest.auth.dmarc import find_policy
from ingest.auth.resolver import Answer, Deadline, DnsResolver, DnsStatus
from ingest.auth.spf import check_spf
from notify.signing import is_published, record_of
from postdesk.doctor import FAIL, OK, WARN, Finding
from values.addresses import is_loopback
from values.mail import Envelope
from values.vocabulary import AuthResult, Source

if TYPE_CHECKING:
    from postdesk.settings import Settings
    from postdesk.wiring import Desk

WITHIN = 5.0  # seconds for all questions of one check; a record that takes longer is none to those who get our mail
PACKET = 1.0  # seconds for one packet to one name server
STRANGER = "192.0.2.1"  # an address that nobody has: SPF should say no to it
NO_ANSWER = "ask again; if it stays, mend `nameservers` or the machine's own resolver"


def look(desk: "Desk") -> Iterator[Finding]:
    """The four records, unless the desk has no DNS or none answers."""
    settings = desk.settings
    if not settings.authentication:
        yield Finding(check="dns", verdict=OK, seen="skipped: authentication is off, this is a desk without DNS")
        return
    resolver = DnsResolver(settings.nameservers, query_s=PACKET)
    if Deadline(resolver, WITHIN).ask(settings.vendor_domain, "MX").status is DnsStatus.FAILED:
        yield Finding(check="dns", verdict=FAIL, seen="no name server answers", repair=NO_ANSWER)
        return
    for check in (_mx, _spf, _dkim, _dmarc):
        yield check(settings, Deadline(resolver, WITHIN))


# -- mail in


def _mx(settings: "Settings", ask: Deadline) -> Finding:
    addresses = (settings.support_address, settings.access_address, settings.licence_address, settings.return_address)
    found = [_mx_of(domain, settings.hostname, ask) for domain in dict.fromkeys(map(_domain, addresses))]
    worst = next(verdict for verdict in (FAIL, WARN, OK) if verdict in [one.verdict for one in found])
    seen = "; ".join(one.seen for one in found)
    return Finding(check="dns-mx", verdict=worst, seen=seen, repair="; ".join(filter(None, (x.repair for x in found))))


def _mx_of(domain: str, hostname: str, ask: Deadline) -> Finding:
    answer = ask.ask(domain, "MX")
    publish = f"publish MX: {domain}. MX 10 {hostname}."
    if answer.status is DnsStatus.FAILED:
        return _finding("dns-mx", WARN, f"{domain}: no answer", NO_ANSWER)
    if answer.status is not DnsStatus.FOUND:
        if _has_address(domain, ask):
            return _finding("dns-mx", WARN, f"{domain} has no MX, senders take its own address", publish)
        return _finding("dns-mx", FAIL, f"{domain} has no MX: no mail reaches the desk", publish)
    hosts = [host.rstrip(".").lower() for host in answer.hosts]
    if "" in hosts:
        return _finding("dns-mx", FAIL, f"{domain} says that it takes no mail (null MX)", publish)
    lost = [host for host in hosts if not _has_address(host, ask)]
    if lost:
        repair = f"publish A or AAAA: {lost[0]}. A ADDRESS"
        return _finding("dns-mx", FAIL if lost == hosts else WARN, f"{', '.join(lost)} has no address", repair)
    ours = "this desk" if hostname in hosts else "it must hand the desk's addresses on, tags included"
    return _finding("dns-mx", OK, f"{domain} → {', '.join(hosts)} ({ours})")


def _has_address(host: str, ask: Deadline) -> bool:
    """What was not answered is not held against the name."""
    return any(ask.ask(host, kind).status in (DnsStatus.FOUND, DnsStatus.FAILED) for kind in ("A", "AAAA"))


# -- mail out


def _spf(settings: "Settings", ask: Deadline) -> Finding:
    domain, relay = _domain(settings.return_address), urlsplit(settings.smarthost).hostname or ""
    answer = ask.ask(domain, "TXT")
    if answer.status is DnsStatus.FAILED:
        return _finding("dns-spf", WARN, f"{domain}: no answer", NO_ANSWER)
    records = [text for text in _texts(answer) if text.lower().split(" ")[0] == "v=spf1"]
    term = "include:SPF-OF-YOUR-RELAY" if _address(relay, ask) is None else f"a:{relay}"
    publish = f'publish TXT: {domain}. TXT "v=spf1 {term} -all"'
    if len(records) != 1:
        seen = f"{domain} has no SPF record" if not records else f"{domain} has {len(records)} SPF records: none counts"
        return _finding("dns-spf", FAIL, seen, publish)
    return _spf_says(settings, records[0], relay, term, ask)


def _spf_says(settings: "Settings", record: str, relay: str, term: str, ask: Deadline) -> Finding:
    domain = _domain(settings.return_address)
    stranger = _spf_of(settings, STRANGER, ask)
    if stranger is AuthResult.PERMERROR:
        return _finding("dns-spf", FAIL, f"{record}: can't be evaluated", "mend its syntax; at most 10 DNS look-ups")
    if stranger is AuthResult.TEMPERROR:
        return _finding("dns-spf", WARN, f"{record}: a name in it has no answer", NO_ANSWER)
    if stranger in (AuthResult.PASS, AuthResult.NEUTRAL):
        repair = f"let the record of {domain} end in -all"
        return _finding("dns-spf", WARN, f"{record}: anybody may send in its name", repair)
    at = _address(relay, ask)
    if at is None:
        return _finding("dns-spf", OK, f"{record} (whether it allows the smarthost can't be seen from here)")
    if _spf_of(settings, at, ask) is AuthResult.PASS:
        return _finding("dns-spf", OK, f"{record}: allows {relay} ({at})")
    repair = f"add {term} to the record of {domain}, unless the smarthost sends from other addresses"
    return _finding("dns-spf", WARN, f"{record}: does not allow {relay} ({at})", repair)


def _spf_of(settings: "Settings", client: str, ask: Deadline) -> AuthResult:
    envelope = Envelope(
        reverse_path=settings.return_address,
        forward_paths=(),
        source=Source.SMTP,
        received_at=datetime.now(UTC),
        client_ip=client,
    )
    return check_spf(envelope, ask)


def _dkim(settings: "Settings", ask: Deadline) -> Finding:
    if settings.dkim_key is None:
        return _finding("dns-dkim", OK, "skipped: outgoing mail is not signed here (dkim_key); the smarthost may sign")
    name = f"{settings.dkim_selector}._domainkey.{settings.dkim_domain}"
    key = settings.dkim_key.read_bytes()
    publish = f'publish TXT: {name}. TXT "{record_of(key)}"'
    answer = ask.ask(name, "TXT")
    if answer.status is DnsStatus.FAILED:
        return _finding("dns-dkim", WARN, f"{name}: no answer", NO_ANSWER)
    if answer.status is not DnsStatus.FOUND:
        return _finding("dns-dkim", FAIL, f"{name} is missing: each signature is broken", publish)
    texts = _texts(answer)
    if len(texts) != 1:
        return _finding("dns-dkim", FAIL, f"{name} has {len(texts)} records: none counts", publish)
    if not is_published(texts[0], key):
        return _finding("dns-dkim", FAIL, f"{name} is not the public half of {settings.dkim_key}", publish)
    return _finding("dns-dkim", OK, f"{name} is the key that signs")


def _dmarc(settings: "Settings", ask: Deadline) -> Finding:
    domain, returns = _domain(settings.support_address), _domain(settings.return_address)
    policy = find_policy(domain, ask)
    if policy.unanswered:
        return _finding("dns-dmarc", WARN, f"_dmarc.{domain}: no answer", NO_ANSWER)
    if policy.record is None:
        publish = f'publish TXT: _dmarc.{domain}. TXT "v=DMARC1; p=quarantine; rua=mailto:YOU@YOUR-DOMAIN"'
        return _finding(
            "dns-dmarc", WARN, f"{domain} has no DMARC record, or several: anybody may write as it", publish
        )
    record = policy.record
    aligned = [
        name
        for name, other, strict in (
            ("return path", returns, record.strict_spf),
            ("signature", settings.dkim_domain if settings.dkim_key else "", record.strict_dkim),
        )
        if other and policy.is_aligned(other, strict=strict, ask=ask)
    ]
    seen = f"_dmarc.{record.domain}: p={policy.policy} for {domain}"
    if not aligned:
        repair = f"let return_address or dkim_domain be of {domain}, unless the smarthost signs for it"
        return _finding("dns-dmarc", WARN, f"{seen}; neither return path nor signature is aligned with it", repair)
    return _finding("dns-dmarc", OK, f"{seen}; aligned: {', '.join(aligned)}")


# -- small


def _finding(check: str, verdict: str, seen: str, repair: str = "") -> Finding:
    return Finding(check=check, verdict=verdict, seen=seen, repair=repair)


def _domain(address: str) -> str:
    return address.rpartition("@")[2]


def _texts(answer: Answer) -> list[str]:
    return [text.decode("utf-8", "replace") for text in answer.texts]


def _address(host: str, ask: Deadline) -> str | None:
    """The address of a smarthost elsewhere; None for one on this machine, which sends from who knows where."""
    if not host or is_loopback(host):
        return None
    with suppress(ValueError):
        return str(ip_address(host))
    return next(iter(ask.ask(host, "A").hosts), None)
