"""Any two files of the store: every number against its threshold, and the picture of `reprise pair --plot`."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dedup.errors import InputError
from dedup.files.apart import apart
from dedup.files.paths import printable
from dedup.groups.explain import explain
from dedup.groups.losses import null_test_words
from dedup.nulltest.hear import Heard, hear
from dedup.settings import CompareSettings, ScanSettings
from dedup.store.change import store_version
from dedup.store.store import Store, open_for_reading

if TYPE_CHECKING:
    from dedup.correlation.scoring import Criterion
    from dedup.settings import MatchSettings

LIMIT_S = 600.0
"""Seconds that comparing two files may take."""
MOST_FOUND = 30
"""Files that a search offers."""
_LOCK = threading.Lock()
"""One comparison at a time: each decodes two files, and matplotlib draws one picture at a time."""


class Compared(NamedTuple):
    """Two files, compared and heard."""

    heard: Heard
    compare: CompareSettings
    path_a: str
    path_b: str

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        return self.heard.explained.criteria

    @property
    def null_test(self) -> str:
        """What the null test showed, in words; empty if there is none."""
        return null_test_words(self.heard.test) if self.heard.test is not None else ""


def search(folder: Path, text: str) -> list[tuple[int, str]]:
    """Ids and paths of the tracks whose path contains all words, in the order of the paths, at most `MOST_FOUND`."""
    words = text.lower().split()
    if not words:
        return []
    with open_for_reading(folder) as store:
        paths = ((id_, printable(path)) for id_, path in store.catalog.tracks.paths())
        found = sorted((path, id_) for id_, path in paths if all(word in path.lower() for word in words))
    return [(id_, path) for path, id_ in found[:MOST_FOUND]]


def compared(folder: Path, a: int, b: int, match: MatchSettings) -> Compared:
    """The tracks with these ids, compared now as `reprise pair` does. Raises InputError for an id that the store does
    not have, and for a file that cannot be compared."""
    with _LOCK, open_for_reading(folder) as store:
        return _compared(folder, store_version(folder), _path(store, a), _path(store, b), match)


@functools.lru_cache(maxsize=8)
def _compared(folder: Path, version: str, a: bytes, b: bytes, match: MatchSettings) -> Compared:
    """The last few are remembered, since a page asks for the numbers and for the picture."""
    del version
    return apart(f"{printable(a)} and {printable(b)}", LIMIT_S, compared_here, folder, a, b, match)


def compared_here(folder: Path, a: bytes, b: bytes, match: MatchSettings) -> Compared:
    """Compares two tracks in this process, which a damaged file may end."""
    from dedup.correlation.correlate import last_compare_settings

    with open_for_reading(folder) as store:
        compare = last_compare_settings(store)
        fingerprint = store.fingerprint_settings
        assert fingerprint is not None
        found = explain(a, b, store=store, fingerprint=fingerprint, compare=compare, match=match)
    heard = hear(found, ScanSettings().time_limit_s, to_draw=True)
    return Compared(heard, compare, printable(a), printable(b))


def picture(compared_: Compared) -> bytes:
    """The picture, as SVG."""
    from dedup.report.plot import drawn_pair

    with _LOCK:
        return drawn_pair(compared_.heard, compared_.compare, "svg")


def _path(store: Store, id_: int) -> bytes:
    track = store.catalog.tracks.at(id_) if id_ < 1 << 63 else None
    if track is None:
        raise InputError(f"file {id_}", "is no longer in the store", remedy="Search for it again")
    return track.path
