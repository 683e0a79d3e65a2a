"""Playlists: which files they refer to, and their new content when some of these have moved. Only the references
change; every other byte stays. Nothing here writes a file.

A playlist is bytes in an encoding that it seldom names, so a reference can be read in more than one way: as it stands,
with the backslashes of Windows, in Latin-1, with percent signs. The first reading for which there is a file counts. A
new reference is written like the old one (absolute or relative, slashes, `file://`, percent signs); if the new path
cannot be written like that, because it has a line break or the encoding lacks a character, it is a `file://` URL, which
is plain ASCII."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from dedup.errors import LibraryError
from dedup.files.held import open_regular
from dedup.files.paths import extension_of
from dedup.files.quarantine import QUARANTINE
from dedup.library.discover import discover, require_usable
from dedup.observer import Silent
from dedup.playlists.cue import Cue
from dedup.playlists.m3u import M3u
from dedup.playlists.moves import Moves
from dedup.playlists.nouns import Entry, PlaylistError
from dedup.playlists.pls import Pls
from dedup.playlists.smil import Smil
from dedup.playlists.text import TextPlaylist
from dedup.playlists.xspf import Xspf
from dedup.settings import DiscoverSettings

FORMATS: Mapping[str, type[TextPlaylist]] = {
    "m3u": M3u,
    "m3u8": M3u,
    "pls": Pls,
    "xspf": Xspf,
    "wpl": Smil,
    "zpl": Smil,
    "cue": Cue,
}
"""Formats by their extensions."""
EXTENSIONS = frozenset(FORMATS)

MAX_BYTES = 64 << 20
"""Largest playlist; one with half a million entries is that large. A larger file only has the name of a playlist."""


def find_playlists(folders: Iterable[bytes]) -> list[bytes]:
    """The playlists in and below `folders`, sorted, each once. Folders are walked as in a scan: hidden ones are
    skipped, links to folders followed. A folder that cannot be listed counts as empty. Links to playlists are left out,
    because their targets are found where they lie or do not belong to the library; so are quarantined files."""
    usable = [folder for folder in {os.path.abspath(folder) for folder in folders} if _is_usable(folder)]
    if not usable:
        return []
    found = discover(usable, DiscoverSettings(extensions=EXTENSIONS), Silent()).candidates
    paths = [file.path for file in found if extension_of(file.path) in EXTENSIONS and not os.path.islink(file.path)]
    return [path for path in paths if QUARANTINE not in path.split(b"/")]


def _is_usable(folder: bytes) -> bool:
    try:
        require_usable([folder])
    except LibraryError:
        return False
    return True


def references(path: bytes) -> list[bytes]:
    """Absolute, normalised paths of the local files that a playlist refers to, in its order, whether they exist or
    not. Web addresses, other machines and Windows drives are not local files. Raises OSError, and PlaylistError for
    broken XML and for content that is not text."""
    playlist = _parsed(path, read_content(path))
    readings = ([reading.path for reading in playlist.readings(entry.text)] for entry in playlist.entries)
    return [next(filter(os.path.lexists, of_one), of_one[0]) for of_one in readings if of_one]


def read_content(path: bytes) -> bytes:
    """The bytes of a playlist; no more than show that it is too large. Raises OSError."""
    with open_regular(path) as file:
        return file.read(MAX_BYTES + 1)


def rewritten(path: bytes, content: bytes, moved: Mapping[bytes, bytes] | Moves) -> bytes:
    """`content` of the playlist at `path` with references to the keys of `moved` pointing to their values: absolute,
    normalised paths. A name also matches through links to its folder, and in another Unicode normal form or case if no
    file has exactly that name. Raises PlaylistError as `references` does."""
    return _spliced(content, _changes(path, content, moved))


def rewritten_elsewhere(path: bytes, new_path: bytes, content: bytes, moved: Mapping[bytes, bytes] | Moves) -> bytes:
    """`content` of a playlist that was at `path` and is at `new_path` now, with all references as `rewritten` makes
    them, relative ones from its new folder; also those to files that stay. Raises PlaylistError."""
    return _spliced(content, _changes_elsewhere(path, new_path, content, moved))


def _spliced(content: bytes, changes: Iterable[tuple[Entry, bytes]]) -> bytes:
    """`content` with other bytes for some of its entries, in their order."""
    pieces, end = [], 0
    for entry, new in changes:
        pieces += [content[end : entry.start], new]
        end = entry.end
    return b"".join([*pieces, content[end:]])


def _changes_elsewhere(
    path: bytes, new_path: bytes, content: bytes, moved: Mapping[bytes, bytes] | Moves
) -> Iterator[tuple[Entry, bytes]]:
    old, new = _parsed(path, content), _parsed(new_path, content)
    moves = moved if isinstance(moved, Moves) else Moves(moved)
    for entry in old.entries:
        readings = old.readings(entry.text)
        reading = moves.meant(readings)
        target = moves.target(reading.path) if reading is not None else b""
        if reading is None:
            reading = next((each for each in readings if os.path.lexists(each.path)), None)
            target = reading.path if reading is not None else b""
        if reading is not None and not _says(new, entry.text, target):
            yield entry, new.replaced(entry, reading, target)


def _says(playlist: TextPlaylist, text: bytes, path: bytes) -> bool:
    """Whether the first reading of a reference is that file."""
    return next((each.path == path for each in playlist.readings(text)), False)


def count_references(path: bytes, content: bytes, files: Moves) -> Counter[bytes]:
    """How often the playlist refers to each of the files, as `rewritten` finds them."""
    playlist = _parsed(path, content)
    meant = (files.meant(playlist.readings(entry.text)) for entry in playlist.entries)
    return Counter(files.target(reading.path) for reading in meant if reading is not None)


def _changes(path: bytes, content: bytes, moved: Mapping[bytes, bytes] | Moves) -> Iterator[tuple[Entry, bytes]]:
    playlist, moves = _parsed(path, content), moved if isinstance(moved, Moves) else Moves(moved)
    for entry in playlist.entries:
        reading = moves.meant(playlist.readings(entry.text))
        if reading is not None and moves.target(reading.path) != reading.path:
            yield entry, playlist.replaced(entry, reading, moves.target(reading.path))


def _parsed(path: bytes, content: bytes) -> TextPlaylist:
    if len(content) > MAX_BYTES:
        raise PlaylistError(f"more than {MAX_BYTES >> 20} MiB")
    return FORMATS.get(extension_of(path), M3u)(os.path.dirname(os.path.abspath(path)), content)
