"""Photos over HTTP, from the announcement to the picture, with the files on local disk and on S3."""

import asyncio
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tornado.httpclient import AsyncHTTPClient
from tornado.web import Application

from handlers.http.media import MAX_PENDING, MediaThreads
from market.listings import listings
from market.listings.images import MAX_BYTES
from market.listings.photos import MAX_PHOTOS
from store.database import SyncDatabase
from store.ids import new_id
from store.media.interface import Media, Upload, incoming
from store.media.local import LocalMedia
from store.media.s3 import S3Media
from store.redis.clients import SyncHot
from tasks.app import Resources
from tasks.listings.photos import make_photos, sweep_photos
from tasks.senders.smtp import Folder, PostOffice
from tasks.senders.web_push import WebPush
from tests.support.client import Answer, Client, People
from tests.support.factories import a_draft
from tests.support.media import picture, send_form
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_photo_waits")

JPEG = picture("JPEG", (2000, 1000))
TAMPERED = [
    lambda url: re.sub(r"size=\d+", "size=1", url),
    lambda url: re.sub(r"expires=\d+", "expires=9999999999", url),
    lambda url: re.sub(r"signature=.", "signature=z", url),
    lambda url: re.sub(r"signature=.*", "signature=", url),
    lambda url: re.sub(r"uploads/[^?]+", f"uploads/{uuid4()}", url),
]


@pytest.fixture
def seller(person: People) -> Client:
    return person()


@pytest.fixture
def draft(seller: Client, sync_database: SyncDatabase) -> UUID:
    with sync_database.transaction() as session:
        return listings.create(session, seller.user_id, a_draft()).id


@pytest.fixture
def resources(sync_database: SyncDatabase, sync_hot: SyncHot, media: Media, tmp_path: Path) -> Resources:
    post = PostOffice(Folder(tmp_path), "from@example.org", "https://bid.example", b"a key")
    web_push = WebPush(ec.generate_private_key(ec.SECP256R1()), "mailto:us@example.org")
    return Resources(sync_database, sync_hot, media, post, web_push)


async def announced(seller: Client, draft: UUID, content: bytes = JPEG, **changes: Any) -> dict[str, Any]:
    body = {"size": len(content), "content_type": "image/jpeg"} | changes
    answer: dict[str, Any] = await seller.post(f"/auctions/{draft}/photos", body)
    return answer


async def send(client: Client, url: str, content: bytes, **headers: str) -> Answer:
    return await client.call("POST", url, raw=content, headers={"Content-Type": "image/jpeg", **headers})


async def sent(guest: Client, seller: Client, draft: UUID, content: bytes = JPEG) -> str:
    """The id of a photo whose file has arrived."""
    photo = await announced(seller, draft, content)
    answer = await send(guest, photo["upload"]["url"], content)
    assert answer.status == 204, answer.body
    return str(photo["id"])


async def test_a_photo_is_sent_and_made(
    guest: Client, seller: Client, draft: UUID, media: LocalMedia, resources: Resources
) -> None:
    answer = await seller.call(
        "POST", f"/auctions/{draft}/photos", {"size": len(JPEG), "content_type": "image/jpeg"}
    )
    assert answer.status == 201
    photo_id, upload = answer.body["id"], answer.body["upload"]
    assert answer.headers["Location"] == f"/api/v1/photos/{photo_id}"
    assert (upload["method"], upload["fields"]) == ("POST", {})
    assert (await seller.get(f"/photos/{photo_id}"))["status"] == "pending"
    assert (await send(guest, upload["url"], JPEG)).status == 204
    assert (await seller.post(f"/photos/{photo_id}/complete"))["status"] == "processing"
    make_photos(resources)
    own = await seller.get(f"/photos/{photo_id}")
    assert own == {
        "id": photo_id,
        "auction_id": str(draft),
        "status": "ready",
        "problem": None,
        "photo": own["photo"],
        "avatar": None,
    }
    assert (own["photo"]["width"], own["photo"]["height"]) == (1600, 800)
    for size in ("thumbnail", "card", "full"):
        assert re.fullmatch(rf"/media/photos/[0-9a-f]{{32}}-{size}\.webp", own["photo"][size])
        assert (media.read(own["photo"][size].removeprefix("/media/"), 4)) == b"RIFF"
    assert media.size(incoming(UUID(photo_id))) is None, "the original is gone"
    assert (await seller.get(f"/auctions/{draft}/photos"))["items"] == [own]
    assert (await seller.get(f"/auctions/{draft}"))["photos"] == [own["photo"]]


async def test_completing_twice_tells_the_same(guest: Client, seller: Client, draft: UUID) -> None:
    photo_id = await sent(guest, seller, draft)
    first = await seller.post(f"/photos/{photo_id}/complete")
    assert await seller.post(f"/photos/{photo_id}/complete") == first


