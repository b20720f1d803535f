"""Run by alembic for every command. The connection comes from models/db/engine.py, which also holds the transaction."""

from alembic import context

from models.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    compare_type=True,
    render_as_batch=True,  # SQLite alters a table by copying it
)
context.run_migrations()
