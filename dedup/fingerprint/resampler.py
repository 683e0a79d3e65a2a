"""From a decoder's frames to mono s16 PCM at a lower rate.

`Decimator` does it in machine code, for one or two channels at most rates; `FilterGraph` does it by FFmpeg's filters,
for everything else. Both filter alike: of the samples of music one in a thousand differs, by one."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from ctypes import c_void_p, cast
from typing import Any

import numpy as np
import numpy.typing as npt

Taps = npt.NDArray[np.float32]

FILTER_SIZE, CUTOFF, MAX_PHASES = 16, 0.8, 256
"""The filter of `fpcalc`, so that the items equal its items: its length before it is stretched to the lower rate, where
it cuts off, and how many rows of taps it may have. With FFmpeg's default filter 99.99 % of the bits do; this shorter
one is also faster."""

KAISER_BETA = 9.0
"""Shape of its window (libswresample's default)."""

GRAPH_OPTIONS = {
    "filter_size": str(FILTER_SIZE),
    "phase_shift": str(MAX_PHASES.bit_length() - 1),
    "linear_interp": "1",
    "cutoff": str(CUTOFF),
}
"""Options of FFmpeg's `aresample` for that filter."""

HALF_DIFFERENCE = "mono|c0=0.5*c0-0.5*c1"
"""Argument of FFmpeg's `pan`: what does not cancel if a channel is inverted."""

PIECE_SAMPLES = 4096
"""Resampled samples in each piece of PCM that FFmpeg's filters give, except the last."""

ROOM = 80 << 10
"""Samples of the source that there is room for at first."""

PUSHED_SAMPLES = 1 << 16
"""Samples of the source that FFmpeg's filters get before they are asked for what they made."""

_LANES = 8
"""Samples that are made at a time (`transform.LANES`)."""

_KINDS = {"s16": "i16", "s32": "i32", "flt": "float"}
"""FFmpeg's names of kinds of samples, and those of `decimation.KINDS`."""

_LAYOUTS = frozenset({"mono", "stereo", "1 channels", "2 channels"})
"""FFmpeg's names of what is mixed here. The last two leave open which channels they are, and FFmpeg takes them for the
first two."""


class Resampler(ABC):
    """Takes frames of one format and hands on mono s16 PCM."""

    def __init__(self, like: Any, hand_on: Callable[[bytes], None]) -> None:
        self._rate, self._format, self._layout = like.sample_rate, like.format.name, like.layout
        self._hand_on = hand_on

    def fits(self, frame: Any) -> bool:
        """Whether this was made for such frames; FFmpeg's filters accept others, and resample wrongly."""
        is_like = frame.sample_rate == self._rate and frame.format.name == self._format
        return is_like and bool(frame.layout == self._layout)

    @abstractmethod
    def end(self) -> None:
        """Hands on the rest."""


def resampler_for(
    like: Any, sample_rate: int, hand_on: Callable[[bytes], None], difference: bool = False
) -> Decimator | FilterGraph:
    """For frames in the format of `like`; `hand_on` gets PCM at `sample_rate` Hz of the mix of all channels, with
    `difference` of half the difference of the first two. Raises FFmpegError if FFmpeg cannot resample them."""
    if not (difference and like.layout.nb_channels > 1) and _fits(like, sample_rate):
        return Decimator(like, sample_rate, hand_on)
    return FilterGraph(like, sample_rate, hand_on, difference)


def _fits(like: Any, sample_rate: int) -> bool:
    is_known = like.layout.name in _LAYOUTS and like.format.name.removesuffix("p") in _KINDS
    n_phases = sample_rate // math.gcd(like.sample_rate, sample_rate)
    return is_known and like.sample_rate > sample_rate and n_phases <= MAX_PHASES


@functools.lru_cache(maxsize=4)
def filter_taps(source_rate: int, sample_rate: int) -> Taps:
    """float32[n_phases, n_taps]: the low-pass filter from one rate to a lower one, a row of taps for each place that a
    sample can have between two of the source. The tap at `n_taps // 2 - 1` is at the place itself or before it.

    It is libswresample's (`build_filter` in libswresample/resample.c of FFmpeg 8.1): a sinc in Kaiser's window."""
    n_phases = sample_rate // math.gcd(source_rate, sample_rate)
    factor = sample_rate * CUTOFF / source_rate
    n_taps = math.ceil(FILTER_SIZE / factor)
    n_taps += n_taps % 2
    center = n_taps // 2 - 1
    places = (np.arange(n_taps) - center)[None, :] - np.arange(n_phases)[:, None] / n_phases
    x = math.pi * places * factor
    taps = np.array([math.sin(each) / each if each else 1.0 for each in x.ravel()]).reshape(x.shape)
    w = 2 * x / (factor * n_taps * math.pi)
    taps *= _bessel_i0(KAISER_BETA * np.sqrt(np.maximum(1 - w * w, 0)))
    rows: Taps = (taps / taps[0].sum()).astype(np.float32)
    return rows


def _bessel_i0(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The modified Bessel function of the first kind, by its series: the same bits everywhere."""
    total = term = np.ones_like(x)
    for k in range(1, 40):
        term = term * (x / (2 * k)) ** 2
        total = total + term
    return total


class Decimator(Resampler):
    """Mixes and filters in machine code. How the sound is divided into frames has no influence on any bit.

    Before the first sample of the source it hears what follows it, backwards, and after the last what precedes it, as
    libswresample does. Every sample of the PCM that lies before the end of the source is there."""

    def __init__(self, like: Any, sample_rate: int, hand_on: Callable[[bytes], None]) -> None:
        """`like` has one or two channels of s16, s32 or flt and a rate above `sample_rate`."""
        from dedup.fingerprint import machine_code

        super().__init__(like, hand_on)
        taps = filter_taps(self._rate, sample_rate)
        self._n_phases, self._n_taps = taps.shape
        self._step = self._rate // math.gcd(self._rate, sample_rate)
        self._taps = np.zeros((self._n_phases, -(-self._n_taps // _LANES) * _LANES), np.float32)
        self._taps[:, : self._n_taps] = taps
        self._taps_at = self._taps.ctypes.data
        layout = "mono" if like.layout.nb_channels == 1 else "planar" if like.format.is_planar else "packed"
        functions: dict[str, Any] = dict(machine_code.functions())
        self._decimate, self._decimate_by_4 = functions["decimate"], functions["decimate_by_4"]
        self.mixing = cast(functions[f"mix_{_KINDS[self._format.removesuffix('p')]}_{layout}"], c_void_p).value or 0
        """Address of the function that mixes such frames (`decimation.mix_name`)."""
        self._n_before = self._n_taps // 2 - 1
        self._samples = np.zeros(ROOM, np.float32)
        self._samples_at: int = self._samples.ctypes.data
        self._pcm = np.empty(0, np.int16)
        self._n_samples: int = self._n_before
        """Samples that are there, those before the first one included."""
        self._is_begun = False
        self._phase = 0
        """Row of taps for the next sample of the PCM, which begins at the first sample that is there."""
        self._n_taken = self._n_made = 0

    def mixed(self, n: int) -> None:
        """Goes on with `n` samples that were mixed to the room for them."""
        self._n_samples += n
        self._n_taken += n
        if not self._is_begun and self._n_samples > 2 * self._n_before:
            self._begin()
        if self._is_begun:
            self._make(self._n_complete() // _LANES * _LANES)

    def room_for(self, n: int) -> tuple[int, int]:
        """Where mixed samples go: the address, and how many there is room for, which are `n` or more."""
        self._make_room(n)
        return self._samples_at + 4 * self._n_samples, len(self._samples) - self._n_samples - _LANES

    def end(self) -> None:
        if not self._n_taken:
            return
        if not self._is_begun:
            self._begin()
        n_left = -(-self._n_taken * self._n_phases // self._step) - self._n_made
        n_after = min(self._n_taps // 2, self._n_taken)
        end = self._n_samples
        self._make_room(self._taps.shape[1] + (_LANES + 1) * (1 + self._step // self._n_phases))
        self._samples[end : end + n_after] = self._samples[end - n_after : end][::-1]
        self._samples[end + n_after :] = 0
        self._make(n_left)

    def _make_room(self, n_new: int) -> None:
        """Makes room for new samples, and for as many as a row of taps exceeds the filter by."""
        n = self._n_samples + n_new + _LANES
        if n > len(self._samples):
            larger = np.zeros(n + n // 2, np.float32)
            larger[: self._n_samples] = self._samples[: self._n_samples]
            self._samples, self._samples_at = larger, larger.ctypes.data

    def _begin(self) -> None:
        """Hears the first samples backwards before the first one."""
        n = min(self._n_before, self._n_taken - 1)
        first = self._n_before
        self._samples[first - n : first] = self._samples[first + 1 : first + 1 + n][::-1]
        self._is_begun = True

    def _n_complete(self) -> int:
        """Samples of the PCM for which there is enough."""
        n_places = self._n_samples - self._taps.shape[1] + 1
        n_complete: int = -(-(n_places * self._n_phases - self._phase) // self._step)
        return max(0, n_complete)

    def _make(self, n: int) -> None:
        """Hands on the next `n` samples of the PCM, and lets go of what is behind them."""
        if n <= 0:
            return
        n_groups = -(-n // _LANES)
        if n_groups * _LANES > len(self._pcm):
            self._pcm = np.empty(n_groups * _LANES, np.int16)
        arrays = (self._pcm.ctypes.data, self._samples_at, self._taps_at)
        sizes = (n_groups, self._taps.shape[1])
        if (self._step, self._n_phases) == (4, 1):
            self._decimate_by_4(*arrays, *sizes)
        else:
            self._decimate(*arrays, *sizes, self._phase, self._n_phases, *divmod(self._step, self._n_phases))
        n_past, self._phase = divmod(self._phase + n * self._step, self._n_phases)
        n_kept = max(0, self._n_samples - n_past)
        self._samples[:n_kept] = self._samples[n_past : n_past + n_kept].copy()
        self._n_samples = n_kept
        self._n_made += n
        self._hand_on(self._pcm[:n].tobytes())


class FilterGraph(Resampler):
    """Mixes and resamples by FFmpeg's filters."""

    def __init__(self, like: Any, sample_rate: int, hand_on: Callable[[bytes], None], difference: bool) -> None:
        from av.filter import Graph

        super().__init__(like, hand_on)
        graph = self._graph = Graph()
        source = graph.add(
            "abuffer",
            sample_rate=str(self._rate),
            sample_fmt=self._format,
            channel_layout=self._layout.name,
            time_base=f"1/{self._rate}",
        )
        filters = [graph.add("pan", HALF_DIFFERENCE)] if difference and self._layout.nb_channels > 1 else []
        filters += [
            graph.add("aresample", **GRAPH_OPTIONS),
            graph.add("aformat", sample_fmts="s16", sample_rates=str(sample_rate), channel_layouts="mono"),
        ]
        sink = graph.add("abuffersink")
        graph.link_nodes(source, *filters, sink).configure()
        graph.set_audio_frame_size(PIECE_SAMPLES)  # otherwise one piece per frame
        self._n_pushed = 0
        self._push: Callable[[Any], None] = source.push
        self._pull: Callable[[], Any] = sink.pull

    def push(self, frame: Any) -> None:
        """Takes a frame."""
        frame.pts = None  # in damaged files it can be anything, and gaps must not be filled
        self._push(frame)
        self._n_pushed += frame.samples
        if self._n_pushed >= PUSHED_SAMPLES:
            self._n_pushed = 0
            self._pull_all()

    def end(self) -> None:
        self._push(None)
        self._pull_all()

    def _pull_all(self) -> None:
        """Hands on what was pushed, except what the filter holds back."""
        import av

        pieces = []
        try:
            while True:
                pieces.append(self._pull())
        except (av.error.BlockingIOError, av.error.EOFError):
            pass
        for piece in pieces:
            self._hand_on(bytes(memoryview(piece.planes[0])[: 2 * piece.samples]))
