"""What every page works with: made once by postdesk/wiring.py, reached as `request.app.state.parts`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlmodel import Session
from starlette.requests import Request

from models.blobs.store import BlobStore
from models.db.engine import reading, retrying, transaction
from rules.policy import Policy
from rules.tokens import Keys

RACE_PATIENCE = 8.0  # seconds in which a lost race is run again, before the person is asked to
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The portal's engine, blobs, rules, keys and clock, and where people reach it."""

    engine: sa.Engine
    policy: Policy
    keys: Keys
    now: Callable[[], datetime]
    url: str  # without a slash at its end; the only source of links, never the Host header (threat T34)
    blobs: BlobStore
    templates: Path | None = None  # the vendor's own, looked at first
    secure: bool = field(init=False)  # over https
    prefix: str = field(init=False)  # path of the URL, "" or "/desk"

    def __post_init__(self) -> None:
        object.__setattr__(self, "secure", self.url.startswith("https://"))
        object.__setattr__(self, "prefix", urlsplit(self.url).path.rstrip("/"))

    @property
    def origin(self) -> str:
        """Scheme, host and port, as browsers write them in Origin."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def read(self, work: Callable[[Session], T]) -> T:
        """What `work` finds in one snapshot; it can write nothing."""
        with reading(self.engine) as session:
            return work(session)

    def write(self, work: Callable[[Session], T]) -> T:
        """What `work` gives, in one transaction, run again after a lost race."""

        def once() -> T:
            with transaction(self.engine, snapshot=True) as session:
                return work(session)

        return retrying(once, patience=RACE_PATIENCE)


def parts_of(request: Request) -> Parts:
    return cast(Parts, request.app.state.parts)
