"""Sessions with refresh tokens, and roles. Whoever was logged in logs in again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("role", sa.String(), server_default="user", nullable=False))
    op.create_check_constraint(op.f("ck_users_role"), "users", "role IN ('user', 'moderator', 'admin')")

    op.execute("DELETE FROM sessions")
    op.drop_column("sessions", "token_hash")
    op.add_column("sessions", sa.Column("refresh_hash", sa.LargeBinary(), nullable=False))
    op.add_column(
        "sessions",
        sa.Column(
            "refreshed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
    )
    op.add_column("sessions", sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False))
    op.add_column("sessions", sa.Column("told_at", sa.DateTime(timezone=True), nullable=True))
    op.create_unique_constraint(op.f("uq_sessions_refresh_hash"), "sessions", ["refresh_hash"])
    op.create_check_constraint(op.f("ck_sessions_times"), "sessions", "expires_at <= ends_at")
    op.create_index(op.f("ix_sessions_expires_at"), "sessions", ["expires_at"])
    op.create_index(
        "ix_sessions_untold",
        "sessions",
        ["revoked_at"],
        postgresql_where=sa.text("revoked_at IS NOT NULL AND told_at IS NULL"),
    )

    op.create_table(
        "spent_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("spent_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_spent_tokens_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_spent_tokens")),
    )
    op.create_index(op.f("ix_spent_tokens_session_id"), "spent_tokens", ["session_id"])
    op.execute("GRANT DELETE ON sessions TO neighborbid_app")
    op.execute("GRANT SELECT, INSERT ON spent_tokens TO neighborbid_app")


def downgrade() -> None:
    op.drop_table("spent_tokens")
    op.execute("REVOKE DELETE ON sessions FROM neighborbid_app")
    op.execute("DELETE FROM sessions")
    op.drop_index("ix_sessions_untold", "sessions")
    op.drop_index("ix_sessions_expires_at", "sessions")
    op.drop_constraint(op.f("ck_sessions_times"), "sessions")
    for column in ("refresh_hash", "refreshed_at", "ends_at", "told_at"):
        op.drop_column("sessions", column)
    op.add_column("sessions", sa.Column("token_hash", sa.LargeBinary(), nullable=False))
    op.create_unique_constraint(op.f("uq_sessions_token_hash"), "sessions", ["token_hash"])
    op.drop_constraint(op.f("ck_users_role"), "users")
    op.drop_column("users", "role")
