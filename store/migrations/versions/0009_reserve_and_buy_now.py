"""Reserve and buy-now."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TIMES = "ends_at AND ends_at <= latest_end"


def upgrade() -> None:
    op.add_column("auctions", sa.Column("reserve", sa.BigInteger(), nullable=True))
    op.add_column("auctions", sa.Column("buy_now_price", sa.BigInteger(), nullable=True))
    op.add_column("auctions", sa.Column("buy_now_until", sa.Text(), nullable=True))
    op.create_check_constraint(op.f("ck_auctions_reserve"), "auctions", "reserve > start_price")
    op.create_check_constraint(
        op.f("ck_auctions_buy_now_price"),
        "auctions",
        "buy_now_price > start_price AND buy_now_price >= reserve",
    )
    op.create_check_constraint(
        op.f("ck_auctions_buy_now_until"),
        "auctions",
        "buy_now_until IN ('first_bid', 'reserve_met', 'always')",
    )
    op.create_check_constraint(
        op.f("ck_auctions_buy_now"), "auctions", "(buy_now_price IS NULL) = (buy_now_until IS NULL)"
    )
    # A purchase ends an auction, perhaps in the ms in which it opens.
    op.drop_constraint(op.f("ck_auctions_times"), "auctions")
    op.create_check_constraint(op.f("ck_auctions_times"), "auctions", f"opens_at <= {_TIMES}")
    op.add_column("bids", sa.Column("bought", sa.Boolean(), server_default="false", nullable=False))


def downgrade() -> None:
    op.drop_column("bids", "bought")
    op.drop_constraint(op.f("ck_auctions_times"), "auctions")
    op.create_check_constraint(op.f("ck_auctions_times"), "auctions", f"opens_at < {_TIMES}")
    op.drop_constraint(op.f("ck_auctions_buy_now"), "auctions")
    for column in ("buy_now_until", "buy_now_price", "reserve"):
        op.drop_column("auctions", column)
