"""Backings and leads from a seed: the same music with and without a voice or an instrument, for the null test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from dedup.synthesis.music import SAMPLE_RATE, Pcm, compose

BACKINGS = ("song", "loop", "pad", "drums", "piano")
LEADS = ("sung", "spoken", "guitar", "flute", "synth")

Wave = npt.NDArray[np.float64]

_SCALE = (0, 2, 4, 5, 7, 9, 11)
_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""Hz of the first three formants of a, i, u, e and o: means of spoken American English (Peterson and Barney, 1952)."""


def backing(kind: str, seed: int, seconds: float) -> Pcm:
    """float32[n_samples, 2] at 44,100 Hz within ±0.5, of one of `BACKINGS`."""
    n_samples = round(seconds * SAMPLE_RATE)
    rng = np.random.default_rng([seed, BACKINGS.index(kind)])
    if kind == "song":
        sound = compose(seed, seed % 7, seconds).astype(np.float64)
    elif kind == "loop":
        bar = compose(seed, seed % 5, 20.0)[8 * SAMPLE_RATE : round(float(rng.uniform(9.5, 12)) * SAMPLE_RATE)]
        sound = np.tile(bar, (n_samples // len(bar) + 1, 1))[:n_samples].astype(np.float64)
    else:
        sound = {"pad": _pad, "drums": _drums, "piano": _piano}[kind](rng, n_samples)
    return np.asarray(sound * (0.5 / np.abs(sound).max()), np.float32)


def lead(kind: str, seed: int, seconds: float) -> Pcm:
    """float32[n_samples, 2] at 44,100 Hz, both channels equal, of one of `LEADS`: phrases of 2 to 6 s with pauses. The
    RMS of what is not silent is 1."""
    n_samples = round(seconds * SAMPLE_RATE)
    rng = np.random.default_rng([seed, 100 + LEADS.index(kind)])
    play = {"sung": _sung, "spoken": _spoken, "guitar": _guitar, "flute": _flute, "synth": _synth}[kind]
    sound = np.zeros(n_samples)
    for start_s, length_s in _phrases(rng, seconds):
        at = start_s
        while at < start_s + length_s:
            note = play(rng)
            _add(sound, at, note)
            at += len(note) / SAMPLE_RATE
    heard = sound[np.abs(sound) > 1e-4 * np.abs(sound).max()]
    scaled = (sound / np.sqrt(np.mean(heard**2))).astype(np.float32)
    return np.repeat(scaled[:, None], 2, axis=1)


def with_lead(music: Pcm, voice: Pcm, level_db: float) -> Pcm:
    """`music` and a lead, whose RMS while it sounds is `level_db` dB above the RMS of the music."""
    loudness = np.sqrt(np.mean(np.square(music, dtype=np.float64)))
    return music + voice * np.float32(loudness * 10 ** (level_db / 20))


def _phrases(rng: np.random.Generator, seconds: float) -> Iterator[tuple[float, float]]:
    at = float(rng.uniform(0.5, 3))
    while at < seconds - 1:
        length = float(rng.uniform(2, 6))
        yield at, min(length, seconds - at)
        at += length + float(rng.uniform(0.4, 3))


def _add(sound: Wave, at_s: float, note: Wave) -> None:
    start = round(at_s * SAMPLE_RATE)
    n = min(len(note), len(sound) - start)
    if n > 0:
        sound[start : start + n] += note[:n]


def _hz(rng: np.random.Generator, lowest: int, octaves: int) -> float:
    midi = lowest + 12 * int(rng.integers(octaves)) + _SCALE[int(rng.integers(len(_SCALE)))]
    return float(440 * 2 ** ((midi - 69) / 12))


def _harmonics(hz: Wave, amplitude: Callable[[Wave], Wave | float], highest: float = 6000.0) -> Wave:
    """A tone whose pitch is `hz` at each sample, with harmonics of `amplitude(their Hz)` up to `highest` Hz."""
    phase = 2 * np.pi * np.cumsum(hz) / SAMPLE_RATE
    middle = float(np.median(hz))
    n = max(1, min(40, int(highest / middle)))
    sound: Wave = np.zeros(len(hz))
    for h in range(1, n + 1):
        sound += np.asarray(amplitude(np.full(1, h * middle)))[0] * np.sin(h * phase + 2.4 * h * h)
    return sound


def _vowel(formants: tuple[int, int, int]) -> Callable[[Wave], Wave]:
    def amplitude(hz: Wave) -> Wave:
        peaks = sum(g * np.exp(-(((hz - f) / 150) ** 2)) for f, g in zip(formants, (1, 0.5, 0.25), strict=True))
        return np.asarray(peaks + 0.03)

    return amplitude


def _swell(n: int, attack_s: float, release_s: float) -> Wave:
    t = np.arange(n) / SAMPLE_RATE
    return np.minimum(np.minimum(t / attack_s, 1), np.minimum((n / SAMPLE_RATE - t) / release_s, 1))


def _sung(rng: np.random.Generator) -> Wave:
    n = int(float(rng.choice([0.25, 0.35, 0.5, 0.8, 1.2])) * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    hz = _hz(rng, 50, 2) * (1 + 0.012 * np.sin(2 * np.pi * 5.5 * t) - 0.03 * np.exp(-t * 20))
    vowel = _VOWELS[int(rng.integers(len(_VOWELS)))]
    return _harmonics(hz, _vowel(vowel)) * _swell(n, 0.03, 0.05)


def _spoken(rng: np.random.Generator) -> Wave:
    """A syllable: often a hiss, then a vowel of falling pitch, sometimes a short pause."""
    n = int(float(rng.uniform(0.1, 0.24)) * SAMPLE_RATE)
    start = float(rng.uniform(95, 190))
    hz = np.linspace(start, start * float(rng.uniform(0.8, 1.05)), n)
    voiced = _harmonics(hz, _vowel(_VOWELS[int(rng.integers(len(_VOWELS)))])) * _swell(n, 0.02, 0.04)
    voiced /= np.sqrt(np.mean(voiced**2))
    hiss = np.diff(rng.standard_normal(int(float(rng.uniform(0, 0.09)) * SAMPLE_RATE) + 1)) * 0.25
    pause = np.zeros(int(float(rng.choice([0, 0, 0.05, 0.15])) * SAMPLE_RATE))
    return np.concatenate([hiss, voiced * float(rng.uniform(0.6, 1)), pause])


def _guitar(rng: np.random.Generator) -> Wave:
    n = int(float(rng.choice([0.2, 0.3, 0.4, 0.8])) * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    bend = float(rng.choice([0, 0, 1, 2])) / 12
    hz = _hz(rng, 52, 2) * 2 ** (bend * np.minimum(t / 0.15, 1))
    tone = _harmonics(hz, lambda f: 1 / f) * np.exp(-t * 2.5) * _swell(n, 0.004, 0.02)
    return np.asarray(np.tanh(4 * tone / np.abs(tone).max()))


def _flute(rng: np.random.Generator) -> Wave:
    n = int(float(rng.choice([0.3, 0.5, 0.8, 1.2])) * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    hz = _hz(rng, 67, 2) * (1 + 0.006 * np.sin(2 * np.pi * 5 * t))
    tone = _harmonics(hz, lambda f: f**-2.0)
    breath = rng.standard_normal(n) * 0.02
    return np.asarray((tone / np.abs(tone).max() + breath) * _swell(n, 0.06, 0.08))


def _synth(rng: np.random.Generator) -> Wave:
    n = int(float(rng.choice([0.15, 0.3, 0.6])) * SAMPLE_RATE)
    hz = np.full(n, _hz(rng, 57, 2))
    tone = _harmonics(hz, lambda f: f**-1.0) + _harmonics(hz * 1.006, lambda f: f**-1.0)
    return np.asarray(tone / np.abs(tone).max() * _swell(n, 0.01, 0.03))


def _pad(rng: np.random.Generator, n_samples: int) -> Wave:
    """Slow chords of detuned strings."""
    sound = np.zeros((n_samples, 2))
    bar = int(float(rng.uniform(2, 4)) * SAMPLE_RATE)
    for start in range(0, n_samples, bar):
        root = int(rng.integers(len(_SCALE)))
        n = min(bar + SAMPLE_RATE // 2, n_samples - start)
        for step in (0, 2, 4, 6):
            degree = root + step
            hz = 130.8 * 2 ** ((_SCALE[degree % 7] + 12 * (degree // 7)) / 12)
            for channel in (0, 1):
                tone = _harmonics(np.full(n, hz * float(rng.uniform(0.995, 1.005))), lambda f: f**-1.3)
                sound[start : start + n, channel] += tone / np.abs(tone).max() * _swell(n, 0.4, 0.5)
    return sound


def _drums(rng: np.random.Generator, n_samples: int) -> Wave:
    """Drums alone, at a steady tempo, with fills."""
    step = int(SAMPLE_RATE * 15 / float(rng.uniform(85, 130)))
    t = np.arange(SAMPLE_RATE // 3) / SAMPLE_RATE
    kick = np.sin(2 * np.pi * (50 * t + 5 * (1 - np.exp(-t * 30)))) * np.exp(-t * 12)
    sound = np.zeros((n_samples, 2))
    for i in range(n_samples // step):
        noise, at = rng.standard_normal(len(t)), i * step / SAMPLE_RATE
        hits = [np.append(np.diff(noise), 0) * np.exp(-t * 60) * float(rng.uniform(0.1, 0.25))]
        hits += [kick] * (i % 8 in (0, 3) or rng.random() < 0.05)
        snare = (0.4 * noise + np.sin(2 * np.pi * 190 * t)) * np.exp(-t * 20) * 0.6
        hits += [snare] * (i % 8 == 4 or rng.random() < 0.06)
        for hit in hits:
            for channel in (0, 1):
                _add(sound[:, channel], at, hit)
    return sound


def _piano(rng: np.random.Generator, n_samples: int) -> Wave:
    """Struck notes that die away, two hands."""
    sound = np.zeros((n_samples, 2))
    step = float(rng.uniform(0.18, 0.3))
    for i in range(int(n_samples / SAMPLE_RATE / step)):
        hands = [(36, 2)] * (i % 4 == 0) + [(60, 2)] * int(rng.integers(3))
        for lowest, octaves in hands:
            hz = _hz(rng, lowest, octaves)
            n = int(1.5 * SAMPLE_RATE)
            tone = _harmonics(np.full(n, hz), lambda f: f**-1.2, 4000)
            note = tone / np.abs(tone).max() * np.exp(-np.arange(n) / SAMPLE_RATE * 3) * _swell(n, 0.003, 0.1)
            loud = float(rng.uniform(0.4, 1))
            for channel, pan in ((0, 1.0), (1, 0.8)):
                _add(sound[:, channel], i * step, note * loud * pan)
    return sound
