"""What a worker does with the tiles of the pass for other speeds: it compares the fingerprints of one block with those
of the other, one of the two stretched by each rate in its turn, and returns for each pair the best (`stretch`)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dedup.correlation.compare import compare_two
from dedup.correlation.match import Match, match_at, record
from dedup.correlation.tile import Computed, Part, Prepared, SharedBlock, of_two
from dedup.settings import CompareSettings
from dedup.store.items import Items, frozen
from dedup.store.pairs import PAIR

if TYPE_CHECKING:
    from dedup.correlation.kernels import BlockItems

RATES = tuple(1 + percent / 100 for percent in range(1, 9))
"""By which fingerprints are stretched. Steps of 1.5 % lose 2 % of the pairs, steps of 2 % lose 5 %."""

LENGTH_RATIO = 5, 4
"""How much longer one of the two may be, at most, once the other is stretched: a copy at another speed is whole, and
four of five pairs of a library need not be looked at."""

LEAST_LOG_RATE = 0.003
"""Of a pair of another speed: a path that leads back to the same one tells no more than the first pass."""

ROWS_AT_ONCE = 128
"""Fingerprints of about one length that are compared with those of the other block that have about the same."""

SAME_SCORE = 0.45
"""Score from which a pair that agrees at one speed is not asked about others."""


def correlate_stretched(
    settings: CompareSettings, known: Sequence[bytes], parts: Sequence[Part], *blocks: SharedBlock
) -> Computed:
    """Compares the pairs of each part at other speeds. `settings` are those of the pass; `known` are the pairs that
    each part's tile has at the same speed, as bytes of `pairs.PAIR`: what agrees there is left out."""
    began, pairs, n_compared = time.perf_counter(), [], []
    for part, at_one_speed in zip(parts, known, strict=True):
        found, n = _correlate(blocks[part.a], blocks[part.b], part, at_one_speed, settings)
        pairs.append(found)
        n_compared.append(n)
    return Computed(pairs, n_compared, time.perf_counter() - began)


