"""Sender authentication against a real DNS server on the loopback (threats T01, T11 to T13, faults F36)."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ingest.auth.dkim import _is_sane_rsa
from ingest.auth.resolver import Answer, Deadline, DnsResolver, DnsStatus, _address_and_port
from ingest.auth.results import Border
from ingest.auth.sender import authenticate
from rules.belief import POWERS, proof_of
from tests.dns_server import DnsServer, Entry, Late, Trouble
from tests.ingest.octets import Octets
from tests.ingest.signing import MAIL, SIGNED, ed25519_key, rsa_key, seal, sign
from values.mail import AuthEvidence, Envelope
from values.vocabulary import AuthResult, Belief, Source

NOW = datetime.now(UTC)
ENVELOPE = Envelope(
    reverse_path="su@acme.test",
    forward_paths=("support@hd.test",),
    source=Source.SMTP,
    received_at=NOW,
    client_ip="127.0.0.9",  # no server that acme.test names
    helo="mail.acme.test",
)
FROM_ACME = replace(ENVELOPE, client_ip="127.0.0.5")
FROM_LIST = replace(ENVELOPE, reverse_path="bounces@list.test", client_ip="127.0.0.7")

Records = dict[tuple[str, str], Entry]


def zone(**more: Entry) -> Records:
    """acme.test rejects, list.test publishes nothing about DMARC; `more` by name with __ for dots, TXT."""
    records: Records = {
        ("acme.test", "TXT"): "v=spf1 ip4:127.0.0.5 -all",
        ("_dmarc.acme.test", "TXT"): "v=DMARC1; p=reject; sp=quarantine; np=reject",
        ("s._domainkey.acme.test", "TXT"): rsa_key().record,
        ("small._domainkey.acme.test", "TXT"): rsa_key(1024).record,
        ("ed._domainkey.acme.test", "TXT"): ed25519_key().record,
        ("mail.acme.test", "A"): "127.0.0.5",
        ("list.test", "TXT"): "v=spf1 ip4:127.0.0.7 -all",
        ("l._domainkey.list.test", "TXT"): rsa_key(number=1).record,
        ("arc._domainkey.list.test", "TXT"): rsa_key().record,
        ("arc._domainkey.other.test", "TXT"): rsa_key().record,
    }
    return records | {(name.replace("__", "."), "TXT"): entry for name, entry in more.items()}


def check(
    raw: bytes,
    records: Records | None = None,
    *,
    envelope: Envelope = ENVELOPE,
    author: str = "acme.test",
    sealers: tuple[str, ...] = (),
    border: Border | None = None,
    deadline_s: float = 5.0,
    otherwise: Trouble | None = None,
) -> AuthEvidence:
    with DnsServer(zone() if records is None else records, otherwise) as server:
        resolver = DnsResolver(["127.0.0.1"], port=server.port)
        return authenticate(
            Octets(raw), envelope, author, resolver, sealers=sealers, border=border, deadline_s=deadline_s, now=NOW
        )


def sign_as_list(raw: bytes) -> bytes:
    return sign(raw, "list.test", "l", rsa_key(number=1))


# --- the five cases that libraries get wrong


def test_signature_of_the_author_only() -> None:
    found = check(sign(MAIL), envelope=FROM_LIST)
    assert (found.belief, found.dkim, found.dmarc) == (Belief.BELIEVED, AuthResult.PASS, AuthResult.PASS)
    assert found.spf is AuthResult.PASS  # for list.test: shown, but it proves nothing about acme.test
    assert (found.dkim_domains, found.dmarc_policy) == (("acme.test",), "reject")


def test_signature_of_a_list_stands_first() -> None:
    found = check(sign_as_list(sign(MAIL)))
    assert (found.belief, found.dkim) == (Belief.BELIEVED, AuthResult.PASS)
    assert sorted(found.dkim_domains) == ["acme.test", "list.test"]


def test_author_is_found_behind_many_signatures() -> None:
    raw = sign(MAIL)
    for _ in range(9):
        raw = sign_as_list(raw)
    assert check(raw).belief is Belief.BELIEVED


def test_unsigned_spoof_is_refuted() -> None:
    found = check(MAIL)
    assert (found.belief, found.dkim, found.spf) == (Belief.REFUTED, AuthResult.NONE, AuthResult.FAIL)
    assert found.dmarc is AuthResult.FAIL


def test_body_length_tag_is_not_counted() -> None:
    """T12: with l=, anything may be appended."""
    found = check(sign(MAIL, length=True) + b"<b>and send me all keys</b>\r\n")
    assert (found.belief, found.dkim) == (Belief.REFUTED, AuthResult.POLICY)


def test_spf_alone_is_enough_where_it_is_aligned() -> None:
    found = check(MAIL, envelope=FROM_ACME)
    assert (found.belief, found.spf, found.spf_domain) == (Belief.BELIEVED, AuthResult.PASS, "acme.test")


# --- T12, RFC 6376 §5.4, §8.15: what the signature must cover


@pytest.mark.parametrize(
    "extra", [b"Subject: Pay\r\n", b"From: x@evil.test\r\n", b"Date: Tue, 03 Mar 2026 10:00:00 +0000\r\n"]
)
def test_second_field_that_is_not_signed(extra: bytes) -> None:
    """dkimpy takes the lowest field, a reader may show the highest."""
    found = check(extra + sign(MAIL))
    assert (found.belief, found.dkim) == (Belief.REFUTED, AuthResult.POLICY)


def test_second_subject_below_is_no_better() -> None:
    raw = sign(MAIL).replace(b"Message-ID", b"Subject: Pay\r\nMessage-ID")
    assert check(raw).belief is Belief.REFUTED


@pytest.mark.parametrize("field", [b"Content-Type: text/html\r\n", b"To: x@evil.test\r\n"])
def test_second_single_field_beyond_the_signed_ones(field: bytes) -> None:
    mail = b"Content-Type: text/plain\r\n" + MAIL
    assert check(sign(mail)).belief is Belief.BELIEVED
    assert check(field + sign(mail)).dkim is AuthResult.POLICY


@pytest.mark.parametrize("left_out", [b"subject", b"date"])
def test_field_that_is_shown_must_be_signed(left_out: bytes) -> None:
    found = check(sign(MAIL, include_headers=[name for name in SIGNED if name != left_out]))
    assert (found.belief, found.dkim) == (Belief.REFUTED, AuthResult.POLICY)


def test_from_must_be_signed() -> None:
    raw = sign(MAIL).replace(b"h=from : ", b"h=")
    assert b"h=to" in raw and check(raw).dkim is AuthResult.PERMERROR


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"please help", b"please pay"), (b"Subject: Licence", b"Subject: Invoice"), (b"su@acme", b"xu@acme")],
)
def test_changed_mail_fails(old: bytes, new: bytes) -> None:
    found = check(sign(MAIL).replace(old, new))
    assert (found.belief, found.dkim) == (Belief.REFUTED, AuthResult.FAIL)


@pytest.mark.parametrize("at", ["expired", "future", "nonsense"])
def test_times_of_a_signature(at: str) -> None:
    tags = {
        "expired": f"x={int((NOW - timedelta(days=2)).timestamp())}",
        "future": f"t={int((NOW + timedelta(days=2)).timestamp())}",
        "nonsense": "x=tomorrow",
    }[at].encode()
    raw = sign(MAIL)
    begin = raw.index(b"t=", raw.index(b"s=s"))
    found = check(raw[:begin] + tags + raw[raw.index(b";", begin) :])
    assert found.dkim is AuthResult.PERMERROR and found.belief is Belief.REFUTED


@pytest.mark.parametrize("header", [b"X-A: b\rFrom: x@evil.test\r\n", b"no field at all\r\n", b"X-A: \x00\r\n"])
def test_header_that_readers_take_differently_is_not_verified(header: bytes) -> None:
    found = check(header + sign(MAIL))
    assert found.dkim is AuthResult.NONE and any("no signature was read" in line for line in found.evidence)


@pytest.mark.parametrize("canonical", [(b"simple", b"simple"), (b"relaxed", b"simple"), (b"simple", b"relaxed")])
def test_canonicalizations(canonical: tuple[bytes, bytes]) -> None:
    raw = sign(MAIL, canonicalize=canonical)
    assert check(raw + b"\r\n\r\n").belief is Belief.BELIEVED
    looser = raw.replace(b"please help", b"please   help")
    assert (check(looser).dkim is AuthResult.PASS) == (canonical[1] == b"relaxed")


def test_other_keys() -> None:
    assert check(sign(MAIL, selector="ed", key=ed25519_key())).belief is Belief.BELIEVED
    assert check(sign(MAIL, selector="small", key=rsa_key(1024))).belief is Belief.BELIEVED
    assert check(sign(MAIL, selector="gone")).dkim is AuthResult.PERMERROR
    assert check(sign(MAIL, selector="ed")).dkim is AuthResult.PERMERROR  # an RSA signature, another kind of key
    assert check(sign(MAIL, key=replace(rsa_key(), algorithm=b"rsa-sha1"))).dkim is AuthResult.PERMERROR  # RFC 8301


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=DKIM1; p=", AuthResult.PERMERROR),  # revoked
        ("v=DKIM1; t=s:y; " + rsa_key().record.partition(";")[2], AuthResult.POLICY),  # testing: as if unsigned
        ("v=DKIM1; s=tlsrpt; " + rsa_key().record.partition(";")[2], AuthResult.PERMERROR),
        ("v=DKIM1; h=sha1; " + rsa_key().record.partition(";")[2], AuthResult.PERMERROR),
        ("v=DKIM1; p=AAAA" + "A" * 4000, AuthResult.PERMERROR),
        ("something else", AuthResult.PERMERROR),
    ],
)
def test_key_records_that_do_not_count(record: str, result: AuthResult) -> None:
    found = check(sign(MAIL), zone(s___domainkey__acme__test=record))
    assert (found.dkim, found.belief) == (result, Belief.REFUTED)


def test_key_among_other_texts() -> None:
    assert check(sign(MAIL), zone(s___domainkey__acme__test=["hello", rsa_key().record])).dkim is AuthResult.PASS


@pytest.mark.parametrize(
    ("bits", "exponent", "sane"),
    [(1024, 65537, True), (4096, 3, True), (1023, 65537, False), (4097, 65537, False), (2048, 1 << 2047, False)],
)
def test_sizes_of_keys(bits: int, exponent: int, sane: bool) -> None:
    assert _is_sane_rsa({"publicExponent": exponent, "modulus": 0}, bits) is sane


# --- T13, RFC 9989 §4.4: alignment


def test_spf_of_a_shared_sender_proves_nothing() -> None:
    """T13: the mail service may send for itself; that says nothing of acme.test."""
    found = check(MAIL, envelope=FROM_LIST)
    assert (found.belief, found.spf, found.spf_domain) == (Belief.REFUTED, AuthResult.PASS, "list.test")


def test_foreign_signature_proves_nothing() -> None:
    found = check(sign_as_list(MAIL))
    assert (found.belief, found.dkim, found.dkim_domains) == (Belief.REFUTED, AuthResult.PASS, ("list.test",))


def test_null_reverse_path_is_judged_by_helo() -> None:
    records = zone(mail__acme__test="v=spf1 a -all")
    found = check(MAIL, records, envelope=replace(FROM_ACME, reverse_path=""))
    assert (found.belief, found.spf_domain) == (Belief.BELIEVED, "mail.acme.test")


def test_no_client_no_spf() -> None:
    """IMAP and archives name no client: the signature has to do."""
    imap = replace(ENVELOPE, source=Source.IMAP, client_ip=None)
    assert check(sign(MAIL), envelope=imap).belief is Belief.BELIEVED
    found = check(MAIL, envelope=imap)  # SPF might have passed: nothing is proved, and nothing refuted
    assert (found.spf, found.dmarc, found.belief) == (AuthResult.NONE, AuthResult.NONE, Belief.UNPROVED)


@pytest.mark.parametrize(
    ("author", "signer", "dmarc", "believed"),
    [
        ("acme.test", "acme.test", "v=DMARC1; p=reject", True),
        ("acme.test", "mail.acme.test", "v=DMARC1; p=reject", True),  # relaxed: one organization
        ("mail.acme.test", "acme.test", "v=DMARC1; p=reject", True),
        ("a.acme.test", "b.acme.test", "v=DMARC1; p=reject", True),
        ("acme.test", "mail.acme.test", "v=DMARC1; p=reject; adkim=s", False),
        ("acme.test", "mail.acme.test", "v=DMARC1; p=reject; aspf=s", True),
        ("acme.test", "evil-acme.test", "v=DMARC1; p=reject", False),
        ("acme.test", "acme.test.evil.test", "v=DMARC1; p=reject", False),
        ("acme.test", "test", "v=DMARC1; p=reject", False),  # a parent is no relative
        ("acme.test", "acme.test", "", True),  # no record: the same domain still signed it
        ("acme.test", "mail.acme.test", "", False),  # and nothing says that these two belong together
    ],
)
def test_alignment(author: str, signer: str, dmarc: str, believed: bool) -> None:
    records: Records = {(f"s._domainkey.{signer}", "TXT"): rsa_key().record}
    if dmarc:
        records["_dmarc.acme.test", "TXT"] = dmarc
    found = check(sign(MAIL.replace(b"su@acme.test", f"su@{author}".encode()), signer), records, author=author)
    assert found.dkim_domains == ((signer,) if signer != "test" else ())
    assert (found.belief is Belief.BELIEVED) is believed


@pytest.mark.parametrize(("dmarc", "believed"), [("v=DMARC1; p=reject; aspf=s", False), ("v=DMARC1; p=reject", True)])
def test_strict_spf(dmarc: str, believed: bool) -> None:
    records = zone(_dmarc__acme__test=dmarc, mail__acme__test="v=spf1 ip4:127.0.0.5 -all")
    found = check(MAIL, records, envelope=replace(FROM_ACME, reverse_path="su@mail.acme.test"))
    assert found.spf is AuthResult.PASS and (found.belief is Belief.BELIEVED) is believed


def test_neighbours_below_a_public_suffix_are_strangers() -> None:
    """Even where the suffix publishes a record and forgets psd=y."""
    records: Records = {
        ("_dmarc.github.io", "TXT"): "v=DMARC1; p=reject",
        ("s._domainkey.evil.github.io", "TXT"): rsa_key().record,
    }
    raw = sign(MAIL.replace(b"acme.test", b"acme.github.io"), "evil.github.io")
    assert check(raw, records, author="acme.github.io").belief is Belief.REFUTED


def test_international_domain() -> None:
    """RFC 8616: U-labels of d= and the reverse-path are compared as A-labels."""
    records: Records = {
        ("xn--bcher-kva.test", "TXT"): "v=spf1 ip4:127.0.0.5 -all",
        ("_dmarc.xn--bcher-kva.test", "TXT"): "v=DMARC1; p=reject",
        ("s._domainkey.xn--bcher-kva.test", "TXT"): rsa_key().record,
    }
    raw = MAIL.replace(b"su@acme.test", b"su@xn--bcher-kva.test")
    for author in ("xn--bcher-kva.test", "Bücher.test"):
        assert check(sign(raw, "xn--bcher-kva.test"), records, author=author).belief is Belief.BELIEVED
        path = replace(FROM_ACME, reverse_path="su@bücher.test")
        assert check(raw, records, author=author, envelope=path).belief is Belief.BELIEVED
        assert check(raw, records, author=author).belief is Belief.REFUTED


# --- policies, RFC 9989 §4.7, §4.10


@pytest.mark.parametrize(
    ("dmarc", "belief", "policy"),
    [
        ("v=DMARC1; p=reject", Belief.REFUTED, "reject"),
        ("v=DMARC1; p=quarantine", Belief.REFUTED, "quarantine"),
        ("v=DMARC1;p=reject;rua=mailto:a@acme.test", Belief.REFUTED, "reject"),
        (" v = DMARC1 ; P = REJECT", Belief.REFUTED, "reject"),
        ("v=DMARC1; p=none", Belief.UNPROVED, "none"),
        ("v=DMARC1; p=reject; t=y", Belief.UNPROVED, "reject"),  # the owner is trying it out
        ("v=DMARC1; rua=mailto:a@acme.test", Belief.UNPROVED, "none"),
        ("v=DMARC1; p=nonsense", Belief.UNPROVED, "none"),
        ("v=dmarc1; p=reject", Belief.UNPROVED, None),
        ("p=reject; v=DMARC1", Belief.UNPROVED, None),
        (["v=DMARC1; p=reject", "v=DMARC1; p=none"], Belief.UNPROVED, None),  # two records are none
        (["v=DMARC1; p=reject", "v=spf1 -all"], Belief.REFUTED, "reject"),
        ([], Belief.UNPROVED, None),
    ],
)
def test_policy_decides_what_a_failure_means(dmarc: Entry, belief: Belief, policy: str | None) -> None:
    found = check(MAIL, zone(_dmarc__acme__test=dmarc))
    assert (found.belief, found.dmarc_policy) == (belief, policy)


@pytest.mark.parametrize(
    ("author", "policy"),
    [("acme.test", "reject"), ("mail.acme.test", "none"), ("no-such.acme.test", "quarantine"), ("other.test", None)],
)
def test_sub_domains_have_policies_of_their_own(author: str, policy: str | None) -> None:
    records = zone(_dmarc__acme__test="v=DMARC1; p=reject; sp=none; np=quarantine")
    assert check(MAIL, records, author=author).dmarc_policy == policy


REJECT = "v=DMARC1; p=reject"


@pytest.mark.parametrize(
    ("records", "author", "signer", "believed"),
    [
        # psd=n: the organization ends here
        ({"acme.test": REJECT, "x.acme.test": f"{REJECT}; psd=n"}, "a.x.acme.test", "x.acme.test", True),
        ({"acme.test": REJECT, "x.acme.test": f"{REJECT}; psd=n"}, "a.x.acme.test", "acme.test", False),
        ({"acme.test": REJECT, "x.acme.test": f"{REJECT}; psd=n"}, "acme.test", "a.x.acme.test", False),
        # psd=y: the organization is one label below
        ({"gov.test": f"{REJECT}; psd=y"}, "mail.tax.gov.test", "tax.gov.test", True),
        ({"gov.test": f"{REJECT}; psd=y"}, "tax.gov.test", "police.gov.test", False),
        # else the highest record
        ({"acme.test": REJECT, "x.acme.test": REJECT}, "x.acme.test", "y.acme.test", True),
    ],
)
def test_tree_walk_finds_the_organization(records: dict[str, str], author: str, signer: str, believed: bool) -> None:
    published: Records = {(f"_dmarc.{name}", "TXT"): text for name, text in records.items()}
    published[f"s._domainkey.{signer}", "TXT"] = rsa_key().record
    found = check(sign(MAIL.replace(b"acme.test", author.encode()), signer), published, author=author)
    assert found.dkim is AuthResult.PASS and found.dmarc_policy == "reject"
    assert (found.belief is Belief.BELIEVED) is believed


def test_tree_walk_asks_at_most_eight_times() -> None:
    labels = ".".join("abcdefghijkl")
    with DnsServer({("_dmarc.k.acme.test", "TXT"): "v=DMARC1; p=reject"}) as server:
        resolver = DnsResolver(["127.0.0.1"], port=server.port)
        found = authenticate(Octets(MAIL), replace(ENVELOPE, client_ip=None), f"{labels}.acme.test", resolver, now=NOW)
    walk = [name for name, kind in server.asked if name.startswith("_dmarc.")]
    assert walk[:2] == [f"_dmarc.{labels}.acme.test", "_dmarc.h.i.j.k.l.acme.test"]
    assert walk[-1] == "_dmarc.test" and len(walk) == 8
    assert found.dmarc is AuthResult.NONE


# --- SPF limits, RFC 7208 §4.6.4


def test_spf_asks_not_for_ever() -> None:
    chain = {f"n{i}.acme.test": f"v=spf1 include:n{i + 1}.acme.test -all" for i in range(20)}
    records = zone() | {(name, "TXT"): text for name, text in chain.items()}
    records["acme.test", "TXT"] = "v=spf1 include:n0.acme.test -all"
    assert check(MAIL, records).spf is AuthResult.PERMERROR


def test_spf_counts_void_lookups() -> None:
    records = zone(acme__test="v=spf1 a:v1.acme.test a:v2.acme.test a:v3.acme.test ip4:127.0.0.9 -all")
    assert check(MAIL, records).spf is AuthResult.PERMERROR


def test_spf_reads_mx() -> None:
    records = zone(acme__test="v=spf1 mx -all") | {("acme.test", "MX"): "10 mail.acme.test"}
    assert check(MAIL, records, envelope=FROM_ACME).spf is AuthResult.PASS
    assert check(MAIL, records).spf is AuthResult.FAIL


@pytest.mark.parametrize("name", ["mail.acme.test", Trouble.SERVFAIL])
def test_T13_ptr_in_an_spf_record_matches_nobody(name: Entry) -> None:
    """RFC 7208 §5.5: who owns the client's address writes its names, or has servers that never answer."""
    records = zone(acme__test="v=spf1 ptr -all") | {("9.0.0.127.in-addr.arpa", "PTR"): name}
    records["mail.acme.test", "A"] = "127.0.0.9"
    found = check(MAIL, records)
    assert (found.belief, found.spf) == (Belief.REFUTED, AuthResult.FAIL)


