"""A pair in one small SVG: both tracks as bars on one clock, what they share, and how well it agrees over time."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape
from itertools import groupby

from dedup.correlation.match import Match
from dedup.settings import ITEMS_PER_SECOND

WIDTH, CHANCE = 1000, 0.5
BAR, GAP = 6, 3
STEPS_S = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
"""Seconds between two ticks."""
MOST_TICKS = 6
NEAR_THE_END = 94
"""Percent of the width beyond which a time stands to the left of its tick, as it would be cut off."""

TOP, BOTTOM = 22, 62
"""Distances from the upper edge of the picture to agreement 1 and to chance, in the similarity curve."""


def strip(match: Match, n_items_a: int, n_items_b: int, words: str) -> str:
    """An SVG element: above, the bars of `a` and of `b`, shifted by the lag and darker where the path goes; below,
    along the path in `a`, each step's similarity from chance up to 1. A step that is silent in both stays empty.
    `words` describe the picture for people who cannot see it."""
    start_a, start_b = max(0, -match.lag), max(0, match.lag)
    scale = WIDTH / max(1, start_a + n_items_a, start_b + n_items_b)

    def bar(y: int, kind: str, start: float, n_items: float) -> str:
        return f'<rect class="{kind}" x="{start * scale:.1f}" y="{y}" width="{n_items * scale:.1f}" height="{BAR}"/>'

    parts = [
        bar(0, "whole", start_a, n_items_a),
        bar(0, "shared", start_a + match.from_a, match.to_a - match.from_a),
        bar(BAR + GAP, "whole", start_b, n_items_b),
        bar(BAR + GAP, "shared", start_b + match.from_b, match.to_b - match.from_b),
    ]
    left, length = (start_a + match.from_a) * scale, (match.to_a - match.from_a) * scale
    if match.steps:
        area, edge = _stairs(match)
        place = f"translate({left:.1f} 0) scale({length / len(match.steps):.4f} 1)"
        parts.append(f'<g transform="{place}"><path class="alike" d="{area}"/><path class="edge" d="{edge}"/></g>')
    parts.append(f'<path class="chance" d="M{left:.1f} {BOTTOM}h{length:.1f}"/>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {BOTTOM}" preserveAspectRatio="none" role="img"><title>{escape(words)}</title>'
        f"{''.join(parts)}</svg>"
    )


def time_axis(match: Match, n_items_a: int, n_items_b: int, clock: Callable[[float], str]) -> str:
    """An SVG element as wide as the picture: ticks at moments of `b` with their times as `clock` writes them. Nothing
    in it is stretched, so the times stay readable at any width."""
    start_b = max(0, match.lag)
    n_items = max(1, max(0, -match.lag) + n_items_a, start_b + n_items_b)
    length_s = n_items_b / ITEMS_PER_SECOND
    step_s = next((step for step in STEPS_S if length_s / step < MOST_TICKS), STEPS_S[-1])
    parts = []
    for number in range(int(length_s // step_s) + 1):
        at_s = number * step_s
        percent = 100 * (start_b + at_s * ITEMS_PER_SECOND) / n_items
        place, anchor = f"{percent:.2f}%", ' class="end"' if percent > NEAR_THE_END else ""
        parts.append(f'<line x1="{place}" x2="{place}" y1="0" y2="4"/>')
        parts.append(f'<text{anchor} x="{place}" y="14">{escape(clock(at_s))}</text>')
    return f'<svg class="axis" aria-hidden="true">{"".join(parts)}</svg>'


def _stairs(match: Match) -> tuple[str, str]:
    """Paths of the area and of its upper edge, one unit of x per step; equal neighbours share a stroke."""
    levels = [None if math.isnan(value) else _height(value) for value in match.similarity.tolist()]
    area = edge = ""
    at = 0
    for is_heard, run in groupby(levels, key=lambda level: level is not None):
        steps = list(run)
        if is_heard:
            strokes = [(level, len(list(equal))) for level, equal in groupby(steps)]
            outline = "".join(f"V{level}h{n}" for level, n in strokes)
            area += f"M{at} {BOTTOM}{outline}V{BOTTOM}z"
            edge += f"M{at} {strokes[0][0]}{outline}"
        at += len(steps)
    return area, edge


def _height(similarity: float) -> int:
    share = (similarity - CHANCE) / (1 - CHANCE)
    return round(BOTTOM - min(1.0, max(0.0, share)) * (BOTTOM - TOP))
