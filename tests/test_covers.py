"""Pictures for covers: what cutting and shrinking give, to the pixel, and what is made of files that lie."""

from __future__ import annotations

import io
import os
import random
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from dedup.covers import make
from dedup.covers.edit import TOLERANCE, Box, CannotEditError, Crop, Edit, apply_edit, trimmed, whole_factor
from dedup.covers.images import MOST_PIXELS, decoded, open_picture
from dedup.covers.make import Made, edited, preview
from dedup.covers.sources import measured
from dedup.covers.worker import answer, edit_of
from dedup.errors import InputError, UsageError

WEBP_CANVAS = 16383
"""Most pixels of a WebP picture each way."""


def noise(width: int, height: int, seed: int = 1) -> Image.Image:
    """A picture in which each pixel has a colour of its own, none of them near white."""
    pixels = np.random.default_rng(seed).integers(0, 200, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def seen(data: bytes) -> Image.Image:
    """The picture as it is decoded, in this process: the tests below know what they decode."""
    return decoded(open_picture(data))


def shown(made: Made) -> Image.Image:
    return Image.open(io.BytesIO(made.jpeg)).convert("RGB")


def same(one: Image.Image, other: Image.Image, most: int = 0) -> bool:
    """Whether no channel of a pixel differs by more than `most`."""
    return one.size == other.size and int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max()) <= most


# ---- cutting and shrinking ----


@pytest.mark.parametrize("factor", [1, 2, 3, 7])
def test_a_whole_factor_gives_the_mean_of_each_square(factor: int) -> None:
    small = noise(50, 40)
    large = small.resize((50 * factor, 40 * factor), Image.Resampling.NEAREST)
    found, box = apply_edit(large, Edit(fit=(40, 50)))
    assert same(found, small) and box == (0, 0, *large.size)
    uneven = noise(50 * factor + factor - 1, 40 * factor + factor - 1)
    found, box = apply_edit(uneven, Edit(fit=(40, 50)))
    pixels = np.asarray(uneven, float)[box.top : box.bottom, box.left : box.right]
    means = pixels.reshape(40, factor, 50, factor, 3).mean(axis=(1, 3))
    assert np.abs(np.asarray(found, float) - means).max() <= 0.6


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, 1500), st.integers(1, 1500))
def test_the_smallest_whole_factor_is_found_if_there_is_one(width: int, height: int, one: int, other: int) -> None:
    least, most = min(one, other), max(one, other)
    fitting = [
        factor
        for factor in range(1, min(width, height) + 1)
        if least <= min(width, height) // factor and max(width, height) // factor <= most
    ]
    if fitting:
        assert whole_factor(width, height, least, most) == fitting[0]
    else:
        with pytest.raises(CannotEditError, match=r"nothing is enlarged|no whole factor"):
            whole_factor(width, height, least, most)


@given(st.tuples(*[st.integers(0, 30)] * 4), st.integers(0, 2), st.integers(0, 99))
def test_borders_are_trimmed_to_the_pixel(widths: tuple[int, ...], kind: int, seed: int) -> None:
    left, top, right, bottom = widths
    content = noise(60, 50, seed)
    content.putpixel((0, 0), (199, 0, 0))
    whole = Image.new("RGB", (60 + left + right, 50 + top + bottom), ("white", "#f0f5ff", "#e8e8e8")[kind])
    whole.paste(content, (left, top))
    third = (left <= whole.width / 3, top <= whole.height / 3, right <= whole.width / 3, bottom <= whole.height / 3)
    expected = Box(left, top, left + 60, top + 50)
    if all(third):
        assert trimmed(whole, TOLERANCE) == expected
        assert same(apply_edit(whole, Edit(trim=True))[0], content)


