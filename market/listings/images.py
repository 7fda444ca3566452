"""Pictures made anew from what people send: nothing of the original but its pixels is left.

What a file is, its content decides. A tail behind the picture, a place, a camera and everything else that is not a
pixel goes away, because only pixels are written.
"""

import warnings
from enum import StrEnum
from io import BytesIO

import msgspec
from PIL import Image, ImageOps

MAX_BYTES = 15 * 1024 * 1024
"""Of an original. A good phone's photo has 3 to 12 MB."""
MAX_PIXELS = 64_000_000
"""Of an original, which takes four bytes of memory each."""
MAX_SCANS = 64
"""Of a JPEG, which draws all its pixels anew in each; they have ten. Hundreds in a small file take minutes."""
HEAD_BYTES = 16
"""What `looks_like_an_image` wants to see."""
SIZES = {"thumbnail": 240, "card": 640, "full": 1600}
"""The longest side of each size in pixels. Nothing is enlarged."""
AVATAR_SIZES = {"small": 96, "card": 320}
"""Of an avatar, which is a square: the middle of the picture."""
CONTENT_TYPE = "image/webp"
_QUALITY = 80
_JPEG = b"\xff\xd8\xff"
_FORMATS = ("JPEG", "PNG", "WEBP")


class PhotoProblem(StrEnum):
    """Why a file does not become a photo. Part of the API."""

    UNSUPPORTED_IMAGE = "unsupported_image"
    IMAGE_TOO_LARGE = "image_too_large"
    TOO_MANY_PIXELS = "too_many_pixels"
    BROKEN_IMAGE = "broken_image"
    WRONG_SIZE = "wrong_size"
    """Not as many bytes as were announced."""


class Pictures(msgspec.Struct, frozen=True):
    """The sizes by name, as WebP, and the pixels of the largest one."""

    files: dict[str, bytes]
    width: int
    height: int


def looks_like_an_image(head: bytes) -> bool:
    """Whether a file that begins with `head` may be a JPEG, PNG or WebP."""
    return head.startswith((_JPEG, b"\x89PNG\r\n\x1a\n")) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def remake(content: bytes, avatar: bool = False) -> Pictures | PhotoProblem:
    """All sizes of the picture in `content`, or of the `avatar` that is cut out of it, turned upright. Of an animation
    the first frame.
    """
    if len(content) > MAX_BYTES:
        return PhotoProblem.IMAGE_TOO_LARGE
    if not looks_like_an_image(content[:HEAD_BYTES]):
        return PhotoProblem.UNSUPPORTED_IMAGE
    if content.startswith(_JPEG) and _scans(content) > MAX_SCANS:
        return PhotoProblem.BROKEN_IMAGE
    try:
        with warnings.catch_warnings():
            # Pillow has limits of its own about pixels; ours is lower and comes before anything is decoded.
            warnings.simplefilter("ignore")
            return _remake(content, avatar)
    except Image.DecompressionBombError:
        return PhotoProblem.TOO_MANY_PIXELS
    except Exception:
        # Decoders answer broken data with errors of almost any type.
        return PhotoProblem.BROKEN_IMAGE


def _scans(jpeg: bytes) -> int:
    """The scans of the picture, without what may stand behind it: phones append films."""
    count, position = 0, len(_JPEG) - 1
    while (position := jpeg.find(b"\xff", position)) >= 0:
        marker = jpeg[position + 1 : position + 2]
        if marker in (b"", b"\xd9"):
            break
        if marker == b"\xff":
            position += 1
        elif marker in (b"\0", b"\1") or b"\xd0" <= marker <= b"\xd7":
            # They stand alone, in the midst of pixels.
            position += 2
        else:
            count += marker == b"\xda"
            position += 2 + int.from_bytes(jpeg[position + 2 : position + 4])
    return count


def _remake(content: bytes, avatar: bool) -> Pictures | PhotoProblem:
    sizes = AVATAR_SIZES if avatar else SIZES
    with Image.open(BytesIO(content), formats=_FORMATS) as original:
        width, height = original.size
        if width * height > MAX_PIXELS:
            return PhotoProblem.TOO_MANY_PIXELS
        largest = max(sizes.values())
        # A JPEG can be decoded at a half, a quarter or an eighth of its size, which saves most of the work.
        original.draft(None, (largest, largest))
        original.load()
        mode = "RGBA" if original.has_transparency_data else "RGB"
        picture = original if original.mode == mode else original.convert(mode)
    if avatar:
        picture = _middle(picture)
    picture.thumbnail((largest, largest))
    ImageOps.exif_transpose(picture, in_place=True)
    # EXIF, XMP and the colour profile, which would be written again.
    picture.info.clear()
    files = {}
    for name, side in sizes.items():
        sized = picture.copy()
        sized.thumbnail((side, side))
        written = BytesIO()
        sized.save(written, "WEBP", quality=_QUALITY)
        files[name] = written.getvalue()
    return Pictures(files, picture.width, picture.height)


def _middle(picture: Image.Image) -> Image.Image:
    """The largest square in the middle."""
    side = min(picture.size)
    left, upper = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, upper, left + side, upper + side))
