"""What makes one copy better than another: the rules that need nothing but the file."""

from __future__ import annotations

import functools
import os
import re
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.groups.losses import FULL_BAND_HZ, is_mono

if TYPE_CHECKING:
    from dedup.groups.matches import ListedTrack


@dataclass(frozen=True)
class Rule:
    """One criterion."""

    name: str
    key: Callable[[ListedTrack], int]
    """Value of a file; larger is better."""
    show: Callable[[ListedTrack], str]
    """The value in words: "flac"."""


LOSSLESS_KBITS = 10**9


def lossless(copy: ListedTrack) -> int:
    """By the codec, not the file name: an .m4a may be either."""
    return copy.properties.lossless


DSD_BITS = 24
DSD_PER_PCM = 32
"""DSD samples that count as one of PCM. By convention, DSD64 (2.8 MHz, an SACD) is worth 24 bits at 88.2 kHz: that is
what SACDs are converted to, because it holds the same range of the spectrum with the same noise."""

LEAST_DSD_HZ = 2_000_000
"""Rates of DSD below this are in bytes of 8 samples a second, as FFmpeg gives them."""


def bits(copy: ListedTrack) -> int:
    """Bits of a sample of PCM; DSD counts as 24 (`DSD_PER_PCM`)."""
    return DSD_BITS if copy.properties.codec == "dsd" else copy.properties.bits


def rate(copy: ListedTrack) -> int:
    """In Hz. A lossy file has at most a CD's rate: Opus says 48,000 Hz whatever it was made from. DSD counts as PCM of
    the same worth (`DSD_PER_PCM`)."""
    found = copy.properties.sample_rate
    if copy.properties.codec == "dsd":
        return (found if found >= LEAST_DSD_HZ else 8 * found) // DSD_PER_PCM
    return found if copy.properties.lossless else min(found, 44_100)


def band(copy: ListedTrack) -> int:
    """Sample rate in Hz, up to `FULL_BAND_HZ`, and that for an unknown one: what a lower rate leaves out is heard,
    however many bits are left, and whatever the codec is."""
    return min(rate(copy) or FULL_BAND_HZ, FULL_BAND_HZ)


def channels(copy: ListedTrack) -> int:
    """Number of channels; two that hold the same count as one."""
    return 1 if is_mono(copy, copy.properties) else copy.properties.channels


WORTH = {
    "opus": 1.6,
    "aac": 1.3,
    "vorbis": 1.3,
    "mpc": 1.2,
    "eac3": 1.1,
    "mp3": 1.0,
    "wma": 0.9,
    "ac3": 0.8,
    "mp2": 0.7,
    "mp1": 0.5,
}
"""Bit rate of an MP3 by LAME that sounds as good as one of this codec, as a multiple of its own; 1 for the others.

From Hydrogenaudio's public listening tests. Multiformat at 96 kbit/s, 2014: LAME at about 130 came level with
Vorbis and a little below AAC, each at 96; Opus at 96 was best. At 128 kbit/s, 2004 and 2005: AAC, Vorbis and
Musepack were ahead of LAME or level with it, WMA behind. At 64 kbit/s, 2011: CELT, which became Opus, was best.
MP1, MP2, AC-3 and E-AC-3 were in none of them: theirs are estimates. All are rough, and roughest at high rates; the
order is what counts."""


def bitrate(copy: ListedTrack) -> int:
    """In kbit/s of an MP3 that sounds as good (`WORTH`), so that rounding decides nothing. Lossless files are all
    equal, and above the rest: their bit rate only says how hard the encoder tried."""
    if copy.properties.lossless:
        return LOSSLESS_KBITS
    return round(_kbits(copy) * WORTH.get(copy.properties.codec, 1.0))


def _kbits(copy: ListedTrack) -> int:
    return round(copy.bitrate / 1000)


def length(copy: ListedTrack) -> int:
    """The length in whole seconds, because encoders add some milliseconds."""
    return round(copy.seconds)


def tags(copy: ListedTrack) -> int:
    """Number of fields that are filled in, whichever they are: title, label, rating and the like, but not fields that
    describe the encoded file, such as its encoder (`AudioProperties.tags`)."""
    return len(copy.properties.tags)


def cover(copy: ListedTrack) -> int:
    return copy.properties.has_cover


