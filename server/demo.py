"""`./neighborbid demo`: three live auctions, played by bots through the gateway, watched in the terminal, then proven.

The bots are ordinary clients: they register, take paddles, bid over the WebSocket, lose their connection, come back
and resume, and send a bid again under the same `ref` whenever its outcome is unknown. When the hammer has fallen, the
claims that NeighborBid makes are checked against PostgreSQL.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy import select
from sqlalchemy.orm import Session

from market import ledger
from realtime.replica import Replica
from server.client import Api, Disconnected, LiveSocket, Message, Problem
from server.settings import Settings
from store.database import SyncDatabase
from store.models import Account, AccountKind, Bid, Order, OrderState

TITLES = ("Moon jar, Joseon white porcelain", "1968 Hi-Fi set, serviced", "Bicycle, hand-built in Busan")
START_PRICES = (50_000, 120_000, 80_000)
INCREMENTS = [[0, 1_000], [100_000, 5_000], [500_000, 10_000]]
SOFT_CLOSE_MS = 10_000
SOFT_CLOSE_CAP_MS = 30_000
WALLET = 5_000_000
OPENS_IN_MS = 3_000
SETTLEMENT_TIMEOUT_S = 30
PATIENCE_S = 30
"""How much later than planned the bots may see the last hammer."""
REFRESH_S = 0.125
RECONNECT_EVERY = 4
"""Every fourth bot has a bad line."""
RETRY_S = 0.25


@dataclass
class Lot:
    """One auction of the demo."""

    id: str
    title: str
    start_price: int


@dataclass
class Tally:
    """What the clients saw."""

    acked: dict[tuple[str, str, str], Message] = field(default_factory=dict)
    """Accepted answers by (auction, bidder, ref)."""
    rejected: int = 0
    outbid: int = 0
    resumed: int = 0
    repeated: int = 0


class Line:
    """A client's connection: comes back whenever it breaks, and keeps a replica of each auction up to date."""

    def __init__(self, base_url: str, auctions: Sequence[str], on_message: Callable[[Message], None]) -> None:
        self.replicas = {auction: Replica() for auction in auctions}
        self.socket: LiveSocket | None = None
        self._base_url = base_url
        self._on_message = on_message
        self._subscribing: dict[str, asyncio.Task[None]] = {}

    async def keep(self, api: Api | None, bad: bool) -> None:
        """Stay connected, with a ticket of `api` if given, until cancelled. A bad line breaks every few seconds."""
        while True:
            with suppress(Disconnected, Problem):
                socket = await LiveSocket.open(self._base_url, self._receive)
                try:
                    if api:
                        ticket = (await api.post("/ws-tickets"))["ticket"]
                        await socket.request("authenticate", ticket=ticket)
                    self.socket = socket
                    for auction in self.replicas:
                        self._subscribe(auction)
                    if bad:
                        await asyncio.wait([socket.closed], timeout=random.uniform(3, 12))
                        socket.drop()
                    await socket.closed
                finally:
                    self.socket = None
                    for task in self._subscribing.values():
                        task.cancel()
                    await socket.close()
            await asyncio.sleep(random.uniform(0.1, 0.5))

    def _receive(self, message: Message) -> None:
        self._on_message(message)
        if replica := self.replicas.get(message.get("auction", "")):
            whole = replica.apply(message)
            if not whole or message.get("code") == "auction_gone":
                self._subscribe(message["auction"])

    def _subscribe(self, auction: str) -> None:
        running = self._subscribing.get(auction)
        if running is None or running.done():
            self._subscribing[auction] = asyncio.create_task(self._until_subscribed(auction))

    async def _until_subscribed(self, auction: str) -> None:
        """Redis may be away, or the auction not loaded yet."""
        replica = self.replicas[auction]
        with suppress(Disconnected):
            while self.socket:
                reply = await self.socket.request(
                    "subscribe", auction=auction, epoch=replica.epoch, seq=replica.seq
                )
                if reply["type"] != "error":
                    return
                await asyncio.sleep(RETRY_S)


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


