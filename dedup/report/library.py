"""Every track of a library as one record or one row of CSV: properties, tags, group, quality, and what was measured.
Holds one track at a time, besides the groups.

The CSV is made as that of groups is (`report.sheet`): a byte order mark, no cell that a spreadsheet computes, and
`path_hex` for a path that a cell cannot hold."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from dedup.clock import utc_at
from dedup.plain_text import json_text
from dedup.quality.listing import LibraryFile, files_of
from dedup.report.export import track_record
from dedup.report.sheet import BOM, harmless, path_cells

if TYPE_CHECKING:
    from dedup.groups.groups import Group
    from dedup.quality.rank import Rank
    from dedup.store.store import Store


class Place(NamedTuple):
    """Where a track is in the groups."""

    group: int
    """Number of the group, as `reprise report` lists them: from 1, most reclaimable bytes first."""
    role: str
    """Either "reference", for the copy to keep, or "member"."""


TAGS = (
    *("artist", "albumartist", "album", "title", "tracknumber", "discnumber", "date", "genre", "composer"),
    *("musicbrainz_trackid", "musicbrainz_albumid"),
)
"""Tags with a column of their own; the column `tags` holds the others as a JSON object."""

COLUMNS = (
    *("path", "path_hex", "state", "problem", "size", "modified"),
    *("codec", "lossless", "bitrate", "sample_rate", "bits", "channels", "duration_s", "cover"),
    *("damage", "cancels", "width_db", "used_bits", "cutoff_hz", "source_rate", "findings"),
    *("group", "role", "quality"),
    *TAGS,
    "tags",
)

BETWEEN = "; "
"""What stands between values in one cell."""

ROWS_AT_ONCE = 1000


def places_of(groups: Iterable[Group]) -> dict[bytes, Place]:
    """Where the tracks in groups are, by path."""
    places: dict[bytes, Place] = {}
    for number, group in enumerate(groups, start=1):
        places[group.reference.path] = Place(number, "reference")
        places.update((pair.a.path, Place(number, "member")) for pair in group.members)
    return places


# ---- for programs ----


def library_records(store: Store, places: dict[bytes, Place], rank: Rank) -> Iterator[dict[str, Any]]:
    """Every track, in the order of their paths: as in `export tracks`, with `group` and `role` (None without a group),
    `quality` (`quality.rank`), `measured` (None if it was not) and `findings`."""
    for file in files_of(store):
        place, listed = places.get(file.track.path), file.listed
        yield {
            **track_record(file.track, file.audio),
            "group": None if place is None else place.group,
            "role": None if place is None else place.role,
            "quality": None if listed is None else rank.of(listed, file.findings),
            **measured_record(file),
        }


def measured_record(file: LibraryFile) -> dict[str, Any]:
    """What was measured of a file, None if nothing was, and what that suggests."""
    measured = file.measured
    return {
        "measured": None if measured is None else asdict(measured),
        "findings": [{**found._asdict(), "certain": found.is_certain} for found in file.findings],
    }


# ---- for spreadsheets ----


def library_sheet(store: Store, places: dict[bytes, Place], rank: Rank) -> Iterator[bytes]:
    """The CSV in pieces: the headings, then `ROWS_AT_ONCE` tracks in each, in the order of their paths."""
    yield BOM + _lines([COLUMNS])
    files = files_of(store)
    while some := list(itertools.islice(files, ROWS_AT_ONCE)):
        yield _lines(_cells(file, places.get(file.track.path), rank) for file in some)


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cells(file: LibraryFile, place: Place | None, rank: Rank) -> list[Any]:
    """The cells of a row, in the order of COLUMNS; csv leaves that of None empty."""
    track, audio, properties, measured, listed = file.track, file.audio, file.properties, file.measured, file.listed
    path = path_cells(track.path)
    has_sound = properties.codec != "unknown"
    tags = properties.tags
    return [
        *(harmless(path["path"]), path.get("path_hex"), track.state, harmless(track.problem)),
        *(track.size, utc_at(track.mtime_ns // 10**9)),
        *((properties.codec, _word(properties.lossless)) if has_sound else (None, None)),
        *((listed.bitrate if listed else properties.bitrate) or None, properties.sample_rate or None),
        *(properties.bits or None, properties.channels or None),
        round(listed.seconds if listed else properties.duration_s, 3) or None,
        _word(properties.has_cover),
        *((harmless(audio.damage), _word(bool(audio.cancels)), audio.width_db) if audio else (None, None, None)),
        *((measured.used_bits, measured.cutoff_hz, measured.source_rate) if measured else (None, None, None)),
        BETWEEN.join(found.what for found in file.findings),
        *(place or (None, None)),
        rank.of(listed, file.findings) if listed else None,
        *[harmless(BETWEEN.join(tags[name])) if name in tags else None for name in TAGS],
        _others(tags),
    ]


def _word(value: bool) -> str:
    return "yes" if value else "no"


def _others(tags: dict[str, tuple[str, ...]]) -> str | None:
    left = {name: values for name, values in tags.items() if name not in TAGS}
    return harmless(json_text(left)) if left else None
