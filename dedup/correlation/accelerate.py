"""How every kernel is compiled, said once: serial (Dask has the cores), without the GIL, cached on a local disk.

No fast-math anywhere: results must be the same bits on every machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import platformdirs
from numba.core import config

os.environ.setdefault("NUMBA_CACHE_DIR", platformdirs.user_cache_path("reprise").joinpath("numba").as_posix())
config.reload_config()  # Numba reads its variables when it is imported, and forgets what is set on `config` alone

Function = TypeVar("Function", bound=Callable[..., Any])


def jit(function: Function) -> Function:
    """The compiled function; `.py_func` is the plain one. Where no folder takes the compiled code, each process
    compiles anew.

    Numba knows a cached kernel by the content of its own file alone, so whatever is compiled into a kernel must stand
    in that file: a function called from another would be used as it was when the caller was cached."""
    try:
        return numba.njit(function, nogil=True, cache=True, fastmath=False)  # type: ignore[no-any-return]
    except RuntimeError:  # numba: "no locator available", as in a container without a home
        return numba.njit(function, nogil=True, fastmath=False)  # type: ignore[no-any-return]
