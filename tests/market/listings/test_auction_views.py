"""Live auctions in PostgreSQL: made, published, shown, handed to the hot state."""

from functools import partial
from itertools import pairwise
from time import time
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, literal, select, text
from sqlalchemy.orm import Session

from market.bidding import history, hot_state, paddles
from market.errors import Refusal
from market.listings import auction_views, listings
from market.listings.auction_views import AuctionState, AuctionView, StateFilter
from market.listings.listings import SoftCloseTerms
from market.rules import MAX_AMOUNT, BuyNowUntil
from market.times import from_ms, to_ms
from store.database import SyncDatabase
from store.ids import new_id, shard_of
from store.models import Auction, AuctionStatus, Bid, Condition, LogPosition
from store.redis.auctions import HotPaddle
from tests.support.bids import change, lead
from tests.support.factories import MINUTE_MS, a_draft, make_funded_user, make_published_auction, make_user
from tests.support.races import at_once


def add_bid(session: Session, auction_id: UUID, epoch: int, seq: int, flush: bool = True) -> None:
    bidder = new_id()
    session.add(
        Bid(
            auction_id=auction_id,
            epoch=epoch,
            seq=seq,
            at=from_ms(1_700_000_000_123 + seq),
            bidder_id=bidder,
            paddle=7,
            ref="r",
            maximum=99_999,
            price=1_000 + seq,
            leader_id=bidder,
            leader_paddle=7,
            leader_maximum=99_999,
            next_minimum=1_100 + seq,
            ends_at=from_ms(1_700_000_060_000),
            extended=False,
            bids=seq,
        )
    )
    if flush:
        session.flush()


def test_a_draft_is_seen_by_its_seller_only(db_session: Session) -> None:
    seller = make_user(db_session, "Mina")
    draft = a_draft()
    made = listings.create(db_session, seller, draft)
    assert (made.state, made.seller_name, made.title) == (AuctionState.DRAFT, "Mina", draft.title)
    assert (made.opens_at, made.ends_at) == (draft.opens_at, draft.ends_at)
    assert made.latest_end == draft.ends_at + 10 * MINUTE_MS
    assert made.increments == draft.increments
    assert auction_views.get(db_session, made.id, seller) == made
    for stranger in (None, make_user(db_session)):
        with pytest.raises(Refusal, match="not_found"):
            auction_views.get(db_session, made.id, stranger)
    with pytest.raises(Refusal, match="not_found"):
        history.bids(db_session, made.id, None, 10)


def test_an_auction_keeps_its_shard(db_session: Session) -> None:
    auction = make_published_auction(db_session)
    assert db_session.get_one(Auction, auction.id).shard == shard_of(auction.id)


def test_an_auction_without_opening_time_opens_now(db_session: Session) -> None:
    before = to_ms(db_session.scalars(select(func.clock_timestamp())).one())
    made = make_published_auction(db_session, opens_at=None)
    assert before <= made.opens_at <= to_ms(db_session.scalars(select(func.clock_timestamp())).one())


def test_an_auction_without_soft_close_cannot_be_extended(db_session: Session) -> None:
    made = make_published_auction(db_session, soft_close=None)
    assert (made.soft_close_window_ms, made.soft_close_extension_ms) == (0, 0)
    assert made.latest_end == made.ends_at


