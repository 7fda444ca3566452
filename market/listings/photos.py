"""Photos of auctions: announced by the seller, uploaded past us or through us, made anew by a task, shown.

An avatar is a photo that belongs to its owner alone. It goes the same way, and replaces the former one once it is made.
A row outlives its files: it is deleted after they are. Files are only touched between transactions, and what a crash
leaves between two of them is found by `doomed` (rows) and `unwanted` (files).
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, ScalarSelect, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from market.errors import GeneralRefusal, Refusal
from market.listings import auction_views, editing, watches
from market.listings.auction_views import AuctionView
from market.listings.images import (
    AVATAR_SIZES,
    HEAD_BYTES,
    MAX_BYTES,
    SIZES,
    PhotoProblem,
    Pictures,
    looks_like_an_image,
)
from market.listings.refusals import ListingRefusal
from market.pages import MAX_LIMIT
from market.places import neighbourhoods
from market.places.neighbourhoods import Distance
from market.times import clock
from store.database import any_id
from store.ids import new_id
from store.media.interface import incoming
from store.models import Auction, AuctionStatus, Photo, PhotoStatus, User

CONTENT_TYPES = ("image/jpeg", "image/png", "image/webp")
MAX_PHOTOS = 12
"""Of one auction."""
QUOTA_BYTES = 200 * 1024 * 1024
"""Of one user's photos together. Until a photo is made, its announced size counts."""
UPLOAD_TTL_S = 15 * 60
KEPT_S = 24 * 3600
"""How long a seller can look up why a photo was refused, and how old a file without a row must be to be deleted."""
ATTEMPTS = 3
"""A file that made so many workers die is broken."""
LEASE_S = 300
"""More than a task may run: who has claimed a photo and not finished it by then is dead."""
POSTPONED_S = 10
BATCH = 100
"""Photos swept in one transaction: their files must be gone within seconds, also on a slow S3."""

_COUNTED = (PhotoStatus.PENDING, PhotoStatus.PROCESSING, PhotoStatus.READY)

Address = Callable[[str], str]
"""Where the public finds the file of a key."""


class PhotoView(msgspec.Struct, frozen=True):
    """A photo as everybody sees it: the addresses of its sizes, and the pixels of `full`."""

    id: UUID
    thumbnail: str
    card: str
    full: str
    width: int
    height: int


class AvatarView(msgspec.Struct, frozen=True):
    """An avatar as everybody sees it: the addresses of its sizes."""

    id: UUID
    small: str
    card: str


class OwnPhoto(msgspec.Struct, frozen=True):
    """A photo as its owner sees it. `problem` says why it was refused; when it is ready, `photo` is there, or `avatar`
    if it is one.
    """

    id: UUID
    auction_id: UUID | None
    status: PhotoStatus
    problem: PhotoProblem | None
    photo: PhotoView | None
    avatar: AvatarView | None


class AuctionDetail(AuctionView, frozen=True, kw_only=True):
    """An auction with its photos in their order, how far it is from the viewer (None without neighbourhoods), how many
    watch it (at most `watches.MAX_COUNTED`), and whether the viewer does."""

    distance: Distance | None
    photos: list[PhotoView]
    watchers: int
    watched: bool


class Job(msgspec.Struct, frozen=True):
    """A photo to be made from `original`, and where its sizes go."""

    id: UUID
    owner_id: UUID
    is_avatar: bool
    original: str
    targets: dict[str, str]


def announce_upload(session: Session, owner_id: UUID, auction_id: UUID, size: int, content_type: str) -> UUID:
    """Make room for a photo of `size` bytes, behind the others of the auction. Returns its id.

    Refuses with `not_found`, `forbidden`, `wrong_state` (photos do not change now), `unsupported_image`,
    `image_too_large`, `too_many_photos` or `photo_quota`.
    """
    _check_announced(size, content_type)
    _lock_listing(session, owner_id, auction_id)
    counted = _of(session, auction_id)
    if len(counted) >= MAX_PHOTOS:
        raise Refusal(ListingRefusal.TOO_MANY_PHOTOS)
    # Two announcements of one user, for two auctions, must not both find the last room.
    _lock_owner(session, owner_id)
    used = session.scalar(
        select(func.coalesce(func.sum(Photo.size), 0)).where(
            Photo.owner_id == owner_id, Photo.status.in_(_COUNTED)
        )
    )
    if (used or 0) + size > QUOTA_BYTES:
        raise Refusal(ListingRefusal.PHOTO_QUOTA)
    return _add(
        session,
        owner_id=owner_id,
        auction_id=auction_id,
        size=size,
        position=counted[-1].position + 1 if counted else 0,
    )


