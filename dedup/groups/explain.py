"""Two files, compared and explained: the numbers, each against its threshold, and the verdict."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dedup.correlation.compare import compare_two
from dedup.correlation.match import FOLLOWED_KAPPA, STORED_AGREEMENT, Match
from dedup.correlation.other_speeds import compare_at_speeds
from dedup.correlation.scoring import (
    MIN_DISTINCT,
    Change,
    Criterion,
    Thresholds,
    Verdict,
    criteria,
    verdict,
)
from dedup.errors import InputError
from dedup.files.apart import apart
from dedup.files.host_paths import HostPath
from dedup.files.paths import printable
from dedup.files.status import size_and_time
from dedup.fingerprint.task import fingerprint_file
from dedup.groups.confirmed import as_confirmed
from dedup.groups.judgements import Judgements, is_current
from dedup.groups.recordings import Called, called, is_one
from dedup.groups.thresholds import thresholds
from dedup.library.identity import flac_md5, full_hash
from dedup.library.look import LOOK_S, require_openable
from dedup.library.unusable import Unusable
from dedup.settings import CompareSettings, FingerprintSettings, MatchSettings
from dedup.store.items import SILENT_ITEM, Items, frozen, items_digest, n_distinct

if TYPE_CHECKING:
    from collections.abc import Callable

    from dedup.lookup.known import Known
    from dedup.store.store import Store

MIN_LENGTH_S = 1.0
"""Seconds of items that a file must have to be compared at all."""


@dataclass(frozen=True)
class Listened:
    """One side of a comparison."""

    path: bytes
    items: Items
    stream: bytes | None
    digest: bytes
    """Digest of the items."""
    damage: str | None
    from_store: bool
    """Whether its fingerprint was in the store; otherwise the file was decoded now."""
    pitches: Items | None
    """Its items at other pitches (`fingerprint.pitches`); None if the store has none."""


@dataclass(frozen=True)
class Explanation:
    """What two files are to each other, and why."""

    a: Listened
    b: Listened
    match: Match | None
    """Match at the best lag, positive if `a` has more in front; None if they cannot overlap enough."""
    verdict: Verdict
    criteria: tuple[Criterion, ...]
    """The numbers that decide by sound, in that order. They do not matter if the files or their encoded audio are
    identical, or if a person judged the pair."""
    false_match: float | None
    """The estimated chance that two unrelated tracks of the library match as well; None without a match."""
    judged: bool
    """Whether a person judged the pair."""
    change: Change | None = None
    """What was changed between the two, if that was confirmed."""
    is_at_other_pitch: bool = False
    """Whether they agree so at one speed and another pitch, and nobody has confirmed it."""
    called: tuple[Called | None, Called | None] = (None, None)
    """Recordings at MusicBrainz that the two are said to be."""

    @property
    def is_one_by_ids(self) -> bool | None:
        """Whether both are said to be one recording; None unless something is said of both."""
        a, b = self.called
        return is_one(a.ids, b.ids) if a is not None and b is not None else None


def explain(
    a: bytes,
    b: bytes,
    store: Store | None,
    fingerprint: FingerprintSettings,
    compare: CompareSettings,
    match: MatchSettings,
    time_limit_s: float = float("inf"),
    is_apart: bool = False,
) -> Explanation:
    """Compares two files, in the store or not. What must be decoded, for at most `time_limit_s` seconds each, is
    fingerprinted as the store says, without a store as `fingerprint` says; with `is_apart` in a process of its own,
    which alone keeps to the limit whatever the file is. Raises InputError for a file without audio, with too little of
    it, or that cannot be read, not in reasonable time either."""
    settings = (store.fingerprint_settings if store else None) or fingerprint
    left, right = (listen(path, store, settings, time_limit_s, is_apart=is_apart) for path in (a, b))
    limits = thresholds(store, match)
    if limits.classic is None:
        found, change, is_at_other_pitch = _at_speeds(left, right, compare, limits, store)
    else:
        found, change, is_at_other_pitch = compare_two(left.items, right.items, compare), None, False
    why = _all_criteria(left, right, found, compare, limits, change)
    said = Judgements(store).of(left, right) if store else None
    judged: Verdict = "other"
    if _is_one_file(left, right):
        judged = "same file"
    elif _is_identical(left, right):
        judged = "identical file"
    elif said is False:
        judged = "other"
    elif _is_same_audio(left, right):
        judged = "same audio"
    elif said:
        judged = "same recording"
    elif found is not None and all(criterion.met for criterion in why if criterion.name in _EVIDENCE):
        judged = verdict(found, len(left.items), len(right.items), limits, change, is_at_other_pitch)
    false_match = limits.false_match(found) if found else None
    all_known = functools.cache(lambda: _all_known(store))
    names = _called(left, store, all_known), _called(right, store, all_known)
    return Explanation(left, right, found, judged, why, false_match, said is not None, change, is_at_other_pitch, names)


def _called(side: Listened, store: Store | None, all_known: Callable[[], Known]) -> Called | None:
    return called(side.path, side.digest, store, side.from_store, all_known)


def _all_known(store: Store | None) -> Known:
    from dedup.lookup.known import Known

    assert store is not None

    return Known(store)


def _at_speeds(
    a: Listened, b: Listened, compare: CompareSettings, limits: Thresholds, store: Store | None
) -> tuple[Match | None, Change | None, bool]:
    """The numbers of two files at the speed and pitch at which they agree best; what was changed between them, by what
    a store says that they were confirmed to be; and whether it is the pitch and nobody has confirmed it."""
    found, is_at_other_pitch = compare_at_speeds(a.items, b.items, compare, limits.other_speed, (a.pitches, b.pitches))
    said = store.catalog.comparisons.confirmed_of(a.digest, b.digest) if store is not None else None
    if said is None:
        return found, None, is_at_other_pitch
    return as_confirmed(found, is_at_other_pitch, said)


def listen(
    path: bytes,
    store: Store | None,
    settings: FingerprintSettings,
    time_limit_s: float = float("inf"),
    *,
    is_apart: bool = False,
) -> Listened:
    """The fingerprint of a file: the store's if the file is as the store knows it, otherwise made now."""
    if store is not None:
        track = store.catalog.tracks.get(os.path.abspath(path)) or store.catalog.tracks.get(path)
        audio = store.catalog.audios.get(track.audio) if track is not None and is_current(track) else None
        if audio is not None:
            items, pitches = store.items_of(audio.fingerprint), store.catalog.pitches.get(audio.fingerprint)
            digest = items_digest(items)
            return Listened(path, items, audio.stream, digest, audio.damage, from_store=True, pitches=pitches)
    return _decode(path, settings, time_limit_s, is_apart)


