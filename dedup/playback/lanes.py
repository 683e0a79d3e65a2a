"""Where each copy lies on one musical time axis, which is that of the reference: its second 0 is the reference's."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dedup.settings import ITEMS_PER_SECOND

if TYPE_CHECKING:
    from dedup.correlation.match import Match
    from dedup.groups.matches import TrackPair
    from dedup.store.nulltests import NullTest

LEAST_DRIFT_S = 0.005
"""Seconds of drift over a whole file below which two clocks count as equal: nobody hears it, and a sound at its own
speed is not resampled."""


class Place(NamedTuple):
    """Where a file lies on the axis: musical second `t` is second `offset_s + t * (1 + rate)` of the file."""

    offset_s: float = 0.0
    """Seconds of the file before musical second 0: 1.5 if it has 1.5 s more in front than the reference."""
    rate: float = 0.0
    """How much longer the file takes for the same music: 0.03 if it plays 3 % slower. It is played faster by that."""

    def in_file(self, t: float) -> float:
        """Second of the file at a musical second."""
        return self.offset_s + t * (1 + self.rate)

    def on_axis(self, seconds: float) -> float:
        """Musical second of a second of the file."""
        return (seconds - self.offset_s) / (1 + self.rate)


REFERENCE = Place()
"""The place of the reference itself."""


def place_of(pair: TrackPair) -> Place:
    """The place of `pair.a` on the axis of `pair.b`: to the sample if a null test was made, else as exactly as the
    fingerprints tell (0.1 s; `SoundCache.difference` finds it to the sample)."""
    if pair.test is not None and pair.test.is_made:
        return _by_test(pair.test)
    return _by_match(pair.match)


def _by_test(test: NullTest) -> Place:
    rate = 0.0 if abs(test.rate) * test.length_a_s < LEAST_DRIFT_S else test.rate
    # Its lag is that of the first moment that both have, where one of them is at its start.
    return Place(test.lag_s if test.lag_s >= 0 else test.lag_s * (1 + rate), rate)


def _by_match(match: Match) -> Place:
    if not match.rate:
        return Place(match.lag_s)
    middle_a, middle_b = (match.from_a + match.to_a) / 2, (match.from_b + match.to_b) / 2
    return Place((middle_a - middle_b * (1 + match.rate)) / ITEMS_PER_SECOND, match.rate)