def announce_avatar(session: Session, owner_id: UUID, size: int, content_type: str) -> UUID:
    """Await a file of `size` bytes that shall become the avatar, instead of any other that is not made yet.

    The avatar stays until this one is ready. There is always room for it. Returns its id. Refuses with
    `unsupported_image` or `image_too_large`.
    """
    _check_announced(size, content_type)
    _lock_owner(session, owner_id)
    _discard_avatars(session, owner_id, PhotoStatus.PENDING, PhotoStatus.PROCESSING)
    return _add(session, owner_id=owner_id, is_avatar=True, size=size, position=0)


def _check_announced(size: int, content_type: str) -> None:
    if content_type not in CONTENT_TYPES:
        raise Refusal(ListingRefusal.UNSUPPORTED_IMAGE)
    if size > MAX_BYTES:
        raise Refusal(ListingRefusal.IMAGE_TOO_LARGE, most=MAX_BYTES)


def _add(session: Session, **columns: Any) -> UUID:
    photo = Photo(id=new_id(), token=secrets.token_hex(16), **columns)
    session.add(photo)
    session.flush()
    return photo.id


def expected(session: Session, photo_id: UUID) -> int:
    """The size that was announced. Refuses with `not_found`, or `upload_closed` if no upload is awaited any more."""
    photo = session.get(Photo, photo_id)
    if photo is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    if photo.status != PhotoStatus.PENDING:
        raise Refusal(ListingRefusal.UPLOAD_CLOSED)
    return photo.size


def get(session: Session, owner_id: UUID, photo_id: UUID, address: Address) -> OwnPhoto:
    """A photo of the user. Refuses with `not_found`, also when it is somebody else's."""
    return _own_view(_own(session, owner_id, photo_id), address)


def complete(
    session: Session, owner_id: UUID, photo_id: UUID, size: int | None, head: bytes | None, address: Address
) -> OwnPhoto:
    """The client says that it has sent everything; `size` and `head` are what is really there.

    What cannot become a photo is refused at once, everything else awaits `claim`. Said again, it changes nothing.
    Refuses with `not_found`, `wrong_state` (photos do not change now) or `not_uploaded` (nothing is there).
    """
    photo = _own(session, owner_id, photo_id)
    if photo.status == PhotoStatus.PENDING:
        _lock(session, photo)
    if photo.status == PhotoStatus.PENDING:
        if size is None or head is None:
            raise Refusal(ListingRefusal.NOT_UPLOADED)
        problem = _first_look(photo, size, head)
        photo.status = PhotoStatus.PROCESSING if problem is None else PhotoStatus.REFUSED
        photo.problem = problem
        session.flush()
    return _own_view(photo, address)


def _first_look(photo: Photo, size: int, head: bytes) -> PhotoProblem | None:
    if size > MAX_BYTES:
        return PhotoProblem.IMAGE_TOO_LARGE
    if size != photo.size:
        return PhotoProblem.WRONG_SIZE
    return None if looks_like_an_image(head[:HEAD_BYTES]) else PhotoProblem.UNSUPPORTED_IMAGE


def own_of(session: Session, owner_id: UUID, auction_id: UUID, address: Address) -> list[OwnPhoto]:
    """The photos of the owner's auction in their order, also those that are not ready, and then those that were
    refused.

    Refuses with `not_found` or `forbidden`.
    """
    auction = session.get(Auction, auction_id)
    _check_seller(auction, owner_id)
    rows = session.scalars(
        select(Photo)
        .where(Photo.auction_id == auction_id, Photo.status != PhotoStatus.DELETED)
        .order_by(Photo.status == PhotoStatus.REFUSED, Photo.position, Photo.id)
        .limit(MAX_LIMIT)
    )
    return [_own_view(photo, address) for photo in rows]