def _decode(path: bytes, settings: FingerprintSettings, time_limit_s: float, is_apart: bool) -> Listened:
    name = printable(path)
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(name, f"cannot be read: {error.strerror}", remedy="Name an audio file") from error
    if not os.path.isfile(path):
        raise InputError(name, "not a file", remedy="Name an audio file")
    require_openable(path)
    limits = HostPath(path), *size_and_time(status), settings, MIN_LENGTH_S, time_limit_s
    # FFmpeg does not look at the time while it looks for the next packet in a terabyte of nothing
    result = apart(name, LOOK_S + time_limit_s, fingerprint_file, *limits) if is_apart else fingerprint_file(*limits)
    if isinstance(result, Unusable):
        raise InputError(name, result.reason, remedy="Name another file")
    items, pitches = result.items, result.pitches
    digest = items_digest(items)
    return Listened(path, items, result.stream, digest, result.damage, from_store=False, pitches=pitches)


def _is_one_file(a: Listened, b: Listened) -> bool:
    try:
        return os.path.samefile(a.path, b.path)
    except OSError:  # one of them is only in the store
        return False


def _is_identical(a: Listened, b: Listened) -> bool:
    try:
        return os.path.getsize(a.path) == os.path.getsize(b.path) and full_hash(a.path) == full_hash(b.path)
    except OSError:
        return False


def _is_same_audio(a: Listened, b: Listened) -> bool:
    """Whether the encoded streams are the same, or both files are sound FLACs of the same samples."""
    if a.stream is not None and a.stream == b.stream:
        return True
    if a.damage or b.damage or not np.array_equal(a.items, b.items):
        return False
    try:
        samples = flac_md5(a.path)
        return samples is not None and samples == flac_md5(b.path)
    except OSError:  # one of them is only in the store
        return False


OVERLAP, AUDIBLE, DISTINCT = "overlap, items", "overlap not silent, items", "different items"
AGREEMENT, KAPPA = "agreement", "kappa at the best lag"
_EVIDENCE = {OVERLAP, AUDIBLE, DISTINCT, AGREEMENT, KAPPA}
"""Criteria that must be met before the sound can decide."""


def _all_criteria(
    a: Listened,
    b: Listened,
    found: Match | None,
    compare: CompareSettings,
    limits: Thresholds,
    change: Change | None = None,
) -> tuple[Criterion, ...]:
    """Each number that `correlate` and `report` compare with a threshold, in that order."""
    from dedup.correlation.kernels import required_overlap

    needed = required_overlap(len(a.items), len(b.items), compare.min_overlap, compare.min_overlap_items)
    overlap = Criterion(OVERLAP, found.overlap if found else min(len(a.items), len(b.items)), needed)
    distinct = Criterion(DISTINCT, min(n_distinct(a.items), n_distinct(b.items)), MIN_DISTINCT)
    if found is None:
        return overlap, distinct
    audible = Criterion(AUDIBLE, _n_audible(a.items, b.items, found), compare.min_overlap_items)
    agreement = Criterion(AGREEMENT, found.agreement, STORED_AGREEMENT)
    kappa = Criterion(KAPPA, found.kappa, FOLLOWED_KAPPA)
    return overlap, audible, distinct, agreement, kappa, *criteria(found, len(a.items), len(b.items), limits, change)


def _n_audible(a: Items, b: Items, found: Match) -> int:
    """Items of the overlap in which at least one track is audible."""
    left, right = overlapping(a, b, found)
    return int(np.count_nonzero((left != SILENT_ITEM) | (right != SILENT_ITEM)))


def overlapping(a: Items, b: Items, found: Match) -> tuple[Items, Items]:
    """The parts of two fingerprints that overlap at the lag of a match, `uint32[overlap]` each."""
    start_a, start_b = max(0, found.lag), max(0, -found.lag)
    return a[start_a : start_a + found.overlap], b[start_b : start_b + found.overlap]


def lag_curve(a: Items, b: Items, compare: CompareSettings) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Lags in items, ascending, and the agreement at each, `[n_lags]`, 0 to 1; empty if none overlaps enough."""
    from dedup.correlation import kernels

    a, b = frozen(a, np.uint32), frozen(b, np.uint32)
    n_a, n_b = len(a), len(b)
    required = kernels.required_overlap(n_a, n_b, compare.min_overlap, compare.min_overlap_items)
    lowest, highest = kernels.lag_range(n_a, n_b, required, compare.lag_limit)
    lags = np.arange(lowest, highest + 1)
    errors = np.empty(len(lags), np.int64)
    kernels.lag_curve(a, b, lowest, highest, errors)
    overlaps = np.minimum(n_a - lags, n_b) - np.maximum(0, -lags)
    return lags, 1 - errors / (32 * overlaps)
