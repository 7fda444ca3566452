"""Users are told that they were suspended, and of messages that they have not read."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_EVENTS = (
    "'outbid', 'leading', 'reserve_met', 'opened', 'ending_soon', 'extended', 'won', 'lost', 'sold', 'unsold',"
    " 'cancelled', 'question', 'answer', 'handover_proposed', 'handover_agreed', 'order_hand_over',"
    " 'order_report_no_show', 'order_contest', 'order_ship', 'order_confirm', 'order_report_problem',"
    " 'order_refund', 'order_time_out', 'order_decide_for_seller', 'order_decide_for_buyer',"
    " 'review', 'login', 'session_stolen', 'password_changed', 'second_factor_changed',"
    " 'announcement', 'warning', {}'dispute'"
)


def _allow(added: str) -> None:
    op.drop_constraint(op.f("ck_notifications_event"), "notifications")
    op.create_check_constraint(
        op.f("ck_notifications_event"), "notifications", f"event IN ({_EVENTS.format(added)})"
    )


def upgrade() -> None:
    _allow("'suspended', 'message', ")


def downgrade() -> None:
    op.execute("DELETE FROM notifications WHERE event IN ('suspended', 'message')")
    _allow("")
