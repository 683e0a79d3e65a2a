"""One set of names for tag fields, and how each format spells them. The names are those of Vorbis comments and
MusicBrainz Picard, in lower case."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Family = Literal["id3", "mp4", "asf", "ape", "vorbis"]

_TABLE = """
title                      | TIT2  | ©nam  | Title                         | Title        | name
artist                     | TPE1  | ©ART  | Author                        | Artist       |
artists                    |       |       | WM/ARTISTS                    | Artists      |
album                      | TALB  | ©alb  | WM/AlbumTitle                 | Album        |
albumartist                | TPE2  | aART  | WM/AlbumArtist                | Album Artist | ensemble
tracknumber                | TRCK  | trkn  | WM/TrackNumber                | Track        | track tracknum trkn
tracktotal                 |       |       | TotalTracks                   |              | totaltracks trackc
discnumber                 | TPOS  | disk  | WM/PartOfSet                  | Disc         | disc disk discnum
disctotal                  |       |       | TotalDiscs                    |              | totaldiscs discc
date                       | TDRC  | ©day  | WM/Year                       | Year         | year
originaldate               | TDOR  |       | WM/OriginalReleaseTime        |              | origdate
originalyear               |       |       | WM/OriginalReleaseYear        |              | origyear
releasedate                | TDRL  |       |                               |              |
genre                      | TCON  | ©gen  | WM/Genre                      | Genre        |
mood                       | TMOO  |       | WM/Mood                       |              |
style                      |       |       |                               |              |
grouping                   | TIT1  | ©grp  | WM/ContentGroupDescription    |              | contentgroup
subtitle                   | TIT3  |       | WM/SubTitle                   | Subtitle     |
discsubtitle               | TSST  |       | WM/SetSubTitle                |              | setsubtitle
composer                   | TCOM  | ©wrt  | WM/Composer                   | Composer     |
lyricist                   | TEXT  |       | WM/Writer                     | Lyricist     |
conductor                  | TPE3  |       | WM/Conductor                  | Conductor    |
remixer                    | TPE4  |       | WM/ModifiedBy                 | MixArtist    | mixartist
arranger                   | TIPL  |       | WM/ARRANGER                   |              |
engineer                   | TIPL  |       | WM/Engineer                   |              |
producer                   | TIPL  |       | WM/Producer                   |              |
mixer                      | TIPL  |       | WM/Mixer                      |              |
djmixer                    | TIPL  |       | WM/DJMixer                    |              |
performer                  | TMCL  |       |                               |              |
director                   |       | ©dir  | WM/Director                   |              |
writer                     |       |       |                               |              |
label                      | TPUB  |       | WM/Publisher                  | Label        | organization publisher
catalognumber              |       |       | WM/CatalogNo                  |              | labelno catalog
barcode                    |       |       | WM/Barcode                    |              | ean upc
isrc                       | TSRC  |       | WM/ISRC                       |              |
asin                       |       |       |                               |              |
media                      | TMED  |       | WM/Media                      |              | mediatype sourcemedia
language                   | TLAN  |       | WM/Language                   | Language     |
script                     |       |       | WM/Script                     |              |
copyright                  | TCOP  | cprt  | Copyright                     | Copyright    |
license                    |       |       |                               |              |
website                    | WOAR  |       | WM/AuthorURL                  | Weblink      | weblink
work                       |       | ©wrk  | WM/Work                       |              |
movementname               | MVNM  | ©mvn  |                               |              |
movement                   | MVIN  | ©mvi  |                               |              |
movementtotal              |       | ©mvc  |                               |              |
bpm                        | TBPM  | tmpo  | WM/BeatsPerMinute             |              | tempo
key                        | TKEY  | :initialkey | WM/InitialKey           |              | initialkey
compilation                | TCMP  | cpil  | WM/IsCompilation              |              | itunescompilation
comment                    | COMM  | ©cmt  | Description                   | Comment      |
description                | TDES  | desc  |                               |              |
lyrics                     | USLT  | ©lyr  | WM/Lyrics                     | Lyrics       | unsyncedlyrics
rating                     | POPM  |       | WM/SharedUserRating           |              | fmpsrating
playcount                  | POPM  |       | FMPS/Playcount                |              | fmpsplaycount playcounter
titlesort                  | TSOT  | sonm  | WM/TitleSortOrder             |              |
artistsort                 | TSOP  | soar  | WM/ArtistSortOrder            |              |
albumsort                  | TSOA  | soal  | WM/AlbumSortOrder             |              |
albumartistsort            | TSO2  | soaa  | WM/AlbumArtistSortOrder       |              |
composersort               | TSOC  | soco  | WM/ComposerSortOrder          |              |
originalartist             | TOPE  |       | WM/OriginalArtist             | Original Artist |
originalalbum              | TOAL  |       | WM/OriginalAlbumTitle         |              |
originallyricist           | TOLY  |       | WM/OriginalLyricist           |              |
originalfilename           | TOFN  |       | WM/OriginalFilename           |              |
encodedby                  | TENC  |       | WM/EncodedBy                  |              |
encodersettings            | TSSE  |       | WM/EncodingSettings           |              | encodingsettings
encoder                    |       | ©too  | WM/ToolName                   |              |
length                     | TLEN  |       |                               |              |
releasetype                | :MusicBrainz Album Type | = | MusicBrainz/Album Type |           | musicbrainzalbumtype
releasestatus              | :MusicBrainz Album Status | = | MusicBrainz/Album Status |       | musicbrainzalbumstatus
releasecountry             | :MusicBrainz Album Release Country | = | MusicBrainz/Album Release Country | | \
musicbrainzalbumreleasecountry
musicbrainz_trackid        | UFID  | :MusicBrainz Track Id | MusicBrainz/Track Id |         | musicbrainzrecordingid
musicbrainz_releasetrackid | :MusicBrainz Release Track Id | = | MusicBrainz/Release Track Id | |
musicbrainz_albumid        | :MusicBrainz Album Id | = | MusicBrainz/Album Id |              |
musicbrainz_artistid       | :MusicBrainz Artist Id | = | MusicBrainz/Artist Id |            |
musicbrainz_albumartistid  | :MusicBrainz Album Artist Id | = | MusicBrainz/Album Artist Id | |
musicbrainz_releasegroupid | :MusicBrainz Release Group Id | = | MusicBrainz/Release Group Id | |
musicbrainz_workid         | :MusicBrainz Work Id | = | MusicBrainz/Work Id |                |
musicbrainz_discid         | :MusicBrainz Disc Id | = | MusicBrainz/Disc Id |                |
musicbrainz_trmid          | :MusicBrainz TRM Id | = | MusicBrainz/TRM Id |                  |
musicip_puid               | :MusicIP PUID | = | MusicIP/PUID |                              |
acoustid_id                | :Acoustid Id | = | Acoustid/Id |                                |
acoustid_fingerprint       | :Acoustid Fingerprint | = | Acoustid/Fingerprint |              |
replaygain_track_gain      |       |       |                               |              |
replaygain_track_peak      |       |       |                               |              |
replaygain_album_gain      |       |       |                               |              |
replaygain_album_peak      |       |       |                               |              |
replaygain_reference_loudness |    |       |                               |              |
r128_track_gain            |       |       |                               |              |
r128_album_gain            |       |       |                               |              |
"""
"""Name | ID3 frame | MP4 atom | ASF attribute | APEv2 item | also read as. A colon: a field of free name (TXXX, iTunes
"----"), spelt so; "=": as ID3; empty: a field of free name, the name in capitals. Vorbis comments are always that."""

AUDIO_HASH = "reprise_audio_hash"
"""Field for the hash of the encoded audio, `identity.stream_hash` in hex digits."""

_FREE = {"rating": "FMPS_RATING", "playcount": "FMPS_PLAYCOUNT"}
"""Fields whose name in capitals would say too little: whether a rating of 1 is one star or all of them."""

_FORBIDDEN_IN_APE = frozenset({"id3", "tag", "oggs", "mp+"})
_PICTURES = ("metadata_block_picture", "coverart")
"""First letters of comments that hold a picture or belong to one."""

_NAME = re.compile(r"[ -<>-}]{2,200}")
_SQUASHED = re.compile(r"[ _/]")


@dataclass(frozen=True)
class Spelling:
    """What one format calls a field."""

    text: str
    free: bool
    """Whether this is a field of free name in a format that has such fields."""


def free_name(name: str) -> str:
    """What a field of free name is called if it has no spelling of its own."""
    return _FREE.get(name, name.upper())


def _rows() -> dict[str, tuple[dict[Family, Spelling], tuple[str, ...]]]:
    rows = {}
    for line in _TABLE.strip().splitlines():
        name, id3, mp4, asf, ape, also = (cell.strip() for cell in line.split("|"))
        cells: dict[Family, str] = {"id3": id3, "mp4": id3 if mp4 == "=" else mp4, "asf": asf, "ape": ape, "vorbis": ""}
        spellings = {family: _spelling(cell, name) for family, cell in cells.items()}
        rows[name] = spellings, tuple(also.split())
    return rows


def _spelling(cell: str, name: str) -> Spelling:
    if not cell or cell.startswith(":"):
        return Spelling(cell[1:] or free_name(name), True)
    return Spelling(cell, False)


_ROWS = _rows()
_RANKS = {name: rank for rank, name in enumerate(_ROWS)}
_NAME_OF = {_SQUASHED.sub("", name): (name, 0) for name in _ROWS}
_NAME_OF |= {other: (name, 1 + rank) for name, (_, also) in _ROWS.items() for rank, other in enumerate(also)}


def named(spelling: str) -> tuple[str, int] | None:
    """The common name of a field of free name, and how far its spelling is from the best one, which is 0: if a file has
    several spellings, the best wins. None for a name that not every format can hold."""
    lower = spelling.strip().lower()
    if not is_name(lower):
        return None
    return _NAME_OF.get(_SQUASHED.sub("", lower), (lower, 0))


def is_name(name: str) -> bool:
    """Whether every format can hold a field of this name: 2 to 200 printable ASCII characters, no "=", and none of the
    four words that APEv2 forbids."""
    is_plain = name == name.strip().lower() and _NAME.fullmatch(name) is not None
    return is_plain and name not in _FORBIDDEN_IN_APE and not name.startswith(_PICTURES)


def rank_of(name: str) -> tuple[int, str]:
    """Sorts common names in the order of the table, title and artist first; other names come last, by alphabet."""
    return _RANKS.get(name, len(_RANKS)), name


def spelling_of(name: str, family: Family) -> Spelling:
    """What `family` calls a field when it is written."""
    row = _ROWS.get(name)
    return row[0][family] if row else Spelling(free_name(name), True)


def names_of(family: Family) -> dict[str, str]:
    """Common names by the format's own spelling, for all fields that it has a fixed spelling for."""
    pairs = ((name, row[0][family]) for name, row in _ROWS.items())
    return {spelling.text: name for name, spelling in pairs if not spelling.free}
