"""Which DMARC record speaks for a domain, and which domains are one organization? (RFC 9989)

Takes: the author's domain (A-label form, lower case) and something that answers DNS questions.  Gives: a
`DomainPolicy`, which then tells whether another domain is aligned.  Fails: never; an unanswered question is
`unanswered`.

Own code, because the `dmarc` package follows RFC 7489: it knows no tree walk, no np= and no psd=, and calls any parent
domain aligned, a public suffix included (docs/adr/0003-believed-authors.md).
"""

from dataclasses import dataclass
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

from ingest.auth.resolver import Deadline, DnsStatus

MAX_QUERIES = 8  # RFC 9989 §4.10: long names are cut so that a walk costs no more
_REQUESTS = ("none", "quarantine", "reject")


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcRecord:
    """The tags of a record that matter to a receiver who sends no reports (RFC 9989 §4.7)."""

    domain: str  # where it was found
    p: str = "none"
    sp: str | None = None
    np: str | None = None
    strict_dkim: bool = False
    strict_spf: bool = False
    psd: str = "u"
    testing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """The records on the way from a domain up to its top-level domain, the longest name first."""

    start: str
    records: tuple[DmarcRecord, ...]
    unanswered: bool

    def organization(self) -> str:
        """RFC 9989 §4.10.2: where the highest record is, or one label below a public suffix that says it is one.

        The walk ended at the first psd=n or psd=y, so that no record but the last can have one.
        """
        if not self.records:
            return self.start
        highest = self.records[-1]
        if highest.psd == "y" and highest.domain != self.start:
            return _below(highest.domain, self.start)
        return highest.domain


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainPolicy:
    """What a domain asks for when mail in its name fails."""

    domain: str
    organization: str
    record: DmarcRecord | None  # None: none is published, or the DNS did not say
    policy: str | None  # none | quarantine | reject, as published for this domain; None = no record
    unanswered: bool  # a question that could have changed `record` or `organization` was not answered

    @property
    def enforced(self) -> bool:
        """Whether the owner asks that failing mail be stopped; t=y asks for the contrary (RFC 9989 §4.7)."""
        return self.record is not None and self.policy in ("quarantine", "reject") and not self.record.testing

    def may_align(self, other: str) -> bool:
        """Whether `other` could be aligned at all, told without asking anything.

        Without a record each domain is an organization of its own (RFC 9989 §4.10.2), so that in the end only the same
        domain counts, and so it is where the DNS left a question open: the answer could have been psd=n. A public
        suffix is nobody's organization even where its owner forgot psd=y: neighbours there are strangers.
        """
        if other == self.domain:
            return True
        if not other or self.unanswered:
            return False
        return _is_within(other, self.organization) and not _is_public_suffix(self.organization)

    def is_aligned(self, other: str, *, strict: bool, ask: Deadline) -> bool | None:
        """RFC 9989 §4.4: the same domain, or in relaxed mode the same organization. None: the DNS did not say."""
        if other == self.domain:
            return True
        if strict or not self.may_align(other):
            return False
        walk = _walk(other, ask)
        return None if walk.unanswered else walk.organization() == self.organization


def find_policy(domain: str, ask: Deadline) -> DomainPolicy:
    """The policy for mail by authors of `domain`: its own record, its organization's or its suffix's (§4.10.1)."""
    walk = _walk(domain, ask)
    organization = walk.organization()
    at = {record.domain: record for record in walk.records}
    record = at.get(domain) or at.get(organization) or next((r for r in walk.records if r.psd == "y"), None)
    policy = None if record is None else _applicable(record, domain, ask)
    return DomainPolicy(
        domain=domain, organization=organization, record=record, policy=policy, unanswered=walk.unanswered
    )


def parse_record(text: str, domain: str) -> DmarcRecord | None:
    """A DMARC record, or None where the text is none. Unknown tags and bad values do no harm (RFC 9989 §4.7)."""
    first, *rest = text.split(";")
    name, _, version = first.partition("=")
    if name.strip() != "v" or version.strip() != "DMARC1":
        return None
    tags: dict[str, str] = {}
    for tag in rest:
        name, _, value = tag.partition("=")
        tags.setdefault(name.strip().lower(), value.strip().lower())
    requests = {name: tags[name] for name in ("p", "sp", "np") if name in tags}
    if any(value not in _REQUESTS for value in requests.values()):
        requests = {}  # RFC 9989 §4.10.1: as if it said p=none
    return DmarcRecord(
        domain=domain,
        p=requests.get("p", "none"),
        sp=requests.get("sp"),
        np=requests.get("np"),
        strict_dkim=tags.get("adkim") == "s",
        strict_spf=tags.get("aspf") == "s",
        psd=tags["psd"] if tags.get("psd") in ("y", "n") else "u",
        testing=tags.get("t") == "y",
    )


def _walk(domain: str, ask: Deadline) -> _Walk:
    """The DNS tree walk of RFC 9989 §4.10."""
    records: list[DmarcRecord] = []
    unanswered = False
    for name in _names(domain):
        answer = ask.ask(f"_dmarc.{name}", "TXT")
        unanswered = unanswered or answer.status is DnsStatus.FAILED
        found = [record for text in answer.texts if (record := parse_record(text.decode("utf-8", "replace"), name))]
        if len(found) != 1:  # several records at one name speak for nobody
            continue
        records += found
        if found[0].psd in ("y", "n"):
            break
    return _Walk(start=domain, records=tuple(records), unanswered=unanswered)


def _names(domain: str) -> list[str]:
    """The domain itself, then its parents with at most seven labels, down to one."""
    labels = domain.split(".")
    longest_parent = min(len(labels) - 1, MAX_QUERIES - 1)
    return [domain, *(".".join(labels[-count:]) for count in range(longest_parent, 0, -1))]


def _applicable(record: DmarcRecord, domain: str, ask: Deadline) -> str:
    """p= for the record's own domain; for a sub-domain np= where it does not exist (RFC 8020), else sp=, else p=."""
    if record.domain == domain:
        return record.p
    elsewhere = record.sp or record.p
    if record.np in (None, elsewhere):
        return elsewhere
    return record.np if ask.ask(domain, "A").status is DnsStatus.NO_NAME else elsewhere


def _is_within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith("." + parent)


def _below(parent: str, domain: str) -> str:
    """The name one label below `parent` on the way to `domain`."""
    return ".".join(domain.split(".")[-(parent.count(".") + 2) :])


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def _is_public_suffix(domain: str) -> bool:
    return bool(_suffixes().is_public(domain))