# --- F36: the DNS is away


@pytest.mark.parametrize("trouble", [Trouble.SERVFAIL, Trouble.SILENCE])
def test_dns_away_leaves_the_author_unproved_in_time(trouble: Trouble) -> None:
    started = time.monotonic()
    found = check(sign(sign_as_list(MAIL)), {}, otherwise=trouble, deadline_s=0.6)
    assert time.monotonic() - started < 2
    assert (found.belief, found.dmarc) == (Belief.UNPROVED, AuthResult.TEMPERROR)
    assert (found.spf, found.dkim) == (AuthResult.TEMPERROR, AuthResult.TEMPERROR)


@pytest.mark.long
def test_default_deadline_is_five_seconds() -> None:
    started = time.monotonic()
    assert check(sign(sign_as_list(MAIL)), {}, otherwise=Trouble.SILENCE).belief is Belief.UNPROVED
    assert time.monotonic() - started < 6


@pytest.mark.parametrize(
    ("raw", "records"),
    [
        (sign(MAIL), zone(s___domainkey__acme__test=Trouble.SERVFAIL)),  # perhaps it was a good signature
        (MAIL, zone(_dmarc__acme__test=Trouble.SERVFAIL)),  # perhaps there is no policy
        (MAIL, zone(acme__test=Trouble.SERVFAIL)),  # perhaps the client may send
    ],
)
def test_part_of_the_dns_away_is_no_refusal(raw: bytes, records: Records) -> None:
    found = check(raw, records)
    assert (found.belief, found.dmarc) == (Belief.UNPROVED, AuthResult.TEMPERROR)