def test_borders_of_several_colours_and_of_a_jpeg_are_trimmed() -> None:
    content = noise(300, 300)
    pillars = Image.new("RGB", (400, 300), "#e6e6e6")
    pillars.paste(content, (50, 0))
    bars = Image.new("RGB", (400, 360), "white")
    bars.paste(pillars, (0, 30))
    assert trimmed(bars, 10) == (50, 30, 350, 330)
    by_jpeg = seen(saved(bars, "JPEG", quality=60, subsampling=0))
    found = trimmed(by_jpeg, 40)
    assert all(abs(one - other) <= 8 for one, other in zip(found, (50, 30, 350, 330), strict=True))  # a block of JPEG
    assert found.left <= 50 and found.top <= 30 and found.right >= 350 and found.bottom >= 330


def test_a_picture_that_is_mostly_one_colour_is_no_border() -> None:
    white = Image.new("RGB", (300, 300), "white")
    assert trimmed(white, TOLERANCE) == (0, 0, 300, 300)
    white.paste(Image.new("RGB", (4, 4), "black"), (148, 148))
    assert trimmed(white, TOLERANCE) == (0, 0, 300, 300)


def test_cutting() -> None:
    image = noise(400, 300)
    for edit, box in (
        (Edit(crop=Crop(10, 20, 300, 200)), (10, 20, 310, 220)),
        (Edit(crop=Crop(0.25, 0.5, 0.75, 0.5, "share")), (100, 150, 400, 300)),
        (Edit(square=True), (50, 0, 350, 300)),
        (Edit(crop=Crop(0, 0, 100, 300), square=True), (0, 100, 100, 200)),
    ):
        found, part = apply_edit(image, edit)
        assert part == box and same(found, image.crop(box))
    for crop in (Crop(101, 0, 300, 300), Crop(0, 1, 400, 300), Crop(0, 0, 0.001, 1, "share")):
        with pytest.raises(CannotEditError, match="not a part of it"):
            apply_edit(image, Edit(crop=crop))


def test_an_exact_size_keeps_the_proportions_and_enlarges_nothing() -> None:
    left, right = Image.new("RGB", (100, 300), "red"), Image.new("RGB", (300, 300), "blue")
    image = Image.new("RGB", (400, 300))
    image.paste(left, (0, 0))
    image.paste(right, (100, 0))
    found, box = apply_edit(image, Edit(size=(150, 150)))
    assert found.size == (150, 150) and box == (50, 0, 350, 300)
    assert found.getpixel((10, 75)) == (255, 0, 0) and found.getpixel((40, 75)) == (0, 0, 255)
    assert apply_edit(image, Edit(size=(400, 300)))[0] is image
    for size in ((401, 300), (400, 301)):
        with pytest.raises(CannotEditError, match="nothing is enlarged"):
            apply_edit(image, Edit(size=size))


def test_an_edit_that_makes_no_sense_is_refused() -> None:
    for wrong in (
        {"size": (10, 10), "fit": (5, 10)},
        {"size": (0, 10)},
        {"fit": (10, 5)},
        {"quality": 96},
        {"tolerance": 256},
    ):
        with pytest.raises(UsageError):
            Edit(**wrong)
    for numbers in ((0, 0, 0, 5), (-1, 0, 5, 5), (float("nan"), 0, 5, 5), (0, 0, 1e9, 5), ("0", 0, 5, 5)):
        with pytest.raises(UsageError):
            Crop(*numbers)
    with pytest.raises(UsageError):
        Crop(0, 0, 2, 1, "share")


# ---- pictures as they are seen ----


def test_noise_at_the_best_quality_fits_into_the_buffers() -> None:
    made = edited(saved(noise(700, 500), "PNG"), Edit(quality=95))
    assert same(shown(made), noise(700, 500), 60)


