"""The photos of auctions."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "photos",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("auction_id", sa.Uuid(), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), server_default="pending", nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=True),
        sa.Column("height", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'processing', 'ready', 'refused', 'deleted')",
            name=op.f("ck_photos_status"),
        ),
        sa.CheckConstraint("size > 0", name=op.f("ck_photos_size")),
        sa.CheckConstraint("(status = 'ready') <= (width > 0 AND height > 0)", name=op.f("ck_photos_ready")),
        sa.CheckConstraint("(status = 'refused') <= (problem IS NOT NULL)", name=op.f("ck_photos_refused")),
        sa.ForeignKeyConstraint(
            ["auction_id"], ["auctions.id"], name=op.f("fk_photos_auction_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_photos_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_photos")),
        sa.UniqueConstraint("token", name=op.f("uq_photos_token")),
    )
    op.create_index("ix_photos_auction_id_position", "photos", ["auction_id", "position"], unique=False)
    op.create_index(op.f("ix_photos_owner_id"), "photos", ["owner_id"], unique=False)
    op.create_index(
        "ix_photos_due_at",
        "photos",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("status = 'processing'"),
    )
    op.create_index(
        "ix_photos_leaving",
        "photos",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'refused', 'deleted')"),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON photos TO neighborbid_app")


def downgrade() -> None:
    op.drop_table("photos")
