"""How far telling many has come, which end of an auction was told, and by which log-in a browser was subscribed; the
list of dead deliveries is in the order of an index."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tellings",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("last", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_tellings")),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON tellings TO neighborbid_app")
    op.add_column("auctions", sa.Column("ending_told_for", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE auctions SET ending_told_for = ends_at WHERE ending_told")
    op.drop_column("auctions", "ending_told")
    op.add_column("push_subscriptions", sa.Column("session_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_push_subscriptions_session_id"),
        "push_subscriptions",
        "sessions",
        ["session_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_index(op.f("ix_push_subscriptions_session_id"), "push_subscriptions", ["session_id"])
    op.drop_index("ix_deliveries_dead_at", "deliveries")
    op.create_index(
        "ix_deliveries_dead", "deliveries", ["id"], postgresql_where=sa.text("dead_at IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_index("ix_deliveries_dead", "deliveries")
    op.create_index(
        "ix_deliveries_dead_at", "deliveries", ["dead_at"], postgresql_where=sa.text("dead_at IS NOT NULL")
    )
    op.drop_column("push_subscriptions", "session_id")
    op.add_column("auctions", sa.Column("ending_told", sa.Boolean(), server_default="false", nullable=False))
    op.execute("UPDATE auctions SET ending_told = true WHERE ending_told_for IS NOT NULL")
    op.drop_column("auctions", "ending_told_for")
    op.drop_table("tellings")
