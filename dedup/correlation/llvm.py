"""Building blocks of the loops in `vector`, in LLVM's language: intrinsics, arrays, vectors, loops."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from dedup.correlation.emit import LANES, ROW, Array

LAGS = 16
"""Lags at a time: as many sums as leave room in 32 registers. 8 are 2 % slower, 24 no faster."""

FLOATS = ir.VectorType(ir.FloatType(), LANES)
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


def popcount(builder: ir.IRBuilder, words: Any) -> Any:
    """Bits set in each word of a vector."""
    vector = words.type
    name = f"llvm.ctpop.v{vector.count}i{vector.element.width}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), name)
    return builder.call(function, [words])


@emitted(types.uint64[::1], types.int64)
def prefetch(builder: ir.IRBuilder, array: Array, place: Any) -> None:
    """Asks for a value that is needed soon."""
    pointer, word = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
    function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
    reading, near, data = word(0), word(3), word(1)
    builder.call(function, [builder.bitcast(array.at(place), pointer), reading, near, data])
