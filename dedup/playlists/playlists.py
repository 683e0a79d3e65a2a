"""Playlists: which files they refer to, and their new content when some of these have moved. Only the references
change; every other byte stays. Nothing here writes a file.

A playlist is bytes in an encoding that it seldom names, so a reference can be read in more than one way: as it stands,
with the backslashes of Windows, in Latin-1. The first reading for which there is a file counts. A new reference is
written like the old one (absolute or relative, slashes, `file://`, percent signs); if the new path cannot be written
like that, because it has a line break or the encoding lacks a character, it is a `file://` URL, which is plain
ASCII."""

from __future__ import annotations

import functools
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape

from dedup.errors import LibraryError
from dedup.files.paths import extension_of
from dedup.files.quarantine import QUARANTINE
from dedup.files.uri import DRIVE, FILE_URL, SCHEME, quoted
from dedup.library.discover import discover, require_usable
from dedup.observer import Silent
from dedup.playlists.xspf import BrokenXmlError, Entry, locations
from dedup.settings import DiscoverSettings

EXTENSIONS = frozenset({"m3u", "m3u8", "pls", "xspf"})

MAX_BYTES = 64 << 20
"""Largest playlist; one with half a million entries is that large. A larger file only has the name of a playlist."""


class PlaylistError(Exception):
    """A file with the name of a playlist cannot be read as one; the text gives the reason."""


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


