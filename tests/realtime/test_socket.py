"""Input that is wrong, too much or too slowly read, and who may come in."""

import asyncio
import json
import socket
import struct
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from realtime.limits import Limits
from realtime.replica import Replica
from store.ids import new_id
from store.redis.auctions import place_bid
from store.redis.clients import Hot
from store.redis.keys import keys_of
from store.redis.tickets import put_ticket, take_ticket
from tests.support.live_client import TIMEOUT_S, Client, load
from tests.support.realtime import Connect, Launch, Process
from tests.support.waiting import until

AUCTION = "0192d3a0-0000-7000-8000-000000000000"
BID = {"type": "bid", "ref": "r", "auction": AUCTION}


def text(**changes: Any) -> str:
    """A bid, changed."""
    return json.dumps(BID | changes)


@pytest.mark.parametrize(
    ("message", "code", "ref"),
    [
        ("{", "malformed", None),
        ("", "malformed", None),
        ("[" * 10_000, "malformed", None),
        ('{"type":"ping","ref":"r"} trailing', "malformed", None),
        ("[]", "malformed", None),
        ("7", "malformed", None),
        (b'{"type":"ping","ref":"r"}', "malformed", None),
        ("{}", "unknown_type", None),
        ('{"type":"bids","ref":"r"}', "unknown_type", "r"),
        ('{"type":["bid"],"ref":"r"}', "unknown_type", "r"),
        ('{"type":{},"ref":"r"}', "unknown_type", "r"),
        ('{"type":null,"ref":"r"}', "unknown_type", "r"),
        ('{"type":"accepted","ref":"r"}', "unknown_type", "r"),
        ('{"type":"ping"}', "invalid_ref", None),
        ('{"type":"ping","ref":7}', "invalid_ref", None),
        ('{"type":"ping","ref":""}', "invalid_ref", None),
        ('{"type":"ping","ref":"a b"}', "invalid_ref", None),
        ('{"type":"ping","ref":"a\\n"}', "invalid_ref", None),
        ('{"type":"ping","ref":"é"}', "invalid_ref", None),
        (json.dumps({"type": "ping", "ref": "x" * 65}), "invalid_ref", None),
        ('{"type":"ping","ref":"r","more":1}', "invalid_field", "r"),
        ('{"type":"subscribe","ref":"r"}', "invalid_field", "r"),
        ('{"type":"subscribe","ref":"r","auction":"bicycle"}', "invalid_field", "r"),
        (json.dumps({"type": "subscribe", "ref": "r", "auction": AUCTION, "seq": -1}), "invalid_field", "r"),
        (
            json.dumps({"type": "subscribe", "ref": "r", "auction": AUCTION, "epoch": "1"}),
            "invalid_field",
            "r",
        ),
        ('{"type":"authenticate","ref":"r"}', "invalid_field", "r"),
        (text(), "invalid_amount", "r"),
        (text(amount=1, maximum=1), "invalid_amount", "r"),
        (text(amount=0), "invalid_amount", "r"),
        (text(amount=-5), "invalid_amount", "r"),
        (text(amount=1000.5), "invalid_amount", "r"),
        (text(amount=1000.0), "invalid_amount", "r"),
        (text(amount="1000"), "invalid_amount", "r"),
        (text(amount=None), "invalid_amount", "r"),
        (text(amount=True), "invalid_amount", "r"),
        (text(amount=[1000]), "invalid_amount", "r"),
        (text(amount=2**53), "invalid_amount", "r"),
        (text(maximum=2**53), "invalid_amount", "r"),
        (text(maximum=2**64), "invalid_amount", "r"),
        (text(maximum=10**400), "invalid_amount", "r"),
        (text(maximum=1e300), "invalid_amount", "r"),
        (text(maximum=0), "invalid_amount", "r"),
        (text(amount=1, epoch=-1), "invalid_field", "r"),
        (text(amount=2**53 - 1), "authentication_required", "r"),
        (text(type="buy_now"), "authentication_required", "r"),
        (text(type="buy_now", amount=1), "invalid_field", "r"),
        (text(type="buy_now", epoch=-1), "invalid_field", "r"),
        (text(type="buynow"), "unknown_type", "r"),
        ('{"type":"buy_now","ref":"r"}', "invalid_field", "r"),
        ('{"type":"authenticate","ref":"r","ticket":"guessed"}', "invalid_ticket", "r"),
        ('{"type":"authenticate","ref":"r","ticket":"\\u0000é"}', "invalid_ticket", "r"),
        (json.dumps({"type": "unsubscribe", "ref": "r", "auction": AUCTION}), "not_subscribed", "r"),
    ],
)
async def test_bad_input_gets_its_code_and_the_socket_stays_open(
    url: str, connect: Connect, message: str | bytes, code: str, ref: str | None
) -> None:
    client = await connect(url)

    client.write(message)
    reply = await client.push("error")

    assert (reply["code"], reply.get("ref")) == (code, ref)
    assert reply["detail"]
    assert (await client.request("ping"))["type"] == "pong"


