"""portal/session.py: what a browser is told to keep (RFC 6265bis §4.1.3, threat T50)."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.portal.site import Site, running, settle
from values.vocabulary import LinkPurpose

DESK = "desk.nordvik.test"


@pytest.fixture
def secure(database: sa.Engine) -> Iterator[Site]:
    """A portal that people reach over https, seen from behind its proxy."""
    with running(database, url=f"https://{DESK}") as site:
        settle(site)
        yield site


def test_rfc6265bis_cookies(secure: Site) -> None:
    browser = secure.browser(Host=DESK)
    asked = browser.post("/", {"address": "ana@nordvik.test"})
    entered = browser.post(secure.link("ana@nordvik.test", LinkPurpose.SIGN_IN))
    assert (asked.status, entered.status) == (303, 303)
    cookies = asked.cookies + entered.cookies
    assert {line.partition("=")[0] for line in cookies} >= {"__Host-postdesk", "__Host-postdesk-asked"}
    for line in cookies:
        name, *attributes = (part.strip().lower() for part in line.split(";"))
        assert name.startswith("__host-")
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= set(attributes)
        assert not any(part.startswith("domain") for part in attributes)
    assert browser.get("/people").status in (200, 303)
