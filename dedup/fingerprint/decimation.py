"""Frames of a decoder to mono PCM at a lower rate, as LLVM instructions: a mix of the channels, and a filter.

Both are in single precision, each sum in one order and none fused with a product, so that every processor gives the
same bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from dedup.correlation.emit import I32, I64, constant, loop
from dedup.fingerprint.transform import FLOAT, FLOATS, I16, LANES, transposed

KINDS = {"i16": (I16, 1.0), "i32": (I32, 2.0**-16), "float": (FLOAT, 2.0**15)}
"""Kinds of samples, and by what they are multiplied so that full scale is that of 16 bits."""

LAYOUTS = ("mono", "planar", "packed")
"""How the samples of a frame lie: of one channel, of two in a plane each, of two in turn."""

_TOGETHER = 4
"""Sums that are made at a time: more, and their addresses do not stay in registers."""

_ROUNDING = 3 * 2.0**22
"""What a float of at most 2^22 loses its fraction to when it is added."""


def mix_name(kind: str, layout: str) -> str:
    """Name of the function that mixes such frames."""
    return f"mix_{kind}_{layout}"


def add_decimation(made: ir.Module) -> None:
    """Adds `decimate`, `decimate_by_4` and a function `mix_KIND_LAYOUT` for each kind and layout to the module."""
    for kind in KINDS:
        for layout in LAYOUTS:
            _add_mix(made, kind, layout)
    _add_decimate(made)
    _add_decimate_by_4(made)


def _add_mix(made: ir.Module, kind: str, layout: str) -> None:
    """`void mix_KIND_LAYOUT(...)`: the mean of the channels of some frames, one after the other.

    Parameters, in this order:
        mono: output, `float[sum of lengths]`, full scale 32,768.
        planes: `int64[n_frames][n_planes]`, addresses; two planes for planar, else one.
        lengths: `int64[n_frames]`, samples of each channel of each frame.
        n_frames: `int64`.
    """
    kinds = [FLOAT.as_pointer(), I64.as_pointer(), I64.as_pointer(), I64]
    function = ir.Function(made, ir.FunctionType(ir.VoidType(), kinds), mix_name(kind, layout))
    mono, planes, lengths, n_frames = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    n_planes = 2 if layout == "planar" else 1

    def frame(i: Any, values: Sequence[Any]) -> list[Any]:
        length, start = builder.load(builder.gep(lengths, [i])), values[0]
        sources = [
            builder.load(builder.gep(planes, [builder.add(builder.mul(i, I64(n_planes)), I64(plane))]))
            for plane in range(n_planes)
        ]
        mix = _Mix(builder, kind, layout == "packed", builder.gep(mono, [start]), sources)
        n_rows = builder.ashr(length, I64(LANES.bit_length() - 1))
        loop(builder, n_rows, [], mix.row)
        done = builder.mul(n_rows, I64(LANES))
        loop(builder, builder.sub(length, done), [], lambda k, _: mix.sample(builder.add(done, k)))
        return [builder.add(start, length)]

    loop(builder, n_frames, [I64(0)], frame)
    builder.ret_void()


class _Mix:
    """Emits the mix of one frame, whose planes are at the addresses `sources`, to `mono`."""

    def __init__(self, builder: ir.IRBuilder, kind: str, is_packed: bool, mono: Any, sources: Sequence[Any]) -> None:
        self.builder, self.is_packed, self.mono, self.sources = builder, is_packed, mono, sources
        self.kind, scale = KINDS[kind]
        self.share = scale / 2 if is_packed or len(sources) > 1 else scale

    def row(self, i: Any, _: Sequence[Any]) -> list[Any]:
        """LANES samples, the `i`-th so many."""
        b, first = self.builder, self.builder.mul(i, I64(LANES))
        wide = ir.VectorType(self.kind, 2 * LANES if self.is_packed else LANES)
        at = b.mul(first, I64(2)) if self.is_packed else first
        rows = [b.load(b.bitcast(self._place(source, at), wide.as_pointer()), align=1) for source in self.sources]
        if self.is_packed:
            nothing, both = ir.Constant(wide, ir.Undefined), rows[0]
            masks = ([2 * lane + side for lane in range(LANES)] for side in (0, 1))
            lanes = ir.VectorType(I32, LANES)
            rows = [b.shuffle_vector(both, nothing, ir.Constant(lanes, mask)) for mask in masks]
        place = b.bitcast(b.gep(self.mono, [first]), FLOATS.as_pointer())
        b.store(self._sum(rows, FLOATS, constant(FLOATS, self.share)), place, align=4)
        return []

    def sample(self, k: Any) -> list[Any]:
        """The `k`-th sample."""
        b = self.builder
        at = [b.add(b.mul(k, I64(2)), I64(side)) for side in (0, 1)] if self.is_packed else [k]
        values = [b.load(self._place(source, place), align=1) for source in self.sources for place in at]
        b.store(self._sum(values, FLOAT, ir.Constant(FLOAT, self.share)), b.gep(self.mono, [k]))
        return []

    def _place(self, source: Any, index: Any) -> Any:
        return self.builder.gep(self.builder.inttoptr(source, self.kind.as_pointer()), [index])

    def _sum(self, values: Sequence[Any], floats: Any, share: Any) -> Any:
        b = self.builder
        parts = [b.fmul(value if self.kind is FLOAT else b.sitofp(value, floats), share) for value in values]
        return b.fadd(*parts) if len(parts) > 1 else parts[0]


def _add_decimate(made: ir.Module) -> None:
    """`void decimate(...)`: each sample of the output is a sum of samples, times the values of a row of `taps`.

    Parameters, in this order:
        pcm: output, `int16[n_groups * LANES]`.
        samples: `float[n]`, with as many as the last sum takes.
        taps: `float[n_phases][n_taps]`.
        n_groups, n_taps: `int64`; `n_taps` is a multiple of LANES.
        phase, n_phases: `int64`; row of the first sum, which begins at the first sample.
        whole, rest: `int64`; samples and rows from one sum to the next; `rest` is less than `n_phases`.
    """
    kinds = [I16.as_pointer(), FLOAT.as_pointer(), FLOAT.as_pointer(), *[I64] * 6]
    function = ir.Function(made, ir.FunctionType(ir.VoidType(), kinds), "decimate")
    pcm, samples, taps, n_groups, n_taps, phase, n_phases, whole, rest = function.args
    b = ir.IRBuilder(function.append_basic_block())

    def next_place(place: Any, row: Any) -> tuple[Any, Any]:
        place, row = b.add(place, whole), b.add(row, rest)
        left = b.sub(row, n_phases)
        is_past = b.icmp_signed(">=", left, I64(0))
        return b.select(is_past, b.add(place, I64(1)), place), b.select(is_past, left, row)

    def group(i: Any, values: Sequence[Any]) -> list[Any]:
        place, row = values
        sums: list[Any] = []
        for _ in range(LANES // _TOGETHER):
            pointers = []
            for _ in range(_TOGETHER):
                pointers.append((b.gep(samples, [place]), b.gep(taps, [b.mul(row, n_taps)])))
                place, row = next_place(place, row)
            sums += _sums(b, n_taps, pointers)
        _store(b, sums, b.gep(pcm, [b.mul(i, I64(LANES))]))
        return [place, row]

    loop(b, n_groups, [I64(0), phase], group)
    b.ret_void()


def _sums(b: ir.IRBuilder, n_taps: Any, pointers: Sequence[tuple[Any, Any]]) -> list[Any]:
    """Rows of eight sums, for each pair of pointers to samples and taps."""

    def products(k: Any, sums: Sequence[Any]) -> list[Any]:
        at = b.mul(k, I64(LANES))
        rows = [b.fmul(_row(b, x, at), _row(b, h, at)) for x, h in pointers]
        return [b.fadd(total, row) for total, row in zip(sums, rows, strict=True)]

    return loop(b, b.ashr(n_taps, I64(LANES.bit_length() - 1)), [constant(FLOATS, 0.0)] * len(pointers), products)


def _add_decimate_by_4(made: ir.Module) -> None:
    """`void decimate_by_4(...)`: the same sums in the same order as `decimate` makes with one row of taps and 4 samples
    from one to the next, as from 44,100 to 11,025 Hz.

    The samples of a sum, eight by eight, are those of the sum after next, eight later: so each is loaded once for four
    sums.

    Parameters, in this order: `pcm`, `samples`, `taps`, `n_groups` and `n_taps` of `decimate`."""
    kinds = [I16.as_pointer(), FLOAT.as_pointer(), FLOAT.as_pointer(), I64, I64]
    function = ir.Function(made, ir.FunctionType(ir.VoidType(), kinds), "decimate_by_4")
    pcm, samples, taps, n_groups, n_taps = function.args
    b = ir.IRBuilder(function.append_basic_block())
    n_sums, n_kept = LANES, LANES // 2 - 1

    def group(i: Any, _: Sequence[Any]) -> list[Any]:
        first = b.gep(samples, [b.mul(i, I64(4 * LANES))])
        streams = [first, b.gep(first, [I64(4)])]
        kept = [_row(b, stream, I64(LANES * k)) for stream in streams for k in range(n_kept)]

        def products(k: Any, values: Sequence[Any]) -> list[Any]:
            sums, even, odd = values[:n_sums], values[n_sums : n_sums + n_kept], values[n_sums + n_kept :]
            at = b.mul(k, I64(LANES))
            tap, last = _row(b, taps, at), b.add(at, I64(LANES * n_kept))
            even, odd = ([*rows, _row(b, stream, last)] for rows, stream in zip((even, odd), streams, strict=True))
            rows = [row for pair in zip(even, odd, strict=True) for row in pair]
            new = [b.fadd(total, b.fmul(row, tap)) for total, row in zip(sums, rows, strict=True)]
            return [*new, *even[1:], *odd[1:]]

        n_rows = b.ashr(n_taps, I64(LANES.bit_length() - 1))
        sums = loop(b, n_rows, [*[constant(FLOATS, 0.0)] * n_sums, *kept], products)[:n_sums]
        _store(b, sums, b.gep(pcm, [b.mul(i, I64(LANES))]))
        return []

    loop(b, n_groups, [], group)
    b.ret_void()


def _store(b: ir.IRBuilder, sums: Sequence[Any], place: Any) -> None:
    """Adds up each of the rows, and stores what comes out."""
    sums = transposed(b, sums)
    while len(sums) > 1:
        sums = [b.fadd(x, y) for x, y in zip(sums[0::2], sums[1::2], strict=True)]
    b.store(_rounded(b, sums[0]), b.bitcast(place, ir.VectorType(I16, LANES).as_pointer()), align=2)


def _row(builder: ir.IRBuilder, pointer: Any, at: Any) -> Any:
    return builder.load(builder.bitcast(builder.gep(pointer, [at]), FLOATS.as_pointer()), align=4)


def _rounded(builder: ir.IRBuilder, values: Any) -> Any:
    """To the nearest of 16 bits, halves to even; what is no number is the lowest."""
    low, high, rounding = (constant(FLOATS, bound) for bound in (-32768.0, 32767.0, _ROUNDING))
    values = builder.select(builder.fcmp_ordered(">", values, low), values, low)
    values = builder.select(builder.fcmp_ordered("<", values, high), values, high)
    values = builder.fsub(builder.fadd(values, rounding), rounding)
    return builder.trunc(builder.fptosi(values, ir.VectorType(I32, LANES)), ir.VectorType(I16, LANES))
