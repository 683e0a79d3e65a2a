"""Building blocks of the loops in `vector`, in LLVM's language: vectors, arrays, loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

LANES = 16
"""Fingerprints side by side: 16 lanes of 32 bits are one register of AVX-512, two of AVX2, four of NEON."""

LAGS = 16
"""Lags at a time: as many sums as leave room in 32 registers. 8 are 2 % slower, 24 no faster."""

I32, I64 = ir.IntType(32), ir.IntType(64)
ROW, FLOATS = ir.VectorType(I32, LANES), ir.VectorType(ir.FloatType(), LANES)
DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
ZEROS = ir.Constant(ROW, [0] * LANES)


class Arrays:
    """The array arguments of an intrinsic, by their index: C-contiguous, LANES values in a row."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> None:
        self.context, self.builder, self.signature, self.arguments = context, builder, signature, arguments

    def of(self, index: int) -> Any:
        """The array: its `data`, its `shape`."""
        make = self.context.make_array(self.signature.args[index])
        return make(self.context, self.builder, self.arguments[index])

    def at(self, index: int, offset: Any) -> Any:
        """Pointer to a value."""
        return self.builder.gep(self.of(index).data, [offset])

    def row(self, index: int, row: Any) -> Any:
        """The values of a row as a vector."""
        return self.builder.load(self._row_pointer(index, row), align=4)

    def set_row(self, index: int, row: Any, values: Any) -> None:
        self.builder.store(values, self._row_pointer(index, row), align=4)

    def _row_pointer(self, index: int, row: Any) -> Any:
        first = self.at(index, I64(0))
        vector = ir.VectorType(first.type.pointee, LANES)
        return self.builder.gep(self.builder.bitcast(first, vector.as_pointer()), [row])


def loop(
    builder: ir.IRBuilder, n: Any, initial: Sequence[Any], step: Callable[[Any, Sequence[Any]], list[Any]]
) -> list[Any]:
    """`values = step(i, values)` for `i` in 0 to `n - 1`, the values kept in registers; what they are at the end."""
    before = builder.block
    head, body, done = (builder.append_basic_block(name) for name in ("loop", "loop.body", "loop.done"))
    builder.branch(head)
    builder.position_at_end(head)
    i, values = builder.phi(I64), [builder.phi(value.type) for value in initial]
    for phi, value in zip((i, *values), (I64(0), *initial), strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", i, n), body, done)
    builder.position_at_end(body)
    new = step(i, values)
    for phi, value in zip((i, *values), (builder.add(i, I64(1)), *new), strict=True):
        phi.add_incoming(value, builder.block)
    builder.branch(head)
    builder.position_at_end(done)
    return values


def everywhere(builder: ir.IRBuilder, value: Any, vector: ir.VectorType = ROW) -> Any:
    """The value in every lane."""
    nothing = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(nothing, value, I32(0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(I32, vector.count), [0] * vector.count))


def constant(vector: ir.VectorType, value: float) -> Any:
    return ir.Constant(vector, [value] * vector.count)
