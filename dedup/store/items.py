"""A fingerprint's items: their type, their variety, their digest.

Imports NumPy where it is used: most of the store's tables need none of it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SILENT_ITEM = 627964279
"""Chromaprint's item for digital silence, whatever the algorithm's state before it."""

Items: TypeAlias = "npt.NDArray[np.uint32]"


def n_distinct(items: Items) -> int:
    """The number of different items, without silence: a measure of how much they can distinguish."""
    import numpy as np

    heard = np.sort(items[items != SILENT_ITEM])  # np.unique takes five times as long for a song
    return int(np.count_nonzero(heard[1:] != heard[:-1])) + bool(len(heard))


def frozen(values: npt.NDArray[Any], dtype: type[np.generic]) -> npt.NDArray[Any]:
    """A read-only view, contiguous and aligned; a copy only if necessary. Numba compiles a kernel again for each kind
    of array it meets (seconds), and arrays from Zarr, the network and SQLite are of several kinds."""
    import numpy as np

    view = np.require(values, dtype, ["C", "A"]).view()
    view.flags.writeable = False
    return view


def items_digest(items: Items) -> bytes:
    """16 bytes: BLAKE2b of the items, little-endian."""
    return hashlib.blake2b(bytes_of(items), digest_size=16).digest()


def bytes_of(items: Items) -> bytes:
    """The items, little-endian, as the catalog keeps them."""
    import numpy as np

    return np.ascontiguousarray(items, "<u4").tobytes()


def items_in(data: bytes) -> Items:
    """The inverse of `bytes_of`: `uint32[n]`, a read-only view."""
    import numpy as np

    return np.frombuffer(data, "<u4")
