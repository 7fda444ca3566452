"""The clock that the hammer follows, and what the hub does when things happen in an unlucky order."""

from typing import Any

import pytest

from realtime.clock import Clock
from realtime.closer import Closer
from realtime.hub import Hub
from realtime.limits import Limits
from realtime.pipe import Pipe
from realtime.protocol import Message
from realtime.room import Room
from realtime.viewer import Viewer
from store.ids import new_id
from store.redis.auctions import place_bid
from store.redis.calls import Call
from store.redis.clients import Hot
from store.redis.keys import keys_of
from store.redis.pushes import Push
from tests.support.live_client import load
from tests.support.waiting import until


class CountingPipe(Pipe):
    """Counts what it runs."""

    calls = 0

    def run(self, call: Call[Any]) -> Any:
        self.calls += 1
        return super().run(call)


class FastClock(Clock):
    """Wrongly believes Redis to be a second further."""

    def now(self) -> int:
        return super().now() + 1_000


async def test_a_closer_whose_clock_is_early_asks_once_and_then_waits_by_the_clock_of_redis(
    hot: Hot, redis_url: str
) -> None:
    clock, pipe = FastClock(), CountingPipe(redis_url, Limits())
    await clock.measure(hot)
    pipe.start()
    await until(lambda: pipe.connected)
    auction = await load(hot, [], ends_at=await hot.now_ms() + 700)
    closer = Closer(hot, pipe, clock)
    await closer.look()

    async def sealed() -> bytes | None:
        seal = await hot.client.hget(keys_of(auction.auction_id).auction, "seal")
        assert seal is None or isinstance(seal, bytes)
        return seal

    assert await until(sealed)
    # Other tests' auctions may be due too; asking every millisecond would be hundreds of calls.
    assert pipe.calls < 50
    await closer.stop()
    await pipe.stop()


def measured(*samples: tuple[float, float]) -> Clock:
    clock = Clock()
    for took_ms, offset_ms in samples:
        clock._take(took_ms, offset_ms)
    return clock


@pytest.mark.parametrize(
    ("samples", "offset_ms"),
    [
        ([(2.0, 1_000.0), (1.0, 1_000.4), (30.0, 1_014.0)], 1_000.4),
        ([(1.0, 1_000.0), (2.0, 6_000.0)], 6_000.0),
        ([(1.0, 6_000.0), (2.0, 1_000.0)], 1_000.0),
    ],
    ids=["the quickest answer counts", "set forward", "set back"],
)
def test_a_clock_that_was_set_is_followed_at_once(
    samples: list[tuple[float, float]], offset_ms: float
) -> None:
    assert measured(*samples)._offset_ms == offset_ms


async def test_a_socket_that_went_away_while_its_ticket_was_checked_is_not_kept(
    hot: Hot, redis_url: str
) -> None:
    class Gone(Viewer):
        def __init__(self) -> None:
            self.watching, self.account, self.session = set(), None, None

        def send(self, message: Message | Push) -> None:
            pass

    hub = Hub(redis_url, hot, Clock(), "one", Limits())
    viewer = Gone()
    hub.enter(viewer)
    hub.exit(viewer)

    hub.identify(viewer, new_id(), new_id())

    assert not hub._accounts


async def test_a_subscription_that_took_effect_during_a_reading_makes_another_one(
    hot: Hot, redis_url: str
) -> None:
    anna = new_id()
    auction = (await load(hot, [anna])).auction_id
    hub = Hub(redis_url, hot, Clock(), "one", Limits(position_check_s=3600))
    room = hub._open(auction)
    channel = keys_of(auction).channel
    hub._subscribed(channel)
    await until(lambda: room.loaded)

    # The reading is as old as it can be: what it waits for is the answer of a Redis that has not seen the bid yet.
    read_once = hub._read_once

    async def read_before_the_bid(room: Room) -> bool:
        done = await read_once(room)
        if hub._read_once is read_before_the_bid:
            hub._read_once = read_once  # type: ignore[method-assign]
            await hot.run(place_bid(auction, anna, "unheard", 2_000))
            hub._subscribed(channel)
        return done

    hub._read_once = read_before_the_bid  # type: ignore[method-assign]
    hub._subscribed(channel)

    await until(lambda: room.seq == 1, deadline_s=5)
    await hub.stop()
