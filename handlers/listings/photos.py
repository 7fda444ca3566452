"""Photos of an auction, and avatars: announcing, sending, completing, ordering and removing them. Bytes go straight to
S3, or, when media are on local disk, to `UploadHandler`."""

import time
from http import HTTPStatus
from typing import Annotated, cast
from uuid import UUID

import msgspec
from tornado.http1connection import HTTP1Connection
from tornado.web import stream_request_body

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body
from handlers.http.refusals import HttpRefusal
from market.errors import GeneralRefusal, Refusal
from market.listings import photos
from market.listings.images import HEAD_BYTES, MAX_BYTES
from market.listings.photos import AvatarView, OwnPhoto
from market.listings.refusals import ListingRefusal
from market.rules import MAX_AMOUNT
from store.media.interface import Upload, incoming
from store.media.local import LocalMedia, Receiving
from store.models import PhotoStatus


class NewPhoto(Body, frozen=True, kw_only=True):
    """A file that the client wants to send: its bytes and its media type."""

    size: Annotated[int, msgspec.Meta(ge=1, le=2**40)]
    content_type: Annotated[str, msgspec.Meta(max_length=100)]


class PhotoOrder(Body, frozen=True, kw_only=True):
    """The ids of all photos of the auction, in their new order."""

    photos: Annotated[list[UUID], msgspec.Meta(max_length=photos.MAX_PHOTOS)]


class UploadQuery(Body, frozen=True, kw_only=True):
    """What makes the address of an upload a permission. `expires` in seconds since the epoch."""

    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_BYTES)]
    expires: Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT)]
    signature: Annotated[str, msgspec.Meta(max_length=64)]


class PhotoUpload(msgspec.Struct, frozen=True):
    """The id of a photo, and how its file is sent."""

    id: UUID
    upload: Upload


class OwnPhotos(msgspec.Struct, frozen=True):
    """The photos of your own auction in their order."""

    items: list[OwnPhoto]


class OwnAvatar(msgspec.Struct, frozen=True):
    """The user's avatar, if there is one."""

    avatar: AvatarView | None


class AnnouncingHandler(ApiHandler):
    """A handler of announcements."""

    async def upload(self, photo_id: UUID, file: NewPhoto) -> PhotoUpload:
        """How the file of a photo is sent that was announced just now."""
        upload = await self.services.media.run(
            self.services.media.backend.upload, photo_id, file.size, file.content_type, photos.UPLOAD_TTL_S
        )
        self.set_header("Location", f"/api/v1/photos/{photo_id}")
        return PhotoUpload(photo_id, upload)


class PhotosHandler(AnnouncingHandler):
    """POST: announce a photo of your own auction, and learn how to send it. GET: the photos of your own auction, with
    those that are not ready or were refused. PUT: reorder the photos of your own auction."""

    @operation(
        GeneralRefusal.FORBIDDEN,
        GeneralRefusal.WRONG_STATE,
        ListingRefusal.UNSUPPORTED_IMAGE,
        ListingRefusal.IMAGE_TOO_LARGE,
        ListingRefusal.TOO_MANY_PHOTOS,
        ListingRefusal.PHOTO_QUOTA,
        HttpRefusal.BUSY,
        statuses=(HTTPStatus.CREATED,),
    )
    async def post(self, auction_id: UUID, body: NewPhoto) -> PhotoUpload:
        photo_id = await self.use(
            photos.announce_upload, self.principal.user_id, auction_id, body.size, body.content_type
        )
        return await self.upload(photo_id, body)

    @operation(GeneralRefusal.FORBIDDEN)
    async def get(self, auction_id: UUID) -> OwnPhotos:
        user_id = self.principal.user_id
        return OwnPhotos(await self.use(photos.own_of, user_id, auction_id, self.services.media.backend.url))

    @operation(
        GeneralRefusal.FORBIDDEN,
        GeneralRefusal.WRONG_STATE,
        ListingRefusal.WRONG_PHOTOS,
        statuses=(HTTPStatus.NO_CONTENT,),
    )
    async def put(self, auction_id: UUID, body: PhotoOrder) -> None:
        await self.use(photos.reorder, self.principal.user_id, auction_id, body.photos)


class AvatarHandler(AnnouncingHandler):
    """POST: announce a new avatar, and learn how to send it; another one that is not ready yet is given up. It replaces
    the former one once it is ready. GET: your avatar. DELETE: remove it."""

    @operation(
        ListingRefusal.UNSUPPORTED_IMAGE,
        ListingRefusal.IMAGE_TOO_LARGE,
        HttpRefusal.BUSY,
        statuses=(HTTPStatus.CREATED,),
    )
    async def post(self, body: NewPhoto) -> PhotoUpload:
        photo_id = await self.use(
            photos.announce_avatar, self.principal.user_id, body.size, body.content_type
        )
        return await self.upload(photo_id, body)

    @operation()
    async def get(self) -> OwnAvatar:
        user_id = self.principal.user_id
        avatars = await self.use(photos.avatars_of, [user_id], self.services.media.backend.url)
        return OwnAvatar(avatars.get(user_id))

    @operation(statuses=(HTTPStatus.NO_CONTENT,))
    async def delete(self) -> None:
        await self.use(photos.discard_avatar, self.principal.user_id)


