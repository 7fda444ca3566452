"""What a seller does with a listing after the first draft, and what may change when."""

from collections.abc import Callable
from datetime import timedelta
from time import time
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from market.bidding import neighbourhood
from market.errors import Refusal
from market.listings import (
    auction_views,
    editing,
    listings,
    photos,
    search,
)
from market.listings.auction_views import AuctionState, AuctionView
from market.listings.editing import Stage
from market.listings.listings import Draft, Place, SoftCloseTerms
from market.places.neighbourhoods import Radius
from market.rules import BuyNowUntil
from market.times import from_ms, to_ms
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Auction, AuctionStatus, Condition, DeliveryMethod, Photo, PhotoStatus, SearchWords
from tests.support.bids import change, lead
from tests.support.factories import (
    MINUTE_MS,
    a_draft,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)
from tests.support.races import at_once

pytestmark = pytest.mark.usefixtures("some_regions", "all_categories")

HOUR_MS = 60 * MINUTE_MS
GOODS: dict[str, Any] = {
    "title": "A tandem",
    "description": "For two.",
    "category": "bicycles",
    "condition": Condition.GOOD,
    "deliveries": [DeliveryMethod.HANDOVER],
}


def now_ms() -> int:
    return int(time() * 1000)


def drafted(session: Session, **changes: Any) -> AuctionView:
    return listings.create(session, make_user(session), a_draft(**changes))


def edited(session: Session, auction: AuctionView, **changes: Any) -> AuctionView:
    return listings.edit(session, auction.seller_id, auction.id, auction.version, changes)


def refused(session: Session, use_case: Callable[..., object], *args: Any) -> tuple[str, dict[str, object]]:
    """Code and fields of the refusal that must come, and that changes nothing."""
    with pytest.raises(Refusal) as refusal, session.begin_nested():
        use_case(session, *args)
    return refusal.value.code, refusal.value.fields


def not_edited(session: Session, auction: AuctionView, **changes: Any) -> tuple[str, dict[str, object]]:
    return refused(session, listings.edit, auction.seller_id, auction.id, auction.version, changes)


def test_the_table_names_everything_that_a_draft_has() -> None:
    assert set(Draft.__struct_fields__) == editing.GOODS | editing.TERMS


def test_everything_in_a_draft_can_be_changed(db_session: Session) -> None:
    draft = drafted(db_session)
    terms = {
        "start_price": 2_000,
        "increments": [(0, 50)],
        "opens_at": now_ms() + HOUR_MS,
        "ends_at": now_ms() + 2 * HOUR_MS,
        "soft_close": SoftCloseTerms(1_000, 2_000, 3_000),
        "reserve": 3_000,
        "buy_now": 4_000,
        "buy_now_until": BuyNowUntil.RESERVE_MET,
    }
    view = edited(db_session, draft, **GOODS, **terms)
    soft = terms.pop("soft_close")
    assert isinstance(soft, SoftCloseTerms)
    assert view == msgspec.structs.replace(
        draft,
        **GOODS,
        **terms,
        latest_end=view.ends_at + 3_000,
        soft_close_window_ms=soft.window_ms,
        soft_close_extension_ms=soft.extension_ms,
        reserve_met=False,
        next_minimum=2_000,
        version=2,
    )
    undone = edited(db_session, view, soft_close=None, reserve=None, buy_now=None, buy_now_until=None)
    assert (undone.reserve, undone.buy_now, undone.latest_end) == (None, None, view.ends_at)
    assert (undone.title, undone.version) == ("A tandem", 3)


def test_a_draft_moves_among_neighbours_and_back(db_session: Session) -> None:
    seller, home = make_neighbour(db_session)
    draft = listings.create(db_session, seller, a_draft())
    local = edited(db_session, draft, place=Place(home, Radius.AROUND))
    assert (local.kind, local.radius) == ("neighbourhood", "around")
    assert local.region_code is not None
    kept = edited(db_session, local, title="Another title")
    assert (kept.region_code, kept.radius) == (local.region_code, "around")
    back = edited(db_session, kept, place=None)
    assert (back.kind, back.region_code, back.radius) == ("live", None, None)
    assert not_edited(db_session, back, place=Place(new_id(), Radius.NEAR))[0] == "not_a_neighbour"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": " "}, "title"),
        ({"start_price": 0}, "start_price"),
        ({"ends_at": 1}, "ends_at"),
        ({"opens_at": 2**70}, "opens_at"),
        ({"reserve": 1_000}, "reserve"),
        ({"buy_now": 5_000}, "buy_now_until"),
        ({"category": "digital"}, "category"),
        ({"deliveries": []}, "deliveries"),
        ({"deliveries": [DeliveryMethod.SHIPPING, DeliveryMethod.SHIPPING]}, "deliveries"),
    ],
)
def test_an_edit_that_makes_no_sense_changes_nothing(
    db_session: Session, changes: dict[str, Any], field: str
) -> None:
    draft = drafted(db_session)
    assert not_edited(db_session, draft, **changes) == ("invalid_auction", {"field": field})
    db_session.expire_all()
    assert auction_views.get(db_session, draft.id, draft.seller_id) == draft


