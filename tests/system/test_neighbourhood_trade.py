"""Two neighbours trade through Nginx: photo, auction with a reserve, chat, hand-over with the code, reviews."""

import time
from collections.abc import Awaitable
from io import BytesIO
from urllib.parse import urljoin
from uuid import UUID

import pytest
from PIL import Image
from sqlalchemy import select
from tornado.httpclient import AsyncHTTPClient

from market.money import ledger
from realtime.replica import Replica
from server.client import LiveSocket, Message, Problem
from store.models import AccountKind, Bid, LedgerAccount
from tests.support.media import picture
from tests.support.system import Person, System, database_now_ms
from tests.support.waiting import until

YEOKSAM = {"latitude": 37.500613, "longitude": 127.036431, "accuracy_m": 20}
HAEUNDAE = {"latitude": 35.163127, "longitude": 129.163561, "accuracy_m": 20}
FUNDS = 100_000
RUNS_MS = 25_000
CAP_MS = 1_000
HOUR_MS = 3_600_000


class Listener:
    """A socket that watches one auction, signed in if it is a person's."""

    def __init__(self) -> None:
        self.replica = Replica()
        self.messages: list[Message] = []
        self.socket: LiveSocket

    async def listen(self, system: System, auction: str, person: Person | None = None) -> "Listener":
        self.socket = await LiveSocket.open(system.url, self._receive)
        if person is not None:
            ticket = (await person.api.post("/ws-tickets"))["ticket"]
            assert (await self.socket.request("authenticate", ticket=ticket))["type"] == "authenticated"

        async def subscribed() -> bool:
            # The mirror that viewers read comes a moment after the auction was published.
            reply = await self.socket.request("subscribe", auction=auction)
            return bool(reply["type"] == "snapshot")

        await until(subscribed)
        return self

    def _receive(self, message: Message) -> None:
        self.messages.append(message)
        self.replica.apply(message)

    async def hears(self, kind: str, **fields: object) -> Message:
        """The push with these fields, once it has come."""
        wanted = {"type": kind, **fields}
        return await until(lambda: next((m for m in self.messages if wanted.items() <= m.items()), None))


async def refused(call: Awaitable[Message]) -> str:
    """The code of the refusal that must come."""
    with pytest.raises(Problem) as caught:
        await call
    return caught.value.code


async def at_home(system: System, position: Message = YEOKSAM, funds: int = FUNDS) -> tuple[Person, str]:
    """A verified neighbour, and the id of the neighbourhood."""
    person = system.person(funds=funds)
    return person, (await person.api.post("/me/neighbourhoods", position))["id"]


async def with_photo(system: System, seller: Person, auction: str) -> Message:
    """The photo of a draft, once everybody can see it."""
    announced = await seller.api.send_photo(
        f"/auctions/{auction}/photos", picture("PNG", (800, 600)), "image/png"
    )

    async def made() -> Message | None:
        own = await seller.api.get(f"/photos/{announced['id']}")
        return own if own["status"] == "ready" else None

    photo: Message = (await until(made))["photo"]
    return photo


