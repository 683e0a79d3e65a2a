"""Pieces of synthesized music and what is done to them, as mono PCM at 11,025 Hz: what Chromaprint gets of a file.

The same arguments give the same samples on one machine; songs and fingerprints are kept for as long as the tests run,
so nothing here may be written to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any
from unittest import mock

import av
import numpy as np
import numpy.typing as npt

from dedup.fingerprint.chromaprint import Fingerprinter
from dedup.settings import FingerprintSettings
from dedup.store.items import Items
from dedup.synthesis import music

Pcm = npt.NDArray[np.float32]

SETTINGS = FingerprintSettings("1.5.1")
RATE = SETTINGS.sample_rate


def fingerprint(pcm: Pcm) -> Items:
    """The items of a piece, as of a file that holds it."""
    return _fingerprint(pcm.tobytes())


def song(seed: int, seconds: float) -> Pcm:
    """A song of that length, like that of no other seed."""
    return _song(seed, seconds)


def other_vocal(seed: int, vocal_seed: int, seconds: float) -> Pcm:
    """The song of `seed` with its backing as it is, sung by the singer of another: other notes, another voice."""
    singer, rng = music._style(vocal_seed).lead, music._generator("vocal", vocal_seed)
    style, melody = music._style(seed), music._melody

    def sung(of: Any, *arguments: Any) -> Any:
        melody(of, *arguments)  # the backing is played with what is drawn after it
        return melody(replace(of, rng=rng), *arguments)

    as_sung: dict[str, Any] = {"_style": lambda _: replace(style, lead=singer), "_melody": sung}
    with mock.patch.multiple(music, **as_sung):
        return _mono(music.compose(seed, seed, seconds))


def mash_up(backing_seed: int, vocal_seed: int, seconds: float) -> Pcm:
    """The instruments of one song under the voice of another, each at its own tempo and in its own key."""
    backing, style = _stems(backing_seed, seconds)
    vocal, _ = _stems(vocal_seed, seconds)
    return _mono(music._mix({**backing, "lead": vocal["lead"]}, style))


def mix(songs: Sequence[Pcm], crossfade_s: float) -> tuple[Pcm, list[float]]:
    """Songs one after the other, each fading out under the beginning of the next; and where each begins, seconds."""
    fade = round(crossfade_s * RATE)
    starts = np.cumsum([0, *(len(piece) - fade for piece in songs[:-1])])
    mixed = np.zeros(int(starts[-1]) + len(songs[-1]), np.float32)
    rising = np.linspace(0, 1, fade, dtype=np.float32)
    for number, (start, piece) in enumerate(zip(starts, songs, strict=True)):
        played = piece.copy()
        if number > 0:
            played[:fade] *= rising
        if number < len(songs) - 1:
            played[len(played) - fade :] *= rising[::-1]
        mixed[start : start + len(piece)] += played
    return mixed, [float(start) / RATE for start in starts]


def with_intro(intro: Pcm, piece: Pcm) -> Pcm:
    """An intro (a jingle, an announcement) and then the piece."""
    return np.concatenate([intro, piece])


def with_silence(piece: Pcm, before_s: float, after_s: float) -> Pcm:
    return np.pad(piece, (round(before_s * RATE), round(after_s * RATE)))


def edited(piece: Pcm, from_s: float, to_s: float) -> Pcm:
    """The piece without what is between the two times."""
    return np.concatenate([piece[: round(from_s * RATE)], piece[round(to_s * RATE) :]])


def dropped(piece: Pcm, at_s: float, lost_s: float) -> Pcm:
    """The piece with a little lost in its middle, as by a buffer that ran over: what follows comes early."""
    return edited(piece, at_s, at_s + lost_s)


def excerpt(piece: Pcm, from_s: float, to_s: float) -> Pcm:
    return piece[round(from_s * RATE) : round(to_s * RATE)]


def quieter(piece: Pcm, decibels: float, seed: int = 0) -> Pcm:
    """The piece at a lower level, with noise 30 dB below it: a copy whose items are not all the same."""
    lowered = piece * np.float32(10 ** (-decibels / 20))
    noise = np.random.default_rng(seed).standard_normal(len(piece), np.float32)
    return lowered + noise * np.float32(np.sqrt(np.mean(lowered**2)) * 10 ** (-30 / 20))


def sped(piece: Pcm, rate: float) -> Pcm:
    """The piece played faster by `rate` (0.02 is 2 %), and higher by as much, as a turntable would."""
    return _resampled(piece, round(RATE * (1 + rate)))


@lru_cache(maxsize=256)
def _song(seed: int, seconds: float) -> Pcm:
    return _kept(_mono(music.compose(seed, seed, seconds)))


@lru_cache(maxsize=512)
def _fingerprint(samples: bytes) -> Items:
    printer = Fingerprinter(SETTINGS)
    printer.feed((np.frombuffer(samples, np.float32).clip(-1, 1) * 32767).astype("<i2").tobytes())
    items = printer.finish()
    items.flags.writeable = False
    return items


@lru_cache(maxsize=8)
def _stems(seed: int, seconds: float) -> tuple[dict[str, Pcm], Any]:
    """What a song is mixed of: its instruments by name, and its style."""
    stems: list[Any] = []
    mixer = music._mix

    def listening(tracks: dict[str, Pcm], style: Any) -> Pcm:
        stems.extend((tracks, style))
        return mixer(tracks, style)

    with mock.patch.object(music, "_mix", listening):
        music.compose(seed, seed, seconds)
    tracks, style = stems
    return tracks, style


def _mono(stereo: Pcm) -> Pcm:
    return _resampled(stereo.mean(axis=1), music.SAMPLE_RATE)


def _resampled(mono: Pcm, rate: int) -> Pcm:
    """What was sampled at `rate`, at RATE."""
    frame = av.AudioFrame.from_ndarray(mono.reshape(1, -1), "flt", "mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def _kept(pcm: Pcm) -> Pcm:
    pcm.flags.writeable = False
    return pcm
