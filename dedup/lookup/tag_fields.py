"""What a file is, as tag fields, and how they differ from those it has. Pure: what a person wrote stays unless told
otherwise, and no value is ever removed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dedup.lookup import agree
from dedup.lookup.agree import Opinion

if TYPE_CHECKING:
    from dedup.lookup.decide import Identified
    from dedup.lookup.nouns import Release, ReleaseTrack

Fields = Mapping[str, tuple[str, ...]]
"""Values by common name (`tags.names`), in their common form (`tags.values`)."""

NAMES = (
    "title",
    "artist",
    "album",
    "albumartist",
    "date",
    "tracknumber",
    "tracktotal",
    "discnumber",
    "disctotal",
)
"""Fields that people read."""

RECORDING, ACOUSTID = "musicbrainz_trackid", "acoustid_id"
"""What is the recording at MusicBrainz, by Picard's name for it; and the sound at AcoustID."""
_RELEASE, _GROUP, _TRACK = "musicbrainz_albumid", "musicbrainz_releasegroupid", "musicbrainz_releasetrackid"
_ARTIST, _ALBUM_ARTIST = "musicbrainz_artistid", "musicbrainz_albumartistid"

IDS = (RECORDING, _TRACK, _RELEASE, _GROUP, _ARTIST, _ALBUM_ARTIST, ACOUSTID)
"""Fields that programs read."""

ALL = NAMES + IDS

_PLACE = ("tracknumber", "tracktotal", "discnumber", "disctotal", _TRACK)
"""Fields of a place on a release: with another number they are wrong, so they are written together or not at all."""
_OF_RELEASE = ("album", "albumartist", "date", *_PLACE, _RELEASE, _GROUP, _ALBUM_ARTIST)
"""Fields of a release: wrong beside another album's title."""

