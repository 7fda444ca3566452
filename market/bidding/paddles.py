"""Paddles: the right to bid up to a limit in one live auction, backed by a hold of as much money.

PostgreSQL decides and Redis follows: every change makes the `version` grow and is brought to Redis after the commit; a
sweep brings what a crash left behind (`bring_unsynced`). A paddle is given back in two steps, because only Redis knows
who leads: `begin_return`, then Redis forgets the limit or says that its owner leads, then `finish_return` or
`cancel_return`.

Every change locks the auction first and money last, so the paddles of one auction change one after the other and
settlement, which locks the auction too, sees either the old hold or the new one.
"""

from datetime import timedelta
from uuid import UUID

import msgspec
from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from market.accounts import accounts, blocks
from market.bidding.refusals import BidRefusal
from market.errors import GeneralRefusal, Refusal
from market.listings import auction_views
from market.listings.auction_views import locked, not_found
from market.listings.refusals import ListingRefusal
from market.money import ledger
from store import effects
from store.effects import Decision, PutPaddle
from store.ids import new_id
from store.models import Auction, AuctionKind, AuctionStatus, Paddle, PaddleStatus
from store.redis.auctions import HotPaddle, put_paddle


class PaddleView(msgspec.Struct, frozen=True):
    """A paddle as its owner sees it. `limit` and `hold`, the money set aside for it now, in minor units."""

    auction_id: UUID
    bidder_id: UUID
    number: int
    limit: int
    status: PaddleStatus
    version: int
    hold: int


def take(session: Session, bidder_id: UUID, auction_id: UUID, limit: int) -> PaddleView:
    """Take a paddle, before or during the auction. Asking again with the same limit gives the same paddle; one that was
    given back is taken again under its old number.

    Refuses with `email_not_verified`, `suspended`, `not_found`, `own_auction`, `blocked` (by the seller), `wrong_kind`,
    `closed`, `paddle_taken` (with another limit), `paddle_returning` or as `ledger.post` does.
    """
    accounts.require_may_trade(session, bidder_id)
    auction = locked(session, auction_id)
    if auction.status == AuctionStatus.DRAFT:
        raise not_found()
    auction_views.require_visible(session, auction, bidder_id)
    if auction.seller_id == bidder_id:
        raise Refusal(ListingRefusal.OWN_AUCTION)
    blocks.check(session, auction.seller_id, bidder_id)
    _require_live(auction)
    _require_running(session, auction)
    paddle = _find(session, bidder_id, auction_id)
    if paddle is not None and paddle.status == PaddleStatus.RETURNING:
        raise Refusal(BidRefusal.PADDLE_RETURNING)
    if paddle is not None and paddle.status == PaddleStatus.ACTIVE:
        if paddle.limit != limit:
            raise Refusal(BidRefusal.PADDLE_TAKEN, limit=paddle.limit)
        view = _view(paddle)
        _bring(session, view)
        return view
    hold = ledger.holding(session, new_id(), bidder_id, limit, auction_id)
    ledger.post(session, [hold])
    if paddle is None:
        auction.paddle_count += 1
        paddle = Paddle(auction_id=auction_id, bidder_id=bidder_id, number=auction.paddle_count, version=0)
        session.add(paddle)
    paddle.limit = limit
    paddle.hold_id = hold.id
    return _changed(session, paddle, PaddleStatus.ACTIVE)


def raise_limit(session: Session, bidder_id: UUID, auction_id: UUID, limit: int, version: int) -> PaddleView:
    """Raise the limit of a paddle in this `version`; the old hold is exchanged for one of the new limit, or kept if the
    money does not suffice.

    Refuses with `suspended`, `not_found`, `no_paddle`, `wrong_kind`, `closed`, `precondition_failed`,
    `limit_not_raised` or as `ledger.post` does.
    """
    accounts.require_not_suspended(session, bidder_id)
    auction = locked(session, auction_id)
    paddle = _own(session, bidder_id, auction_id)
    _require_live(auction)
    _require_running(session, auction)
    if paddle.status != PaddleStatus.ACTIVE:
        raise Refusal(BidRefusal.NO_PADDLE)
    if paddle.version != version:
        raise Refusal(GeneralRefusal.PRECONDITION_FAILED)
    if limit <= paddle.limit:
        raise Refusal(BidRefusal.LIMIT_NOT_RAISED, limit=paddle.limit)
    hold = ledger.holding(session, new_id(), bidder_id, limit, auction_id)
    ledger.post(session, [*ledger.releasing(session, [paddle.hold_id]), hold])
    paddle.limit = limit
    paddle.hold_id = hold.id
    return _changed(session, paddle, PaddleStatus.ACTIVE)