async def test_an_unknown_auction_is_said_to_be_unknown(hot: Hot, url: str, connect: Connect) -> None:
    bidder, auction = await connect(url, new_id()), new_id()
    keys = keys_of(auction)
    await hot.client.mset({keys.ready: 1, keys.mirrored: 1})

    watching = await bidder.request("subscribe", auction=str(auction))
    bidding = await bidder.request("bid", auction=str(auction), amount=1_000)

    assert (watching["type"], watching["code"]) == ("error", "unknown_auction")
    assert (bidding["type"], bidding["code"], bidding["ends_at"]) == ("rejected", "unknown_auction", 0)


async def test_each_refusal_of_the_rules_reaches_the_bidder(hot: Hot, url: str, connect: Connect) -> None:
    anna, bert, seller, stranger = (new_id() for _ in range(4))
    auction = await load(hot, [anna, bert], seller=seller)
    await hot.run(place_bid(auction.auction_id, anna, "first", 5_000))
    own = {"auction": str(auction.auction_id)}
    refused = await (await connect(url, bert)).request("buy_now", **own)
    assert (refused["type"], refused["code"], refused["next_minimum"]) == ("rejected", "no_buy_now", 1_100)
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (bert, {"amount": 1_099}, "below_minimum"),
        (bert, {"amount": 1_000_001}, "over_limit"),
        (bert, {"amount": 2_000, "epoch": 9}, "stale_epoch"),
        (anna, {"maximum": 5_000}, "not_above_own_maximum"),
        (seller, {"amount": 2_000}, "own_auction"),
        (stranger, {"amount": 2_000}, "no_paddle"),
    ]
    for user, fields, code in cases:
        client = await connect(url, user)
        reply = await client.request("bid", **own, **fields)
        assert (reply["type"], reply["code"]) == ("rejected", code)
        assert (reply["price"], reply["next_minimum"], reply["ends_at"]) == (1_000, 1_100, auction.ends_at)
        assert (await client.request("ping"))["type"] == "pong"


async def test_a_ticket_admits_once(hot: Hot, url: str, connect: Connect) -> None:
    user, session = new_id(), new_id()
    ticket = await hot.run(put_ticket(user, session))
    client = await connect(url)

    first = await client.request("authenticate", ticket=ticket)
    second = await client.request("authenticate", ticket=ticket)

    assert (first["type"], first["user"]) == ("authenticated", str(user))
    assert (second["type"], second["code"]) == ("error", "invalid_ticket")
    taken = await hot.run(take_ticket(await hot.run(put_ticket(user, session))))
    assert taken is not None
    assert (taken.user, taken.session) == (user, session)


@pytest.mark.parametrize(
    ("origin", "enters"),
    [
        ({}, True),
        ({"Origin": "https://friend.example"}, True),
        ({"Origin": "http://{host}"}, True),
        ({"Origin": "https://enemy.example"}, False),
        ({"Origin": "https://friend.example.enemy.example"}, False),
        ({"Origin": "null"}, False),
    ],
)
async def test_a_foreign_page_may_not_open_a_socket(url: str, origin: dict[str, str], enters: bool) -> None:
    headers = {name: value.format(host=urlsplit(url).netloc) for name, value in origin.items()}
    request = HTTPRequest(url, headers=headers)
    if enters:
        (await websocket_connect(request)).close()
        return
    with pytest.raises(HTTPClientError) as refused:
        await websocket_connect(request)
    assert refused.value.code == 403


async def test_a_message_that_is_too_large_ends_the_socket(url: str, connect: Connect) -> None:
    client = await connect(url)
    client.write("x" * (16 * 1024 + 1))
    assert await client.closed() == 1009


