"""The innermost loops, as LLVM instructions: vectors of 16 lanes, which LLVM cuts to what the processor has.

Numba alone would widen the sums to 64 bits, and choose narrower vectors or none. An intrinsic checks no bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import config, types
from numba.core.codegen import get_host_cpu_features

from dedup.correlation.carry_save import NONE, add_eights, bits_of_eights, run_eights
from dedup.correlation.emit import I32, I64, LANES, ROW, Array, constant, everywhere, loop
from dedup.correlation.llvm import DOUBLES, FLOATS, LAGS, ZEROS, emitted, popcount

BITS_AT_A_TIME = 255
"""Items whose bits `add_bits` may count: its counters are bytes."""

N_COUNTS, COUNTED_ERRORS, COUNTED_ITEMS = 66, 64, 65
"""Length of what `add_bits` counts, and the places of the differing bits and the items; 0 to 63 are single bits."""

FIRST_ROW, END_ROW = range(2)
"""Rows of `spans`: the first row that is compared at a lag, and the row behind the last."""

AVERAGE_FROM, AVERAGE_TO, CHOICE_FROM, CHOICE_TO = range(4)
"""Rows of `ranges`: first and last index that count for a lane's average, first and last that may be chosen."""

TOTAL_ERRORS, TOTAL_ROWS = range(2)
"""Rows of the totals of `add_lags`."""

AVERAGE, CLEAR_SQUARED, LEAST_FEWER = range(3)
"""Rows of `needed`, each for one row that is compared: a lane's average bit errors; the least square of the bits by
which fewer differ at a lag that stands out; the least number of these bits."""

COUNT, WORD, INDEX = types.int64, types.uint32, types.int32
WORDS, WORD_ROWS, INDICES, INDEX_ROWS = WORD[::1], WORD[:, ::1], INDEX[::1], INDEX[:, ::1]


def _has_vector_popcount() -> bool:
    """Whether the processor that Numba compiles for counts the bits of each 32-bit lane by one instruction."""
    limited = config.CPU_FEATURES
    features = limited if limited is not None else get_host_cpu_features()
    return "+avx512vpopcntdq" in features.split(",")


COUNTS_WORDS = _has_vector_popcount()


@emitted(WORD, WORD, WORD, returns=WORD)
def add_bit_errors(builder: ir.IRBuilder, total: Any, a: Any, b: Any) -> Any:
    """`total + popcount(a xor b)`, all `uint32`."""
    return builder.add(total, builder.ctpop(builder.xor(a, b)))


@emitted(types.uint64, returns=COUNT)
def ones(builder: ir.IRBuilder, word: Any) -> Any:
    """The bits set in a word of 64."""
    return builder.ctpop(word)


@emitted(WORDS, COUNT, WORDS, COUNT, COUNT, returns=WORD)
def run_errors(builder: ir.IRBuilder, x: Array, x_start: Any, y: Array, y_start: Any, n: Any) -> Any:
    """The sum of `popcount(x[x_start + i] xor y[y_start + i])`, `i` in 0 to `n - 1`, as `uint32`.

    Parameters:
        x, y: `uint32[nx]`, `uint32[ny]`.
        x_start, y_start: 0 or more.
        n: at most `nx - x_start` and `ny - y_start`; 0 or less gives 0.
    """
    left, right = x.at(x_start), y.at(y_start)

    def row_at(start: Any, row: Any) -> Any:
        place = builder.gep(start, [builder.mul(row, I64(LANES))])
        return builder.load(builder.bitcast(place, ROW.as_pointer()), align=4)

    def add_row(row: Any, totals: Sequence[Any]) -> list[Any]:
        return [builder.add(totals[0], popcount(builder, builder.xor(row_at(left, row), row_at(right, row))))]

    def add_item(i: Any, totals: Sequence[Any]) -> list[Any]:
        at = builder.add(done, i)
        a, b = (builder.load(builder.gep(start, [at])) for start in (left, right))
        return [builder.add(totals[0], builder.ctpop(builder.xor(a, b)))]

    n_rows = builder.select(builder.icmp_signed(">", n, I64(0)), builder.sdiv(n, I64(LANES)), I64(0))
    if COUNTS_WORDS:
        lanes = loop(builder, n_rows, [ZEROS], add_row)[0]
    else:
        in_eights = builder.ashr(n_rows, I64(2))
        halves = run_eights(builder, left, right, in_eights)
        first = builder.shl(in_eights, I64(2))
        widened = builder.shuffle_vector(halves, NONE, ir.Constant(ROW, list(range(LANES))))
        rest = builder.sub(n_rows, first)
        lanes = loop(builder, rest, [widened], lambda row, totals: add_row(builder.add(row, first), totals))[0]
    width = LANES // 2
    while width:  # the upper half upon the lower
        shifted = [min(k + width, LANES - 1) for k in range(LANES)]
        lanes = builder.add(lanes, builder.shuffle_vector(lanes, ZEROS, ir.Constant(ROW, shifted)))
        width //= 2
    done = builder.mul(n_rows, I64(LANES))
    return loop(builder, builder.sub(n, done), [builder.extract_element(lanes, I32(0))], add_item)[0]


