"""Mails that gave an order are remembered, so that nobody gives it again by sending them again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spent_proof",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("ledger", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_spent_proof"),
    )
    op.create_index("ix_spent_proof_at", "spent_proof", ["at"], unique=False)
