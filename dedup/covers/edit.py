"""What is done to a picture before it becomes a cover: cut, trimmed, shrunk; never enlarged. Functions from picture to
picture; they need Pillow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from dedup.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

QUALITY = 90
"""JPEG quality if none is asked for."""

TOLERANCE = 24
"""How much a pixel of a border may differ from the border's colour, in each channel of 0 to 255: JPEG and scans are not
exact."""

MOST_TRIMMED = 1 / 3
"""Share of the width or height beyond which an edge of one colour is the picture itself: white with a dot in it."""

SIDES = range(1, 1 << 16)
"""Pixels that a JPEG may have each way."""


class Box(NamedTuple):
    """A part of a picture in pixels: columns from `left` up to `right`, which is not in it, and rows likewise."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def inside(self, inner: Box) -> Box:
        """A box whose pixels are counted from this one's corner, counted from where this one's are."""
        left, top = self.left, self.top
        return Box(left + inner.left, top + inner.top, left + inner.right, top + inner.bottom)


@dataclass(frozen=True)
class Crop:
    """The part to keep of a picture as it is seen upright."""

    left: float
    top: float
    width: float
    height: float
    unit: Literal["pixels", "share"] = "pixels"
    """With "share", numbers are shares of the picture's width and height, 0 to 1."""

    def __post_init__(self) -> None:
        limit = 1.0 if self.unit == "share" else float(SIDES.stop)
        numbers = (self.left, self.top, self.width, self.height)
        if self.unit not in ("pixels", "share") or not all(_is_within(limit, number) for number in numbers):
            found = ",".join(map(str, numbers))
            raise UsageError("crop", f"{found} is not a part of a picture", remedy="Give LEFT, TOP, WIDTH and HEIGHT")
        if min(self.width, self.height) <= 0:
            raise UsageError("crop", f"{self} is empty", remedy="Give a width and a height of more than 0")

    def __str__(self) -> str:
        sign, times = ("%", 100) if self.unit == "share" else ("", 1)
        return ",".join(f"{times * each:g}{sign}" for each in (self.left, self.top, self.width, self.height))


def _is_within(limit: float, number: object) -> bool:
    return isinstance(number, int | float) and 0 <= number <= limit


@dataclass(frozen=True)
class Edit:
    """What is done to a picture, in the order of these fields. Raises UsageError for what makes no sense."""

    crop: Crop | None = None
    """Part to keep; None for all of it."""
    trim: bool = False
    """Whether borders of one colour are cut off, by `MOST_TRIMMED` of the width or height a side at most."""
    tolerance: int = TOLERANCE
    """How much a pixel of a border may differ from its colour: 0 to 255, in each channel."""
    square: bool = False
    """Whether the longer sides are cut, equally, so that it becomes a square."""
    size: tuple[int, int] | None = None
    """Width and height that it shrinks to, with Lanczos' filter; what is too wide or too high for them is cut off."""
    fit: tuple[int, int] | None = None
    """Least and most pixels that it has each way after shrinking by the smallest whole factor that does it: each new
    pixel is the mean of a square of old ones. Up to factor - 1 rows and columns at the edges are cut off."""
    quality: int | None = None
    """JPEG quality, 1 to 95. None for `QUALITY`, and for a JPEG that stays as it is if nothing changes it."""

    def __post_init__(self) -> None:
        if self.size is not None and self.fit is not None:
            raise UsageError("cover", "an exact size and a range are both given", remedy="Give one of them")
        for name, numbers in (("size", self.size), ("fit", self.fit)):
            if numbers is not None and not all(number in SIDES for number in numbers):
                raise UsageError(name, f"{numbers[0]} and {numbers[1]} are given", f"{SIDES.start} to {SIDES.stop - 1}")
        if self.fit is not None and self.fit[0] > self.fit[1]:
            raise UsageError("fit", f"{self.fit[0]} is more than {self.fit[1]}", remedy="Give the smaller one first")
        if self.quality is not None and not 1 <= self.quality <= 95:
            raise UsageError("quality", f"{self.quality} is given", "1 to 95")
        if not 0 <= self.tolerance <= 255:
            raise UsageError("tolerance", f"{self.tolerance} is given", "0 to 255")


class CannotEditError(Exception):
    """A picture has no such part, or is too small; says so in a phrase."""


