"""What the functions of `machine_code` take, and what their code depends on. Imports no LLVM."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite

Function = Callable[..., None]


def _kind(n_pointers: int, n_numbers: int) -> Any:
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * n_pointers, *[ctypes.c_int64] * n_numbers)


KINDS = {
    "packets": _kind(1, 0),
    "note_energies": _kind(7, 6),
    "decimate": _kind(3, 6),
    "decimate_by_4": _kind(3, 2),
} | {f"mix_{kind}_{layout}": _kind(3, 1) for kind in ("i16", "i32", "float") for layout in ("mono", "planar", "packed")}
"""What each function takes."""

SOURCES = (
    *(f"fingerprint/{name}.py" for name in ("compiler", "decimation", "image", "libav", "loop_state", "packet_loop")),
    *(f"fingerprint/{name}.py" for name in ("signatures", "transform", "turns")),
    "correlation/emit.py",
)
"""What the code depends on, below `dedup/`."""


def code_digest(*processor: str) -> str:
    """A digest of the sources, the compiler and a processor, for the name of a file."""
    digest = hashlib.blake2b(digest_size=8)
    room = Path(__file__).parents[1]
    for source in SOURCES:
        digest.update((room / source).read_bytes())
    digest.update("\n".join([llvmlite.__version__, *processor]).encode())
    return digest.hexdigest()