def test_signature_proves_even_where_the_policy_is_not_heard() -> None:
    assert check(sign(MAIL), zone(_dmarc__acme__test=Trouble.SERVFAIL)).belief is Belief.BELIEVED


def test_slow_servers_of_a_forger_do_not_save_him() -> None:
    """Else a forger could turn *held* into *opened* by adding signatures of domains that never answer."""
    raw = MAIL
    for _ in range(6):
        raw = sign(raw, "list.test", "slow", rsa_key(number=1))
    records = zone(slow___domainkey__list__test=Trouble.SILENCE)
    found = check(sign(raw, selector="gone"), records, deadline_s=0.5)
    assert (found.belief, found.dmarc) == (Belief.REFUTED, AuthResult.FAIL)


@pytest.mark.parametrize(
    ("raw", "envelope"),
    [
        (MAIL, replace(ENVELOPE, reverse_path="x@lame.acme.test")),
        (sign(MAIL, "lame.acme.test"), FROM_LIST),
    ],
    ids=["MAIL FROM", "d="],
)
def test_T13_a_lame_sub_domain_does_not_undo_the_policy(raw: bytes, envelope: Envelope) -> None:
    """The forger chooses the sub-domain: any that is delegated to servers which never answer."""
    records = zone(lame__acme__test=Trouble.SERVFAIL, s___domainkey__lame__acme__test=Trouble.SERVFAIL)
    found = check(raw, records, envelope=envelope)
    assert (found.belief, found.dmarc) == (Belief.REFUTED, AuthResult.FAIL)


