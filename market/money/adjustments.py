"""Money that admins bring into a wallet, or take out of it: one proposes, another one confirms, and it moves once.

The other side is the payment provider's account, the world outside. An adjustment that nobody confirms expires. Nobody
proposes or confirms one of their own wallet. All of it is in the audit log, as actions upon the user.

An admin can make admins of further accounts of their own. So the two must not have their role from each other or from
the same admin: each from the operator, or from admins who have theirs from the operator.
"""

from datetime import datetime
from functools import partial
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.orm import Session, aliased

from market import audit
from market.audit import Actor, Subject
from market.errors import GeneralRefusal, Refusal
from market.money import ledger, wallet
from market.money.ledger import Posting
from market.money.refusals import MoneyRefusal
from market.pages import Page, list_page
from market.times import clock, to_ms
from store.models import AccountKind, Adjustment, AdjustmentState, Direction, Role, TransferKind, User


class AdjustmentView(msgspec.Struct, frozen=True):
    """An adjustment, for admins. `amount` in minor units, times in ms. Pending, it can be confirmed until
    `expires_at`."""

    id: UUID
    user_id: UUID
    user_name: str
    direction: Direction
    amount: int
    reason: str
    state: Literal["pending", "confirmed", "rejected", "expired"]
    proposer_id: UUID
    proposer_name: str
    created_at: int
    expires_at: int
    decider_id: UUID | None
    decided_at: int | None


def propose(
    session: Session, admin_id: UUID, user_id: UUID, direction: Direction, amount: int, reason: str
) -> AdjustmentView:
    """Propose to move `amount` (minor units) into a wallet, or out of it. Refuses with `not_found` or `forbidden` (the
    own wallet)."""
    _keep(session, user_id)
    _require_anothers(user_id, admin_id)
    adjustment = Adjustment(
        user_id=user_id, direction=direction, amount=amount, reason=reason, proposer_id=admin_id
    )
    session.add(adjustment)
    session.flush()
    _record(session, admin_id, "propose_adjustment", adjustment, reason, None, _noted(adjustment))
    return _get(session, adjustment.id)


def confirm(session: Session, admin_id: UUID, adjustment_id: UUID, reason: str) -> AdjustmentView:
    """Move the money. If it has moved already, nothing changes.

    Refuses with `not_found`, `wrong_state` (rejected or expired), `own_proposal`, `forbidden` (their own wallet), or
    with `insufficient_funds` (without `missing`, which would tell what is held) or `balance_too_large`.
    """
    adjustment = _locked(session, adjustment_id)
    if adjustment.state == AdjustmentState.CONFIRMED:
        return _get(session, adjustment_id)
    _require_pending(session, adjustment)
    if _line(session, adjustment.proposer_id) & _line(session, admin_id):
        raise Refusal(
            GeneralRefusal.OWN_PROPOSAL, "An admin whose role does not go back to you must confirm it."
        )
    _require_anothers(adjustment.user_id, admin_id)
    _keep(session, adjustment.user_id)
    _decide(session, admin_id, adjustment, AdjustmentState.CONFIRMED, "confirm_adjustment", reason)
    _move(session, adjustment)
    return _get(session, adjustment_id)


def reject(session: Session, admin_id: UUID, adjustment_id: UUID, reason: str) -> AdjustmentView:
    """End a proposal, also one's own. Refuses with `not_found` or `wrong_state`."""
    adjustment = _locked(session, adjustment_id)
    _require_pending(session, adjustment)
    _decide(session, admin_id, adjustment, AdjustmentState.REJECTED, "reject_adjustment", reason)
    return _get(session, adjustment_id)


def page(
    session: Session, state: AdjustmentState | None, cursor: str | None, limit: int
) -> Page[AdjustmentView]:
    """The adjustments in this state, expired ones as pending; None means all. The last proposed first.

    Refuses with `invalid_cursor`.
    """
    query = _adjustments() if state is None else _adjustments().where(Adjustment.state == state)
    return list_page(session, query, partial(_view, clock(session)), Adjustment.id, cursor, limit)


def _keep(session: Session, user_id: UUID) -> None:
    """Hold off the deletion of the account, whose wallet must be empty."""
    kept = select(User.id).where(User.id == user_id, User.deleted_at.is_(None))
    if session.scalar(kept.with_for_update(read=True, key_share=True)) is None:
        raise Refusal(GeneralRefusal.NOT_FOUND, "There is no such user.")


