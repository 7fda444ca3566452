"""Photos that are avatars."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("photos", sa.Column("is_avatar", sa.Boolean(), server_default="false", nullable=False))
    op.create_check_constraint(op.f("ck_photos_avatar"), "photos", "is_avatar <= (auction_id IS NULL)")
    op.create_index(
        "uq_photos_avatar",
        "photos",
        ["owner_id"],
        unique=True,
        postgresql_where=sa.text("is_avatar AND status = 'ready'"),
    )


def downgrade() -> None:
    # Without it, avatars are photos whose auction is gone: they and their files are swept.
    op.drop_index("uq_photos_avatar", "photos")
    op.drop_constraint(op.f("ck_photos_avatar"), "photos")
    op.drop_column("photos", "is_avatar")