@pytest.mark.usefixtures("all_categories")
def test_an_auction_says_what_it_is_about_and_how_worn(db_session: Session) -> None:
    plain = make_published_auction(db_session)
    assert (plain.category, plain.condition) == ("other", None)
    made = make_published_auction(db_session, category="bicycles", condition=Condition.LIKE_NEW)
    assert (made.category, made.condition) == ("bicycles", "like_new")


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, 0), (1, 1), (2, 2), (200, 200), (201, 101), (399, 200), (401, 135), (5_000, 194)],
)
def test_the_history_of_a_price_is_thinned_evenly(db_session: Session, count: int, shown: int) -> None:
    auction = make_published_auction(db_session)
    with db_session.no_autoflush:
        for seq in range(1, count + 1):
            # Numbers go on over epochs.
            add_bid(db_session, auction.id, 1 + seq // 100, seq, flush=False)
    points = history.prices(db_session, auction.id).items
    assert len(points) == shown <= history.MAX_POINTS
    prices = [point.price for point in points]
    assert prices == sorted(set(prices))
    assert [point.at - 1_700_000_000_123 + 1_000 for point in points] == prices
    if count:
        assert (prices[0], prices[-1]) == (1_001, 1_000 + count)
        gaps = {after - before for before, after in pairwise(prices[:-1])}
        assert len(gaps) <= 1


def test_the_history_of_a_price_reads_few_of_many_bids(db_session: Session) -> None:
    auction = make_published_auction(db_session).id
    db_session.execute(
        text(
            "INSERT INTO bids (auction_id, epoch, seq, at, bidder_id, paddle, ref, maximum, price, leader_id,"
            " leader_paddle, leader_maximum, next_minimum, ends_at, extended, bids)"
            " SELECT :auction, 1 + seq / 8000, seq, now(), :auction, 1, 'r', 1, seq, :auction, 1, 1, 1, now(),"
            " false, seq FROM generate_series(1, 20000) AS seq"
        ),
        {"auction": auction},
    )
    # Only the owner of the tables may, as autovacuum does: the plan follows what is known of them.
    for statement in ("SET LOCAL ROLE NONE", "ANALYZE bids", "SET LOCAL ROLE neighborbid_app"):
        db_session.execute(text(statement))

    def read() -> int:
        table = "FROM pg_stat_xact_user_tables WHERE relname = 'bids'"
        return int(db_session.scalars(text(f"SELECT seq_tup_read + idx_tup_fetch {table}")).one())

    before = read()
    prices = [point.price for point in history.prices(db_session, auction).items]
    assert read() - before <= 2 * history.MAX_POINTS
    assert (len(prices), prices[0], prices[-1]) == (200, 1, 20_000)


def test_a_draft_has_no_history(db_session: Session) -> None:
    seller = make_user(db_session)
    draft = listings.create(db_session, seller, a_draft())
    with pytest.raises(Refusal, match="not_found"):
        history.prices(db_session, draft.id)


DAY_MS = 24 * 60 * MINUTE_MS
NOW = int(time() * 1000)
"""When the tests were collected: they may run much later, so nothing here is nearer to it than a day."""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "  "),
        ("title", "x" * 201),
        ("title", "a\0b"),
        ("description", "x" * 10_001),
        ("description", "\0"),
        ("start_price", 0),
        ("start_price", -1),
        ("start_price", MAX_AMOUNT + 1),
        ("increments", []),
        ("increments", [(1, 100)]),
        ("increments", [(0, 0)]),
        ("increments", [(0, 100), (0, 200)]),
        ("increments", [(0, 100), (500, 200), (400, 300)]),
        ("increments", [(0, MAX_AMOUNT + 1)]),
        ("increments", [(0, 1), (MAX_AMOUNT + 1, 1)]),
        ("increments", [(start, 1) for start in range(51)]),
        pytest.param("ends_at", NOW - 1, id="ended"),
        pytest.param("ends_at", NOW + 31 * DAY_MS, id="lasts_too_long"),
        ("ends_at", -(10**18)),
        pytest.param("ends_at", NOW + 366 * DAY_MS, id="ends_too_late"),
        ("ends_at", 10**30),
        pytest.param("opens_at", NOW + DAY_MS, id="opens_after_end"),
        pytest.param("opens_at", NOW - 31 * DAY_MS, id="opened_long_ago"),
        ("opens_at", -(10**30)),
        ("soft_close", SoftCloseTerms(0, 1_000, 1_000)),
        ("soft_close", SoftCloseTerms(1_000, -1, 1_000)),
        ("soft_close", SoftCloseTerms(1_000, 1_000, 0)),
        ("soft_close", SoftCloseTerms(3_600_001, 1_000, 1_000)),
        ("soft_close", SoftCloseTerms(1_000, 1_000, DAY_MS + 1)),
        ("category", "no-such"),
        ("category", "digital"),
        ("reserve", 1_000),
        ("reserve", MAX_AMOUNT + 1),
        ("buy_now", 1_000),
        ("buy_now", MAX_AMOUNT),
        ("buy_now_until", BuyNowUntil.ALWAYS),
    ],
)
@pytest.mark.usefixtures("all_categories")
def test_an_impossible_auction_is_refused_by_field(db_session: Session, field: str, value: object) -> None:
    with pytest.raises(Refusal) as refused:
        listings.create(db_session, make_user(db_session), a_draft(**{field: value}))
    assert (refused.value.code, refused.value.fields) == ("invalid_auction", {"field": field})
    assert refused.value.detail == listings.REASONS[field]


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("buy_now", {"reserve": 5_000, "buy_now": 4_999, "buy_now_until": BuyNowUntil.ALWAYS}),
        ("buy_now_until", {"buy_now": 5_000}),
        ("buy_now_until", {"buy_now": 5_000, "buy_now_until": BuyNowUntil.RESERVE_MET}),
    ],
)
def test_reserve_and_buy_now_must_go_together(
    db_session: Session, field: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(Refusal) as refused:
        listings.create(db_session, make_user(db_session), a_draft(**changes))
    assert (refused.value.code, refused.value.fields) == ("invalid_auction", {"field": field})


def for_sale(session: Session, seller: UUID, until: BuyNowUntil) -> UUID:
    """An auction with the reserve 3000 that can be bought for 6000."""
    return make_published_auction(session, seller, reserve=3_000, buy_now=6_000, buy_now_until=until).id


def test_only_the_seller_is_told_the_reserve(db_session: Session) -> None:
    seller = make_user(db_session)
    auction = for_sale(db_session, seller, BuyNowUntil.ALWAYS)
    assert auction_views.get(db_session, auction, seller).reserve == 3_000
    assert auction_views.page(db_session, seller, None, 1).items[0].reserve == 3_000
    public = [
        auction_views.get(db_session, auction),
        auction_views.get(db_session, auction, make_user(db_session)),
    ]
    assert [(view.id, view.reserve, view.reserve_met) for view in public] == [(auction, None, False)] * 2


@pytest.mark.parametrize(
    ("until", "price", "reserve_met", "buy_now"),
    [
        (BuyNowUntil.FIRST_BID, None, False, 6_000),
        (BuyNowUntil.FIRST_BID, 1_000, False, None),
        (BuyNowUntil.RESERVE_MET, 2_999, False, 6_000),
        (BuyNowUntil.RESERVE_MET, 3_000, True, None),
        (BuyNowUntil.ALWAYS, 5_900, True, 6_000),
        (BuyNowUntil.ALWAYS, 5_901, True, None),
    ],
)
def test_it_shows_what_is_still_on_offer(
    db_session: Session, until: BuyNowUntil, price: int | None, reserve_met: bool, buy_now: int | None
) -> None:
    auction = for_sale(db_session, make_user(db_session), until)
    if price is not None:
        lead(db_session, auction, price)
    view = auction_views.get(db_session, auction)
    assert (view.reserve_met, view.buy_now, view.buy_now_until) == (reserve_met, buy_now, until)


@pytest.mark.parametrize("status", [AuctionStatus.SEALED, AuctionStatus.SOLD, AuctionStatus.UNSOLD])
def test_what_is_over_cannot_be_bought(db_session: Session, status: AuctionStatus) -> None:
    auction = for_sale(db_session, make_user(db_session), BuyNowUntil.ALWAYS)
    change(db_session, auction, status=status)
    assert auction_views.get(db_session, auction).buy_now is None


def test_the_policies_that_are_stored_are_those_of_the_rules(db_session: Session) -> None:
    for until in BuyNowUntil:
        for_sale(db_session, make_user(db_session), until)


def test_the_extreme_auctions_are_possible(db_session: Session) -> None:
    made = make_published_auction(
        db_session,
        title="x" * 200,
        start_price=MAX_AMOUNT,
        increments=[(0, MAX_AMOUNT), (MAX_AMOUNT, 1)],
        soft_close=SoftCloseTerms(3_600_000, 1, DAY_MS),
    )
    lead(db_session, made.id, MAX_AMOUNT)
    assert auction_views.get(db_session, made.id).next_minimum == MAX_AMOUNT


def test_publishing_shows_the_auction_to_everybody(db_session: Session) -> None:
    seller = make_user(db_session)
    draft = listings.create(db_session, seller, a_draft())
    assert listings.publish(db_session, seller, draft.id).state == AuctionState.LIVE
    assert auction_views.get(db_session, draft.id).state == AuctionState.LIVE


def test_only_its_seller_publishes_an_auction(db_session: Session) -> None:
    draft = listings.create(db_session, make_user(db_session), a_draft())
    with pytest.raises(Refusal, match="forbidden"):
        listings.publish(db_session, make_user(db_session), draft.id)
    with pytest.raises(Refusal, match="not_found"):
        listings.publish(db_session, make_user(db_session), new_id())


def test_a_draft_whose_end_has_passed_is_not_published(db_session: Session) -> None:
    seller = make_user(db_session)
    draft = listings.create(db_session, seller, a_draft(opens_at=NOW - DAY_MS))
    change(db_session, draft.id, ends_at=from_ms(NOW - 1))
    with pytest.raises(Refusal, match="invalid_auction"):
        listings.publish(db_session, seller, draft.id)


def test_an_auction_is_published_once(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        seller = make_user(session)
        draft = listings.create(session, seller, a_draft())

    def publish() -> AuctionView:
        with sync_database.transaction() as session:
            return listings.publish(session, seller, draft.id)

    results = at_once([publish] * 6)
    assert results.count("wrong_state") == 5


@pytest.mark.parametrize(
    ("changes", "state", "listed_as"),
    [
        (
            {
                "opens_at": from_ms(NOW + DAY_MS),
                "ends_at": from_ms(NOW + 2 * DAY_MS),
                "latest_end": from_ms(NOW + 2 * DAY_MS),
            },
            AuctionState.SCHEDULED,
            "scheduled",
        ),
        ({}, AuctionState.LIVE, "live"),
        (
            {"opens_at": from_ms(NOW - DAY_MS), "ends_at": from_ms(NOW - 1)},
            AuctionState.CLOSING,
            "closed",
        ),
        ({"status": AuctionStatus.SEALED}, AuctionState.CLOSING, "closed"),
        ({"status": AuctionStatus.SOLD}, AuctionState.SOLD, "closed"),
        ({"status": AuctionStatus.UNSOLD}, AuctionState.UNSOLD, "closed"),
    ],
)
def test_the_state_follows_from_status_and_clock(
    db_session: Session, changes: dict[str, Any], state: AuctionState, listed_as: StateFilter
) -> None:
    seller = make_user(db_session)
    made = make_published_auction(db_session, seller)
    change(db_session, made.id, **changes)
    db_session.expire_all()
    assert auction_views.get(db_session, made.id).state == state
    filters: list[StateFilter] = ["scheduled", "live", "closed"]
    own = Auction.seller_id == seller
    found = [
        f
        for f in filters
        if db_session.scalars(select(Auction.id).where(own, auction_views.in_state(f))).all()
    ]
    assert found == [listed_as]


def test_before_the_first_bid_the_start_price_is_the_next_minimum(db_session: Session) -> None:
    made = make_published_auction(db_session, start_price=1_000)
    assert (made.price, made.leader_paddle, made.next_minimum, made.bids) == (None, None, 1_000, 0)


@pytest.mark.parametrize(("price", "next_minimum"), [(1_000, 1_100), (9_999, 10_099), (10_000, 10_500)])
def test_the_next_minimum_follows_the_increment_at_the_price(
    db_session: Session, price: int, next_minimum: int
) -> None:
    made = make_published_auction(db_session)
    lead(db_session, made.id, price)
    view = auction_views.get(db_session, made.id)
    assert (view.price, view.leader_paddle, view.next_minimum) == (price, 1, next_minimum)
    assert (view.hammer_price, view.winner_paddle) == (None, None)


def test_the_result_is_shown_when_it_is_settled(db_session: Session) -> None:
    made = make_published_auction(db_session)
    lead(db_session, made.id, 1_200)
    change(db_session, made.id, status=AuctionStatus.SEALED, hammer_price=1_200)
    assert auction_views.get(db_session, made.id).hammer_price is None
    change(db_session, made.id, status=AuctionStatus.SOLD)
    view = auction_views.get(db_session, made.id)
    assert (view.hammer_price, view.winner_paddle) == (1_200, 1)


def test_pages_bring_every_auction_of_a_seller_once_and_newest_first(db_session: Session) -> None:
    seller = make_user(db_session)
    made = [listings.create(db_session, seller, a_draft()).id for _ in range(3)]
    made += [make_published_auction(db_session, seller).id for _ in range(4)]
    seen, cursor, sizes = [], None, []
    while True:
        page = auction_views.page(db_session, seller, cursor, 3)
        seen += [auction.id for auction in page.items]
        sizes.append(len(page.items))
        if not (cursor := page.next_cursor):
            break
    assert seen == made[::-1]
    assert sizes == [3, 3, 1]


@pytest.mark.parametrize("cursor", ["", "x", "bnVsbA==", "%%%", "IjEi", "ü", "WzEsMl0="])
def test_a_forged_cursor_is_refused(db_session: Session, cursor: str) -> None:
    with pytest.raises(Refusal, match="invalid_cursor"):
        auction_views.page(db_session, make_user(db_session), cursor, 10)


@pytest.mark.parametrize("cursor", ["", "WzEsMl", "WzEsOTk5OTk5OTk5OTk5OTk5OTk5OTk5XQ==", "Wy0xLDJd", "WzFd"])
def test_a_forged_cursor_of_bids_is_refused(db_session: Session, cursor: str) -> None:
    made = make_published_auction(db_session)
    with pytest.raises(Refusal, match="invalid_cursor"):
        history.bids(db_session, made.id, cursor, 10)


def test_bids_come_newest_first_across_epochs_and_without_secrets(db_session: Session) -> None:
    made = make_published_auction(db_session)
    for epoch, seq in [(1, 1), (1, 2), (3, 3), (3, 4), (3, 5)]:
        add_bid(db_session, made.id, epoch, seq)
    first = history.bids(db_session, made.id, None, 3)
    rest = history.bids(db_session, made.id, first.next_cursor, 3)
    assert [(bid.epoch, bid.seq) for bid in first.items + rest.items] == [
        (3, 5),
        (3, 4),
        (3, 3),
        (1, 2),
        (1, 1),
    ]
    assert rest.next_cursor is None
    assert first.items[0] == history.BidView(seq=5, epoch=3, paddle=7, price=1_005, at=1_700_000_000_128)
    assert set(history.BidView.__struct_fields__) == {"seq", "epoch", "paddle", "price", "at"}


def test_a_page_is_never_longer_than_its_bound(db_session: Session) -> None:
    made = make_published_auction(db_session)
    for seq in range(1, 103):
        add_bid(db_session, made.id, 1, seq)
    assert len(history.bids(db_session, made.id, None, 10**9).items) == 100
    assert len(history.bids(db_session, made.id, None, -5).items) == 1


def test_the_hot_state_is_what_postgresql_knows_with_a_fresh_epoch(db_session: Session) -> None:
    made = make_published_auction(
        db_session, reserve=3_000, buy_now=6_000, buy_now_until=BuyNowUntil.FIRST_BID
    )
    active, returning = make_funded_user(db_session), make_funded_user(db_session)
    paddles.take(db_session, active, made.id, 5_000)
    paddles.take(db_session, returning, made.id, 6_000)
    paddles.begin_return(db_session, returning, made.id)
    lead(db_session, made.id, 1_300, active)
    db_session.merge(LogPosition(shard=shard_of(made.id), position="17-4"))
    db_session.flush()

    first, second = (hot_state.hot_state(db_session, made.id) for _ in range(2))
    assert first is not None
    assert second is not None
    assert second.epoch == first.epoch + 1
    assert (first.opens_at, first.ends_at, first.latest_end) == (made.opens_at, made.ends_at, made.latest_end)
    assert (first.seq, first.price, first.leader, first.leader_maximum) == (1, 1_300, active, 6_300)
    assert (first.window_ms, first.extension_ms) == (MINUTE_MS, MINUTE_MS)
    assert first.steps == [(0, 100), (10_000, 500)]
    assert (first.reserve, first.buy_now_price, first.buy_now_until) == (3_000, 6_000, "first_bid")
    assert first.log_position == "17-4"
    assert first.paddles == [HotPaddle(active, 1, 5_000, 1)]


@pytest.mark.parametrize("status", [s for s in AuctionStatus if s != AuctionStatus.PUBLISHED])
def test_only_running_auctions_are_loaded(db_session: Session, status: AuctionStatus) -> None:
    made = make_published_auction(db_session)
    assert made.id in hot_state.to_load(db_session)
    change(db_session, made.id, status=status)
    assert made.id not in hot_state.to_load(db_session)
    assert hot_state.hot_state(db_session, made.id) is None


def test_no_two_loads_get_the_same_epoch(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        made = make_published_auction(session)

    def load(_: int) -> int:
        with sync_database.transaction() as session:
            hot = hot_state.hot_state(session, made.id)
            assert hot is not None
            return hot.epoch

    assert sorted(map(int, at_once([partial(load, n) for n in range(8)]))) == list(range(1, 9))


@pytest.mark.parametrize("ms", [0, 1, 1_700_000_000_123, 253_402_300_799_999, -1])
def test_a_time_comes_back_from_postgresql_to_the_same_ms(db_session: Session, ms: int) -> None:
    assert to_ms(db_session.scalars(select(literal(from_ms(ms)))).one()) == ms
