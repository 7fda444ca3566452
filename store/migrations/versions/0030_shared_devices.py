"""A device that bidder and seller share is a sign of fraud; indexes for what looks at signs and at users."""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_OTHERS = "'one_seller', 'hold_hoarding', 'new_account'"
_INDEXES = {
    "ix_log_in_traces_device_hash_user_id": ("log_in_traces", ["device_hash", "user_id"]),
    "ix_paddles_updated_at": ("paddles", ["updated_at"]),
    "ix_chat_messages_sender_id": ("chat_messages", ["sender_id"]),
    "ix_reports_kind_subject_id_id": ("reports", ["kind", "subject_id", "id"]),
}


def upgrade() -> None:
    _replace_kinds(f"'shared_address', 'shared_device', {_OTHERS}")
    for name, (table, columns) in _INDEXES.items():
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, (table, _) in _INDEXES.items():
        op.drop_index(name, table)
    op.execute("DELETE FROM signals WHERE kind = 'shared_device'")
    _replace_kinds(f"'shared_address', {_OTHERS}")


def _replace_kinds(kinds: str) -> None:
    op.drop_constraint(op.f("ck_signals_kind"), "signals")
    op.create_check_constraint(op.f("ck_signals_kind"), "signals", f"kind IN ({kinds})")
