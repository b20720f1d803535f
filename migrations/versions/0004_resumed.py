"""When an agent resumed a paused thread: the breaker does not trip again over what went before."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ticket", sa.Column("resumed_at", sa.DateTime(timezone=True), nullable=True))