def _correlate(
    a: SharedBlock, b: SharedBlock, part: Part, known: bytes, settings: CompareSettings
) -> tuple[bytes, int]:
    """The pairs of a part that are worth storing, as bytes of PAIR, by row, and the number of pairs compared. Shares
    are rows of the first block; in a block with itself each row is compared with those behind it."""
    from dedup.correlation.stretch import at_best_rate

    settings, same, n_rows = settings.narrowed, part.a == part.b, len(a[2]) - 1
    first, end = (n_rows * share // part.n_shares for share in (part.share, part.share + 1))
    one, other = _Rows(a, first, end), _Rows(b, first if same else 0, len(b[2]) - 1)
    stored = []
    for row_a, row_b, rate, of_b, lag, _ in _best_of_each(_candidates(one, other, settings), same, known).tolist():
        match = at_best_rate(one.row(row_a), other.row(row_b), rate, of_b, lag, settings)
        if match is not None and abs(match.log_rate) >= LEAST_LOG_RATE:
            stored.append(record(row_a, row_b, match).tobytes())
    n_compared = sum(n_rows - 1 - row for row in range(first, end)) if same else (end - first) * (len(b[2]) - 1)
    return b"".join(stored), n_compared


def compare_at_speeds(a: Items, b: Items, settings: CompareSettings, least_evidence: float) -> Match | None:
    """Two fingerprints (`uint32`) as all passes under these settings see them: as they are, or with one stretched if
    they agree better so, with `least_evidence` or more; None if they cannot overlap enough. If `correlate` stores the
    pair, these are its numbers."""
    plain = compare_two(a, b, settings)
    if not settings.varispeed or (plain is not None and plain.rate == 0 and plain.score >= SAME_SCORE):
        return plain
    block = ("", np.concatenate([a, b]), np.cumsum([0, len(a), len(b)], dtype=np.int64))
    pairs, _ = _correlate(block, block, Part(0, 0), b"", settings.passes[-1])
    found = match_at(pairs, 0) if pairs else None
    if found is None or found.evidence < least_evidence:
        return plain
    return found if plain is None or found.score > plain.score else plain


class _Rows:
    """Some rows of a block, shortest first."""

    def __init__(self, block: SharedBlock, first: int, end: int) -> None:
        self._items, self._offsets = block[1], block[2]
        lengths = np.diff(self._offsets)[first:end]
        order = np.argsort(lengths, kind="stable")
        self.rows: npt.NDArray[np.int64] = order + first
        self.lengths: npt.NDArray[np.int64] = lengths[order]

    def row(self, row: int) -> npt.NDArray[np.uint32]:
        """The items of a row of the block."""
        return frozen(self._items[self._offsets[row] : self._offsets[row + 1]], np.uint32)

    def some(self, start: int, end: int) -> BlockItems:
        """Those from `start` to before `end`, by length."""
        from dedup.correlation.kernels import BlockItems

        chosen = [self.row(int(row)) for row in self.rows[start:end]]
        items = np.concatenate([*chosen, np.empty(0, np.uint32)])
        return BlockItems(frozen(items, np.uint32), frozen(np.cumsum([0, *map(len, chosen)]), np.int64))

    def about_as_long(self, shortest: float, longest: float) -> tuple[int, int]:
        """The places, by length, of those at most LENGTH_RATIO shorter or longer, and of some that are not: lengths are
        whole numbers once they are stretched."""
        most, least = LENGTH_RATIO
        start = np.searchsorted(self.lengths, shortest * least / most - 2, "left")
        return int(start), int(np.searchsorted(self.lengths, longest * most / least + 2, "right"))


_CANDIDATE = np.dtype([("row_a", "i8"), ("row_b", "i8"), ("rate", "f8"), ("of_b", "?"), ("lag", "i8"), ("kappa", "f8")])
"""A pair at a rate: rows of the blocks; whether the second is stretched; the lag of the first against the second, one
of them stretched; kappa there."""

_Candidates = npt.NDArray[np.void]


def _candidates(a: _Rows, b: _Rows, settings: CompareSettings) -> Iterator[_Candidates]:
    """The pairs of `a` and `b` that agree at a rate."""
    from dedup.correlation.stretch import stretched_block

    yield np.empty(0, _CANDIDATE)
    for start in range(0, len(a.rows), ROWS_AT_ONCE):
        end = min(start + ROWS_AT_ONCE, len(a.rows))
        plain, shortest, longest = a.some(start, end), a.lengths[start], a.lengths[end - 1]
        for rate in RATES:
            near, near_end = b.about_as_long(shortest / rate, longest / rate)
            others = stretched_block(b.some(near, near_end), rate)
            found = _of_both(plain, others, settings)
            yield _at_rate(found, a.rows[start:end], b.rows[near:near_end], rate, True)
            near, near_end = b.about_as_long(shortest * rate, longest * rate)
            found = _of_both(stretched_block(plain, rate), b.some(near, near_end), settings)
            yield _at_rate(found, a.rows[start:end], b.rows[near:near_end], rate, False)


def _of_both(x: BlockItems, y: BlockItems, settings: CompareSettings) -> _Candidates:
    """The pairs of two sets of about as long fingerprints that agree; rows are those of the sets."""
    from dedup.correlation.worth_storing import KAPPA, LAG, ROW_X, ROW_Y

    one, other = (Prepared(*each, settings.method) for each in (x, y))
    forward, backward, _ = of_two(one.packed, other.packed, Part(0, 1), settings)
    parts = []
    for pairs, (of_a, of_b), sign in ((forward, (ROW_X, ROW_Y), 1), (backward, (ROW_Y, ROW_X), -1)):
        part = np.zeros(len(pairs), _CANDIDATE)
        part["row_a"], part["row_b"] = pairs[:, of_a], pairs[:, of_b]
        part["lag"], part["kappa"] = sign * pairs[:, LAG], pairs[:, KAPPA]
        parts.append(part)
    found = np.concatenate(parts)
    lengths = np.diff(x.offsets)[found["row_a"]], np.diff(y.offsets)[found["row_b"]]
    most, least = LENGTH_RATIO
    near: _Candidates = found[least * np.maximum(*lengths) <= most * np.minimum(*lengths)]
    return near


def _at_rate(
    found: _Candidates, rows_a: npt.NDArray[np.int64], rows_b: npt.NDArray[np.int64], rate: float, of_b: bool
) -> _Candidates:
    """What `_of_both` found at a rate; `rows_a` and `rows_b` are the rows of the blocks."""
    found["row_a"], found["row_b"] = rows_a[found["row_a"]], rows_b[found["row_b"]]
    found["rate"], found["of_b"] = rate, of_b
    return found


def _best_of_each(candidates: Iterator[_Candidates], same: bool, known: bytes) -> _Candidates:
    """The best candidate of each pair that does not agree at one speed, by row; if both blocks are the `same`, of rows
    and those behind them."""
    found = np.concatenate(list(candidates))
    if same:
        found = found[found["row_a"] < found["row_b"]]
    agreeing = np.frombuffer(known, PAIR)
    agreeing = agreeing[(agreeing["log_rate"] == 0) & (np.maximum(agreeing["kappa"], agreeing["along"]) >= SAME_SCORE)]
    found = found[~np.isin(_both(found), _both(agreeing))]
    found = found[np.lexsort((found["of_b"], found["rate"], -found["kappa"], found["row_b"], found["row_a"]))]
    _, firsts = np.unique(_both(found), return_index=True)
    return found[firsts]


def _both(pairs: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """Both rows of each pair as one number."""
    return pairs["row_a"].astype(np.int64) << 32 | pairs["row_b"].astype(np.int64)
