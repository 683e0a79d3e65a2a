"""Reads a picture that nobody vouches for: an upright RGB picture in sRGB, or why there is none. Decoders have had
holes and files lie about their sizes, so this runs in `covers.worker` only."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 64_000_000
"""Pixels of a picture that are decoded: 8000 x 8000."""

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP")
"""Formats that are decoded, as Pillow calls them."""

_OF_16_BITS = {"I", "I;16", "I;16L", "I;16B", "I;16N"}
"""Pillow's modes of one channel of 16 bits; "I" may have more."""


class NoPictureError(Exception):
    """A file is no picture that can be decoded; says so in a phrase."""


def open_picture(data: bytes) -> Image:
    """The picture, of which only the header was read; the first one of several. Raises NoPictureError."""
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, and has our words
    warnings.simplefilter("ignore")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise NoPictureError("is not a JPEG, PNG, TIFF or WebP picture, or its header is damaged") from None
    if image.width * image.height > MOST_PIXELS:
        size = f"{image.width} x {image.height}"
        raise NoPictureError(f"has {size} pixels; at most {MOST_PIXELS // 10**6} million are decoded")
    return image


def decoded(image: Image) -> Image:
    """An opened picture as it is seen: turned as its EXIF says, in sRGB, transparent parts on white. Raises
    NoPictureError for one that is damaged."""
    from PIL import Image as Images

    try:
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise NoPictureError(f"is damaged or cut short: {error}") from error
    profile = image.info.get("icc_profile")
    turn = _TURNS.get(_orientation(image))
    upright = image if turn is None else image.transpose(Images.Transpose(turn))
    try:
        return _in_srgb(_of_16_bits(upright) if upright.mode in _OF_16_BITS else _opaque(upright), profile)
    except (ValueError, OSError) as error:
        raise NoPictureError(f"has colours of a kind that cannot be converted ({image.mode})") from error


def is_plain(image: Image) -> bool:
    """Whether every program shows an opened JPEG alike: three channels or one, no profile but sRGB, not turned."""
    if image.format != "JPEG" or image.mode not in ("RGB", "L"):
        return False
    return _orientation(image) not in _TURNS and _is_srgb(image.info.get("icc_profile"))


_ORIENTATION = 0x0112
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""Pillow's number of the turn that makes a picture upright, by its orientation in EXIF."""


def _orientation(image: Image) -> int:
    try:
        found = image.getexif().get(_ORIENTATION)
    except Exception:  # damaged EXIF data, which makes Pillow raise anything, says nothing
        return 1
    return found if isinstance(found, int) else 1


def _is_srgb(profile: bytes | None) -> bool:
    """Whether a colour profile is sRGB; also if there is none, or it cannot be read."""
    from PIL import ImageCms

    if not profile:
        return True
    try:
        return "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return True


def _of_16_bits(image: Image) -> Image:
    """Grey of 8 bits from grey of 16. Raises ValueError for more."""
    import numpy as np
    from PIL import Image as Images

    samples = np.asarray(image)
    if samples.size and (samples.min() < 0 or samples.max() > 0xFFFF):
        raise ValueError
    return Images.fromarray(((samples.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _opaque(image: Image) -> Image:
    """The picture on white. Raises ValueError for numbers that are no colours."""
    from PIL import Image as Images

    if image.mode in ("F", "LAB", "HSV"):
        raise ValueError
    if "A" not in image.getbands() and "a" not in image.getbands() and "transparency" not in image.info:
        return image if image.mode in ("L", "CMYK") else _rgb(image)
    clear = image.convert("RGBA")
    white = Images.new("RGB", clear.size, "white")
    white.paste(clear, mask=clear.getchannel("A"))
    return white


def _in_srgb(image: Image, profile: bytes | None) -> Image:
    """RGB in sRGB, by a profile that can be read and is of the picture's kind; else RGB as it is."""
    from PIL import ImageCms

    if not _is_srgb(profile):
        try:
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile or b"")), ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return _rgb(image)
    return _rgb(image)


def _rgb(image: Image) -> Image:
    return image if image.mode == "RGB" else image.convert("RGB")