def reorder(session: Session, owner_id: UUID, auction_id: UUID, photo_ids: Sequence[UUID]) -> None:
    """Give the photos of an auction this order: all of them, those being uploaded or made too, but no refused ones.

    Refuses with `not_found`, `forbidden`, `wrong_state` or `wrong_photos`, and nothing has changed then.
    """
    _lock_listing(session, owner_id, auction_id)
    photos = {photo.id: photo for photo in _of(session, auction_id)}
    if len(photo_ids) != len(photos) or set(photo_ids) != set(photos):
        raise Refusal(ListingRefusal.WRONG_PHOTOS)
    for position, photo_id in enumerate(photo_ids):
        photos[photo_id].position = position


def discard(session: Session, owner_id: UUID, photo_id: UUID) -> None:
    """Take a photo out of an auction, or an avatar away, for good. Refuses with `not_found` or `wrong_state`."""
    photo = _own(session, owner_id, photo_id)
    _lock(session, photo)
    photo.status = PhotoStatus.DELETED


def discard_avatar(session: Session, owner_id: UUID) -> None:
    """The user has no avatar any more, and none that is on its way."""
    _lock_owner(session, owner_id)
    _discard_avatars(session, owner_id, *_COUNTED, PhotoStatus.REFUSED)


def discard_of(session: Session, auction_id: UUID) -> None:
    """Take all photos out of an auction, for good: to be called in the transaction that deletes it."""
    session.execute(
        update(Photo)
        .where(Photo.auction_id == auction_id, Photo.status != PhotoStatus.DELETED)
        .values(status=PhotoStatus.DELETED),
        execution_options={"synchronize_session": False},
    )


def forget_user(session: Session, user_id: UUID) -> None:
    """Take the avatar of a user, whose account is deleted, and all photos of drafts away, for good."""
    discard_avatar(session, user_id)
    drafts = select(Auction.id).where(Auction.seller_id == user_id, Auction.status == AuctionStatus.DRAFT)
    session.execute(
        update(Photo)
        .where(Photo.auction_id.in_(drafts), Photo.status != PhotoStatus.DELETED)
        .values(status=PhotoStatus.DELETED),
        execution_options={"synchronize_session": False},
    )


def of_auctions(
    session: Session, auction_ids: Collection[UUID], address: Address
) -> dict[UUID, list[PhotoView]]:
    """What everybody sees of the photos of these auctions, in one query. Every auction is in the answer."""
    found: dict[UUID, list[PhotoView]] = {auction_id: [] for auction_id in auction_ids}
    rows = session.scalars(
        select(Photo)
        .where(any_id(auction_ids) == Photo.auction_id, Photo.status == PhotoStatus.READY)
        .order_by(Photo.position, Photo.id)
    )
    for photo in rows:
        if photo.auction_id is not None:
            found[photo.auction_id].append(_view(photo, address))
    return found


def avatars_of(session: Session, user_ids: Collection[UUID], address: Address) -> dict[UUID, AvatarView]:
    """The avatars of these users by user, in one query. Who has none is not in the answer."""
    rows = session.scalars(
        select(Photo).where(
            any_id(user_ids) == Photo.owner_id, Photo.is_avatar, Photo.status == PhotoStatus.READY
        )
    )
    return {photo.owner_id: _avatar_view(photo, address) for photo in rows}


def cover() -> ScalarSelect[str]:
    """For a query of auctions: the token of the first photo of each, which `cover_address` takes."""
    return (
        select(Photo.token)
        .where(Photo.auction_id == Auction.id, Photo.status == PhotoStatus.READY)
        .order_by(Photo.position, Photo.id)
        .limit(1)
        .correlate(Auction)
        .scalar_subquery()
    )


def cover_address(token: str, address: Address) -> str:
    """Where everybody finds the picture of a photo that a card shows."""
    return address(_key(token, "card"))


def detail(session: Session, auction_id: UUID, viewer_id: UUID | None, address: Address) -> AuctionDetail:
    """An auction with what belongs to it. Refuses as `auctions.get` does."""
    view = auction_views.get(session, auction_id, viewer_id)
    cell = select(Auction.cell).where(Auction.id == auction_id).scalar_subquery()
    row = session.execute(
        watches.interest(auction_id, viewer_id).add_columns(
            cell.label("cell"), neighbourhoods.cells(viewer_id).label("cells")
        )
    ).one()
    return AuctionDetail(
        **msgspec.structs.asdict(view),
        distance=neighbourhoods.distance(row.cells or [], row.cell),
        photos=of_auctions(session, [auction_id], address)[auction_id],
        watchers=row.watchers,
        watched=row.watched,
    )


