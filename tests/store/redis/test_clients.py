"""The connections to the hot state."""

import asyncio
from uuid import uuid4

import pytest
import redis

from store.ids import new_id
from store.redis.auctions import read_auction
from store.redis.clients import Hot, SyncHot
from store.redis.keys import keys_of
from store.redis.scripts import load_scripts
from tests.support.waiting import until

CONNECTIONS = 5


async def test_a_pooled_connection_that_redis_has_closed_is_not_used_again(
    hot: Hot, sync_hot: SyncHot
) -> None:
    ids = set(await asyncio.gather(*(hot.client.client_id() for _ in range(CONNECTIONS))))
    assert len(ids) == CONNECTIONS
    for connection in ids:
        sync_hot.client.client_kill_filter(_id=str(connection))
    await until(lambda: not ids & {int(client["id"]) for client in sync_hot.client.client_list()})

    await asyncio.gather(*(hot.ping() for _ in range(CONNECTIONS)))


def test_scripts_run_together_though_redis_does_not_know_them(sync_hot: SyncHot) -> None:
    scripts = load_scripts(f"-- {uuid4()}\n")
    assert sync_hot.run_all([]) == []
    readings = sync_hot.run_all([read_auction(new_id(), 0, scripts=scripts) for _ in range(3)])
    assert [reading.code for reading in readings] == ["unavailable"] * 3


def test_what_fails_together_with_others_is_raised(sync_hot: SyncHot) -> None:
    broken, fine = new_id(), new_id()
    sync_hot.client.set(keys_of(broken).auction, "no hash")
    with pytest.raises(redis.ResponseError):
        sync_hot.run_all([read_auction(auction_id, 0) for auction_id in (broken, fine)])
