"""The order in which a room writes, without any network."""

import asyncio
import json
from uuid import UUID

import pytest
from msgspec.structs import replace

from realtime.clock import Clock
from realtime.limits import Limits
from realtime.replica import Message, Replica
from realtime.room import Room
from realtime.viewer import Viewer
from store.ids import new_id
from store.redis.pushes import OutbidPush
from store.redis.records import BidRecord, ExtensionRecord, SealRecord

AUCTION, ANNA, BERT = new_id(), new_id(), new_id()
STATE = {
    "epoch": "1",
    "seq": "0",
    "seller": str(new_id()),
    "opens_at": "0",
    "ends_at": "1000",
    "start_price": "100",
    "steps": "0:10;1000:50",
    "window_ms": "0",
    "extension_ms": "0",
    "latest_end": "0",
    "reserve": "0",
    "buy_now_price": "0",
    "buy_now_until": "always",
    "price": "0",
    "leader": "",
    "leader_paddle": "0",
    "leader_maximum": "0",
    "bids": "0",
    "decided_at": "0",
}


class Recorder(Viewer):
    """A viewer whose socket takes everything."""

    def __init__(self) -> None:
        self.watching = set()
        self.unsent = 0
        self.messages: list[Message] = []

    def write(self, frames: bytes) -> None:
        while frames:
            start, length = (4, int.from_bytes(frames[2:4], "big")) if frames[1] == 126 else (2, frames[1])
            self.messages.append(json.loads(frames[start : start + length]))
            frames = frames[start + length :]

    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]


def a_bid(seq: int, *, outbid: UUID | None = None, extended: bool = False) -> BidRecord:
    return BidRecord(
        auction=AUCTION,
        epoch=1,
        seq=seq,
        at=seq,
        bidder=ANNA,
        paddle=1,
        ref="r",
        maximum=500 + seq,
        price=100 + seq,
        leader=ANNA,
        leader_paddle=1,
        leader_maximum=500 + seq,
        outbid=str(outbid or ""),
        next_minimum=110 + seq,
        ends_at=1000 + seq if extended else 1000,
        extended=extended,
        bids=seq,
        bought=False,
        reserve_met=True,
        buy_now=0,
    )


@pytest.fixture
def outbids() -> list[tuple[UUID, OutbidPush]]:
    return []


@pytest.fixture
def room(outbids: list[tuple[UUID, OutbidPush]]) -> Room:
    room = Room(AUCTION, Clock(), Limits(), lambda user, _, outbid: outbids.append((user, outbid)))
    room.load(STATE, [])
    return room


async def a_turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_records_of_one_loop_turn_are_one_tick_and_no_extension_is_merged_away(room: Room) -> None:
    viewer = Recorder()
    room.join(viewer, "s", 0, 0)
    for record in (a_bid(1, extended=True), a_bid(2), a_bid(3, extended=True)):
        room.receive(record)
    await a_turn()
    assert viewer.types() == ["snapshot", "tick", "extended", "extended"]
    assert [entry["seq"] for entry in viewer.messages[1]["bids"]] == [1, 2, 3]
    assert [message["seq"] for message in viewer.messages[2:]] == [1, 3]


def an_extension(seq: int, ends_at: int) -> ExtensionRecord:
    return ExtensionRecord(AUCTION, 1, seq, seq, new_id(), ends_at, ends_at)


@pytest.mark.parametrize("order", ["bee", "ebe", "eeb", "ebb", "beb", "bbe", "eee", "e", "be", "eb"])
@pytest.mark.parametrize("apart", [False, True])
async def test_extensions_for_an_outage_stand_among_bids_in_any_order(
    room: Room, order: str, apart: bool
) -> None:
    viewer, resumed = Recorder(), Recorder()
    room.join(viewer, "s", 0, 0)
    ends_at = 1000
    for seq, kind in enumerate(order, 1):
        ends_at += 50 if kind == "e" else 0
        bids = order[:seq].count("b")
        bid = replace(a_bid(seq), bids=bids, ends_at=ends_at)
        room.receive(an_extension(seq, ends_at) if kind == "e" else bid)
        if apart:
            await a_turn()
    await a_turn()
    room.join(resumed, "s", 1, 0)

    expected = Replica()
    newcomer = Recorder()
    room.join(newcomer, "s", 0, 0)
    expected.apply(newcomer.messages[0])
    assert expected.ends_at == ends_at
    first, *events = viewer.messages
    for messages in (events, resumed.messages[1:]):
        replica = Replica()
        assert all(replica.apply(message) for message in (first, *messages))
        assert replica == expected
    outages = [message["seq"] for message in viewer.messages if message["type"] == "extended"]
    assert outages == [seq for seq, kind in enumerate(order, 1) if kind == "e"]


async def test_what_a_lost_event_leaves_out_is_noticed_at_the_next_extension(room: Room) -> None:
    viewer = Recorder()
    room.join(viewer, "s", 0, 0)
    for record in (a_bid(1), an_extension(2, 1050)):
        room.receive(record)
    await a_turn()
    snapshot, tick, extended = viewer.messages
    replica = Replica()
    replica.apply(snapshot)
    assert not replica.apply(extended)
    assert replica.apply(tick)
    assert replica.apply(extended)
    assert replica.apply(tick), "known already"
    assert replica.seq == 2


async def test_who_joins_between_two_flushes_gets_nothing_twice(room: Room) -> None:
    stayed, newcomer, resumed = Recorder(), Recorder(), Recorder()
    room.join(stayed, "s", 0, 0)
    room.receive(a_bid(1))
    room.join(newcomer, "s", 0, 0)
    room.join(resumed, "s", 1, 0)
    room.receive(a_bid(2))
    await a_turn()
    assert stayed.types() == ["snapshot", "tick"]
    assert newcomer.types() == ["snapshot"]
    assert newcomer.messages[0]["seq"] == 2
    assert resumed.types() == ["resumed", "tick"]
    assert (resumed.messages[1]["first"], resumed.messages[1]["last"]) == (1, 2)


async def test_the_close_is_written_at_once_even_while_the_room_rests(room: Room) -> None:
    viewer = Recorder()
    room.join(viewer, "s", 0, 0)
    room.receive(a_bid(1))
    room.receive(
        SealRecord(
            auction=AUCTION,
            epoch=1,
            seq=2,
            at=1001,
            ends_at=1000,
            price=101,
            leader=str(ANNA),
            leader_paddle=1,
            bids=1,
        )
    )
    assert viewer.types() == ["snapshot", "tick", "closed"]
    await a_turn()
    assert viewer.types() == ["snapshot", "tick", "closed"]


async def test_who_loses_the_lead_hears_their_own_maximum(
    room: Room, outbids: list[tuple[UUID, OutbidPush]]
) -> None:
    room.receive(a_bid(1))
    room.receive(a_bid(2, outbid=BERT))
    await a_turn()
    [(user, outbid)] = outbids
    assert (user, outbid.seq, outbid.your_maximum, outbid.price) == (BERT, 2, 501, 102)
