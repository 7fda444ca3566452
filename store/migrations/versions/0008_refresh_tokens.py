"""Refresh tokens in families, so that spent ones need no table. Whoever was logged in logs in again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("spent_tokens")
    op.execute("DELETE FROM sessions")
    op.drop_constraint(op.f("uq_sessions_refresh_hash"), "sessions")
    op.add_column("sessions", sa.Column("family_hash", sa.LargeBinary(), nullable=False))
    op.add_column("sessions", sa.Column("previous_hash", sa.LargeBinary(), nullable=True))
    op.add_column("sessions", sa.Column("refresh_key", sa.LargeBinary(), nullable=False))
    op.create_unique_constraint(op.f("uq_sessions_family_hash"), "sessions", ["family_hash"])


def downgrade() -> None:
    op.execute("DELETE FROM sessions")
    op.drop_constraint(op.f("uq_sessions_family_hash"), "sessions")
    for column in ("family_hash", "previous_hash", "refresh_key"):
        op.drop_column("sessions", column)
    op.create_unique_constraint(op.f("uq_sessions_refresh_hash"), "sessions", ["refresh_hash"])
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
    op.execute("GRANT SELECT, INSERT ON spent_tokens TO neighborbid_app")
