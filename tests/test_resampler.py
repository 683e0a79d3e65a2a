"""The resampler: the sums that it should make, to the bit, and FFmpeg's filters, to a rounding."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from dedup.fingerprint import compiler, machine_code
from dedup.fingerprint.decimation import mix_name
from dedup.fingerprint.decode import decode
from dedup.fingerprint.resampler import Decimator, FilterGraph, Resampler, filter_taps, resampler_for
from dedup.synthesis.music import compose

RATE = 11_025
FULL = {"s16": 2**15, "s32": 2**31, "flt": 1.0}
TYPES = {"s16": np.int16, "s32": np.int32, "flt": np.float32}
FORMATS = [(kind + end, layout) for kind in TYPES for end in ("", "p") for layout in ("mono", "stereo")]

Samples = npt.NDArray[Any]


@pytest.fixture(scope="module")
def music() -> npt.NDArray[np.float32]:
    """3 s of music, float32[2, n]."""
    return np.ascontiguousarray(compose(3, "somebody", 3.0).T)


def samples_of(music: npt.NDArray[np.float32], form: str, layout: str) -> Samples:
    """In that format, `[n_channels, n]`."""
    kind = form.removesuffix("p")
    channels = music[: 1 if layout == "mono" else 2] * 0.9
    return channels if kind == "flt" else (channels.astype(np.float64) * (FULL[kind] - 1)).astype(TYPES[kind])


def frames_of(samples: Samples, form: str, layout: str, rate: int, cuts: Sequence[int] = ()) -> list[Any]:
    frames = []
    for piece in np.split(samples, list(cuts) or range(1152, samples.shape[1], 1152), axis=1):
        rows = np.ascontiguousarray(piece if form.endswith("p") else piece.T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(rows, form, layout)
        frame.sample_rate = rate
        frames.append(frame)
    return frames


def mix(decimator: Decimator, frame: Any) -> None:
    """As the loop over packets does it."""
    kind, end = frame.format.name.removesuffix("p"), "planar" if frame.format.is_planar else "packed"
    layout = "mono" if frame.layout.name == "mono" else end
    planes = [plane.buffer_ptr for plane in frame.planes]
    place, room = decimator.room_for(frame.samples)
    assert room >= frame.samples
    function = machine_code.functions()[mix_name({"s16": "i16", "s32": "i32", "flt": "float"}[kind], layout)]
    assert ctypes.cast(function, ctypes.c_void_p).value == decimator.mixing
    function(place, (ctypes.c_int64 * len(planes))(*planes), ctypes.byref(ctypes.c_int64(frame.samples)), 1)


def fed(resampler: Resampler, pieces: list[bytes], frames: list[Any]) -> npt.NDArray[np.int16]:
    for frame in frames:
        assert resampler.fits(frame)
        if isinstance(resampler, Decimator):
            mix(resampler, frame)
            resampler.mixed(frame.samples)
        elif isinstance(resampler, FilterGraph):
            resampler.push(frame)
    resampler.end()
    return np.frombuffer(b"".join(pieces), np.int16)


def ours(frames: list[Any]) -> npt.NDArray[np.int16]:
    pieces: list[bytes] = []
    resampler = resampler_for(frames[0], RATE, pieces.append)
    assert isinstance(resampler, Decimator)
    return fed(resampler, pieces, frames)


def ffmpegs(frames: list[Any]) -> npt.NDArray[np.int16]:
    pieces: list[bytes] = []
    return fed(FilterGraph(frames[0], RATE, pieces.append, False), pieces, frames)


def naive(samples: Samples, form: str, rate: int) -> list[int]:
    """One sum after the other: products of eight by eight, added up in eight columns, and these in pairs."""
    one = np.float32
    share = one(32768 / FULL[form.removesuffix("p")] / len(samples))
    mono = np.sum([channel.astype(np.float32) * share for channel in samples], axis=0, dtype=np.float32)
    taps = filter_taps(rate, RATE)
    n_phases, n_taps = taps.shape
    step, before, after = rate // math.gcd(rate, RATE), n_taps // 2 - 1, n_taps // 2
    heard = np.concatenate([mono[1 : before + 1][::-1], mono, mono[-after:][::-1]])
    made = []
    for k in range(-(-len(mono) * n_phases // step)):
        place, phase = divmod(k * step, n_phases)
        products = np.zeros(-(-n_taps // 8) * 8, np.float32)
        products[:n_taps] = heard[place : place + n_taps] * taps[phase]
        columns = np.zeros(8, np.float32)
        for row in products.reshape(-1, 8):
            columns += row
        while len(columns) > 1:
            columns = columns[0::2] + columns[1::2]
        made.append(round(min(max(float(columns[0]), -32768.0), 32767.0)))
    return made


@pytest.mark.parametrize("rate", [44_100, 48_000, 88_200])
def test_each_sample_is_the_sum_that_it_should_be(rate: int, music: npt.NDArray[np.float32]) -> None:
    for form, layout in FORMATS:
        samples = samples_of(music[:, 20_000:24_001], form, layout)
        assert ours(frames_of(samples, form, layout, rate)).tolist() == naive(samples, form, rate)


@pytest.mark.parametrize("rate", [12_000, 22_050, 24_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000])
def test_it_hears_what_the_filters_of_ffmpeg_hear(rate: int, music: npt.NDArray[np.float32]) -> None:
    for form, layout in (("s16", "stereo"), ("fltp", "stereo"), ("s32", "mono")):
        frames = frames_of(samples_of(music, form, layout), form, layout, rate)
        mine, theirs = ours(frames).astype(int), ffmpegs(frames).astype(int)
        assert 0 <= len(mine) - len(theirs) <= 1
        differences = np.abs(mine[: len(theirs)] - theirs)
        assert differences.max() <= 1
        assert differences.mean() < 0.005


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_how_the_sound_is_divided_changes_no_bit(rate: int, music: npt.NDArray[np.float32]) -> None:
    samples = samples_of(music, "fltp", "stereo")
    samples[0, 5_000] = np.nan
    whole = ours(frames_of(samples, "fltp", "stereo", rate, [samples.shape[1]]))
    cuts = np.sort(np.random.default_rng(4).choice(samples.shape[1], 900, replace=False))
    for some in (cuts, cuts[::9], cuts[:3]):
        assert np.array_equal(ours(frames_of(samples, "fltp", "stereo", rate, some.tolist())), whole)


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("n", [1, 2, 3, 39, 40, 41, 43, 44, 79, 80, 161])
def test_short_sounds_are_whole(n: int, rate: int) -> None:
    samples = np.full((1, n), 12_000, np.int16)
    pcm = ours(frames_of(samples, "s16", "mono", rate, [n]))
    assert len(pcm) == math.ceil(n * RATE / rate)
    assert n < 44 or np.abs(pcm - 12_000).max() <= 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, 0), (1.0, 32_767), (-1.0, -32_768), (1e30, 32_767), (np.inf, -32_768), (np.nan, -32_768)],
)
def test_what_is_louder_than_full_scale_is_cut_off(value: float, expected: int) -> None:
    """What is no number is the lowest one, as with FFmpeg; infinity is no number once it was multiplied by 0 or
    added to its opposite."""
    frames = frames_of(np.full((1, 4000), value, np.float32), "fltp", "mono", 44_100)
    assert set(ours(frames)[400:600].tolist()) == {expected}


def test_channels_that_cancel_are_silence(music: npt.NDArray[np.float32]) -> None:
    samples = samples_of(np.stack([music[0], -music[0]]), "s16p", "stereo")
    assert not ours(frames_of(samples, "s16p", "stereo", 44_100)).any()


def test_a_constant_comes_out_as_it_went_in() -> None:
    for rate in (12_000, 44_100, 48_000, 192_000):
        taps = filter_taps(rate, RATE)
        assert np.abs(taps.sum(axis=1) - 1).max() < 1e-4
        assert taps.shape[1] % 2 == 0


@pytest.mark.parametrize(
    ("form", "layout", "rate", "difference"),
    [
        ("s16", "5.1", 44_100, False),
        ("u8", "mono", 44_100, False),
        ("dblp", "stereo", 44_100, False),
        ("s16", "stereo", 44_100, True),
        ("s16", "mono", 11_025, False),
        ("s16", "mono", 8_000, False),
        ("s16", "mono", 32_000, False),
    ],
)
def test_what_it_was_not_made_for_is_left_to_ffmpeg(form: str, layout: str, rate: int, difference: bool) -> None:
    frame = av.AudioFrame(form, layout, 1152)
    frame.sample_rate = rate
    assert isinstance(resampler_for(frame, RATE, lambda _: None, difference), FilterGraph)


def test_a_frame_of_another_format_does_not_fit(music: npt.NDArray[np.float32]) -> None:
    samples = samples_of(music[:, :4000], "fltp", "stereo")
    stereo = frames_of(samples, "fltp", "stereo", 44_100)
    for other in (
        frames_of(samples[:1], "fltp", "mono", 44_100),
        frames_of(samples, "flt", "stereo", 44_100),
        frames_of(samples, "fltp", "stereo", 48_000),
    ):
        for resampler in (resampler_for(stereo[0], RATE, lambda _: None), FilterGraph(stereo[0], RATE, len, False)):
            assert [resampler.fits(frame) for frame in (*stereo[:2], other[0])] == [True, True, False]


def test_another_processor_gives_the_same_bits(music: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    """One with the oldest instructions of its family, such as no AVX."""
    rates = (44_100, 48_000)
    all_frames = [frames_of(samples_of(music, f, layout), f, layout, rate) for f, layout in FORMATS for rate in rates]
    here = [ours(frames).tobytes() for frames in all_frames]
    oldest = compiler.functions_for("generic", "")
    monkeypatch.setattr(machine_code, "functions", lambda: oldest)
    assert [ours(frames).tobytes() for frames in all_frames] == here


def test_a_file_whose_format_changes_is_heard_to_its_end(music: npt.NDArray[np.float32], tmp_path: Path) -> None:
    """Two FLAC files, one of them mono, in one: FFmpeg's decoder follows the headers of the frames."""
    content = b""
    for layout in ("stereo", "mono"):
        path = tmp_path / f"{layout}.flac"
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream("flac", rate=44_100, layout=layout)
            for frame in frames_of(samples_of(music, "s16", layout), "s16", layout, 44_100):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        data = path.read_bytes()
        content += data if not content else data[data.index(b"\xff\xf8") :]
    both = tmp_path / "both.flac"
    both.write_bytes(content)
    pieces: list[bytes] = []
    decoded = decode(bytes(both), RATE, pieces.append)
    assert decoded.duration_s == pytest.approx(2 * music.shape[1] / 44_100, abs=0.2)