@pytest.mark.parametrize("selector", ["a" * 70, "a..b", "ü" * 60, "a\\", "\\999"])
def test_impossible_names_of_a_forger_do_not_save_him(selector: str) -> None:
    assert check(sign(MAIL).replace(b"s=s;", f"s={selector};".encode())).belief is Belief.REFUTED


def test_question_left_open_does_not_widen_an_organization() -> None:
    """The record that was not heard could have said psd=n."""
    records: Records = {
        ("_dmarc.acme.test", "TXT"): REJECT,
        ("_dmarc.x.acme.test", "TXT"): Trouble.SERVFAIL,
        ("s._domainkey.acme.test", "TXT"): rsa_key().record,
    }
    raw = sign(MAIL.replace(b"su@acme", b"su@a.x.acme"))
    assert check(raw, records, author="a.x.acme.test").belief is Belief.UNPROVED


def test_alignment_that_was_not_answered_is_no_refusal() -> None:
    records = zone(s___domainkey__mail__acme__test=rsa_key().record, _dmarc__mail__acme__test=Trouble.SERVFAIL)
    found = check(sign(MAIL, "mail.acme.test"), records)
    assert (found.belief, found.dmarc, found.dkim) == (Belief.UNPROVED, AuthResult.TEMPERROR, AuthResult.PASS)


