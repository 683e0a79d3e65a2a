"""A fingerprint's items: their type, their variety, their digest."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

SILENT_ITEM = 627964279
"""Chromaprint's item for digital silence, whatever the algorithm's state before it."""

Items = npt.NDArray[np.uint32]


def n_distinct(items: Items) -> int:
    """The number of different items, without silence: a measure of how much they can distinguish."""
    heard = np.sort(items[items != SILENT_ITEM])  # np.unique takes five times as long for a song
    return int(np.count_nonzero(heard[1:] != heard[:-1])) + bool(len(heard))


def frozen(values: npt.NDArray[Any], dtype: type[np.generic]) -> npt.NDArray[Any]:
    """A read-only view, contiguous and aligned; a copy only if necessary. Numba compiles a kernel again for each kind
    of array it meets (seconds), and arrays from Zarr, the network and SQLite are of several kinds."""
    view = np.require(values, dtype, ["C", "A"]).view()
    view.flags.writeable = False
    return view


def items_digest(items: npt.NDArray[np.uint32]) -> bytes:
    """16 bytes: BLAKE2b of the items, little-endian."""
    return hashlib.blake2b(np.ascontiguousarray(items, "<u4").tobytes(), digest_size=16).digest()
