"""Compares two fingerprints exactly; every way through a tile must give the same."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dedup.correlation.match import Match, evidence_of
from dedup.settings import CompareSettings
from dedup.store.items import Items, frozen, n_distinct
from dedup.store.pairs import N_STEPS


def compare_two(a: Items, b: Items, settings: CompareSettings) -> Match | None:
    """Two fingerprints (`uint32`) at their best lag, whatever their score; None if they cannot overlap enough. If
    `correlate` stores the pair, it stores the same numbers."""
    from dedup.correlation import kernels

    a, b = frozen(a, np.uint32), frozen(b, np.uint32)
    swapped = kernels.is_swapped(a, b)
    x, y = (b, a) if swapped else (a, b)
    scratch = np.empty(min(2 * settings.lag_limit + 1, len(a) + len(b)), np.int64)
    best = kernels.compare(x, y, kernels.lag_limits(settings), scratch)
    if not best.found:
        return None
    kappa, n_informative = kernels.chance_corrected(x, y, best.lag)
    match = matched(x, y, best.lag, best.overlap, best.errors, kappa, best.prominence)
    if n_informative < settings.min_overlap_items:  # two silences: no evidence
        match = match._replace(kappa=0.0, along=0.0)
    return match.swapped() if swapped else match


def matched(x: Items, y: Items, lag: int, overlap: int, errors: int, kappa: float, prominence: float) -> Match:
    """All numbers of a pair whose best lag is known; `x` and `y` are `frozen`, in the order of `kernels.is_swapped`."""
    from dedup.correlation.path import follow, n_steps

    similar = np.empty(n_steps(len(y)), np.uint8)
    path = follow(x, y, lag, similar)
    distinct = min(n_distinct(x[path.x_from : path.x_to]), n_distinct(y[path.y_from : path.y_to]))
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
        distinct,
        *places,
        condensed(similar[: path.n_steps]),
    )


def evidence_at(x: Items, y: Items, lag: int, kappa: float) -> float:
    """`Match.evidence` of what `matched` gives, in half the time."""
    from dedup.correlation.path import follow, n_steps

    path = follow(x, y, lag, np.empty(n_steps(len(y)), np.uint8))
    distinct = min(n_distinct(x[path.x_from : path.x_to]), n_distinct(y[path.y_from : path.y_to]))
    return evidence_of(kappa, float(path.kappa), distinct)


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
