"""What loops in LLVM's language are built of: arrays, vectors, loops. Imports no Numba."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

LANES = 16
"""Lanes of a row, unless another vector is asked for: 16 of 32 bits are one register of AVX-512, two of AVX2, four of
NEON."""

I32, I64 = ir.IntType(32), ir.IntType(64)
ROW = ir.VectorType(I32, LANES)


class Array:
    """A C-contiguous array argument of an intrinsic. Its rows are vectors of LANES values."""

    def __init__(self, builder: ir.IRBuilder, data: Any, shape: Sequence[Any]) -> None:
        self.builder, self.data, self.shape = builder, data, shape

    def at(self, offset: Any) -> Any:
        """Pointer to a value."""
        return self.builder.gep(self.data, [offset])

    def value(self, offset: Any) -> Any:
        return self.builder.load(self.at(offset))

    def row(self, row: Any) -> Any:
        return self.builder.load(self._row_pointer(row), align=4)

    def set_row(self, row: Any, values: Any) -> None:
        self.builder.store(values, self._row_pointer(row), align=4)

    def _row_pointer(self, row: Any) -> Any:
        vector = ir.VectorType(self.data.type.pointee, LANES)
        return self.builder.gep(self.builder.bitcast(self.data, vector.as_pointer()), [row])


def loop(
    builder: ir.IRBuilder, n: Any, initial: Sequence[Any], step: Callable[[Any, Sequence[Any]], list[Any]]
) -> list[Any]:
    """Runs `values = step(i, values)` for `i` in 0 to `n - 1`, the values kept in registers; gives the last values."""
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
    """A vector with the value in every lane."""
    nothing = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(nothing, value, I32(0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(I32, vector.count), [0] * vector.count))


def constant(vector: ir.VectorType, value: float) -> Any:
    return ir.Constant(vector, [value] * vector.count)
