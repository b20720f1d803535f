"""A request for access by mail keeps the applicant's own words for the agent who decides."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("access_request", sa.Column("said", sa.String(), nullable=False, server_default=""))
