"""The first tables, and what the role of the application may do with them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The application logs in as, or switches to, neighborbid_app. It may delete nothing here, and transfers, bids and
# alarms it can only add: what was sold and paid must still be provable when the application is at fault.
_APP_ROLE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'neighborbid_app') THEN
        BEGIN
            CREATE ROLE neighborbid_app NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- roles belong to the whole server: another of its databases was migrated at this moment
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'neighborbid_app', 'MEMBER') THEN
        EXECUTE format('GRANT neighborbid_app TO %I', current_user);
    END IF;
END $$;
GRANT USAGE ON SCHEMA public TO neighborbid_app;
GRANT SELECT, INSERT ON users, sessions, accounts, transfers, auctions, paddles, bids, log_positions,
    write_back_alarms, orders TO neighborbid_app;
GRANT UPDATE ON users, sessions, accounts, auctions, paddles, log_positions, orders TO neighborbid_app;
"""

# Grants bind the application, the trigger also the owner, whose slip would be just as irrevocable.
_APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
"""


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("balance", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("balance >= 0 OR kind = 'provider'", name=op.f("ck_accounts_balance")),
        sa.CheckConstraint(
            "kind IN ('available', 'held', 'escrow', 'fees', 'provider')", name=op.f("ck_accounts_kind")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint(
            "kind", "owner_id", name=op.f("uq_accounts_kind_owner_id"), postgresql_nulls_not_distinct=True
        ),
    )
    op.create_table(
        "bids",
        sa.Column("auction_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bidder_id", sa.Uuid(), nullable=False),
        sa.Column("paddle", sa.BigInteger(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("maximum", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("leader_id", sa.Uuid(), nullable=False),
        sa.Column("leader_paddle", sa.BigInteger(), nullable=False),
        sa.Column("leader_maximum", sa.BigInteger(), nullable=False),
        sa.Column("next_minimum", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("extended", sa.Boolean(), nullable=False),
        sa.Column("bids", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("auction_id", "epoch", "seq", name=op.f("pk_bids")),
    )
    op.create_index(
        "ix_bids_bidder_id_auction_id_seq", "bids", ["bidder_id", "auction_id", "seq"], unique=False
    )
    op.create_table(
        "log_positions",
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Text(), server_default="0-0", nullable=False),
        sa.PrimaryKeyConstraint("shard", name=op.f("pk_log_positions")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "write_back_alarms",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("auction_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_write_back_alarms")),
    )
    op.create_index(
        op.f("ix_write_back_alarms_auction_id"), "write_back_alarms", ["auction_id"], unique=False
    )
    op.create_table(
        "auctions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(), server_default="draft", nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("start_price", sa.BigInteger(), nullable=False),
        sa.Column("increments", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("opens_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("latest_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("soft_close_window_ms", sa.BigInteger(), nullable=False),
        sa.Column("soft_close_extension_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paddle_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("price", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("leader_id", sa.Uuid(), nullable=True),
        sa.Column("leader_paddle", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("leader_maximum", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("bids", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sealed_seq", sa.BigInteger(), nullable=True),
        sa.Column("hammer_price", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('draft', 'published', 'sealed', 'sold', 'unsold')", name=op.f("ck_auctions_status")
        ),
        sa.CheckConstraint("opens_at < ends_at AND ends_at <= latest_end", name=op.f("ck_auctions_times")),
        sa.ForeignKeyConstraint(["leader_id"], ["users.id"], name=op.f("fk_auctions_leader_id")),
        sa.ForeignKeyConstraint(["seller_id"], ["users.id"], name=op.f("fk_auctions_seller_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auctions")),
    )
    op.create_index("ix_auctions_seller_id_id", "auctions", ["seller_id", "id"], unique=False)
    op.create_index("ix_auctions_status_ends_at_id", "auctions", ["status", "ends_at", "id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_sessions_token_hash")),
    )
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)
    op.create_table(
        "transfers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("debit_account_id", sa.Uuid(), nullable=False),
        sa.Column("credit_account_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("resolves", sa.Uuid(), nullable=True),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(resolves IS NOT NULL) = (kind IN ('capture', 'release'))", name=op.f("ck_transfers_resolves")
        ),
        sa.CheckConstraint(
            "kind IN ('top_up', 'hold', 'capture', 'release', 'excess')", name=op.f("ck_transfers_kind")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_transfers_amount")),
        sa.CheckConstraint("debit_account_id <> credit_account_id", name=op.f("ck_transfers_two_accounts")),
        sa.ForeignKeyConstraint(
            ["credit_account_id"], ["accounts.id"], name=op.f("fk_transfers_credit_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["debit_account_id"], ["accounts.id"], name=op.f("fk_transfers_debit_account_id")
        ),
        sa.ForeignKeyConstraint(["resolves"], ["transfers.id"], name=op.f("fk_transfers_resolves")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
        sa.UniqueConstraint("resolves", name=op.f("uq_transfers_resolves")),
    )
    op.create_index(
        "ix_transfers_credit_account_id_created_at",
        "transfers",
        ["credit_account_id", "created_at"],
        unique=False,
    )
    op.create_index(
        "ix_transfers_debit_account_id_created_at",
        "transfers",
        ["debit_account_id", "created_at"],
        unique=False,
    )
    op.create_index("ix_transfers_subject_id", "transfers", ["subject_id"], unique=False)
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("auction_id", sa.Uuid(), nullable=False),
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        sa.Column("buyer_id", sa.Uuid(), nullable=False),
        sa.Column("hammer_price", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('in_escrow')", name=op.f("ck_orders_state")),
        sa.CheckConstraint("hammer_price > 0", name=op.f("ck_orders_hammer_price")),
        sa.ForeignKeyConstraint(["auction_id"], ["auctions.id"], name=op.f("fk_orders_auction_id")),
        sa.ForeignKeyConstraint(["buyer_id"], ["users.id"], name=op.f("fk_orders_buyer_id")),
        sa.ForeignKeyConstraint(["seller_id"], ["users.id"], name=op.f("fk_orders_seller_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("auction_id", name=op.f("uq_orders_auction_id")),
    )
    op.create_index("ix_orders_buyer_id_id", "orders", ["buyer_id", "id"], unique=False)
    op.create_index("ix_orders_seller_id_id", "orders", ["seller_id", "id"], unique=False)
    op.create_table(
        "paddles",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("auction_id", sa.Uuid(), nullable=False),
        sa.Column("bidder_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=False),
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("synced_version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "status IN ('active', 'returning', 'returned', 'captured', 'released')",
            name=op.f("ck_paddles_status"),
        ),
        sa.CheckConstraint('"limit" > 0', name=op.f("ck_paddles_limit")),
        sa.ForeignKeyConstraint(["auction_id"], ["auctions.id"], name=op.f("fk_paddles_auction_id")),
        sa.ForeignKeyConstraint(["bidder_id"], ["users.id"], name=op.f("fk_paddles_bidder_id")),
        sa.ForeignKeyConstraint(["hold_id"], ["transfers.id"], name=op.f("fk_paddles_hold_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paddles")),
        sa.UniqueConstraint("auction_id", "bidder_id", name=op.f("uq_paddles_auction_id_bidder_id")),
        sa.UniqueConstraint("auction_id", "number", name=op.f("uq_paddles_auction_id_number")),
    )
    op.create_index("ix_paddles_bidder_id_id", "paddles", ["bidder_id", "id"], unique=False)
    op.create_index(
        "ix_paddles_unsynced",
        "paddles",
        ["updated_at"],
        unique=False,
        postgresql_where=sa.text("status = 'returning' OR (status = 'active' AND synced_version < version)"),
    )
    op.execute(_APP_ROLE)
    op.execute(_APPEND_ONLY)
    for table in ("transfers", "bids"):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    for table in (
        "paddles",
        "orders",
        "transfers",
        "sessions",
        "auctions",
        "write_back_alarms",
        "users",
        "log_positions",
        "bids",
        "accounts",
    ):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_change()")
