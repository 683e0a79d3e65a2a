"""A store in a few numbers, and one file of it."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from dedup.correlation.correlate import last_compare_settings
from dedup.errors import InputError
from dedup.files.paths import printable
from dedup.groups.matches import Matches, TrackPair
from dedup.settings import ITEMS_PER_SECOND, MatchSettings
from dedup.store.tiles import count_tiles

if TYPE_CHECKING:
    from dedup.store.store import Store
    from dedup.store.tracks import Track


def glance(store: Store) -> dict[str, Any]:
    """Counts of tracks by state, problems by kind, fingerprints, blocks, tiles and pairs; bytes on disk."""
    catalog = store.catalog
    n_fingerprints, n_items = catalog.fingerprints.totals()
    blocks = catalog.blocks.rows()
    passes = last_compare_settings(store).passes
    stamped = store.fingerprint_settings
    return {
        "tracks": catalog.tracks.count_by_state(),
        "problems": catalog.tracks.count_by_problem(),
        "fingerprints": n_fingerprints,
        "hours": round(n_items / ITEMS_PER_SECOND / 3600, 3),
        "blocks": len(blocks),
        "tail": catalog.fingerprints.tail_length(),
        "tiles": count_tiles(len(blocks)) * len(passes),
        "tiles_done": sum(catalog.results.count(each.digest()) for each in passes),
        "pairs": sum(catalog.results.count_pairs(each.digest()) for each in passes),
        "bytes": store.layout.bytes_on_disk(),
        "last_run": catalog.runs.last(),
        "fingerprint_settings": asdict(stamped) if stamped else {},
    }


class KnownFile(NamedTuple):
    """A file of the store."""

    track: Track
    pairs: list[TrackPair]
    """What has to do with it, `a` being this one, by the path of the other."""


def look_up(store: Store, path: bytes, match: MatchSettings) -> KnownFile:
    """What is known of a file, by its path. Raises InputError for one that is not in the store."""
    track = store.catalog.tracks.get(os.path.abspath(path)) or store.catalog.tracks.get(path)
    if track is None:
        raise InputError(printable(path), "not in the store", "a track of it", "Scan the folder that holds it")
    matches = Matches(store, match)
    return KnownFile(track, [pair for one in matches.tracks if one.path == track.path for pair in matches.of(one)])
