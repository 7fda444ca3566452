"""Indexes for the sweeps of copies and of photos."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_auctions_copies",
        "auctions",
        [sa.text("greatest(ends_at, sealed_at)"), "id"],
        postgresql_where=sa.text("kind = 'neighbourhood'"),
    )
    op.create_index(
        "ix_photos_orphaned",
        "photos",
        ["id"],
        postgresql_where=sa.text("auction_id IS NULL AND NOT is_avatar"),
    )


def downgrade() -> None:
    op.drop_index("ix_photos_orphaned", "photos")
    op.drop_index("ix_auctions_copies", "auctions")
