"""Questions about auctions over HTTP."""

from uuid import UUID, uuid4

import pytest

from store.database import SyncDatabase
from tests.support.client import Client, People
from tests.support.factories import make_published_auction


@pytest.fixture
def seller(person: People) -> Client:
    return person()


@pytest.fixture
def auction(sync_database: SyncDatabase, seller: Client) -> UUID:
    with sync_database.transaction() as session:
        return make_published_auction(session, seller.user_id, title="A desk").id


async def test_a_question_is_asked_answered_and_read(
    guest: Client, person: People, seller: Client, auction: UUID
) -> None:
    joon, path = person(), f"/auctions/{auction}/questions"
    asked = await joon.post(path, {"text": "새 것인가요?"})
    assert asked == {
        "id": asked["id"],
        "auction_id": str(auction),
        "asker_id": str(joon.user_id),
        "asker_name": "Somebody",
        "text": "새 것인가요?",
        "created_at": asked["created_at"],
        "answer": None,
        "answered_at": None,
    }
    assert await seller.items("/seller/questions?unanswered=true", 5) == [asked | {"title": "A desk"}]
    answered = await seller.done("PUT", f"/questions/{asked['id']}/answer", {"text": "Yes.\nNearly."})
    assert answered == asked | {"answer": "Yes.\nNearly.", "answered_at": answered["answered_at"]}
    assert await guest.items(path, 1) == [answered]
    assert await seller.items("/seller/questions?unanswered=true", 5) == []
    assert await seller.items("/seller/questions", 5) == [answered | {"title": "A desk"}]
    assert await joon.refused("DELETE", f"/questions/{asked['id']}") == "wrong_state"


async def test_an_own_question_is_taken_back(guest: Client, person: People, auction: UUID) -> None:
    joon, path = person(), f"/auctions/{auction}/questions"
    asked = await joon.post(path, {"text": "New?"})
    assert (await joon.call("DELETE", f"/questions/{asked['id']}")).status == 204
    assert await joon.refused("DELETE", f"/questions/{asked['id']}") == "not_found"
    assert await guest.items(path, 1) == []


async def test_a_question_under_a_key_is_asked_once(guest: Client, person: People, auction: UUID) -> None:
    joon, path, key = person(), f"/auctions/{auction}/questions", {"Idempotency-Key": uuid4().hex}
    answers = [await joon.call("POST", path, {"text": "New?"}, headers=key) for _ in range(2)]
    assert answers[0].body == answers[1].body
    assert len(await guest.items(path, 5)) == 1


@pytest.mark.parametrize("text", ["", "x" * 1_001, "a\0b", "a\x1bb", None, 1])
async def test_a_text_has_1_to_1000_characters(
    person: People, seller: Client, auction: UUID, text: object
) -> None:
    joon, path = person(), f"/auctions/{auction}/questions"
    asked = await joon.post(path, {"text": "x" * 1_000})
    assert await joon.refused("POST", path, {"text": text}) == "invalid_body"
    assert await seller.refused("PUT", f"/questions/{asked['id']}/answer", {"text": text}) == "invalid_body"


async def test_wrong_queries_are_named(person: People, auction: UUID) -> None:
    joon = person()
    for query in ("unanswered=1", "unanswered=", "limit=0", "state=live"):
        assert await joon.refused("GET", f"/seller/questions?{query}") == "invalid_query"
    for path in ("/seller/questions", f"/auctions/{auction}/questions"):
        assert await joon.refused("GET", f"{path}?cursor=x") == "invalid_cursor"
