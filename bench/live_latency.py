"""How soon a live bid is answered, seen, stored, told to who is outbid, and how soon viewers see the hammer.

    ./neighborbid exec python -m bench.live_latency

One bidder at a time bids through the gateway while a viewer on every realtime process watches. Then two who follow
nothing outbid each other, each on a process of its own, with a ping before each bid to compare with; and a number of
auctions end. All clocks are this machine's, so run it on the machine of the servers. The last lines are the ratios to
the bounds that NeighborBid promises (below 1 is kept), and to the pings.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from server import settings
from server.client import Api, LiveSocket, Message
from server.settings import Settings
from store.database import SyncDatabase
from store.models import Bid

LIMIT = 10_000_000
OUTBID_BOUND_MS = 100
HAMMER_BOUND_MS = 100
WRITTEN_BOUND_MS = 2_000
PATIENCE_S = 10


def now_ms() -> float:
    """This machine's clock, ms since the epoch."""
    return time.time_ns() / 1_000_000


class Viewer:
    """Notes when each number of each auction was seen, and each close."""

    def __init__(self) -> None:
        self.seen: dict[int, asyncio.Future[float]] = {}
        self.closed: dict[str, tuple[float, int]] = {}

    def receive(self, message: Message) -> None:
        match message["type"]:
            case "tick":
                for seq in range(message["first"], message["last"] + 1):
                    self.when(seq).set_result(now_ms())
            case "closed":
                self.closed[message["auction"]] = (now_ms(), message["ends_at"])

    def when(self, seq: int) -> asyncio.Future[float]:
        """Done with the time at which the bid `seq` was seen."""
        return self.seen.setdefault(seq, asyncio.get_running_loop().create_future())


async def _user(base_url: str) -> Api:
    api = Api(base_url)
    email, password = f"bench-{uuid4().hex}@demo.example", uuid4().hex
    await api.post("/auth/register", {"email": email, "password": password, "display_name": "Bench"})
    await api.log_in(email, password)
    await api.post("/wallet/top-ups", {"id": str(uuid4()), "amount": 2 * LIMIT})
    return api


async def _auction(seller: Api, lasts_ms: int) -> str:
    now = int(now_ms())
    draft = {
        "title": "Bench",
        "start_price": 100,
        "increments": [[0, 100]],
        "opens_at": now - 1000,
        "ends_at": now + lasts_ms,
    }
    auction: str = (await seller.post("/seller/auctions", draft))["id"]
    await seller.post(f"/seller/auctions/{auction}/publish")
    return auction


async def _written(database: SyncDatabase, auction: str, seq: int) -> float:
    """When the bid is found in PostgreSQL, looking every 10 ms."""

    def found() -> bool:
        with database.transaction() as session:
            wanted = select(Bid.seq).where(Bid.auction_id == UUID(auction), Bid.seq == seq)
            return session.scalar(wanted) is not None

    while not await asyncio.to_thread(found):  # noqa: ASYNC110 - PostgreSQL tells nobody
        await asyncio.sleep(0.01)
    return now_ms()


async def _socket(bidder: Api, url: str, on_message: Callable[[Message], None]) -> LiveSocket:
    """A connection as this user."""
    socket = await LiveSocket.open(url, on_message)
    await socket.request("authenticate", ticket=(await bidder.post("/ws-tickets"))["ticket"])
    return socket


async def _outbid(
    ports: Sequence[int], bidders: Sequence[Api], auction: str, bids: int
) -> tuple[list[float], list[float]]:
    """The delays in ms of pings, and from sending a bid to the push on the socket of who is outbid by it."""
    told: asyncio.Queue[float] = asyncio.Queue()

    def hear(message: Message) -> None:
        if message["type"] == "outbid":
            told.put_nowait(now_ms())

    sockets = []
    for bidder, port in zip(bidders, ports[:2], strict=True):
        await bidder.post(f"/auctions/{auction}/paddle", {"limit": LIMIT})
        sockets.append(await _socket(bidder, f"http://127.0.0.1:{port}", hear))
    pings, outbids = [], []
    for number in range(bids + 1):
        await asyncio.sleep(0.05)
        started = now_ms()
        await sockets[number % 2].request("ping")
        pings.append(now_ms() - started)
        started = now_ms()
        await sockets[number % 2].request("bid", auction=auction, amount=100 * (number + 1))
        if number > 0:  # the first bid outbids nobody
            outbids.append(await asyncio.wait_for(told.get(), PATIENCE_S) - started)
    for socket in sockets:
        await socket.close()
    return pings, outbids


