"""The energies of the notes in eight frames of PCM, side by side in the lanes of a vector, as LLVM instructions.

The 4,096 samples of a frame, in pairs, are the 2,048 complex numbers of one Fourier transform. It is done as 64
transforms of 32 numbers and then 32 of 64, so that each stays in registers and the fastest cache. All is in single
precision, as in libchromaprint; no sum is reordered and none is fused with a product, so that every processor gives the
same bits."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from dedup.correlation.accelerate import jit
from dedup.correlation.llvm import I32, I64, Array, constant, emitted, everywhere, loop

LANES = 8
"""Frames side by side: eight floats are one register of AVX2, two of NEON."""

N_COLUMN, N_ROW = 32, 64
"""Numbers in the transforms of the first pass, and of the second."""
N_NUMBERS = N_COLUMN * N_ROW

FLOATS = ir.VectorType(ir.FloatType(), LANES)
DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
WORDS = ir.VectorType(ir.IntType(16), LANES)

COUNT, SAMPLES, VALUES, SUMS, INDICES = (
    types.int64,
    types.int16[::1],
    types.float32[::1],
    types.float64[:, ::1],
    types.int32[::1],
)

Float32s = npt.NDArray[np.float32]


def turns_between_passes() -> Float32s:
    """float32[2 * 2048]: by what each number is multiplied after the first pass, real and imaginary parts in turn."""
    return _turns([k * n / N_NUMBERS for k in range(N_COLUMN) for n in range(N_ROW)])


def turns_of_bins(n_bins: int) -> Float32s:
    """float32[2 * n_bins]: by what the odd samples' part of each bin is multiplied."""
    return _turns([k / (2 * N_NUMBERS) for k in range(n_bins)])


def _turns(parts: Sequence[float]) -> Float32s:
    factors = np.array([cmath.exp(-2j * math.pi * part) for part in parts], np.complex128)
    return factors.astype(np.complex64).view(np.float32)


class Complex(NamedTuple):
    """A complex number in each lane."""

    re: Any
    im: Any


