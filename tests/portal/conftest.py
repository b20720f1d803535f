"""A portal with the people of two customers, on both databases."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.portal.site import Site, running, settle


@pytest.fixture
def site(database: sa.Engine) -> Iterator[Site]:
    with running(database) as started:
        settle(started)
        yield started