def give_back(session: Session, bidder_id: UUID, auction_id: UUID) -> PaddleView | Decision[PaddleView]:
    """Give the paddle back. As long as Redis could not be asked it is `RETURNING`, and the sweep asks again: its money
    is free when no bid can be accepted on it any more.

    Refuses as `begin_return`; then with `paddle_leading`, or `paddle_changed` if it was changed at the same time.
    """
    view = begin_return(session, bidder_id, auction_id)
    return Decision(
        put_paddle(auction_id, hot(view)),
        lambda session, answer: _conclude_return(session, view, answer),
        away=view,
    )


def _conclude_return(session: Session, view: PaddleView, answer: str) -> PaddleView | Refusal:
    """What a return has come to by Redis's answer; a refusal does not take back what the answer has changed."""
    paddle = _confirm(session, view, answer)
    if answer == "leading":
        return Refusal(BidRefusal.PADDLE_LEADING)
    if answer == "stale" or paddle.status == PaddleStatus.ACTIVE:
        return Refusal(BidRefusal.PADDLE_CHANGED)
    # Otherwise nobody knows what Redis holds or is being loaded with: the sweep asks again and finishes it.
    return paddle


def _confirm(session: Session, view: PaddleView, answer: str) -> PaddleView:
    """Note what Redis has answered to the paddle in this version; the paddle as it is then."""
    key = (view.auction_id, view.bidder_id, view.version)
    if answer == "leading":
        return cancel_return(session, *key)
    if answer == "written" and view.status == PaddleStatus.RETURNING:
        return finish_return(session, *key)
    if answer == "written":
        synced(session, *key)
    return view


def begin_return(session: Session, bidder_id: UUID, auction_id: UUID) -> PaddleView:
    """Begin to give the paddle back. Asking again changes nothing.

    Refuses with `not_found`, `no_paddle`, `wrong_kind` or `closed`: after the hammer the settlement decides about the
    money.
    """
    auction = locked(session, auction_id)
    paddle = _own(session, bidder_id, auction_id)
    _require_live(auction)
    if paddle.status in (PaddleStatus.RETURNING, PaddleStatus.RETURNED):
        return _view(paddle)
    if auction.status != AuctionStatus.PUBLISHED:
        raise Refusal(ListingRefusal.CLOSED)
    return _change(session, paddle, PaddleStatus.RETURNING)


def finish_return(session: Session, auction_id: UUID, bidder_id: UUID, version: int) -> PaddleView:
    """Release the money, once Redis has accepted that the paddle of this `version` is gone.

    Nothing changes if the paddle is no longer in this version, or while PostgreSQL still knows its owner as the
    leader: then the state is returned as it is, and the sweep asks again.
    """
    auction = locked(session, auction_id)
    paddle = _own(session, bidder_id, auction_id)
    if not _returning(paddle, version) or auction.leader_id == bidder_id:
        return _view(paddle)
    ledger.post(session, ledger.releasing(session, [paddle.hold_id]))
    paddle.status = PaddleStatus.RETURNED
    session.flush()
    return _view(paddle)


def cancel_return(session: Session, auction_id: UUID, bidder_id: UUID, version: int) -> PaddleView:
    """Make the paddle active again, because its owner leads. Nothing changes if it is no longer in this `version`."""
    locked(session, auction_id)
    paddle = _own(session, bidder_id, auction_id)
    if not _returning(paddle, version):
        return _view(paddle)
    return _changed(session, paddle, PaddleStatus.ACTIVE)


