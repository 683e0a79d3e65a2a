"""Music from a seed: pieces whose fingerprints differ as those of songs do, made far faster than they play.

An artist is a style (tempo, scale, timbres, rhythm); a seed is a song in that style. A song is a row of
sections with their own harmony, melody and drumming, and a section that returns is varied: like a real song, and
unlike a loop, it agrees with itself at one lag only."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 44_100
"""Sample rate of everything that `compose` returns, in Hz."""

Pcm = npt.NDArray[np.float32]
_Range = tuple[float, float]
_Note = tuple[int, int, int, float]  # first sample, samples, MIDI pitch, loudness

_PEAK = 0.89  # -1 dB of full scale
_STEPS = 16  # of a bar: sixteenth notes
_LONGEST = 4 * SAMPLE_RATE  # samples of a note: a bar at 60 beats a minute
_TABLE_BITS = 11
_SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
}
_FORM = ("intro", "verse", "chorus", "verse", "bridge", "chorus", "solo", "chorus")
_BARS = {"intro": 2, "verse": 6, "chorus": 4, "bridge": 4, "solo": 4}


@dataclass(frozen=True)
class _Timbre:
    rolloff: float  # the amplitude of harmonic h is h ** -rolloff
    even: float  # share of the even harmonics, 0 (hollow) to 1
    formants: tuple[float, ...]  # Hz; resonances that make a vowel, or none
    attack_s: float
    half_life_s: float
    vibrato: float  # semitones either side
    detune: float  # semitones between two voices; 0 plays one


@dataclass(frozen=True)
class _Style:
    """What the songs of one artist have in common."""

    tempo: _Range  # beats a minute, from and to
    scales: tuple[str, ...]
    lead: _Timbre
    chords: _Timbre
    bass: _Timbre
    strokes: tuple[int, ...]  # steps of a bar on which a chord is struck; none plays arpeggios
    sevenths: float  # share of chords with a seventh
    bars_a_chord: float
    density: float  # share of the melody's notes that are played
    kick: tuple[int, ...]  # steps of a bar
    hat_every: int  # steps
    drums: float  # loudness
    echo_s: float


@dataclass(frozen=True)
class _Song:
    style: _Style
    rng: np.random.Generator
    key: int  # MIDI pitch of the lowest tonic
    scale: tuple[int, ...]
    step: float  # samples in a sixteenth note

    def pitch(self, degree: int, octave: int) -> int:
        return self.key + 12 * (octave + degree // 7) + self.scale[degree % 7]

    def note(self, first: int, steps: float, midi: int, loudness: float) -> _Note:
        played = loudness * float(self.rng.uniform(0.75, 1.0))
        return int(first * self.step), int(steps * self.step), midi, played


def compose(seed: int, artist: str | int, seconds: float) -> Pcm:
    """A piece of music: float32[n_samples, 2] at 44,100 Hz within ±0.89, `seconds` long.

    Equal arguments give equal samples on one machine; another seed or artist gives an unrelated piece."""
    n_samples = round(seconds * SAMPLE_RATE)
    style, rng = _style(artist), _generator("song", artist, seed)
    scale = _SCALES[style.scales[int(rng.integers(len(style.scales)))]]
    step = SAMPLE_RATE * 60 / float(rng.uniform(*style.tempo)) / 4
    song = _Song(style, rng, 36 + int(rng.integers(12)), scale, step)
    tracks = {name: np.zeros(n_samples, np.float32) for name in ("lead", "chords", "bass", "drums")}
    themes = {kind: _harmony(song, _BARS[kind]) for kind in _BARS}
    n_bars, bar, kinds = int(n_samples / (_STEPS * step)) + 1, 0, itertools.cycle(_FORM)
    while bar < n_bars:
        kind = next(kinds)
        _play_section(song, kind, bar, themes[kind], tracks)
        bar += _BARS[kind]
    return _mix(tracks, style)


@lru_cache(maxsize=64)
def _style(artist: str | int) -> _Style:
    rng = _generator("artist", artist)
    slowest = float(rng.uniform(72, 140))
    strokes = ((), (), (0, 8), (0, 6, 12), (0, 4, 8, 12), (4, 12), (0, 3, 6, 10), (0, 10))
    kicks = ((0, 8), (0, 4, 8, 12), (0, 6, 8), (0, 7, 10), (0, 3, 8, 11))
    return _Style(
        tempo=(slowest, slowest + 30),
        scales=tuple(str(name) for name in rng.choice(list(_SCALES), 3, replace=False)),
        lead=_timbre(rng, (0.01, 0.06), (0.3, 1.5), sung=bool(rng.random() < 0.6)),
        chords=_timbre(rng, (0.003, 0.08), (0.15, 1.5)),
        bass=_timbre(rng, (0.004, 0.02), (0.2, 0.8)),
        strokes=strokes[int(rng.integers(len(strokes)))],
        sevenths=float(rng.uniform(0.0, 0.7)),
        bars_a_chord=0.5 if slowest < 110 else float(rng.choice([0.5, 1.0])),
        density=float(rng.uniform(0.45, 0.85)),
        kick=kicks[int(rng.integers(len(kicks)))],
        hat_every=int(rng.choice([1, 2, 4])),
        drums=float(rng.uniform(0.2, 0.6)),
        echo_s=float(rng.uniform(0.09, 0.4)),
    )


def _timbre(rng: np.random.Generator, attack: _Range, half_life: _Range, sung: bool = False) -> _Timbre:
    vowel = ((350, 800), (900, 2200), (2500, 3000)) if sung else ()
    return _Timbre(
        rolloff=float(rng.uniform(0.8, 1.8)),
        even=float(rng.choice([0.2, 1.0])),
        formants=tuple(float(rng.uniform(*hz)) for hz in vowel),
        attack_s=float(rng.uniform(*attack)),
        half_life_s=float(rng.uniform(*half_life)),
        vibrato=float(rng.uniform(0.1, 0.35)) if sung else 0.0,
        detune=float(rng.choice([0.0, 0.12])),
    )


def _generator(*parts: object) -> np.random.Generator:
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def _harmony(song: _Song, bars: int) -> list[int]:
    """Degrees of a section's chords, never the same twice in a row."""
    degrees = [int(song.rng.choice([0, 5, 3, 1]))]
    while len(degrees) < bars / song.style.bars_a_chord:
        leap = int(song.rng.choice([1, 2, 3, 4, 5, 6], p=[0.15, 0.1, 0.3, 0.25, 0.1, 0.1]))
        degrees.append((degrees[-1] + leap) % 7)
    return degrees


