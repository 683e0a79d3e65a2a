from __future__ import annotations

import hashlib
import os
from pathlib import Path

import av
import numpy as np
import pytest

from dedup.cleanup.gain import album_loudness, loudness, replaygain_fields
from dedup.fingerprint.acoustid_text import ACOUSTID_ITEMS, acoustid_text
from dedup.fingerprint.chromaprint import Fingerprinter
from dedup.library.loudness import SILENCE_LUFS, Loudness
from dedup.settings import FingerprintSettings
from dedup.tags.write import TagsError
from tests.audio_files import write_tone
from tests.chromaprint_twin import decompressed

GOLDEN = "7f7e3d9733d76b61"
"""Of the text that libchromaprint 1.5.1 gives."""


def _write(path: Path, samples: np.ndarray, rate: int = 48000) -> bytes:
    """Floats of shape (samples, 2), as they are."""
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_f32le", rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(samples.astype("<f4").reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate, frame.pts = rate, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return os.fsencode(path)


def _sine(seconds: float, decibels: float, rate: int = 48000) -> np.ndarray:
    """1 kHz on both channels, its peak `decibels` below full scale."""
    wave = 10 ** (decibels / 20) * np.sin(2 * np.pi * 1000 * np.arange(int(seconds * rate)) / rate)
    return np.repeat(wave[:, np.newaxis], 2, axis=1)


@pytest.mark.parametrize("decibels", [-6.0, -23.0, -33.0])
def test_the_sine_of_ebu_tech_3341_has_its_level(tmp_path: Path, decibels: float) -> None:
    found = loudness(_write(tmp_path / "sine.wav", _sine(4, decibels)))
    assert found.integrated_lufs == pytest.approx(decibels, abs=0.1)
    assert found.peak == pytest.approx(10 ** (decibels / 20), abs=0.002)


def test_the_true_peak_lies_between_the_samples(tmp_path: Path) -> None:
    phase = 2 * np.pi * 12000 * np.arange(48000) / 48000 + np.pi / 4
    samples = np.sin(phase) * np.hanning(48000)  # what begins at once would ring
    found = loudness(_write(tmp_path / "sine.wav", np.repeat(samples[:, np.newaxis], 2, axis=1)))
    assert np.abs(samples).max() < 0.71
    assert found.peak == pytest.approx(1.0, abs=0.01)


def test_floats_beyond_full_scale_are_measured_as_they_are(tmp_path: Path) -> None:
    found = loudness(_write(tmp_path / "sine.wav", _sine(2, 6.0)))
    assert found == Loudness(pytest.approx(6.0, abs=0.1), pytest.approx(1.995, abs=0.005))


def test_silence_has_no_gain(tmp_path: Path) -> None:
    for samples in (np.zeros((96000, 2)), _sine(0.2, -10)):
        found = loudness(_write(tmp_path / "silence.wav", samples))
        assert found.integrated_lufs == SILENCE_LUFS
        assert replaygain_fields(found) == {}
        assert replaygain_fields(found, found, is_opus=True) == {}


def test_the_loudness_hardly_depends_on_the_format(tmp_path: Path) -> None:
    expected = loudness(os.fsencode(write_tone(tmp_path / "tone.flac", 1.5)))
    for codec in ("mp3", "opus", "m4a", "wv"):
        found = loudness(os.fsencode(write_tone(tmp_path / f"tone.{codec}", 1.5)))
        assert found.integrated_lufs == pytest.approx(expected.integrated_lufs, abs=0.6)
        assert found.peak == pytest.approx(expected.peak, abs=0.05)


def test_an_album_is_one_piece_of_music(tmp_path: Path) -> None:
    loud = _write(tmp_path / "loud.wav", _sine(10, -20))
    soft = _write(tmp_path / "soft.wav", _sine(10, -26, 44100), 44100)
    silent = _write(tmp_path / "silent.wav", np.zeros((96000, 2)))
    expected = 10 * np.log10((10**-2.0 + 10**-2.6) / 2)
    assert album_loudness((loud, silent, soft)).integrated_lufs == pytest.approx(expected, abs=0.15)
    assert album_loudness((soft, loud)).peak == pytest.approx(0.1, abs=0.002)
    assert album_loudness((loud,)) == loudness(loud)


def test_fields() -> None:
    track, album = Loudness(-10.968, 0.988), Loudness(-11.5, 1.02)
    assert replaygain_fields(track) == {
        "replaygain_track_gain": ("-7.03 dB",),
        "replaygain_track_peak": ("0.988000",),
        "replaygain_reference_loudness": ("-18.00 LUFS",),
    }
    assert replaygain_fields(Loudness(-20.0, 0.5), album) == {
        "replaygain_track_gain": ("2.00 dB",),
        "replaygain_track_peak": ("0.500000",),
        "replaygain_album_gain": ("-6.50 dB",),
        "replaygain_album_peak": ("1.020000",),
        "replaygain_reference_loudness": ("-18.00 LUFS",),
    }
    assert replaygain_fields(track, album, is_opus=True) == {
        "r128_track_gain": ("-3080",),
        "r128_album_gain": ("-2944",),
    }


def test_what_cannot_be_measured_is_named(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp3"
    path.write_bytes(b"no music" * 500)
    with pytest.raises(TagsError, match=r"noise\.mp3: "):
        loudness(os.fsencode(path))
    with pytest.raises(FileNotFoundError):
        loudness(os.fsencode(tmp_path / "none.mp3"))


def test_a_fingerprint_as_acoustid_has_it() -> None:
    pcm = np.random.default_rng(1).integers(-9000, 9000, 11025 * 130, dtype=np.int16)
    whole, beginning = (_items(pcm[: 11025 * seconds]) for seconds in (130, 120))
    assert len(beginning) == ACOUSTID_ITEMS < len(whole)
    text = acoustid_text(whole, 1)
    assert acoustid_text(beginning, 1) == text
    assert decompressed(text) == (beginning.tolist(), 1)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == GOLDEN, "libchromaprint 1.5.1 gives the same text"


@pytest.mark.parametrize("items", [[], [0], [0xFFFFFFFF], [1, 1, 0x80000000], [0x80000001, 2, 0, 0]])
def test_a_fingerprint_survives_being_compressed(items: list[int]) -> None:
    text = acoustid_text(np.array(items, np.uint32), 3)
    assert decompressed(text) == (items, 3)


def _items(pcm: np.ndarray) -> np.ndarray:
    fingerprinter = Fingerprinter(FingerprintSettings())
    fingerprinter.feed(pcm.tobytes())
    return fingerprinter.finish()
