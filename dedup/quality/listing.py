"""The files of a library with what is known of their sound, one at a time, in the order of their paths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from dedup.groups.matches import ListedTrack
from dedup.library.metadata import AudioProperties, from_json
from dedup.quality.findings import Finding, findings
from dedup.quality.measure import is_measurable

if TYPE_CHECKING:
    from dedup.store.audios import Audio
    from dedup.store.measurements import Measured
    from dedup.store.store import Store
    from dedup.store.tracks import Track


class LibraryFile(NamedTuple):
    """One file of a library."""

    track: Track
    audio: Audio | None
    properties: AudioProperties
    measured: Measured | None
    findings: tuple[Finding, ...]

    @property
    def listed(self) -> ListedTrack | None:
        """The file as keep rules about sound judge it; None without audio. It lacks the digest of its fingerprint."""
        track, audio = self.track, self.audio
        if audio is None:
            return None
        return ListedTrack(
            path=track.path,
            root=track.root,
            state=track.state,
            size=track.size,
            mtime_ns=track.mtime_ns,
            device=track.device,
            inode=track.inode,
            full=track.full,
            audio=audio.id,
            stream=audio.stream,
            key=audio.key,
            damage=audio.damage,
            fingerprint=audio.fingerprint,
            digest=b"",
            n_items=0,
            n_distinct=0,
            properties=self.properties,
            decoded_s=audio.decoded_s,
            n_bytes=audio.n_bytes,
            cancels=audio.cancels,
            width_db=audio.width_db,
        )

    @property
    def is_measurable(self) -> bool:
        """Whether its samples can be measured: by its kind, and because it is there."""
        return self.audio is not None and self.track.state == "present" and is_measurable(self.properties)


def files_of(store: Store) -> Iterator[LibraryFile]:
    """All files of a store, in the order of their paths, those without a fingerprint too. Holds one at a time."""
    return (_file(*each) for each in store.catalog.tracks.with_audio())


def file_of(store: Store, track: Track) -> LibraryFile:
    """What is known of one track of a store."""
    catalog = store.catalog
    return _file(track, catalog.audios.get(track.audio), catalog.measurements.get(track.audio))


def _file(track: Track, audio: Audio | None, measured: Measured | None) -> LibraryFile:
    said = json.loads(track.properties)
    properties = from_json(said) if said else AudioProperties()
    width_db = None if audio is None else audio.width_db
    return LibraryFile(track, audio, properties, measured, findings(properties, measured, width_db))