def oldest(copy: ListedTrack) -> int:
    """By the time of change, in seconds: file systems do not agree on fractions."""
    return -(copy.mtime_ns // 10**9)


def newest(copy: ListedTrack) -> int:
    return -oldest(copy)


def largest(copy: ListedTrack) -> int:
    return copy.size


def smallest(copy: ListedTrack) -> int:
    return -copy.size


_COPY_WORD = r"(?:copy|kopie|copie|copia)"
_NAMED_AS_COPY = re.compile(
    rf"^copy of |(?:^|[\s_-]){_COPY_WORD}(?:[\s_]*\(?\d{{1,3}}\)?)?$"
    rf"|\((?:\d{{1,2}}|(?:another |\d+\w\w ){{0,1}}{_COPY_WORD}(?: \d+)?)\)$",
    re.IGNORECASE,
)
"""Names that file managers and browsers give to a second file of the same name."""


def named(copy: ListedTrack) -> int:
    """2 for a plain name, 1 for a copy's, such as "x (1)", "x - Copy" or "Copy of x", 0 for one that cannot be read:
    not UTF-8, or with control characters, such as those that colour a terminal."""
    return _named(_stem(copy))


@functools.lru_cache(maxsize=1 << 16)
def _named(stem: str) -> int:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in stem):  # Cs: a byte that is no UTF-8
        return 0
    return 2 if _NAMED_AS_COPY.search(stem) is None else 1


_PASSING_FOLDER = re.compile(
    r"^(?:\..*|downloads?|te?mp|incoming|backups?|bak|trash|\$?recycle[ .]?(?:bin|d)?"
    r"|dup(?:e|licate)s?|copies|to delete)$",
    re.IGNORECASE,
)


def folder(copy: ListedTrack) -> int:
    """Whether no folder that it is in, from its root down, is hidden or has a name such as "Downloads", "tmp",
    "Backup", "Trash" or "Duplicates"."""
    return _is_lasting(os.path.dirname(copy.path), copy.root)


@functools.lru_cache(maxsize=1 << 14)
def _is_lasting(path: bytes, root: bytes) -> bool:
    above = os.path.dirname(root) if root else b""
    names = os.fsdecode(path.removeprefix(above)).split("/")
    return not any(_PASSING_FOLDER.match(name) for name in names)


_IMPORT_MARKS = {"musicbrainz_trackid", "musicbrainz_releasetrackid"}


def imported(copy: ListedTrack) -> int:
    """Whether it has MusicBrainz ids, which beets, Picard and Lidarr write when they import a file."""
    return not _IMPORT_MARKS.isdisjoint(copy.properties.tags)


def present(copy: ListedTrack) -> int:
    """A file that is absent must never be the one kept while others go."""
    return 2 if copy.state == "present" else 1 if copy.state == "absent" else 0


def sound(copy: ListedTrack) -> int:
    return copy.damage is None


def phase(copy: ListedTrack) -> int:
    """Whether its channels do not cancel in a mono mix, as they do if one of them is inverted."""
    return not copy.cancels


def _stem(copy: ListedTrack) -> str:
    return os.path.splitext(os.fsdecode(os.path.basename(copy.path)))[0]


def _bitrate(copy: ListedTrack) -> str:
    if copy.properties.lossless:
        return "lossless"
    codec = copy.properties.codec
    worth = f" of {codec}, as good as {bitrate(copy)} of mp3" if WORTH.get(codec, 1.0) != 1 else ""
    return f"{_kbits(copy)} kbit/s{worth}"


_NAMES = ("a name that cannot be read", "named as a copy", "a plain name")


def _clock(copy: ListedTrack) -> str:
    minutes, seconds = divmod(length(copy), 60)
    return f"{minutes}:{seconds:02d}"


def _time(copy: ListedTrack) -> str:
    return "of " + time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(copy.mtime_ns // 10**9))


def _size(copy: ListedTrack) -> str:
    return _counted(copy.size, "byte")


def _counted(number: int, unit: str) -> str:
    return f"{number:,} {unit}" + ("" if number == 1 else "s")


RULES = {
    rule.name: rule
    for rule in (
        Rule("lossless", lossless, lambda copy: copy.properties.codec),
        Rule("bits", bits, lambda copy: _counted(bits(copy), "bit")),
        Rule(
            "rate",
            rate,
            lambda copy: f"{rate(copy) if copy.properties.codec == 'dsd' else copy.properties.sample_rate:,} Hz",
        ),
        Rule("band", band, lambda copy: f"{rate(copy):,} Hz"),
        Rule("channels", channels, lambda copy: _counted(channels(copy), "channel")),
        Rule("bitrate", bitrate, _bitrate),
        Rule("length", length, _clock),
        Rule("tags", tags, lambda copy: _counted(tags(copy), "tag")),
        Rule("cover", cover, lambda copy: "with a cover" if cover(copy) else "without"),
        Rule("oldest", oldest, _time),
        Rule("newest", newest, _time),
        Rule("largest", largest, _size),
        Rule("smallest", smallest, _size),
        Rule("named", named, lambda copy: _NAMES[named(copy)]),
        Rule("folder", folder, lambda copy: "in a lasting folder" if folder(copy) else "in a passing one"),
        Rule("imported", imported, lambda copy: "with MusicBrainz ids" if imported(copy) else "without"),
    )
}
"""Rules that need nothing but the file."""

PRESENT = Rule("present", present, lambda copy: copy.state)
SOUND = Rule("sound", sound, lambda copy: copy.damage or "undamaged")
PHASE = Rule("phase", phase, lambda copy: "channels in phase" if phase(copy) else "channels cancel")
