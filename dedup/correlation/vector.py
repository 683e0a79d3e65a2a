"""The innermost loops, as LLVM instructions: vectors of 16 lanes, which LLVM cuts to what the processor has.

Numba alone would widen the sums to 64 bits, and choose narrower vectors or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, config, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

LANES = 16
"""Fingerprints side by side: 16 lanes of 32 bits are one register of AVX-512, two of AVX2, four of NEON."""

LAGS = 16
"""Lags at a time: as many sums as leave room in 32 registers. 8 are 2 % slower, 24 no faster."""


def _has_vector_popcount() -> bool:
    """Whether the processor that Numba compiles for counts the bits of each 32-bit lane by one instruction."""
    limited = config.CPU_FEATURES
    features = limited if limited is not None else get_host_cpu_features()
    return "+avx512vpopcntdq" in features.split(",")


COUNTS_WORDS = _has_vector_popcount()

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_ROW, _FLOATS = ir.VectorType(_I32, LANES), ir.VectorType(ir.FloatType(), LANES)
_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
_ZEROS = ir.Constant(_ROW, [0] * LANES)


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
        arrays = _Arrays(context, builder, signature, arguments)
        left, right, n = arrays.at(0, arguments[1]), arrays.at(2, arguments[3]), arguments[4]
        popcount = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_ROW, [_ROW]), "llvm.ctpop.v16i32")

        def row_at(start: Any, row: Any) -> Any:
            place = builder.gep(start, [builder.mul(row, _I64(LANES))])
            return builder.load(builder.bitcast(place, _ROW.as_pointer()), align=4)

        def add_row(row: Any, totals: Sequence[Any]) -> list[Any]:
            return [
                builder.add(totals[0], builder.call(popcount, [builder.xor(row_at(left, row), row_at(right, row))]))
            ]

        def add_item(i: Any, totals: Sequence[Any]) -> list[Any]:
            at = builder.add(done, i)
            a, b = (builder.load(builder.gep(start, [at])) for start in (left, right))
            return [builder.add(totals[0], builder.ctpop(builder.xor(a, b)))]

        n_rows = builder.select(builder.icmp_signed(">", n, _I64(0)), builder.sdiv(n, _I64(LANES)), _I64(0))
        lanes = _loop(builder, n_rows, [_ZEROS], add_row)[0]
        width = LANES // 2
        while width:  # the upper half upon the lower
            shifted = [min(k + width, LANES - 1) for k in range(LANES)]
            lanes = builder.add(lanes, builder.shuffle_vector(lanes, _ZEROS, ir.Constant(_ROW, shifted)))
            width //= 2
        done = builder.mul(n_rows, _I64(LANES))
        return _loop(builder, builder.sub(n, done), [builder.extract_element(lanes, _I32(0))], add_item)[0]

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
        arrays = _Arrays(context, builder, signature, arguments)
        popcount = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_ROW, [_ROW]), "llvm.ctpop.v16i32")
        thinned, stride = arrays.at(0, arguments[1]), arguments[2]
        begin, n_full, n_partial = arguments[5:8]
        limits = arrays.row(8, _I64(0))

        def add_row(i: Any, totals: Sequence[Any], has_row: Any = None) -> list[Any]:
            y = arrays.row(3, builder.add(begin, i))
            at = builder.gep(thinned, [builder.mul(i, stride)])
            new = []
            for lag, total in enumerate(totals):
                x = _all(builder, builder.load(builder.gep(at, [_I64(lag)])))
                errors = builder.call(popcount, [builder.xor(x, y)])
                new.append(builder.add(total, errors if has_row is None else builder.select(has_row, errors, _ZEROS)))
            return new

        def add_partial_row(i: Any, totals: Sequence[Any]) -> list[Any]:
            i = builder.add(i, n_full)
            row = builder.trunc(builder.add(begin, i), _I32)
            return add_row(i, totals, builder.icmp_signed("<", _all(builder, row), limits))

        if COUNTS_WORDS:
            totals = _loop(builder, n_full, [_ZEROS] * LAGS, add_row)
        else:
            rows_start = builder.gep(arrays.at(3, _I64(0)), [builder.mul(begin, _I64(LANES))])
            eights = builder.ashr(n_full, _I64(3))
            _add_eights(builder, thinned, stride, rows_start, eights, arrays.at(11, _I64(0)))
            totals = [arrays.row(11, _I64(lag)) for lag in range(LAGS)]
            done = builder.shl(eights, _I64(3))
            totals = _loop(builder, builder.sub(n_full, done), totals, lambda i, t: add_row(builder.add(i, done), t))
        totals = _loop(builder, n_partial, totals, add_partial_row)
        end = builder.add(begin, builder.add(n_full, n_partial))
        all_bits = builder.sub(arrays.row(4, end), arrays.row(4, begin))
        for lag, total in enumerate(totals):
            first, last = (builder.sext(builder.load(arrays.at(k, _I64(lag))), _I64) for k in (9, 10))
            own_bits = builder.sub(arrays.row(4, last), arrays.row(4, first))
            arrays.set_row(11, _I64(lag), builder.sub(total, builder.sub(all_bits, own_bits)))
        return context.get_dummy_value()

    return signature, generate


def _add_eights(builder: ir.IRBuilder, thinned: Any, stride: Any, rows: Any, n: Any, sums: Any) -> None:
    """The part of `lag_errors` that lies in `n` times eight rows, for a processor that counts no bits in vectors: a
    tree of full adders, 32 or more side by side in the bits of a register, makes of eight words one whose bits weigh
    8 each, and only that one is counted (Harley and Seal). Lag by lag, half a row at a time: all stays in registers."""
    half = ir.VectorType(_I32, LANES // 2)
    byte_vector = ir.VectorType(ir.IntType(8), 2 * LANES)
    zeros = _constant(half, 0)
    popcount = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(byte_vector, [byte_vector]), f"llvm.ctpop.v{2 * LANES}i8"
    )

    def count_bytes(words: Any) -> Any:
        return builder.bitcast(builder.call(popcount, [builder.bitcast(words, byte_vector)]), half)

    def widen(counts: Any) -> Any:
        """The sum of the four bytes of each word."""
        low = _constant(half, 0x00FF00FF)
        pairs = builder.add(builder.and_(counts, low), builder.and_(builder.lshr(counts, _constant(half, 8)), low))
        return builder.and_(builder.add(pairs, builder.lshr(pairs, _constant(half, 16))), _constant(half, 0xFFFF))

    def one_lag(job: Any, nothing: Sequence[Any]) -> list[Any]:
        lag, side = builder.lshr(job, _I64(1)), builder.and_(job, _I64(1))
        x_start = builder.gep(thinned, [lag])
        y_start = builder.gep(rows, [builder.mul(side, _I64(LANES // 2))])

        def some_eights(part: Any, state: Sequence[Any]) -> list[Any]:
            first = builder.mul(part, _I64(EIGHTS_AT_A_TIME))
            left = builder.sub(n, first)
            count = builder.select(builder.icmp_signed("<", left, _I64(EIGHTS_AT_A_TIME)), left, _I64(EIGHTS_AT_A_TIME))

            def eight(k: Any, state: Sequence[Any]) -> list[Any]:
                ones, twos, fours, counts = state
                row = builder.shl(builder.add(first, k), _I64(3))
                differing = []
                for i in range(8):
                    at = builder.add(row, _I64(i))
                    x = builder.load(builder.gep(x_start, [builder.mul(at, stride)]))
                    y = builder.gep(y_start, [builder.mul(at, _I64(LANES))])
                    y = builder.load(builder.bitcast(y, half.as_pointer()), align=4)
                    differing.append(builder.xor(_all(builder, x, half), y))
                ones, carry_a = _full_adder(builder, ones, differing[0], differing[1])
                ones, carry_b = _full_adder(builder, ones, differing[2], differing[3])
                twos, carry_c = _full_adder(builder, twos, carry_a, carry_b)
                ones, carry_a = _full_adder(builder, ones, differing[4], differing[5])
                ones, carry_b = _full_adder(builder, ones, differing[6], differing[7])
                twos, carry_d = _full_adder(builder, twos, carry_a, carry_b)
                fours, eights = _full_adder(builder, fours, carry_c, carry_d)
                bytes_ = builder.add(
                    builder.bitcast(counts, byte_vector), builder.bitcast(count_bytes(eights), byte_vector)
                )
                return [ones, twos, fours, builder.bitcast(bytes_, half)]

            *adders, counts = _loop(builder, count, [*state[:3], zeros], eight)
            return [*adders, builder.add(state[3], widen(counts))]

        n_parts = builder.sdiv(builder.add(n, _I64(EIGHTS_AT_A_TIME - 1)), _I64(EIGHTS_AT_A_TIME))
        *adders, total = _loop(builder, n_parts, [zeros] * 4, some_eights)
        for words in reversed(adders):  # fours, twos, ones
            total = builder.add(builder.shl(total, _constant(half, 1)), widen(count_bytes(words)))
        place = builder.gep(sums, [builder.add(builder.mul(lag, _I64(LANES)), builder.mul(side, _I64(LANES // 2)))])
        builder.store(total, builder.bitcast(place, half.as_pointer()), align=4)
        return []

    _loop(builder, _I64(2 * LAGS), [], one_lag)


EIGHTS_AT_A_TIME = 31
"""Counts of bits, 8 a byte at most, that a byte takes in."""


def _full_adder(builder: ir.IRBuilder, a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    """Sum and carry of three bits, in each bit."""
    either = builder.xor(a, b)
    return builder.xor(either, c), builder.or_(builder.and_(a, b), builder.and_(either, c))


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
        arrays = _Arrays(context, builder, signature, arguments)
        first, step, n_lags = arguments[2:5]
        lane_rows, low, high = arrays.row(5, _I64(0)), arrays.row(6, _I64(0)), arrays.row(6, _I64(1))

        def add_lag(k: Any, totals: Sequence[Any]) -> list[Any]:
            i = builder.add(first, builder.mul(k, step))
            n_rows = _n_rows(builder, arrays, i, lane_rows)
            counts = _within(builder, i, low, high, n_rows)
            added = (arrays.row(0, i), n_rows)
            return [builder.add(t, builder.select(counts, a, _ZEROS)) for t, a in zip(totals, added, strict=True)]

        left = builder.add(builder.sub(n_lags, first), builder.sub(step, _I64(1)))
        initial = [arrays.row(7, _I64(k)) for k in range(2)]
        for k, total in enumerate(_loop(builder, builder.sdiv(left, step), initial, add_lag)):
            arrays.set_row(7, _I64(k), total)
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
        arrays = _Arrays(context, builder, signature, arguments)
        lane_rows, low, high = arrays.row(3, _I64(0)), arrays.row(4, _I64(2)), arrays.row(4, _I64(3))
        average, clear, share = (arrays.row(5, _I64(k)) for k in range(3))
        bits = ir.IntType(LANES)

        def mark(i: Any, so_far: Sequence[Any]) -> list[Any]:
            n_rows = _n_rows(builder, arrays, i, lane_rows)
            n = builder.sitofp(n_rows, _FLOATS)
            fewer = builder.fsub(builder.fmul(n, average), builder.uitofp(arrays.row(0, i), _FLOATS))
            is_share = builder.fcmp_ordered(">", fewer, builder.fmul(share, n))
            before = builder.block
            look, done = (builder.append_basic_block(name) for name in ("look", "looked"))
            some = builder.icmp_unsigned("!=", builder.bitcast(is_share, bits), bits(0))
            builder.cbranch(some, look, done)  # rarely: the rest is left out
            builder.position_at_end(look)
            is_clear = builder.fcmp_ordered(">", builder.fmul(fewer, fewer), builder.fmul(clear, n))
            stands_out = builder.and_(builder.and_(is_share, is_clear), _within(builder, i, low, high, n_rows))
            found = builder.bitcast(stands_out, bits)
            builder.branch(done)
            builder.position_at_end(done)
            marks = builder.phi(bits)
            marks.add_incoming(bits(0), before)
            marks.add_incoming(found, look)
            builder.store(marks, arrays.at(7, i))
            return [builder.or_(so_far[0], marks)]

        (passed,) = _loop(builder, arguments[2], [bits(0)], mark)
        lanes = builder.bitcast(passed, ir.VectorType(ir.IntType(1), LANES))
        arrays.set_row(6, _I64(0), builder.sub(builder.zext(lanes, _ROW), _constant(_ROW, 1)))
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
        arrays = _Arrays(context, builder, signature, arguments)
        lane_rows, low, high = arrays.row(3, _I64(0)), arrays.row(4, _I64(2)), arrays.row(4, _I64(3))
        lowest = builder.trunc(arguments[5], _I32)

        def compare(i: Any, so_far: Sequence[Any]) -> list[Any]:
            best, best_gain, best_distance = so_far
            n_rows = _n_rows(builder, arrays, i, lane_rows)
            n = builder.sitofp(n_rows, _DOUBLES)
            fewer = builder.fsub(builder.fmul(n, _constant(_DOUBLES, 16.0)), builder.uitofp(arrays.row(0, i), _DOUBLES))
            size = builder.select(
                builder.fcmp_ordered("<", fewer, _constant(_DOUBLES, 0.0)), builder.fneg(fewer), fewer
            )
            gain = builder.fdiv(builder.fmul(fewer, size), n)
            index = builder.trunc(i, _I32)
            lag = builder.add(lowest, index)
            distance = _all(builder, builder.select(builder.icmp_signed("<", lag, _I32(0)), builder.neg(lag), lag))
            nearer = builder.and_(
                builder.fcmp_ordered("==", gain, best_gain), builder.icmp_signed("<", distance, best_distance)
            )
            better = builder.or_(builder.fcmp_ordered(">", gain, best_gain), nearer)
            better = builder.and_(better, _within(builder, i, low, high, n_rows))
            chosen = ((_all(builder, index), best), (gain, best_gain), (distance, best_distance))
            return [builder.select(better, new, old) for new, old in chosen]

        nothing = [_constant(_ROW, -1), _constant(_DOUBLES, float("-inf")), _constant(_ROW, (1 << 31) - 1)]
        arrays.set_row(6, _I64(0), _loop(builder, arguments[2], nothing, compare)[0])
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
        arrays = _Arrays(context, builder, signature, arguments)
        silent, bits, bytes_ = arguments[5], ir.VectorType(ir.IntType(1), 32), ir.VectorType(ir.IntType(8), 32)

        def add_item(i: Any, totals: Sequence[Any]) -> list[Any]:
            a, b = (builder.load(arrays.at(k, builder.add(arguments[k + 1], i))) for k in (0, 2))
            skipped = builder.and_(builder.icmp_unsigned("==", a, silent), builder.icmp_unsigned("==", b, silent))
            a, b = (builder.select(skipped, _I32(0), item) for item in (a, b))
            ones = [builder.zext(builder.bitcast(item, bits), bytes_) for item in (a, b)]
            added = (*ones, builder.ctpop(builder.xor(a, b)), builder.zext(builder.not_(skipped), _I32))
            return [builder.add(total, more) for total, more in zip(totals, added, strict=True)]

        zeros = [_constant(bytes_, 0), _constant(bytes_, 0), _I32(0), _I32(0)]
        *ones, errors, n_items = _loop(builder, arguments[4], zeros, add_item)
        wide = ir.VectorType(_I32, 32)
        for k, values in enumerate(ones):
            place = builder.bitcast(arrays.at(6, _I64(32 * k)), wide.as_pointer())
            builder.store(builder.add(builder.load(place, align=4), builder.zext(values, wide)), place, align=4)
        for k, value in enumerate((errors, n_items)):
            place = arrays.at(6, _I64(64 + k))
            builder.store(builder.add(builder.load(place), value), place)
        return context.get_dummy_value()

    return signature, generate


def _are_words(*arrays: Any) -> bool:
    """Whether these types are C-contiguous arrays of `uint32`; what else is no argument of an intrinsic, for its memory
    would be taken for what it is not."""
    return all(isinstance(a, types.Array) and a.dtype == types.uint32 and a.layout == "C" for a in arrays)


class _Arrays:
    """The array arguments of an intrinsic, by their index: C-contiguous, LANES values in a row."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> None:
        self.context, self.builder, self.signature, self.arguments = context, builder, signature, arguments

    def at(self, index: int, offset: Any) -> Any:
        """Pointer to a value."""
        array = self.context.make_array(self.signature.args[index])(self.context, self.builder, self.arguments[index])
        return self.builder.gep(array.data, [offset])

    def row(self, index: int, row: Any) -> Any:
        """The values of a row as a vector."""
        return self.builder.load(self._row_pointer(index, row), align=4)

    def set_row(self, index: int, row: Any, values: Any) -> None:
        self.builder.store(values, self._row_pointer(index, row), align=4)

    def _row_pointer(self, index: int, row: Any) -> Any:
        first = self.at(index, _I64(0))
        vector = ir.VectorType(first.type.pointee, LANES)
        return self.builder.gep(self.builder.bitcast(first, vector.as_pointer()), [row])


