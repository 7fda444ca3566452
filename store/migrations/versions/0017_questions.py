"""Questions about auctions, and watch lists."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "questions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("auction_id", sa.Uuid(), nullable=False),
        sa.Column("seller_id", sa.Uuid(), nullable=False),
        sa.Column("asker_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hidden_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(answer IS NULL) = (answered_at IS NULL)", name=op.f("ck_questions_answer")),
        sa.ForeignKeyConstraint(["auction_id"], ["auctions.id"], name=op.f("fk_questions_auction_id")),
        sa.ForeignKeyConstraint(["seller_id"], ["users.id"], name=op.f("fk_questions_seller_id")),
        sa.ForeignKeyConstraint(["asker_id"], ["users.id"], name=op.f("fk_questions_asker_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_questions")),
    )
    for column in ("auction_id", "seller_id"):
        op.create_index(f"ix_questions_{column}_id", "questions", [column, "id"])
    op.create_index("ix_questions_asker_id_auction_id", "questions", ["asker_id", "auction_id"])
    op.create_index(
        "ix_questions_unanswered",
        "questions",
        ["seller_id", "id"],
        postgresql_where=sa.text("answer IS NULL"),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON questions TO neighborbid_app")
    _replace_kinds("'auction', 'message', 'question', 'user'")
    op.create_table(
        "watches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("auction_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["auction_id"], ["auctions.id"], name=op.f("fk_watches_auction_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_watches_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watches")),
        sa.UniqueConstraint("auction_id", "user_id", name=op.f("uq_watches_auction_id_user_id")),
    )
    op.create_index("ix_watches_user_id_id", "watches", ["user_id", "id"])
    op.execute("GRANT SELECT, INSERT, DELETE ON watches TO neighborbid_app")


def downgrade() -> None:
    op.drop_table("watches")
    op.execute("DELETE FROM reports WHERE kind = 'question'")
    _replace_kinds("'auction', 'message', 'user'")
    op.drop_table("questions")


def _replace_kinds(kinds: str) -> None:
    """What a report may be about."""
    op.drop_constraint(op.f("ck_reports_kind"), "reports")
    op.create_check_constraint(op.f("ck_reports_kind"), "reports", f"kind IN ({kinds})")
