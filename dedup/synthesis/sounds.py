"""Unrelated sounds from a seed, of kinds that other programs mistake for each other: drones, rain and wind, loops,
spoken word, songs between long silences. No two come from one recording, so every claim about a pair is false."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dedup.fingerprint.chromaprint import Fingerprinter
from dedup.settings import FingerprintSettings
from dedup.store.items import Items
from dedup.synthesis import music

RATE = 11_025
"""Sample rate of all sounds in Hz: the one that is fingerprinted."""

SHORTEST_S, LONGEST_S = 40, 150
MUSIC_S = 30, 50
"""Shortest and longest music in a song; with its silences, a song is not longer than the other sounds."""
SILENCE_S = 10, 60
"""Shortest and longest silence at either end of a song."""

ARTISTS = 40
"""Number of artists: two songs of one artist share style and timbres."""

STILL_EVERY = 4
"""Drones per one that does not move at all, which has too few different items to be evidence of anything."""

N_FFT = 4096
"""Most samples of a syllable, 0.37 s."""

Pcm = npt.NDArray[np.float32]
Random = np.random.Generator


def kind_of(index: int) -> str:
    """The kind of a track: the KINDS take turns, so each has a fifth of the tracks."""
    return KINDS[index % len(KINDS)]


def is_still(index: int) -> bool:
    """Whether this track is a still drone, with almost nothing by which to recognise it."""
    return kind_of(index) == "drone" and index // len(KINDS) % STILL_EVERY == 0


def sound(seed: int, index: int) -> npt.NDArray[np.int16]:
    """Mono PCM at RATE, a function of both numbers; its peak is 0.3 to 0.9 of full scale."""
    random = np.random.Generator(np.random.Philox(key=[seed, index]))
    made = drone(random, still=True) if is_still(index) else MAKERS[kind_of(index)](random)
    made *= np.float32(32767 * random.uniform(0.3, 0.9) / max(float(np.abs(made).max()), 1e-9))
    return made.astype(np.int16)


def items_of(pcm: npt.NDArray[np.int16]) -> Items:
    fingerprinter = Fingerprinter(FingerprintSettings())
    fingerprinter.feed(pcm.tobytes())
    return fingerprinter.finish()


# ---- the kinds ----


def drone(random: Random, still: bool = False) -> Pcm:
    """A few notes that sound from beginning to end. Each has two colours that come and go within 2 to 15 s, and beats
    with a second voice; a still drone does not do either."""
    n = _length(random)
    made = np.zeros(n, np.float32)
    lowest = float(random.uniform(50, 180))
    for ratio in random.choice([1, 1.25, 1.3333, 1.5, 1.6667, 2, 2.5, 3, 4], int(random.integers(3, 6)), replace=False):
        hz, loudness = lowest * float(ratio), float(random.uniform(0.3, 1))
        for detune in (0.0,) if still else (0.0, float(random.uniform(0.0005, 0.006))):
            swell = np.float32(1) if still else _wander(random, n, period_s=float(random.uniform(2, 15)))
            made += np.float32(loudness) * swell * _tone(random, hz * (1 + detune), n)
    return made if still else made + np.float32(random.uniform(0.004, 0.03)) * _noise(random, n)


def weather(random: Random) -> Pcm:
    """Drops, and noise with its own colour in two bands that swell and fade with the gusts."""
    n = _length(random)
    hz = np.fft.rfftfreq(n, 1 / RATE).astype(np.float32)
    spectrum = random.standard_normal((2, len(hz)), np.float32)
    colour = np.maximum(hz, 30) ** np.float32(-random.uniform(0, 1.2))
    for _ in range(int(random.integers(0, 4))):
        centre, width = float(random.uniform(80, 2500)), float(random.uniform(0.03, 0.3))
        colour *= 1 + np.float32(random.uniform(1, 6)) * np.exp(-(((hz / centre - 1) / width) ** 2))
    shaped = (spectrum[0] + 1j * spectrum[1]) * colour
    parting = int(np.searchsorted(hz, random.uniform(200, 1000)))
    made = np.zeros(n, np.float32)
    for band in (slice(0, parting), slice(parting, None)):
        part = np.zeros_like(shaped)
        part[band] = shaped[band]
        gusts = _wander(random, n, period_s=float(random.uniform(1, 12))) ** np.float32(random.uniform(0, 2))
        heard = np.fft.irfft(part, n).astype(np.float32)
        made += gusts * heard * np.float32(random.uniform(0.2, 1) / max(float(heard.std()), 1e-9))
    loudness = float(random.uniform(0.3, 3))
    for at in random.integers(n, size=int(random.choice([0, 3, 10, 25]) * n / RATE)).tolist():
        _add(made, at, _drops()[int(random.integers(len(_drops())))], loudness * float(random.random()) ** 2)
    return made


def loop(random: Random) -> Pcm:
    """A bar of 2 to 8 s, repeated for minutes, with a little noise. Chords, bass, tune and drums are each silent, soft
    or loud for a few bars at a time."""
    n, n_bar = _length(random), int(random.uniform(2, 8) * RATE)
    bar = _bar(random, n_bar)
    n_bars = -(-n // n_bar)
    levels = np.ones((n_bars, len(bar)), np.float32)
    for layer in range(len(bar)):
        for first in range(0, n_bars, 4):
            levels[first : first + 4, layer] = random.choice([0.0, 0.6, 1.0, 1.0])
    levels *= 1 + 0.05 * random.standard_normal(levels.shape, np.float32)
    levels[:, 0] = np.maximum(levels[:, 0], 0.3)  # something is always audible
    made: Pcm = (levels @ bar).reshape(-1)[:n]
    return made + np.float32(random.uniform(0.0005, 0.01)) * _noise(random, n)


def speech(random: Random) -> Pcm:
    """A talking person: phrases of syllables, each a hiss and a vowel, with pauses, in a room that is not quite
    silent."""
    n = _length(random)
    made = np.float32(random.uniform(0.0005, 0.005)) * _noise(random, n)
    pitch_hz, rate = float(random.uniform(85, 250)), float(random.uniform(3.5, 6.5))
    vowels = _vowels(random, throat=float(random.uniform(0.85, 1.2)))
    at = int(random.uniform(0, 1) * RATE)
    while at < n:
        n_syllables = int(random.integers(3, 16))
        tune_hz = pitch_hz * np.linspace(1.12, 0.88, n_syllables) * np.exp(0.06 * random.standard_normal(n_syllables))
        for hz in tune_hz.tolist():
            length = min(int(RATE / rate * random.uniform(0.6, 1.5)), N_FFT)
            if at < n:
                _add(made, at, _syllable(random, vowels, hz, length), float(random.uniform(0.5, 1)))
            at += length
        at += int(random.choice([0.25, 0.5, 0.9, 1.8]) * random.uniform(0.7, 1.3) * RATE)
    return made


def song(random: Random) -> Pcm:
    """Music from a seed between two digital silences."""
    music_s = int(random.integers(MUSIC_S[0], MUSIC_S[1] + 1))
    silences_s = random.uniform(*SILENCE_S, 2)
    silences_s *= min(1, (LONGEST_S - music_s) / silences_s.sum())
    composed = music.compose(int(random.integers(1 << 62)), int(random.integers(ARTISTS)), music_s)
    before, after = (np.zeros(int(seconds * RATE), np.float32) for seconds in silences_s)
    return np.concatenate([before, _slower(composed.mean(axis=1)), after])


MAKERS: dict[str, Callable[[Random], Pcm]] = {
    "drone": drone,
    "weather": weather,
    "loop": loop,
    "speech": speech,
    "song": song,
}
KINDS = tuple(MAKERS)


# ---- their parts ----


def _length(random: Random) -> int:
    """A random length in samples; whole seconds, which make a Fourier transform fast."""
    return int(random.integers(SHORTEST_S, LONGEST_S + 1)) * RATE


def _noise(random: Random, n: int) -> Pcm:
    return random.standard_normal(n, np.float32)


def _wander(random: Random, n: int, period_s: float) -> Pcm:
    """A level between 0 and 1 that moves smoothly to a new value in each period."""
    n_levels = int(n / RATE / period_s) + 3
    levels = random.random(n_levels)
    fine = np.arange(n // 256 + 2) * 256 / RATE / period_s
    step, part = fine.astype(int), fine % 1
    eased = part * part * (3 - 2 * part)
    coarse = levels[step] * (1 - eased) + levels[step + 1] * eased
    rising: Pcm = np.repeat(coarse.astype(np.float32), 256)[:n]
    return rising


def _tone(random: Random, hz: float, n: int) -> Pcm:
    """A harmonic tone with its own colour; its period is read at a 32-bit phase that wraps by itself."""
    harmonics = np.arange(1, min(24, int(RATE / 2.2 / hz)) + 1)
    spectrum = np.zeros(1025, np.complex128)
    turns = np.exp(2j * np.pi * random.random(len(harmonics)))
    spectrum[harmonics] = harmonics ** -random.uniform(0.6, 2) * random.random(len(harmonics)) * turns
    period = np.fft.irfft(spectrum)
    phase = np.arange(n, dtype=np.uint32) * np.uint32(hz / RATE * 2**32)
    tone: Pcm = (period / period.std()).astype(np.float32)[phase >> np.uint32(21)]
    return tone


@lru_cache(maxsize=1)
def _drops() -> list[Pcm]:
    """The sounds of 64 drops, each at its own pitch."""
    random, t = np.random.default_rng(7), np.arange(RATE // 20) / RATE
    tones = zip(random.uniform(400, 3500, 64), random.uniform(60, 400, 64), strict=True)
    return [(np.sin(2 * np.pi * hz * t) * np.exp(-t * decay)).astype(np.float32) for hz, decay in tones]


def _bar(random: Random, n: int) -> Pcm:
    """float32[4, n]: chords, bass, tune and drums of one bar."""
    layers = np.zeros((4, n), np.float32)
    steps, key = int(random.choice([8, 12, 16])), float(random.uniform(55, 104))
    scale = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))[int(random.integers(2))]

    def hz(degree: int, octave: int) -> float:
        return float(key * 2 ** (octave + degree // 7 + scale[degree % 7] / 12))

    n_chords = int(random.choice([1, 2, 4]))
    for chord, root in enumerate(random.integers(7, size=n_chords).tolist()):
        at, length = chord * n // n_chords, n // n_chords
        for third in (0, 2, 4):
            _add(layers[0], at, _note(random, hz(root + third, 1), length, decay=1.0), 0.5)
        _add(layers[1], at, _note(random, hz(root, 0), length, decay=3.0), 0.9)
    for step in range(steps):
        if random.random() < 0.5:
            tune = _note(random, hz(int(random.integers(10)), 2), n // steps * 2, decay=5.0)
            _add(layers[2], step * n // steps, tune, 0.6)
        beat = _noise(random, n // steps) * np.exp(-np.arange(n // steps, dtype=np.float32) / random.uniform(200, 1500))
        _add(layers[3], step * n // steps, beat.astype(np.float32), float(random.choice([0.0, 0.2, 0.5])))
    return layers


def _note(random: Random, hz: float, n: int, decay: float) -> Pcm:
    t = np.arange(n, dtype=np.float32) / np.float32(RATE)
    envelope: Pcm = np.minimum(t * 100, 1) * np.exp(-t * np.float32(decay)) * np.minimum((n / RATE - t) * 50, 1)
    return _tone(random, hz, n) * envelope


def _vowels(random: Random, throat: float) -> npt.NDArray[np.float32]:
    """float32[8, N_FFT // 2 + 1]: the frequency response of each of a voice's vowels."""
    hz = np.fft.rfftfreq(N_FFT, 1 / RATE)
    formants = np.stack([random.uniform(*ends, 8) for ends in ((270, 800), (850, 2300), (2400, 3100))], axis=1) * throat
    response = np.exp(-(((hz - formants[..., None]) / (60 + 0.07 * formants[..., None])) ** 2))
    weights = np.array([1.0, 0.5, 0.25])[:, None]
    passed: npt.NDArray[np.float32] = (0.02 + (weights * response).sum(axis=1)).astype(np.float32)
    return passed


def _syllable(random: Random, vowels: npt.NDArray[np.float32], hz: float, n: int) -> Pcm:
    """Pulses, filtered by a vowel that turns into another, sometimes after a hiss."""
    phase = np.cumsum(np.linspace(1, random.uniform(0.85, 1.1), n)) * (hz / RATE)
    pulses = np.zeros(n)
    pulses[1:] = np.diff(np.floor(phase))
    spectrum = np.fft.rfft(pulses, N_FFT)
    first, last = (np.fft.irfft(spectrum * vowels[vowel])[:n] for vowel in random.integers(len(vowels), size=2))
    turn = np.linspace(0, 1, n)
    made = first * (1 - turn) + last * turn
    made *= np.minimum(1, np.minimum(turn * 12, (1 - turn) * 6)) / max(float(made.std()), 1e-9)
    if random.random() < 0.6:
        n_hiss = int(n * random.uniform(0.1, 0.3))
        hiss = random.standard_normal(n_hiss + 1)
        made[:n_hiss] = 0.1 * made[:n_hiss] + random.uniform(0.1, 0.6) * np.diff(hiss) * np.hanning(n_hiss)
    return made.astype(np.float32)


def _slower(sound: Pcm) -> Pcm:
    """The sound resampled from 44,100 Hz to RATE: every fourth sample, after a low-pass (a windowed sinc of 128
    taps)."""
    taps = np.sinc((np.arange(128) - 63.5) / 4.3) * np.hanning(128)
    taps = (taps / taps.sum()).astype(np.float32)
    n = len(sound) // 4
    made = np.zeros(n + 31, np.float32)
    for phase in range(4):
        made += np.convolve(sound[phase : phase + 4 * n : 4], taps[3 - phase :: 4])
    centred: Pcm = made[15 : 15 + n]
    return centred


def _add(track: Pcm, at: int, sound: Pcm, loudness: float) -> None:
    n = min(len(sound), len(track) - at)
    track[at : at + n] += np.float32(loudness) * sound[:n]
