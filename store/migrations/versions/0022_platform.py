"""What moderators and admins look after: hidden things, resolved reports, settings, fees, figures, signs of fraud."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_KINDS = "'top_up', 'hold', 'capture', 'release', 'excess', 'payout', 'refund', 'adjustment'"
_HIDDEN = ("auctions", "reviews", "chat_messages")
_RETIRED = ("categories", "regions")


def upgrade() -> None:
    for table in _HIDDEN:
        op.add_column(table, sa.Column("hidden_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("GRANT UPDATE (hidden_at) ON chat_messages TO neighborbid_app")
    for table in _RETIRED:
        op.add_column(table, sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True))
    # Starting does not bring it to its place any more: what is there stays as admins have made it.
    op.execute("UPDATE categories SET position = 1000000 WHERE code = 'other'")
    _reports()
    _fees()
    _settings()
    _figures()
    _signals()


def _reports() -> None:
    op.add_column("reports", sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("reports", sa.Column("outcome", sa.String(), nullable=True))
    op.add_column("reports", sa.Column("resolver_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(op.f("fk_reports_resolver_id"), "reports", "users", ["resolver_id"], ["id"])
    op.create_check_constraint(op.f("ck_reports_outcome"), "reports", "outcome IN ('upheld', 'dismissed')")
    op.create_check_constraint(
        op.f("ck_reports_resolved"), "reports", "(resolved_at IS NULL) = (outcome IS NULL)"
    )
    op.create_index(
        "ix_reports_open",
        "reports",
        ["kind", "subject_id", "id"],
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.execute("GRANT UPDATE (resolved_at, outcome, resolver_id) ON reports TO neighborbid_app")


def _fees() -> None:
    for name in ("fee_basis_points", "fee_floor"):
        op.add_column("auctions", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("auctions", sa.Column("fee_cap", sa.BigInteger(), nullable=True))
    op.add_column("orders", sa.Column("fee", sa.BigInteger(), server_default="0", nullable=False))
    op.create_check_constraint(op.f("ck_orders_fee"), "orders", "fee BETWEEN 0 AND hammer_price")
    _replace_check("transfers", "kind", f"kind IN ({_KINDS}, 'fee')")


def _settings() -> None:
    op.create_table(
        "platform_settings",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_platform_settings")),
    )
    op.create_table(
        "announcements",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("text_ko", sa.Text(), nullable=False),
        sa.Column("text_en", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("starts_at <= ends_at", name=op.f("ck_announcements_times")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcements")),
    )
    op.create_index(op.f("ix_announcements_ends_at"), "announcements", ["ends_at"])
    op.execute("GRANT SELECT, INSERT, UPDATE ON platform_settings, announcements TO neighborbid_app")


def _figures() -> None:
    op.create_table(
        "figures",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "at", name=op.f("pk_figures")),
    )
    op.execute("GRANT SELECT, INSERT, DELETE ON figures TO neighborbid_app")
    op.create_index("ix_bids_at", "bids", ["at"], postgresql_using="brin")
    op.create_index("ix_orders_created_at", "orders", ["created_at"])
    op.create_index(
        "ix_auctions_sealed_at",
        "auctions",
        ["sealed_at"],
        postgresql_where=sa.text("sealed_at IS NOT NULL"),
    )


def _signals() -> None:
    op.create_table(
        "log_in_traces",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("device_hash", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_log_in_traces_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_in_traces")),
    )
    for columns in (["address_hash", "user_id"], ["user_id"], ["at"]):
        op.create_index(f"ix_log_in_traces_{'_'.join(columns)}", "log_in_traces", columns)
    op.execute("GRANT SELECT, INSERT, DELETE ON log_in_traces TO neighborbid_app")
    op.create_table(
        "signals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("other_id", sa.Uuid(), nullable=True),
        sa.Column("auction_id", sa.Uuid(), nullable=True),
        sa.Column("why", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reviewer_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('shared_address', 'one_seller', 'hold_hoarding', 'new_account')",
            name=op.f("ck_signals_kind"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_signals_user_id")),
        sa.ForeignKeyConstraint(["other_id"], ["users.id"], name=op.f("fk_signals_other_id")),
        sa.ForeignKeyConstraint(["auction_id"], ["auctions.id"], name=op.f("fk_signals_auction_id")),
        sa.ForeignKeyConstraint(["reviewer_id"], ["users.id"], name=op.f("fk_signals_reviewer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signals")),
        sa.UniqueConstraint(
            "kind",
            "user_id",
            "other_id",
            "auction_id",
            name=op.f("uq_signals_kind_user_id_other_id_auction_id"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index("ix_signals_open", "signals", ["id"], postgresql_where=sa.text("reviewed_at IS NULL"))
    op.execute("GRANT SELECT, INSERT, UPDATE ON signals TO neighborbid_app")


def downgrade() -> None:
    for table in ("signals", "log_in_traces", "figures", "announcements", "platform_settings"):
        op.drop_table(table)
    op.drop_index("ix_auctions_sealed_at", "auctions")
    op.drop_index("ix_orders_created_at", "orders")
    op.drop_index("ix_bids_at", "bids")
    _replace_check("transfers", "kind", f"kind IN ({_KINDS})")
    op.drop_column("orders", "fee")
    for column in ("fee_cap", "fee_floor", "fee_basis_points"):
        op.drop_column("auctions", column)
    op.execute("REVOKE UPDATE (resolved_at, outcome, resolver_id) ON reports FROM neighborbid_app")
    op.drop_index("ix_reports_open", "reports")
    for column in ("resolver_id", "outcome", "resolved_at"):
        op.drop_column("reports", column)
    for table in _RETIRED:
        op.drop_column(table, "retired_at")
    op.execute("REVOKE UPDATE (hidden_at) ON chat_messages FROM neighborbid_app")
    for table in _HIDDEN:
        op.drop_column(table, "hidden_at")


def _replace_check(table: str, column: str, condition: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{column}"), table)
    op.create_check_constraint(op.f(f"ck_{table}_{column}"), table, condition)