def test_a_jpeg_that_nothing_changes_stays_byte_for_byte() -> None:
    plain = saved(noise(300, 300), "JPEG", quality=70)
    assert edited(plain, Edit(trim=True, square=True, fit=(100, 300))).jpeg == plain
    assert edited(plain, Edit(quality=70)).jpeg != plain
    smooth, turned = noise(30, 30).resize((300, 300)), Image.Exif()
    turned[0x0112] = 6
    for other in (
        saved(smooth, "JPEG", exif=turned),
        saved(smooth.convert("CMYK"), "JPEG"),
        saved(smooth, "JPEG", icc_profile=swapping_profile()),
    ):
        made = edited(other, Edit())
        assert made.jpeg != other and same(shown(made), seen(other), 40)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_seen_upright(orientation: int) -> None:
    turns = (None, None, 0, 3, 1, 5, 2, 6, 4)[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = noise(30, 20)
    stored = upright if turns is None else upright.transpose(Image.Transpose(turns))
    for kind in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        assert same(seen(saved(stored, kind, exif=exif, **options)), upright), kind


def test_an_orientation_that_is_none_or_damaged_turns_nothing() -> None:
    image, exif = noise(30, 20), Image.Exif()
    exif[0x0112] = 9
    damaged = b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(20)
    for data in (saved(image, "PNG", exif=exif), saved(image, "PNG", exif=damaged), saved(image, "TIFF", exif=exif)):
        assert same(seen(data), image)


def test_all_kinds_of_colours_become_rgb() -> None:
    image = noise(40, 30)
    grey = image.convert("L")
    clear = image.convert("RGBA")
    clear.putalpha(Image.new("L", image.size, 0))
    white = Image.new("RGB", image.size, "white")
    palette = image.quantize(64)
    see_through = Image.new("P", (40, 30), 0)
    see_through.putpalette([1, 2, 3, 200, 100, 50])
    samples = (np.asarray(grey).astype(np.uint16) * 257).astype("<u2")
    cases = (
        (saved(clear, "PNG"), white),
        (saved(clear, "WEBP", lossless=True, exact=True), white),
        (saved(clear.convert("LA"), "PNG"), white),
        (saved(see_through, "PNG", transparency=0), white),
        (saved(palette, "PNG"), palette.convert("RGB")),
        (saved(palette, "TIFF"), palette.convert("RGB")),
        (saved(grey, "JPEG", quality=100), grey.convert("RGB")),
        (saved(image.convert("1"), "TIFF"), image.convert("1").convert("RGB")),
        (saved(Image.fromarray(samples), "PNG"), grey.convert("RGB")),
        (saved(Image.fromarray(samples), "TIFF"), grey.convert("RGB")),
        (saved(image.convert("CMYK"), "TIFF"), image),
        (saved(image, "TIFF", compression="tiff_lzw"), image),
    )
    for number, (data, expected) in enumerate(cases):
        found = seen(data)
        assert found.mode == "RGB" and same(found, expected, 2), number


def test_colours_that_are_no_picture_are_refused() -> None:
    floats = Image.fromarray(np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10))
    deep = Image.fromarray(np.full((10, 10), 1 << 20, dtype=np.int32))
    for image in (floats, deep):
        with pytest.raises(InputError, match="cannot be converted"):
            edited(saved(image, "TIFF"), Edit())


