"""What our own border says about the author: Authentication-Results (RFC 8601), and nobody else's.

Takes: the header fields from the top, and how the way in is configured.  Gives: `AuthEvidence`, or None where the
border says nothing that counts.  Fails: never; a field that cannot be read says nothing.

Anybody can write this field. It counts only where all of this holds (RFC 8601 §5, §7.1; threats T02):
1. the way in is marked as stripped at the border: the border removes fields that claim to be its own;
2. the field carries the authserv-id that the settings name, whatever its case, comments and version;
3. it stands above the first Received field, for trace fields are added on top: what is below was there before. Where
   hosts of ours add a Received field above it (a mail store; a border that puts its results below its own trace), the
   settings name them and their fields are passed over. A mail without any Received field did not pass a border;
4. every such field agrees about DMARC, and the From domain that the border judged is the one that we see (T03).
Microsoft's field has no authserv-id: it cannot be told from a forged one, and never counts.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import authres

from ingest.mime.scan import Field
from values.addresses import canonical_domain
from values.mail import AuthEvidence
from values.vocabulary import AuthResult, Belief

_MAX_VALUE = 8 * 1024  # the library's time grows with the square
_COMMENT = re.compile(r"\([^()]{0,500}\)")
_BY = re.compile(r"(?:^|\s)by\s+([^\s;]+)", re.IGNORECASE)
_FAILED_WITH = re.compile(r"\bdmarc\s*=\s*fail\s*\(([^()]{0,200})\)", re.IGNORECASE)
_PUBLISHED = re.compile(r"\bs?p\s*=\s*(none|quarantine|reject)\b", re.IGNORECASE)
_POLICIES = ("none", "quarantine", "reject")  # in the order of their strictness


@dataclass(frozen=True, slots=True, kw_only=True)
class Border:
    """A mail system of ours in front of the desk that authenticates, and strips fields in its own name from outside.

    `own_hosts`: hosts (each with its sub-domains; one that ends in a colon is a prefix, as "2002:") whose Received
    fields may stand above the border's results.
    """

    authserv_id: str
    own_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthResStatement:
    """What one Authentication-Results value says. `results` are (method, result) words in the order of the field."""

    authserv_id: str
    results: tuple[tuple[str, str], ...]
    dmarc: tuple[tuple[str, str], ...]  # (result, From domain), "" where it names none
    policy: str | None  # as a comment on a failed dmarc states it
    dkim_domains: tuple[str, ...]  # header.d of those that passed
    spf: tuple[tuple[str, str], ...] = ()  # (result, domain of smtp.mailfrom), "" where it names none


def read_authres(fields: Iterable[Field], border: Border | None, author_domain: str) -> AuthEvidence | None:
    """The border's verdict on mail by an author of `author_domain` (A-label form), or None: it says nothing.

    `border` is None for every way in that is not marked as stripped at the border.
    """
    if border is None or not border.authserv_id:
        return None
    found = [one for value in _border_values(fields, border.own_hosts) if (one := parse_authres(value)) is not None]
    ours = [one for one in found if one.authserv_id == border.authserv_id.strip().lower()]
    return _evidence(ours, author_domain, border.authserv_id) if ours else None


def parse_authres(value: str) -> AuthResStatement | None:
    """One unfolded field value (RFC 8601 §2.2), or None where it cannot be read or names no authserv-id."""
    if len(value) > _MAX_VALUE:
        return None
    try:
        header = authres.all_features().parse_value(value.rstrip("; \t"))  # type: ignore[no-untyped-call]
    except Exception:  # SyntaxError of its own on Microsoft's field, RecursionError on nested comments, and the like
        return None
    results = [(str(one.method).lower(), str(one.result).lower(), _properties(one)) for one in header.results]
    return AuthResStatement(
        authserv_id=str(header.authserv_id).partition("/")[0],  # "id/1": a version written without its space
        results=tuple((method, result) for method, result, _ in results),
        dmarc=tuple((result, names.get("header.from", "")) for method, result, names in results if method == "dmarc"),
        policy=_stated_policy(value),
        dkim_domains=tuple(
            names["header.d"]
            for method, result, names in results
            if method == "dkim" and result == "pass" and "header.d" in names
        ),
        spf=tuple(
            (result, names.get("smtp.mailfrom", "").rpartition("@")[2])
            for method, result, names in results
            if method == "spf"
        ),
    )


def _properties(result: authres.core.AuthenticationResult) -> dict[str, str]:
    """The properties of a result; one that is stated twice with two values states nothing."""
    found: dict[str, str] = {}
    for one in result.properties:
        name, value = f"{one.type}.{one.name}".lower(), str(one.value).lower().rstrip(".")
        found[name] = value if found.get(name, value) == value else ""
    return found


def _stated_policy(value: str) -> str | None:
    """The published policy from the comment that most borders add to a failure; the strictest of p= and sp=, for the
    comment does not say which of them applies."""
    comment = _FAILED_WITH.search(value)
    words = [word.lower() for word in _PUBLISHED.findall(comment.group(1))] if comment else []
    return max(words, key=_POLICIES.index) if words else None


def _border_values(fields: Iterable[Field], own_hosts: Collection[str]) -> list[str]:
    """Authentication-Results values above the first Received field that is not ours; all where every one is ours."""
    values: list[str] = []
    passed_border = False
    for field in fields:
        if field.name == "received":
            passed_border = True
            if not _is_own(field, own_hosts):
                return values
        elif field.name == "authentication-results":
            values.append(field.unfolded.decode("utf-8", "replace"))
    return values if passed_border else []


def _is_own(field: Field, own_hosts: Collection[str]) -> bool:
    """Whether a host of ours says that it added this field. A client's HELO stands in the same line, so a line in which
    the host could be read in two ways is nobody's."""
    text = _COMMENT.sub(" ", field.unfolded.decode("ascii", "replace"))
    hosts = _BY.findall(text)
    if len(hosts) != 1 or "(" in text:
        return False
    host = hosts[0].lower().rstrip(".")
    for own in (name.lower() for name in own_hosts):
        if host == own or host.endswith("." + own) or (own.endswith(":") and host.startswith(own)):
            return True
    return False