def test_questions_are_counted() -> None:
    with DnsServer({}) as server:
        ask = Deadline(DnsResolver(["127.0.0.1"], port=server.port), 5, questions=3)
        answers = [ask.ask(f"{name}.test", "TXT").status for name in "abcde"]
    assert answers == [DnsStatus.NO_NAME] * 3 + [DnsStatus.FAILED] * 2
    assert len(server.asked) == 3


def test_slow_mail_service_does_not_cost_the_belief() -> None:
    """A signature of the organization is weighed before the servers of the reverse-path are waited for."""
    records = zone(slow__test=Trouble.SILENCE, s___domainkey__mail__acme__test=rsa_key().record)
    envelope = replace(ENVELOPE, reverse_path="bounces@slow.test")
    assert check(sign(MAIL, "mail.acme.test"), records, envelope=envelope, deadline_s=0.5).belief is Belief.BELIEVED


def test_late_answer_counts() -> None:
    found = check(sign(MAIL), zone(s___domainkey__acme__test=Late(0.2, (rsa_key().record,))))
    assert found.belief is Belief.BELIEVED


def test_answers_are_remembered_and_failures_a_little() -> None:
    clock = [0.0]
    with DnsServer({("a.test", "TXT"): "x", ("b.test", "TXT"): Trouble.SERVFAIL}) as server:
        resolver = DnsResolver(["127.0.0.1"], port=server.port, failed_for_s=20, clock=lambda: clock[0])
        for _ in range(3):
            assert resolver.ask("a.test", "TXT", 5).texts == (b"x",)
            assert resolver.ask("b.test", "TXT", 5).status is DnsStatus.FAILED
            assert resolver.ask("c.test", "TXT", 5).status is DnsStatus.NO_NAME
        assert sorted(server.asked) == [("a.test", "TXT"), ("b.test", "TXT"), ("c.test", "TXT")]
        server.zone["b.test", "TXT"] = "y"
        clock[0] = 21
        assert resolver.ask("b.test", "TXT", 5).texts == (b"y",)


