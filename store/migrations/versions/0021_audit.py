"""The log of what those with a role have done, and suspensions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0015"
branch_labels = None
depends_on = None


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
    op.execute("GRANT SELECT, INSERT ON audit_log TO neighborbid_app")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    for index in ("staff", "name_prefix", "email_prefix"):
        op.drop_index(f"ix_users_{index}", "users")
    op.drop_column("users", "suspended_until")
    op.drop_table("audit_log")
