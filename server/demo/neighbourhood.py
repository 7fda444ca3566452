"""Two neighbours trade a desk: photo, auction, order, meeting, reviews, and then the proof from the database.

All three people are ordinary clients. They show where they are to become neighbours, bid over REST, and hear over
their live sockets that they were outbid, that the other party wrote, and how the order goes on.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from urllib.parse import urljoin
from uuid import UUID

from PIL import Image, ImageDraw
from rich.console import Console
from rich.live import Live
from sqlalchemy import select
from sqlalchemy.orm import Session
from tornado.httpclient import AsyncHTTPClient

from market.money import ledger
from server.client import Api, Message
from server.demo.common import (
    REFRESH_S,
    Line,
    Lot,
    Report,
    auction_table,
    settled,
    sign_up,
)
from server.settings import Settings
from store.database import SyncDatabase
from store.models import AccountKind, Bid, LedgerAccount

TITLE = "Desk, solid oak, 140 cm"
START_PRICE = 30_000
RESERVE = 40_000
BUY_NOW = 150_000
FUNDS = 200_000
SOFT_CLOSE_MS = 6_000
MEET_IN_MS = 24 * 3_600_000
SPOTS = ((37.500613, 127.036431), (37.500113, 127.036931), (37.501013, 127.035931))
"""Latitudes and longitudes of three homes in one neighbourhood of Seoul."""
PATIENCE_S = 30
"""How long anything may take before its claim fails."""


class Neighbour:
    """A person at home in the neighbourhood, with a socket that stays open."""

    def __init__(self, name: str, api: Api, user_id: str, home: Message) -> None:
        self.name = name
        self.api = api
        self.id = user_id
        self.home = home
        self.heard: list[Message] = []

    @classmethod
    async def move_in(cls, base_url: str, name: str, spot: tuple[float, float]) -> "Neighbour":
        """Register, and show the position."""
        api, user_id = await sign_up(base_url, name, FUNDS)
        latitude, longitude = spot
        position = {"latitude": latitude, "longitude": longitude, "accuracy_m": 20}
        return cls(name, api, user_id, await api.post("/me/neighbourhoods", position))

    async def hears(self, kind: str, **fields: object) -> bool:
        """Whether a push with these fields has come, or comes in time."""
        wanted = {"type": kind, **fields}
        return await _comes(lambda: any(wanted.items() <= push.items() for push in self.heard))


async def _comes(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(REFRESH_S)
    return True


def _photo() -> bytes:
    """A desk, as a PNG."""
    image = Image.new("RGB", (800, 600), "#dfe7ea")
    drawing = ImageDraw.Draw(image)
    for box in ((100, 220, 700, 260), (130, 260, 160, 520), (640, 260, 670, 520), (430, 260, 640, 380)):
        drawing.rectangle(box, fill="#a9713c", outline="#5c3a1a", width=4)
    written = BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


async def _put_up(seller: Neighbour, seconds: int, report: Report) -> tuple[Lot, list[str]]:
    """The published desk, and the addresses of its photo."""
    now = time.time_ns() // 1_000_000
    soft_close = {"window_ms": SOFT_CLOSE_MS, "extension_ms": SOFT_CLOSE_MS, "cap_ms": 2 * SOFT_CLOSE_MS}
    draft = {
        "title": TITLE,
        "description": "Two drawers, a few scratches. To be fetched.",
        "start_price": START_PRICE,
        "increments": [[0, 1_000], [100_000, 5_000]],
        "ends_at": now + seconds * 1000,
        "soft_close": soft_close,
        "reserve": RESERVE,
        "buy_now": BUY_NOW,
        "buy_now_until": "first_bid",
        "place": {"neighbourhood_id": seller.home["id"], "radius": "near"},
    }
    auction = (await seller.api.post("/seller/auctions", draft))["id"]
    photo = await seller.api.send_photo(f"/auctions/{auction}/photos", _photo(), "image/png")
    deadline = time.monotonic() + PATIENCE_S
    while photo["status"] == "processing" and time.monotonic() < deadline:
        await asyncio.sleep(REFRESH_S)
        photo = await seller.api.get(f"/photos/{photo['id']}")
    report.claim("the photo was made into three sizes", photo["status"] == "ready")
    await seller.api.post(f"/seller/auctions/{auction}/publish")
    made = photo["photo"] or {}
    return Lot(auction, TITLE, START_PRICE), [made[size] for size in ("thumbnail", "card", "full") if made]


@asynccontextmanager
async def _connected(
    base_url: str, auction: str, people: Sequence[Neighbour]
) -> AsyncIterator[tuple[Line, list[Message]]]:
    """Everybody's socket is open. Yields the line of a viewer without an account, and what it receives."""
    seen: list[Message] = []
    viewer = Line(base_url, [auction], seen.append)
    own = [(Line(base_url, [auction], person.heard.append), person.api) for person in people]
    tasks = [asyncio.create_task(line.keep(api, bad=False)) for line, api in [*own, (viewer, None)]]
    try:
        # The mirror of a new auction reaches the sockets with a sweep; bids before that would be in the snapshot.
        lines = [viewer, *(line for line, _ in own)]
        await _comes(lambda: all(line.replicas[auction].epoch for line in lines))
        yield viewer, seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _bid_war(
    lot: Lot, buyer: Neighbour, rival: Neighbour, viewer: Line, report: Report
) -> list[tuple[Neighbour, Message]]:
    """The accepted bids with their bidders, once a viewer has seen the hammer fall."""
    replica = viewer.replicas[lot.id]
    placed: list[tuple[Neighbour, Message]] = []

    async def bid(bidder: Neighbour, maximum: int) -> Message:
        answer = await bidder.api.post(f"/auctions/{lot.id}/bids", {"maximum": maximum})
        placed.append((bidder, answer))
        where = "leads" if answer["leading"] else "does not lead"
        report.console.print(f"  {bidder.name} bids up to ₩{maximum:,} and {where} at ₩{answer['price']:,}")
        return answer

    first = await bid(buyer, 35_000)
    report.claim("a bid below the reserve leads, but does not meet it", not first["reserve_met"])
    second = await bid(rival, 60_000)
    report.claim("a bid above the reserve meets it", second["reserve_met"] and second["price"] == RESERVE)
    report.claim("the buyer is notified of being outbid", await buyer.hears("outbid", seq=second["seq"]))
    third = await bid(buyer, 90_000)
    report.claim("so does the other bidder", await rival.hears("outbid", seq=third["seq"]))
    await _comes(lambda: replica.remaining_ms() < SOFT_CLOSE_MS / 2)
    last = await bid(rival, 75_000)
    report.claim("a bid in the last seconds moves the end", last["extended"])
    report.claim("the viewer sees the hammer fall", await _comes(lambda: replica.closed))
    return placed


