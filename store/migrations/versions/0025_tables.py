"""Drafts that name a table of increments, and reports about reviews."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_REPORTED = "'auction', 'message', 'question', 'user'"


def upgrade() -> None:
    op.add_column("auctions", sa.Column("increment_table", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_auctions_increment_table"), "auctions", "increment_table IS NULL OR status = 'draft'"
    )
    _replace_reported("'auction', 'message', 'question', 'review', 'user'")


def downgrade() -> None:
    op.execute("DELETE FROM reports WHERE kind = 'review'")
    _replace_reported(_REPORTED)
    op.drop_column("auctions", "increment_table")


def _replace_reported(kinds: str) -> None:
    op.drop_constraint(op.f("ck_reports_kind"), "reports")
    op.create_check_constraint(op.f("ck_reports_kind"), "reports", f"kind IN ({kinds})")
