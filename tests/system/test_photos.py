"""A photo's way through the whole running system: gateway, REST process, disk, worker, gateway."""

from urllib.parse import urljoin

from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from server.client import Message
from tests.support.media import picture
from tests.support.system import System, database_now_ms
from tests.support.waiting import until


async def test_a_photo_is_sent_made_and_shown_through_the_gateway(system: System) -> None:
    seller, http = system.person(), AsyncHTTPClient()
    with system.database.transaction() as session:
        now = database_now_ms(session)
    draft = {"title": "A desk", "start_price": 1, "increments": [[0, 1]], "ends_at": now + 600_000}
    auction = (await seller.api.post("/seller/auctions", draft))["id"]
    # What stands behind the picture is sent too, and is nobody's to see.
    content = picture("JPEG", (3000, 2000)) + b"secret" * 400_000
    announced = await seller.api.post(
        f"/auctions/{auction}/photos", {"size": len(content), "content_type": "image/jpeg"}
    )
    upload = announced["upload"]
    url = urljoin(system.url, upload["url"])
    await http.fetch(HTTPRequest(url, method=upload["method"], headers=upload["headers"], body=content))
    path = f"/photos/{announced['id']}"
    await seller.api.post(f"{path}/complete")

    async def made() -> Message | None:
        own = await seller.api.get(path)
        return own if own["status"] == "ready" else None

    photo = (await until(made))["photo"]
    assert (photo["width"], photo["height"]) == (1600, 1067)
    assert (await seller.api.get(f"/auctions/{auction}"))["photos"] == [photo]
    for size in ("thumbnail", "card", "full"):
        shown = await http.fetch(urljoin(system.url, photo[size]))
        assert shown.headers["Content-Type"] == "image/webp"
        assert shown.body.startswith(b"RIFF")
        assert b"secret" not in shown.body
