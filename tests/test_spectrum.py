"""The end of a spectrum: found where an encoder cut it off, and not where music ends by itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from dedup.correlation.correlate import correlate
from dedup.library.metadata import AudioProperties
from dedup.library.spectrum import cutoff_hz, hint
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings
from jobs import cli
from tests.stores import add_track, open_store, recording, rename

Samples = npt.NDArray[np.float64]


def noise(seconds: float, rate: int = 44100, below_hz: float | None = None, falling: bool = False) -> Samples:
    """White, or without what is above `below_hz`, or falling by 12 dB an octave from 2 kHz on."""
    samples = np.random.default_rng(7).standard_normal(int(seconds * rate))
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / rate)
    if below_hz is not None:
        spectrum[hz > below_hz] = 0
    if falling:
        spectrum /= 1 + (hz / 2000) ** 2
    shaped = np.fft.irfft(spectrum)
    return 0.2 * shaped / shaped.std()


def write(path: Path, samples: Samples, rate: int = 44100, encoder: str = "flac", bitrate: int = 0) -> bytes:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(encoder, rate=rate, layout="stereo")
        if bitrate:
            stream.codec_context.bit_rate = bitrate
        plain = (np.clip(samples, -1, 1) * 32767).astype("<i2")
        whole = av.AudioFrame.from_ndarray(np.repeat(plain, 2)[np.newaxis], format="s16", layout="stereo")
        whole.sample_rate = rate
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, "stereo", rate, context.frame_size or 0)
        for frame in [*resampler.resample(whole), *resampler.resample(None)]:
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return os.fsencode(path)


@pytest.mark.parametrize(("below_hz", "rate"), [(11_000, 44100), (16_000, 44100), (19_500, 44100), (16_000, 48000)])
def test_a_wall_is_found_where_it_stands(tmp_path: Path, below_hz: float, rate: int) -> None:
    path = write(tmp_path / "a.flac", noise(3, rate, below_hz), rate)
    assert cutoff_hz(path) == pytest.approx(below_hz, abs=150)


@pytest.mark.parametrize(("bitrate", "from_hz", "to_hz"), [(64_000, 10_500, 11_500), (128_000, 15_500, 17_500)])
def test_what_was_an_mp3_once(tmp_path: Path, bitrate: int, from_hz: float, to_hz: float) -> None:
    lossy = write(tmp_path / "a.mp3", noise(4), encoder="libmp3lame", bitrate=bitrate)
    with av.open(os.fsdecode(lossy)) as container:
        decoded = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    found = cutoff_hz(write(tmp_path / "a.flac", decoded))
    assert found is not None
    assert from_hz <= found <= to_hz


@pytest.mark.parametrize(
    "samples",
    [noise(3), noise(3, falling=True), noise(3, below_hz=4000), np.zeros(44100), noise(0.05, below_hz=16_000)],
    ids=["white", "falling by nature", "a voice", "silence", "too short"],
)
def test_nothing_is_said_where_nothing_can_be_told(tmp_path: Path, samples: Samples) -> None:
    assert cutoff_hz(write(tmp_path / "a.flac", samples)) is None


def test_the_windows_are_spread_over_the_file(tmp_path: Path) -> None:
    """An MP3 with one lossless minute is none: what is above the wall anywhere counts."""
    posing, sound = noise(20, below_hz=16_000), noise(20)
    assert cutoff_hz(write(tmp_path / "all.flac", np.tile(posing, 3))) == pytest.approx(16_000, abs=150)
    assert cutoff_hz(write(tmp_path / "part.flac", np.concatenate([posing, posing, sound]))) is None


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(b"no audio" * 100)
    assert cutoff_hz(os.fsencode(tmp_path / "a.flac")) is None
    with pytest.raises(FileNotFoundError):
        cutoff_hz(os.fsencode(tmp_path / "none.flac"))


@pytest.mark.parametrize(
    ("cutoff", "bitrate"),
    [(11_000, "64 kbit/s"), (16_000, "128 kbit/s"), (19_000, "192 kbit/s"), (20_100, "256 kbit/s or more")],
)
def test_the_hint_in_words(cutoff: float, bitrate: str) -> None:
    told = hint(AudioProperties(codec="flac", lossless=True), cutoff)
    assert told == f"spectrum ends at {cutoff / 1000:.1f} kHz, as in lossy audio at {bitrate}"
    assert hint(AudioProperties(codec="mp3"), cutoff) == hint(AudioProperties(lossless=True), None) == ""


def test_the_report_tells_it_in_every_format(tmp_path: Path) -> None:
    posing = write(tmp_path / "posing.flac", noise(3, below_hz=16_000))
    with open_store(tmp_path / "store") as store:
        for name, lossless in (("a.flac", True), ("gone.flac", True), ("c.mp3", False)):
            add_track(store, name, recording(1, 300), full=b"1" * 32, lossless=lossless)
        rename(store, b"/music/a.flac", posing)
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())

    def report(*options: str) -> str:
        done = CliRunner().invoke(cli.cli, ["report", "--store", str(tmp_path / "store"), *options])
        assert done.exit_code == 0
        return done.stdout

    told = hint(AudioProperties(lossless=True), cutoff_hz(posing))
    assert told.startswith("spectrum ends at 16.")
    assert told in " ".join(report("--spectrum").split()) and told not in report()
    for form in ("html", "csv"):
        assert told in report("--spectrum", "--format", form)  # and the file that is gone stops nothing
        assert told not in report("--format", form)
    (group,) = json.loads(report("--spectrum", "--format", "json"))
    hints = {group["reference"]: group["reference_track"]["spectrum_hint"]}
    hints |= {member["path"]: member["spectrum_hint"] for member in group["members"]}
    assert hints == {os.fsdecode(posing): told, "/music/gone.flac": "", "/music/c.mp3": ""}
    assert "spectrum_hint" not in report("--format", "json")