def test_another_version_or_another_ones_auction_is_not_edited(db_session: Session) -> None:
    draft = drafted(db_session)
    edited(db_session, draft, title="Another title")
    assert not_edited(db_session, draft, title="A third") == ("precondition_failed", {})
    other = make_user(db_session)
    assert refused(db_session, listings.edit, other, draft.id, 2, {"title": "Mine"})[0] == "forbidden"
    assert refused(db_session, listings.edit, other, new_id(), 2, {"title": "Mine"})[0] == "not_found"


def test_of_parallel_edits_of_one_version_one_counts(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        draft = drafted(session)

    def edit() -> AuctionView:
        with sync_database.transaction() as session:
            return edited(session, draft, title="Another title")

    assert at_once([edit] * 6).count("precondition_failed") == 5


def stages(session: Session) -> dict[str, tuple[AuctionView, Stage]]:
    """An auction of every kind and situation, and what stage it is in."""
    soon, later = now_ms() + MINUTE_MS // 2, now_ms() + 10 * MINUTE_MS
    made = {
        "draft": (drafted(session), Stage.DRAFT),
        "scheduled": (make_published_auction(session, opens_at=later), Stage.OFFERED),
        "about to open": (make_published_auction(session, opens_at=soon), Stage.BIDDING),
        "live": (make_published_auction(session), Stage.BIDDING),
        "local": (make_neighbourhood_auction(session), Stage.OFFERED),
        "local with a bid": (make_neighbourhood_auction(session), Stage.BIDDING),
        "past its end": (make_neighbourhood_auction(session), Stage.OVER),
        "unsold": (make_published_auction(session), Stage.OVER),
    }
    lead(session, made["local with a bid"][0].id)
    past = {"opens_at": from_ms(1), "ends_at": from_ms(2)}
    change(session, made["past its end"][0].id, **past)
    change(session, made["unsold"][0].id, status=AuctionStatus.UNSOLD)
    return made


def test_what_may_change_follows_from_the_stage(db_session: Session) -> None:
    samples: dict[str, Any] = {**GOODS, "reserve": None, "ends_at": now_ms() + HOUR_MS, "addendum": "More."}
    for name, (auction, stage) in stages(db_session).items():
        view = auction_views.get(db_session, auction.id, auction.seller_id)
        for field, value in samples.items():
            if field in editing.MAY_CHANGE[stage]:
                view = edited(db_session, view, **{field: value})
            else:
                expected = ("wrong_state", {"fields": [field]})
                assert not_edited(db_session, view, **{field: value}) == expected, name


def test_the_photos_of_a_listing_change_as_long_as_its_texts(db_session: Session) -> None:
    for name, (auction, stage) in stages(db_session).items():
        announce = (auction.seller_id, auction.id, 1_000, "image/jpeg")
        if stage not in (Stage.DRAFT, Stage.OFFERED):
            assert refused(db_session, photos.announce_upload, *announce)[0] == "wrong_state", name
            continue
        first, second = (photos.announce_upload(db_session, *announce) for _ in range(2))
        photos.reorder(db_session, auction.seller_id, auction.id, [second, first])
        photos.discard(db_session, auction.seller_id, first)


def test_bids_do_not_raise_the_version(db_session: Session) -> None:
    buyer, _ = make_neighbour(db_session, funds=10_000)
    auction = make_neighbourhood_auction(db_session)
    neighbourhood.place(db_session, buyer, auction.id, "r", 5_000)
    assert auction_views.get(db_session, auction.id).version == 1
    assert not_edited(db_session, auction, title="Another title")[0] == "wrong_state"


def test_nobody_bids_on_what_then_changes(sync_database: SyncDatabase) -> None:
    """Whichever of a first bid and an edit comes first, the bid is on what is shown from then on."""

    def bid() -> str:
        with sync_database.transaction() as session:
            neighbourhood.place(session, buyer, auction.id, "r", 5_000)
            return session.get_one(Auction, auction.id).title

    def edit() -> str:
        with sync_database.transaction() as session:
            return edited(session, auction, title="A tandem").title

    for _ in range(5):
        with sync_database.transaction() as session:
            auction = make_neighbourhood_auction(session)
            buyer, _ = make_neighbour(session, funds=10_000)
        seen, changed = at_once([bid, edit])
        assert (seen, changed) in [("A bicycle", "wrong_state"), ("A tandem", "A tandem")]


def test_an_addendum_is_shown_with_its_time_and_stays(db_session: Session) -> None:
    auction = make_published_auction(db_session)
    before = to_ms(db_session.scalars(select(func.clock_timestamp())).one())
    view = edited(db_session, auction, addendum="The bell is missing.")
    view = edited(db_session, view, addendum="It was found.")
    assert [addendum.text for addendum in view.addenda] == ["The bell is missing.", "It was found."]
    assert before <= view.addenda[0].at <= view.addenda[1].at
    assert view.description == auction.description
    assert view == auction_views.get(db_session, auction.id, auction.seller_id)


def test_addenda_are_few_and_say_something(db_session: Session) -> None:
    auction = make_published_auction(db_session)
    expected = ("invalid_auction", {"field": "addendum"})
    for wrong in ("", " \n", "x" * (listings.MAX_ADDENDUM + 1), "a\0b"):
        assert not_edited(db_session, auction, addendum=wrong) == expected
    for _ in range(listings.MAX_ADDENDA):
        auction = edited(db_session, auction, addendum="x" * listings.MAX_ADDENDUM)
    assert not_edited(db_session, auction, addendum="One more.") == expected


def test_the_search_finds_the_new_text_and_not_the_old(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session, title="접이식자전거")
    edited(db_session, auction, title="Oak desk")

    def found(q: str) -> list[UUID]:
        wanted = search.Wanted(q=q, seller=auction.seller_id)
        hits = search.find(db_session, wanted, search.Sort.NEWEST, None, 10, False, None).hits
        return [hit.auction.id for hit in hits]

    assert found("desk") == [auction.id]
    assert found("자전거") == []


def test_a_deleted_draft_is_gone_with_its_words_and_its_photos(db_session: Session) -> None:
    draft = drafted(db_session)
    photo = photos.announce_upload(db_session, draft.seller_id, draft.id, 1_000, "image/jpeg")
    listings.delete(db_session, draft.seller_id, draft.id)
    db_session.expire_all()
    assert db_session.get(Auction, draft.id) is None
    assert db_session.get(SearchWords, draft.id) is None
    row = db_session.get_one(Photo, photo)
    assert (row.auction_id, row.status) == (None, PhotoStatus.DELETED)
    assert photo in photos.doomed(db_session)
    assert refused(db_session, listings.delete, draft.seller_id, draft.id)[0] == "not_found"


def test_only_a_draft_is_deleted_and_only_by_its_seller(db_session: Session) -> None:
    for name, (auction, stage) in stages(db_session).items():
        assert refused(db_session, listings.delete, make_user(db_session), auction.id)[0] == "forbidden"
        if stage != Stage.DRAFT:
            assert refused(db_session, listings.delete, auction.seller_id, auction.id)[0] == "wrong_state", (
                name
            )


def test_the_database_itself_keeps_what_was_published(db_session: Session) -> None:
    auction = make_published_auction(db_session)
    statement = text("DELETE FROM auctions WHERE id = :id")
    with pytest.raises(ProgrammingError, match="only drafts"), db_session.begin_nested():
        db_session.execute(statement, {"id": auction.id})


FULL: dict[str, Any] = {
    **GOODS,
    "deliveries": (DeliveryMethod.SHIPPING,),
    "reserve": 3_000,
    "buy_now": 4_000,
    "buy_now_until": BuyNowUntil.FIRST_BID,
}


def same_offer(copy: AuctionView, original: AuctionView) -> bool:
    """Whether a copy says what the original did when it was drafted, but for its times."""
    names = set(AuctionView.__struct_fields__) - {
        *("id", "state", "opens_at", "ends_at", "latest_end", "created_at", "version", "addenda"),
        *("relisted_from", "relisted_as"),
    }
    return all(getattr(copy, name) == getattr(original, name) for name in names)


def test_a_duplicate_says_the_same_and_runs_as_long(db_session: Session) -> None:
    seller, home = make_neighbour(db_session)
    opens_at = now_ms() - MINUTE_MS
    draft = listings.create(
        db_session,
        seller,
        a_draft(place=Place(home, Radius.WIDE), opens_at=opens_at, ends_at=opens_at + 2 * HOUR_MS, **FULL),
    )
    photos.announce_upload(db_session, seller, draft.id, 1_000, "image/jpeg")
    original = listings.publish(db_session, seller, draft.id)
    # As if soft close had moved the end.
    change(db_session, draft.id, ends_at=from_ms(draft.ends_at + MINUTE_MS))
    before = now_ms()
    copy = listings.duplicate(db_session, seller, draft.id, None, None)
    assert copy.id != draft.id
    assert same_offer(copy, draft)
    assert (copy.state, copy.version, copy.addenda, copy.relisted_from) == ("draft", 1, [], None)
    assert before - 1_000 <= copy.opens_at <= now_ms() + 1_000
    assert copy.ends_at - copy.opens_at == 2 * HOUR_MS
    assert copy.latest_end - copy.ends_at == original.latest_end - original.ends_at
    assert db_session.scalars(select(Photo.id).where(Photo.auction_id == copy.id)).all() == []
    assert db_session.get_one(SearchWords, copy.id).words
    assert listings.publish(db_session, seller, copy.id).state != AuctionState.DRAFT


def test_a_duplicate_has_the_times_that_are_given(db_session: Session) -> None:
    draft = drafted(db_session)
    opens_at, ends_at = now_ms() + HOUR_MS, now_ms() + 3 * HOUR_MS
    copy = listings.duplicate(db_session, draft.seller_id, draft.id, opens_at, ends_at)
    assert (copy.opens_at, copy.ends_at) == (opens_at, ends_at)
    shifted = listings.duplicate(db_session, draft.seller_id, draft.id, opens_at, None)
    assert shifted.ends_at == opens_at + draft.ends_at - draft.opens_at
    for times, field in (
        ((None, 1), "ends_at"),
        ((2**70, ends_at), "opens_at"),
        ((ends_at, opens_at), "opens_at"),
    ):
        expected = ("invalid_auction", {"field": field})
        assert refused(db_session, listings.duplicate, draft.seller_id, draft.id, *times) == expected
    assert (
        refused(db_session, listings.duplicate, make_user(db_session), draft.id, None, None)[0] == "forbidden"
    )


def test_what_was_not_sold_is_listed_again_and_both_say_so(db_session: Session) -> None:
    original = make_published_auction(db_session, **FULL)
    seller = original.seller_id
    change(db_session, original.id, status=AuctionStatus.UNSOLD)
    copy = listings.relist(db_session, seller, original.id, None, None)
    assert same_offer(copy, original)
    assert copy.relisted_from == original.id
    assert auction_views.get(db_session, original.id, seller).relisted_as is None, "nobody sees a draft"
    listings.publish(db_session, seller, copy.id)
    assert auction_views.get(db_session, original.id).relisted_as == copy.id
    assert auction_views.get(db_session, copy.id).relisted_from == original.id


def test_only_what_was_not_sold_is_listed_again_and_only_by_its_seller(db_session: Session) -> None:
    for name, (auction, _) in stages(db_session).items():
        other = make_user(db_session)
        assert refused(db_session, listings.relist, other, auction.id, None, None)[0] == "forbidden"
        if name != "unsold":
            code, _ = refused(db_session, listings.relist, auction.seller_id, auction.id, None, None)
            assert code == "wrong_state", name
    assert refused(db_session, listings.relist, make_user(db_session), new_id(), None, None)[0] == "not_found"


def test_without_a_choice_both_deliveries_are_offered(db_session: Session) -> None:
    assert drafted(db_session).deliveries == [DeliveryMethod.HANDOVER, DeliveryMethod.SHIPPING]
    assert make_neighbourhood_auction(db_session).deliveries == [
        DeliveryMethod.HANDOVER,
        DeliveryMethod.SHIPPING,
    ]


def test_the_frozen_minute_is_over_when_an_auction_opens(db_session: Session) -> None:
    opens_at = from_ms(now_ms()) + timedelta(hours=1)
    auction = Auction(
        status=AuctionStatus.PUBLISHED, kind="live", opens_at=opens_at, ends_at=opens_at + timedelta(hours=1)
    )
    edge = opens_at - editing.FROZEN_BEFORE
    assert editing.stage_of(auction, edge - timedelta(microseconds=1)) == Stage.OFFERED
    assert editing.stage_of(auction, edge) == Stage.BIDDING
    assert editing.stage_of(auction, auction.ends_at) == Stage.OVER
