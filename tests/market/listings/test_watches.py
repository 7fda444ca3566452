"""The watch list."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import func, update
from sqlalchemy.orm import Session

from market import account_deletion
from market.errors import Refusal
from market.listings import listings, search, watches
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Auction
from tests.support.factories import (
    NO_PASSWORD,
    a_draft,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)
from tests.support.races import at_once


def watched(session: Session, user_id: UUID, limit: int = 2) -> list[UUID]:
    """All of it, read in pages."""
    found, cursor = [], None
    while True:
        page = search.watched(session, user_id, cursor, limit)
        found += [hit.auction.id for hit in page.hits]
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


def interest(session: Session, auction: UUID, viewer: UUID | None) -> tuple[int, bool]:
    """How many watch, and whether the viewer does."""
    watchers, watched = session.execute(watches.interest(auction, viewer)).one()
    return watchers, watched


def test_what_is_watched_is_listed_the_last_added_first_also_when_it_is_over(db_session: Session) -> None:
    user, other = make_user(db_session), make_user(db_session)
    auctions = [make_published_auction(db_session).id for _ in range(5)]
    added = [auctions[3], auctions[0], auctions[4]]
    for auction in [*added, added[0]]:
        watches.put(db_session, user, auction)
    watches.put(db_session, other, auctions[1])
    ago = func.now() - timedelta(hours=1)
    db_session.execute(
        update(Auction).where(Auction.id == added[1]).values(opens_at=ago, ends_at=ago, latest_end=ago)
    )
    assert watched(db_session, user) == added[::-1]
    watches.remove(db_session, user, added[1])
    watches.remove(db_session, user, added[1])
    watches.remove(db_session, user, new_id())
    assert watched(db_session, user) == [added[2], added[0]]
    with pytest.raises(Refusal, match="invalid_cursor"):
        search.watched(db_session, user, "no cursor", 2)


def test_a_page_goes_on_where_it_ended_whatever_is_taken_off_meanwhile(db_session: Session) -> None:
    user = make_user(db_session)
    auctions = [make_published_auction(db_session).id for _ in range(4)]
    for auction in auctions:
        watches.put(db_session, user, auction)
    first = search.watched(db_session, user, None, 2)
    watches.remove(db_session, user, auctions[2])
    rest = search.watched(db_session, user, first.next_cursor, 2)
    assert [hit.auction.id for hit in rest.hits] == [auctions[1], auctions[0]]


@pytest.mark.usefixtures("some_regions")
def test_a_neighbour_sees_how_far_it_is(db_session: Session) -> None:
    user, _ = make_neighbour(db_session)
    watches.put(db_session, user, make_neighbourhood_auction(db_session).id)
    [hit] = search.watched(db_session, user, None, 2).hits
    assert hit.distance == "same"


def test_a_draft_is_watched_by_nobody(db_session: Session) -> None:
    seller = make_user(db_session)
    draft = listings.create(db_session, seller, a_draft()).id
    for auction in (draft, new_id()):
        with pytest.raises(Refusal, match="not_found"):
            watches.put(db_session, seller, auction)


def test_a_user_watches_a_bounded_number(
    sync_database: SyncDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "MAX_WATCHES", 4)
    with sync_database.transaction() as session:
        user = make_user(session)
        auctions = [make_published_auction(session).id for _ in range(6)]

    def run(use_case: Callable[[Session, UUID, UUID], None], auction_id: UUID) -> None:
        with sync_database.transaction() as session:
            use_case(session, user, auction_id)

    for auction in auctions[:2]:
        run(watches.put, auction)
    results = at_once([partial(run, watches.put, auction) for auction in auctions[2:]])
    assert sorted(map(str, results)) == ["None"] * 2 + ["too_many_watches"] * 2
    run(watches.put, auctions[0])
    run(watches.remove, auctions[0])
    run(watches.put, auctions[0])


def test_watchers_are_counted_up_to_a_bound(db_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    users, auction = [make_user(db_session) for _ in range(3)], make_published_auction(db_session).id
    assert interest(db_session, auction, users[0]) == (0, False)
    for user in users:
        watches.put(db_session, user, auction)
    assert interest(db_session, auction, users[0]) == (3, True)
    assert interest(db_session, auction, None) == (3, False)
    monkeypatch.setattr(watches, "MAX_COUNTED", 2)
    assert interest(db_session, auction, make_user(db_session)) == (2, False)


def test_a_deleted_account_watches_nothing(db_session: Session) -> None:
    user, auction = make_user(db_session), make_published_auction(db_session).id
    watches.put(db_session, user, auction)
    account_deletion.delete(db_session, user, NO_PASSWORD)
    assert interest(db_session, auction, user) == (0, False)
    with pytest.raises(Refusal, match="unauthenticated"):
        watches.put(db_session, user, auction)
