"""Do we believe that the author wrote this mail? SPF, DKIM, DMARC and ARC, checked by ourselves.

Takes: `Octets` of a raw mail, its envelope, the author's domain (A-label form) and a `Resolver`.  Gives: `AuthEvidence`
with the belief and the lines that explain it to a person.  Fails: never, and never takes much longer than its
deadline; what the DNS does not answer in time leaves the author unproved, it refuses nobody (faults F36).

Believed is an aligned pass, and nothing else (docs/adr/0003-believed-authors.md): a DKIM signature or SPF for the
author's own domain, or for one of the same organization (RFC 9989 §4.4); or the word of a listed ARC sealer.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from ingest.auth.dkim import (
    MAX_SIGNATURES,
    ArcChain,
    Signature,
    SignedMail,
    check_arc,
    check_signatures,
    find_signatures,
)
from ingest.auth.dmarc import DomainPolicy, find_policy
from ingest.auth.resolver import Deadline, Resolver
from ingest.auth.results import Border, parse_authres, read_authres
from ingest.auth.spf import check_spf, spf_domain
from ingest.mime.scan import Octets
from rules.belief import FIELDS_OF_AIM, FIELDS_OF_WORDS
from values.addresses import canonical_domain
from values.mail import AuthEvidence, Envelope
from values.vocabulary import AuthResult, Belief, Source

# The best word first: what a mail with several signatures is said to have.
_BEST_FIRST = (
    AuthResult.PASS,
    AuthResult.POLICY,
    AuthResult.TEMPERROR,
    AuthResult.FAIL,
    AuthResult.PERMERROR,
    AuthResult.NONE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Findings:
    """All that was looked at, before it is judged."""

    policy: DomainPolicy
    client_known: bool
    spf: AuthResult
    spf_domain: str
    spf_aligned: bool
    signatures: tuple[Signature, ...]
    dkim_aligned: tuple[str, ...]  # d= that passed and are aligned
    alignment_open: bool  # something passed, and the DNS did not say whether it is aligned
    unfit: str  # why no signature could be read at all
    refused: tuple[AuthResult, ...]  # the words on signatures that may be the author's and did not pass


def authenticate(
    octets: Octets,
    envelope: Envelope,
    author_domain: str,
    resolver: Resolver,
    *,
    sealers: Collection[str] = (),
    border: Border | None = None,
    deadline_s: float = 5.0,
    now: datetime,
) -> AuthEvidence:
    """What we find out about mail by an author of `author_domain`, all questions answered within `deadline_s` seconds.

    `sealers`: domains whose ARC seals count. `border`: the mail system of ours that this mail came through, if any; it
    is the client then, so that SPF says nothing, and its word counts where we find no proof ourselves. `now` is aware;
    a signature that expired while the mail lay in our own spool had not expired when it came.
    """
    ask = Deadline(resolver, deadline_s)
    mail = SignedMail(octets)
    domain = canonical_domain(author_domain) or author_domain.lower()  # A-labels throughout: RFC 8616
    if border or envelope.source is Source.LMTP:  # the client is a relay of ours
        envelope = replace(envelope, client_ip=None)
    findings = _look(mail, envelope, domain, ask, min(now, envelope.received_at))
    arc = ArcChain(result=AuthResult.NONE)
    if sealers and not findings.spf_aligned and not findings.dkim_aligned:
        arc = check_arc(mail, sealers, ask)
    own = _judge(findings, arc, mail)
    said = read_authres(mail.trace(), border, domain)
    return own if said is None else _with_the_word(own, said, findings, ask)


def _with_the_word(own: AuthEvidence, said: AuthEvidence, found: _Findings, ask: Deadline) -> AuthEvidence:
    """Our own proof comes first. The border's word adds that the author's servers were its client, or stands alone.

    Where we refused a signature, the border may have taken the very thing that we refused: its word counts only where
    it states aligned SPF, and never for an order (`refused`). What the DNS did not answer is no refusal (F36).
    """
    handed_over = said.belief is Belief.BELIEVED and _states_aligned_spf(said, found, ask)
    direct = handed_over and not found.refused
    if own.belief is Belief.BELIEVED:
        return replace(own, direct=own.direct or direct)
    belief, lines = said.belief, said.evidence
    if belief is Belief.BELIEVED and not handed_over and set(found.refused) - {AuthResult.TEMPERROR}:
        belief, lines = own.belief, (*lines, "our own check refused a signature, and it states no aligned SPF")
    policy = said.dmarc_policy or own.dmarc_policy
    return replace(
        said,
        arc=own.arc,
        dmarc_policy=policy,
        belief=belief,
        direct=direct,
        refused=bool(found.refused),
        evidence=lines + own.evidence,
    )


def _states_aligned_spf(said: AuthEvidence, found: _Findings, ask: Deadline) -> bool:
    record = found.policy.record
    strict = record is not None and record.strict_spf
    passed = said.spf is AuthResult.PASS and said.spf_domain is not None
    return passed and found.policy.is_aligned(said.spf_domain or "", strict=strict, ask=ask) is True


def _look(mail: SignedMail, envelope: Envelope, domain: str, ask: Deadline, at: datetime) -> _Findings:
    """Ask what can decide first: a forger chooses the other domains, and slow servers there must not use up the time
    in which the author's own domain would have been heard."""
    policy = find_policy(domain, ask)
    strict_dkim, strict_spf = (policy.record.strict_dkim, policy.record.strict_spf) if policy.record else (False, False)
    candidates = find_signatures(mail)
    ours = [one for one in candidates if policy.may_align(one.domain)]
    near = ours[:MAX_SIGNATURES]
    far = [one for one in candidates if not policy.may_align(one.domain)][: MAX_SIGNATURES - len(near)]
    client = spf_domain(envelope)
    signatures = check_signatures(mail, near, ask, at)
    spf = check_spf(envelope, ask) if policy.may_align(client) else None
    passed = dict.fromkeys(one.domain for one in signatures if one.result is AuthResult.PASS)
    # what we do not even read may be a good signature to others
    unread = mail.counts[b"dkim-signature"] - sum(1 for one in candidates if one.domain) + len(ours) - len(near)
    refused = [one.result for one in signatures if one.result is not AuthResult.PASS]
    aligned = {one: policy.is_aligned(one, strict=strict_dkim, ask=ask) for one in passed}
    spf_aligned = spf is AuthResult.PASS and policy.is_aligned(client, strict=strict_spf, ask=ask)
    signatures += check_signatures(mail, far, ask, at)
    return _Findings(
        policy=policy,
        client_known=envelope.client_ip is not None,
        spf=check_spf(envelope, ask) if spf is None else spf,
        spf_domain=client,
        spf_aligned=spf_aligned is True,
        signatures=signatures,
        dkim_aligned=tuple(one for one, verdict in aligned.items() if verdict),
        alignment_open=None in (spf_aligned, *aligned.values()),
        unfit=mail.unfit,
        refused=(*refused, *((AuthResult.PERMERROR,) if unread or mail.unfit else ())),
    )


