"""Where the spectrum of a file ends: a lossless file made from a lossy one lacks what the lossy one left out, and one
made from a lower sample rate lacks what that could not hold. Only hints for a person: see `cutoff_hz` for how often
they are right, and docs/quality.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from dedup.files.container import heard_stream, open_container
from dedup.files.held import open_regular

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dedup.library.metadata import AudioProperties
    from dedup.observer import Observer

N_WINDOWS, WINDOW_S = 3, 10.0
"""Number and seconds of the parts of a file that are decoded; a file no longer than all parts is decoded whole."""

N_FFT, BAND_HZ = 4096, 100.0
"""Samples of a transform, and the width of the bands whose mean power is compared."""

LOWEST_HZ, HIGHEST_HZ = 9000.0, 20_700.0
"""Range in which an end counts. Lower ends belong to instruments, speech and old records, higher ends to the
filter of any converter."""

LEAST_FALL_DB = 15.0
"""Least difference between the fall in level over 600 Hz and over the 1000 Hz before; the level must also stay
low. 3 of 123 lossless recordings reach it."""

SOURCE_RATES = (44_100, 48_000, 88_200, 96_000)
"""Sample rates in Hz, of which a file with a rate `TIMES` as high may be made."""

TIMES = 1.8

NEAR_HALF = (0.86, 1.01)
"""Where, as shares of half the lower rate, the spectrum of such a file ends: below come the filters of resamplers."""

LEAST_STEP_DB = 10.0
"""As `LEAST_FALL_DB`, at the end of a lower sample rate. Filters of resamplers are less steep than encoders."""


class Ends(NamedTuple):
    """Where the spectrum of a file breaks off, in Hz, to the nearest 100."""

    cutoff_hz: int | None = None
    """As `cutoff_hz`."""
    source_rate: int | None = None
    """Highest of `SOURCE_RATES`, in Hz, that can hold all that the file has: it ends where that rate ends."""


def ends_of(path: bytes) -> Ends:
    """Both ends; None each if there is none, or if the audio cannot be decoded. Raises OSError for a file that cannot
    be opened."""
    found = _levels_of(path)
    if found is None:
        return Ends()
    levels, rate = found
    cutoff = _cutoff(levels)
    return Ends(None if cutoff is None else round(cutoff), _source_rate(levels, rate))


def _source_rate(levels: npt.NDArray[np.float64], rate: int) -> int | None:
    for source in SOURCE_RATES:
        if rate >= TIMES * source:
            lowest, highest = (share * source / 2 for share in NEAR_HALF)
            end = _wall(levels, lowest, highest, gap=20, least_db=LEAST_STEP_DB)
            if end is not None and end <= highest:
                return source
    return None


def cutoff_hz(path: bytes) -> float | None:
    """Frequency at which the spectrum breaks off, in Hz, to the nearest 100; None if it does not, or if the audio is
    too quiet, has no high notes or cannot be decoded. Raises OSError for a file that cannot be opened.

    It finds an end in 3 of 123 lossless recordings (Debian's sonic-pi-samples and hydrogen-drumkits). After encoding to
    MP3 at 64, 128, 192 and 320 kbit/s and back to FLAC, it finds one in 112, 108, 108 and 99 of them
    (`scripts/bench/spectrum.py`). The bit rate is a guess: one MP3 at 192 kbit/s ended at 15.8 kHz, where others at 128
    kbit/s end."""
    found = _levels_of(path)
    return None if found is None else _cutoff(found[0])


def _cutoff(levels: npt.NDArray[np.float64]) -> float | None:
    end = _wall(levels, LOWEST_HZ, HIGHEST_HZ, gap=6, least_db=LEAST_FALL_DB)
    return None if end is None or end > HIGHEST_HZ else end


def _levels_of(path: bytes) -> tuple[npt.NDArray[np.float64], int] | None:
    """Mean power of each band, in dB, and the sample rate; None if nothing can be heard or decoded."""
    import numpy as np

    with open_regular(path):
        pass  # the system's own error for an unreadable file, not FFmpeg's
    power, rate = np.zeros(N_FFT // 2 + 1), 0
    for samples, rate_here in _windows(path):
        if rate in (0, rate_here):
            rate = rate_here
            power += _power(samples)
    return (_levels(power, rate), rate) if power.any() else None


def hints(files: Iterable[tuple[bytes, AudioProperties]], observer: Observer) -> dict[bytes, str]:
    """What the spectra of the lossless ones among these files tell, by path. The observer hears of a file that cannot
    be read."""
    asked = [(path, properties) for path, properties in files if properties.lossless]
    observer.stage("read spectra", len(asked), "files")
    found = {}
    for path, properties in asked:
        try:
            found[path] = hint(properties, cutoff_hz(path))
        except OSError as error:
            observer.problem("failed", path, f"its spectrum cannot be read: {error.strerror or error}")
        observer.advance()
    return found


def hint(properties: AudioProperties, cutoff: float | None) -> str:
    """What the end of the spectrum suggests about a lossless file, such as "spectrum ends at 16.0 kHz, as in lossy
    audio at 128 kbit/s"; empty if it suggests nothing."""
    if cutoff is None or not properties.lossless:
        return ""
    bitrate = next(text for limit, text in _BITRATES if cutoff <= limit)
    return f"spectrum ends at {cutoff / 1000:.1f} kHz, as in lossy audio at {bitrate}"


_BITRATES = (
    (12_000.0, "64 kbit/s"),
    (15_700.0, "96 kbit/s"),
    (17_400.0, "128 kbit/s"),
    (18_300.0, "160 kbit/s"),
    (19_400.0, "192 kbit/s"),
    (float("inf"), "256 kbit/s or more"),
)
"""Highest frequency, in Hz, that LAME keeps at each bit rate; other encoders are close to it."""


def _windows(path: bytes) -> Iterator[tuple[npt.NDArray[np.float32], int]]:
    """Samples, `float32[channels, n]`, and their rate: what can be decoded of each window."""
    import av
    import numpy as np

    try:
        with open_container(path) as container:
            stream: Any = heard_stream(container)
            if stream is None:
                return
            for start_s, length_s in _spread(float(container.duration or 0) / 1e6):
                if start_s:
                    container.seek(int(start_s * 1e6))
                frames = list(_frames(container, stream, length_s))
                if frames and all(frame.sample_rate == frames[0].sample_rate for frame in frames):
                    samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
                    yield samples, frames[0].sample_rate
    except (av.error.FFmpegError, UnicodeError, ValueError):
        return  # also if the number of channels changes midway: without a hint nothing is lost


def _frames(container: Any, stream: Any, length_s: float) -> Iterator[Any]:
    """The next frames, as planes of floats."""
    from av import AudioResampler

    resampler, left_s = AudioResampler(format="fltp"), length_s
    for frame in container.decode(stream):
        yield from resampler.resample(frame)
        left_s -= frame.samples / frame.sample_rate
        if left_s <= 0:
            return


def _spread(duration_s: float) -> list[tuple[float, float]]:
    """Starts and lengths of the windows, in seconds."""
    if duration_s <= N_WINDOWS * WINDOW_S:
        return [(0.0, N_WINDOWS * WINDOW_S)]
    part_s = duration_s / N_WINDOWS
    return [((number + 0.5) * part_s - WINDOW_S / 2, WINDOW_S) for number in range(N_WINDOWS)]


def _power(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Sum of the power spectra of all channels, `float64[N_FFT // 2 + 1]`; zeros for less than one transform."""
    import numpy as np

    total = np.zeros(N_FFT // 2 + 1)
    shape = np.hanning(N_FFT).astype(np.float32)
    for start in range(0, samples.shape[1] - N_FFT + 1, N_FFT):
        total += (np.abs(np.fft.rfft(samples[:, start : start + N_FFT] * shape, axis=1)) ** 2).sum(axis=0)
    return total


def _levels(power: npt.NDArray[np.float64], rate: int) -> npt.NDArray[np.float64]:
    """Mean power of each band, in dB."""
    import numpy as np

    bands = (np.fft.rfftfreq(N_FFT, 1 / rate) / BAND_HZ).astype(np.int64)
    mean = np.bincount(bands, power) / np.maximum(1, np.bincount(bands))
    levels: npt.NDArray[np.float64] = 10 * np.log10(mean + 1e-20)
    return levels


def _wall(
    levels: npt.NDArray[np.float64], lowest_hz: float, highest_hz: float, gap: int, least_db: float
) -> float | None:
    """Middle of the steepest place, between two frequencies, where the level falls within `gap` bands and never rises
    again, in Hz; None if no fall is `least_db` or more steeper than the slope before it."""
    best, found = least_db, None
    last = len(levels) - 1  # the last band may be part of one
    for edge in range(int(lowest_hz / BAND_HZ), min(int(highest_hz / BAND_HZ), last - gap - 4) + 1):
        before, below, above = (
            levels[edge - 20 : edge - 10].mean(),
            levels[edge - 10 : edge].mean(),
            levels[edge + gap : last],
        )
        fall = (below - above.max()) - (before - below)
        if fall > best:
            middle = (below + above.max()) / 2
            best, found = fall, edge + int((levels[edge:last] < middle).argmax())
    return None if found is None else found * BAND_HZ
