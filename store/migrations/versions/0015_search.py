"""Categories, conditions and the search for auctions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    categories = op.create_table(
        "categories",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("parent_code", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["parent_code"], ["categories.code"], name=op.f("fk_categories_parent_code")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_categories")),
    )
    # Where every auction stands that does not say where it belongs.
    op.bulk_insert(categories, [{"code": "other", "name": "기타", "name_en": "Other", "position": 0}])
    op.add_column("auctions", sa.Column("category_code", sa.Text(), server_default="other", nullable=False))
    op.add_column("auctions", sa.Column("condition", sa.Text(), nullable=True))
    op.create_foreign_key(
        op.f("fk_auctions_category_code"), "auctions", "categories", ["category_code"], ["code"]
    )
    op.create_check_constraint(
        op.f("ck_auctions_condition"),
        "auctions",
        "condition IN ('new', 'like_new', 'good', 'fair', 'for_parts')",
    )
    op.create_index("ix_auctions_bids_id", "auctions", ["bids", "id"])
    op.create_index("ix_auctions_asked_id", "auctions", [sa.text("greatest(price, start_price)"), "id"])
    op.create_index("ix_auctions_category_code_id", "auctions", ["category_code", "id"])
    op.create_index(
        "ix_auctions_region_code",
        "auctions",
        ["region_code"],
        postgresql_ops={"region_code": "text_pattern_ops"},
    )
    op.create_index("ix_auctions_cell", "auctions", ["cell"])
    op.create_table(
        "search_words",
        sa.Column("auction_id", sa.Uuid(), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.ForeignKeyConstraint(
            ["auction_id"], ["auctions.id"], name=op.f("fk_search_words_auction_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("auction_id", name=op.f("pk_search_words")),
    )
    op.create_index("ix_search_words_words", "search_words", ["words"], postgresql_using="gin")
    op.execute("GRANT SELECT, INSERT, UPDATE ON categories, search_words TO neighborbid_app")


def downgrade() -> None:
    op.drop_table("search_words")
    for index in ("cell", "region_code", "category_code_id", "asked_id", "bids_id"):
        op.drop_index(f"ix_auctions_{index}", "auctions")
    for column in ("condition", "category_code"):
        op.drop_column("auctions", column)
    op.drop_table("categories")
