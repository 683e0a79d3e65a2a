"""Building blocks of the loops in `vector`, in LLVM's language: intrinsics, arrays, vectors, loops."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
"""Fingerprints side by side: 16 lanes of 32 bits are one register of AVX-512, two of AVX2, four of NEON."""

LAGS = 16
"""Lags at a time: as many sums as leave room in 32 registers. 8 are 2 % slower, 24 no faster."""

I32, I64 = ir.IntType(32), ir.IntType(64)
ROW, FLOATS = ir.VectorType(I32, LANES), ir.VectorType(ir.FloatType(), LANES)
DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
ZEROS = ir.Constant(ROW, [0] * LANES)


def emitted(*parameters: Any, returns: Any = types.void) -> Callable[[Callable[..., Any]], Any]:
    """Makes an intrinsic, callable from compiled code only, of a function that emits its instructions.

    The decorated function gets the `ir.IRBuilder`, then one value for each parameter: an `Array` for an array, else the
    LLVM value. It gives the LLVM value of type `returns`, or nothing. Integers are converted to a parameter of
    `types.int64`. Every other argument must have the type declared here, such as `types.uint32[:, ::1]` for a
    two-dimensional C-contiguous array, as its memory would otherwise be misread.
    """

    def made(emit: Callable[..., Any]) -> Any:
        @functools.wraps(emit)
        def typed(typing_context: Any, *given: Any) -> Any:  # noqa: ARG001 - the form of Numba's intrinsics
            if not all(_fits(one, declared) for one, declared in zip(given, parameters, strict=True)):
                return None
            taken = map(_taken, given, parameters)
            return returns(*taken), generate

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            result = emit(builder, *map(functools.partial(_value, context, builder), signature.args, arguments))
            return context.get_dummy_value() if result is None else result

        return intrinsic(typed)

    return made


def _fits(given: Any, declared: Any) -> bool:
    """Whether an argument of one Numba type may be passed where another is declared."""
    if isinstance(declared, types.Array):
        kind = (declared.dtype, declared.ndim, declared.layout)
        return isinstance(given, types.Array) and (given.dtype, given.ndim, given.layout) == kind
    return bool(given == declared) or (declared == types.int64 and isinstance(given, types.Integer))


def _taken(given: Any, declared: Any) -> Any:
    """The type in which an argument is taken: an array as it is, read-only or not."""
    return given if isinstance(declared, types.Array) else declared


def _value(context: Any, builder: ir.IRBuilder, kind: Any, argument: Any) -> Any:
    if not isinstance(kind, types.Array):
        return argument
    array = context.make_array(kind)(context, builder, argument)
    return Array(builder, array.data, cgutils.unpack_tuple(builder, array.shape))


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


def popcount(builder: ir.IRBuilder, words: Any) -> Any:
    """Bits set in each word of a vector."""
    vector = words.type
    name = f"llvm.ctpop.v{vector.count}i{vector.element.width}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), name)
    return builder.call(function, [words])


def everywhere(builder: ir.IRBuilder, value: Any, vector: ir.VectorType = ROW) -> Any:
    """A vector with the value in every lane."""
    nothing = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(nothing, value, I32(0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(I32, vector.count), [0] * vector.count))


def constant(vector: ir.VectorType, value: float) -> Any:
    return ir.Constant(vector, [value] * vector.count)