async def test_nothing_can_be_completed_that_was_not_sent(seller: Client, draft: UUID) -> None:
    photo = await announced(seller, draft)
    assert await seller.refused("POST", f"/photos/{photo['id']}/complete") == "not_uploaded"


async def test_a_bad_file_is_refused_when_it_is_completed(
    guest: Client, seller: Client, draft: UUID, media: LocalMedia
) -> None:
    for content in (
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<html>.jpg</html>",
        b"GIF89a" + b"\0" * 90,
    ):
        photo_id = await sent(guest, seller, draft, content)
        own = await seller.post(f"/photos/{photo_id}/complete")
        assert (own["status"], own["problem"], own["photo"]) == ("refused", "unsupported_image", None)
        assert media.size(incoming(UUID(photo_id))) is None


async def test_a_file_that_only_begins_well_is_refused_later(
    guest: Client, seller: Client, draft: UUID, resources: Resources
) -> None:
    photo_id = await sent(guest, seller, draft, JPEG[: len(JPEG) // 2])
    assert (await seller.post(f"/photos/{photo_id}/complete"))["status"] == "processing"
    make_photos(resources)
    own = await seller.get(f"/photos/{photo_id}")
    assert (own["status"], own["problem"]) == ("refused", "broken_image")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"content_type": "image/svg+xml"}, "unsupported_image"),
        ({"content_type": "image/gif"}, "unsupported_image"),
        ({"content_type": "../../etc/passwd"}, "unsupported_image"),
        ({"size": MAX_BYTES + 1}, "image_too_large"),
        ({"size": 0}, "invalid_body"),
        ({"size": -1}, "invalid_body"),
        ({"size": 2**53}, "invalid_body"),
        ({"size": "1"}, "invalid_body"),
        ({"name": "../../x.jpg"}, "invalid_body"),
        ({"key": "photos/x"}, "invalid_body"),
    ],
)
async def test_a_bad_announcement_is_refused(
    seller: Client, draft: UUID, changes: dict[str, Any], code: str
) -> None:
    body = {"size": 1_000, "content_type": "image/jpeg"} | changes
    assert await seller.refused("POST", f"/auctions/{draft}/photos", body) == code
    assert (await seller.get(f"/auctions/{draft}/photos"))["items"] == []


async def test_too_many_photos_and_too_many_bytes(
    seller: Client, draft: UUID, sync_database: SyncDatabase
) -> None:
    large = {"size": MAX_BYTES, "content_type": "image/jpeg"}
    for _ in range(MAX_PHOTOS):
        await seller.post(f"/auctions/{draft}/photos", large)
    assert await seller.refused("POST", f"/auctions/{draft}/photos", large) == "too_many_photos"
    with sync_database.transaction() as session:
        another = listings.create(session, seller.user_id, a_draft()).id
    await seller.post(f"/auctions/{another}/photos", large)
    assert await seller.refused("POST", f"/auctions/{another}/photos", large) == "photo_quota"


@pytest.mark.parametrize("tamper", TAMPERED)
async def test_a_tampered_address_takes_nothing(
    guest: Client, seller: Client, draft: UUID, media: LocalMedia, tamper: Any
) -> None:
    url = tamper((await announced(seller, draft))["upload"]["url"])
    assert (await send(guest, url, JPEG)).body["code"] == "invalid_signature"
    assert [*media.keys("incoming/"), *media.keys("partial/")] == []


async def test_an_expired_address_takes_nothing(
    guest: Client, seller: Client, draft: UUID, media: LocalMedia
) -> None:
    photo = await announced(seller, draft)
    late = media.upload(UUID(photo["id"]), len(JPEG), "image/jpeg", -1)
    assert (await send(guest, late.url, JPEG)).body["code"] == "upload_expired"


@pytest.mark.parametrize("content", [b"", JPEG[:-1], JPEG + b"x", JPEG + b"x" * 2 * 1024 * 1024])
async def test_another_size_than_announced_is_not_taken(
    guest: Client, seller: Client, draft: UUID, media: LocalMedia, content: bytes
) -> None:
    photo = await announced(seller, draft)
    assert (await send(guest, photo["upload"]["url"], content)).body["code"] == "wrong_size"
    assert [*media.keys("incoming/"), *media.keys("partial/")] == []


