"""One word for one thing: tables are called as their rows are, everywhere else."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

NAMES = {
    "tellings": "broadcasts",
    "signals": "fraud_signals",
    "figures": "platform_samples",
    "mails": "account_emails",
    "mail_tokens": "email_tokens",
    "deliveries": "notification_deliveries",
}

# Keys, checks and indexes have the table in their names (store/models/base.py).
_PARTS = """
DO $$
DECLARE part record;
BEGIN
    FOR part IN
        SELECT conname AS name FROM pg_constraint
        WHERE conrelid = '{new}'::regclass AND conname ~ '^(pk|fk|uq|ck)_{old}(_|$)'
    LOOP
        EXECUTE format('ALTER TABLE {new} RENAME CONSTRAINT %I TO %I',
            part.name, regexp_replace(part.name, '^([a-z]+)_{old}', '\\1_{new}'));
    END LOOP;
    FOR part IN
        SELECT indexrelid::regclass::text AS name FROM pg_index
        WHERE indrelid = '{new}'::regclass AND indexrelid::regclass::text ~ '^ix_{old}(_|$)'
    LOOP
        EXECUTE format('ALTER INDEX %I RENAME TO %I',
            part.name, regexp_replace(part.name, '^ix_{old}', 'ix_{new}'));
    END LOOP;
END $$
"""


def upgrade() -> None:
    for old, new in NAMES.items():
        _rename(old, new)


def downgrade() -> None:
    for old, new in NAMES.items():
        _rename(new, old)


def _rename(old: str, new: str) -> None:
    op.rename_table(old, new)
    op.execute(_PARTS.format(old=old, new=new))
