"""What one file has that the other lacks, over time: gain of the moment, equalisation and steady noise are taken out.

A copy may be louder, equalised, compressed, noisy or crackling. Gain is what all bands of a frame have in common,
equalisation what a band has in common over time; each is the middle, or the commonest value, of the difference between
the two in dB, which a lead that comes and goes doesn't move. Noise only adds power: what is steady in one file and not
in the other is granted to the other before the two are compared. What is left, lasts, and isn't masked by the louder
parts of its frame, is missing from one of the two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dedup.nulltest.spectra import Powers, means_around

Curve = npt.NDArray[np.float32]
"""float32[n_frames]."""

STEADY_FRAMES = 3
"""Frames on each side over which power is averaged, 0.1 s."""
LASTING_FRAMES = 2
"""Frames on each side over which an excess must last: a click doesn't."""
MISSING_DB, LOST_DB = 4.0, 10.0
"""Excess from which on a band counts as partly, and as wholly, missing from the other file."""
NOISE_MARGIN = 6.0
"""Power of noise, as a multiple of its floor, that is granted to the file without the noise."""
FLOOR_SHARE = 0.1
"""Share of the frames that are quieter, in a band, than its floor."""
MASKED_DB = 30.0
"""How far below the loudest band of its frame a band isn't heard."""
HEARD_DB = 35.0
"""How far below the median loudness of its file a frame isn't heard."""
DEAD_DB = 25.0
"""How far from the usual equalisation a band is dead in one of the files: its codec or its filter left it out."""
LOUDNESS = 0.3
"""Exponent that makes loudness of power."""
QUIET = 60.0
"""Power that is added to every band: that of about 1 bit of 16."""


@dataclass(frozen=True)
class Left:
    """What is left of two files at each frame of a stretch that they share."""

    missing_in_b: Curve
    """Share of the loudness of the frame that the first has and the second lacks, 0 to 1."""
    missing_in_a: Curve
    power_in_a: Curve
    """Share of the power of the frame that the first has and the second lacks, 0 to 1."""
    power_in_b: Curve
    heard: npt.NDArray[np.bool_]
    """Whether the frame is heard in both files."""
    level_a: Curve
    """Level of the first in dB, of mean power of the bands."""
    level_b: Curve
    residual: Curve
    """Power of what differs; 0 where the frame isn't heard."""
    power: Curve
    """Power of the louder of the two; 0 where the frame isn't heard."""
    excess: npt.NDArray[np.float32]
    """float32[n_frames, n_bands]: dB that the first has more, negative if the second has; what is not heard is 0."""


def measure(powers_a: Powers, powers_b: Powers, of_bands: Powers | None = None) -> Left:
    """What is left of the same frames of two files. `of_bands` is the coherence of the lowest bands: as far as the two
    are the same wave there, nothing is missing, however much louder one of them is."""
    a, b = means_around(powers_a, STEADY_FRAMES) + QUIET, means_around(powers_b, STEADY_FRAMES) + QUIET
    level_a, level_b = (_db(x.mean(axis=1)) for x in (a, b))
    heard = _is_heard(level_a) & _is_heard(level_b)
    db_a = _db(a)
    difference = db_a - _db(b)
    unmasked = heard[:, None] & (db_a > db_a.max(axis=1, keepdims=True) - MASKED_DB)
    equaliser, dead, gain = _gains(difference, unmasked)
    b *= 10 ** ((equaliser + gain[:, None]) / 10)  # as it would be in the first
    db_b = _db(b)
    half = np.asarray(10 ** (gain[:, None] / 20), np.float32)  # which of the two was compressed isn't known
    noise_a, noise_b = _floors(np.asarray(a / half), np.asarray(b / half), heard)
    more_a = _lasting(db_a - _db(b + NOISE_MARGIN * noise_a * half))
    more_b = _lasting(db_b - _db(a + NOISE_MARGIN * noise_b * half))
    louder = np.maximum(a, b)
    counts = heard[:, None] & ~dead & (louder > louder.max(axis=1, keepdims=True) * 10 ** (-MASKED_DB / 10))
    power = np.where(counts, louder, 0)
    loudness = np.where(counts, louder**LOUDNESS, 0)
    lost_b, lost_a = _lost(more_a), _lost(more_b)
    if of_bands is not None:
        apart = 1 - of_bands
        lost_b[:, : apart.shape[1]] *= apart
        lost_a[:, : apart.shape[1]] *= apart
    return Left(
        missing_in_b=_share(loudness, lost_b),
        missing_in_a=_share(loudness, lost_a),
        power_in_a=_share(power, lost_b),
        power_in_b=_share(power, lost_a),
        heard=heard,
        level_a=level_a,
        level_b=level_b,
        residual=np.where(counts, np.abs(a - b), 0).sum(axis=1),
        power=power.sum(axis=1),
        excess=np.where(counts, np.maximum(more_a, 0) - np.maximum(more_b, 0), 0).astype(np.float32),
    )


