"""Cancelled auctions."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0015"
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


def downgrade() -> None:
    op.execute("UPDATE auctions SET status = 'unsold' WHERE status = 'cancelled'")
    op.drop_constraint(op.f("ck_auctions_status"), "auctions")
    op.create_check_constraint(op.f("ck_auctions_status"), "auctions", f"status IN ({_STATUSES})")
    for column in ("cancel_reason", "cancelled"):
        op.drop_column("auctions", column)
