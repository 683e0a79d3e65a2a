"""The innermost loops, as LLVM instructions: vectors of 16 lanes, which LLVM cuts to what the processor has.

Numba alone would widen the sums to 64 bits, and choose narrower vectors or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, config, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from dedup.correlation.carry_save import add_eights
from dedup.correlation.llvm import (
    DOUBLES,
    FLOATS,
    I32,
    I64,
    LAGS,
    LANES,
    ROW,
    ZEROS,
    Arrays,
    constant,
    everywhere,
    loop,
)


def _has_vector_popcount() -> bool:
    """Whether the processor that Numba compiles for counts the bits of each 32-bit lane by one instruction."""
    limited = config.CPU_FEATURES
    features = limited if limited is not None else get_host_cpu_features()
    return "+avx512vpopcntdq" in features.split(",")


COUNTS_WORDS = _has_vector_popcount()


@intrinsic  # type: ignore[untyped-decorator]
def add_bit_errors(typing_context: Any, total: Any, a: Any, b: Any) -> Any:
    """`total + popcount(a xor b)`, all `uint32`."""
    if (total, a, b) != (types.uint32, types.uint32, types.uint32):
        return None

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        sum_so_far, left, right = arguments
        return builder.add(sum_so_far, builder.ctpop(builder.xor(left, right)))

    return types.uint32(types.uint32, types.uint32, types.uint32), generate


@intrinsic  # type: ignore[untyped-decorator]
def run_errors(typing_context: Any, x: Any, x_start: Any, y: Any, y_start: Any, n: Any) -> Any:
    """The sum of `popcount(x[x_start + i] xor y[y_start + i])`, `i` in 0 to `n - 1`, as `uint32`."""
    if not _are_words(x, y):
        return None
    whole = types.int64
    signature = types.uint32(x, whole, y, whole, whole)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        arrays = Arrays(context, builder, signature, arguments)
        left, right, n = arrays.at(0, arguments[1]), arrays.at(2, arguments[3]), arguments[4]
        popcount = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ROW, [ROW]), "llvm.ctpop.v16i32")

        def row_at(start: Any, row: Any) -> Any:
            place = builder.gep(start, [builder.mul(row, I64(LANES))])
            return builder.load(builder.bitcast(place, ROW.as_pointer()), align=4)

        def add_row(row: Any, totals: Sequence[Any]) -> list[Any]:
            return [
                builder.add(totals[0], builder.call(popcount, [builder.xor(row_at(left, row), row_at(right, row))]))
            ]

        def add_item(i: Any, totals: Sequence[Any]) -> list[Any]:
            at = builder.add(done, i)
            a, b = (builder.load(builder.gep(start, [at])) for start in (left, right))
            return [builder.add(totals[0], builder.ctpop(builder.xor(a, b)))]

        n_rows = builder.select(builder.icmp_signed(">", n, I64(0)), builder.sdiv(n, I64(LANES)), I64(0))
        lanes = loop(builder, n_rows, [ZEROS], add_row)[0]
        width = LANES // 2
        while width:  # the upper half upon the lower
            shifted = [min(k + width, LANES - 1) for k in range(LANES)]
            lanes = builder.add(lanes, builder.shuffle_vector(lanes, ZEROS, ir.Constant(ROW, shifted)))
            width //= 2
        done = builder.mul(n_rows, I64(LANES))
        return loop(builder, builder.sub(n, done), [builder.extract_element(lanes, I32(0))], add_item)[0]

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def lag_errors(
    typing_context: Any,
    thin: Any,
    start: Any,
    stride: Any,
    rows: Any,
    running: Any,
    begin: Any,
    n_full: Any,
    n_partial: Any,
    lane_rows: Any,
    firsts: Any,
    lasts: Any,
    sums: Any,
) -> Any:
    """Bit errors at LAGS neighbouring lags: for each `l` and lane, `sums[l, lane]` becomes the sum of
    `popcount(thin[start + i * stride + l] xor rows[begin + i, lane])` over the rows `begin + i` from `firsts[l]` to
    before `lasts[l]` and below `lane_rows[lane]`.

    It goes through `n_full` rows that all lanes have, then `n_partial` that some have: all from the least of `firsts`
    to the greatest of `lasts`. What lies outside a lag's own rows must have met zeros of `thin`; it is taken back by
    `running[r, lane]`, the bits set in the rows before `r`."""
    if not _are_words(thin, rows, running, sums):
        return None
    whole = types.int64
    signature = types.void(
        thin, whole, whole, rows, running, whole, whole, whole, lane_rows, firsts, lasts, sums
    )  # fmt: skip

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        arrays = Arrays(context, builder, signature, arguments)
        popcount = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ROW, [ROW]), "llvm.ctpop.v16i32")
        thinned, stride = arrays.at(0, arguments[1]), arguments[2]
        begin, n_full, n_partial = arguments[5:8]
        limits = arrays.row(8, I64(0))

        def add_row(i: Any, totals: Sequence[Any], has_row: Any = None) -> list[Any]:
            y = arrays.row(3, builder.add(begin, i))
            at = builder.gep(thinned, [builder.mul(i, stride)])
            new = []
            for lag, total in enumerate(totals):
                x = everywhere(builder, builder.load(builder.gep(at, [I64(lag)])))
                errors = builder.call(popcount, [builder.xor(x, y)])
                new.append(builder.add(total, errors if has_row is None else builder.select(has_row, errors, ZEROS)))
            return new

        def add_partial_row(i: Any, totals: Sequence[Any]) -> list[Any]:
            i = builder.add(i, n_full)
            row = builder.trunc(builder.add(begin, i), I32)
            return add_row(i, totals, builder.icmp_signed("<", everywhere(builder, row), limits))

        if COUNTS_WORDS:
            totals = loop(builder, n_full, [ZEROS] * LAGS, add_row)
        else:
            rows_start = builder.gep(arrays.at(3, I64(0)), [builder.mul(begin, I64(LANES))])
            eights = builder.ashr(n_full, I64(3))
            add_eights(builder, thinned, stride, rows_start, eights, arrays.at(11, I64(0)))
            totals = [arrays.row(11, I64(lag)) for lag in range(LAGS)]
            done = builder.shl(eights, I64(3))
            totals = loop(builder, builder.sub(n_full, done), totals, lambda i, t: add_row(builder.add(i, done), t))
        totals = loop(builder, n_partial, totals, add_partial_row)
        end = builder.add(begin, builder.add(n_full, n_partial))
        all_bits = builder.sub(arrays.row(4, end), arrays.row(4, begin))
        for lag, total in enumerate(totals):
            first, last = (builder.sext(builder.load(arrays.at(k, I64(lag))), I64) for k in (9, 10))
            own_bits = builder.sub(arrays.row(4, last), arrays.row(4, first))
            arrays.set_row(11, I64(lag), builder.sub(total, builder.sub(all_bits, own_bits)))
        return context.get_dummy_value()

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def add_lags(
    typing_context: Any,
    curve: Any,
    spans: Any,
    first: Any,
    step: Any,
    n_lags: Any,
    lane_rows: Any,
    ranges: Any,
    totals: Any,
) -> Any:
    """For each lane: adds to `totals[0, lane]` the bit errors `curve[i, lane]`, and to `totals[1, lane]` the rows that
    were compared, of every `step`-th `i` from `first` on, if it is from `ranges[0, lane]` to `ranges[1, lane]`, both
    included, and below `n_lags`. Rows are from `spans[0, i]` to before the lesser of `spans[1, i]` and
    `lane_rows[lane]`."""
    whole = types.int64
    signature = types.void(curve, spans, whole, whole, whole, lane_rows, ranges, totals)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        arrays = Arrays(context, builder, signature, arguments)
        first, step, n_lags = arguments[2:5]
        lags = _Lags(builder, arrays, lane_rows=5, ranges=6, bounds=0)

        def add_lag(k: Any, totals: Sequence[Any]) -> list[Any]:
            i = builder.add(first, builder.mul(k, step))
            n_rows = lags.n_rows(i)
            counts = lags.counts(i, n_rows)
            added = (lags.errors(i), n_rows)
            return [builder.add(t, builder.select(counts, a, ZEROS)) for t, a in zip(totals, added, strict=True)]

        left = builder.add(builder.sub(n_lags, first), builder.sub(step, I64(1)))
        initial = [arrays.row(7, I64(k)) for k in range(2)]
        for k, total in enumerate(loop(builder, builder.sdiv(left, step), initial, add_lag)):
            arrays.set_row(7, I64(k), total)
        return context.get_dummy_value()

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def mark_lanes(
    typing_context: Any,
    curve: Any,
    spans: Any,
    n_lags: Any,
    lane_rows: Any,
    ranges: Any,
    needed: Any,
    passed: Any,
    marks: Any,
) -> Any:
    """For each lane: sets `passed[lane]` to 0 where some `i` stands out, else to -1, and its bit of `marks[i]`,
    `uint16`, where `i` does: from `ranges[2, lane]` to `ranges[3, lane]`, both included, below `n_lags`, it is an `i`
    at which `d = needed[0, lane] * n - curve[i, lane]` exceeds `needed[2, lane] * n`, and `d * d` exceeds `needed[1,
    lane] * n`. `n` rows were compared, as in `add_lags`. All in `float32`, rounded each time."""
    signature = types.void(curve, spans, types.int64, lane_rows, ranges, needed, passed, marks)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        arrays = Arrays(context, builder, signature, arguments)
        lags = _Lags(builder, arrays, lane_rows=3, ranges=4, bounds=2)
        average, clear, share = (arrays.row(5, I64(k)) for k in range(3))
        bits = ir.IntType(LANES)

        def mark(i: Any, so_far: Sequence[Any]) -> list[Any]:
            n_rows = lags.n_rows(i)
            n = builder.sitofp(n_rows, FLOATS)
            fewer = builder.fsub(builder.fmul(n, average), builder.uitofp(lags.errors(i), FLOATS))
            is_share = builder.fcmp_ordered(">", fewer, builder.fmul(share, n))
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
            marks = builder.phi(bits)
            marks.add_incoming(bits(0), before)
            marks.add_incoming(found, look)
            builder.store(marks, arrays.at(7, i))
            return [builder.or_(so_far[0], marks)]

        (passed,) = loop(builder, arguments[2], [bits(0)], mark)
        lanes = builder.bitcast(passed, ir.VectorType(ir.IntType(1), LANES))
        arrays.set_row(6, I64(0), builder.sub(builder.zext(lanes, ROW), constant(ROW, 1)))
        return context.get_dummy_value()

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def best_lags(
    typing_context: Any,
    curve: Any,
    spans: Any,
    n_lags: Any,
    lane_rows: Any,
    ranges: Any,
    lowest: Any,
    best: Any,
) -> Any:
    """For each lane: `best[lane]` becomes the `i`, from `ranges[2, lane]` to `ranges[3, lane]`, both included, below
    `n_lags`, that `kernels.best_lag` would choose, `lowest + i` being the lag; -1 where there is none. `n` rows were
    compared, as in `add_lags`."""
    signature = types.void(curve, spans, types.int64, lane_rows, ranges, types.int64, best)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        arrays = Arrays(context, builder, signature, arguments)
        lags = _Lags(builder, arrays, lane_rows=3, ranges=4, bounds=2)
        lowest = builder.trunc(arguments[5], I32)

        def compare(i: Any, so_far: Sequence[Any]) -> list[Any]:
            best, best_gain, best_distance = so_far
            n_rows = lags.n_rows(i)
            n = builder.sitofp(n_rows, DOUBLES)
            fewer = builder.fsub(builder.fmul(n, constant(DOUBLES, 16.0)), builder.uitofp(lags.errors(i), DOUBLES))
            size = builder.select(builder.fcmp_ordered("<", fewer, constant(DOUBLES, 0.0)), builder.fneg(fewer), fewer)
            gain = builder.fdiv(builder.fmul(fewer, size), n)
            index = builder.trunc(i, I32)
            lag = builder.add(lowest, index)
            distance = everywhere(builder, builder.select(builder.icmp_signed("<", lag, I32(0)), builder.neg(lag), lag))
            nearer = builder.and_(
                builder.fcmp_ordered("==", gain, best_gain), builder.icmp_signed("<", distance, best_distance)
            )
            better = builder.or_(builder.fcmp_ordered(">", gain, best_gain), nearer)
            better = builder.and_(better, lags.counts(i, n_rows))
            chosen = ((everywhere(builder, index), best), (gain, best_gain), (distance, best_distance))
            return [builder.select(better, new, old) for new, old in chosen]

        nothing = [constant(ROW, -1), constant(DOUBLES, float("-inf")), constant(ROW, (1 << 31) - 1)]
        arrays.set_row(6, I64(0), loop(builder, arguments[2], nothing, compare)[0])
        return context.get_dummy_value()

    return signature, generate


BITS_AT_A_TIME = 255
"""Items whose bits `add_bits` may count: its counters are bytes."""


@intrinsic  # type: ignore[untyped-decorator]
def add_bits(
    typing_context: Any,
    x: Any,
    x_start: Any,
    y: Any,
    y_start: Any,
    n: Any,
    silent: Any,
    counts: Any,
) -> Any:
    """Of `x[x_start + i]` and `y[y_start + i]`, `i` in 0 to `n - 1`, at most BITS_AT_A_TIME, without those where both
    are `silent`: adds how often each bit is set, lowest first, in `x` to `counts[0:32]` and in `y` to `counts[32:64]`
    (`int32`), how many differ to `counts[64]`, and how many items there were to `counts[65]`."""
    if not _are_words(x, y):
        return None
    whole = types.int64
    signature = types.void(x, whole, y, whole, whole, types.uint32, counts)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        arrays = Arrays(context, builder, signature, arguments)
        silent, bits, bytes_ = arguments[5], ir.VectorType(ir.IntType(1), 32), ir.VectorType(ir.IntType(8), 32)

        def add_item(i: Any, totals: Sequence[Any]) -> list[Any]:
            a, b = (builder.load(arrays.at(k, builder.add(arguments[k + 1], i))) for k in (0, 2))
            skipped = builder.and_(builder.icmp_unsigned("==", a, silent), builder.icmp_unsigned("==", b, silent))
            a, b = (builder.select(skipped, I32(0), item) for item in (a, b))
            ones = [builder.zext(builder.bitcast(item, bits), bytes_) for item in (a, b)]
            added = (*ones, builder.ctpop(builder.xor(a, b)), builder.zext(builder.not_(skipped), I32))
            return [builder.add(total, more) for total, more in zip(totals, added, strict=True)]

        zeros = [constant(bytes_, 0), constant(bytes_, 0), I32(0), I32(0)]
        *ones, errors, n_items = loop(builder, arguments[4], zeros, add_item)
        wide = ir.VectorType(I32, 32)
        for k, values in enumerate(ones):
            place = builder.bitcast(arrays.at(6, I64(32 * k)), wide.as_pointer())
            builder.store(builder.add(builder.load(place, align=4), builder.zext(values, wide)), place, align=4)
        for k, value in enumerate((errors, n_items)):
            place = arrays.at(6, I64(64 + k))
            builder.store(builder.add(builder.load(place), value), place)
        return context.get_dummy_value()

    return signature, generate


def _are_words(*arrays: Any) -> bool:
    """Whether these types are C-contiguous arrays of `uint32`; what else is no argument of an intrinsic, for its memory
    would be taken for what it is not."""
    return all(isinstance(a, types.Array) and a.dtype == types.uint32 and a.layout == "C" for a in arrays)


class _Lags:
    """What the loops over the lags of a group's curves have in common. Of their arguments, `curve` is the first and
    `spans` the second; `bounds` is the row of `ranges` with the first `i` that counts, the next has the last."""

    def __init__(self, builder: ir.IRBuilder, arrays: Arrays, lane_rows: int, ranges: int, bounds: int) -> None:
        self.builder, self.arrays = builder, arrays
        self.lane_rows = arrays.row(lane_rows, I64(0))
        self.low, self.high = arrays.row(ranges, I64(bounds)), arrays.row(ranges, I64(bounds + 1))

    def errors(self, i: Any) -> Any:
        """Bit errors of each lane."""
        return self.arrays.row(0, i)

    def n_rows(self, i: Any) -> Any:
        """Rows that were compared, of each lane."""
        builder = self.builder
        first, last = (everywhere(builder, builder.load(self._span(k, i))) for k in range(2))
        limited = builder.select(builder.icmp_signed("<", last, self.lane_rows), last, self.lane_rows)
        return builder.sub(limited, first)

    def counts(self, i: Any, n_rows: Any) -> Any:
        """Whether `i` is within the bounds of each lane, and rows were compared."""
        builder = self.builder
        index = everywhere(builder, builder.trunc(i, I32))
        inside = builder.and_(builder.icmp_signed("<=", self.low, index), builder.icmp_signed("<=", index, self.high))
        return builder.and_(inside, builder.icmp_signed(">", n_rows, ZEROS))

    def _span(self, row: int, column: Any) -> Any:
        n_columns = self.builder.extract_value(self.arrays.of(1).shape, 1)
        return self.arrays.at(1, self.builder.add(self.builder.mul(I64(row), n_columns), column))
