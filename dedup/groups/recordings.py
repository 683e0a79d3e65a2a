"""Which recordings at MusicBrainz two files are: evidence beside their score. Their tags say so, which a look-up wrote
(`reprise tag --names`) or another program; of a single file the look-up itself too."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dedup.groups.matches import ListedTrack, TrackPair
    from dedup.lookup.known import Known
    from dedup.store.store import Store
    from dedup.store.tracks import Track

FIELD = "musicbrainz_trackid"
"""Common name of the tag field (`tags.names`); Picard's name for what is the recording's identifier."""

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Called:
    """The recordings that one file is said to be."""

    ids: frozenset[str]
    by: Literal["tags", "look-up"]


def ids_in(tags: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """The recordings that tags name; what is no identifier does not count."""
    values = tags.get(FIELD)
    if not values:
        return _NONE
    return frozenset(id_ for value in values if _ID.fullmatch(id_ := value.strip().lower()))


def is_one_recording(a: ListedTrack, b: ListedTrack) -> bool | None:
    """Whether the tags of both name one recording; None unless both name any."""
    return is_one(ids_in(a.properties.tags), ids_in(b.properties.tags))


def is_one(ids_a: frozenset[str], ids_b: frozenset[str]) -> bool | None:
    """Whether two files are one recording by their identifiers; None if one of them has none."""
    return not ids_a.isdisjoint(ids_b) if ids_a and ids_b else None


def is_doubtful(pair: TrackPair) -> bool:
    """Whether two files are two recordings by their identifiers, and nobody has heard that they are one. A null test
    that finds nothing outweighs identifiers: MusicBrainz has many a recording twice, such as for an album and for a
    collection of hits, and merges them later."""
    if pair.test is not None and pair.test.is_copy:  # as nearly all are that would go
        return False
    return is_one_recording(pair.a, pair.b) is False


def called(
    path: bytes, digest: bytes, store: Store | None, from_store: bool, all_known: Callable[[], Known]
) -> Called | None:
    """What a file is by its tags, or else by what is kept of the look-up of its fingerprint with this digest; None if
    neither says. Tags are those that the store knows, if the file is as it knows it, else they are read. `all_known` is
    asked for what look-ups found only if that is needed."""
    track = store.catalog.tracks.get(os.path.abspath(path)) or store.catalog.tracks.get(path) if store else None
    ids = ids_in(_tags_of(path, track if from_store else None))
    if ids:
        return Called(ids, "tags")
    if store is None or track is None or track.state != "present" or not from_store:
        return None
    if not store.catalog.lookups.get_all("acoustid", [digest.hex()]):
        return None
    found = [each for files in all_known().at([track.path]) for each in files if each.verdict == "identified"]
    ids = frozenset(each.track.recording if each.track else each.recording.id for each in found if each.recording)
    return Called(ids, "look-up") if ids else None


def _tags_of(path: bytes, track: Track | None) -> Mapping[str, tuple[str, ...]]:
    if track is not None:
        return {name: tuple(values) for name, values in json.loads(track.properties).get("tags", {}).items()}
    from dedup.tags.read import read_tags

    try:
        return read_tags(path).fields
    except OSError:  # gone since somebody listened to it
        return {}
