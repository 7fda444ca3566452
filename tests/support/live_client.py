"""A WebSocket client that keeps every message, and live auctions to point it at."""

import asyncio
import itertools
import json
import re
from collections.abc import Callable
from typing import Any, Self
from uuid import UUID

from tornado.websocket import WebSocketClientConnection, websocket_connect

from realtime.replica import Message, Replica
from store.ids import new_id
from store.redis.auctions import HotAuction, HotPaddle, load_auction, place_bid
from store.redis.clients import Hot
from store.redis.keys import keys_of
from store.redis.records import BidRecord
from store.redis.tickets import put_ticket
from tests.support.waiting import until

TIMEOUT_S = 20


class Client:
    """Every message goes to `messages` in the order in which it came; those about an auction also to its replica."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self.connection = connection
        self.messages: list[Message] = []
        self.replicas: dict[str, Replica] = {}
        self._refs = itertools.count(1)
        self._came = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls, url: str, user: UUID | None = None, hot: Hot | None = None, session: UUID | None = None
    ) -> Self:
        """Connect; as `user` if given, by a ticket of `session` put into `hot`."""
        client = cls(await websocket_connect(url))
        if user is not None:
            assert hot is not None
            reply = await client.request(
                "authenticate", ticket=await hot.run(put_ticket(user, session or new_id()))
            )
            assert reply["type"] == "authenticated"
        return client

    async def _read(self) -> None:
        while (text := await self.connection.read_message()) is not None:
            message = json.loads(text)
            if "auction" in message:
                self.replicas.setdefault(message["auction"], Replica()).apply(message)
            async with self._came:
                self.messages.append(message)
                self._came.notify_all()
        async with self._came:
            self._came.notify_all()

    @property
    def close_code(self) -> int | None:
        """With which code the server has closed the socket."""
        return self.connection.close_code

    def write(self, text: str | bytes) -> None:
        """Send a frame as it is."""
        self.connection.write_message(text, binary=isinstance(text, bytes))

    def send(self, kind: str, **fields: Any) -> str:
        """Send a request; its ref."""
        ref: str = fields.pop("ref", None) or f"r{next(self._refs)}"
        self.write(json.dumps({"type": kind, "ref": ref, **fields}))
        return ref

    async def request(self, kind: str, **fields: Any) -> Message:
        """Send a request and wait for its reply."""
        seen = len(self.messages)
        ref = self.send(kind, **fields)
        return await self.message(lambda message: message.get("ref") == ref, seen)

    async def message(self, wanted: Callable[[Message], bool], start: int = 0) -> Message:
        """The first message from `start` on that is wanted, come or to come."""
        async with asyncio.timeout(TIMEOUT_S), self._came:
            position = start
            while True:
                for message in self.messages[position:]:
                    if wanted(message):
                        return message
                position = len(self.messages)
                assert not self._reading.done(), f"closed with {self.close_code}: {self.messages}"
                await self._came.wait()

    async def push(self, kind: str, start: int = 0, **fields: Any) -> Message:
        """The first message of this kind with these fields."""
        wanted = {"type": kind, **fields}
        return await self.message(lambda message: wanted.items() <= message.items(), start)

    async def reached(self, auction: UUID, seq: int) -> Replica:
        """The replica of the auction as soon as it has come to `seq`."""
        name = str(auction)
        await self.message(lambda _: name in self.replicas and self.replicas[name].seq >= seq)
        return self.replicas[name]

    async def in_order(self) -> None:
        """Whatever was sent to this socket before has come when this returns."""
        reply = await self.request("ping")
        assert reply["type"] == "pong"

    def of_type(self, *kinds: str) -> list[Message]:
        """All messages of these kinds."""
        return [message for message in self.messages if message["type"] in kinds]

    async def closed(self) -> int | None:
        """Wait for the end of the socket; its close code."""
        await asyncio.wait_for(asyncio.shield(self._reading), TIMEOUT_S)
        return self.close_code

    async def leave(self) -> None:
        """Close the socket and wait for the end."""
        self.connection.close()
        await self.closed()


LIMIT = 1_000_000


async def load(hot: Hot, bidders: list[UUID], **changes: Any) -> HotAuction:
    """Load a live auction (start 1000, steps of 100) in which `bidders` have the paddles 1, 2, …"""
    now = await hot.now_ms()
    fields: dict[str, Any] = {
        "auction_id": new_id(),
        "epoch": 1,
        "seq": 0,
        "seller": new_id(),
        "opens_at": now - 1_000,
        "ends_at": now + 3_600_000,
        "start_price": 1_000,
        "steps": [(0, 100)],
        "window_ms": 0,
        "extension_ms": 0,
        "latest_end": now + 7_200_000,
        "reserve": 0,
        "buy_now_price": 0,
        "buy_now_until": "always",
        "price": 0,
        "leader": None,
        "leader_paddle": 0,
        "leader_maximum": 0,
        "bids": 0,
        "log_position": "0-0",
        "paddles": [HotPaddle(bidder, number, LIMIT, 1) for number, bidder in enumerate(bidders, 1)],
    }
    auction = HotAuction(**fields | changes)
    assert await hot.run(load_auction(auction))
    await hot.client.set(keys_of(auction.auction_id).ready, 1)
    return auction


async def unload(hot: Hot, auction: UUID) -> None:
    """Lose the hot state of an auction."""
    keys = keys_of(auction)
    await hot.client.delete(keys.auction, keys.paddles, keys.history)


async def repeat_last_bid(hot: Hot, auction: UUID, *, seq: int, publish: bool) -> None:
    """Put the last record once more into the history, as number `seq`; unpublished it is a lost message."""
    keys = keys_of(auction)
    last = await hot.client.lindex(keys.history, -1)
    assert isinstance(last, bytes)
    record = re.sub(rb'"seq":\d+', b'"seq":%d' % seq, last)
    pipe = hot.client.pipeline(transaction=True)
    pipe.hset(keys.auction, "seq", str(seq))
    pipe.rpush(keys.history, record)
    if publish:
        pipe.execute_command("SPUBLISH", keys.channel, record)
    await pipe.execute()


async def bid(hot: Hot, auction: UUID, bidder: UUID, maximum: int) -> BidRecord:
    """Bid past all sockets."""
    answer = await hot.run(place_bid(auction, bidder, f"m{maximum}", maximum))
    assert isinstance(answer, BidRecord)
    return answer


async def watch(client: Client, auction: UUID) -> Client:
    assert (await client.request("subscribe", auction=str(auction)))["type"] == "snapshot"
    return client


async def listening(hot: Hot, *users: UUID) -> None:
    """Wait until a process hears what these users are pushed: the reply to the ticket does not wait for it."""
    channels = [f"user:{user}" for user in users]

    async def all_heard() -> bool:
        reply = await hot.client.execute_command("PUBSUB", "SHARDNUMSUB", *channels)
        return all(count > 0 for count in reply[1::2])

    await until(all_heard)
