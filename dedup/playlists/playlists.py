"""Playlists: which files they refer to, and how they read when some of these have moved. Only the references change;
every other byte stays. Nothing here writes a file.

A playlist is bytes of an encoding that it seldom names, so a reference may be read in more than one way: as it stands,
with the backslashes of Windows, in Latin-1. Meant is the first reading that there is a file for. A new reference is
told as the old one was (absolute or relative, slashes, `file://`, percent signs); where that cannot tell the new path,
as one with a line break or one that the encoding lacks, it is a `file://` URL, which is plain ASCII."""

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
"""Of a playlist; one of half a million entries has as many. What is larger is something else of that name."""


class PlaylistError(Exception):
    """A file that is called a playlist and cannot be read as one; says why."""


def find_playlists(folders: Iterable[bytes]) -> list[bytes]:
    """The playlists in and below `folders`, sorted, each once. Folders are walked as in a scan: hidden ones are passed
    over, links to folders followed. A folder that cannot be listed holds none; a link to a playlist is none, as what it
    leads to is found where it lies, or is none of ours. Quarantined files are none."""
    usable = [folder for folder in {os.path.abspath(folder) for folder in folders} if _is_usable(folder)]
    if not usable:
        return []
    found = discover(usable, DiscoverSettings(extensions=EXTENSIONS), Silent()).candidates
    paths = [file.path for file in found if extension_of(file.path) in EXTENSIONS and not os.path.islink(file.path)]
    return [path for path in paths if QUARANTINE not in path.split(b"/")]


def references(path: bytes) -> list[bytes]:
    """Absolute, normalised paths of the local files that a playlist refers to, in its order, whether they are there or
    not. Web addresses, other machines and drives of Windows are no local files. Raises OSError, and PlaylistError for
    broken XML and for what is no text."""
    with open(path, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    playlist = _parsed(path, content)
    readings = ([reading.path for reading in playlist.readings(entry.text)] for entry in playlist.entries)
    return [next(filter(os.path.lexists, of_one), of_one[0]) for of_one in readings if of_one]


def rewritten(path: bytes, content: bytes, moved: Mapping[bytes, bytes] | Moves) -> bytes:
    """`content` of the playlist at `path` with references to the keys of `moved` pointing to their values: absolute,
    normalised paths. A name matches by way of links to its folder, and in another Unicode normal form or case, where
    there is no file of its own. Raises PlaylistError as `references` does."""
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
    """Absolute and normalised."""
    codec: str | None
    """That turned it into UTF-8; None where it was taken byte by byte."""


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
        """The path without links to its folder; the file itself may be gone."""
        folder, name = os.path.split(path)
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        return os.path.join(self._real_folders[folder], name)

    @functools.cached_property
    def _by_letters(self) -> dict[bytes, bytes]:
        """The old path for one without case."""
        return {_without_case(old): old for old in sorted(self._moved, reverse=True)}

    def _is_other_case(self, path: bytes) -> bool:
        """Whether it is one that has moved on a disk to which upper and lower case are one."""
        old = self._by_letters.get(_without_case(path))
        return old is not None and os.path.lexists(old) and os.path.samefile(path, old)

    def meant(self, readings: list[_Reading]) -> _Reading | None:
        """The reading that has moved; None where a file that stays is meant, or one that is not known."""
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
"""How a plain path does not begin: a URL, a drive of Windows, another machine."""


@dataclass(frozen=True)
class _Playlist:
    """Lines of text: m3u and pls."""

    folder: bytes
    """That relative references start from."""
    content: bytes
    entries: tuple[Entry, ...]
    codec: str
    """Of the whole."""

    def readings(self, text: bytes) -> list[_Reading]:
        """Likely ones first; none of what is no local file."""
        return [
            _Reading(_absolute(self.folder, told), codec)
            for name in self._names(text)
            for told, codec in [(name, None), *_recoded(name)]
        ]

    def _names(self, text: bytes) -> list[bytes]:
        """The path that a line gives, in either meaning of a backslash."""
        url = FILE_URL.fullmatch(text)
        if url:
            name = unquote_to_bytes(url[2])
            return [] if DRIVE.match(name) else [name]
        if _ELSEWHERE.match(text):
            return []
        turned = text.replace(b"\\", b"/")
        return list(dict.fromkeys((text, turned) if b"/" in text else (turned, text)))

    def replaced(self, entry: Entry, reading: _Reading, new: bytes) -> bytes:
        """What stands in the place of an entry when it points to `new`."""
        url = FILE_URL.fullmatch(entry.text)
        if url:
            # Letters in Latin-1 are no model: those of the new path would come in UTF-8.
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
        """Whether folders are told apart by them: in the reference itself, else in the first that has any."""
        for told in (text, *(entry.text for entry in self.entries if not _ELSEWHERE.match(entry.text))):
            if b"/" in told or b"\\" in told:
                return b"/" not in told
        return False

    def _tells(self, text: bytes, new: bytes) -> bool:
        """Whether a line of that text refers to `new`, and is read as such first."""
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
        names = dict.fromkeys((unquote_to_bytes(name), name))  # some write plain paths, and mean the percent signs
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
    """What is no UTF-8 was written by Windows, or is Latin-1: in UTF-8, and the codec."""
    for codec in ("utf-8", "cp1252", "latin-1"):
        try:
            text = name.decode(codec)
        except UnicodeDecodeError:
            continue
        return [] if codec == "utf-8" else [(text.encode(), codec)]
    raise AssertionError("Latin-1 reads anything")


def _encoded(path: bytes, codec: str | None) -> bytes | None:
    """A path in the encoding of its playlist; None where that lacks a character of it."""
    try:
        return path if codec is None else path.decode("utf-8").encode(codec)
    except UnicodeError:
        return None


def _absolute(folder: bytes, name: bytes) -> bytes:
    # POSIX lets two slashes at the start be something else than one, and so does normpath.
    return b"/" + os.path.normpath(os.path.join(folder, name)).lstrip(b"/")


def _like(text: bytes, new: bytes, folder: bytes) -> bytes:
    """`new` absolute, relative, or relative with a dot in front, as `text` is."""
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
        # Of a relative path it is not for us to say what it means where it starts from a place that is named.
        known = tuple(entry for entry in entries if not has_base or SCHEME.match(entry.text))
        return _XmlPlaylist(folder, content, known, codec)
    if b"\0" in content:
        raise PlaylistError("no text, or UTF-16")
    found = _pls_entries(content) if extension == "pls" else _m3u_entries(content)
    codec = "cp1252" if _recoded(content) else "utf-8"
    return _Playlist(folder, content, tuple(found), codec)


def _m3u_entries(content: bytes) -> Iterator[Entry]:
    if re.search(rb"^#EXT-X-", content, re.MULTILINE):
        return  # an HLS manifest: pieces of a stream, no music of its own
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
