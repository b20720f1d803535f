"""Access: contracts, requests, one-use links, sessions, rate limits; seats have slots and can be lent."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

json = sa.JSON().with_variant(JSONB(), "postgresql")
moment = sa.DateTime(timezone=True)

HELD = "state IN ('active', 'resting')"
COUNTS = "state IN ('active', 'reserved')"
# The oldest active seat of a customer gets slot 1. An ended seat needs none.
NUMBERED = """
    UPDATE seat SET slot = (
        SELECT count(*) FROM seat AS earlier
        WHERE earlier.customer = seat.customer AND earlier.state = 'active' AND earlier.id <= seat.id
    ) WHERE state = 'active'
"""


def upgrade() -> None:
    # Never copied on SQLite, since other tables point to it: the default stays.
    op.add_column("customer", sa.Column("approves_access", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("held") as batch:
        batch.add_column(sa.Column("release_by", sa.String(), nullable=True))
        batch.add_column(sa.Column("release_customer", sa.Integer(), nullable=True))
    with op.batch_alter_table("held") as batch:
        batch.create_foreign_key("fk_held_release_customer", "customer", ["release_customer"], ["id"])
    op.create_index("ix_held_release_by", "held", ["release_by"], unique=False)
    _seats()
    _contracts()
    _requests()
    _portal()


def _seats() -> None:
    with op.batch_alter_table("seat") as batch:
        batch.drop_index("uq_seat_held")
        batch.add_column(sa.Column("slot", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("stands_in_for", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("starts_on", sa.Date(), nullable=True))
        batch.add_column(sa.Column("ends_on", sa.Date(), nullable=True))
        batch.add_column(sa.Column("flag", sa.String(), nullable=True))
    op.execute(NUMBERED)
    with op.batch_alter_table("seat") as batch:
        batch.create_foreign_key("fk_seat_stands_in_for", "seat", ["stands_in_for"], ["id"])
        batch.create_check_constraint("slot", "slot >= 1")
        batch.create_check_constraint("active", "state <> 'active' OR slot IS NOT NULL")
    for name, columns, where in (
        ("uq_seat_held", ["contact", "customer"], HELD),
        ("uq_seat_slot", ["customer", "slot"], COUNTS),
    ):
        op.create_index(
            name, "seat", columns, unique=True, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )
    op.create_index("ix_seat_stands_in_for", "seat", ["stands_in_for"], unique=False)
    op.create_index("ix_seat_state_until", "seat", ["state", "until"], unique=False)


def _contracts() -> None:
    op.create_table(
        "contract",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("customer", sa.Integer(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("edition", sa.String(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("first_line_partner", sa.Integer(), nullable=True),
        sa.Column("agreed_at", moment, nullable=True),
        sa.Column("agreed_by", sa.String(), nullable=True),
        sa.Column("created", moment, nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customer.id"], name="fk_contract_customer"),
        sa.ForeignKeyConstraint(["first_line_partner"], ["partner.id"], name="fk_contract_first_line_partner"),
        sa.PrimaryKeyConstraint("id", name="pk_contract"),
        sa.UniqueConstraint("number", name="uq_contract_number"),
    )
    op.create_index("ix_contract_customer", "contract", ["customer"], unique=False)


def _requests() -> None:
    op.create_table(
        "access_request",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("company", sa.String(), nullable=False),
        sa.Column("phone", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("in_place_of", sa.String(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=True),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("customer", sa.Integer(), nullable=True),
        sa.Column("seat", sa.Integer(), nullable=True),
        sa.Column("belief", sa.String(40), nullable=False),
        sa.Column("evidence", json, nullable=False),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.Column("due", moment, nullable=False),
        sa.Column("proved_at", moment, nullable=True),
        sa.Column("decided_at", moment, nullable=True),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("agreed_by", sa.String(), nullable=True),
        sa.Column("invited_at", moment, nullable=True),
        sa.Column("accepted_at", moment, nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customer.id"], name="fk_access_request_customer"),
        sa.ForeignKeyConstraint(["seat"], ["seat.id"], name="fk_access_request_seat"),
        sa.PrimaryKeyConstraint("id", name="pk_access_request"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_access_request_address_created", "access_request", ["address", "created"], unique=False)
    op.create_index("ix_access_request_state_due", "access_request", ["state", "due"], unique=False)
    op.create_index("ix_access_request_created", "access_request", ["created"], unique=False)
    op.create_index("ix_access_request_seat", "access_request", ["seat"], unique=False)


def _portal() -> None:
    op.create_table(
        "one_use_link",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(40), nullable=False),
        sa.Column("seed", sa.String(), nullable=False),
        sa.Column("request", sa.Integer(), nullable=True),
        sa.Column("contact", sa.Integer(), nullable=True),
        sa.Column("agent", sa.Integer(), nullable=True),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("nonce_hash", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.Column("expires", moment, nullable=False),
        sa.Column("used_at", moment, nullable=True),
        sa.Column("ended_at", moment, nullable=True),
        sa.ForeignKeyConstraint(["agent"], ["agent.id"], name="fk_one_use_link_agent"),
        sa.ForeignKeyConstraint(["contact"], ["contact.id"], name="fk_one_use_link_contact"),
        sa.ForeignKeyConstraint(["request"], ["access_request.id"], name="fk_one_use_link_request"),
        sa.PrimaryKeyConstraint("id", name="pk_one_use_link"),
    )
    for column in ("address", "agent", "contact", "request"):
        op.create_index(f"ix_one_use_link_{column}", "one_use_link", [column], unique=False)
    op.create_table(
        "web_session",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("contact", sa.Integer(), nullable=True),
        sa.Column("agent", sa.Integer(), nullable=True),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.Column("expires", moment, nullable=False),
        sa.Column("revoked_at", moment, nullable=True),
        sa.ForeignKeyConstraint(["agent"], ["agent.id"], name="fk_web_session_agent"),
        sa.ForeignKeyConstraint(["contact"], ["contact.id"], name="fk_web_session_contact"),
        sa.PrimaryKeyConstraint("id", name="pk_web_session"),
        sa.UniqueConstraint("token_hash", name="uq_web_session_token_hash"),
    )
    op.create_index("ix_web_session_agent", "web_session", ["agent"], unique=False)
    op.create_index("ix_web_session_contact", "web_session", ["contact"], unique=False)
    op.create_table(
        "rate_limit",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("window", moment, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", "window", name="pk_rate_limit"),
    )
