"""The pooled connections to the hot state."""

import asyncio

from store.hot import Hot, SyncHot
from tests.waiting import until

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
