"""The energies of the notes in frames of PCM, eight side by side in the lanes of a vector, as LLVM instructions.

The 4,096 samples of a frame, in pairs, are the 2,048 complex numbers of one Fourier transform. It is done as 64
transforms of 32 numbers and then 32 of 64, so that each stays in registers and the fastest cache. All is in single
precision, as in libchromaprint; no sum is reordered and none is fused with a product, so that every processor gives the
same bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from dedup.correlation.emit import I32, I64, constant, everywhere, loop
from dedup.fingerprint.turns import FRAME, N_COLUMN, N_NUMBERS, N_ROW, turns

NAME = "note_energies"
"""The function's name."""

LANES = 8
"""Frames side by side: eight floats are one register of AVX2, two of NEON."""

I16, FLOAT, DOUBLE = ir.IntType(16), ir.FloatType(), ir.DoubleType()
FLOATS, DOUBLES = ir.VectorType(FLOAT, LANES), ir.VectorType(DOUBLE, LANES)


def add_note_energies(made: ir.Module) -> None:
    """Adds one function to the module, `void note_energies(...)`.

    Parameters, in this order:
        energies: output, `double[n_groups][n_rows][LANES]`, zero before.
        samples: `int16[n]`, `n` at least (n_groups * LANES - 1) * hop + 4096; a frame begins every `hop` samples.
        window: `float[4096]`, half the window.
        between: `turns_between_passes()`.
        of_bins: `turns_of_bins(first_bin + n_bins)`.
        rows: `int32[n_images][n_bins]`, the row of energies to which each bin from `first_bin` on is added, for each
            image, 0 to `n_rows - 1`.
        work: `float[4096 * LANES]`, scratch.
        n_groups, n_rows, n_images, n_bins, first_bin, hop: `int64`; `first_bin` is 1 or more, `first_bin + n_bins` at
            most 2048.
    """
    pointers = [kind.as_pointer() for kind in (DOUBLE, I16, FLOAT, FLOAT, FLOAT, I32, FLOAT)]
    function = ir.Function(made, ir.FunctionType(ir.VoidType(), [*pointers, *[I64] * 6]), NAME)
    energies, samples, window, between, of_bins, rows, work, *numbers = function.args
    n_groups, n_rows, n_images, n_bins, first_bin, hop = numbers
    builder = ir.IRBuilder(function.append_basic_block())
    passes = _Passes(builder, builder.bitcast(work, FLOATS.as_pointer()))

    def group(i: Any, _: Sequence[Any]) -> list[Any]:
        frames = builder.gep(samples, [builder.mul(builder.mul(i, I64(LANES)), hop)])
        first_row = builder.gep(builder.bitcast(energies, DOUBLES.as_pointer()), [builder.mul(i, n_rows)])
        passes.take(frames, hop, window)
        passes.columns(between)
        passes.rows()
        passes.add_powers(first_bin, n_bins, of_bins, _Images(n_images, rows, first_row))
        return []

    loop(builder, n_groups, [], group)
    builder.ret_void()


class _Images(NamedTuple):
    """Where the powers of a group of frames go."""

    n: Any
    rows: Any
    energies: Any


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

    def product(self, x: Complex, factor: Complex) -> Complex:
        b = self.builder
        real = b.fsub(b.fmul(x.re, factor.re), b.fmul(x.im, factor.im))
        return Complex(real, b.fadd(b.fmul(x.re, factor.im), b.fmul(x.im, factor.re)))

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
        re, im = turns([k / n]).tolist()
        return self.product(x, Complex(constant(FLOATS, re), constant(FLOATS, im)))


