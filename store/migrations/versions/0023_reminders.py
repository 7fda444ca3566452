"""What was told of auctions that open and end."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
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


def downgrade() -> None:
    for name in ("opened_told", "ending_told"):
        op.drop_column("auctions", name)
