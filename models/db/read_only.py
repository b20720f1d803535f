"""A PostgreSQL server that takes no writes now: a standby before it is promoted, or one that was set to read only.

Takes: an engine.  Gives: nothing; from then on a write that such a server refuses is an outage (`is_outage` in
models/db/engine.py), and no connection to it stays in the pool, so that the next try follows the address.  Fails:
never."""

from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import ExceptionContext


def outlast_standby(engine: sa.Engine) -> None:
    """Listen to `engine` for a server in recovery (fault F16)."""

    @sa.event.listens_for(engine, "checkout")
    def forget_mode(connection: Any, _record: object, _proxy: object) -> None:
        # After a transaction that only reads, SQLAlchemy leaves False here. psycopg then begins with READ WRITE, which
        # a standby refuses as a feature that it has not (0A000): nobody could tell that from a fault of ours.
        connection.read_only = None

    @sa.event.listens_for(engine, "handle_error")
    def leave(context: ExceptionContext) -> None:
        if not isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction):  # 25006
            return
        # A write through `reading` is a fault of ours, and stays one.
        ours = context.connection is not None and context.connection.get_execution_options().get("reading", False)
        context.is_disconnect = not ours
