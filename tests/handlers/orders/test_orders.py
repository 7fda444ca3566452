"""Orders through the API: the lists, every step, the chat, reviews, blocks and reports, and what is pushed."""

from asyncio import gather
from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import Any
from uuid import UUID, uuid4

import pytest

from store.database import SyncDatabase
from store.models import DeliveryMethod
from tests.support.client import Client, People
from tests.support.factories import make_order, make_published_auction
from tests.support.listener import Listener

PRICE = 1_500
HOUR_MS = 3_600_000


@dataclass
class Trade:
    """A paid order and its two parties."""

    id: UUID
    seller: Client
    buyer: Client

    @property
    def path(self) -> str:
        return f"/orders/{self.id}"

    async def agree(self) -> None:
        body = {"place": "The fountain", "meet_at": int(time() * 1000) + HOUR_MS}
        order = await self.seller.post(f"{self.path}/handover/proposals", body)
        number = order["proposal"]["number"]
        await self.buyer.post(f"{self.path}/handover/accept", {"proposal": number})

    async def ship(self) -> None:
        await self.seller.post(f"{self.path}/ship", {"carrier": "A carrier", "tracking_number": "1234"})

    async def complete(self) -> None:
        await self.ship()
        await self.buyer.post(f"{self.path}/confirm")

    async def money(self) -> tuple[int, int]:
        """What the seller and the buyer have."""
        sides = await gather(self.seller.get("/wallet"), self.buyer.get("/wallet"))
        return sides[0]["available"], sides[1]["available"]


@pytest.fixture
def trade(person: People, sync_database: SyncDatabase) -> Trade:
    seller, buyer = person(), person()
    with sync_database.transaction() as session:
        order = make_order(session, seller.user_id, buyer.user_id, PRICE)
    return Trade(order.id, seller, buyer)


async def test_an_order_is_seen_by_its_two_parties_only(person: People, sync_database: SyncDatabase) -> None:
    seller, buyer, other = person(), person(), person()
    with sync_database.transaction() as session:
        sold = [make_order(session, seller.user_id, buyer.user_id) for _ in range(3)]
    for client, role in ((seller, "seller"), (buyer, "buyer")):
        items = await client.items(f"/{role}/orders", 2)
        assert [item["id"] for item in items] == [str(order.id) for order in sold[::-1]]
        assert {item["role"] for item in items} == {role}
        for item in items:
            assert set(item) == {
                "id",
                "auction_id",
                "title",
                "hammer_price",
                "fee",
                "payout",
                "state",
                "role",
                "other_id",
                "other_name",
                "deliveries",
                "delivery",
                "proposal",
                "agreement",
                "absent",
                "carrier",
                "tracking_number",
                "problem",
                "unread",
                "reviewed",
                "due_at",
                "created_at",
                "finished_at",
            }
            assert await client.get(f"/orders/{item['id']}") == item
            assert await other.refused("GET", f"/orders/{item['id']}") == "not_found"
    assert await seller.items("/buyer/orders", 2) == await buyer.items("/seller/orders", 2) == []
    assert await other.items("/buyer/orders", 2) == []
    assert await other.refused("GET", f"/orders/{uuid4()}") == "not_found"


async def test_a_way_that_is_not_offered_is_refused(person: People, sync_database: SyncDatabase) -> None:
    seller, buyer = person(), person()
    with sync_database.transaction() as session:
        by_hand, by_post = (
            make_order(session, seller.user_id, buyer.user_id, deliveries=(delivery,)).id
            for delivery in DeliveryMethod
        )
    shipment = {"carrier": "A carrier", "tracking_number": "1234"}
    meeting = {"place": "The fountain", "meet_at": int(time() * 1000) + HOUR_MS}
    answer = await seller.call("POST", f"/orders/{by_hand}/ship", shipment)
    assert (answer.status, answer.body["code"]) == (409, "delivery_not_offered")
    assert answer.body["deliveries"] == ["handover"]
    for side in (seller, buyer):
        path = f"/orders/{by_post}/handover/proposals"
        assert await side.refused("POST", path, meeting) == "delivery_not_offered"
    assert (await buyer.get(f"/orders/{by_post}"))["deliveries"] == ["shipping"]


async def test_two_people_meet_and_the_code_pays(trade: Trade, listener: Listener) -> None:
    await listener.listen(trade.seller, trade.buyer)
    await trade.agree()
    shown = await trade.buyer.get(f"{trade.path}/handover/code")
    assert shown["payload"] == f"neighborbid:handover:{trade.id}:{shown['code']}"
    assert shown["svg"].startswith("<svg ")
    done = await trade.seller.post(f"{trade.path}/handover/complete", {"code": shown["code"]})
    assert done["state"] == "completed"
    assert await trade.money() == (PRICE, 0)
    for side in (trade.seller, trade.buyer):
        assert await listener.heard(side, "order") == [
            {"type": "order", "order": str(trade.id), "action": action, "state": state}
            for action, state in (
                ("propose", "in_escrow"),
                ("agree", "agreed"),
                ("hand_over", "completed"),
            )
        ]