def _is_heard(level: Curve) -> npt.NDArray[np.bool_]:
    quietest = max(float(np.median(level)) - HEARD_DB, float(_db(np.float32(4 * QUIET))))
    return np.asarray(level > quietest)


def _gains(
    difference: npt.NDArray[np.float32], unmasked: npt.NDArray[np.bool_]
) -> tuple[Curve, npt.NDArray[np.bool_], Curve]:
    """Equalisation of each band, whether the band is dead, and gain of each frame, in dB."""
    gain = np.zeros(len(difference), np.float32)
    for _ in range(3):
        equaliser = _commonest(difference - gain[:, None], unmasked)
        known = ~np.isnan(equaliser)
        usual = float(np.median(equaliser[known])) if known.any() else 0.0
        dead = ~known | (np.abs(equaliser - usual) > DEAD_DB)
        equaliser = np.where(known, equaliser, usual)
        gain = _medians(difference - equaliser, unmasked & ~dead)
    return equaliser.astype(np.float32), dead, gain


def _commonest(values: npt.NDArray[np.float32], counts: npt.NDArray[np.bool_]) -> Curve:
    """The commonest value of each column among those that count, within 0.25 dB; NaN for a column with few."""
    n_bins, lowest = 320, -80.0
    rows, columns = np.nonzero(counts)
    bins = np.clip(((values[rows, columns] - lowest) * 2).astype(np.int64), 0, n_bins - 1)
    histogram = np.bincount(columns * n_bins + bins, minlength=values.shape[1] * n_bins).reshape(-1, n_bins)
    padded = np.pad(histogram, ((0, 0), (2, 2)))
    smooth = sum(weight * padded[:, i : i + n_bins] for i, weight in enumerate((1, 2, 3, 2, 1)))
    found = lowest + 0.25 + np.argmax(smooth, axis=1) / 2
    return np.where(histogram.sum(axis=1) < 20, np.nan, found).astype(np.float32)


def _medians(values: npt.NDArray[np.float32], counts: npt.NDArray[np.bool_]) -> Curve:
    """The median of each row among the values that count; 0 for a row without."""
    ordered = np.sort(np.where(counts, values, np.inf), axis=1)
    n = counts.sum(axis=1)
    rows = np.arange(len(values))
    middle = (ordered[rows, np.maximum(n - 1, 0) // 2] + ordered[rows, np.minimum(n // 2, values.shape[1] - 1)]) / 2
    return np.asarray(np.where(n > 0, middle, 0), np.float32)


def _floors(a: Powers, b: Powers, heard: npt.NDArray[np.bool_]) -> tuple[Curve, Curve]:
    """Power of each band that is always there in one file and not in the other."""
    rows = heard if heard.any() else slice(None)
    floor_a, floor_b = (_lowest(x[rows]) for x in (a, b))
    return np.maximum(floor_a - floor_b, 0), np.maximum(floor_b - floor_a, 0)


def _lowest(powers: Powers) -> Curve:
    nth = int(FLOOR_SHARE * (len(powers) - 1))
    floor: Curve = np.partition(powers, nth, axis=0)[nth]
    return floor


def _lasting(excess: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The least of each frame and its neighbours."""
    least = excess.copy()
    for shift in range(1, LASTING_FRAMES + 1):
        np.minimum(least[shift:], excess[:-shift], out=least[shift:])
        np.minimum(least[:-shift], excess[shift:], out=least[:-shift])
    return least


def _lost(excess: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(np.clip((excess - MISSING_DB) / (LOST_DB - MISSING_DB), 0, 1), np.float32)


def _share(weights: npt.NDArray[np.float32], values: npt.NDArray[np.float32]) -> Curve:
    total = weights.sum(axis=1)
    share: Curve = (weights * values).sum(axis=1) / np.where(total > 0, total, 1)
    return share


def _db(power: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return np.asarray(10 * np.log10(power), np.float32)
