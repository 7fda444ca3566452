"""The copy of the switches, on a real Redis."""

import pytest

from store.redis import switches
from store.redis.clients import Hot, SyncHot
from store.redis.switches import Switches

OFF = Switches(live_bidding=False)


async def test_without_a_copy_nothing_is_known(sync_hot: SyncHot, hot: Hot) -> None:
    assert await hot.run(switches.read()) is None


async def test_what_was_put_is_read(sync_hot: SyncHot, hot: Hot) -> None:
    assert sync_hot.run(switches.put(0, OFF))
    assert await hot.run(switches.read()) == OFF
    assert sync_hot.run(switches.put(1, Switches()))
    assert await hot.run(switches.read()) == Switches()


@pytest.mark.parametrize("version", [9, 10])
async def test_a_version_never_replaces_a_later_one(sync_hot: SyncHot, hot: Hot, version: int) -> None:
    assert sync_hot.run(switches.put(10, OFF))
    assert sync_hot.run(switches.put(version, OFF)) == (version == 10)
    assert not sync_hot.run(switches.put(9, Switches()))
    assert await hot.run(switches.read()) == OFF
