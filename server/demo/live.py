"""Three live auctions, played by bots through the gateway, watched in the terminal, then proven.

The bots are ordinary clients: they register, take paddles, bid over the WebSocket, lose their connection, come back
and resume, and send a bid again under the same `ref` whenever its outcome is unknown. When the hammer has fallen, the
claims that NeighborBid makes are checked against PostgreSQL.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import UUID, uuid4

from rich.console import Console, Group
from rich.live import Live
from sqlalchemy import select
from sqlalchemy.orm import Session

from market.money import ledger
from realtime.replica import Replica
from server.client import Api, Disconnected, Message
from server.demo.common import (
    REFRESH_S,
    RETRY_S,
    Line,
    Lot,
    Report,
    auction_table,
    settled,
    sign_up,
)
from server.settings import Settings
from store.database import SyncDatabase
from store.models import AccountKind, Bid, Event, LedgerAccount, Notification, Order, OrderState

TITLES = ("Moon jar, Joseon white porcelain", "1968 Hi-Fi set, serviced", "Bicycle, hand-built in Busan")
START_PRICES = (50_000, 120_000, 80_000)
INCREMENTS = [[0, 1_000], [100_000, 5_000], [500_000, 10_000]]
SOFT_CLOSE_MS = 10_000
SOFT_CLOSE_CAP_MS = 30_000
WALLET = 5_000_000
OPENS_IN_MS = 3_000
PATIENCE_S = 30
"""How much later than planned the bots may see the last hammer."""
RECONNECT_EVERY = 4
"""Every fourth bot has a bad line."""


@dataclass
class Tally:
    """What the clients saw."""

    acked: dict[tuple[str, str, str], Message] = field(default_factory=dict)
    """Accepted answers by (auction, bidder, ref)."""
    rejected: int = 0
    outbid: int = 0
    resumed: int = 0
    repeated: int = 0


class Bidder:
    """A bot with a wallet, an opinion on each lot, and a phone."""

    def __init__(self, api: Api, user_id: str, lots: Sequence[Lot], tally: Tally, bad_line: bool) -> None:
        self.api = api
        self.user_id = user_id
        self.bad_line = bad_line
        self.tally = tally
        self.line = Line(api.base_url, [lot.id for lot in lots], self._on_message)
        self.replicas = self.line.replicas
        self.worth = {lot.id: lot.start_price * random.randint(15, 80) // 10 for lot in lots}
        self.paddles: dict[str, int] = {}

    @property
    def done(self) -> bool:
        """Whether this bot has seen every hammer fall."""
        return all(replica.closed for replica in self.replicas.values())

    async def take_paddles(self) -> None:
        """Hold as much as the bot is ready to pay in each auction."""
        for auction, worth in self.worth.items():
            paddle = await self.api.post(f"/auctions/{auction}/paddle", {"limit": worth})
            self.paddles[auction] = paddle["number"]

    async def play(self) -> None:
        """Bid until every auction is closed."""
        line = asyncio.create_task(self.line.keep(self.api, self.bad_line))
        try:
            while not self.done:
                await asyncio.sleep(random.expovariate(1.2))
                auction = random.choice(list(self.replicas))
                maximum = self._next_maximum(auction)
                if maximum is not None:
                    await self._bid(auction, maximum)
        finally:
            line.cancel()
            await asyncio.wait([line])

    def _next_maximum(self, auction: str) -> int | None:
        replica = self.replicas[auction]
        worth, minimum = self.worth[auction], replica.next_minimum
        if not replica.open or replica.leader == self.paddles[auction] or minimum is None or minimum > worth:
            return None
        return min(worth, minimum + random.choice((0, 0, 1_000, 7_000, 40_000)))

    async def _bid(self, auction: str, maximum: int) -> None:
        ref = uuid4().hex
        amount = {random.choice(("amount", "maximum")): maximum}
        while not self.replicas[auction].closed:
            try:
                if self.line.socket is None:
                    raise Disconnected("between two connections")
                reply = await self.line.socket.request("bid", ref=ref, auction=auction, **amount)
            except Disconnected:
                self.tally.repeated += 1
                await asyncio.sleep(RETRY_S)
                continue
            if reply["type"] == "accepted":
                self.tally.acked[auction, self.user_id, ref] = reply
                return
            if reply["type"] == "rejected" and reply["code"] not in ("unavailable", "unknown_auction"):
                self.tally.rejected += 1
                return
            # Unknown outcome, Redis away, too fast, not yet authenticated: the same ref makes asking again safe.
            self.tally.repeated += 1
            await asyncio.sleep(RETRY_S)

    def _on_message(self, message: Message) -> None:
        if message["type"] == "outbid":
            self.tally.outbid += 1
        elif message["type"] == "resumed":
            self.tally.resumed += 1


async def _publish(seller: Api, title: str, start_price: int, seconds: int) -> Lot:
    now = time.time_ns() // 1_000_000
    draft = await seller.post(
        "/seller/auctions",
        {
            "title": title,
            "description": "A lot of the demo.",
            "start_price": start_price,
            "increments": INCREMENTS,
            "opens_at": now + OPENS_IN_MS,
            "ends_at": now + seconds * 1000,
            "soft_close": {
                "window_ms": SOFT_CLOSE_MS,
                "extension_ms": SOFT_CLOSE_MS,
                "cap_ms": SOFT_CLOSE_CAP_MS,
            },
        },
    )
    await seller.post(f"/seller/auctions/{draft['id']}/publish")
    return Lot(draft["id"], title, start_price)


def _view(lots: Sequence[Lot], replicas: Mapping[str, Replica], tally: Tally) -> Group:
    return Group(
        auction_table(lots, replicas, SOFT_CLOSE_MS),
        f"accepted {len(tally.acked)} · refused {tally.rejected} · outbid {tally.outbid} · "
        f"resumed {tally.resumed} · sent again {tally.repeated}",
    )


async def _play_all(bots: Sequence[Bidder], timeout_s: float) -> None:
    """Return when every bot is done; after `timeout_s` stop them, and let the claims show what is missing."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(*(bot.play() for bot in bots))


