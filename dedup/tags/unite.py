"""Which tags, and what besides, a kept file gets from the files that go. Touches no file.

- A field that the kept file lacks comes from the first of the others that has it.
- `UNITED` fields get the values of all files, each once.
- Any other field whose values differ in two files is a conflict: it is shown, and the kept file's values stay. This
  holds for ratings and play counts too: the files do not say which of two is right.
- `ALBUM` fields come only from a file of the same album, or from any if the kept file names none: a song's number on a
  compilation is wrong beside another album's title. Two different albums are not a conflict.
- `OF_THE_FILE` fields are never carried over: they describe an encoded file, not the recording. ReplayGain and R128 are
  carried over from a file with the same encoded audio only: another master has another loudness.
- Pictures, chapters, cue points, lyrics, ratings and data that nobody here understands are carried over as they are
  (`tags.extras`), with the fields that come with them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from dedup.tags.cover import Cover, is_good, is_usable
from dedup.tags.extras import Held, Rating, carried, family_of
from dedup.tags.free_extras import is_extra_field
from dedup.tags.merge import CarriedExtra, Conflict, Merge
from dedup.tags.names import Family
from dedup.tags.read import Tags


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


UNITED = _words(
    "genre mood style language performer arranger engineer producer mixer djmixer remixer director lyricist writer "
    "conductor isrc website license musicbrainz_workid"
)
"""Fields that may have several values without contradiction. Artist and composer are not among them, as another
spelling would look like another person, nor are the MusicBrainz fields that list one entry for each ("artists",
"musicbrainz_artistid")."""

ALBUM = _words(
    "album albumartist albumsort albumartistsort tracknumber tracktotal discnumber disctotal discsubtitle date "
    "releasedate originaldate originalyear originalalbum label catalognumber barcode asin media compilation "
    "releasetype releasestatus releasecountry script copyright musicbrainz_albumid musicbrainz_albumartistid "
    "musicbrainz_releasetrackid musicbrainz_releasegroupid musicbrainz_discid"
)
"""Fields that describe a release or a track's place on it, not the recording."""

_OF_ANY_ALBUM = _words("date originaldate originalyear copyright compilation")
"""Fields of `ALBUM` that do not tell albums apart: a file with just a year can get an album."""

OF_THE_FILE = _words(
    "encoder encodedby encodersettings encodingtime encoding length originalfilename acoustid_fingerprint "
    "musicip_fingerprint fingerprint cuesheet log taggingdate reprise_audio_hash"
)
"""Fields that describe the encoded file, as do those that `_OF_THE_FILE` matches."""

_OF_THE_FILE = re.compile(
    r"(comment:)?(itun(smpb|norm|pgap|es_cddb).*|.*(md5|crc32?|sha1|checksum)|mp3gain_.*|encod(er|ing|ed).*|"
    r"(itunes_)?(gapless|pgap).*|major_brand|minor_version|compatible_brands|wm/(encod|media|uniquefile|provider).*|"
    r"waveformatextensible_channel_mask|accurate ?rip.*)"
)
_GAIN = re.compile(r"replaygain_.*|r128_.*")


def unite(
    kept: tuple[bytes, Tags],
    others: Sequence[tuple[bytes, Tags]],
    same_audio: frozenset[bytes] = frozenset(),
    aligned: frozenset[bytes] = frozenset(),
) -> Merge:
    """What to write to the kept file. `others` come in the order of trust, best first; `same_audio` has the paths of
    those whose encoded audio equals the kept file's, `aligned` of those that start at the same moment. Nothing that the
    kept file says is lost or changed, except that `UNITED` fields grow."""
    path, tags = kept
    united = dict(tags.fields)
    conflicts: list[Conflict] = []
    album = _album(tags, [theirs for _, theirs in others])
    for other, theirs in others:
        is_of_album = theirs is album or _is_same_album(album, theirs)
        for name, values in _carried(theirs, is_of_album, other in same_audio):
            ours = united.get(name, ())
            if name in UNITED or not ours:
                united[name] = _union(ours, values)
            elif name in tags.fields and not _is_same(ours, values):
                conflicts.append(Conflict(name, ours, values, other))
    extras, coming = _carried_extras(kept, others, aligned)
    changed = {name: united[name] for name in sorted(united.keys() - coming) if united[name] != tags.fields.get(name)}
    conflicts = [conflict for conflict in conflicts if conflict.name not in coming]
    return Merge(path, changed, _best_cover(tags, others), tuple(conflicts), extras)


