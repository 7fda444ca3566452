from collections.abc import Callable
from uuid import uuid4

from tests.support.client import Client, People


async def test_a_wallet_is_empty_until_it_is_topped_up(person: People) -> None:
    ann = person()
    assert await ann.get("/wallet") == {"available": 0, "held": 0}
    answer = await ann.call("POST", "/wallet/top-ups", {"id": str(uuid4()), "amount": 700})
    assert (answer.status, answer.headers["Location"]) == (201, "/api/v1/wallet")
    assert answer.body == await ann.get("/wallet") == {"available": 700, "held": 0}


async def test_the_same_top_up_counts_once(person: People) -> None:
    ann, bob = person(), person()
    top_up = {"id": str(uuid4()), "amount": 700}
    for _ in range(3):
        assert await ann.post("/wallet/top-ups", top_up) == {"available": 700, "held": 0}
    assert await ann.refused("POST", "/wallet/top-ups", top_up | {"amount": 701}) == "transfer_conflict"
    assert await bob.refused("POST", "/wallet/top-ups", top_up) == "transfer_conflict"
    assert await bob.get("/wallet") == {"available": 0, "held": 0}


async def test_a_wallet_holds_no_more_than_the_largest_amount(person: People) -> None:
    ann = person(funds=2**53 - 1)
    body = {"id": str(uuid4()), "amount": 1}
    assert await ann.refused("POST", "/wallet/top-ups", body) == "balance_too_large"


async def test_nobody_tops_up_for_nothing_outside_development(
    person: People, change_services: Callable[..., None]
) -> None:
    change_services(development=False)
    ann: Client = person()
    body = {"id": str(uuid4()), "amount": 1}
    assert await ann.refused("POST", "/wallet/top-ups", body) == "not_available"
    assert await ann.get("/wallet") == {"available": 0, "held": 0}
