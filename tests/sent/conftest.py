"""`pytest tests/sent --update` writes the golden mails anew; look at the difference before it is committed."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the golden mails of tests/sent anew")
