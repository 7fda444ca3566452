"""Photos on local disk as the gateway serves them, and uploads on their way through it."""

import json

import pytest

from market.listings.images import MAX_BYTES
from store.media.local import LocalMedia
from tests.support.gateway import SECURITY, Gateway, Headers, StartGateway

NAME = f"{'0123456789abcdef' * 2}-card.webp"
PHOTO = f"/media/photos/{NAME}"
UPLOAD = "/api/v1/uploads/01a1fdc4-d5dc-7241-8749-5c352d44a3d2"


def stored(gateway: Gateway) -> LocalMedia:
    """The gateway's files: one photo, and one upload that nobody may see."""
    media = LocalMedia(gateway.settings.media_dir, b"a secret")
    media.put(f"photos/{NAME}", b"a picture", "image/webp")
    media.put("incoming/01a1fdc4-d5dc-7241-8749-5c352d44a3d2", b"not looked at", "image/webp")
    return media


async def test_a_photo_is_a_picture_and_nothing_else(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    stored(gateway)
    answer = await gateway.ask("GET", PHOTO)
    assert (answer.status, answer.body) == (200, b"a picture")
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox; frame-ancestors 'none'"
    assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY
    known: Headers = {"If-None-Match": answer.headers["etag"]}
    again = await gateway.ask("GET", PHOTO, known)
    assert (again.status, again.headers["cache-control"]) == (304, answer.headers["cache-control"])
    assert (await gateway.ask("HEAD", PHOTO)).status == 200
    assert gateway.echo.seen == []


@pytest.mark.parametrize(
    "path",
    [
        "/media",
        "/media/",
        "/media/photos",
        "/media/photos/",
        "/media/photos/.",
        "/media/photos/nothing.webp",
        "/media/incoming/01a1fdc4-d5dc-7241-8749-5c352d44a3d2",
        "/media/photos/../incoming/01a1fdc4-d5dc-7241-8749-5c352d44a3d2",
        "/media/photos/%2e%2e/incoming/01a1fdc4-d5dc-7241-8749-5c352d44a3d2",
        "/media/photos/..%2fincoming/01a1fdc4-d5dc-7241-8749-5c352d44a3d2",
        "/media/photos../incoming/01a1fdc4-d5dc-7241-8749-5c352d44a3d2",
        "/media../media/incoming/01a1fdc4-d5dc-7241-8749-5c352d44a3d2",
        "/media/photos/../../web/index.html",
        "/media/photos..%2f..%2fweb/index.html",
        "/media//incoming//01a1fdc4-d5dc-7241-8749-5c352d44a3d2",
        f"/media/partial/{'0' * 32}",
    ],
)
async def test_nothing_else_is_served(start_gateway: StartGateway, path: str) -> None:
    gateway = await start_gateway()
    stored(gateway)
    answer = await gateway.ask("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "cache-control" not in answer.headers
    assert json.loads(answer.body)["code"] == "not_found"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_photos_are_only_read(start_gateway: StartGateway, method: str) -> None:
    gateway = await start_gateway()
    media = stored(gateway)
    answer = await gateway.ask(method, PHOTO, {"Content-Length": "0"})
    assert (answer.status, json.loads(answer.body)["code"]) == (405, "method_not_allowed")
    assert media.read(f"photos/{NAME}", 99) == b"a picture"


async def test_what_calls_itself_a_page_is_none(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    stored(gateway)
    page = gateway.settings.media_dir / "photos" / "x.html"
    page.write_text("<script>alert(1)</script>")
    page.chmod(0o644)
    answer = await gateway.ask("GET", "/media/photos/x.html")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_only_an_upload_may_be_large(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    large = b"x" * (2 * 1024 * 1024)
    assert (await gateway.ask("POST", UPLOAD, {}, large)).status == 200
    for path in ("/api/v1/photos", "/api/v1/uploads/../me", "/api/v1/auctions/uploads/x", "/"):
        assert (await gateway.ask("POST", path, {}, large)).status in (405, 413), path
    too_large: Headers = {"Content-Length": str(MAX_BYTES + 1)}
    answer = await gateway.ask("POST", UPLOAD, too_large)
    assert (answer.status, json.loads(answer.body)["code"]) == (413, "body_too_large")
    assert [seen.path for seen in gateway.echo.seen] == [UPLOAD]


async def test_an_upload_from_another_allowed_origin_is_allowed(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(ALLOWED_ORIGINS="https://app.example")
    asked: Headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    answer = await gateway.ask("OPTIONS", UPLOAD, asked)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "https://app.example")
    assert gateway.echo.seen == []


async def test_uploads_count_as_requests(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(REQUESTS_PER_S="1")
    answers = [(await gateway.ask("POST", UPLOAD, {"Content-Length": "0"})).status for _ in range(8)]
    assert answers.count(429) >= 3


async def test_pages_may_reach_the_bucket_and_nothing_else(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(
        MEDIA="s3", S3_BUCKET="shop", S3_REGION="eu-west-1", MEDIA_URL="https://cdn.example/photos-of-all"
    )
    policy = (await gateway.ask("GET", "/")).headers["content-security-policy"]
    bucket = "https://shop.s3.eu-west-1.amazonaws.com"
    assert f"img-src 'self' data: https://cdn.example {bucket};" in policy
    assert f"connect-src 'self' https://cdn.example {bucket};" in policy
    assert "script-src 'self';" in policy
    assert (await gateway.ask("GET", PHOTO)).status == 404