def apply_edit(image: Image, edit: Edit) -> tuple[Image, Box]:
    """The edited picture, and the part of the old one that it shows. The same object if nothing changes. Raises
    CannotEditError."""
    part = whole = Box(0, 0, *image.size)
    if edit.crop is not None:
        part = _cropped(edit.crop, whole)
    if edit.trim:
        part = part.inside(trimmed(_cut(image, part), edit.tolerance))
    if edit.square:
        side = min(part.width, part.height)
        part = _middle(part, side, side)
    if edit.size is not None:
        return _shrunk(image, part, *edit.size)
    factor = 1 if edit.fit is None else whole_factor(part.width, part.height, *edit.fit)
    part = _middle(part, part.width // factor * factor, part.height // factor * factor)
    shown = _cut(image, part)
    return (shown if factor == 1 else shown.reduce(factor)), part


def whole_factor(width: int, height: int, least: int, most: int) -> int:
    """The smallest whole number by which width and height, divided and rounded down, come to `least` to `most`. Raises
    CannotEditError if there is none."""
    factor = max(1, -(-(max(width, height) + 1) // (most + 1)))
    if min(width, height) // factor >= least:
        return factor
    if min(width, height) < least:
        found = f"it has {width} x {height} pixels, fewer than the {least} wanted, and nothing is enlarged"
        raise CannotEditError(found)
    raise CannotEditError(f"no whole factor brings its {width} x {height} pixels to {least} to {most} each way")


def trimmed(image: Image, tolerance: int) -> Box:
    """The part of an RGB picture within its borders: rows and columns at an edge that all have about the colour of the
    outermost one. A picture of one colour is all picture."""
    part = Box(0, 0, *image.size)
    for _ in range(4):  # bars at top and bottom hide those at the sides
        before = part
        for side in range(4):
            part = _without_border(image, part, side, tolerance)
        if part == before:
            break
    return part


def _without_border(image: Image, part: Box, side: int, tolerance: int) -> Box:
    """The part without the border at one side: a field of Box."""
    shown = _cut(image, part)
    table = [255 * (abs(value - middle) > tolerance) for middle in _colour_of_edge(shown, side) for value in range(256)]
    content = shown.point(table).getbbox()
    if content is None:
        return part
    found, length = part.inside(Box(*content))[side], image.size[side % 2]
    is_border = (found if side < 2 else length - found) <= MOST_TRIMMED * length
    return part._replace(**{Box._fields[side]: found}) if is_border else part


def _colour_of_edge(image: Image, side: int) -> tuple[int, int, int]:
    """The median of each channel in the outermost row or column."""
    width, height = image.size
    boxes = ((0, 0, 1, height), (0, 0, width, 1), (width - 1, 0, width, height), (0, height - 1, width, height))
    red, green, blue = (sorted(channel.tobytes()) for channel in image.crop(boxes[side]).split())
    return red[len(red) // 2], green[len(green) // 2], blue[len(blue) // 2]


def _cropped(crop: Crop, whole: Box) -> Box:
    """Raises CannotEditError for a part that is not in the picture."""
    across, down = (whole.width, whole.height) if crop.unit == "share" else (1, 1)
    left, top = round(crop.left * across), round(crop.top * down)
    right, bottom = round((crop.left + crop.width) * across), round((crop.top + crop.height) * down)
    found = Box(left, top, right, bottom)
    if found.right > whole.right or found.bottom > whole.bottom or min(found.width, found.height) < 1:
        raise CannotEditError(f"it has {whole.width} x {whole.height} pixels, so {crop} is not a part of it")
    return found


def _middle(part: Box, width: int, height: int) -> Box:
    """The middle of a part, so wide and so high."""
    left, top = part.left + (part.width - width) // 2, part.top + (part.height - height) // 2
    return Box(left, top, left + width, top + height)


def _shrunk(image: Image, part: Box, width: int, height: int) -> tuple[Image, Box]:
    from PIL import Image as Images

    if part.width < width or part.height < height:
        found = f"it has {part.width} x {part.height} pixels, fewer than {width} x {height}, and nothing is enlarged"
        raise CannotEditError(found)
    ratio = min(part.width / width, part.height / height)
    part = _middle(part, min(part.width, round(width * ratio)), min(part.height, round(height * ratio)))
    shown = _cut(image, part)
    return (shown if shown.size == (width, height) else shown.resize((width, height), Images.Resampling.LANCZOS)), part


def _cut(image: Image, part: Box) -> Image:
    return image if part == (0, 0, *image.size) else image.crop(part)
