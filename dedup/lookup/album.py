"""The release that the files of one folder share. Pure: which releases are worth a look, and which one it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dedup.lookup.agree import Opinion, albums, bare, lengths, song_key
from dedup.lookup.candidates import File, Song
from dedup.lookup.nouns import Edition, Release, ReleaseTrack

LEAST_FILES = 2
"""Files that must be on a release before it counts as theirs."""
LEAST_SHARE = 0.5
"""Share of a folder's files with an answer that must be on it."""
MOST_RELEASES = 5
"""Releases of a folder that MusicBrainz is asked about."""
LEAST_STRENGTH = 0.05
"""Songs with less strength say nothing of a folder."""
LEAST_FULL = 0.7
"""Share of a release that the files are, from which that speaks for it: of a few songs, the shortest collection would
have the largest."""
FULLER = 1.5
"""How many times as complete as any other a release must be, if the same files are on both."""


@dataclass(frozen=True)
class Place:
    """A song of a file on a track of a release."""

    song: Song
    track: ReleaseTrack


@dataclass(frozen=True)
class Album:
    """A release with the files that are on it."""

    release: Release
    places: Mapping[bytes, tuple[Place, ...]]
    """Where a file may be on it, by path, the strongest song first."""
    n_fit: int
    """Different tracks that files are."""
    n_named: int
    """Files whose tags name the release."""
    numbers: Mapping[bytes, int]
    """Numbers of the files, by path; none if most of them do not agree with the release."""
    is_clear: bool = True
    """Whether no release of another title does as well."""
    is_contested: bool = False
    """Whether many other files of the folder are on one other release."""

    def number_says(self, path: bytes, track: ReleaseTrack) -> Opinion:
        """What the number of a file says of a track."""
        number = self.numbers.get(path)
        if number is None:
            return Opinion.NOTHING
        return Opinion.FOR if number in _numbers_of(track, self.release) else Opinion.AGAINST

    @property
    def n_numbered(self) -> int:
        """Files whose number is that of a track that they may be."""
        return sum(
            any(self.number_says(path, place.track) is Opinion.FOR for place in self.places[path])
            for path in self.numbers
        )

    @property
    def completeness(self) -> float:
        return self.n_fit / max(self.release.n_tracks, self.n_fit, 1)


def wanted(files: Sequence[File]) -> list[str]:
    """Identifiers of the releases that most of these files may be on, the likeliest first; none if there is none that
    half of them may be on."""
    on = Counter[str]()
    editions: dict[str, Edition] = {}
    sounds = {file.subject: file for file in files}
    for file in sounds.values():
        found = {id_: edition for song in _told(file) for id_, edition in song.editions.items()}
        on.update(found.keys())
        editions |= found
    named = Counter(bare(file.album) for file in files if file.album)
    n_told = sum(bool(_told(file)) for file in sounds.values())

    def rank(id_: str) -> tuple[int, int, int, int, str]:
        edition = editions[id_]
        return -on[id_], -named[bare(edition.title)], abs(edition.n_tracks - len(sounds)), edition.year or 9999, id_

    most = max(on.values(), default=0)
    if most < max(LEAST_FILES, LEAST_SHARE * n_told):
        return []
    likely = [id_ for id_, n in on.items() if n >= LEAST_FILES and n >= LEAST_SHARE * most]
    return sorted(likely, key=rank)[:MOST_RELEASES]


def choose(files: Sequence[File], releases: Iterable[Release]) -> Album | None:
    """The release that these files share; None if there is none that most of them are on."""
    fitted = sorted((_fitted(files, release) for release in releases), key=_rank)
    n_told = len({file.subject for file in files if _told(file)})
    if not fitted or fitted[0].n_fit < max(LEAST_FILES, LEAST_SHARE * n_told):
        return None
    best = fitted[0]
    others = [each for each in fitted[1:] if not albums(each.release.title, best.release.title)]
    is_clear = all(_is_ahead(best, other) for other in others)
    beside = max((len(other.places.keys() - best.places.keys()) for other in others), default=0)
    return replace(best, is_clear=is_clear, is_contested=beside >= max(LEAST_FILES, best.n_fit / 2))


def _told(file: File) -> list[Song]:
    return [song for song in file.songs if song.strength >= LEAST_STRENGTH]


def _fitted(files: Sequence[File], release: Release) -> Album:
    places = {file.path: found for file in files if (found := _places(file, release))}
    n_named = sum(albums(file.album, release.title) for file in files)
    return Album(
        release,
        places,
        len(_distinct(files, places)),
        n_named,
        _agreeing_numbers(files, places, release),
        is_clear=True,
    )


def _places(file: File, release: Release) -> tuple[Place, ...]:
    found = []
    for song in _told(file):
        ids = {recording.id for recording in song.recordings}
        key = song_key(song.title, song.artist)[0]
        for track in release.tracks:
            is_it = track.recording in ids
            is_like_it = (
                release.id in song.editions
                and song_key(track.title, "")[0] == key
                and lengths(file.length_s, track.length_s) is Opinion.FOR
            )
            if is_it or is_like_it:
                found.append(Place(song, track))
    return tuple(found)


def _distinct(files: Sequence[File], places: Mapping[bytes, tuple[Place, ...]]) -> dict[tuple[int, int], str]:
    """Tracks that files are, each with the first sound that claims it."""
    claimed: dict[tuple[int, int], str] = {}
    for file in files:
        for place in places.get(file.path, ()):
            at = place.track.disc, place.track.number
            if claimed.setdefault(at, file.subject) == file.subject:
                break
    return claimed


def _agreeing_numbers(
    files: Sequence[File], places: Mapping[bytes, tuple[Place, ...]], release: Release
) -> Mapping[bytes, int]:
    """The numbers of the files, from tags or names; none unless most of them are those of tracks that the files may
    be."""
    in_names = [file.number_in_name for file in files]
    do_names_count = sum(map(bool, in_names)) > len(files) / 2 and len(set(in_names)) > len(files) / 2
    found, n_agreeing = {}, 0
    for file, in_name in zip(files, in_names, strict=True):
        number = file.number or (in_name if do_names_count else 0)
        if number and file.path in places:
            found[file.path] = number
            n_agreeing += any(number in _numbers_of(place.track, release) for place in places[file.path])
    return found if 2 * n_agreeing > len(found) else {}


def _numbers_of(track: ReleaseTrack, release: Release) -> tuple[int, int]:
    """The number of a track on its disc, and counted through all discs."""
    before = sum(each.disc < track.disc for each in release.tracks)
    return track.number, before + track.number


def _rank(album: Album) -> tuple[int, int, int, int, int, str, str]:
    release = album.release
    missing = max(0, release.n_tracks - album.n_fit)
    is_other = release.status not in ("Official", "")
    return -album.n_fit, -album.n_named, -album.n_numbered, missing, is_other, release.date or "9999", release.id


def _is_ahead(best: Album, other: Album) -> bool:
    """Whether one release clearly is the files' own rather than another one."""
    if best.n_named != other.n_named:
        return best.n_named > other.n_named
    if best.n_fit != other.n_fit:
        return best.n_fit > other.n_fit
    is_told = best.completeness >= LEAST_FULL or best.n_numbered > max(other.n_numbered, LEAST_FILES - 1)
    return is_told and best.completeness >= FULLER * other.completeness
