"""A file's fingerprint, compared with all others one by one, by the cascade: at one speed, and at others, for which it
is stretched and shortened by each rate. The others are stretched by none: they are ready. What the cascade leaves is
measured as `correlate` measures it."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dedup.correlation.kernels import lag_limits
from dedup.correlation.lanes import SortKey, sort_key
from dedup.correlation.other_speeds import RATES, Heard, HeardBlock, about_as_long, correlate_heard
from dedup.correlation.stretch import stretched
from dedup.correlation.sweep import Packed, Work, room_for_curves, sweep
from dedup.correlation.tile import Part, Prepared, records_of
from dedup.correlation.worth_storing import FOUND_COLUMNS, ROW_X, ROW_Y, floor_of, keep_worth_storing
from dedup.gate.shelves import packed_block
from dedup.settings import CompareSettings
from dedup.store.items import Items, frozen
from dedup.store.pairs import PAIR

if TYPE_CHECKING:
    from dedup.correlation.kernels import LagLimits
    from dedup.correlation.lanes import Curves
    from dedup.correlation.line import Floats
    from dedup.correlation.worth_storing import Floor


def at_one_speed(question: Prepared, others: Prepared, packed: Packed, settings: CompareSettings) -> bytes:
    """The pairs of a fingerprint with others as the cascade finds them, as bytes of PAIR. `packed` are the others."""
    items, limits, floor = question.fingerprints.items, lag_limits(settings), floor_of(settings)
    one, n = packed_block(*question.fingerprints), len(packed.lanes.order)
    shorter = _n_before(packed, items)
    curves = room_for_curves(one, packed, settings.lag_limit)
    forward = _swept(one, packed, Work(0, 1, np.array([shorter]), 0, 1), limits, floor, curves)
    backward = _swept(packed, one, Work(shorter, n, np.ones(n, np.int64), 0, 1), limits, floor, curves)
    n_forward = keep_worth_storing(one.fingerprints, packed.fingerprints, False, limits, floor, forward)
    n_backward = keep_worth_storing(packed.fingerprints, one.fingerprints, False, limits, floor, backward)
    found = records_of(question, others, forward[:n_forward], swapped=False)
    return found + records_of(others, question, backward[:n_backward], swapped=True)


def _n_before(packed: Packed, items: Items) -> int:
    """How many of the others come before a fingerprint in the order of `lanes.sort_key`."""
    lanes, (all_items, offsets) = packed.lanes, packed.fingerprints

    def key(position: int) -> SortKey:
        row = int(lanes.order[position])
        return sort_key(all_items[offsets[row] : offsets[row + 1]])

    start, end = (int(np.searchsorted(lanes.n_items, len(items), side)) for side in ("left", "right"))
    return start + bisect.bisect_left(range(start, end), sort_key(items), key=key)


def candidates(items: Items, others: Packed, plain: bytes, settings: CompareSettings) -> npt.NDArray[np.int64]:
    """The rows that a fingerprint is to be compared with at other speeds and pitches, ascending: those that may agree
    at any rate, and those of the pairs that agree as they are (`plain`, bytes of PAIR). `settings` are those of the
    pass."""
    known = np.frombuffer(plain, PAIR)["row_b"].astype(np.int64)
    return np.union1d(_candidates(items, others, settings.narrowed), known)


def at_other_speeds(
    one: HeardBlock, others: HeardBlock, rows: npt.NDArray[np.int64], plain: bytes, settings: CompareSettings
) -> bytes:
    """The pairs of a fingerprint with others at other speeds and pitches, as bytes of PAIR. `others` are the `rows` of
    a larger block, which the pairs are to name; `plain` are the pairs with that as they are."""
    known = np.frombuffer(plain, PAIR).copy()
    known["row_b"] = np.searchsorted(rows, known["row_b"])
    found, _ = correlate_heard(Heard(one), Heard(others), Part(0, 1), known.tobytes(), settings)
    pairs = np.frombuffer(found, PAIR).copy()
    pairs["row_b"] = rows[pairs["row_b"]]
    return pairs.tobytes()


def _candidates(items: Items, others: Packed, settings: CompareSettings) -> npt.NDArray[np.int64]:
    """The rows that may agree with the fingerprint at any rate, ascending: of about its length, and found by the
    cascade."""
    changed = [stretched(frozen(items, np.uint32), rate) for each in RATES for rate in (each, 1 / each)]
    offsets = frozen(np.cumsum([0, *map(len, changed)]), np.int64)
    one = packed_block(frozen(np.concatenate(changed), np.uint32), offsets)
    limits, floor = lag_limits(settings), floor_of(settings)
    lengths, their_lengths = one.lanes.n_items, others.lanes.n_items
    start, end = about_as_long(their_lengths, int(lengths[0]), int(lengths[-1]))
    curves = room_for_curves(one, others, settings.lag_limit)
    shorter = np.searchsorted(their_lengths, lengths, "right")
    found = _swept(one, _from(others, start, end), Work(0, len(lengths), shorter, 0, 1), limits, floor, curves)
    shorter = np.searchsorted(lengths, their_lengths, "left")
    of_longer = _swept(others, one, Work(start, end, shorter, 0, 1), limits, floor, curves)
    return np.unique(np.concatenate([found[:, ROW_Y], of_longer[:, ROW_X]]).astype(np.int64))


def _swept(x: Packed, y: Packed, work: Work, limits: LagLimits, floor: Floor, curves: Curves) -> Floats:
    """What `sweep` finds by the cascade."""
    out = np.empty((int(work.partners[work.start : work.end].sum()), FOUND_COLUMNS))
    n_found, _ = sweep(x, y, work, None, limits, floor, curves, out)
    return out[:n_found]


def _from(block: Packed, start: int, end: int) -> Packed:
    """A block of which `sweep` sees only the groups with these positions, as `y`."""
    lanes = block.lanes
    first = max(0, int(np.searchsorted(lanes.first, start, "right")) - 1)
    last = int(np.searchsorted(lanes.first, end, "left"))
    some = lanes._replace(
        first=lanes.first[first : last + 1],
        shift=lanes.shift[first:last],
        row_start=lanes.row_start[first : last + 1],
        n_full=lanes.n_full[first:last],
        lane_rows=lanes.lane_rows[first:last],
        running=lanes.running[first:],
    )
    return Packed(block.fingerprints, some)
