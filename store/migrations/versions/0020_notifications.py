"""Notifications, their deliveries, how users want them; what was told of auctions; where log-ins came from."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_EVENTS = (
    "'outbid', 'leading', 'reserve_met', 'opened', 'ending_soon', 'extended', 'won', 'lost', 'sold', 'unsold',"
    " 'cancelled', 'question', 'answer', 'handover_proposed', 'handover_agreed', 'order_hand_over',"
    " 'order_report_no_show', 'order_contest', 'order_ship', 'order_confirm', 'order_report_problem',"
    " 'order_refund', 'order_time_out', 'review', 'login', 'password_changed', 'second_factor_changed',"
    " 'announcement', 'warning', 'dispute'"
)
_WAITING = sa.text("sent_at IS NULL AND dead_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("auction_id", sa.Uuid(), nullable=True),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(f"event IN ({_EVENTS})", name=op.f("ck_notifications_event")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_notifications_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sa.UniqueConstraint("user_id", "key", name=op.f("uq_notifications_user_id_key")),
    )
    op.create_index("ix_notifications_user_id_id", "notifications", ["user_id", "id"])
    op.create_index(
        "ix_notifications_unread",
        "notifications",
        ["user_id", "id"],
        postgresql_where=sa.text("read_at IS NULL"),
    )
    op.create_index(op.f("ix_notifications_created_at"), "notifications", ["created_at"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dead_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint("channel IN ('email', 'push')", name=op.f("ck_deliveries_channel")),
        sa.CheckConstraint("sent_at IS NULL OR dead_at IS NULL", name=op.f("ck_deliveries_end")),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["notifications.id"],
            name=op.f("fk_deliveries_notification_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_deliveries_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("notification_id", "channel", name=op.f("uq_deliveries_notification_id_channel")),
    )
    op.create_index("ix_deliveries_due_at", "deliveries", ["channel", "due_at"], postgresql_where=_WAITING)
    op.create_index("ix_deliveries_waiting", "deliveries", ["user_id", "channel"], postgresql_where=_WAITING)
    op.create_index(
        "ix_deliveries_dead_at", "deliveries", ["dead_at"], postgresql_where=sa.text("dead_at IS NOT NULL")
    )
    op.create_table(
        "notification_preferences",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("quiet_from", sa.SmallInteger(), nullable=True),
        sa.Column("quiet_until", sa.SmallInteger(), nullable=True),
        sa.Column("time_zone", sa.Text(), server_default="Asia/Seoul", nullable=False),
        sa.Column("digest", sa.String(), server_default="off", nullable=False),
        sa.Column("channels", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.CheckConstraint("digest IN ('off', 'daily')", name=op.f("ck_notification_preferences_digest")),
        sa.CheckConstraint(
            "(quiet_from IS NULL) = (quiet_until IS NULL)"
            " AND quiet_from BETWEEN 0 AND 1439 AND quiet_until BETWEEN 0 AND 1439",
            name=op.f("ck_notification_preferences_quiet"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_notification_preferences_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_notification_preferences")),
    )
    op.create_table(
        "push_subscriptions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("p256dh", sa.LargeBinary(), nullable=False),
        sa.Column("auth", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("failures", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_push_subscriptions_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_push_subscriptions")),
        sa.UniqueConstraint("endpoint", name=op.f("uq_push_subscriptions_endpoint")),
    )
    op.create_index(op.f("ix_push_subscriptions_user_id"), "push_subscriptions", ["user_id"])
    op.add_column("sessions", sa.Column("origin", sa.LargeBinary(), nullable=True))
    for name in ("opened_told", "ending_told"):
        op.add_column("auctions", sa.Column(name, sa.Boolean(), server_default="false", nullable=False))
    # Nobody wants to hear now of what was long ago.
    op.execute("UPDATE auctions SET opened_told = opens_at <= now(), ending_told = ends_at <= now()")
    op.create_index(
        "ix_auctions_opening",
        "auctions",
        ["opens_at"],
        postgresql_where=sa.text("status = 'published' AND NOT opened_told"),
    )
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON notifications, deliveries, notification_preferences,"
        " push_subscriptions TO neighborbid_app"
    )


def downgrade() -> None:
    op.drop_column("sessions", "origin")
    for name in ("opened_told", "ending_told"):
        op.drop_column("auctions", name)
    for table in ("push_subscriptions", "notification_preferences", "deliveries", "notifications"):
        op.drop_table(table)
