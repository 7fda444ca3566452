"""Drafts that name a table of increments, reports about reviews, and chats that forget deleted users."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

# Who wrote what is evidence: it can be forgotten, but not made up.
_ONLY_EMPTIED = """
CREATE TRIGGER only_emptied BEFORE UPDATE ON chat_messages
FOR EACH ROW WHEN (NEW.text NOT IN ('', OLD.text)) EXECUTE FUNCTION refuse_change()
"""


def upgrade() -> None:
    op.add_column("auctions", sa.Column("increment_table", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_auctions_increment_table"), "auctions", "increment_table IS NULL OR status = 'draft'"
    )
    _replace_reported("'auction', 'message', 'question', 'review', 'user'")
    op.execute(_ONLY_EMPTIED)
    op.add_column(
        "chat_messages", sa.Column("sender_gone", sa.Boolean(), server_default="false", nullable=False)
    )
    op.execute(
        "UPDATE chat_messages SET sender_gone = true FROM users"
        " WHERE users.id = sender_id AND users.deleted_at IS NOT NULL"
    )
    op.execute("GRANT UPDATE (text, sender_gone) ON chat_messages TO neighborbid_app")
    op.create_index(
        "ix_chat_messages_gone",
        "chat_messages",
        ["order_id"],
        postgresql_where=sa.text("sender_gone AND text <> ''"),
    )


def downgrade() -> None:
    op.drop_index("ix_chat_messages_gone", "chat_messages")
    op.execute("REVOKE UPDATE (text, sender_gone) ON chat_messages FROM neighborbid_app")
    op.drop_column("chat_messages", "sender_gone")
    op.execute("DROP TRIGGER only_emptied ON chat_messages")
    op.execute("DELETE FROM reports WHERE kind = 'review'")
    _replace_reported("'auction', 'message', 'question', 'user'")
    op.drop_column("auctions", "increment_table")


def _replace_reported(kinds: str) -> None:
    op.drop_constraint(op.f("ck_reports_kind"), "reports")
    op.create_check_constraint(op.f("ck_reports_kind"), "reports", f"kind IN ({kinds})")
