"""A user's notifications, and the preferences about them, over REST."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func

from market.notifications.notifications import NewNotification, notify
from store.database import Database, SyncDatabase
from store.ids import new_id
from store.models import Channel, Event, NotificationDelivery, Role
from store.redis.clients import Hot
from tests.support.client import Client, People
from tests.support.database import statements
from tests.support.factories import make_neighbourhood_auction, make_notification
from tests.support.listener import Listener

PREFERENCES: dict[str, Any] = {
    "quiet_from": 1_320,
    "quiet_until": 420,
    "time_zone": "Europe/Berlin",
    "digest": "daily",
    "channels": [{"event": "outbid", "email": False, "push": True}],
}

HOME = {"latitude": 37.500613, "longitude": 127.036431, "accuracy_m": 9}


@pytest.fixture
def tell(sync_database: SyncDatabase) -> Callable[[Client], UUID]:
    """Tells somebody something."""

    def tell(client: Client) -> UUID:
        with sync_database.transaction() as session:
            return make_notification(session, client.user_id)

    return tell


async def test_admins_see_what_could_not_be_sent(person: People, sync_database: SyncDatabase) -> None:
    ann, admin = person(), person(role=Role.ADMIN)
    with sync_database.transaction() as session:
        told = make_notification(session, ann.user_id, Event.WON)
        session.add(
            NotificationDelivery(
                notification_id=told,
                user_id=ann.user_id,
                channel=Channel.PUSH,
                due_at=func.now(),
                attempts=10,
                dead_at=func.now(),
                last_error="HTTP 400",
            )
        )

    items = await admin.items("/admin/deliveries/dead", 1)
    [dead] = [item for item in items if item["user_id"] == str(ann.user_id)]
    assert dead.pop("id")
    assert dead.pop("died_at") > 0
    assert dead == {
        "user_id": str(ann.user_id),
        "channel": "push",
        "event": "won",
        "attempts": 10,
        "error": "HTTP 400",
    }
    assert await person(role=Role.MODERATOR).refused("GET", "/admin/deliveries/dead") == "forbidden"
    assert await admin.refused("GET", "/admin/deliveries/dead?cursor=x") == "invalid_cursor"


async def test_a_user_sees_what_the_user_was_told_newest_first(
    person: People, tell: Callable[[Client], UUID]
) -> None:
    ann, bob = person(), person()
    ids = [str(tell(ann)) for _ in range(5)]
    tell(bob)

    items = await ann.items("/notifications", 2)

    assert [item["id"] for item in items] == ids[::-1]
    first = items[0]
    assert first.pop("created_at") > 0
    assert first == {
        "id": ids[-1],
        "event": "review",
        "title": "A review for you: “A bicycle”",
        "body": "The other party has reviewed the sale of “A bicycle”.",
        "path": "/#/notifications",
        "auction_id": None,
        "order_id": None,
        "data": {"title": "A bicycle"},
        "read_at": None,
    }


async def test_a_text_is_in_the_language_and_time_of_who_reads_it(
    person: People, sync_database: SyncDatabase
) -> None:
    ann = person()
    new = NewNotification(
        ann.user_id, Event.ENDING_SOON, "x", {"title": "자전거", "ends_at": 1_795_253_400_000}
    )
    with sync_database.transaction() as session:
        notify(session, [new])
    [item] = await ann.items("/notifications", 10)
    assert item["title"] == "Ending soon: “자전거”"
    assert item["body"] == "The auction of “자전거” ends soon.\nEnds: 2026-11-21 18:30 KST"

    profile = await ann.get("/me")
    await ann.done("PATCH", "/me", {"language": "ko"}, version=profile["version"])
    await ann.done("PUT", "/notifications/preferences", PREFERENCES, version=0)
    [item] = await ann.items("/notifications", 10)
    assert item["title"] == "마감 임박: “자전거”"
    assert item["body"] == "“자전거” 경매가 곧 마감됩니다.\n마감: 2026-11-21 10:30 CET"


async def test_what_was_read_is_counted_no_more(person: People, tell: Callable[[Client], UUID]) -> None:
    ann = person()
    assert await ann.get("/notifications/unread") == {"unread": 0}
    one, two, three, four = (str(tell(ann)) for _ in range(4))

    assert await ann.post(f"/notifications/{two}/read") == {"unread": 3}
    read_at = [item["read_at"] for item in await ann.items("/notifications", 100) if item["id"] == two]
    assert await ann.post(f"/notifications/{two}/read") == {"unread": 3}
    assert [item["id"] for item in await ann.items("/notifications?unread=true", 100)] == [four, three, one]
    assert await ann.post("/notifications/read", {"up_to": three}) == {"unread": 1}
    assert [item["id"] for item in await ann.items("/notifications?unread=true", 1)] == [four]
    assert read_at == [
        item["read_at"] for item in await ann.items("/notifications", 100) if item["id"] == two
    ]
    assert await ann.get("/notifications/unread") == {"unread": 1}


async def test_reading_tells_every_device_how_many_are_unread(
    person: People, tell: Callable[[Client], UUID], listener: Listener
) -> None:
    ann, bob = person(), person()
    one, _, three = tell(ann), tell(ann), tell(ann)
    await listener.listen(ann, bob)
    await ann.post(f"/notifications/{one}/read")
    assert await bob.refused("POST", f"/notifications/{three}/read") == "not_found"
    await ann.post("/notifications/read", {"up_to": str(three)})
    assert await listener.heard(ann, "unread") == [
        {"type": "unread", "unread": 2},
        {"type": "unread", "unread": 0},
    ]
    assert await listener.heard(bob, "unread") == []


async def test_nobody_reads_for_others(person: People, tell: Callable[[Client], UUID]) -> None:
    ann, bob = person(), person()
    hers = tell(ann)
    assert await bob.refused("POST", f"/notifications/{hers}/read") == "not_found"
    await bob.post("/notifications/read", {"up_to": str(hers)})
    assert await ann.get("/notifications/unread") == {"unread": 1}


async def test_a_wrong_cursor_or_filter_is_refused(person: People) -> None:
    ann = person()
    assert await ann.refused("GET", "/notifications?cursor=nonsense") == "invalid_cursor"
    assert await ann.refused("GET", "/notifications?unread=maybe") == "invalid_query"


async def test_a_page_of_many_takes_few_queries(person: People, tell: Callable[[Client], UUID]) -> None:
    ann = person()
    for _ in range(50):
        tell(ann)
    with statements() as seen:
        assert len((await ann.get("/notifications?limit=50"))["items"]) == 50
    assert len(seen) <= 4, seen


async def test_preferences_are_the_defaults_until_they_are_edited(person: People) -> None:
    ann = person()
    before = await ann.get("/notifications/preferences")
    channels = before.pop("channels")
    assert before == {
        "quiet_from": None,
        "quiet_until": None,
        "time_zone": "Asia/Seoul",
        "digest": "off",
        "version": 0,
    }
    assert [wish["event"] for wish in channels] == list(Event)
    assert {"event": "outbid", "email": True, "push": True} in channels

    after = await ann.done("PUT", "/notifications/preferences", PREFERENCES, version=0)

    assert after["version"] == 1
    assert {name: after[name] for name in PREFERENCES if name != "channels"} == {
        name: value for name, value in PREFERENCES.items() if name != "channels"
    }
    changed = [wish for wish in after["channels"] if wish not in channels]
    assert changed == PREFERENCES["channels"]
    assert await ann.get("/notifications/preferences") == after
    again = {name: value for name, value in after.items() if name != "version"}
    assert await ann.done("PUT", "/notifications/preferences", again, version=1) == after | {"version": 2}


async def test_of_two_edits_of_one_version_one_counts(person: People) -> None:
    ann = person()
    path = "/notifications/preferences"
    assert await ann.refused("PUT", path, PREFERENCES) == "precondition_required"
    await ann.done("PUT", path, PREFERENCES, version=0)
    for version in (0, 2):
        answer = await ann.call("PUT", path, PREFERENCES, version=version)
        assert answer.body["code"] == "precondition_failed"
    assert (await ann.get(path))["version"] == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"quiet_from": 1_440}, "invalid_body"),
        ({"quiet_from": None}, "invalid_preferences"),
        ({"quiet_until": None}, "invalid_preferences"),
        ({"time_zone": "Asia/Atlantis"}, "invalid_preferences"),
        ({"time_zone": "../../etc/passwd"}, "invalid_preferences"),
        ({"digest": "hourly"}, "invalid_body"),
        ({"channels": [{"event": "birthday", "email": True, "push": True}]}, "invalid_body"),
        ({"channels": [{"event": "outbid", "email": True}]}, "invalid_body"),
        ({"channels": [{"event": "outbid", "email": True, "push": True, "fax": True}]}, "invalid_body"),
        ({"channels": [{"event": "login", "email": False, "push": True}]}, "invalid_preferences"),
    ],
)
async def test_wrong_preferences_are_refused_and_change_nothing(
    person: People, change: dict[str, Any], code: str
) -> None:
    ann = person()
    path = "/notifications/preferences"
    answer = await ann.call("PUT", path, PREFERENCES | change, version=0)
    assert answer.body["code"] == code
    if code == "invalid_preferences":
        assert answer.body["field"] in PREFERENCES
    assert (await ann.get(path))["version"] == 0


@pytest.mark.usefixtures("some_regions")
async def test_who_is_outbid_among_neighbours_is_told_and_pushed(
    person: People, listener: Listener, sync_database: SyncDatabase
) -> None:
    with sync_database.transaction() as session:
        auction = make_neighbourhood_auction(session)
    ann, bob = person(50_000), person(50_000)
    for client in (ann, bob):
        await client.post("/me/neighbourhoods", HOME)
    await listener.listen(ann, bob)
    await ann.post(f"/auctions/{auction.id}/bids", {"maximum": 2_000})
    placed = await bob.post(f"/auctions/{auction.id}/bids", {"maximum": 5_000})

    [push] = await listener.heard(ann, "notification")
    [item] = await ann.items("/notifications", 100)
    data = {
        "title": "A bicycle",
        "epoch": 1,
        "seq": 2,
        "price": 2_100,
        "next_minimum": placed["next_minimum"],
        "ends_at": placed["ends_at"],
    }
    assert item["data"] == push["data"] == data
    assert (item["event"], item["auction_id"]) == ("outbid", str(auction.id))
    expected = {"type": "notification", "id": item["id"], "event": "outbid", "unread": 1}
    assert expected.items() <= push.items()
    texts = {name: item[name] for name in ("title", "body", "path")}
    assert texts.items() <= push.items()
    assert texts["path"] == f"/#/auctions/{auction.id}"
    assert texts["title"] == "You were outbid: “A bicycle”"
    assert await listener.heard(bob, "notification") == []
    assert await bob.items("/notifications", 100) == []


async def test_nobody_is_pushed_what_was_rolled_back(
    person: People, listener: Listener, hot: Hot, database_url: str
) -> None:
    ann = person()
    await listener.listen(ann)
    database = Database(database_url, hot)

    async def break_off() -> None:
        async with database.transaction() as session:
            await session.run_sync(notify, [NewNotification(ann.user_id, Event.REVIEW, str(new_id()), {})])
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await break_off()
    await database.dispose()
    assert await listener.heard(ann, "notification") == []
    assert await ann.get("/notifications/unread") == {"unread": 0}
