"""How every kernel is compiled: serial (Dask has the cores), without the GIL, cached on a local disk
(`kernel_cache`).

No fast-math anywhere: results must be the same bits on every machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from dedup.correlation.kernel_cache import cache_folder

_folder = cache_folder()
if _folder is not None:
    os.environ["NUMBA_CACHE_DIR"] = str(_folder)
    # If that folder cannot be made, Numba must not write beside the sources: there the digest would be missing.
    os.environ["NUMBA_CACHE_LOCATOR_CLASSES"] = "UserProvidedCacheLocator"

import numba  # noqa: E402
from numba.core import config  # noqa: E402

config.reload_config()  # in case Numba was imported before; this drops what is set on `config` alone

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": False, "no_cfunc_wrapper": True}
"""Nobody passes a kernel as a value, which is what the wrapper would be for; it takes 3 % of the compiler's time."""

Function = TypeVar("Function", bound=Callable[..., Any])


def jit(function: Function) -> Function:
    """The compiled function; `.py_func` is the plain one. If no folder can hold the compiled code, each process
    compiles anew."""
    try:
        return numba.njit(function, cache=_folder is not None, **_OPTIONS)  # type: ignore[no-any-return]
    except RuntimeError:  # numba: "no locator available", as in a container without a home
        return numba.njit(function, **_OPTIONS)  # type: ignore[no-any-return]