async def measure(loaded: Settings, bids: int, closings: int) -> dict[str, list[float]]:
    """The delays in ms: answered, seen on the slowest process, stored, a ping, outbid told on another process, and the
    hammer on the slowest process."""
    database = SyncDatabase(loaded.postgres.url)
    seller, *bidders = [await _user(loaded.gateway.url) for _ in range(3)]
    auction = await _auction(seller, 30_000 + 200 * bids)
    viewers = [Viewer() for _ in loaded.realtime.ports]
    watching = [
        await LiveSocket.open(f"http://127.0.0.1:{port}", viewer.receive)
        for port, viewer in zip(loaded.realtime.ports, viewers, strict=True)
    ]
    for socket in watching:
        await socket.request("subscribe", auction=auction)
    sockets = []
    for bidder in bidders:
        await bidder.post(f"/auctions/{auction}/paddle", {"limit": LIMIT})
        sockets.append(await _socket(bidder, loaded.gateway.url, lambda message: None))

    delays: dict[str, list[float]] = {"answered": [], "seen": []}
    storing = []
    for number in range(bids):
        started = now_ms()
        reply = await sockets[number % 2].request("bid", auction=auction, amount=100 * (number + 1))
        delays["answered"].append(now_ms() - started)
        seen = [await viewer.when(reply["seq"]) for viewer in viewers]
        delays["seen"].append(max(seen) - started)
        storing.append((started, asyncio.create_task(_written(database, auction, reply["seq"]))))
        await asyncio.sleep(0.05)
    delays["stored"] = [await written - started for started, written in storing]

    quiet = await _auction(seller, 30_000 + 200 * bids)
    delays["ping"], delays["outbid"] = await _outbid(loaded.realtime.ports, bidders, quiet, bids)

    delays["hammer"] = []
    ending = []
    for _ in range(closings):
        ending.append(await _auction(seller, 3_000))
        for socket in watching:
            await socket.request("subscribe", auction=ending[-1])
    while any(not viewer.closed.keys() >= set(ending) for viewer in viewers):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    for auction in ending:
        delays["hammer"].append(max(seen - ends for seen, ends in (v.closed[auction] for v in viewers)))
    for socket in [*watching, *sockets]:
        await socket.close()
    database.dispose()
    return delays


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bids", type=int, default=200)
    parser.add_argument("--closings", type=int, default=50)
    options = parser.parse_args()
    loaded = settings.load(os.environ)
    if loaded.realtime.processes < 2:
        raise SystemExit("needs two realtime processes")
    delays = asyncio.run(measure(loaded, options.bids, options.closings))
    table = Table("ms after", "n", "p50", "p99", "max")
    figures = {
        name: (_percentile(values, 0.5), _percentile(values, 0.99), max(values))
        for name, values in delays.items()
    }
    for name, values in delays.items():
        table.add_row(name, str(len(values)), *(f"{figure:.1f}" for figure in figures[name]))
    console = Console()
    console.print(table)
    bounds = {"stored": WRITTEN_BOUND_MS, "outbid": OUTBID_BOUND_MS, "hammer": HAMMER_BOUND_MS}
    for name, bound in bounds.items():
        p50, p99, _ = figures[name]
        console.print(f"{name} / {bound} ms: p50 {p50 / bound:.2f}, p99 {p99 / bound:.2f}")
    p50, p99, _ = (outbid / ping for outbid, ping in zip(figures["outbid"], figures["ping"], strict=True))
    console.print(f"outbid / ping: p50 {p50:.1f}, p99 {p99:.1f}")


if __name__ == "__main__":
    main()
