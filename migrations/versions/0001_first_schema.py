"""The first schema: customers, tickets, the ledger, the outbox, held mail, the audit trail."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FIRST_TICKET = 1001

json = sa.JSON().with_variant(JSONB(), "postgresql")
moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_tables()
    if op.get_bind().dialect.name == "postgresql":
        _finish_on_postgresql()
    else:
        _finish_on_sqlite()


def _finish_on_postgresql() -> None:
    op.execute(f"ALTER SEQUENCE ticket_id_seq RESTART WITH {FIRST_TICKET}")
    op.execute(
        "CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()"
    )


def _finish_on_sqlite() -> None:
    op.execute(f"INSERT INTO sqlite_sequence (name, seq) VALUES ('ticket', {FIRST_TICKET - 1})")
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        )


def _create_tables() -> None:
    op.create_table(
        "agent",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("notify", sa.Boolean(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_agent"),
        sa.UniqueConstraint("address", name="uq_agent_address"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("detail", json, nullable=True),
        sa.Column("previous", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sa.UniqueConstraint("previous", name="uq_audit_previous"),
    )
    op.create_table(
        "desk_value",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", json, nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_desk_value"),
    )
    op.create_table(
        "job_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job_run"),
        sa.UniqueConstraint("job", "period", "recipient", name="uq_job_run_job_period_recipient"),
    )
    op.create_table(
        "partner",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_partner"),
        sa.UniqueConstraint("name", name="uq_partner_name"),
    )
    op.create_table(
        "recipient_health",
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("hard_bounces", sa.Integer(), nullable=False),
        sa.Column("last_bounce", moment, nullable=False),
        sa.Column("last_status", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("address", name="pk_recipient_health"),
    )
    op.create_table(
        "contact",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("zone", sa.String(), nullable=True),
        sa.Column("partner", sa.Integer(), nullable=True),
        sa.Column("created", moment, nullable=False),
        sa.ForeignKeyConstraint(["partner"], ["partner.id"], name="fk_contact_partner"),
        sa.PrimaryKeyConstraint("id", name="pk_contact"),
    )
    op.create_index("ix_contact_partner", "contact", ["partner"], unique=False)
    op.create_table(
        "customer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("colleagues", sa.String(40), nullable=False),
        sa.Column("needs_belief", sa.Boolean(), nullable=False),
        sa.Column("first_line_partner", sa.Integer(), nullable=True),
        sa.Column("account_manager", sa.Integer(), nullable=True),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.ForeignKeyConstraint(["account_manager"], ["agent.id"], name="fk_customer_account_manager"),
        sa.ForeignKeyConstraint(["first_line_partner"], ["partner.id"], name="fk_customer_first_line_partner"),
        sa.PrimaryKeyConstraint("id", name="pk_customer"),
        sa.UniqueConstraint("name", name="uq_customer_name"),
    )
    op.create_table(
        "contact_address",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("contact", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("main", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["contact"], ["contact.id"], name="fk_contact_address_contact"),
        sa.PrimaryKeyConstraint("id", name="pk_contact_address"),
        sa.UniqueConstraint("address", name="uq_contact_address_address"),
    )
    op.create_index("ix_contact_address_contact", "contact_address", ["contact"], unique=False)
    op.create_table(
        "contact_customer",
        sa.Column("contact", sa.Integer(), nullable=False),
        sa.Column("customer", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["contact"], ["contact.id"], name="fk_contact_customer_contact"),
        sa.ForeignKeyConstraint(["customer"], ["customer.id"], name="fk_contact_customer_customer"),
        sa.PrimaryKeyConstraint("contact", "customer", name="pk_contact_customer"),
    )
    op.create_index("ix_contact_customer_customer", "contact_customer", ["customer"], unique=False)
    op.create_table(
        "customer_domain",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("customer", sa.Integer(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("skeleton", sa.String(), nullable=False),
        sa.Column("subdomains", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customer.id"], name="fk_customer_domain_customer"),
        sa.PrimaryKeyConstraint("id", name="pk_customer_domain"),
        sa.UniqueConstraint("domain", name="uq_customer_domain_domain"),
    )
    op.create_index("ix_customer_domain_customer", "customer_domain", ["customer"], unique=False)
    op.create_index("ix_customer_domain_skeleton", "customer_domain", ["skeleton"], unique=False)
    op.create_table(
        "partner_customer",
        sa.Column("partner", sa.Integer(), nullable=False),
        sa.Column("customer", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customer.id"], name="fk_partner_customer_customer"),
        sa.ForeignKeyConstraint(["partner"], ["partner.id"], name="fk_partner_customer_partner"),
        sa.PrimaryKeyConstraint("partner", "customer", name="pk_partner_customer"),
    )
    op.create_index("ix_partner_customer_customer", "partner_customer", ["customer"], unique=False)
    op.create_table(
        "seat",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("customer", sa.Integer(), nullable=False),
        sa.Column("contact", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("starts", moment, nullable=False),
        sa.Column("until", moment, nullable=True),
        sa.ForeignKeyConstraint(["contact"], ["contact.id"], name="fk_seat_contact"),
        sa.ForeignKeyConstraint(["customer"], ["customer.id"], name="fk_seat_customer"),
        sa.PrimaryKeyConstraint("id", name="pk_seat"),
    )
    op.create_index("ix_seat_contact", "seat", ["contact"], unique=False)
    op.create_index("ix_seat_customer", "seat", ["customer"], unique=False)
    op.create_index(
        "uq_seat_held",
        "seat",
        ["contact", "customer"],
        unique=True,
        sqlite_where=sa.text("state <> 'ended'"),
        postgresql_where=sa.text("state <> 'ended'"),
    )
    op.create_table(
        "ticket",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("priority", sa.String(40), nullable=False),
        sa.Column("customer", sa.Integer(), nullable=True),
        sa.Column("contact", sa.Integer(), nullable=True),
        sa.Column("requester", sa.String(), nullable=False),
        sa.Column("requester_name", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("product", sa.String(), nullable=True),
        sa.Column("erp", sa.String(), nullable=True),
        sa.Column("erp_version", sa.String(), nullable=True),
        sa.Column("product_version", sa.String(), nullable=True),
        sa.Column("marked", sa.Boolean(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("pause_story", sa.String(), nullable=True),
        sa.Column("follow_up_of", sa.Integer(), nullable=True),
        sa.Column("merged_into", sa.Integer(), nullable=True),
        sa.Column("assignee", sa.Integer(), nullable=True),
        sa.Column("created", moment, nullable=False),
        sa.Column("updated", moment, nullable=False),
        sa.Column("closed_at", moment, nullable=True),
        sa.ForeignKeyConstraint(["assignee"], ["agent.id"], name="fk_ticket_assignee"),
        sa.ForeignKeyConstraint(["contact"], ["contact.id"], name="fk_ticket_contact"),
        sa.ForeignKeyConstraint(["customer"], ["customer.id"], name="fk_ticket_customer"),
        sa.ForeignKeyConstraint(["follow_up_of"], ["ticket.id"], name="fk_ticket_follow_up_of"),
        sa.ForeignKeyConstraint(["merged_into"], ["ticket.id"], name="fk_ticket_merged_into"),
        sa.PrimaryKeyConstraint("id", name="pk_ticket"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ticket_assignee", "ticket", ["assignee"], unique=False)
    op.create_index("ix_ticket_contact", "ticket", ["contact"], unique=False)
    op.create_index("ix_ticket_customer_updated", "ticket", ["customer", "updated"], unique=False)
    op.create_index("ix_ticket_status_updated", "ticket", ["status", "updated"], unique=False)
    op.create_table(
        "article",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ticket", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("author_name", sa.String(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("full_text", sa.String(), nullable=False),
        sa.Column("html", sa.String(), nullable=True),
        sa.Column("message_id", sa.String(), nullable=True),
        sa.Column("ledger", sa.String(), nullable=True),
        sa.Column("marked", sa.Boolean(), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("proposed_cc", json, nullable=True),
        sa.ForeignKeyConstraint(["ticket"], ["ticket.id"], name="fk_article_ticket"),
        sa.PrimaryKeyConstraint("id", name="pk_article"),
    )
    op.create_index("ix_article_ticket", "article", ["ticket"], unique=False)
    op.create_table(
        "participant",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ticket", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(40), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["ticket"], ["ticket.id"], name="fk_participant_ticket"),
        sa.PrimaryKeyConstraint("id", name="pk_participant"),
        sa.UniqueConstraint("ticket", "address", name="uq_participant_ticket_address"),
    )
    op.create_index("ix_participant_address", "participant", ["address"], unique=False)
    op.create_table(
        "thread_anchor",
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("scope", sa.Integer(), nullable=False),
        sa.Column("ticket", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["ticket"], ["ticket.id"], name="fk_thread_anchor_ticket"),
        sa.PrimaryKeyConstraint("message_id", "scope", name="pk_thread_anchor"),
    )
    op.create_index("ix_thread_anchor_ticket", "thread_anchor", ["ticket"], unique=False)
    op.create_table(
        "attachment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("article", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("inline", sa.Boolean(), nullable=False),
        sa.Column("content_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["article"], ["article.id"], name="fk_attachment_article"),
        sa.PrimaryKeyConstraint("id", name="pk_attachment"),
    )
    op.create_index("ix_attachment_article", "attachment", ["article"], unique=False)
    op.create_index("ix_attachment_sha256", "attachment", ["sha256"], unique=False)
    op.create_table(
        "ledger",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("received", moment, nullable=False),
        sa.Column("recorded", moment, nullable=False),
        sa.Column("source", sa.String(40), nullable=False),
        sa.Column("reverse_path", sa.String(), nullable=False),
        sa.Column("forward_paths", json, nullable=False),
        sa.Column("client_ip", sa.String(), nullable=True),
        sa.Column("helo", sa.String(), nullable=True),
        sa.Column("tls", sa.Boolean(), nullable=False),
        sa.Column("author", sa.String(), nullable=True),
        sa.Column("author_name", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("content_key", sa.String(), nullable=False),
        sa.Column("first_key", sa.String(), nullable=True),
        sa.Column("copy_of", sa.String(), nullable=True),
        sa.Column("words_key", sa.String(), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("matched_by", sa.String(40), nullable=True),
        sa.Column("ticket", sa.Integer(), nullable=True),
        sa.Column("article", sa.Integer(), nullable=True),
        sa.Column("auth", json, nullable=True),
        sa.Column("defects", json, nullable=False),
        sa.Column("trace", json, nullable=False),
        sa.ForeignKeyConstraint(["article"], ["article.id"], name="fk_ledger_article"),
        sa.ForeignKeyConstraint(["ticket"], ["ticket.id"], name="fk_ledger_ticket"),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
        sa.UniqueConstraint("first_key", name="uq_ledger_first_key"),
    )
    op.create_index("ix_ledger_author_received", "ledger", ["author", "received"], unique=False)
    op.create_index("ix_ledger_message_id_article", "ledger", ["message_id", "article"], unique=False)
    op.create_index("ix_ledger_state_received", "ledger", ["state", "received"], unique=False)
    op.create_index("ix_ledger_ticket", "ledger", ["ticket"], unique=False)
    op.create_index("ix_ledger_words_key_received", "ledger", ["words_key", "received"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("mail", sa.String(40), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("recipient_key", sa.String(), nullable=False),
        sa.Column("ticket", sa.Integer(), nullable=True),
        sa.Column("article", sa.Integer(), nullable=True),
        sa.Column("participant", sa.Integer(), nullable=True),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("in_reply_to", sa.String(), nullable=True),
        sa.Column("context", json, nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=True),
        sa.Column("created", moment, nullable=False),
        sa.Column("sent", moment, nullable=True),
        sa.Column("last_reply", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["article"], ["article.id"], name="fk_outbox_article"),
        sa.ForeignKeyConstraint(["participant"], ["participant.id"], name="fk_outbox_participant"),
        sa.ForeignKeyConstraint(["ticket"], ["ticket.id"], name="fk_outbox_ticket"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("key", name="uq_outbox_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_recipient_key_created", "outbox", ["recipient_key", "created"], unique=False)
    op.create_index("ix_outbox_ticket", "outbox", ["ticket"], unique=False)
    op.create_index(
        "ix_outbox_unknown",
        "outbox",
        ["created"],
        unique=False,
        sqlite_where=sa.text("mail = 'unknown_author'"),
        postgresql_where=sa.text("mail = 'unknown_author'"),
    )
    op.create_index(
        "ix_outbox_waiting",
        "outbox",
        ["lane", "due_at"],
        unique=False,
        sqlite_where=sa.text("status IN ('due', 'sending')"),
        postgresql_where=sa.text("status IN ('due', 'sending')"),
    )
    op.create_table(
        "held",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("would", sa.String(), nullable=False),
        sa.Column("ticket", sa.Integer(), nullable=True),
        sa.Column("customer", sa.Integer(), nullable=True),
        sa.Column("author", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("held_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=True),
        sa.Column("decided_at", moment, nullable=True),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customer.id"], name="fk_held_customer"),
        sa.ForeignKeyConstraint(["id"], ["ledger.id"], name="fk_held_id"),
        sa.ForeignKeyConstraint(["ticket"], ["ticket.id"], name="fk_held_ticket"),
        sa.PrimaryKeyConstraint("id", name="pk_held"),
    )
    op.create_index("ix_held_author", "held", ["author"], unique=False)
    op.create_index("ix_held_customer", "held", ["customer"], unique=False)
    op.create_index("ix_held_state_expires_at", "held", ["state", "expires_at"], unique=False)
    op.create_index("ix_held_state_held_at", "held", ["state", "held_at"], unique=False)
    op.create_index("ix_held_ticket", "held", ["ticket"], unique=False)
    op.create_table(
        "suppression",
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.Column("outbox", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["outbox"], ["outbox.id"], name="fk_suppression_outbox"),
        sa.PrimaryKeyConstraint("address", name="pk_suppression"),
    )