class _Arithmetic:
    """Emits sums, products and transforms of complex numbers."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def add(self, x: Complex, y: Complex) -> Complex:
        return Complex(self.builder.fadd(x.re, y.re), self.builder.fadd(x.im, y.im))

    def subtract(self, x: Complex, y: Complex) -> Complex:
        return Complex(self.builder.fsub(x.re, y.re), self.builder.fsub(x.im, y.im))

    def product(self, x: Complex, re: Any, im: Any) -> Complex:
        b = self.builder
        real = b.fsub(b.fmul(x.re, re), b.fmul(x.im, im))
        return Complex(real, b.fadd(b.fmul(x.re, im), b.fmul(x.im, re)))

    def transform(self, x: Sequence[Complex]) -> list[Complex]:
        """The discrete Fourier transform of a power of two numbers, by split radix."""
        n = len(x)
        if n == 1:
            return [x[0]]
        if n == 2:
            return [self.add(x[0], x[1]), self.subtract(x[0], x[1])]
        even, first, third = (self.transform(part) for part in (x[0::2], x[1::4], x[3::4]))
        quarters: list[list[Complex]] = [[], [], [], []]
        for k in range(n // 4):
            a, b = self._turned(first[k], k, n), self._turned(third[k], 3 * k, n)
            both, rest = self.add(a, b), self.subtract(a, b)
            rest = Complex(rest.im, self.builder.fneg(rest.re))  # times -i
            quarters[0].append(self.add(even[k], both))
            quarters[1].append(self.add(even[k + n // 4], rest))
            quarters[2].append(self.subtract(even[k], both))
            quarters[3].append(self.subtract(even[k + n // 4], rest))
        return [number for quarter in quarters for number in quarter]

    def _turned(self, x: Complex, k: int, n: int) -> Complex:
        """Times e^(-2 pi i k / n)."""
        b, root = self.builder, constant(FLOATS, float(np.float32(math.sqrt(0.5))))
        if k == 0:
            return x
        if 8 * k == n:
            return Complex(b.fmul(root, b.fadd(x.re, x.im)), b.fmul(root, b.fsub(x.im, x.re)))
        if 8 * k == 3 * n:
            return Complex(b.fmul(root, b.fsub(x.im, x.re)), b.fneg(b.fmul(root, b.fadd(x.re, x.im))))
        re, im = _turns([k / n]).tolist()
        return self.product(x, constant(FLOATS, re), constant(FLOATS, im))


def _vector_at(builder: ir.IRBuilder, array: Array, row: Any, vector: ir.VectorType = FLOATS) -> Any:
    return builder.gep(builder.bitcast(array.data, vector.as_pointer()), [row])


def _load(builder: ir.IRBuilder, work: Array, number: Any) -> Complex:
    row = builder.shl(number, I64(1))
    return Complex(*(builder.load(_vector_at(builder, work, builder.add(row, I64(i))), align=4) for i in (0, 1)))


def _store(builder: ir.IRBuilder, work: Array, number: Any, x: Complex) -> None:
    row = builder.shl(number, I64(1))
    for i, part in enumerate(x):
        builder.store(part, _vector_at(builder, work, builder.add(row, I64(i))), align=4)


def _factor(builder: ir.IRBuilder, turns: Array, number: Any) -> tuple[Any, Any]:
    """A number of `turns` in all lanes, as real and imaginary part."""
    at = builder.shl(number, I64(1))
    re, im = (everywhere(builder, turns.value(builder.add(at, I64(i))), FLOATS) for i in (0, 1))
    return re, im


@emitted(SAMPLES, COUNT, COUNT, VALUES, VALUES)
def _take(builder: ir.IRBuilder, samples: Array, begin: Any, hop: Any, window: Array, work: Array) -> None:
    """Puts the windowed frames, the first at `begin` and one every `hop` samples, side by side: number n is samples
    2n and 2n + 1."""
    starts = [builder.add(begin, builder.mul(hop, I64(lane))) for lane in range(LANES)]

    def eight(i: Any, _: Sequence[Any]) -> list[Any]:
        first = builder.mul(i, I64(LANES))
        weights = builder.load(_vector_at(builder, window, i), align=4)
        rows = []
        for start in starts:
            place = builder.bitcast(samples.at(builder.add(start, first)), WORDS.as_pointer())
            rows.append(builder.fmul(builder.sitofp(builder.load(place, align=2), FLOATS), weights))
        for k, row in enumerate(_transposed(builder, rows)):
            builder.store(row, _vector_at(builder, work, builder.add(first, I64(k))), align=4)
        return []

    loop(builder, I64(2 * N_NUMBERS // LANES), [], eight)


def _transposed(builder: ir.IRBuilder, rows: Sequence[Any]) -> list[Any]:
    """LANES vectors of LANES values: interleaving the halves, three times."""
    half = LANES // 2
    low = [lane for k in range(half) for lane in (k, LANES + k)]
    masks = [ir.Constant(ir.VectorType(I32, LANES), [first + lane for lane in low]) for first in (0, half)]
    rows = list(rows)
    for _ in range(LANES.bit_length() - 1):
        pairs = list(zip(rows[:half], rows[half:], strict=True))
        rows = [builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in masks]
    return rows


@emitted(VALUES, VALUES)
def _columns(builder: ir.IRBuilder, work: Array, turns: Array) -> None:
    """The first pass."""
    arithmetic = _Arithmetic(builder)

    def column(j: Any, _: Sequence[Any]) -> list[Any]:
        places = [builder.add(I64(N_ROW * k), j) for k in range(N_COLUMN)]
        numbers = arithmetic.transform([_load(builder, work, place) for place in places])
        for k, (place, number) in enumerate(zip(places, numbers, strict=True)):
            turned = arithmetic.product(number, *_factor(builder, turns, place)) if k else number
            _store(builder, work, place, turned)
        return []

    loop(builder, I64(N_ROW), [], column)


@emitted(VALUES)
def _rows(builder: ir.IRBuilder, work: Array) -> None:
    """The second pass: afterwards bin `k + 32 l` of the 2,048 is number `64 k + l`."""
    arithmetic = _Arithmetic(builder)

    def row(j: Any, _: Sequence[Any]) -> list[Any]:
        first = builder.mul(j, I64(N_ROW))
        places = [builder.add(first, I64(k)) for k in range(N_ROW)]
        for place, number in zip(places, arithmetic.transform([_load(builder, work, p) for p in places]), strict=True):
            _store(builder, work, place, number)
        return []

    loop(builder, I64(N_COLUMN), [], row)


@emitted(VALUES, COUNT, VALUES, INDICES, SUMS, COUNT)
def _add_powers(
    builder: ir.IRBuilder, work: Array, first_bin: Any, turns: Array, notes: Array, energies: Array, first_row: Any
) -> None:
    """Makes each bin of the samples of two of their pairs' (twice its value), and adds its power to the row of its
    note."""
    arithmetic = _Arithmetic(builder)

    def number(k: Any) -> Complex:
        column, row = builder.and_(k, I64(N_COLUMN - 1)), builder.sdiv(k, I64(N_COLUMN))
        return _load(builder, work, builder.add(builder.mul(column, I64(N_ROW)), row))

    def add_bin(i: Any, _: Sequence[Any]) -> list[Any]:
        k = builder.add(first_bin, i)
        x, y = number(k), number(builder.sub(I64(N_NUMBERS), k))
        even = Complex(builder.fadd(x.re, y.re), builder.fsub(x.im, y.im))
        odd = Complex(builder.fadd(x.im, y.im), builder.fsub(y.re, x.re))
        value = arithmetic.add(even, arithmetic.product(odd, *_factor(builder, turns, k)))
        power = builder.fadd(builder.fmul(value.re, value.re), builder.fmul(value.im, value.im))
        row = builder.add(first_row, builder.sext(notes.value(i), I64))
        place = _vector_at(builder, energies, row, DOUBLES)
        builder.store(builder.fadd(builder.load(place, align=8), builder.fpext(power, DOUBLES)), place, align=8)
        return []

    loop(builder, notes.shape[0], [], add_bin)


@jit
def note_energies(
    samples: npt.NDArray[np.int16],
    hop: int,
    window: Float32s,
    between: Float32s,
    of_bins: Float32s,
    first_bin: int,
    notes: npt.NDArray[np.int32],
    work: Float32s,
    energies: npt.NDArray[np.float64],
    n_notes: int,
) -> None:
    """The energies of the notes in frames, LANES at a time.

    Parameters:
        samples: int16[n], `n` at least (n_groups * LANES - 1) * hop + 4096; a frame begins every `hop` samples.
        window: float32[4096], half the window.
        between: `turns_between_passes()`.
        of_bins: `turns_of_bins(first_bin + n_bins)`.
        first_bin: the first bin that counts, 1 or more.
        notes: int32[n_bins], the note of each bin from there on, 0 to `n_notes - 1`.
        work: float32[4096 * LANES], scratch.
        energies: output, float64[n_groups * n_notes, LANES], zero before.
        n_notes: rows of `energies` for each group.
    """
    for group in range(len(energies) // n_notes):
        _take(samples, group * LANES * hop, hop, window, work)
        _columns(work, between)
        _rows(work)
        _add_powers(work, first_bin, of_bins, notes, energies, group * n_notes)
