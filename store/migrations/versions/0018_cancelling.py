"""Cancelled and extended auctions."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_STATUSES = "'draft', 'published', 'sealed', 'sold', 'unsold'"


def upgrade() -> None:
    op.add_column("auctions", sa.Column("cancelled", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("auctions", sa.Column("cancel_reason", sa.Text(), nullable=True))
    op.drop_constraint(op.f("ck_auctions_status"), "auctions")
    op.create_check_constraint(
        op.f("ck_auctions_status"), "auctions", f"status IN ({_STATUSES}, 'cancelled')"
    )
    op.create_table(
        "extensions",
        sa.Column("auction_id", sa.Uuid(), nullable=False),
        sa.Column("action_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("latest_end", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("auction_id", "action_id", name=op.f("pk_extensions")),
        sa.UniqueConstraint("auction_id", "epoch", "seq", name=op.f("uq_extensions_auction_id_epoch_seq")),
    )
    op.execute("GRANT SELECT, INSERT ON extensions TO neighborbid_app")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON extensions "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    op.drop_table("extensions")
    op.execute("UPDATE auctions SET status = 'unsold' WHERE status = 'cancelled'")
    op.drop_constraint(op.f("ck_auctions_status"), "auctions")
    op.create_check_constraint(op.f("ck_auctions_status"), "auctions", f"status IN ({_STATUSES})")
    for column in ("cancel_reason", "cancelled"):
        op.drop_column("auctions", column)
