"""How every kernel is compiled, said once: serial (Dask has the cores), without the GIL, cached on a local disk.

No fast-math anywhere: results must be the same bits on every machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import platformdirs

os.environ.setdefault("NUMBA_CACHE_DIR", platformdirs.user_cache_path("reprise").joinpath("numba").as_posix())

import llvmlite.ir
import numba
from numba.core import types
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])


def jit(function: Function) -> Function:
    """The compiled function; `.py_func` is the plain one."""
    return numba.njit(function, nogil=True, cache=True, fastmath=False)  # type: ignore[no-any-return]


@intrinsic  # type: ignore[untyped-decorator]
def add_bit_errors(typing_context: Any, total: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """`total + popcount(a xor b)`, all `uint32`: Numba alone would widen to 64 bits and halve the lanes."""
    if (total, a, b) != (types.uint32, types.uint32, types.uint32):
        return None

    def generate(context: Any, builder: llvmlite.ir.IRBuilder, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        sum_so_far, left, right = arguments
        return builder.add(sum_so_far, builder.ctpop(builder.xor(left, right)))

    return types.uint32(types.uint32, types.uint32, types.uint32), generate