@emitted(WORDS, COUNT, WORDS, COUNT, COUNT, WORD, INDICES)
def add_bits(
    builder: ir.IRBuilder, x: Array, x_start: Any, y: Array, y_start: Any, n: Any, silent: Any, counts: Array
) -> None:
    """Counts the bits of `x[x_start + i]` and `y[y_start + i]`, `i` in 0 to `n - 1`, without items silent in both.

    Parameters:
        x, y: `uint32[nx]`, `uint32[ny]`.
        x_start, y_start: 0 or more.
        n: 0 to BITS_AT_A_TIME, and at most `nx - x_start` and `ny - y_start`.
        silent: `uint32`, the item of silence.
        counts: output, `int32[N_COUNTS]`, added to: how often each bit is set, lowest first, in `x` (0 to 31) and in
            `y` (32 to 63); how many bits differ (COUNTED_ERRORS); how many items there were (COUNTED_ITEMS).
    """
    bits, bytes_ = ir.VectorType(ir.IntType(1), 32), ir.VectorType(ir.IntType(8), 32)

    def add_item(i: Any, totals: Sequence[Any]) -> list[Any]:
        a, b = x.value(builder.add(x_start, i)), y.value(builder.add(y_start, i))
        skipped = builder.and_(builder.icmp_unsigned("==", a, silent), builder.icmp_unsigned("==", b, silent))
        a, b = (builder.select(skipped, I32(0), item) for item in (a, b))
        ones = [builder.zext(builder.bitcast(item, bits), bytes_) for item in (a, b)]
        added = (*ones, builder.ctpop(builder.xor(a, b)), builder.zext(builder.not_(skipped), I32))
        return [builder.add(total, more) for total, more in zip(totals, added, strict=True)]

    zeros = [constant(bytes_, 0), constant(bytes_, 0), I32(0), I32(0)]
    *ones, errors, n_items = loop(builder, n, zeros, add_item)
    wide = ir.VectorType(I32, 32)
    for k, values in enumerate(ones):
        place = builder.bitcast(counts.at(I64(32 * k)), wide.as_pointer())
        builder.store(builder.add(builder.load(place, align=4), builder.zext(values, wide)), place, align=4)
    for k, value in ((COUNTED_ERRORS, errors), (COUNTED_ITEMS, n_items)):
        builder.store(builder.add(counts.value(I64(k)), value), counts.at(I64(k)))


