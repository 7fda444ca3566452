"""Whether those who were outbid in an auction were told that a late bid has moved its end."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "auctions", sa.Column("extended_told", sa.Boolean(), server_default="false", nullable=False)
    )


def downgrade() -> None:
    op.drop_column("auctions", "extended_told")
