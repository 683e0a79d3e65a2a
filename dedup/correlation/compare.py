"""Compares two fingerprints exactly; every way through a tile must give the same."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.match import Match, evidence_of
from dedup.settings import CompareSettings
from dedup.store.items import Items, frozen, n_distinct
from dedup.store.pairs import N_STEPS

if TYPE_CHECKING:
    from dedup.correlation.path import Path


def compare_two(a: Items, b: Items, settings: CompareSettings) -> Match | None:
    """Two fingerprints (`uint32`) at their best lag, whatever their score; None if they cannot overlap enough. If
    `correlate` stores the pair, it stores the same numbers."""
    best = _best(a, b, settings)
    if best is None:
        return None
    x, y, swapped, lag, overlap, errors, prominence, kappa, is_silent = best
    match = matched(x, y, lag, overlap, errors, kappa, prominence)
    if is_silent:
        match = match._replace(kappa=0.0, along=0.0)
    return match.swapped() if swapped else match


def evidence_and_agreement(a: Items, b: Items, settings: CompareSettings) -> tuple[float, float]:
    """Two numbers of `compare_two`, without the others; 0 and 0.5 if two fingerprints cannot overlap enough."""
    best = _best(a, b, settings)
    if best is None:
        return 0.0, 0.5
    agreement = 1 - best.errors / (32 * best.overlap)
    if best.is_silent:
        return 0.0, agreement
    path, _ = _path(best.x, best.y, best.lag)
    return evidence_of(best.kappa, path.kappa, _distinct(best.x, best.y, path)), agreement


class _Best(NamedTuple):
    """Two fingerprints at their best lag."""

    x: Items
    """The first in the order of `kernels.is_swapped`."""
    y: Items
    swapped: bool
    lag: int
    overlap: int
    errors: int
    prominence: float
    kappa: float
    is_silent: bool
    """Whether too few items are heard in either: two silences are no evidence."""


def _best(a: Items, b: Items, settings: CompareSettings) -> _Best | None:
    from dedup.correlation import kernels

    a, b = frozen(a, np.uint32), frozen(b, np.uint32)
    swapped = bool(kernels.is_swapped(a, b))
    x, y = (b, a) if swapped else (a, b)
    scratch = np.empty(min(2 * settings.lag_limit + 1, len(a) + len(b)), np.int64)
    best = kernels.compare(x, y, kernels.lag_limits(settings), scratch)
    if not best.found:
        return None
    kappa, n_informative = kernels.chance_corrected(x, y, best.lag)
    is_silent = n_informative < settings.min_overlap_items
    return _Best(x, y, swapped, best.lag, best.overlap, best.errors, best.prominence, kappa, is_silent)


def _path(x: Items, y: Items, lag: int) -> tuple[Path, npt.NDArray[np.uint8]]:
    """The path from a lag, and its steps."""
    from dedup.correlation.path import follow, n_steps

    similar = np.empty(n_steps(len(y)), np.uint8)
    return follow(x, y, lag, similar), similar


def _distinct(x: Items, y: Items, path: Path) -> int:
    """Different items on the path, of the fingerprint that has fewer."""
    return min(n_distinct(x[path.x_from : path.x_to]), n_distinct(y[path.y_from : path.y_to]))


def matched(x: Items, y: Items, lag: int, overlap: int, errors: int, kappa: float, prominence: float) -> Match:
    """All numbers of a pair whose best lag is known; `x` and `y` are `frozen`, in the order of `kernels.is_swapped`."""
    path, similar = _path(x, y, lag)
    places = int(path.x_from), int(path.x_to), int(path.y_from), int(path.y_to)
    return Match(
        int(lag),
        int(overlap),
        int(errors),
        float(kappa),
        float(prominence),
        float(path.kappa),
        round(math.log1p(path.rate), 9),
        0.0 if path.rate else contrast(x[path.x_from : path.x_to], y[path.y_from : path.y_to]),
        _distinct(x, y, path),
        *places,
        condensed(similar[: path.n_steps]),
    )


KEPT, LOST = (2, 6, 7, 8), (0, 1, 9, 10, 13)
"""Pairs of bits (2 and 3 are pair 1) that transposed copies share the most, and the least, found by comparing such
copies: bits that look at many notes at a time change little when all notes move up by one."""


def contrast(x: Items, y: Items) -> float:
    """How much better the bits that a transposition leaves alone agree than those that it changes, -1 to 1."""
    n = min(len(x), len(y))
    if n == 0:
        return 0.0
    differing = np.unpackbits((x[:n] ^ y[:n]).astype("<u4").view(np.uint8).reshape(n, 4), axis=1, bitorder="little")
    wrong = differing.mean(axis=0).reshape(16, 2).mean(axis=1)
    return float(wrong[list(LOST)].mean() - wrong[list(KEPT)].mean())


def condensed(steps: npt.NDArray[np.uint8]) -> bytes:
    """At most N_STEPS steps. If there are more, as many neighbours as needed become one: the mean of those that are not
    silent in both."""
    together = -(-len(steps) // N_STEPS)
    if together <= 1:
        return steps.tobytes()
    padded = np.zeros(-(-len(steps) // together) * together, np.uint8)
    padded[: len(steps)] = steps
    by_group = padded.reshape(-1, together).astype(np.float64)
    heard = np.count_nonzero(by_group, axis=1)
    mean = np.rint(by_group.sum(axis=1) / np.maximum(heard, 1))
    return bytes(mean.astype(np.uint8))