async def test_five_wrong_codes_lock_the_entry(trade: Trade) -> None:
    await trade.agree()
    code = (await trade.buyer.get(f"{trade.path}/handover/code"))["code"]
    wrong = {"code": f"{(int(code) + 1) % 1_000_000:06}"}
    path = f"{trade.path}/handover/complete"
    for _ in range(5):
        assert await trade.seller.refused("POST", path, wrong) == "wrong_code"
    answer = await trade.seller.call("POST", path, {"code": code})
    assert (answer.status, answer.body["code"]) == (409, "code_locked")
    assert answer.body["until"] > int(time() * 1000)


@pytest.mark.parametrize("code", ["12345", "1234567", "12345a", "１２３４５６", " 12345", ""])
async def test_a_code_has_six_digits(trade: Trade, code: str) -> None:
    path = f"{trade.path}/handover/complete"
    assert await trade.seller.refused("POST", path, {"code": code}) == "invalid_body"


async def test_a_repeated_completion_gets_the_first_answer(trade: Trade) -> None:
    await trade.agree()
    code = (await trade.buyer.get(f"{trade.path}/handover/code"))["code"]
    path, key = f"{trade.path}/handover/complete", {"Idempotency-Key": f'"{uuid4()}"'}
    first = await trade.seller.call("POST", path, {"code": code}, headers=key)
    again = await trade.seller.call("POST", path, {"code": code}, headers=key)
    assert first.status == again.status == 200
    assert first.body == again.body
    assert await trade.seller.refused("POST", path, {"code": code}) == "wrong_state"
    assert await trade.money() == (PRICE, 0)


async def test_confirming_and_refunding_at_once_moves_the_money_once(trade: Trade) -> None:
    await trade.ship()
    answers = await gather(
        *(trade.buyer.call("POST", f"{trade.path}/confirm") for _ in range(3)),
        *(trade.seller.call("POST", f"{trade.path}/refund") for _ in range(3)),
    )
    assert sorted(answer.status for answer in answers) == [200] + [409] * 5
    assert await trade.money() in ((PRICE, 0), (0, PRICE))


async def test_a_problem_keeps_the_order_open(trade: Trade) -> None:
    await trade.ship()
    order = await trade.buyer.post(f"{trade.path}/problem", {"text": "It is broken."})
    assert (order["state"], order["problem"], order["due_at"]) == ("problem", "It is broken.", None)
    assert await trade.money() == (0, 0)
    assert await trade.buyer.refused("POST", f"{trade.path}/problem", {"text": "Again."}) == "wrong_state"
    await trade.seller.post(f"{trade.path}/refund")
    assert await trade.money() == (0, PRICE)


@pytest.mark.parametrize(
    "meet_at", [1, int(time() * 1000) + 31 * 24 * HOUR_MS, 2**53 - 1], ids=["past", "far", "never"]
)
async def test_a_meeting_is_soon(trade: Trade, meet_at: int) -> None:
    body = {"place": "The fountain", "meet_at": meet_at}
    assert await trade.seller.refused("POST", f"{trade.path}/handover/proposals", body) == "invalid_time"


@pytest.mark.parametrize("place", ["", " ", "a\nb", "x" * 201, "\x00"])
async def test_a_place_is_a_line(trade: Trade, place: str) -> None:
    body = {"place": place, "meet_at": int(time() * 1000) + HOUR_MS}
    assert await trade.seller.refused("POST", f"{trade.path}/handover/proposals", body) == "invalid_body"


def unhidden(message: dict[str, Any]) -> dict[str, Any]:
    """A message as it is pushed: nobody has hidden it yet."""
    return {name: value for name, value in message.items() if name != "hidden"}


async def test_the_two_write_to_each_other(trade: Trade, listener: Listener) -> None:
    path = f"{trade.path}/messages"
    await listener.listen(trade.seller, trade.buyer)
    first = await trade.buyer.post(path, {"text": "Is it still there? 👋"})
    second = await trade.seller.post(path, {"text": "It is.\nCome!"})
    assert [(message["number"], message["by"]) for message in (first, second)] == [
        (1, "buyer"),
        (2, "seller"),
    ]
    for side in (trade.seller, trade.buyer):
        assert await side.items(path, 1) == [second, first]
        assert await listener.heard(side, "message") == [
            {"type": "message", "order": str(trade.id), **unhidden(message)} for message in (first, second)
        ]
    assert (await trade.buyer.get(trade.path))["unread"] == 1
    assert await trade.buyer.post(f"{path}/read", {"number": 2}) == {"number": 2}
    assert (await trade.buyer.get(trade.path))["unread"] == 0