def test_failure_for_our_own_haste_is_not_remembered() -> None:
    with DnsServer({("a.test", "TXT"): Late(0.3, ("x",))}) as server:
        resolver = DnsResolver(["127.0.0.1"], port=server.port)
        assert resolver.ask("a.test", "TXT", 0.05).status is DnsStatus.FAILED
        assert resolver.ask("a.test", "TXT", 5).texts == (b"x",)


def test_large_answers_come_by_tcp_and_huge_texts_are_left_out() -> None:
    with DnsServer({("a.test", "TXT"): ["x" * 3000, "y" * 5000]}) as server:
        found = DnsResolver(["127.0.0.1"], port=server.port).ask("a.test.", "TXT", 5)
    assert found == Answer(status=DnsStatus.FOUND, texts=(b"x" * 3000,))


# --- T11, RFC 8617: forwarders and lists


CLAIMS = "dmarc=pass header.from=acme.test"


def forwarded(claims: str = CLAIMS, sealer: str = "list.test", raw: bytes = MAIL) -> bytes:
    """What a list makes of it: a footer breaks the author's signature, and the list seals what it had found."""
    return seal(sign(raw) + b"-- \r\nthe list\r\n", sealer, claims)


DENIED = "dmarc=fail header.from=acme.test"
LIST, OTHER = ("list.test",), ("other.test",)
ON_TOP = f"arc=pass; {CLAIMS}"


@pytest.mark.parametrize(
    ("raw", "sealers", "belief", "arc"),
    [
        (forwarded(), LIST, Belief.BELIEVED, AuthResult.PASS),
        (forwarded(), (), Belief.REFUTED, AuthResult.NONE),
        (forwarded(), OTHER, Belief.REFUTED, AuthResult.NONE),
        (forwarded() + b"more\r\n", LIST, Belief.REFUTED, AuthResult.FAIL),
        (forwarded().replace(b"Subject: Licence", b"Subject: Invoice"), LIST, Belief.REFUTED, AuthResult.FAIL),
        (b"Subject: Pay\r\n" + forwarded(), LIST, Belief.REFUTED, AuthResult.FAIL),
        (forwarded(DENIED), LIST, Belief.REFUTED, AuthResult.PASS),
        (forwarded("dmarc=pass header.from=evil.test"), LIST, Belief.REFUTED, AuthResult.PASS),
        (forwarded("dkim=pass header.d=acme.test"), LIST, Belief.REFUTED, AuthResult.PASS),
        (forwarded(DENIED).replace(b"dmarc=fail", b"dmarc=pass"), LIST, Belief.REFUTED, AuthResult.FAIL),
        # the listed one sealed on top of an invention of another, and the other way round
        (seal(forwarded(sealer="other.test"), "list.test", ON_TOP), LIST, Belief.REFUTED, AuthResult.NONE),
        (seal(forwarded(), "other.test", ON_TOP), LIST, Belief.REFUTED, AuthResult.NONE),
        (seal(forwarded(), "other.test", ON_TOP), LIST + OTHER, Belief.BELIEVED, AuthResult.PASS),
    ],
)
def test_arc(raw: bytes, sealers: tuple[str, ...], belief: Belief, arc: AuthResult) -> None:
    found = check(raw, sealers=sealers)
    assert (found.belief, found.arc) == (belief, arc)


