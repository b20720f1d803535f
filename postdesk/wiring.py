"""The one place that makes the working parts of a desk from its settings.

Takes: `Settings`.  Gives: `Desk`, whose parts are made at their first use, so that a command pays for what it needs.
Fails: SettingsError or PostdeskError, with what to write instead.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from postdesk.settings import Settings, SettingsError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from ingest.pipeline import Authenticate, Pipeline
    from ingest.spool import Spool
    from models.blobs import BlobStore
    from rules.policy import Policy
    from rules.tokens import Keys


class Desk:
    """One desk: its settings and the parts made from them."""

    def __init__(self, settings: Settings, config: Path) -> None:
        self.settings = settings
        self.config = config

    @cached_property
    def engine(self) -> "sa.Engine":
        from models.db import make_engine

        return make_engine(self.settings.database)

    @cached_property
    def spool(self) -> "Spool":
        from ingest.spool import Spool

        return Spool(self.settings.spool)

    @cached_property
    def blobs(self) -> "BlobStore":
        from models.blobs import open_blobs

        return open_blobs(self.settings.blobs)
