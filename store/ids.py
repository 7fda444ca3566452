"""Public identifiers and the shard that follows from them."""

from uuid import UUID

from uuid_utils.compat import uuid7

SHARDS = 64
"""Shards of the hot state. Fixed for good: an auction's keys and log stream follow from it."""


def new_id() -> UUID:
    """A fresh UUIDv7 (RFC 9562): ordered by time, so indexes stay compact, and revealing no counts."""
    return uuid7()


def shard_of(auction_id: UUID) -> int:
    """The shard (0..SHARDS-1) that an auction lives in for its whole life.

    It is taken from the last, random bits of the id, so that the id alone leads to the keys, without a look-up.
    """
    return auction_id.int % SHARDS