class PhotoHandler(ApiHandler):
    """GET: your own photo or avatar and what has become of it. DELETE: remove it from the auction, or your avatar."""

    @operation()
    async def get(self, photo_id: UUID) -> OwnPhoto:
        return await self.use(photos.get, self.principal.user_id, photo_id, self.services.media.backend.url)

    @operation(GeneralRefusal.FORBIDDEN, GeneralRefusal.WRONG_STATE, statuses=(HTTPStatus.NO_CONTENT,))
    async def delete(self, photo_id: UUID) -> None:
        await self.use(photos.discard, self.principal.user_id, photo_id)


class CompleteHandler(ApiHandler):
    """POST: say that the file of a photo has been sent. What cannot be a photo is refused at once, see its status; the
    rest is ready within seconds. Repeated, it answers what has become of the photo."""

    @operation(
        GeneralRefusal.FORBIDDEN, GeneralRefusal.WRONG_STATE, ListingRefusal.NOT_UPLOADED, HttpRefusal.BUSY
    )
    async def post(self, photo_id: UUID) -> OwnPhoto:
        user_id, backend = self.principal.user_id, self.services.media.backend
        photo = await self.use(photos.get, user_id, photo_id, backend.url)
        if photo.status != PhotoStatus.PENDING:
            return photo
        key = incoming(photo_id)
        size = await self.services.media.run(backend.size, key)
        head = await self.services.media.run(backend.read, key, HEAD_BYTES)
        photo = await self.use(photos.complete, user_id, photo_id, size, head, backend.url)
        if photo.status == PhotoStatus.REFUSED:
            await self.services.media.run(backend.delete, [key])
        return photo


@stream_request_body
class UploadHandler(ApiHandler):
    """POST: the file of an announced photo, as the body. The address was given when the photo was announced; it is the
    permission. Only where media are on local disk."""

    public = True
    receiving: Receiving | None = None
    refusal: Refusal | None = None

    async def prepare(self) -> None:
        cast(HTTP1Connection, self.request.connection).set_max_body_size(MAX_BYTES)
        await super().prepare()
        if self.request.method != "POST":
            return
        try:
            self.receiving = await self._receiving()
        except Refusal as refusal:
            # Answered before its body is read, a request loses its connection, and the gateway may lose the answer.
            self.refusal = refusal

    async def _receiving(self) -> Receiving:
        backend, query, photo_id = (
            self.services.media.backend,
            self.parse_query(UploadQuery),
            UUID(self.path_args[0]),
        )
        if not isinstance(backend, LocalMedia):
            raise Refusal(
                HttpRefusal.NOT_AVAILABLE, "Photos are not uploaded here. Use the address you were given."
            )
        if not backend.signed(photo_id, query.size, query.expires, query.signature):
            raise Refusal(ListingRefusal.INVALID_SIGNATURE)
        if query.expires <= time.time():
            raise Refusal(ListingRefusal.UPLOAD_EXPIRED)
        if await self.use(photos.expected, photo_id) != query.size or self._length() != query.size:
            raise Refusal(ListingRefusal.WRONG_SIZE)
        return backend.receive(photo_id, query.size)

    def _length(self) -> int | None:
        given = self.request.headers.get("Content-Length", "")
        return int(given) if given.isdecimal() else None

    def data_received(self, chunk: bytes) -> None:
        if self.receiving is not None:
            self.receiving.write(chunk)

    @operation(
        HttpRefusal.NOT_AVAILABLE,
        ListingRefusal.INVALID_SIGNATURE,
        ListingRefusal.UPLOAD_EXPIRED,
        ListingRefusal.UPLOAD_CLOSED,
        ListingRefusal.WRONG_SIZE,
        statuses=(HTTPStatus.NO_CONTENT,),
        file_types=photos.CONTENT_TYPES,
    )
    async def post(self, photo_id: UUID, query: UploadQuery) -> None:
        if self.refusal is not None:
            raise self.refusal
        assert self.receiving is not None
        if not self.receiving.finish():
            raise Refusal(ListingRefusal.WRONG_SIZE)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._abort()

    def on_finish(self) -> None:
        self._abort()

    def _abort(self) -> None:
        if self.receiving is not None:
            self.receiving.abort()


routes = [
    (rf"/api/v1/auctions/{UUID_PATTERN}/photos", PhotosHandler),
    (r"/api/v1/me/avatar", AvatarHandler),
    (rf"/api/v1/photos/{UUID_PATTERN}", PhotoHandler),
    (rf"/api/v1/photos/{UUID_PATTERN}/complete", CompleteHandler),
    (rf"/api/v1/uploads/{UUID_PATTERN}", UploadHandler),
]
