"""Both backends of media keep one contract."""

import base64
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from store.ids import new_id
from store.media.interface import Media, MediaUnavailable, incoming
from store.media.local import LocalMedia
from store.media.s3 import S3Media
from tests.support.factories import NOBODYS_ID
from tests.support.media import send_form

PHOTO = f"photos/{'0123456789abcdef' * 2}-card.webp"
OTHER = f"photos/{'fedcba9876543210' * 2}-card.webp"


@pytest.fixture(params=["local", "s3"])
def media(request: pytest.FixtureRequest) -> Media:
    backend: Media = request.getfixturevalue(f"{request.param}_media")
    return backend


def test_a_file_is_what_was_put(media: Media) -> None:
    media.put(PHOTO, b"12345", "image/webp")
    assert (media.size(PHOTO), media.read(PHOTO, 3), media.read(PHOTO, 100)) == (5, b"123", b"12345")


def test_putting_again_replaces(media: Media) -> None:
    media.put(PHOTO, b"12345", "image/webp")
    media.put(PHOTO, b"678", "image/webp")
    assert media.read(PHOTO, 100) == b"678"


def test_an_empty_file_is_a_file(media: Media) -> None:
    media.put(incoming(uuid4()), b"", "image/png")
    [(key, _)] = media.keys("incoming/")
    assert (media.size(key), media.read(key, 10)) == (0, b"")


def test_what_is_not_there_is_none(media: Media) -> None:
    assert (media.size(PHOTO), media.read(PHOTO, 1)) == (None, None)


def test_deleting_is_repeatable_and_spares_the_others(media: Media) -> None:
    media.put(PHOTO, b"1", "image/webp")
    media.put(OTHER, b"2", "image/webp")
    for _ in range(2):
        media.delete([PHOTO])
        assert (media.read(PHOTO, 9), media.read(OTHER, 9)) == (None, b"2")


def test_files_are_listed_by_prefix_with_their_time(media: Media) -> None:
    upload = incoming(uuid4())
    for key in (PHOTO, OTHER, upload):
        media.put(key, b"1", "image/webp")
    assert {key for key, _ in media.keys("photos/")} == {PHOTO, OTHER}
    assert [key for key, _ in media.keys("photos/0")] == [PHOTO]
    assert [key for key, _ in media.keys("incoming/")] == [upload]
    assert list(media.keys("partial/")) == []
    [(_, written_at)] = media.keys("photos/f")
    assert abs(datetime.now(UTC) - written_at) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "photos/",
        "../secrets/redis",
        "photos/../../secrets/redis",
        "/etc/passwd",
        f"incoming/{NOBODYS_ID}/../x",
        f"incoming/{NOBODYS_ID.upper()}",
        f"{PHOTO}\n",
        f"{PHOTO}\0",
        PHOTO.replace(".webp", ".svg"),
        PHOTO.replace("-card", "-../card"),
        f"photos\\{PHOTO[7:]}",
        f"https://elsewhere.example/{PHOTO}",
    ],
)
def test_other_names_are_no_keys(media: Media, key: str) -> None:
    for call in (
        lambda: media.put(key, b"", "image/webp"),
        lambda: media.read(key, 1),
        lambda: media.size(key),
        lambda: media.delete([key]),
        lambda: media.url(key),
    ):
        with pytest.raises(ValueError, match="key"):
            call()


def test_a_presigned_form_of_s3_brings_the_file_to_its_place(s3_media: S3Media) -> None:
    photo_id = new_id()
    upload = s3_media.upload(photo_id, 5, "image/png", 900)
    assert send_form(upload, b"12345") == 204
    assert s3_media.read(incoming(photo_id), 9) == b"12345"


def test_a_presigned_form_of_s3_allows_this_file_only(s3_media: S3Media) -> None:
    before = datetime.now(UTC)
    photo_id = new_id()
    upload = s3_media.upload(photo_id, 5, "image/png", 900)
    policy = json.loads(base64.b64decode(upload.fields["policy"]))
    for condition in (
        {"key": incoming(photo_id)},
        {"Content-Type": "image/png"},
        ["content-length-range", 5, 5],
    ):
        assert condition in policy["conditions"]
    expires = datetime.fromisoformat(policy["expiration"])
    assert timedelta(seconds=899) <= expires - before <= timedelta(seconds=905)
    assert abs(upload.expires_at / 1000 - expires.timestamp()) <= 2
    assert upload.fields["x-amz-algorithm"] == "AWS4-HMAC-SHA256"