def swapping_profile() -> bytes:
    """A colour profile like sRGB in which red and blue have changed places."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (n_tags,) = struct.unpack_from(">I", data, 128)
    entries = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * n_tags, 12)}
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(data).replace("sRGB".encode("utf-16-be"), "else".encode("utf-16-be"))


def test_a_colour_profile_counts_and_a_broken_one_does_not() -> None:
    red = Image.new("RGB", (20, 20), (200, 40, 30))
    found = seen(saved(red, "PNG", icc_profile=swapping_profile())).getpixel((5, 5))
    assert isinstance(found, tuple) and np.abs(np.array(found) - (30, 40, 200)).max() <= 3
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile", srgb[:200]):
        assert same(seen(saved(red, "PNG", icc_profile=profile)), red)


def test_of_several_pictures_the_first_is_taken() -> None:
    pictures = [noise(64, 48, seed) for seed in (1, 2, 3)]
    more = {"save_all": True, "append_images": pictures[1:]}
    for kind, options in (("WEBP", {"lossless": True}), ("TIFF", {}), ("PNG", {})):
        made = edited(saved(pictures[0], kind, **more, **options), Edit(quality=95))
        assert same(shown(made), pictures[0], 40), kind


def test_what_is_made_says_what_it_shows() -> None:
    whole = Image.new("RGB", (520, 460), "white")
    whole.paste(noise(400, 400), (100, 40))
    made = edited(saved(whole, "PNG"), Edit(trim=True, fit=(150, 250)))
    assert (made.width, made.height, made.whole, made.box) == (200, 200, (520, 460), (100, 40, 500, 440))
    assert made.format == "PNG" and shown(made).size == (200, 200)
    assert Image.open(io.BytesIO(made.jpeg)).info.get("progressive") is None
    small = preview(saved(whole, "PNG"), most=130)
    assert (small.width, small.height, small.whole, small.box) == (130, 115, (520, 460), (0, 0, 520, 460))


def test_an_edit_survives_the_way_to_the_process() -> None:
    import json
    from dataclasses import asdict

    for edit in (Edit(), Edit(Crop(0.1, 0.2, 0.3, 0.4, "share"), True, 3, True, None, (5, 9), 80), Edit(size=(3, 4))):
        assert edit_of(json.loads(json.dumps(asdict(edit)))) == edit


# ---- files that lie ----


def png_of(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of one bit a pixel with these chunks behind its header."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunk(*each) for each in chunks) + chunk(b"IEND", b"")


def tiff_of(width: int, height: int, strip: bytes, compression: int, n_strip: int | None = None) -> bytes:
    """A TIFF of 8 bits of grey a pixel, all in one strip, which says to have `n_strip` bytes."""
    size = len(strip) if n_strip is None else n_strip
    entries = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, compression), (262, 3, 1)]
    entries += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, size)]
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory


def problem(data: bytes) -> str:
    """What is wrong with a picture, without a process of its own."""
    told, jpeg = answer(Edit(), None, data)
    assert jpeg == b"" and "\n" not in told["problem"]
    return str(told["problem"])


def refusal(data: bytes, edit: Edit | None = None) -> str:
    with pytest.raises(InputError) as caught:
        edited(data, edit or Edit(), "x.jpg")
    assert caught.value.where == "x.jpg" and "\n" not in str(caught.value)
    return caught.value.found


def test_bombs_are_refused_by_what_their_headers_say() -> None:
    bomb = png_of(30000, 30000, (b"IDAT", zlib.compress(bytes(30000 * 3751), 1)))
    assert len(bomb) < 1 << 20
    assert refusal(bomb) == "has 30000 x 30000 pixels; at most 64 million are decoded"
    assert refusal(png_of(0xFFFFFFF, 0xFFFFFFF, (b"IDAT", b""))).startswith("has 268435455 x 268435455 pixels")
    assert refusal(tiff_of(100_000, 100_000, zlib.compress(bytes(1 << 24)), 8)).startswith("has 100000 x 100000")
    assert refusal(tiff_of(0xFFFFFFFF, 0xFFFFFFFF, b"x", 1))
    wide = bytearray(saved(noise(8, 8), "JPEG"))
    at = wide.index(b"\xff\xc0") + 5
    wide[at : at + 4] = b"\xff\xdc\xff\xdc"
    assert refusal(bytes(wide)).startswith("has 65500 x 65500 pixels")


def test_bombs_within_the_limit_of_pixels_end_as_well() -> None:
    side = int(MOST_PIXELS**0.5) - 1
    assert refusal(tiff_of(side, side, b"short", 1))
    assert refusal(tiff_of(side, side, zlib.compress(b"short"), 8))
    assert refusal(tiff_of(9, 9, zlib.compress(bytes(81)), 8, n_strip=0xFFFFFFF0))
    made = edited(tiff_of(9, 9, bytes(81), 1, n_strip=0xFFFFFFF0), Edit())
    assert (made.width, made.height) == (9, 9)  # without compression, the size follows from the pixels
    text = b"key\0\0" + zlib.compress(bytes(200 << 20), 1)
    assert refusal(png_of(9, 9, (b"zTXt", text), (b"IDAT", zlib.compress(bytes(27)))))
    canvas = bytearray(saved(noise(16, 16).convert("RGBA"), "WEBP"))
    at = canvas.index(b"VP8X") + 12 if b"VP8X" in canvas else 0
    if at:
        canvas[at : at + 6] = (WEBP_CANVAS - 1).to_bytes(3, "little") * 2
        assert refusal(bytes(canvas))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_what_is_cut_short_or_damaged_is_no_cover(kind: str) -> None:
    whole = saved(noise(200, 200), kind)
    for share in (0.0, 0.001, 0.5, 0.9):
        assert problem(whole[: int(len(whole) * share)])
    chance = random.Random(7)
    for _ in range(20):
        flipped = bytearray(whole)
        for at in chance.sample(range(len(whole)), 40):
            flipped[at] ^= 1 << chance.randrange(8)
        told, jpeg = answer(Edit(), None, bytes(flipped))
        assert ("problem" in told) == (jpeg == b"")  # JPEG cannot tell damage from noise


def test_what_is_no_picture_of_these_formats_is_refused() -> None:
    words = "is not a JPEG, PNG, TIFF or WebP picture, or its header is damaged"
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n"
    others = [saved(noise(9, 9), kind) for kind in ("GIF", "BMP", "PPM", "ICO", "TGA")]
    for data in (b"", b"Dear sir,\n" * 100, svg, postscript, *others):
        assert problem(data) == words


def test_what_breaks_out_of_a_decoder_ends_its_process_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "WORKER", "import os; sys.stdin.buffer.read(); os.abort()")
    assert refusal(saved(noise(9, 9), "PNG")) == "ended the process that decodes it (-6)"


def test_a_picture_of_too_many_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "MOST_BYTES", 1000)
    path = tmp_path / "large.png"
    path.write_bytes(saved(noise(40, 40), "PNG"))
    with pytest.raises(InputError, match=r"large\.png: has more than"):
        make.picture_in(os.fsencode(path))
    assert refusal(path.read_bytes()).startswith("has more than")


def test_decoding_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "TIME_LIMIT_S", 0.05)
    started = time.monotonic()
    assert refusal(saved(noise(400, 400), "PNG")) == "could not be decoded in 0.05 s"
    assert time.monotonic() - started < 20


def test_a_cover_that_no_tag_holds_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "LARGEST_BYTES", 1 << 20)
    assert refusal(saved(noise(1200, 1200), "JPEG", quality=100)) == "makes a cover of 2 MiB; tags hold 1 MiB"


def test_without_pillow_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError, match=r"Pillow is not installed.*reprise-dedup\[serve\]"):
        edited(b"", Edit())


def test_headers_say_what_pictures_are() -> None:
    image = noise(70, 50)
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        found = measured(saved(image, kind))
        assert (found.mime, found.width, found.height) == (f"image/{kind.lower()}", 70, 50)
    big_endian = b"MM\0*" + struct.pack(">IHHHIHHHHIHH", 8, 2, 256, 3, 1, 70, 0, 257, 3, 1, 50, 0)
    assert (measured(big_endian).width, measured(big_endian).height) == (70, 50)
    for broken in (b"II*\0", b"II*\0\xff\xff\xff\xff", big_endian[:20]):
        assert (measured(broken).mime, measured(broken).width) == ("image/tiff", 0)
    assert measured(b"text").mime == ""
