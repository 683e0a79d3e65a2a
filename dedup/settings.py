"""Every setting that decides a result: frozen, with unit and range, and a canonical digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from dedup.errors import UsageError

ITEMS_PER_SECOND = 11025 / 1365
"""Chromaprint's frame hop is 1365 samples at 11,025 Hz."""

DEFAULT_EXTENSIONS = frozenset(
    "aac ac3 aif aiff ape avi dsf flac m4a m4b m4v mka mkv mov mp2 mp3 mp4 mpc oga ogg opus tta wav webm wma wv".split()  # noqa: SIM905
)
UNFINISHED_EXTENSIONS = frozenset("!ut aria2 crdownload download opdownload part partial tmp".split())  # noqa: SIM905
"""What browsers and download programs put behind a name until the file is whole."""


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise UsageError(f"setting {name}", f"found {value!r}", expected)


class _Digested:
    def digest(self) -> str:
        """32 hex digits, a function of the values alone: equal settings have equal digests on every machine."""
        values: dict[str, Any] = asdict(self)  # type: ignore[call-overload]
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class FingerprintSettings(_Digested):
    """What makes two fingerprints comparable; stamped into a store, others are refused."""

    chromaprint: str
    """Version of libchromaprint, such as "1.5.1"."""
    algorithm: int = 1
    """Chromaprint's algorithm number; 1 is "TEST2", the library's default."""
    sample_rate: int = 11025
    """Hz, of the mono PCM that libchromaprint gets."""
    length_s: float = 0.0
    """Seconds taken from the start of each track; 0 takes the whole track."""

    def __post_init__(self) -> None:
        _require(self.length_s >= 0, "length", self.length_s, "0 (whole track) or more seconds")

    def differences(self, other: FingerprintSettings) -> list[str]:
        """One "name: ours / theirs" for each field that differs."""
        return [
            f"{f.name} {getattr(self, f.name)!r} / {getattr(other, f.name)!r}"
            for f in fields(self)
            if getattr(self, f.name) != getattr(other, f.name)
        ]


@dataclass(frozen=True)
class DiscoverSettings:
    """Which files of a root are looked at."""

    extensions: frozenset[str] = DEFAULT_EXTENSIONS
    """Lower case, without the dot."""
    include: tuple[str, ...] = ()
    """Globs on the path below the root; empty means all. `*` stops at a slash, `**` does not."""
    exclude: tuple[str, ...] = ()
    """Globs on the path below the root, of files or folders; wins over `include`."""
    max_depth: int | None = None
    """Folders below a root; 0 is the root's own files. None is unlimited."""
    hidden: bool = False
    """Whether names that begin with a dot are looked at."""

    def __post_init__(self) -> None:
        _require(self.max_depth is None or self.max_depth >= 0, "max-depth", self.max_depth, "0 or more folders")


@dataclass(frozen=True)
class ScanSettings:
    """How files become fingerprints."""

    discover: DiscoverSettings = DiscoverSettings()
    min_length_s: float = 10.0
    """Seconds of audio below which a track is skipped as too short."""
    time_limit_s: float = 600.0
    """Seconds that one file may take to decode."""
    retry_failed: bool = False
    """Whether files that failed or were skipped before, and did not change, are tried again."""
    reads_per_disk: int | None = None
    """Files read from one disk at the same time, 1 or more. None: 1 where it rotates, else no limit."""

    @property
    def judgement(self) -> str:
        """The settings that decide whether a file is usable: a problem is remembered for as long as they stay."""
        return f"min-length {self.min_length_s:g}, time-limit {self.time_limit_s:g}"

    def __post_init__(self) -> None:
        _require(self.min_length_s >= 1, "min-length", self.min_length_s, "1 or more seconds")
        _require(self.time_limit_s > 0, "time-limit", self.time_limit_s, "more than 0 seconds")


METHODS = ("cascade", "exact")


