"""A fingerprint's items: their type, what they can tell, their digest."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

SILENT_ITEM = 627964279
"""What Chromaprint says of digital silence, whatever the algorithm's state before it."""

Items = npt.NDArray[np.uint32]


def n_distinct(items: Items) -> int:
    """How many different items there are, silence not counted: what they can tell."""
    heard = np.sort(items[items != SILENT_ITEM])  # np.unique takes five times as long for a song
    return int(np.count_nonzero(heard[1:] != heard[:-1])) + bool(len(heard))


def frozen(values: npt.NDArray[Any], dtype: type[np.generic]) -> npt.NDArray[Any]:
    """A read-only view, contiguous and aligned; a copy only where it must be. Numba compiles a kernel anew for each
    kind of array that it meets (seconds), and what came from Zarr, over the network or out of SQLite is of several."""
    view = np.require(values, dtype, ["C", "A"]).view()
    view.flags.writeable = False
    return view


def items_digest(items: npt.NDArray[np.uint32]) -> bytes:
    """16 bytes: BLAKE2b of the items, little-endian."""
    return hashlib.blake2b(np.ascontiguousarray(items, "<u4").tobytes(), digest_size=16).digest()
