"""Loudness as EBU R128 has it, and the true peak, both as FFmpeg's `ebur128` measures them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

SILENCE_LUFS = -70.0
"""EBU R128's absolute gate: audio that is never louder, or shorter than 0.4 s, has no loudness."""


@dataclass(frozen=True)
class Loudness:
    """Loudness and peak of a track, or of an album played in one piece."""

    integrated_lufs: float
    """Integrated loudness, to 0.001; `SILENCE_LUFS` if there is none."""
    peak: float
    """True peak, between samples too, to 0.001; 1 is full scale, and it may be more."""


class Meter:
    """FFmpeg's filter, fed frame by frame. Its result is in the metadata of the frames that come out."""

    def __init__(self) -> None:
        self.n_frames = 0
        self._result: dict[str, str] = {}
        self._graph: Any = None
        self._resampler: Any = None
        self._input: tuple[str, str, int] | None = None
        """Sample format, layout and rate that the resampler takes; a track may change them halfway."""
        self._output: tuple[str, int] = ("", 0)
        """Layout and rate of the first frame, and of everything that the filter gets."""
        self._n_samples = 0

    def feed(self, frame: AudioFrame) -> None:
        import av

        found = frame.format.name, frame.layout.name, frame.sample_rate
        if self._graph is None:
            self._begin(found[1], found[2])
        if found != self._input:
            self._flush()
            layout, rate = self._output
            self._input, self._resampler = found, av.AudioResampler(format="dbl", layout=layout, rate=rate)
        self._push(self._resampler.resample(frame))
        self.n_frames += 1

    def finish(self) -> Loudness:
        if self._graph is not None:
            self._flush()
            self._graph.push(None)
            self._drain()
        integrated = float(self._result.get("lavfi.r128.I", "nan"))
        peak = float(self._result.get("lavfi.r128.true_peak", "nan"))
        is_silent = not math.isfinite(integrated) or integrated <= SILENCE_LUFS
        return Loudness(SILENCE_LUFS if is_silent else integrated, peak if math.isfinite(peak) else 0.0)

    def _begin(self, layout: str, rate: int) -> None:
        """Builds the filter, for doubles: samples that are floats may be beyond full scale, and stay so."""
        from av.filter import Graph

        self._output = layout, rate
        self._graph = Graph()
        source = self._graph.add_abuffer(format="dbl", layout=layout, sample_rate=rate, time_base=Fraction(1, rate))
        filtered = self._graph.add("ebur128", "metadata=1:peak=true:framelog=quiet")
        sink = self._graph.add("abuffersink")
        source.link_to(filtered)
        filtered.link_to(sink)
        self._graph.configure()

    def _flush(self) -> None:
        if self._resampler is not None:
            self._push(self._resampler.resample(None))

    def _push(self, frames: list[AudioFrame]) -> None:
        for frame in frames:
            frame.pts = self._n_samples
            frame.time_base = Fraction(1, self._output[1])
            self._n_samples += frame.samples
            self._graph.push(frame)
            self._drain()

    def _drain(self) -> None:
        import av

        while True:
            try:
                self._result = self._graph.pull().metadata or self._result
            except (av.error.BlockingIOError, av.error.EOFError):
                return
