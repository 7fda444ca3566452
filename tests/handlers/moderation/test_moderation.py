"""Moderators at work over HTTP."""

from store.database import SyncDatabase
from store.models import Role
from tests.support.client import Client, People
from tests.support.factories import make_published_auction


async def test_a_reported_auction_is_hidden_and_the_report_resolved(
    person: People, guest: Client, sync_database: SyncDatabase
) -> None:
    with sync_database.transaction() as session:
        auction = make_published_auction(session, title="A fake")
    path = f"/auctions/{auction.id}"
    await person().post("/reports", {"kind": "auction", "id": str(auction.id), "reason": "fraud"})
    moderator = person(role=Role.MODERATOR)
    queue = await moderator.items("/admin/reports", 50)
    [waiting] = [item for item in queue if item["subject_id"] == str(auction.id)]
    assert (waiting["text"], waiting["count"], waiting["reasons"]) == ("A fake", 1, ["fraud"])

    hidden = await moderator.done("PUT", f"/admin{path}/hidden", {"hidden": True, "reason": "A fake"})
    assert hidden["hidden_at"] is not None
    body = {"outcome": "upheld", "reason": "A fake"}
    assert (await moderator.post(f"/admin/reports/{waiting['id']}/resolve", body))["count"] == 1
    assert await moderator.refused("POST", f"/admin/reports/{waiting['id']}/resolve", body) == "wrong_state"

    assert await guest.refused("GET", path) == "not_found"
    assert (await moderator.get(path))["hidden"]
    assert [item["id"] for item in await guest.items(f"/auctions?seller={auction.seller_id}", 10)] == []
    [entry] = await person(role=Role.ADMIN).items(f"/admin/audit?subject={auction.id}&action=hide", 5)
    assert (entry["actor_id"], entry["reason"]) == (str(moderator.user_id), "A fake")
    [report] = await moderator.items(f"/admin/reports/{waiting['id']}", 5)
    assert report["outcome"] == "upheld"
