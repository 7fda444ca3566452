"""The owner may switch to the application's role, also in a database that came to PostgreSQL 16 without that right."""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        DO $$ BEGIN
            IF NOT pg_has_role(
                current_user,
                'neighborbid_app',
                CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END
            ) THEN
                EXECUTE format('GRANT neighborbid_app TO %I', current_user);
            END IF;
        END $$
    """)


def downgrade() -> None:
    """Nothing to undo: the application cannot work without the right."""