def _judge(found: _Findings, arc: ArcChain, mail: SignedMail) -> AuthEvidence:
    vouched = arc.result is AuthResult.PASS and _is_vouched_for(arc, found.policy.domain)
    dmarc = _dmarc(found)
    aligned = bool(found.dkim_aligned) or found.spf_aligned
    good = _good(found, arc if vouched else None)
    return AuthEvidence(
        spf=found.spf,
        spf_domain=found.spf_domain or None,
        dkim=_dkim_word(found),
        dkim_domains=tuple(dict.fromkeys(one.domain for one in found.signatures if one.result is AuthResult.PASS)),
        dmarc=dmarc,
        dmarc_policy=found.policy.policy,
        arc=arc.result,
        belief=_belief(aligned or vouched, dmarc, found.policy),
        direct=found.spf_aligned,
        signed_fields=tuple(sorted({name for names in good for name in names})),
        open_fields=mail.left_open(good, (*FIELDS_OF_WORDS, *FIELDS_OF_AIM)) if good else (),
        refused=bool(found.refused),
        evidence=tuple(_lines(found, arc, vouched, dmarc)),
    )


def _dmarc(found: _Findings) -> AuthResult:
    """RFC 9989 §5.3. A failure is one only where every identifier that could be aligned was really checked: without a
    client (IMAP, an archive, a border in front of us) the SPF half of the question stays open."""
    if found.policy.record is None:
        return AuthResult.TEMPERROR if found.policy.unanswered else AuthResult.NONE
    if found.dkim_aligned or found.spf_aligned:
        return AuthResult.PASS
    # A sub-domain is the forger's choice: one whose servers never answer must not undo the policy of its parent.
    owners = (found.policy.domain, found.policy.organization)
    unheard = [one.domain for one in found.signatures if one.result is AuthResult.TEMPERROR]
    if found.spf is AuthResult.TEMPERROR:
        unheard.append(found.spf_domain)
    if found.policy.unanswered or found.alignment_open or any(domain in owners for domain in unheard):
        return AuthResult.TEMPERROR
    return AuthResult.FAIL if found.client_known else AuthResult.NONE


