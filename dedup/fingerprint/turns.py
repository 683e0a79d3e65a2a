"""By what the transform turns complex numbers. Imports no LLVM."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

N_COLUMN, N_ROW = 32, 64
"""Numbers in the transforms of the first pass, and of the second."""
N_NUMBERS = N_COLUMN * N_ROW
FRAME = 2 * N_NUMBERS

Float32s = npt.NDArray[np.float32]


def turns_between_passes() -> Float32s:
    """float32[2 * 2048]: by what each number is multiplied after the first pass, real and imaginary parts in turn."""
    return turns([k * n / N_NUMBERS for k in range(N_COLUMN) for n in range(N_ROW)])


def turns_of_bins(n_bins: int) -> Float32s:
    """float32[2 * n_bins]: by what the odd samples' part of each bin is multiplied."""
    return turns([k / FRAME for k in range(n_bins)])


def turns(parts: Sequence[float]) -> Float32s:
    """float32[2 * n]: real and imaginary parts of a turn clockwise by each part of a whole one."""
    factors = np.array([cmath.exp(-2j * math.pi * part) for part in parts], np.complex128)
    return factors.astype(np.complex64).view(np.float32)
