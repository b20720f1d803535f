"""Which notices an agent wants, in place of yes or no; an agent without a zone of their own follows the desk's."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("agent", sa.Column("notices", sa.String(40), nullable=False, server_default="all"))
    op.execute("UPDATE agent SET notices = 'none' WHERE NOT notify")
    op.execute("UPDATE agent SET zone = ''")  # no command could set one: each row has what the desk had at the time
    op.drop_column("agent", "notify")