_NOBODYS = {
    "title": re.compile(r"(audio ?track|track|titel|titre|piste|traccia|pista|unknown)[ _.#-]*\d{1,3}"),
    "artist": re.compile(r"[<\[]?unknown( artist)?[>\]]?"),
    "albumartist": re.compile(r"[<\[]?unknown( artist)?[>\]]?"),
    "album": re.compile(r"[<\[]?unknown( album)?[>\]]?"),
}
"""Values that programs write where nobody knows better."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True)
class Changes:
    """What becomes of the tags of one file. A field is in one of the three, or in none if it is as it should be."""

    fields: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """New values, in the order of `ALL`."""
    kept: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Values that were found and are not written, as a person wrote others."""
    doubts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Identifiers that were found where the file has others: one of the two is wrong."""

    def __bool__(self) -> bool:
        return bool(self.fields or self.kept or self.doubts)


def fields_of(each: Identified) -> dict[str, tuple[str, ...]]:
    """The fields of a file that is identified, in the order of `ALL`; none of any other."""
    if each.verdict != "identified" or each.song is None or each.recording is None:
        return {}
    release, track = each.release, each.track
    found: dict[str, tuple[str, ...]]
    if release is None or track is None:
        found = {"title": (each.song.title,), "artist": (each.song.artist,), RECORDING: (each.recording.id,)}
    else:
        found = {"title": (track.title,), "artist": (track.artist,), RECORDING: (track.recording,)}
        found |= _of_release(release, track)
    found[ACOUSTID] = (each.song.sound,)
    kept = {name: tuple(filter(None, map(_plain, found.get(name, ())))) for name in ALL}
    return {name: values for name, values in kept.items() if values}


def _plain(value: str) -> str:
    """A value from the net without control characters, which would reach the terminals of other programs."""
    return _CONTROLS.sub(" ", value).strip()


def _of_release(release: Release, track: ReleaseTrack) -> dict[str, tuple[str, ...]]:
    return {
        "album": (release.title,),
        "albumartist": (release.artist,),
        "date": (release.date,),
        "tracknumber": (str(track.number),),
        "tracktotal": (_n_tracks(release, track.disc),),
        "discnumber": (str(track.disc),),
        "disctotal": (str(release.n_discs or ""),),
        _TRACK: (track.id,),
        _RELEASE: (release.id,),
        _GROUP: (release.group,),
        _ARTIST: track.artist_ids,
        _ALBUM_ARTIST: release.artist_ids,
    }


def _n_tracks(release: Release, disc: int) -> str:
    """Number of the tracks of a disc; empty if unknown."""
    if release.n_discs == 1:
        return str(release.n_tracks or "")
    is_whole = len(release.tracks) == release.n_tracks > 0
    return str(sum(track.disc == disc for track in release.tracks)) if is_whole else ""


def changes_of(each: Identified, has: Fields, names: Collection[str] = ALL, overwrite: bool = False) -> Changes:
    """What is to be written to a file that has these fields, of those in `names`. With `overwrite`, what was found
    takes the place of what is there; otherwise only what is missing is written, and nothing of a release that may be
    another than the file's, or of a recording that is another by the file's own identifier."""
    found = fields_of(each)
    present = {
        name: values
        for name, values in has.items()
        if values and (not _is_nobodys(name, values) or _is_same(values, found.get(name, ())))
    }
    differing = {name for name, values in found.items() if name in present and not _is_same(present[name], values)}
    if overwrite:
        new = {name: values for name, values in found.items() if not _is_there(name, has.get(name, ()), values)}
        return Changes(fields=_only(new, names))
    doubts = _doubts(each, present, differing)
    if RECORDING in differing and RECORDING not in doubts:
        found.pop(_TRACK, None)  # it has the other recording
    is_album = _is_album_of(each, present, differing)
    left_out = set(ALL) if RECORDING in doubts else _unfit(each, present, differing, is_album)
    new = {name: values for name, values in found.items() if name not in present and name not in left_out}
    of_others = () if is_album else _OF_RELEASE[1:]  # another album has another date
    said = {
        name: values
        for name, values in found.items()
        if name in differing
        and name in NAMES
        and name not in of_others
        and not _says_the_same(name, present[name], values)
    }
    return Changes(_only(new, names), _only(said, names), {name: found[name] for name in found if name in doubts})


def _doubts(each: Identified, present: Fields, differing: Collection[str]) -> set[str]:
    """Identifiers of which one must be wrong: not those of another entry of the same song, nor of another edition of
    the same release group, which a person may well have chosen."""
    doubts = {name for name in differing if name in IDS and name != ACOUSTID}
    if RECORDING in doubts:
        if not _is_recording_of(each, present[RECORDING]):
            return {RECORDING}
        doubts -= {RECORDING, _TRACK}
    if _GROUP in present and _GROUP not in differing and _RELEASE in doubts:
        doubts -= {_RELEASE, _TRACK}
    return doubts


def _unfit(each: Identified, present: Fields, differing: Collection[str], is_album: bool) -> set[str]:
    """Fields that are not written beside what the file says."""
    unfit = set() if is_album else set(_OF_RELEASE)
    if any(name in differing for name in _PLACE):
        unfit.update(_PLACE)
    for name, id_ in (("artist", _ARTIST), ("albumartist", _ALBUM_ARTIST)):
        if name in differing and agree.artists(present[name][0], fields_of(each)[name][0]) is Opinion.AGAINST:
            unfit.add(id_)
    return unfit


def _is_album_of(each: Identified, present: Fields, differing: Collection[str]) -> bool:
    """Whether a file's tags name the release that was found, or none."""
    if _RELEASE in differing or _GROUP in differing or each.release is None:
        return False
    title = each.release.title
    return all(_folded(album) == _folded(title) or agree.albums(album, title) for album in present.get("album", ()))


def _is_recording_of(each: Identified, ids: Collection[str]) -> bool:
    """Whether one of these identifiers is of a recording that the found song has: MusicBrainz has many a song more than
    once."""
    return each.song is not None and any(
        recording.id == id_.casefold() for id_ in ids for recording in each.song.recordings
    )


def _is_nobodys(name: str, values: tuple[str, ...]) -> bool:
    pattern = _NOBODYS.get(name)
    return pattern is not None and all(pattern.fullmatch(value.casefold().strip()) for value in values)


def _is_same(ours: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Whether values are equal in any order and case."""
    return set(map(_folded, ours)) == set(map(_folded, theirs))


def _is_there(name: str, ours: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Whether a file has what was found: to the letter, or for a date, more exactly."""
    if name == "date" and ours:
        return ours[0].startswith(theirs[0])
    return _is_same(ours, theirs) if name in IDS else ours == theirs


def _says_the_same(name: str, ours: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Whether a person would not call two values different: another spelling, a date that is more or less exact."""
    if name == "date":
        return ours[0][:4] == theirs[0][:4]
    texts = agree.normal(" ".join(ours)), agree.normal(" ".join(theirs))
    return texts[0] == texts[1] != ""


def _only(fields: Fields, names: Collection[str]) -> dict[str, tuple[str, ...]]:
    return {name: values for name, values in fields.items() if name in names}


def _folded(value: str) -> str:
    return value.casefold().strip()
