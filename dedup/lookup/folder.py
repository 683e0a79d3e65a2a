"""What the files of one folder are, from what AcoustID said of each and what MusicBrainz says of their releases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Protocol

from dedup.lookup import album
from dedup.lookup.candidates import File, parts_of
from dedup.lookup.decide import Identified, decide, with_release
from dedup.lookup.nouns import RecordingReleases, Release


class References(Protocol):
    """Where releases and recordings are looked up: at MusicBrainz, or in what is kept of it."""

    def releases(self, ids: Sequence[str], others: Sequence[str] = ()) -> list[Release] | None:
        """The releases with these identifiers, those that there are; None if some of `ids` are not known yet. Of the
        `others`, some may be left out."""

    def recording(self, id_: str) -> RecordingReleases | None:
        """The recording with this identifier; None if there is none, or if it is not known yet."""


def decide_folder(files: Sequence[File], wanted: AbstractSet[bytes], references: References) -> list[Identified]:
    """What the `wanted` files of one folder are, by path; `files` are all of the folder. Nothing is decided while some
    of the wanted are still to be asked about, or releases that they may be on. Raises what `references` raises."""
    found = [each for each in _decided(files, wanted, references) if each.file.path in wanted]
    return sorted(found, key=lambda each: each.file.path)


def _decided(files: Sequence[File], wanted: AbstractSet[bytes], references: References) -> Iterator[Identified]:
    if any(file.sounds is None for file in files if file.path in wanted):
        for each in decide(files, None):
            yield each if each.file.is_named else Identified(each.file, "unasked", "not asked yet")
        return
    told = [file for file in files if file.sounds is not None]
    for part in parts_of(told):
        if not wanted.isdisjoint(file.path for file in part):
            yield from _decided_part(part, wanted, references)


def _decided_part(part: Sequence[File], wanted: AbstractSet[bytes], references: References) -> Iterator[Identified]:
    """What files of one album are."""
    ids = album.wanted([file if file.said is None else replace(file, said=None) for file in part])
    others = [id_ for id_ in album.wanted(part) if id_ not in ids] if any(file.said for file in part) else []
    releases = references.releases(ids, others)
    if releases is None:
        why = "MusicBrainz was not asked yet about its releases"
        for each in decide(part, None):
            yield each if each.file.is_named else Identified(each.file, "unasked", why)
        return
    for each in decide(part, album.choose(part, releases)):
        is_open = each.verdict == "identified" and each.release is None and each.file.path in wanted
        if is_open and each.recording is not None:
            yield with_release(each, references.recording(each.recording.id))
        else:
            yield each
