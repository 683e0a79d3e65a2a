"""A picture of two fingerprints: agreement by lag, similarity over time, every bit that differs. Needs matplotlib."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dedup.errors import InputError, UsageError
from dedup.library.paths import printable
from dedup.pair import Explanation, lag_curve
from dedup.settings import ITEMS_PER_SECOND, CompareSettings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOW_ITEMS = 32
"""Similarity over time is a mean over about 4 s."""

FORMATS = (".png", ".svg")


def require_plot(file: Path) -> None:
    """Raises UsageError, before any work is done, where the picture could not be drawn or has another format."""
    if file.suffix.lower() not in FORMATS:
        raise UsageError("--plot", f"found {file.name!r}", "a name that ends in .png or .svg")
    if not file.absolute().parent.is_dir():
        raise InputError("--plot", f"there is no folder {file.absolute().parent}", "a folder that exists")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError(
            "--plot",
            "matplotlib is not installed",
            "the extra `plot`",
            "Install it: pip install 'reprise-dedup[plot]'",
        ) from None


def plot_pair(explained: Explanation, compare: CompareSettings, file: Path) -> None:
    """Draws the pair into a PNG or SVG file. The same pair gives the same picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with_style: dict[str, Any] = {"figsize": (11, 9), "layout": "constrained"}
    figure = Figure(**with_style)
    FigureCanvasAgg(figure)
    top, middle, bottom = figure.subplots(3, 1, height_ratios=(2, 1.4, 1.6))
    names = " · ".join(_short(side.path) for side in (explained.a, explained.b))
    figure.suptitle(f"{names}\n{explained.verdict}", fontsize=11)
    _draw_lag_curve(top, explained, compare)
    if explained.match is None:
        for axes in (middle, bottom):
            axes.text(0.5, 0.5, "too little overlap at any lag", ha="center", va="center")
            axes.set_axis_off()
    else:
        differing = differing_bits(explained)
        start_s = max(0, explained.match.lag) / ITEMS_PER_SECOND
        _draw_similarity(middle, differing, start_s)
        _draw_bits(bottom, differing, start_s)
    metadata = {"Date": None} if file.suffix.lower() == ".svg" else None
    figure.savefig(file, dpi=110, metadata=metadata)


def differing_bits(explained: Explanation) -> npt.NDArray[np.bool_]:
    """Which bits differ at the best lag: `bool[overlap, 32]`, the lowest bit first."""
    assert explained.match is not None
    lag, n_items = explained.match.lag, explained.match.overlap
    a = explained.a.items[max(0, lag) : max(0, lag) + n_items]
    b = explained.b.items[max(0, -lag) : max(0, -lag) + n_items]
    wrong: npt.NDArray[np.bool_] = ((a ^ b)[:, None] >> np.arange(32, dtype=np.uint32) & 1).astype(bool)
    return wrong


def _draw_lag_curve(axes: Axes, explained: Explanation, compare: CompareSettings) -> None:
    lags, agreement = lag_curve(explained.a.items, explained.b.items, compare)
    axes.plot(lags / ITEMS_PER_SECOND, agreement, linewidth=0.8, color="#1f5a8c")
    axes.axhline(0.5, color="#999999", linewidth=0.8, linestyle=":")
    if explained.match is not None:
        match = explained.match
        axes.plot(match.lag_s, match.agreement, "o", color="#c23b22")
        axes.annotate(
            f"{match.lag_s:+.2f} s, agreement {match.agreement:.3f}, score {match.score:.3f}",
            (match.lag_s, match.agreement),
            xytext=(8, 4),
            textcoords="offset points",
            fontsize=9,
        )
    axes.set(xlabel="lag, s (right: the first file has more in front)", ylabel="agreement", ylim=(0.4, 1.04))
    axes.set_title("Agreement at every lag", loc="left", fontsize=10)


def _draw_similarity(axes: Axes, differing: npt.NDArray[np.bool_], start_s: float) -> None:
    by_item = 1 - differing.mean(axis=1)
    window = min(WINDOW_ITEMS, len(by_item))
    smooth = np.convolve(by_item, np.ones(window) / window, mode="valid")
    times = start_s + (np.arange(len(smooth)) + (window - 1) / 2) / ITEMS_PER_SECOND
    axes.plot(times, smooth, linewidth=1, color="#1f5a8c")
    axes.axhline(0.5, color="#999999", linewidth=0.8, linestyle=":")
    axes.set(ylabel="agreement", ylim=(0.4, 1.04), xlim=_span(start_s, len(by_item)))
    axes.set_title("Similarity over time at the best lag (4 s mean)", loc="left", fontsize=10)


def _draw_bits(axes: Axes, differing: npt.NDArray[np.bool_], start_s: float) -> None:
    left, right = _span(start_s, len(differing))
    axes.imshow(differing.T, aspect="auto", cmap="Greys", interpolation="nearest", extent=(left, right, 32, 0))
    axes.set(xlabel="time in the first file, s", ylabel="bit")
    axes.set_title("Bits that differ (black)", loc="left", fontsize=10)


def _span(start_s: float, n_items: int) -> tuple[float, float]:
    return start_s, start_s + n_items / ITEMS_PER_SECOND


def _short(path: bytes) -> str:
    """A file's name as text that matplotlib draws as it is: `$` would begin a formula."""
    name = printable(os.path.basename(path)).replace("$", r"\$")
    return name if len(name) <= 60 else f"{name[:45]}…{name[-14:]}"
