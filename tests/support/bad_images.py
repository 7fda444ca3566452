"""Files that people send as pictures and that none of our code may take for one."""

import struct
import zlib
from io import BytesIO

from PIL import Image

from market.listings import images
from market.listings.images import PhotoProblem
from tests.support.media import picture


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose head says that it is large."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(b"\0" * 100)) + png_chunk(b"IEND", b"")
    )


def gif() -> bytes:
    written = BytesIO()
    Image.new("P", (10, 10)).save(written, "GIF")
    return written.getvalue()


def scans(count: int) -> bytes:
    """A progressive JPEG that repeats its last scan."""
    image = picture("JPEG", (80, 80), progressive=True)
    last = image[image.rindex(b"\xff\xda") : -2]
    return image[:-2] + count * last + image[-2:]


BAD = {
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", PhotoProblem.UNSUPPORTED_IMAGE),
    "HTML": (b"<!doctype html><script>alert(1)</script>", PhotoProblem.UNSUPPORTED_IMAGE),
    "GIF": (gif(), PhotoProblem.UNSUPPORTED_IMAGE),
    "GIF with JavaScript": (b"GIF89a/*" + gif()[8:] + b"*/=alert(1)", PhotoProblem.UNSUPPORTED_IMAGE),
    "TIFF": (b"II*\0" + b"\0" * 100, PhotoProblem.UNSUPPORTED_IMAGE),
    "HTML before a JPEG": (b"<html>" + picture(), PhotoProblem.UNSUPPORTED_IMAGE),
    "EPS named JPEG": (b"%!PS-Adobe-3.0 EPSF-3.0\n", PhotoProblem.UNSUPPORTED_IMAGE),
    "nothing": (b"", PhotoProblem.UNSUPPORTED_IMAGE),
    "only a head": (b"\xff\xd8\xff", PhotoProblem.BROKEN_IMAGE),
    "a head before HTML": (b"\xff\xd8\xff\xe0<html><script>", PhotoProblem.BROKEN_IMAGE),
    "half a JPEG": (picture("JPEG", (900, 900))[:3000], PhotoProblem.BROKEN_IMAGE),
    "hundreds of scans": (scans(300), PhotoProblem.BROKEN_IMAGE),
    "half a PNG": (picture("PNG", (900, 900))[:1000], PhotoProblem.BROKEN_IMAGE),
    "half a WebP": (picture("WEBP", (900, 900))[:500], PhotoProblem.BROKEN_IMAGE),
    "a pixel bomb": (png_that_claims(60_000, 60_000), PhotoProblem.TOO_MANY_PIXELS),
    "just too many pixels": (png_that_claims(64_001, 1_000), PhotoProblem.TOO_MANY_PIXELS),
    "sides beyond all limits": (png_that_claims(2**31 - 1, 2**31 - 1), PhotoProblem.TOO_MANY_PIXELS),
    "too many bytes": (picture() + b"\0" * images.MAX_BYTES, PhotoProblem.IMAGE_TOO_LARGE),
    "a bomb of text": (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
        + png_chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 100_000_000))
        + png_chunk(b"IDAT", zlib.compress(b"\0" * 4))
        + png_chunk(b"IEND", b""),
        PhotoProblem.BROKEN_IMAGE,
    ),
}
