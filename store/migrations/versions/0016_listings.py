"""Listings can be edited, deleted while they are drafts, listed again, and say how the goods change hands."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

COLUMNS = ("version", "addenda", "deliveries", "relisted_from", "soft_close_cap_ms")


def upgrade() -> None:
    op.add_column("auctions", sa.Column("version", sa.BigInteger(), server_default="1", nullable=False))
    op.add_column("auctions", sa.Column("addenda", postgresql.JSONB(), server_default="[]", nullable=False))
    op.add_column(
        "auctions",
        sa.Column(
            "deliveries",
            postgresql.ARRAY(sa.Text()),
            server_default="{handover,shipping}",
            nullable=False,
        ),
    )
    op.create_check_constraint(
        op.f("ck_auctions_deliveries"),
        "auctions",
        "deliveries <@ ARRAY['handover', 'shipping'] AND cardinality(deliveries) > 0",
    )
    op.add_column("auctions", sa.Column("relisted_from", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_auctions_relisted_from"), "auctions", "auctions", ["relisted_from"], ["id"]
    )
    op.create_index(
        "ix_auctions_relisted_from",
        "auctions",
        ["relisted_from"],
        postgresql_where=sa.text("relisted_from IS NOT NULL"),
    )
    op.add_column(
        "auctions", sa.Column("soft_close_cap_ms", sa.BigInteger(), server_default="0", nullable=False)
    )
    # What is left of the cap is all that is known of it, within what a draft may have.
    op.execute(
        "UPDATE auctions SET soft_close_cap_ms = least(86400000, greatest(1,"
        " extract(epoch FROM latest_end - ends_at) * 1000)) WHERE soft_close_window_ms > 0"
    )
    op.execute("GRANT DELETE ON auctions TO neighborbid_app")
    op.execute(
        "CREATE FUNCTION keep_published() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF OLD.status <> 'draft' THEN"
        " RAISE EXCEPTION 'only drafts are deleted' USING ERRCODE = 'insufficient_privilege';"
        " END IF; RETURN OLD; END $$"
    )
    op.execute(
        "CREATE TRIGGER keep_published BEFORE DELETE ON auctions"
        " FOR EACH ROW EXECUTE FUNCTION keep_published()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER keep_published ON auctions")
    op.execute("DROP FUNCTION keep_published()")
    op.execute("REVOKE DELETE ON auctions FROM neighborbid_app")
    for column in COLUMNS:
        op.drop_column("auctions", column)
