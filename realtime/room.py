"""One auction as this process knows it, and its viewers here.

The room folds records, one by one and in order, into what a snapshot says, and writes what happened to its viewers:
at once while it is quiet, in ticks while it is busy. Where the records come from is the hub's business.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from msgspec import UNSET

from market import rules
from realtime.clock import Clock
from realtime.frames import frame
from realtime.limits import Limits
from realtime.metrics import CLOSE_DELAY_S, FLUSH_S
from realtime.protocol import (
    Closed,
    Event,
    Extended,
    Message,
    PublicBid,
    Resumed,
    Snapshot,
    State,
    Tick,
)
from realtime.viewer import Viewer
from store.redis.auctions import Reading
from store.redis.pushes import OutbidPush
from store.redis.records import (
    BidRecord,
    ExtensionRecord,
    Record,
    SealRecord,
    decode_record,
)

RECENT_BIDS = 20
"""Bids in a snapshot."""


class Waiting(NamedTuple):
    """A viewer to be brought up to date: a subscriber (`ref`) with what it knows, or one that fell behind ("")."""

    ref: str
    epoch: int
    seq: int
    since: float


class Room:
    """State, history and viewers of one auction."""

    def __init__(
        self,
        auction: UUID,
        clock: Clock,
        limits: Limits,
        on_outbid: Callable[[UUID, "Room", OutbidPush], None],
    ) -> None:
        self.auction = auction
        self.viewers: set[Viewer] = set()
        self.waiting: dict[Viewer, Waiting] = {}
        self.total_viewers = 0
        """Viewers on all processes, as last heard."""
        self.empty_since = 0.0
        self.loaded = False
        self.epoch = 0
        self.seq = 0
        self._clock = clock
        self._limits = limits
        self._on_outbid = on_outbid
        self._history: deque[Record] = deque(maxlen=limits.history)
        self._opens_at = 0
        self._ends_at = 0
        self._price = 0
        self._leader = 0
        self._leader_maximum = 0
        self._next_minimum = 0
        self._bids = 0
        self._reserve_met = False
        self._buy_now = 0
        self._seal: SealRecord | None = None
        self._unflushed: list[Record] = []
        self._outbids: list[tuple[UUID, OutbidPush]] = []
        self._flush_due: asyncio.Handle | None = None
        self._rests_until = 0.0

    # -- the fold

    def load(self, state: Mapping[str, str], records: Sequence[Record]) -> None:
        """Replace everything by what Redis says, and give every viewer a snapshot."""
        known = _rules_state(state)
        self.epoch, self.seq = known.epoch, known.seq
        self._opens_at, self._ends_at = known.opens_at, known.ends_at
        self._price, self._bids = known.price, known.bids
        self._leader, self._leader_maximum = (known.lead.paddle, known.lead.maximum) if known.lead else (0, 0)
        self._next_minimum = rules.next_minimum(known)
        self._reserve_met = rules.reserve_met(known)
        seal = decode_record(state["seal"]) if "seal" in state else None
        self._seal = seal if isinstance(seal, SealRecord) else None
        self._buy_now = 0 if self._seal else rules.buy_now(known)
        self._history.clear()
        self._history.extend(records)
        self._unflushed.clear()
        self._outbids.clear()
        self._cancel_flush()
        self.loaded = True
        for viewer in self.viewers:
            self.waiting[viewer] = Waiting("", 0, 0, time.monotonic())
        self.viewers.clear()
        self.welcome()

    def continues(self, reading: Reading) -> bool:
        """Whether a reading made after our `seq` goes on from what we know, without a gap."""
        state = reading.state
        return (
            self.loaded
            and state is not None
            and int(state["epoch"]) == self.epoch
            and int(state["seq"]) - len(reading.records) == self.seq
        )

    def receive(self, record: Record) -> None:
        """Take the next record and see to it that the viewers get it."""
        if isinstance(record, BidRecord) and record.outbid:
            self._outbids.append((UUID(record.outbid), self._outbid(record)))
        self.apply(record)
        self._unflushed.append(record)
        loop = asyncio.get_running_loop()
        rest_s = self._rests_until - loop.time()
        if isinstance(record, SealRecord):
            self._flush()
        elif self._flush_due is None:
            self._flush_due = (
                loop.call_later(rest_s, self._flush) if rest_s > 0 else loop.call_soon(self._flush)
            )

    def apply(self, record: Record) -> None:
        """Fold one record into the state."""
        self.seq = record.seq
        self._history.append(record)
        self._ends_at = record.ends_at
        if isinstance(record, SealRecord):
            self._seal = record
            self._buy_now = 0
        elif isinstance(record, BidRecord):
            self._take_bid(record)

    def _take_bid(self, record: BidRecord) -> None:
        self._price = record.price
        self._leader, self._leader_maximum = record.leader_paddle, record.leader_maximum
        self._next_minimum = record.next_minimum
        self._bids = record.bids
        self._reserve_met, self._buy_now = record.reserve_met, record.buy_now

    def _outbid(self, record: BidRecord) -> OutbidPush:
        return OutbidPush(
            auction=self.auction,
            epoch=record.epoch,
            seq=record.seq,
            at=record.at,
            price=record.price,
            next_minimum=record.next_minimum,
            your_maximum=self._leader_maximum,
        )

    def snapshot(self, ref: str = "") -> Snapshot:
        """What a newcomer needs to know."""
        now = self._clock.now()
        newest = (record for record in reversed(self._history) if isinstance(record, BidRecord))
        return Snapshot(
            ref=ref or UNSET,
            auction=self.auction,
            epoch=self.epoch,
            seq=self.seq,
            state=State.CLOSED if self._seal else State.LIVE if now >= self._opens_at else State.SCHEDULED,
            opens_at=self._opens_at,
            ends_at=self._ends_at,
            price=self._price or None,
            leader=self._leader or None,
            next_minimum=self._next_minimum,
            bids=self._bids,
            reserve_met=self._reserve_met,
            buy_now=self._buy_now or None,
            recent=[_public(record) for record in islice(newest, RECENT_BIDS)][::-1],
            hammer_price=_hammer_price(self._seal) if self._seal else None,
            winner=(self._seal.leader_paddle or None) if self._seal else None,
            cancelled=self._seal is not None and self._seal.cancelled,
            viewers=self.total_viewers,
            server_time=now,
        )

    # -- the viewers

    def join(self, viewer: Viewer, ref: str, epoch: int, seq: int) -> None:
        """Let a viewer in. It gets its reply as soon as the room is loaded and in step with what others have got."""
        viewer.watching.add(self.auction)
        self.viewers.discard(viewer)
        self.waiting[viewer] = Waiting(ref, epoch, seq, time.monotonic())
        self.welcome()

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        viewer.watching.discard(self.auction)
        self.viewers.discard(viewer)
        self.waiting.pop(viewer, None)
        if not self.size:
            self.empty_since = time.monotonic()

    @property
    def size(self) -> int:
        """Viewers on this process."""
        return len(self.viewers) + len(self.waiting)

    def tell(self, message: Message) -> None:
        """Write a message to all viewers that keep up."""
        frames = frame(message)
        for viewer in tuple(self.viewers):
            viewer.write(frames)

    def welcome(self) -> None:
        """Bring those who wait up to date."""
        for viewer in tuple(self.waiting):
            self.greet(viewer)

    def greet(self, viewer: Viewer) -> None:
        """Bring a viewer up to date if it waits. While records are unflushed it waits on: order is by `seq`."""
        if not self.loaded or self._unflushed or viewer.unsent or viewer not in self.waiting:
            return
        waiting = self.waiting.pop(viewer)
        self.viewers.add(viewer)
        viewer.write(self._greeting(waiting))

    def _greeting(self, waiting: Waiting) -> bytes:
        if not waiting.ref:
            return frame(self.snapshot())
        missed = self.seq - waiting.seq
        if waiting.epoch != self.epoch or not 0 <= missed <= len(self._history):
            return frame(self.snapshot(waiting.ref))
        resumed = Resumed(ref=waiting.ref, auction=self.auction, epoch=self.epoch, seq=self.seq)
        records = list(islice(self._history, len(self._history) - missed, None))
        return frame(resumed) + b"".join(map(frame, events(records, self._clock.now())))

    def _flush(self) -> None:
        """Write what happened since the last flush: one write to each viewer, the same bytes to all."""
        self._cancel_flush()
        started = time.perf_counter()
        records, self._unflushed = self._unflushed, []
        outbids, self._outbids = self._outbids, []
        frames = b"".join(map(frame, events(records, self._clock.now())))
        for viewer in tuple(self.viewers):
            if viewer.unsent > self._limits.soft_bytes:
                self.viewers.discard(viewer)
                self.waiting[viewer] = Waiting("", 0, 0, time.monotonic())
                viewer.fall_behind()
            else:
                viewer.write(frames)
        for user, outbid in outbids:
            self._on_outbid(user, self, outbid)
        if records and isinstance(seal := records[-1], SealRecord) and not seal.cancelled:
            CLOSE_DELAY_S.observe(max(0, self._clock.now() - self._ends_at) / 1000)
        took_s = time.perf_counter() - started
        FLUSH_S.observe(took_s)
        rest_s = took_s * self._limits.tick_share
        if rest_s >= self._limits.tick_min_s:
            self._rests_until = asyncio.get_running_loop().time() + min(rest_s, self._limits.tick_max_s)
        self.welcome()

    def _cancel_flush(self) -> None:
        if self._flush_due is not None:
            self._flush_due.cancel()
            self._flush_due = None


def events(records: Sequence[Record], now: int) -> Iterator[Event]:
    """The events that a viewer gets of consecutive records of one epoch, the same live as when it resumes.

    One tick for all bids and the numbers between them, every extension, the close.
    """
    bids = [record for record in records if isinstance(record, BidRecord)]
    if bids:
        last = bids[-1]
        yield Tick(
            auction=last.auction,
            epoch=last.epoch,
            first=records[0].seq,
            last=last.seq,
            bids=[_public(record) for record in bids],
            price=last.price,
            leader=last.leader_paddle,
            next_minimum=last.next_minimum,
            ends_at=last.ends_at,
            count=last.bids,
            reserve_met=last.reserve_met,
            buy_now=last.buy_now or None,
            server_time=now,
        )
    for record in records:
        outage = isinstance(record, ExtensionRecord)
        if outage or (isinstance(record, BidRecord) and record.extended):
            yield Extended(
                auction=record.auction,
                epoch=record.epoch,
                seq=record.seq,
                ends_at=record.ends_at,
                outage=outage,
                server_time=now,
            )
    if records and isinstance(seal := records[-1], SealRecord):
        yield Closed(
            auction=seal.auction,
            epoch=seal.epoch,
            seq=seal.seq,
            hammer_price=_hammer_price(seal),
            winner=seal.leader_paddle or None,
            cancelled=seal.cancelled,
            bids=seal.bids,
            ends_at=seal.ends_at,
            sealed_at=seal.at,
            server_time=now,
        )


def _hammer_price(seal: SealRecord) -> int | None:
    return seal.price if seal.leader else None


def _public(record: BidRecord) -> PublicBid:
    return PublicBid(record.seq, record.paddle, record.price, record.at)


def _rules_state(state: Mapping[str, str]) -> rules.BiddingState:
    """The hot state in the words of the rules, without paddles and answers."""
    lead = rules.Lead(state["leader"], int(state["leader_paddle"]), int(state["leader_maximum"]))
    return rules.BiddingState(
        epoch=int(state["epoch"]),
        seller=state["seller"],
        opens_at=int(state["opens_at"]),
        ends_at=int(state["ends_at"]),
        start_price=int(state["start_price"]),
        steps=tuple(rules.IncrementStep(*map(int, step.split(":"))) for step in state["steps"].split(";")),
        soft_close=rules.SoftCloseRule(
            int(state["window_ms"]), int(state["extension_ms"]), int(state["latest_end"])
        ),
        reserve=int(state["reserve"]),
        buy_now_price=int(state["buy_now_price"]),
        buy_now_until=rules.BuyNowUntil(state["buy_now_until"]),
        seq=int(state["seq"]),
        price=int(state["price"]),
        lead=lead if lead.bidder else None,
        bids=int(state["bids"]),
    )