def _evidence(ours: list[AuthResStatement], author_domain: str, authserv_id: str) -> AuthEvidence:
    said = {one for statement in ours for one in statement.dmarc}
    result, from_domain = said.pop() if len(said) == 1 else ("none", "")
    lines = [f"{authserv_id} says dmarc={result} for {from_domain or 'no domain'}"]
    if said:
        lines = [f"{authserv_id} contradicts itself about dmarc"]
    elif from_domain != author_domain:
        lines.append(f"it does not speak of {author_domain}")
    policy = next((one.policy for one in ours if one.policy), None)
    spf = {one for statement in ours for one in statement.spf}
    passed = next((domain for word, domain in spf if word == "pass"), "") if len(spf) == 1 else ""
    dmarc = _word(result)
    return AuthEvidence(
        spf=_first(ours, "spf"),
        spf_domain=canonical_domain(passed) if passed else None,
        dkim=_first(ours, "dkim"),
        dkim_domains=tuple(domain for one in ours for domain in one.dkim_domains),
        dmarc=dmarc,
        dmarc_policy=policy,
        belief=_belief(dmarc, policy) if from_domain == author_domain else Belief.UNPROVED,
        evidence=tuple(lines),
    )


def _belief(dmarc: AuthResult, policy: str | None) -> Belief:
    """A failure whose policy is not stated is taken as one under a policy: without a record there is no failure."""
    if dmarc is AuthResult.PASS:
        return Belief.BELIEVED
    return Belief.REFUTED if dmarc is AuthResult.FAIL and policy != "none" else Belief.UNPROVED


def _first(ours: list[AuthResStatement], method: str) -> AuthResult:
    """The best word that is said of a method: one signature that passes outweighs another that does not."""
    words = [_word(word) for one in ours for name, word in one.results if name == method]
    return AuthResult.PASS if AuthResult.PASS in words else next(iter(words), AuthResult.NONE)


def _word(text: str) -> AuthResult:
    try:
        return AuthResult(text)
    except ValueError:
        return AuthResult.NONE  # RFC 8601 §2.7.6: an unknown result says nothing
