"""The hot state of an auction as a value."""

from dataclasses import replace

from store.ids import new_id
from store.redis.auctions import HotAuction
from store.redis.records import BidRecord

ANN, SELLER = new_id(), new_id()


def an_auction(now: int) -> HotAuction:
    """An auction that is open at `now` (ms)."""
    return HotAuction(
        auction_id=new_id(),
        epoch=1,
        seq=0,
        seller=SELLER,
        opens_at=now - 1_000,
        ends_at=now + 60_000,
        start_price=1_000,
        steps=[(0, 100)],
        window_ms=0,
        extension_ms=0,
        latest_end=now + 60_000,
        reserve=0,
        buy_now_price=0,
        buy_now_until="always",
        price=0,
        leader=None,
        leader_paddle=0,
        leader_maximum=0,
        bids=0,
        log_position="0-0",
        paddles=[],
    )


def after_bid(auction: HotAuction, seq: int) -> tuple[HotAuction, BidRecord]:
    """The auction after its bid number `seq`, and that bid."""
    price = 900 + 100 * seq
    record = BidRecord(
        auction=auction.auction_id,
        epoch=1,
        seq=seq,
        at=auction.opens_at + seq,
        bidder=ANN,
        paddle=1,
        ref=f"r{seq}",
        maximum=price,
        price=price,
        leader=ANN,
        leader_paddle=1,
        leader_maximum=price,
        outbid="",
        next_minimum=price + 100,
        ends_at=auction.ends_at,
        extended=False,
        bids=seq,
        bought=False,
        reserve_met=True,
        buy_now=0,
    )
    after = replace(
        auction, seq=seq, price=price, leader=ANN, leader_paddle=1, leader_maximum=price, bids=seq
    )
    return after, record