def _play_section(song: _Song, kind: str, bar: int, theme: list[int], tracks: dict[str, Pcm]) -> None:
    """Adds a section to the tracks, with a third of its theme's chords exchanged, sometimes in another key."""
    rng, style = song.rng, song.style
    song = replace(song, key=song.key + int(rng.choice([0, 0, 0, 2, 5, -4])))
    degrees = [int(rng.integers(7)) if rng.random() < 0.3 else degree for degree in theme]
    steps = int(_STEPS * style.bars_a_chord)
    octave = 3 if kind in ("chorus", "solo") else 2
    for i, degree in enumerate(degrees):
        first = bar * _STEPS + i * steps
        _render(tracks["chords"], _chord(song, first, steps, degree), style.chords)
        _render(tracks["bass"], _bass(song, first, steps, degree), style.bass)
        if kind != "intro" or i >= len(degrees) / 2:
            _render(tracks["lead"], _melody(song, first, steps, degree, octave), style.lead)
    if kind != "intro":
        _drum(song, tracks["drums"], bar, _BARS[kind], busy=kind != "bridge")


def _chord(song: _Song, first: int, steps: int, degree: int) -> list[_Note]:
    style, rng = song.style, song.rng
    tones = [degree + t for t in ((0, 2, 4, 6) if rng.random() < style.sevenths else (0, 2, 4))]
    lowest = int(rng.integers(len(tones)))  # the inversion
    midi = [song.pitch(tone, 1 if i >= lowest else 2) for i, tone in enumerate(tones)]
    if not style.strokes:
        order = rng.permutation(len(midi))
        return [song.note(first + s, 4, midi[order[s // 2 % len(midi)]], 0.45) for s in range(0, steps, 2)]
    struck = [s for s in style.strokes if s < steps and (s == 0 or rng.random() < 0.85)] or [0]
    ends = [*struck[1:], steps]
    return [song.note(first + s, e - s, m, 0.3) for s, e in zip(struck, ends, strict=True) for m in midi]


def _bass(song: _Song, first: int, steps: int, degree: int) -> list[_Note]:
    walk = [0, *song.rng.choice([0, 0, 4, 2, 7, 6], steps // 4 - 1).tolist()]
    return [song.note(first + 4 * i, 3.7, song.pitch(degree + leap, 0), 0.8) for i, leap in enumerate(walk)]


def _melody(song: _Song, first: int, steps: int, degree: int, octave: int) -> list[_Note]:
    rng = song.rng
    tone, step, notes = degree + 2 * int(rng.integers(4)), 0, list[_Note]()
    while step < steps:
        length = min(int(rng.choice([2, 2, 4, 4, 6, 8])), steps - step)
        if rng.random() < song.style.density + 0.15 * (step == 0):
            notes.append(song.note(first + step, length, song.pitch(tone, octave), 0.9))
        tone, step = min(max(tone + int(rng.choice([-3, -2, -1, 1, 2, 3])), -2), 9), step + length
    return notes


def _drum(song: _Song, track: Pcm, first: int, bars: int, busy: bool) -> None:
    kick, snare, hat = _drum_kit()
    rng, style = song.rng, song.style
    for bar in range(first, first + bars):
        fill = bar == first + bars - 1
        for step in range(_STEPS):
            start = int((bar * _STEPS + step) * song.step)
            if step in style.kick or (fill and rng.random() < 0.2):
                _add(track, start, kick, 1.0)
            if busy and (step in (4, 12) or (fill and step > 9 and rng.random() < 0.6)):
                _add(track, start, snare, float(rng.uniform(0.6, 0.8)))
            if step % style.hat_every == 0:
                _add(track, start, hat[int(rng.integers(len(hat)))], float(rng.uniform(0.2, 0.4)))


@lru_cache(maxsize=1)
def _drum_kit() -> tuple[Pcm, Pcm, list[Pcm]]:
    """A kick, a snare, and a few different hats, so that no two bars have the same samples."""
    t = np.arange(SAMPLE_RATE // 4) / SAMPLE_RATE
    rng = _generator("drums")
    kick = np.sin(2 * np.pi * (45 * t + 4.5 * (1 - np.exp(-t * 30)))) * np.exp(-t * 14)
    noise = rng.standard_normal((7, len(t)))
    snare = (0.3 * noise[0] + 0.5 * np.sin(2 * np.pi * 190 * t)) * np.exp(-t * 22)
    hats = np.diff(noise[1:]) * 0.3 * np.exp(-t[1:] * 60)
    return kick.astype(np.float32), snare.astype(np.float32), list(hats.astype(np.float32))


def _render(track: Pcm, notes: list[_Note], timbre: _Timbre) -> None:
    """Adds notes by reading one period of each pitch at a 32-bit phase that wraps by itself."""
    for start, length, midi, loudness in notes:
        n = min(length, len(track) - start, _LONGEST)
        if n <= 0:
            continue
        hz = 440 * 2 ** ((midi - 69) / 12)
        period, sound = _period(timbre, midi), np.zeros(n, np.float32)
        for voice in (-0.5, 0.5) if timbre.detune else (0.0,):
            step = np.uint32(hz * 2 ** (voice * timbre.detune / 12) / SAMPLE_RATE * 2**32)
            phase = np.arange(n, dtype=np.uint32) * step
            if timbre.vibrato:
                phase += (_vibrato()[:n] * (hz * timbre.vibrato)).astype(np.int64).astype(np.uint32)
            sound += period[phase >> np.uint32(32 - _TABLE_BITS)]
        sound *= _envelope(timbre)[:n]
        fade = min(n, SAMPLE_RATE // 50)
        sound[n - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        _add(track, start, sound, loudness)


@lru_cache(maxsize=512)
def _period(timbre: _Timbre, midi: int) -> Pcm:
    """One period with an RMS of 0.2, without harmonics above 16 kHz."""
    hz = 440 * 2 ** ((midi - 69) / 12)
    h = np.arange(1, int(min(16_000 / hz, 60)) + 1)
    amplitude = h**-timbre.rolloff * np.where(h % 2 == 0, timbre.even, 1.0)
    if timbre.formants:
        amplitude *= 0.1 + sum(np.exp(-(((h * hz - f) / (80 + 0.08 * f)) ** 2)) for f in timbre.formants)
    spectrum = np.zeros(2 ** (_TABLE_BITS - 1) + 1, np.complex128)
    spectrum[h] = amplitude * np.exp(2.4j * h**2)  # spread phases keep the peaks low
    period = np.fft.irfft(spectrum)
    scaled: Pcm = (0.2 * period / np.sqrt(np.mean(period**2))).astype(np.float32)
    return scaled


@lru_cache(maxsize=16)
def _envelope(timbre: _Timbre) -> Pcm:
    t = np.arange(_LONGEST) / SAMPLE_RATE
    envelope = np.minimum(t / timbre.attack_s, 1) * 0.5 ** (t / timbre.half_life_s)
    return envelope.astype(np.float32)


@lru_cache(maxsize=1)
def _vibrato() -> npt.NDArray[np.float64]:
    """Phase, in 2**-32 of a period and never negative, that ±1 semitone at 5.5 Hz adds to a tone of 1 Hz."""
    turn = 2 * np.pi * 5.5  # radians a second
    t = np.arange(_LONGEST, dtype=np.float64) / SAMPLE_RATE
    phase: npt.NDArray[np.float64] = np.log(2) / 12 * (1 - np.cos(turn * t)) / turn * 2**32
    return phase


def _add(track: Pcm, start: int, sound: Pcm, loudness: float) -> None:
    n = min(len(sound), len(track) - start)
    if n > 0:
        track[start : start + n] += np.float32(loudness) * sound[:n]


def _mix(tracks: dict[str, Pcm], style: _Style) -> Pcm:
    """Two channels: chords left of the middle, the lead right of it, echoes on the other side."""
    lead, chords = tracks["lead"], tracks["chords"]
    middle = tracks["bass"] + np.float32(style.drums) * tracks["drums"]
    stereo = np.empty((len(middle), 2), np.float32)
    stereo[:, 0] = middle + np.float32(0.75) * lead + chords
    stereo[:, 1] = middle + lead + np.float32(0.7) * chords
    for channel, loudness in ((0, 0.3), (1, 0.15)):
        delay = min(int(style.echo_s * SAMPLE_RATE) * (channel + 1), len(lead))
        stereo[delay:, channel] += np.float32(loudness) * lead[: len(lead) - delay]
    fade = min(SAMPLE_RATE, len(middle))
    stereo[len(middle) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)[:, None]
    peak = max(float(stereo.max(initial=0)), -float(stereo.min(initial=0)))
    stereo *= np.float32(_PEAK / peak if peak else 0)
    return stereo
