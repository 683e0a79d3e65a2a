"""Counts bits on processors that cannot do so in vectors: full adders, side by side in the bits of a register."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from dedup.correlation.emit import I32, I64, LANES, constant, everywhere, loop
from dedup.correlation.llvm import LAGS, popcount

EIGHTS_AT_A_TIME = 31
"""Counts of bits, 8 or less each, that fit into a byte."""


HALF = ir.VectorType(I32, LANES // 2)
BYTES = ir.VectorType(ir.IntType(8), 2 * LANES)
SUMS = ir.VectorType(I32, 2 * LANES)
NONE = constant(HALF, 0)


def add_eights(builder: ir.IRBuilder, thinned: Any, stride: Any, rows: Any, n: Any, sums: Any) -> None:
    """The part of `vector.lag_errors` that lies in `n` times eight rows, for a processor that cannot count bits in
    vectors. It goes lag by lag, half a row at a time, so everything stays in registers.

    Parameters:
        thinned: pointer to `uint32`, the item of the first lag that meets the first row.
        stride: `int64`, items of `thinned` from one row to the next.
        rows: pointer to `uint32[8 * n, LANES]`.
        n: `int64`, 0 or more.
        sums: output, pointer to `uint32[LAGS, LANES]`.
    """

    def one_lag(job: Any, _: Sequence[Any]) -> list[Any]:
        lag, side = builder.lshr(job, I64(1)), builder.and_(job, I64(1))
        x_start = builder.gep(thinned, [lag])
        y_start = builder.gep(rows, [builder.mul(side, I64(LANES // 2))])

        def differing(row: Any) -> Any:
            x = builder.load(builder.gep(x_start, [builder.mul(row, stride)]))
            y = _loaded(builder, builder.gep(y_start, [builder.mul(row, I64(LANES))]))
            return builder.xor(everywhere(builder, x, HALF), y)

        place = builder.gep(sums, [builder.add(builder.mul(lag, I64(LANES)), builder.mul(side, I64(LANES // 2)))])
        builder.store(_count_eights(builder, n, differing), builder.bitcast(place, HALF.as_pointer()), align=4)
        return []

    loop(builder, I64(2 * LAGS), [], one_lag)


def run_eights(builder: ir.IRBuilder, left: Any, right: Any, n: Any) -> Any:
    """Bits that differ in two runs of `n` times eight half rows, in each lane of a half row.

    Parameters:
        left, right: pointers to `uint32`, the first items.
        n: `int64`, 0 or more.
    """

    def differing(row: Any) -> Any:
        place = builder.mul(row, I64(LANES // 2))
        return builder.xor(*(_loaded(builder, builder.gep(start, [place])) for start in (left, right)))

    return _count_eights(builder, n, differing)


def _count_eights(builder: ir.IRBuilder, n: Any, words_of: Callable[[Any], Any]) -> Any:
    """Bits set in `n` times eight rows of words, in each lane. A tree of full adders, 32 or more side by side in the
    bits of a register, turns eight words into one whose bits weigh 8 each, and only that one is counted (Harley and
    Seal). `words_of` gives the words of a row."""

    def count_bytes(words: Any) -> Any:
        return builder.bitcast(popcount(builder, builder.bitcast(words, BYTES)), HALF)

    def widen(counts: Any) -> Any:
        """The sum of the four bytes of each word."""
        low = constant(HALF, 0x00FF00FF)
        pairs = builder.add(builder.and_(counts, low), builder.and_(builder.lshr(counts, constant(HALF, 8)), low))
        return builder.and_(builder.add(pairs, builder.lshr(pairs, constant(HALF, 16))), constant(HALF, 0xFFFF))

    def some_eights(part: Any, state: Sequence[Any]) -> list[Any]:
        first = builder.mul(part, I64(EIGHTS_AT_A_TIME))
        left = builder.sub(n, first)
        count = builder.select(builder.icmp_signed("<", left, I64(EIGHTS_AT_A_TIME)), left, I64(EIGHTS_AT_A_TIME))

        def eight(k: Any, state: Sequence[Any]) -> list[Any]:
            row = builder.shl(builder.add(first, k), I64(3))
            words = [words_of(builder.add(row, I64(i))) for i in range(8)]
            adders, eights = _add_eight(builder, state[:3], words)
            bytes_ = builder.add(builder.bitcast(state[3], BYTES), builder.bitcast(count_bytes(eights), BYTES))
            return [*adders, builder.bitcast(bytes_, HALF)]

        *adders, counts = loop(builder, count, [*state[:3], NONE], eight)
        return [*adders, builder.add(state[3], widen(counts))]

    n_parts = builder.sdiv(builder.add(n, I64(EIGHTS_AT_A_TIME - 1)), I64(EIGHTS_AT_A_TIME))
    *adders, total = loop(builder, n_parts, [NONE] * 4, some_eights)
    for words in reversed(adders):  # fours, twos, ones
        total = builder.add(builder.shl(total, constant(HALF, 1)), widen(count_bytes(words)))
    return total


def bits_of_eights(builder: ir.IRBuilder, left: Any, right: Any, n: Any, silent: Any) -> tuple[Any, Any, Any]:
    """How often each of 32 bits is set in two runs of `n` times eight half rows, without items silent in both, in each
    run; and the number of these, in each lane of a half row.

    Parameters:
        left, right: pointers to `uint32`, the first items.
        n: `int64`, 0 or more.
        silent: `uint32`, the item of silence.
    """
    silence, empty, no_sums = everywhere(builder, silent, HALF), constant(BYTES, 0), constant(SUMS, 0)

    def added(total: Any, words: Any, weight: int) -> Any:
        """The bytes, one for each bit, with the weight added for each lane that has it set."""
        for lane in range(HALF.count):
            bits = builder.bitcast(builder.extract_element(words, I32(lane)), ir.VectorType(ir.IntType(1), 32))
            total = builder.add(total, builder.select(bits, constant(BYTES, weight), empty))
        return total

    def some_eights(part: Any, state: Sequence[Any]) -> list[Any]:
        first = builder.mul(part, I64(EIGHTS_AT_A_TIME))
        rest = builder.sub(n, first)
        count = builder.select(builder.icmp_signed("<", rest, I64(EIGHTS_AT_A_TIME)), rest, I64(EIGHTS_AT_A_TIME))

        def eight(k: Any, state: Sequence[Any]) -> list[Any]:
            n_silent = state[6]
            sides: tuple[list[Any], list[Any]] = [], []
            row = builder.shl(builder.add(first, k), I64(3))
            for i in range(8):
                place = builder.mul(builder.add(row, I64(i)), I64(HALF.count))
                words = [_loaded(builder, builder.gep(start, [place])) for start in (left, right)]
                both = builder.and_(*(builder.icmp_unsigned("==", each, silence) for each in words))
                n_silent = builder.sub(n_silent, builder.sext(both, HALF))
                for side, each in zip(sides, words, strict=True):
                    side.append(builder.select(both, NONE, each))
            of_left, eights_left = _add_eight(builder, state[:3], sides[0])
            of_right, eights_right = _add_eight(builder, state[3:6], sides[1])
            return [*of_left, *of_right, n_silent, added(state[7], eights_left, 1), added(state[8], eights_right, 1)]

        *others, eights_left, eights_right = loop(builder, count, [*state[:7], empty, empty], eight)
        eight_times = constant(SUMS, 3)
        more = [builder.shl(builder.zext(each, SUMS), eight_times) for each in (eights_left, eights_right)]
        return [*others, *(builder.add(total, each) for total, each in zip(state[7:], more, strict=True))]

    n_parts = builder.sdiv(builder.add(n, I64(EIGHTS_AT_A_TIME - 1)), I64(EIGHTS_AT_A_TIME))
    *adders, n_silent, total_left, total_right = loop(builder, n_parts, [*[NONE] * 7, no_sums, no_sums], some_eights)
    totals = []
    for total, (ones, twos, fours) in ((total_left, adders[:3]), (total_right, adders[3:])):
        bytes_ = added(added(added(empty, ones, 1), twos, 2), fours, 4)
        totals.append(builder.add(total, builder.zext(bytes_, SUMS)))
    return totals[0], totals[1], n_silent


def _loaded(builder: ir.IRBuilder, place: Any) -> Any:
    """The half row at a place."""
    return builder.load(builder.bitcast(place, HALF.as_pointer()), align=4)


def _add_eight(builder: ir.IRBuilder, adders: Sequence[Any], words: Sequence[Any]) -> tuple[list[Any], Any]:
    """Ones, twos and fours with eight more words, and the eights that this gives."""
    ones, twos, fours = adders
    ones, carry_a = _full_adder(builder, ones, words[0], words[1])
    ones, carry_b = _full_adder(builder, ones, words[2], words[3])
    twos, carry_c = _full_adder(builder, twos, carry_a, carry_b)
    ones, carry_a = _full_adder(builder, ones, words[4], words[5])
    ones, carry_b = _full_adder(builder, ones, words[6], words[7])
    twos, carry_d = _full_adder(builder, twos, carry_a, carry_b)
    fours, eights = _full_adder(builder, fours, carry_c, carry_d)
    return [ones, twos, fours], eights


def _full_adder(builder: ir.IRBuilder, a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    """Sum and carry of the three words, bit by bit."""
    either = builder.xor(a, b)
    return builder.xor(either, c), builder.or_(builder.and_(a, b), builder.and_(either, c))
