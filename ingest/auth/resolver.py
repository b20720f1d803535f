"""Ask the DNS, with an answer for every case and a limit on everything.

Takes: a name, a record type, the seconds that are left.  Gives: an `Answer`.  Fails: never; what did not answer is
`DnsStatus.FAILED`.

`Resolver` is the seam: sender authentication never reaches the network in another way, so a test gives it a DNS server
of its own and a desk its own name servers.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

# A policy or key record is far below this; a longer text is somebody's attempt to keep us busy.
MAX_TEXT = 4096
MAX_RECORDS = 64
DNS_PORT = 53


class DnsStatus(StrEnum):
    """RFC 8499 words: an answer, NODATA, NXDOMAIN, and everything that is no answer at all."""

    FOUND = "found"
    NO_DATA = "no-data"
    NO_NAME = "no-name"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the DNS said. `texts` are TXT records, each joined to one value; `hosts` are addresses (A, AAAA) or names
    (PTR, MX) without the last dot; `preferences` belong to the hosts of an MX answer."""

    status: DnsStatus
    texts: tuple[bytes, ...] = ()
    hosts: tuple[str, ...] = ()
    preferences: tuple[int, ...] = ()


FAILED = Answer(status=DnsStatus.FAILED)
NO_NAME = Answer(status=DnsStatus.NO_NAME)
NO_DATA = Answer(status=DnsStatus.NO_DATA)


class Resolver(Protocol):
    """Something that answers DNS questions within `within_s` seconds and never raises."""

    def ask(self, name: str, kind: str, within_s: float) -> Answer:
        """`name` is in A-label form, with or without the last dot; `kind` is one of TXT, A, AAAA, MX, PTR."""
        ...


class _BoundedCache(dns.resolver.LRUCache):
    """dnspython's cache obeys the TTL; a TTL of weeks must not outlive a changed key."""

    def __init__(self, size: int, max_ttl_s: float) -> None:
        super().__init__(size)
        self._max_ttl_s = max_ttl_s

    def put(self, key: dns.resolver.CacheKey, value: dns.resolver.Answer) -> None:
        value.expiration = min(value.expiration, time.time() + self._max_ttl_s)
        super().put(key, value)


class DnsResolver:
    """The real one, by dnspython: its own name servers, a cache with bounded TTL, and a short memory for failures.

    The memory for failures is what keeps a domain whose servers are dead from costing the full deadline for each of
    its mails. One object may serve many threads.
    """

    def __init__(
        self,
        nameservers: Iterable[str] = (),
        *,
        port: int = DNS_PORT,
        query_s: float = 2.0,
        cache_size: int = 2048,
        max_ttl_s: float = 600.0,
        failed_for_s: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`nameservers`: IP addresses, with a port where it is not `port` (127.0.0.1:5353, [::1]:5353); empty = those
        of the system. `query_s`: seconds for one packet to one server."""
        servers = [_address_and_port(server, port) for server in nameservers]
        self._dns = dns.resolver.Resolver(configure=not servers)
        if servers:
            self._dns.nameservers = [dns.nameserver.Do53Nameserver(*server) for server in servers]
        self._dns.timeout = query_s
        self._dns.cache = _BoundedCache(cache_size, max_ttl_s)
        self._dns.use_edns(0, 0, 1232)
        self._failed: dict[tuple[str, str], float] = {}
        self._failed_for_s = failed_for_s
        self._failed_size = cache_size
        self._clock = clock

    def ask(self, name: str, kind: str, within_s: float) -> Answer:
        """See `Resolver`. A question that failed a moment ago is not asked again."""
        question = (name.lower().rstrip("."), kind)
        if self._failed.get(question, 0.0) > self._clock():
            return FAILED
        try:
            asked = dns.name.from_text(question[0])
        except (dns.exception.DNSException, UnicodeError):
            return NO_NAME  # no such name can exist: never a failure that a forger could choose to cause
        try:
            found = self._dns.resolve(asked, kind, lifetime=within_s, search=False)
        except dns.resolver.NXDOMAIN:
            return NO_NAME
        except dns.resolver.NoAnswer:
            return NO_DATA
        except (dns.exception.DNSException, OSError):
            if within_s >= self._dns.timeout:  # else it was our own haste, and other mails must not suffer for it
                self._remember_failure(question)
            return FAILED
        return _answer(found, kind)

    def _remember_failure(self, question: tuple[str, str]) -> None:
        if len(self._failed) >= self._failed_size:
            self._failed.clear()
        self._failed[question] = self._clock() + self._failed_for_s


def _address_and_port(server: str, port: int) -> tuple[str, int]:
    """An IPv6 address stands in brackets where a port follows it."""
    address, colon, number = server.rpartition(":")
    if not colon or not number.isdecimal() or (":" in address and not address.endswith("]")):
        return server.strip("[]"), port
    return address.strip("[]"), int(number)


def _answer(found: dns.resolver.Answer, kind: str) -> Answer:
    records = list(found)[:MAX_RECORDS]
    if kind == "TXT":
        texts = (b"".join(record.strings) for record in records)
        return Answer(status=DnsStatus.FOUND, texts=tuple(text for text in texts if len(text) <= MAX_TEXT))
    if kind == "MX":
        return Answer(
            status=DnsStatus.FOUND,
            hosts=tuple(record.exchange.to_text(True) for record in records),
            preferences=tuple(record.preference for record in records),
        )
    if kind == "PTR":
        return Answer(status=DnsStatus.FOUND, hosts=tuple(record.target.to_text(True) for record in records))
    return Answer(status=DnsStatus.FOUND, hosts=tuple(record.address for record in records))


class Deadline:
    """One resolver and one deadline for all questions about one mail, counted too: what is too late was not answered.

    A stranger's mail chooses most of the names that are asked for, so the number of questions is limited as well as
    their time (RFC 7208 §4.6.4, RFC 7208 §11.1).
    """

    def __init__(
        self,
        resolver: Resolver,
        seconds: float,
        *,
        questions: int = 120,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resolver = resolver
        self._clock = clock
        self._until = clock() + seconds
        self._questions = questions

    def ask(self, name: str, kind: str) -> Answer:
        """As `Resolver.ask`, within what is left."""
        left = self._until - self._clock()
        if left <= 0 or self._questions <= 0:
            return FAILED
        self._questions -= 1
        return self._resolver.ask(name, kind, left)