def claim(session: Session) -> Job | None:
    """The photo that waits longest, for the caller alone; None when none waits.

    One that was claimed often and never finished is refused: its file kills the process that opens it.
    """
    session.execute(
        update(Photo)
        .where(_due(), Photo.attempts >= ATTEMPTS)
        .values(status=PhotoStatus.REFUSED, problem=PhotoProblem.BROKEN_IMAGE),
        execution_options={"synchronize_session": False},
    )
    photo = session.scalars(
        select(Photo)
        .where(_due())
        .order_by(Photo.due_at)
        .limit(1)
        .with_for_update(skip_locked=True, key_share=True)
    ).one_or_none()
    if photo is None:
        return None
    photo.attempts += 1
    photo.due_at = func.now() + timedelta(seconds=LEASE_S)
    return Job(photo.id, photo.owner_id, photo.is_avatar, incoming(photo.id), _keys(photo))


def finish(session: Session, job: Job, result: Pictures | PhotoProblem) -> bool:
    """What has become of a claimed photo, whose files are written. False if nobody wants it any more.

    A new avatar takes the place of the former one, which is discarded.
    """
    if job.is_avatar:
        _lock_owner(session, job.owner_id)
    photo = session.get(Photo, job.id, with_for_update={"key_share": True})
    if photo is None or photo.status != PhotoStatus.PROCESSING:
        return photo is not None and photo.status == PhotoStatus.READY
    if isinstance(result, Pictures):
        if job.is_avatar:
            _discard_avatars(session, job.owner_id, PhotoStatus.READY)
        photo.status = PhotoStatus.READY
        photo.width, photo.height = result.width, result.height
        photo.size = sum(len(content) for content in result.files.values())
    else:
        photo.status, photo.problem = PhotoStatus.REFUSED, result
    return True


def postpone(session: Session, job: Job) -> None:
    """Give a claimed photo back because the backend was away, for which the photo cannot be blamed."""
    session.execute(
        update(Photo)
        .where(Photo.id == job.id, Photo.status == PhotoStatus.PROCESSING)
        .values(attempts=Photo.attempts - 1, due_at=func.now() + timedelta(seconds=POSTPONED_S)),
        execution_options={"synchronize_session": False},
    )


def doomed(session: Session) -> dict[UUID, list[str]]:
    """Photos to be deleted for good, and the keys that their files may have, at most `BATCH`.

    They are those that were discarded, whose auction is gone, that were never completed, and that were refused a day
    ago. From now on nothing can be made of them; once their files are deleted, `forget` them.
    """
    now = func.now()
    overdue = now - timedelta(seconds=UPLOAD_TTL_S + LEASE_S)
    gone = or_(
        Photo.status == PhotoStatus.DELETED,
        and_(Photo.auction_id.is_(None), ~Photo.is_avatar),
        and_(Photo.status == PhotoStatus.PENDING, Photo.created_at < overdue),
        and_(Photo.status == PhotoStatus.REFUSED, Photo.created_at < now - timedelta(seconds=KEPT_S)),
    )
    photos = session.scalars(
        select(Photo).where(gone).limit(BATCH).with_for_update(skip_locked=True, key_share=True)
    ).all()
    for photo in photos:
        photo.status = PhotoStatus.DELETED
    return {photo.id: [incoming(photo.id), *_keys(photo).values()] for photo in photos}


def forget(session: Session, photo_ids: Collection[UUID]) -> None:
    """Delete the rows of `doomed` photos, whose files are gone."""
    session.execute(
        delete(Photo).where(any_id(photo_ids) == Photo.id, Photo.status == PhotoStatus.DELETED),
        execution_options={"synchronize_session": False},
    )