def _require_anothers(user_id: UUID, admin_id: UUID) -> None:
    if user_id == admin_id:
        raise Refusal(GeneralRefusal.FORBIDDEN, "You cannot move your own money.")


def _line(session: Session, admin_id: UUID) -> set[UUID]:
    """An admin, who has made that one an admin, who has made that one, and so on."""
    line: set[UUID] = set()
    next_id: UUID | None = admin_id
    while next_id is not None and next_id not in line:
        line.add(next_id)
        next_id = audit.giver_of_role(session, next_id, Role.ADMIN)
    return line


def _locked(session: Session, adjustment_id: UUID) -> Adjustment:
    adjustment = session.get(
        Adjustment, adjustment_id, populate_existing=True, with_for_update={"key_share": True}
    )
    if adjustment is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    return adjustment


def _require_pending(session: Session, adjustment: Adjustment) -> None:
    if adjustment.state != AdjustmentState.PENDING:
        raise Refusal(GeneralRefusal.WRONG_STATE, state=adjustment.state)
    if adjustment.expires_at <= clock(session):
        raise Refusal(
            GeneralRefusal.WRONG_STATE, "The adjustment has expired. Propose it again.", state="expired"
        )


def _decide(
    session: Session, admin_id: UUID, adjustment: Adjustment, state: AdjustmentState, action: str, reason: str
) -> None:
    before = _noted(adjustment)
    adjustment.state, adjustment.decider_id, adjustment.decided_at = state, admin_id, clock(session)
    session.flush()
    _record(session, admin_id, action, adjustment, reason, before, _noted(adjustment))


def _move(session: Session, adjustment: Adjustment) -> None:
    """The transfer has the id of the adjustment, so there can be only one."""
    provider = ledger.account(session, AccountKind.PROVIDER, None)
    available = ledger.account(session, AccountKind.AVAILABLE, adjustment.user_id)
    ways = {Direction.CREDIT: (provider, available), Direction.DEBIT: (available, provider)}
    debit, credit = ways[adjustment.direction]
    posting = Posting(adjustment.id, TransferKind.ADJUSTMENT, debit, credit, adjustment.amount)
    try:
        ledger.post(session, [posting])
    except Refusal as refusal:
        if refusal.code == MoneyRefusal.INSUFFICIENT_FUNDS:
            raise Refusal(
                MoneyRefusal.INSUFFICIENT_FUNDS, "There is not enough money in this user's wallet."
            ) from refusal
        raise
    wallet.check_room(session, adjustment.user_id)


def _noted(adjustment: Adjustment) -> dict[str, Any]:
    """What the log says of an adjustment."""
    return {
        "adjustment": str(adjustment.id),
        "direction": adjustment.direction,
        "amount": adjustment.amount,
        "state": adjustment.state,
    }


def _record(
    session: Session,
    admin_id: UUID,
    action: str,
    adjustment: Adjustment,
    reason: str,
    before: dict[str, Any] | None,
    after: dict[str, Any],
) -> None:
    actor, subject = Actor(admin_id, Role.ADMIN), Subject("user", adjustment.user_id)
    audit.record(session, actor, action, subject, reason, before, after)


def _get(session: Session, adjustment_id: UUID) -> AdjustmentView:
    row = session.execute(_adjustments().where(Adjustment.id == adjustment_id)).one()
    return _view(clock(session), *row)


def _adjustments() -> Select[Adjustment, str, str]:
    user, proposer = aliased(User), aliased(User)
    return (
        select(Adjustment, user.display_name, proposer.display_name)
        .join(user, user.id == Adjustment.user_id)
        .join(proposer, proposer.id == Adjustment.proposer_id)
    )


def _view(now: datetime, row: Adjustment, user_name: str, proposer_name: str) -> AdjustmentView:
    has_expired = row.state == AdjustmentState.PENDING and row.expires_at <= now
    return AdjustmentView(
        id=row.id,
        user_id=row.user_id,
        user_name=user_name,
        direction=row.direction,
        amount=row.amount,
        reason=row.reason,
        state="expired" if has_expired else row.state.value,
        proposer_id=row.proposer_id,
        proposer_name=proposer_name,
        created_at=to_ms(row.created_at),
        expires_at=to_ms(row.expires_at),
        decider_id=row.decider_id,
        decided_at=None if row.decided_at is None else to_ms(row.decided_at),
    )