def test_arc_without_its_parts_is_no_chain() -> None:
    lines = forwarded().split(b"\r\n")
    for field in (b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"):
        begin = next(i for i, line in enumerate(lines) if line.startswith(field))
        end = next(i for i in range(begin + 1, len(lines)) if not lines[i].startswith((b" ", b"\t")))
        assert check(b"\r\n".join(lines[:begin] + lines[end:]), sealers=("list.test",)).belief is Belief.REFUTED


# --- a border of ours in front


PASSED = b"Authentication-Results: mx.hd.test; spf=pass smtp.mailfrom=acme.test; dmarc=pass header.from=acme.test\r\n"
FAILED = PASSED.replace(b"dmarc=pass", b"dmarc=fail (p=reject)")
HOP = b"Received: from mail.acme.test by mx.hd.test; Mon, 02 Mar 2026 10:00:00 +0000\r\n"
BORDER = Border(authserv_id="mx.hd.test")


@pytest.mark.parametrize(
    ("raw", "border", "belief"),
    [
        (PASSED + HOP + MAIL, BORDER, Belief.BELIEVED),
        (FAILED + HOP + MAIL, BORDER, Belief.REFUTED),
        (HOP + MAIL, BORDER, Belief.UNPROVED),  # the border says nothing, and we do not know the client
        (HOP + PASSED + MAIL, BORDER, Belief.UNPROVED),  # T02
        (FAILED + HOP + sign(MAIL), BORDER, Belief.BELIEVED),  # our own proof is better than any word
        (PASSED + HOP + MAIL, None, Belief.REFUTED),
    ],
)
def test_word_of_a_border(raw: bytes, border: Border | None, belief: Belief) -> None:
    assert check(raw, border=border).belief is belief


TWO_IDS = b"Message-ID: <again@acme.test>\r\n" + sign(
    MAIL, include_headers=[b"from", b"subject", b"date", b"message-id"]
)
BY_DKIM = PASSED.replace(b"spf=pass smtp.mailfrom=acme.test", b"spf=pass smtp.mailfrom=x@evil.test")
UNREAD = sign(MAIL).replace(b" b=", b" b=" + b"\r\n " * 3000, 1)  # the border may read it; we do not


@pytest.mark.parametrize("raw", [TWO_IDS, UNREAD, sign(MAIL, length=True), sign(MAIL).replace(b"please", b"pleas3")])
def test_T12_the_word_of_a_border_does_not_heal_a_signature_that_we_refused(raw: bytes) -> None:
    assert check(BY_DKIM + HOP + raw, border=BORDER).belief is Belief.UNPROVED
    found = check(PASSED + HOP + raw, border=BORDER)  # the author's own servers were its client
    assert (found.belief, found.direct, found.refused) == (Belief.BELIEVED, False, True)
    assert not POWERS[proof_of(found)].order


def test_T12_what_the_border_says_of_its_client_counts_as_if_we_had_seen_it() -> None:
    assert check(PASSED + HOP + MAIL, border=BORDER).direct
    assert check(PASSED + HOP + sign(MAIL), border=BORDER).direct
    assert not check(BY_DKIM + HOP + sign(MAIL), border=BORDER).direct
    twice = PASSED + BY_DKIM + HOP + sign(MAIL)
    assert not check(twice, border=BORDER).direct, "it contradicts itself"
    assert check(BY_DKIM + HOP + MAIL, border=BORDER).belief is Belief.BELIEVED, "its word alone, as ever"
    silent = zone(s___domainkey__acme__test=Trouble.SERVFAIL)
    found = check(BY_DKIM + HOP + sign(MAIL), silent, border=BORDER)
    assert (found.belief, found.refused) == (Belief.BELIEVED, True), "no answer is no refusal, and no order either"


def test_border_is_not_taken_for_the_client() -> None:
    """SPF of the author's domain would be asked about our own relay."""
    assert check(HOP + MAIL, border=BORDER, envelope=FROM_ACME).spf is AuthResult.NONE
    assert check(MAIL, envelope=replace(FROM_ACME, source=Source.LMTP)).spf is AuthResult.NONE


# --- what a stranger may throw at it


BAD_SIGNATURE = b"DKIM-Signature: v=1; a=rsa-sha256; d=acme.test; s=s; h=from:subject:date; bh=aaaa; b=aaaa\r\n"
# right but for 7 kB of folding in b=, on which dkimpy spends half a second each
STRETCHED = sign(MAIL).removesuffix(MAIL).replace(b" b=", b" b=" + b"\r\n " * 2300)
BARE_ARC_SET = (
    b"ARC-Seal: i=1; d=list.test\r\nARC-Message-Signature:i=1;h=from:subject:date\r\nARC-Authentication-Results:i=1\r\n"
)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"\r\n\r\nbody",
        b" folded first\r\nFrom: su@acme.test\r\n\r\n",
        b"DKIM-Signature: \r\n" + MAIL,
        b"DKIM-Signature: v=1; a; b\r\n" + MAIL,
        b"DKIM-Signature: v=1; v=1\r\n" + MAIL,
        BAD_SIGNATURE + MAIL,
        BAD_SIGNATURE.replace(b"bh=aaaa", b"bh=!") + MAIL,
        BAD_SIGNATURE.replace(b"sha256", b"sha1") + MAIL,
        BAD_SIGNATURE.replace(b"d=", b"c=x/y/z; d=") + MAIL,
        BAD_SIGNATURE.replace(b"h=from", b"h=" + b"from:" * 500 + b"from") + MAIL,
        b"DKIM-Signature: " + b" \r\n" * 3000 + b" v=1\r\n" + MAIL,
        STRETCHED * 8 + MAIL,
        b"ARC-Seal: i=99999999999; cv=none; d=list.test\r\n" + MAIL,
        BARE_ARC_SET + MAIL,
        b"X: y\r\n" * 3000 + MAIL,
        b"X: " + b"y" * 600_000 + b"\r\n" + MAIL,
    ],
)  # fmt: skip
def test_nonsense_is_refuted_quickly(raw: bytes) -> None:
    started = time.process_time()
    assert check(raw, sealers=("list.test",)).belief is Belief.REFUTED
    assert time.process_time() - started < 1


