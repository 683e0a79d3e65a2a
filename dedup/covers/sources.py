"""Where a cover can come from: the pictures in a file's own tags, those of its other copies, and those in its folder.
Their headers are read, nothing is decoded."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dedup.correlation.scoring import MERGING
from dedup.covers.make import picture_in
from dedup.errors import InputError
from dedup.files.held import open_regular
from dedup.files.paths import extension_of, printable
from dedup.groups.judgements import find
from dedup.groups.matches import Matches
from dedup.tags.cover import FRONT, PICTURES, Cover, Picture, cover_of
from dedup.tags.extras import picture_digest
from dedup.tags.read import read_tags

if TYPE_CHECKING:
    from dedup.settings import MatchSettings
    from dedup.store.store import Store

Origin = Literal["own", "copy", "folder"]

MOST_IN_FOLDER = 60
"""Pictures of a folder that are looked at."""

EXTENSIONS = ("jpg", "jpeg", "png", "tif", "tiff", "webp")

FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WebP",
    "image/tiff": "TIFF",
    "image/gif": "GIF",
    "image/bmp": "BMP",
}
"""What formats are called, by MIME type. GIF and BMP are in tags of old, and nothing is made of them."""

_NAMES = ("cover", "folder", "front", "albumart", "album", "artwork")
"""How names of covers begin, the likeliest first."""

_FOLDERS = (b"artwork", b"covers", b"cover", b"scans", b"art", b"booklet")
"""Folders of pictures beside the files of an album."""


@dataclass(frozen=True)
class Candidate:
    """A picture that may become a cover."""

    origin: Origin
    """Where it is: in the file's own tags, in those of another copy, or in the file's folder."""
    path: bytes
    """File that holds it: music, or the picture itself."""
    what: str
    """It in words: "front cover", "back cover"; the name of the file for one in the folder."""
    format: str
    """"JPEG", "PNG", "WebP", "TIFF", "GIF" or "BMP"."""
    width: int
    """Pixels; 0 if the header cannot be read."""
    height: int
    n_bytes: int
    digest: str
    """16 hex digits of the data: equal pictures have equal ones."""


def candidates(store: Store, path: bytes, match: MatchSettings) -> list[Candidate]:
    """The pictures for a file of the store: of its own tags, of its copies, of its folder; each once. Those that name
    themselves a front cover come first in each. Reads all pairs of the store. Raises InputError if the store does not
    know the file as it is now, OSError if it cannot be read."""
    known = find(store, path).path
    return list(_each_once(candidates_of(known, copies_of(Matches(store, match), known))))


def candidates_of(path: bytes, copies: Iterable[bytes]) -> list[Candidate]:
    """`candidates` for whoever knows the copies. A copy or a picture that cannot be read is left out."""
    found = list(_in_tags("own", path))
    for copy in copies:
        found += _readable(copy)
    return list(_each_once([*found, *_in_folder(os.path.dirname(path))]))


def copies_of(matches: Matches, path: bytes) -> list[bytes]:
    """The other files with the recording that this one has, which are there, by path."""
    return [pair.b.path for pair in matches.of_path(path) if pair.verdict in MERGING and pair.b.state == "present"]


def data_of(found: Iterable[Candidate], digest: str) -> bytes:
    """The picture among these with this digest, as its file has it now. Raises InputError if there is none any more,
    OSError."""
    candidate = next((each for each in found if each.digest == digest), None)
    if candidate is not None:
        if candidate.origin == "folder":
            pictures = [picture_in(candidate.path, is_followed=False)]
        else:
            pictures = [cover.data for _, cover in _pictures(candidate.path)]
        for data in pictures:
            if picture_digest(data) == digest:
                return data
    raise InputError(digest, "is none of the pictures for this file now", remedy="List them again")


def front_of(path: bytes) -> Cover | None:
    """The front cover in a file's tags, the largest if there are several; None if there is none. Raises OSError."""
    return max(read_tags(path).covers, key=lambda each: (each.width * each.height, len(each.data)), default=None)


def is_picture(path: bytes) -> bool:
    """Whether a file begins like a picture, of whatever format. Raises OSError."""
    with open_regular(path) as file:
        return bool(measured(file.read(64)).mime)


def measured(data: bytes) -> Cover:
    """The picture with what its header says, of TIFF too; MIME type "" if it is none."""
    cover = cover_of(data)
    return cover if cover.mime else Cover(data, *_tiff(data))


def _in_tags(origin: Origin, path: bytes) -> Iterator[Candidate]:
    return (_candidate(origin, path, what, cover) for what, cover in _pictures(path))


def _pictures(path: bytes) -> Iterator[tuple[str, Cover]]:
    """All pictures in a file's tags, each with what it is, front covers first."""
    tags = read_tags(path)
    for cover in tags.covers:
        yield PICTURES[FRONT], cover
    for held in tags.extras:
        if isinstance(held.content, Picture):
            yield held.content.what, held.content.cover


def _readable(copy: bytes) -> list[Candidate]:
    try:
        return list(_in_tags("copy", copy))
    except OSError:  # gone or unreadable since the scan: then it has no picture to give
        return []


def _in_folder(folder: bytes) -> Iterator[Candidate]:
    """Pictures in a folder, and in one below it that is called "Artwork" or the like."""
    names = _names_in(folder)
    paths = [os.path.join(folder, name) for name in names]
    below = [path for name, path in zip(names, paths, strict=True) if name.lower() in _FOLDERS]
    paths += [os.path.join(path, name) for path in below if not os.path.islink(path) for name in _names_in(path)]
    pictures = [path for path in paths if extension_of(path) in EXTENSIONS]
    for path in sorted(pictures, key=_rank)[:MOST_IN_FOLDER]:
        try:
            cover = measured(picture_in(path, is_followed=False))
        except (OSError, InputError):  # not to be read, no regular file or too large: then it is no picture for a cover
            continue
        if cover.mime:
            yield _candidate("folder", path, os.fsdecode(os.path.relpath(path, folder)), cover)


def _names_in(folder: bytes) -> list[bytes]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _rank(path: bytes) -> tuple[int, bytes]:
    name = os.fsdecode(os.path.basename(path)).lower()
    return next((rank for rank, word in enumerate(_NAMES) if name.startswith(word)), len(_NAMES)), path


def _candidate(origin: Origin, path: bytes, what: str, cover: Cover) -> Candidate:
    name = FORMATS.get(cover.mime, cover.mime or printable(path).rpartition(".")[2].upper())
    size = cover.width, cover.height, len(cover.data)
    return Candidate(origin, path, what, name, *size, picture_digest(cover.data))


def _each_once(found: Iterable[Candidate]) -> Iterator[Candidate]:
    seen: set[str] = set()
    for candidate in found:
        if candidate.digest not in seen:
            seen.add(candidate.digest)
            yield candidate


def _tiff(data: bytes) -> tuple[str, int, int]:
    """MIME type, width and height by the first directory of a TIFF file."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return "", 0, 0
    size = {256: 0, 257: 0}
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        (n_entries,) = struct.unpack_from(f"{order}H", data, at)
        for number in range(n_entries):
            tag, kind = struct.unpack_from(f"{order}HH", data, at + 2 + 12 * number)
            if tag in size:
                (size[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, at + 10 + 12 * number)
    except struct.error:
        return "image/tiff", 0, 0
    return "image/tiff", size[256], size[257]