async def test_the_body_of_a_refused_upload_is_read_to_its_end(
    seller: Client, draft: UUID, http_server_port: tuple[Any, int]
) -> None:
    url = (await announced(seller, draft))["upload"]["url"]
    content = JPEG + b"x" * 2 * 1024 * 1024
    reader, writer = await asyncio.open_connection("127.0.0.1", http_server_port[1])
    writer.write(f"POST {url} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n".encode())
    writer.write(content)
    writer.write(b"OPTIONS /api/v1/auctions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answers = await reader.read()
    writer.close()
    assert b'"wrong_size"' in answers
    assert b"HTTP/1.1 204" in answers, "the connection goes on"


async def test_an_upload_is_closed_once_it_is_completed(guest: Client, seller: Client, draft: UUID) -> None:
    photo = await announced(seller, draft)
    url = photo["upload"]["url"]
    for _ in range(2):
        assert (await send(guest, url, JPEG)).status == 204, "until then it may be repeated"
    await seller.post(f"/photos/{photo['id']}/complete")
    assert (await send(guest, url, JPEG)).body["code"] == "upload_closed"


async def test_an_address_of_a_photo_that_is_gone_takes_nothing(guest: Client, media: LocalMedia) -> None:
    upload = media.upload(new_id(), 5, "image/jpeg", 900)
    assert (await send(guest, upload.url, b"12345")).body["code"] == "not_found"


async def test_a_client_that_leaves_in_the_midst_leaves_nothing(
    seller: Client, draft: UUID, media: LocalMedia, http_server_port: tuple[Any, int]
) -> None:
    url = (await announced(seller, draft))["upload"]["url"]
    connection = socket.create_connection(("127.0.0.1", http_server_port[1]))
    head = f"POST {url} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(JPEG)}\r\n\r\n"
    connection.sendall(head.encode() + JPEG[:1000])
    await until(lambda: list(media.keys("partial/")))
    connection.close()
    await until(lambda: not list(media.keys("partial/")))
    assert list(media.keys("incoming/")) == []


async def test_a_chunked_body_has_no_size(
    seller: Client, draft: UUID, media: LocalMedia, http_server_client: AsyncHTTPClient
) -> None:
    url = (await announced(seller, draft))["upload"]["url"]

    async def pieces(write: Any) -> None:
        await write(JPEG)

    answer = await http_server_client.fetch(
        url, method="POST", body_producer=pieces, raise_error=False, headers={"Content-Type": "image/jpeg"}
    )
    assert answer.code == 422
    assert b'"wrong_size"' in answer.body
    assert list(media.keys("incoming/")) == []


async def test_photos_are_put_in_order_and_removed(guest: Client, seller: Client, draft: UUID) -> None:
    ids = [await sent(guest, seller, draft) for _ in range(3)]
    path = f"/auctions/{draft}/photos"

    async def order() -> list[str]:
        return [item["id"] for item in (await seller.get(path))["items"]]

    for wrong in (ids[:2], [*ids, ids[0]], [*ids[:2], str(uuid4())]):
        assert await seller.refused("PUT", path, {"photos": wrong}) == "wrong_photos"
        assert await order() == ids
    await seller.done("PUT", path, {"photos": ids[::-1]})
    assert await order() == ids[::-1]
    assert (await seller.call("DELETE", f"/photos/{ids[1]}")).status == 204
    assert await order() == [ids[2], ids[0]]
    assert await seller.refused("GET", f"/photos/{ids[1]}") == "not_found"
    assert await seller.refused("DELETE", f"/photos/{ids[1]}") == "not_found"


async def test_too_many_waiting_calls_are_refused(
    change_services: Callable[..., None], seller: Client, draft: UUID, media: Media
) -> None:
    threads = MediaThreads(media)
    threads._pending = MAX_PENDING
    change_services(media=threads)
    body = {"size": 1_000, "content_type": "image/jpeg"}
    for path in (f"/auctions/{draft}/photos", "/me/avatar"):
        assert await seller.refused("POST", path, body) == "busy"


async def avatar_sent(guest: Client, ann: Client, content: bytes = JPEG) -> str:
    """The id of a new avatar that is complete."""
    answer = await ann.call("POST", "/me/avatar", {"size": len(content), "content_type": "image/jpeg"})
    assert answer.status == 201
    photo_id = answer.body["id"]
    assert answer.headers["Location"] == f"/api/v1/photos/{photo_id}"
    assert (await send(guest, answer.body["upload"]["url"], content)).status == 204
    await ann.post(f"/photos/{photo_id}/complete")
    return str(photo_id)


async def test_an_avatar_is_sent_made_replaced_and_deleted(
    guest: Client, person: People, media: LocalMedia, resources: Resources
) -> None:
    ann, bob = person(), person()
    assert await ann.get("/me/avatar") == {"avatar": None}
    for _ in range(2):
        photo_id = await avatar_sent(guest, ann)
        assert (await ann.get(f"/photos/{photo_id}"))["status"] == "processing"
        make_photos(resources)
        view = (await ann.get("/me/avatar"))["avatar"]
        assert await ann.get(f"/photos/{photo_id}") == {
            "id": photo_id,
            "auction_id": None,
            "status": "ready",
            "problem": None,
            "photo": None,
            "avatar": view,
        }
        for size in ("small", "card"):
            assert re.fullmatch(rf"/media/photos/[0-9a-f]{{32}}-{size}\.webp", view[size])
            assert media.read(view[size].removeprefix("/media/"), 4) == b"RIFF"
    assert await bob.get("/me/avatar") == {"avatar": None}
    await bob.done("DELETE", "/me/avatar")
    assert await ann.get("/me/avatar") == {"avatar": view}
    for _ in range(2):
        await ann.done("DELETE", "/me/avatar")
        assert await ann.get("/me/avatar") == {"avatar": None}
    sweep_photos(resources)
    assert [*media.keys("incoming/"), *media.keys("photos/")] == []


async def test_a_bad_file_does_not_become_an_avatar(
    guest: Client, person: People, resources: Resources
) -> None:
    ann = person()
    kept = await avatar_sent(guest, ann)
    make_photos(resources)
    for content, problem in ((b"GIF89a" + JPEG, "unsupported_image"), (JPEG[:5000], "broken_image")):
        photo_id = await avatar_sent(guest, ann, content)
        make_photos(resources)
        own = await ann.get(f"/photos/{photo_id}")
        assert (own["status"], own["problem"], own["avatar"]) == ("refused", problem, None)
        assert (await ann.get("/me/avatar"))["avatar"]["id"] == kept


async def test_a_bad_announcement_of_an_avatar_is_refused(person: People) -> None:
    ann = person()
    for changes, code in (
        ({"content_type": "image/svg+xml"}, "unsupported_image"),
        ({"size": MAX_BYTES + 1}, "image_too_large"),
        ({"size": 0}, "invalid_body"),
    ):
        body = {"size": 1_000, "content_type": "image/jpeg"} | changes
        assert await ann.refused("POST", "/me/avatar", body) == code


class TestOnS3:
    """The same with a bucket: the file goes past us."""

    @pytest.fixture
    def media(self, s3_media: S3Media) -> S3Media:
        return s3_media

    async def test_a_photo_is_sent_and_made(
        self, seller: Client, draft: UUID, resources: Resources, media: S3Media
    ) -> None:
        photo = await announced(seller, draft)
        upload = Upload(**photo["upload"])
        assert urlsplit(upload.url).port != 80
        assert send_form(upload, JPEG) == 204
        assert (await seller.post(f"/photos/{photo['id']}/complete"))["status"] == "processing"
        make_photos(resources)
        own = await seller.get(f"/photos/{photo['id']}")
        assert own["status"] == "ready"
        assert own["photo"]["full"].startswith("http://127.0.0.1:")
        assert media.size(incoming(UUID(photo["id"]))) is None

    @pytest.mark.parametrize(
        ("content", "problem"),
        [(b"<svg/>".ljust(len(JPEG)), "unsupported_image"), (JPEG + b"x", "wrong_size"), (b"", "wrong_size")],
    )
    async def test_what_s3_let_in_is_checked(
        self, seller: Client, draft: UUID, media: S3Media, content: bytes, problem: str
    ) -> None:
        photo = await announced(seller, draft)
        # Past the form: an S3 that keeps the size limits of a form would not take it.
        media.put(incoming(UUID(photo["id"])), content, "image/jpeg")
        own = await seller.post(f"/photos/{photo['id']}/complete")
        assert (own["status"], own["problem"]) == ("refused", problem)
        assert media.size(incoming(UUID(photo["id"]))) is None

    async def test_our_own_door_is_closed(
        self, guest: Client, seller: Client, draft: UUID, local_media: LocalMedia
    ) -> None:
        photo = await announced(seller, draft)
        upload = local_media.upload(UUID(photo["id"]), len(JPEG), "image/jpeg", 900)
        assert (await send(guest, upload.url, JPEG)).body["code"] == "not_available"

    async def test_without_s3_nothing_is_lost(
        self,
        app: Application,
        change_services: Callable[..., None],
        seller: Client,
        draft: UUID,
        media: S3Media,
    ) -> None:
        photo = await announced(seller, draft)
        away = S3Media("bucket", "x-1", "http://127.0.0.1:1", "", path_style=True)
        threads = app.settings["services"].media
        change_services(media=MediaThreads(away))
        assert await seller.refused("POST", f"/photos/{photo['id']}/complete") == "unavailable"
        change_services(media=threads)
        assert (await seller.get(f"/photos/{photo['id']}"))["status"] == "pending"
