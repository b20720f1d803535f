"""The client that a mail counts against where its author is only claimed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ledger", sa.Column("claimed_from", sa.String(), nullable=False, server_default=""))
