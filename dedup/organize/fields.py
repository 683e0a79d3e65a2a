"""The fields of a track under the names that beets gives them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dedup.library.metadata import AudioProperties

VARIOUS = "Various Artists"
"""Artist of a compilation that names none."""

_TEXTS = {
    "title": "title",
    "artist": "artist",
    "albumartist": "albumartist",
    "album": "album",
    "genre": "genre",
    "composer": "composer",
    "lyricist": "lyricist",
    "arranger": "arranger",
    "conductor": "conductor",
    "remixer": "remixer",
    "grouping": "grouping",
    "work": "work",
    "label": "label",
    "catalognum": "catalognumber",
    "barcode": "barcode",
    "isrc": "isrc",
    "asin": "asin",
    "media": "media",
    "language": "language",
    "script": "script",
    "country": "releasecountry",
    "albumtype": "releasetype",
    "albumstatus": "releasestatus",
    "disctitle": "discsubtitle",
    "comments": "comment",
    "bpm": "bpm",
    "comp": "compilation",
    "initial_key": "key",
    "artist_sort": "artistsort",
    "albumartist_sort": "albumartistsort",
    "composer_sort": "composersort",
    "mb_trackid": "musicbrainz_trackid",
    "mb_releasetrackid": "musicbrainz_releasetrackid",
    "mb_albumid": "musicbrainz_albumid",
    "mb_artistid": "musicbrainz_artistid",
    "mb_albumartistid": "musicbrainz_albumartistid",
    "mb_releasegroupid": "musicbrainz_releasegroupid",
    "mb_workid": "musicbrainz_workid",
    "acoustid_id": "acoustid_id",
}
"""Fields that are the text of a tag: beets' name, and that of `tags.names`."""

_NUMBERS = {"track": "tracknumber", "tracktotal": "tracktotal", "disc": "discnumber", "disctotal": "disctotal"}
_DATES = {"": ("date", "releasedate"), "original_": ("originaldate", "originalyear")}
"""Prefix of year, month and day, and the tags that say them, the likeliest first."""
_DATE = re.compile(r"\D*(\d{4})(?:\D(\d{1,2}))?(?:\D(\d{1,2}))?", re.ASCII)

_FORMATS = {
    "mp3": "MP3", "mp2": "MP2", "flac": "FLAC", "alac": "ALAC", "aac": "AAC", "vorbis": "OGG", "opus": "Opus",
    "wma": "Windows Media", "ape": "APE", "wavpack": "WavPack", "mpc": "Musepack", "dsd": "DSD", "pcm": "WAV",
}  # fmt: skip
"""What beets calls codecs."""

FIELDS = frozenset(
    {
        *_TEXTS,
        *_NUMBERS,
        *(f"{prefix}{part}" for prefix in _DATES for part in ("year", "month", "day")),
        *("format", "bitrate", "samplerate", "bitdepth", "channels", "length", "multidisc"),
    }
)
"""All names."""

AlbumKey = tuple[str, str]


def fields_of(properties: AudioProperties, is_multidisc: bool) -> dict[str, str]:
    """What the fields of a file are; those that it lacks are left out. Several values of a tag are joined by "; "."""
    tags = properties.tags
    found = {name: "; ".join(tags[tag]) for name, tag in _TEXTS.items() if tags.get(tag)}
    artist, album_artist = found.get("artist", ""), found.get("albumartist", "")
    if not album_artist and "comp" in found:
        album_artist = VARIOUS
    found |= {"artist": artist or album_artist, "albumartist": album_artist or artist}
    for name, tag in _NUMBERS.items():
        if tags.get(tag):
            number = tags[tag][0]
            found[name] = number.zfill(2) if number.isdecimal() else number
    for prefix, names in _DATES.items():
        found |= _date(prefix, next((tags[name][0] for name in names if tags.get(name)), ""))
    found |= _sound(properties)
    found["multidisc"] = "1" if is_multidisc else ""
    return {name: value for name, value in found.items() if value}


def _date(prefix: str, text: str) -> dict[str, str]:
    parts = _DATE.match(text)
    if parts is None:
        return {}
    year, month, day = parts.groups()
    found = {"year": year, "month": month and month.zfill(2), "day": day and day.zfill(2)}
    return {f"{prefix}{name}": value for name, value in found.items() if value and int(value)}


def _sound(properties: AudioProperties) -> dict[str, str]:
    minutes, seconds = divmod(round(properties.duration_s), 60)
    return {
        "format": _FORMATS.get(properties.codec, properties.codec.upper() if properties.codec != "unknown" else ""),
        "bitrate": f"{properties.bitrate // 1000}kbps" if properties.bitrate >= 1000 else "",
        "samplerate": f"{properties.sample_rate // 1000}kHz" if properties.sample_rate >= 1000 else "",
        "bitdepth": str(properties.bits) if properties.bits else "",
        "channels": str(properties.channels) if properties.channels else "",
        "length": f"{minutes}:{seconds:02}" if properties.duration_s else "",
    }


def album_key(tags: Mapping[str, tuple[str, ...]]) -> AlbumKey | None:
    """Which album a track is of, as far as its tags say; None if they do not."""
    album = tags.get("album")
    if not album:
        return None
    artist = tags.get("albumartist") or ((VARIOUS,) if tags.get("compilation") else tags.get("artist", ("",)))
    return artist[0].casefold(), album[0].casefold()


def multidisc_albums(all_tags: Iterable[Mapping[str, tuple[str, ...]]]) -> set[AlbumKey]:
    """The albums of more than one disc: by the number that a track gives, or since a track is on a later one."""
    found = set()
    for tags in all_tags:
        key = album_key(tags)
        numbers = [tags[name][0] for name in ("discnumber", "disctotal") if tags.get(name)]
        if key is not None and any(number.isdecimal() and int(number) > 1 for number in numbers):
            found.add(key)
    return found
