"""What a worker does with tiles: it prepares each block once, compares, and gives back what is worth storing."""

from __future__ import annotations

import bisect
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.compare import matched
from dedup.correlation.match import FOLLOWED_KAPPA, STORED_AGREEMENT, STORED_KAPPA, record
from dedup.settings import METHODS, CompareSettings
from dedup.store.items import frozen
from dedup.store.pairs import PAIR

if TYPE_CHECKING:
    from dedup.correlation.lanes import SortKey
    from dedup.correlation.sweep import Packed

FOUND_AT_A_TIME = 1 << 20
"""Pairs for whose numbers there is room at a time, 56 MB if all were found."""

SharedBlock = tuple[str, npt.NDArray[np.uint32], npt.NDArray[np.int64]]
"""Name, items and offsets, as in `store.blocks.Block`."""


class Part(NamedTuple):
    """A tile, or one of the `n_shares` shares in which a large one is computed (see `sweep`)."""

    a: int
    b: int
    """Blocks: places in the list that comes with the parts."""
    share: int = 0
    n_shares: int = 1


class Computed(NamedTuple):
    """What became of parts, in their order."""

    pairs: list[bytes]
    """Of each: pairs worth storing, as bytes of `pairs.PAIR`, by row."""
    n_compared: list[int]
    seconds: float


def correlate_parts(settings: CompareSettings, n_kept: int, parts: Sequence[Part], *blocks: SharedBlock) -> Computed:
    """Compares the pairs of each part. Keeps `n_kept` blocks prepared for the next call, 2 or more."""
    began = time.perf_counter()
    done = []
    for part in parts:
        a, b = (_prepared(blocks[place], settings, n_kept) for place in (part.a, part.b))
        done.append(_correlate(a, b, part, settings))
    return Computed([pairs for pairs, _ in done], [n for _, n in done], time.perf_counter() - began)


def warm_up() -> None:
    """Compiles the kernels and keeps them in the cache, by comparing made fingerprints in each way."""
    generator = np.random.default_rng(1)
    items = generator.integers(0, 1 << 32, 40 * 200, dtype=np.uint32)
    items[39 * 200 :] = items[:200]  # a pair that goes all the way
    block = ("warm up", items, np.arange(0, items.size + 1, 200, dtype=np.int64))
    for method in METHODS:
        correlate_tile(block, block, CompareSettings(method=method))


def correlate_tile(a: SharedBlock, b: SharedBlock, settings: CompareSettings) -> tuple[bytes, int]:
    """The pairs of a whole tile, on the diagonal where both blocks are of one name, that are worth storing, as bytes of
    `pairs.PAIR`, by row; and how many were compared."""
    done = correlate_parts(settings, 2, [Part(0, int(a[0] != b[0]))], a, b)
    return done.pairs[0], done.n_compared[0]


def merged(shares: Sequence[bytes]) -> bytes:
    """The pairs of all shares of a tile, by row."""
    pairs = np.concatenate([np.frombuffer(share, PAIR) for share in shares])
    return pairs[np.lexsort((pairs["row_b"], pairs["row_a"]))].tobytes()


class _Prepared(NamedTuple):
    packed: Packed
    keys: list[SortKey]
    """Of the fingerprints in their order."""


_blocks: OrderedDict[tuple[str, str], _Prepared] = OrderedDict()


def _prepared(block: SharedBlock, settings: CompareSettings, n_kept: int) -> _Prepared:
    """The block as the kernels want it, made once in this process; the least recently used are dropped."""
    from dedup.correlation.sweep import pack_block

    key = (block[0], settings.method)
    found = _blocks.pop(key, None)
    if found is None:
        items, offsets = frozen(block[1], np.uint32), frozen(block[2], np.int64)
        found = _Prepared(*pack_block(items, offsets, settings.method))
    _blocks[key] = found
    while len(_blocks) > n_kept:
        _blocks.popitem(last=False)
    return found


def _correlate(a: _Prepared, b: _Prepared, part: Part, settings: CompareSettings) -> tuple[bytes, int]:
    """Each pair is compared from the side of the fingerprint that comes last in the order of both."""
    if part.a == part.b:
        found, n_compared = _swept(a, a, np.arange(len(a.keys), dtype=np.int64), part, settings)
        forward, backward = found[found[:, 0] < found[:, 1]], found[found[:, 0] > found[:, 1]]
    else:
        before = np.array([bisect.bisect_left(b.keys, key) for key in a.keys], np.int64)
        behind = np.array([bisect.bisect_right(a.keys, key) for key in b.keys], np.int64)
        forward, n_forward = _swept(a, b, before, part, settings)
        backward, n_backward = _swept(b, a, behind, part, settings)
        n_compared = n_forward + n_backward
    return merged([_records(a, b, forward, swapped=False), _records(b, a, backward, swapped=True)]), n_compared


def _swept(
    x: _Prepared, y: _Prepared, partners: npt.NDArray[np.int64], part: Part, settings: CompareSettings
) -> tuple[npt.NDArray[np.float64], int]:
    """What `sweep` finds in this part and `settle` keeps, and how many pairs were compared."""
    from dedup.correlation.sweep import room_for_curves, sweep
    from dedup.correlation.worth_storing import FOUND_COLUMNS, settle

    compare = (settings.lag_limit, float(settings.min_overlap), settings.min_overlap_items)
    floor = (STORED_AGREEMENT, STORED_KAPPA, FOLLOWED_KAPPA, settings.min_overlap_items)
    share, exact = (part.share, part.n_shares), settings.method == "exact"
    at_a_time = max(1, FOUND_AT_A_TIME // max(1, len(y.keys)))
    curves = room_for_curves(x.packed, y.packed, settings.lag_limit)
    found, n_compared = [np.empty((0, FOUND_COLUMNS))], 0
    for start in range(0, len(x.keys), at_a_time):
        end = min(start + at_a_time, len(x.keys))
        out = np.empty((int(partners[start:end].sum()), FOUND_COLUMNS))
        n_found, n = sweep(x.packed, y.packed, (start, end), partners, share, exact, compare, floor, curves, out)
        n_kept = settle(_block(x), _block(y), exact, compare, floor, out[:n_found])
        found.append(out[:n_kept].copy())
        n_compared += n
    return np.concatenate(found), n_compared


def _records(x: _Prepared, y: _Prepared, found: npt.NDArray[np.float64], swapped: bool) -> bytes:
    """The pairs that `sweep` found, as bytes of PAIR; `swapped` where `x` is the tile's second block."""
    stored = []
    for row_x, row_y, lag, overlap, errors, kappa, prominence in found.tolist():
        a, b = _row(x, int(row_x)), _row(y, int(row_y))
        match = matched(a, b, int(lag), int(overlap), int(errors), kappa, prominence)
        rows = (int(row_y), int(row_x)) if swapped else (int(row_x), int(row_y))
        stored.append(record(*rows, match.swapped() if swapped else match).tobytes())
    return b"".join(stored)


def _block(block: _Prepared) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Its items and offsets."""
    return block.packed.items, block.packed.offsets


def _row(block: _Prepared, row: int) -> npt.NDArray[np.uint32]:
    items, offsets = _block(block)
    return items[offsets[row] : offsets[row + 1]]