@dataclass(frozen=True)
class CompareSettings(_Digested):
    """How two fingerprints are compared; part of every tile's name."""

    method: str = "cascade"
    """"exact": every lag, every item. "cascade": that only for pairs which a coarse comparison does not exclude; what
    it gives is what "exact" gives, or nothing."""
    max_lag: int | None = None
    """Items; lags from -max_lag to +max_lag are tried. None: every lag with enough overlap."""
    min_overlap: float = 0.25
    """Share of the shorter fingerprint that must overlap, 0 to 1."""
    min_overlap_items: int = 80
    """Items that must overlap whatever the share; 80 are 9.9 s."""

    def __post_init__(self) -> None:
        _require(self.method in METHODS, "method", self.method, "'cascade' or 'exact'")
        in_range = self.max_lag is None or 0 <= self.max_lag <= 1_000_000
        _require(in_range, "max-lag", self.max_lag, "0 to 1,000,000 items, or none for all lags")
        _require(0 < self.min_overlap <= 1, "min-overlap", self.min_overlap, "more than 0, at most 1")
        _require(self.min_overlap_items >= 1, "min-overlap-items", self.min_overlap_items, "1 or more items")

    @property
    def lag_limit(self) -> int:
        """`max_lag` as a number; 2^30 where nothing limits it."""
        return 1 << 30 if self.max_lag is None else self.max_lag


@dataclass(frozen=True)
class MatchSettings:
    """From which numbers on a stored pair is a match; changing them computes nothing again."""

    max_false: float = 0.01
    """Pairs of unrelated tracks that may be taken for related in the whole library, as expected from its noise
    floor."""
    min_score: float | None = 0.45
    """Score from which on what agrees throughout is one recording, 0 to 1. None: just below the lowest that a person
    approved."""
    min_prominence: float = 0.05
    """How far the agreement at the best lag stands above that of any lag more than 16 items away, 0 to 0.5."""
    classic: float | None = None
    """Raw agreement from which on two tracks match, of those that are kept (`match.STORED_KAPPA`), 0 to 1;
    None: not asked for."""

    def __post_init__(self) -> None:
        _require(self.max_false > 0, "max-false", self.max_false, "more than 0 pairs")
        in_range = self.min_score is None or 0 <= self.min_score <= 1
        _require(in_range, "min-score", self.min_score, "0 to 1, or 'judged'")
        _require(0 <= self.min_prominence <= 0.5, "min-prominence", self.min_prominence, "0 to 0.5")
        _require(self.classic is None or 0 <= self.classic <= 1, "classic", self.classic, "0 to 1, or 'off'")


Identity = Literal["recording", "album"]
IDENTITIES: tuple[Identity, ...] = get_args(Identity)


@dataclass(frozen=True)
class KeepSettings:
    """Which copy of a recording is the one to keep, and what is kept twice on purpose."""

    rules: tuple[str, ...] = ("best",)
    """Names of keep rules and presets (`dedup.groups.keep`), in their order."""
    prefer: tuple[bytes, ...] = ()
    """Folders, absolute, whose files are better: those of the first one most."""
    protect: tuple[bytes, ...] = ()
    """Folders, absolute, in which nothing is ever touched, and whose files win."""
    identity: Identity = "recording"
    """Whether a recording is kept once, or once for each album, disc and track number."""
    companions: tuple[tuple[bytes, bytes], ...] = ()
    """Pairs of folders, absolute: a file of one is no copy of a file of the other."""

    def __post_init__(self) -> None:
        _require(self.identity in IDENTITIES, "identity", self.identity, "'recording' or 'album'")


CopyAction = Literal["quarantine", "trash", "hardlink", "reflink", "delete"]
COPY_ACTIONS: tuple[CopyAction, ...] = get_args(CopyAction)


@dataclass(frozen=True)
class PlanSettings:
    """What is to become of the copies that are not kept."""

    action: CopyAction = "quarantine"
    to: bytes | None = None
    """Folder, absolute, that quarantined files go to; None: one in the root of each."""
    playlists: tuple[bytes, ...] = ()
    """Folders, absolute, in which playlists are looked for; none: the library's."""
    merge: bool = True
    """Whether the kept file gets the tags and the cover that only others have."""
    break_albums: bool = False
    """Whether a file goes though a complete album lacks it then."""
    remove_empty_folders: bool = False
    auto: float | None = None
    """Score, 0 to 1, from which on a copy goes without a person's word; None: every one."""
    ask: float | None = None
    """Score, 0 to 1, from which on a person is to say; what has less is only told of. None: every one."""

    def __post_init__(self) -> None:
        _require(self.action in COPY_ACTIONS, "action", self.action, f"one of {', '.join(COPY_ACTIONS)}")
        for name, score in (("auto", self.auto), ("ask", self.ask)):
            _require(score is None or 0 <= score <= 1, name, score, "0 to 1")
        in_order = self.ask is None or self.auto is None or self.ask <= self.auto
        _require(in_order, "ask", self.ask, f"at most auto, which is {self.auto}")
