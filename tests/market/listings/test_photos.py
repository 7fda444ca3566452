"""Photos from their announcement to their end, against PostgreSQL."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, func, select, text, update
from sqlalchemy.orm import Session

from market.errors import Refusal
from market.listings import listings, photos
from market.listings.images import MAX_BYTES, PhotoProblem, Pictures
from market.listings.photos import MAX_PHOTOS, Job, OwnPhoto
from store.database import SyncDatabase
from store.ids import new_id
from store.media.interface import KEY, incoming
from store.models import Auction, AuctionStatus, Photo, PhotoStatus
from tests.support.factories import a_draft, make_user
from tests.support.media import picture
from tests.support.races import at_once

pytestmark = pytest.mark.usefixtures("no_photo_waits")

HEAD = picture()[:16]
MADE = Pictures({"thumbnail": b"1", "card": b"22", "full": b"333"}, 1600, 800)
MADE_AVATAR = Pictures({"small": b"1", "card": b"22"}, 320, 320)
MB = 1024 * 1024


def address(key: str) -> str:
    return f"/media/{key}"


@pytest.fixture
def seller(db_session: Session) -> UUID:
    return make_user(db_session)


@pytest.fixture
def draft(db_session: Session, seller: UUID) -> UUID:
    return listings.create(db_session, seller, a_draft()).id


def announced(session: Session, seller: UUID, draft: UUID, size: int = 1000) -> UUID:
    return photos.announce_upload(session, seller, draft, size, "image/jpeg")


def completed(session: Session, seller: UUID, draft: UUID) -> UUID:
    photo_id = announced(session, seller, draft)
    assert complete(session, seller, photo_id).status == PhotoStatus.PROCESSING
    return photo_id


def complete(
    session: Session, seller: UUID, photo_id: UUID, size: int | None = 1000, head: bytes | None = HEAD
) -> OwnPhoto:
    return photos.complete(session, seller, photo_id, size, head, address)


def ready(session: Session, seller: UUID, draft: UUID) -> UUID:
    photo_id = completed(session, seller, draft)
    assert photos.finish(session, job_of(session, photo_id), MADE)
    return photo_id


def job_of(session: Session, photo_id: UUID) -> Job:
    """The photo, claimed before all others."""
    change(session, photo_id, due_at=func.now() - timedelta(days=1))
    job = photos.claim(session)
    assert job is not None
    assert job.id == photo_id
    return job


def new_avatar(session: Session, user: UUID, size: int = 1000) -> UUID:
    return photos.announce_avatar(session, user, size, "image/jpeg")


def ready_avatar(session: Session, user: UUID) -> UUID:
    photo_id = new_avatar(session, user)
    assert complete(session, user, photo_id).status == PhotoStatus.PROCESSING
    assert photos.finish(session, job_of(session, photo_id), MADE_AVATAR)
    return photo_id


def avatar(session: Session, user: UUID) -> UUID | None:
    """What everybody sees."""
    session.flush()
    session.expire_all()
    view = photos.avatars_of(session, [user], address).get(user)
    return None if view is None else view.id


def change(session: Session, photo_id: UUID, **values: Any) -> None:
    session.execute(update(Photo).where(Photo.id == photo_id).values(**values))
    session.expire_all()


def publish(session: Session, auction_id: UUID) -> None:
    session.execute(update(Auction).where(Auction.id == auction_id).values(status=AuctionStatus.PUBLISHED))
    session.expire_all()


def code(call: Any, *args: Any) -> str:
    with pytest.raises(Refusal) as refused:
        call(*args)
    return refused.value.code


def test_a_photo_is_announced_completed_made_and_shown(
    db_session: Session, seller: UUID, draft: UUID
) -> None:
    photo_id = announced(db_session, seller, draft)
    assert photos.get(db_session, seller, photo_id, address).status == PhotoStatus.PENDING
    assert complete(db_session, seller, photo_id).photo is None
    job = job_of(db_session, photo_id)
    assert job.original == incoming(photo_id)
    assert all(KEY.fullmatch(key) for key in [job.original, *job.targets.values()])
    assert photos.of_auctions(db_session, [draft], address) == {draft: []}
    assert photos.finish(db_session, job, MADE)
    [view] = photos.of_auctions(db_session, [draft], address)[draft]
    assert (view.id, view.width, view.height) == (photo_id, 1600, 800)
    assert {size: getattr(view, size) for size in MADE.files} == {
        size: f"/media/{key}" for size, key in job.targets.items()
    }
    assert photos.get(db_session, seller, photo_id, address).photo == view
    assert str(photo_id) not in view.full, "its address cannot be guessed from its id"


@pytest.mark.parametrize(
    "content_type", ["image/svg+xml", "image/gif", "text/html", "", "image/jpeg; x", "IMAGE/JPEG"]
)
def test_other_types_are_refused_at_once(
    db_session: Session, seller: UUID, draft: UUID, content_type: str
) -> None:
    assert code(photos.announce_upload, db_session, seller, draft, 1, content_type) == "unsupported_image"


def test_too_large_a_file_is_refused_at_once(db_session: Session, seller: UUID, draft: UUID) -> None:
    assert code(announced, db_session, seller, draft, MAX_BYTES + 1) == "image_too_large"
    announced(db_session, seller, draft, MAX_BYTES)


def test_only_the_seller_of_a_draft_adds_photos(db_session: Session, seller: UUID, draft: UUID) -> None:
    other = make_user(db_session)
    assert code(announced, db_session, other, draft) == "forbidden"
    assert code(announced, db_session, seller, new_id()) == "not_found"
    publish(db_session, draft)
    assert code(announced, db_session, seller, draft) == "wrong_state"


def test_an_auction_has_at_most_twelve_photos(db_session: Session, seller: UUID, draft: UUID) -> None:
    ids = [announced(db_session, seller, draft) for _ in range(MAX_PHOTOS)]
    assert code(announced, db_session, seller, draft) == "too_many_photos"
    assert complete(db_session, seller, ids[0], head=b"<svg").status == PhotoStatus.REFUSED
    announced(db_session, seller, draft)
    photos.discard(db_session, seller, ids[1])
    announced(db_session, seller, draft)
    assert code(announced, db_session, seller, draft) == "too_many_photos"


def test_all_photos_of_a_user_share_a_quota(db_session: Session, seller: UUID, draft: UUID) -> None:
    for _ in range(MAX_PHOTOS):
        announced(db_session, seller, draft, 15 * MB)
    another = listings.create(db_session, seller, a_draft()).id
    announced(db_session, seller, another, 15 * MB)
    assert code(announced, db_session, seller, another, 5 * MB + 1) == "photo_quota"
    [first, *_] = photos.own_of(db_session, seller, draft, address)
    complete(db_session, seller, first.id, 15 * MB)
    photos.finish(db_session, job_of(db_session, first.id), MADE)
    # Now only what is stored of it counts.
    announced(db_session, seller, another, 15 * MB)


def test_announcements_at_once_do_not_exceed_a_quota(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        seller = make_user(session)
        drafts = [listings.create(session, seller, a_draft()).id for _ in range(2)]
        for draft in drafts:
            for _ in range(6):
                announced(session, seller, draft, 15 * MB)

    def announce(draft: UUID) -> str:
        with sync_database.transaction() as session:
            announced(session, seller, draft, 15 * MB)
        return "announced"

    outcomes = at_once([lambda draft=draft: announce(draft) for draft in drafts * 3])  # type: ignore[misc]
    assert sorted(outcomes) == ["announced"] + ["photo_quota"] * 5


@pytest.mark.parametrize(
    ("size", "head", "problem"),
    [
        (1000, b"<svg xmlns=", PhotoProblem.UNSUPPORTED_IMAGE),
        (1000, b"<!doctype html>", PhotoProblem.UNSUPPORTED_IMAGE),
        (1000, b"GIF89a", PhotoProblem.UNSUPPORTED_IMAGE),
        (999, HEAD, PhotoProblem.WRONG_SIZE),
        (1001, HEAD, PhotoProblem.WRONG_SIZE),
        (0, b"", PhotoProblem.WRONG_SIZE),
        (MAX_BYTES + 1, HEAD, PhotoProblem.IMAGE_TOO_LARGE),
    ],
)
def test_what_is_really_there_decides(
    db_session: Session, seller: UUID, draft: UUID, size: int, head: bytes, problem: PhotoProblem
) -> None:
    photo_id = announced(db_session, seller, draft)
    view = complete(db_session, seller, photo_id, size, head)
    assert (view.status, view.problem, view.photo) == (PhotoStatus.REFUSED, problem, None)
    assert photos.claim(db_session) is None


def test_completing_needs_a_file(db_session: Session, seller: UUID, draft: UUID) -> None:
    photo_id = announced(db_session, seller, draft)
    assert code(complete, db_session, seller, photo_id, None, None) == "not_uploaded"
    assert photos.expected(db_session, photo_id) == 1000


def test_completing_twice_changes_nothing(db_session: Session, seller: UUID, draft: UUID) -> None:
    photo_id = completed(db_session, seller, draft)
    assert complete(db_session, seller, photo_id, 1, b"").status == PhotoStatus.PROCESSING
    assert code(photos.expected, db_session, photo_id) == "upload_closed"
    photos.finish(db_session, job_of(db_session, photo_id), MADE)
    assert complete(db_session, seller, photo_id, None, None).status == PhotoStatus.READY


def test_a_photo_is_its_owners(db_session: Session, seller: UUID, draft: UUID) -> None:
    photo_id, other = announced(db_session, seller, draft), make_user(db_session)
    assert code(photos.get, db_session, other, photo_id, address) == "not_found"
    assert code(complete, db_session, other, photo_id) == "not_found"
    assert code(photos.discard, db_session, other, photo_id) == "not_found"
    assert code(photos.own_of, db_session, other, draft, address) == "forbidden"
    assert code(photos.reorder, db_session, other, draft, [photo_id]) == "forbidden"


def test_a_published_auction_keeps_its_photos(db_session: Session, seller: UUID, draft: UUID) -> None:
    first, pending = ready(db_session, seller, draft), announced(db_session, seller, draft)
    publish(db_session, draft)
    assert code(complete, db_session, seller, pending) == "wrong_state"
    assert code(photos.discard, db_session, seller, first) == "wrong_state"
    assert code(photos.reorder, db_session, seller, draft, [first, pending]) == "wrong_state"
    assert [view.id for view in photos.of_auctions(db_session, [draft], address)[draft]] == [first]


def test_the_order_is_the_sellers(db_session: Session, seller: UUID, draft: UUID) -> None:
    ids = [ready(db_session, seller, draft) for _ in range(3)]
    new = [ids[2], ids[0], ids[1]]
    photos.reorder(db_session, seller, draft, new)
    last = ready(db_session, seller, draft)
    assert [view.id for view in photos.of_auctions(db_session, [draft], address)[draft]] == [*new, last]


def test_an_order_is_all_or_nothing(db_session: Session, seller: UUID, draft: UUID) -> None:
    ids = [ready(db_session, seller, draft), announced(db_session, seller, draft)]
    refused = announced(db_session, seller, draft)
    complete(db_session, seller, refused, head=b"GIF89a")
    foreign = ready(db_session, seller, listings.create(db_session, seller, a_draft()).id)
    for wrong in ([], ids[:1], [ids[0], ids[0]], [*ids, refused], [*ids, foreign], [ids[0], foreign]):
        assert code(photos.reorder, db_session, seller, draft, wrong) == "wrong_photos"
    photos.reorder(db_session, seller, draft, ids[::-1])
    order = [photo.id for photo in photos.own_of(db_session, seller, draft, address)]
    assert [photo_id for photo_id in order if photo_id != refused] == ids[::-1]


def test_the_photos_of_many_auctions_come_in_one_query(
    db_session: Session, seller: UUID, draft: UUID
) -> None:
    drafts = [draft, *(listings.create(db_session, seller, a_draft()).id for _ in range(2))]
    ids = {draft: [ready(db_session, seller, draft) for _ in range(2)] for draft in drafts[:2]}
    db_session.flush()
    statements: list[str] = []
    connection = db_session.connection()
    event.listen(connection, "before_cursor_execute", lambda *args: statements.append(args[2]))
    found = photos.of_auctions(db_session, drafts, address)
    assert len(statements) == 1
    assert {draft: [view.id for view in views] for draft, views in found.items()} == {**ids, drafts[2]: []}


def test_a_photo_is_claimed_by_one_at_a_time(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        seller = make_user(session)
        draft = listings.create(session, seller, a_draft()).id
        ids = {completed(session, seller, draft) for _ in range(3)}

    def claim() -> UUID | None:
        with sync_database.transaction() as session:
            job = photos.claim(session)
        return None if job is None else job.id

    claimed = at_once([claim] * 6)
    assert sorted(map(str, (one for one in claimed if one is not None))) == sorted(map(str, ids))
    with sync_database.transaction() as session:
        photos.discard_of(session, draft)


def test_a_file_that_kills_its_workers_is_refused(db_session: Session, seller: UUID, draft: UUID) -> None:
    photo_id = completed(db_session, seller, draft)
    for _ in range(photos.ATTEMPTS):
        assert photos.claim(db_session) is not None
        assert photos.claim(db_session) is None, "it is somebody's until the lease ends"
        change(db_session, photo_id, due_at=func.now())
    assert photos.claim(db_session) is None
    view = photos.get(db_session, seller, photo_id, address)
    assert (view.status, view.problem) == (PhotoStatus.REFUSED, PhotoProblem.BROKEN_IMAGE)


def test_a_backend_that_is_away_is_not_the_photos_fault(
    db_session: Session, seller: UUID, draft: UUID
) -> None:
    photo_id = completed(db_session, seller, draft)
    for _ in range(2 * photos.ATTEMPTS):
        photos.postpone(db_session, job_of(db_session, photo_id))
        assert photos.claim(db_session) is None, "not at once"
    assert photos.get(db_session, seller, photo_id, address).status == PhotoStatus.PROCESSING


@pytest.mark.parametrize("result", [MADE, PhotoProblem.BROKEN_IMAGE])
def test_what_was_discarded_meanwhile_stays_so(
    db_session: Session, seller: UUID, draft: UUID, result: Pictures | PhotoProblem
) -> None:
    photo_id = completed(db_session, seller, draft)
    job = job_of(db_session, photo_id)
    photos.discard(db_session, seller, photo_id)
    assert not photos.finish(db_session, job, result)
    assert code(photos.get, db_session, seller, photo_id, address) == "not_found"


def test_finishing_twice_keeps_the_files(db_session: Session, seller: UUID, draft: UUID) -> None:
    photo_id = completed(db_session, seller, draft)
    job = job_of(db_session, photo_id)
    assert photos.finish(db_session, job, MADE)
    assert photos.finish(db_session, job, MADE)
    assert photos.get(db_session, seller, photo_id, address).status == PhotoStatus.READY


def test_doomed_is_what_nobody_needs(db_session: Session, seller: UUID, draft: UUID) -> None:
    kept = [ready(db_session, seller, draft), completed(db_session, seller, draft)]
    young = announced(db_session, seller, draft)
    refused_today = announced(db_session, seller, draft)
    complete(db_session, seller, refused_today, head=b"GIF89a")
    discarded, given_up, refused, orphan = (announced(db_session, seller, draft) for _ in range(4))
    photos.discard(db_session, seller, discarded)
    change(db_session, given_up, created_at=func.now() - timedelta(hours=1))
    complete(db_session, seller, refused, head=b"GIF89a")
    change(db_session, refused, created_at=func.now() - timedelta(days=2))
    change(db_session, orphan, auction_id=None)
    for photo_id in kept:
        change(db_session, photo_id, created_at=func.now() - timedelta(days=900))

    doomed = photos.doomed(db_session)

    mine = {discarded, given_up, refused, orphan}
    assert doomed.keys() & {*mine, *kept, young, refused_today} == mine
    assert len(doomed[discarded]) == 4
    assert code(complete, db_session, seller, given_up) == "not_found"
    photos.forget(db_session, [*doomed, *kept, young])
    left = {photo.id for photo in photos.own_of(db_session, seller, draft, address)}
    assert left == {*kept, young, refused_today}


def test_deleting_an_auction_dooms_its_photos(db_session: Session, seller: UUID, draft: UUID) -> None:
    ids = {ready(db_session, seller, draft), announced(db_session, seller, draft)}
    photos.discard_of(db_session, draft)
    db_session.expire_all()
    assert photos.of_auctions(db_session, [draft], address) == {draft: []}
    assert photos.doomed(db_session).keys() >= ids


def test_the_row_of_a_deleted_auctions_photo_stays_until_its_files_are_gone(
    db_session: Session, seller: UUID, draft: UUID
) -> None:
    photo_id = ready(db_session, seller, draft)
    db_session.execute(text("SET LOCAL ROLE NONE"))
    db_session.execute(text("DELETE FROM auctions WHERE id = :id"), {"id": draft})
    db_session.expire_all()
    assert photo_id in photos.doomed(db_session)


def test_files_without_a_row_that_needs_them_are_unwanted(
    db_session: Session, seller: UUID, draft: UUID
) -> None:
    awaited = announced(db_session, seller, draft)
    done = completed(db_session, seller, draft)
    job = job_of(db_session, done)
    assert photos.unwanted(db_session, [job.original, *job.targets.values()]) == set()
    photos.finish(db_session, job, MADE)
    nobodys = [incoming(new_id()), f"photos/{'0' * 32}-card.webp", f"partial/{'0' * 32}"]
    needed = [incoming(awaited), *job.targets.values()]
    assert photos.unwanted(db_session, [*nobodys, *needed, job.original]) == {*nobodys, job.original}


def test_an_avatar_is_announced_completed_made_and_shown(db_session: Session, seller: UUID) -> None:
    photo_id = new_avatar(db_session, seller)
    assert complete(db_session, seller, photo_id).status == PhotoStatus.PROCESSING
    job = job_of(db_session, photo_id)
    assert job.targets.keys() == MADE_AVATAR.files.keys()
    assert all(KEY.fullmatch(key) for key in job.targets.values())
    assert avatar(db_session, seller) is None
    assert photos.finish(db_session, job, MADE_AVATAR)
    view = photos.avatars_of(db_session, [seller], address)[seller]
    assert (view.small, view.card) == tuple(f"/media/{job.targets[size]}" for size in ("small", "card"))
    own = photos.get(db_session, seller, photo_id, address)
    assert (own.auction_id, own.photo, own.avatar) == (None, None, view)
    assert photo_id not in photos.doomed(db_session)


def test_bad_announcements_of_avatars_are_refused_and_change_nothing(
    db_session: Session, seller: UUID
) -> None:
    waiting = new_avatar(db_session, seller)
    assert code(new_avatar, db_session, seller, MAX_BYTES + 1) == "image_too_large"
    assert code(photos.announce_avatar, db_session, seller, 1, "image/svg+xml") == "unsupported_image"
    assert complete(db_session, seller, waiting).status == PhotoStatus.PROCESSING


def test_a_new_avatar_replaces_the_former_once_it_is_made(db_session: Session, seller: UUID) -> None:
    first = ready_avatar(db_session, seller)
    second = new_avatar(db_session, seller)
    complete(db_session, seller, second)
    job = job_of(db_session, second)
    assert avatar(db_session, seller) == first
    assert photos.finish(db_session, job, MADE_AVATAR)
    assert avatar(db_session, seller) == second
    assert photos.finish(db_session, job, MADE_AVATAR), "again, after a crash"
    assert avatar(db_session, seller) == second
    assert code(photos.get, db_session, seller, first, address) == "not_found"
    doomed = photos.doomed(db_session)
    assert first in doomed
    assert second not in doomed
    assert len(doomed[first]) == 3


def test_a_refused_image_keeps_the_avatar(db_session: Session, seller: UUID) -> None:
    kept = ready_avatar(db_session, seller)
    at_once = new_avatar(db_session, seller)
    assert complete(db_session, seller, at_once, head=b"GIF89a").status == PhotoStatus.REFUSED
    later = new_avatar(db_session, seller)
    complete(db_session, seller, later)
    assert photos.finish(db_session, job_of(db_session, later), PhotoProblem.BROKEN_IMAGE)
    assert avatar(db_session, seller) == kept
    assert photos.get(db_session, seller, at_once, address).problem == PhotoProblem.UNSUPPORTED_IMAGE
    assert photos.get(db_session, seller, later, address).problem == PhotoProblem.BROKEN_IMAGE


def test_of_two_avatars_on_their_way_the_last_announced_counts(db_session: Session, seller: UUID) -> None:
    first = new_avatar(db_session, seller)
    complete(db_session, seller, first)
    job = job_of(db_session, first)
    second = new_avatar(db_session, seller)
    db_session.expire_all()
    assert not photos.finish(db_session, job, MADE_AVATAR)
    assert code(complete, db_session, seller, first) == "not_found"
    assert code(photos.expected, db_session, first) == "upload_closed"
    assert photos.expected(db_session, second) == 1000
    assert avatar(db_session, seller) is None


def test_discarding_an_avatar_discards_what_is_on_its_way(db_session: Session, seller: UUID) -> None:
    shown = ready_avatar(db_session, seller)
    waiting = new_avatar(db_session, seller)
    complete(db_session, seller, waiting)
    job = job_of(db_session, waiting)
    photos.discard_avatar(db_session, seller)
    db_session.expire_all()
    assert not photos.finish(db_session, job, MADE_AVATAR)
    assert avatar(db_session, seller) is None
    assert photos.doomed(db_session).keys() >= {shown, waiting}
    photos.discard_avatar(db_session, seller)


def test_discarding_an_avatar_keeps_photos_and_others(db_session: Session, seller: UUID, draft: UUID) -> None:
    other = make_user(db_session)
    photo, others = ready(db_session, seller, draft), ready_avatar(db_session, other)
    mine = ready_avatar(db_session, seller)
    assert photos.avatars_of(db_session, [seller, other], address).keys() == {seller, other}
    photos.discard(db_session, seller, mine)
    photos.discard_avatar(db_session, seller)
    assert avatar(db_session, other) == others
    assert [view.id for view in photos.of_auctions(db_session, [draft], address)[draft]] == [photo]


@pytest.mark.parametrize("swept", [False, True])
@pytest.mark.parametrize("change", [complete, photos.discard])
def test_what_is_discarded_in_the_midst_is_not_found(
    sync_database: SyncDatabase, change: Any, swept: bool
) -> None:
    with sync_database.transaction() as session:
        user = make_user(session)
        photo_id = new_avatar(session, user)
    with sync_database.transaction() as session:
        seen = session.get_one(Photo, photo_id)
        with sync_database.transaction() as other:
            photos.discard_avatar(other, user)
            if swept:
                photos.forget(other, [photo_id])
        assert seen.status == PhotoStatus.PENDING, "so it was before"
        assert code(change, session, user, photo_id) == "not_found"


def test_an_avatar_is_its_owners(db_session: Session, seller: UUID) -> None:
    photo_id, other = new_avatar(db_session, seller), make_user(db_session)
    assert code(photos.get, db_session, other, photo_id, address) == "not_found"
    assert code(complete, db_session, other, photo_id) == "not_found"
    assert code(photos.discard, db_session, other, photo_id) == "not_found"
    photos.discard_avatar(db_session, other)
    new_avatar(db_session, other)
    db_session.expire_all()
    assert photos.expected(db_session, photo_id) == 1000


def test_the_avatars_of_many_come_in_one_query(db_session: Session) -> None:
    users = [make_user(db_session) for _ in range(3)]
    shown = {user: ready_avatar(db_session, user) for user in users[:2]}
    new_avatar(db_session, users[2])
    db_session.flush()
    statements: list[str] = []
    connection = db_session.connection()
    event.listen(connection, "before_cursor_execute", lambda *args: statements.append(args[2]))
    found = photos.avatars_of(db_session, users, address)
    assert len(statements) == 1
    assert {user: view.id for user, view in found.items()} == shown


def test_avatars_announced_made_and_discarded_at_once_leave_at_most_one(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        user = make_user(session)
        ready_avatar(session, user)

    def renew() -> str:
        with sync_database.transaction() as session:
            photo_id = new_avatar(session, user)
        try:
            with sync_database.transaction() as session:
                complete(session, user, photo_id)
        except Refusal as refusal:
            return refusal.code
        keys = {size: f"photos/{photo_id.hex}-{size}.webp" for size in MADE_AVATAR.files}
        job = Job(photo_id, user, True, incoming(photo_id), keys)
        with sync_database.transaction() as session:
            return "made" if photos.finish(session, job, MADE_AVATAR) else "discarded"

    def discard() -> str:
        with sync_database.transaction() as session:
            photos.discard_avatar(session, user)
        return "none"

    outcomes = at_once([renew, renew, discard] * 4)
    assert set(outcomes) <= {"made", "discarded", "not_found", "none"}, outcomes
    with sync_database.transaction() as session:
        statuses = session.scalars(
            select(Photo.status).where(Photo.owner_id == user, Photo.status != PhotoStatus.DELETED)
        ).all()
        assert len(statuses) <= 1
        photos.discard_avatar(session, user)
