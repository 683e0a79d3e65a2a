"""What is drawn under a lane, on the musical axis: how well a copy matches over time, and what only one file has."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from dedup.playback.lanes import Place
from dedup.settings import ITEMS_PER_SECOND

if TYPE_CHECKING:
    from dedup.correlation.match import Match
    from dedup.store.nulltests import NullTest


class Curve(NamedTuple):
    """Values in equal steps."""

    start_s: float
    """Musical second at which the first step begins."""
    step_s: float
    values: list[float | None]
    """0 to 1; None where there is nothing to say."""


class Mark(NamedTuple):
    """A stretch of the axis in which only one file has something, or both differ."""

    start_s: float
    end_s: float
    side: Literal["a", "b", "both"]
    """Which of the two has something that the other lacks."""
    is_outside: bool
    """Whether it lies before, behind or between what the two share: a longer end, an announcement."""


def similarity_over_time(match: Match) -> Curve:
    """Share of equal bits of the two fingerprints in each step, on the axis of the second; None if both are silent."""
    values = [None if math.isnan(value) else round(value, 3) for value in match.similarity.tolist()]
    length_s = (match.to_b - match.from_b) / ITEMS_PER_SECOND
    return Curve(match.from_b / ITEMS_PER_SECOND, length_s / max(1, len(values)), values)


def marks(test: NullTest, place: Place) -> list[Mark]:
    """What the null test of two files found, by time, on the axis of the second; `place` is that of the first."""
    if not test.is_made:
        return []
    found = [Mark(place.on_axis(span.start_s), place.on_axis(span.end_s), "a", True) for span in test.only_a]
    found += [Mark(span.start_s, span.end_s, "b", True) for span in test.only_b]
    found += [
        Mark(place.on_axis(each.start_s), place.on_axis(each.end_s), each.side, False) for each in test.differences
    ]
    return sorted(found)
