"""What is known of recordings and releases, as it is kept in the store: `to_json` and `from_json` of each noun."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dedup.store.lookups import Answer

_T = TypeVar("_T")


@dataclass(frozen=True)
class Edition:
    """A release that has a recording, as AcoustID names it."""

    id: str
    title: str
    n_tracks: int = 0
    """Number of its tracks on all discs; 0 if unknown, as with the others."""
    n_discs: int = 0
    year: int = 0


@dataclass(frozen=True)
class Recording:
    """A recording that AcoustID names for a sound."""

    id: str
    title: str
    artist: str
    length_s: float = 0.0
    """0 if unknown."""
    sources: int = 0
    """How often people said that this sound is this recording; 0 if unknown."""
    editions: tuple[Edition, ...] = ()


@dataclass(frozen=True)
class Sound:
    """A sound that AcoustID knows and takes for ours."""

    id: str
    """Its AcoustID."""
    score: float
    """How well the fingerprints agree, 0 to 1."""
    recordings: tuple[Recording, ...] = ()


@dataclass(frozen=True)
class ReleaseTrack:
    """A track of a release."""

    id: str
    disc: int
    number: int
    title: str
    artist: str
    artist_ids: tuple[str, ...]
    recording: str
    """Identifier of its recording."""
    length_s: float = 0.0


@dataclass(frozen=True)
class Release:
    """A release at MusicBrainz."""

    id: str
    title: str
    artist: str
    artist_ids: tuple[str, ...]
    date: str = ""
    """Such as "1999-03-02", "1999-03" or "1999"."""
    country: str = ""
    status: str = ""
    """Such as "Official" or "Bootleg"."""
    group: str = ""
    """Identifier of its release group."""
    kinds: tuple[str, ...] = ()
    """Kinds of the group, such as "Album", "Compilation", "Live"."""
    n_discs: int = 0
    n_tracks: int = 0
    tracks: tuple[ReleaseTrack, ...] = ()
    """All tracks; of a release that came with a recording, only those of that recording."""


@dataclass(frozen=True)
class RecordingReleases:
    """A recording at MusicBrainz, and the first releases that have it."""

    id: str
    title: str
    artist: str
    releases: tuple[Release, ...] = ()


def understood(kept: Mapping[str, Answer], parsed: Callable[[dict[str, Any]], _T]) -> dict[str, _T]:
    """What answers say, by subject; those are left out that another release of this program kept in a way of its own:
    they count as never given."""
    found: dict[str, _T] = {}
    for subject, said in kept.items():
        try:
            found[subject] = parsed(said.answer)
        except (KeyError, TypeError, AttributeError):
            continue
    return found


def sounds_to_json(sounds: tuple[Sound, ...]) -> dict[str, Any]:
    return {"sounds": [asdict(sound) for sound in sounds]} if sounds else {}


def sounds_from_json(kept: dict[str, Any]) -> tuple[Sound, ...]:
    """Raises KeyError, TypeError for anything that `sounds_to_json` did not make; so do the others."""
    return tuple(
        Sound(
            sound["id"],
            sound["score"],
            tuple(
                Recording(**{**each, "editions": tuple(Edition(**edition) for edition in each["editions"])})
                for each in sound["recordings"]
            ),
        )
        for sound in kept.get("sounds", ())
    )


def release_to_json(release: Release | None) -> dict[str, Any]:
    return asdict(release) if release is not None else {}


def release_from_json(kept: dict[str, Any]) -> Release | None:
    if not kept:
        return None
    tracks = (ReleaseTrack(**{**track, "artist_ids": tuple(track["artist_ids"])}) for track in kept["tracks"])
    texts = {name: tuple(kept[name]) for name in ("artist_ids", "kinds")}
    return Release(**{**kept, **texts, "tracks": tuple(tracks)})


def recording_to_json(recording: RecordingReleases | None) -> dict[str, Any]:
    return asdict(recording) if recording is not None else {}


def recording_from_json(kept: dict[str, Any]) -> RecordingReleases | None:
    if not kept:
        return None
    releases = (release_from_json(release) for release in kept["releases"])
    return RecordingReleases(**{**kept, "releases": tuple(filter(None, releases))})