def _loop(
    builder: ir.IRBuilder, n: Any, initial: Sequence[Any], step: Callable[[Any, Sequence[Any]], list[Any]]
) -> list[Any]:
    """`values = step(i, values)` for `i` in 0 to `n - 1`, the values kept in registers; what they are at the end."""
    before = builder.block
    head, body, done = (builder.append_basic_block(name) for name in ("loop", "loop.body", "loop.done"))
    builder.branch(head)
    builder.position_at_end(head)
    i, values = builder.phi(_I64), [builder.phi(value.type) for value in initial]
    for phi, value in zip((i, *values), (_I64(0), *initial), strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", i, n), body, done)
    builder.position_at_end(body)
    new = step(i, values)
    for phi, value in zip((i, *values), (builder.add(i, _I64(1)), *new), strict=True):
        phi.add_incoming(value, builder.block)
    builder.branch(head)
    builder.position_at_end(done)
    return values


def _all(builder: ir.IRBuilder, value: Any, vector: ir.VectorType = _ROW) -> Any:
    """The value in every lane."""
    nothing = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(nothing, value, _I32(0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(_I32, vector.count), [0] * vector.count))


def _constant(vector: ir.VectorType, value: float) -> Any:
    return ir.Constant(vector, [value] * vector.count)


def _n_rows(builder: ir.IRBuilder, arrays: _Arrays, lag: Any, lane_rows: Any) -> Any:
    """Rows compared at a lag; `spans` is argument 1."""
    first, last = (_all(builder, builder.load(arrays.at(1, _element(builder, arrays, k, lag)))) for k in range(2))
    return builder.sub(builder.select(builder.icmp_signed("<", last, lane_rows), last, lane_rows), first)


def _element(builder: ir.IRBuilder, arrays: _Arrays, row: int, column: Any) -> Any:
    """Offset of `spans[row, column]`: two rows."""
    spans = arrays.context.make_array(arrays.signature.args[1])(arrays.context, builder, arrays.arguments[1])
    n_columns = builder.extract_value(spans.shape, 1)
    return builder.add(builder.mul(_I64(row), n_columns), column)


def _within(builder: ir.IRBuilder, lag: Any, low: Any, high: Any, n_rows: Any) -> Any:
    index = _all(builder, builder.trunc(lag, _I32))
    inside = builder.and_(builder.icmp_signed("<=", low, index), builder.icmp_signed("<=", index, high))
    return builder.and_(inside, builder.icmp_signed(">", n_rows, _ZEROS))