class _Passes:
    """Emits the passes over `work`, a pointer to rows of eight floats: the real parts of a number, then the imaginary
    ones."""

    def __init__(self, builder: ir.IRBuilder, work: Any) -> None:
        self.builder, self.work, self.arithmetic = builder, work, _Arithmetic(builder)

    def take(self, samples: Any, hop: Any, window: Any) -> None:
        """Puts the windowed frames side by side: number n is samples 2n and 2n + 1."""
        builder = self.builder
        words, weights = ir.VectorType(I16, LANES).as_pointer(), builder.bitcast(window, FLOATS.as_pointer())

        def eight(i: Any, _: Sequence[Any]) -> list[Any]:
            first = builder.mul(i, I64(LANES))
            weight = builder.load(builder.gep(weights, [i]), align=4)
            frames = []
            for lane in range(LANES):
                place = builder.gep(samples, [builder.add(first, builder.mul(hop, I64(lane)))])
                row = builder.load(builder.bitcast(place, words), align=2)
                frames.append(builder.fmul(builder.sitofp(row, FLOATS), weight))
            for k, row in enumerate(transposed(builder, frames)):
                builder.store(row, builder.gep(self.work, [builder.add(first, I64(k))]), align=4)
            return []

        loop(builder, I64(FRAME // LANES), [], eight)

    def columns(self, turns: Any) -> None:
        """The first pass."""
        builder = self.builder

        def column(j: Any, _: Sequence[Any]) -> list[Any]:
            places = [builder.add(I64(N_ROW * k), j) for k in range(N_COLUMN)]
            numbers = self.arithmetic.transform([self._load(place) for place in places])
            for k, (place, number) in enumerate(zip(places, numbers, strict=True)):
                self._store(place, self.arithmetic.product(number, self._factor(turns, place)) if k else number)
            return []

        loop(builder, I64(N_ROW), [], column)

    def rows(self) -> None:
        """The second pass: afterwards bin `k + 32 l` of the 2,048 is number `64 k + l`."""
        builder = self.builder

        def row(j: Any, _: Sequence[Any]) -> list[Any]:
            first = builder.mul(j, I64(N_ROW))
            places = [builder.add(first, I64(k)) for k in range(N_ROW)]
            for place, number in zip(places, self.arithmetic.transform([self._load(p) for p in places]), strict=True):
                self._store(place, number)
            return []

        loop(builder, I64(N_COLUMN), [], row)

    def add_powers(self, first_bin: Any, n_bins: Any, turns: Any, images: _Images) -> None:
        """Makes twice each bin of the samples of two bins of their pairs, and adds its power to one row of each
        image."""
        builder, arithmetic = self.builder, self.arithmetic

        def number(k: Any) -> Complex:
            column, row = builder.and_(k, I64(N_COLUMN - 1)), builder.sdiv(k, I64(N_COLUMN))
            return self._load(builder.add(builder.mul(column, I64(N_ROW)), row))

        def add_bin(i: Any, _: Sequence[Any]) -> list[Any]:
            k = builder.add(first_bin, i)
            x, y = number(k), number(builder.sub(I64(N_NUMBERS), k))
            even = Complex(builder.fadd(x.re, y.re), builder.fsub(x.im, y.im))
            odd = Complex(builder.fadd(x.im, y.im), builder.fsub(y.re, x.re))
            value = arithmetic.add(even, arithmetic.product(odd, self._factor(turns, k)))
            power = builder.fadd(builder.fmul(value.re, value.re), builder.fmul(value.im, value.im))
            power = builder.fpext(power, DOUBLES)

            def add_to(image: Any, _: Sequence[Any]) -> list[Any]:
                row = builder.load(builder.gep(images.rows, [builder.add(builder.mul(image, n_bins), i)]))
                place = builder.gep(images.energies, [builder.sext(row, I64)])
                builder.store(builder.fadd(builder.load(place, align=8), power), place, align=8)
                return []

            loop(builder, images.n, [], add_to)
            return []

        loop(builder, n_bins, [], add_bin)

    def _place(self, number: Any, part: int) -> Any:
        return self.builder.gep(self.work, [self.builder.add(self.builder.shl(number, I64(1)), I64(part))])

    def _load(self, number: Any) -> Complex:
        return Complex(*(self.builder.load(self._place(number, part), align=4) for part in (0, 1)))

    def _store(self, number: Any, x: Complex) -> None:
        for part, value in enumerate(x):
            self.builder.store(value, self._place(number, part), align=4)

    def _factor(self, turns: Any, number: Any) -> Complex:
        """A number of `turns`, in all lanes."""
        builder, at = self.builder, self.builder.shl(number, I64(1))
        values = (builder.load(builder.gep(turns, [builder.add(at, I64(part))])) for part in (0, 1))
        return Complex(*(everywhere(builder, value, FLOATS) for value in values))


def transposed(builder: ir.IRBuilder, rows: Sequence[Any]) -> list[Any]:
    """LANES vectors of LANES values: interleaving the halves, three times."""
    half = LANES // 2
    low = [lane for k in range(half) for lane in (k, LANES + k)]
    masks = [ir.Constant(ir.VectorType(I32, LANES), [first + lane for lane in low]) for first in (0, half)]
    rows = list(rows)
    for _ in range(LANES.bit_length() - 1):
        pairs = list(zip(rows[:half], rows[half:], strict=True))
        rows = [builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in masks]
    return rows
