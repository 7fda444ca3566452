"""Making and sweeping photos, on both backends, with crashes in between."""

import os
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, update
from structlog.testing import capture_logs

from market.listings import listings, photos
from market.listings.photos import OwnPhoto, PhotoView
from store.ids import new_id
from store.media.interface import Media, MediaUnavailable, incoming
from store.media.local import LocalMedia
from store.media.s3 import S3Media
from store.models import Photo, PhotoStatus
from tasks.app import Resources
from tasks.listings.photos import make_photos, sweep_files, sweep_photos
from tests.support.bad_images import BAD
from tests.support.factories import a_draft, make_user
from tests.support.media import picture

pytestmark = pytest.mark.usefixtures("no_photo_waits")


class Crash(BaseException):
    """The process dies here."""


class Shop:
    """A seller who has written a draft and sends photos."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        with resources.database.transaction() as session:
            self.seller = make_user(session)
            self.draft = listings.create(session, self.seller, a_draft()).id

    def send(self, content: bytes, announced: int | None = None, avatar: bool = False) -> UUID:
        """A photo whose file has arrived, and which is complete."""
        size = announced or len(content)
        with self.resources.database.transaction() as session:
            if avatar:
                photo_id = photos.announce_avatar(session, self.seller, size, "image/jpeg")
            else:
                photo_id = photos.announce_upload(session, self.seller, self.draft, size, "image/jpeg")
        self.resources.media.put(incoming(photo_id), content, "image/jpeg")
        with self.resources.database.transaction() as session:
            head = content[:16]
            photos.complete(session, self.seller, photo_id, size, head, self.resources.media.url)
        return photo_id

    def own(self, photo_id: UUID) -> OwnPhoto:
        with self.resources.database.transaction() as session:
            return photos.get(session, self.seller, photo_id, self.resources.media.url)

    def shown(self) -> list[PhotoView]:
        """What everybody sees."""
        with self.resources.database.transaction() as session:
            return photos.of_auctions(session, [self.draft], self.resources.media.url)[self.draft]

    def avatar(self) -> UUID | None:
        """The one that everybody sees."""
        with self.resources.database.transaction() as session:
            view = photos.avatars_of(session, [self.seller], self.resources.media.url).get(self.seller)
        return None if view is None else view.id

    def change(self, photo_id: UUID, **values: Any) -> None:
        with self.resources.database.transaction() as session:
            session.execute(update(Photo).where(Photo.id == photo_id).values(**values))

    def discard(self, photo_id: UUID) -> None:
        with self.resources.database.transaction() as session:
            photos.discard(session, self.seller, photo_id)

    def has_row(self, photo_id: UUID) -> bool:
        with self.resources.database.transaction() as session:
            return session.get(Photo, photo_id) is not None


def files(media: Media) -> set[str]:
    return {key for room in ("incoming/", "photos/", "partial/") for key, _ in media.keys(room)}


@pytest.fixture(params=["local", "s3"])
def media(request: pytest.FixtureRequest) -> Media:
    backend: Media = request.getfixturevalue(f"{request.param}_media")
    return backend


@pytest.fixture
def shop(resources: Resources) -> Iterator[Shop]:
    shop = Shop(resources)
    yield shop
    # The rows stay until the end of the run; other tests must not find them waiting.
    with resources.database.transaction() as session:
        photos.discard_of(session, shop.draft)
        photos.discard_avatar(session, shop.seller)
        photos.forget(session, [row.id for row in session.query(Photo).filter_by(owner_id=shop.seller)])


def test_photos_are_made_and_originals_deleted(shop: Shop, media: Media) -> None:
    ids = [shop.send(picture(kind, (900, 600))) for kind in ("JPEG", "PNG", "WEBP")]
    make_photos(shop.resources)
    assert [view.id for view in shop.shown()] == ids
    assert len(files(media)) == 9
    for view in shop.shown():
        for address in (view.thumbnail, view.card, view.full):
            assert media.read(address[address.index("photos/") :], 4) == b"RIFF"


@pytest.mark.parametrize("name", [name for name in BAD if name != "nothing"])
def test_bad_files_are_refused_and_deleted(shop: Shop, media: Media, name: str) -> None:
    content, problem = BAD[name]
    photo_id = shop.send(content, announced=1000)
    # As if the first look had let it through.
    shop.change(photo_id, status=PhotoStatus.PROCESSING, problem=None)
    make_photos(shop.resources)
    own = shop.own(photo_id)
    assert (own.status, own.problem) == (PhotoStatus.REFUSED, problem)
    assert files(media) == set()


def test_a_file_that_is_gone_is_broken(shop: Shop, media: Media) -> None:
    photo_id = shop.send(picture())
    media.delete([incoming(photo_id)])
    make_photos(shop.resources)
    assert shop.own(photo_id).problem == "broken_image"


class Dying:
    """A backend whose process dies at the `nth` call of a method."""

    def __init__(self, media: Media, method: str, nth: int = 1, error: type[BaseException] = Crash) -> None:
        self._media, self._method, self._left, self._error = media, method, nth, error

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            self._left -= 1
            if self._left == 0:
                raise self._error
        return getattr(self._media, name)


@pytest.mark.parametrize(("method", "nth"), [("read", 1), ("put", 1), ("put", 3), ("delete", 1)])
def test_a_crash_anywhere_is_made_good(shop: Shop, media: Media, method: str, nth: int) -> None:
    photo_id = shop.send(picture())
    dying: Any = Dying(media, method, nth)
    with pytest.raises(Crash):
        make_photos(replace(shop.resources, media=dying))
    make_photos(shop.resources)
    if method != "delete":
        assert shop.own(photo_id).status == PhotoStatus.PROCESSING, "until the lease has ended"
    shop.change(photo_id, due_at=func.now())
    make_photos(shop.resources)
    assert [view.id for view in shop.shown()] == [photo_id]
    assert len(files(media) - {incoming(photo_id)}) == 3


@pytest.mark.parametrize("method", ["read", "put"])
def test_a_backend_that_is_away_only_delays(shop: Shop, media: Media, method: str) -> None:
    photo_id = shop.send(picture())
    for _ in range(photos.ATTEMPTS + 1):
        away: Any = Dying(media, method, error=MediaUnavailable)
        with pytest.raises(MediaUnavailable):
            make_photos(replace(shop.resources, media=away))
        shop.change(photo_id, due_at=func.now())
    make_photos(shop.resources)
    assert shop.own(photo_id).status == PhotoStatus.READY


class Discarding:
    """A backend in front of which the seller removes the photo while it is being made."""

    def __init__(self, media: Media, shop: Shop, photo_id: UUID) -> None:
        self._media, self._shop, self._photo_id = media, shop, photo_id

    def read(self, key: str, at_most: int) -> bytes | None:
        self._shop.discard(self._photo_id)
        sweep_photos(self._shop.resources)
        assert files(self._media) == set()
        return picture()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._media, name)


def test_what_is_discarded_while_it_is_made_leaves_no_file(shop: Shop, media: Media) -> None:
    photo_id = shop.send(picture())
    discarding: Any = Discarding(media, shop, photo_id)
    make_photos(replace(shop.resources, media=discarding))
    assert files(media) == set()
    assert not shop.has_row(photo_id)


def test_sweeping_deletes_files_and_rows_of_what_nobody_needs(shop: Shop, media: Media) -> None:
    kept, gone = shop.send(picture()), shop.send(picture())
    make_photos(shop.resources)
    forgotten = shop.send(picture())
    shop.change(forgotten, status=PhotoStatus.PENDING, created_at=func.now() - timedelta(hours=1))
    shop.discard(gone)
    sweep_photos(shop.resources)
    assert [shop.has_row(photo_id) for photo_id in (kept, gone, forgotten)] == [True, False, False]
    assert len(files(media)) == 3
    assert len(shop.shown()) == 1


def test_deleting_an_auction_deletes_its_files(shop: Shop, media: Media) -> None:
    for _ in range(3):
        shop.send(picture())
    make_photos(shop.resources)
    assert len(files(media)) == 9
    with shop.resources.database.transaction() as session:
        photos.discard_of(session, shop.draft)
    sweep_photos(shop.resources)
    assert files(media) == set()


@pytest.mark.parametrize("nth", [1, 2])
def test_a_sweep_that_dies_is_repeated(shop: Shop, media: Media, nth: int) -> None:
    photo_id = shop.send(picture())
    make_photos(shop.resources)
    shop.discard(photo_id)

    class DyingMidway:
        def delete(self, keys: Collection[str]) -> None:
            media.delete(list(keys)[:nth])
            raise Crash

    dying: Any = DyingMidway()
    with pytest.raises(Crash):
        sweep_photos(replace(shop.resources, media=dying))
    assert shop.has_row(photo_id), "it names what is left"
    sweep_photos(shop.resources)
    assert not shop.has_row(photo_id)
    assert files(media) == set()


class Old:
    """A backend whose files were written two days ago."""

    def __init__(self, media: Media) -> None:
        self._media = media

    def keys(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        # All of the public ones at once, whatever the hour.
        whole = prefix.partition("/")[0] + "/"
        return ((key, datetime.now(UTC) - timedelta(days=2)) for key, _ in self._media.keys(whole))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._media, name)


def test_files_without_a_row_are_deleted_when_they_are_old(shop: Shop, media: Media) -> None:
    shop.send(picture())
    make_photos(shop.resources)
    waiting = incoming(shop.send(picture()))
    wanted = files(media)
    for key in (incoming(new_id()), f"photos/{new_id().hex}-card.webp"):
        media.put(key, b"nobody's", "image/webp")
    every = files(media)
    sweep_files(shop.resources)
    assert files(media) == every, "they are young"
    old: Any = Old(media)
    with capture_logs() as logs:
        sweep_files(replace(shop.resources, media=old))
    assert files(media) == wanted
    assert waiting in wanted
    assert [event["count"] for event in logs if event["event"] == "files_deleted"] == [2]


@pytest.mark.parametrize("name", ["incoming/notes.txt", "photos/0-.webp", "incoming/", "photos/0"])
def test_a_foreign_file_stays_and_stops_no_sweep(shop: Shop, media: Media, name: str) -> None:
    media.put(incoming(new_id()), b"nobody's", "image/webp")

    class Shared(Old):
        """A backend in which somebody else has put a file."""

        def keys(self, prefix: str) -> Iterator[tuple[str, datetime]]:
            if name.startswith(prefix.partition("/")[0]):
                yield name, datetime.now(UTC) - timedelta(days=2)
            yield from super().keys(prefix)

    shared: Any = Shared(media)
    with capture_logs() as logs:
        sweep_files(replace(shop.resources, media=shared))
    assert files(media) == set()
    assert [event["key"] for event in logs if event["event"] == "foreign_file"] == [name]


def test_what_an_upload_left_behind_goes_after_a_day(
    resources: Resources, local_media: LocalMedia, tmp_path: Path
) -> None:
    key = f"partial/{new_id().hex}"
    local_media.put(key, b"123", "image/jpeg")
    yesterday = time.time() - 2 * photos.KEPT_S
    os.utime(tmp_path / "media" / key, (yesterday, yesterday))
    sweep_files(replace(resources, media=local_media))
    assert list(local_media.keys("partial/")) == []


def test_a_sweep_of_s3_that_is_away_fails_aloud(resources: Resources, s3_media: S3Media) -> None:
    away = S3Media("bucket", "x-1", "http://127.0.0.1:1", "", path_style=True)
    with pytest.raises(MediaUnavailable):
        sweep_files(replace(resources, media=away))


def test_a_new_avatar_replaces_the_former_and_its_files(shop: Shop, media: Media) -> None:
    first = shop.send(picture(size=(900, 600)), avatar=True)
    make_photos(shop.resources)
    assert shop.avatar() == first
    old = files(media)
    assert {key.partition("-")[2] for key in old} == {"small.webp", "card.webp"}
    second = shop.send(picture(size=(600, 900)), avatar=True)
    make_photos(shop.resources)
    assert shop.avatar() == second
    sweep_photos(shop.resources)
    assert len(files(media)) == 2
    assert not files(media) & old
    assert [shop.has_row(photo_id) for photo_id in (first, second)] == [False, True]


def test_a_file_that_is_no_avatar_keeps_the_former(shop: Shop, media: Media) -> None:
    kept = shop.send(picture(), avatar=True)
    make_photos(shop.resources)
    old = files(media)
    refused = shop.send(picture("JPEG", (900, 900))[:3000], avatar=True)
    make_photos(shop.resources)
    assert shop.own(refused).problem == "broken_image"
    sweep_photos(shop.resources)
    assert shop.avatar() == kept
    assert files(media) == old


@pytest.mark.parametrize(("method", "nth"), [("read", 1), ("put", 1), ("put", 2), ("delete", 1)])
def test_a_crash_leaves_the_former_avatar_or_the_new_one(
    shop: Shop, media: Media, method: str, nth: int
) -> None:
    first = shop.send(picture(), avatar=True)
    make_photos(shop.resources)
    second = shop.send(picture(), avatar=True)
    dying: Any = Dying(media, method, nth)
    with pytest.raises(Crash):
        make_photos(replace(shop.resources, media=dying))
    assert shop.avatar() == (second if method == "delete" else first)
    shop.change(second, due_at=func.now())
    make_photos(shop.resources)
    sweep_photos(shop.resources)
    assert shop.avatar() == second
    assert len(files(media) - {incoming(second)}) == 2


def test_discarding_the_avatar_deletes_its_files(shop: Shop, media: Media) -> None:
    shop.send(picture(), avatar=True)
    make_photos(shop.resources)
    photo = shop.send(picture())
    make_photos(shop.resources)
    with shop.resources.database.transaction() as session:
        photos.discard_avatar(session, shop.seller)
    sweep_photos(shop.resources)
    assert shop.avatar() is None
    assert [view.id for view in shop.shown()] == [photo]
    assert len(files(media)) == 3


def test_the_files_of_an_avatar_are_wanted(shop: Shop, media: Media) -> None:
    shop.send(picture(), avatar=True)
    make_photos(shop.resources)
    old: Any = Old(media)
    sweep_files(replace(shop.resources, media=old))
    assert len(files(media)) == 2
