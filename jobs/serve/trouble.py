"""Files that cannot be used, or not as they should be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.errors import InputError
from dedup.files.apart import apart
from dedup.files.paths import printable
from dedup.groups.matches import ListedTrack
from dedup.library.spectrum import cutoff_hz, hint
from dedup.store.store import open_for_reading
from jobs.serve.shown import id_of

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.serve.shown import Snapshot

AT_ONCE = 10
"""Files whose spectra are read for one request."""
LIMIT_S = 60.0
"""Seconds that reading the spectrum of a file may take."""
SHOWN = 2000
"""Most files of each kind that a page lists."""


@dataclass(frozen=True)
class Trouble:
    """A file and what is wrong with it."""

    name: str
    folder: str
    what: str


@dataclass(frozen=True)
class Kind:
    """Files that have the same kind of trouble."""

    title: str
    meaning: str
    files: list[Trouble]
    n_files: int


def troubles(folder: Path) -> list[Kind]:
    """What is wrong in the library of the store in `folder`, without the kinds that do not occur."""
    with open_for_reading(folder) as store:
        unusable = list(store.catalog.tracks.unusable())
        heard = list(store.catalog.tracks.at_fault())
    kinds = (
        ("Cannot be used", "These files could not be decoded, so nothing is known of their sound.",
         [(path, why) for path, kind, why in unusable if kind == "failed"]),
        ("Damaged", "These were decoded as far as they could be. A damaged copy is never kept in place of a sound one.",
         [(path, damage) for path, damage, _ in heard if damage and not _is_cut(damage)]),
        ("Cut short", "The sound ends before the file says that it ends.",
         [(path, damage) for path, damage, _ in heard if damage and _is_cut(damage)]),
        ("Channels cancel", "Left and right are each other's opposite: on one loudspeaker such a file is silent.",
         [(path, "") for path, _, cancels in heard if cancels]),
        ("Left out", "These were skipped, as the settings say.",
         [(path, why) for path, kind, why in unusable if kind == "skipped"]),
    )  # fmt: skip
    return [
        Kind(title, meaning, [_trouble(path, what or "") for path, what in files[:SHOWN]], len(files))
        for title, meaning, files in kinds
        if files
    ]


def _is_cut(damage: str) -> bool:
    return "cut short" in damage


def _trouble(path: bytes, what: str) -> Trouble:
    return Trouble(printable(os.path.basename(path)), printable(os.path.dirname(path)), what)


def lossless(snapshot: Snapshot) -> list[ListedTrack]:
    """The lossless files that are in groups, in the order of the groups."""
    tracks = (track for question in snapshot.questions.values() for track in question.group.tracks)
    return [track for track in tracks if track.state == "present" and track.properties.lossless]


def suspects(snapshot: Snapshot, first: int) -> Iterator[dict[str, str]]:
    """Of the next `AT_ONCE` lossless files from `first` on: those that seem to come from lossy ones."""
    for track in lossless(snapshot)[first : first + AT_ONCE]:
        try:
            told = hint(track.properties, apart(printable(track.path), LIMIT_S, cutoff_hz, track.path))
        except OSError as error:
            told = f"cannot be read: {error.strerror or error}"
        except InputError as error:
            told = error.found
        if told:
            shown = _trouble(track.path, told)
            yield {"id": id_of(track.path), "name": shown.name, "folder": shown.folder, "what": shown.what}
