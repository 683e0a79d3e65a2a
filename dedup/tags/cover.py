"""Pictures in a file's tags: their types, and the sizes that their headers give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OTHER, FRONT = 0, 3
"""Picture types, in ID3, FLAC and ASF, of a picture of which nothing is said, and of a front cover."""

ICONS = ("icon", "other icon")
PICTURES = (
    "picture",
    *ICONS,
    "front cover",
    "back cover",
    "leaflet page",
    "picture of the medium",
    "picture of the lead artist",
    "picture of the artist",
    "picture of the conductor",
    "picture of the band",
    "picture of the composer",
    "picture of the lyricist",
    "picture of where it was recorded",
    "picture of the recording",
    "picture of a performance",
    "picture from a film",
    "picture of a fish",
    "illustration",
    "logo of the band",
    "logo of the publisher",
)
"""What each picture type is called."""

SMALLEST = 100
LARGEST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Cover:
    """An embedded picture."""

    data: bytes
    mime: str
    """MIME type of the data; what the file says if the data is not JPEG, PNG, GIF, WebP or BMP."""
    width: int
    """Pixels; 0 if the header cannot be read."""
    height: int


@dataclass(frozen=True)
class Picture:
    """A picture of any type."""

    kind: int
    """Picture type, an index of `PICTURES`."""
    cover: Cover
    description: str = ""

    @property
    def what(self) -> str:
        """It in words: "back cover"."""
        name = PICTURES[self.kind] if self.kind < len(PICTURES) else PICTURES[OTHER]
        return f"{name} ({self.description})" if self.description and name not in ICONS else name


def fronts_of(pictures: Sequence[Picture]) -> list[Picture]:
    """The front covers. Where there is none, the first picture of which nothing is said is the front cover."""
    fronts = [picture for picture in pictures if picture.kind == FRONT]
    return fronts or [picture for picture in pictures if picture.kind == OTHER][:1]


def others_of(pictures: Sequence[Picture]) -> list[Picture]:
    """Pictures that are no front covers, and those that no program here can judge as such."""
    fronts = set(fronts_of(pictures))  # a list would be gone through for each of 100,000 pictures
    return [picture for picture in pictures if picture not in fronts or not is_usable(picture.cover)]


def is_usable(cover: Cover) -> bool:
    """Whether its header can be read, and it has 16 MiB or less."""
    return min(cover.width, cover.height) > 0 and len(cover.data) <= LARGEST_BYTES


def is_good(cover: Cover) -> bool:
    """Whether it is usable, and has 100 pixels or more each way."""
    return is_usable(cover) and min(cover.width, cover.height) >= SMALLEST


def cover_of(data: bytes, mime: str = "") -> Cover:
    """The picture with what its header says; `mime` counts only if the header says nothing."""
    found, width, height = _measured(data)
    return Cover(data, found or mime, width, height)


def _measured(data: bytes) -> tuple[str, int, int]:
    if data[:3] == b"\xff\xd8\xff":
        return "image/jpeg", *_jpeg_size(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        is_whole = len(data) >= 24 and data[12:16] == b"IHDR"
        return "image/png", *(_pair(data[16:24], 4, "big") if is_whole else (0, 0))
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif", *(_pair(data[6:10], 2, "little") if len(data) >= 10 else (0, 0))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp", *_webp_size(data)
    if data[:2] == b"BM" and len(data) >= 26:
        width, height = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in (18, 22))
        return "image/bmp", abs(width), abs(height)
    return "", 0, 0


def _pair(digits: bytes, size: int, order: str) -> tuple[int, int]:
    is_big = order == "big"
    first, second = digits[:size], digits[size : 2 * size]
    return int.from_bytes(first, "big" if is_big else "little"), int.from_bytes(second, "big" if is_big else "little")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """The size in the first frame header; the segments before it are skipped by their lengths."""
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = _pair(data[position + 5 : position + 9], 2, "big")
            return width, height
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # without a length
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return 0, 0


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if len(data) < 30:
        return 0, 0
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = _pair(data[26:30], 2, "little")
    return (width & 0x3FFF, height & 0x3FFF) if kind == b"VP8 " else (0, 0)