def unwanted(session: Session, keys: Iterable[str]) -> set[str]:
    """Those of `keys` that no row needs. Files of today may be on their way to their row: do not ask about them."""
    asked = set(keys)
    ids = [UUID(key.removeprefix("incoming/")) for key in asked if key.startswith("incoming/")]
    tokens = [_token(key) for key in asked if key.startswith("photos/")]
    awaited = session.scalars(
        select(Photo.id).where(
            any_id(ids) == Photo.id, Photo.status.in_((PhotoStatus.PENDING, PhotoStatus.PROCESSING))
        )
    )
    known = set(session.scalars(select(Photo.token).where(Photo.token.in_(tokens))))
    wanted = {incoming(photo_id) for photo_id in awaited}
    return {key for key in asked if key not in wanted and _token(key) not in known}


def _due() -> ColumnElement[bool]:
    return and_(Photo.status == PhotoStatus.PROCESSING, Photo.due_at <= func.now())


def _keys(photo: Photo) -> dict[str, str]:
    """Where the files of its sizes are, or will be."""
    sizes = AVATAR_SIZES if photo.is_avatar else SIZES
    return {size: _key(photo.token, size) for size in sizes}


def _key(token: str, size: str) -> str:
    return f"photos/{token}-{size}.webp"


def _token(key: str) -> str:
    return key.removeprefix("photos/").partition("-")[0]


def _of(session: Session, auction_id: UUID) -> Sequence[Photo]:
    """The photos that the auction has or may soon have, in their order."""
    return session.scalars(
        select(Photo)
        .where(Photo.auction_id == auction_id, Photo.status.in_(_COUNTED))
        .order_by(Photo.position, Photo.id)
    ).all()


def _lock_listing(session: Session, owner_id: UUID, auction_id: UUID | None) -> None:
    """Lock the auction of the user, whose photos must be such as may change. Photos are locked after it."""
    auction = auction_views.locked(session, auction_id) if auction_id is not None else None
    editing.require(_check_seller(auction, owner_id), clock(session), [editing.PHOTOS])


def _check_seller(auction: Auction | None, owner_id: UUID) -> Auction:
    if auction is None:
        raise auction_views.not_found()
    if auction.seller_id != owner_id:
        raise Refusal(GeneralRefusal.FORBIDDEN, "Only its seller can do this with the photos of an auction.")
    return auction


def _own(session: Session, owner_id: UUID, photo_id: UUID) -> Photo:
    photo = session.get(Photo, photo_id)
    if photo is None or photo.owner_id != owner_id or photo.status == PhotoStatus.DELETED:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    return photo


def _lock_owner(session: Session, owner_id: UUID) -> None:
    """Lock the user: before their avatars, of which several are changed at once."""
    session.get_one(User, owner_id, with_for_update={"key_share": True})


def _discard_avatars(session: Session, owner_id: UUID, *statuses: PhotoStatus) -> None:
    session.execute(
        update(Photo)
        .where(Photo.owner_id == owner_id, Photo.is_avatar, Photo.status.in_(statuses))
        .values(status=PhotoStatus.DELETED),
        execution_options={"synchronize_session": False},
    )


def _lock(session: Session, photo: Photo) -> None:
    """Lock the auction, whose photos may change, and then the photo, and see it as it is now.

    An avatar has no auction. Refuses with `not_found` if the photo was discarded meanwhile.
    """
    if not photo.is_avatar:
        _lock_listing(session, photo.owner_id, photo.auction_id)
    now = session.get(Photo, photo.id, with_for_update={"key_share": True}, populate_existing=True)
    if now is None or now.status == PhotoStatus.DELETED:
        raise Refusal(GeneralRefusal.NOT_FOUND)


def _own_view(photo: Photo, address: Address) -> OwnPhoto:
    ready = photo.status == PhotoStatus.READY
    return OwnPhoto(
        id=photo.id,
        auction_id=photo.auction_id,
        status=photo.status,
        problem=None if photo.problem is None else PhotoProblem(photo.problem),
        photo=_view(photo, address) if ready and not photo.is_avatar else None,
        avatar=_avatar_view(photo, address) if ready and photo.is_avatar else None,
    )


def _view(photo: Photo, address: Address) -> PhotoView:
    return PhotoView(
        id=photo.id, width=photo.width or 0, height=photo.height or 0, **_addresses(photo, address)
    )


def _avatar_view(photo: Photo, address: Address) -> AvatarView:
    return AvatarView(id=photo.id, **_addresses(photo, address))


def _addresses(photo: Photo, address: Address) -> dict[str, str]:
    return {size: address(key) for size, key in _keys(photo).items()}