async def _sign_up(base_url: str, role: str, number: int) -> tuple[Api, str]:
    api = Api(base_url)
    email, password = f"{role}{number}-{uuid4().hex[:12]}@demo.example", uuid4().hex
    await api.post(
        "/auth/register", {"email": email, "password": password, "display_name": f"{role} {number}"}
    )
    await api.log_in(email, password)
    return api, (await api.get("/me"))["id"]


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
    table = Table(expand=True)
    for heading in ("auction", "price", "leader", "bids", "watching", "left"):
        table.add_column(heading, justify="left" if heading == "auction" else "right")
    for lot in lots:
        replica = replicas[lot.id]
        if replica.closed:
            left = Text("sold" if replica.hammer_price else "unsold", style="bold green")
        else:
            seconds = max(0, replica.remaining_ms()) / 1000
            left = Text(f"{seconds:.1f} s", style="bold red" if seconds < SOFT_CLOSE_MS / 1000 else "")
        table.add_row(
            lot.title,
            f"₩{replica.price:,}" if replica.price else f"from ₩{lot.start_price:,}",
            f"paddle {replica.leader}" if replica.leader else "–",
            str(replica.bids),
            str(replica.viewers),
            left,
        )
    return Group(
        table,
        f"accepted {len(tally.acked)} · refused {tally.rejected} · outbid notices {tally.outbid} · "
        f"resumed {tally.resumed} · sent again {tally.repeated}",
    )


async def _play_all(bots: Sequence[Bidder], timeout_s: float) -> None:
    """Return when every bot is done; after `timeout_s` stop them, and let the claims tell what is missing."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(*(bot.play() for bot in bots))


async def _settled(api: Api, lots: Sequence[Lot]) -> list[Message]:
    """The auctions once settled, or as they are after `SETTLEMENT_TIMEOUT_S`."""
    deadline = time.monotonic() + SETTLEMENT_TIMEOUT_S
    while True:
        details = [await api.get(f"/auctions/{lot.id}") for lot in lots]
        settled = all(detail["state"] in ("sold", "unsold") for detail in details)
        if settled or time.monotonic() > deadline:
            return details
        await asyncio.sleep(RETRY_S)


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
            "each is stored under the number and the price that the bidder was told",
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
            select(Account.balance).where(Account.kind == AccountKind.ESCROW, Account.owner_id == order.id)
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
    return [
        *claims,
        ("the ledger sums to zero", ledger.trial_balance(session) == 0),
        ("every balance is the sum of its transfers", not ledger.verify(session)),
    ]


async def play(settings: Settings, *, bidders: int, seconds: int, console: Console) -> bool:
    """Run the demo; whether every claim holds."""
    base_url = settings.url
    console.print(f"Three sellers and {bidders} bidders register at {base_url} …")
    sellers = await asyncio.gather(*(_sign_up(base_url, "seller", n) for n in range(len(TITLES))))
    people = [await _sign_up(base_url, "bidder", n) for n in range(bidders)]
    for api, _ in people:
        await api.post("/wallet/top-ups", {"id": str(uuid4()), "amount": WALLET})

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

    details = await _settled(bots[0].api, lots)
    database = SyncDatabase(settings.database_url)
    try:
        with database.transaction() as session:
            claims = await asyncio.to_thread(prove, session, details, bots, tally)
    finally:
        database.dispose()
    console.print()
    for claim, holds in claims:
        console.print(
            Text("✓ " if holds else "✗ ", style="green" if holds else "bold red").append(claim, style="")
        )
    return all(holds for _, holds in claims)


def main(settings: Settings, args: Sequence[str]) -> int:
    """Run the demo against the running system. Returns the exit status: 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(prog="neighborbid demo", description=__doc__)
    parser.add_argument("--bidders", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=60, help="length of the auctions before soft close")
    options = parser.parse_args(args)
    console = Console()
    try:
        proven = asyncio.run(
            play(settings, bidders=options.bidders, seconds=options.seconds, console=console)
        )
    except (Disconnected, Problem) as error:
        console.print(f"The demo could not go on: {error}. Is the system up? `./neighborbid status` tells.")
        return 1
    return 0 if proven else 1