def test_evidence_speaks_to_a_person() -> None:
    found = check(sign_as_list(sign(MAIL)))
    assert found.evidence == (
        "spf=fail for acme.test",
        "dkim=pass for acme.test, aligned",
        "dkim=pass for list.test",
        "dmarc=pass for acme.test, p=reject (at acme.test)",
    )


def test_nothing_global_is_changed() -> None:
    """Two resolvers at once must not see each other: pyspf's and dkimpy's module globals stay as they were."""
    import dkim.dnsplug
    import dns.resolver
    import spf

    before = (spf.DNSLookup, dkim.dnsplug.get_txt, dns.resolver.default_resolver)
    check(sign(MAIL))
    assert before == (spf.DNSLookup, dkim.dnsplug.get_txt, dns.resolver.default_resolver)


# --- what an order needs beside belief (T12, rules/authn.py)


def test_T12_the_signed_fields_are_those_of_aligned_signatures_that_passed() -> None:
    assert check(sign(MAIL)).signed_fields == ("date", "from", "message-id", "subject", "to")
    bare = sign(MAIL, include_headers=[b"from", b"subject", b"date"])
    assert check(bare).signed_fields == ("date", "from", "subject")
    assert check(sign_as_list(bare)).signed_fields == ("date", "from", "subject"), "a foreign signature covers nothing"
    assert check(sign(MAIL).replace(b"please", b"pleas3")).signed_fields == ()


def test_T12_two_signatures_cover_together() -> None:
    one = sign(MAIL, include_headers=[b"from", b"subject", b"date", b"to"])
    both = sign(one, selector="ed", key=ed25519_key(), include_headers=[b"from", b"subject", b"date", b"message-id"])
    assert check(both).signed_fields == ("date", "from", "message-id", "subject", "to")


def test_T12_only_the_authors_own_servers_hand_over_directly() -> None:
    assert check(MAIL, envelope=FROM_ACME).direct
    assert not check(sign(MAIL)).direct, "whoever has a signed mail can send it on"
    assert not check(sign(MAIL), envelope=FROM_LIST).direct


def test_T12_what_stands_there_and_is_not_signed_is_open() -> None:
    html = MAIL.replace(b"Message-ID", b"Content-Type: text/html\r\nReferences: <a@x.test>\r\nMessage-ID")
    names = [b"from", b"to", b"subject", b"date", b"message-id"]
    assert check(sign(html, include_headers=names)).open_fields == ("content-type", "references")
    assert check(sign(html, include_headers=[*names, b"content-type", b"references"])).open_fields == ()
    over = sign(MAIL, include_headers=[*names, b"content-type"])  # signed as absent
    assert check(b"Content-Type: text/html\r\n" + over).belief is Belief.REFUTED
    assert check(b"In-Reply-To: <a@x.test>\r\n" + over).open_fields == ("in-reply-to",)
    assert check(html, envelope=FROM_ACME).open_fields == (), "no signature, nothing that one leaves open"


def test_T12_a_seal_covers_what_it_signs() -> None:
    sealed = seal(MAIL, "list.test", "dmarc=pass header.from=acme.test")
    found = check(sealed, envelope=FROM_LIST, sealers=("list.test",))
    assert (found.belief, found.signed_fields) == (
        Belief.BELIEVED,
        ("date", "from", "message-id", "subject", "to"),
    )


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("127.0.0.1", ("127.0.0.1", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("::1", ("::1", 53)),
        ("fd00::1:5353", ("fd00::1:5353", 53)),
        ("[::1]", ("::1", 53)),
        ("[::1]:5353", ("::1", 5353)),
    ],
)
def test_a_name_server_may_have_a_port(written: str, asked: tuple[str, int]) -> None:
    assert _address_and_port(written, 53) == asked
