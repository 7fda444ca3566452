"""Browsers that take Web Push, and the end of e-mails by a link."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from market.notifications import push_subscriptions, unsubscribing
from store.database import SyncDatabase
from store.models import Event, NotificationPreferences, PushSubscription
from tests.support.client import Client, People
from tests.support.endpoints import P256DH
from tests.support.keys import UNSUBSCRIBE_KEY

PATH = "/notifications/push-subscriptions"
UNSUBSCRIBE = "/notifications/unsubscribe"
ONE_CLICK = {"Content-Type": "application/x-www-form-urlencoded"}


def a_browser(endpoint: str | None = None, p256dh: bytes = P256DH) -> dict[str, str]:
    """What a browser says of itself."""
    return {
        "endpoint": endpoint or f"https://push.example/{uuid4()}",
        "p256dh": urlsafe_b64encode(p256dh).rstrip(b"=").decode(),
        "auth": urlsafe_b64encode(bytes(16)).rstrip(b"=").decode(),
    }


def subscribed(database: SyncDatabase, user_id: UUID) -> list[PushSubscription]:
    with database.transaction() as session:
        rows = select(PushSubscription).where(PushSubscription.user_id == user_id)
        return list(session.scalars(rows.order_by(PushSubscription.created_at, PushSubscription.id)))


async def test_a_browser_is_subscribed_and_no_longer(person: People, sync_database: SyncDatabase) -> None:
    ann = person()
    assert (await ann.get("/notifications/push-key")) == {"key": "a key of the tests"}
    browser = a_browser()
    answer = await ann.call("POST", PATH, browser)
    assert (answer.status, set(answer.body)) == (201, {"id", "created_at"})
    [stored] = subscribed(sync_database, ann.user_id)
    assert (stored.endpoint, stored.p256dh, stored.auth) == (browser["endpoint"], P256DH, bytes(16))
    assert (await ann.call("DELETE", f"{PATH}/{answer.body['id']}")).status == 204
    assert await ann.refused("DELETE", f"{PATH}/{answer.body['id']}") == "not_found"
    assert subscribed(sync_database, ann.user_id) == []


async def test_subscribed_again_it_is_the_same_with_its_new_keys(
    person: People, sync_database: SyncDatabase
) -> None:
    ann = person()
    browser = a_browser()
    first = await ann.post(PATH, browser)
    second = await ann.post(PATH, browser | {"auth": "_" * 21 + "w"})
    assert second["id"] == first["id"]
    [stored] = subscribed(sync_database, ann.user_id)
    assert stored.auth == b"\xff" * 16


async def test_a_browser_notifies_only_the_user_who_subscribed_it_last(
    person: People, sync_database: SyncDatabase
) -> None:
    ann, ben = person(), person()
    browser = a_browser()
    first = await ann.post(PATH, browser)
    await ben.post(PATH, browser)
    assert subscribed(sync_database, ann.user_id) == []
    assert len(subscribed(sync_database, ben.user_id)) == 1
    assert await ann.refused("DELETE", f"{PATH}/{first['id']}") == "not_found"


async def test_the_oldest_of_too_many_makes_room(person: People, sync_database: SyncDatabase) -> None:
    ann = person()
    ids = [(await ann.post(PATH, a_browser()))["id"] for _ in range(push_subscriptions.MAX_SUBSCRIPTIONS + 2)]
    assert [str(row.id) for row in subscribed(sync_database, ann.user_id)] == ids[2:]


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example/1",
        "https://127.0.0.1/1",
        "https://[::1]:8301/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data",
        "https://user:password@push.example/",
        "https://push.example:99999/",
        "https://push.example/#part",
        "https://[::1/",
        "https:///1",
    ],
)
async def test_in_production_an_endpoint_is_a_public_https_address(
    person: People, change_services: Callable[..., None], sync_database: SyncDatabase, endpoint: str
) -> None:
    change_services(development=False)
    ann = person()
    answer = await ann.call("POST", PATH, a_browser(endpoint))
    assert (answer.body["code"], answer.body["field"]) == ("invalid_subscription", "endpoint")
    assert subscribed(sync_database, ann.user_id) == []


async def test_keys_must_be_some(person: People) -> None:
    ann = person()
    for wrong in (bytes(65), b"\x04" + bytes(64), b"\x02" + P256DH[1:33] + bytes(32)):
        answer = await ann.call("POST", PATH, a_browser(p256dh=wrong))
        assert (answer.body["code"], answer.body["field"]) == ("invalid_subscription", "p256dh")
    assert await ann.refused("POST", PATH, a_browser() | {"auth": "short"}) == "invalid_body"
    assert await ann.refused("POST", PATH, a_browser("ftp://push.example/")) == "invalid_body"


def channels(database: SyncDatabase, user_id: UUID) -> dict[str, dict[str, bool]] | None:
    with database.transaction() as session:
        preferences = session.get(NotificationPreferences, user_id)
        return None if preferences is None else preferences.channels


def link(ann: Client, *events: Event) -> str:
    return f"{UNSUBSCRIBE}?token={unsubscribing.make_token(UNSUBSCRIBE_KEY, ann.user_id, events)}"


async def test_a_link_ends_the_e_mails_about_its_event_without_a_log_in(
    guest: Client, person: People, sync_database: SyncDatabase
) -> None:
    ann = person()
    assert await guest.get(link(ann, Event.OUTBID)) == {"events": ["outbid"]}
    assert channels(sync_database, ann.user_id) is None, "a look changes nothing"
    for _ in range(2):
        answer = await guest.call(
            "POST", link(ann, Event.OUTBID), raw=b"List-Unsubscribe=One-Click", headers=ONE_CLICK
        )
        assert (answer.status, answer.body) == (200, {"events": ["outbid"]})
        assert channels(sync_database, ann.user_id) == {"outbid": {"email": False}}


async def test_a_link_of_a_collected_e_mail_ends_what_was_in_it(
    guest: Client, person: People, sync_database: SyncDatabase
) -> None:
    ann = person()
    with sync_database.transaction() as session:
        chosen = {"won": {"push": True, "email": True}, "lost": {"push": False}, "sold": {"push": False}}
        session.add(NotificationPreferences(user_id=ann.user_id, channels=chosen))
    both = link(ann, Event.WON, Event.LOST)
    assert await guest.post(both) == {"events": ["won", "lost"]}
    ended = {"won": {"push": True, "email": False}, "lost": {"push": False, "email": False}}
    assert channels(sync_database, ann.user_id) == chosen | ended


async def test_the_longest_link_works_and_an_old_one_may_name_what_is_no_more(
    guest: Client, person: People
) -> None:
    ann = person()
    assert await guest.get(link(ann, *Event)) == {"events": list(Event)}
    former: Any = "hammered"
    assert await guest.post(link(ann, former, Event.OUTBID)) == {"events": ["outbid"]}


async def test_a_changed_link_ends_nothing(
    guest: Client, person: People, sync_database: SyncDatabase
) -> None:
    ann, ben = person(), person()
    token = unsubscribing.make_token(UNSUBSCRIBE_KEY, ann.user_id, [Event.OUTBID])
    user, event, signature = token.split(".")
    forged = [
        f"{ben.user_id.hex}.{event}.{signature}",
        f"{user}.won.{signature}",
        f"{user}.{event}.won.{signature}",
        f"{user}.{signature}",
        f"{user}.{event}.{signature[:-1]}",
        f"{user}.{event}.",
        unsubscribing.make_token(b"another key", ann.user_id, [Event.OUTBID]),
        "x",
        "..",
    ]
    for token in forged:
        for method in ("GET", "POST"):
            assert await guest.refused(method, f"{UNSUBSCRIBE}?token={token}") == "invalid_token"
    assert await guest.refused("POST", UNSUBSCRIBE) == "invalid_query"
    assert await guest.refused("POST", f"{UNSUBSCRIBE}?token=%20") == "invalid_query"
    assert channels(sync_database, ann.user_id) is None


async def test_nothing_is_kept_for_an_account_that_is_gone(
    guest: Client, sync_database: SyncDatabase
) -> None:
    token = unsubscribing.make_token(UNSUBSCRIBE_KEY, uuid4(), [Event.OUTBID])
    assert await guest.refused("POST", f"{UNSUBSCRIBE}?token={token}") == "invalid_token"