class Deaf:
    """A client with a small receive buffer that reads only when told to."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._address = (address.hostname, address.port)

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._socket.setblocking(False)
        await loop.sock_connect(self._socket, self._address)
        request = (
            "GET /ws/live HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await loop.sock_sendall(self._socket, request.encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += await loop.sock_recv(self._socket, 1)

    async def send(self, **message: Any) -> None:
        """Send a request of less than 126 bytes, masked with zeros."""
        payload = json.dumps(message).encode()
        frame = bytes((0x81, 0x80 | len(payload), 0, 0, 0, 0)) + payload
        await asyncio.get_running_loop().sock_sendall(self._socket, frame)

    async def frames(self, last: Any) -> list[Any]:
        """Read until a frame that `last` likes; a close frame comes as its code."""
        frames: list[Any] = []
        async with asyncio.timeout(TIMEOUT_S):
            while not frames or not last(frames[-1]):
                opcode, length = await self._read(2)
                if length == 126:
                    (length,) = struct.unpack("!H", await self._read(2))
                payload = await self._read(length)
                frames.append(json.loads(payload) if opcode == 0x81 else struct.unpack("!H", payload[:2])[0])
        return frames

    async def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = await asyncio.get_running_loop().sock_recv(self._socket, size - len(data))
            assert chunk, "the socket ended"
            data += chunk
        return data

    def close(self) -> None:
        self._socket.close()


SMALL = Limits(kernel_send_bytes=4096, soft_bytes=4096, messages_per_s=1e6, message_burst=1_000_000)

MANY = 400


async def bid_much(hot: Hot, process: Process, connect: Connect) -> tuple[Deaf, Client]:
    """A viewer that does not read while `MANY` bids come in, and one that does."""
    anna = new_id()
    auction = (await load(hot, [anna])).auction_id
    deaf = Deaf(process.url)
    await deaf.open()
    await deaf.send(type="subscribe", ref="s", auction=str(auction))
    attentive = await connect(process.url)
    await attentive.request("subscribe", auction=str(auction))
    for number in range(1, MANY + 1):
        await hot.run(place_bid(auction, anna, f"b{number}", 1_000 + number))
    await attentive.reached(auction, MANY)
    assert {"type": "snapshot"}.items() <= attentive.messages[0].items()
    assert len(attentive.of_type("snapshot")) == 1, "the others get every tick"
    return deaf, attentive


async def test_a_viewer_that_falls_behind_gets_one_fresh_snapshot_when_it_reads_again(
    hot: Hot, launch: Launch, connect: Connect
) -> None:
    process = await launch("one", SMALL)
    deaf, attentive = await bid_much(hot, process, connect)

    messages = await deaf.frames(lambda message: message["type"] == "snapshot" and message["seq"] == MANY)
    deaf.close()

    assert sum(message["type"] == "tick" for message in messages) < MANY / 2, "most ticks were held back"
    replica = Replica()
    assert all(replica.apply(message) for message in messages), "but never one in between"
    assert replica == attentive.replicas[messages[0]["auction"]]


async def test_a_viewer_that_stays_behind_is_closed(hot: Hot, launch: Launch, connect: Connect) -> None:
    process = await launch("one", replace(SMALL, slow_s=0.1))
    deaf, _ = await bid_much(hot, process, connect)
    await until(lambda: process.realtime.status()["sockets"] == 1)

    deaf.close()


async def test_replies_that_nobody_reads_are_bounded_too(launch: Launch) -> None:
    process = await launch("one", replace(SMALL, hard_bytes=16 * 1024))
    deaf = Deaf(process.url)
    await deaf.open()
    for number in range(1_000):
        await deaf.send(type="ping", ref=f"p{number}")

    frames = await deaf.frames(lambda message: not isinstance(message, dict))

    assert frames[-1] == 4008
    assert len(frames) < 1_000
    deaf.close()


async def test_too_many_messages_are_refused_and_then_the_socket(launch: Launch, connect: Connect) -> None:
    limits = Limits(messages_per_s=0.001, message_burst=3, rate_limited_in_a_row=4)
    process = await launch("one", limits)
    client = await connect(process.url)

    replies = [await client.request("ping") for _ in range(7)]
    client.send("ping")

    assert [reply["type"] for reply in replies] == ["pong"] * 3 + ["error"] * 4
    assert {reply["code"] for reply in replies[3:]} == {"rate_limited"}
    assert all(reply["retry_after_ms"] > 0 for reply in replies[3:])
    assert await client.closed() == 1008


async def test_a_socket_watches_a_bounded_number_of_auctions(
    hot: Hot, launch: Launch, connect: Connect
) -> None:
    process = await launch("one", Limits(subscriptions=2))
    first, second, third = [str((await load(hot, [])).auction_id) for _ in range(3)]
    client = await connect(process.url)
    for auction in (first, second, first):
        assert (await client.request("subscribe", auction=auction))["type"] == "snapshot"

    refused = await client.request("subscribe", auction=third)
    await client.request("unsubscribe", auction=first)
    accepted = await client.request("subscribe", auction=third)

    assert (refused["type"], refused["code"]) == ("error", "too_many_subscriptions")
    assert accepted["type"] == "snapshot"
