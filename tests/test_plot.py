"""The picture of a pair: written as asked for, the same bytes each time, whatever the names are."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from dedup.correlation.compare import compare_two
from dedup.errors import InputError, UsageError, WriteError
from dedup.groups.explain import Explanation, Listened
from dedup.nulltest.hear import Heard
from dedup.nulltest.residual import Residual
from dedup.report.plot import differing_bits, plot_pair, require_plot
from dedup.settings import CompareSettings
from dedup.store.items import Items, items_digest
from dedup.store.nulltests import Difference, NullTest
from tests.stores import copied, recording

COMPARE = CompareSettings(varispeed=False)


def explained(a: Items, b: Items, names: tuple[bytes, bytes] = (b"/m/a.flac", b"/m/b.mp3")) -> Explanation:
    sides = (
        Listened(name, items, None, items_digest(items), None, False, None)
        for name, items in zip(names, (a, b), strict=True)
    )
    return Explanation(*sides, compare_two(a, b, COMPARE), "same recording", (), None, False)


def a_pair(lag: int = 30) -> Explanation:
    items = recording(1, 300)
    return explained(items, copied(items, 0.1)[lag:])


def a_pair_heard() -> Heard:
    """With a bleep in the second, and a stretch that only the first has."""
    excess = np.zeros((300, 60), np.float32)
    excess[100:110, 30], excess[200:220] = -25, np.nan
    test = NullTest(residual_db=-9.0, differences=(Difference(14.0, 15.4, "b"),))
    return Heard(a_pair(), test, Residual(3.7, 37.1, np.geomspace(150, 4800, 61), excess))


def texts(svg: Path, monkeypatch: pytest.MonkeyPatch, pair: Explanation | Heard) -> str:
    from dedup.report import plot

    monkeypatch.setitem(plot.STYLE, "svg.fonttype", "none")  # letters instead of outlines
    plot_pair(pair if isinstance(pair, Heard) else Heard(pair), COMPARE, svg)
    return " ".join(ElementTree.parse(svg).getroot().itertext())


def test_a_png_and_an_svg(tmp_path: Path):
    plot_pair(a_pair_heard(), COMPARE, tmp_path / "a.PNG")
    plot_pair(a_pair_heard(), COMPARE, tmp_path / "a.svg")
    assert (tmp_path / "a.PNG").read_bytes().startswith(b"\x89PNG\r\n")
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("}svg")


@pytest.mark.parametrize("suffix", ["svg", pytest.param("png", marks=pytest.mark.long)])
def test_the_same_pair_is_the_same_picture(tmp_path: Path, suffix: str):
    for name in "ab":
        plot_pair(a_pair_heard(), COMPARE, tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_what_the_picture_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = texts(tmp_path / "a.svg", monkeypatch, a_pair())
    for part in ("a.flac  (37.1 s)", "b.mp3  (33.4 s)", "same recording: lag +3.71 s", "chance", "Bits that differ"):
        assert part in said


def test_the_null_test_is_drawn_if_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    heard = a_pair_heard()
    said = texts(tmp_path / "a.svg", monkeypatch, heard)
    for part in ("What only one of them has", "null test: differs 0:14-0:15, residual -9 dB", "a has more", "4,000"):
        assert part in said
    for without in (Heard(heard.explained), Heard(heard.explained, NullTest(problem="cut short"))):
        assert "What only one of them has" not in texts(tmp_path / "b.svg", monkeypatch, without)


@pytest.mark.parametrize(
    "shown",  # two names a picture: drawing takes long
    [
        {b"$x_1$ ^{2} \\alpha.mp3": "$x_1$ ^{2} \\alpha.mp3", b"caf\xe9.mp3": "caf\\xe9.mp3"},
        {b"a\nb.mp3": "a\\nb.mp3", "音楽.mp3".encode(): "音楽.mp3"},
        {b'<&>".mp3': '<&>".mp3', b"x" * 250 + b"end.mp3": "x" * 70 + "…" + "x" * 12 + "end.mp3"},
    ],
)
def test_a_name_is_drawn_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: dict[bytes, str]):
    items = recording(1, 120)
    first, second = (b"/$m$/" + name for name in shown)
    pair = explained(items, items, (first, second))
    plot_pair(Heard(pair), COMPARE, tmp_path / "a.png")
    drawn = texts(tmp_path / "a.svg", monkeypatch, pair)
    assert all(name in drawn for name in shown.values())


def test_a_pair_that_cannot_overlap_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pair = explained(recording(1, 200), recording(2, 40))
    assert pair.match is None
    assert "no lag has enough overlap" in texts(tmp_path / "a.svg", monkeypatch, pair)
    plot_pair(Heard(pair), COMPARE, tmp_path / "a.png")


def test_a_single_lag(tmp_path: Path):
    items = recording(1, 80)
    plot_pair(Heard(explained(items, items)), CompareSettings(varispeed=False, max_lag=0), tmp_path / "a.png")


@pytest.mark.parametrize("lag", [0, 30, -30])
def test_which_bits_differ(lag: int):
    items = recording(1, 200)
    changed = items.copy()
    changed[100] ^= np.uint32(1 << 31 | 1)
    pair = explained(items[max(0, -lag) :], changed[max(0, lag) :])
    assert pair.match.lag == lag
    assert np.argwhere(differing_bits(pair)).tolist() == [[100 - abs(lag), 0], [100 - abs(lag), 31]]


def test_a_picture_that_could_not_be_drawn_is_refused_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match=r"\.png or \.svg"):
        require_plot(tmp_path / "a.pdf")
    with pytest.raises(InputError, match="there is no folder"):
        require_plot(tmp_path / "nowhere" / "a.png")
    require_plot(tmp_path / "a.SVG")
    real = builtins.__import__

    def without_matplotlib(name: str, *args: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(UsageError, match=r"uv tool install 'reprise-dedup\[plot\]'"):
        require_plot(tmp_path / "a.png")


def test_nothing_is_left_where_a_picture_cannot_be_written(tmp_path: Path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(WriteError, match="Is a directory"):
        plot_pair(a_pair_heard(), COMPARE, tmp_path / "a.png")
    assert os.listdir(tmp_path) == ["a.png"]
