"""What is refused about auctions, their photos and questions."""

from http import HTTPStatus

from market.errors import RefusalCode


class ListingRefusal(RefusalCode):
    """Why something cannot be done to an auction, or with its photos and questions."""

    OWN_AUCTION = "own_auction", HTTPStatus.FORBIDDEN, "You cannot bid on your own auction."
    INVALID_SIGNATURE = (
        "invalid_signature",
        HTTPStatus.FORBIDDEN,
        "We did not give out this upload address. Start the upload again.",
    )
    UPLOAD_EXPIRED = (
        "upload_expired",
        HTTPStatus.FORBIDDEN,
        "The time to upload this photo is over. Start the upload again.",
    )
    CLOSED = "closed", HTTPStatus.CONFLICT, "The auction is over."
    TOO_MANY_PHOTOS = (
        "too_many_photos",
        HTTPStatus.CONFLICT,
        "This auction has as many photos as it can have. Remove one first.",
    )
    PHOTO_QUOTA = "photo_quota", HTTPStatus.CONFLICT, "Your photos take up too much space. Remove some first."
    NOT_UPLOADED = "not_uploaded", HTTPStatus.CONFLICT, "The photo has not arrived yet. Upload it first."
    UPLOAD_CLOSED = "upload_closed", HTTPStatus.CONFLICT, "The upload of this photo is over. Start a new one."
    TOO_MANY_QUESTIONS = (
        "too_many_questions",
        HTTPStatus.CONFLICT,
        "You have asked as many questions about this auction as you can ask.",
    )
    TOO_MANY_WATCHES = (
        "too_many_watches",
        HTTPStatus.CONFLICT,
        "You are watching as many auctions as you can watch. Stop watching one first.",
    )
    INVALID_AUCTION = (
        "invalid_auction",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The auction is not possible like this. Correct it and try again.",
    )
    INVALID_CATEGORY = (
        "invalid_category",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The category is not possible like this. Correct it and try again.",
    )
    UNSUPPORTED_IMAGE = (
        "unsupported_image",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "We cannot use this file. A photo must be a JPEG, PNG or WebP.",
    )
    IMAGE_TOO_LARGE = (
        "image_too_large",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "This photo is too large. Choose a smaller one.",
    )
    WRONG_SIZE = (
        "wrong_size",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The file does not have the size that was announced. Start the upload again.",
    )
    WRONG_PHOTOS = (
        "wrong_photos",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Name each photo of the auction exactly once, and leave out those that were refused.",
    )