async def _hand_over(order: str, seller: Neighbour, buyer: Neighbour, report: Report) -> None:
    """Both write, agree on place and time, and meet: the seller enters the buyer's code."""
    path = f"/orders/{order}"
    for writer, by, reader, text in (
        (buyer, "buyer", seller, "안녕하세요! Tomorrow at the station?"),
        (seller, "seller", buyer, "네, exit 3 is fine."),
    ):
        await writer.api.post(f"{path}/messages", {"text": text})
        heard = await reader.hears("message", order=order, by=by, text=text)
        report.claim(f"the {by} writes, and the other socket shows it: {text}", heard)

    meeting = {"place": "Yeoksam station, exit 3", "meet_at": time.time_ns() // 1_000_000 + MEET_IN_MS}
    proposal = (await seller.api.post(f"{path}/handover/proposals", meeting))["proposal"]
    report.claim(
        "the buyer is notified of the proposal", await buyer.hears("order", order=order, action="propose")
    )
    agreed = await buyer.api.post(f"{path}/handover/accept", {"proposal": proposal["number"]})
    heard = await seller.hears("order", order=order, action="agree")
    report.claim(
        f"the buyer accepts: {agreed['agreement']['place']}",
        heard and meeting.items() <= agreed["agreement"].items(),
    )
    code = (await buyer.api.get(f"{path}/handover/code"))["code"]
    done = await seller.api.post(f"{path}/handover/complete", {"code": code})
    heard = await buyer.hears("order", order=order, action="hand_over", state="completed")
    report.claim(
        f"they meet; the buyer's code {code} completes the order", heard and done["state"] == "completed"
    )


async def _review(order: str, seller: Neighbour, buyer: Neighbour, report: Report) -> None:
    before = [(await buyer.api.get(f"/users/{person.id}"))["trust"] for person in (seller, buyer)]
    await buyer.api.post(f"/orders/{order}/review", {"stars": 5, "text": "As described."})
    unseen = (await buyer.api.get(f"/users/{seller.id}/reviews"))["items"]
    report.claim("a review stays hidden until the other party has written one", unseen == [])
    await seller.api.post(f"/orders/{order}/review", {"stars": 4, "text": "Came on time."})
    for person, stars, trust in zip((seller, buyer), (5, 4), before, strict=True):
        profile = await buyer.api.get(f"/users/{person.id}")
        [review] = (await buyer.api.get(f"/users/{person.id}/reviews"))["items"]
        report.claim(
            f"{person.name} got {stars} stars, and their trust rises from {trust} to {profile['trust']}",
            review["stars"] == stars and profile["trust"] > trust,
        )


def _prove(
    session: Session, lot: Lot, order: str, placed: Sequence[tuple[Neighbour, Message]], report: Report
) -> None:
    bids = session.scalars(select(Bid).where(Bid.auction_id == UUID(lot.id)).order_by(Bid.seq)).all()
    stored = [(bid.seq, str(bid.bidder_id), bid.paddle, bid.maximum, bid.price) for bid in bids]
    acked = [
        (ack["seq"], bidder.id, ack["paddle"], ack["own_maximum"], ack["price"]) for bidder, ack in placed
    ]
    report.claim(f"the {len(acked)} acknowledged bids are those in PostgreSQL", stored == acked)
    escrow = session.scalar(
        select(LedgerAccount.balance).where(
            LedgerAccount.kind == AccountKind.ESCROW, LedgerAccount.owner_id == UUID(order)
        )
    )
    report.claim("nothing is left in the order's escrow", escrow == 0)
    report.claim("the ledger sums to zero", ledger.trial_balance(session) == 0)
    report.claim("every balance is the sum of its transfers", not ledger.verify(session))


async def _is_picture(address: str) -> bool:
    answer = await AsyncHTTPClient().fetch(address, raise_error=False)
    return answer.code == 200 and Image.open(BytesIO(answer.body)).format == "WEBP"


async def play(settings: Settings, *, seconds: int, console: Console) -> bool:
    """Run the demo with an auction of `seconds` before soft close; whether every claim holds."""
    base_url, report = settings.gateway.url, Report(console)
    console.print(f"Three neighbours register at {base_url} and verify their neighbourhood …")
    seller, buyer, rival = people = [
        await Neighbour.move_in(base_url, name, spot)
        for name, spot in zip(("Seo-yeon", "Min-jun", "Ji-ho"), SPOTS, strict=True)
    ]
    regions = {person.home["region"]["full_name"] for person in people}
    report.claim(f"all three are verified in {', '.join(regions)}", len(regions) == 1)
    lot, photos = await _put_up(seller, seconds, report)

    async with _connected(base_url, lot.id, people) as (viewer, seen):
        bidding = asyncio.create_task(_bid_war(lot, buyer, rival, viewer, report))
        with Live(auction_table([lot], viewer.replicas, SOFT_CLOSE_MS), console=console) as live:
            while not bidding.done():
                await asyncio.wait([bidding], timeout=REFRESH_S)
                live.update(auction_table([lot], viewer.replicas, SOFT_CLOSE_MS))
        console.print()
        placed = await bidding
        shown = [(bid["seq"], bid["paddle"], bid["price"]) for bid in viewer.replicas[lot.id].recent]
        maxima = "|".join(str(answer["own_maximum"]) for _, answer in placed)
        report.claim(
            "the viewer saw each of these bids, and no maximum",
            shown == [(answer["seq"], answer["paddle"], answer["price"]) for _, answer in placed]
            and not re.search(rf"\b({maxima})\b", str(seen)),
        )
        [detail] = await settled(seller.api, [lot])
        price = int(detail["hammer_price"] or 0)
        report.claim(
            f"it is sold for ₩{price:,}, as the viewer saw",
            price == placed[-1][1]["price"] == viewer.replicas[lot.id].hammer_price,
        )
        [order] = (await buyer.api.get("/buyer/orders"))["items"]
        report.claim("the buyer has the order, and its money is in escrow", order["state"] == "in_escrow")
        await _hand_over(order["id"], seller, buyer, report)
        await _review(order["id"], seller, buyer, report)

    payout = (await seller.api.get(f"/orders/{order['id']}"))["payout"]
    for person, change in ((seller, payout), (buyer, -price), (rival, 0)):
        wallet = await person.api.get("/wallet")
        report.claim(
            f"{person.name} has ₩{wallet['available']:,}: {change:+,}",
            wallet == {"available": FUNDS + change, "held": 0},
        )
    database = SyncDatabase(settings.postgres.url)
    try:
        with database.transaction() as session:
            await asyncio.to_thread(_prove, session, lot, order["id"], placed, report)
    finally:
        database.dispose()
    pictures = [await _is_picture(urljoin(base_url, address)) for address in photos]
    report.claim("the gateway serves the photo in every size", pictures == [True] * 3)
    return report.proven
