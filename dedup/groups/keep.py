"""Keep rules: which copy of a recording is kept, and why. Each rule gives a file one number, and larger is better; the
user chooses the rules and their order. Files that are equal by all of them are ordered by path, so the same files give
the same answer on every machine."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dedup.errors import UsageError
from dedup.files.paths import holds, printable
from dedup.library.metadata import AudioProperties
from dedup.settings import KeepSettings

if TYPE_CHECKING:
    from dedup.groups.albums import Albums
    from dedup.groups.matches import ListedTrack, Matches
    from dedup.store.store import Store


@dataclass(frozen=True)
class Copy:
    """A track and what its headers say, read once for all rules."""

    track: ListedTrack
    properties: AudioProperties


@dataclass(frozen=True)
class Rule:
    """One criterion."""

    name: str
    key: Callable[[Copy], int]
    """Value of a file; larger is better."""
    show: Callable[[Copy], str]
    """The value in words: "flac"."""


@dataclass(frozen=True)
class Decision:
    """Why one of two copies is the better one."""

    rule: str
    """Name of the rule that decides; "path" if no rule tells them apart."""
    why: str
    """The reason in words: "flac, the other mp3"."""


@dataclass(frozen=True)
class KeepRules:
    """The rules that count, most important first."""

    rules: tuple[Rule, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(rule.name for rule in self.rules)

    def rank(self, track: ListedTrack) -> tuple[Any, ...]:
        """Sorts the better copy first; no two tracks have the same rank."""
        copy = Copy(track, track.properties)
        return (*(-rule.key(copy) for rule in self.rules), track.path)

    def decision(self, kept: ListedTrack, other: ListedTrack) -> Decision:
        """The first rule that tells the two apart."""
        copies = Copy(kept, kept.properties), Copy(other, other.properties)
        for rule in self.rules:
            if rule.key(copies[0]) != rule.key(copies[1]):
                mine, theirs = map(rule.show, copies)
                return Decision(rule.name, f"{mine}, the other {theirs}")
        return Decision("path", "nothing else tells them apart")


# ---- the rules ----

LOSSLESS_KBITS = 10**9


def lossless(copy: Copy) -> int:
    """By the codec, not the file name: an .m4a may be either."""
    return copy.properties.lossless


def bits(copy: Copy) -> int:
    return copy.properties.bits


def rate(copy: Copy) -> int:
    """In Hz. A lossy file has at most a CD's rate: Opus says 48,000 Hz whatever it was made from."""
    found = copy.properties.sample_rate
    return found if copy.properties.lossless else min(found, 44_100)


def channels(copy: Copy) -> int:
    return copy.properties.channels


def bitrate(copy: Copy) -> int:
    """In kbit/s, so that rounding decides nothing. Lossless files are all equal, and above the rest: their bit rate
    only says how hard the encoder tried."""
    return LOSSLESS_KBITS if copy.properties.lossless else round(copy.properties.bitrate / 1000)


def length(copy: Copy) -> int:
    """The length in whole seconds, because encoders add some milliseconds."""
    return round(copy.properties.duration_s)


def tags(copy: Copy) -> int:
    """Number of fields that are filled in, whichever they are: title, label, rating and the like, but not fields that
    describe the encoded file, such as its encoder (`AudioProperties.tags`)."""
    return len(copy.properties.tags)


def cover(copy: Copy) -> int:
    return copy.properties.has_cover


