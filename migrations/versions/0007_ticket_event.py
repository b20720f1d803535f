"""What happened to a ticket is kept event by event; of older tickets, what can be derived from them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# A ticket's first article opened it. A close is known by its time alone: nobody kept who closed it.
DERIVED = """
INSERT INTO ticket_event (ticket, at, kind, who, door, article, was, now)
SELECT article.ticket, article.at, CASE WHEN first.id = article.id THEN 'opened' ELSE 'article' END,
    article.author, CASE WHEN article.kind = 'inbound' AND article.ledger IS NOT NULL THEN 'mail' END, article.id,
    NULL, NULL
FROM article JOIN (SELECT ticket, min(id) AS id FROM article GROUP BY ticket) AS first ON first.ticket = article.ticket
ORDER BY article.id
"""
CLOSED = """
INSERT INTO ticket_event (ticket, at, kind, who, door, article, was, now)
SELECT id, closed_at, 'status', 'desk', NULL, NULL, NULL, 'closed' FROM ticket
WHERE status = 'closed' AND closed_at IS NOT NULL ORDER BY id
"""


def upgrade() -> None:
    op.create_table(
        "ticket_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ticket", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("door", sa.String(40), nullable=True),
        sa.Column("article", sa.Integer(), nullable=True),
        sa.Column("was", sa.String(), nullable=True),
        sa.Column("now", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_ticket_event"),
        sa.ForeignKeyConstraint(["ticket"], ["ticket.id"], name="fk_ticket_event_ticket_ticket"),
        sa.ForeignKeyConstraint(["article"], ["article.id"], name="fk_ticket_event_article_article"),
    )
    op.create_index("ix_ticket_event_ticket", "ticket_event", ["ticket", "id"], unique=False)
    op.execute(DERIVED)
    op.execute(CLOSED)
