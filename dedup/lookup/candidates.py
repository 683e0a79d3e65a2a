"""Files with what AcoustID says of each: songs that each may be, and how much speaks for them. Pure."""

from __future__ import annotations

import functools
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dedup.lookup.agree import Opinion, bare, lengths, song_key
from dedup.lookup.nouns import Edition, Recording, Sound

LEAST_SCORE = 0.5
"""Score of a sound below which its recordings are not looked at."""

_DISC_FOLDER = re.compile(rb"(?:cd|dis[ck])[\s._-]*\d{1,2}\b.*", re.IGNORECASE)
_DISC_IN_ALBUM = re.compile(r"\s+(?:cd|dis[ck])\s*\d{1,2}$")
_NUMBER_IN_NAME = re.compile(rb"(?:(\d{1,2})-)?(\d{1,3})(?=[\s._)-])")


@dataclass(frozen=True)
class Said:
    """What a person said that a sound is: one of some recordings, or none of some."""

    recordings: tuple[str, ...] = ()
    """Identifiers of the recordings of the song that it is; if there are none, it is none of the `refused`."""
    refused: tuple[str, ...] = ()
    title: str = ""
    """Of that song, like the following."""
    artist: str = ""
    sound: str = ""
    """AcoustID of the sound."""
    said: str = ""
    """Time, UTC, such as "2026-02-28T21:30:00Z"."""


@dataclass(frozen=True)
class File:
    """A file of the library, and what is known of it."""

    path: bytes
    subject: str
    """Digest of its fingerprint, by which AcoustID's answer is kept."""
    length_s: float
    title: str = ""
    """This and the following are from its tags; empty or 0 if they say nothing."""
    artist: str = ""
    album: str = ""
    number: int = 0
    disc: int = 0
    sounds: tuple[Sound, ...] | None = None
    """What AcoustID takes it for, best first; None if it was not asked yet."""

    said: Said | None = None
    """What a person said about it."""

    @functools.cached_property
    def songs(self) -> tuple[Song, ...]:
        """The songs that it may be, the strongest first: only one if a person said which, and without those of which a
        person said that it is none."""
        if self.said is None:
            return self.all_songs
        if self.said.recordings:
            return (_said_song(self, self.said),)
        refused = set(self.said.refused)
        return tuple(song for song in self.all_songs if refused.isdisjoint(each.id for each in song.recordings))

    @functools.cached_property
    def all_songs(self) -> tuple[Song, ...]:
        """The songs that it may be, whatever a person said, the strongest first."""
        return songs_of(self)

    @property
    def is_named(self) -> bool:
        """Whether a person said what it is."""
        return self.said is not None and bool(self.said.recordings)

    @property
    def number_in_name(self) -> int:
        """The number with which its name begins; 0 if there is none."""
        found = _NUMBER_IN_NAME.match(os.path.basename(self.path))
        return int(found[2]) if found else 0


@dataclass(frozen=True)
class Song:
    """A title by an artist that a file may be: one or more recordings of that name."""

    title: str
    artist: str
    strength: float
    """How much speaks for it, 0 to 1: the score of the sound, times the share of people who say so of that sound."""
    score: float
    """Score of the sound."""
    sound: str
    """AcoustID of the sound."""
    sources: int
    length: Opinion
    """What the lengths say of it, of the best of its recordings."""
    recordings: tuple[Recording, ...]
    """The likeliest first."""

    @property
    def editions(self) -> dict[str, Edition]:
        """The releases that have one of its recordings, by identifier."""
        return {edition.id: edition for recording in self.recordings for edition in recording.editions}


def songs_of(file: File) -> tuple[Song, ...]:
    """The songs that a file may be, the strongest first. Recordings whose length is another are left out."""
    found: dict[tuple[str, str], list[Song]] = defaultdict(list)
    for sound in file.sounds or ():
        if sound.score >= LEAST_SCORE:
            for key, song in _songs_of_sound(file, sound):
                found[key].append(song)
    best = [_united(songs) for songs in found.values()]
    return tuple(sorted(best, key=lambda song: (-song.strength, song.recordings[0].id)))


def _said_song(file: File, said: Said) -> Song:
    """The song that a person said it is, with what AcoustID says of it if it still does."""
    ids = set(said.recordings)
    known = [song for song in file.all_songs if not ids.isdisjoint(each.id for each in song.recordings)]
    own = [Recording(id_, said.title, said.artist) for id_ in said.recordings]
    if not known:
        return Song(said.title, said.artist, 1.0, 0.0, said.sound, 0, Opinion.NOTHING, tuple(own))
    recordings = {each.id: each for each in (*own, *known[0].recordings)}
    return replace(known[0], strength=1.0, recordings=tuple(recordings.values()))


def _songs_of_sound(file: File, sound: Sound) -> Iterable[tuple[tuple[str, str], Song]]:
    by_name: dict[tuple[str, str], list[Recording]] = defaultdict(list)
    for recording in sound.recordings:
        by_name[song_key(recording.title, recording.artist)].append(recording)
    said = sum(recording.sources for recording in sound.recordings)
    for key, recordings in by_name.items():
        n = sum(recording.sources for recording in recordings)
        share = n / said if said else 1 / len(by_name)
        of_length = {each.id: lengths(file.length_s, each.length_s) for each in recordings}
        fitting = [each for each in recordings if of_length[each.id] is not Opinion.AGAINST]
        if fitting:
            fitting.sort(key=lambda each: (-of_length[each.id], -each.sources, each.id))
            first = fitting[0]
            yield (
                key,
                Song(
                    first.title,
                    first.artist,
                    sound.score * share,
                    sound.score,
                    sound.id,
                    n,
                    of_length[first.id],
                    tuple(fitting),
                ),
            )


def _united(songs: list[Song]) -> Song:
    """The same song of several sounds: the strongest, with the recordings of all."""
    best = max(songs, key=lambda song: (song.strength, song.sound))
    recordings = {each.id: each for song in (best, *songs) for each in song.recordings}
    return Song(
        best.title,
        best.artist,
        best.strength,
        best.score,
        best.sound,
        max(song.sources for song in songs),
        max(song.length for song in songs),
        tuple(recordings.values()),
    )


def parts_of(files: Sequence[File]) -> list[list[File]]:
    """The files of one folder, apart by the album in their tags if there are several albums of several files, as in a
    folder of downloads; otherwise all of them."""
    by_album: dict[str, list[File]] = defaultdict(list)
    for file in files:
        by_album[_DISC_IN_ALBUM.sub("", bare(file.album))].append(file)
    several = [album for album, of in by_album.items() if album and len({file.subject for file in of}) > 1]
    return list(by_album.values()) if len(several) > 1 else [list(files)]


def unit_of(path: bytes) -> bytes:
    """The folder whose files belong together: a file's own, or for that of one disc ("CD 2") the one above."""
    folder = os.path.dirname(path)
    return os.path.dirname(folder) if _DISC_FOLDER.fullmatch(os.path.basename(folder)) else folder