def oldest(copy: Copy) -> int:
    """By the time of change, in seconds: file systems do not agree on fractions."""
    return -(copy.track.mtime_ns // 10**9)


def newest(copy: Copy) -> int:
    return -oldest(copy)


def largest(copy: Copy) -> int:
    return copy.track.size


def smallest(copy: Copy) -> int:
    return -copy.track.size


_COPY_WORD = r"(?:copy|kopie|copie|copia)"
_NAMED_AS_COPY = re.compile(
    rf"^copy of |(?:^|[\s_-]){_COPY_WORD}(?:[\s_]*\(?\d{{1,3}}\)?)?$"
    rf"|\((?:\d{{1,2}}|(?:another |\d+\w\w ){{0,1}}{_COPY_WORD}(?: \d+)?)\)$",
    re.IGNORECASE,
)
"""Names that file managers and browsers give to a second file of the same name."""


def named(copy: Copy) -> int:
    """Whether its name is not a copy's, such as "x (1)", "x - Copy" or "Copy of x"."""
    return _NAMED_AS_COPY.search(_stem(copy)) is None


_IMPORT_MARKS = {"musicbrainz_trackid", "musicbrainz_releasetrackid"}


def imported(copy: Copy) -> int:
    """Whether it has MusicBrainz ids, which beets, Picard and Lidarr write when they import a file."""
    return not _IMPORT_MARKS.isdisjoint(copy.properties.tags)


def present(copy: Copy) -> int:
    """A file that is absent must never be the one kept while others go."""
    return {"present": 2, "absent": 1}.get(copy.track.state, 0)


def sound(copy: Copy) -> int:
    return copy.track.damage is None


def _stem(copy: Copy) -> str:
    return os.path.splitext(os.fsdecode(os.path.basename(copy.track.path)))[0]


def _bitrate(copy: Copy) -> str:
    return "lossless" if copy.properties.lossless else f"{bitrate(copy)} kbit/s"


def _clock(copy: Copy) -> str:
    minutes, seconds = divmod(length(copy), 60)
    return f"{minutes}:{seconds:02d}"


def _time(copy: Copy) -> str:
    return "of " + time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(copy.track.mtime_ns // 10**9))


def _size(copy: Copy) -> str:
    return _counted(copy.track.size, "byte")


def _counted(number: int, unit: str) -> str:
    return f"{number:,} {unit}" + ("" if number == 1 else "s")


RULES = {
    rule.name: rule
    for rule in (
        Rule("lossless", lossless, lambda copy: copy.properties.codec),
        Rule("bits", bits, lambda copy: _counted(bits(copy), "bit")),
        Rule("rate", rate, lambda copy: f"{copy.properties.sample_rate:,} Hz"),
        Rule("channels", channels, lambda copy: _counted(channels(copy), "channel")),
        Rule("bitrate", bitrate, _bitrate),
        Rule("length", length, _clock),
        Rule("tags", tags, lambda copy: _counted(tags(copy), "tag")),
        Rule("cover", cover, lambda copy: "with a cover" if cover(copy) else "without"),
        Rule("oldest", oldest, _time),
        Rule("newest", newest, _time),
        Rule("largest", largest, _size),
        Rule("smallest", smallest, _size),
        Rule("named", named, lambda copy: "a plain name" if named(copy) else "named as a copy"),
        Rule("imported", imported, lambda copy: "with MusicBrainz ids" if imported(copy) else "without"),
    )
}
"""Rules that need nothing but the file."""

PRESENT = Rule("present", present, lambda copy: copy.track.state)
SOUND = Rule("sound", sound, lambda copy: copy.track.damage or "undamaged")

RULE_NAMES = (*RULES, "prefer", "album")

BEST = ("lossless", "bits", "rate", "channels", "bitrate", "album", "length", "tags", "cover", "named", "oldest")
PRESETS = {"best": BEST} | {
    name: tuple(dict.fromkeys((name, *BEST))) for name in ("oldest", "newest", "smallest", "largest")
}

EXPECTED = f"one of {', '.join(PRESETS)}; or rules separated by commas, out of {', '.join(RULE_NAMES)}"


def _protected(folders: Sequence[bytes]) -> Rule:
    """A damaged protected copy does not win: it stays anyway, and so the sound one stays too."""

    def key(copy: Copy) -> int:
        return sound(copy) and is_below(copy.track.path, folders)

    return Rule("protected", key, lambda copy: "protected" if key(copy) else "not")


def _prefer(folders: Sequence[bytes]) -> Rule:
    def place(copy: Copy) -> int:
        return next((at for at, folder in enumerate(folders) if holds(folder, copy.track.path)), len(folders))

    def show(copy: Copy) -> str:
        at = place(copy)
        return f"below {printable(folders[at])}" if at < len(folders) else "below no preferred folder"

    return Rule("prefer", lambda copy: -place(copy), show)


def _album(albums: Albums | None) -> Rule:
    def key(copy: Copy) -> int:
        return albums is not None and albums.is_complete(copy.track.path)

    return Rule("album", key, lambda copy: "in a complete album" if key(copy) else "not")


def is_below(path: bytes, folders: Sequence[bytes]) -> bool:
    """Whether a path is one of the folders, or in one."""
    return any(holds(folder, path) for folder in folders)


# ---- which of them count ----


def rule_names(given: Sequence[str]) -> tuple[str, ...]:
    """The rules that a list of rules and presets stands for, each once, at its first place. On its own, `oldest` or the
    like is the preset; among others it is the rule. Raises UsageError for an unknown name."""
    unknown = [name for name in given if name not in (*RULE_NAMES, *PRESETS)]
    if unknown or not given:
        found = f"there is no rule {unknown[0]!r}" if unknown else "no rule is named"
        raise UsageError("keep rules", found, EXPECTED)
    if len(given) == 1 and given[0] in PRESETS:
        return PRESETS[given[0]]
    spelled = (rule for name in given for rule in (BEST if name == "best" else (name,)))
    return tuple(dict.fromkeys(spelled))


def keep_rules(settings: KeepSettings, albums: Albums | None = None) -> KeepRules:
    """The rules of these settings. Present, protected and undamaged files always come first; preferred folders come
    next unless the list says when they count. Raises UsageError as `rule_names` does."""
    names = rule_names(settings.rules)
    if settings.prefer and "prefer" not in names:
        names = ("prefer", *names)
    of_place = {"prefer": _prefer(settings.prefer), "album": _album(albums)}
    chosen = (RULES.get(name) or of_place[name] for name in names)
    return KeepRules((PRESENT, _protected(settings.protect), SOUND, *chosen))


def rules_of(store: Store, matches: Matches, settings: KeepSettings) -> KeepRules:
    """The rules for the tracks of a store; its albums are read only if a rule needs them."""
    from dedup.groups.albums import albums_of

    return keep_rules(settings, albums_of(store, matches.tracks) if "album" in rule_names(settings.rules) else None)
