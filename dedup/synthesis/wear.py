"""What happens to a recording that stays the same recording: equalising, compressing, noise, other encodings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from dedup.synthesis.encode import Encoding
from dedup.synthesis.music import SAMPLE_RATE, Pcm

_Gains = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Wear:
    """One way to another copy."""

    change: Callable[[Pcm, np.random.Generator], Pcm]
    """Makes other samples of float32[n_samples, 2]."""
    encoding: Encoding


def equalised(sound: Pcm, gain_db: _Gains) -> Pcm:
    """The sound with `gain_db(Hz)` at each frequency."""
    n = len(sound)
    hz = np.asarray(np.fft.rfftfreq(n, 1 / SAMPLE_RATE), np.float64)
    spectrum = np.fft.rfft(sound, axis=0) * 10 ** (gain_db(hz) / 20)[:, None]
    return np.fft.irfft(spectrum, n, axis=0).astype(np.float32)


def compressed(sound: Pcm, threshold_db: float, ratio: float) -> Pcm:
    """What is above `threshold_db` dB below the peak grows by 1 dB in `ratio`; attack 5 ms, release 100 ms."""
    hop = SAMPLE_RATE // 200
    n = -(-len(sound) // hop)
    blocks = np.zeros((n * hop, 2))
    blocks[: len(sound)] = sound
    level = np.abs(blocks).reshape(n, -1).max(axis=1)
    top = max(float(level.max()), 1e-9)
    held = 0.0
    envelope = np.empty(n)
    for i in range(n):
        held = max(level[i], held * np.exp(-0.05))
        envelope[i] = held
    over_db = np.maximum(20 * np.log10(np.maximum(envelope / top, 1e-9)) + threshold_db, 0)
    gain = 10 ** (-over_db * (1 - 1 / ratio) / 20)
    smooth = np.interp(np.arange(len(sound)), np.arange(n) * hop + hop / 2, gain)
    return normal((sound * smooth[:, None]).astype(np.float32))


def normal(sound: Pcm) -> Pcm:
    """The sound with its peak at 0.9."""
    return sound * np.float32(0.9 / max(float(np.abs(sound).max()), 1e-9))


def noisy(sound: Pcm, snr_db: float, rng: np.random.Generator) -> Pcm:
    """The sound with white noise `snr_db` dB below its RMS."""
    rms = float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
    return sound + (rng.standard_normal(sound.shape) * rms * 10 ** (-snr_db / 20)).astype(np.float32)


def crackling(sound: Pcm, snr_db: float, rng: np.random.Generator) -> Pcm:
    """The sound with about 30 clicks a second, `snr_db` dB below its RMS on the whole."""
    n_clicks = 30 * len(sound) // SAMPLE_RATE
    clicks = np.zeros(len(sound))
    np.add.at(clicks, rng.integers(len(sound), size=n_clicks), rng.standard_t(3, n_clicks))
    clicks = np.convolve(clicks, np.exp(-np.arange(40) / 8) * np.cos(np.arange(40)))[: len(sound)]
    rms = float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
    clicks *= rms * 10 ** (-snr_db / 20) / np.sqrt(np.mean(clicks**2))
    return sound + clicks.astype(np.float32)[:, None]


def _mono(sound: Pcm) -> Pcm:
    return np.repeat(sound.mean(axis=1, keepdims=True, dtype=np.float32), 2, axis=1)


def _bass(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 8 / (1 + (hz / 250) ** 2)


def _radio(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """High-pass at 250 Hz, treble down."""
    return -10 * np.log10(1 + (250 / np.maximum(hz, 1)) ** 4) - 6 / (1 + (3000 / np.maximum(hz, 1)) ** 2)


def _shifted(sound: Pcm, rng: np.random.Generator) -> Pcm:
    """Without a piece at the start, up to 2 s long, or with silence in front."""
    n = int(rng.integers(2 * SAMPLE_RATE))
    return sound[n:] if rng.random() < 0.5 else np.concatenate([np.zeros((n, 2), np.float32), sound])


_FLAC = Encoding("flac")

WEAR: Mapping[str, Wear] = MappingProxyType(
    {
        "opus 48k": Wear(lambda x, _: x, Encoding("opus", 48_000)),
        "mp3 64k": Wear(lambda x, _: x, Encoding("mp3", 64_000)),
        "aac 64k": Wear(lambda x, _: x, Encoding("aac", 64_000)),
        "vorbis 96k": Wear(lambda x, _: x, Encoding("vorbis", 96_000)),
        "22 kHz mp3 64k": Wear(lambda x, _: x, Encoding("mp3", 64_000, 22_050)),
        "bass": Wear(lambda x, _: normal(equalised(x, _bass)), Encoding("mp3", 96_000)),
        "compressed": Wear(lambda x, _: compressed(equalised(x, _bass), 24, 4), Encoding("mp3", 96_000)),
        "squashed": Wear(lambda x, _: compressed(x, 30, 8), _FLAC),
        "radio": Wear(lambda x, _: normal(_mono(equalised(x, _radio))), Encoding("mp3", 64_000, 22_050, mono=True)),
        "clipped": Wear(lambda x, _: np.clip(normal(x) * np.float32(2.5), -1, 1), _FLAC),
        "quiet": Wear(lambda x, _: x * np.float32(0.1), Encoding("mp3", 128_000)),
        "noise 25 dB": Wear(lambda x, rng: noisy(x, 25, rng), _FLAC),
        "noise 20 dB": Wear(lambda x, rng: noisy(x, 20, rng), Encoding("mp3", 128_000)),
        "noise 15 dB": Wear(lambda x, rng: noisy(x, 15, rng), _FLAC),
        "crackle 20 dB": Wear(lambda x, rng: crackling(x, 20, rng), _FLAC),
        "crackle 15 dB": Wear(lambda x, rng: crackling(x, 15, rng), Encoding("mp3", 128_000)),
        "shifted": Wear(_shifted, Encoding("opus", 64_000)),
    }
)
"""The ways that must stay copies, by name."""


def worn(sound: Pcm, name: str, seed: int) -> Pcm:
    """The samples of one of `WEAR` before they are encoded; equal arguments give equal samples."""
    return WEAR[name].change(sound, np.random.default_rng([seed, *name.encode()]))
