"""The difference of two files, decoded here and now, as samples that are played."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from dedup.fingerprint.decode import UndecodableError, decode_audible
from dedup.nulltest.spectra import SAMPLE_RATE, Pcm
from dedup.playback.decode import UnplayableError
from dedup.playback.difference import LONGEST_S, difference
from dedup.playback.flac import SOUND_RATE, Samples
from dedup.playback.resample import as_int16, resampled_mono
from dedup.playback.task import Task

_AT_ONCE = 10 * SOUND_RATE


class Differing:
    """The sound of the difference of two files; its details are `difference.Details`."""

    def __init__(self, task: Task) -> None:
        self.damage, self.details = "", ""
        self._task = task

    def samples(self) -> Iterator[Samples]:
        """The samples in pieces. Raises OSError, UnplayableError."""
        a, b = (_heard(file.path) for file in self._task.files)
        sound, details = difference(a, b, self._task.place)
        if not details.shared:
            raise UnplayableError("the two have nothing in common at that place")
        self.details = details.to_json()
        mono = as_int16(sound)
        n = len(sound) * SOUND_RATE // SAMPLE_RATE
        speed = SAMPLE_RATE / SOUND_RATE
        for start in range(0, n, _AT_ONCE):
            at = np.arange(start, min(start + _AT_ONCE, n), dtype=np.float64) * speed
            yield resampled_mono(mono, at, speed)


def _heard(path: bytes) -> Pcm:
    """A file as its null test hears it."""
    sound = bytearray()

    def begin() -> Callable[[bytes], None]:
        sound.clear()
        return take

    def take(data: bytes) -> None:
        sound.extend(data)
        if len(sound) > 2 * LONGEST_S * SAMPLE_RATE:
            raise UnplayableError(f"the difference of files longer than {LONGEST_S // 3600} hours is not made")

    try:
        decode_audible(path, SAMPLE_RATE, begin)
    except UndecodableError as error:
        raise UnplayableError(str(error)) from error
    return np.frombuffer(sound, "<i2")
