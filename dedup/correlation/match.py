"""The numbers of a pair of fingerprints, as computed, stored and shown."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.settings import ITEMS_PER_SECOND
from dedup.store.pairs import N_STEPS, PAIR

STORED_AGREEMENT, STORED_KAPPA = 0.55, 0.2
"""Agreement at the best lag, and kappa there or along the path, below which a pair is not stored. Unrelated pairs
seldom reach a kappa of 0.2."""

FOLLOWED_KAPPA = 0.1
"""Kappa at the best lag from which a pair is followed along its path. One unrelated pair in a hundred has as much; the
lowest of the copies up to 4 % faster or slower has 0.144."""

ALIKE = 0.7
"""Agreement from which 4 s count as the same recording. The lowest of a plain duplicate (bass +8 dB) is 0.72."""


@cache
def fitted() -> dict[str, Any]:
    """The constants of `fitted.json`."""
    values: dict[str, Any] = json.loads(resources.files("dedup.correlation").joinpath("fitted.json").read_text())
    return values


def evidence_of(kappa: float, along: float, distinct: int) -> float:
    """Chance-corrected agreement, at the best lag or along the path, whichever is higher, times
    `1 / sqrt(1 + d / distinct)`: with `d` different items, chance varies twice as much as with many."""
    return max(kappa, along) / math.sqrt(1 + fitted()["half_distinct"] / distinct) if distinct else 0.0


def evidence_of_records(pairs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """`evidence_of` for each record of PAIR, `float64[n]`."""
    best = np.maximum(pairs["kappa"], pairs["along"])
    less = np.sqrt(1 + fitted()["half_distinct"] / np.maximum(pairs["distinct"], 1))
    found: npt.NDArray[np.float64] = np.where(pairs["distinct"] > 0, best / less, 0.0)
    return found


_KINDS = bytes(ord("s") if step == 0 else ord("a") if (step - 1) / 254 >= ALIKE else ord("u") for step in range(256))
"""Whether a step is silent in both, alike or unlike, as a letter, for each value that a step may have."""


class Core(NamedTuple):
    """The part of a pair from the first step that is alike to the last, with the silence of both on either side."""

    start: float
    """Start of the core, as a share of the path."""
    end: float
    """End of the core, as a share of the path."""
    alike: float
    """Share of its steps that are alike. Steps silent in both do not count, and one that is unlike is forgiven. 0 if
    none is alike."""


@lru_cache(maxsize=1 << 10)
def _core(steps: bytes) -> Core:
    """`Match.core`: whoever looks at a pair asks for it several times."""
    kinds = steps.translate(_KINDS)
    n_alike = kinds.count(b"a")
    if not n_alike:
        return Core(0.0, 0.0, 0.0)
    first, last = kinds.find(b"a"), kinds.rfind(b"a") + 1
    n_unlike = max(0, kinds.count(b"u", first, last) - 1)  # a gap or a flaw makes no other version
    first, last = kinds.rfind(b"u", 0, first) + 1, (kinds + b"u").find(b"u", last)
    return Core(first / len(kinds), last / len(kinds), n_alike / (n_alike + n_unlike))


class Match(NamedTuple):
    """Two fingerprints at their best lag, and along the path of lags."""

    lag: int
    """Items that the first has more in front; negative if the second has more."""
    overlap: int
    """Items that overlap at the best lag, 1 or more."""
    errors: int
    """Bits that differ there, 0 to 32 times `overlap`."""
    kappa: float
    """Chance-corrected agreement at the best lag of the items that are not silent in both, -1 to 1."""
    prominence: float
    """Agreement at the best lag minus the highest at any lag more than 16 items away, -0.5 to 0.5."""
    along: float
    """Chance-corrected agreement along the path (`path.follow`), -1 to 1."""
    log_rate: float
    """Natural logarithm of the items of the first for each item of the second, to 9 digits; 0 at the same speed."""
    contrast: float
    """How much better the bits that a transposition by a semitone leaves alone agree than the others, -1 to 1; 0 if
    the speeds differ."""
    distinct: int
    """Different items on the path, without silence, of the fingerprint that has fewer."""
    from_a: int
    """First item of the path in the first."""
    to_a: int
    """End of the path in the first, the item behind the last."""
    from_b: int
    """First item of the path in the second."""
    to_b: int
    """End of the path in the second."""
    steps: bytes
    """Similarity over time, in N_STEPS equal parts of the path at most (the ends may be shorter), each 4 s unless the
    path is longer than 8.5 minutes: 1 + 254 times the share of equal bits, or 0 if both are silent."""

    @property
    def score(self) -> float:
        """How well they agree, below 0 to 1: chance-corrected, at the best lag or along the path."""
        return max(self.kappa, self.along)

    @property
    def evidence(self) -> float:
        """The score, reduced if few items support it; it is compared with the noise floor."""
        return evidence_of(self.kappa, self.along, self.distinct)

    @property
    def rate(self) -> float:
        """Items of the first for each item of the second, less 1: 0.02 if the first is 2 % longer."""
        return math.expm1(self.log_rate)

    @property
    def prominence_along(self) -> float:
        """Prominence of the path: that of the best lag, plus how much better the path agrees than that lag."""
        return self.prominence + max(0.0, self.along - self.kappa) / 2

    @property
    def agreement(self) -> float:
        """Share of equal bits over the overlap, 0 to 1; chance is about 0.5."""
        return 1 - self.errors / (32 * self.overlap)

    @property
    def lag_s(self) -> float:
        return self.lag / ITEMS_PER_SECOND

    @property
    def overlap_s(self) -> float:
        return self.overlap / ITEMS_PER_SECOND

    @property
    def similarity(self) -> npt.NDArray[np.float64]:
        """Share of equal bits in each step, NaN if both are silent."""
        steps = np.frombuffer(self.steps, np.uint8).astype(np.float64)
        return np.where(steps > 0, (steps - 1) / 254, np.nan)

    def core(self) -> Core:
        """The core of the pair; all zeros if no step is alike."""
        return _core(self.steps)

    def place(self) -> tuple[float, float, float, float]:
        """Start and end of what is the same, in the first and in the second, in seconds: the core, or the whole path if
        one runs faster."""
        core = self.core()
        start, end = (core.start, core.end) if self.rate == 0 and core.alike > 0 else (0.0, 1.0)
        length_a, length_b = self.to_a - self.from_a, self.to_b - self.from_b
        places = (
            self.from_a + start * length_a,
            self.from_a + end * length_a,
            self.from_b + start * length_b,
            self.from_b + end * length_b,
        )
        a_from, a_to, b_from, b_to = (place / ITEMS_PER_SECOND for place in places)
        return a_from, a_to, b_from, b_to

    def swapped(self) -> Match:
        """The same pair with the first and the second swapped."""
        return Match(
            -self.lag,
            self.overlap,
            self.errors,
            self.kappa,
            self.prominence,
            self.along,
            -self.log_rate if self.log_rate else 0.0,
            self.contrast,
            self.distinct,
            self.from_b,
            self.to_b,
            self.from_a,
            self.to_a,
            self.steps,
        )


def identity_match(n_items: int, n_distinct: int) -> Match:
    """The match of a fingerprint with itself."""
    n_steps = -(-n_items // 32)
    steps = b"\xff" * -(-n_steps // -(-n_steps // N_STEPS))
    return Match(0, n_items, 0, 1.0, 0.5, 1.0, 0.0, 0.0, n_distinct, 0, n_items, 0, n_items, steps)


def record(row_a: int, row_b: int, match: Match) -> npt.NDArray[Any]:
    """One record of PAIR, `[1]`."""
    stored = np.zeros(1, PAIR)
    stored["row_a"], stored["row_b"] = row_a, row_b
    for field in _NUMBERS:
        stored[field] = getattr(match, field)
    stored["n_steps"] = len(match.steps)
    stored["steps"][0, : len(match.steps)] = np.frombuffer(match.steps, np.uint8)
    return stored


def match_at(records: bytes | bytearray, start: int) -> Match:
    """The match of the record of PAIR that begins at this byte; what is behind its steps may be missing."""
    *numbers, n_steps = _UNPACKED.unpack_from(records, start)
    steps = start + _UNPACKED.size
    return Match._make((*numbers, bytes(records[steps : steps + n_steps])))


def without_padding(records: npt.NDArray[Any]) -> Iterator[bytes]:
    """Each record of PAIR as far as its steps go."""
    data = records.tobytes()
    for number, n_steps in enumerate(records["n_steps"].tolist()):
        start = number * PAIR.itemsize
        yield data[start : start + _UNPACKED.size + n_steps]


_UNPACKED = struct.Struct("<8xiII5d5IB")
"""A record of PAIR behind its rows, as far as `n_steps`: a hundred times as fast as NumPy for one of them."""

_NUMBERS = (
    "lag",
    "overlap",
    "errors",
    "kappa",
    "prominence",
    "along",
    "log_rate",
    "contrast",
    "distinct",
    "from_a",
    "to_a",
    "from_b",
    "to_b",
)
"""Fields that PAIR and `Match` share, in the order of `Match`, except `steps`."""


def speed_of(rate: float) -> float:
    """How much faster, as a share, a track plays than another of whose items it has `rate` more, as a share; negative
    if it is slower."""
    return -rate / (1 + rate) + 0.0  # never -0
