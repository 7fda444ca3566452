"""What becomes of files that people send, good and bad."""

from io import BytesIO

import pytest
from PIL import Image

from market.listings.images import Pictures, remake
from tests.support.bad_images import BAD, scans
from tests.support.media import picture


def remade(content: bytes, avatar: bool = False) -> Pictures:
    result = remake(content, avatar)
    assert isinstance(result, Pictures), result
    return result


def opened(result: Pictures, size: str) -> Image.Image:
    image = Image.open(BytesIO(result.files[size]))
    image.load()
    return image


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_size_is_made_of_every_format(kind: str) -> None:
    result = remade(picture(kind, (3200, 1600)))
    assert (result.width, result.height) == (1600, 800)
    sizes = {name: opened(result, name) for name in result.files}
    assert {name: image.size for name, image in sizes.items()} == {
        "thumbnail": (240, 120),
        "card": (640, 320),
        "full": (1600, 800),
    }
    assert {image.format for image in sizes.values()} == {"WEBP"}
    red, _, blue = (sizes["full"].convert("RGB").getpixel((x, 400)) for x in (100, 800, 1500))
    assert red == pytest.approx((255, 0, 0), abs=12)
    assert blue == pytest.approx((0, 0, 255), abs=12)


def test_nothing_is_enlarged() -> None:
    result = remade(picture(size=(60, 40)))
    assert {opened(result, name).size for name in result.files} == {(60, 40)}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_turned_upright_and_tells_nothing_else(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: what was left is above
    exif[0x010F] = "A camera"
    exif[0x8825] = {1: "N", 2: (37.0, 33.0, 59.0)}
    result = remade(picture(kind, (600, 400), exif=exif, icc_profile=b"a profile"))
    assert (result.width, result.height) == (400, 600)
    for name in result.files:
        image = opened(result, name)
        above = image.convert("RGB").getpixel((image.width // 2, image.height // 8))
        assert above == pytest.approx((255, 0, 0), abs=12)
        assert not image.getexif()
        assert set(image.info) <= {"loop", "background", "timestamp", "duration"}
        for secret in (b"EXIF", b"ICCP", b"XMP", b"A camera"):
            assert secret not in result.files[name]


def test_transparency_stays() -> None:
    written = BytesIO()
    Image.new("RGBA", (50, 50), (0, 255, 0, 0)).save(written, "PNG")
    assert opened(remade(written.getvalue()), "full").convert("RGBA").getpixel((25, 25))[3] == 0  # type: ignore[index]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "CMYK"])
def test_every_mode_of_pixels_is_taken(mode: str) -> None:
    written = BytesIO()
    Image.new(mode, (50, 50)).save(written, "JPEG" if mode == "CMYK" else "PNG")
    assert remade(written.getvalue()).width == 50


def test_of_an_animation_the_first_frame_is_taken() -> None:
    written = BytesIO()
    frames = [Image.new("RGB", (30, 30), color) for color in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(written, "WEBP", save_all=True, append_images=frames[1:])
    image = opened(remade(written.getvalue()), "full")
    assert getattr(image, "n_frames", 1) == 1
    assert image.convert("RGB").getpixel((15, 15)) == pytest.approx((255, 0, 0), abs=12)


@pytest.mark.parametrize("tail", [b"<script>alert(1)</script>", b"PK\x03\x04" + b"x" * 5000, b"<?php x ?>"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_tail_of_a_polyglot_is_gone(kind: str, tail: bytes) -> None:
    result = remade(picture(kind, (600, 400)) + tail)
    assert all(tail not in file and b"<script" not in file for file in result.files.values())


def test_a_comment_in_a_jpeg_is_gone() -> None:
    result = remade(picture("JPEG", comment=b"<script>alert(1)</script>"))
    assert all(b"script" not in file for file in result.files.values())


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_code(name: str) -> None:
    content, problem = BAD[name]
    assert remake(content) == problem


def test_a_progressive_jpeg_is_a_picture() -> None:
    assert remade(scans(40)).width == 80


def test_the_film_behind_a_phones_picture_does_no_harm() -> None:
    assert remade(picture("JPEG", comment=b"\xff\xda" * 400) + b"\xff\xda" * 400).width == 60


def test_an_endless_strip_becomes_a_picture() -> None:
    result = remade(picture("PNG", (40_000, 2)))
    assert (result.width, result.height) == (1600, 1)


@pytest.mark.parametrize("size", [(3200, 1600), (1600, 3200), (641, 640)])
def test_an_avatar_is_the_square_in_the_middle(size: tuple[int, int]) -> None:
    result = remade(picture("PNG", size), avatar=True)
    sizes = {name: opened(result, name) for name in result.files}
    assert {name: image.size for name, image in sizes.items()} == {"small": (96, 96), "card": (320, 320)}
    assert (result.width, result.height) == (320, 320)
    pixels = sizes["card"].convert("RGB")
    for x, color in ((20, (255, 0, 0)), (140, (255, 0, 0)), (180, (0, 0, 255)), (300, (0, 0, 255))):
        assert pixels.getpixel((x, 160)) == pytest.approx(color, abs=12)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_avatar_is_turned_upright_and_tells_nothing_else(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: what was left is above
    exif[0x010F] = "A camera"
    result = remade(picture(kind, (600, 400), exif=exif, icc_profile=b"a profile"), avatar=True)
    for name in result.files:
        image = opened(result, name)
        above = image.convert("RGB").getpixel((image.width // 2, image.height // 8))
        assert above == pytest.approx((255, 0, 0), abs=12)
        assert not image.getexif()
        assert all(secret not in result.files[name] for secret in (b"EXIF", b"ICCP", b"A camera"))


def test_an_avatar_is_not_enlarged() -> None:
    result = remade(picture(size=(200, 60)), avatar=True)
    assert {opened(result, name).size for name in result.files} == {(60, 60)}


def test_an_avatar_of_a_strip_is_one_pixel() -> None:
    assert remade(picture("PNG", (40_000, 1)), avatar=True).width == 1
