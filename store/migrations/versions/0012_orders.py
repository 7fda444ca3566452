"""What happens to an order: hand-over, shipping, chat, reviews; blocks and reports."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TRUST = (
    "(200 * (12 + stars - reviews + completed_orders) + 20 + 4 * reviews + completed_orders + 8 * no_shows)"
    " / (2 * (20 + 4 * reviews + completed_orders + 8 * no_shows))"
)
_COUNTS = ("completed_orders", "no_shows", "reviews", "stars")
_KINDS = "'top_up', 'hold', 'capture', 'release', 'excess'"
_STATES = "'in_escrow', 'agreed', 'no_show', 'shipped', 'problem', 'completed', 'refunded', 'cancelled'"


def _new_on_orders() -> list[sa.Column[Any]]:
    return [
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now() + '7 days'::interval"),
            nullable=True,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivery", sa.String(), nullable=True),
        sa.Column("proposal", sa.BigInteger(), nullable=True),
        sa.Column("agreement", sa.BigInteger(), nullable=True),
        sa.Column("code_tries", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("code_tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("absent_id", sa.Uuid(), nullable=True),
        sa.Column("carrier", sa.Text(), nullable=True),
        sa.Column("tracking_number", sa.Text(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("messages", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("buyer_read", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("seller_read", sa.BigInteger(), server_default="0", nullable=False),
    ]


def upgrade() -> None:
    for name in _COUNTS:
        op.add_column("users", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.add_column(
        "users",
        sa.Column("trust", sa.BigInteger(), sa.Computed(_TRUST, persisted=True), nullable=False),
    )
    _replace_check("transfers", "kind", f"kind IN ({_KINDS}, 'payout', 'refund')")
    for column in _new_on_orders():
        op.add_column("orders", column)
    _replace_check("orders", "state", f"state IN ({_STATES})")
    op.create_check_constraint(op.f("ck_orders_delivery"), "orders", "delivery IN ('handover', 'shipping')")
    op.create_check_constraint(
        op.f("ck_orders_finished"),
        "orders",
        "(finished_at IS NOT NULL) = (state IN ('completed', 'refunded', 'cancelled'))",
    )
    op.create_check_constraint(
        op.f("ck_orders_agreed"), "orders", "(state IN ('agreed', 'no_show')) <= (agreement IS NOT NULL)"
    )
    op.create_foreign_key(op.f("fk_orders_absent_id"), "orders", "users", ["absent_id"], ["id"])
    op.create_index("ix_orders_due_at", "orders", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"))
    op.create_table(
        "order_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["actor_id"], ["users.id"], name=op.f("fk_order_events_actor_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_events_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_events")),
    )
    op.create_index(op.f("ix_order_events_order_id"), "order_events", ["order_id"])
    op.create_table(
        "handovers",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("proposer_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("meet_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_handovers_order_id")),
        sa.ForeignKeyConstraint(["proposer_id"], ["users.id"], name=op.f("fk_handovers_proposer_id")),
        sa.PrimaryKeyConstraint("order_id", "number", name=op.f("pk_handovers")),
    )
    op.create_table(
        "chat_messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("sender_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_chat_messages_order_id")),
        sa.ForeignKeyConstraint(["sender_id"], ["users.id"], name=op.f("fk_chat_messages_sender_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat_messages")),
        sa.UniqueConstraint("order_id", "number", name=op.f("uq_chat_messages_order_id_number")),
    )
    op.create_table(
        "reviews",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("stars", sa.SmallInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("visible_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("counted", sa.Boolean(), server_default="false", nullable=False),
        sa.CheckConstraint("stars BETWEEN 1 AND 5", name=op.f("ck_reviews_stars")),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name=op.f("fk_reviews_author_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_reviews_order_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["users.id"], name=op.f("fk_reviews_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
        sa.UniqueConstraint("order_id", "author_id", name=op.f("uq_reviews_order_id_author_id")),
    )
    op.create_index("ix_reviews_subject_id_id", "reviews", ["subject_id", "id"])
    op.create_index(
        "ix_reviews_uncounted", "reviews", ["visible_at"], postgresql_where=sa.text("NOT counted")
    )
    op.create_table(
        "blocks",
        sa.Column("blocker_id", sa.Uuid(), nullable=False),
        sa.Column("blocked_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["blocked_id"], ["users.id"], name=op.f("fk_blocks_blocked_id")),
        sa.ForeignKeyConstraint(["blocker_id"], ["users.id"], name=op.f("fk_blocks_blocker_id")),
        sa.PrimaryKeyConstraint("blocker_id", "blocked_id", name=op.f("pk_blocks")),
    )
    op.create_table(
        "reports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reporter_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('auction', 'message', 'user')", name=op.f("ck_reports_kind")),
        sa.CheckConstraint(
            "reason IN ('spam', 'fraud', 'prohibited', 'offensive', 'other')", name=op.f("ck_reports_reason")
        ),
        sa.ForeignKeyConstraint(["reporter_id"], ["users.id"], name=op.f("fk_reports_reporter_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reports")),
        sa.UniqueConstraint(
            "reporter_id", "kind", "subject_id", name=op.f("uq_reports_reporter_id_kind_subject_id")
        ),
    )
    # What was agreed and said must still be provable when the two fall out.
    op.execute("GRANT SELECT, INSERT ON order_events, handovers, chat_messages, reports TO neighborbid_app")
    op.execute("GRANT SELECT, INSERT, UPDATE ON reviews TO neighborbid_app")
    op.execute("GRANT SELECT, INSERT, DELETE ON blocks TO neighborbid_app")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON order_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    for table in ("reports", "blocks", "reviews", "chat_messages", "handovers", "order_events"):
        op.drop_table(table)
    op.drop_index("ix_orders_due_at", "orders")
    for name in ("agreed", "finished", "delivery"):
        op.drop_constraint(op.f(f"ck_orders_{name}"), "orders")
    _replace_check("orders", "state", "state IN ('in_escrow')")
    for column in _new_on_orders():
        op.drop_column("orders", column.name)
    _replace_check("transfers", "kind", f"kind IN ({_KINDS})")
    for name in ("trust", *_COUNTS):
        op.drop_column("users", name)


def _replace_check(table: str, column: str, condition: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{column}"), table)
    op.create_check_constraint(op.f(f"ck_{table}_{column}"), table, condition)
