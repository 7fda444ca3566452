"""The end of an account: settled first, then everything personal is overwritten.

The row stays, because bids, orders and the ledger refer to it; nothing in it tells who it was. The e-mail address may
register anew. What a noun knows of somebody it forgets by its `forget_user`.

What the user wrote to the other parties of orders is evidence for them for a time, and `forget_messages` empties it
then.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import and_, exists, func, literal, or_, select, union_all, update
from sqlalchemy.orm import Session, aliased

from market import idempotency
from market.accounts import accounts, sessions, two_factor
from market.accounts.refusals import AccountRefusal
from market.errors import Refusal
from market.listings import listings, photos, questions, search_index, watches
from market.moderation import fraud_signals
from market.money import wallet
from market.notifications import account_emails, notifications
from market.orders import chats, orders
from market.places import neighbourhoods
from store.models import (
    Auction,
    AuctionStatus,
    ChatMessage,
    Order,
    Paddle,
    PaddleStatus,
    Report,
    ReportKind,
    Role,
    User,
)

MESSAGES_KEPT = timedelta(days=30)
"""How long after the end of an order its chat stays whole, no matter who leaves: as long as it may be reviewed."""

BATCH = 500

_NOUNS = (
    accounts,
    two_factor,
    neighbourhoods,
    notifications,
    listings,
    search_index,
    questions,
    photos,
    watches,
    chats,
    idempotency,
    fraud_signals,
)
"""Whatever knows something personal."""

MAX_NAMED = 100
"""How much unsettled business one refusal names."""


def delete(session: Session, user_id: UUID, password_hash: str) -> None:
    """Delete the account of a user who has proven to know the password behind `password_hash`.

    Refuses with `last_admin`, `unsettled_business` (naming it), `balance_not_zero`, or `invalid_credentials` if the
    password was changed meanwhile.
    """
    rows = _lock(session, user_id)
    owner = next(row for row in rows if row.id == user_id)
    if owner.password_hash != password_hash:
        raise Refusal(AccountRefusal.INVALID_CREDENTIALS)
    if owner.role == Role.ADMIN:
        accounts.require_admin_left(rows, user_id)
    email = owner.email
    _require_settled(session, user_id)
    account_emails.forget_user(session, user_id, email)
    for noun in _NOUNS:
        noun.forget_user(session, user_id)
    sessions.revoke_all(session, user_id)


def forget_messages(session: Session) -> int:
    """Empty what deleted users have written in the chats of orders that ended `MESSAGES_KEPT` ago, unless a report is
    open about one of these messages, or about a side of the order; how many these were."""
    same_chat = aliased(ChatMessage)
    is_open = Report.resolved_at.is_(None)
    message_reported = exists().where(
        is_open,
        Report.kind == ReportKind.MESSAGE,
        Report.subject_id == same_chat.id,
        same_chat.order_id == Order.id,
    )
    side_reported = exists().where(
        is_open, Report.kind == ReportKind.USER, Report.subject_id.in_([Order.buyer_id, Order.seller_id])
    )
    ids = session.scalars(
        select(ChatMessage.id)
        .join(Order, Order.id == ChatMessage.order_id)
        .where(
            ChatMessage.sender_gone,
            ChatMessage.text != "",
            Order.finished_at <= func.now() - MESSAGES_KEPT,
            ~message_reported,
            ~side_reported,
        )
        .limit(BATCH)
        .with_for_update(of=ChatMessage, key_share=True, skip_locked=True)
    ).all()
    session.execute(
        update(ChatMessage).where(ChatMessage.id.in_(ids)).values(text=""),
        execution_options={"synchronize_session": False},
    )
    return len(ids)


def _lock(session: Session, user_id: UUID) -> Sequence[User]:
    """The user's row, and of an admin those of all admins. Whatever the user could begin from here on waits in
    `accounts.keep`, and is refused then."""
    owner = aliased(User)
    is_admin = exists().where(owner.id == user_id, owner.role == Role.ADMIN)
    return session.scalars(
        select(User)
        .where(or_(User.id == user_id, and_(User.role == Role.ADMIN, is_admin)))
        .order_by(User.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


def _require_settled(session: Session, user_id: UUID) -> None:
    """One statement looks for all business: a settlement that commits meanwhile turns a paddle into an order. Without
    any, only a top-up moves the user's money, so that is looked at last. No lock keeps a paddle from being taken: that
    needs money."""
    business = union_all(
        select(literal("paddles").label("kind"), Paddle.auction_id.label("id")).where(
            Paddle.bidder_id == user_id, Paddle.status.in_([PaddleStatus.ACTIVE, PaddleStatus.RETURNING])
        ),
        select(literal("auctions"), Auction.id).where(
            Auction.seller_id == user_id,
            Auction.status.in_([AuctionStatus.PUBLISHED, AuctionStatus.SEALED]),
        ),
        select(literal("orders"), Order.id).where(
            or_(Order.buyer_id == user_id, Order.seller_id == user_id), Order.state.not_in(orders.FINAL)
        ),
    )
    found = session.execute(business.limit(MAX_NAMED)).all()
    if found:
        named: dict[str, list[UUID]] = {"paddles": [], "auctions": [], "orders": []}
        for kind, id in found:
            named[kind].append(id)
        raise Refusal(AccountRefusal.UNSETTLED_BUSINESS, **named)
    money = wallet.view(session, user_id)
    if money.available or money.held:
        raise Refusal(AccountRefusal.BALANCE_NOT_ZERO, available=money.available, held=money.held)
