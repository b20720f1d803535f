"""What doctor says about the DNS, against a real DNS server on the loopback, and about the address of the portal."""

import base64
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from notify.signing import is_published, record_of
from postdesk.doctor import CHECKS, Finding, examine
from postdesk.settings import Settings
from postdesk.wiring import Desk
from tests.dns_server import DnsServer, Entry, Trouble

RSA = generate_private_key(public_exponent=65537, key_size=2048)
PEM = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
OTHER = generate_private_key(public_exponent=65537, key_size=2048)
OTHER_PEM = OTHER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

Records = dict[tuple[str, str], Entry]
GOOD: Records = {
    ("nordvik.test", "MX"): "10 mx1.nordvik.test",
    ("mx1.nordvik.test", "A"): "192.0.2.25",
    ("nordvik.test", "TXT"): "v=spf1 a:relay.nordvik.test -all",
    ("relay.nordvik.test", "A"): "192.0.2.99",
    ("d._domainkey.nordvik.test", "TXT"): record_of(PEM),
    ("_dmarc.nordvik.test", "TXT"): "v=DMARC1; p=quarantine",
}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "dkim.pem"
    path.write_bytes(PEM)
    return path


def look(
    key: Path | None, *, otherwise: Trouble | None = None, records: Records | None = None, **more: Any
) -> list[Any]:
    """The findings of a desk whose name server publishes these records (None = takes one of GOOD away)."""
    zone = {name: entry for name, entry in (GOOD | (records or {})).items() if entry is not None}
    with DnsServer(zone, otherwise) as server:
        values: dict[str, Any] = {
            "vendor_domain": "nordvik.test",
            "hostname": "mx1.nordvik.test",
            "smarthost": "smtp://relay.nordvik.test:25",
            "nameservers": f"127.0.0.1:{server.port}",
        }
        values |= {"dkim_selector": "d", "dkim_key": key} if key else {}
        return list(examine(Desk(Settings(**values | more), Path("postdesk.toml")), ["dns"]))


def test_a_desk_as_it_should_be(key: Path) -> None:
    found = look(key)
    assert [(one.check, one.verdict, one.repair) for one in found] == [
        (f"dns-{name}", "ok", "") for name in ("mx", "spf", "dkim", "dmarc")
    ]
    mx, spf, dkim, dmarc = (one.seen for one in found)
    assert mx == "nordvik.test → mx1.nordvik.test (this desk)"
    assert spf == "v=spf1 a:relay.nordvik.test -all: allows relay.nordvik.test (192.0.2.99)"
    assert dkim == "d._domainkey.nordvik.test is the key that signs"
    assert dmarc == "_dmarc.nordvik.test: p=quarantine for nordvik.test; aligned: return path, signature"


MX, TXT = ("nordvik.test", "MX"), ("nordvik.test", "TXT")
DKIM, DMARC = ("d._domainkey.nordvik.test", "TXT"), ("_dmarc.nordvik.test", "TXT")
DESERT = ("mx1.nordvik.test", "A")
PUBLISH_MX = "publish MX: nordvik.test. MX 10 mx1.nordvik.test."
PUBLISH_SPF = 'publish TXT: nordvik.test. TXT "v=spf1 a:relay.nordvik.test -all"'


@pytest.mark.parametrize(
    ("name", "entry", "check", "verdict", "seen", "repair"),
    [
        (MX, None, "dns-mx", "fail", "no mail reaches the desk", PUBLISH_MX),
        (MX, "0 .", "dns-mx", "fail", "takes no mail", PUBLISH_MX),
        (MX, "10 mx.elsewhere.test", "dns-mx", "fail", "mx.elsewhere.test has no address", "A or AAAA"),
        (MX, "10 relay.nordvik.test", "dns-mx", "ok", "it must hand the desk's addresses on, tags included", ""),
        (MX, ["10 mx1.nordvik.test", "20 mx2.nordvik.test"], "dns-mx", "warn", "mx2.nordvik.test has no address", ""),
        (DESERT, None, "dns-mx", "fail", "mx1.nordvik.test has no address", "mx1.nordvik.test. A ADDRESS"),
        (TXT, "hello", "dns-spf", "fail", "no SPF record", PUBLISH_SPF),
        (TXT, ["v=spf1 -all", "v=spf1 mx -all"], "dns-spf", "fail", "2 SPF records", PUBLISH_SPF),
        (TXT, "v=spf1 include:a.test include:a.test -all", "dns-spf", "fail", "can't be evaluated", "look-ups"),
        (TXT, "v=spf1 +all", "dns-spf", "warn", "anybody may send", "end in -all"),
        (TXT, "v=spf1 a:relay.nordvik.test", "dns-spf", "warn", "anybody may send", "end in -all"),
        (TXT, "v=spf1 ip4:192.0.2.7 ~all", "dns-spf", "warn", "does not allow relay", "add a:relay.nordvik.test"),
        (TXT, Trouble.SERVFAIL, "dns-spf", "warn", "no answer", "ask again"),
        (DKIM, None, "dns-dkim", "fail", "is missing", f'TXT "{record_of(PEM)}"'),
        (DKIM, record_of(OTHER_PEM), "dns-dkim", "fail", "is not the public half", f'TXT "{record_of(PEM)}"'),
        (DKIM, "v=DKIM1; p=", "dns-dkim", "fail", "is not the public half", "publish TXT"),
        (DKIM, "v=DKIM1; p=%%%", "dns-dkim", "fail", "is not the public half", "publish TXT"),
        (DKIM, [record_of(PEM), "v=DKIM1; p="], "dns-dkim", "fail", "2 records", "publish TXT"),
        (DMARC, None, "dns-dmarc", "warn", "no DMARC record", '_dmarc.nordvik.test. TXT "v=DMARC1; p=quarantine'),
        (DMARC, Trouble.SERVFAIL, "dns-dmarc", "warn", "no answer", "ask again"),
    ],
)
def test_each_fault_has_its_record(
    key: Path, name: tuple[str, str], entry: Any, check: str, verdict: str, seen: str, repair: str
) -> None:
    found: dict[str, Finding] = {one.check: one for one in look(key, records={name: entry})}
    one = found[check]
    assert (one.verdict, seen in one.seen, repair in one.repair) == (verdict, True, True), one
    assert bool(one.repair) == (verdict != "ok")


