"""The watch list: auctions that a user keeps an eye on. `search.watched` lists them as cards."""

from uuid import UUID

from sqlalchemy import Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from market.accounts import accounts
from market.errors import Refusal
from market.listings import auction_views
from market.listings.refusals import ListingRefusal
from store.ids import new_id
from store.models import Watch

MAX_WATCHES = 500
"""Of one user."""
MAX_COUNTED = 1_000
"""Counting more watchers of an auction would take long, and tell nobody more."""


def put(session: Session, user_id: UUID, auction_id: UUID) -> None:
    """Watch an auction that is no draft; again changes nothing. Refuses with `not_found` or `too_many_watches`."""
    # Two at once must not both be the last one allowed.
    accounts.lock(session, user_id)
    auction_views.published(session, auction_id, user_id)
    others = select(func.count()).where(Watch.user_id == user_id, Watch.auction_id != auction_id)
    if session.scalars(others).one() >= MAX_WATCHES:
        raise Refusal(ListingRefusal.TOO_MANY_WATCHES)
    session.execute(
        insert(Watch)
        .values(id=new_id(), user_id=user_id, auction_id=auction_id)
        .on_conflict_do_nothing(index_elements=[Watch.auction_id, Watch.user_id])
    )


def remove(session: Session, user_id: UUID, auction_id: UUID) -> None:
    """Watch an auction no longer; who does not watch it changes nothing."""
    session.execute(delete(Watch).where(Watch.user_id == user_id, Watch.auction_id == auction_id))


def interest(auction_id: UUID, viewer_id: UUID | None) -> Select[int, bool]:
    """The query for how many watch an auction (`watchers`, at most `MAX_COUNTED`) and whether the viewer does
    (`watched`); a guest watches nothing."""
    of_auction = select(Watch.user_id).where(Watch.auction_id == auction_id)
    some = of_auction.limit(MAX_COUNTED).subquery()
    watched = of_auction.where(Watch.user_id == viewer_id).exists()
    return select(
        select(func.count()).select_from(some).scalar_subquery().label("watchers"), watched.label("watched")
    )


def forget_user(session: Session, user_id: UUID) -> None:
    """Delete the watch list of a user, whose account is deleted."""
    session.execute(
        delete(Watch).where(Watch.user_id == user_id), execution_options={"synchronize_session": False}
    )
