"""Keep rules: which copy of a recording is kept, and why. Each rule gives a file one number (`criteria`), and larger is
better; the user chooses the rules and their order. Files that are equal by all of them are ordered by path, so the same
files give the same answer on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.errors import UsageError
from dedup.files.paths import holds, printable
from dedup.groups.criteria import PHASE, PRESENT, RULES, SOUND, Rule, sound
from dedup.servers.attention import NOBODY, Listeners
from dedup.servers.evidence import kept as kept_listeners
from dedup.settings import KeepSettings

if TYPE_CHECKING:
    from dedup.groups.albums import Albums
    from dedup.groups.matches import ListedTrack, Matches
    from dedup.store.store import Store


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
    heard: str = ""
    """Digest of what listeners did, if a rule asks for that; else empty."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(rule.name for rule in self.rules)

    def best_first(self, tracks: Sequence[ListedTrack]) -> list[ListedTrack]:
        """The better copy first. A rule is asked only about files that all rules before it leave equal: of some rules,
        the answers have to be read."""
        return _ordered(list(tracks), self.rules)

    def decision(self, kept: ListedTrack, other: ListedTrack) -> Decision:
        """The first rule that tells the two apart."""
        return self._compared(kept, other)[1]

    def preference(self, one: ListedTrack, other: ListedTrack) -> Decision | None:
        """The rule by which one is better than the other, as `best_first` has it; None if it is not."""
        is_better, decision = self._compared(one, other)
        return decision if is_better else None

    def _compared(self, one: ListedTrack, other: ListedTrack) -> tuple[bool, Decision]:
        """Whether one is better than the other, and the first rule that tells the two apart."""
        for rule in self.rules:
            mine, theirs = rule.key(one), rule.key(other)
            if mine != theirs:
                return mine > theirs, Decision(rule.name, f"{rule.show(one)}, the other {rule.show(other)}")
        return one.path < other.path, Decision("path", "nothing else tells them apart")


def _ordered(tracks: list[ListedTrack], rules: Sequence[Rule], at: int = 0) -> list[ListedTrack]:
    """The order by the rules from `at` on."""
    if len(tracks) == 1:
        return tracks
    for place in range(at, len(rules)):
        keys = list(map(rules[place].key, tracks))
        if keys.count(keys[0]) < len(keys):
            equal: dict[int, list[ListedTrack]] = {}
            for key, track in zip(keys, tracks, strict=True):
                equal.setdefault(key, []).append(track)
            return [each for key in sorted(equal, reverse=True) for each in _ordered(equal[key], rules, place + 1)]
    return sorted(tracks, key=lambda track: track.path)


# ---- rules by name ----

RULE_NAMES = (*RULES, "prefer", "album", "loved")

BEST = (
    "band",
    "lossless",
    "bits",
    "rate",
    "channels",
    "bitrate",
    "album",
    "length",
    "tags",
    "cover",
    "named",
    "folder",
    "oldest",
)
PRESETS = {
    "best": BEST,
    "listener": tuple(each for rule in BEST for each in (("loved", rule) if rule == "lossless" else (rule,))),
} | {name: tuple(dict.fromkeys((name, *BEST))) for name in ("oldest", "newest", "smallest", "largest")}

EXPECTED = f"one of {', '.join(PRESETS)}; or rules separated by commas, out of {', '.join(RULE_NAMES)}"


def _protected(folders: Sequence[bytes]) -> Rule:
    """A damaged protected copy does not win: it stays anyway, and so the sound one stays too."""

    def key(copy: ListedTrack) -> int:
        return bool(folders) and sound(copy) and is_below(copy.path, folders)

    return Rule("protected", key, lambda copy: "protected" if key(copy) else "not")


def _prefer(folders: Sequence[bytes]) -> Rule:
    def place(copy: ListedTrack) -> int:
        return next((at for at, folder in enumerate(folders) if holds(folder, copy.path)), len(folders))

    def show(copy: ListedTrack) -> str:
        at = place(copy)
        return f"below {printable(folders[at])}" if at < len(folders) else "below no preferred folder"

    return Rule("prefer", lambda copy: -place(copy), show)


def _album(albums: Albums | None) -> Rule:
    def key(copy: ListedTrack) -> int:
        return albums is not None and albums.is_complete(copy.path)

    return Rule("album", key, lambda copy: "in a complete album" if key(copy) else "not")


def _loved(listeners: Listeners) -> Rule:
    return Rule(
        "loved",
        lambda copy: listeners.of(copy.path).rank,
        lambda copy: listeners.words(copy.path) or "without listeners",
    )


def is_below(path: bytes, folders: Sequence[bytes]) -> bool:
    """Whether a path is one of the folders, or in one."""
    return bool(folders) and any(holds(folder, path) for folder in folders)


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
    spelled = (rule for name in given for rule in (PRESETS[name] if name in ("best", "listener") else (name,)))
    return tuple(dict.fromkeys(spelled))


def keep_rules(settings: KeepSettings, albums: Albums | None = None, listeners: Listeners = NOBODY) -> KeepRules:
    """The rules of these settings. Present, protected and undamaged files always come first, then those whose channels
    do not cancel; preferred folders come next unless the list says when they count. Name and folder decide between
    equal files even if the list lacks them. Raises UsageError as `rule_names` does."""
    names = rule_names(settings.rules)
    if settings.prefer and "prefer" not in names:
        names = ("prefer", *names)
    names += tuple(name for name in ("named", "folder") if name not in names)
    of_place = {"prefer": _prefer(settings.prefer), "album": _album(albums), "loved": _loved(listeners)}
    chosen = (RULES.get(name) or of_place[name] for name in names)
    heard = listeners.digest if "loved" in names else ""
    return KeepRules((PRESENT, _protected(settings.protect), SOUND, PHASE, *chosen), heard)


def rules_of(store: Store, matches: Matches, settings: KeepSettings) -> KeepRules:
    """The rules for the tracks of a store; its albums, and what listeners did, are read only if a rule needs them."""
    names = rule_names(settings.rules)
    albums = matches.albums(store) if "album" in names else None
    return keep_rules(settings, albums, kept_listeners(store.layout) if "loved" in names else NOBODY)
