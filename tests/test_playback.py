"""Windows of sound on the musical axis: exact where they join, and at the same instant in each copy."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.correlation.match import Match
from dedup.fingerprint.decode import decode
from dedup.groups.matches import TrackPair
from dedup.library.loudness import SILENCE_LUFS, Loudness
from dedup.nulltest.spectra import SAMPLE_RATE, Pcm
from dedup.playback import flac
from dedup.playback.decode import Decoding, UnplayableError
from dedup.playback.difference import difference
from dedup.playback.flac import SOUND_RATE, DamagedError, Samples
from dedup.playback.lanes import REFERENCE, Place, place_of
from dedup.playback.loudness import matching_gains
from dedup.playback.marks import Mark, marks, similarity_over_time
from dedup.playback.waveform import STEP, coarser, outline_of
from dedup.playback.windows import window, window_samples
from dedup.settings import ITEMS_PER_SECOND
from dedup.store.nulltests import Difference, NullTest, Span
from dedup.synthesis import voices
from tests.audio_files import write_samples

SECONDS = 16
RNG = np.random.default_rng(1)
MUSIC = voices.backing("drums", 3, SECONDS)
"""float32[n, 2] at 44,100 Hz."""


class Held:
    """Samples in memory, as a sound has them."""

    def __init__(self, samples: Samples) -> None:
        self.held = samples

    def samples(self, first: int, end: int) -> Samples:
        found = np.zeros((end - first, 2), np.int16)
        low, high = max(first, 0), min(end, len(self.held))
        if low < high:
            found[low - first : high - first] = self.held[low:high]
        return found


NOISE = Held(RNG.integers(-20_000, 20_000, (25 * SOUND_RATE, 2)).astype(np.int16))


def decoded(path: Path) -> Samples:
    return np.concatenate(list(Decoding(os.fsencode(path)).samples()))


def heard(path: Path) -> Pcm:
    """As the null test hears it."""
    sound = bytearray()
    decode(os.fsencode(path), SAMPLE_RATE, sound.extend)
    return np.frombuffer(sound, "<i2")


def slower(music: np.ndarray, rate: float) -> np.ndarray:
    """Music that takes longer by `rate`, by straight lines between the samples."""
    at = np.arange(int(len(music) * (1 + rate))) / (1 + rate)
    return np.stack([np.interp(at, np.arange(len(music)), channel) for channel in music.T], axis=1).astype(np.float32)


def apart_s(one: Samples, other: Samples) -> float:
    """Seconds that one is behind the other, by where they correlate best."""
    a, b = (np.abs(each[:, 0].astype(float)) for each in (one, other))
    n = 2 * len(a)
    curve = np.fft.irfft(np.fft.rfft(a - a.mean(), n) * np.conj(np.fft.rfft(b - b.mean(), n)), n)
    peak = int(np.argmax(curve))
    return (peak - n if peak > n // 2 else peak) / SOUND_RATE


# ---- windows that join ----


@pytest.mark.parametrize("place", [REFERENCE, Place(-1.23456), Place(0.7, 0.03), Place(-0.4, -0.0412371)])
def test_windows_joined_are_one_long_window(place: Place) -> None:
    long = window_samples(NOISE, place, -2.0, 24.0)
    edges = [-2.0, 1.0, 1.25, 9.75, 10.0, 19.5, 22.0]
    parts = [window_samples(NOISE, place, a, b - a) for a, b in itertools.pairwise(edges)]
    assert np.array_equal(np.concatenate(parts), long)
    assert long.any()


@given(st.integers(-60, 60), st.integers(0, 24_000), st.integers(0, 24_000), st.integers(-4000, 4000))
@settings(max_examples=20)
def test_any_two_windows_join(offset_ms: int, first: int, second: int, rate_1e5: int) -> None:
    place = Place(offset_ms / 1000, rate_1e5 / 1e5)
    a, b = first / SOUND_RATE, second / SOUND_RATE
    joined = np.concatenate([window_samples(NOISE, place, 3.0, a), window_samples(NOISE, place, 3.0 + a, b)])
    assert np.array_equal(joined, window_samples(NOISE, place, 3.0, (first + second) / SOUND_RATE))


def test_at_its_own_speed_a_window_is_a_copy() -> None:
    data = window(NOISE, Place(1.5), 0.5, 3.0)
    assert np.array_equal(flac.decode(data), NOISE.held[2 * SOUND_RATE : 5 * SOUND_RATE])


def test_a_window_is_silent_where_the_sound_has_nothing() -> None:
    samples = window_samples(NOISE, REFERENCE, -1.0, 27.0)
    assert len(samples) == 27 * SOUND_RATE
    assert not samples[:SOUND_RATE].any() and not samples[26 * SOUND_RATE :].any()
    assert samples[SOUND_RATE : 26 * SOUND_RATE].any(axis=1).mean() > 0.99


@pytest.mark.parametrize(
    ("place", "start_s", "length_s", "gain_db"),
    [
        (REFERENCE, 0.0, -1.0, 0.0),
        (REFERENCE, 0.0, 61.0, 0.0),
        (REFERENCE, 0.0, float("nan"), 0.0),
        (REFERENCE, float("inf"), 1.0, 0.0),
        (REFERENCE, -1e7, 1.0, 0.0),
        (REFERENCE, 0.0, 1.0, float("nan")),
        (Place(0.0, -1.0), 0.0, 1.0, 0.0),
        (Place(float("nan"), 0.0), 0.0, 1.0, 0.0),
    ],
)
def test_numbers_out_of_range_are_refused(place: Place, start_s: float, length_s: float, gain_db: float) -> None:
    with pytest.raises(ValueError, match=r"0 to 60 s|no sound is played|a gain is"):
        window(NOISE, place, start_s, length_s, gain_db)


@pytest.mark.parametrize("rate", [0.03, -0.05])
def test_another_speed_is_the_same_tone_higher_or_lower(rate: float) -> None:
    time = np.arange(12 * SOUND_RATE) / SOUND_RATE
    tone = np.rint(12_000 * np.sin(2 * np.pi * 3000 * time)).astype(np.int16)
    found = window_samples(Held(np.repeat(tone[:, None], 2, axis=1)), Place(0.5, rate), 1.0, 8.0)
    expected = 12_000 * np.sin(2 * np.pi * 3000 * Place(0.5, rate).in_file(1 + np.arange(len(found)) / SOUND_RATE))
    assert np.sqrt(np.mean((found[:, 1] - expected) ** 2)) < 1.5  # of 8,485: the steps of 16 bits are 0.3


def test_what_a_higher_speed_would_fold_back_is_filtered_out() -> None:
    time = np.arange(4 * SOUND_RATE) / SOUND_RATE
    tone = np.rint(12_000 * np.sin(2 * np.pi * 23_500 * time)).astype(np.int16)
    found = window_samples(Held(np.repeat(tone[:, None], 2, axis=1)), Place(0, 0.5), 0.5, 1.0)
    assert np.abs(found).max() < 12


def test_gain_is_in_decibels_and_clips() -> None:
    loud = window_samples(NOISE, REFERENCE, 0, 1.0, gain_db=6.0206)
    assert np.array_equal(loud, np.clip(2 * NOISE.held[:SOUND_RATE].astype(int), -32768, 32767))


def test_flac_gives_back_what_it_was_given_or_an_error() -> None:
    samples = NOISE.held[:10_001]
    data = bytearray(flac.encode(samples))
    assert np.array_equal(flac.decode(bytes(data)), samples)
    assert len(flac.decode(flac.encode(samples[:0]))) == 0
    for damaged in (data[:-400], data[:50], b"", b"RIFF" + data[4:]):
        with pytest.raises(DamagedError):
            flac.decode(bytes(damaged))
    n_found = 0
    for at in range(200, len(data), len(data) // 20):
        flipped = data.copy()
        flipped[at] ^= 4
        try:
            assert np.array_equal(flac.decode(bytes(flipped)), samples)  # a bit of the padding
        except DamagedError:
            n_found += 1
    assert n_found > 10


# ---- one instant in each copy ----


FORMATS = ("mp3", "flac", "opus", "wma", "m4a", "wv", "ogg")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_samples(tmp_path_factory.mktemp("reference") / "reference.flac", MUSIC)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("front_s", "rate"), [(1.5, 0.0), (0.0, 0.03)])
def test_each_copy_plays_the_same_instant(
    name: str, front_s: float, rate: float, reference: Path, tmp_path: Path
) -> None:
    front = voices.backing("piano", 9, 2)[: round(front_s * 44_100)]
    path = write_samples(tmp_path / f"copy.{name}", np.concatenate([front, slower(MUSIC, rate) if rate else MUSIC]))
    _, details = difference(heard(path), heard(reference), Place(front_s + 0.06, rate and rate + 0.001))
    place = details.place_of_a
    assert place is not None
    assert place.offset_s == pytest.approx(front_s, abs=0.05)  # WMA begins 46 ms late
    assert place.rate == pytest.approx(rate, abs=1e-4)
    for start_s in (0.5, SECONDS - 4.5):
        both = ((path, place), (reference, REFERENCE))
        one, other = (window_samples(Held(decoded(file)), at, start_s, 4.0) for file, at in both)
        assert abs(apart_s(one, other)) < 0.001, f"{name} at {start_s} s"


def test_a_mono_file_sounds_on_both_sides_at_its_level(tmp_path: Path) -> None:
    time = np.arange(44_100) / 44_100
    tone = np.repeat(np.sin(2 * np.pi * 440 * time)[:, None] * 0.5, 2, axis=1)
    found = decoded(write_samples(tmp_path / "mono.wav", tone, layout="mono")) / 32768
    assert np.array_equal(found[:, 0], found[:, 1])
    assert np.abs(found).max() == pytest.approx(0.5, abs=0.01)


def test_a_file_may_change_its_rate_halfway(tmp_path: Path) -> None:
    first, second = tmp_path / "1.mp3", tmp_path / "2.mp3"
    write_samples(first, MUSIC[: 4 * 44_100])
    write_samples(second, MUSIC[: 4 * 44_100], rate=48_000)
    both = tmp_path / "both.mp3"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    found = decoded(both)
    assert len(found) / SOUND_RATE == pytest.approx(4 + 4 * 44.1 / 48, abs=0.3)


@pytest.mark.parametrize("data", [b"", b"no sound", b"#EXTM3U\n/etc/passwd\n"])
def test_what_is_no_sound_says_so(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(data)
    with pytest.raises(UnplayableError):
        decoded(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.mp3")
    with pytest.raises(OSError, match="not a regular file"):
        decoded(tmp_path / "x.mp3")


# ---- lanes ----


def pair(lag: int = 0, log_rate: float = 0.0, test: NullTest | None = None, **fields: Any) -> TrackPair:
    values = {"from_a": 0, "to_a": 100, "from_b": 0, "to_b": 100, **fields}
    match = Match(lag, 100, 0, 1.0, 0.5, 1.0, log_rate, 0.0, 90, *values.values(), b"\xff\x00\x80")
    return TrackPair(None, None, match, "same recording", test=test)  # type: ignore[arg-type]


def test_the_null_test_places_a_copy_and_else_the_match() -> None:
    assert place_of(pair(12)) == Place(12 / ITEMS_PER_SECOND)
    assert place_of(pair(12, test=NullTest(problem="cut short"))) == Place(12 / ITEMS_PER_SECOND)
    assert place_of(pair(12, test=NullTest(lag_s=1.5003))) == Place(1.5003)


def test_a_place_of_another_speed_comes_from_the_whole_path() -> None:
    place = place_of(pair(3, float(np.log(1.25)), from_a=10, to_a=1260, from_b=0, to_b=1000))
    assert place.rate == pytest.approx(0.25)
    assert place.in_file(0) * ITEMS_PER_SECOND == pytest.approx(10)
    assert place.in_file(1000 / ITEMS_PER_SECOND) * ITEMS_PER_SECOND == pytest.approx(1260)


@pytest.mark.parametrize("lag_s", [4.0, -4.0])
def test_a_place_swapped_leads_back(lag_s: float) -> None:
    test = NullTest(lag_s=lag_s, rate=0.02, length_a_s=300, length_b_s=300)
    there, back = place_of(pair(test=test)), place_of(pair(test=test.swapped()))
    assert there.in_file(back.in_file(100.0)) == pytest.approx(100.0, abs=0.005)
    assert there.on_axis(there.in_file(7.0)) == pytest.approx(7.0)


def test_a_drift_that_nobody_hears_is_not_resampled() -> None:
    assert place_of(pair(test=NullTest(lag_s=1.0, rate=0.00001, length_a_s=300))) == Place(1.0)


def test_marks_are_on_the_axis_of_the_second_file() -> None:
    test = NullTest(
        lag_s=2.0,
        only_a=(Span(0.0, 2.0),),
        only_b=(Span(90.0, 95.0),),
        differences=(Difference(12.0, 13.0, "both"),),
    )
    assert marks(test, Place(2.0)) == [
        Mark(-2.0, 0.0, "a", True),
        Mark(10.0, 11.0, "both", False),
        Mark(90.0, 95.0, "b", True),
    ]
    assert marks(NullTest(problem="cut short"), Place(2.0)) == []


def test_similarity_is_on_the_axis_of_the_second_file() -> None:
    curve = similarity_over_time(pair(from_a=4, to_a=64, from_b=0, to_b=60).match)
    assert curve.start_s == 0.0
    assert curve.values == [1.0, None, 0.5]
    assert curve.step_s == pytest.approx(20 / ITEMS_PER_SECOND)


# ---- loudness and outline ----


def test_all_copies_come_to_one_loudness_without_clipping() -> None:
    loud, soft, spiky = Loudness(-8.0, 1.0), Loudness(-24.0, 0.3), Loudness(-22.0, 0.9)
    assert matching_gains([loud, soft]) == [-10.0, 6.0]
    gains = matching_gains([loud, soft, spiky, None, Loudness(SILENCE_LUFS, 0.0)])
    assert gains[3:] == [0.0, 0.0]
    levels = [each.integrated_lufs + gain for each, gain in zip((loud, soft, spiky), gains, strict=False)]
    assert max(levels) - min(levels) < 0.011
    assert spiky.peak * 10 ** (gains[2] / 20) <= 1.001
    assert levels[0] < -18.0


def test_an_outline_holds_the_lowest_and_the_highest() -> None:
    samples = np.zeros((STEP + 10, 2), np.int16)
    samples[3, 0], samples[9, 1], samples[STEP + 2, 1] = -32768, 32767, 1
    assert outline_of(samples).tolist() == [[-128, 127], [0, 1]]
    n_each, drawn = coarser(np.array([[-1, 2], [-7, 1], [0, 9]], np.int8), 2)
    assert (n_each, drawn.tolist()) == (2, [[-7, 2], [0, 9]])


def test_wma_is_really_wma(tmp_path: Path) -> None:
    path = write_samples(tmp_path / "x.wma", MUSIC[:44_100])
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == "wmav2"
