"""What people type, checked: the domain of a company, an address, a time zone. Pure but for two lists read once.

Takes: text.  Gives: the same as it is kept and compared.  Fails: Refused, with what to write instead.
"""

from functools import cache
from importlib.resources import files
from zoneinfo import available_timezones

from publicsuffixlist import PublicSuffixList

from values.addresses import canonical_address, canonical_domain
from values.errors import Refused


def check_domain(domain: str) -> str:
    """The domain as A-labels. Raises Refused where it can't say which company a person works for."""
    name = canonical_domain(domain.strip().rstrip("."))
    suffixes, free = _shared_domains()
    if name is None:
        bare = domain.strip().rpartition("@")[2]
        if bare and suffixes.is_public(bare.lower()):
            raise Refused(f"{bare} is a public suffix. Write the company's own domain, such as acme.{bare}.")
        raise Refused(f"{domain!r} is no mail domain. Write it as it stands behind the @, such as acme.com.")
    if name in free:
        raise Refused(
            f"{name}: anybody can have an address there. Leave the domain out and add the people one by one: "
            f"postdesk contact add ADDRESS --customer NAME"
        )
    if suffixes.is_public(name):
        raise Refused(
            f"{name} is a public suffix: many companies share it. Write the company's own domain, such as acme.{name}."
        )
    return name


def check_address(address: str) -> str:
    """The address as it is compared. Raises Refused where it is none."""
    key = canonical_address(address)
    if key is None:
        raise Refused(f"{address!r} is no mail address. Write one, such as lucia@acme.com.")
    return key


def check_zone(zone: str) -> str:
    """The time zone. Raises Refused where there is none of this name."""
    if zone not in _zones():
        raise Refused(f"{zone!r} is no time zone. Write one such as Europe/Madrid.")
    return zone


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())  # looks at each file of the tz database: 10 ms


@cache
def _shared_domains() -> tuple[PublicSuffixList, frozenset[str]]:
    lines = files("models.people").joinpath("free_mail.txt").read_text("utf-8").splitlines()
    return PublicSuffixList(accept_unknown=False), frozenset(
        line for line in lines if line and not line.startswith("#")
    )
