"""What a worker does with tiles: it prepares each block once, compares, and returns the pairs worth storing."""

from __future__ import annotations

import bisect
import functools
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from dedup.correlation.compare import matched
from dedup.correlation.match import record
from dedup.settings import CompareSettings
from dedup.store.items import frozen
from dedup.store.pairs import PAIR

if TYPE_CHECKING:
    from dedup.correlation.join import Joined
    from dedup.correlation.lanes import SortKey
    from dedup.correlation.sweep import Packed
    from dedup.correlation.votes import Room, Rows

FOUND_AT_A_TIME = 1 << 20
"""Pairs that have room for their numbers at a time: 56 MB if all are found."""

Made = TypeVar("Made")

SharedBlock = tuple[str, npt.NDArray[np.uint32], npt.NDArray[np.int64]]
"""Name, items and offsets, as in `store.blocks.Block`."""


class Part(NamedTuple):
    """A tile, or one of the shares in which a large tile is computed (`sweep.Work`)."""

    a: int
    """Place of the first block in the list that comes with the parts."""
    b: int
    """Place of the second block."""
    share: int = 0
    """Number of the share, 0 to `n_shares - 1`."""
    n_shares: int = 1
    group: tuple[int, ...] = ()
    """Places of blocks, the first one of this part among them: the parts that have a group in common, and the second
    block, and stand together, are computed at once (`method` join). None: by itself."""


class Computed(NamedTuple):
    """The results of some parts, in their order."""

    pairs: list[bytes]
    """Pairs of each part that are worth storing, as bytes of `pairs.PAIR`, by row."""
    n_compared: list[int]
    """Pairs that each part compared."""
    seconds: float
    """Time that all parts took."""


def correlate_parts(settings: CompareSettings, n_kept: int, parts: Sequence[Part], *blocks: SharedBlock) -> Computed:
    """Compares the pairs of each part, and keeps `n_kept` blocks (2 or more) prepared for the next call."""
    began = time.perf_counter()
    done: list[tuple[bytes, int]] = []
    for (group, place), some in itertools.groupby(parts, key=lambda part: (part.group, part.b)):
        if group:
            done += _correlate_group(list(some), blocks, settings, n_kept)
            continue
        for part in some:
            a, b = (_prepared(blocks[each], settings, n_kept) for each in (part.a, place))
            done.append(correlate_prepared(a, b, part, settings))
    return Computed([pairs for pairs, _ in done], [n for _, n in done], time.perf_counter() - began)


def correlate_tile(a: SharedBlock, b: SharedBlock, settings: CompareSettings) -> tuple[bytes, int]:
    """The pairs of a whole tile that are worth storing, as bytes of `pairs.PAIR`, by row, and the number of pairs
    compared. Two blocks of one name are a tile on the diagonal."""
    done = correlate_parts(settings, 2, [Part(0, int(a[0] != b[0]))], a, b)
    return done.pairs[0], done.n_compared[0]


def merged(shares: Sequence[bytes]) -> bytes:
    """The pairs of all shares of a tile, as bytes of `pairs.PAIR`, by row."""
    pairs = np.concatenate([np.frombuffer(share, PAIR) for share in shares])
    return pairs[np.lexsort((pairs["row_b"], pairs["row_a"]))].tobytes()


class _Side(NamedTuple):
    """A block, prepared for `sweep`."""

    packed: Packed
    keys: list[SortKey]
    """Keys of the fingerprints, ascending."""


class Prepared:
    """A block as the kernels take it. What a method does not need is not made."""

    def __init__(self, items: npt.NDArray[np.uint32], offsets: npt.NDArray[np.int64], method: str) -> None:
        from dedup.correlation.kernels import BlockItems

        self.fingerprints = BlockItems(items, offsets)
        self.method = method

    @classmethod
    def of(cls, joined: Joined) -> Prepared:
        """A block that is prepared for the join."""
        made = cls(*joined.fingerprints, "join")
        made.joined = joined
        return made

    @cached_property
    def joined(self) -> Joined:
        from dedup.correlation.join import make_joined

        return make_joined(self.fingerprints)

    @cached_property
    def packed(self) -> _Side:
        from dedup.correlation.sweep import pack_block

        return _Side(*pack_block(*self.fingerprints, self.method))

    @property
    def n_rows(self) -> int:
        return len(self.fingerprints.offsets) - 1


_blocks: OrderedDict[tuple[str, ...], Any] = OrderedDict()


