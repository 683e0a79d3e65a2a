"""Counts bits on processors that cannot do so in vectors: full adders, side by side in the bits of a register."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from dedup.correlation.emit import I32, I64, LANES, constant, everywhere, loop
from dedup.correlation.llvm import LAGS, popcount

EIGHTS_AT_A_TIME = 31
"""Counts of bits, 8 or less each, that fit into a byte."""


def add_eights(builder: ir.IRBuilder, thinned: Any, stride: Any, rows: Any, n: Any, sums: Any) -> None:
    """The part of `vector.lag_errors` that lies in `n` times eight rows, for a processor that cannot count bits in
    vectors. A tree of full adders, 32 or more side by side in the bits of a register, turns eight words into one whose
    bits weigh 8 each, and only that one is counted (Harley and Seal). It goes lag by lag, half a row at a time, so
    everything stays in registers.

    Parameters:
        thinned: pointer to `uint32`, the item of the first lag that meets the first row.
        stride: `int64`, items of `thinned` from one row to the next.
        rows: pointer to `uint32[8 * n, LANES]`.
        n: `int64`, 0 or more.
        sums: output, pointer to `uint32[LAGS, LANES]`.
    """
    half = ir.VectorType(I32, LANES // 2)
    byte_vector = ir.VectorType(ir.IntType(8), 2 * LANES)
    zeros = constant(half, 0)

    def count_bytes(words: Any) -> Any:
        return builder.bitcast(popcount(builder, builder.bitcast(words, byte_vector)), half)

    def widen(counts: Any) -> Any:
        """The sum of the four bytes of each word."""
        low = constant(half, 0x00FF00FF)
        pairs = builder.add(builder.and_(counts, low), builder.and_(builder.lshr(counts, constant(half, 8)), low))
        return builder.and_(builder.add(pairs, builder.lshr(pairs, constant(half, 16))), constant(half, 0xFFFF))

    def one_lag(job: Any, _: Sequence[Any]) -> list[Any]:
        lag, side = builder.lshr(job, I64(1)), builder.and_(job, I64(1))
        x_start = builder.gep(thinned, [lag])
        y_start = builder.gep(rows, [builder.mul(side, I64(LANES // 2))])

        def some_eights(part: Any, state: Sequence[Any]) -> list[Any]:
            first = builder.mul(part, I64(EIGHTS_AT_A_TIME))
            left = builder.sub(n, first)
            count = builder.select(builder.icmp_signed("<", left, I64(EIGHTS_AT_A_TIME)), left, I64(EIGHTS_AT_A_TIME))

            def eight(k: Any, state: Sequence[Any]) -> list[Any]:
                ones, twos, fours, counts = state
                row = builder.shl(builder.add(first, k), I64(3))
                differing = []
                for i in range(8):
                    at = builder.add(row, I64(i))
                    x = builder.load(builder.gep(x_start, [builder.mul(at, stride)]))
                    y = builder.gep(y_start, [builder.mul(at, I64(LANES))])
                    y = builder.load(builder.bitcast(y, half.as_pointer()), align=4)
                    differing.append(builder.xor(everywhere(builder, x, half), y))
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

            *adders, counts = loop(builder, count, [*state[:3], zeros], eight)
            return [*adders, builder.add(state[3], widen(counts))]

        n_parts = builder.sdiv(builder.add(n, I64(EIGHTS_AT_A_TIME - 1)), I64(EIGHTS_AT_A_TIME))
        *adders, total = loop(builder, n_parts, [zeros] * 4, some_eights)
        for words in reversed(adders):  # fours, twos, ones
            total = builder.add(builder.shl(total, constant(half, 1)), widen(count_bytes(words)))
        place = builder.gep(sums, [builder.add(builder.mul(lag, I64(LANES)), builder.mul(side, I64(LANES // 2)))])
        builder.store(total, builder.bitcast(place, half.as_pointer()), align=4)
        return []

    loop(builder, I64(2 * LAGS), [], one_lag)


def _full_adder(builder: ir.IRBuilder, a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    """Sum and carry of the three words, bit by bit."""
    either = builder.xor(a, b)
    return builder.xor(either, c), builder.or_(builder.and_(a, b), builder.and_(either, c))