def test_from_and_return_path_of_two_organizations_are_told() -> None:
    records: Records = {("bounces.test", "TXT"): "v=spf1 a:relay.nordvik.test -all"}
    records |= {("bounces.test", "MX"): "10 mx1.nordvik.test"}
    *_, dkim, dmarc = look(None, records=records, return_address="bounce@bounces.test")
    assert dkim.seen.startswith("skipped: outgoing mail is not signed here")
    assert (dmarc.verdict, "is aligned with it" in dmarc.seen) == ("warn", True), dmarc
    *_, dmarc = look(None, records=records | {("_dmarc.nordvik.test", "TXT"): "v=DMARC1; p=none; aspf=s"})
    assert dmarc.verdict == "ok"


def test_a_smarthost_on_this_machine_is_no_witness() -> None:
    _, spf, *_ = look(None, smarthost="smtp://127.0.0.1:25")
    assert (spf.verdict, "can't be seen from here" in spf.seen) == ("ok", True)


def test_a_desk_without_dns_skips_and_asks_nothing() -> None:
    found = look(None, authentication=False, otherwise=Trouble.SILENCE)
    assert [(one.check, one.verdict, one.seen[:8]) for one in found] == [("dns", "ok", "skipped:")]


def test_a_dns_that_is_away_is_one_finding_soon() -> None:
    began = time.monotonic()
    nobody: Records = dict.fromkeys(GOOD, Trouble.SILENCE)
    (one,) = look(None, otherwise=Trouble.SILENCE, records=nobody)
    assert (one.verdict, one.seen) == ("fail", "no name server answers")
    assert time.monotonic() - began < 8


def test_a_key_may_be_published_in_both_forms_and_with_spaces() -> None:
    bare = base64.b64encode(RSA.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)).decode()
    assert is_published(f"v=DKIM1; p={bare[:60]} {bare[60:]}; t=s", PEM)
    assert not is_published(f"v=DKIM1; k=ed25519; p={bare}", PEM)
    assert not is_published("nonsense", PEM)


@pytest.mark.parametrize(
    ("values", "verdict", "seen"),
    [
        ({}, "warn", "this machine alone"),
        ({"smarthost": "maildir:out"}, "ok", "no mail leaves this machine"),
        ({"http_listen": ""}, "ok", "mails have no links"),
        ({"http_listen": "0.0.0.0:8800"}, "fail", "http://0.0.0.0:8800"),
        ({"http_listen": "[::]:8800"}, "fail", "no address for people"),
        ({"http_listen": "10.1.2.3:80", "smarthost": "maildir:out"}, "fail", "no address for people"),
        ({"http_listen": "0.0.0.0:8800", "portal_url": "https://desk.nordvik.test"}, "ok", "https://desk.nordvik.test"),
        ({"http_listen": "0.0.0.0:8800", "portal_url": "http://localhost:8800"}, "warn", "this machine alone"),
    ],
)
def test_where_links_in_mails_lead(values: dict[str, Any], verdict: str, seen: str) -> None:
    desk = Desk(Settings(vendor_domain="nordvik.test", **values), Path("postdesk.toml"))
    (one,) = examine(desk, ["portal"])
    assert (one.verdict, seen in one.seen) == (verdict, True), one
    assert ("portal_url = " in one.repair) == (verdict != "ok")
    assert "portal" in CHECKS
