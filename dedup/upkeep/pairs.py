"""What stored pairs may say: of a tile, whose blocks are known, and of two fingerprints by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dedup.settings import CompareSettings
from dedup.store.pairs import N_STEPS, PAIR
from dedup.store.results import TileResult
from dedup.store.tiles import tile_name


def tile_problem(
    tile: TileResult, compare: CompareSettings | None, lengths: dict[str, npt.NDArray[np.int64]]
) -> str | None:
    """What is wrong with the result of a tile, by its comparison settings, if they are recorded, and the items of each
    row of each block; None if it is sound."""
    if compare is None:
        return f"its comparison settings, {tile.settings}, are not recorded"
    if tile.block_a > tile.block_b or tile.name != tile_name(tile.block_a, tile.block_b, compare):
        return "its name does not match its blocks and settings"
    if len(tile.pairs) != tile.n_pairs * PAIR.itemsize:
        return f"has {len(tile.pairs)} bytes of pairs, but {tile.n_pairs} pairs take {tile.n_pairs * PAIR.itemsize}"
    if tile.block_a in lengths and tile.block_b in lengths:
        return _pairs_problem(tile, lengths[tile.block_a], lengths[tile.block_b])
    return None  # the finding is the block


def _pairs_problem(tile: TileResult, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> str | None:
    pairs = np.frombuffer(tile.pairs, PAIR)
    row_a, row_b = pairs["row_a"].astype(np.int64), pairs["row_b"].astype(np.int64)
    if np.any(row_a >= len(a)) or np.any(row_b >= len(b)):
        return "its pairs name rows that its blocks do not have"
    if np.any(np.diff(row_a * len(b) + row_b) <= 0) or (tile.block_a == tile.block_b and np.any(row_a >= row_b)):
        return "its pairs are not in order, or one occurs twice"
    lag, overlap = pairs["lag"].astype(np.int64), pairs["overlap"].astype(np.int64)
    if np.any(overlap != np.minimum(a[row_a] - lag, b[row_b]) - np.maximum(0, -lag)):
        return "the overlaps of its pairs do not match their lags and lengths"
    if not are_in_range(pairs):
        return "its pairs have numbers out of range"
    return _paths_problem(pairs, a[row_a], b[row_b])


def _paths_problem(pairs: npt.NDArray[Any], n_a: npt.NDArray[np.int64], n_b: npt.NDArray[np.int64]) -> str | None:
    """What is wrong with the paths of pairs whose fingerprints have `n_a` and `n_b` items; None if they are sound."""
    length = n_a + n_b
    for start, end, n_items in (("from_a", "to_a", n_a), ("from_b", "to_b", n_b)):
        if np.any(pairs[start] > pairs[end]) or np.any(pairs[end] > n_items):
            return "its pairs have paths that leave their fingerprints"
        length = np.minimum(length, pairs[end].astype(np.int64) - pairs[start])
    if np.any(pairs["distinct"] > length):
        return "its pairs have more different items than their paths have items"
    n_steps = pairs["n_steps"]
    if np.any(n_steps > N_STEPS) or np.any(pairs["steps"][np.arange(N_STEPS) >= n_steps[:, None]]):
        return "its pairs have steps beyond their last"
    return None


def are_in_range(pairs: npt.NDArray[Any]) -> bool:
    """Whether records of PAIR have only numbers that a comparison can give."""
    overlap = pairs["overlap"].astype(np.int64)
    shares = (np.abs(pairs[name]) <= 1 for name in ("kappa", "prominence", "along", "contrast", "log_rate"))  # no NaN
    return bool(np.all(overlap >= 1) and np.all(pairs["errors"] <= 32 * overlap) and all(map(np.all, shares)))
