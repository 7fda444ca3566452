"""What both demos need: people, their connections, a table of auctions, and claims with a tick or a cross."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from rich.console import Console
from rich.table import Table
from rich.text import Text

from realtime.replica import Replica
from server.client import Api, Disconnected, LiveSocket, Message, Problem

SETTLEMENT_TIMEOUT_S = 30
REFRESH_S = 0.125
RETRY_S = 0.25


class Report:
    """Shows each claim with a tick or a cross."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.proven = True
        """Whether every claim so far holds."""

    def claim(self, text: str, holds: bool) -> None:
        """Show whether the claim holds."""
        self.proven = self.proven and holds
        mark = Text("✓ " if holds else "✗ ", style="green" if holds else "bold red")
        self.console.print(mark.append(text, style=""))


@dataclass
class Lot:
    """One auction of the demo."""

    id: str
    title: str
    start_price: int


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


async def sign_up(base_url: str, name: str, funds: int = 0) -> tuple[Api, str]:
    """A new user of this name with `funds` in the wallet, logged in, and the user's id."""
    api = Api(base_url)
    email, password = f"{uuid4().hex}@demo.example", uuid4().hex
    await api.post("/auth/register", {"email": email, "password": password, "display_name": name})
    await api.log_in(email, password)
    if funds:
        await api.post("/wallet/top-ups", {"id": str(uuid4()), "amount": funds})
    return api, (await api.get("/me"))["id"]


def auction_table(lots: Sequence[Lot], replicas: Mapping[str, Replica], soft_close_ms: int) -> Table:
    """How the lots stand. The last `soft_close_ms` are red."""
    table = Table(expand=True)
    for heading in ("auction", "price", "leader", "bids", "watching", "left"):
        table.add_column(heading, justify="left" if heading == "auction" else "right")
    for lot in lots:
        replica = replicas[lot.id]
        if replica.closed:
            left = Text("sold" if replica.hammer_price else "unsold", style="bold green")
        else:
            seconds = max(0, replica.remaining_ms()) / 1000
            left = Text(f"{seconds:.1f} s", style="bold red" if seconds < soft_close_ms / 1000 else "")
        table.add_row(
            lot.title,
            f"₩{replica.price:,}" if replica.price else f"from ₩{lot.start_price:,}",
            f"paddle {replica.leader}" if replica.leader else "–",
            str(replica.bids),
            str(replica.viewers),
            left,
        )
    return table


async def settled(api: Api, lots: Sequence[Lot]) -> list[Message]:
    """The auctions once settled, or as they are after `SETTLEMENT_TIMEOUT_S`."""
    deadline = time.monotonic() + SETTLEMENT_TIMEOUT_S
    while True:
        details = [await api.get(f"/auctions/{lot.id}") for lot in lots]
        settled = all(detail["state"] in ("sold", "unsold") for detail in details)
        if settled or time.monotonic() > deadline:
            return details
        await asyncio.sleep(RETRY_S)
