"""What is known now of files, without asking anybody: from the answers that the store keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dedup.lookup import nouns
from dedup.lookup.candidates import Said
from dedup.lookup.decide import Identified
from dedup.lookup.folder import decide_folder
from dedup.lookup.library import Library
from dedup.lookup.nouns import RecordingReleases, Release, Sound
from dedup.lookup.said import said_about

if TYPE_CHECKING:
    from dedup.store.store import Store


def known(store: Store, paths: Sequence[bytes]) -> Iterator[list[Identified]]:
    """What the files at or below these paths are, or all of the library if there are none, folder by folder in the
    order of their paths. No service is asked, and answers count however old they are, those of a person first. A file
    is "unasked" as long as AcoustID was not asked about it, or MusicBrainz about the releases that the files of its
    folder may be on. Files with too little sound are left out. Raises InputError for a path without a track."""
    yield from Known(store).at(paths)


class Known:
    """What is known of the files of a store: its tracks as of the construction, and the answers as of each call."""

    def __init__(self, store: Store, library: Library | None = None) -> None:
        """`library` saves reading the tracks again."""
        self.library = library or Library(store)
        self._kept = _Kept(store)

    def at(self, paths: Sequence[bytes]) -> Iterator[list[Identified]]:
        """What the files at or below these paths are, as `known` gives it."""
        for unit, wanted in self.library.units(self.library.chosen(paths)).items():
            yield self.of(unit, wanted)

    def of(self, unit: bytes, wanted: Sequence[bytes]) -> list[Identified]:
        """What the `wanted` files of one folder are, by path."""
        files = self.library.files(unit, self._kept.sounds, self._kept.said)
        return decide_folder(files, set(wanted), self._kept)


class _Kept:
    """References that were asked for before."""

    def __init__(self, store: Store) -> None:
        self._store, self._lookups = store, store.catalog.lookups

    def sounds(self, digests: Sequence[str]) -> Mapping[str, tuple[Sound, ...]]:
        """What AcoustID said of fingerprints, by digest; of those about which it was asked."""
        return nouns.understood(self._lookups.get_all("acoustid", digests), nouns.sounds_from_json)

    def said(self, digests: Sequence[str]) -> Mapping[str, Said]:
        """What a person said about fingerprints, by digest."""
        return said_about(self._store, digests)

    def releases(self, ids: Sequence[str], others: Sequence[str] = ()) -> list[Release] | None:
        kept = nouns.understood(self._lookups.get_all("release", (*ids, *others)), nouns.release_from_json)
        if any(id_ not in kept for id_ in ids):
            return None
        found = (kept[id_] for id_ in (*ids, *others) if id_ in kept)
        return [release for release in found if release is not None]

    def recording(self, id_: str) -> RecordingReleases | None:
        kept = self._lookups.get_all("recording", [id_])
        return nouns.understood(kept, nouns.recording_from_json).get(id_)
