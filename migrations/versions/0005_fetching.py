"""Mailboxes that mail is fetched from: the lease of each, and how far it was read."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "fetched_mailbox",
        sa.Column("mailbox", sa.String(), nullable=False),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.Column("looked_at", moment, nullable=True),
        sa.Column("faults", sa.Integer(), nullable=False),
        sa.Column("fault", sa.String(), nullable=False),
        sa.Column("fault_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("mailbox", name="pk_fetched_mailbox"),
    )
    op.create_table(
        "fetch_cursor",
        sa.Column("mailbox", sa.String(), nullable=False),
        sa.Column("uidvalidity", sa.BigInteger(), nullable=False),
        sa.Column("last_uid", sa.BigInteger(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.PrimaryKeyConstraint("mailbox", "uidvalidity", name="pk_fetch_cursor"),
    )
