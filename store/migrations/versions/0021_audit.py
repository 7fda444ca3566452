"""The log of what those with a role have done, suspensions, and money that two admins move."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_KINDS = "'top_up', 'hold', 'capture', 'release', 'excess', 'payout', 'refund'"


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("operator", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("before", postgresql.JSONB(), nullable=True),
        sa.Column("after", postgresql.JSONB(), nullable=True),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("(actor_id IS NULL) <> (operator IS NULL)", name=op.f("ck_audit_log_actor")),
        sa.ForeignKeyConstraint(["actor_id"], ["users.id"], name=op.f("fk_audit_log_actor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    for column in ("actor_id", "subject_id", "action"):
        op.create_index(f"ix_audit_log_{column}_id", "audit_log", [column, "id"])
    op.add_column("users", sa.Column("suspended_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_users_email_prefix", "users", ["email"], postgresql_ops={"email": "text_pattern_ops"})
    op.create_index(
        "ix_users_name_prefix",
        "users",
        [sa.text("lower(display_name) text_pattern_ops")],
    )
    op.create_index("ix_users_staff", "users", ["role", "id"], postgresql_where=sa.text("role <> 'user'"))
    op.create_index("ix_orders_problem", "orders", ["id"], postgresql_where=sa.text("state = 'problem'"))
    _replace_kinds(f"{_KINDS}, 'adjustment'")
    op.create_table(
        "adjustments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), server_default="pending", nullable=False),
        sa.Column("proposer_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now() + '7 days'::interval"),
            nullable=False,
        ),
        sa.Column("decider_id", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("direction IN ('credit', 'debit')", name=op.f("ck_adjustments_direction")),
        sa.CheckConstraint(
            "state IN ('pending', 'confirmed', 'rejected')", name=op.f("ck_adjustments_state")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_adjustments_amount")),
        sa.CheckConstraint("(state = 'pending') = (decider_id IS NULL)", name=op.f("ck_adjustments_decider")),
        sa.CheckConstraint(
            "(decider_id IS NULL) = (decided_at IS NULL)", name=op.f("ck_adjustments_decided")
        ),
        sa.CheckConstraint(
            "state <> 'confirmed' OR decider_id <> proposer_id", name=op.f("ck_adjustments_two_admins")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_adjustments_user_id")),
        sa.ForeignKeyConstraint(["proposer_id"], ["users.id"], name=op.f("fk_adjustments_proposer_id")),
        sa.ForeignKeyConstraint(["decider_id"], ["users.id"], name=op.f("fk_adjustments_decider_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adjustments")),
    )
    op.create_index("ix_adjustments_state_id", "adjustments", ["state", "id"])
    op.execute("GRANT SELECT, INSERT ON adjustments TO neighborbid_app")
    op.execute("GRANT UPDATE (state, decider_id, decided_at) ON adjustments TO neighborbid_app")
    op.execute("GRANT SELECT, INSERT ON audit_log TO neighborbid_app")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    op.drop_table("adjustments")
    _replace_kinds(_KINDS)
    op.drop_index("ix_orders_problem", "orders")
    for index in ("staff", "name_prefix", "email_prefix"):
        op.drop_index(f"ix_users_{index}", "users")
    op.drop_column("users", "suspended_until")
    op.drop_table("audit_log")


def _replace_kinds(kinds: str) -> None:
    op.drop_constraint(op.f("ck_transfers_kind"), "transfers")
    op.create_check_constraint(op.f("ck_transfers_kind"), "transfers", f"kind IN ({kinds})")
