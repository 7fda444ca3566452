"""A bid as a row of `bids`: the one place that says which column holds what of a record."""

from market.times import from_ms
from store.redis.records import BidRecord

COLUMNS = {
    "auction_id": "uuid",
    "epoch": "int8",
    "seq": "int8",
    "at": "timestamptz",
    "bidder_id": "uuid",
    "paddle": "int8",
    "ref": "text",
    "maximum": "int8",
    "price": "int8",
    "leader_id": "uuid",
    "leader_paddle": "int8",
    "leader_maximum": "int8",
    "next_minimum": "int8",
    "ends_at": "timestamptz",
    "extended": "bool",
    "bids": "int8",
    "bought": "bool",
}
"""The columns, with their types in PostgreSQL. The first three are the key."""


def row_of(bid: BidRecord) -> tuple[object, ...]:
    """The values of `COLUMNS`."""
    return (
        bid.auction,
        bid.epoch,
        bid.seq,
        from_ms(bid.at),
        bid.bidder,
        bid.paddle,
        bid.ref,
        bid.maximum,
        bid.price,
        bid.leader,
        bid.leader_paddle,
        bid.leader_maximum,
        bid.next_minimum,
        from_ms(bid.ends_at),
        bid.extended,
        bid.bids,
        bid.bought,
    )
