"""Makes the result of a tile of merged blocks from the results of their tiles, bit for bit as a comparison would give
it. The numbers of a pair depend on its two fingerprints, and theirs at other pitches, alone: only rows and their order
change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.store.pairs import PAIR, swapped

DROPPED = -1
"""New row of a fingerprint that is not carried over."""


class Source(NamedTuple):
    """The result of a tile, and the new rows of its two blocks."""

    pairs: bytes
    """Records of PAIR."""
    rows_a: npt.NDArray[np.int64]
    rows_b: npt.NDArray[np.int64]
    """`int64[n_rows]`: the new row of each row, or DROPPED."""
    swapped: bool
    """Whether the first block is now in the second one."""


def carry_over(sources: Iterable[Source], diagonal: bool) -> bytes:
    """Records of PAIR, by row, of the tile that replaces all of these; `diagonal` if both its blocks are the same."""
    carried = [_moved(source, diagonal) for source in sources]
    if not carried:
        return b""
    pairs: npt.NDArray[Any] = np.concatenate(carried)
    ordered: bytes = pairs[np.lexsort((pairs["row_b"], pairs["row_a"]))].tobytes()
    return ordered


def _moved(source: Source, diagonal: bool) -> npt.NDArray[Any]:
    pairs: npt.NDArray[Any] = np.frombuffer(source.pairs, PAIR).copy()
    rows_a, rows_b = source.rows_a[pairs["row_a"]], source.rows_b[pairs["row_b"]]
    kept = (rows_a != DROPPED) & (rows_b != DROPPED)
    pairs, rows_a, rows_b = pairs[kept], rows_a[kept], rows_b[kept]
    pairs["row_a"], pairs["row_b"] = rows_a, rows_b
    swap = rows_a > rows_b if diagonal else np.full(len(pairs), source.swapped)
    pairs[swap] = swapped(pairs[swap])
    return pairs
