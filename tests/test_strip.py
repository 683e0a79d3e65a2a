"""The picture of a pair: bars where the tracks lie, stairs as high as they agree."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.report.strip import BOTTOM, TOP, WIDTH, strip, time_axis
from dedup.settings import ITEMS_PER_SECOND
from tests.made_matches import made


def bars(svg: str) -> list[tuple[str, float, float]]:
    return [
        (rect.attrib["class"], float(rect.attrib["x"]), float(rect.attrib["width"]))
        for rect in ElementTree.fromstring(svg).iter("rect")
    ]


@pytest.mark.parametrize(
    ("lag", "wanted"),
    [
        (100, [("whole", 0, 1000), ("shared", 250, 750), ("whole", 250, 750), ("shared", 250, 750)]),
        (-100, [("whole", 200, 800), ("shared", 200, 600), ("whole", 0, 600 + 200), ("shared", 200, 600)]),
    ],
)
def test_bars_lie_where_the_tracks_do(lag: int, wanted: list[tuple[str, float, float]]) -> None:
    """A positive lag: the first has more in front, so the second begins later."""
    assert bars(strip(made(lag=lag, overlap=300), 400, 300 if lag > 0 else 400, "words")) == wanted


def test_stairs_are_as_high_as_the_agreement_and_open_where_both_are_silent() -> None:
    svg = strip(made(overlap=160, similarity=[1.0, 1.0, math.nan, 0.75, 0.3]), 160, 160, "a < b")
    area, edge, chance = (path.attrib for path in ElementTree.fromstring(svg).iter("path"))
    middle = (TOP + BOTTOM) // 2
    assert area["d"] == f"M0 {BOTTOM}V{TOP}h2V{BOTTOM}zM3 {BOTTOM}V{middle}h1V{BOTTOM}h1V{BOTTOM}z"
    assert edge["d"] == f"M0 {TOP}V{TOP}h2M3 {middle}V{middle}h1V{BOTTOM}h1"
    assert chance["d"] == f"M0.0 {BOTTOM}h{WIDTH:.1f}"
    assert "<title>a &lt; b</title>" in svg


@given(
    st.integers(-500, 500),
    st.integers(1, 500),
    st.lists(st.floats(0, 1) | st.just(math.nan), max_size=128),
)
def test_any_match_has_a_picture_inside_its_frame(lag: int, overlap: int, similarity: list[float]) -> None:
    n_items_a, n_items_b = overlap + max(0, lag), overlap + max(0, -lag)
    svg = strip(made(lag=lag, overlap=overlap, similarity=similarity), n_items_a, n_items_b, "words")
    assert all(x >= 0 and x + width <= WIDTH + 0.2 for _, x, width in bars(svg))
    assert all(TOP <= int(y) <= BOTTOM for y in re.findall(r"V(\d+)", svg))


@pytest.mark.parametrize(("n_items", "times"), [(160, [0, 5, 10, 15]), (8077, [0, 300, 600, 900]), (0, [0])])
def test_ticks_tell_moments_of_the_best_file(n_items: int, times: list[int]) -> None:
    axis = ElementTree.fromstring(time_axis(made(lag=100, overlap=max(1, n_items)), n_items, n_items, str))
    assert [text.text for text in axis.iter("text")] == [str(time) for time in times]
    places = [float(line.attrib["x1"].rstrip("%")) for line in axis.iter("line")]
    whole = max(1, 100 + n_items)
    assert places == pytest.approx([100 * (100 + time * ITEMS_PER_SECOND) / whole for time in times], abs=0.01)
    assert max(places) <= 100
