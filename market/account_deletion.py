"""The end of an account: settled first, then everything personal is overwritten.

The row stays, because bids, orders and the ledger refer to it; nothing in it tells who it was. The e-mail address may
register anew. A table that gets something personal gets a line in `delete`.

What the user wrote to the other sides of orders is evidence for them for a time, and `forget_messages` empties it then.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import and_, exists, func, literal, or_, select, union_all, update
from sqlalchemy import delete as delete_from
from sqlalchemy.orm import Session, aliased

from market.accounts import accounts, sessions
from market.accounts.refusals import AccountRefusal
from market.errors import Refusal
from market.listings import photos, questions, search_index
from market.money import wallet
from market.notifications import account_emails, notifications
from market.orders import orders
from store.models import (
    Auction,
    AuctionKind,
    AuctionStatus,
    ChatMessage,
    IdempotencyKey,
    Language,
    LogInTrace,
    Neighbourhood,
    Order,
    Paddle,
    PaddleStatus,
    Report,
    ReportKind,
    Role,
    SecondFactor,
    User,
    Watch,
)

NAME = "Deleted user"
"""What others see of a deleted account."""

MESSAGES_KEPT = timedelta(days=30)
"""How long after the end of an order its chat stays whole, whoever leaves: as long as it may be reviewed."""

BATCH = 500

MAX_NAMED = 100
"""How much unsettled business one refusal names."""


def delete(session: Session, user_id: UUID, password_hash: str) -> None:
    """Delete the account of whoever has proven to know the password behind `password_hash`.

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
    session.execute(
        update(User)
        .where(User.id == user_id)
        .values(
            # Nobody can register this, or log in by it.
            email=f"deleted:{user_id}",
            password_hash="",
            display_name=NAME,
            bio="",
            language=Language.ENGLISH,
            email_verified_at=None,
            role=Role.USER,
            deleted_at=func.now(),
        ),
        execution_options={"synchronize_session": False},
    )
    session.execute(
        update(Auction)
        .where(Auction.seller_id == user_id, Auction.status == AuctionStatus.DRAFT)
        .values(
            title="Deleted", description="", kind=AuctionKind.LIVE, region_code=None, cell=None, radius=None
        ),
        execution_options={"synchronize_session": False},
    )
    own = select(Order.id).where(or_(Order.buyer_id == user_id, Order.seller_id == user_id))
    session.execute(
        update(ChatMessage)
        .where(ChatMessage.order_id.in_(own), ChatMessage.sender_id == user_id)
        .values(sender_gone=True),
        execution_options={"synchronize_session": False},
    )
    search_index.forget_drafts(session, user_id)
    questions.forget_texts(session, user_id)
    photos.discard_drafts(session, user_id)
    photos.discard_avatar(session, user_id)
    account_emails.forget_user(session, user_id, email)
    notifications.forget_user(session, user_id)
    # The answers that are kept for idempotency repeat what the user has written.
    for table in (SecondFactor, Neighbourhood, IdempotencyKey, Watch, LogInTrace):
        session.execute(
            delete_from(table).where(table.user_id == user_id),
            execution_options={"synchronize_session": False},
        )
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
