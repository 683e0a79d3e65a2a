"""Which playlists refer to which files. Playlists are read once; after that, any choice of files to remove shows which
playlists must be rewritten, and which of these cannot be."""

from __future__ import annotations

import functools
import html
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from dedup.groups.keep import is_below
from dedup.plan.decide import removed_from
from dedup.plan.nouns import PlannedGroup, PlannedPlaylist
from dedup.playlists.moves import Moves, without_case
from dedup.playlists.nouns import PlaylistError

if TYPE_CHECKING:
    from dedup.observer import Observer


@dataclass(frozen=True)
class _Seen:
    """A playlist as it was read."""

    path: bytes
    counts: Mapping[bytes, int] = field(default_factory=dict)
    """How often it refers to each file."""
    problem: str = ""
    """Why it cannot be rewritten; empty if it can be."""
    words: frozenset[bytes] = frozenset()
    """If its references cannot be found, the words in it that may be names of files."""
    is_unknown: bool = False
    """Whether nothing of it can be read, so that it may refer to anything."""

    def count(self, path: bytes) -> int:
        """How often it refers to the file; 1 if it may do so somewhere."""
        return self.counts.get(path, 0) or int(bool(self.words) and _word_of(path) in self.words)


class References:
    """References to files in the playlists in and below some folders. A playlist that cannot be rewritten (broken,
    unreadable, in a protected folder or one that takes no new file) is reported, and named by what is in it."""

    def __init__(
        self, folders: Sequence[bytes], files: Iterable[bytes], observer: Observer, protect: Sequence[bytes] = ()
    ) -> None:
        from dedup.playlists.playlists import find_playlists

        self._seen: list[_Seen] = []
        known = _Known(files, protect)
        if known.files:
            observer.stage("look into playlists", None, "playlists")
            seen = (_look(path, known, observer) for path in find_playlists(folders))
            self._seen = [each for each in seen if each.counts or each.words or each.is_unknown]

    @functools.cached_property
    def _broken(self) -> tuple[_Seen, ...]:
        return tuple(seen for seen in self._seen if seen.problem)

    def unrewritable(self, path: bytes) -> tuple[bytes, ...]:
        """Playlists that refer to this file, or may do so, and cannot be rewritten. One that cannot be read at all is
        none of them."""
        return tuple(seen.path for seen in self._broken if seen.count(path))

    @functools.cached_property
    def _by_path(self) -> dict[bytes, _Seen]:
        return {seen.path: seen for seen in self._seen}

    def are_rewritten(self, playlist: bytes, path: bytes) -> bool:
        """Whether a playlist refers to this file and can be rewritten."""
        seen = self._by_path.get(playlist)
        return seen is not None and not seen.problem and path in seen.counts

    def planned(self, groups: Sequence[PlannedGroup]) -> tuple[PlannedPlaylist, ...]:
        """Playlists that refer by path to a file that is removed, and those that cannot be read at all. A cue sheet
        that goes along with its file is none of them."""
        along = {each.path for group in groups for file in group.files for each in file.goes_along}
        return self.referring(removed_from(groups).keys(), along)

    def referring(self, moved: Collection[bytes], along: Collection[bytes] = ()) -> tuple[PlannedPlaylist, ...]:
        """Playlists that refer by path to one of these files, and those that cannot be read at all, without those that
        go `along` with their files."""
        if not moved:
            return ()
        counted = ((seen, _n_references(seen, moved)) for seen in self._seen if seen.path not in along)
        return tuple(
            PlannedPlaylist(seen.path, count, seen.problem) for seen, count in counted if count or seen.is_unknown
        )


def _n_references(seen: _Seen, moved: Iterable[bytes]) -> int:
    if seen.words:
        return sum(map(seen.count, moved))
    return sum(seen.counts[path] for path in seen.counts.keys() & moved)


class _Known:
    """The files that matter, and the protected folders."""

    def __init__(self, files: Iterable[bytes], protect: Sequence[bytes]) -> None:
        self.files, self.protect = tuple(files), protect
        self.moves = Moves({file: file for file in self.files})

    @functools.cached_property
    def words(self) -> frozenset[bytes]:
        """The words by which playlists that cannot be parsed refer to them."""
        return frozenset(map(_word_of, self.files)) - {b""}


def _look(path: bytes, known: _Known, observer: Observer) -> _Seen:
    """Reads one playlist."""
    from dedup.playlists.playlists import count_references, read_content

    try:
        content = read_content(path)
        seen = _Seen(path, count_references(path, content, known.moves), _why_not_written(path, known.protect))
    except (OSError, PlaylistError) as error:
        problem = f"it cannot be read: {error.strerror or error}" if isinstance(error, OSError) else str(error)
        observer.problem("failed", path, f"this playlist cannot be rewritten: {problem}")
        is_unknown = isinstance(error, OSError)
        words = frozenset() if is_unknown else frozenset(_words(content)) & known.words
        seen = _Seen(path, problem=problem, words=words, is_unknown=is_unknown)
    observer.advance()
    return seen


def _why_not_written(path: bytes, protect: Sequence[bytes]) -> str:
    """Why a new version cannot take a playlist's place; empty if it can."""
    real = os.path.realpath(path)
    if is_below(path, protect) or is_below(real, [os.path.realpath(folder) for folder in protect]):
        return "it is in a protected folder"
    folder = os.path.dirname(real)
    return "" if os.access(folder, os.W_OK | os.X_OK) else "its folder takes no new file"


# ---- names in what cannot be parsed ----

_WORD = re.compile(rb'[^/\\\r\n\t\0"<>=|:]+')
"""Something between slashes, quotes and the like."""
_LONGEST_WORD = 3 * 255
"""Most bytes of a file's name with percent signs."""


def _words(content: bytes) -> Iterator[bytes]:
    """The words of a playlist as they stand, without percent signs and without entities."""
    forms = {content}
    if b"\0" in content:
        decoded = (content.decode(codec, "replace").lstrip("\ufeff") for codec in ("utf-16-le", "utf-16-be"))
        forms |= {text.encode() for text in decoded}
    for form in forms:
        plain = html.unescape(form.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        for text in {form, plain, unquote_to_bytes(plain)}:
            found = (word[0] for word in _WORD.finditer(text))
            yield from (_plain_word(word) for word in found if len(word) <= _LONGEST_WORD)


def _word_of(path: bytes) -> bytes:
    """The last word of a file's name, which stands in a playlist that refers to it."""
    words = list(filter(None, map(_plain_word, _WORD.findall(os.path.basename(path)))))
    return words[-1] if words else b""


def _plain_word(word: bytes) -> bytes:
    return without_case(word.strip(b" \t'"))
