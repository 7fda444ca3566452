"""When those who had bid were told that an outage moved the end; and that a log-in may be stolen is told. What was
extended until now is not told any more."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_EVENTS = (
    "'outbid', 'leading', 'reserve_met', 'opened', 'ending_soon', 'extended', 'won', 'lost', 'sold', 'unsold',"
    " 'cancelled', 'question', 'answer', 'handover_proposed', 'handover_agreed', 'order_hand_over',"
    " 'order_report_no_show', 'order_contest', 'order_ship', 'order_confirm', 'order_report_problem',"
    " 'order_refund', 'order_time_out', 'order_decide_for_seller', 'order_decide_for_buyer',"
    " 'review', 'login', {}'password_changed', 'second_factor_changed',"
    " 'announcement', 'warning', 'dispute'"
)
_HISTORY = "auction_id, action_id, epoch, seq, at, ends_at, latest_end"


def _keep(changes: str) -> None:
    op.execute("DROP TRIGGER append_only ON extensions")
    op.execute(
        f"CREATE TRIGGER append_only BEFORE {changes} OR DELETE OR TRUNCATE ON extensions "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def _allow(added: str) -> None:
    op.drop_constraint(op.f("ck_notifications_event"), "notifications")
    op.create_check_constraint(
        op.f("ck_notifications_event"), "notifications", f"event IN ({_EVENTS.format(added)})"
    )


def upgrade() -> None:
    _allow("'session_stolen', ")
    told_at = sa.Column("told_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=True)
    op.add_column("extensions", told_at)
    op.alter_column("extensions", "told_at", server_default=None)
    op.create_index(
        op.f("ix_extensions_untold"), "extensions", ["at"], postgresql_where=sa.text("told_at IS NULL")
    )
    op.execute("GRANT UPDATE (told_at) ON extensions TO neighborbid_app")
    _keep(f"UPDATE OF {_HISTORY}")


def downgrade() -> None:
    _keep("UPDATE")
    op.execute("REVOKE UPDATE (told_at) ON extensions FROM neighborbid_app")
    op.drop_column("extensions", "told_at")
    op.execute("DELETE FROM notifications WHERE event = 'session_stolen'")
    _allow("")
