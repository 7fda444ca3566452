"""All rooms and sockets of this process: brings the published records to the rooms, completely and in order.

A room is read from Redis whenever its subscription took effect, a record is missing or another epoch shows up, or
the position check finds that Redis is elsewhere. What is heard during the reading is kept and merged.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Coroutine
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from realtime.background import stop_all
from realtime.clock import Clock
from realtime.frames import text_frame
from realtime.limits import Limits
from realtime.metrics import CATCH_UPS, ROOMS, SNAPSHOTS_FOR_ALL, SOCKETS
from realtime.protocol import CloseCode, Error, ErrorCode, Message, Notice, NoticeCode, Unsubscribed
from realtime.protocol import Viewers as ViewersPush
from realtime.room import Room
from realtime.subscriber import Subscriber
from realtime.viewer import Account, Viewer
from store.redis import auctions, glances, revocations
from store.redis.auctions import Reading, read_auction
from store.redis.clients import Hot
from store.redis.keys import keys_of
from store.redis.pushes import (
    OutbidPush,
    channel_of,
    outbid_in,
    user_of,
)
from store.redis.records import Record, decode_record

log = structlog.get_logger()

_READ_AGAIN_S = 0.5
_OUTBID_FRESH_MS = 5_000
"""Who sends the `ref` of an older bid again gets its answer again; the outbid bidder is notified once."""
_INTERRUPTED = Notice(code=NoticeCode.INTERRUPTED, detail="Live updates are interrupted.")
_RESTORED = Notice(code=NoticeCode.RESTORED, detail="Live updates are back.")


class Hub:
    """Rooms by auction, sockets by account and session."""

    def __init__(self, url: str, hot: Hot, clock: Clock, process: str, limits: Limits) -> None:
        self._hot = hot
        self._clock = clock
        self._process = process
        self._limits = limits
        self._rooms: dict[UUID, Room] = {}
        self._by_channel: dict[str, Room] = {}
        self._catching_up: dict[Room, list[Record]] = {}
        self._read_again: set[Room] = set()
        """Rooms whose subscription took effect while they were read: the reading may be older than that."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._accounts: dict[UUID, Account] = {}
        self._sessions_unchecked = False
        self._checking_sessions = False
        self._sessions: defaultdict[UUID, set[Viewer]] = defaultdict(set)
        self.viewers: set[Viewer] = set()
        self.empty = asyncio.Event()
        """Set while there are no viewers."""
        self.empty.set()
        self.subscriber = Subscriber(
            url,
            limits,
            on_subscribed=self._subscribed,
            on_message=self._heard,
            on_connected=lambda: self.tell_all(_RESTORED),
            on_lost=lambda: self.tell_all(_INTERRUPTED),
        )
        self.subscriber.subscribe(revocations.CHANNEL)

    @property
    def rooms(self) -> int:
        """How many auctions are followed."""
        return len(self._rooms)

    @property
    def watching(self) -> int:
        """How many sockets follow one or more."""
        return sum(bool(viewer.watching) for viewer in self.viewers)

    async def stop(self) -> None:
        """Stop hearing."""
        await self.subscriber.stop()
        await stop_all(self._tasks)
        await self._hot.run(glances.forget_viewers(self._process, list(self._rooms)))

    # -- sockets

    def enter(self, viewer: Viewer) -> None:
        """A socket was opened. It hears at once if what it will see may be old."""
        self.viewers.add(viewer)
        self.empty.clear()
        SOCKETS.inc()
        if not self.subscriber.connected:
            viewer.send(_INTERRUPTED)

    def exit(self, viewer: Viewer) -> None:
        """A socket is gone."""
        self.viewers.discard(viewer)
        if not self.viewers:
            self.empty.set()
        SOCKETS.dec()
        self.identify(viewer, None, None)
        for auction in tuple(viewer.watching):
            self._rooms[auction].leave(viewer)

    def caught_up(self, viewer: Viewer) -> None:
        """A viewer has nothing unsent any more: what was held back from it comes now."""
        for auction in viewer.watching:
            self._rooms[auction].greet(viewer)

    def identify(self, viewer: Viewer, user: UUID | None, session: UUID | None) -> None:
        """Say whose socket it is, which gets the user's pushes then, and by which log-in. One that went away while its
        ticket was checked is nobody's."""
        if viewer not in self.viewers:
            user = session = None
        before = viewer.account
        if before is not None and before.user != user:
            before.viewers.discard(viewer)
            if not before.viewers:
                self.subscriber.unsubscribe(channel_of(before.user))
            viewer.account = None
        if user is not None and viewer.account is None:
            viewer.account = self._accounts.get(user) or Account(user, self._limits)
            self._accounts[user] = viewer.account
            if not viewer.account.viewers:
                self.subscriber.subscribe(channel_of(user))
            viewer.account.viewers.add(viewer)
        _index(self._sessions, viewer, viewer.session, session)
        viewer.session = session

    def has_room(self, user: UUID, viewer: Viewer) -> bool:
        """Whether the user may sign in on this socket, too."""
        account = self._accounts.get(user)
        return account is None or len(account.viewers - {viewer}) < self._limits.account_sockets

    def end_session(self, session: UUID) -> None:
        """Close the sockets of a revoked session. They are nobody's at once, however long the goodbye takes."""
        for viewer in tuple(self._sessions.get(session, ())):
            self.identify(viewer, None, None)
            viewer.close(CloseCode.SESSION_REVOKED, "session_revoked")

    def _check_sessions(self) -> None:
        """Find what was revoked while nothing was heard; once more, if it is being looked for already."""
        self._sessions_unchecked = True
        if not self._checking_sessions:
            self._checking_sessions = True
            self._start(self._find_revoked())

    async def _find_revoked(self) -> None:
        try:
            while self._sessions_unchecked:
                self._sessions_unchecked = False
                if not await self._find_revoked_once():
                    self._sessions_unchecked = True
                    await asyncio.sleep(_READ_AGAIN_S)
        finally:
            self._checking_sessions = False

    async def _find_revoked_once(self) -> bool:
        """False if it has to be tried again."""
        try:
            for session in await self._hot.run(revocations.revoked(list(self._sessions))):
                self.end_session(session)
        except RedisError as failure:
            log.warning("sessions_not_checked", error=str(failure))
            return False
        except Exception:
            # Given up here, revoked sessions would keep their sockets.
            log.exception("sessions_not_checked")
            return False
        return True

    def subscribe(self, viewer: Viewer, ref: str, auction: UUID, epoch: int, seq: int) -> None:
        """Let a viewer into a room; its reply comes when the room is loaded."""
        if auction not in viewer.watching and len(viewer.watching) >= self._limits.subscriptions:
            detail = f"A socket can watch {self._limits.subscriptions} auctions. Unsubscribe from one first."
            viewer.send(Error(ref=ref, code=ErrorCode.TOO_MANY_SUBSCRIPTIONS, detail=detail))
            return
        room = self._rooms.get(auction) or self._open(auction)
        room.join(viewer, ref, epoch, seq)

    def unsubscribe(self, viewer: Viewer, ref: str, auction: UUID) -> None:
        """Let a viewer out of a room."""
        if auction not in viewer.watching:
            viewer.send(
                Error(
                    ref=ref, code=ErrorCode.NOT_SUBSCRIBED, detail="This socket is not watching the auction."
                )
            )
            return
        self._rooms[auction].leave(viewer)
        viewer.send(Unsubscribed(ref=ref, auction=auction))

    def _outbid(self, user: UUID, room: Room, outbid: OutbidPush) -> None:
        account = self._accounts.get(user)
        for viewer in tuple(account.viewers) if account else ():
            if room.auction in viewer.watching:
                viewer.send(outbid)

    def tell_all(self, message: Message) -> None:
        """Write a message to every socket."""
        for viewer in tuple(self.viewers):
            viewer.send(message)

    # -- records

    def _open(self, auction: UUID) -> Room:
        room = Room(auction, self._clock, self._limits, self._outbid)
        channel = keys_of(auction).channel
        self._rooms[auction] = self._by_channel[channel] = room
        ROOMS.inc()
        self.subscriber.subscribe(channel)
        return room

    def _close(self, room: Room) -> None:
        channel = keys_of(room.auction).channel
        del self._rooms[room.auction], self._by_channel[channel]
        ROOMS.dec()
        self.subscriber.unsubscribe(channel)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _subscribed(self, channel: str) -> None:
        if channel == revocations.CHANNEL:
            self._check_sessions()
        elif room := self._by_channel.get(channel):
            if room in self._catching_up:
                self._read_again.add(room)
            self._catch_up(room)

    def _heard(self, channel: str, text: bytes) -> None:
        if channel == revocations.CHANNEL:
            self.end_session(UUID(text.decode()))
        elif room := self._by_channel.get(channel):
            record = decode_record(text)
            if room in self._catching_up:
                self._catching_up[room].append(record)
            else:
                self._take(room, record)
        elif (user := user_of(channel)) and (account := self._accounts.get(user)):
            self._pass_on(account, text)

    def _pass_on(self, account: Account, text: bytes) -> None:
        outbid, frames = outbid_in(text), text_frame(text)
        if outbid is not None and self._clock.now() - outbid.at > _OUTBID_FRESH_MS:
            return
        for viewer in tuple(account.viewers):
            # A viewer of the auction gets it from the room, in order with the bid.
            if outbid is None or outbid.auction not in viewer.watching:
                viewer.write(frames)

    def _take(self, room: Room, record: Record) -> None:
        if record.epoch == room.epoch and record.seq <= room.seq:
            return
        if record.epoch == room.epoch and record.seq == room.seq + 1:
            room.receive(record)
        else:
            self._catch_up(room)

    def _catch_up(self, room: Room) -> None:
        if room not in self._catching_up:
            self._catching_up[room] = []
            self._start(self._read(room))

    async def _read(self, room: Room) -> None:
        """Read until the room is where Redis is, then take what was heard meanwhile."""
        CATCH_UPS.inc()
        try:
            while self._rooms.get(room.auction) is room:
                self._read_again.discard(room)
                if not await self._read_once(room):
                    await asyncio.sleep(_READ_AGAIN_S)
                elif room not in self._read_again:
                    break
        finally:
            self._read_again.discard(room)
            heard = self._catching_up.pop(room)
        for record in heard:
            self._take(room, record)

    async def _read_once(self, room: Room) -> bool:
        """False if Redis does not know enough yet."""
        try:
            reading = await self._hot.run(read_auction(room.auction, room.seq))
            if room.loaded and not room.continues(reading):
                reading = await self._hot.run(read_auction(room.auction, 0))
            return self._rooms.get(room.auction) is not room or self._merge(room, reading)
        except RedisError as failure:
            log.warning("room_not_read", auction=str(room.auction), error=str(failure))
            return False
        except Exception:
            # Given up here, the room would stay as it is until its last viewer leaves.
            log.exception("room_not_understood", auction=str(room.auction))
            return False

    def _merge(self, room: Room, reading: Reading) -> bool:
        if reading.state is None:
            if reading.code == ErrorCode.UNKNOWN_AUCTION:
                self._dismiss(room, ErrorCode.UNKNOWN_AUCTION, "There is no such live auction.")
                return True
            return False
        records = [decode_record(text) for text in reading.records]
        if room.continues(reading):
            for record in records:
                room.receive(record)
        else:
            if room.loaded:
                SNAPSHOTS_FOR_ALL.inc()
                log.warning("room_reset", auction=str(room.auction), epoch=reading.state["epoch"])
            room.load(reading.state, records)
        return True

    def _dismiss(self, room: Room, code: ErrorCode, detail: str) -> None:
        """Send everybody away: those who asked get an error, those who watched a notice."""
        for viewer, waiting in tuple(room.waiting.items()):
            if waiting.ref:
                viewer.send(Error(ref=waiting.ref, code=code, detail=detail))
                room.leave(viewer)
        for viewer in (*room.viewers, *room.waiting):
            viewer.send(Notice(code=NoticeCode.AUCTION_GONE, detail=detail, auction=room.auction))
            room.leave(viewer)
        self._close(room)

    # -- rhythms

    async def check_positions(self) -> None:
        """Find the rooms that missed a message and did not notice, such as the last one. Raises `redis.RedisError`."""
        rooms = [room for room in self._rooms.values() if room.loaded]
        before = [(room.epoch, room.seq) for room in rooms]
        found = await self._hot.run(auctions.positions([room.auction for room in rooms]))
        for room, known, there in zip(rooms, before, found, strict=True):
            # Ahead of us, and the message may be under way; or behind us, and Redis has lost data.
            if there != (room.epoch, room.seq) and there != known and self._rooms.get(room.auction) is room:
                self._catch_up(room)

    async def count_viewers(self) -> None:
        """Tell the other processes how many viewers are here, and viewers how many there are in all."""
        counts = {room.auction: room.size for room in self._rooms.values()}
        totals = await self._hot.run(glances.share_viewers(self._process, counts, self._clock.now()))
        for auction, total in totals.items():
            room = self._rooms.get(auction)
            if room is not None and room.total_viewers != total:
                room.total_viewers = total
                room.tell(ViewersPush(auction=auction, count=total))

    def sweep(self) -> None:
        """Close what is slow, refuse who waits in vain, leave what nobody watches, forget who is gone."""
        now = time.monotonic()
        for viewer in tuple(self.viewers):
            if viewer.behind_since and now - viewer.behind_since > self._limits.slow_s:
                viewer.close_as_slow()
        for room in tuple(self._rooms.values()):
            if not room.loaded:
                self._refuse_late(room, now)
            if not room.size and now - room.empty_since > self._limits.grace_s:
                self._close(room)
        for account in tuple(self._accounts.values()):
            if account.over:
                del self._accounts[account.user]

    def _refuse_late(self, room: Room, now: float) -> None:
        for viewer, waiting in tuple(room.waiting.items()):
            if now - waiting.since > self._limits.load_s:
                detail = "The auction cannot be reached at the moment. Try again."
                viewer.send(Error(ref=waiting.ref, code=ErrorCode.UNAVAILABLE, detail=detail))
                room.leave(viewer)


def _index(
    sockets_of: defaultdict[UUID, set[Viewer]], viewer: Viewer, before: UUID | None, after: UUID | None
) -> None:
    """Move a socket from one id to another."""
    if before is not None:
        sockets_of[before].discard(viewer)
        if not sockets_of[before]:
            del sockets_of[before]
    if after is not None:
        sockets_of[after].add(viewer)
