"""Neighbourhood auctions."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("auctions", sa.Column("kind", sa.String(), server_default="live", nullable=False))
    op.add_column("auctions", sa.Column("region_code", sa.Text(), nullable=True))
    op.add_column("auctions", sa.Column("cell", sa.Text(), nullable=True))
    op.add_column("auctions", sa.Column("radius", sa.Text(), nullable=True))
    op.add_column("auctions", sa.Column("mirrored_seq", sa.BigInteger(), server_default="-1", nullable=False))
    op.create_foreign_key(op.f("fk_auctions_region_code"), "auctions", "regions", ["region_code"], ["code"])
    op.create_check_constraint(op.f("ck_auctions_kind"), "auctions", "kind IN ('live', 'neighbourhood')")
    op.create_check_constraint(op.f("ck_auctions_radius"), "auctions", "radius IN ('near', 'around', 'wide')")
    op.create_check_constraint(
        op.f("ck_auctions_place"),
        "auctions",
        "CASE kind WHEN 'neighbourhood' THEN num_nulls(cell, region_code, radius) = 0"
        " ELSE num_nonnulls(cell, region_code, radius) = 0 END",
    )
    op.create_index(
        "ix_auctions_unmirrored",
        "auctions",
        ["id"],
        postgresql_where=sa.text("kind = 'neighbourhood' AND status <> 'draft' AND mirrored_seq < seq"),
    )


def downgrade() -> None:
    running = "SELECT count(*) FROM auctions WHERE kind = 'neighbourhood' AND status = 'published'"
    if count := op.get_bind().scalar(sa.text(running)):
        # Without their kind they would be live auctions, loaded into Redis and open to the whole country.
        raise RuntimeError(f"{count} neighbourhood auctions are running; let them end first")
    op.drop_index("ix_auctions_unmirrored", "auctions")
    for name in ("place", "radius", "kind"):
        op.drop_constraint(op.f(f"ck_auctions_{name}"), "auctions")
    for column in ("mirrored_seq", "radius", "cell", "region_code", "kind"):
        op.drop_column("auctions", column)
