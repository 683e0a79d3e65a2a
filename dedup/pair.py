"""Two files, compared and explained: the numbers, each against its threshold, and what they come to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dedup.correlation.correlate import compare_two
from dedup.correlation.scoring import MIN_DISTINCT, Criterion, Match, Verdict, criteria, verdict
from dedup.errors import InputError
from dedup.fingerprint.chromaprint import Items
from dedup.fingerprint.task import Unusable, fingerprint_file
from dedup.library.identity import full_hash
from dedup.library.paths import printable
from dedup.settings import CompareSettings, FingerprintSettings, MatchSettings
from dedup.store.catalog import n_distinct

if TYPE_CHECKING:
    from dedup.store.catalog import Track
    from dedup.store.store import Store


@dataclass(frozen=True)
class Listened:
    """One side of a comparison."""

    path: bytes
    items: Items
    stream: bytes | None
    damage: str | None
    from_store: bool
    """Whether its fingerprint was in the store; else the file was decoded now."""


@dataclass(frozen=True)
class Explanation:
    """What two files are to each other, and why."""

    a: Listened
    b: Listened
    match: Match | None
    """At the best lag, positive where `a` has more in front; None where they cannot overlap enough."""
    verdict: Verdict
    criteria: tuple[Criterion, ...]


def explain(
    a: bytes,
    b: bytes,
    store: Store | None,
    fingerprint: FingerprintSettings,
    compare: CompareSettings,
    match: MatchSettings,
) -> Explanation:
    """Compares two files, in the store or not. Raises InputError for one that has no audio, too little, or none that
    can be read."""
    left, right = (listen(path, store, fingerprint) for path in (a, b))
    found = compare_two(left.items, right.items, compare)
    judged: Verdict = "other"
    if _is_one_file(left, right):
        judged = "identical file"
    elif left.stream is not None and left.stream == right.stream:
        judged = "same audio"
    elif found is not None and min(n_distinct(left.items), n_distinct(right.items)) >= MIN_DISTINCT:
        judged = verdict(found, len(left.items), len(right.items), match)
    return Explanation(left, right, found, judged, _all_criteria(left, right, found, compare, match))


def listen(path: bytes, store: Store | None, settings: FingerprintSettings) -> Listened:
    """The fingerprint of a file: the store's, where the file is as the store knows it, else made now."""
    track = store.catalog.track(os.path.abspath(path)) or store.catalog.track(path) if store else None
    if store is not None and track is not None and track.audio is not None and _is_current(track):
        (audio,) = store.catalog.audios("WHERE id = ?", (track.audio,))
        return Listened(path, store.items_of(audio.fingerprint), audio.stream, audio.damage, from_store=True)
    return _decode(path, settings)


def _decode(path: bytes, settings: FingerprintSettings) -> Listened:
    name = printable(path)
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(name, f"cannot be read: {error.strerror}", "an audio file") from error
    if not os.path.isfile(path):
        raise InputError(name, "not a file", "an audio file")
    result = fingerprint_file(path, status.st_size, status.st_mtime_ns, settings, 1.0, float("inf"))
    if isinstance(result, Unusable):
        raise InputError(name, result.reason, "a file with audio")
    return Listened(path, result.items, result.stream, result.damage, from_store=False)


def _is_current(track: Track) -> bool:
    """Whether the file is as the store knows it; of one that is away the store's word is taken."""
    if track.state == "imported":
        return True
    try:
        status = os.stat(track.path)
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) == (track.size, track.mtime_ns)


def _is_one_file(a: Listened, b: Listened) -> bool:
    try:
        if os.path.getsize(a.path) != os.path.getsize(b.path):
            return False
        return os.path.samefile(a.path, b.path) or full_hash(a.path) == full_hash(b.path)
    except OSError:  # one of them is only in the store
        return False


def _all_criteria(
    a: Listened, b: Listened, found: Match | None, compare: CompareSettings, match: MatchSettings
) -> tuple[Criterion, ...]:
    shorter = min(len(a.items), len(b.items))
    needed = max(compare.min_overlap_items, int(np.ceil(compare.min_overlap * shorter)))
    distinct = min(n_distinct(a.items), n_distinct(b.items))
    evidence = (
        Criterion("overlap, items", found.overlap if found else shorter, needed),
        Criterion("different items", distinct, MIN_DISTINCT),
    )
    return evidence + (criteria(found, match) if found else ())


def lag_curve(a: Items, b: Items, compare: CompareSettings) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Lags in items, ascending, and the agreement at each, `[n_lags]`, 0 to 1; empty where none overlap enough."""
    from dedup.correlation import kernels

    n_a, n_b = len(a), len(b)
    required = kernels.required_overlap(n_a, n_b, compare.min_overlap, compare.min_overlap_items)
    lowest, highest = kernels.lag_range(n_a, n_b, required, compare.max_lag)
    lags = np.arange(lowest, highest + 1)
    errors = np.empty(len(lags), np.int64)
    kernels.lag_curve(a, b, lowest, highest, errors)
    overlaps = np.minimum(n_a - lags, n_b) - np.maximum(0, -lags)
    return lags, 1 - errors / (32 * overlaps)
