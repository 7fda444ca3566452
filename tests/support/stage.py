"""A stage for live auctions: PostgreSQL, Redis and the scripts, without the doors."""

from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from market.bidding import hot_state, paddles
from market.money import ledger
from store.models import AccountKind, Auction, Bid, LedgerAccount, Paddle, WriteBackAlarm
from store.redis.auctions import (
    HotAuction,
    buy_now,
    load_auction,
    place_bid,
    seal_auction,
)
from store.redis.keys import keys_of
from store.redis.records import BidRecord, SealRecord
from tasks.app import Resources
from tests.support.effects import die_after_commit
from tests.support.factories import make_funded_user, make_published_auction

LIMIT = 1_000_000


@dataclass
class Stage:
    """Makes auctions and bidders, and tells what has become of them."""

    resources: Resources
    refs = count()

    def auction(self, **changes: Any) -> UUID:
        """A published auction with hot state."""
        with self.resources.database.transaction() as session:
            auction_id = make_published_auction(session, **changes).id
            state = hot_state.hot_state(session, auction_id)
        assert state is not None
        self.load(state)
        return auction_id

    def load(self, state: HotAuction) -> bool:
        return self.resources.hot.run(load_auction(state))

    def bidder(self, auction_id: UUID, limit: int = LIMIT, tell_redis: bool = True) -> UUID:
        """A bidder with a paddle; `tell_redis` is False for a process that died after its commit."""
        with self.resources.database.transaction() as session:
            bidder = make_funded_user(session, limit)
            paddles.take(session, bidder, auction_id, limit)
            if not tell_redis:
                die_after_commit(session)
        return bidder

    def bid(self, auction_id: UUID, bidder: UUID, maximum: int) -> BidRecord:
        """An accepted bid."""
        answer = self.resources.hot.run(place_bid(auction_id, bidder, f"r{next(self.refs)}", maximum))
        assert isinstance(answer, BidRecord), answer
        return answer

    def buy_now(self, auction_id: UUID, bidder: UUID) -> BidRecord:
        """An accepted purchase, which seals the auction."""
        answer = self.resources.hot.run(buy_now(auction_id, bidder, f"r{next(self.refs)}"))
        assert isinstance(answer, BidRecord), answer
        return answer

    def refused(self, auction_id: UUID, bidder: UUID, maximum: int) -> str:
        """The code of a refused bid."""
        answer = self.resources.hot.run(place_bid(auction_id, bidder, f"r{next(self.refs)}", maximum))
        assert not isinstance(answer, BidRecord), answer
        return answer.code

    def end(self, auction_id: UUID) -> None:
        """The end of the auction comes now."""
        keys, now = keys_of(auction_id), self.resources.hot.now_ms()
        self.resources.hot.client.hset(keys.auction, "ends_at", now)
        self.resources.hot.client.zadd(keys.due, {str(auction_id): now})

    def seal(self, auction_id: UUID) -> SealRecord:
        self.end(auction_id)
        answer = self.resources.hot.run(seal_auction(auction_id))
        assert isinstance(answer, SealRecord), answer
        return answer

    def log_anything(self, auction_id: UUID, raw: bytes) -> None:
        """Put something into the auction's log that no script has written."""
        self.resources.hot.client.xadd(keys_of(auction_id).log, {"r": raw})

    def logged(self, auction_id: UUID) -> int:
        """Entries in the log of the auction's shard."""
        return int(self.resources.hot.client.xlen(keys_of(auction_id).log))

    def stored(self, auction_id: UUID) -> Auction:
        with self.resources.database.transaction() as session:
            return session.get_one(Auction, auction_id)

    def bids(self, auction_id: UUID) -> list[tuple[int, int, UUID, int]]:
        """(epoch, seq, bidder, maximum) of what PostgreSQL has."""
        with self.resources.database.transaction() as session:
            rows = session.execute(
                select(Bid.epoch, Bid.seq, Bid.bidder_id, Bid.maximum)
                .where(Bid.auction_id == auction_id)
                .order_by(Bid.epoch, Bid.seq)
            )
            return [(epoch, seq, bidder, maximum) for epoch, seq, bidder, maximum in rows]

    def alarms(self, auction_id: UUID | None) -> list[str]:
        with self.resources.database.transaction() as session:
            return list(
                session.scalars(
                    select(WriteBackAlarm.reason).where(
                        WriteBackAlarm.auction_id.is_not_distinct_from(auction_id)
                    )
                )
            )

    def paddle(self, auction_id: UUID, bidder: UUID) -> Paddle:
        with self.resources.database.transaction() as session:
            return session.scalars(
                select(Paddle).where(Paddle.auction_id == auction_id, Paddle.bidder_id == bidder)
            ).one()

    def balance(self, kind: AccountKind, owner: UUID) -> int:
        with self.resources.database.transaction() as session:
            return (
                session.scalar(
                    select(func.coalesce(func.sum(LedgerAccount.balance), 0)).where(
                        LedgerAccount.kind == kind, LedgerAccount.owner_id == owner
                    )
                )
                or 0
            )

    def check_ledger(self) -> None:
        """All balances together are zero, and each is the sum of its transfers."""
        with self.resources.database.transaction() as session:
            assert ledger.trial_balance(session) == 0
            assert ledger.verify(session) == []