def references(path: bytes) -> list[bytes]:
    """Absolute, normalised paths of the local files that a playlist refers to, in its order, whether they exist or
    not. Web addresses, other machines and Windows drives are not local files. Raises OSError, and PlaylistError for
    broken XML and for content that is not text."""
    with open(path, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    playlist = _parsed(path, content)
    readings = ([reading.path for reading in playlist.readings(entry.text)] for entry in playlist.entries)
    return [next(filter(os.path.lexists, of_one), of_one[0]) for of_one in readings if of_one]


def rewritten(path: bytes, content: bytes, moved: Mapping[bytes, bytes] | Moves) -> bytes:
    """`content` of the playlist at `path` with references to the keys of `moved` pointing to their values: absolute,
    normalised paths. A name also matches through links to its folder, and in another Unicode normal form or case if no
    file has exactly that name. Raises PlaylistError as `references` does."""
    pieces, end = [], 0
    for entry, new in _changes(path, content, moved):
        pieces += [content[end : entry.start], new]
        end = entry.end
    return b"".join([*pieces, content[end:]])


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


def _is_usable(folder: bytes) -> bool:
    try:
        require_usable([folder])
    except LibraryError:
        return False
    return True


@dataclass(frozen=True)
class _Reading:
    """One way to read a reference."""

    path: bytes
    """Absolute, normalised path."""
    codec: str | None
    """Codec from which it was turned into UTF-8; None if it was taken byte by byte."""


class Moves:
    """What has moved where: absolute, normalised paths."""

    def __init__(self, moved: Mapping[bytes, bytes]) -> None:
        self._moved = moved
        self._real_folders: dict[bytes, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._moved)

    @functools.cached_property
    def _by_form(self) -> dict[bytes, bytes]:
        return {_normal_form(old): new for old, new in sorted(self._moved.items(), reverse=True)}

    @functools.cached_property
    def _by_place(self) -> dict[bytes, bytes]:
        return {self._place(old): new for old, new in sorted(self._moved.items(), reverse=True)}

    def _place(self, path: bytes) -> bytes:
        """The path with the links in its folder resolved; the file itself may be gone."""
        folder, name = os.path.split(path)
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        return os.path.join(self._real_folders[folder], name)

    @functools.cached_property
    def _by_letters(self) -> dict[bytes, bytes]:
        """Old paths by their case-folded form."""
        return {_without_case(old): old for old in sorted(self._moved, reverse=True)}

    def _is_other_case(self, path: bytes) -> bool:
        """Whether the path names a moved file on a disk that ignores case."""
        old = self._by_letters.get(_without_case(path))
        return old is not None and os.path.lexists(old) and os.path.samefile(path, old)

    def meant(self, readings: list[_Reading]) -> _Reading | None:
        """The reading that has moved; None if the reference means a file that stays, or an unknown one."""
        for reading in readings:
            if reading.path in self._moved or self._place(reading.path) in self._by_place:
                return reading
            if os.path.exists(reading.path):
                return reading if self._is_other_case(reading.path) else None
            if os.path.lexists(reading.path):
                return None
        by_form = (reading for reading in readings if _normal_form(reading.path) in self._by_form)
        by_letters = (reading for reading in readings if _without_case(reading.path) in self._by_letters)
        return next(by_form, None) or next(by_letters, None)

    def target(self, path: bytes) -> bytes:
        if path in self._moved:
            return self._moved[path]
        place, form = self._place(path), _normal_form(path)
        if place in self._by_place:
            return self._by_place[place]
        return self._by_form[form] if form in self._by_form else self._moved[self._by_letters[_without_case(path)]]


def _normal_form(path: bytes) -> bytes:
    text = path.decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")


def _without_case(path: bytes) -> bytes:
    return _normal_form(path).decode("utf-8", "surrogateescape").casefold().encode("utf-8", "surrogateescape")


_ELSEWHERE = re.compile(rb"[a-z][a-z0-9+.-]+://|[a-z]:[\\/]|\\\\", re.IGNORECASE)
"""Beginnings that a plain path cannot have: a URL, a Windows drive, another machine."""


@dataclass(frozen=True)
class _Playlist:
    """A playlist of text lines: m3u and pls."""

    folder: bytes
    """Folder from which relative references start."""
    content: bytes
    entries: tuple[Entry, ...]
    codec: str
    """Codec of the whole content."""

    def readings(self, text: bytes) -> list[_Reading]:
        """Possible readings, likely ones first; none if it is not a local file."""
        return [
            _Reading(_absolute(self.folder, told), codec)
            for name in self._names(text)
            for told, codec in [(name, None), *_recoded(name)]
        ]

    def _names(self, text: bytes) -> list[bytes]:
        """The path that a line gives, for both meanings of a backslash."""
        url = FILE_URL.fullmatch(text)
        if url:
            name = unquote_to_bytes(url[2])
            return [] if DRIVE.match(name) else [name]
        if _ELSEWHERE.match(text):
            return []
        turned = text.replace(b"\\", b"/")
        return list(dict.fromkeys((text, turned) if b"/" in text else (turned, text)))

    def replaced(self, entry: Entry, reading: _Reading, new: bytes) -> bytes:
        """The text that replaces an entry so that it refers to `new`."""
        url = FILE_URL.fullmatch(entry.text)
        if url:
            # Letters in Latin-1 are not a model: those of the new path are in UTF-8.
            return url[1] + quoted(new, _NOT_ASCII.sub(b"", url[2]) if _recoded(url[2]) else url[2])
        codec = self.codec if entry.text.isascii() else reading.codec or (None if _recoded(entry.text) else "utf-8")
        target = _encoded(_like(entry.text, new, self.folder), codec)
        if target is not None:
            backslashes = b"\\" not in target and self._has_backslashes(entry.text)
            text = target.replace(b"/", b"\\") if backslashes else target
            for candidate in (text, (b".\\" if backslashes else b"./") + text):
                if self._tells(candidate, new):
                    return candidate
        return b"file://" + quoted(new, b"")

    def _has_backslashes(self, text: bytes) -> bool:
        """Whether backslashes separate folders: in the reference itself, otherwise in the first one with folders."""
        for told in (text, *(entry.text for entry in self.entries if not _ELSEWHERE.match(entry.text))):
            if b"/" in told or b"\\" in told:
                return b"/" not in told
        return False

    def _tells(self, text: bytes, new: bytes) -> bool:
        """Whether `new` is the first reading of a line with that text."""
        is_literal = b"\\" not in text or b"/" in text or b"\\" not in new
        found = [entry.text for entry in (*_m3u_entries(text), *_pls_entries(b"File1=" + text))]
        return is_literal and found == [text, text] and any(reading.path == new for reading in self.readings(text))


_NOT_ASCII = re.compile(rb"[\x80-\xff]+")


class _XmlPlaylist(_Playlist):
    """XSPF: references are URIs, in text of XML."""

    def _names(self, text: bytes) -> list[bytes]:
        url = FILE_URL.fullmatch(text)
        if not url and SCHEME.match(text):
            return []
        name = url[2] if url else text
        names = dict.fromkeys((unquote_to_bytes(name), name))  # some programs write plain paths, percent signs included
        return [plain for plain in names if not (url and DRIVE.match(plain))]

    def replaced(self, entry: Entry, _reading: _Reading, new: bytes) -> bytes:
        url = FILE_URL.fullmatch(entry.text)
        if url:
            text = url[1] + quoted(new, url[2])
        else:
            text = quoted(_like(entry.text, new, self.folder), entry.text)
            text = b"./" + text if SCHEME.match(text) else text
        raw = self.content[entry.start : entry.end].decode(self.codec)
        before, after = raw[: len(raw) - len(raw.lstrip())], raw[len(raw.rstrip()) :]
        return f"{before}{escape(text.decode())}{after}".encode(self.codec, "xmlcharrefreplace")


def _recoded(name: bytes) -> list[tuple[bytes, str]]:
    """A name that is not UTF-8, taken for Windows' encoding or Latin-1: in UTF-8, and the codec."""
    for codec in ("utf-8", "cp1252", "latin-1"):
        try:
            text = name.decode(codec)
        except UnicodeDecodeError:
            continue
        return [] if codec == "utf-8" else [(text.encode(), codec)]
    raise AssertionError("Latin-1 reads anything")


def _encoded(path: bytes, codec: str | None) -> bytes | None:
    """A path in the encoding of its playlist; None if that lacks one of its characters."""
    try:
        return path if codec is None else path.decode("utf-8").encode(codec)
    except UnicodeError:
        return None


def _absolute(folder: bytes, name: bytes) -> bytes:
    # POSIX lets two leading slashes mean something other than one, and normpath keeps them.
    return b"/" + os.path.normpath(os.path.join(folder, name)).lstrip(b"/")


def _like(text: bytes, new: bytes, folder: bytes) -> bytes:
    """`new` in the form of `text`: absolute, relative, or relative with a leading dot."""
    if text.startswith((b"/", b"\\")):
        return new
    relative = os.path.relpath(new, folder)
    is_dotted = text.startswith((b"./", b".\\")) and not relative.startswith(b"../")
    return b"./" + relative if is_dotted else relative


_BOM = b"\xef\xbb\xbf"


def _parsed(path: bytes, content: bytes) -> _Playlist:
    if len(content) > MAX_BYTES:
        raise PlaylistError(f"more than {MAX_BYTES >> 20} MiB")
    folder, extension = os.path.dirname(os.path.abspath(path)), extension_of(path)
    if extension == "xspf":
        try:
            entries, codec, has_base = locations(content)
        except BrokenXmlError as error:
            raise PlaylistError(f"broken XML: {error}") from error
        # If the document names the place that relative paths start from, we cannot know what they mean.
        known = tuple(entry for entry in entries if not has_base or SCHEME.match(entry.text))
        return _XmlPlaylist(folder, content, known, codec)
    if b"\0" in content:
        raise PlaylistError("not text, or UTF-16")
    found = _pls_entries(content) if extension == "pls" else _m3u_entries(content)
    codec = "cp1252" if _recoded(content) else "utf-8"
    return _Playlist(folder, content, tuple(found), codec)


def _m3u_entries(content: bytes) -> Iterator[Entry]:
    if re.search(rb"^#EXT-X-", content, re.MULTILINE):
        return  # an HLS manifest: it lists pieces of a stream, not music files
    start = len(_BOM) if content.startswith(_BOM) else 0
    for line in re.compile(rb"[^\r\n]+").finditer(content, start):
        text = line[0].rstrip(b" \t")
        if text.strip(b" \t") and not text.lstrip(b" \t").startswith(b"#"):
            yield Entry(line.start(), line.start() + len(text), text)


_PLS_FILE = re.compile(
    rb"(?:\A(?:\xef\xbb\xbf)?|(?<=[\r\n]))[ \t]*File\d+[ \t]*=[ \t]*([^\r\n]*[^\r\n \t])", re.IGNORECASE
)


def _pls_entries(content: bytes) -> Iterator[Entry]:
    return (Entry(*line.span(1), line[1]) for line in _PLS_FILE.finditer(content))