def _belief(proved: bool, dmarc: AuthResult, policy: DomainPolicy) -> Belief:
    if proved:
        return Belief.BELIEVED
    return Belief.REFUTED if dmarc is AuthResult.FAIL and policy.enforced else Belief.UNPROVED


def _dkim_word(found: _Findings) -> AuthResult:
    """The best result of those signatures that could be aligned, else of all."""
    if found.dkim_aligned:
        return AuthResult.PASS
    near = [one.result for one in found.signatures if found.policy.may_align(one.domain)]
    results = near or [one.result for one in found.signatures]
    return min(results, key=_BEST_FIRST.index, default=AuthResult.NONE)


def _good(found: _Findings, arc: ArcChain | None) -> list[tuple[str, ...]]:
    """The names in h= of each signature that counts: several are good together, for each of them verified."""
    good = [
        one.signed for one in found.signatures if one.result is AuthResult.PASS and one.domain in found.dkim_aligned
    ]
    return good + ([arc.signed] if arc else [])


def _is_vouched_for(arc: ArcChain, domain: str) -> bool:
    """Whether the first sealer, who saw the mail before anybody changed it, states a DMARC pass for this domain."""
    claims = parse_authres(" ".join(arc.claims.split()))
    return claims is not None and claims.dmarc == (("pass", domain),)


def _lines(found: _Findings, arc: ArcChain, vouched: bool, dmarc: AuthResult) -> list[str]:
    """Only words of ours, and domains in A-label form: a person reads this next to the mail."""
    spf_end = ", aligned" if found.spf_aligned else ""
    lines = [f"spf={found.spf} for {found.spf_domain or 'no domain'}{spf_end}"]
    if not found.client_known:
        lines = ["spf=none, the client is not known"]
    for one in found.signatures:
        aligned = ", aligned" if one.result is AuthResult.PASS and one.domain in found.dkim_aligned else ""
        lines.append(f"dkim={one.result} for {one.domain or 'no domain'}{aligned}{_note(one.note)}")
    if found.unfit:
        lines.append(f"no signature was read: {found.unfit}")
    record = found.policy.record
    where = f"at {record.domain}{', testing' if record.testing else ''}" if record else "no record"
    lines.append(f"dmarc={dmarc} for {found.policy.domain}, p={found.policy.policy or '-'} ({where})")
    if arc.sealers or arc.result is not AuthResult.NONE:
        sealers = ", ".join(arc.sealers) or "nobody"
        lines.append(f"arc={arc.result} by {sealers}{', vouches' if vouched else ''}{_note(arc.note)}")
    return lines


def _note(note: str) -> str:
    return f" ({note})" if note else ""