@emitted(WORDS, COUNT, WORDS, COUNT, COUNT, WORD, INDICES, returns=COUNT)
def add_many_bits(
    builder: ir.IRBuilder, x: Array, x_start: Any, y: Array, y_start: Any, n: Any, silent: Any, counts: Array
) -> Any:
    """Counts as `add_bits` does, except the bits that differ, but only the first items, of any number, that full adders
    can take; gives their number. It is 0 for a processor that counts bits in vectors.

    Parameters: as of `add_bits`; `n` may be below 0.
    """
    if COUNTS_WORDS:
        return I64(0)
    n_eights = builder.select(builder.icmp_signed(">", n, I64(0)), builder.sdiv(n, I64(4 * LANES)), I64(0))
    *totals, silent_lanes = bits_of_eights(builder, x.at(x_start), y.at(y_start), n_eights, silent)
    n_done = builder.mul(n_eights, I64(4 * LANES))
    n_items = builder.trunc(n_done, I32)
    for lane in range(LANES // 2):
        n_items = builder.sub(n_items, builder.extract_element(silent_lanes, I32(lane)))
    wide = ir.VectorType(I32, 32)
    for k, values in enumerate(totals):
        place = builder.bitcast(counts.at(I64(32 * k)), wide.as_pointer())
        builder.store(builder.add(builder.load(place, align=4), values), place, align=4)
    builder.store(builder.add(counts.value(I64(COUNTED_ITEMS)), n_items), counts.at(I64(COUNTED_ITEMS)))
    return n_done


@emitted(WORDS, COUNT, COUNT, WORD_ROWS, WORD_ROWS, COUNT, COUNT, COUNT, INDICES, INDICES, INDICES, WORD_ROWS)
def lag_errors(
    builder: ir.IRBuilder,
    thin: Array,
    start: Any,
    stride: Any,
    rows: Array,
    running: Array,
    begin: Any,
    n_full: Any,
    n_partial: Any,
    lane_rows: Array,
    firsts: Array,
    lasts: Array,
    sums: Array,
) -> None:
    """Bit errors at LAGS neighbouring lags `l`: the sums of `popcount(thin[start + i * stride + l] xor rows[begin + i,
    lane])` over the rows `begin + i` from `firsts[l]` to before `lasts[l]` and below `lane_rows[lane]`.

    It goes through `n_full` rows that all lanes have, then `n_partial` that some have: all from the least of `firsts`
    to the greatest of `lasts`. Where a row lies outside a lag's own, `thin` must be 0; it is taken back by `running`.

    Parameters:
        thin: `uint32[n]`.
        start: index in `thin`, 0 or more.
        stride: items of `thin` from one row to the next, 1 or more.
        rows: `uint32[n_rows, LANES]`.
        running: `uint32[n_rows + 1, LANES]`, the bits set in the rows before each.
        begin, n_full, n_partial: rows, 0 or more; their sum is at most `n_rows`.
        lane_rows: `int32[LANES]`, the rows of each lane, `begin + n_full` or more.
        firsts, lasts: `int32[LAGS]`, `begin <= firsts <= lasts <= begin + n_full + n_partial`.
        sums: output, `uint32[LAGS, LANES]`.
    """
    thinned, limits = thin.at(start), lane_rows.row(I64(0))

    def add_row(i: Any, totals: Sequence[Any], has_row: Any = None) -> list[Any]:
        y = rows.row(builder.add(begin, i))
        at = builder.gep(thinned, [builder.mul(i, stride)])
        new = []
        for lag, total in enumerate(totals):
            x = everywhere(builder, builder.load(builder.gep(at, [I64(lag)])))
            errors = popcount(builder, builder.xor(x, y))
            new.append(builder.add(total, errors if has_row is None else builder.select(has_row, errors, ZEROS)))
        return new

    def add_partial_row(i: Any, totals: Sequence[Any]) -> list[Any]:
        i = builder.add(i, n_full)
        row = builder.trunc(builder.add(begin, i), I32)
        return add_row(i, totals, builder.icmp_signed("<", everywhere(builder, row), limits))

    if COUNTS_WORDS:
        totals = loop(builder, n_full, [ZEROS] * LAGS, add_row)
    else:
        eights = builder.ashr(n_full, I64(3))
        add_eights(builder, thinned, stride, rows.at(builder.mul(begin, I64(LANES))), eights, sums.at(I64(0)))
        totals = [sums.row(I64(lag)) for lag in range(LAGS)]
        done = builder.shl(eights, I64(3))
        totals = loop(builder, builder.sub(n_full, done), totals, lambda i, t: add_row(builder.add(i, done), t))
    totals = loop(builder, n_partial, totals, add_partial_row)
    end = builder.add(begin, builder.add(n_full, n_partial))
    all_bits = builder.sub(running.row(end), running.row(begin))
    for lag, total in enumerate(totals):
        first, last = (builder.sext(ends.value(I64(lag)), I64) for ends in (firsts, lasts))
        own_bits = builder.sub(running.row(last), running.row(first))
        sums.set_row(I64(lag), builder.sub(total, builder.sub(all_bits, own_bits)))


class _Lags:
    """The lags of 16 curves, seen from a loop over their indices `i`.

    `n(i)` of a lane are the rows that were compared: from `spans[FIRST_ROW, i]` to before the lesser of
    `spans[END_ROW, i]` and `lane_rows[lane]`. An index counts for a lane if it lies from row `low` of `ranges` to the
    row after that, both included, and `n(i)` is above 0."""

    def __init__(
        self, builder: ir.IRBuilder, curve: Array, spans: Array, lane_rows: Array, ranges: Array, low: int
    ) -> None:
        self.builder, self.curve, self.spans = builder, curve, spans
        self.lane_rows = lane_rows.row(I64(0))
        self.low, self.high = ranges.row(I64(low)), ranges.row(I64(low + 1))

    def errors(self, i: Any) -> Any:
        """Bit errors in each lane."""
        return self.curve.row(i)

    def n_rows(self, i: Any) -> Any:
        """`n(i)` of each lane."""
        builder = self.builder
        first, last = (everywhere(builder, self._span(row, i)) for row in (FIRST_ROW, END_ROW))
        limited = builder.select(builder.icmp_signed("<", last, self.lane_rows), last, self.lane_rows)
        return builder.sub(limited, first)

    def counts(self, i: Any, n_rows: Any) -> Any:
        """Whether `i` counts, in each lane."""
        builder = self.builder
        index = everywhere(builder, builder.trunc(i, I32))
        inside = builder.and_(builder.icmp_signed("<=", self.low, index), builder.icmp_signed("<=", index, self.high))
        return builder.and_(inside, builder.icmp_signed(">", n_rows, ZEROS))

    def _span(self, row: int, i: Any) -> Any:
        return self.spans.value(self.builder.add(self.builder.mul(I64(row), self.spans.shape[1]), i))


@emitted(WORD_ROWS, INDEX_ROWS, COUNT, COUNT, COUNT, INDICES, INDEX_ROWS, INDEX_ROWS)
def add_lags(
    builder: ir.IRBuilder,
    curve: Array,
    spans: Array,
    first: Any,
    step: Any,
    n_lags: Any,
    lane_rows: Array,
    ranges: Array,
    totals: Array,
) -> None:
    """Sums, in each lane, the bit errors and the rows of every `step`-th index that counts for the average (`_Lags`).

    Parameters:
        curve: `uint32[n_lags, LANES]` or longer, the bit errors.
        spans: `int32[2, n_lags]` or wider, rows FIRST_ROW and END_ROW.
        first, step: 0 or more, 1 or more; the indices are `first`, `first + step` and so on, below `n_lags`.
        n_lags: 0 or more.
        lane_rows: `int32[LANES]`, the rows of each lane.
        ranges: `int32[4, LANES]`, of which AVERAGE_FROM and AVERAGE_TO.
        totals: output, `int32[2, LANES]`, added to: TOTAL_ERRORS and TOTAL_ROWS.
    """
    lags = _Lags(builder, curve, spans, lane_rows, ranges, AVERAGE_FROM)

    def add_lag(k: Any, sums: Sequence[Any]) -> list[Any]:
        i = builder.add(first, builder.mul(k, step))
        n_rows = lags.n_rows(i)
        counts = lags.counts(i, n_rows)
        added = (lags.errors(i), n_rows)
        return [builder.add(s, builder.select(counts, a, ZEROS)) for s, a in zip(sums, added, strict=True)]

    left = builder.add(builder.sub(n_lags, first), builder.sub(step, I64(1)))
    rows = (I64(TOTAL_ERRORS), I64(TOTAL_ROWS))
    sums = loop(builder, builder.sdiv(left, step), [totals.row(row) for row in rows], add_lag)
    for row, total in zip(rows, sums, strict=True):
        totals.set_row(row, total)


@emitted(WORD_ROWS, INDEX_ROWS, COUNT, INDICES, INDEX_ROWS, types.float32[:, ::1], INDICES, types.uint16[::1])
def mark_lanes(
    builder: ir.IRBuilder,
    curve: Array,
    spans: Array,
    n_lags: Any,
    lane_rows: Array,
    ranges: Array,
    needed: Array,
    passed: Array,
    marks: Array,
) -> None:
    """Marks the lags that stand out: indices that may be chosen (`_Lags`) and at which `d = needed[AVERAGE] * n -
    curve[i]` exceeds `needed[LEAST_FEWER] * n`, and `d * d` exceeds `needed[CLEAR_SQUARED] * n`. All in `float32`,
    rounded each time.

    Parameters:
        curve, spans, n_lags, lane_rows: as of `add_lags`.
        ranges: `int32[4, LANES]`, of which CHOICE_FROM and CHOICE_TO.
        needed: `float32[3, LANES]`, rows AVERAGE, CLEAR_SQUARED and LEAST_FEWER.
        passed: output, `int32[LANES]`: 0 if a lag of the lane stands out, else -1.
        marks: output, `uint16[n_lags]` or longer: a bit for each lane, set if the lag stands out there.
    """
    lags = _Lags(builder, curve, spans, lane_rows, ranges, CHOICE_FROM)
    average, clear, least = (needed.row(I64(row)) for row in (AVERAGE, CLEAR_SQUARED, LEAST_FEWER))
    bits = ir.IntType(LANES)

    def mark(i: Any, so_far: Sequence[Any]) -> list[Any]:
        n_rows = lags.n_rows(i)
        n = builder.sitofp(n_rows, FLOATS)
        fewer = builder.fsub(builder.fmul(n, average), builder.uitofp(lags.errors(i), FLOATS))
        is_share = builder.fcmp_ordered(">", fewer, builder.fmul(least, n))
        before = builder.block
        look, done = (builder.append_basic_block(name) for name in ("look", "looked"))
        some = builder.icmp_unsigned("!=", builder.bitcast(is_share, bits), bits(0))
        builder.cbranch(some, look, done)  # rarely: the rest is left out
        builder.position_at_end(look)
        is_clear = builder.fcmp_ordered(">", builder.fmul(fewer, fewer), builder.fmul(clear, n))
        stands_out = builder.and_(builder.and_(is_share, is_clear), lags.counts(i, n_rows))
        found = builder.bitcast(stands_out, bits)
        builder.branch(done)
        builder.position_at_end(done)
        marked = builder.phi(bits)
        marked.add_incoming(bits(0), before)
        marked.add_incoming(found, look)
        builder.store(marked, marks.at(i))
        return [builder.or_(so_far[0], marked)]

    (any_marked,) = loop(builder, n_lags, [bits(0)], mark)
    lanes = builder.bitcast(any_marked, ir.VectorType(ir.IntType(1), LANES))
    passed.set_row(I64(0), builder.sub(builder.zext(lanes, ROW), constant(ROW, 1)))


@emitted(WORD_ROWS, INDEX_ROWS, COUNT, INDICES, INDEX_ROWS, COUNT, INDICES)
def best_lags(
    builder: ir.IRBuilder,
    curve: Array,
    spans: Array,
    n_lags: Any,
    lane_rows: Array,
    ranges: Array,
    lowest: Any,
    best: Array,
) -> None:
    """For each lane, the index that `kernels.best_lag` would choose of those that may be chosen (`_Lags`).

    Parameters:
        curve, spans, n_lags, lane_rows: as of `add_lags`.
        ranges: `int32[4, LANES]`, of which CHOICE_FROM and CHOICE_TO.
        lowest: the lag of index 0; lags fit into `int32`.
        best: output, `int32[LANES]`; -1 if there is none.
    """
    lags = _Lags(builder, curve, spans, lane_rows, ranges, CHOICE_FROM)
    lowest_lag = builder.trunc(lowest, I32)

    def choose(i: Any, so_far: Sequence[Any]) -> list[Any]:
        best_index, best_gain, best_distance = so_far
        n_rows = lags.n_rows(i)
        n = builder.sitofp(n_rows, DOUBLES)
        fewer = builder.fsub(builder.fmul(n, constant(DOUBLES, 16.0)), builder.uitofp(lags.errors(i), DOUBLES))
        size = builder.select(builder.fcmp_ordered("<", fewer, constant(DOUBLES, 0.0)), builder.fneg(fewer), fewer)
        gain = builder.fdiv(builder.fmul(fewer, size), n)
        index = builder.trunc(i, I32)
        lag = builder.add(lowest_lag, index)
        distance = everywhere(builder, builder.select(builder.icmp_signed("<", lag, I32(0)), builder.neg(lag), lag))
        nearer = builder.and_(
            builder.fcmp_ordered("==", gain, best_gain), builder.icmp_signed("<", distance, best_distance)
        )
        better = builder.or_(builder.fcmp_ordered(">", gain, best_gain), nearer)
        better = builder.and_(better, lags.counts(i, n_rows))
        chosen = ((everywhere(builder, index), best_index), (gain, best_gain), (distance, best_distance))
        return [builder.select(better, new, old) for new, old in chosen]

    nothing = [constant(ROW, -1), constant(DOUBLES, float("-inf")), constant(ROW, (1 << 31) - 1)]
    best.set_row(I64(0), loop(builder, n_lags, nothing, choose)[0])
