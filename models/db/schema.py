"""The schema: is it the one of this version, and how it becomes that. The steps are in migrations/.

Takes: an engine.  Gives: a schema at the newest migration.  Fails: as the database does; the old schema stays then.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK = 0x506F7374  # key of the advisory lock that lets one process migrate ("Post")
_VERSION = sa.table("alembic_version", sa.column("version_num"))


def newest() -> str:
    """The revision of the newest migration: the number that its file begins with."""
    steps = (file.name for file in files("migrations").joinpath("versions").iterdir() if file.name.endswith(".py"))
    return max(name.partition("_")[0] for name in steps)


def is_current(engine: sa.Engine) -> bool:
    """Is the schema at the newest migration that this program knows? Every command asks, so alembic is not imported."""
    with engine.execution_options(reading=True).connect() as connection:
        if not sa.inspect(connection).has_table(_VERSION.name):
            return False
        return connection.execute(sa.select(_VERSION.c.version_num)).scalars().all() == [newest()]


def migrate(engine: sa.Engine) -> None:
    """Bring the schema to the newest migration: all of it in one transaction, so it is the old one or the new one.

    Processes that migrate at the same time wait for each other.
    """
    from alembic import command

    with configured() as config, engine.connect() as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def configured() -> "Iterator[Config]":
    """What alembic wants to know."""
    from alembic.config import Config

    with as_file(files("migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        yield config
