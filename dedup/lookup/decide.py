"""What each file is: identified, a question to a person, or unknown. Pure. A wrong title is worse than none, so one
witness alone never decides: people who named the sound, the files beside it, tags and length have to agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dedup.lookup.agree import Opinion, albums, artists, titles
from dedup.lookup.album import Album, Place
from dedup.lookup.candidates import File, Song
from dedup.lookup.nouns import Recording, RecordingReleases, Release, ReleaseTrack

Verdict = Literal["identified", "question", "unknown", "unasked"]

SURE_SCORE, TAGGED_SCORE = 0.9, 0.6
"""Score of the sound that a file without tags and without an album needs, and one whose tags say the same."""
SURE_SOURCES = 5
"""People who must have named a sound that nothing else speaks for."""
LEAD = 0.25
"""Strength by which a song must be ahead of any other that as much speaks for."""
SHOWN = 5
"""Candidates of a file that are told."""


@dataclass(frozen=True)
class Identified:
    """What a file is."""

    file: File
    verdict: Verdict
    why: str = ""
    """Grounds of the verdict, in words."""
    song: Song | None = None
    """The song, or the likeliest if that is a question."""
    recording: Recording | None = None
    release: Release | None = None
    """The release that it is on; None if that is not clear."""
    track: ReleaseTrack | None = None
    candidates: tuple[Song, ...] = ()
    """The likeliest songs."""


def decide(files: Sequence[File], album: Album | None) -> list[Identified]:
    """What each of these files of one folder is, if that is their album."""
    found = [_decided(file, album) for file in files]
    return _without_rivals(found, album)


def _decided(file: File, album: Album | None) -> Identified:
    places = album.places.get(file.path, ()) if album is not None else ()
    if file.is_named:
        return _named(file, album, places)
    if file.sounds is None:
        return Identified(file, "unasked", "not asked yet")
    if not file.songs:
        return Identified(file, "unknown", _why_unknown(file), candidates=file.all_songs[:SHOWN])
    if album is not None and places:
        return _on_album(file, album, places)
    return _alone(file, album)


def _why_unknown(file: File) -> str:
    if file.all_songs:
        return "you said that it is none of what AcoustID knows"
    return "nothing that AcoustID knows fits in name and length" if file.sounds else "AcoustID does not know it"


def _named(file: File, album: Album | None, places: tuple[Place, ...]) -> Identified:
    """A file of which a person said what it is."""
    song, shown = file.songs[0], file.all_songs[:SHOWN]
    named = Identified(file, "identified", "as you said", song, song.recordings[0], candidates=shown)
    if album is None or not places:
        return named
    track = _best_first(file, album, places)[0].track
    on = (album.release, track) if album.is_clear else (None, None)
    return replace(named, recording=_recording_of(song, track), release=on[0], track=on[1])


def _on_album(file: File, album: Album, places: tuple[Place, ...]) -> Identified:
    """A file that may be on the release that the files beside it share."""
    place, *others = _best_first(file, album, places)
    song, track = place.song, place.track
    by_title, by_artist = _of_tags(file, song, track.title)
    by_number = album.number_says(file.path, track)
    on_album = {id(each.song) for each in places}
    outside = [each for each in file.songs if id(each) not in on_album]
    why_not = ""
    if by_title is Opinion.AGAINST:
        why_not = "its tags have another title"
    elif by_artist is Opinion.AGAINST and by_title is not Opinion.FOR:
        why_not = "its tags have another artist"
    elif by_number is Opinion.AGAINST and by_title is not Opinion.FOR:
        why_not = "its number is that of another track"
    elif by_title is not Opinion.FOR and any(_is_near(song, each.song) for each in others if each.song is not song):
        why_not = "it may be another track of the same release"
    elif by_title is not Opinion.FOR and any(each.strength > song.strength + LEAD for each in outside):
        why_not = "more speaks for a song that is not on the release of the files beside it"
    elif album.is_contested and by_title is not Opinion.FOR:
        why_not = "the files of this folder are on different releases"
    elif Opinion.FOR not in (by_title, by_number) and (song.length is not Opinion.FOR or song.score < TAGGED_SCORE):
        why_not = "too little speaks for it"
    recording = _recording_of(song, track)
    release = album.release if album.is_clear else None
    on = (release, track if release else None)
    if why_not:
        return Identified(file, "question", why_not, song, recording, *on, file.songs[:SHOWN])
    why = f"on the release of {album.n_fit} tracks in this folder" + (", as tagged" if by_title is Opinion.FOR else "")
    return Identified(file, "identified", why, song, recording, *on, file.songs[:SHOWN])


def _alone(file: File, album: Album | None) -> Identified:
    """A file for which no other file speaks."""
    tagged = [song for song in file.songs if _of_tags(file, song, song.title)[0] is Opinion.FOR]
    tagged = [song for song in tagged if _of_tags(file, song, song.title)[1] is not Opinion.AGAINST]
    song = tagged[0] if tagged else file.songs[0]
    rivals = [each for each in (tagged or file.songs) if each is not song]
    by_title, by_artist = _of_tags(file, song, song.title)
    is_clear = not any(_is_near(song, each) for each in rivals)
    why_not = ""
    if tagged:
        if song.score < (TAGGED_SCORE if by_artist is Opinion.FOR else SURE_SCORE):
            why_not = f"the sound agrees too little ({song.score:.2f})"
        elif not is_clear:
            why_not = "several recordings fit its tags"
    elif by_title is Opinion.AGAINST or by_artist is Opinion.AGAINST:
        why_not = f"its tags have another {'title' if by_title is Opinion.AGAINST else 'artist'}"
    elif by_title is Opinion.NOTHING and titles(file.title, file.title) is Opinion.FOR:  # it says something
        why_not = "its tags have another version of the title"
    elif album is not None:
        why_not = "it is not on the release of the files beside it"
    elif song.score < SURE_SCORE or song.length is not Opinion.FOR or song.sources < SURE_SOURCES:
        why_not = "too little speaks for it"
    elif not is_clear:
        why_not = "several songs fit"
    told = (song, song.recordings[0], None, None, file.songs[:SHOWN])
    if why_not:
        return Identified(file, "question", why_not, *told)
    return Identified(file, "identified", "as tagged" if tagged else f"named so by {song.sources:,} people", *told)


def _of_tags(file: File, song: Song, title: str) -> tuple[Opinion, Opinion]:
    """What the title and the artist in the tags say."""
    return max(titles(file.title, title), titles(file.title, song.title)), artists(file.artist, song.artist)


def _best_first(file: File, album: Album, places: tuple[Place, ...]) -> list[Place]:
    def rank(place: Place) -> tuple[int, int, bool, float, str]:
        by_title, by_artist = _of_tags(file, place.song, place.track.title)
        by_number = album.number_says(file.path, place.track)
        is_other_disc = bool(file.disc) and place.track.disc != file.disc
        return -by_title - by_artist, -by_number, is_other_disc, -place.song.strength, place.track.id

    return sorted(places, key=rank)


def _is_near(song: Song, other: Song) -> bool:
    """Whether another song has so much for it that it may be that as well."""
    return other.strength > song.strength - LEAD


def _recording_of(song: Song, track: ReleaseTrack) -> Recording:
    return next((each for each in song.recordings if each.id == track.recording), song.recordings[0])


def _without_rivals(found: list[Identified], album: Album | None) -> list[Identified]:
    """The same, with a question for each of several files of different sounds that would be one recording, except those
    that tags or numbers speak for."""
    if album is None:
        return found
    claims: dict[str, set[str]] = {}
    for each in found:
        if each.verdict == "identified" and each.recording is not None:
            claims.setdefault(each.recording.id, set()).add(each.file.subject)
    return [
        replace(each, verdict="question", why="another file that sounds otherwise would be the same recording")
        if each.verdict == "identified"
        and not each.file.is_named
        and each.recording is not None
        and len(claims[each.recording.id]) > 1
        and titles(each.file.title, each.recording.title) is not Opinion.FOR
        and (each.track is None or album.number_says(each.file.path, each.track) is not Opinion.FOR)
        else each
        for each in found
    ]


def with_release(each: Identified, known: RecordingReleases | None) -> Identified:
    """A file that no folder told a release of, with the one that its tags name, or the first if all have one title."""
    releases = [release for release in (known.releases if known else ()) if release.tracks]
    named = [release for release in releases if albums(each.file.album, release.title)]
    if not named and (each.file.album or len({release.title.casefold() for release in releases}) != 1):
        return each
    first = min(named or releases, key=lambda each: (each.status != "Official", each.date or "9999", each.id))
    return replace(each, release=first, track=first.tracks[0])