def good_cover(tags: Tags) -> Cover | None:
    """The cover that a kept file gets: the first good one; else the first that is usable."""
    return next(filter(is_good, tags.covers), None) or next(filter(is_usable, tags.covers), None)


def is_of_the_file(name: str) -> bool:
    """Whether a field describes one encoded file, and is never carried over to another."""
    return name in OF_THE_FILE or _OF_THE_FILE.fullmatch(name) is not None


def _carried_extras(
    kept: tuple[bytes, Tags], others: Sequence[tuple[bytes, Tags]], aligned: frozenset[bytes]
) -> tuple[tuple[CarriedExtra, ...], set[str]]:
    """The extras that the kept file gets, and the fields that come with them."""
    path, tags = kept
    family, ours = family_of(path), [held.extra for held in tags.extras]
    found: list[CarriedExtra] = []
    coming: set[str] = set()
    for other, theirs in others:
        held = {each.extra: each for each in theirs.extras}
        for extra in carried(held, ours, family, other in aligned):
            ours.append(extra)
            found.append(CarriedExtra(extra.kind, extra.what, extra.digest, other))
            coming |= _fields_with(held[extra], family)
    return tuple(found), coming


def _fields_with(held: Held, family: Family | None) -> set[str]:
    """The fields that a file of this family has once it has the extra."""
    if held.extra.form == "lyrics":
        return {"lyrics"}
    if family == "id3" and isinstance(held.content, Rating):
        rating = held.content
        return {name for name, number in (("rating", rating.value), ("playcount", rating.count)) if number}
    return set()


def _carried(tags: Tags, is_of_album: bool, is_same_audio: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, values in tags.fields.items():
        is_gain = _GAIN.fullmatch(name) is not None
        of_album = name in ALBUM or (is_gain and "album" in name)
        is_own = is_of_the_file(name) or is_extra_field(name)
        if (is_of_album or not of_album) and (is_same_audio or not is_gain) and not is_own:
            yield name, values


def _album(kept: Tags, others: Sequence[Tags]) -> Tags:
    """The tags whose album counts: the kept file's, if it names one or a place on one; else those of the first other
    that names an album, or else a place on one."""
    if any(name in ALBUM - _OF_ANY_ALBUM for name in kept.fields):
        return kept
    named = next((tags for tags in others if "album" in tags.fields), None)
    placed = (tags for tags in others if any(name in ALBUM for name in tags.fields))
    return named or next(placed, kept)


def _is_same_album(one: Tags, other: Tags) -> bool:
    """By name, and by MusicBrainz id if both have one: a reissue has another barcode."""
    ids = [tags.fields.get("musicbrainz_albumid", ()) for tags in (one, other)]
    names = [tags.fields.get("album", ()) for tags in (one, other)]
    return all(names) and _is_same(*names) and (not all(ids) or _is_same(*ids))


def _best_cover(kept: Tags, others: Sequence[tuple[bytes, Tags]]) -> bytes | None:
    """Path of the file with the largest cover; the first of equal ones. A kept file that has one gets only a good one,
    in place of one too small."""
    if any(is_good(cover) or not is_usable(cover) for cover in kept.covers):
        return None
    best, best_size = None, 0
    for path, tags in others:
        cover = good_cover(tags)
        size = cover.width * cover.height if cover and (is_good(cover) or not kept.covers) else 0
        if size > best_size:
            best, best_size = path, size
    return best


def _union(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, ...]:
    """Our values as they are, then the new ones of theirs."""
    new = {_folded(value): value for value in reversed(theirs)}
    known = set(map(_folded, ours))
    return ours + tuple(value for value in theirs if _folded(value) not in known and new[_folded(value)] is value)


def _is_same(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return set(map(_folded, one)) == set(map(_folded, other))


def _folded(value: str) -> str:
    """Equal for values that a reader could not tell apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", value).casefold()).strip()
