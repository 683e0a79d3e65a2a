"""A stored pair: the record that makes up a tile's result."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

N_STEPS = 128
"""Most steps for which a stored pair keeps its similarity."""

PAIR = np.dtype(
    [
        ("row_a", "<u4"),
        ("row_b", "<u4"),
        ("lag", "<i4"),
        ("overlap", "<u4"),
        ("errors", "<u4"),
        ("kappa", "<f8"),
        ("prominence", "<f8"),
        ("along", "<f8"),
        ("log_rate", "<f8"),
        ("contrast", "<f8"),
        ("distinct", "<u4"),
        ("from_a", "<u4"),
        ("to_a", "<u4"),
        ("from_b", "<u4"),
        ("to_b", "<u4"),
        ("n_steps", "u1"),
        ("steps", "u1", (N_STEPS,)),
    ]
)
"""A stored pair: rows of the tile's two blocks, then the fields of `Match`, with `steps` padded with zeros."""


def swapped(pairs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Records of PAIR, each with its two sides swapped, as `Match.swapped` does with one match."""
    turned: npt.NDArray[Any] = pairs.copy()
    turned["lag"] = -pairs["lag"]
    turned["log_rate"] = np.where(pairs["log_rate"] != 0, -pairs["log_rate"], 0.0)
    for one, other in (("row_a", "row_b"), ("from_a", "from_b"), ("to_a", "to_b")):
        turned[one], turned[other] = pairs[other], pairs[one]
    return turned