def prove(
    session: Session, details: Sequence[Message], bidders: Sequence[Bidder], tally: Tally
) -> list[tuple[str, bool]]:
    """Every claim, and whether it holds in PostgreSQL."""
    ids = [UUID(detail["id"]) for detail in details]
    bids = session.scalars(select(Bid).where(Bid.auction_id.in_(ids)).order_by(Bid.auction_id, Bid.seq)).all()
    written = [(str(bid.auction_id), str(bid.bidder_id), bid.ref) for bid in bids]
    claims = [
        ("every auction is settled", all(detail["state"] in ("sold", "unsold") for detail in details)),
        (
            f"each of the {len(tally.acked)} acknowledged bids is in PostgreSQL exactly once",
            len(set(written)) == len(written) and set(tally.acked) <= set(written),
        ),
        (
            "each is stored with the number and the price that its bidder received",
            all(
                (ack["seq"], ack["price"]) == stored
                for key, ack in tally.acked.items()
                for stored in [
                    next(((b.seq, b.price) for b, k in zip(bids, written, strict=True) if k == key), None)
                ]
            ),
        ),
    ]
    for detail in details:
        own = [bid for bid in bids if str(bid.auction_id) == detail["id"]]
        order = session.scalar(select(Order).where(Order.auction_id == UUID(detail["id"])))
        if not own or order is None:
            claims.append((f"{detail['title']}: sold", False))
            continue
        best = max(own, key=lambda bid: (bid.maximum, -bid.seq))
        escrow = session.scalar(
            select(LedgerAccount.balance).where(
                LedgerAccount.kind == AccountKind.ESCROW, LedgerAccount.owner_id == order.id
            )
        )
        seen = {bidder.replicas[detail["id"]].hammer_price for bidder in bidders}
        claims += [
            (f"{detail['title']}: the highest maximum won", order.buyer_id == best.bidder_id),
            (f"{detail['title']}: every bidder saw the same hammer price", seen == {order.hammer_price}),
            (
                f"{detail['title']}: the winner's ₩{order.hammer_price:,} are in escrow",
                order.state == OrderState.IN_ESCROW
                and escrow == order.hammer_price == detail["hammer_price"],
            ),
        ]
    beaten = [
        (before.leader_id, f"{Event.OUTBID}:{bid.auction_id}:{bid.epoch}:{bid.seq}")
        for before, bid in pairwise(bids)
        if before.auction_id == bid.auction_id and before.leader_id != bid.leader_id
    ]
    told = session.execute(
        select(Notification.user_id, Notification.key).where(
            Notification.auction_id.in_(ids), Notification.event == Event.OUTBID
        )
    )
    return [
        *claims,
        (
            f"each of the {len(beaten)} times that a bidder was outbid is in the inbox exactly once",
            sorted(beaten) == sorted((user_id, key) for user_id, key in told),
        ),
        ("the ledger sums to zero", ledger.trial_balance(session) == 0),
        ("every balance is the sum of its transfers", not ledger.verify(session)),
    ]


async def play(settings: Settings, *, bidders: int, seconds: int, console: Console) -> bool:
    """Run the demo; whether every claim holds."""
    base_url = settings.gateway.url
    console.print(f"Three sellers and {bidders} bidders register at {base_url} …")
    sellers = await asyncio.gather(*(sign_up(base_url, f"seller {n}") for n in range(len(TITLES))))
    people = [await sign_up(base_url, f"bidder {n}", WALLET) for n in range(bidders)]

    lots = [
        await _publish(api, title, start_price, seconds)
        for (api, _), title, start_price in zip(sellers, TITLES, START_PRICES, strict=True)
    ]
    tally = Tally()
    bots = [
        Bidder(api, user_id, lots, tally, bad_line=n % RECONNECT_EVERY == 0)
        for n, (api, user_id) in enumerate(people)
    ]
    for bot in bots:
        await bot.take_paddles()

    viewer = Line(base_url, [lot.id for lot in lots], lambda message: None)
    watching = asyncio.create_task(viewer.keep(None, bad=False))
    playing = asyncio.create_task(_play_all(bots, seconds + SOFT_CLOSE_CAP_MS / 1000 + PATIENCE_S))
    with Live(_view(lots, viewer.replicas, tally), console=console, refresh_per_second=8) as live:
        while not playing.done():
            await asyncio.wait([playing], timeout=REFRESH_S)
            live.update(_view(lots, viewer.replicas, tally))
    await playing
    watching.cancel()
    await asyncio.wait([watching])

    details = await settled(bots[0].api, lots)
    database = SyncDatabase(settings.postgres.url)
    try:
        with database.transaction() as session:
            claims = await asyncio.to_thread(prove, session, details, bots, tally)
    finally:
        database.dispose()
    console.print()
    report = Report(console)
    for claim, holds in claims:
        report.claim(claim, holds)
    return report.proven