def kept(kind: str, names: Sequence[str], n_kept: int, prepare: Callable[[], Made]) -> Made:
    """What `prepare` makes of some blocks for a kind of work, made once in this process; the least recently used are
    dropped when there are more than `n_kept` blocks, and those for another kind: a worker has memory for one."""
    key = kind, *names
    found: Made | None = _blocks.pop(key, None)
    for other in [each for each in _blocks if each[0] != kind]:
        del _blocks[other]
    if found is None:
        while _blocks and sum(len(each) - 1 for each in _blocks) + len(names) > n_kept:
            _blocks.popitem(last=False)
        found = prepare()
    _blocks[key] = found
    return found


def _prepared(block: SharedBlock, settings: CompareSettings, n_kept: int) -> Prepared:
    """The block as the kernels take it."""
    name, items, offsets = block
    method = settings.method
    make = functools.partial(Prepared, frozen(items, np.uint32), frozen(offsets, np.int64), method)
    return kept(method, [name], n_kept, make)


Found = npt.NDArray[np.float64]
"""Pairs, `float64[n, FOUND_COLUMNS]`."""


def correlate_prepared(a: Prepared, b: Prepared, part: Part, settings: CompareSettings) -> tuple[bytes, int]:
    """The pairs of a part that are worth storing, as bytes of PAIR, by row, and the number of pairs compared, each from
    the side of the fingerprint that comes later in the order of both blocks."""
    same = part.a == part.b
    if settings.method == "join":
        forward, backward, n = _joined(a, b, part, settings)
    elif same:
        forward, backward, n = _of_itself(a.packed, part, settings)
    else:
        forward, backward, n = of_two(a.packed, b.packed, part, settings)
    if same:
        forward, backward = _by_row(np.concatenate([forward, backward]))
    return merged([records_of(a, b, forward, swapped=False), records_of(b, a, backward, swapped=True)]), n


def _by_row(found: Found) -> tuple[Found, Found]:
    """The pairs of a block with itself whose longer one has the lower row, and the others."""
    from dedup.correlation.worth_storing import ROW_X, ROW_Y

    is_forward = found[:, ROW_X] < found[:, ROW_Y]
    return found[is_forward], found[~is_forward]


def _of_itself(side: _Side, part: Part, settings: CompareSettings) -> tuple[Found, Found, int]:
    """The pairs of a side with itself."""
    found, n_compared = _swept(side, side, np.arange(len(side.keys), dtype=np.int64), part, settings)
    return found, found[:0], n_compared


def of_two(a: _Side, b: _Side, part: Part, settings: CompareSettings) -> tuple[Found, Found, int]:
    """The pairs of two sides whose longer is of `a`, those whose longer is of `b`, and the number compared."""
    before = np.array([bisect.bisect_left(b.keys, key) for key in a.keys], np.int64)
    behind = np.array([bisect.bisect_right(a.keys, key) for key in b.keys], np.int64)
    forward, n_forward = _swept(a, b, before, part, settings)
    backward, n_backward = _swept(b, a, behind, part, settings)
    return forward, backward, n_forward + n_backward