async def test_two_neighbours_trade_from_the_photo_to_the_reviews(system: System) -> None:
    seller, home = await at_home(system)
    (buyer, _), (rival, _) = await at_home(system), await at_home(system)
    far_away, _ = await at_home(system, HAEUNDAE)
    homeless = system.person(funds=FUNDS)

    with system.database.transaction() as session:
        ends_at = database_now_ms(session) + RUNS_MS
    draft = {
        "title": "A desk",
        "start_price": 30_000,
        "increments": [[0, 1_000]],
        "ends_at": ends_at,
        # Every bid moves the end, as far as it may: to a second past the planned one.
        "soft_close": {"window_ms": 2 * RUNS_MS, "extension_ms": 2 * RUNS_MS, "cap_ms": CAP_MS},
        "reserve": 40_000,
        "buy_now": 90_000,
        "buy_now_until": "first_bid",
        "place": {"neighbourhood_id": home, "radius": "near"},
    }
    assert await refused(buyer.api.post("/seller/auctions", draft)) == "not_a_neighbour", (
        "it is another's home"
    )
    auction = (await seller.api.post("/seller/auctions", draft))["id"]
    bids = f"/auctions/{auction}/bids"
    assert await refused(buyer.api.post(bids, {"maximum": 35_000})) == "not_found"
    photo = await with_photo(system, seller, auction)
    await seller.api.post(f"/seller/auctions/{auction}/publish")
    viewer = await Listener().listen(system, auction)
    at_seller = await Listener().listen(system, auction, seller)
    at_buyer = await Listener().listen(system, auction, buyer)
    assert viewer.replica.buy_now == 90_000

    for stranger in (far_away, homeless):
        assert await refused(stranger.api.post(bids, {"maximum": 35_000})) == "not_a_neighbour"
    assert await refused(seller.api.post(bids, {"maximum": 35_000})) == "own_auction"
    assert await refused(rival.api.post(bids, {"maximum": FUNDS + 1})) == "insufficient_funds"
    assert await refused(rival.api.post(f"/auctions/{auction}/paddle", {"limit": 50_000})) == "wrong_kind"

    first = await buyer.api.post(bids, {"maximum": 35_000})
    assert (first["price"], first["leading"], first["reserve_met"]) == (30_000, True, False)
    assert (first["extended"], first["ends_at"]) == (True, ends_at + CAP_MS)
    assert await refused(rival.api.post(f"/auctions/{auction}/purchase")) == "no_buy_now"
    assert await refused(rival.api.post(bids, {"maximum": 30_500})) == "below_minimum"
    second = await rival.api.post(bids, {"maximum": 60_000})
    assert (second["price"], second["leading"], second["reserve_met"]) == (40_000, True, True)
    outbid = await at_buyer.hears("outbid", seq=second["seq"])
    assert (outbid["price"], outbid["your_maximum"]) == (40_000, 35_000)
    assert await buyer.api.get("/wallet") == {"available": FUNDS, "held": 0}
    third = await buyer.api.post(bids, {"maximum": 80_000})
    last = await rival.api.post(bids, {"maximum": 70_000})
    assert (third["price"], last["price"], last["leading"]) == (61_000, 71_000, False)
    assert await buyer.api.get("/wallet") == {"available": FUNDS - 80_000, "held": 80_000}
    assert await rival.api.get("/wallet") == {"available": FUNDS, "held": 0}

    acked = [(bid["seq"], bid["paddle"], bid["price"]) for bid in (first, second, third, last)]
    closed = await viewer.hears("closed")
    assert (closed["hammer_price"], closed["winner"], closed["ends_at"]) == (71_000, 1, ends_at + CAP_MS)
    assert [(bid["seq"], bid["paddle"], bid["price"]) for bid in viewer.replica.recent] == acked
    assert await refused(rival.api.post(bids, {"maximum": 90_000})) == "closed"
    detail = await system.settled(auction)
    assert (detail["state"], detail["hammer_price"], detail["photos"]) == ("sold", 71_000, [photo])

    [order] = (await buyer.api.get("/buyer/orders"))["items"]
    assert [item["id"] for item in (await seller.api.get("/seller/orders"))["items"]] == [order["id"]]
    assert (order["auction_id"], order["state"], order["hammer_price"]) == (auction, "in_escrow", 71_000)
    assert await buyer.api.get("/wallet") == {"available": FUNDS - 71_000, "held": 0}
    path = f"/orders/{order['id']}"
    assert await refused(rival.api.get(path)) == "not_found"

    await buyer.api.post(f"{path}/messages", {"text": "내일 괜찮으세요?"})
    await seller.api.post(f"{path}/messages", {"text": "네!"})
    for listener in (at_seller, at_buyer):
        await listener.hears("message", order=order["id"], number=1, by="buyer", text="내일 괜찮으세요?")
        await listener.hears("message", order=order["id"], number=2, by="seller", text="네!")
    assert await refused(rival.api.post(f"{path}/messages", {"text": "And I?"})) == "not_found"

    meeting = {"place": "Yeoksam station", "meet_at": int(time.time() * 1000) + HOUR_MS}
    proposed = await seller.api.post(f"{path}/handover/proposals", meeting)
    await at_buyer.hears("order", order=order["id"], action="propose", state="in_escrow")
    accept = {"proposal": proposed["proposal"]["number"]}
    assert await refused(seller.api.post(f"{path}/handover/accept", accept)) == "own_proposal"
    assert await refused(buyer.api.get(f"{path}/handover/code")) == "wrong_state"
    agreed = await buyer.api.post(f"{path}/handover/accept", accept)
    assert meeting.items() <= agreed["agreement"].items()
    await at_seller.hears("order", order=order["id"], action="agree", state="agreed")

    assert await refused(seller.api.get(f"{path}/handover/code")) == "forbidden"
    assert await refused(buyer.api.post(f"{path}/review", {"stars": 5})) == "wrong_state"
    code = (await buyer.api.get(f"{path}/handover/code"))["code"]
    complete = f"{path}/handover/complete"
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    assert await refused(seller.api.post(complete, {"code": wrong})) == "wrong_code"
    assert await refused(buyer.api.post(complete, {"code": code})) == "forbidden"
    assert await seller.api.get("/wallet") == {"available": FUNDS, "held": 0}
    assert (await seller.api.post(complete, {"code": code}))["state"] == "completed"
    await at_buyer.hears("order", order=order["id"], action="hand_over", state="completed")
    assert await refused(seller.api.post(complete, {"code": code})) == "wrong_state"
    assert await seller.api.get("/wallet") == {"available": FUNDS + 71_000, "held": 0}

    await buyer.api.post(f"{path}/review", {"stars": 5, "text": "As described."})
    assert await refused(buyer.api.post(f"{path}/review", {"stars": 1})) == "already_reviewed"
    assert (await rival.api.get(f"/users/{seller.id}/reviews"))["items"] == []
    await seller.api.post(f"{path}/review", {"stars": 4})
    # (20 * 0.6 + 4 * (stars - 1) / 4 + 1 order) of 20 + 4 + 1.
    for person, stars, trust in ((seller, 5, 68), (buyer, 4, 64)):
        profile = await rival.api.get(f"/users/{person.id}")
        assert (profile["trust"], profile["completed_orders"], profile["rating"]) == (trust, 1, stars * 100)

    with system.database.transaction() as session:
        rows = session.scalars(select(Bid).where(Bid.auction_id == UUID(auction)).order_by(Bid.seq)).all()
        escrow = session.scalar(
            select(LedgerAccount.balance).where(
                LedgerAccount.kind == AccountKind.ESCROW, LedgerAccount.owner_id == UUID(order["id"])
            )
        )
        assert ledger.trial_balance(session) == 0
        assert ledger.verify(session) == []
    assert [(row.seq, row.paddle, row.price) for row in rows] == acked
    assert [row.bidder_id for row in rows] == [buyer.id, rival.id, buyer.id, rival.id]
    assert [row.maximum for row in rows] == [35_000, 60_000, 80_000, 70_000]
    assert escrow == 0

    for size in ("thumbnail", "card", "full"):
        shown = await AsyncHTTPClient().fetch(urljoin(system.url, photo[size]))
        assert Image.open(BytesIO(shown.body)).format == "WEBP"
    for listener in (viewer, at_seller, at_buyer):
        await listener.socket.close()
    assert not [m for m in viewer.messages if m["type"] in ("message", "order", "outbid")], "a guest hears it"