async def test_a_message_sent_twice_under_a_key_is_written_and_pushed_once(
    trade: Trade, listener: Listener
) -> None:
    path, key = f"{trade.path}/messages", {"Idempotency-Key": f'"{uuid4()}"'}
    await listener.listen(trade.seller)
    answers = [await trade.buyer.call("POST", path, {"text": "Hello."}, headers=key) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].body == answers[1].body
    assert len(await trade.seller.items(path, 10)) == len(await listener.heard(trade.seller, "message")) == 1


@pytest.mark.parametrize("text", ["", "x" * 2_001, "\x00", "\x1b[1m"])
async def test_a_message_is_a_text(trade: Trade, text: str) -> None:
    assert await trade.buyer.refused("POST", f"{trade.path}/messages", {"text": text}) == "invalid_body"


async def test_without_redis_a_message_is_written_all_the_same(
    trade: Trade, redis_away: Callable[[], None]
) -> None:
    redis_away()
    await trade.buyer.post(f"{trade.path}/messages", {"text": "Hello."})
    await trade.agree()
    assert len(await trade.seller.items(f"{trade.path}/messages", 10)) == 1


async def test_a_blocked_user_writes_and_bids_no_more(
    trade: Trade, person: People, sync_database: SyncDatabase
) -> None:
    rich = person(9_000)
    with sync_database.transaction() as session:
        auction = make_published_auction(session, trade.seller.user_id).id
    for blocked in (trade.buyer, rich):
        await trade.seller.done("PUT", f"/me/blocks/{blocked.user_id}")
    assert await trade.buyer.refused("POST", f"{trade.path}/messages", {"text": "Hello."}) == "blocked"
    assert await rich.refused("POST", f"/auctions/{auction}/paddle", {"limit": 2_000}) == "blocked"
    listed = await trade.seller.items("/me/blocks", 1)
    assert {item["user_id"] for item in listed} == {str(trade.buyer.user_id), str(rich.user_id)}
    await trade.seller.done("DELETE", f"/me/blocks/{rich.user_id}")
    await rich.post(f"/auctions/{auction}/paddle", {"limit": 2_000})
    assert await trade.seller.refused("PUT", f"/me/blocks/{trade.seller.user_id}") == "forbidden"
    assert await trade.seller.refused("PUT", f"/me/blocks/{uuid4()}") == "not_found"
    assert await trade.seller.refused("DELETE", f"/me/blocks/{uuid4()}") == "not_found"


async def test_what_is_wrong_is_reported(trade: Trade, person: People) -> None:
    message = await trade.seller.post(f"{trade.path}/messages", {"text": "Pay me elsewhere."})
    body = {"kind": "message", "id": message["id"], "reason": "fraud", "text": "Look."}
    report = await trade.buyer.post("/reports", body)
    assert (report["kind"], report["subject_id"], report["reason"]) == ("message", message["id"], "fraud")
    assert await trade.buyer.post("/reports", body | {"text": "Again."}) == report
    assert await trade.seller.refused("POST", "/reports", body) == "forbidden"
    assert await person().refused("POST", "/reports", body) == "not_found"
    for wrong in ({"kind": "order"}, {"reason": "because"}, {"id": "1"}, {"text": "x" * 2_001}):
        assert await trade.buyer.refused("POST", "/reports", body | wrong) == "invalid_body"


async def test_both_review_each_other_and_everybody_sees_it(trade: Trade, guest: Client) -> None:
    path, profile = f"{trade.path}/review", f"/users/{trade.seller.user_id}"
    assert await trade.buyer.refused("POST", path, {"stars": 5}) == "wrong_state"
    await trade.complete()
    assert (await guest.get(profile))["trust"] == 62
    review = await trade.buyer.post(path, {"stars": 4, "text": "Quick."})
    assert await trade.buyer.refused("POST", path, {"stars": 5}) == "already_reviewed"
    assert await guest.items(f"{profile}/reviews", 10) == []
    await trade.seller.post(path, {"stars": 5})

    [seen] = await guest.items(f"{profile}/reviews", 10)

    assert seen == {
        "id": review["id"],
        "author_name": "Somebody",
        "author_role": "buyer",
        "stars": 4,
        "text": "Quick.",
        "created_at": review["created_at"],
    }
    shown = await guest.get(profile)
    assert set(shown) == {
        "id",
        "display_name",
        "member_since",
        "trust",
        "completed_orders",
        "no_shows",
        "reviews",
        "rating",
    }
    assert (shown["trust"], shown["completed_orders"], shown["rating"]) == (64, 1, 400)
    assert await guest.refused("GET", f"/users/{uuid4()}") == "not_found"
    assert await guest.refused("GET", f"/users/{uuid4()}/reviews") == "not_found"


@pytest.mark.parametrize(
    "body", [{"stars": 0}, {"stars": 6}, {"stars": 4.5}, {"stars": 5, "text": "x" * 2_001}]
)
async def test_a_review_has_one_to_five_stars(trade: Trade, body: dict[str, Any]) -> None:
    assert await trade.buyer.refused("POST", f"{trade.path}/review", body) == "invalid_body"