def _joined(a: Prepared, b: Prepared, part: Part, settings: CompareSettings) -> tuple[Found, Found, int]:
    """The pairs of two blocks that share keys, as `of_two` gives them."""
    from dedup.correlation.votes import Rows

    first, end = (a.n_rows * share // part.n_shares for share in (part.share, part.share + 1))
    same = part.a == part.b
    forward, backward = _worth_storing(a, b, Rows(same, first, end, b.n_rows), settings)
    n_compared = sum(a.n_rows - 1 - row for row in range(first, end)) if same else (end - first) * b.n_rows
    return forward, backward, n_compared


def _worth_storing(a: Prepared, b: Prepared, rows: Rows, settings: CompareSettings) -> tuple[Found, Found]:
    """The pairs of these rows that share keys and are worth storing: those whose longer is of `a`, and the others."""
    from dedup.correlation.join import join_blocks
    from dedup.correlation.kernels import lag_limits
    from dedup.correlation.worth_storing import floor_of, keep_worth_storing

    limits, floor = lag_limits(settings), floor_of(settings)
    forward, backward = join_blocks(a.joined, b.joined, rows, limits, floor, _room())
    n_forward = keep_worth_storing(a.fingerprints, b.fingerprints, False, limits, floor, forward)
    n_backward = keep_worth_storing(b.fingerprints, a.fingerprints, False, limits, floor, backward)
    return forward[:n_forward], backward[:n_backward]


class _Group(NamedTuple):
    """Some blocks as one."""

    whole: Prepared
    first_rows: list[int]
    """The row that is the first one of each block, and the number of rows."""


def _grouped(blocks: Sequence[SharedBlock]) -> _Group:
    lengths = [np.diff(offsets) for _, _, offsets in blocks]
    offsets = np.cumsum(np.concatenate([[0], *lengths]))
    items = np.concatenate([items for _, items, _ in blocks])
    first_rows = np.cumsum([0, *map(len, lengths)]).tolist()
    return _Group(Prepared(frozen(items, np.uint32), frozen(offsets, np.int64), "join"), first_rows)


def _correlate_group(
    parts: Sequence[Part], blocks: Sequence[SharedBlock], settings: CompareSettings, n_kept: int
) -> list[tuple[bytes, int]]:
    """What `correlate_prepared` gives of each of these parts, which have a group and the second block in common.
    Whether two tracks vote does not depend on their blocks, so neither does what is found."""
    from dedup.correlation.votes import Rows
    from dedup.correlation.worth_storing import ROW_X, ROW_Y

    places, second = parts[0].group, blocks[parts[0].b]
    members = [blocks[place] for place in places]
    group = kept("join", [name for name, *_ in members], n_kept, functools.partial(_grouped, members))
    own = _prepared(second, settings, n_kept)
    end = max(group.first_rows[places.index(part.a) + 1] for part in parts)
    of_second, of_group = _worth_storing(own, group.whole, Rows(False, 0, own.n_rows, end), settings)
    done = []
    for part in parts:
        number = places.index(part.a)
        first, behind = group.first_rows[number : number + 2]
        pairs = []
        for found, column, sides in ((of_second, ROW_Y, (1, 0)), (of_group, ROW_X, (0, 1))):
            here = found[(found[:, column] >= first) & (found[:, column] < behind)]
            if len(here):
                here[:, column] -= first
                both = [_as_it_is(blocks[place]) for place in (part.a, part.b)]
                pairs.append(records_of(both[sides[0]], both[sides[1]], here, swapped=column == ROW_Y))
        done.append((merged(pairs) if pairs else b"", (behind - first) * own.n_rows))
    return done


def _as_it_is(block: SharedBlock) -> Prepared:
    """A block of which nothing but the items is asked for."""
    return Prepared(frozen(block[1], np.uint32), frozen(block[2], np.int64), "join")


@cache
def _room() -> Room:
    """The scratch of this process."""
    from dedup.correlation.votes import Room

    return Room()


def _swept(
    x: _Side, y: _Side, partners: npt.NDArray[np.int64], part: Part, settings: CompareSettings
) -> tuple[Found, int]:
    """The pairs of this part that are worth storing, by row of the block, and the number of pairs compared."""
    from dedup.correlation.kernels import lag_limits
    from dedup.correlation.sweep import Work, room_for_curves, sweep
    from dedup.correlation.worth_storing import FOUND_COLUMNS, floor_of, keep_worth_storing

    limits, exact = lag_limits(settings), settings.method == "exact"
    floor = floor_of(settings)
    at_a_time = max(1, FOUND_AT_A_TIME // max(1, len(y.keys)))
    curves = room_for_curves(x.packed, y.packed, settings.lag_limit)
    rows_x, rows_y = x.packed.fingerprints, y.packed.fingerprints
    found, n_compared = [np.empty((0, FOUND_COLUMNS))], 0
    for start in range(0, len(x.keys), at_a_time):
        end = min(start + at_a_time, len(x.keys))
        out = np.empty((int(partners[start:end].sum()), FOUND_COLUMNS))
        work = Work(start, end, partners, part.share, part.n_shares)
        n_found, n = sweep(x.packed, y.packed, work, True if exact else None, limits, floor, curves, out)
        n_kept = keep_worth_storing(rows_x, rows_y, exact, limits, floor, out[:n_found])
        found.append(out[:n_kept].copy())
        n_compared += n
    return np.concatenate(found), n_compared


def records_of(x: Prepared, y: Prepared, found: Found, swapped: bool) -> bytes:
    """The pairs that were found and are worth storing, as bytes of PAIR; `swapped` if `x` is the second block of the
    tile."""
    stored = []
    for row_x, row_y, lag, overlap, errors, kappa, prominence in found.tolist():
        a, b = _row(x, int(row_x)), _row(y, int(row_y))
        match = matched(a, b, int(lag), int(overlap), int(errors), kappa, prominence)
        rows = (int(row_y), int(row_x)) if swapped else (int(row_x), int(row_y))
        stored.append(record(*rows, match.swapped() if swapped else match).tobytes())
    return b"".join(stored)


def _row(block: Prepared, row: int) -> npt.NDArray[np.uint32]:
    items, offsets = block.fingerprints
    return items[offsets[row] : offsets[row + 1]]
