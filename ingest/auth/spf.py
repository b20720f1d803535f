"""May this client send mail for the domain of the reverse-path? (RFC 7208, by pyspf)

Takes: the envelope and something that answers DNS questions.  Gives: a result word and the domain that it is about.
Fails: never; what pyspf stumbles over is `permerror`, what the DNS did not answer `temperror`.
"""

from typing import Any

import spf

from ingest.auth.resolver import Answer, Deadline, DnsStatus
from values.addresses import canonical_domain
from values.mail import Envelope
from values.vocabulary import AuthResult

_MAX_VOID = 2  # RFC 7208 §4.6.4


def spf_domain(envelope: Envelope) -> str:
    """The domain that SPF is asked about: that of the reverse-path, or of HELO for the null one (§2.4)."""
    if envelope.reverse_path:
        return canonical_domain(envelope.reverse_path.rpartition("@")[2]) or ""
    return canonical_domain(envelope.helo or "") or ""


def check_spf(envelope: Envelope, ask: Deadline) -> AuthResult:
    """`none` where the way in names no client (IMAP, archive) or no domain."""
    domain = spf_domain(envelope)
    if envelope.client_ip is None or not domain:
        return AuthResult.NONE
    local_part = envelope.reverse_path.rpartition("@")[0] or "postmaster"
    try:
        query = _Query(
            envelope.client_ip, f"{local_part}@{domain}", canonical_domain(envelope.helo or "") or "unknown", ask
        )
        word: str = query.check()[0]  # type: ignore[no-untyped-call]
        return AuthResult(word)
    except Exception:  # pyspf is fed by strangers and raises whatever Python raises; RFC 7208 §2.6.7
        return AuthResult.PERMERROR


class _Query(spf.query):
    """pyspf's query, which asks us instead of the module's global DNSLookup."""

    def __init__(self, ip: str, sender: str, helo: str, ask: Deadline) -> None:
        super().__init__(ip, sender, helo)  # type: ignore[no-untyped-call]
        self._ask = ask

    def dns(self, name: Any, qtype: str, cnames: Any = None, ignore_void: bool = False) -> list[Any]:
        """Records in pyspf's own form: a tuple of strings for TXT, (preference, name) for MX, else a str."""
        answer = self._ask.ask(str(name), qtype)
        if answer.status is DnsStatus.FAILED:
            raise spf.TempError(f"no answer for {qtype}")  # type: ignore[no-untyped-call]
        if answer.status is not DnsStatus.FOUND and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > _MAX_VOID:
                raise spf.PermError("too many void lookups")  # type: ignore[no-untyped-call]
        return _records(answer, qtype)

    def validated_ptrs(self) -> list[str]:
        """`ptr` never matches: whoever owns the client's address writes the names that it has (RFC 7208 §5.5)."""
        return []

    def get_explanation(self, spec: Any) -> None:
        """An explanation is a stranger's text that nobody here will read: it is not even fetched (§6.2 allows it)."""
        return None


def _records(answer: Answer, qtype: str) -> list[Any]:
    if qtype == "TXT":
        return [(text,) for text in answer.texts]
    if qtype == "MX":
        return list(zip(answer.preferences, answer.hosts, strict=True))
    return list(answer.hosts)
