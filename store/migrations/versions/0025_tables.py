"""Drafts that name a table of increments."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("auctions", sa.Column("increment_table", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_auctions_increment_table"), "auctions", "increment_table IS NULL OR status = 'draft'"
    )


def downgrade() -> None:
    op.drop_column("auctions", "increment_table")