def test_uploads_on_s3_are_not_public(s3_media: S3Media) -> None:
    key = incoming(new_id())
    s3_media.put(key, b"12345", "image/png")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(s3_media.url(key), timeout=10)
    refused.value.close()
    assert refused.value.code == 403


def test_a_photo_on_s3_may_be_kept_for_ever(s3_media: S3Media) -> None:
    s3_media.put(PHOTO, b"12345", "image/webp")
    with urllib.request.urlopen(s3_media.url(PHOTO), timeout=10) as answer:
        assert answer.read() == b"12345"
        assert answer.headers["Content-Type"] == "image/webp"
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "bucket"])
def test_s3_that_does_not_work_is_unavailable(s3_media: S3Media, s3_endpoint: str, endpoint: str) -> None:
    origin = s3_endpoint if endpoint == "bucket" else endpoint
    away = S3Media("no-such-bucket", "x-1", origin, "", path_style=True)
    with pytest.raises(MediaUnavailable):
        away.put(PHOTO, b"", "image/webp")
    with pytest.raises(MediaUnavailable):
        list(away.keys("photos/"))


def test_buckets_of_aws_are_in_the_host_name(s3_media: S3Media) -> None:
    aws = S3Media("shop", "eu-west-1", "https://s3.eu-west-1.amazonaws.com", "", path_style=False)
    assert aws.upload(new_id(), 5, "image/png", 900).url == "https://shop.s3.eu-west-1.amazonaws.com/"


def test_a_local_address_is_signed_as_a_whole(local_media: LocalMedia) -> None:
    photo_id = new_id()
    upload = local_media.upload(photo_id, 5, "image/png", 900)
    signature, expires = upload.url.partition("signature=")[2], upload.expires_at // 1000
    assert local_media.signed(photo_id, 5, expires, signature)
    assert not local_media.signed(new_id(), 5, expires, signature)
    assert not local_media.signed(photo_id, 6, expires, signature)
    assert not local_media.signed(photo_id, 5, expires + 1, signature)
    for wrong in ("", "ä", signature[:-1], signature.upper(), "0" * 64):
        assert not local_media.signed(photo_id, 5, expires, wrong)
    assert not LocalMedia(Path("elsewhere"), b"another").signed(photo_id, 5, expires, signature)


def test_a_local_upload_is_there_when_it_is_whole(local_media: LocalMedia) -> None:
    photo_id = new_id()
    key = incoming(photo_id)
    receiving = local_media.receive(photo_id, 5)
    receiving.write(b"123")
    assert local_media.read(key, 9) is None
    with pytest.raises(ValueError, match="announced"):
        receiving.write(b"456")
    receiving.write(b"45")
    assert receiving.finish()
    receiving.abort()
    assert local_media.read(key, 9) == b"12345"
    assert list(local_media.keys("partial/")) == []


@pytest.mark.parametrize("finish", [True, False])
def test_a_local_upload_that_is_not_whole_leaves_nothing(local_media: LocalMedia, finish: bool) -> None:
    photo_id = new_id()
    receiving = local_media.receive(photo_id, 5)
    receiving.write(b"1234")
    if finish:
        assert not receiving.finish()
    receiving.abort()
    assert [*local_media.keys("partial/"), *local_media.keys("incoming/")] == []


def test_only_photos_can_be_read_by_others(local_media: LocalMedia, tmp_path: Path) -> None:
    for key in (PHOTO, incoming(uuid4())):
        local_media.put(key, b"1", "image/webp")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "media").iterdir()}
    assert modes == {"photos": 0o755, "incoming": 0o700, "partial": 0o700}
    assert (tmp_path / "media" / PHOTO).stat().st_mode & 0o777 == 0o644
