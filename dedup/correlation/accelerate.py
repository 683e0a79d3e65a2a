"""How every kernel is compiled: serial (Dask has the cores), without the GIL, cached on a local disk.

No fast-math anywhere: results must be the same bits on every machine.

Compiled code is kept in the user's cache folder, or in the folder that REPRISE_KERNEL_CACHE names. With "off" each
process compiles anew (some seconds): for hosts that share one home over a network, where Numba's cache may be torn."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import platformdirs

OFF = "off"
OLD_S = 30 * 86400
"""Age at which compiled code of other versions is removed."""

_DIGEST = re.compile("[0-9a-f]{16}")


def _source_digest() -> str:
    """A digest of all sources of the kernels: Numba tells cached code apart by the function's own file, not by what the
    function takes from others."""
    here = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=8)
    for file in [*sorted(here.glob("*.py")), here.parent / "store" / "items.py"]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _cache_folder(place: Path) -> Path:
    """The folder below `place` for the code of these kernels. Before it exists, old code beside it is removed."""
    folder = place / _source_digest()
    if not folder.exists() and place.is_dir():
        for other in place.iterdir():
            with contextlib.suppress(OSError):
                if _DIGEST.fullmatch(other.name) and time.time() - other.stat().st_mtime > OLD_S:
                    shutil.rmtree(other)
    return folder


_place = os.environ.get("REPRISE_KERNEL_CACHE") or str(platformdirs.user_cache_path("reprise") / "numba")
if _place != OFF:
    os.environ["NUMBA_CACHE_DIR"] = str(_cache_folder(Path(_place)))
    # If that folder cannot be made, Numba must not write beside the sources: there the digest would be missing.
    os.environ["NUMBA_CACHE_LOCATOR_CLASSES"] = "UserProvidedCacheLocator"

import numba  # noqa: E402
from numba.core import config  # noqa: E402

config.reload_config()  # in case Numba was imported before; this drops what is set on `config` alone

Function = TypeVar("Function", bound=Callable[..., Any])


def jit(function: Function) -> Function:
    """The compiled function; `.py_func` is the plain one. If no folder can hold the compiled code, each process
    compiles anew."""
    try:
        return numba.njit(function, nogil=True, cache=_place != OFF, fastmath=False)  # type: ignore[no-any-return]
    except RuntimeError:  # numba: "no locator available", as in a container without a home
        return numba.njit(function, nogil=True, fastmath=False)  # type: ignore[no-any-return]
