"""Whom an address stands for: contact first, then the domain, label by label (threat T08)."""

import pytest

from rules.requester import mapped_domains
from values.decision import DomainFact

REGISTERED = (
    DomainFact(domain="acme.test", customer=1, subdomains=False),
    DomainFact(domain="bolt.test", customer=2, subdomains=True),
    DomainFact(domain="north.bolt.test", customer=3, subdomains=True),
    DomainFact(domain="old.north.bolt.test", customer=4, subdomains=False),
)
T08_ADDRESSES = [
    ("su@acme.test", [1]),
    ("su@x.acme.test", []),
    ("su@evil-acme.test", []),
    ("su@acme.test.evil.test", []),
    ("su@cme.test", []),
    ("su@test", []),
    ("su@bolt.test", [2]),
    ("su@x.bolt.test", [2]),
    ("su@x.y.bolt.test", [2]),
    ("su@xbolt.test", []),
    ("su@bolt.test.test", []),
    ("su@north.bolt.test", [3]),
    ("su@x.north.bolt.test", [3]),
    ("su@xnorth.bolt.test", [2]),
    ("su@old.north.bolt.test", [4]),
    ("su@x.old.north.bolt.test", [3]),
    ("acme.test@evil.test", []),
    ("su@", []),
    ("acme.test", [1]),
    ("", []),
]


@pytest.mark.parametrize(("address", "customers"), T08_ADDRESSES)
def test_the_longest_registered_domain_counts(address: str, customers: list[int]) -> None:
    """Even where more domains were looked up than the address lies in."""
    assert [domain.customer for domain in mapped_domains(REGISTERED, address)] == customers
