"""Hearing what users are pushed."""

import json
from collections import defaultdict
from typing import Any

from realtime.limits import Limits
from realtime.subscriber import Subscriber
from store.redis.clients import Hot
from store.redis.pushes import channel_of
from tests.support.client import Client
from tests.support.waiting import until


class Listener:
    """Hears what users are pushed, as the realtime processes do."""

    def __init__(self, redis_url: str, hot: Hot) -> None:
        self._hot = hot
        self._subscribed: set[str] = set()
        self._heard: dict[str, list[Any]] = defaultdict(list)
        self.subscriber = Subscriber(
            redis_url,
            Limits(),
            on_subscribed=self._subscribed.add,
            on_message=lambda channel, text: self._heard[channel].append(json.loads(text)),
            on_connected=lambda: None,
            on_lost=lambda: None,
        )
        self.subscriber.start()

    async def listen(self, *clients: Client) -> None:
        """From here on what they are pushed is kept."""
        channels = {channel_of(client.user_id) for client in clients}
        for channel in channels:
            self.subscriber.subscribe(channel)
        await until(lambda: channels <= self._subscribed)

    async def heard(self, client: Client, kind: str) -> list[dict[str, Any]]:
        """Everything of this `type` that was pushed before."""
        channel = channel_of(client.user_id)
        await self._hot.client.execute_command("SPUBLISH", channel, '{"type": "the end"}')
        await until(lambda: {"type": "the end"} in self._heard[channel])
        return [push for push in self._heard[channel] if push["type"] == kind]