def get(session: Session, bidder_id: UUID, auction_id: UUID) -> PaddleView:
    """The paddle of a bidder. Refuses with `no_paddle`."""
    return _view(_own(session, bidder_id, auction_id))


def hot(view: PaddleView) -> HotPaddle:
    """The paddle as the scripts see it."""
    limit = view.limit if view.status == PaddleStatus.ACTIVE else 0
    return HotPaddle(view.bidder_id, view.number, limit, view.version)


def synced(session: Session, auction_id: UUID, bidder_id: UUID, version: int) -> None:
    """Note that Redis has confirmed a version."""
    session.execute(
        update(Paddle)
        .where(
            Paddle.auction_id == auction_id, Paddle.bidder_id == bidder_id, Paddle.synced_version < version
        )
        .values(synced_version=version),
        execution_options={"synchronize_session": False},
    )


def unsynced(session: Session, older_than_s: float) -> list[PaddleView]:
    """What a sweep must bring to Redis again: unconfirmed changes and unfinished returns, the oldest first."""
    paddles = session.scalars(
        select(Paddle)
        .where(
            or_(
                Paddle.status == PaddleStatus.RETURNING,
                (Paddle.status == PaddleStatus.ACTIVE) & (Paddle.synced_version < Paddle.version),
            ),
            Paddle.updated_at < func.now() - timedelta(seconds=older_than_s),
        )
        .order_by(Paddle.updated_at)
    )
    return [_view(paddle) for paddle in paddles]


def bring_unsynced(session: Session, older_than_s: float) -> None:
    """Bring to Redis again what it has not confirmed."""
    for view in unsynced(session, older_than_s):
        _bring(session, view)


def _bring(session: Session, view: PaddleView) -> None:
    """Have Redis know the paddle after the commit, and note what it has answered."""
    effects.after_commit(
        session,
        PutPaddle(view.auction_id, hot(view), lambda session, answer: _confirm(session, view, answer)),
    )


def _require_live(auction: Auction) -> None:
    if auction.kind != AuctionKind.LIVE:
        raise Refusal(BidRefusal.WRONG_KIND)


def _require_running(session: Session, auction: Auction) -> None:
    # `ends_at` may be a second old; nobody is refused for it while a soft close can still move the end.
    over = session.scalars(select(func.clock_timestamp() >= auction.latest_end)).one()
    if over or auction.status != AuctionStatus.PUBLISHED:
        raise Refusal(ListingRefusal.CLOSED)


def _find(session: Session, bidder_id: UUID, auction_id: UUID) -> Paddle | None:
    return session.scalars(
        select(Paddle)
        .where(Paddle.auction_id == auction_id, Paddle.bidder_id == bidder_id)
        .execution_options(populate_existing=True)
    ).one_or_none()


def _own(session: Session, bidder_id: UUID, auction_id: UUID) -> Paddle:
    paddle = _find(session, bidder_id, auction_id)
    if paddle is None:
        raise Refusal(BidRefusal.NO_PADDLE)
    return paddle


def _returning(paddle: Paddle, version: int) -> bool:
    return paddle.status == PaddleStatus.RETURNING and paddle.version == version


def _changed(session: Session, paddle: Paddle, status: PaddleStatus) -> PaddleView:
    view = _change(session, paddle, status)
    _bring(session, view)
    return view


def _change(session: Session, paddle: Paddle, status: PaddleStatus) -> PaddleView:
    paddle.status = status
    paddle.version += 1
    session.flush()
    return _view(paddle)


def _view(paddle: Paddle) -> PaddleView:
    status = paddle.status
    return PaddleView(
        auction_id=paddle.auction_id,
        bidder_id=paddle.bidder_id,
        number=paddle.number,
        limit=paddle.limit,
        status=status,
        version=paddle.version,
        hold=paddle.limit if status in (PaddleStatus.ACTIVE, PaddleStatus.RETURNING) else 0,
    )
